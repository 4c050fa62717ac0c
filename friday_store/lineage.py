"""Lineage: where versions came from and what came of them, across models, by parent digests.

A version names its parents by digest, so a parent can be a version that is here, one that was deleted, or anything
else with a digest, such as a data frame. What was deleted is followed for as long as its manifest is stored; what
came of a deleted version is only known through versions that are here.

The index answers with a recursive query, so ten thousand ancestors are one question; nothing here recurses.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

from friday_store.errors import IntegrityError, InvalidValueError, ModelNotFoundError
from friday_store.index import Index, VersionRow
from friday_store.repository import Repository

Direction = Literal["ancestors", "descendants", "both"]
Kind = Literal["version", "deleted", "data", "unknown"]

_DIRECTIONS: Final = ("ancestors", "descendants", "both")
_LINES: Final = 1000
_ANCESTORS: Final = """
WITH RECURSIVE up (model_id) AS (
  SELECT value FROM json_each(?)
  UNION SELECT p.parent FROM up JOIN model_metadata m ON m.model_id = up.model_id
    JOIN model_parents p ON p.version_id = m.id)
SELECT m.model_id, p.parent FROM up JOIN model_metadata m ON m.model_id = up.model_id
  JOIN model_parents p ON p.version_id = m.id ORDER BY m.id DESC, p.position
"""
_DESCENDANTS: Final = """
WITH RECURSIVE down (model_id) AS (
  SELECT value FROM json_each(?)
  UNION SELECT m.model_id FROM down JOIN model_parents p ON p.parent = down.model_id
    JOIN model_metadata m ON m.id = p.version_id)
SELECT m.model_id, p.parent FROM down JOIN model_parents p ON p.parent = down.model_id
  JOIN model_metadata m ON m.id = p.version_id ORDER BY m.id, p.position
"""
_DATA: Final = """
SELECT DISTINCT CAST(json_extract(m.details, '$.training_data.digest') AS TEXT) FROM model_parents p
  JOIN model_metadata m ON m.id = p.version_id WHERE p.parent IN (SELECT value FROM json_each(?))
"""
_NAMED: Final = """
SELECT m.model_id, m.model_name, m.model_version, m.status FROM json_each(?) e
  JOIN model_metadata m ON m.model_id = e.value
"""
_NEWEST: Final = """
SELECT m.model_id FROM json_each(?) e JOIN model_metadata m ON m.model_id = e.value ORDER BY m.id DESC LIMIT 1
"""


class Edge(NamedTuple):
    """A version and one of its parents, by digest."""

    child: str
    parent: str


@dataclass(frozen=True)
class Node:
    """One version, or whatever else is a parent.

    Attributes:
        model_id: Its digest.
        name: The model's name; empty where it is not known.
        version: The version; empty where it is not known.
        status: As last set; empty where it is no version that is here.
        kind: ``version``; ``deleted`` for one that is not here any more; ``data`` for what its child says it was
            trained on; ``unknown`` for any other digest.
    """

    model_id: str
    name: str = ""
    version: str = ""
    status: str = ""
    kind: Kind = "unknown"

    @property
    def label(self) -> str:
        """``name:version``, or what it is and its digest, shortened."""
        short = self.model_id[:12]
        if not self.name:
            return f"{self.kind} {short}"
        return f"{self.name}:{self.version}" + (f" (deleted, {short})" if self.kind == "deleted" else "")


@dataclass(frozen=True)
class Lineage:
    """A version with its ancestors, its descendants or both.

    Laws: edges are exactly the parents that versions were registered with; every end of an edge is a node.

    Attributes:
        root: The digest of the version that was asked about.
        direction: What was asked for.
        nodes: The root first, then the others, nearest first.
        edges: From child to parent; a child's in the order of its parents.
    """

    root: str
    direction: Direction
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __len__(self) -> int:
        """The number of nodes, the root included."""
        return len(self.nodes)

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        """The nodes by digest."""
        return {node.model_id: node for node in self.nodes}

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dict per node: its fields, and ``parents``."""
        parents = _grouped(self.edges)
        return [{**asdict(node), "parents": parents.get(node.model_id, [])} for node in self.nodes]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        edges = [edge._asdict() for edge in self.edges]
        return {"root": self.root, "direction": self.direction, "nodes": self.records(), "edges": edges}

    def to_json(self) -> str:
        """Return :meth:`as_dict` as JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def to_text(self, limit: int | None = _LINES) -> str:
        """Return a tree for people: ``●`` a version, ``○`` a deleted one, ``◇`` anything else.

        A model's own line goes straight down, and others branch off it before it goes on, so a long history is not
        pushed to the right. What has been drawn above is not drawn again.

        Args:
            limit: At most so many lines; None for all.
        """
        made: list[str] = []
        for caption, below in self._sides():
            made += [f"{caption}:"] if self.direction == "both" else []
            lines = list(_drawn(self.by_id, self.root, below, limit))
            made += lines if limit is None else lines[:limit]
            if limit is not None and len(lines) > limit:
                made.append(f"… of {len(self)} in all")
        return "\n".join(made)

    def to_dot(self) -> str:
        """Return a graph for Graphviz; arrows go from child to parent."""
        nodes = [
            f'  "{node.model_id}" [label={_quoted(node.label)}, shape={_SHAPES[node.kind]}];' for node in self.nodes
        ]
        edges = [f'  "{edge.child}" -> "{edge.parent}";' for edge in self.edges]
        return "\n".join(["digraph lineage {", "  rankdir=BT;", *nodes, *edges, "}"]) + "\n"

    def to_mermaid(self) -> str:
        """Return a mermaid flowchart; arrows go from child to parent."""
        places = {node.model_id: f"n{place}" for place, node in enumerate(self.nodes)}
        nodes = [f'  {places[node.model_id]}["{_entities(node.label)}"]' for node in self.nodes]
        edges = [f"  {places[edge.child]} --> {places[edge.parent]}" for edge in self.edges]
        return "\n".join(["flowchart BT", *nodes, *edges]) + "\n"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.to_text())}</pre>"

    def __str__(self) -> str:
        return self.to_text()

    def _sides(self) -> Iterator[tuple[str, Mapping[str, Sequence[str]]]]:
        if self.direction != "descendants":
            yield "ancestors", _grouped(self.edges)
        if self.direction != "ancestors":
            yield "descendants", _grouped(Edge(edge.parent, edge.child) for edge in self.edges)


_SHAPES: Final = {"version": "box", "deleted": "box, style=dashed", "data": "cylinder", "unknown": "ellipse"}
_MARKS: Final = {"version": "●", "deleted": "○", "data": "◇", "unknown": "◇"}


def _grouped(edges: Iterable[Edge]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for edge in edges:
        found.setdefault(edge.child, []).append(edge.parent)
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _entities(text: str) -> str:
    """Return a text for mermaid, which reads ``#NUMBER;`` as a character."""
    return "".join(char if char.isalnum() or char in " .:_-()/" else f"#{ord(char)};" for char in text)


def _drawn(
    nodes: Mapping[str, Node], root: str, below: Mapping[str, Sequence[str]], limit: int | None
) -> Iterator[str]:
    """Yield the lines of a tree, one more than the limit at most."""
    seen: set[str] = set()
    waiting = [("", "", root)]
    count = 0
    while waiting and (limit is None or count <= limit):
        start, indent, digest = waiting.pop()
        node = nodes[digest]
        again = digest in seen and bool(below.get(digest))
        yield f"{start}{_MARKS[node.kind]} {node.label}{' (see above)' if again else ''}"
        count += 1
        if digest in seen:
            continue
        seen.add(digest)
        following = [each for each in below.get(digest, ()) if each in nodes]
        main = next((each for each in following if nodes[each].name == node.name and each not in seen), None)
        branches = [each for each in following if each != main]
        if main is not None:
            waiting.append((indent, indent, main))
        for place in range(len(branches) - 1, -1, -1):
            last = main is None and place == len(branches) - 1
            waiting.append((f"{indent}{'└─' if last else '├─'}", f"{indent}{'  ' if last else '│ '}", branches[place]))


def lineage(
    repository: Repository, row: VersionRow, direction: Direction = "ancestors", depth: int | None = None
) -> Lineage:
    """Return where a version came from, what came of it, or both.

    Args:
        repository: Where it is.
        row: The version.
        direction: ``ancestors``, ``descendants`` or ``both``.
        depth: At most so many steps away; None for all.

    Raises:
        InvalidValueError: There is no such direction, or the depth is no whole number from 0.
    """
    if direction not in _DIRECTIONS:
        raise InvalidValueError(f"direction: {direction!r} is none of {', '.join(_DIRECTIONS)}", path="direction")
    if depth is not None and (type(depth) is not int or depth < 0):
        raise InvalidValueError(f"depth: a whole number from 0, not {depth!r}", path="depth")
    with repository.index.unlooking():
        edges: list[Edge] = []
        if direction != "descendants":
            edges += _near(_up(repository.index, row.model_id), row.model_id, depth)
        if direction != "ancestors":
            down = _down(repository.index, row.model_id)
            turned = _near([Edge(edge.parent, edge.child) for edge in down], row.model_id, depth)
            edges += [Edge(edge.parent, edge.child) for edge in turned]
        digests = dict.fromkeys([row.model_id, *_ends(edges)])
        return Lineage(row.model_id, direction, tuple(_nodes(repository.index, list(digests))), tuple(edges))


def common_ancestor(repository: Repository, one: VersionRow, other: VersionRow) -> Node | None:
    """Return the nearest version or digest that both come from, which can be one of the two; None if there is none.

    Of several that are equally near, the one that was registered last.
    """
    with repository.index.unlooking():
        sides = [_up(repository.index, row.model_id) for row in (one, other)]
        lines = [{row.model_id, *_ends(edges)} for row, edges in zip((one, other), sides, strict=True)]
        both = lines[0] & lines[1]
        nearest = sorted(both - {edge.parent for edge in sides[0] if edge.child in both})
        if not nearest:
            return None
        newest = repository.index.rows(_NEWEST, (json.dumps(nearest),))
        return _nodes(repository.index, [str(newest[0][0]) if newest else nearest[0]])[0]


def _ends(edges: Iterable[Edge]) -> Iterator[str]:
    return (end for edge in edges for end in edge)


def _up(index: Index, model_id: str) -> list[Edge]:
    """Return the edges above a version, through what was deleted where its manifest is still stored."""
    edges = _asked(index, _ANCESTORS, [model_id])
    looked: set[str] = set()
    while True:
        here = {edge.child for edge in edges} | looked
        ends = list(dict.fromkeys(edge.parent for edge in edges if edge.parent not in here))
        found: list[Edge] = []
        for digest in ends:
            looked.add(digest)
            found += [Edge(digest, parent.hex()) for parent in _parents(index, digest)]
        if not found:
            return edges
        edges += found
        edges = list(dict.fromkeys([*edges, *_asked(index, _ANCESTORS, [edge.parent for edge in found])]))


def _down(index: Index, model_id: str) -> list[Edge]:
    return _asked(index, _DESCENDANTS, [model_id])


def _asked(index: Index, sql: str, digests: list[str]) -> list[Edge]:
    return [Edge(str(child), str(parent)) for child, parent in index.rows(sql, (json.dumps(digests),))]


def _parents(index: Index, digest: str) -> tuple[bytes, ...]:
    """Return the parents of a version that is not in the index; none where its manifest is not here."""
    try:
        return index.manifest(bytes.fromhex(digest)).parents
    except (
        ModelNotFoundError,
        IntegrityError,
    ):  # no such object, one of another kind, or lost: its digest is all that is known
        return ()


def _near(edges: Sequence[Edge], root: str, depth: int | None) -> list[Edge]:
    """Return the edges within so many steps of the root, nearest first."""
    below = _grouped(edges)
    level, seen, found = [root], {root}, []
    while level and (depth is None or depth > 0):
        depth = None if depth is None else depth - 1
        following: list[str] = []
        for child in level:
            for parent in below.get(child, ()):
                found.append(Edge(child, parent))
                if parent not in seen:
                    seen.add(parent)
                    following.append(parent)
        level = following
    return found


def _nodes(index: Index, digests: list[str]) -> list[Node]:
    asked = json.dumps(digests)
    known = {
        str(model_id): Node(str(model_id), str(name), str(version), str(status), "version")
        for model_id, name, version, status in index.rows(_NAMED, (asked,))
    }
    strange = [digest for digest in digests if digest not in known]
    data = {str(found) for (found,) in index.rows(_DATA, (json.dumps(strange),))} if strange else set()
    return [known.get(digest) or _stranger(index, digest, data) for digest in digests]


def _stranger(index: Index, digest: str, data: set[str]) -> Node:
    """Return the node of a digest that no version here has."""
    try:
        manifest = index.manifest(bytes.fromhex(digest))
    except (
        ModelNotFoundError,
        IntegrityError,
    ):  # no such object, one of another kind, or lost: its digest is all that is known
        return Node(digest, kind="data" if digest in data else "unknown")
    return Node(digest, manifest.name, manifest.version, "", "deleted")
