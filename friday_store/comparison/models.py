"""What differs inside two stored models, as frozen results: parts, values, steps, and what they do when loaded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from friday_store.comparison import table
from friday_store.comparison.arrays import Numbers
from friday_store.comparison.behaviour import TREES, Behaviour, Trees
from friday_store.comparison.steps import StepDiff

if TYPE_CHECKING:
    import pandas as pd

State = Literal["same", "changed", "added", "removed"]
_LINES: Final = 20


@dataclass(frozen=True)
class PartDiff:
    """One part of two models; ``shared + changed`` is its size: the newer one's, or the older one's if removed.

    Attributes:
        name: Its name in the newer model; in the older one if it was removed.
        path: Where it stands in the model; empty where that is not known.
        state: ``same``, ``changed``, ``added`` or ``removed``.
        size_before: Bytes; None if it was added.
        size_after: Bytes; None if it was removed.
        shared: Bytes in chunks that the other model has too, in whatever part.
        changed: The other bytes.
        dtype: Of its elements; empty where only bytes are known.
        shape_before: None where it is not known.
        shape_after: None where it is not known.
        numbers: How much the elements differ; None where they cannot be matched or are the same bytes.
        described: Whether this part describes the model, so that what differs in it is told by contents.
    """

    name: str
    path: str
    state: State
    size_before: int | None
    size_after: int | None
    shared: int
    changed: int
    dtype: str = ""
    shape_before: tuple[int, ...] | None = None
    shape_after: tuple[int, ...] | None = None
    numbers: Numbers | None = None
    described: bool = False


@dataclass(frozen=True)
class ValueDiff:
    """A value inside the model that differs, or a small array; what was added or removed as a whole is one of these.

    Attributes:
        path: Where it stands, such as ``steps[1][1].alpha``.
        state: ``changed``, ``added`` or ``removed``.
        before: None if it was added, or is no plain value.
        after: None if it was removed, or is no plain value.
        numbers: How much the elements of an array differ.
    """

    path: str
    state: State
    before: Any
    after: Any
    numbers: Numbers | None = None


@dataclass(frozen=True)
class ModelDiff:
    """What differs between two stored models.

    Attributes:
        before: The older version, as ``name:version``.
        after: The newer one.
        before_id: Its id.
        after_id: Its id.
        serializers: The two formats.
        size_before: Bytes of all parts.
        size_after: Bytes of all parts.
        shared: Bytes of the newer model that the older one has too.
        bytes_read: Bytes of both models that were read to find out, uncompressed.
        parts: Every part, the newer model's in order and then what was removed.
        contents: What stands inside the models and differs, by path.
        trees: How many trees of an ensemble differ; None where the stored models do not tell.
        steps: Steps of a pipeline whose class or parameters differ, as recorded.
        behaviour: What the loaded models do differently; None unless it was asked for.
    """

    before: str
    after: str
    before_id: str
    after_id: str
    serializers: tuple[str, str]
    size_before: int
    size_after: int
    shared: int
    bytes_read: int
    parts: tuple[PartDiff, ...]
    contents: tuple[ValueDiff, ...] = ()
    trees: Trees | None = None
    steps: tuple[StepDiff, ...] = ()
    behaviour: Behaviour | None = None

    @property
    def changed(self) -> int:
        """Bytes of the newer model that the older one does not have."""
        return self.size_after - self.shared

    @property
    def identical(self) -> bool:
        """Whether the stored models are the same bytes."""
        return all(part.state == "same" for part in self.parts)

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return not self.identical or bool(self.steps)

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dict per part, with ``elements``, ``share_changed`` and the like beside its own fields."""
        return [_record(part) for part in self.parts]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per part; typed also when there is none."""
        import pandas as pd

        data = pd.DataFrame(self.records(), columns=list(_COLUMNS))
        for column in ("shape_before", "shape_after"):
            data[column] = [None if value is None else "x".join(map(str, value)) for value in data[column]]
        return data.astype(_COLUMNS)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain data that strict JSON can show."""
        whole = {**asdict(self), "changed": self.changed, "identical": self.identical, "parts": self.records()}
        whole["contents"] = [_record(value) for value in self.contents]
        found: dict[str, Any] = table.plain(whole)
        return found

    def to_json(self) -> str:
        """Return :meth:`as_dict` as JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False, allow_nan=False)

    def to_text(self, width: int = table.WIDTH) -> str:
        """Return what differs, for people; the longest lists are cut, and say so."""
        made = [self._summary()]
        for caption, heads, rows in self._tables():
            some = table.text(heads, rows[:_LINES], width)
            if some:
                more = f"\n… and {len(rows) - _LINES} more" if len(rows) > _LINES else ""
                made.append(f"{caption}\n{some}{more}")
        if self.behaviour is not None:
            made.append(self.behaviour.to_text(width))
        return "\n\n".join(part for part in made if part)

    def _repr_html_(self) -> str:
        tables = [*self._tables(), *(self.behaviour.tables() if self.behaviour else [])]
        return table.as_html(self._summary(), tables)

    def __repr__(self) -> str:
        return self.to_text()

    def _summary(self) -> str:
        if self.identical:
            return (
                f"{table.shown(self.before)} and {table.shown(self.after)} are the same {table.size(self.size_after)}"
            )
        share = f"{100 * self.shared / self.size_after:.1f} %" if self.size_after else "nothing"
        return (
            f"{table.shown(self.before)} -> {table.shown(self.after)}: {table.size(self.size_before)} -> "
            f"{table.size(self.size_after)}, {share} shared, {table.size(self.changed)} new"
        )

    def _tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        parts = [_part_line(part) for part in self.parts if part.state != "same"]
        values = [_value_line(value) for value in self.contents]
        steps: list[tuple[str, ...]] = [line for step in self.steps for line in step.lines()]
        trees = [] if self.trees is None else [self.trees.line()]
        return [
            ("Trees", TREES, trees),
            ("Steps", ("step", "parameter", "before", "after"), steps),
            ("Parts", ("part", "state", "size", "new", "elements changed", "largest"), parts),
            ("Contents", ("path", "before", "after", "largest"), values),
        ]


_COLUMNS: Final = {
    "name": "str", "path": "str", "state": "str", "size_before": "Int64", "size_after": "Int64", "shared": "int64",
    "changed": "int64", "dtype": "str", "shape_before": "str", "shape_after": "str", "elements": "Int64",
    "elements_changed": "Int64", "share_changed": "float64", "max_difference": "float64", "mean_difference": "float64",
}  # fmt: skip


def _record(one: PartDiff | ValueDiff) -> dict[str, Any]:
    numbers = one.numbers
    return {
        **{name: value for name, value in vars(one).items() if name != "numbers"},
        "elements": numbers and numbers.elements,
        "elements_changed": numbers and numbers.changed,
        "share_changed": numbers and numbers.share_changed,
        "max_difference": numbers and numbers.max_difference,
        "mean_difference": numbers and numbers.mean_difference,
    }


def _part_line(part: PartDiff) -> tuple[str, ...]:
    size = part.size_after if part.size_after is not None else part.size_before or 0
    elements = "" if part.numbers is None else f"{100 * part.numbers.share_changed:.3g} %"
    shapes = (part.shape_before, part.shape_after)
    if None not in shapes and shapes[0] != shapes[1]:
        elements = f"shape {'x'.join(map(str, shapes[0] or ()))} -> {'x'.join(map(str, shapes[1] or ()))}"
    elif part.numbers is None and part.state == "changed":
        elements = "contents below" if part.described else "" if part.dtype else "raw bytes"
    most = "" if part.numbers is None else table.shown(part.numbers.max_difference)
    name = table.shown(part.path or part.name)
    return name, part.state, table.size(size), table.size(part.changed), elements, most


def _value_line(value: ValueDiff) -> tuple[str, ...]:
    most = "" if value.numbers is None else table.shown(value.numbers.max_difference)
    before = "(none)" if value.state == "added" else table.shown(value.before)
    after = "(none)" if value.state == "removed" else table.shown(value.after)
    return table.shown(value.path), before, after, most
