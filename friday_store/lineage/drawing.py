"""Drawing a lineage: a tree of characters, an inline SVG, and the quoting of Graphviz and mermaid."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

SHAPES: Final = {"version": "box", "deleted": "box, style=dashed", "data": "cylinder", "unknown": "ellipse"}
MARKS: Final = {"version": "●", "deleted": "○", "data": "◇", "unknown": "◇"}


_ROW: Final = 44
_LETTER: Final = 7.2
_PAD: Final = 12


class Edge(NamedTuple):
    """A version and one of its parents, by digest."""

    child: str
    parent: str


def grouped(edges: Iterable[Edge]) -> dict[str, list[str]]:
    """Return the parents of each child, in their order."""
    found: dict[str, list[str]] = {}
    for edge in edges:
        found.setdefault(edge.child, []).append(edge.parent)
    return found


def quoted(text: str) -> str:
    """Return a text as Graphviz reads it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def entities(text: str) -> str:
    """Return a text for mermaid, which reads ``#NUMBER;`` as a character."""
    return "".join(char if char.isalnum() or char in " .:_-()/" else f"#{ord(char)};" for char in text)


def tree(labels: Mapping[str, str], root: str, below: Mapping[str, Sequence[str]], limit: int | None) -> Iterator[str]:
    """Yield the lines of a tree, one more than the limit at most."""
    seen: set[str] = set()
    waiting = [("", "", root)]
    count = 0
    while waiting and (limit is None or count <= limit):
        start, indent, digest = waiting.pop()
        again = digest in seen and bool(below.get(digest))
        yield f"{start}{labels[digest]}{' (see above)' if again else ''}"
        count += 1
        if digest in seen:
            continue
        seen.add(digest)
        following = [each for each in below.get(digest, ()) if each in labels]
        main = next(
            (each for each in following if _line(labels[each]) == _line(labels[digest]) and each not in seen), None
        )
        branches = [each for each in following if each != main]
        if main is not None:
            waiting.append((indent, indent, main))
        for place in range(len(branches) - 1, -1, -1):
            last = main is None and place == len(branches) - 1
            waiting.append((f"{indent}{'└─' if last else '├─'}", f"{indent}{'  ' if last else '│ '}", branches[place]))


def _line(label: str) -> str:
    """Return what a label has in common with those of the same model."""
    return label.partition(" ")[2].rpartition(":")[0]


def svg(labels: Mapping[str, str], edges: Sequence[Edge]) -> str:
    """Return a drawing with children above their parents, every text of it escaped, without script or style sheet."""
    rows = _rows(labels, edges)
    widths = {digest: _LETTER * len(label) + 2 * _PAD for digest, label in labels.items()}
    places: dict[str, tuple[float, float]] = {}
    for depth, row in enumerate(rows):
        left = float(_PAD)
        for digest in row:
            places[digest] = (left + widths[digest] / 2, _PAD + _ROW * depth + 12)
            left += widths[digest] + _PAD
    wide = max((x + widths[digest] / 2 for digest, (x, _) in places.items()), default=0) + _PAD
    lines = "".join(_link(*places[edge.child], *places[edge.parent]) for edge in edges)
    boxes = "".join(_box(*places[digest], widths[digest], labels[digest]) for digest in places)
    size = f'width="{wide:.0f}" height="{_PAD + _ROW * len(rows):.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="monospace" font-size="12">{lines}{boxes}</svg>'


def _rows(labels: Mapping[str, str], edges: Sequence[Edge]) -> list[list[str]]:
    """Return the nodes by how far they are below what has no children here, so that every edge leads down."""
    below = grouped(edges)
    missing = dict.fromkeys(labels, 0)
    for edge in edges:
        missing[edge.parent] += 1
    depths = {digest: 0 for digest, count in missing.items() if not count}
    waiting = list(depths)
    for child in waiting:  # grows while it is gone through
        for parent in below.get(child, ()):
            depths[parent] = max(depths.get(parent, 0), depths[child] + 1)
            missing[parent] -= 1
            if not missing[parent]:
                waiting.append(parent)
    rows: list[list[str]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for digest in labels:
        rows[depths[digest]].append(digest)
    return rows


def _link(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1 + 12:.1f}" x2="{x2:.1f}" y2="{y2 - 12:.1f}" stroke="#888"/>'


def _box(x: float, y: float, width: float, label: str) -> str:
    place = f'x="{x - width / 2:.1f}" y="{y - 12:.1f}" width="{width:.1f}" height="24" rx="4"'
    rect = f'<rect {place} fill="#f4f4f4" stroke="#888"/>'
    return f'{rect}<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="#111">{html.escape(label)}</text>'
