"""``protect``, and what ``alias``, ``rollback``, ``rm``, ``log`` and ``info`` say of what is protected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from friday_store import ModelRegistry
from friday_store.plugins import Plugins

from .conftest import Run


def read(run: Run, *arguments: object) -> Any:
    """Return what a command line says in JSON."""
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_protect_lists_since_when_and_by_whom(work: Path, run: Run) -> None:
    """What is protected stands on a line each; what ended and began again is as old as its new beginning."""
    [canary] = read(run, "protect")
    assert ("*@canary", "ann@lab") == (canary["what"], canary["actor"])
    assert 0 == run("protect", "rm", "canary").exit_code
    assert [] == read(run, "protect", "ls")
    again, production, everything = read(run, "protect", "add", "canary", "production", "--append-only")
    assert ("*@canary", "*@production", "everything") == (again["what"], production["what"], everything["what"])
    assert canary["seq"] < again["seq"] == everything["seq"]
    assert "append-only" == everything["rule"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("alias", "aapl_1d@production", "aapl_1d:1.0.0"),
        ("alias", "-d", "aapl_1d@production"),
        ("rollback", "aapl_1d"),
        ("rm", "--yes", "--force", "aapl_1d"),
        ("rm", "-n", "--force", "aapl_1d:1.1.0"),
        ("register", "rules.json", "-n", "aapl_1d", "--alias", "production"),
    ],
    ids=" ".join,
)
def test_a_protected_alias_is_a_conflict(arguments: tuple[str, ...], work: Path, run: Run) -> None:
    """Code 4, two lines, and the way to do it on purpose."""
    run("protect", "add", "production")
    result = run(*arguments)
    assert (4, "") == (result.exit_code, result.stdout)
    error, hint = result.stderr.splitlines()
    assert error == "error: aapl_1d@production is protected: it is not made, moved or removed by accident"
    assert hint == "hint: if that is meant: friday-store alias --override aapl_1d@production REV"


def test_an_override_stands_in_the_log(work: Path, run: Run) -> None:
    """With the word the alias moves, back too; log, alias and info say what is so."""
    run("protect", "add", "production")
    assert ["production"] == read(run, "info", "aapl_1d@production")["protected"]
    assert [True] == [each["protected"] for each in read(run, "alias", "aapl_1d")]
    read(run, "alias", "--override", "aapl_1d@production", "aapl_1d:1.0.0")
    assert "1.1.0" == read(run, "rollback", "--override", "aapl_1d")["model_version"]
    back, moved, on = read(run, "log", "--all", "-n", "3")
    assert (True, True, False) == (back["override"], moved["override"], on["override"])
    assert {"aliases": ["*@canary", "*@production"], "append_only": False} == on["protection"]
    assert 2 == run("--format", "human", "log", "--all").stdout.count(" override\n")


def test_append_only(work: Path, run: Run) -> None:
    """Nothing is removed or erased, a rehearsal says so too; the hint says how that ends."""
    run("protect", "add", "--append-only")
    for arguments in (
        ("rm", "--yes", "weights_only"),
        ("rm", "-n", "weights_only"),
        ("gc", "--yes"),
        ("gc", "-n"),
        ("prune", "aapl_1d", "--keep-last", "1", "--yes"),
        ("tag", "-d", "aapl_1d:1.0.0", "AAPL"),
    ):
        result = run(*arguments)
        assert (4, "") == (result.exit_code, result.stdout), arguments
        assert "append-only" in result.stderr
        assert "friday-store protect rm --append-only" in result.stderr
    assert 0 == run("protect", "rm", "--append-only").exit_code
    assert 0 == run("rm", "--yes", "weights_only").exit_code


def test_a_push_to_a_protected_registry(work: Path, run: Run) -> None:
    """What the other side protects is left alone and named: code 12, and 4 where nothing else was to do."""
    with ModelRegistry(work / "shared" / "team", plugins=Plugins(())) as team:
        team.protect("production")
    result = run("push", "--force", "--porcelain")
    assert 12 == result.exit_code
    assert "!\taliases/aapl_1d/production:aliases/aapl_1d/production\tit is protected" in result.stdout
    assert 4 == run("push", "--force").exit_code
    assert [] == read(run, "-R", "shared/team", "alias", "aapl_1d")
    read(run, "-R", "shared/team", "alias", "--override", "aapl_1d@production", "aapl_1d:1.1.0")
    assert 0 == run("push").exit_code


def test_what_cannot_be_protected(work: Path, run: Run) -> None:
    """Nothing, and what is not protected, are refused."""
    assert 2 == run("protect", "add").exit_code
    assert 2 == run("protect", "rm").exit_code
    assert 2 == run("protect", "add", "a b").exit_code
    assert 3 == run("protect", "rm", "production").exit_code
    assert 3 == run("protect", "rm", "--append-only").exit_code
