"""The power goes: a disk that loses at one moment all that was not synced, and a registry that was being written.

An ext4 in a file is shut down by the ioctl that its own tests use, without flushing its journal: what the page cache
held is gone, as after a real cut. Needs root and loop devices, and is skipped where there are none.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from friday_store import FridayStoreError
from tests.faults import stored
from tests.faults.crew import Crew, said
from tests.faults.worker import content

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WITHOUT_FLUSH = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH


class Disk:
    """A small ext4 that can lose its power.

    Args:
        folder: Where its image and its mount point are made.

    Attributes:
        root: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self._image, self.root = folder / "disk.img", folder / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(96 << 20)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self.mount()

    def mount(self) -> None:
        """Mount it, which replays its journal."""
        _run("mount", "-o", "loop", self._image, self.root)

    def unmount(self) -> None:
        """Let it go."""
        _run("umount", self.root)

    def cut(self) -> None:
        """Take its power away, at once."""
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
        finally:
            os.close(handle)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _obstacle() -> str:
    if os.geteuid() != 0:
        return "cutting the power of a disk takes root"
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    return f"there is no {', '.join(missing)}" if missing else ""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of the test's own."""
    if reason := _obstacle():
        pytest.skip(reason)
    try:
        made = Disk(tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device here: {error.stderr.decode(errors='replace').strip()}")
    yield made
    made.unmount()


def _written_until_the_cut(crew: Crew, disk: Disk, words: Path, seconds: float, **how: object) -> dict[int, str]:
    """Register on the disk until its power goes, and return what was acknowledged before."""
    writer = crew.start("register", words, root=disk.root / "registry", name="m", tag="t", **how)
    deadline = time.monotonic() + 20
    while len(said(words)) < 3:
        assert time.monotonic() < deadline, "nothing was registered within 20 s"
        time.sleep(0.001)
    time.sleep(seconds)
    acknowledged = {number: digest for what, number, digest in said(words)[1:] if what == "registered"}
    disk.cut()
    crew.kill(writer)
    disk.unmount()
    disk.mount()
    return acknowledged


@pytest.mark.parametrize("cuts", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_what_was_acknowledged_survives_a_power_cut(crew: Crew, disk: Disk, tmp_path: Path, cuts: int) -> None:
    """After each cut every acknowledged version loads, fsck finds nothing lost, and registering goes on."""
    source = random.Random(f"power {cuts}")
    kept: dict[int, str] = {}
    for cut in range(cuts):
        first = cut * 10_000
        kept |= _written_until_the_cut(crew, disk, tmp_path / f"said{cut}", source.uniform(0, 0.3), first=first)
        with stored.opened(disk.root / "registry") as registry:
            assert stored.serious(registry.fsck()) == []
            registry.register_model(content(-1 - cut), "m")
        _loaded(disk.root / "registry", kept)
    assert len(kept) > cuts


def test_the_cut_is_real(crew: Crew, disk: Disk, tmp_path: Path) -> None:
    """The same writer without its syncs loses what it acknowledged: the disk forgets, and this check would see it."""
    kept = _written_until_the_cut(crew, disk, tmp_path / "said", 0.1, synced=False)
    with pytest.raises((FridayStoreError, AssertionError)):
        _loaded(disk.root / "registry", kept)


def _loaded(root: Path, kept: dict[int, str]) -> None:
    with stored.opened(root) as registry:
        for number, digest in kept.items():
            assert content(number) == registry.load_model(digest)
