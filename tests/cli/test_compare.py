"""``compare`` and ``diff``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry

from .conftest import Run


def read(run: Run, *arguments: object) -> Any:
    """Return what a command line says in JSON."""
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_compare(work: Path, run: Run) -> None:
    """Versions stand side by side with what changed; as one object, or one record for each fact."""
    shown = run("--format", "human", "compare", "aapl_1d:1.0.0", "aapl_1d", "-d").stdout
    assert "aapl_1d:1.0.0 | aapl_1d:1.1.0" == shown.splitlines()[0]
    [auc] = [line.split() for line in shown.splitlines() if line.startswith("  auc")]
    assert ["auc", "0.55", "0.61", "+0.06", "(+10.91", "%)"] == auc
    assert "python" not in shown
    found = read(run, "compare", "aapl_1d", "1.0.0", "1.1.0")
    assert ["aapl_1d:1.0.0", "aapl_1d:1.1.0"] == found["versions"]
    rows = [line.split("\t") for line in run("compare", "aapl_1d", "--only", "metrics").stdout.splitlines()]
    assert ["metrics", "auc", "0.55", "0.61"] == rows[0][:4]
    assert {"metrics"} == {row[0] for row in rows}
    lines = run("compare", "aapl_1d", "--metric", "auc", "--only", "metrics", "--format", "jsonl").stdout.splitlines()
    [fact] = map(json.loads, lines)
    assert {"aapl_1d:1.0.0": 0.55, "aapl_1d:1.1.0": 0.61} == fact["values"]
    assert "auc\n" == run("compare", "aapl_1d", "--metric", "auc", "--only", "metrics", "-q").stdout


def test_what_is_compared(work: Path, run: Run) -> None:
    """A single version is compared with its parent, a baseline comes first, and many can be compared."""
    assert read(run, "compare", "aapl_1d") == read(run, "compare", "aapl_1d:1.1.0", "--baseline", "aapl_1d:1.0.0")
    assert 3 == len(read(run, "compare", "aapl_1d", "aapl_1d:1.0.0", "weights_only")["versions"])
    result = run("compare", "aapl_1d:1.0.0")
    assert (2, "") == (result.exit_code, result.stdout)
    assert "has no parent" in result.stderr
    assert "there is no section 'metric'; there are: " in run("diff", "aapl_1d", "--only", "metric").stderr
    assert 3 == run("compare", "aapl_1d", "aapl_1h").exit_code


def test_diff(work: Path, run: Run) -> None:
    """What is recorded comes first, then what is stored; as one object, or one record for each change."""
    shown = run("--format", "human", "diff", "aapl_1d").stdout
    assert "depth" in shown
    assert "aapl_1d:1.0.0 -> aapl_1d:1.1.0: " in shown
    assert "['weights'][*] x2" in shown
    found = read(run, "diff", "aapl_1d:1.0.0", "aapl_1d")
    assert ("aapl_1d:1.0.0", "aapl_1d:1.1.0") == (found["before"], found["after"])
    assert ["['weights'][0]", "['weights'][1]"] == [value["path"] for value in found["model"]["contents"]]
    assert "depth" in {row["name"] for row in found["record"]["rows"]}
    rows = [line.split("\t") for line in run("diff", "aapl_1d", "--only", "model").stdout.splitlines()]
    assert ["part", "value", "value"] == [row[0] for row in rows]
    assert ["value", "['weights'][0]", "changed", "1.0", "1.5"] == rows[1][:5]
    stat = run("--format", "human", "diff", "aapl_1d", "--stat").stdout.splitlines()
    assert 2 == len(stat)
    assert "1 of parameters" in stat[1]
    assert read(run, "diff", "aapl_1d", "--only", "metrics")["model"] is None


def test_diff_exit_code(work: Path, run: Run) -> None:
    """--exit-code is 1 when something differs and 0 when nothing does; without it a difference is no failure."""
    assert 1 == run("diff", "aapl_1d", "--exit-code").exit_code
    assert 0 == run("diff", "aapl_1d").exit_code
    assert 0 == run("diff", "aapl_1d", "aapl_1d:1.1.0", "--exit-code").exit_code
    assert 0 == run("diff", "aapl_1d", "--only", "environment", "--exit-code").exit_code
    assert 1 == run("diff", "aapl_1d", "--unified", "--exit-code").exit_code
    with ModelRegistry() as registry:
        for _ in range(2):
            registry.register_model({"a": 1}, "twins")
    assert 0 == run("diff", "twins:1.0.0", "twins:1.0.1", "--exit-code").exit_code
    assert run("--format", "human", "diff", "twins:1.0.0", "twins:1.0.1").stdout.startswith("twins:1.0.0 and")


def test_unified(work: Path, run: Run) -> None:
    """--unified writes what diff -u would of the records."""
    shown = run("diff", "aapl_1d", "-u").stdout.splitlines()
    assert ["--- aapl_1d:1.0.0", "+++ aapl_1d:1.1.0"] == shown[:2]
    assert '+    "depth": 6' in shown


def test_predictions_on_a_sample(work: Path, run: Run) -> None:
    """--sample predicts the rows of a CSV file with both models, under the usual trust."""
    import pandas as pd
    from sklearn.linear_model import Ridge

    rows = pd.DataFrame(np.random.default_rng(0).standard_normal((8, 2)), columns=["a", "b"])
    with ModelRegistry() as registry:
        for alpha in (1.0, 5.0):
            registry.register_model(Ridge(alpha=alpha).fit(rows, rows["a"]), "linear")
    rows.to_csv("rows.csv", index=False)
    found = read(run, "diff", "linear", "--sample", "rows.csv")
    assert 8 == found["model"]["behaviour"]["predictions"]["rows"]
    assert 3 == run("diff", "linear", "--sample", "nothing.csv").exit_code


def test_nothing_is_run_without_being_asked(
    work: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's models are compared without loading; --load is refused with code 6."""
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "somebody-else"))
    assert 0 == run("diff", "aapl_1d").exit_code
    result = run("diff", "aapl_1d", "--load")
    assert (6, "") == (result.exit_code, result.stdout)
