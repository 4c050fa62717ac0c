"""Records: what the public API says about a version, as plain dicts that are the caller's to change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from friday_store.index import Index, VersionRow, mirror

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]

_CHUNK: Final = 500
_FRAME: Final = (
    "model_id", "model_name", "model_version", "model_type", "status", "tags", "aliases", "size_bytes", "serializer",
    "author", "created_at", "updated_at", "description",
)  # fmt: skip


class VersionRecord(dict[str, Any]):
    """A version's record: a plain dict, which a notebook shows as a page."""

    def _repr_html_(self) -> str:
        from friday_store.registry import notebook

        return notebook.version(self) if {"model_name", "model_id", "created_at"} <= self.keys() else ""


def moment(micros: int) -> dt.datetime:
    """Return a time of the index as an aware datetime."""
    return dt.datetime.fromtimestamp(micros // 1_000_000, dt.UTC) + dt.timedelta(microseconds=micros % 1_000_000)


def records(index: Index, rows: Sequence[VersionRow]) -> list[Record]:
    """Return the records of some versions, in their order, with few queries."""
    tags = _grouped(
        index, "SELECT version_id, tag FROM model_tags WHERE version_id IN (%s) ORDER BY tag", [r.id for r in rows]
    )
    parents = _grouped(
        index,
        "SELECT version_id, parent FROM model_parents WHERE version_id IN (%s) ORDER BY position",
        [r.id for r in rows],
    )
    aliases = _grouped(
        index,
        "SELECT model_id, alias FROM model_aliases WHERE model_id IN (%s) ORDER BY alias",
        [r.model_id for r in rows],
    )
    return [_record(row, tags.get(row.id, []), aliases.get(row.model_id, []), parents.get(row.id, [])) for row in rows]


def _grouped(index: Index, sql: str, keys: Sequence[Any]) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = {}
    for start in range(0, len(keys), _CHUNK):
        some = keys[start : start + _CHUNK]
        for key, value in index.rows(sql % ", ".join("?" * len(some)), tuple(some)):
            found.setdefault(key, []).append(str(value))
    return found


def _record(row: VersionRow, tags: list[str], aliases: list[str], parents: list[str]) -> Record:
    details = mirror.loaded(row.details)
    return VersionRecord({
        "model_id": row.model_id,
        "model_name": row.model_name,
        "model_version": row.model_version,
        "model_type": row.model_type,
        "description": row.description,
        "status": row.status,
        "tags": tags,
        "aliases": aliases,
        **{section: details.get(section, {}) for section in (*mirror.SECTIONS, *mirror.LATER)},
        "parents": parents,
        "author": row.author,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "size_bytes": row.size_bytes,
        "serializer": row.serializer,
        "artifact": row.artifact,
        "origin": row.origin,
        "id": row.model_id,
        "name": row.model_name,
        "version": row.model_version,
        "type": row.model_type,
    })  # fmt: skip


def columns(found: Sequence[Mapping[str, Any]]) -> tuple[list[str], Iterator[list[Any]]]:
    """Return the columns of a table of records, ``metrics.NAME`` among them, and its rows."""
    names = sorted({name for record in found for name in record["metrics"]})
    rows = ([*(record[key] for key in _FRAME), *(record["metrics"].get(name) for name in names)] for record in found)
    return [*_FRAME, *(f"metrics.{name}" for name in names)], rows


def frame(found: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return records as a DataFrame: one row each, metrics as columns ``metrics.NAME``; typed also when empty."""
    import pandas as pd

    listed = list(found)
    data = pd.DataFrame([{key: record[key] for key in _FRAME} for record in listed], columns=list(_FRAME))
    for column in ("created_at", "updated_at"):
        data[column] = pd.to_datetime(data[column], utc=True).dt.as_unit("us")
    data["size_bytes"] = data["size_bytes"].astype("int64")
    names = sorted({name for record in listed for name in record["metrics"]})
    metrics = pd.DataFrame(
        {f"metrics.{name}": [record["metrics"].get(name) for record in listed] for name in names}, dtype="float64"
    )
    return pd.concat([data, metrics], axis=1) if names else data
