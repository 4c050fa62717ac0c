"""Numbers as a line of blocks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from friday_store.cli.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([1.0], "▄"),
        ([2.0, 2.0], "▄▄"),
        ([0, 7], "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([0, None, 7, math.nan], "▁ █ "),
        ([math.inf, 1.0], " ▄"),
        ([-1e308, 1e308], "▁█"),
    ],
)
def test_numbers_are_drawn(values: list[float | None], drawn: str) -> None:
    """The lowest is the lowest block and the highest the highest; what is no finite number is a blank."""
    assert drawn == sparkline(values)


@given(st.lists(st.floats() | st.none()), st.integers(1, 30))
def test_it_fits(values: list[float | None], width: int) -> None:
    """Whatever the numbers are, there are as many blocks as fit, and no others."""
    assert min(len(values), width) == len(sparkline(values, width))


def test_many_numbers_are_means() -> None:
    """Where there are more numbers than blocks, each block is the mean of its share."""
    assert "▁█" == sparkline([0, 0, 0, 9, 9, 9], 2)
