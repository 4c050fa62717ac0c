"""From a raw file of bars, of one symbol or of many, to processed files in the layout that the trainer reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from friday_store.errors import FridayStoreError, InvalidValueError
from friday_store.market.data import check_timeframe, dated, parse_name, read
from friday_store.market.features import is_adjusted, prepare_ohlcv, write_processed

if TYPE_CHECKING:
    import pandas as pd

SYMBOL_COLUMNS: Final = ("ticker", "symbol")


@dataclass(frozen=True)
class Prepared:
    """What became of the bars of one symbol.

    Attributes:
        source: The raw file.
        symbol: Whose bars.
        timeframe: Their timeframe.
        bars: How many there were.
        rows: How many rows with features were written; 0 when none was.
        adjusted: Whether prices were adjusted by an adjusted close.
        path: The processed file; None when none was written.
        reason: Why none was written; empty otherwise.
    """

    source: Path
    symbol: str
    timeframe: str
    bars: int = 0
    rows: int = 0
    adjusted: bool = False
    path: Path | None = None
    reason: str = ""


def prepare_file(
    source: Path, directory: Path, *, symbol: str | None = None, timeframe: str | None = None, sort: bool = False
) -> list[Prepared]:
    """Prepare every symbol of a raw file, as :func:`.features.prepare_ohlcv` does, and write its processed file.

    Args:
        source: A CSV or Parquet file of raw bars. A column ``ticker`` or ``symbol`` says whose each bar is.
        directory: Where processed files go; see :func:`.features.write_processed`.
        symbol: Whose bars they are, where neither a column nor the file's name says so.
        timeframe: Their timeframe, where the file's name does not say it.
        sort: Whether to sort the bars by time first; else bars that are not in order are refused.

    Returns:
        One result for each symbol; one that cannot be prepared has the reason, and others are not held up by it.

    Raises:
        InvalidValueError: Nothing says the symbol or the timeframe, or the timeframe is unknown.
    """
    named = parse_name(source.name)
    frame_word = timeframe or (named[1] if named else None)
    if frame_word is None:
        raise InvalidValueError(
            f"{source}: the name does not say the timeframe", hint="give it, such as --timeframe 1d"
        )
    word = check_timeframe(frame_word)
    try:
        raw = read(source)
        parts = list(_by_symbol(raw, symbol or (named[0] if named else None), source))
    except FridayStoreError as error:
        return [Prepared(source, symbol or (named[0] if named else ""), word, reason=str(error))]
    return [_prepared(source, directory, name, word, bars, sort=sort) for name, bars in parts]


def _by_symbol(raw: pd.DataFrame, symbol: str | None, source: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    column = next((name for name in raw.columns if str(name).strip().lower() in SYMBOL_COLUMNS), None)
    if column is not None and (symbol is None or len(raw[column].unique()) > 1):
        for name, bars in raw.groupby(column, sort=True):
            yield str(name), bars.drop(columns=column)
    elif symbol is None:
        yield source.name.partition(".")[0], raw
    else:
        yield symbol, raw if column is None else raw.drop(columns=column)


def _prepared(
    source: Path, directory: Path, symbol: str, timeframe: str, bars: pd.DataFrame, *, sort: bool
) -> Prepared:
    try:
        frame = dated(bars, str(source))
        if sort:
            frame = frame.sort_index(kind="stable")
        features = prepare_ohlcv(frame)
        if not len(features):
            raise InvalidValueError(f"{len(frame)} bars, and the first row with every feature would be the 50th")
        path = write_processed(features, directory, symbol, timeframe)
    except FridayStoreError as error:
        return Prepared(source, symbol, timeframe, len(bars), reason=str(error))
    return Prepared(source, symbol, timeframe, len(bars), len(features), is_adjusted(frame), path)
