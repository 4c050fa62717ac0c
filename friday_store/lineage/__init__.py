"""Lineage: where versions came from and what came of them, across models, by parent digests.

A version names its parents by digest, so a parent can be a version that is here, one that was deleted, or anything
else with a digest, such as a data frame. What was deleted is followed for as long as its manifest is stored; what
came of a deleted version is only known through versions that are here.

The index answers with a recursive query, so ten thousand ancestors are one question; nothing here recurses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from friday_store.errors import IntegrityError, InvalidValueError, ModelNotFoundError
from friday_store.index import Index, VersionRow
from friday_store.lineage.drawing import Edge, grouped
from friday_store.lineage.graph import Direction, Lineage, Node
from friday_store.repository import Repository

__all__ = ["Direction", "Edge", "Lineage", "Node", "common_ancestor", "lineage"]

_DIRECTIONS: Final = ("ancestors", "descendants", "both")
_ANCESTORS: Final = """
WITH RECURSIVE up (model_id) AS (
  SELECT CAST(value AS TEXT) FROM json_each(?)
  UNION SELECT p.parent FROM up JOIN model_metadata m ON m.model_id = up.model_id
    JOIN model_parents p ON p.version_id = m.id)
SELECT m.model_id, p.parent FROM up JOIN model_metadata m ON m.model_id = up.model_id
  JOIN model_parents p ON p.version_id = m.id ORDER BY m.id DESC, p.position
"""
_DESCENDANTS: Final = """
WITH RECURSIVE down (model_id) AS (
  SELECT CAST(value AS TEXT) FROM json_each(?)
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
    with repository.index.glance():
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
    with repository.index.glance():
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
    below = grouped(edges)
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
