"""What a query says, as frozen values: conditions joined by and, or and not.

A condition is true or false, never unknown. A comparison with what is not there is false; ``Not`` is its exact
opposite, so ``!=`` and ``not in`` also hold where nothing is there. Of a field with many values (tags, aliases,
parents) a comparison holds if one of them meets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Operator = Literal["=", "<", "<=", ">", ">=", "in", "between", "like", "glob", "null"]
Value = str | int | float | bool
Kind = Literal["text", "version", "number", "time", "many", "metric", "path"]


@dataclass(frozen=True)
class Field:
    """Something that versions have.

    Attributes:
        kind: What its values are, and so what they compare with. A ``path`` can be text, a number or a truth value.
        name: The column; for ``many`` the word; for ``metric`` the metric's name.
        path: For ``path``: the section, and the keys (text) and places (numbers) below it.
    """

    kind: Kind
    name: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Compare:
    """One comparison.

    Attributes:
        field: What is compared.
        operator: How; ``null`` asks if there is no value.
        values: With what, as the index has it: versions as their precedence for the operators of order, times as
            microseconds since 1970.
    """

    field: Field
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Descends:
    """Whether a version comes from the one that a revision names, however far."""

    revision: str


@dataclass(frozen=True)
class And:
    """All of them; none: true."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True)
class Or:
    """One of them; none: false."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Tree


Tree = Compare | Descends | And | Or | Not


def conjuncts(tree: Tree) -> Iterator[Tree]:
    """Iterate over the conditions that must all hold."""
    if isinstance(tree, And):
        for part in tree.parts:
            yield from conjuncts(part)
    else:
        yield tree
