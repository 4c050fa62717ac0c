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
        """Return this comparison without what is the same."""
        return replace(self, rows=tuple(row for row in self.rows if not row.same), only_differences=True)

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
        """Return one table per section, for people."""
        made = [self._title()]
        for caption, heads, rows in self._tables():
            made.append(f"{caption}\n{table.text(heads, rows, width)}")
        return "\n\n".join(made)

    def _repr_html_(self) -> str:
        return table.as_html(self._title(), self._tables())

    def __repr__(self) -> str:
        return self.to_text()

    def _title(self) -> str:
        title = " | ".join(table.shown(version) for version in self.versions)
        return title if self.rows and self else f"{title}: nothing differs"

    def _tables(self) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        pair = len(self.versions) == 2
        measures = ("difference", "percent") if pair else ()
        for section in dict.fromkeys(row.section for row in self.rows):
            heads = (section, *map(table.shown, self.versions), *measures)
            rows = [_line(row, pair=pair) for row in self.rows if row.section == section]
            if not any(any(line[len(self.versions) + 1 :]) for line in rows):
                heads = heads[: len(self.versions) + 1]
                rows = [line[: len(heads)] for line in rows]
            yield section.capitalize(), heads, rows


_COLUMNS: Final = {
    "section": "str", "name": "str", "model_version": "str", "value": "str", "number": "float64",
    "difference": "float64", "percent": "float64", "same": "bool",
}  # fmt: skip


def _digest(value: Any) -> str:
    return str(value)[:12]


_SHOWN: Final[Mapping[str, Callable[[Any], str]]] = {"size_bytes": table.size, "artifact": _digest}


def _line(row: Row, *, pair: bool) -> tuple[str, ...]:
    show = _SHOWN.get(row.name, table.shown)
    values = ["" if value is None else show(value) for value in row.sides]
    unit = " s" if row.section == "time" and row.differences[0] is not None else ""
    measures = (table.signed(row.differences[0]) + unit, table.percent(row.percents[0])) if pair else ()
    return (table.shown(row.name), *values, *measures)


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
