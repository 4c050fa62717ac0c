"""Which versions pass a filter: the arguments of ``list_models`` as a query, and the summaries of models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from friday_store.index import Index, VersionRow
from friday_store.query import And, Compare, Tree, ordered, parse, search
from friday_store.query.conditions import Resolver, condition
from friday_store.query.fields import COLUMNS

_WILD: Final = frozenset("*?[")
_SUMMARY: Final = """
    SELECT model_name, model_version, model_id, precedence, versions, size, created, updated FROM (
      SELECT m.model_name, m.model_version, m.model_id, m.precedence,
        ROW_NUMBER() OVER (PARTITION BY m.model_name ORDER BY m.stable DESC, m.precedence DESC, m.id DESC) AS place,
        COUNT(*) OVER (PARTITION BY m.model_name) AS versions,
        SUM(m.size_bytes) OVER (PARTITION BY m.model_name) AS size,
        MIN(m.created_at) OVER (PARTITION BY m.model_name) AS created,
        MAX(m.updated_at) OVER (PARTITION BY m.model_name) AS updated
      FROM model_metadata m WHERE %s) ranked
    WHERE place = 1 ORDER BY model_name"""
_SUMMARY_TAGS: Final = """
    SELECT DISTINCT m.model_name, x.tag FROM model_tags x JOIN model_metadata m ON m.id = x.version_id
    WHERE %s ORDER BY m.model_name, x.tag"""
_SUMMARY_ALIASES: Final = """
    SELECT m.model_name, x.alias, m.model_version FROM model_aliases x JOIN model_metadata m ON m.model_id = x.model_id
    WHERE %s ORDER BY m.model_name, x.alias"""


class Filters(TypedDict, total=False):
    """The keyword arguments of ``list_models``, but for the shape of its result."""

    tags: Iterable[str] | None
    require_all_tags: bool
    status: str | None
    model_type: str | None
    where: str | None
    order_by: str | Iterable[str] | None
    limit: int | None


@dataclass(frozen=True)
class Filter:
    """Which versions; see ``list_models``."""

    name: str | None = None
    tags: tuple[str, ...] = ()
    all_tags: bool = True
    status: str | None = None
    model_type: str | None = None
    where: str | None = None

    def tree(self) -> Tree:
        """Return it as a query.

        Raises:
            QueryError: ``where`` cannot be understood.
        """
        parts: list[Tree] = []
        if self.name is not None:
            parts.append(named(self.name))
        if self.tags and self.all_tags:
            parts += [Compare(COLUMNS["tag"], "=", (tag,)) for tag in self.tags]
        elif self.tags:
            parts.append(Compare(COLUMNS["tag"], "in", self.tags))
        for field, value in (("status", self.status), ("type", self.model_type)):
            if value is not None:
                parts.append(Compare(COLUMNS[field], "=", (str(value),)))
        return And((*parts, *([parse(self.where)] if self.where is not None else [])))


def named(pattern: str) -> Compare:
    """Return the condition that a model's name is, or matches where it is a glob."""
    return Compare(COLUMNS["name"], "glob" if _WILD & set(pattern) else "=", (pattern,))


def listed(
    index: Index, wanted: Filter, resolve: Resolver, order_by: str | Iterable[str] | None, limit: int | None
) -> list[VersionRow]:
    """Return the versions that pass, in order."""
    return search(index, wanted.tree(), resolve, order=ordered(index, order_by), limit=limit).rows


def summaries(index: Index, wanted: Filter, resolve: Resolver) -> list[dict[str, Any]]:
    """Return one summary per model over its versions that pass, sorted by name; times as the index has them."""
    where, values = condition(wanted.tree(), resolve)
    found: dict[str, dict[str, Any]] = {}
    for name, version, model_id, precedence, count, size, created, updated in index.rows(_SUMMARY % where, values):
        found[name] = {
            "model_name": name,
            "model_version": version,
            "model_id": model_id,
            "versions": count,
            "aliases": {},
            "tags": [],
            "size_bytes": size,
            "created_at": created,
            "updated_at": updated,
            "precedence": precedence,
        }
    for name, tag in index.rows(_SUMMARY_TAGS % where, values):
        found[name]["tags"].append(tag)
    for name, alias, version in index.rows(_SUMMARY_ALIASES % where, values):
        found[name]["aliases"][alias] = version
    return list(found.values())


def names(index: Index, pattern: str | None) -> list[str]:
    """Return the names of models that match a glob, sorted."""
    sql, values = "SELECT DISTINCT model_name FROM model_metadata", ()
    if pattern is not None:
        sql, values = sql + " WHERE glob(?, model_name)", (pattern,)  # type: ignore[assignment]
    return [str(row[0]) for row in index.rows(sql + " ORDER BY model_name", values)]
