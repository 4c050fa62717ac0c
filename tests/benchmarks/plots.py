"""Bars on a logarithmic axis as SVG, written by hand: the same values give the same bytes everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 860
_LEFT: Final = 110
_RIGHT: Final = 110
_BAR: Final = 17
_GAP: Final = 34
_TOP: Final = 46
_FONT: Final = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True)
class Group:
    """Bars that belong together.

    Attributes:
        text: What was measured.
        values: Positive numbers by side.
        labels: How each is written, by side.
    """

    text: str
    values: Mapping[str, float]
    labels: Mapping[str, str]


def drawn(title: str, groups: Sequence[Group], *, own: str) -> str:
    """Return a figure with a bar for each value, shorter is better, on one logarithmic axis.

    Args:
        title: The heading.
        groups: What is drawn, from top to bottom.
        own: The side whose bars stand out.
    """
    low, high = _decades([value for group in groups for value in group.values.values()])
    lines: list[str] = []
    top = _TOP
    for group in groups:
        lines.append(_text(12, top + 14, group.text, bold=True))
        top += 22
        for side, value in group.values.items():
            width = max(2.0, _place(value, low, high) - _LEFT)
            colour = "#1f6feb" if side == own else "#9aa4b2"
            lines.append(_text(_LEFT - 8, top + 12, side, end=True))
            lines.append(
                f"<rect x='{_LEFT}' y='{top}' width='{width:.1f}' height='{_BAR - 4}' fill='{colour}' rx='2'/>"
            )
            lines.append(_text(_LEFT + width + 6, top + 12, group.labels[side]))
            top += _BAR
        top += _GAP - 22
    height = top + 24
    grid = []
    for power in range(low, high + 1):
        x = _place(10.0**power, low, high)
        grid.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{_TOP - 6}' y2='{height - 24}' stroke='#e3e7ec'/>")
        grid.append(_text(x, height - 8, f"{10.0**power:g}", middle=True))
    size = f"viewBox='0 0 {_WIDTH} {height}' width='{_WIDTH}' height='{height}'"
    head = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size}>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>",
        f"<text x='12' y='24' {_FONT} font-size='16' font-weight='600' fill='#1c2128'>{escape(title)}</text>",
        _text(_WIDTH - 12, 24, "logarithmic; shorter is better", end=True),
    ]
    return "\n".join([*head, *grid, *lines, "</svg>", ""])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten around all values."""
    if not values:
        return 0, 1
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _place(value: float, low: int, high: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(value) - low) / (high - low)


def _text(x: float, y: float, text: str, *, end: bool = False, middle: bool = False, bold: bool = False) -> str:
    anchor = " text-anchor='end'" if end else " text-anchor='middle'" if middle else ""
    weight = " font-weight='600'" if bold else ""
    return f"<text x='{x:.1f}' y='{y}' {_FONT} font-size='12'{anchor}{weight} fill='#1c2128'>{escape(text)}</text>"
