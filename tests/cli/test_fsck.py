"""``fsck``: what it finds, what it repairs, what it leaves alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from friday_store import ModelRegistry

from .conftest import Run


@pytest.fixture
def damaged(work: Path, run: Run) -> Path:
    """The prepared folder, pushed to ``origin``, and then one byte of the arrays of ``weights_only`` changed."""
    assert run("push").exit_code == 0
    with ModelRegistry() as registry:
        artifact = registry.repository.artifact(bytes.fromhex(registry.get_model_metadata("weights_only")["artifact"]))
        found = registry.repository.objects.find(next(iter(artifact.parts[-1])))
        assert found is not None
        name, frame = found[0].name, found[0].frame(found[1])
    [pack] = (work / ".friday" / "packs").rglob(f"{name}.pack")
    data = bytearray(pack.read_bytes())
    data[frame.offset] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    return pack


def _document(run: Run, code: int, *arguments: str) -> Any:
    result = run("fsck", "--json", *arguments)
    assert code == result.exit_code, result.stderr
    found = json.loads(result.stdout)
    assert {"problems", "repaired", "left"} == set(found)
    return found


def _hint(stderr: str) -> list[str]:
    [hint] = [line for line in stderr.splitlines() if line.startswith("hint: friday-store ")]
    return shlex.split(hint.removeprefix("hint: friday-store "))


def test_nothing_is_repaired_unasked(damaged: Path, run: Run) -> None:
    """Without --repair every file stays as it is, and the hint is the command that repairs from the remote."""
    before = {path: path.read_bytes() for path in Path(".friday/packs").rglob("*.pack")}
    found = _document(run, 5)
    assert found["problems"] == found["left"]
    assert [] == found["repaired"]
    assert before == {path: path.read_bytes() for path in Path(".friday/packs").rglob("*.pack")}
    assert ["fsck", "--repair-from", "origin"] == _hint(run("fsck").stderr)


def test_the_hint_repairs(damaged: Path, run: Run) -> None:
    """The command in the hint leaves nothing damaged, says what was wrong and what was done, and ends with 0."""
    result = run(*_hint(run("fsck").stderr), "--format", "human")
    assert 0 == result.exit_code, result.stderr
    words = [line.partition(": ")[0] for line in result.stdout.splitlines()]
    assert ["error", "repaired", "repaired"] == words
    assert "fetched from origin" in result.stdout
    assert result.stderr.endswith("note: 2 repairs done; nothing is damaged now\n")
    assert {"problems": [], "repaired": [], "left": []} == _document(run, 0)
    assert run("load", "weights_only").exit_code == 0


def test_the_damaged_file_is_kept(damaged: Path, run: Run) -> None:
    """A repair moves the damaged file aside as it is."""
    bad = damaged.read_bytes()
    done = _document(run, 0, "--repair-from", "origin")
    assert 2 == len(done["repaired"])
    assert [] == done["left"]
    assert not damaged.exists()
    assert bad in [path.read_bytes() for path in Path(".friday/damaged").iterdir()]


def test_what_nobody_has_stays_lost(damaged: Path, run: Run) -> None:
    """--repair alone mends what it can and ends with 5; the hint names the remote that was not asked yet."""
    result = run("fsck", "--repair")
    assert 5 == result.exit_code
    assert ["error", "repaired", "still error"] == [line.partition("\t")[0] for line in result.stdout.splitlines()]
    assert "error: 1 repair done; 1 problem left: " in result.stderr
    assert ["fsck", "--repair-from", "origin"] == _hint(result.stderr)
    assert run("show", "aapl_1d").exit_code == 0
    assert 0 == run(*_hint(result.stderr)).exit_code


def test_what_is_lost_for_good_is_let_go(damaged: Path, run: Run) -> None:
    """Where no remote is left to ask, fsck names the version, and the hint of every run leads out."""
    assert run("remote", "rm", "origin").exit_code == 0
    assert ["fsck", "--repair"] == _hint(run("fsck").stderr)
    for options in (["--repair"], []):
        result = run("fsck", *options)
        assert 5 == result.exit_code
        assert "weights_only:0.1.0" in result.stdout
        assert "brings weights_only:0.1.0 back" in result.stderr
        assert ["rm", "--yes", "--force", "weights_only:0.1.0"] == _hint(result.stderr)
    assert "error: weights_only:0.1.0: chunk " in run("load", "weights_only").stderr
    assert 0 == run(*_hint(run("fsck").stderr)).exit_code
    assert 0 == run("fsck").exit_code


def test_several_remotes_are_asked(damaged: Path, run: Run) -> None:
    """What the first remote has not comes from the next."""
    assert run("remote", "add", "empty", "./empty").exit_code == 0
    assert run("push", "empty", "aapl*").exit_code == 0
    assert ["fsck", "--repair-from", "empty", "--repair-from", "origin"] == _hint(run("fsck").stderr)
    done = _document(run, 0, "--repair-from", "empty", "--repair-from", "origin")
    assert "fetched from origin" in {each["message"] for each in done["repaired"]}


def test_a_remote_that_is_not_there(damaged: Path, run: Run) -> None:
    """A remote that is not known is an error before anything is changed."""
    bad = damaged.read_bytes()
    result = run("fsck", "--repair-from", "nothing")
    assert (3, "") == (result.exit_code, result.stdout)
    assert bad == damaged.read_bytes()


def test_a_damaged_log_is_told(work: Path, run: Run) -> None:
    """A missing log entry is listed also by a repair, which ends with 5 and says where whole registries are."""
    assert run("push").exit_code == 0
    (work / ".friday" / "log" / "0000000000" / "002").unlink()
    for options in ([], ["--repair"]):
        result = run("fsck", *options, "--json")
        assert 5 == result.exit_code
        assert "log" in {each["kind"] for each in json.loads(result.stdout)["left"]}
        assert ["clone", str(work / "shared" / "team"), "ANOTHER_FOLDER"] == _hint(result.stderr)
    assert 0 == run(*_hint(run("fsck").stderr)).exit_code
    assert 0 == run("-C", "ANOTHER_FOLDER", "fsck").exit_code


def test_quick_and_repair(work: Path, run: Run) -> None:
    """A repair reads everything, so --quick does not go with it."""
    assert 2 == run("fsck", "--quick", "--repair").exit_code
