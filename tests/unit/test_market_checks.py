"""What checking and preparing files of market data promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from friday_store.errors import InvalidValueError
from friday_store.market.checks import Problem, check
from friday_store.market.data import load
from friday_store.market.features import prepare_ohlcv
from friday_store.market.raw import prepare_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def bars(rows: int = 260, seed: int = 0, freq: str = "B") -> pd.DataFrame:
    """Return raw bars of a random walk with nothing wrong."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.01, rows)))
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    columns["volume"] = draw.random(rows) + 1
    return pd.DataFrame(columns, index=pd.date_range("2020-01-01", periods=rows, freq=freq, name="date"))


def written(frame: pd.DataFrame, folder: Path, name: str = "ACME_1d_raw.csv") -> Path:
    """Write a frame and return its path."""
    frame.to_csv(folder / name)
    return folder / name


def with_value(column: str, row: int, value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a change of one value."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.copy()
        changed.loc[changed.index[row], column] = value
        return changed

    return change


def test_a_good_file_has_no_problem(tmp_path: Path) -> None:
    """Weekends and holidays are no gaps."""
    frame = bars()
    assert check(written(frame.drop(frame.index[[100, 101]]), tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "severity", "kind", "message"),
    [
        (lambda f: f.iloc[np.r_[0:50, 51, 50, 52:260]], "error", "unsorted", "once a row is older than the one before"),
        (lambda f: f.iloc[np.r_[0:50, 49, 50:260]], "error", "duplicate", "1 row of a time that is there already"),
        (lambda f: f.drop(f.index[100:110]), "warning", "gap", "a gap of 15 days"),
        (with_value("close", 7, np.inf), "warning", "infinite", "close is infinite in 1 row, first 2020-01-10"),
        (with_value("volume", 7, np.nan), "warning", "missing", "volume is missing in 1 row, first 2020-01-10"),
        (lambda f: f.assign(beta=1.5), "warning", "constant", "beta is 1.5 in every row"),
        (lambda f: f.assign(note="x"), "warning", "text", "note is not numeric but"),
        (lambda f: f.iloc[:150], "warning", "few", "150 rows, fewer than the 200 that training takes"),
        (with_value("low", 3, -1.0), "error", "price", "low is not above zero in 1 row"),
        (with_value("volume", 3, -1.0), "error", "price", "volume is not from zero on in 1 row"),
        (with_value("high", 3, 1.0), "warning", "bar", "1 row whose prices contradict each other, first 2020-01-06"),
        (lambda f: pd.concat([f.iloc[:99] * 2, f.iloc[99:]]), "warning", "jump", "close moves by more than 40%"),
        (lambda f: f.drop(columns="close"), "error", "columns", "no column close"),
        (lambda f: f.assign(Close=1.0), "error", "columns", "two columns are named 'close'"),
        (lambda f: f.set_axis(pd.date_range("2020", periods=260, freq="h"), axis=0), "error", "timeframe", "says 1d"),
        (lambda f: f.set_axis([*map(str, f.index[:-1]), ""], axis=0), "error", "time", "row 259 has no time"),
        (
            lambda f: f.set_axis([f"{time}{'+00:00' if row else ''}" for row, time in enumerate(f.index)], axis=0),
            "error",
            "time",
            "is no time",
        ),
        (lambda f: f.iloc[:0], "error", "time", "no rows of data"),
    ],
)
def test_each_problem_is_a_line(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], severity: str, kind: str, message: str
) -> None:
    """It says what, how often and where; the file is named once."""
    path = written(change(bars()).rename_axis("date"), tmp_path)
    found = [problem for problem in check(path) if problem.kind == kind]
    assert [(path, severity)] == [(problem.path, problem.severity) for problem in found], check(path)
    assert message in found[0].message
    assert str(tmp_path) not in found[0].message


def test_all_problems_are_told_at_once_and_an_adjusted_close_hides_a_split(tmp_path: Path) -> None:
    """A check does not stop at the first; what loading refuses is an error."""
    frame = bars().assign(beta=1.0, note="x")
    frame.iloc[:99, :4] *= 2
    path = written(pd.concat([frame.iloc[:50], frame.iloc[49:]]), tmp_path)
    assert {"duplicate", "constant", "text", "jump"} == {problem.kind for problem in check(path)}
    with pytest.raises(InvalidValueError, match="there twice"):
        load(path)
    adjusted = written(bars().assign(adj_close=bars()["close"]), tmp_path)
    assert check(adjusted) == []


def test_a_directory_is_checked_file_by_file_and_together(tmp_path: Path) -> None:
    """Files that overlap, and one that is no table, are found."""
    written(bars(), tmp_path, "A_1d_one.csv")
    written(bars(), tmp_path, "A_1d_two.csv")
    (tmp_path / "B_1d_x.csv").write_text("")
    kinds = {(problem.path.name, problem.kind) for problem in check(tmp_path)}
    assert kinds == {("A_1d_one.csv", "time"), ("B_1d_x.csv", "unreadable")}
    assert [Problem] == [type(problem) for problem in check(tmp_path / "B_1d_x.csv")]


def test_a_raw_file_of_many_symbols_becomes_a_file_for_each(tmp_path: Path) -> None:
    """Features are those of prepare_ohlcv; a symbol that cannot be prepared has its reason and holds up nobody."""
    frames = {"A": bars(), "B": bars(seed=1), "FEW": bars(40)}
    raw = pd.concat([frame.assign(Ticker=name) for name, frame in frames.items()])
    found = prepare_file(written(raw, tmp_path, "all.csv"), tmp_path / "out", timeframe="1d")
    assert [("A", 211), ("B", 211), ("FEW", 0)] == [(each.symbol, each.rows) for each in found]
    assert "40 bars" in found[2].reason
    for each in found[:2]:
        assert each.path is not None
        expected = prepare_ohlcv(frames[each.symbol])
        pd.testing.assert_frame_equal(expected, load(each.path), check_freq=False, rtol=1e-12)
        assert check(each.path) == []


def test_the_name_says_symbol_and_timeframe_unless_told(tmp_path: Path) -> None:
    """A name that says neither needs the timeframe, and gives the symbol; newest first needs to be sorted."""
    (named,) = prepare_file(written(bars(), tmp_path), tmp_path / "out")
    assert (named.symbol, named.timeframe, named.adjusted) == ("ACME", "1d", False)
    plain = written(bars()[::-1].assign(adj_close=bars()["close"] / 2), tmp_path, "X.csv")
    with pytest.raises(InvalidValueError, match="does not say the timeframe"):
        prepare_file(plain, tmp_path / "out")
    with pytest.raises(InvalidValueError, match="not a timeframe"):
        prepare_file(plain, tmp_path / "out", timeframe="2d")
    (refused,) = prepare_file(plain, tmp_path / "out", timeframe="1d")
    assert "not sorted by time" in refused.reason
    (sorted_,) = prepare_file(plain, tmp_path / "out", timeframe="1d", symbol="OTHER", sort=True)
    assert (sorted_.symbol, sorted_.rows, sorted_.adjusted) == ("OTHER", 211, True)
