"""What a training run was asked for and what became of each part of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, overload

import pandas as pd

from friday_store.market.data import MONTH_ON_DISK

if TYPE_CHECKING:
    from friday_store.market.targets import PredictionTarget

Status = Literal["trained", "skipped", "failed"]


@dataclass(frozen=True)
class Job:
    """One model that was asked for.

    Attributes:
        symbol: As in the file's name.
        timeframe: One of the known timeframes; empty when none was named and the symbol has no file.
        target: What to predict, by name.
        horizon: How many bars ahead.
        model_type: The family, lower case.
    """

    symbol: str
    timeframe: str
    target: PredictionTarget | str
    horizon: int
    model_type: str

    @property
    def name(self) -> str:
        """The model's name; for people and for finding, nothing reads facts back from it."""
        return f"{self.symbol}_{self.timeframe}_{self.target}_{self.horizon}_{self.model_type}"

    @property
    def file_stem(self) -> str:
        """The name with the month spelled so that no disk takes it for the minute."""
        word = MONTH_ON_DISK if self.timeframe == "1M" else self.timeframe
        return f"{self.symbol}_{word}_{self.target}_{self.horizon}_{self.model_type}"

    @property
    def tags(self) -> list[str]:
        """The model's tags."""
        return [self.symbol, self.timeframe, str(self.target), f"horizon_{self.horizon}", self.model_type]

    @property
    def facts(self) -> dict[str, Any]:
        """The same as fields, as they stand in the record under ``metadata["market"]``."""
        return {
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "target_type": str(self.target),
            "forecast_horizon": self.horizon,
            "model_type": self.model_type,
        }


@dataclass(frozen=True)
class ResultRow:
    """What became of one job.

    Attributes:
        symbol: As in :class:`Job`, like the four that follow.
        timeframe: See there.
        target_type: The target's value.
        forecast_horizon: How many bars ahead.
        model_type: The family, lower case.
        status: ``trained``, ``skipped`` when there was nothing to train on, or ``failed``.
        reason: Why it was skipped or failed; empty when trained.
        seconds: Time the fit and its evaluation took.
        model_name: The registered model; None when none was registered.
        model_version: Its version.
        model_id: Its digest.
        metrics: Scores on the test rows; empty unless trained.
    """

    symbol: str
    timeframe: str
    target_type: str
    forecast_horizon: int
    model_type: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    model_name: str | None = None
    model_version: str | None = None
    model_id: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, status: Status, reason: str = "", **values: Any) -> ResultRow:
        """Return the row of ``job``."""
        return cls(**job.facts, status=status, reason=reason, **values)


class Results(Sequence[ResultRow]):
    """One row for every job that was asked for, in the order of asking.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: Iterable[ResultRow] = ()) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> ResultRow: ...
    @overload
    def __getitem__(self, place: slice) -> Results: ...
    def __getitem__(self, place: int | slice) -> ResultRow | Results:
        return Results(self._rows[place]) if isinstance(place, slice) else self._rows[place]

    def __repr__(self) -> str:
        counts = Counter(row.status for row in self._rows)
        return f"<Results: {', '.join(f'{number} {status}' for status, number in counts.items()) or 'none'}>"

    def with_status(self, status: Status) -> Results:
        """Return the rows of that status."""
        return Results(row for row in self._rows if row.status == status)

    def to_frame(self) -> pd.DataFrame:
        """Return a frame: a column for each attribute of a row and, for ``metrics``, one for each metric."""
        names = [item.name for item in fields(ResultRow) if item.name != "metrics"]
        records = [{**{name: getattr(row, name) for name in names}, **row.metrics} for row in self._rows]
        return pd.DataFrame(records) if records else pd.DataFrame(columns=pd.Index(names))
