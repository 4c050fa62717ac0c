"""The other built-in formats: ``joblib``, ``numpy``, ``json`` and ``file``.

==========  ======  ===========================================================================
``joblib``  code    part ``joblib``: an uncompressed joblib file
``numpy``   data    part ``arrays``: JSON list of name, dtype, shape and order; part ``array/N``:
                    the N-th array's bytes, which load as a view; no object dtype, ever
``json``    data    part ``json``: UTF-8 JSON, with sorted keys unless it came as a file
``file``    data    part ``file``: the file's bytes, never interpreted; loads as ``bytes``
==========  ======  ===========================================================================
"""

from __future__ import annotations

import io
import json
import lzma
import math
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from friday_store.default_plugins.pickle5 import FAILURES, culprit
from friday_store.errors import SerializationError
from friday_store.hookspecs import Part, Safety

_MOST_ARRAYS: Final = 100_000
_NO_ARRAYS: Final = (
    ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    NotImplementedError, RuntimeError, MemoryError, OverflowError, SyntaxError, TypeError, AttributeError, IndexError,
)  # fmt: skip
_INFLATED: Final = 64 << 20
_RATIO: Final = 64
_SHOWN: Final = 500
_UNNAMED: Final = b"one array without a name"


class Joblib:
    """joblib's file format; for those who need that very file."""

    name = "joblib"
    requires = ("joblib>=1.6",)
    """Before that, arrays of objects escaped a restricted unpickler (GHSA-m62q-453p-gv66)."""
    format = 1
    safety: Safety = "code"
    deterministic = True
    suffix = ".joblib"

    def accepts(self, model: object) -> bool:  # noqa: ARG002 - only when asked for
        return False

    def dump(self, model: Any) -> list[Part]:
        import joblib

        target = io.BytesIO()
        try:
            joblib.dump(model, target, compress=0, protocol=5)
        except FAILURES as error:
            where, why = culprit(model, error)
            raise SerializationError(f"{where} cannot be pickled: {why}") from error
        return [Part("joblib", target.getbuffer())]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        import joblib

        _known(self.name, format)
        return joblib.load(io.BytesIO(parts["joblib"]))

    def check(self, parts: Mapping[str, memoryview]) -> None:
        if bytes(parts["joblib"][:1] if "joblib" in parts else b"") != b"\x80":
            raise SerializationError("these parts are not an uncompressed joblib file")

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        return [parts["joblib"]]

    def from_file(self, data: memoryview) -> list[Part]:
        self.check({"joblib": data})
        return [Part("joblib", data)]


class Numpy:
    """One array, or a dict of arrays by name."""

    name = "numpy"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ".npz"

    def accepts(self, model: object) -> bool:
        arrays = list(model.values()) if isinstance(model, dict) and model else [model]
        named = not isinstance(model, dict) or all(type(key) is str and key for key in model)
        return named and all(_is_array(array) for array in arrays)

    def dump(self, model: Any) -> Iterable[Part]:
        import numpy as np

        if not self.accepts(model):
            raise SerializationError("numpy stores an array or a dict of named arrays, without objects or records")
        named = model.items() if isinstance(model, dict) else [("", model)]
        heads: list[dict[str, Any]] = []
        parts: list[Part] = []
        for name, given in named:
            array = given if given.flags.c_contiguous or given.flags.f_contiguous else np.ascontiguousarray(given)
            order = "C" if array.flags.c_contiguous else "F"
            heads.append({"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "order": order})
            flat: Any = array.reshape(-1, order="A").view(np.uint8) if array.size else np.empty(0, np.uint8)
            parts.append(Part(f"array/{len(parts)}", memoryview(flat)))
        return [Part("arrays", json.dumps(heads, sort_keys=True).encode()), *parts]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        _known(self.name, format)
        made = {head["name"]: _array(head, parts[f"array/{n}"]) for n, head in enumerate(_heads(parts))}
        return made[""] if list(made) == [""] else made

    def check(self, parts: Mapping[str, memoryview]) -> None:
        heads = _heads(parts)
        if set(parts) != {"arrays", *(f"array/{number}" for number in range(len(heads)))}:
            raise SerializationError("these parts are not those of a numpy model")

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return name, dtype and shape of the first 500 arrays, and how many there are."""
        heads = _heads(parts)
        shown = {head["name"]: f"{head['dtype']}{head['shape']}" for head in heads[:_SHOWN]}
        return {"arrays": shown, "count": len(heads)}

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        import numpy as np

        model = self.load(parts, self.format)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name, array in model.items() if isinstance(model, dict) else [("array", model)]:
                info = zipfile.ZipInfo(f"{name}.npy")
                info.comment = b"" if isinstance(model, dict) else _UNNAMED
                with archive.open(info, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        return [target.getbuffer()]

    def from_file(self, data: memoryview) -> Iterable[Part]:
        import numpy as np

        try:
            found = np.load(io.BytesIO(data), allow_pickle=False)
            if hasattr(found, "zip"):
                _check_inflated(found.zip, len(data))
            if not hasattr(found, "items"):
                return self.dump(found)
            unnamed = [info.comment for info in found.zip.infolist()] == [_UNNAMED]
            return self.dump(found["array"] if unnamed else dict(found.items()))
        except _NO_ARRAYS as error:
            raise SerializationError(f"not an npy or npz file without pickles: {error}") from error


class Json:
    """Plain JSON data: rules, thresholds, linear coefficients."""

    name = "json"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ".json"

    def accepts(self, model: object) -> bool:  # noqa: ARG002 - only when asked for: tuples would come back as lists
        return False

    def dump(self, model: Any) -> list[Part]:
        try:
            text = json.dumps(model, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            data, kept = text.encode(), _kept(model, json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise SerializationError(f"the model is not JSON data: {error}") from error
        if not kept:
            raise SerializationError("the model changes in JSON (tuples become lists, keys become text)")
        return [Part("json", data)]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        _known(self.name, format)
        return json.loads(bytes(parts["json"]))

    def check(self, parts: Mapping[str, memoryview]) -> None:
        head = bytes(parts["json"][:64]).lstrip()[:1] if "json" in parts else b""
        if not head or head not in b'{["tfnNI-0123456789':
            raise SerializationError("these parts are not JSON")

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        return [parts["json"]]

    def from_file(self, data: memoryview) -> list[Part]:
        try:
            json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise SerializationError(f"not a JSON file: {error}") from error
        return [Part("json", data)]


class File:
    """Any file, as it is."""

    name = "file"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ""

    def accepts(self, model: object) -> bool:
        return isinstance(model, Path)

    def dump(self, model: Any) -> list[Part]:
        if isinstance(model, bytes | bytearray | memoryview):
            return [Part("file", model, opaque=True)]
        if not isinstance(model, str | os.PathLike):
            raise SerializationError(f"the format 'file' stores a path or bytes, not {type(model).__qualname__}")
        try:
            with Path(model).open("rb") as file:
                empty = os.fstat(file.fileno()).st_size == 0
                data = b"" if empty else memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise SerializationError(f"cannot read {model}: {error}") from error
        return [Part("file", data, opaque=True)]

    def load(self, parts: Mapping[str, memoryview], format: int) -> bytes:  # noqa: A002 - the recorded word
        _known(self.name, format)
        return bytes(parts["file"])

    def check(self, parts: Mapping[str, memoryview]) -> None:
        if set(parts) != {"file"}:
            raise SerializationError("these parts are not one opaque file")

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        return [parts["file"]]

    def from_file(self, data: memoryview) -> list[Part]:
        return [Part("file", data, opaque=True)]


def _check_inflated(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that would become very much larger than it is; no member can give more than it declares."""
    declared = sum(info.file_size for info in archive.infolist())
    if declared > max(_INFLATED, _RATIO * size):
        raise SerializationError(
            f"a file of {size} bytes would become {declared} bytes of arrays, more than {_RATIO} times as many",
            hint="write it anew with numpy.savez, uncompressed",
        )


def _known(name: str, version: int) -> None:
    if version > 1:
        raise SerializationError(f"{name} parts of format {version}; this release reads 1")


def _is_array(value: object) -> bool:
    kind = type(value)
    dtype = getattr(value, "dtype", None)
    plain = not getattr(dtype, "hasobject", True) and getattr(dtype, "names", None) is None
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray" and plain


def _heads(parts: Mapping[str, memoryview]) -> list[dict[str, Any]]:
    try:
        heads = json.loads(bytes(parts["arrays"]))
        sound = isinstance(heads, list) and len(heads) <= _MOST_ARRAYS and all(set(head) == _HEAD for head in heads)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError("these parts are not those of a numpy model") from error
    if not sound:
        raise SerializationError("these parts are not those of a numpy model")
    return list(heads)


_HEAD: Final = {"name", "dtype", "shape", "order"}


def _array(head: Mapping[str, Any], data: memoryview) -> Any:
    import numpy as np

    try:
        dtype = np.dtype(head["dtype"])
        shape = tuple(int(size) for size in head["shape"])
        if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
            raise SerializationError(f"array {head['name']!r} does not fit its description")
        return np.frombuffer(data, dtype).reshape(shape, order=head["order"])
    except (TypeError, ValueError) as error:
        raise SerializationError(f"array {head['name']!r} has an impossible description") from error


def _kept(model: Any, back: Any) -> bool:
    """Whether what came back from JSON is the model; NaN counts as itself."""
    if isinstance(model, dict):
        return model.keys() == back.keys() and all(_kept(value, back[key]) for key, value in model.items())
    if isinstance(model, list):
        return all(map(_kept, model, back))
    return bool(model == back) or (isinstance(model, float) and math.isnan(model) and math.isnan(back))
