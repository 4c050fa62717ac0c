"""A line of numbers as one line of blocks, such as ``▁▃▂▆█``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_NOTHING: Final = " "


def sparkline(values: Sequence[float | None], width: int = 60) -> str:
    """Return numbers as blocks from the lowest to the highest, one each, or the means of as many as fit.

    What is no finite number is a blank; numbers that are all equal are in the middle.

    Args:
        values: The numbers, in order.
        width: At most so many blocks.
    """
    points = [_mean(values[start:stop]) for start, stop in _stretches(len(values), width)]
    known = [point for point in points if point is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return "".join(_NOTHING if point is None else _block(point, low, high) for point in points)


def _stretches(count: int, width: int) -> list[tuple[int, int]]:
    """Return where each of at most ``width`` stretches of equal length, give or take one, begins and ends."""
    some = min(count, width)
    return [(place * count // some, (place + 1) * count // some) for place in range(some)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(value / len(known) for value in known) if known else None


def _block(value: float, low: float, high: float) -> str:
    if low == high:
        return _BLOCKS[len(_BLOCKS) // 2 - 1]
    share = (value / 2 - low / 2) / (high / 2 - low / 2)  # halves, since their difference cannot overflow
    return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]
