"""``gc``, ``prune`` and ``fsck --remote``: what they say, what they ask, and with what they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from friday_store import ModelRegistry

from .conftest import Run


def _json(run: Run, *arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert 0 == result.exit_code, result.stderr
    return json.loads(result.stdout)


def _packs() -> int:
    return sum(path.stat().st_size for path in Path(".friday/packs").iterdir())


def test_a_dry_run_says_what_the_run_does(work: Path, run: Run) -> None:
    """Gc -n and gc --yes write the same report but for dry_run, and the packs shrink by what it says."""
    expected = _json(run, "gc", "-n", "--grace", "0")
    before = _packs()
    found = _json(run, "gc", "--yes", "--grace", "0")
    assert {**expected, "dry_run": False} == found
    assert found["bytes_freed"] - found["bytes_written"] == before - _packs()
    assert found["packs_removed"] == 1
    assert 0 == run("fsck").exit_code


def test_people_are_told_in_words(work: Path, run: Run) -> None:
    """The text says what would be done, then what was, then that nothing is left."""
    said = run("gc", "-n", "--grace", "0", "--format", "human").stdout
    assert "would be put out of use" in said
    assert "would be erased" in said
    said = run("gc", "--yes", "--grace", "0", "--format", "human").stdout
    assert "1 pack (" in said
    assert "would" not in said
    assert "nothing to collect\n" == run("gc", "--yes", "--grace", "0", "--format", "human").stdout


def test_nobody_is_asked_where_nobody_can_answer(work: Path, run: Run) -> None:
    """Without a terminal, gc and prune that would do something end with code 2, and the hint is the same with --yes."""
    assert 0 == run("alias", "-d", "aapl_1d@production").exit_code
    for command in (["gc", "--grace", "0"], ["prune", "aapl_1d", "--keep-last", "1"]):
        before = _packs()
        result = run(*command)
        assert 2 == result.exit_code
        assert "--yes" in result.stderr
        assert before == _packs()
    assert 0 == run("gc").exit_code


def test_a_deleted_model_comes_back_until_it_is_erased(work: Path, run: Run) -> None:
    """Restore works after gc with a grace, and ends with code 3 and says why once the bytes are erased."""
    assert 0 == run("gc", "--yes").exit_code
    assert 0 == run("restore", "gone").exit_code
    assert 0 == run("rm", "--yes", "gone").exit_code
    assert 0 == run("gc", "--yes", "--grace", "0").exit_code
    result = run("restore", "gone")
    assert 3 == result.exit_code
    assert "erased its bytes" in result.stderr


def test_restore_names_what_is_erased(work: Path, run: Run) -> None:
    """What is left of a model comes back, and what is erased of it is named."""
    assert 0 == run("rm", "--yes", "aapl_1d:1.0.0").exit_code
    assert 0 == run("gc", "--yes", "--grace", "0").exit_code
    assert 0 == run("rm", "--yes", "--force", "aapl_1d").exit_code
    result = run("restore", "aapl_1d")
    assert 0 == result.exit_code
    assert ["note: aapl_1d:1.0.0 stays deleted: garbage collection has erased its bytes"] == result.stderr.splitlines()
    assert [["aapl_1d", "1.1.0"]] == [line.split("\t")[:2] for line in result.stdout.splitlines()]


def test_prune_says_why_what_stays_stays(work: Path, run: Run) -> None:
    """Each version has a line with its fate and the reason; -n changes nothing."""
    expected = _json(run, "prune", "aapl_1d", "--keep-best", "loss:1", "--keep-tag", "nothing", "-n")
    assert [("would go", ""), ("kept", "alias production")] == [(each["state"], each["kept"]) for each in expected]
    found = _json(run, "prune", "aapl_1d", "--keep-best", "loss:1", "--yes")
    assert [("removed", ""), ("kept", "alias production")] == [(each["state"], each["kept"]) for each in found]
    with ModelRegistry() as registry:
        assert ["1.1.0"] == [record["model_version"] for record in registry.get_model_versions("aapl_1d")]
    assert 0 == run("restore", "aapl_1d").exit_code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["prune", "aapl_1d"], 2),
        (["prune", "aapl_1d", "--keep-best", "auc"], 2),
        (["prune", "aapl_1d", "--keep-best", "unheard_of:1"], 2),
        (["prune", "nothing", "--keep-last", "1"], 3),
        (["gc", "--grace", "soon"], 2),
        (["gc", "--remote", "nowhere"], 3),
        (["fsck", "--remote", "origin", "--repair"], 2),
    ],
)
def test_what_cannot_be_is_refused(work: Path, run: Run, arguments: list[str], code: int) -> None:
    """A missing rule, a metric that is none, a name that is not there and a time that is none have their codes."""
    assert code == run(*arguments).exit_code


def test_gc_ends_with_5_where_something_is_lost(work: Path, run: Run) -> None:
    """Where something that is needed is missing, nothing is erased, and the code is that of damage."""
    max(Path(".friday/packs").iterdir(), key=lambda path: path.stat().st_size).unlink()
    before = _packs()
    assert 5 == run("gc", "--yes", "--grace", "0").exit_code
    assert before == _packs()


def test_a_remote_is_checked_and_collected(work: Path, run: Run) -> None:
    """Fsck --remote finds damage at the remote and names the command that repairs it there; gc --remote collects."""
    assert 0 == run("push").exit_code
    assert {"problems": [], "repaired": [], "left": []} == _json(run, "fsck", "--remote", "origin")
    assert 0 == _json(run, "gc", "--remote", "origin", "--grace", "0", "--yes")["packs_removed"]
    pack = max(Path("shared/team/packs").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[70] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    result = run("fsck", "--remote", "origin")
    assert 5 == result.exit_code
    assert "shared/team fsck --repair" in result.stderr
    assert 0 == run("fsck").exit_code
