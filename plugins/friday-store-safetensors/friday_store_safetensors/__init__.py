"""``safetensors``: a dict of NumPy arrays or PyTorch tensors, as data that no loader interprets. Safety: data.

Parts, of format 1:

``header``
    UTF-8 JSON ``{"metadata": {text: text}, "tensors": [{"name", "dtype", "shape"}, …]}``, in the order of the model;
    ``dtype`` is the word of the safetensors format, such as ``F32`` or ``BF16``.
``tensor/N``
    The N-th tensor's elements in row-major order, little-endian; it loads as a view.

``metadata["format"]`` is ``np`` or ``pt`` and says what the tensors come back as, as is usual in that format; a file
without it gives NumPy arrays. The native file is one safetensors file, made and taken apart by its 8-byte length and
its JSON header (https://github.com/huggingface/safetensors, README, "Format"): offsets must cover the data without
holes or overlaps. Neither the safetensors library nor PyTorch is imported for anything but PyTorch's own tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from friday_store import Part, SerializationError, hookimpl
from friday_store.hookspecs import Safety

_HEADER_CAP: Final = 100_000_000  # the library's own limit
_SHOWN: Final = 500
_SIZES: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
_NUMPY: Final = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "U16": "uint16", "I16": "int16", "F16": "float16", "BF16": "bfloat16", "U32": "uint32", "I32": "int32",
    "F32": "float32", "U64": "uint64", "I64": "int64", "F64": "float64", "C64": "complex64",
}  # fmt: skip
_FROM_NUMPY: Final = {name: word for word, name in _NUMPY.items()}
_EXTENDED: Final = ("BF16", "F8_E4M3", "F8_E5M2")
_KINDS: Final = ("np", "pt")


class Tensor(NamedTuple):
    """One tensor as the header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * _SIZES[self.dtype]


class Header(NamedTuple):
    """What the part ``header`` says."""

    metadata: dict[str, str]
    tensors: list[Tensor]

    @property
    def kind(self) -> str:
        """What the tensors come back as: ``np`` or ``pt``."""
        kind = self.metadata.get("format", "np")
        if kind not in _KINDS:
            raise SerializationError(f"safetensors of kind {kind!r}; this release makes {' and '.join(_KINDS)}")
        return kind

    def part(self) -> Part:
        """Return it as a part."""
        tensors = [each._asdict() for each in self.tensors]
        text = json.dumps({"metadata": self.metadata, "tensors": tensors}, sort_keys=True, separators=(",", ":"))
        return Part("header", text.encode())


class Safetensors:
    """See the module."""

    name = "safetensors"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ".safetensors"
    requires = ("numpy>=2.0",)

    def accepts(self, model: object) -> bool:
        if type(model) is not dict or not model:
            return False
        kinds = {_kind(value) for value in model.values()}
        return all(type(name) is str for name in model) and len(kinds) == 1 and None not in kinds

    def dump(self, model: Any) -> list[Part]:
        if not self.accepts(model):
            raise SerializationError("safetensors stores a dict of named arrays, or of named tensors, and nothing else")
        kind = _kind(next(iter(model.values())))
        tensors: list[Tensor] = []
        parts: list[Part] = []
        for name, value in model.items():
            dtype, data = (_of_numpy if kind == "np" else _of_torch)(name, value)
            tensors.append(Tensor(name, dtype, tuple(int(size) for size in value.shape)))
            parts.append(Part(f"tensor/{len(parts)}", data))
        return [Header({"format": str(kind)}, tensors).part(), *parts]

    def load(self, parts: Mapping[str, memoryview], format: int) -> dict[str, Any]:  # noqa: A002 - the recorded word
        if format > self.format:
            raise SerializationError(f"safetensors parts of format {format}; this release reads {self.format}")
        header = _header(parts)
        make = _as_numpy if header.kind == "np" else _as_torch
        return {each.name: make(each, parts[f"tensor/{n}"]) for n, each in enumerate(header.tensors)}

    def check(self, parts: Mapping[str, memoryview]) -> None:
        header = _header(parts)
        if set(parts) != {"header", *(f"tensor/{n}" for n in range(len(header.tensors)))}:
            raise SerializationError("these parts are not those of safetensors")
        for number, each in enumerate(header.tensors):
            if len(parts[f"tensor/{number}"]) != each.size:
                raise SerializationError(f"tensor {each.name!r} does not fit its description")

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return dtype and shape of the first 500 tensors by name, how many there are, and how many elements."""
        header = _header(parts)
        shown = {each.name: f"{each.dtype}{list(each.shape)}" for each in header.tensors[:_SHOWN]}
        elements = sum(math.prod(each.shape) for each in header.tensors)
        return {"tensors": shown, "count": len(header.tensors), "elements": elements, "format": header.kind}

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterator[bytes | memoryview]:
        header = _header(parts)
        order = sorted(range(len(header.tensors)), key=lambda n: (-_SIZES[header.tensors[n].dtype], n))
        offsets, end = {}, 0
        for number in order:  # wide ones first, so that all are aligned
            start, end = end, end + header.tensors[number].size
            offsets[number] = (start, end)
        text: dict[str, Any] = {"__metadata__": header.metadata} if header.metadata else {}
        for number, each in enumerate(header.tensors):
            text[each.name] = {"dtype": each.dtype, "shape": each.shape, "data_offsets": offsets[number]}
        packed = json.dumps(text, separators=(",", ":")).encode()
        packed += b" " * (-len(packed) % 8)
        yield len(packed).to_bytes(8, "little") + packed
        for number in order:
            yield parts[f"tensor/{number}"]

    def from_file(self, data: memoryview) -> list[Part]:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(_HEADER_CAP, len(data) - 8):
            raise SerializationError("not a safetensors file: its header does not fit in it")
        metadata, entries = _entries(bytes(data[8 : 8 + length]))
        end = 0
        for tensor, start, stop in sorted(entries, key=lambda entry: entry[1:]):
            if start != end or stop - start != tensor.size:
                raise SerializationError(f"tensor {tensor.name!r} of the safetensors file overlaps or leaves a hole")
            end = stop
        if 8 + length + end != len(data):
            raise SerializationError("the safetensors file is longer or shorter than its header says")
        body = data[8 + length :]
        parts = [Part(f"tensor/{number}", body[start:stop]) for number, (_, start, stop) in enumerate(entries)]
        return [Header(metadata, [tensor for tensor, *_ in entries]).part(), *parts]


@hookimpl
def register_serializers() -> list[Safetensors]:
    """Add the format."""
    return [Safetensors()]


def _kind(value: object) -> str | None:
    kind = type(value)
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return "np" if getattr(value, "dtype", None) is not None and _word(value) else None
    return "pt" if kind.__module__ == "torch" and kind.__name__ == "Tensor" else None


def _word(array: Any) -> str | None:
    """Return the format's word for an array's dtype, whatever its byte order."""
    return _FROM_NUMPY.get(array.dtype.name)


def _of_numpy(name: str, array: Any) -> tuple[str, memoryview]:
    import numpy as np

    word = _word(array)
    if word is None:
        raise SerializationError(f"array {name!r} has the dtype {array.dtype}, which safetensors cannot hold")
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return word, memoryview(flat)


def _of_torch(name: str, tensor: Any) -> tuple[str, memoryview]:
    import torch

    word = {dtype: word for word, dtype in _torch_dtypes().items()}.get(tensor.dtype)
    if word is None or tensor.layout is not torch.strided or tensor.is_quantized:
        raise SerializationError(f"tensor {name!r} is {tensor.layout} {tensor.dtype}, which safetensors cannot hold")
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return word, memoryview(flat.view(torch.uint8).numpy())


def _as_numpy(tensor: Tensor, data: memoryview) -> Any:
    import numpy as np

    dtype: Any = np.dtype(_NUMPY[tensor.dtype]) if tensor.dtype not in _EXTENDED else _extended(tensor)
    return np.frombuffer(data, dtype).reshape(tensor.shape)


def _extended(tensor: Tensor) -> Any:
    """Return a dtype that NumPy itself does not have, and the package ml_dtypes adds."""
    import ml_dtypes

    return getattr(ml_dtypes, _NUMPY[tensor.dtype])


def _as_torch(tensor: Tensor, data: memoryview) -> Any:
    import torch

    dtype = _torch_dtypes()[tensor.dtype]
    if not len(data):
        return torch.empty(tensor.shape, dtype=dtype)
    writable = bytearray(data) if data.readonly else data
    return torch.frombuffer(writable, dtype=torch.uint8).view(dtype).reshape(tensor.shape)


def _torch_dtypes() -> dict[str, Any]:
    import torch

    return {word: getattr(torch, name) for word, name in _NUMPY.items()}


def _header(parts: Mapping[str, memoryview]) -> Header:
    try:
        raw = json.loads(bytes(parts["header"]))
        metadata = {str(key): str(value) for key, value in raw["metadata"].items()}
        tensors = [_tensor(each["name"], each) for each in raw["tensors"]]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SerializationError("these parts are not those of safetensors") from error
    if len({each.name for each in tensors}) != len(tensors):
        raise SerializationError("two tensors have one name")
    return Header(metadata, tensors)


def _entries(text: bytes) -> tuple[dict[str, str], list[tuple[Tensor, int, int]]]:
    """Return what a file's header says: its metadata, and each tensor with its first and last offset."""
    try:
        raw = json.loads(text, object_pairs_hook=_unique)
        metadata = {str(key): str(value) for key, value in raw.pop("__metadata__", {}).items()}
        found = []
        for name, entry in raw.items():
            start, stop = entry["data_offsets"]
            found.append((_tensor(name, entry), _whole(start), _whole(stop)))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SerializationError(f"not a safetensors file: {error}") from error
    return metadata, found


def _tensor(name: Any, entry: Mapping[str, Any]) -> Tensor:
    shape: Sequence[Any] = entry["shape"]
    if type(name) is not str or entry["dtype"] not in _SIZES or not isinstance(shape, list):
        raise ValueError("a tensor is described by a name, a known dtype and a shape")
    return Tensor(name, entry["dtype"], tuple(_whole(size) for size in shape))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise ValueError("expected a whole number of 48 bits")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
