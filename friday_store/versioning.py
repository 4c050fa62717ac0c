"""Versioning: the history of models, who did what and when, and what the next version should be called."""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from friday_store import comparison, lineage, refs
from friday_store.comparison import Comparison
from friday_store.comparison.table import plain
from friday_store.comparison.versions import difference, percent, same
from friday_store.errors import InvalidValueError, ModelNotFoundError
from friday_store.index import VersionRow, mirror
from friday_store.index.mirror import SECTIONS
from friday_store.lineage import Direction, Lineage
from friday_store.log import LogEntry
from friday_store.refs import Ref
from friday_store.registry import ModelRegistry
from friday_store.registry.bumping import Bump, suggested
from friday_store.registry.records import Record, moment, records

if TYPE_CHECKING:
    import pandas as pd

_TWICE: Final = ("id", "name", "version", "type")
_METRICS: Final = """
SELECT m.model_version, m.model_id, x.name, x.time, x.step, x.value FROM model_metadata m
  JOIN model_metrics x ON x.version_id = m.id WHERE m.model_name = ? AND (CAST(? AS TEXT) IS NULL OR x.name = ?)
  ORDER BY x.time, m.id, x.position
"""
_OBSERVED: Final = {
    "model_version": "str", "model_id": "str", "metric": "str", "time": "datetime64[us, UTC]", "step": "Int64",
    "value": "float64",
}  # fmt: skip
_LOGGED: Final = {
    "seq": "int64", "time": "datetime64[us, UTC]", "actor": "str", "message": "str", "origin": "str",
    "models": "str", "changes": "int64",
}  # fmt: skip


@dataclass(frozen=True)
class VersionDiff:
    """What differs between the records of two versions: as unified text, and fact by fact.

    Attributes:
        text: A unified diff of the two records as JSON with sorted keys; empty if they are equal.
        comparison: The same, structured, without what is equal.
    """

    text: str
    comparison: Comparison

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.text)

    def __str__(self) -> str:
        return self.text


class ModelVersioning:
    """The history of a registry's models.

    Args:
        registry: Which; None: the default registry.
    """

    def __init__(self, registry: ModelRegistry | None = None) -> None:
        self.registry = registry if registry is not None else ModelRegistry()

    @property
    def _index(self) -> Any:
        return self.registry.repository.index

    def get_latest_version(self, model_name: str) -> str:
        """Return the highest version by semver precedence; see :meth:`ModelRegistry.get_latest_version`."""
        return self.registry.get_latest_version(model_name)

    def get_model_lineage(
        self, revision: str, direction: Direction = "ancestors", depth: int | None = None, *, version: str | None = None
    ) -> Lineage:
        """Return where a version came from, what came of it, or both; see :mod:`friday_store.lineage`."""
        return lineage.lineage(self.registry.repository, self._row(revision, version), direction, depth)

    def compare_model_versions(self, model_name: str, v1: str, v2: str) -> Comparison:
        """Return two versions of a model side by side."""
        return comparison.compare(self._records(model_name, v1, v2))

    def create_version_diff(self, model_name: str, v1: str, v2: str) -> VersionDiff:
        """Return what differs between the records of two versions of a model."""
        return self.record_diff(*(self._row(model_name, version).model_id for version in (v1, v2)))

    def record_diff(self, a: str, b: str) -> VersionDiff:
        """Return what differs between the records of two versions, by their revisions."""
        found = records(self._index, [self._row(revision) for revision in (a, b)])
        one, other = (_canonical(record) for record in found)
        old, new = (f"{record['model_name']}:{record['model_version']}" for record in found)
        text = "\n".join(difflib.unified_diff(one, other, old, new, lineterm=""))
        return VersionDiff(text, comparison.compare(found, only_differences=True))

    def time_difference(self, a: str, b: str) -> dt.timedelta:
        """Return how long after ``a`` the version ``b`` was made; negative if it was before."""
        one, other = self._row(a), self._row(b)
        return dt.timedelta(microseconds=other.created_at - one.created_at)

    def get_version_history(self, model_name: str) -> list[Record]:
        """Return the records of all versions in the order in which they were registered, each with what changed.

        Its keys beside a record's: ``previous`` (the version registered before; None for the first),
        ``since_previous`` (a timedelta) and ``metric_changes``: for each metric that differs a dict of ``before``,
        ``after``, ``difference`` and ``percent``, None where undefined.

        Raises:
            ModelNotFoundError: There is no such model.
        """
        self.get_latest_version(model_name)
        rows = self._index.versions("m.model_name = ?", (model_name,), "ORDER BY m.id")
        found = records(self._index, rows)
        return [_changed(record, found[place - 1] if place else None) for place, record in enumerate(found)]

    def get_metric_history(self, model_name: str, metric: str | None = None) -> pd.DataFrame:
        """Return :meth:`metric_observations` as a DataFrame, typed also when it is empty."""
        import pandas as pd

        return _typed(pd.DataFrame(self.metric_observations(model_name, metric), columns=list(_OBSERVED)), _OBSERVED)

    def metric_observations(self, model_name: str, metric: str | None = None) -> list[Record]:
        """Return every observation of a metric, or of all, over all versions of a model, oldest first.

        Its keys: ``model_version``, ``model_id``, ``metric``, ``time``, ``step`` and ``value``; the last two are None
        where there is no number.

        Raises:
            ModelNotFoundError: There is no such model.
        """
        self.get_latest_version(model_name)
        found = self._index.rows(_METRICS, (model_name, metric, metric))
        return [{**dict(zip(_OBSERVED, row, strict=True)), "time": moment(row[3])} for row in found]

    def get_status_history(self, model_name: str) -> list[Record]:
        """Return every change of status of every version, oldest first.

        Its keys: ``model_version``, ``model_id``, ``status``, ``reason``, ``author``, ``time``.
        """
        versions = self.registry.get_model_versions(model_name)
        found = [
            {"model_version": record["model_version"], "model_id": record["model_id"], **change}
            for record in versions
            for change in self.registry.get_status_history(record["model_id"])
        ]
        return sorted(found, key=lambda change: change["time"])

    def alias_history(self, model_name: str, alias: str) -> list[Record]:
        """Return where an alias pointed, oldest first: one record for each time that it moved.

        Its keys: ``since``, ``until`` (None while it holds), ``model_id`` and ``model_version`` (None when it was
        removed), ``actor``, ``message``, ``seq``.

        Raises:
            ModelNotFoundError: There never was such an alias.
        """
        ref = str(Ref("aliases", refs.check_name(model_name, "model name"), refs.check_name(alias, "alias")))
        moves = [(entry, new) for entry in self._entries() for moved, _, new in entry.refs if moved == ref]
        if not moves:
            raise ModelNotFoundError(
                f"model {model_name!r} never had an alias {alias!r}", hint=f"friday-store alias {model_name}"
            )
        untils = [None, *(moment(entry.time) for entry, _ in moves)]
        found = [self._pointed(entry, new, until) for (entry, new), until in zip(moves, untils, strict=False)]
        return found[::-1]

    def alias_at(self, model_name: str, alias: str, time: dt.datetime) -> Record | None:
        """Return the record of :meth:`alias_history` that held at a time; None if the alias pointed nowhere then."""
        when = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
        held = [record for record in self.alias_history(model_name, alias) if record["since"] <= when]
        return held[-1] if held and held[-1]["model_id"] is not None else None

    def log(self, model_name: str | None = None, *, limit: int | None = None) -> list[Record]:
        """Return who did what and when, newest first: one record per transaction.

        Its keys: ``seq``, ``time``, ``actor``, ``message``, ``origin`` (where its objects were copied from; empty for
        here) and ``changes``, each a dict of ``what`` (``version``, ``alias``, ``tag`` or ``note``), ``model_name``,
        ``name`` (the alias or tag; empty for others), ``model_version`` (None for an alias), ``before`` and ``after``
        (digests in hex; None for absent).

        Args:
            model_name: Only what concerns this model, and of each transaction only its changes; None for all.
            limit: At most so many.
        """
        if limit is not None and (type(limit) is not int or limit < 0):
            raise InvalidValueError(f"limit: a whole number from 0, not {limit!r}", path="limit")
        found: list[Record] = []
        for entry in self._entries():
            if limit is not None and len(found) >= limit:
                break
            changes = [_change(*move) for move in entry.refs]
            changes = [change for change in changes if model_name in (None, change["model_name"])]
            if changes or model_name is None:
                found.append({**_who(entry), "origin": entry.origin, "time": moment(entry.time), "changes": changes})
        return found

    def log_frame(self, model_name: str | None = None, *, limit: int | None = None) -> pd.DataFrame:
        """Return :meth:`log` as a DataFrame; ``models`` are names joined by blanks and ``changes`` a number."""
        import pandas as pd

        found = [
            {**entry, "models": " ".join(dict.fromkeys(change["model_name"] for change in entry["changes"])),
             "changes": len(entry["changes"])}
            for entry in self.log(model_name, limit=limit)
        ]  # fmt: skip
        return _typed(pd.DataFrame(found, columns=list(_LOGGED)), _LOGGED)

    def blame(self, revision: str, parameter: str) -> Record:
        """Return the version that introduced the present value of a parameter, along first parents.

        Its keys: ``parameter``, ``value``, ``model_id``, ``model_name``, ``model_version``, ``author``, ``time``,
        ``previous`` (the value before; None if there was none) and ``previous_id`` (the version that had it; None
        if this is the first). The walk ends at a version that is not here any more.

        Args:
            revision: Whose value.
            parameter: A hyperparameter, or a dotted path into a section such as ``metadata.owner``.

        Raises:
            ModelNotFoundError: It has no such parameter.
        """
        with self._index.glance():
            here = self._row(revision)
            value = _looked_up(here, parameter)
            if value is _ABSENT:
                raise _no_parameter(here, parameter)
            before: VersionRow | None = self._first_parent(here)
            while before is not None and same(_looked_up(before, parameter), value):
                here, before = before, self._first_parent(before)
        previous = _ABSENT if before is None else _looked_up(before, parameter)
        return {
            "parameter": parameter,
            "value": value,
            "model_id": here.model_id,
            "model_name": here.model_name,
            "model_version": here.model_version,
            "author": here.author,
            "time": moment(here.created_at),
            "previous": None if previous is _ABSENT else previous,
            "previous_id": None if before is None else before.model_id,
        }

    def tag_version(self, revision: str, version_or_tag: str, tag: str | None = None) -> None:
        """Give a version a tag: ``(revision, tag)`` or ``(name, version, tag)``; nothing happens if it has it."""
        self.registry.add_tag(*self._tagged(revision, version_or_tag, tag))

    def untag_version(self, revision: str, version_or_tag: str, tag: str | None = None) -> None:
        """Take a tag from a version, addressed as for :meth:`tag_version`; nothing happens if it does not have it."""
        self.registry.remove_tag(*self._tagged(revision, version_or_tag, tag))

    def get_versions_by_tag(self, tag: str, model_name: str | None = None) -> list[Record]:
        """Return the records of all versions with a tag, of one model or of all, by name and newest first."""
        return self.registry.list_models(model_name, tags=[tag])

    def suggest_bump(self, revision: str, new_record: Mapping[str, Any]) -> Bump:
        """Return which part of the version should move from a version to what is described by a record.

        ``major`` when the algorithm changed or an input feature went away, ``minor`` when a feature was added or
        hyperparameters changed, else ``patch``.

        Args:
            revision: The version before.
            new_record: Of the one to come: ``model_type`` (or ``type``), ``pipeline_steps``, ``input_schema``,
                ``hyperparameters``; what is missing counts as unchanged.
        """
        given = {"model_type": new_record["type"], **new_record} if "type" in new_record else new_record
        return suggested(self.registry.get_model_metadata(revision), given)

    def _row(self, revision: str, version: str | None = None) -> VersionRow:
        if version is None:
            return self.registry.resolve(revision)
        refs.check_name(revision, "model name")
        return self.registry.resolve(f"{revision}:{version}")

    def _records(self, model_name: str, *versions: str) -> list[Record]:
        return records(self._index, [self._row(model_name, version) for version in versions])

    def _tagged(self, revision: str, version_or_tag: str, tag: str | None) -> tuple[str, str]:
        if tag is None:
            return revision, version_or_tag
        return self._row(revision, version_or_tag).model_id, tag

    def _entries(self) -> Iterator[LogEntry]:
        repository = self.registry.repository
        repository.index.catch_up()
        return repository.log.backwards(repository.index.seq)

    def _pointed(self, entry: LogEntry, digest: bytes | None, until: dt.datetime | None) -> Record:
        return {
            "since": moment(entry.time),
            "until": until,
            "model_id": None if digest is None else digest.hex(),
            "model_version": None if digest is None else self._index.manifest(digest).version,
            **_who(entry),
        }

    def _first_parent(self, row: VersionRow) -> VersionRow | None:
        sql = "SELECT parent FROM model_parents WHERE version_id = ? ORDER BY position LIMIT 1"
        parents = self._index.rows(sql, (row.id,))
        found = self._index.versions("m.model_id = ?", (parents[0][0],)) if parents else []
        return found[0] if found else None


class _Absent:
    """No value at all."""


_ABSENT: Final = _Absent()


def _canonical(record: Record) -> list[str]:
    """Return the lines of a record as JSON, without its second spellings."""
    shown = {key: value for key, value in record.items() if key not in _TWICE}
    return json.dumps(plain(shown), indent=2, sort_keys=True, ensure_ascii=False).splitlines()


def _changed(record: Record, before: Record | None) -> Record:
    old = {} if before is None else before["metrics"]
    new = record["metrics"]
    changes = {
        name: {
            "before": old.get(name),
            "after": new.get(name),
            "difference": difference(old.get(name), new.get(name)),
            "percent": percent(old.get(name), new.get(name)),
        }
        for name in dict.fromkeys((*old, *new))
        if before is not None and not same(old.get(name), new.get(name))
    }
    since = None if before is None else record["created_at"] - before["created_at"]
    previous = None if before is None else before["model_version"]
    return {**record, "previous": previous, "since_previous": since, "metric_changes": changes}


def _who(entry: LogEntry) -> Record:
    return {"seq": entry.seq, "actor": entry.actor, "message": entry.message}


def _change(name: str, old: bytes | None, new: bytes | None) -> Record:
    ref = Ref.parse(name)
    version = {"versions": ref.name, "notes": ref.name, "tags": ref.leaf}.get(ref.space)
    return {
        "what": {"versions": "version", "aliases": "alias", "tags": "tag", "notes": "note"}[ref.space],
        "model_name": ref.model,
        "name": ref.name if ref.space in ("aliases", "tags") else "",
        "model_version": version,
        "before": None if old is None else old.hex(),
        "after": None if new is None else new.hex(),
    }


def _looked_up(row: VersionRow, parameter: str) -> Any:
    details = mirror.loaded(row.details)
    parameters = details.get("hyperparameters") or {}
    if parameter in parameters:
        return parameters[parameter]
    section, *path = parameter.split(".")
    found: Any = details.get(section, _ABSENT) if section in SECTIONS and path else _ABSENT
    for key in path:
        found = found.get(key, _ABSENT) if isinstance(found, Mapping) else _ABSENT
    return found


def _no_parameter(row: VersionRow, parameter: str) -> ModelNotFoundError:
    known = sorted(mirror.loaded(row.details).get("hyperparameters") or {})
    near = difflib.get_close_matches(parameter, known, 1)
    there = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known[:20]) or 'none'}"
    return ModelNotFoundError(
        f"{row.model_name}:{row.model_version} has no parameter {parameter!r}; {there}",
        hint=f"friday-store show {row.model_name}:{row.model_version}",
    )


def _typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame with its stable dtypes, whose times are microseconds or aware, also when it is empty."""
    import pandas as pd

    whole = pd.api.types.is_integer_dtype(frame["time"])
    frame["time"] = pd.to_datetime(frame["time"], unit="us" if whole else None, utc=True)
    return frame.astype(dict(columns))
