"""What differs inside two stored models, as frozen results: parts, values, steps, and what they do when loaded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from friday_store.comparison import report, table
from friday_store.comparison.arrays import Numbers
from friday_store.comparison.behaviour import Behaviour, Trees
from friday_store.comparison.coefficients import Coefficient
from friday_store.comparison.steps import StepDiff

if TYPE_CHECKING:
    import pandas as pd

State = Literal["same", "changed", "added", "removed"]


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
        path: Where it stands, such as ``steps['ridge'].alpha``.
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
        coefficients: Coefficients of linear models that differ, small ones by name; None where there are none.
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
    coefficients: tuple[Coefficient, ...] | None = None
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

    def summary(self) -> str:
        """Return one line for people: which versions, how large, and how much of it is shared."""
        return report.summary(self)

    def to_text(self, width: int = table.WIDTH, *, parameters: bool = True) -> str:
        """Return what differs, for people; the longest lists are cut, and say so.

        Args:
            width: At most so long a line.
            parameters: Whether to show the parameters that differ, as recorded.
        """
        tables = [each for each in report.tables(self) if parameters or each[0] != report.PARAMETERS]
        made = [self.summary(), *(report.as_text(*each, width) for each in tables)]
        if self.behaviour is not None:
            made.append(self.behaviour.to_text(width))
        return "\n\n".join(part for part in made if part)

    def _repr_html_(self) -> str:
        more = [] if self.behaviour is None else self.behaviour.tables()
        return table.as_html(self.summary(), [*report.tables(self), *more])

    def __repr__(self) -> str:
        return self.to_text()


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
