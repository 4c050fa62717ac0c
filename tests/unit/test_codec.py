"""What the canonical encoding promises: one spelling, and a clear refusal of everything else."""

from __future__ import annotations

import datetime as dt
import enum
import math
import threading
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgpack
import numpy as np
import pandas as pd
import pytest

from friday_store import codec
from friday_store.errors import IntegrityError, InvalidValueError

NOW = dt.datetime(2026, 5, 1, 12, 30, tzinfo=dt.UTC)


def raw(value: Any) -> bytes:
    """Return MessagePack as somebody else might write it: keys in the order given."""
    packed = msgpack.packb(value, use_bin_type=True, strict_types=False)
    assert isinstance(packed, bytes)
    return packed


def test_the_bytes_of_a_map() -> None:
    """Keys are sorted at every level, and every value has its shortest encoding: these very bytes."""
    value = {"kind": "x", "b": {"z": 1, "a": [True, None]}, "a": 1.5, "c": b"\x00"}
    expected = bytes.fromhex("84a161cb3ff8000000000000a16282a16192c3c0a17a01a163c40100a46b696e64a178")
    assert expected == codec.encode(value)
    assert value == codec.decode(expected, "x")


def test_tuples_count_as_lists() -> None:
    """A tuple is written as a list, also inside one."""
    assert codec.encode({"a": [[1, [2]]]}) == codec.encode({"a": ((1, (2,)),)})


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("unsorted keys", raw({"kind": "x", "a": 1})),
        ("unsorted keys inside", raw({"a": {"c": 1, "b": 2}, "kind": "x"})),
        ("a key twice", b"\x83\xa1a\x01\xa1a\x01\xa4kind\xa1x"),
        ("a long integer", b"\x82\xa1a\xcd\x00\x01\xa4kind\xa1x"),
        ("a long string header", b"\x82\xd9\x01a\x01\xa4kind\xa1x"),
        ("a long map header", b"\xde\x00\x01\xa4kind\xa1x"),
        ("a short float", b"\x82\xa1a\xca\x3f\x80\x00\x00\xa4kind\xa1x"),
        ("bytes after the end", codec.encode({"kind": "x"}) + b"\x00"),
        ("a map after the map", codec.encode({"kind": "x"}) * 2),
        ("cut short", codec.encode({"kind": "x"})[:-1]),
        ("empty", b""),
        ("no map", raw([1, 2])),
        ("a number", b"\x01"),
        ("not UTF-8", b"\x82\xa1a\xa1\xff\xa4kind\xa1x"),
        ("a lone surrogate", b"\x82\xa1a\xa3\xed\xa0\x80\xa4kind\xa1x"),
        ("an integer key", raw({"a": {1: 2}, "kind": "x"})),
        ("a bytes key", raw({"a": {b"k": 2}, "kind": "x"})),
        ("a nil key", b"\x82\xa1a\x81\xc0\x01\xa4kind\xa1x"),
        ("a timestamp", raw({"a": msgpack.Timestamp(1, 2), "kind": "x"})),
        ("an extension", raw({"a": msgpack.ExtType(5, b"x"), "kind": "x"})),
        ("a reserved byte", b"\x82\xa1a\xc1\xa4kind\xa1x"),
        ("an array that is longer than the data", b"\x82\xa1a\xdd\xff\xff\xff\xff\xa4kind\xa1x"),
        ("a map that is longer than the data", b"\xdf\xff\xff\xff\xff\xa4kind\xa1x"),
        ("bytes that are longer than the data", b"\x82\xa1a\xc6\xff\xff\xff\xff\xa4kind\xa1x"),
        ("deep nesting", b"\x82\xa1a" + b"\x91" * 100_000 + b"\xc0\xa4kind\xa1x"),
        ("deep maps", b"\x82\xa1a" + b"\x81\xa1a" * 900 + b"\xc0\xa4kind\xa1x"),
        ("no kind", codec.encode({"a": 1})),
        ("another kind", codec.encode({"kind": "y"})),
        ("a kind that is no text", codec.encode({"kind": 1})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_every_other_spelling(what: str, data: bytes) -> None:
    """Bytes that are not what :func:`encode` would write are refused, with one kind of error."""
    with pytest.raises(IntegrityError):
        codec.decode(data, "x")
    with pytest.raises(IntegrityError):
        codec.decode(memoryview(data), "x")


def test_looks_at_no_more_than_the_cap() -> None:
    """What is too large is refused before it is decoded."""
    data = codec.encode({"a": "b" * 1000, "kind": "x"})
    assert codec.decode(data, "x", cap=len(data))["a"] == "b" * 1000
    with pytest.raises(IntegrityError, match="larger than"):
        codec.decode(data, "x", cap=len(data) - 1)


def test_a_nan_is_kept() -> None:
    """NaN and the infinities survive."""
    found = codec.decode(codec.encode({"kind": "x", "a": [math.nan, math.inf, -math.inf, -0.0]}), "x")["a"]
    assert math.isnan(found[0])
    assert found[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, found[3]) == -1


class Colour(enum.Enum):
    """An enumeration of text."""

    RED = "red"


class Level(enum.IntEnum):
    """An enumeration of numbers."""

    HIGH = 3


@dataclass
class Point:
    """A dataclass in a dataclass."""

    x: float
    inner: Any = field(default_factory=lambda: {"a": (1, 2)})


class Text(str):
    """Text of another class, which shows itself otherwise."""

    __slots__ = ()

    def __str__(self) -> str:
        return "shown"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), (True, True), (3, 3), (2.5, 2.5), ("text", "text"), (b"bytes", b"bytes"), (Text("own"), "own"),
        ((1, [2, {"a": 3}]), [1, [2, {"a": 3}]]), (range(3), [0, 1, 2]), ({3, 1, 2}, [1, 2, 3]),
        (frozenset("a"), ["a"]), (MappingProxyType({"a": 1}), {"a": 1}), ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
        ({Colour.RED: 1, np.int64(4): 2}, {"red": 1, "4": 2}), (Colour.RED, "red"), (Level.HIGH, 3),
        (np.float32(0.5), 0.5), (np.float64(0.1), 0.1), (np.int8(-3), -3), (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(1), True), (np.str_("s"), "s"), (np.array(7), 7), (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([]), []), (np.datetime64("2026-05-01"), "2026-05-01"), (np.datetime64("NaT", "s"), None),
        (np.timedelta64(90, "s"), 90.0), (pd.Timestamp("2026-05-01"), "2026-05-01T00:00:00"), (pd.NaT, None),
        (pd.NA, None), (pd.Series([1, 2]), [1, 2]), (pd.Timedelta("1s"), 1.0), (NOW, "2026-05-01T12:30:00+00:00"),
        (NOW.date(), "2026-05-01"), (NOW.time(), "12:30:00"), (dt.timedelta(minutes=1), 60.0),
        (PurePosixPath("a/b"), "a/b"), (PureWindowsPath("a\\b"), "a/b"), (Decimal("0.5"), 0.5), (Decimal("0.1"), 0.1),
        (Decimal("0.10000000000000000000001"), "0.10000000000000000000001"), (Decimal("1e400"), "1E+400"),
        (Decimal("Infinity"), math.inf), (Fraction(1, 3), "1/3"), (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dict, "builtins.dict"), (Point(1.5), {"x": 1.5, "inner": {"a": [1, 2]}}), (bytearray(b"ab"), [97, 98]),
    ],
    ids=repr,
)  # fmt: skip
def test_normalises_what_users_have(value: Any, expected: Any) -> None:
    """What people put into metadata becomes plain data that can be stored."""
    found = codec.normalise({"key": value}, "metadata")
    assert {"key": expected} == found
    assert isinstance(found, dict)
    assert type(expected) is type(found["key"])
    assert codec.decode(codec.encode({**found, "kind": "x"}), "x")["key"] == expected


@pytest.mark.parametrize("value", [math.nan, np.float32("nan"), Decimal("NaN"), Decimal("sNaN"), np.array(math.nan)])
def test_nan_stays_nan(value: Any) -> None:
    """NaN is a value of its own in every dress."""
    found = codec.normalise(value, "metrics")
    assert isinstance(found, float)
    assert math.isnan(found)


def looped() -> list[Any]:
    """Return a list that holds itself."""
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"hyper": {"cb": lambda: 0}}, "metadata['hyper']['cb']"),
        ({"a": [1, object()]}, "metadata['a'][1]"),
        ({"a": {object()}}, "metadata['a']{}"),
        ({"a": Point(1.0, threading.Lock())}, "metadata['a']['inner']"),
        ({"a": {(1, 2): 3}}, "metadata['a']"),
        ({"a": {None: 3}}, "metadata['a']"),
        ({"a": {1: "x", "1": "y"}}, "metadata['a']"),
        ({"a": 1 << 64}, "metadata['a']"),
        ({"a": -(1 << 63) - 1}, "metadata['a']"),
        ({"a": "\ud800"}, "metadata['a']"),
        ({"\ud800": 1}, "metadata"),
        ({"a": PurePosixPath("\udcff")}, "metadata['a']"),
        ({"a": np.zeros(100_001)}, "metadata['a']"),
        ({"a": np.array([object()])}, "metadata['a'][0]"),
        ({"a": (number for number in range(3))}, "metadata['a']"),
        ({"a": 1 + 2j}, "metadata['a']"),
        ([1], "metadata"),
        ("text", "metadata"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_the_key_that_cannot_be_stored(value: Any, path: str) -> None:
    """What cannot be stored is refused with the path of the offending key."""
    with pytest.raises(InvalidValueError) as caught:
        codec.normalise_map(value, "metadata")
    assert path == caught.value.path
    assert str(caught.value).startswith(f"{path}: ")


def test_refuses_what_never_ends() -> None:
    """A list that holds itself is refused, and does not exhaust the stack."""
    with pytest.raises(InvalidValueError, match="recursive"):
        codec.normalise(looped(), "metadata")


def test_nothing_is_an_empty_map() -> None:
    """None stands for no metadata."""
    assert codec.normalise_map(None, "metadata") == {}


def test_does_not_change_what_it_was_given() -> None:
    """The caller's own objects stay as they are, and share nothing with the result."""
    given = {"a": [1, {"b": 2}]}
    found = codec.normalise(given, "metadata")
    assert isinstance(found, dict)
    found["a"].append(3)  # type: ignore[union-attr]
    assert given == {"a": [1, {"b": 2}]}
