"""``history``, ``metrics``, ``best``, ``lineage``, ``blame``, ``rollback`` and ``info``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from friday_store import ModelRegistry

from .conftest import Run


def said(run: Run, *arguments: object) -> str:
    """Return what a command line says to people."""
    result = run("--format", "human", *arguments)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout)


def read(run: Run, *arguments: object) -> Any:
    """Return what a command line says in JSON."""
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_history_of_a_model(work: Path, run: Run) -> None:
    """Versions come oldest first, each with what became of its metrics since the one before."""
    first, second = read(run, "history", "aapl_1d")
    assert ("1.0.0", None, "1.1.0", "1.0.0") == (
        first["model_version"],
        first["previous"],
        second["model_version"],
        second["previous"],
    )
    assert pytest.approx(10.909, abs=0.001) == second["metric_changes"]["auc"]["percent"]
    assert second["since_previous"] > 0
    shown = said(run, "history", "aapl_1d")
    assert "0.61 (+10.9 %)" in shown
    assert ["VERSION", "CREATED", "AFTER", "ALIASES", "auc", "loss"] == shown.splitlines()[0].split()
    assert ["1.1.0"] == [each["model_version"] for each in read(run, "history", "aapl_1d", "-n", "1")]
    assert ["1.0.0", "1.1.0"] == [line.split("\t")[0] for line in run("history", "aapl_1d").stdout.splitlines()]


def test_history_as_a_drawing(work: Path, run: Run) -> None:
    """--plot draws each metric over the versions, also into a pipe, and says where its extremes are."""
    shown = run("history", "aapl_1d", "--metric", "auc", "--plot").stdout
    assert "auc  ▁█  0.55 → 0.61   lowest 0.55 (1.0.0), highest 0.61 (1.1.0)\n" == shown
    assert ["auc", "loss"] == [line.split()[0] for line in said(run, "history", "aapl_1d", "--plot").splitlines()]
    assert "no numbers" in said(run, "history", "aapl_1d", "--plot", "--metric", "loss")
    assert "weights_only has no metrics\n" == said(run, "history", "weights_only", "--plot")
    assert 2 == len(read(run, "history", "aapl_1d", "--plot"))


def test_history_of_an_alias(work: Path, run: Run) -> None:
    """Where an alias pointed, since when and who moved it; and where it pointed at any one time."""
    moves = read(run, "history", "aapl_1d@production")
    assert ["1.0.0", "1.1.0"] == [move["model_version"] for move in moves]
    assert moves[0]["until"] == moves[1]["since"]
    assert {"ann@lab"} == {move["actor"] for move in moves}
    [held] = read(run, "history", "aapl_1d@production", "--at", moves[0]["since"])
    assert "1.0.0" == held["model_version"]
    result = run("history", "aapl_1d@production", "--at", "2001-01-01")
    assert (3, "") == (result.exit_code, result.stdout)
    assert "pointed nowhere at 2001-01-01" in result.stderr
    assert 3 == run("history", "aapl_1d@nothing").exit_code
    assert 2 == run("history", "aapl_1d@production", "--at", "noon").exit_code


def test_history_of_statuses(work: Path, run: Run) -> None:
    """Who gave which version which status, when and why."""
    assert 0 == run("status", "aapl_1d:1.0.0", "archived", "-m", "too old").exit_code
    [change] = read(run, "history", "aapl_1d", "--status")
    assert ("1.0.0", "archived", "too old") == (change["model_version"], change["status"], change["reason"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["history", "aapl_1d", "--at", "2026-01-01"],
        ["history", "aapl_1d@production", "--plot"],
        ["metrics", "aapl_1d", "--step", "1"],
        ["metrics", "aapl_1d", "auc", "--log", "auc=1"],
        ["lineage", "aapl_1d", "--format", "dot", "--json"],
        ["lineage", "aapl_1d", "--format", "nonsense"],
        ["best", "aapl_1d"],
        ["best", "aapl_*", "--metric", "wonder"],
        ["compare", "aapl_1d", "--only", "nonsense"],
        ["diff", "aapl_1d", "1.0.0", "1.1.0", "1.0.0"],
    ],
    ids=" ".join,
)
def test_what_does_not_go_together(arguments: list[str], work: Path, run: Run) -> None:
    """Options that do not fit are a usage error: code 2, nothing on stdout, a hint."""
    result = run(*arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    assert "hint: friday-store" in result.stderr


def test_metrics_are_listed_and_logged(work: Path, run: Run) -> None:
    """Observations of all versions or of one, oldest first; what is logged is one more of them."""
    found = read(run, "metrics", "aapl_1d")
    assert [("1.0.0", "auc"), ("1.0.0", "loss"), ("1.1.0", "auc")] == [
        (each["model_version"], each["metric"]) for each in found
    ]
    assert ["NaN"] == [each["value"] for each in found if each["metric"] == "loss"]
    logged = said(run, "metrics", "aapl_1d@production", "--log", "auc=0.5", "--log", "n=3", "--step", "7")
    assert logged.startswith("logged aapl_1d:1.1.0 (")
    assert "auc=0.5, n=3" in logged
    rows = read(run, "metrics", "aapl_1d:1.1.0", "auc")
    assert [(0.61, None), (0.5, 7)] == [(each["value"], each["step"]) for each in rows]
    shown = said(run, "metrics", "aapl_1d", "auc", "--plot")
    assert ["1.0.0 auc", "1.1.0 auc"] == [line[:9] for line in shown.splitlines()]
    assert "0.61 → 0.5   lowest 0.5 (step 7), highest 0.61" in shown
    assert 2 == run("metrics", "aapl_1d", "--log", "auc").exit_code


@pytest.mark.parametrize(
    "command",
    [
        ["metrics", "aapl_1d", "auk"],
        ["history", "aapl_1d", "--metric", "auk"],
        ["best", "aapl_1d", "--metric", "auk"],
        ["best", "aapl_1d", "--metric", "auk", "--max"],
    ],
    ids=" ".join,
)
def test_a_metric_that_is_near_is_named(command: list[str], work: Path, run: Run) -> None:
    """A mistyped metric gets a suggestion, code 3, and a hint that runs."""
    result = run(*command)
    assert (3, "") == (result.exit_code, result.stdout)
    assert "did you mean 'auc'?" in result.stderr
    hint = result.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert 0 == run(*shlex.split(hint)).exit_code


def test_best(work: Path, run: Run) -> None:
    """The best version by a metric, which is then tagged and pointed at in one transaction."""
    assert said(run, "best", "aapl_1d", "--metric", "auc").startswith("aapl_1d:1.1.0 (")
    assert "has the best auc: 0.55" in said(run, "best", "aapl_1d", "--metric", "auc", "--min")
    entries = len(read(run, "log", "--all"))
    found = read(run, "best", "aapl_*", "--metric", "auc", "--tag-as", "winner", "--alias", "champion")
    assert ("1.1.0", ["champion", "production"]) == (found["model_version"], found["aliases"])
    assert "winner" in found["tags"]
    assert entries + 1 == len(read(run, "log", "--all"))
    assert 64 == len(run("best", "aapl_1d", "--metric", "auc", "-q").stdout.strip())
    assert 3 == run("best", "aapl_1d", "--metric", "rmse").exit_code
    assert 3 == run("best", "aapl_1d", "--metric", "auc", "--status", "staging").exit_code
    result = run("best", "aapl_*", "--metric", "wonder")
    hint = result.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert ["best", "aapl_*", "--metric", "wonder", "--max"] == shlex.split(hint)


def test_lineage(work: Path, run: Run) -> None:
    """Ancestors and descendants as a tree, rows, one object, or a drawing; a side where nothing is is left out."""
    with ModelRegistry() as registry:
        registry.register_model({"members": 2}, "both", parents=["aapl_1d", "weights_only"])
    assert "● both:1.0.0\n├─● aapl_1d:1.1.0\n│ ● aapl_1d:1.0.0\n└─● weights_only:0.1.0\n" == said(
        run, "lineage", "both", "--up", "9"
    )
    shown = said(run, "lineage", "aapl_1d:1.1.0")
    assert shown.startswith("ancestors:\n● aapl_1d:1.1.0\n● aapl_1d:1.0.0\ndescendants:\n")
    assert "ancestors" not in said(run, "lineage", "weights_only")
    found = read(run, "lineage", "both")
    assert 4 == len(found["nodes"])
    assert 3 == len(found["edges"])
    near = read(run, "lineage", "aapl_1d:1.1.0", "--up", "0", "--down", "1")
    assert ["aapl_1d", "both"] == [node["name"] for node in near["nodes"]]
    assert ("both", 1) == (near["direction"], len(near["edges"]))
    rows = [line.split("\t") for line in run("lineage", "both", "--up", "1").stdout.splitlines()]
    assert ["both", "aapl_1d", "weights_only"] == [row[1] for row in rows]
    assert run("lineage", "both", "--format", "dot").stdout.startswith("digraph lineage {")
    assert run("lineage", "both", "--format", "mermaid").stdout.startswith("flowchart BT")
    assert run("lineage", "both", "--format", "tree").stdout.startswith("ancestors:\n● both:1.0.0")


def test_common_ancestor(work: Path, run: Run) -> None:
    """The nearest version that both come from; nothing in common is code 1."""
    assert "aapl_1d:1.0.0\n" == said(run, "lineage", "aapl_1d", "--common", "aapl_1d:1.0.0")
    found = read(run, "lineage", "aapl_1d", "--common", "aapl_1d:1.0.0")
    assert ("aapl_1d", "1.0.0", []) == (found["name"], found["version"], found["parents"])
    result = run("lineage", "aapl_1d", "--common", "weights_only")
    assert (1, "") == (result.exit_code, result.stdout)


def test_blame(work: Path, run: Run) -> None:
    """Each parameter with the version that brought its value; a mistyped one gets a suggestion."""
    [found] = read(run, "blame", "aapl_1d", "depth")
    assert (6, "1.1.0", None, "ann@lab") == (
        found["value"],
        found["model_version"],
        found["previous"],
        found["author"],
    )
    assert ["metadata.note"] == [each["parameter"] for each in read(run, "blame", "aapl_1d", "metadata.note")]
    result = run("blame", "aapl_1d", "depht")
    assert (3, "") == (result.exit_code, result.stdout)
    assert "did you mean 'depth'?" in result.stderr
    assert "" == run("blame", "weights_only").stdout


def test_rollback(work: Path, run: Run) -> None:
    """An alias goes back, as a dry run said, and its history shows it; where nothing was before is code 3."""
    assert said(run, "rollback", "aapl_1d", "-n").startswith("aapl_1d@production would be aapl_1d:1.0.0 (")
    assert "1.1.0" == read(run, "show", "aapl_1d@production")["model_version"]
    assert said(run, "rollback", "aapl_1d@production").rstrip().endswith("; it was 1.1.0")
    assert "1.0.0" == read(run, "show", "aapl_1d@production")["model_version"]
    assert "rollback aapl_1d@production" == read(run, "history", "aapl_1d@production")[-1]["message"]
    assert 3 == run("rollback", "aapl_1d").exit_code
    assert 3 == run("rollback", "aapl_1d@nothing").exit_code
    assert "did you mean 'aapl_1d'?" in run("rollback", "aapl_1h").stderr


def test_info(work: Path, run: Run) -> None:
    """A file is known by its bytes; a version by what was recorded; neither is loaded."""
    found = read(run, "info", "model.pkl")
    assert ("pickle", "code") == (found["format"].rstrip("5"), found["safety"])
    assert read(run, "register", "model.pkl", "-n", "new")["artifact"] == found["model_hash"]
    version = read(run, "info", "new")
    assert (found["model_hash"], True, "new:1.0.0") == (
        version["model_hash"],
        version["trusted"],
        version["revision"],
    )
    assert "data: loading it runs no code" in said(run, "info", "weights.npz")
    assert "loads here  yes, as far as is known" in said(run, "info", "weights_only")
    assert 3 == run("info", "nothing-there").exit_code
