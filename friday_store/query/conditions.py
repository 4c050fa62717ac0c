"""From a tree to SQL: fixed texts from the whitelist, and the values that they bind, in order.

No text of a user's becomes SQL: names of metrics, keys and values are bound, patterns are escaped, columns stand in
:mod:`friday_store.query.fields`. Everything is over ``model_metadata m``, and no condition is ever NULL.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from friday_store.index import mirror
from friday_store.query.tree import And, Compare, Descends, Field, Not, Or, Tree, Value

Bound = Value | None
_MANY: Final = {
    "tag": ("model_tags", "t.version_id = m.id", "t.tag"),
    "alias": ("model_aliases", "t.model_id = m.model_id", "t.alias"),
    "parent": ("model_parents", "t.version_id = m.id", "t.parent"),
}
_METRIC: Final = "SELECT 1 FROM model_metrics x WHERE x.version_id = m.id AND x.name = ? AND x.latest = 1"
DESCENDANTS: Final = """WITH RECURSIVE down (model_id) AS (
  SELECT d.model_id FROM model_parents p JOIN model_metadata d ON d.id = p.version_id WHERE p.parent = ?
  UNION SELECT d.model_id FROM down JOIN model_parents p ON p.parent = down.model_id
    JOIN model_metadata d ON d.id = p.version_id) SELECT model_id FROM down"""
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
Resolver = Callable[[str], str]


class Sql(NamedTuple):
    """A text with marks, and what is bound to them."""

    text: str
    values: tuple[Bound, ...] = ()


def joined(parts: Iterable[Sql], word: str, none: str) -> Sql:
    """Return conditions joined by AND or OR, in brackets; ``none`` if there are none."""
    listed = list(parts)
    if not listed:
        return Sql(none)
    text = f" {word} ".join(part.text for part in listed)
    return Sql(f"({text})", tuple(value for part in listed for value in part.values))


def condition(tree: Tree, resolve: Resolver) -> Sql:
    """Return the condition that a tree is.

    Args:
        tree: What was asked.
        resolve: Returns the id of the version that a revision names, or raises.
    """
    if isinstance(tree, And):
        return joined((condition(part, resolve) for part in tree.parts), "AND", "1 = 1")
    if isinstance(tree, Or):
        return joined((condition(part, resolve) for part in tree.parts), "OR", "1 = 0")
    if isinstance(tree, Not):
        inner = condition(tree.part, resolve)
        return Sql(f"NOT {inner.text}", inner.values)
    if isinstance(tree, Descends):
        return Sql(f"(m.model_id IN ({DESCENDANTS}))", (resolve(tree.revision),))
    return _tested(tree)


def _tested(test: Compare) -> Sql:
    of = test.field
    if of.kind == "many":
        table, link, column = _MANY[of.name]
        return _exists(Sql(f"SELECT 1 FROM {table} t WHERE {link}"), column, test)  # noqa: S608 - fixed text
    if of.kind == "metric":
        return _exists(Sql(_METRIC, (of.name,)), "+x.value", test)  # + : by the version, not by the value
    if of.kind == "path":
        return _followed(test)
    if test.operator == "null":
        return Sql("(1 = 0)")
    found = compared(column_of(of, test.operator), test)
    if of.name == "status" and test.operator == "=" and test.values != (mirror.STATUS,):
        return Sql(f"(m.status <> '{mirror.STATUS}' AND {found.text})", found.values)  # what its index holds
    return Sql(f"({found.text})", found.values)


def _exists(rows: Sql, column: str, test: Compare) -> Sql:
    """Return whether one of some rows meets a comparison; for ``null``, whether none has a value."""
    if test.operator == "null":
        return Sql(f"(NOT EXISTS ({rows.text} AND {column} IS NOT NULL))", rows.values)
    inner = compared(column, test)
    return Sql(f"(EXISTS ({rows.text} AND {inner.text}))", (*rows.values, *inner.values))


def column_of(of: Field, sign: str = "=") -> str:
    """Return the column that an operator looks at."""
    ordered = of.kind == "version" and sign in ("<", "<=", ">", ">=", "between")
    return "m.precedence" if ordered else f"m.{of.name}"


def compared(column: str, test: Compare) -> Sql:
    """Return a comparison of one column."""
    if test.operator == "in":
        return Sql(f"{column} IN ({', '.join('?' * len(test.values))})", test.values)
    if test.operator == "between":
        return Sql(f"{column} BETWEEN ? AND ?", test.values)
    if test.operator == "glob":
        return Sql(f"glob(?, {column})", test.values)
    if test.operator == "like":
        return Sql(f"glob(?, {column})", (globbed(str(test.values[0])),))
    return Sql(f"{column} {test.operator} ?", test.values)


def _followed(test: Compare) -> Sql:
    """Return a comparison with what stands at a path in a version's facts; its type must fit."""
    if test.operator == "null":
        return Sql("(coalesce(json_type(m.details, ?), 'null') = 'null')", (json_path(test.field.path),))
    if test.operator != "in":
        return _alike(test)
    groups: dict[str, list[Value]] = {}
    for value in test.values:
        groups.setdefault(_stored_as(value), []).append(value)
    return joined((_alike(Compare(test.field, "in", tuple(some))) for some in groups.values()), "OR", "1 = 0")


def _stored_as(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "number" if not isinstance(value, str) else "spelled" if "\0" in value else "text"


def _alike(test: Compare) -> Sql:
    """Return a comparison with values that are all stored as one kind."""
    path, first = json_path(test.field.path), test.values[0]
    if isinstance(first, bool):
        return Sql("(coalesce(json_type(m.details, ?), '') = ?)", (path, str(first).lower()))
    extra = _infinite(path, test)
    if _stored_as(first) == "spelled" and test.operator in ("=", "in"):
        spelled = [mirror.spelled_text(str(value)) for value in test.values]
        path, test = f'{path}."{spelled[0][0]}"', Compare(test.field, test.operator, tuple(text for _, text in spelled))
    text = isinstance(first, str)
    kinds = "= 'text'" if text else "IN ('integer', 'real')"
    found = compared("json_extract(m.details, ?)" if text else "CAST(json_extract(m.details, ?) AS NUMERIC)", test)
    values = (found.values[0], path) if test.operator in ("like", "glob") else (path, *found.values)
    # CASE, since AND promises no order, and what is no number cannot be cast everywhere
    whole = Sql(f"(CASE WHEN json_type(m.details, ?) {kinds} THEN {found.text} ELSE 1 = 0 END)", (path, *values))
    return joined([whole, *extra], "OR", "") if extra else whole


def _infinite(path: str, test: Compare) -> list[Sql]:
    """Return the condition that what stands at a path is an infinity that meets a test; JSON has them in words."""
    words = [str(number) for number in (math.inf, -math.inf) if _meets(number, test)]
    if not words:
        return []
    marks = ", ".join("?" * len(words))
    return [Sql(f"((json_extract(m.details, ?) IN ({marks})) IS TRUE)", (f'{path}."{mirror.FLOAT}"', *words))]


def _meets(number: float, test: Compare) -> bool:
    bounds = [value for value in test.values if not isinstance(value, str)]
    if not bounds:
        return False
    if test.operator == "between":
        return bounds[0] <= number <= bounds[1]
    return number in bounds if test.operator == "in" else bool(_ORDERS[test.operator](number, bounds[0]))


def json_path(path: tuple[str | int, ...]) -> str:
    """Return a path as SQL databases spell it; keys that they cannot spell are stored in another spelling."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{mirror.spelled(step)}"' for step in path)


def globbed(pattern: str) -> str:
    r"""Return a LIKE pattern (``%`` any text, ``_`` one character, ``\`` before one that is meant) as a GLOB one."""
    found, rest = [], iter(pattern)
    for char in rest:
        one = next(rest, "\\") if char == "\\" else char
        if one is char and char in "%_":
            found.append("*" if char == "%" else "?")
        else:
            found.append(f"[{one}]" if one in "*?[" else one)
    return "".join(found)
