"""A lineage as a value: nodes, edges, and every form that they can be shown in."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Literal

from friday_store.lineage import drawing
from friday_store.lineage.drawing import Edge, grouped

Direction = Literal["ancestors", "descendants", "both"]
Kind = Literal["version", "deleted", "data", "unknown"]
_LINES: Final = 1000
_MOST: Final = 150


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

    def joined(self, other: Lineage) -> Lineage:
        """Return the nodes and edges of both, this one's first: of one root, ancestors and descendants."""
        nodes = {node.model_id: node for node in (*other.nodes, *self.nodes)}
        order = dict.fromkeys(node.model_id for node in (*self.nodes, *other.nodes))
        edges = tuple(dict.fromkeys((*self.edges, *other.edges)))
        return Lineage(self.root, "both", tuple(nodes[each] for each in order), edges)

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dict per node: its fields, and ``parents``."""
        parents = grouped(self.edges)
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

        Of both directions, one in which there is nothing is left out.

        Args:
            limit: At most so many lines; None for all.
        """
        made: list[str] = []
        sides = list(self._sides())
        if self.direction == "both":
            sides = [side for side in sides if side[1].get(self.root)]
        for caption, below in sides or [("", {})]:
            made += [f"{caption}:"] if caption and self.direction == "both" else []
            lines = list(drawing.tree(self._labels, self.root, below, limit))
            made += lines if limit is None else lines[:limit]
            if limit is not None and len(lines) > limit:
                made.append(f"… of {len(self)} in all")
        return "\n".join(made)

    def to_dot(self) -> str:
        """Return a graph for Graphviz; arrows go from child to parent."""
        nodes = [
            f'  "{node.model_id}" [label={drawing.quoted(node.label)}, shape={drawing.SHAPES[node.kind]}];'
            for node in self.nodes
        ]
        edges = [f'  "{edge.child}" -> "{edge.parent}";' for edge in self.edges]
        return "\n".join(["digraph lineage {", "  rankdir=BT;", *nodes, *edges, "}"]) + "\n"

    def to_mermaid(self) -> str:
        """Return a mermaid flowchart; arrows go from child to parent."""
        places = {node.model_id: f"n{place}" for place, node in enumerate(self.nodes)}
        nodes = [f'  {places[node.model_id]}["{drawing.entities(node.label)}"]' for node in self.nodes]
        edges = [f"  {places[edge.child]} --> {places[edge.parent]}" for edge in self.edges]
        return "\n".join(["flowchart BT", *nodes, *edges]) + "\n"

    def _repr_html_(self) -> str:
        if len(self) > _MOST:
            return f"<pre>{html.escape(self.to_text())}</pre>"
        return drawing.svg(self._labels, self.edges)

    @cached_property
    def _labels(self) -> dict[str, str]:
        """What stands at each node, with the mark of its kind."""
        return {node.model_id: f"{drawing.MARKS[node.kind]} {node.label}" for node in self.nodes}

    def __repr__(self) -> str:
        return self.to_text()

    def _sides(self) -> Iterator[tuple[str, Mapping[str, Sequence[str]]]]:
        if self.direction != "descendants":
            yield "ancestors", grouped(self.edges)
        if self.direction != "ancestors":
            yield "descendants", grouped(Edge(edge.parent, edge.child) for edge in self.edges)
