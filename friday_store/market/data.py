"""Files of market data: which there are, what is in them, and whether that can be used.

A file is ``<anywhere>/<SYMBOL>_<timeframe>_<rest>.csv`` or ``.parquet``. The name is read from the right with the
timeframes of :data:`TIMEFRAMES`, so a symbol may hold ``_``, as in ``NSE_TCS_1d_processed.csv``, and ``- . ^ =``.
Case tells ``1m`` (a minute) from ``1M`` (a month); since many disks cannot, a file may spell the month ``1mo``, and
:func:`file_name` does.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from blake3 import blake3

from friday_store.errors import InvalidValueError, PluginError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("friday_store.market")

TIMEFRAMES = ("tick", "1m", "5m", "10m", "15m", "30m", "1h", "4h", "1d", "1w", "1M")
TIME_COLUMNS = ("timestamp", "date", "datetime", "time")
SUFFIXES = (".csv", ".parquet")
MONTH_ON_DISK = "1mo"

# pandas 3.0 loses the last bit of a third of all numbers unless told not to; 3.1 does not, and deprecates the option.
_EXACT: dict[str, Any] = {"float_precision": "round_trip"} if pd.__version__.startswith("3.0.") else {}
_SYMBOL = re.compile(r"[A-Za-z0-9^._=-]*[A-Za-z0-9][A-Za-z0-9^._=-]*")


def check_timeframe(timeframe: str) -> str:
    """Return ``timeframe`` when it is one of :data:`TIMEFRAMES`, in exactly that case.

    Raises:
        InvalidValueError: It is not.
    """
    if timeframe not in TIMEFRAMES:
        raise InvalidValueError(f"{timeframe!r} is not a timeframe; choose one of {', '.join(TIMEFRAMES)}")
    return timeframe


def file_name(symbol: str, timeframe: str) -> str:
    """Return the name of the processed file, one that no other pair has, on a disk that ignores case too.

    Raises:
        InvalidValueError: The symbol cannot be a file name, or the timeframe is unknown.
    """
    if not _SYMBOL.fullmatch(symbol):
        raise InvalidValueError(f"{symbol!r} cannot be a symbol: letters, digits and any of _ - . ^ = only")
    word = MONTH_ON_DISK if check_timeframe(timeframe) == "1M" else timeframe
    return f"{symbol}_{word}_processed.csv"


def parse_name(name: str) -> tuple[str, str] | None:
    """Return symbol and timeframe of a file name, or None when it is not the name of market data.

    The timeframe is the rightmost word, between two ``_``, that is one; what stands before it is the symbol.
    """
    path = Path(name)
    if path.suffix.lower() not in SUFFIXES:
        return None
    words = path.name[: -len(path.suffix)].split("_")
    for place in range(len(words) - 2, 0, -1):
        word = "1M" if words[place] == MONTH_ON_DISK else words[place]
        if word in TIMEFRAMES:
            symbol = "_".join(words[:place])
            return (symbol, word) if _SYMBOL.fullmatch(symbol) else None
    return None


def discover(directory: Path) -> dict[str, dict[str, list[Path]]]:
    """Return the files of market data below ``directory``, as ``{symbol: {timeframe: [paths]}}``.

    Symbols and paths are sorted, timeframes go from short to long. A directory that does not exist holds nothing.
    Files whose name is of another form are passed over and named in the log.
    """
    found: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        parsed = parse_name(path.name)
        if parsed is None:
            log.info("%s is not named <SYMBOL>_<timeframe>_*: passed over", path)
            continue
        symbol, timeframe = parsed
        found.setdefault(symbol, {}).setdefault(timeframe, []).append(path)
    return {
        symbol: {frame: found[symbol][frame] for frame in TIMEFRAMES if frame in found[symbol]}
        for symbol in sorted(found)
    }


def load(paths: Path | Sequence[Path]) -> pd.DataFrame:
    """Read one file, or several that continue each other, as a frame that :func:`tidy` accepts.

    Args:
        paths: Files of one symbol and timeframe. Several must have the same columns and no time in common.

    Raises:
        InvalidValueError: A file cannot be read as a table, or breaks a rule of :func:`tidy`; the message names it.
        StorageError: A file is missing or not readable.
        PluginError: A Parquet file, and no library that reads it.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    if not files:
        raise InvalidValueError("no file of market data was given")
    frames = [(path, tidy(read(path), str(path))) for path in files]
    if len(frames) == 1:
        return frames[0][1]
    names = ", ".join(path.name for path in files)
    frames.sort(key=lambda item: item[1].index[0])
    for path, frame in frames[1:]:
        if list(frame.columns) != list(frames[0][1].columns) or frame.index.dtype != frames[0][1].index.dtype:
            raise InvalidValueError(f"{path}: columns or time zone differ from those of {frames[0][0]}")
    try:
        return tidy(pd.concat([frame for _, frame in frames]), names)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"{error.message}; the files overlap", hint="keep one file for each symbol and timeframe"
        ) from error


def read(path: Path) -> pd.DataFrame:
    """Return the table in a CSV file, compressed or not, or in a Parquet file, as it is.

    Raises:
        InvalidValueError: The file cannot be read as a table.
        StorageError: It is missing or not readable.
        PluginError: A Parquet file, and no library that reads it.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        frame: pd.DataFrame = pd.read_csv(path, low_memory=False, **_EXACT)
    except ImportError as error:
        raise PluginError(f"{path}: no library here reads Parquet", hint="pip install pyarrow") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # pandas' parsers and pyarrow both raise subclasses of it
        raise InvalidValueError(f"{path}: not a table: {error}") from error
    first = str(frame.columns[0])
    return frame.set_index(first) if first.startswith("Unnamed:") else frame


def tidy(frame: pd.DataFrame, source: str = "the data") -> pd.DataFrame:
    """Return a copy of ``frame`` in the one form that the rest of the package takes.

    Column names become lower case with ``_`` for spaces. The index becomes the time, named ``date``, from the
    first of the columns timestamp, date, datetime, time, else from the index. Times are ISO 8601 text, dates,
    eight digits (``20120131``), or seconds, milli-, micro- or nanoseconds since 1970, told apart by their size and
    taken from 1973 on. Text whose offsets from UTC differ, as over a change to summer time, becomes UTC. Infinite
    is NaN.

    Raises:
        InvalidValueError: No rows, no time, two columns of one name, a time that is missing, twice there, out of
            order or unreadable, or times of which only some have a zone. The message starts with ``source``.
    """
    tidied = dated(frame, source)
    _check_order(tidied.index, source)
    return tidied.replace([np.inf, -np.inf], np.nan)


def dated(frame: pd.DataFrame, source: str = "the data") -> pd.DataFrame:
    """Return a copy of ``frame`` with names and times as :func:`tidy` gives them, whatever their order and the values.

    Raises:
        InvalidValueError: As :func:`tidy`, but for times that are twice there or out of order.
    """
    tidied = frame.copy()
    tidied.columns = pd.Index([re.sub(r"\s+", "_", str(name).strip().lower()) for name in frame.columns])
    twice = tidied.columns[tidied.columns.duplicated()]
    if len(twice):
        raise InvalidValueError(f"{source}: two columns are named {twice[0]!r}")
    if not len(tidied):
        raise InvalidValueError(f"{source}: no rows of data")
    name = next((name for name in TIME_COLUMNS if name in tidied.columns), None)
    if name is not None:
        times = _times(tidied.pop(name), source)
    elif isinstance(tidied.index, pd.RangeIndex):
        raise InvalidValueError(f"{source}: no column {', '.join(TIME_COLUMNS)}, and the index is no time")
    else:
        times = _times(tidied.index.to_series(), source)
    tidied.index = pd.DatetimeIndex(times, name="date")
    return tidied


def _times(column: pd.Series[Any], source: str) -> pd.Series[Any]:
    if column.isna().any():
        raise InvalidValueError(f"{source}: row {int(np.flatnonzero(column.isna())[0])} has no time")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column
    try:
        if pd.api.types.is_numeric_dtype(column.dtype):
            return _numbered_times(column)
        return _written_times(column)
    except (ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidValueError(f"{source}: column {column.name!r} is no time: {reason}") from error


def _numbered_times(column: pd.Series[Any]) -> pd.Series[Any]:
    smallest, largest = float(column.min()), float(column.max())
    if smallest >= 19000101 and largest <= 21001231:
        return pd.to_datetime(column.astype("int64").astype("str"), format="%Y%m%d")
    if smallest < 1e8:
        raise ValueError(f"{smallest:g} is neither a date nor a time since 1973")
    if largest < 1e11:
        return pd.to_datetime(column, unit="s")
    if largest < 1e14:
        return pd.to_datetime(column, unit="ms")
    return pd.to_datetime(column, unit="us" if largest < 1e17 else "ns")


def _written_times(column: pd.Series[Any]) -> pd.Series[Any]:
    try:
        return pd.to_datetime(column, format="ISO8601")
    except ValueError:
        stamps = [pd.Timestamp(text) for text in column]
        if any(stamp.tzinfo is None for stamp in stamps):
            raise
        return pd.to_datetime(column, format="ISO8601", utc=True)


def _check_order(index: Any, source: str) -> None:
    steps = np.diff(index.asi8)
    if (steps == 0).any() or index.has_duplicates:
        raise InvalidValueError(f"{source}: the time {index[index.duplicated()][0]} is there twice")
    if (steps < 0).any():
        row = int(np.flatnonzero(steps < 0)[0]) + 1
        raise InvalidValueError(
            f"{source}: not sorted by time: row {row} ({index[row]}) comes after {index[row - 1]}",
            hint="sort the rows, oldest first",
        )


@dataclass(frozen=True)
class DataFacts:
    """What a model's record says of its data; equal data have equal facts.

    Attributes:
        digest: BLAKE3 in hex of the content, as :func:`digest` computes it.
        rows: Number of rows.
        columns: Names of the columns, in order, without the time.
        first: First time, ISO 8601.
        last: Last time, ISO 8601.
    """

    digest: str
    rows: int
    columns: tuple[str, ...]
    first: str
    last: str

    @classmethod
    def of(cls, frame: pd.DataFrame) -> DataFacts:
        """Return the facts of a frame from :func:`tidy`."""
        first, last = frame.index[0].isoformat(), frame.index[-1].isoformat()
        return cls(digest(frame), len(frame), tuple(str(name) for name in frame.columns), first, last)

    def as_record(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        columns = list(self.columns)
        return {"digest": self.digest, "rows": self.rows, "columns": columns, "first": self.first, "last": self.last}


def digest(frame: pd.DataFrame) -> str:
    """Return the BLAKE3 digest, in hex, of names, types and values of a frame and its index.

    Hashed are a JSON line ``{"columns": [[name, kind], …], "rows": n}`` with the index first, then each column's
    values in order. Numbers and booleans are little-endian arrays and their kind is numpy's name such as ``<f8``,
    with one NaN for all; times are int64 nanoseconds since 1970 in UTC, kind ``time`` and the zone; anything else
    is text, kind ``text``: the length in bytes and ``:`` before each value in UTF-8, ``-`` for a missing one. The
    file format, the unit of the times in memory and the place of the file change nothing.
    """
    series = [frame.index.to_series(), *(frame[name] for name in frame.columns)]
    columns = [_canonical(column) for column in series]
    names = [str(frame.index.name), *(str(name) for name in frame.columns)]
    header = {"columns": [[name, kind] for name, (kind, _) in zip(names, columns, strict=True)], "rows": len(frame)}
    hasher = blake3(json.dumps(header, sort_keys=True).encode() + b"\n")
    for _, data in columns:
        hasher.update(data)
    return hasher.hexdigest()


def _canonical(column: pd.Series[Any]) -> tuple[str, bytes]:
    kind = column.dtype
    if isinstance(kind, np.dtype) and kind.kind in "biuf":
        values = column.to_numpy(dtype=kind.newbyteorder("<"), copy=True)
        if kind.kind == "f":
            values[np.isnan(values)] = np.nan
        return values.dtype.str, values.tobytes()
    if pd.api.types.is_datetime64_any_dtype(kind):
        times = pd.DatetimeIndex(column)
        return f"time {times.tz or ''}".strip(), times.as_unit("ns").asi8.astype("<i8").tobytes()
    texts = (None if pd.isna(value) else str(value).encode() for value in column)
    return "text", b"".join(b"-" if text is None else b"%d:%b" % (len(text), text) for text in texts)
