"""Feature rows and their labels, in order of time, with what they are labels of."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from friday_store.errors import InvalidValueError
from friday_store.market.data import tidy
from friday_store.market.features import NOT_FEATURES
from friday_store.market.targets import PredictionTarget, check_horizon, check_reach, find_target, labels, target_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from friday_store.hookspecs import Target, Task

log = logging.getLogger("friday_store.market")


@dataclass(frozen=True, eq=False)
class Samples:
    """What one model is trained and tested on.

    Attributes:
        features: Float columns without NaN, oldest row first; where labels are prices the first is ``close``. The
            index of a panel has two levels, ``date`` and ``symbol``, and is sorted by them.
        labels: One label for each row of ``features``, on the same index.
        definition: What the labels are.
        horizon: How many bars ahead they look.
        ignored: Columns of the data that are not numbers and so not features.
        missing: For each feature with gaps, in how many rows of the data it has no value.
    """

    features: pd.DataFrame
    labels: pd.Series[Any]
    definition: Target
    horizon: int
    ignored: tuple[str, ...] = ()
    missing: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def target(self) -> PredictionTarget | str:
        """The name of the target."""
        return target_name(self.definition)

    @property
    def task(self) -> Task:
        """What kind of estimator the target needs."""
        return self.definition.task

    @property
    def gap(self) -> int:
        """How many rows after its own a label uses, and so how many lie between training and test rows."""
        return check_reach(self.definition, self.horizon)

    @property
    def is_panel(self) -> bool:
        """Whether the rows are of several symbols, on an index of time and symbol."""
        return isinstance(self.labels.index, pd.MultiIndex)

    @property
    def times(self) -> pd.Index[Any]:
        """The time of each row."""
        return self.labels.index.get_level_values(0) if self.is_panel else self.labels.index

    @property
    def symbols(self) -> list[str]:
        """The symbols of a panel, sorted; of one symbol, which has no name here, nothing."""
        return sorted(map(str, self.labels.index.unique(1))) if self.is_panel else []

    def naive(self) -> NDArray[np.float64]:
        """Return the naive forecast of each row of a regression, made of rows of its own symbol alone."""
        y, close = self.labels.to_numpy(), self.close
        forecast = np.full(len(y), np.nan)
        numbers = pd.factorize(self.labels.index.get_level_values(1))[0] if self.is_panel else np.zeros(len(y))
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            own = None if close is None else close[rows]
            forecast[rows] = self.definition.naive(y[rows], self.horizon, own)
        return forecast

    @property
    def close(self) -> Any:
        """The close of each row where labels are prices, else None."""
        return self.features["close"].to_numpy() if self.definition.of_price else None

    @classmethod
    def of_data(cls, data: pd.DataFrame, target: PredictionTarget | str | Target, horizon: int = 1) -> Samples:
        """Make features and labels from processed data.

        Args:
            data: Columns ``close`` and features; time as :func:`~friday_store.market.data.tidy` takes it.
            target: What to predict: the name of a built-in target, or a target.
            horizon: How many bars ahead.

        Returns:
            The rows that have every feature and a known future. Labels are made before rows with gaps go, so that a
            horizon counts bars of the data. Open, high, low, close, volume, vwap and adj_close are not features.

        Raises:
            InvalidValueError: The data are not tidy, or have no close or no feature, or an argument is wrong.
        """
        bars = tidy(data)
        if "close" not in bars.columns:
            raise InvalidValueError(f"no column close; there are {', '.join(bars.columns) or 'none'}")
        definition = find_target(target)
        y = labels(bars, definition, horizon)
        names = [name for name in bars.columns if name not in NOT_FEATURES]
        kinds = bars.dtypes
        numeric = [name for name in names if pd.api.types.is_numeric_dtype(kinds[name])]
        ignored = tuple(sorted(set(names) - set(numeric)))
        if ignored:
            log.info("columns that are not numbers are not features: %s", ", ".join(ignored))
        if not numeric:
            raise InvalidValueError(
                "the data have no feature", hint="make them with friday_store.market.features.prepare_ohlcv"
            )
        columns = ["close", *numeric] if definition.of_price else numeric
        known = bars[columns].astype("float64")
        gaps = known.isna().sum()
        rows = known.loc[y.index].dropna()
        missing = {str(name): int(gaps[name]) for name in columns if gaps[name]}
        return cls(rows, y.loc[rows.index], definition, check_horizon(horizon), ignored, missing)

    @classmethod
    def of_panel(
        cls, data: Mapping[str, pd.DataFrame], target: PredictionTarget | str | Target, horizon: int = 1
    ) -> Samples:
        """Make the features and labels of several symbols for one model.

        Args:
            data: For each symbol what :meth:`of_data` takes; the same features and time zone.
            target: As for :meth:`of_data`.
            horizon: How many bars of its own symbol ahead; calendars may differ.

        Raises:
            InvalidValueError: As :meth:`of_data`, naming the symbol, or symbols differ in their features or zones.
        """
        parts: dict[str, Samples] = {}
        for symbol, frame in data.items():
            try:
                parts[symbol] = cls.of_data(frame, target, horizon)
            except InvalidValueError as error:
                raise InvalidValueError(f"{symbol}: {error.message}", hint=error.hint) from error
        if not parts:
            raise InvalidValueError("a panel needs at least one symbol")
        first, one = next(iter(parts.items()))
        for symbol, part in parts.items():
            if list(part.features.columns) != list(one.features.columns):
                odd = sorted(set(part.features.columns) ^ set(one.features.columns)) or ["their order"]
                raise InvalidValueError(f"{symbol} and {first} differ in their features: {', '.join(map(str, odd))}")
            if getattr(part.times, "tz", None) != getattr(one.times, "tz", None):
                raise InvalidValueError(f"{symbol} and {first} differ in their time zones")
        names = ["symbol", "date"]
        features = pd.concat({symbol: part.features for symbol, part in parts.items()}, names=names).swaplevel()
        y = pd.concat({symbol: part.labels for symbol, part in parts.items()}, names=names).swaplevel()
        y.name, y.attrs = one.labels.name, dict(one.labels.attrs)
        order = features.index.argsort()
        ignored = tuple(sorted({name for part in parts.values() for name in part.ignored}))
        return cls(features.iloc[order], y.iloc[order], one.definition, one.horizon, ignored)

    @classmethod
    def of_arrays(
        cls,
        features: Any,
        y: Any,
        target: PredictionTarget | str | Target | None = None,
        horizon: int | None = None,
        *,
        find: Callable[[PredictionTarget | str | Target], Target] = find_target,
    ) -> Samples:
        """Check features and labels that a caller brings.

        Args:
            features: A frame or an array of rows, oldest first; an array's columns are called ``feature_<n>``, its
                first ``close`` where labels are prices. A panel is a frame on an index of time and symbol.
            y: As many labels. Those of :meth:`of_data` say what they are in ``attrs`` and need no more.
            target: What the labels are, where they do not say; they may also be named so.
            horizon: How many rows ahead they look, where they do not say.
            find: How a target is found by its name.

        Raises:
            InvalidValueError: The lengths or indexes differ, a value is missing or not a number, or nothing says
                what the labels are.
        """
        said = dict(y.attrs) if isinstance(y, pd.Series) else {}
        if target is None and horizon is None and not said:
            hint = "pass y as prepare_features_and_target gave it, or target= and horizon="
            raise InvalidValueError("y does not say what it is the label of", hint=hint)
        target = target if target is not None else said.get("target", getattr(y, "name", None))
        horizon = horizon if horizon is not None else said.get("horizon")
        if target is None or horizon is None:
            raise InvalidValueError(f"y does not say its {'target' if target is None else 'horizon'}; pass it")
        definition, horizon = find(target), check_horizon(horizon)
        frame = _frame(features, definition)
        if len(y) != len(frame):
            raise InvalidValueError(f"X has {len(frame)} rows and y {len(y)}")
        column = y if isinstance(y, pd.Series) else pd.Series(np.asarray(y), index=frame.index)
        if not column.index.equals(frame.index):
            raise InvalidValueError("the indexes of X and y differ")
        if isinstance(frame.index, pd.MultiIndex):
            _check_panel(frame.index)
        if not np.isfinite(frame.to_numpy()).all() or not np.isfinite(column.to_numpy(dtype="float64")).all():
            raise InvalidValueError("X or y holds a value that is missing or infinite")
        if definition.task == "classification":
            if not column.isin([0, 1]).all():
                raise InvalidValueError(f"labels of {definition.name} are 0 or 1")
            column = column.astype("int64")
        return cls(frame, column, definition, horizon)


def _check_panel(index: pd.MultiIndex) -> None:
    times = index.get_level_values(0)
    if index.nlevels != 2 or not isinstance(times, pd.DatetimeIndex) or not times.is_monotonic_increasing:
        raise InvalidValueError(
            "the rows of a panel are on an index of time and symbol, in order of time",
            hint="prepare them with prepare_panel, or X = X.sort_index()",
        )


def _frame(features: Any, target: Target) -> pd.DataFrame:
    if isinstance(features, pd.DataFrame):
        frame = features
    else:
        array = np.asarray(features)
        if array.ndim != 2:
            raise InvalidValueError(f"X must have rows and columns, not the shape {array.shape}")
        frame = pd.DataFrame(array, columns=pd.Index([f"feature_{place}" for place in range(array.shape[1])]))
        if target.of_price:
            frame = frame.rename(columns={"feature_0": "close"})
    if target.of_price and "close" not in frame.columns:
        raise InvalidValueError(f"{target.name} is forecast from the close: X needs the column 'close'")
    try:
        return frame.astype("float64")
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"X holds a column that is not numeric: {error}") from error
