"""What is wrong with a file of market data, one line for each problem, all of them at once.

An *error* is what :func:`~friday_store.market.data.load` or the training refuses; a *warning* is what it takes, and a
person should know. Loading stops at the first problem; a check goes on.

==============  ========  ======================================================================================
kind            is        says
==============  ========  ======================================================================================
unreadable      error     the file is no table, or cannot be opened
columns         error     two columns of one name, or no close
time            error     no time, one that is missing or unreadable, or only some have a time zone
unsorted        error     times that go back
duplicate       error     times that are there twice
timeframe       error     the usual step is not that of the file's name
price           error     a price that is not positive, or a volume below zero
bar             warning   a high below the low, or an open or close outside of both
jump            warning   a close that moves by more than 40 % in one bar, as an unadjusted split does
gap             warning   a step longer than 2.2 times what all but 1 % of the steps stay within
missing         warning   values that are NaN
infinite        warning   values that are infinite, which are taken for NaN
constant        warning   a column that never changes
text            warning   a column that is not numeric, and so no feature
few             warning   fewer rows than training takes
==============  ========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from friday_store.errors import FridayStoreError, InvalidValueError
from friday_store.market.data import dated, discover, load, parse_name, read
from friday_store.market.features import ADJUSTED

MIN_ROWS: Final = 200
JUMP: Final = 0.4
GAP: Final = 2.2
STEPS: Final = {
    "1m": "1min", "5m": "5min", "10m": "10min", "15m": "15min", "30m": "30min", "1h": "1h", "4h": "4h", "1d": "1D",
    "1w": "7D",
}  # fmt: skip
_PRICES: Final = ("open", "high", "low", "close", "vwap", *ADJUSTED)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file.

    Attributes:
        path: The file.
        severity: Whether it cannot be used, or only should be looked at.
        kind: One of the words in the module's docstring.
        message: What, where and how often.
    """

    path: Path
    severity: Literal["error", "warning"]
    kind: str
    message: str


def check(path: Path, *, min_rows: int = MIN_ROWS) -> list[Problem]:
    """Return what is wrong with one file, or with every file of market data below a directory.

    Args:
        path: A file of any name, or a directory, in which files that cover the same symbol and timeframe are also
            checked for fitting together.
        min_rows: Fewer rows are worth a warning.
    """
    if not path.is_dir():
        return list(_file(path, min_rows))
    found: list[Problem] = []
    for timeframes in discover(path).values():
        for files in timeframes.values():
            problems = [problem for file in files for problem in _file(file, min_rows)]
            found += problems
            if len(files) > 1 and not any(problem.severity == "error" for problem in problems):
                try:
                    load(files)
                except InvalidValueError as error:
                    found.append(Problem(files[0], "error", "time", str(error)))
    return found


def _file(path: Path, min_rows: int) -> Iterator[Problem]:
    named = parse_name(path.name)
    try:
        raw = read(path)
    except FridayStoreError as error:
        yield Problem(path, "error", "unreadable", _without(error, path))
        return
    try:
        frame = dated(raw, str(path))
    except InvalidValueError as error:
        kind = "columns" if "two columns" in error.message else "time"
        yield Problem(path, "error", kind, _without(error, path))
        return
    for severity, kind, message in (
        *_order(frame.index),
        *_pace(frame.index, None if named is None else named[1]),
        *_prices(frame),
        *_columns(frame, min_rows),
    ):
        yield Problem(path, severity, kind, message)


_Found = Iterator[tuple[Literal["error", "warning"], str, str]]


def _order(index: Any) -> _Found:
    back = np.flatnonzero(np.diff(index.asi8) < 0) + 1
    if len(back):
        yield "error", "unsorted", f"{_times(len(back))} a row is older than the one before, first row {back[0]}"
    twice = index[index.duplicated()]
    if len(twice):
        yield "error", "duplicate", f"{_rows(len(twice))} of a time that is there already, first {_short(twice[0])}"


def _pace(index: Any, timeframe: str | None) -> _Found:
    times = pd.DatetimeIndex(index.sort_values().unique())
    if len(times) < 10:
        return
    steps = np.diff(times.as_unit("ns").asi8)
    usual = pd.Timedelta(int(np.median(steps)))
    if timeframe in STEPS and usual != pd.Timedelta(STEPS[timeframe]):
        yield "error", "timeframe", f"the usual step is {_short(usual)}, and the name says {timeframe}"
    long = np.flatnonzero(steps > GAP * np.quantile(steps, 0.99, method="lower"))
    if len(long):
        worst = long[np.argmax(steps[long])]
        size = pd.Timedelta(int(steps[worst]))
        what = "a gap of" if len(long) == 1 else f"{len(long)} gaps, the longest"
        yield "warning", "gap", f"{what} {_short(size)} from {_short(times[worst])} to {_short(times[worst + 1])}"


def _prices(frame: pd.DataFrame) -> _Found:
    if "close" not in frame.columns:
        yield "error", "columns", f"no column close; there are {', '.join(map(str, frame.columns)) or 'none'}"
    numbers = frame.select_dtypes("number")
    for name in numbers.columns:
        bad = numbers[name] <= 0 if name in _PRICES else (numbers[name] < 0) & (name == "volume")
        if bad.any():
            limit = "above zero" if name in _PRICES else "from zero on"
            yield "error", "price", f"{name} is not {limit} in {_where(frame, bad)}"
    if {"high", "low"} <= set(numbers.columns):
        high, low = numbers["high"], numbers["low"]
        odd = high < low
        for name in {"open", "close"} & set(numbers.columns):
            odd |= (numbers[name] > high * (1 + 1e-9)) | (numbers[name] < low * (1 - 1e-9))
        if odd.any():
            first = _short(frame.index[odd][0])
            yield "warning", "bar", f"{_rows(int(odd.sum()))} whose prices contradict each other, first {first}"
    closes = [name for name in (*ADJUSTED, "close") if name in numbers.columns]
    if closes:
        moves = numbers[closes[0]] / numbers[closes[0]].shift(1) - 1
        jumps = moves.abs() > JUMP
        if jumps.any():
            place = int(np.argmax(moves.abs().fillna(0)))
            most = f"{moves.iloc[place]:+.0%} at {_short(frame.index[place])}"
            where = f"{closes[0]} moves by more than {JUMP:.0%} in {_rows(int(jumps.sum()))}, most by {most}"
            yield "warning", "jump", f"{where}: a split? then give the adjusted close as adj_close"


def _columns(frame: pd.DataFrame, min_rows: int) -> _Found:
    for name in frame.columns:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column.dtype):
            yield "warning", "text", f"{name} is not numeric but {column.dtype}, and so no feature"
            continue
        values = column.astype("float64")
        for kind, bad in (("infinite", np.isinf(values)), ("missing", values.isna())):
            if bad.any():
                yield "warning", kind, f"{name} is {kind} in {_where(frame, bad)}"
        known = values.dropna().unique()
        if len(frame) > 1 and len(known) == 1:
            yield "warning", "constant", f"{name} is {known[0]:g} in every row"
    if len(frame) < min_rows:
        yield "warning", "few", f"{_rows(len(frame))}, fewer than the {min_rows} that training takes"


def _where(frame: pd.DataFrame, bad: Any) -> str:
    return f"{_rows(int(bad.sum()))}, first {_short(frame.index[bad][0])}"


def _short(moment: Any) -> str:
    return str(moment).removesuffix(" 00:00:00")


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _without(error: FridayStoreError, path: Path) -> str:
    return error.message.removeprefix(f"{path}: ")
