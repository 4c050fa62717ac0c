"""Answering a query from the index: one of three ways, chosen by how many versions its conditions leave.

- **Led**: the condition that the fewest versions meet (a tag, an alias, a status, a name, a bound of a metric, a
  descent) gives them, and the rest is checked on each; they are counted first, up to :data:`WIDE`, and where there are
  very many versions up to one in :data:`SHARE` of all: at 650,000, with a tag of 6,500 that lie together in the order
  by name, walking took 900 ms of processor time.
- **Walked**: where all of them are wide and only some rows are wanted, the versions are gone through in the order that
  is asked for, which the index has for names, for registration and for each metric, until there are enough.
- **Sorted**: everything else.

Measured at 100,000 versions on 2 cores: see the table in the README.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from friday_store.errors import InvalidValueError
from friday_store.index import Index, VersionRow, mirror
from friday_store.query.conditions import DESCENDANTS, Bound, Resolver, Sql, compared, condition, joined
from friday_store.query.order import Order
from friday_store.query.tree import Compare, Descends, Tree, conjuncts

WIDE: Final = 4000
SHARE: Final = 50
_WIDEST: Final = 5 * WIDE
_CHUNK: Final = 500
_VALUES: Final = "(SELECT version_id AS id, name, value FROM model_metrics WHERE latest = 1)"
_LOOKING: Final = re.compile(r"\bm\.(?!id\b)")
_TOGETHER: Final = {
    "tag": ("d.tag", "SELECT d.version_id FROM model_tags d WHERE "),
    "parent": ("d.parent", "SELECT d.version_id FROM model_parents d WHERE "),
    "alias": (
        "a.alias",
        "SELECT d.id FROM model_aliases a JOIN model_metadata d ON d.model_id = a.model_id WHERE ",
    ),
}


@dataclass(frozen=True)
class Found:
    """A page of versions.

    Attributes:
        rows: They, in order.
        after: Where the page ended, for the next one; None if it was the last.
    """

    rows: list[VersionRow]
    after: str | None = None


def search(
    index: Index,
    tree: Tree,
    resolve: Resolver,
    *,
    order: Order | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Found:
    """Return the versions that meet a condition, in order.

    Args:
        index: Where to ask.
        tree: The condition.
        resolve: Returns the id of the version that a revision names, or raises.
        order: Their order; None: by name, then from the highest version down.
        limit: At most so many; None for all.
        after: Begin after where another page ended.

    Raises:
        InvalidValueError: ``limit`` or ``after`` cannot be.
        ModelNotFoundError: A revision in the condition names nothing.
    """
    if limit is not None and (type(limit) is not int or not 0 <= limit < 1 << 62):
        raise InvalidValueError(f"limit: a whole number from 0, not {limit!r}", path="limit")
    order = order or Order()
    start = None if after is None else order.opened(after)
    with index.glance():
        found = _Search(index, tree, resolve, order, None if limit is None else limit + 1).keyed(start)
        more = limit is not None and len(found) > limit
        found = found[:limit]
        rows = _rows(index, [int(row[0]) for row in found])
    ended = order.cursor(found[-1][1:], found[-1][0]) if more and found else None
    return Found(rows, ended)


def _rows(index: Index, ids: Sequence[int]) -> list[VersionRow]:
    """Return rows in the order of their ids, without those that went away meanwhile."""
    known: dict[int, VersionRow] = {}
    for at in range(0, len(ids), _CHUNK):
        some = ids[at : at + _CHUNK]
        known |= {row.id: row for row in index.versions(f"m.id IN ({', '.join('?' * len(some))})", some)}
    return [known[one] for one in ids if one in known]


class _Search:
    """One question; gives ids and the values of the order's keys."""

    def __init__(self, index: Index, tree: Tree, resolve: Resolver, order: Order, limit: int | None) -> None:
        self._index = index
        self._parts = list(conjuncts(tree))
        self._resolve = resolve
        self._order = order
        self._limit = limit

    def keyed(self, start: tuple[tuple[Bound, ...], int] | None) -> list[tuple[Any, ...]]:
        """Return id and keys of the rows after a place."""
        lead = self._lead()
        if lead is None and self._limit is not None and self._order.keys[0].field.kind == "metric":
            return self._walk_metric(start)
        if lead is None:
            return self._asked("model_metadata m", [], self._parts, start)
        part, ids = lead
        rest = [other for other in self._parts if other is not part]
        return self._asked("model_metadata m", [Sql(f"m.id IN ({ids.text})", ids.values)], rest, start)

    def _lead(self) -> tuple[Tree, Sql] | None:
        """Return the condition that the fewest versions meet, if they are few, and their ids."""
        best, _ = self._fewest(WIDE)
        if best is None and self._limit is not None:
            best, count = self._fewest(_WIDEST)
            if best is not None and not self._more_than(SHARE * count):
                best = None
        return best

    def _more_than(self, count: int) -> bool:
        """Whether there are more versions than this; so many are counted, and not all."""
        text = f"SELECT count(*) FROM (SELECT 1 FROM model_metadata m LIMIT {count + 1}) c"  # noqa: S608 - a number
        return int(self._index.rows(text)[0][0]) > count

    def _fewest(self, least: int) -> tuple[tuple[Tree, Sql] | None, int]:
        """Return the condition that the fewest versions meet, if fewer than ``least``, and how many they are."""
        best = None
        for part in sorted(self._parts, key=_is_metric):  # those are counted row by row: only if nothing else leads
            if _is_metric(part) and (best is not None or least > WIDE):
                break
            ids = _leading(part, self._resolve)
            if ids is not None:
                text = f"SELECT count(*) FROM (SELECT 1 FROM ({ids.text}) i LIMIT {least}) c"  # noqa: S608 - fixed text
                count = int(self._index.rows(text, ids.values)[0][0])
                if count < least:
                    best, least = (part, ids), count
        return best, least

    def _walk_metric(self, start: tuple[tuple[Bound, ...], int] | None) -> list[tuple[Any, ...]]:
        """Go through the values of the metric that comes first in the order, then through what has none."""
        name = self._order.keys[0].field.name
        bounds = [part for part in self._parts if _bounds(part, name)]
        rest = [part for part in self._parts if part not in bounds]
        one, source, linked = "m", f"{_VALUES} m", ""
        if self._looks(rest, self._order.columns()[1:]):
            one, source, linked = "x", f"{_VALUES} x CROSS JOIN model_metadata m", "m.id = x.id AND "  # in this order
        having = [Sql(f"{linked}{one}.name = ? AND {one}.value IS NOT NULL", (name,))]
        having += [compared(f"{one}.value", part) for part in bounds if isinstance(part, Compare)]
        found: list[tuple[Any, ...]] = []
        if start is None or start[0][0] is not None:
            found = self._asked(source, having, rest, start, first=f"{one}.value", last=f"{one}.id")
            start = None
        if bounds or (self._limit is not None and len(found) >= self._limit):
            return found
        without = Sql(
            "NOT EXISTS (SELECT 1 FROM model_metrics x WHERE x.version_id = m.id AND x.name = ? AND x.latest = 1 "
            "AND +x.value IS NOT NULL)",  # + : by the version, not by the value
            (name,),
        )
        left = None if self._limit is None else self._limit - len(found)
        return found + self._asked("model_metadata m", [without], self._parts, start, limit=left)

    def _looks(self, parts: list[Tree], columns: Sequence[tuple[Sql, bool, bool]]) -> bool:
        """Whether conditions or an order look at more of a version's row than its number."""
        texts = [condition(part, self._resolve).text for part in parts] + [term.text for term, _, _ in columns]
        return any(_LOOKING.search(text) for text in texts)

    def _asked(
        self,
        source: str,
        having: list[Sql],
        parts: list[Tree],
        start: tuple[tuple[Bound, ...], int] | None,
        *,
        first: str | None = None,
        last: str = "m.id",
        limit: int | None = None,
    ) -> list[tuple[Any, ...]]:
        columns = self._order.columns()
        if first is not None:
            columns[0] = (Sql(first), columns[0][1], False)
        where = joined([*having, *(condition(part, self._resolve) for part in parts)], "AND", "1 = 1")
        terms, values = [], list[Bound]()
        for place, (term, _, _) in enumerate(columns):
            terms.append(f", {term.text} AS k{place}")
            values += term.values
        text = f"SELECT {last} AS id{''.join(terms)} FROM {source} WHERE {where.text}"  # noqa: S608 - fixed text
        values += where.values
        if start is not None:
            past = _past([(f"k{place}", down, gaps) for place, (_, down, gaps) in enumerate(columns)], *start)
            text = f"SELECT * FROM ({text}) page WHERE {past.text}"  # noqa: S608 - fixed text
            values += past.values
        elif any(gaps for _, _, gaps in columns):
            text = f"SELECT * FROM ({text}) page"  # noqa: S608 - PostgreSQL sorts by no expression of a name given here
        text += " ORDER BY " + ", ".join([*_sorted(columns), "id DESC"])
        wanted = self._limit if limit is None else limit
        if wanted is not None:
            text += " LIMIT ?"
            values.append(wanted)
        return self._index.rows(text, tuple(values))


def _sorted(columns: Sequence[tuple[Sql, bool, bool]]) -> Iterator[str]:
    for place, (_, down, gaps) in enumerate(columns):
        if gaps:
            yield f"k{place} IS NULL"
        yield f"k{place} {'DESC' if down else 'ASC'}"


def _past(columns: Sequence[tuple[str, bool, bool]], values: Sequence[Bound], identity: int) -> Sql:
    """Return whether a row comes after the one with these values; the first bound is said twice, for its index."""
    later = Sql("id < ?", (identity,))
    for (column, down, gaps), value in reversed(list(zip(columns, values, strict=True))):
        if value is None:
            later = Sql(f"({column} IS NULL AND {later.text})", later.values)
            continue
        sign = "<" if down else ">"
        missing = f" OR {column} IS NULL" if gaps else ""
        later = Sql(f"({column} {sign} ?{missing} OR ({column} = ? AND {later.text}))", (value, value, *later.values))
    column, down, gaps = columns[0]
    if gaps or values[0] is None:
        return later
    return Sql(f"({column} {'<=' if down else '>='} ? AND {later.text})", (values[0], *later.values))


def _bounds(part: Tree, metric: str) -> bool:
    return (
        isinstance(part, Compare)
        and part.field.kind == "metric"
        and part.field.name == metric
        and part.operator != "null"
    )


def _leading(part: Tree, resolve: Resolver) -> Sql | None:
    """Return the ids of the versions that meet a condition, where an index has them together."""
    if isinstance(part, Descends):
        text = f"SELECT d.id FROM model_metadata d WHERE d.model_id IN ({DESCENDANTS})"  # noqa: S608 - fixed text
        return Sql(text, (resolve(part.revision),))
    if not isinstance(part, Compare) or part.operator == "null":
        return None
    of, start, exact = part.field, _start(part), part.operator in ("=", "in")
    if of.kind == "many":
        column, text = _TOGETHER[of.name]
    elif of.kind == "metric":
        column, text = "d.value", "SELECT d.version_id FROM model_metrics d WHERE d.name = ? AND d.latest = 1 AND "
    elif of.name in ("model_name", "model_id") and (exact or start):
        column, text = f"d.{of.name}", "SELECT d.id FROM model_metadata d WHERE "
    elif of.name == "status" and part.operator == "=" and part.values != (mirror.STATUS,):
        column, text = "d.status", f"SELECT d.id FROM model_metadata d WHERE d.status <> '{mirror.STATUS}' AND "  # noqa: S608
    else:
        return None
    found = compared(column, part)
    if start:
        found = Sql(f"{column} >= ? AND {column} < ? AND {found.text}", (start, f"{start}\U0010ffff", *found.values))
    return Sql(text + found.text, (*([of.name] if of.kind == "metric" else []), *found.values))


def _is_metric(part: Tree) -> bool:
    return isinstance(part, Compare) and part.field.kind == "metric"


def _start(part: Compare) -> str:
    """Return what every text that matches a pattern begins with; empty for what is no pattern."""
    if part.operator not in ("like", "glob"):
        return ""
    pattern = str(part.values[0])
    return re.split(r"[%_\\]" if part.operator == "like" else r"[*?\[]", pattern, maxsplit=1)[0]
