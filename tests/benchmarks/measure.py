"""How time, memory, bytes and processor time are measured."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")

PAGE: Final = 4096
_STATUS: Final = Path("/proc/self/status")
# A process begins with the peak of the one that started it, so a small one stands between.
_LAUNCH: Final = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
os.write(1, f"{usage.ru_maxrss} {usage.ru_utime + usage.ru_stime}\\n".encode())
sys.exit(os.waitstatus_to_exitcode(status))
"""


def timed(function: Callable[..., T], *arguments: Any) -> tuple[float, T]:
    """Return the wall-clock seconds of one call and its result; garbage of earlier calls is collected before."""
    gc.collect()
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def median_of(function: Callable[[], object], repeat: int) -> float:
    """Return the median wall-clock seconds of so many calls."""
    return statistics.median(timed(function)[0] for _ in range(repeat))


def settle() -> None:
    """Wait until everything written so far is on disk, so that no call pays for the one before it."""
    os.sync()


def peak(function: Callable[..., T], *arguments: Any) -> tuple[float, float, T]:
    """Return seconds, bytes by which resident memory rose at its highest, and the result of one call.

    On Linux the kernel's high-water mark is reset before the call, so a peak from before does not hide this one.
    Elsewhere it is the rise of ``ru_maxrss``: a lower bound. Mapped file pages count.
    """
    gc.collect()
    before = _reset_high_water()
    seconds, result = timed(function, *arguments)
    return seconds, float(_high_water() - before), result


def _reset_high_water() -> int:
    if not _STATUS.exists():
        return _high_water()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _high_water() -> int:
    if _STATUS.exists():
        return _status("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _status(field: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"{_STATUS} has no {field}")


def folder_bytes(folder: Path) -> int:
    """Return the sum of the sizes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def touch(arrays: Sequence[NDArray[np.float32]]) -> int:
    """Return the sum of one byte of every page of the arrays: each page must be in memory for it."""
    return sum(int(array.reshape(-1).view(np.uint8)[::PAGE].sum()) for array in arrays)


def processor_seconds() -> float:
    """Return the processor seconds, user and system, that this process and those it started have used so far.

    Those that run are asked too, such as the workers of joblib, so differences are exact to a tick of the clock (10 ms)
    for each of them as long as none of them ends in between. Needs ``/proc``.
    """
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        number = int(stat.parent.name)
        parents.setdefault(int(fields[1]), []).append(number)
        ticks[number] = sum(map(int, fields[11:15]))  # utime, stime, and of its ended children
    waiting, total = [os.getpid()], 0
    while waiting:
        number = waiting.pop()
        total += ticks.get(number, 0)
        waiting += parents.get(number, [])
    return total / os.sysconf("SC_CLK_TCK")


def cpu_seconds(command: list[str], repeat: int = 1) -> float:
    """Return the median processor seconds, user and system, of a command and the children it waited for.

    Raises:
        RuntimeError: The command failed.
    """
    return statistics.median(_cpu_seconds(command) for _ in range(repeat))


def import_seconds(what: str) -> float:
    """Return the processor seconds that importing a module takes on top of Python's own start."""
    bare = cpu_seconds([sys.executable, "-c", ""], 5)
    return cpu_seconds([sys.executable, "-c", f"import {what}"], 5) - bare


def _cpu_seconds(command: list[str]) -> float:
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0o600)]
    child = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


def run(command: list[str], folder: Path | None = None) -> str:
    """Run a command to its end and return its standard output; a failure carries what it said.

    Args:
        command: The command, found on the path.
        folder: Where it runs; None: here.

    Raises:
        RuntimeError: It ended with another status than 0.
    """
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise RuntimeError(f"{' '.join(command[:6])} ended with {done.returncode}: {said[-1_000:]}")
    return done.stdout


def peak_of(command: list[str]) -> float:
    """Return the highest resident memory of a command, in bytes, all that it maps included.

    Raises:
        RuntimeError: The command failed.
    """
    return usage_of(command)[0]


def usage_of(command: list[str]) -> tuple[float, float]:
    """Return the highest resident memory of a command, in bytes, and its processor seconds.

    Raises:
        RuntimeError: The command failed.
    """
    kilobytes, seconds = run([sys.executable, "-S", "-c", _LAUNCH, *command]).split()
    return float(kilobytes) * (1 if sys.platform == "darwin" else 1_024), float(seconds)
