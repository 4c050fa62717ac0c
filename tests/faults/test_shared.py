"""A registry that users of one machine share by the README's recipe, each as the system's own user."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from friday_store import ModelRegistry
from friday_store.plugins import Plugins

TEAM, OTHERS = 41000, 41009
MODE = 0o3775


class Member:
    """A process of another user; see ``member.py``."""

    def __init__(self, uid: int, gid: int, home: Path, umask: int) -> None:
        home.mkdir()
        os.chown(home, uid, gid)
        self.home = home
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("member.py")), str(uid), str(gid), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            umask=umask,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        self.uid = uid

    def ready(self) -> None:
        """Wait until it is another user."""
        assert self.uid == self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, *words: Any) -> Any:
        """Tell it what to do, and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def run(self, *words: object, code: int = 0) -> str:
        """Run a command line; return stdout, or stderr where it is to fail."""
        found, out, err = self.ask("run", *map(str, words))
        assert code == found, err
        return str(err if code else out)

    def register(self, root: Path, number: int, *more: str, code: int = 0) -> str:
        """Register a version of the model."""
        file = self.home / "model.json"
        file.write_text(json.dumps([number]))
        return self.run("-R", root, "register", file, "-n", "m", *more, code=code)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Shared(NamedTuple):
    """A shared registry, two members of its group and somebody else who may only read."""

    root: Path
    ann: Member
    bob: Member
    eve: Member


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """The recipe: a folder of root's and the group's, with setgid and sticky bit; others may enter and read."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("this needs root, to be three other users")
        pytest.skip("this needs root, to be three other users, so it is NOT checked")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = folder / "models"
    root.mkdir()
    os.chown(root, 0, TEAM)
    root.chmod(MODE)
    members = [
        Member(41001, TEAM, folder / "ann", 0o077),
        Member(41002, TEAM, folder / "bob", 0o022),
        Member(41003, OTHERS, folder / "eve", 0o022),
    ]
    try:
        with ModelRegistry(root, plugins=Plugins(())) as registry:
            registry.repository.create()
        for member in members:
            member.ready()
        yield Shared(root, *members)
    finally:
        for member in members:
            member.close()
        shutil.rmtree(folder)


def test_members_register_and_see_each_other(shared: Shared) -> None:
    """What one registers the other lists, reads and goes on from, whatever their umask; all modes are as promised."""
    root, ann, bob, eve = shared
    ann.register(root, 1, "--alias", "production")
    bob.register(root, 2)
    assert 2 == len(ann.run("-R", root, "ls", "-q", "--versions").splitlines())
    for member in (ann, bob, eve):
        member.run("-R", root, "get", "m@production", member.home / "got.json")
        assert [1] == json.loads((member.home / "got.json").read_text())
        member.run("-R", root, "fsck")
        member.run("-R", root, "verify-log")
    bob.run("-R", root, "alias", "m@production", "m:1.0.1")
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert (MODE, TEAM) == (mode, path.stat().st_gid), path
        elif path.name != "writers.lock":
            assert 0o444 == mode, path
    assert not (root / "index.db").exists()


def test_members_write_at_the_same_time(shared: Shared) -> None:
    """Nothing is lost, and nobody waits for a lock that another user holds."""
    root, ann, bob, _ = shared
    before = len(ann.run("-R", root, "ls", "-q", "--versions").splitlines())

    def many(member: Member, start: int) -> None:
        for number in range(10):
            member.register(root, start + number)

    threads = [threading.Thread(target=many, args=(member, 100 * n)) for n, member in enumerate((ann, bob), 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before + 20 == len(bob.run("-R", root, "ls", "-q", "--versions").splitlines())
    ann.run("-R", root, "fsck")


def test_no_member_changes_what_is_stored(shared: Shared) -> None:
    """By no call of the system either: neither another's files nor the folders; only what they made is theirs."""
    root, ann, bob, eve = shared
    ann.register(root, 3)
    stored = [path for path in root.rglob("*") if path.is_file() and path.stat().st_uid == ann.uid]
    assert {"packs", "log"} <= {path.relative_to(root).parts[0] for path in stored}
    for path in [*stored, root / "friday-store.json"]:
        before = path.read_bytes()
        assert [] == bob.ask("tamper", str(path)), path
        assert [] == eve.ask("tamper", str(path)), path
        assert before == path.read_bytes()


def test_a_reader_reads_and_is_told_when_he_writes(shared: Shared) -> None:
    """Who may only read clones and pulls; each command that writes is one line and a hint, and leaves nothing."""
    root, ann, _, eve = shared
    names = sorted(path.name for path in root.rglob("*"))
    eve.run("clone", root, eve.home / "mine")
    ann.register(root, 4, "--as", "4.0.0")
    assert "4.0.0" in eve.run("-R", eve.home / "mine", "pull") + eve.run("-R", eve.home / "mine", "show", "m:4.0.0")
    names = sorted(path.name for path in root.rglob("*"))
    for said in (
        eve.register(root, 9, code=7),
        eve.run("-R", root, "tag", "m:4.0.0", "x", code=7),
        eve.run("-R", root, "rm", "--yes", "m:4.0.0", code=7),
    ):
        error, hint = said.splitlines()
        assert error.startswith(f"error: cannot write {root}")
        assert error.endswith("Permission denied")
        assert "hint: reading may work; to write, use a folder of your own" == hint
    eve.run("-R", root, "gc", "--yes", code=7)
    assert names == sorted(path.name for path in root.rglob("*"))


def test_erasing_is_for_the_folders_owner(shared: Shared) -> None:
    """A member's garbage collection erases nothing of others' and says why; the owner's erases all that is due."""
    root, ann, bob, _ = shared
    ann.register(root, 5, "--as", "5.0.0")
    bob.run("-R", root, "rm", "--yes", "m:5.0.0")
    others = {path for path in (root / "packs").iterdir() if path.stat().st_uid != bob.uid}
    said = bob.run("-R", root, "gc", "--grace", "0", "--yes", code=7)
    assert (
        "hint: in a shared folder a file can be removed by its owner and the folder's alone; nothing was lost" in said
    )
    assert others <= set((root / "packs").iterdir())
    bob.run("-R", root, "fsck")
    with ModelRegistry(root, plugins=Plugins(())) as registry:
        assert registry.gc(grace=0).bytes_freed > 0
        assert [] == registry.fsck()
    assert "m" in ann.run("-R", root, "ls", "-q")


def test_a_new_folder_is_for_all_of_them(shared: Shared) -> None:
    """The folder for the next thousand entries, made by a member with a strict umask, is open to the other."""
    root, ann, bob, eve = shared
    assert True is ann.ask("create", str(root), "log/0000000099/001")
    assert True is bob.ask("create", str(root), "log/0000000099/002")
    assert "Permission denied" in eve.ask("create", str(root), "log/0000000099/003")
    assert MODE == stat.S_IMODE((root / "log/0000000099").stat().st_mode)
    shutil.rmtree(root / "log/0000000099")


def test_settings_can_be_read_by_members(shared: Shared) -> None:
    """What the owner sets is in force for all; secrets and locks stay out of it."""
    root, ann, _, eve = shared
    with ModelRegistry(root, plugins=Plugins(())) as registry:
        registry.add_remote("backup", root.parent / "backup", probe=False)
    for member in (ann, eve):
        assert "backup" in member.run("-R", root, "remote")
    assert 0o644 == stat.S_IMODE((root / "config.toml").stat().st_mode)
    assert [] == ann.ask("tamper", str(root / "config.toml"))
