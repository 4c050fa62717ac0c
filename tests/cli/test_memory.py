"""Memory that was freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from friday_store.cli import memory
from friday_store.plugins import Plugins
from friday_store.registry import location

from .conftest import Run

_SCRIPT = """
import ctypes, sys
from friday_store.cli import memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]

libc.mallinfo2.restype = Info
if sys.argv[1:] == ["told"]:
    assert memory.give_back()
libc.free(libc.malloc(8 << 20))  # from here on glibc keeps blocks up to this size in its heap, unless it was told
before = libc.mallinfo2().hblks
kept = libc.malloc(2 << 20)
print(libc.mallinfo2().hblks - before)
libc.free(kept)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallinfo2 is glibc's")
@pytest.mark.parametrize(("argument", "mapped"), [("told", "1"), ("untold", "0")])
def test_large_blocks_are_mapped(argument: str, mapped: str) -> None:
    """After the call a block of 2 MiB is mapped by itself, so that freeing it gives it back; before, it is not."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT, argument], capture_output=True, text=True, check=True)
    assert mapped == done.stdout.strip()


def test_a_library_without_the_call() -> None:
    """Where the C library has no mallopt, or refuses it, nothing happens."""
    assert not memory.give_back(object())

    class Refusing:
        @staticmethod
        def mallopt(_option: int, _value: int) -> int:
            return 0

    assert not memory.give_back(Refusing())


@pytest.mark.parametrize(
    "command",
    ["push", "pull", "fetch", "clone shared/team x", "mirror x", "export --all -o f", "import team.friday"],
)
def test_who_gives_memory_back(command: str, work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that copy much say so to the C library before they open anything."""
    opened: list[str] = []
    monkeypatch.setattr(memory, "give_back", lambda: opened.append("told"))

    def plugins() -> Plugins:
        opened.append("opened")
        return Plugins(())

    monkeypatch.setattr(location, "default_plugins", plugins)
    run(*command.split())
    assert ["told", "opened"] == opened[:2]


def test_who_does_not(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that only looks leaves the C library as it is."""
    monkeypatch.setattr(memory, "give_back", lambda: pytest.fail("told"))
    assert 0 == run("ls").exit_code
