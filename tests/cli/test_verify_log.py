"""``verify-log``: what it says, and with which code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from friday_store import ModelRegistry
from friday_store.plugins import Plugins

from .conftest import Run


def read(run: Run, *arguments: object, code: int = 0) -> Any:
    """Return what a command line says in JSON."""
    result = run("--json", *arguments)
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)


def replaced(folder: Path) -> None:
    """Put another history of the same registry in its place: a copy that went on by itself."""
    with ModelRegistry(folder, plugins=Plugins(()), actor="mallory") as registry:
        registry.set_alias("aapl_1d:1.0.0", "b")


def test_history_is_compared_with_what_was_seen(work: Path, run: Run) -> None:
    """0 while it only grows; 5 with the number of the first other entry, until that is accepted."""
    first = read(run, "verify-log")
    assert (None, None, [], 3, 0) == tuple(first[key] for key in ("known", "differs", "problems", "signed", "unsigned"))
    shutil.copytree(".friday", "copy")
    run("alias", "aapl_1d@a", "aapl_1d:1.0.0")
    grown = read(run, "verify-log")
    assert (first["entries"], first["entries"] + 1) == (grown["known"], grown["entries"])
    shutil.rmtree(".friday")
    replaced(Path("copy"))
    shutil.move("copy", ".friday")
    result = run("--format", "human", "verify-log")
    assert 5 == result.exit_code
    assert f"entry {grown['entries']} is not" in result.stdout
    assert "history was rewritten from there on" in result.stdout
    assert "hint: if it was replaced on purpose: friday-store verify-log --accept" in result.stderr
    assert grown["entries"] == read(run, "verify-log", code=5)["differs"]
    assert grown["entries"] == read(run, "verify-log", "--accept")["differs"]
    assert [] == read(run, "verify-log")["problems"]


def test_a_broken_chain(work: Path, run: Run) -> None:
    """5, the entry, and no hint to accept it, which would not be heard."""
    entry = Path(".friday/log/0000000000/003")
    entry.chmod(0o600)
    entry.write_bytes(entry.read_bytes()[:-1] + b"x")
    for arguments in ((), ("--accept",)):
        result = run("verify-log", *arguments)
        assert 5 == result.exit_code
        assert "log entry 3" in result.stdout
        assert "hint: friday-store fsck" in result.stderr


def test_the_log_of_a_remote(work: Path, run: Run) -> None:
    """It is asked itself, by name or by place; where there is none the code is 3."""
    assert 0 == run("push").exit_code
    there = read(run, "verify-log", "--remote", "origin")
    assert read(run, "-R", "shared/team", "verify-log")["digest"] == there["digest"]
    assert there["entries"] == read(run, "verify-log", "--remote", "shared/team")["known"]
    assert 3 == run("verify-log", "--remote", "nowhere/at/all").exit_code
