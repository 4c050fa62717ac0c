"""Hypothesis strategies: values that can be stored, and names and versions that can be given."""

from __future__ import annotations

import datetime as dt
import string
import unicodedata
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal

from hypothesis import strategies as st

from friday_store import refs
from friday_store.errors import InvalidNameError

_WORDS: Final = string.ascii_letters + string.digits + "_"
_ODD: Final = "-.+=@^!$&'(),;#%éß漢Ωж"
_IDENTIFIER: Final = st.one_of(
    st.integers(0, 10**6).map(str),
    st.text(string.ascii_letters + "-", min_size=1, max_size=4),
    st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=4).filter(lambda text: not text.isdigit()),
)
_NUMBER: Final = st.one_of(st.integers(0, 3), st.integers(0, 10**15 - 1))


def plain_values(*, nan: bool = False, leaves: int = 12) -> st.SearchStrategy[Any]:
    """Return a strategy for plain values: what metadata is once it is normalised.

    Args:
        nan: Whether a float may be NaN, which equals nothing.
        leaves: About how many scalars a value holds at most.
    """
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 64) - 1),
        st.floats(allow_nan=nan),
        st.text(max_size=12),
        st.binary(max_size=12),
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=leaves,
    )


def metadata(*, leaves: int = 12) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for what a user may give as metadata: plain values, and those that are made plain.

    Args:
        leaves: About how many scalars a value holds at most.
    """
    given = st.one_of(
        plain_values(nan=True, leaves=1),
        st.datetimes(timezones=st.just(dt.UTC)),
        st.decimals(allow_nan=False, allow_infinity=False),
        st.builds(Path, st.text(_WORDS, min_size=1, max_size=8)),
        st.sampled_from(_Side),
        st.tuples(st.integers(0, 9), st.booleans()),
        st.builds(_number, st.sampled_from(("float32", "int16", "bool")), st.integers(0, 1)),
    )
    values = st.recursive(
        given,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=leaves,
    )
    return st.dictionaries(st.text(max_size=8), values, max_size=4)


class _Side(Enum):
    BUY = "buy"
    SELL = "sell"


def _number(kind: str, value: int) -> Any:
    import numpy as np

    return getattr(np, kind)(value)


def metrics() -> st.SearchStrategy[dict[str, float]]:
    """Return a strategy for metrics: numbers by name, NaN and infinity among them."""
    return st.dictionaries(st.text(min_size=1, max_size=12), st.floats(), max_size=4)


def arrays_by_name() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for small models of arrays: of many dtypes, orders and shapes, empty ones among them."""

    def made(dtype: str, shape: list[int], seed: int, order: Literal["C", "F"]) -> Any:
        import numpy as np

        size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
        data = np.random.default_rng(seed).bytes(size)
        return np.asarray(np.frombuffer(bytearray(data), dtype).reshape(shape), order=order)

    kinds = st.sampled_from(("<f4", "<f8", ">f8", "<f2", "<i8", "|u1", "<c8"))
    shapes = st.lists(st.integers(0, 5), max_size=3)
    arrays = st.builds(made, kinds, shapes, st.integers(0, 99), st.sampled_from(("C", "F")))
    return st.dictionaries(st.text(_WORDS, min_size=1, max_size=8), arrays, min_size=1, max_size=4)


def model_names() -> st.SearchStrategy[str]:
    """Return a strategy for names that a model can have; most can be tags and aliases too."""
    part = st.text(_WORDS, min_size=1, max_size=6) | st.text(_WORDS + _ODD, min_size=1, max_size=8)
    return st.lists(part, min_size=1, max_size=3).map("/".join).filter(_is_name)


def versions() -> st.SearchStrategy[str]:
    """Return a strategy for semantic versions: releases, pre-releases and builds."""
    core = st.tuples(_NUMBER, _NUMBER, _NUMBER).map(lambda numbers: ".".join(map(str, numbers)))
    tail = st.lists(_IDENTIFIER, min_size=1, max_size=3).map(".".join)
    return st.builds(
        lambda core, pre, build: core + pre + build,
        core,
        st.just("") | tail.map("-{}".format),
        st.just("") | tail.map("+{}".format),
    )


def _is_name(text: str) -> bool:
    try:
        return refs.check_name(text, "tag") == unicodedata.normalize("NFC", text)
    except InvalidNameError:
        return False
