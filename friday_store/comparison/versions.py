"""Versions side by side, from their records alone: nothing is read and no model is loaded."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from friday_store.comparison import table
from friday_store.errors import InvalidValueError

if TYPE_CHECKING:
    import pandas as pd

_SECTIONS: Final = {
    "metrics": "metrics", "hyperparameters": "parameters", "pipeline_steps": "steps", "training_data": "data",
    "feature_importance": "importance", "dependencies": "dependencies", "environment": "environment",
    "evaluation": "evaluation", "metadata": "metadata",
}  # fmt: skip
_LONGEST: Final = 8
_OWN: Final = ("model_type", "status", "description", "author", "serializer", "artifact", "tags", "aliases")


@dataclass(frozen=True)
class Row:
    """One fact of every version, the first version being what the others are measured against.

    Attributes:
        section: ``version``, ``metrics``, ``parameters``, ``features``, ``schema``, ``data``, ``steps``,
            ``importance``, ``dependencies``, ``environment``, ``evaluation``, ``metadata``, ``size`` or ``time``.
        name: Its name there; a nested one with dots.
        sides: What each version says; None where it says nothing.
        differences: For each version but the first, its number minus the first's; None where that is undefined.
        percents: For each version but the first, that difference in percent of the first's absolute value; None
            where that is undefined: the first is 0, or either is no finite number.
    """

    section: str
    name: str
    sides: tuple[Any, ...]
    differences: tuple[float | None, ...]
    percents: tuple[float | None, ...]

    @property
    def same(self) -> bool:
        """Whether every version says the same."""
        return all(same(self.sides[0], side) for side in self.sides[1:])


@dataclass(frozen=True)
class Comparison:
    """Two or more versions side by side.

    Laws: a version beside itself differs in nothing; turning two round turns sides and differences round.

    Attributes:
        versions: ``name:version`` of each.
        model_ids: The id of each.
        rows: The facts, section by section.
        features_added: Input features of the last version that the first does not have, in its order.
        features_removed: Input features of the first that the last does not have.
        time_between: From when the first was made to when the last was.
        only_differences: Whether what is the same has been left out.
    """

    versions: tuple[str, ...]
    model_ids: tuple[str, ...]
    rows: tuple[Row, ...]
    features_added: tuple[str, ...]
    features_removed: tuple[str, ...]
    time_between: dt.timedelta
    only_differences: bool = False

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return any(not row.same for row in self.rows)

    def differing(self) -> Comparison:
        """Return this comparison without what is the same.

        A feature's place counts as the same when only others were added or removed before it.
        """
        moved = {row.name for row in self.rows if row.section == "features"} if self._reordered() else set()
        kept = (
            row
            for row in self.rows
            if not row.same and (row.section != "features" or None in row.sides or row.name in moved)
        )
        return replace(self, rows=tuple(kept), only_differences=True)

    def _reordered(self) -> bool:
        """Whether the features that all versions have come in another order in one of them."""
        common = [row.sides for row in self.rows if row.section == "features" and None not in row.sides]
        columns = list(zip(*common, strict=True))
        orders = [sorted(range(len(common)), key=column.__getitem__) for column in columns]
        return any(order != orders[0] for order in orders)

    def only(self, sections: Collection[str]) -> Comparison:
        """Return this comparison with the facts of some sections alone."""
        return replace(self, rows=tuple(row for row in self.rows if row.section in sections))

    def without(self, *sections: str) -> Comparison:
        """Return this comparison without the facts of some sections."""
        return replace(self, rows=tuple(row for row in self.rows if row.section not in sections))

    def section(self, name: str) -> dict[str, Row]:
        """Return the facts of one section by name; empty if it has none."""
        return {row.name: row for row in self.rows if row.section == name}

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dict per fact: the fields of :class:`Row`, as lists, and ``same``."""
        return [
            {
                "section": row.section,
                "name": row.name,
                "sides": list(row.sides),
                "differences": list(row.differences),
                "percents": list(row.percents),
                "same": row.same,
            }
            for row in self.rows
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per fact and version; the same columns and dtypes whatever is compared.

        Its columns: ``section``, ``name``, ``model_version`` (``name:version``), ``value`` (text), ``number`` (NaN
        where it is none), ``difference`` and ``percent`` (against the first version), ``same``.
        """
        import pandas as pd

        listed = [
            (row.section, row.name, version, _text(value), _number(value), difference, percent, row.same)
            for row in self.rows
            for version, value, difference, percent in zip(
                self.versions, row.sides, (None, *row.differences), (None, *row.percents), strict=True
            )
        ]
        return pd.DataFrame(listed, columns=list(_COLUMNS)).astype(_COLUMNS)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain data that strict JSON can show."""
        found: dict[str, Any] = table.plain(
            {
                "versions": self.versions,
                "model_ids": self.model_ids,
                "features_added": self.features_added,
                "features_removed": self.features_removed,
                "time_between": self.time_between,
                "only_differences": self.only_differences,
                "rows": self.records(),
            }
        )
        return found

    def to_json(self) -> str:
        """Return :meth:`as_dict` as JSON; ``time_between`` in seconds."""
        return json.dumps(self.as_dict(), ensure_ascii=False, allow_nan=False)

    def to_text(self, width: int = table.WIDTH) -> str:
        """Return one table in sections, for people; rows that say what others say are left out."""
        if not self.rows:
            return self._title()
        return f"{self._title()}\n\n{table.sections(self._heads(), self._sections(), width)}"

    def _repr_html_(self) -> str:
        tables = ((caption, self._heads(), rows) for caption, rows in self._sections())
        return table.as_html(self._title(), tables)

    def __repr__(self) -> str:
        return self.to_text()

    def _title(self) -> str:
        title = " | ".join(table.shown(version) for version in self.versions)
        return title if self.rows and self else f"{title}: nothing differs"

    def _heads(self) -> tuple[str, ...]:
        """Return the heads of the columns: versions alone where they are of one model."""
        models = {version.rpartition(":")[0] for version in self.versions}
        short = [version.rpartition(":")[2] if len(models) == 1 else version for version in self.versions]
        return ("", *map(table.shown, short), *(("change",) if len(self.versions) == 2 else ()))

    def _sections(self) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
        pair = len(self.versions) == 2
        steps = {row.name.partition(".")[0] for row in self.rows if row.section == "steps"}
        for section in dict.fromkeys(row.section for row in self.rows):
            rows = [row for row in self.rows if row.section == section]
            if section == "parameters" and steps:  # the steps have a section of their own
                rows = [row for row in rows if row.name != "steps" and row.name not in steps]
            yield section.capitalize(), [_line(row, pair=pair) for row in rows]


_COLUMNS: Final = {
    "section": "str", "name": "str", "model_version": "str", "value": "str", "number": "float64",
    "difference": "float64", "percent": "float64", "same": "bool",
}  # fmt: skip


def _digest(value: Any) -> str:
    return str(value)[:12]


def _class(value: Any) -> str:
    return table.shown(value).rpartition(".")[2]


def _minute(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")


_SHOWN: Final[Mapping[str, Callable[[Any], str]]] = {
    "size_bytes": table.size,
    "artifact": _digest,
    "created_at": _minute,
}


def _brief(value: Any) -> str:
    """Return a value, or how many it is."""
    return f"{len(value)} values" if isinstance(value, list) and len(value) > _LONGEST else table.shown(value)


def _line(row: Row, *, pair: bool) -> tuple[str, ...]:
    show = _SHOWN.get(row.name, _class if row.section == "steps" and row.name.endswith(".class") else _brief)
    if row.section == "features":
        values = [table.NONE if value is None else f"column {value + 1}" for value in row.sides]
    else:
        values = [table.NONE if value is None or value in ([], "") else show(value) for value in row.sides]
    return (table.shown(row.name), *values, *((_change(row),) if pair else ()))


def _change(row: Row) -> str:
    """Return how far the second is from the first, and that in percent."""
    gap, share = row.differences[0], row.percents[0]
    if gap is None or gap == 0 or row.section == "features":
        return ""
    if row.section == "time":
        return f"{gap:+.4g} s"
    told = ("+" if gap > 0 else "-") + table.size(round(abs(gap))) if row.section == "size" else f"{gap:+.4g}"
    return told if share is None else f"{told} ({table.percent(share)})"


def _text(value: Any) -> str | None:
    return None if value is None else table.shown(value)


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal; NaN equals NaN, and True is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def difference(base: Any, value: Any) -> float | None:
    """Return ``value - base``; None where it is undefined."""
    if not _is_number(base) or not _is_number(value):
        return None
    try:
        found = float(value - base)
    except OverflowError:
        return None
    return None if math.isnan(found) else found


def percent(base: Any, value: Any) -> float | None:
    """Return the difference in percent of ``abs(base)``; None where it is undefined: base 0, or not finite."""
    apart = difference(base, value)
    if apart is None or base == 0 or not math.isfinite(base):
        return None
    found = 100 * (apart / abs(base))
    return found if math.isfinite(found) else None


def compare(
    records: Sequence[Mapping[str, Any]], *, metrics: Collection[str] | None = None, only_differences: bool = False
) -> Comparison:
    """Return records side by side.

    Args:
        records: Of two versions or more, as the registry gives them; the first is what others are measured against.
        metrics: Which metrics to show; None shows all.
        only_differences: Leave out what is the same in all of them.

    Raises:
        InvalidValueError: There are fewer than two.
    """
    if len(records) < 2:
        raise InvalidValueError("comparing takes two versions or more", path="versions")
    if isinstance(metrics, str):
        metrics = (metrics,)
    first, last = (_features(record) for record in (records[0], records[-1]))
    found = Comparison(
        versions=tuple(f"{record['model_name']}:{record['model_version']}" for record in records),
        model_ids=tuple(str(record["model_id"]) for record in records),
        rows=tuple(_rows(records, metrics)),
        features_added=tuple(name for name in last if name not in set(first)),
        features_removed=tuple(name for name in first if name not in set(last)),
        time_between=records[-1]["created_at"] - records[0]["created_at"],
    )
    return found.differing() if only_differences else found


def _rows(records: Sequence[Mapping[str, Any]], metrics: Collection[str] | None) -> Iterator[Row]:
    yield from (_row("version", key, [record[key] for record in records]) for key in _OWN)
    for section, shown in _SECTIONS.items():
        flat = [_flat(record[section]) for record in records]
        for name in _names(flat):
            if section != "metrics" or metrics is None or name in metrics:
                yield _row(shown, name, [facts.get(name) for facts in flat])
    features = [_features(record) for record in records]
    places = [{name: place for place, name in enumerate(names)} for names in features]
    yield from (_row("features", name, [found.get(name) for found in places]) for name in _names(places))
    schemas = [{k: v for k, v in _flat(record["input_schema"]).items() if k != "features"} for record in records]
    yield from (_row("schema", name, [schema.get(name) for schema in schemas]) for name in _names(schemas))
    yield _row("size", "size_bytes", [record["size_bytes"] for record in records])
    times = [record["created_at"] for record in records]
    seconds = tuple((time - times[0]).total_seconds() for time in times[1:])
    yield Row("time", "created_at", tuple(times), seconds, (None,) * len(seconds))


def _row(section: str, name: str, values: list[Any]) -> Row:
    base = values[0]
    return Row(
        section,
        name,
        tuple(values),
        tuple(difference(base, value) for value in values[1:]),
        tuple(percent(base, value) for value in values[1:]),
    )


def _names(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names in any of several mappings, each where it first comes."""
    return list(dict.fromkeys(name for facts in found for name in facts))


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return nested facts as one mapping with dotted names; a list of named steps by their names."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        value = {str(item["name"]): {k: v for k, v in item.items() if k != "name"} for item in value}
    if not isinstance(value, Mapping) or (path and not value):
        return {path: value} if path else {}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{path}.{key}" if path else str(key))
    return found


def _features(record: Mapping[str, Any]) -> list[str]:
    schema = record["input_schema"]
    names = schema.get("features") if isinstance(schema, Mapping) else None
    return [str(name) for name in names] if isinstance(names, list) else []
