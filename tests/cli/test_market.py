"""``train`` and ``predict``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from .conftest import Run

ASKED = ("train", "--symbol", "ACME", "--target", "return", "--horizon", "1", "--horizon", "2", "--model", "ridge")


def test_train_registers_and_says_what_became_of_each(market: Path, run: Run) -> None:
    """JSON has a row for every combination with its scores; the same again is skipped, and --again is not."""
    result = run(*ASKED, "--json")
    assert (0, "") == (result.exit_code, result.stderr)
    rows = json.loads(result.stdout)
    assert [("trained", 1), ("trained", 2)] == [(row["status"], row["forecast_horizon"]) for row in rows]
    assert all(row["metrics"]["rmse"] > 0 for row in rows)
    shown = json.loads(run("show", rows[0]["model_id"], "--json").stdout)
    assert "ACME_1d_return_1_ridge" == shown["model_name"] == rows[0]["model_name"]
    again = json.loads(run(*ASKED, "--json").stdout)
    assert ["already registered as ACME_1d_return_1_ridge:1.0.0"] == [row["reason"] for row in again[:1]]
    assert [row["model_id"] for row in rows] == run(*ASKED, "-q").stdout.split()
    assert {"trained"} == {row["status"] for row in json.loads(run(*ASKED, "--again", "--json").stdout)}


def test_train_tells_failures_by_its_exit_code(market: Path, run: Run) -> None:
    """Some failed is 12, all failed is 1, a wrong word is 2, and a missing plugin 10; each row has its reason."""
    (market / "data" / "processed" / "BAD_1d_x.csv").write_text("date,close\n2024-01-02,1\n2024-01-01,2\n")
    some = run(*ASKED, "--symbol", "BAD", "--format", "tsv")
    assert 12 == some.exit_code
    assert "not sorted by time" in some.stdout
    assert 1 == run("train", "--symbol", "BAD").exit_code
    assert 2 == run(*ASKED, "--target", "price").exit_code
    assert 10 == run(*ASKED, "--model", "oracle").exit_code
    assert 3 == run("train", "--symbol", "NONE", "--data", "nowhere").exit_code


def test_train_promotes_and_reports(market: Path, run: Run) -> None:
    """--promote tells each decision on stderr, and --report writes the page."""
    result = run(*ASKED, "--promote", "--report", "night.html", "--tune", "grid", "--budget", "600", "--keep", "3")
    assert 0 == result.exit_code, result.stderr
    assert 2 == result.stderr.count("on the same 50 rows") + result.stderr.count("on the same 49 rows")
    assert "deleted: 0 old versions" in result.stderr
    page = (market / "night.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "ACME 1d return, 2 bars ahead" in page


def test_train_decides_about_what_an_earlier_run_did_not(market: Path, run: Run) -> None:
    """What was registered without a decision, as by a run that was broken off, is decided about once."""
    run(*ASKED)
    told = [run(*ASKED, "--promote").stderr.count("on the same") for _ in range(2)]
    assert [2, 0] == told


def test_predict_says_what_comes_and_writes_it(market: Path, run: Run) -> None:
    """The newest bar's forecast is shown, as of its time; a file of either format holds all; none is overwritten."""
    asked = ("predict", "-R", "market", "ACME_1d_price_direction_1_ridge", "acme.csv")
    found = json.loads(run(*asked, "--json").stdout)
    assert ("2020-10-26T00:00:00", 251, 49) == (found["as_of"], found["rows"], found["left_out"])
    assert "a rise with probability" in run(*asked, "--format", "human").stdout
    amount = run("predict", "-R", "market", "ACME_1d_return_1_ridge", "acme.csv", "--format", "human").stdout
    assert "return is a simple return over all bars ahead, 0.01 for 1 %" in amount
    for name in ("out.csv", "out.parquet"):
        assert 0 == run(*asked, "-o", name).exit_code
        frame = pd.read_csv(name, index_col="date") if name == "out.csv" else pd.read_parquet(name)
        assert 251 == len(frame)
        assert frame["probability"].iloc[-1] == found["probability"]
        assert {found["model_id"]} == set(frame["model_id"])
    refused = run(*asked, "-o", "out.csv")
    assert (4, "") == (refused.exit_code, refused.stdout)
    assert 0 == run(*asked, "-o", "out.csv", "--force").exit_code
    assert 2 == run(*asked, "-o", "out.xls").exit_code


def test_predict_refuses_what_it_must(market: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's model, a model of something else, and data without the features each have their own code."""
    assert 2 == run("predict", "aapl_1d", "acme.csv").exit_code
    assert 3 == run("predict", "nothing", "acme.csv").exit_code
    assert 7 == run("predict", "-R", "market", "ACME_1d_return_1_ridge", "nowhere.csv").exit_code
    (market / "few.csv").write_text("date,close\n2024-01-01,1\n2024-01-02,2\n")
    assert 2 == run("predict", "-R", "market", "ACME_1d_return_1_ridge", "few.csv").exit_code
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(market / "stranger"))
    refused = run("predict", "-R", "market", "ACME_1d_return_1_ridge", "acme.csv", "-o", "out.csv")
    assert (6, "") == (refused.exit_code, refused.stdout)
    assert not (market / "out.csv").exists()
    assert refused.stderr.splitlines()[1].startswith("hint: friday-store trust add")
