"""Nothing that a model is trained on comes from its future."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from friday_store.errors import InvalidValueError, PluginError
from friday_store.market.evaluation import naive_forecast
from friday_store.market.features import NOT_FEATURES, prepare_ohlcv
from friday_store.market.samples import Samples
from friday_store.market.splitting import hold_out
from friday_store.market.targets import PredictionTarget, labels

if TYPE_CHECKING:
    from friday_store.hookspecs import Task

TARGETS = st.sampled_from(list(PredictionTarget))
HORIZONS = st.integers(1, 40)


def bars(rows: int, seed: int) -> pd.DataFrame:
    """Return raw bars of a random walk."""
    draw = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(draw.normal(0, 0.03, rows)))
    columns = {"open": close * 1.001, "high": close * 1.02, "low": close * 0.98, "close": close}
    index = pd.date_range("2021-01-01", periods=rows, freq="h", name="date")
    return pd.DataFrame({**columns, "volume": draw.integers(0, 100, rows).astype("float64")}, index=index)


def changed_after(frame: pd.DataFrame, cut: int, seed: int, factor: float) -> pd.DataFrame:
    """Return the bars with everything after a row replaced."""
    other = bars(len(frame), seed) * factor
    return pd.concat([frame.iloc[:cut], other.iloc[cut:]])


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(51, 160), cut=st.integers(1, 160), seed=st.integers(0, 99), factor=st.floats(1e-3, 1e3))
def test_the_future_changes_no_feature_row_before_it(rows: int, cut: int, seed: int, factor: float) -> None:
    """Features up to a bar are the same bits whatever comes after it."""
    assume(cut < rows)
    frame = bars(rows, seed)
    until = frame.index[cut - 1]
    before = prepare_ohlcv(frame).loc[:until]
    after = prepare_ohlcv(changed_after(frame, cut, seed + 1, factor)).loc[:until]
    pd.testing.assert_frame_equal(before, after, check_exact=True)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(51, 160), cut=st.integers(1, 160), seed=st.integers(0, 99), split=st.floats(0.05, 20))
def test_adjusted_prices_tell_nothing_of_a_later_split(rows: int, cut: int, seed: int, split: float) -> None:
    """A later split rescales every adjusted price before it, and the bars after it are others; the features stay."""
    assume(cut < rows)
    frame = bars(rows, seed)
    dividends = np.cumprod(1 - np.random.default_rng(seed).choice([0, 0.01], rows, p=[0.95, 0.05]))
    adjusted = frame.assign(**{"Adj Close": frame["close"] * dividends})
    later = changed_after(frame, cut, seed + 1, split).assign(**{"Adj Close": frame["close"] * dividends / split})
    later.loc[later.index[cut:], "Adj Close"] = later["close"].iloc[cut:]
    until = frame.index[cut - 1]
    before, after = prepare_ohlcv(adjusted).loc[:until], prepare_ohlcv(later).loc[:until]
    features = [name for name in before.columns if name not in NOT_FEATURES]
    pd.testing.assert_frame_equal(before[features], after[features], rtol=1e-6, atol=1e-9)


class Deepest:
    """A target of a plugin: the lowest low of the bars ahead, and of some more than it is asked for."""

    name = "deepest"
    task: Task = "regression"
    baseline = "zero"
    of_price = False

    def __init__(self, further: int, told: int) -> None:
        self.further = further
        self.told = told

    def labels(self, bars: pd.DataFrame, horizon: int) -> pd.Series[Any]:
        """Return the lowest low over the close, less 1."""
        ahead = horizon + self.further
        return bars["low"].rolling(ahead).min().shift(-ahead) / bars["close"] - 1

    def reach(self, horizon: int) -> int:
        """Return what it says that it uses."""
        return horizon + self.told

    def naive(self, y: Any, horizon: int, close: Any) -> Any:
        """Return zero for each row."""
        return np.zeros(len(y))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(60, 120),
    horizon=st.integers(1, 10),
    beyond=st.tuples(st.integers(0, 6), st.integers(0, 9)),
    test_size=st.floats(0.1, 0.5),
    seed=st.integers(0, 99),
)
def test_the_future_of_a_plugins_target_stays_out_of_training(
    rows: int, horizon: int, beyond: tuple[int, int], test_size: float, seed: int
) -> None:
    """Bars of the test part change no training label of a target that reaches beyond its horizon, if it says so.

    One that labels rows whose future it says is not known is refused.
    """
    (further, told), frame = beyond, bars(rows, seed).assign(signal=1.0)
    target = Deepest(further, told)
    if told > further:
        with pytest.raises(PluginError, match="labels some of the last"):
            Samples.of_data(frame, target, horizon)
        return
    samples = Samples.of_data(frame, target, horizon)
    train, test = hold_out(samples.features, test_size, samples.gap)
    places = frame.index.get_indexer(samples.labels.index)
    first = int(places[test].min())
    other = Samples.of_data(changed_after(frame, first, seed + 1, 0.5).assign(signal=1.0), target, horizon)
    same = np.isclose(samples.labels.iloc[train], other.labels.iloc[train], rtol=1e-12)
    assert same.all() or told < further, "a training label uses a price of the test part"


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(2, 120), horizon=HORIZONS, cut=st.integers(1, 120), target=TARGETS, seed=st.integers(0, 99))
def test_a_label_looks_exactly_its_horizon_ahead(
    rows: int, horizon: int, cut: int, target: PredictionTarget, seed: int
) -> None:
    """Prices from a bar on change no label whose window ends before it, and every row with a future has a label."""
    assume(cut < rows)
    close = bars(rows, seed)["close"]
    changed = changed_after(bars(rows, seed), cut, seed + 1, 2.0)["close"]
    y, other = labels(close, target, horizon), labels(changed, target, horizon)
    assert max(rows - horizon, 0) == len(y)
    safe = max(cut - horizon, 0)
    np.testing.assert_allclose(y.iloc[:safe], other.iloc[:safe], rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    horizon=st.integers(1, 10),
    test_size=st.floats(0.1, 0.5),
    target=TARGETS,
    gaps=st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["close", "signal"])), max_size=30),
)
def test_gaps_in_the_data_do_not_break_the_purge(
    horizon: int, test_size: float, target: PredictionTarget, gaps: list[tuple[int, str]]
) -> None:
    """With rows missing here and there, training labels still end before the first test row, counted in bars."""
    data = bars(100, 3)[["close"]].assign(signal=1.0)
    for row, name in gaps:
        data.loc[data.index[row], name] = np.nan
    samples = Samples.of_data(data, target, horizon)
    assume(len(samples) > 0)
    try:
        train, test = hold_out(samples.features, test_size, horizon)
    except InvalidValueError:
        return
    places = data.index.get_indexer(samples.labels.index)
    assert places[train].max() + horizon < places[test].min()
    assert not samples.features.isna().any(axis=None)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 80), horizon=st.integers(1, 20), row=st.integers(0, 79))
def test_the_naive_volatility_knows_no_later_label(rows: int, horizon: int, row: int) -> None:
    """Labels that are not yet known at a row do not change its naive forecast."""
    assume(row < rows)
    y = np.random.default_rng(rows).random(rows)
    other = y.copy()
    other[max(row - horizon + 1, 0) :] += 1.0
    before = naive_forecast(PredictionTarget.VOLATILITY, y, horizon)[row]
    after = naive_forecast(PredictionTarget.VOLATILITY, other, horizon)[row]
    np.testing.assert_equal(before, after)
