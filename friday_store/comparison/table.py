"""Tables for people: as text that fits a terminal, and as HTML in which nothing of a user's is markup."""

from __future__ import annotations

import datetime as dt
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

WIDTH: Final = 80
NONE: Final = "-"
"""In place of what is not there."""
_GAP: Final = "  "
_NARROWEST: Final = 8
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")


def shown(value: Any) -> str:  # noqa: PLR0911 - one line per kind of value
    """Return a value on one line: six digits of a number, nothing for None, no character that moves a cursor."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(key)}={shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape", "surrogatepass").decode("ascii")


def signed(value: float | None) -> str:
    """Return a difference with its sign; nothing for None."""
    return "" if value is None else f"{value:+.6g}"


def percent(value: float | None) -> str:
    """Return a signed percentage; nothing for None."""
    return "" if value is None else f"{value:+.2f} %" if abs(value) < 1e6 else f"{value:+.3g} %"


def size(value: int) -> str:
    """Return a number of bytes in binary units."""
    if value < 1024:
        return f"{value} B"
    power = min(int(math.log2(value)) // 10, len(_UNITS))
    return f"{value / 1024**power:.1f} {_UNITS[power - 1]}"


def text(heads: Sequence[str], rows: Iterable[Sequence[str]], width: int = WIDTH) -> str:
    """Return a table whose lines are at most ``width`` long where its columns can be cut so far; empty without rows.

    Columns without a single value are left out, and so are the heads where there are none.
    """
    listed = [list(row) for row in rows]
    if not listed:
        return ""
    kept = [place for place in range(len(listed[0])) if any(row[place] for row in listed)]
    table = [[row[place] for place in kept] for row in ([list(heads), *listed] if heads else listed)]
    widths = _narrowed([max(map(len, column)) for column in zip(*table, strict=True)], width)
    lines = (_GAP.join(_cut(cell, most).ljust(most) for cell, most in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def sections(heads: Sequence[str], parts: Iterable[tuple[str, Sequence[Sequence[str]]]], width: int = WIDTH) -> str:
    """Return one table in sections, each a caption and its rows, whose columns stand below each other throughout."""
    listed = [(caption, [(f"  {row[0]}", *row[1:]) for row in rows]) for caption, rows in parts if rows]
    lines = text(heads, [row for _, rows in listed for row in rows], width).splitlines()
    made, at = lines[:1], 1
    for caption, rows in listed:
        made += [caption, *lines[at : at + len(rows)]]
        at += len(rows)
    return "\n".join(made)


def _narrowed(widths: list[int], width: int) -> list[int]:
    """Take from the widest column until the line fits, or nothing more can be taken."""
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cut(cell: str, most: int) -> str:
    """Shorten a cell in its middle, since both ends of a path tell what it is."""
    head = most // 2
    return cell if len(cell) <= most else f"{cell[:head]}…{cell[len(cell) - (most - head - 1) :]}"


def as_html(title: str, tables: Iterable[tuple[str, Sequence[str], Iterable[Sequence[str]]]]) -> str:
    """Return a title and tables (caption, heads, rows), every text of them escaped."""
    made = [f"<p><b>{html.escape(title)}</b></p>"]
    for caption, heads, rows in tables:
        body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
        if body:
            title = f'<caption style="text-align:left">{html.escape(caption)}</caption>'
            head = f"{title}<thead><tr>{_cells('th', heads)}</tr></thead>"
            made.append(f"<table>{head}<tbody>{body}</tbody></table>")
    return f"<div>{''.join(made)}</div>"


def _cells(tag: str, row: Sequence[str]) -> str:
    style = "text-align:left;padding:2px 10px 2px 0"
    return "".join(f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for cell in row)


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line per kind of value
    """Return a value as strict JSON can show it: times in ISO form, numbers that are not finite as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
