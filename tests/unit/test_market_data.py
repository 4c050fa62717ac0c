"""What reading market data promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from friday_store.errors import InvalidValueError, StorageError
from friday_store.market.data import DataFacts, digest, discover, file_name, load, parse_name, tidy

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "close,rsi\n10,0.5\n11,0.6\n12,inf\n"


def written(folder: Path, text: str, name: str = "X_1d_processed.csv") -> Path:
    """Write one file and return its path."""
    path = folder / name
    path.write_text(text)
    return path


def bars(start: str, rows: int, offset: float = 0.0) -> pd.DataFrame:
    """Return a few bars from a day on."""
    index = pd.date_range(start, periods=rows, name="date")
    return pd.DataFrame({"close": np.arange(rows) + 10.0 + offset, "rsi": np.linspace(0, 1, rows)}, index=index)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NSE_TCS_1d_processed.csv", ("NSE_TCS", "1d")),
        ("AAPL_1d_2020_2021.parquet", ("AAPL", "1d")),
        ("BRK.B_1h_x.csv", ("BRK.B", "1h")),
        ("^GSPC_1w_x.CSV", ("^GSPC", "1w")),
        ("EURUSD=X_15m_x.csv", ("EURUSD=X", "15m")),
        ("BTC-USD_tick_x.csv", ("BTC-USD", "tick")),
        ("A_1m_B_1d_x.csv", ("A_1m_B", "1d")),
        ("AAPL_1d_1h.csv", ("AAPL", "1d")),
    ],
)
def test_defect_20_a_symbol_may_hold_an_underscore(name: str, expected: tuple[str, str]) -> None:
    """A name is read from the right, so that all before the timeframe is the symbol."""
    assert expected == parse_name(name)


@pytest.mark.parametrize("name", ["AAPL_1d.csv", "_1d_x.csv", "1d_x.csv", "AAPL_2d_x.csv", "AAPL_1d_x.txt", "a.csv"])
def test_other_names_are_not_market_data(name: str) -> None:
    """A name without symbol, timeframe and rest gives nothing."""
    assert parse_name(name) is None


def test_defect_24_minute_and_month_are_two_timeframes(tmp_path: Path) -> None:
    """Case tells 1m from 1M, and their files have names that differ on a disk that ignores case."""
    for timeframe in ("1m", "1M"):
        written(tmp_path, ROWS, file_name("AAPL", timeframe))
    assert {"AAPL": {"1m": [tmp_path / "AAPL_1m_processed.csv"], "1M": [tmp_path / "AAPL_1mo_processed.csv"]}} == (
        discover(tmp_path)
    )
    assert file_name("AAPL", "1m").lower() != file_name("AAPL", "1M").lower()
    assert parse_name("AAPL_1M_processed.csv") == ("AAPL", "1M")


def test_discovery_finds_files_at_any_depth(tmp_path: Path) -> None:
    """Symbols and files come sorted, timeframes from short to long, and other files are passed over."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("B_1w_x.csv", "B_1h_x.csv", "deep/A_1d_b.csv", "deep/er/A_1d_a.parquet", "notes.csv"):
        written(tmp_path, ROWS, name)
    found = discover(tmp_path)
    assert [(symbol, list(frames)) for symbol, frames in found.items()] == [("A", ["1d"]), ("B", ["1h", "1w"])]
    assert [path.name for path in found["A"]["1d"]] == ["A_1d_b.csv", "A_1d_a.parquet"]


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """No directory is no error."""
    assert discover(tmp_path / "none") == {}


@pytest.mark.parametrize("name", ["timestamp", "date", "datetime", "time", "Date", "TIMESTAMP", " DateTime "])
def test_defect_21_any_usual_time_column_is_taken(tmp_path: Path, name: str) -> None:
    """The time may stand in a column of any of these names, in any case."""
    path = written(tmp_path, f"{name},Close\n2024-01-02,10\n2024-01-03,11\n")
    frame = load(path)
    assert (frame.index.name, list(frame.columns)) == ("date", ["close"])
    assert [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03")] == frame.index.tolist()


def test_the_time_may_be_the_index(tmp_path: Path) -> None:
    """A frame that was written with its index comes back with it."""
    frame = bars("2024-01-01", 3)
    frame.rename_axis(None).to_csv(tmp_path / "X_1d_x.csv")
    assert frame.index.tolist() == load(tmp_path / "X_1d_x.csv").index.tolist()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((1704153600, 1704153660), "2024-01-02 00:01"),
        ((1704153600000, 1704153660000), "2024-01-02 00:01"),
        ((1704153600000000, 1704153660000000), "2024-01-02 00:01"),
        ((1704153600000000000, 1704153660000000000), "2024-01-02 00:01"),
        ((20240101, 20240102), "2024-01-02"),
        (("2024-01-02T00:00Z", "2024-01-02T00:01Z"), "2024-01-02 00:01+00:00"),
        (("2024-03-10 00:00-05:00", "2024-03-11 00:00-04:00"), "2024-03-11 04:00+00:00"),
    ],
)
def test_times_are_read_in_every_exact_form(times: tuple[object, object], expected: str) -> None:
    """Numbers since 1970 of any unit, eight digits, ISO 8601 text, and offsets that change with summer time."""
    frame = tidy(pd.DataFrame({"timestamp": list(times), "close": [1.0, 2.0]}))
    assert pd.Timestamp(expected) == frame.index[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("date,close\n2024-01-03,1\n2024-01-02,2\n", r"not sorted by time: row 1"),
        ("date,close\n2024-01-03,1\n2024-01-03,2\n", r"2024-01-03 00:00:00 is there twice"),
        ("date,close\n2024-01-03,1\n,2\n", r"row 1 has no time"),
        ("date,close\n01/02/2024,1\n01/03/2024,2\n", r"'date' is no time"),
        ("date,close\n2024-01-02 00:00+00:00,1\n2024-01-03 00:00,2\n", r"'date' is no time"),
        ("timestamp,close\n0,1\n1,2\n", r"neither a date nor a time since 1973"),
        ("close,rsi\n1,2\n3,4\n", r"no column timestamp"),
        (",close\n0,1\n1,2\n", r"the index is no time"),
        ("date,close\n", r"no rows"),
        ("", r"not a table"),
        ("date,close,Close\n2024-01-02,1,2\n", r"two columns are named 'close'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_problem(tmp_path: Path, text: str, problem: str) -> None:
    """Unsorted, doubled, missing, ambiguous, mixed and absent times are each refused, with the file."""
    path = written(tmp_path, text)
    with pytest.raises(InvalidValueError, match=problem) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_an_error_of_storage(tmp_path: Path) -> None:
    """It is not mistaken for bad content."""
    with pytest.raises(StorageError, match="X_1d_none"):
        load(tmp_path / "X_1d_none.csv")


def test_infinite_is_missing(tmp_path: Path) -> None:
    """An infinite value becomes NaN."""
    path = written(tmp_path, "date,close,rsi\n2024-01-02,1,inf\n2024-01-03,2,-inf\n2024-01-04,3,0.5\n")
    assert load(path)["rsi"].isna().tolist() == [True, True, False]


def test_files_that_continue_each_other_are_joined(tmp_path: Path) -> None:
    """Several files of one symbol and timeframe are one series, whatever the order of their names."""
    bars("2024-01-04", 3, 3).to_csv(tmp_path / "X_1d_a.csv")
    bars("2024-01-01", 3).to_csv(tmp_path / "X_1d_b.csv")
    joined = load([tmp_path / "X_1d_a.csv", tmp_path / "X_1d_b.csv"])
    assert joined["close"].tolist() == [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]


def test_files_that_overlap_or_differ_are_refused(tmp_path: Path) -> None:
    """Neither a time in two files nor other columns go unnoticed."""
    bars("2024-01-01", 3).to_csv(tmp_path / "X_1d_a.csv")
    bars("2024-01-03", 3).to_csv(tmp_path / "X_1d_b.csv")
    bars("2024-01-09", 3)[["close"]].to_csv(tmp_path / "X_1d_c.csv")
    with pytest.raises(InvalidValueError, match="overlap"):
        load([tmp_path / "X_1d_a.csv", tmp_path / "X_1d_b.csv"])
    with pytest.raises(InvalidValueError, match=r"X_1d_c.csv: columns or time zone differ"):
        load([tmp_path / "X_1d_a.csv", tmp_path / "X_1d_c.csv"])


def test_parquet_and_csv_of_equal_content_have_equal_facts(tmp_path: Path) -> None:
    """The digest is of the content, not of the file."""
    pytest.importorskip("pyarrow")
    frame = bars("2024-01-01", 5).reset_index()
    frame.to_parquet(tmp_path / "X_1d_a.parquet")
    frame.to_csv(tmp_path / "X_1d_a.csv", index=False)
    assert DataFacts.of(load(tmp_path / "X_1d_a.csv")) == DataFacts.of(load(tmp_path / "X_1d_a.parquet"))


def test_the_digest_is_the_same_for_ever() -> None:
    """Numbers, truth values, text, gaps and zones hash as documented, on every machine and release."""
    index = pd.date_range("2024-01-01", periods=2, tz="UTC", name="date")
    frame = pd.DataFrame({"close": [1.5, np.nan], "n": [1, 2], "up": [True, False], "s": ["é", None]}, index=index)
    assert digest(frame) == "ce114df85eb51922451522ebb4f3303f81b68b4afd1a04a67b6b5db4e83469ff"


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.rename(columns={"rsi": "RSI"}),
        lambda frame: frame[["rsi", "close"]],
        lambda frame: frame.astype({"close": "float32"}),
        lambda frame: frame.assign(close=frame["close"] * (1 + 2**-52)),
        lambda frame: frame.set_axis(frame.index + pd.Timedelta("1ns"), axis=0),
        lambda frame: frame.iloc[:-1],
    ],
)
def test_the_digest_sees_every_change(change: object) -> None:
    """A name, the order, a type, one bit of a value, a time or a row makes another digest."""
    frame = bars("2024-01-01", 4)
    assert digest(frame) == digest(frame.copy())
    assert digest(frame) != digest(change(frame))  # type: ignore[operator]


def test_facts_are_plain_values() -> None:
    """The record holds digest, rows, columns and the first and last time."""
    record = DataFacts.of(bars("2024-01-01", 3)).as_record()
    assert len(record.pop("digest")) == 64
    assert record == {
        "rows": 3,
        "columns": ["close", "rsi"],
        "first": "2024-01-01T00:00:00",
        "last": "2024-01-03T00:00:00",
    }


@pytest.mark.parametrize("symbol", ["", "..", "a/b", "a b", "a\\b", "^"])
def test_a_symbol_that_could_leave_its_folder_is_refused(symbol: str) -> None:
    """A symbol is never a path."""
    with pytest.raises(InvalidValueError, match="symbol"):
        file_name(symbol, "1d")


def test_an_unknown_timeframe_lists_the_known_ones() -> None:
    """The case matters: there is no 1D."""
    with pytest.raises(InvalidValueError, match="1d, 1w, 1M"):
        file_name("AAPL", "1D")
