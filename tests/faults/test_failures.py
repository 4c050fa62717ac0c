"""Storage that fails: an error by name, the old data as it was, and the same command works afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from friday_store import FridayStoreError, ModelRegistry, StorageError
from friday_store.storage import local
from tests.faults import stored
from tests.faults.crew import ROOT
from tests.faults.faulty import ERRORS, ShortCalls, Strike, fail, faulty_calls
from tests.faults.worker import content

COMMANDS: Final[dict[str, Callable[[ModelRegistry, Path], object]]] = {
    "register": lambda registry, _: registry.register_model(content(9), "m", "9.0.0"),
    "pull": lambda registry, other: registry.pull(str(other)),
    "push": lambda registry, other: registry.push(str(other)),
    "rebuild": lambda registry, _: registry.repository.index.rebuild(),
}


def _known(root: Path) -> dict[str, object]:
    with stored.opened(root) as registry:
        return {record["model_id"]: registry.load_model(record["model_id"]) for record in registry.list_models()}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two registries that each have what the other lacks."""
    for name, model, first in (("here", "m", 0), ("there", "n", 50)):
        with stored.opened(tmp_path / name) as registry:
            for number in range(2):
                registry.register_model(content(first + number), model, tags=["t"])
    return tmp_path / "here", tmp_path / "there"


def _cases() -> Iterator[Any]:
    """Every command with every error before and after its effect; the shorter run has all of ``register``."""
    few = {("push", "before", "ENOSPC"), ("pull", "after", "EIO"), ("rebuild", "before", "EACCES")}
    for what in sorted(COMMANDS):
        for moment in ("before", "after"):
            for error in sorted(ERRORS):
                short = what == "register" or (what, moment, error) in few
                yield pytest.param(what, moment == "after", error, marks=[] if short else [pytest.mark.slow])


@pytest.mark.parametrize(("what", "after", "error"), [*_cases()])
def test_a_failure_at_every_call(pair: tuple[Path, Path], tmp_path: Path, what: str, after: bool, error: str) -> None:
    """I9: whichever call of the file system fails, before or after its effect: old data, a typed error, a retry."""
    known = [_known(root) for root in pair]
    at, finished = 0, False
    while not finished:
        at += 1
        here, there = (stored.copied(root, tmp_path / f"{at}" / root.name) for root in pair)
        fault = Strike(at, after, fail(ERRORS[error]))
        with faulty_calls(fault):
            try:
                with stored.opened(here) as registry:
                    COMMANDS[what](registry, there)
            except FridayStoreError:
                pass
        finished = len(fault.seen) < at
        for root, models in zip((here, there), known, strict=True):
            with stored.opened(root) as registry:
                assert stored.serious(registry.fsck()) == [], f"{what}, call {at}: {fault.seen[at - 1 :]}"
                assert {one: registry.load_model(one) for one in models} == models
        with stored.opened(here) as registry:
            COMMANDS[what](registry, there)
            assert stored.serious(registry.fsck()) == []
        shutil.rmtree(tmp_path / f"{at}")
    assert at > 5


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I9: a kernel that takes only a part of each write changes nothing about what is stored."""
    monkeypatch.setattr(local, "os", ShortCalls(700))
    model = {"text": [f"line {number}" for number in range(3000)], "raw": os.urandom(100_000)}
    with stored.opened(tmp_path / "registry", compression="none") as registry:
        registry.register_model(model, "m")
        assert registry.load_model("m") == model
        assert registry.fsck() == []


@contextmanager
def _mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount something at a folder; skip, loudly, where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount is not allowed here, so this is NOT checked: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("limit", ["size=600k", "size=1m", "size=2m", "size=5m", "size=32m,nr_inodes=40"])
def test_a_full_disk(tmp_path: Path, limit: str) -> None:
    """I10: on a full disk registering fails by name, what was there loads, and freeing space is all it takes."""
    with _mounted(tmp_path / "disk", "-t", "tmpfs", "-o", limit, "tmpfs") as disk:
        root, ballast = disk / "registry", disk / "ballast"
        ballast.write_bytes(bytes(200_000))
        ids: dict[int, str] = {}
        with stored.opened(root) as registry:

            def fill() -> None:
                for number in range(500):
                    ids[number] = registry.register_model({"number": number, "body": os.urandom(20_000)}, "m")

            with pytest.raises(StorageError):
                fill()
        assert len(ids) > 3
        with stored.opened(root) as registry:
            with pytest.raises(StorageError):
                registry.register_model({"body": os.urandom(400_000), "inodes": [disk / str(n) for n in range(9)]}, "m")
            for number, digest in ids.items():
                assert registry.load_model(digest)["number"] == number
            assert stored.serious(registry.fsck()) == []
        ballast.unlink()
        if "nr_inodes" in limit:
            subprocess.run(["mount", "-o", "remount,nr_inodes=80", str(disk)], check=True)
        with stored.opened(root) as registry:
            registry.register_model({"number": -1}, "m")
            assert registry.load_model("m") == {"number": -1}
            for number, digest in ids.items():
                assert registry.load_model(digest)["number"] == number
            assert stored.serious(registry.fsck()) == []


_READER = """
import sys
from friday_store import ModelRegistry, StorageError
from friday_store.plugins import Plugins
registry = ModelRegistry(sys.argv[1], plugins=Plugins(()))
records = registry.list_models()
assert [record["model_version"] for record in records] == ["1.0.1", "1.0.0"], records
assert registry.get_model_metadata("m")["tags"] == ["t"]
assert registry.load_model("m") == [1, 2, 3]
assert [problem.message for problem in registry.fsck()] == []
refused = 0
for change in (
    lambda: registry.register_model({"a": 2}, "m"),
    lambda: registry.add_tag("m", "another"),
    lambda: registry.set_model_status("m", "staging"),
    lambda: registry.delete_model("m", "1.0.0"),
):
    try:
        change()
    except StorageError as error:
        assert "\\n" not in str(error)
        refused += 1
print("refused", refused)
"""


def _read(root: Path, home: Path, *prefix: str) -> str:
    done = subprocess.run(
        [*prefix, sys.executable, "-W", "ignore::UserWarning", "-c", _READER, str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "FRIDAY_STORE_HOME": str(home)},
    )
    return done.stdout.strip() + done.stderr


def _readable(root: Path) -> None:
    with stored.opened(root) as registry:
        registry.register_model({"a": 1}, "m", serializer="json")
        registry.register_model([1, 2, 3], "m", tags=["t"], serializer="json")


def test_a_read_only_file_system(tmp_path: Path, home: Path) -> None:
    """I11: on a read-only file system everything that reads works, and what writes is refused by name."""
    root = tmp_path / "registry"
    _readable(root)
    with _mounted(tmp_path / "view", "--bind", str(root)) as view:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(view)], check=True)
        assert _read(view, home) == "refused 4"
    assert stored.problems(root) == []


def test_a_registry_of_another_user() -> None:
    """I11: another user who may read the files lists, shows, loads and checks, and is refused when he writes."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("this needs root and setpriv, so it is NOT checked")
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    if subprocess.run([*other, sys.executable, "-c", "import friday_store"], check=False, cwd="/").returncode:
        pytest.skip("another user cannot run this interpreter, so this is NOT checked")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, theirs = folder / "registry", folder / "theirs"
        _readable(root)
        for path in (folder, root, *root.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        theirs.mkdir()
        os.chown(theirs, 65534, 65534)
        assert _read(root, theirs, *other) == "refused 4"
        assert stored.problems(root) == []
