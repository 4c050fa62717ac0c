"""Splits that go forward in time, also for several symbols in one model, with nothing of the future in training.

A row has a time and a symbol, and its label is known some rows of its own symbol later. A row may be trained on only
if its label is known before the first time of the test part: that is the purge. The embargo leaves out more, against
what features remember (M. López de Prado, *Advances in Financial Machine Learning*, 2018, chapter 7). A panel is split
by time, never by row: all symbols of one time are on one side. Its symbols may have different calendars; each label
is followed to the row of its own symbol where it is known.

For one symbol the folds are those of :class:`sklearn.model_selection.TimeSeriesSplit` with ``gap = horizon +
embargo``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from friday_store.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Timeline:
    """When each row is, and when its label is known.

    Attributes:
        times: For each row the place of its time among all times.
        known: For each row the place of the time when its label is known; ``count`` when that is after the last.
        symbols: For each row the number of its symbol.
        count: How many times there are.
    """

    times: Rows
    known: Rows
    symbols: Rows
    count: int

    @classmethod
    def of(cls, rows: Any, horizon: int) -> Timeline:
        """Return the timeline of rows.

        Args:
            rows: A frame with a MultiIndex of time and symbol, or such an index; a frame or an index of times, all
                different, of one symbol; anything else has rows of one symbol, oldest first.
            horizon: How many rows of its symbol ahead a label is known.

        Raises:
            InvalidValueError: Several rows have one time and, if there are symbols, one symbol.
        """
        index = getattr(rows, "index", rows) if isinstance(rows, pd.DataFrame | pd.Series) else rows
        if isinstance(index, pd.MultiIndex):
            times, symbols = _levels(index)
        elif isinstance(index, pd.Index | np.ndarray | list) and _is_time(index):
            times = np.unique(pd.DatetimeIndex(index), return_inverse=True)[1].astype(np.intp)
            symbols = np.zeros(len(times), dtype=np.intp)
        else:
            times = np.arange(len(index), dtype=np.intp)
            symbols = np.zeros(len(times), dtype=np.intp)
        order = np.lexsort((times, symbols))
        same = symbols[order][1:] == symbols[order][:-1]
        if (same & (times[order][1:] == times[order][:-1])).any():
            raise InvalidValueError(
                "several rows have one time and no symbol tells them apart",
                hint="give the rows an index of time and symbol: pandas.MultiIndex.from_arrays([times, symbols])",
            )
        count = int(times.max()) + 1 if len(times) else 0
        known = np.full(len(times), count, dtype=np.intp)
        ahead = max(len(times) - horizon, 0)
        later = symbols[order][horizon:] == symbols[order][:ahead]
        known[order[:ahead][later]] = times[order[horizon:][later]]
        return cls(times, known, symbols, count)


@dataclass(frozen=True)
class WalkForwardSplit:
    """Folds that go forward in time, for :func:`sklearn.model_selection.cross_val_score` and its kin.

    The test parts follow one another and end with the last time. Each is tested by what was trained on rows before it
    whose labels were known ``embargo`` times before its first time, or earlier.

    Rows are told apart by ``groups`` or, without it, by the index of ``X``: a MultiIndex of time and symbol for a
    panel, times for one symbol. Rows without times, as of an array, are taken as one symbol's, oldest first. A panel
    as an array needs ``groups``.

    Args:
        n_splits: How many folds.
        horizon: How many rows of its symbol ahead a label is known.
        embargo: How many times more to leave out before a test part.
        train_size: Train on so many of the newest times (rolling); by default on all (expanding).
        test_size: Times in each test part; by default an equal share of all.

    Raises:
        InvalidValueError: A number is out of its range.
    """

    n_splits: int = 5
    horizon: int = 1
    embargo: int = 0
    train_size: int | None = None
    test_size: int | None = None

    def __post_init__(self) -> None:
        least = {"n_splits": 1, "horizon": 1, "embargo": 0, "train_size": 1, "test_size": 1}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least[item.name]:
                raise InvalidValueError(f"{item.name} must be a whole number from {least[item.name]}, not {value!r}")

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002, N803
        """Return the number of folds; the arguments are scikit-learn's and change nothing."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:  # noqa: ARG002, N803
        """Iterate over the folds, oldest first: row numbers to train on and row numbers to test on, each ascending.

        Raises:
            InvalidValueError: There are too few times, a fold has no row to train on, or rows cannot be told apart.
        """
        if groups is not None and len(groups) != _length(X):
            raise InvalidValueError(f"X has {_length(X)} rows and groups {len(groups)}")
        for number, (train, test) in enumerate(self.folds(X if groups is None else groups), start=1):
            if not len(train):
                raise InvalidValueError(
                    f"fold {number} of {self.n_splits} has no row to train on: horizon {self.horizon} and embargo "
                    f"{self.embargo} leave none",
                    hint="fewer or smaller test parts, or more data",
                )
            yield train, test

    def folds(self, rows: Any) -> Iterator[tuple[Rows, Rows]]:
        """Iterate over the folds as :meth:`split` does, also over those that have no row to train on.

        Raises:
            InvalidValueError: There are too few times, or rows cannot be told apart.
        """
        timeline = Timeline.of(_rows(rows), self.horizon)
        size = self.test_size or timeline.count // (self.n_splits + 1)
        first = timeline.count - self.n_splits * size
        if size < 1 or first < 1:
            raise InvalidValueError(f"{timeline.count} times are too few for {self.n_splits} test parts of {size or 1}")
        for start in range(first, timeline.count, size):
            train = timeline.known < start - self.embargo
            if self.train_size is not None and train.any():
                newest = np.unique(timeline.times[train])[-self.train_size :]
                train &= timeline.times >= newest[0]
            test = (timeline.times >= start) & (timeline.times < start + size)
            yield np.flatnonzero(train), np.flatnonzero(test)


def hold_out(rows: Any, test_size: float = 0.2, horizon: int = 1) -> tuple[Rows, Rows]:
    """Return the row numbers to train on and, of the newest times, those to test on.

    Args:
        rows: As :meth:`Timeline.of` takes them.
        test_size: Share of the times to test on, above 0 and below 1; rounded up to whole times.
        horizon: How many rows of its symbol ahead a label is known; so many rows between the parts are in neither.

    Raises:
        InvalidValueError: ``test_size`` is out of range, or no row is left to train on.
    """
    if not 0 < test_size < 1:
        raise InvalidValueError(f"test_size must be above 0 and below 1, not {test_size!r}")
    count = Timeline.of(rows, horizon).count
    tested = math.ceil(count * test_size)
    if count > tested:
        for train, test in WalkForwardSplit(1, horizon, test_size=tested).folds(rows):
            if len(train):
                return train, test
    raise InvalidValueError(
        f"{count} times leave none to train on with test_size {test_size} and a label {horizon} rows ahead"
    )


def _rows(rows: Any) -> Any:
    return rows if isinstance(rows, pd.DataFrame | pd.Series | pd.Index | list) else np.asarray(rows)


def _length(rows: Any) -> int:
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def _is_time(index: Any) -> bool:
    found = pd.Index(index) if np.ndim(index) == 1 else None
    return isinstance(found, pd.DatetimeIndex)


def _levels(index: pd.MultiIndex) -> tuple[Rows, Rows]:
    """Return times and symbols of a panel's index as numbers, the times in order."""
    if index.nlevels != 2:
        raise InvalidValueError(f"a panel's index has two levels, time and symbol, not {index.nlevels}")
    places = [place for place in (0, 1) if isinstance(index.levels[place], pd.DatetimeIndex)]
    if len(places) != 1:
        raise InvalidValueError("one level of a panel's index holds times, the other symbols")
    times = np.unique(index.get_level_values(places[0]), return_inverse=True)[1]
    symbols = pd.factorize(index.get_level_values(1 - places[0]))[0]
    if (symbols < 0).any() or index.get_level_values(places[0]).hasnans:
        raise InvalidValueError("a row of the panel has no time or no symbol")
    return times.astype(np.intp), symbols.astype(np.intp)
