r"""Which format a file is in, by its own bytes. Nothing is loaded, unpickled or unpacked to find out.

===============  ====================================================================================
``numpy``        ``\x93NUMPY``, or a zip archive of ``.npy`` members alone
``skops``        a zip archive with ``schema.json``
``torch``        a zip archive with ``*/data.pkl``
``joblib``       a pickle that names ``joblib.numpy_pickle``; without arrays it is an ordinary pickle
``pickle5``      a pickle of protocol 2 to 5: ``\x80``, the protocol, and ``.`` at the end
``safetensors``  a length in 8 bytes, then as much JSON whose entries have ``dtype`` and ``data_offsets``
``xgboost``      JSON or UBJSON whose first key is ``learner``; ``binf`` for the older binary
``lightgbm``     ``tree`` and ``version=v`` on the first two lines
``onnx``         protocol buffers with the fields of ``ModelProto``, of which the graph is one, to the last byte
``json``         a JSON object or array
===============  ====================================================================================

Everything else, also a compressed joblib file, is ``file``: opaque bytes.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from typing import Final

from friday_store.archive import View
from friday_store.serializer import FILE

_HEADER_CAP: Final = 100 << 20
_UBJSON: Final = rb"\{(?:L\x00{7}|[iU])\x07learner"
_TEXT_JSON: Final = rb'\s*\{\s*"learner"\s*:\s*\{'
_VARINT, _BLOCK = 0, 2
_ONNX: Final = {
    1: _VARINT, 2: _BLOCK, 3: _BLOCK, 4: _BLOCK, 5: _VARINT, 6: _BLOCK, 7: _BLOCK, 8: _BLOCK, 14: _BLOCK, 20: _BLOCK,
    25: _BLOCK, 26: _BLOCK,
}  # fmt: skip
_ONNX_GRAPH: Final = 7


def detect(data: memoryview) -> str:
    """Return the name of the format that a file's bytes are in; ``file`` when no signature fits."""
    for name, matches in _SIGNATURES:
        if matches(data):
            return name
    return FILE


def _members(data: memoryview) -> list[str]:
    """Return the names in a zip archive; none where it is no archive."""
    if bytes(data[:4]) not in (b"PK\x03\x04", b"PK\x05\x06"):
        return []
    try:
        with zipfile.ZipFile(View(data)) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return []


def _is_numpy(data: memoryview) -> bool:
    names = [] if bytes(data[:6]) == b"\x93NUMPY" else _members(data)
    return bytes(data[:6]) == b"\x93NUMPY" or (bool(names) and all(name.endswith(".npy") for name in names))


def _is_skops(data: memoryview) -> bool:
    return "schema.json" in _members(data)


def _is_torch(data: memoryview) -> bool:
    return any(name.endswith("/data.pkl") for name in _members(data))


def _is_pickle(data: memoryview) -> bool:
    return len(data) > 3 and data[0] == 0x80 and 2 <= data[1] <= 5 and data[-1] == ord(".")


def _is_joblib(data: memoryview) -> bool:
    return _is_pickle(data) and re.search(rb"joblib\.numpy_pickle", data) is not None


def _is_safetensors(data: memoryview) -> bool:
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= min(_HEADER_CAP, len(data) - 8) or data[8] != ord("{"):
        return False
    header = _parsed(data[8 : 8 + size])
    return isinstance(header, dict) and all(
        isinstance(entry, dict) and {"dtype", "shape", "data_offsets"} <= set(entry)
        for name, entry in header.items()
        if name != "__metadata__"
    )


def _is_xgboost(data: memoryview) -> bool:
    return bytes(data[:4]) == b"binf" or any(re.match(pattern, data) for pattern in (_UBJSON, _TEXT_JSON))


def _is_lightgbm(data: memoryview) -> bool:
    return re.match(rb"tree\r?\nversion=v\d", data) is not None


def _is_onnx(data: memoryview) -> bool:
    """Walk over the fields of the outermost message, skipping what they hold."""
    at, seen = 0, set()
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        if _ONNX.get(field) != kind:
            return False
        seen.add(field)
        at += value if kind == _BLOCK else 0
    return at == len(data) and {1, _ONNX_GRAPH} <= seen


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a variable-length integer and where the next thing begins; 0 of no field where there is none."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    return 0, len(data)


def _is_json(data: memoryview) -> bool:
    return bytes(data[:64]).lstrip()[:1] in (b"{", b"[") and _parsed(data) is not None


def _parsed(data: memoryview) -> object:
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError):
        return None


_SIGNATURES: Final[tuple[tuple[str, Callable[[memoryview], bool]], ...]] = (
    ("numpy", _is_numpy),
    ("skops", _is_skops),
    ("torch", _is_torch),
    ("joblib", _is_joblib),
    ("pickle5", _is_pickle),
    ("safetensors", _is_safetensors),
    ("xgboost", _is_xgboost),
    ("lightgbm", _is_lightgbm),
    ("onnx", _is_onnx),
    ("json", _is_json),
)
