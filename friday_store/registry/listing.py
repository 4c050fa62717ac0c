"""Which versions pass a filter. User input is bound, never written into SQL; columns come from a fixed list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from friday_store.errors import InvalidValueError
from friday_store.index import Index, VersionRow

_ORDERS: Final = {
    "name": "m.model_name",
    "version": "m.precedence",
    "created_at": "m.id",
    "updated_at": "m.updated_at",
    "size_bytes": "m.size_bytes",
    "status": "m.status",
    "author": "m.author",
    "model_type": "m.model_type",
}
_METRIC: Final = (
    "(SELECT x.value FROM model_metrics x WHERE x.version_id = m.id AND x.name = ? ORDER BY x.position DESC LIMIT 1)"
)
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
_BY_DEFAULT: Final = "ORDER BY m.model_name, m.precedence DESC, m.id DESC"


class Filters(TypedDict, total=False):
    """The keyword arguments of ``list_models``, but for the shape of its result."""

    tags: Iterable[str] | None
    require_all_tags: bool
    status: str | None
    model_type: str | None
    order_by: str | None
    limit: int | None


@dataclass(frozen=True)
class Filter:
    """The arguments of ``list_models``; see there."""

    name: str | None = None
    tags: tuple[str, ...] = ()
    all_tags: bool = True
    status: str | None = None
    model_type: str | None = None
    order_by: str | None = None
    limit: int | None = None


def listed(index: Index, wanted: Filter) -> list[VersionRow]:
    """Return the versions that pass, in order."""
    conditions, values = _conditions(wanted)
    order, ordering = _order(wanted.order_by)
    limit = ""
    if wanted.limit is not None:
        if type(wanted.limit) is not int or wanted.limit < 0:
            raise InvalidValueError(f"limit: a whole number from 0, not {wanted.limit!r}", path="limit")
        limit = f" LIMIT {wanted.limit}"
    return index.versions(" AND ".join(conditions) or "1 = 1", [*values, *ordering], order + limit)


def summaries(index: Index, wanted: Filter) -> list[dict[str, Any]]:
    """Return one summary per model over its versions that pass, sorted by name; times as the index has them."""
    conditions, values = _conditions(wanted)
    where = " AND ".join(conditions) or "1 = 1"
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
        sql, values = sql + " WHERE model_name GLOB ?", (pattern,)  # type: ignore[assignment]
    return [str(row[0]) for row in index.rows(sql + " ORDER BY model_name", values)]


def _conditions(wanted: Filter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    columns = (
        ("m.model_name GLOB ?", wanted.name),
        ("m.status = ?", wanted.status),
        ("m.model_type = ?", wanted.model_type),
    )
    for condition, value in columns:
        if value is not None:
            conditions.append(condition)
            values.append(str(value))
    if wanted.tags and wanted.all_tags:
        for tag in wanted.tags:
            conditions.append("EXISTS (SELECT 1 FROM model_tags t WHERE t.version_id = m.id AND t.tag = ?)")
            values.append(tag)
    elif wanted.tags:
        marks = ", ".join("?" * len(wanted.tags))
        conditions.append(f"EXISTS (SELECT 1 FROM model_tags t WHERE t.version_id = m.id AND t.tag IN ({marks}))")  # noqa: S608
        values += wanted.tags
    return conditions, values


def _order(text: str | None) -> tuple[str, list[str]]:
    if text is None:
        return _BY_DEFAULT, []
    name, direction = text.removeprefix("-"), "DESC" if text.startswith("-") else "ASC"
    if name.startswith("metrics.") and name != "metrics.":
        return f"ORDER BY {_METRIC} IS NULL, {_METRIC} {direction}, m.id DESC", [name.removeprefix("metrics.")] * 2
    if name not in _ORDERS:
        raise InvalidValueError(f"order_by: {text!r} is none of {', '.join(_ORDERS)} or metrics.NAME", path="order_by")
    return f"ORDER BY {_ORDERS[name]} {direction}, m.id DESC", []
