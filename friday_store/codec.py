"""Canonical MessagePack: the one spelling of every map that is hashed, and the values that may stand in it.

A map is canonical when its keys are strings in sorted order at every level and every value has its shortest
encoding. :func:`decode` accepts nothing else: it caps the size before it looks, decodes, encodes again, and
refuses bytes that differ. So an object has one digest, and no two readers can see different things in it. What is
large may hold a million values, and one more for each 8 bytes, so that no small file takes all memory when it is read.

:func:`normalise` is the public edge: it turns what users put into metadata (numpy scalars and small arrays,
datetimes, enums, paths, decimals, sets, dataclasses) into plain values, or names the key that cannot be stored.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import msgpack

from friday_store.errors import IntegrityError, InvalidValueError

CAP: Final = 64 << 20
_DEPTH: Final = 64
_ITEMS: Final = 100_000
_VALUES: Final = 1 << 20
_BYTES_EACH: Final = 8
_MAP: Final = 4
_AS_INTEGER: Final = 2
_INTEGERS: Final = range(-(1 << 63), 1 << 64)

_PLAIN: Final = frozenset((type(None), bool, int, float, str, bytes))

Value = None | bool | int | float | str | bytes | list["Value"] | dict[str, "Value"]


def encode(value: Mapping[str, Any], *, flat: bool = False) -> bytes:
    """Return the canonical bytes of a map of plain values; tuples count as lists.

    Args:
        value: The map.
        flat: There is no map inside, so that nothing but its own keys needs to be put in order.
    """
    packed = msgpack.packb({key: value[key] for key in sorted(value)} if flat else _sorted(value), use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def _sorted(value: Any) -> Any:
    if type(value) is dict or isinstance(value, Mapping):  # the first spares the second, which is slow
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is not text")
        found = ((key, value[key]) for key in sorted(value))
        return {key: item if type(item) in _PLAIN else _sorted(item) for key, item in found}
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else _sorted(item) for item in value]
    return value


def decode(data: bytes | memoryview, kind: str, *, cap: int = CAP) -> dict[str, Any]:
    """Return the map in ``data`` after checking that it is canonical and of this ``kind``.

    Args:
        data: The bytes as stored, already checked against their digest where there is one.
        kind: What the map's ``kind`` key must say.
        cap: The most bytes that are looked at.

    Raises:
        IntegrityError: Too large, of too many values, not MessagePack, not canonical, or of another kind.
    """
    if len(data) > cap:
        raise IntegrityError(f"{kind} of {len(data)} bytes is larger than the {cap} allowed")
    budget = _Budget(_VALUES + len(data) // _BYTES_EACH)
    many = len(data) > _VALUES
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_map_len=min(len(data), _VALUES),
            max_array_len=min(len(data), budget.left),
            timestamp=_AS_INTEGER,
            object_pairs_hook=budget.map if many else _ordered,
            list_hook=budget.list if many else None,
            ext_hook=_no_extension,
        )
        _check_depth(value, 2 * _DEPTH)
        canonical = isinstance(value, dict) and msgpack.packb(value, use_bin_type=True) == bytes(data)
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise IntegrityError(f"{kind} cannot be decoded: {type(error).__name__}") from error
    if not canonical:
        raise IntegrityError(f"{kind} is not canonical MessagePack")
    if value.get("kind") != kind:
        raise IntegrityError(f"expected a {kind}, found {str(value.get('kind'))[:40]!r}")
    found: dict[str, Any] = value
    return found


class _Budget:
    """Counts the values that are decoded, and stops when there are too many: a byte can become 64 bytes of memory."""

    def __init__(self, left: int) -> None:
        self.left = left

    def map(self, pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        """Count a map."""
        self._spend(_MAP + 2 * len(pairs))
        return _ordered(pairs)

    def list(self, items: list[Any]) -> list[Any]:
        """Count a list."""
        self._spend(1 + len(items))
        return items

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ValueError("too many values")


def _ordered(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a map whose keys are text, unique and in order."""
    found = dict(pairs)
    "".join(found)
    if len(found) != len(pairs) or list(found) != sorted(found):
        raise ValueError("keys out of order")
    return found


def _check_depth(value: Any, left: int) -> None:
    """Refuse what is nested deeper than any reader should have to follow."""
    if left == 0:
        raise ValueError("nested too deeply")
    for item in value.values() if type(value) is dict else value if type(value) is list else ():
        if type(item) is dict or type(item) is list:
            _check_depth(item, left - 1)


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension {code} of {len(data)} bytes")


def normalise(value: Any, path: str) -> Value:
    """Return ``value`` as plain data that :func:`encode` accepts and JSON can show.

    Args:
        value: Anything a user may put into metadata.
        path: Where it stands, for the message.

    Raises:
        InvalidValueError: It cannot be stored; the message names the offending key.
    """
    return _normalise(value, path, _DEPTH)


def normalise_map(value: Any, path: str) -> dict[str, Value]:
    """Return a mapping as plain data; see :func:`normalise`."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"{path}: expected a mapping, got {_called(value)}", path=path)
    plain = normalise(value, path)
    assert isinstance(plain, dict)
    return plain


def _normalise(value: Any, path: str, depth: int) -> Value:  # noqa: PLR0911 - one line per kind of value
    if value is None or type(value) in (bool, str, float):
        return _checked(value, path)
    if depth == 0:
        raise InvalidValueError(f"{path}: nested deeper than {_DEPTH} levels (is it recursive?)", path=path)
    if isinstance(value, Enum):
        return _normalise(value.value, path, depth - 1)
    if isinstance(value, bool | int | float | str | bytes):
        return _checked(_builtin(value), path)
    if isinstance(value, Mapping):
        return _mapping(value, path, depth)
    if isinstance(value, dt.date | dt.time | dt.timedelta | PurePath | Decimal | Fraction | UUID | type):
        return _checked(_scalar(value), path)
    if is_dataclass(value):
        return _mapping({field.name: getattr(value, field.name) for field in fields(value)}, path, depth)
    if isinstance(value, AbstractSet):
        return [_normalise(item, f"{path}{{}}", depth - 1) for item in sorted(value, key=repr)]
    if isinstance(value, Sequence):
        return [_normalise(item, f"{path}[{place}]", depth - 1) for place, item in enumerate(value)]
    return _foreign(value, path, depth)


def _mapping(value: Mapping[Any, Any], path: str, depth: int) -> Value:
    plain = {_key(key, path): _normalise(item, f"{path}[{key!r}]", depth - 1) for key, item in value.items()}
    if len(plain) != len(value):
        raise InvalidValueError(f"{path}: two keys are the same text", path=path)
    return plain


def _builtin(value: Any) -> Value:
    """The plain value under a subclass of a plain type, such as ``numpy.float64`` or ``numpy.str_``."""
    if isinstance(value, str):
        return str.__str__(value)
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return bytes(value)


def _scalar(value: Any) -> Value:
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return None if type(value).__name__ == "NaTType" else value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value)


def _decimal(value: Decimal) -> float | str:
    if value.is_nan():
        return math.nan
    return float(value) if value.is_infinite() or Decimal(repr(float(value))) == value else str(value)


def _foreign(value: Any, path: str, depth: int) -> Value:
    """Numpy and pandas values, by what they can do, so that neither is imported."""
    if type(value).__name__ == "NAType":
        return None
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        item = value.item()
        if type(value).__name__ == "datetime64":
            return None if item is None else str(value)
        if type(item) is not type(value):
            return _normalise(item, path, depth - 1)
    if shape and hasattr(value, "tolist") and hasattr(value, "dtype"):
        if math.prod(shape) > _ITEMS:
            raise InvalidValueError(
                f"{path}: an array of {math.prod(shape)} values is data, not metadata (at most {_ITEMS})", path=path
            )
        return _normalise(value.tolist(), path, depth - 1)
    raise InvalidValueError(f"{path}: {_called(value)} is not storable", path=path)


def _checked(value: Value, path: str) -> Value:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidValueError(f"{path}: text with a lone surrogate is not storable", path=path) from error
    elif type(value) is int and value not in _INTEGERS:
        raise InvalidValueError(f"{path}: the integer does not fit in 64 bits", path=path)
    elif isinstance(value, float) and math.isnan(value):
        return math.nan
    return value


def _key(key: Any, path: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if type(key) is not str:
        if not isinstance(key, str | int | float) and not hasattr(key, "item"):
            raise InvalidValueError(f"{path}: a key must be text, got {_called(key)}", path=path)
        key = str(key)
    return str(_checked(key, path))


def _called(value: Any) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return "a function" if callable(value) and hasattr(value, "__code__") else f"an object of type {name}"
