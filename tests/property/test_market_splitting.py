"""No training label window overlaps a test row, whatever the data and the settings."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, check_cv, cross_val_score

from friday_store.errors import InvalidValueError
from friday_store.market import WalkForwardSplit
from friday_store.market.splitting import hold_out

DAYS = pd.date_range("2020-01-01", periods=400)


@st.composite
def panels(draw: st.DrawFn) -> pd.MultiIndex:
    """Return the index of a panel: each symbol has some of the days, and rows come in any order."""
    calendars = draw(st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=1, max_size=4))
    rows = [(DAYS[day], f"S{number}") for number, days in enumerate(calendars) for day in sorted(days)]
    return pd.MultiIndex.from_tuples(draw(st.permutations(rows)), names=["date", "symbol"])


@st.composite
def splitters(draw: st.DrawFn) -> WalkForwardSplit:
    """Return a splitter with any settings."""
    size = st.none() | st.integers(1, 20)
    n_splits, horizon, embargo = draw(st.integers(1, 5)), draw(st.integers(1, 15)), draw(st.integers(0, 6))
    return WalkForwardSplit(n_splits, horizon, embargo, draw(size), draw(size))


def windows(index: pd.MultiIndex, horizon: int) -> dict[int, pd.Timestamp | None]:
    """Return for each row when the last price of its label is, found by looking; None when it is not in the panel."""
    found: dict[int, pd.Timestamp | None] = {}
    for row, (time, symbol) in enumerate(index):
        later = sorted(other for other, name in index if name == symbol and other > time)
        found[row] = later[horizon - 1] if len(later) >= horizon else None
    return found


@settings(max_examples=150, deadline=None)
@given(index=panels(), splitter=splitters())
def test_no_training_label_window_overlaps_a_test_row(index: pd.MultiIndex, splitter: WalkForwardSplit) -> None:
    """Every label in training was known, embargo included, before the first test time; nothing else is left out."""
    times = index.get_level_values("date")
    frame = pd.DataFrame({"x": np.arange(len(index), dtype="float64")}, index=index)
    try:
        folds = list(splitter.split(frame))
    except InvalidValueError:
        return
    assert len(folds) == splitter.get_n_splits()
    ends, distinct = windows(index, splitter.horizon), sorted(set(times))
    for train, test in folds:
        begin = times[test].min()
        limit = distinct[max(distinct.index(begin) - splitter.embargo, 0)]
        allowed = {row for row, end in ends.items() if end is not None and end < limit}
        assert set(train) <= allowed
        newest = sorted({times[row] for row in allowed})[-(splitter.train_size or len(distinct)) :]
        assert {row for row in allowed if times[row] >= newest[0]} == set(train)
        assert {row for row in range(len(index)) if begin <= times[row] <= times[test].max()} == set(test)
    tested = np.concatenate([test for _, test in folds])
    assert len(set(tested)) == len(tested)
    assert times[tested].max() == times.max()
    assert all(times[one[1]].max() < times[two[1]].min() for one, two in pairwise(folds))


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(2, 120), splitter=splitters(), dated=st.booleans())
def test_one_symbol_is_split_as_scikit_learn_splits_it(rows: int, splitter: WalkForwardSplit, dated: bool) -> None:
    """With the horizon and the embargo as its gap, TimeSeriesSplit gives the same folds."""
    assume(splitter.n_splits > 1)
    other = TimeSeriesSplit(
        splitter.n_splits,
        gap=splitter.horizon + splitter.embargo,
        max_train_size=splitter.train_size,
        test_size=splitter.test_size,
    )
    x = pd.DataFrame({"x": np.zeros(rows)}, index=DAYS[:rows]) if dated else np.zeros((rows, 1))
    try:
        expected = [(train.tolist(), test.tolist()) for train, test in other.split(x)]
    except ValueError:
        with pytest.raises(InvalidValueError):
            list(splitter.split(x))
        return
    assert all(train for train, _ in expected)
    assert expected == [(train.tolist(), test.tolist()) for train, test in splitter.split(x)]


def panel(symbols: int = 3, days: int = 60) -> tuple[pd.DataFrame, pd.Series[float]]:
    """Return features and labels of a panel without gaps, by date and then by symbol."""
    index = pd.MultiIndex.from_product([DAYS[:days], [f"S{number}" for number in range(symbols)]])
    draw = np.random.default_rng(0)
    x = pd.DataFrame(draw.normal(size=(len(index), 3)), index=index, columns=["a", "b", "c"])
    return x, pd.Series(draw.normal(size=len(index)), index=index)


def test_scikit_learn_takes_it() -> None:
    """check_cv, cross_val_score and a grid search run on it, with the index of X or with groups for an array."""
    x, y = panel()
    splitter = WalkForwardSplit(4, horizon=2)
    assert check_cv(splitter) is splitter
    scores = cross_val_score(Ridge(), x, y, cv=splitter)
    assert len(scores) == 4
    by_groups = cross_val_score(Ridge(), x.to_numpy(), y.to_numpy(), cv=splitter, groups=x.index)
    np.testing.assert_array_equal(scores, by_groups)
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=splitter).fit(x, y)
    assert search.n_splits_ == 4
    assert search.best_score_ >= scores.mean()
    times = x.loc[(slice(None), "S0"), :].index.get_level_values(0)
    alone = np.zeros((60, 1))
    assert len(cross_val_score(DummyRegressor(), alone, alone[:, 0], cv=splitter, groups=times, scoring="r2")) == 4


def test_all_symbols_of_a_time_are_on_one_side() -> None:
    """A stack of symbols is not split by row."""
    x, _ = panel()
    for train, test in WalkForwardSplit(3, horizon=5).split(x):
        days = x.index.get_level_values(0)
        assert len(test) % 3 == 0
        assert days[train].max() + pd.Timedelta(days=5) < days[test].min()


@settings(max_examples=100, deadline=None)
@given(index=panels(), horizon=st.integers(1, 15), test_size=st.floats(0.01, 0.99))
def test_a_hold_out_is_the_newest_times(index: pd.MultiIndex, horizon: int, test_size: float) -> None:
    """The share of times, rounded up, is tested on; what is trained on was known before the first of them."""
    times = index.get_level_values("date")
    distinct = sorted(set(times))
    tested = distinct[-math.ceil(len(distinct) * test_size) :]
    allowed = [row for row, end in windows(index, horizon).items() if end is not None and end < tested[0]]
    if not allowed:
        with pytest.raises(InvalidValueError, match="leave none to train on"):
            hold_out(index, test_size, horizon)
        return
    train, test = hold_out(index, test_size, horizon)
    assert allowed == train.tolist()
    assert [row for row, time in enumerate(times) if time in tested] == test.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_splits": 0},
        {"horizon": 0},
        {"embargo": -1},
        {"train_size": 0},
        {"test_size": 1.5},
        {"n_splits": True},
        {"n_splits": None},
    ],
)
def test_a_number_out_of_range_is_refused_by_name(wrong: dict[str, object]) -> None:
    """When the splitter is made, not when it is used."""
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        WalkForwardSplit(**wrong)  # type: ignore[arg-type]


def test_rows_that_cannot_be_told_apart_are_refused() -> None:
    """A stacked panel without symbols, groups of another length and odd indexes say what is missing."""
    x, _ = panel()
    stacked = x.droplevel(1)
    with pytest.raises(InvalidValueError, match="no symbol tells them apart"):
        list(WalkForwardSplit().split(stacked))
    with pytest.raises(InvalidValueError, match="180 rows and groups 10"):
        list(WalkForwardSplit().split(x, groups=x.index[:10]))
    with pytest.raises(InvalidValueError, match="two levels"):
        list(WalkForwardSplit().split(pd.concat({"a": x})))
    with pytest.raises(InvalidValueError, match="holds times"):
        list(WalkForwardSplit().split(x.set_axis(pd.MultiIndex.from_product([range(60), list("abc")]))))
    with pytest.raises(InvalidValueError, match="too few"):
        list(WalkForwardSplit(5).split(x.iloc[:9]))
    with pytest.raises(InvalidValueError, match="no row to train on"):
        list(WalkForwardSplit(2, horizon=25).split(x))
