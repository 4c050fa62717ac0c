"""``index``: where it is, moving it to a server and back, and what is kept secret about that."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import Run

if TYPE_CHECKING:
    from tests.servers.postgres import PostgresServer


def shown(run: Run, *arguments: str) -> dict[str, object]:
    """Return what a command says of the index."""
    found = run("index", *arguments, "--json")
    assert found.exit_code == 0, found.stderr
    record: dict[str, object] = json.loads(found.stdout)
    return record


def test_a_file_without_being_asked(work: Path, run: Run) -> None:
    """Unless somebody says otherwise the index is the file in the registry; it can be made anew at any time."""
    before = shown(run)
    assert str(before["place"]).endswith("index.db")
    assert "registry" == before["chosen"]
    assert before == shown(run, "rebuild") == shown(run, "use", "sqlite") == shown(run, "show")
    assert f"entry\t{before['entry']}\n" in run("index").stdout


def test_to_a_server_and_back(work: Path, run: Run, home: Path, postgres: PostgresServer) -> None:
    """After ``index use`` every command asks the server, and says so; ``index use sqlite`` goes back."""
    listed, before = run("ls", "--json").stdout, shown(run)
    moved = shown(run, "use", postgres.url, "-o", "application_name=canary-option")
    assert str(moved["place"]).startswith("PostgreSQL 1")
    assert "index use" == moved["chosen"]
    assert [before[key] for key in ("entry", "models", "versions")] == [
        moved[key] for key in ("entry", "models", "versions")
    ]
    assert listed == run("ls", "--json").stdout
    checks = {each["check"]: each for each in json.loads(run("doctor", "--json").stdout)}
    assert ("ok", moved["place"]) == (checks["index place"]["state"], checks["index place"]["detail"])
    assert "ok" == checks["index"]["state"]
    assert run("query", "SELECT count(*) AS n FROM versions", "--json").exit_code == 0
    kept = home / "indexes.json"
    assert 0o600 == stat.S_IMODE(kept.stat().st_mode)
    assert b"postgresql" not in b"".join(path.read_bytes() for path in (work / ".friday").rglob("*") if path.is_file())
    assert before == shown(run, "use", "sqlite")
    assert before == shown(run)


def test_what_cannot_be_used_is_not_remembered(work: Path, run: Run, home: Path, postgres: PostgresServer) -> None:
    """A server that is not there, or refuses, is said at once, without the password; the index stays."""
    before = shown(run)
    for url, code, words in (
        ("postgresql://ann:canary@127.0.0.1:9/models", 7, "127.0.0.1:9/models"),
        (postgres.url.replace("/models", "/nothing"), 7, "does not exist"),
        ("mysql://localhost/x", 2, "postgresql://"),
        ("postgresql://ann:can/ary@127.0.0.1/x", 2, "%2F"),
    ):
        found = run("index", "use", url)
        assert (code, "") == (found.exit_code, found.stdout), found.stderr
        assert words in found.stderr
        assert "canary" not in found.stderr
        assert "can/ary" not in found.stderr
    assert 2 == run("index", "use", postgres.url, "-o", "password=env:NOT_SET").exit_code
    assert 2 == run("index", "use", postgres.url, "-o", "nonsense").exit_code
    assert 2 == run("index", "use", "sqlite", "-o", "a=b").exit_code
    assert not (home / "indexes.json").exists()
    assert before == shown(run)


def test_a_password_by_name(
    work: Path, run: Run, home: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``env:`` is kept as such, and what it stands for goes to the server alone; the environment can name it all."""
    monkeypatch.setenv("TEAM_DB", "canary-password")
    shown(run, "use", postgres.url, "-o", "password=env:TEAM_DB")
    assert "env:TEAM_DB" in (home / "indexes.json").read_text()
    assert "canary" not in (home / "indexes.json").read_text()
    assert str(shown(run)["place"]).startswith("PostgreSQL")
    monkeypatch.delenv("TEAM_DB")
    lost = run("ls")
    assert (2, "") == (lost.exit_code, lost.stdout)
    assert "TEAM_DB" in lost.stderr
    monkeypatch.setenv("FRIDAY_STORE_INDEX", postgres.url)
    assert "FRIDAY_STORE_INDEX" == shown(run)["chosen"]


def test_a_damaged_memory_is_said(work: Path, run: Run, home: Path) -> None:
    """A file of indexes that is none is an error with the way out, not a guess."""
    home.mkdir(exist_ok=True)
    (home / "indexes.json").write_text("{")
    found = run("ls")
    assert found.exit_code == 2
    assert "indexes.json" in found.stderr
