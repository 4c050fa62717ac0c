"""What an ONNX model says of itself, read from its protobuf without ``onnx``: enough to describe one.

https://protobuf.dev/programming-guides/encoding/ and the numbers of the fields in ``onnx.proto3``. Tensors are passed
over, whatever their size.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_MOST: Final = 1 << 20
_TYPES: Final = (
    "undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
    "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz",
    "float8_e5m2", "float8_e5m2fnuz", "uint4", "int4", "float4_e2m1",
)  # fmt: skip


class Tensor(NamedTuple):
    """An initializer: its name, and what it is."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def describe(model: memoryview, shown: int) -> dict[str, Any]:
    """Return versions, operators by how often they occur, inputs, outputs and the first tensors by name.

    Args:
        model: A ``ModelProto``.
        shown: How many tensors, operators, inputs and outputs are named at most.

    Raises:
        ValueError: It is no protobuf, or not that of a model.
    """
    said: dict[str, Any] = {}
    opsets: dict[str, int] = {}
    operators: Counter[str] = Counter()
    tensors: list[Tensor] = []
    ends: dict[str, dict[str, str]] = {"inputs": {}, "outputs": {}}
    for number, value in _fields(model):
        if number == 1:
            said["ir_version"] = _number(value)
        elif number in (2, 3):
            said["producer" if number == 2 else "producer_version"] = _text(value)
        elif number == 8:
            domain, version = _named(value, 1), next((_number(each) for key, each in _fields(value) if key == 2), 0)
            opsets[domain or "ai.onnx"] = version
        elif number == 7:
            for key, inner in _fields(value):
                if key == 1:
                    operators[_named(inner, 4)] += 1
                elif key == 5:
                    tensors.append(_tensor(inner))
                elif key in (11, 12):
                    ends["inputs" if key == 11 else "outputs"][_named(inner, 1)] = _kind(inner)
    return {
        **{name: value for name, value in said.items() if value not in ("", None)},
        "opsets": opsets,
        "operators": dict(sorted(operators.items())[:shown]),
        "nodes": operators.total(),
        **{end: dict(itertools.islice(named.items(), shown)) for end, named in ends.items()},
        "tensors": {each.name: f"{each.dtype}{list(each.shape)}" for each in tensors[:shown]},
        "count": len(tensors),
        "elements": sum(math.prod(each.shape) for each in tensors),
    }


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """Yield the number of each field with its value: a number, or a view of bytes; groups are refused."""
    if isinstance(data, int):
        raise ValueError("a message was expected")  # noqa: TRY004 - the bytes are wrong, not the call
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind in _FIXED:
            size = _FIXED[kind]
        elif kind == _BYTES:
            size, at = _varint(data, at)
        else:
            raise ValueError(f"a field of an unknown kind {kind}")
        if at + size > end:
            raise ValueError("the model is cut short")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    found = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("the model is cut short")
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, at
    raise ValueError("a number of more than 64 bits")


def _tensor(data: Any) -> Tensor:
    name, kind, shape = "", 0, []
    for number, value in _fields(data):
        if number == 1:
            shape += [value] if isinstance(value, int) else list(_packed(value))
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
    if any(size >= 1 << 48 for size in shape):
        raise ValueError("a tensor with an impossible shape")
    return Tensor(name, _dtype(kind), tuple(shape))


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _kind(info: Any) -> str:
    """Return what an input or output is: dtype and shape of a tensor, with the names of open sizes; else empty."""
    for number, kind in _fields(info):
        for form, tensor in _fields(kind) if number == 2 else ():
            if form == 1:
                return _of_tensor(tensor)
    return ""


def _of_tensor(data: Any) -> str:
    dtype, sizes = _dtype(0), []
    for number, value in _fields(data):
        if number == 1:
            dtype = _dtype(_number(value))
        elif number == 2:
            for size in (size for key, size in _fields(value) if key == 1):
                found = next((each for key, each in _fields(size) if key in (1, 2)), b"?")
                sizes.append(str(found) if isinstance(found, int) else _text(found))
    return f"{dtype}[{', '.join(sizes)}]"


def _dtype(number: int) -> str:
    return _TYPES[number] if number < len(_TYPES) else str(number)


def _named(data: Any, wanted: int) -> str:
    return next((_text(value) for number, value in _fields(data) if number == wanted), "")


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("a number was expected")  # noqa: TRY004 - the bytes are wrong, not the call
    return value


def _text(value: Any) -> str:
    if isinstance(value, int) or len(value) > _MOST:
        raise ValueError("a text was expected")
    return bytes(value).decode()
