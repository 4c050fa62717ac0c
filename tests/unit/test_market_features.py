"""What the features, the processed file and the demonstration's prices promise."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from friday_store.errors import InvalidValueError, PluginError, StorageError
from friday_store.market.data import load
from friday_store.market.demo_data import stocks
from friday_store.market.features import PRICE_COLUMNS, adjust, prepare_ohlcv, write_processed

if TYPE_CHECKING:
    from pathlib import Path


def raw(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Return bars of a random walk."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.02, rows)))
    opened = close * np.exp(draw.normal(0, 0.005, rows))
    high, low = np.maximum(opened, close) * 1.01, np.minimum(opened, close) * 0.99
    volume = draw.integers(1_000, 2_000, rows)
    index = pd.date_range("2023-01-02", periods=rows, freq="B", name="date")
    return pd.DataFrame({"Open": opened, "High": high, "Low": low, "Close": close, "Volume": volume}, index=index)


def wilder(values: list[float]) -> list[float]:
    """Return Wilder's running average, one value at a time."""
    average = [values[0]]
    for value in values[1:]:
        average.append(average[-1] + (value - average[-1]) / 14)
    return average


def test_the_first_complete_row_is_the_fiftieth() -> None:
    """Warm-up rows are gone, all later rows are there without a gap, and names are lower case."""
    frame = prepare_ohlcv(raw())
    assert raw().index[49:].equals(frame.index)
    assert not frame.isna().any().any()
    assert [name.lower() for name in frame.columns] == list(frame.columns)
    assert list(PRICE_COLUMNS) == list(frame.columns[:5])


def test_returns_and_averages_are_what_they_say() -> None:
    """The last row agrees with the formulas, computed by hand."""
    close = raw()["Close"].to_numpy()
    row = prepare_ohlcv(raw()).iloc[-1]
    for bars in (1, 2, 5, 10, 20):
        assert row[f"return_{bars}"] == pytest.approx(close[-1] / close[-1 - bars] - 1, rel=1e-12)
    for bars in (5, 10, 20, 50):
        assert row[f"sma_ratio_{bars}"] == pytest.approx(close[-1] / close[-bars:].mean() - 1, rel=1e-9)
    steps = np.diff(np.log(close))
    assert row["log_return"] == pytest.approx(steps[-1], rel=1e-12)
    assert row["volatility_10"] == pytest.approx(steps[-10:].std(), rel=1e-9)
    band = 2 * close[-20:].std()
    assert row["bollinger_b"] == pytest.approx((close[-1] - close[-20:].mean() + band) / (2 * band), rel=1e-9)
    assert row["bollinger_width"] == pytest.approx(2 * band / close[-20:].mean(), rel=1e-9)


def test_rsi_and_atr_are_smoothed_as_wilder_did() -> None:
    """Both agree with a loop over the bars."""
    bars = raw()
    change = np.diff(bars["Close"])
    gain, loss = wilder(np.maximum(change, 0).tolist()), wilder(np.maximum(-change, 0).tolist())
    before = bars["Close"].to_numpy()[:-1]
    high, low = bars["High"].to_numpy()[1:], bars["Low"].to_numpy()[1:]
    ranges = np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))
    row = prepare_ohlcv(bars).iloc[-1]
    assert row["rsi_14"] == pytest.approx(gain[-1] / (gain[-1] + loss[-1]), rel=1e-12)
    assert row["atr_14"] == pytest.approx(wilder(ranges.tolist())[-1] / bars["Close"].iloc[-1], rel=1e-12)


def test_a_price_that_stands_still_has_features() -> None:
    """No movement and no volume are the middle and the usual, not a gap."""
    frame = raw()
    frame[["Open", "High", "Low", "Close"]] = 5.0
    frame["Volume"] = 0
    row = prepare_ohlcv(frame).iloc[-1]
    assert (row["rsi_14"], row["bollinger_b"], row["volume_ratio_20"], row["volatility_20"]) == (0.5, 0.5, 1.0, 0.0)


def test_a_gap_in_the_middle_stays_where_it_is() -> None:
    """Rows after the warm-up are kept, so that a horizon still counts bars."""
    frame = raw()
    frame.loc[frame.index[100], "Close"] = np.nan
    prepared = prepare_ohlcv(frame)
    assert raw().index[49:].equals(prepared.index)
    assert prepared.loc[frame.index[100]].isna().any()


def test_too_few_bars_give_no_rows() -> None:
    """Fewer bars than the warm-up are no error."""
    assert len(prepare_ohlcv(raw(49))) == 0
    assert len(prepare_ohlcv(raw(50))) == 1


@pytest.mark.parametrize("name", ["Adj Close", "adj_close", "AdjClose", "Adjusted Close", "Adj. Close"])
def test_an_adjusted_close_scales_the_other_prices(name: str) -> None:
    """A split leaves no false move, whatever the column is called."""
    bars = raw()
    quoted = bars.copy()
    quoted.iloc[:60, :4] *= 2
    quoted[name] = bars["Close"]
    pd.testing.assert_frame_equal(adjust(bars), adjust(quoted), rtol=1e-12)
    assert list(PRICE_COLUMNS) == list(adjust(quoted).columns)


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (raw().drop(columns="Volume"), "no column volume"),
        (raw().assign(Close="ten"), "'close' is not numeric"),
        (raw().assign(Close=-1.0), "must be positive"),
    ],
)
def test_bars_that_cannot_be_used_are_refused(frame: pd.DataFrame, problem: str) -> None:
    """A missing column, text and a price below zero are named."""
    with pytest.raises(InvalidValueError, match=problem):
        prepare_ohlcv(frame)


def test_a_processed_file_gives_back_the_same_bits(tmp_path: Path) -> None:
    """What is written is what is read, to the last bit, in the documented place."""
    frame = prepare_ohlcv(raw())
    path = write_processed(frame, tmp_path, "NSE_TCS", "1d")
    assert tmp_path / "NSE_TCS" / "NSE_TCS_1d_processed.csv" == path
    pd.testing.assert_frame_equal(frame, load(path), check_exact=True, check_freq=False)
    assert path.read_text().startswith("date,open,high,low,close,volume,return_1,")


def test_times_with_a_zone_survive_the_file(tmp_path: Path) -> None:
    """An instant stays the same instant."""
    frame = prepare_ohlcv(raw().tz_localize("UTC"))
    assert frame.index.tolist() == load(write_processed(frame, tmp_path, "X", "1h")).index.tolist()


def test_writing_replaces_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    """A second write replaces the first, and no draft is left behind."""
    write_processed(prepare_ohlcv(raw()), tmp_path, "X", "1d")
    path = write_processed(prepare_ohlcv(raw(80)), tmp_path, "X", "1d")
    assert [path] == list(path.parent.iterdir())
    assert len(load(path)) == 31


def test_defect_24_minute_and_month_files_live_side_by_side(tmp_path: Path) -> None:
    """Writing the month does not replace the minute, on a disk that ignores case too."""
    paths = [write_processed(prepare_ohlcv(raw()), tmp_path, "X", timeframe) for timeframe in ("1m", "1M")]
    assert len({path.name.lower() for path in paths}) == 2


def test_a_place_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path) -> None:
    """The folder's name is taken by a file."""
    (tmp_path / "X").write_text("")
    with pytest.raises(StorageError, match="X_1d_processed"):
        write_processed(prepare_ohlcv(raw()), tmp_path, "X", "1d")


def test_the_demonstration_has_five_symbols() -> None:
    """The prices are there without a network, in the form that the features take."""
    pytest.importorskip("bokeh_sampledata")
    frames = stocks()
    assert {symbol: len(frame) for symbol, frame in frames.items()} == {
        "AAPL": 3270,
        "FB": 196,
        "GOOG": 2148,
        "IBM": 3270,
        "MSFT": 3270,
    }
    assert all(list(PRICE_COLUMNS) == list(frame.columns) for frame in frames.values())


def test_a_split_is_not_a_fall() -> None:
    """As quoted, MSFT fell by 48 % on 2003-02-18; adjusted, by less than 5 %."""
    pytest.importorskip("bokeh_sampledata")
    moves = stocks()["MSFT"]["close"].pct_change()
    assert abs(moves.loc["2003-02-18"]) < 0.05
    assert moves.abs().max() < 0.2


def test_a_demonstration_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is a command."""
    monkeypatch.setitem(sys.modules, "bokeh_sampledata", None)
    with pytest.raises(PluginError, match="bokeh-sampledata") as caught:
        stocks()
    assert caught.value.hint == "pip install 'friday-store[demo]'"
