"""``data check`` and ``data prepare``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


def test_data_check_tells_each_problem_on_a_line(market: Path, run: Run) -> None:
    """Nothing wrong is 0 and says so; an error is 1; a warning is 1 only when asked to be strict."""
    frame = pd.read_csv("acme.csv")
    frame["volume"] += frame.index
    frame.to_csv("good.csv", index=False)
    good = run("data", "check", "good.csv")
    assert (0, "") == (good.exit_code, good.stdout), good.stdout
    assert "nothing is wrong" in good.stderr
    frame.assign(beta=1.0).to_csv("warned.csv", index=False)
    assert 0 == run("data", "check", "warned.csv").exit_code
    assert 1 == run("data", "check", "warned.csv", "--strict").exit_code
    frame.iloc[::-1].assign(beta=1.0).to_csv("bad.csv", index=False)
    bad = run("data", "check", "bad.csv", "warned.csv", "--json")
    assert 1 == bad.exit_code
    found = [(row["path"], row["kind"], row["severity"]) for row in json.loads(bad.stdout)]
    assert [
        ("bad.csv", "unsorted", "error"),
        ("bad.csv", "constant", "warning"),
        ("warned.csv", "constant", "warning"),
    ] == found
    assert 2 == run("data", "check", "none.csv").exit_code


def test_data_prepare_writes_what_training_reads(market: Path, run: Run) -> None:
    """A raw file becomes a processed one that trains; some failed is 12, all failed is 1."""
    done = run("data", "prepare", "-t", "1d", "--symbol", "NEW", "acme.csv", "--json")
    assert 0 == done.exit_code, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["symbol"], row["reason"], row["rows"]) == ("NEW", "", row["bars"] - 49)
    trained = run("train", "--symbol", "NEW", "--target", "return", "--horizon", "1", "--model", "ridge",
                  "--tune", "random", "--walk-forward", "2", "--json")  # fmt: skip
    assert 0 == trained.exit_code, trained.stderr
    assert ["trained"] == [each["status"] for each in json.loads(trained.stdout)]
    (market / "empty.csv").write_text("")
    assert 12 == run("data", "prepare", "-t", "1d", "acme.csv", "empty.csv").exit_code
    assert 1 == run("data", "prepare", "-t", "1d", "empty.csv").exit_code
    assert 2 == run("data", "prepare", "-t", "2d", "acme.csv").exit_code


def test_tune_takes_the_words_of_the_trainer(market: Path, run: Run) -> None:
    """Another word lists those there are."""
    asked = ("train", "--symbol", "ACME", "--target", "return", "--horizon", "1", "--model", "ridge")
    assert 0 == run(*asked, "--tune", "halving").exit_code
    wrong = run(*asked, "--tune", "luck")
    assert 2 == wrong.exit_code
    assert "choose one of none, grid, random, halving" in wrong.stderr
