"""Features of a bar that are computed from that bar and those before it, and the processed file that holds them.

Sources: RSI, ATR and their smoothing from J. W. Wilder, *New Concepts in Technical Trading Systems* (1978); MACD from
G. Appel, *Technical Analysis* (2005); bands from J. Bollinger, *Bollinger on Bollinger Bands* (2001). All are ratios,
so that they mean the same at any price: no feature holds a price or a volume as such.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from friday_store.default_plugins.targets import log_returns
from friday_store.errors import InvalidValueError, StorageError
from friday_store.market.data import file_name, tidy

if TYPE_CHECKING:
    Column = pd.Series[Any]

PRICE_COLUMNS = ("open", "high", "low", "close", "volume")
NOT_FEATURES = (*PRICE_COLUMNS, "vwap", "adj_close")
ADJUSTED = ("adj_close", "adjclose", "adjusted_close", "adj._close")
RETURN_BARS = (1, 2, 5, 10, 20)
AVERAGE_BARS = (5, 10, 20, 50)


def adjust(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with open, high, low and close as adjusted for splits and dividends.

    The column ``adj_close`` (``Adj Close``, ``adjclose``, ``adjusted_close``) becomes the close, the other prices
    are scaled by ``adj_close / close``, and it goes away. Volume stays as it is. Without that column the frame
    comes back as a tidy copy.

    Raises:
        InvalidValueError: As :func:`~friday_store.market.data.tidy`, or a price column is missing or not numeric.
    """
    adjusted = tidy(frame)
    adjusted = adjusted.rename(columns=dict.fromkeys(ADJUSTED, "adj_close"))
    missing = [name for name in PRICE_COLUMNS if name not in adjusted.columns]
    if missing:
        raise InvalidValueError(f"no column {', '.join(missing)}; there are {', '.join(adjusted.columns)}")
    for name in PRICE_COLUMNS:
        if not pd.api.types.is_numeric_dtype(adjusted[name].dtype):
            raise InvalidValueError(f"column {name!r} is not numeric but {adjusted[name].dtype}")
        adjusted[name] = adjusted[name].astype("float64")
    if "adj_close" in adjusted.columns:
        target = adjusted.pop("adj_close").astype("float64")
        factor = target / adjusted["close"]
        for name in ("open", "high", "low"):
            adjusted[name] = adjusted[name] * factor
        adjusted["close"] = target
    return adjusted


def is_adjusted(frame: pd.DataFrame) -> bool:
    """Whether a frame of lower-case columns has an adjusted close, by which :func:`adjust` scales the prices."""
    return any(name in frame.columns for name in ADJUSTED)


def prepare_ohlcv(frame: pd.DataFrame) -> pd.DataFrame:
    """Return prices and features of raw bars.

    Args:
        frame: Columns open, high, low, close, volume in any case, one row per bar; time as
            :func:`~friday_store.market.data.tidy` takes it. With an adjusted close, :func:`adjust` comes first.

    Returns:
        A frame with the five price columns, which are not features, and after them: ``return_<n>`` and
        ``log_return``; ``sma_ratio_<n>`` and ``ema_ratio_20`` (close over average, less 1); ``atr_14`` and ``macd``,
        ``macd_signal`` (over close); ``rsi_14`` (0 to 1); ``bollinger_b``, ``bollinger_width``; ``volatility_10``,
        ``volatility_20`` (population standard deviation of log returns); ``volume_ratio_20`` (1 where no volume is
        reported); ``range`` (high less low, over close); ``day_of_week`` (Monday 0). The first rows, up to the first
        that has every feature, are not in it: 49 where nothing is missing. Later rows with a gap stay, as NaN.

    Raises:
        InvalidValueError: As :func:`adjust`, or a close that is not positive.
    """
    bars = adjust(frame)[list(PRICE_COLUMNS)]
    if (bars["close"] <= 0).any():
        raise InvalidValueError(f"a close must be positive; it is not at {bars.index[bars['close'] <= 0][0]}")
    columns = {**_trend(bars["close"]), **_oscillators(bars), **_spread(bars)}
    features = pd.DataFrame(columns, index=bars.index)
    features["day_of_week"] = pd.DatetimeIndex(bars.index).day_of_week.astype("float64")
    complete = np.flatnonzero(features.notna().all(axis=1))
    start = int(complete[0]) if len(complete) else len(bars)
    return pd.concat([bars, features], axis=1).iloc[start:]


def _trend(close: Column) -> dict[str, Column]:
    columns = {f"return_{bars}": close / close.shift(bars) - 1 for bars in RETURN_BARS}
    columns["log_return"] = log_returns(close)
    for bars in AVERAGE_BARS:
        columns[f"sma_ratio_{bars}"] = close / close.rolling(bars).mean() - 1
    columns["ema_ratio_20"] = close / _ema(close, 20) - 1
    return columns


def _oscillators(bars: pd.DataFrame) -> dict[str, Column]:
    close, before = bars["close"], bars["close"].shift(1)
    ranges = pd.concat([bars["high"] - bars["low"], bars["high"] - before, bars["low"] - before], axis=1)
    true_range = ranges.abs().max(axis=1).where(before.notna())
    change = close.diff()
    gain, loss = _wilder(change.clip(lower=0)), _wilder(-change.clip(upper=0))
    moved = gain + loss
    macd = _ema(close, 12) - _ema(close, 26)
    return {
        "atr_14": _wilder(true_range) / close,
        "rsi_14": (gain / moved).mask(moved == 0, 0.5),
        "macd": macd / close,
        "macd_signal": _ema(macd, 9) / close,
    }


def _spread(bars: pd.DataFrame) -> dict[str, Column]:
    close, volume = bars["close"], bars["volume"]
    steps = log_returns(close)
    middle, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    usual = volume.rolling(20).mean()
    return {
        "bollinger_b": ((close - middle) / (4 * deviation) + 0.5).mask(deviation == 0, 0.5),
        "bollinger_width": 4 * deviation / middle,
        "volatility_10": steps.rolling(10).std(ddof=0),
        "volatility_20": steps.rolling(20).std(ddof=0),
        "volume_ratio_20": (volume / usual).mask(usual == 0, 1.0),
        "range": (bars["high"] - bars["low"]) / close,
    }


def _ema(values: Column, bars: int) -> Column:
    return values.ewm(span=bars, min_periods=bars, adjust=False).mean()


def _wilder(values: Column) -> Column:
    return values.ewm(alpha=1 / 14, min_periods=14, adjust=False).mean()


def write_processed(frame: pd.DataFrame, directory: Path | str, symbol: str, timeframe: str) -> Path:
    """Write ``<directory>/<symbol>/<symbol>_<timeframe>_processed.csv`` whole or not at all, and return its path.

    The index becomes the column ``date``; numbers are written so that reading gives back the same bits. A month is
    spelled ``1mo``, so that it and the minute have two files on a disk that ignores case. A file that is there is
    replaced.

    Raises:
        InvalidValueError: The symbol cannot be a file name, or the timeframe is unknown.
        StorageError: The file cannot be written.
    """
    path = Path(directory) / symbol / file_name(symbol, timeframe)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                frame.to_csv(stream, index_label="date", lineterminator="\n")
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    return path
