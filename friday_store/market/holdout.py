"""Rows that registered models have not seen, found again from what their records say, and scores on exactly those.

A model's record has the digest of its data and the times of its training part, so its hold-out can be found again in
the same data: it begins as many rows after the last training row as labels reach ahead. For several models the rows
are those that none of them has seen: from the latest of these beginnings to the last row with a known label. On them
the naive forecast is scored as a model is. For a direction it says the base rate of the training part with every row:
its classes are those of the majority, its log loss that of a forecaster who knows nothing but the base rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from friday_store.errors import InvalidValueError
from friday_store.loader.checks import InputMismatchError
from friday_store.market.data import DataFacts, load
from friday_store.market.evaluation import Scores, naive_forecast, score_direction, score_regression
from friday_store.market.samples import Samples
from friday_store.market.targets import find_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Record = Mapping[str, Any]


def market_of(record: Record) -> Mapping[str, Any]:
    """Return what a record says of the question that its model answers.

    Raises:
        InvalidValueError: It is not of a model that the market trainer made.
    """
    market = record["metadata"].get("market")
    if not isinstance(market, dict) or "split" not in record["training_data"]:
        name = f"{record['model_name']}:{record['model_version']}"
        raise InvalidValueError(f"{name} is no model of market data: its record has no target and no split")
    return market


def features_of(record: Record) -> list[str]:
    """Return the features that a model takes, in order.

    Raises:
        InvalidValueError: Its record does not name them: it was trained on an array and saved by hand.
    """
    names = record["training_data"].get("features")
    if not names:
        name = f"{record['model_name']}:{record['model_version']}"
        raise InvalidValueError(f"the record of {name} does not name its features", hint="train it on a frame")
    return [str(name) for name in names]


def recorded_data(record: Record, directory: Path) -> pd.DataFrame:
    """Return the data that a model was trained on, from the files that its record names.

    Args:
        record: The model's record.
        directory: The directory of processed data.

    Raises:
        InvalidValueError: The files are not what they were, or the record names none.
        StorageError: A file is missing.
    """
    facts, name = record["training_data"], f"{record['model_name']}:{record['model_version']}"
    if not facts.get("files") or not facts.get("digest"):
        raise InvalidValueError(f"the record of {name} names no files", hint="pass the data themselves")
    data = load([directory / file for file in facts["files"]])
    if DataFacts.of(data).digest != facts["digest"]:
        raise InvalidValueError(
            f"{', '.join(facts['files'])} in {directory} is not what {name} was trained on: it ended at "
            f"{facts['last']} and had {facts['rows']} rows, and now ends at {data.index[-1]} and has {len(data)}",
            hint="train it anew, or pass the data themselves",
        )
    return data


@dataclass(frozen=True, eq=False)
class HoldOut:
    """Rows that some models have not seen.

    Attributes:
        samples: All rows of the data that have features and a label.
        rows: Those to score on.
        seen: Those before, of which the naive forecast may know the labels.
    """

    samples: Samples
    rows: slice
    seen: slice

    @classmethod
    def of(cls, data: pd.DataFrame, records: Sequence[Record], plugins: Any = None) -> HoldOut:
        """Find the rows that none of the models has seen, and whose labels overlap with nothing they have.

        Args:
            data: In which to look.
            records: The records of models that answer one question; the training part of the first is what the
                naive forecast knows.
            plugins: Where targets come from besides the built-in ones.

        Raises:
            InvalidValueError: The models answer different questions, or the data cannot be used.
        """
        questions = {(market_of(each)["target_type"], market_of(each)["forecast_horizon"]) for each in records}
        if len(questions) > 1:
            raise InvalidValueError(f"these models answer different questions: {sorted(questions)}")
        [(target, horizon)] = questions
        samples = Samples.of_data(data, find_target(target, plugins), horizon)
        ends = [_after(samples.labels.index, each["training_data"]["split"]["train_last"]) for each in records]
        return cls(samples, slice(max(ends) + samples.gap, len(samples)), slice(0, ends[0]))

    def __len__(self) -> int:
        return max(0, int(self.rows.stop) - int(self.rows.start))

    @property
    def truth(self) -> pd.Series[Any]:
        """The labels of the rows."""
        return self.samples.labels.iloc[self.rows]

    @property
    def is_direction(self) -> bool:
        """Whether the labels are classes, of which class 1 has a probability."""
        return self.samples.task == "classification"

    def features(self, record: Record) -> pd.DataFrame:
        """Return the features of the rows, as the model of ``record`` takes them.

        Raises:
            InputMismatchError: The data lack some of them.
        """
        wanted = features_of(record)
        missing = [name for name in wanted if name not in self.samples.features.columns]
        if missing:
            raise InputMismatchError(
                f"the data lack features of {record['model_name']}:{record['model_version']}: {', '.join(missing)}",
                missing=missing,
                hint="prepare the data with the code that prepared them when the model was trained",
            )
        return self.samples.features.iloc[self.rows][wanted]

    def forecast(self, model: Any, record: Record) -> Floats:
        """Return what a model says of the rows: for a direction the probability of a rise, else the value."""
        return forecast(model, self.features(record), direction=self.is_direction)

    def naive(self) -> Floats:
        """Return what the naive forecast says of the rows, in the same form.

        Raises:
            InvalidValueError: It needs rows before these, and there are none.
        """
        y = self.samples.labels.to_numpy()
        if not self.is_direction:
            return naive_forecast(self.samples.definition, y, self.samples.horizon, self.samples.close)[self.rows]
        if not self.seen.stop:
            raise InvalidValueError("the data hold no row of the training part, whose base rate is the naive forecast")
        return np.full(len(self), float(y[self.seen].mean()))

    def scores(self, said: Floats) -> Scores:
        """Return the scores of a forecast of the rows."""
        y, naive = self.truth.to_numpy(), self.naive()
        if self.is_direction:
            return score_direction(y, said, int(naive[0] > 0.5), float(naive[0]))
        close = None if self.samples.close is None else self.samples.close[self.rows]
        return score_regression(y, said, naive, close=close)


def forecast(model: Any, features: pd.DataFrame, *, direction: bool) -> Floats:
    """Return one number for each row: for a direction the probability of a rise, else the value."""
    if not direction:
        return np.ravel(model.predict(features)).astype("float64")
    chances: Floats = np.asarray(model.predict_proba(features))[:, list(model.classes_).index(1)]
    return chances


def _after(index: pd.Index[Any], moment: str | int) -> int:
    """Return the place of the first row after a recorded time."""
    if not isinstance(index, pd.DatetimeIndex):
        raise InvalidValueError("the rows have no time")
    stamp = pd.Timestamp(moment)
    if (stamp.tzinfo is None) != (index.tz is None):
        raise InvalidValueError(f"the data {'have no' if index.tz is None else 'have a'} time zone, unlike the model's")
    return int(index.searchsorted(stamp, side="right"))
