"""Faults in the system calls below a local storage, and where both kinds of faults are put.

Faults in the verbs of a storage are those of :mod:`friday_store.testing`.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from friday_store import storage
from friday_store.digest import Buffer
from friday_store.registry import access
from friday_store.repository import config
from friday_store.storage import Storage, local
from friday_store.sync import track
from friday_store.testing.faults import Fault, FaultyStorage

ERRORS: Final = {name: getattr(errno, name) for name in ("EIO", "ENOSPC", "EACCES")}
_CALLS: Final = frozenset(
    {"open", "link", "unlink", "mkdir", "fsync", "writev", "write", "pread", "fchmod", "scandir", "fstat", "stat"}
)


def die() -> NoReturn:
    """Kill the process as ``kill -9`` does: no handler runs, nothing is flushed."""
    os._exit(9)


@dataclass
class Strike:
    """Strikes once, before or after the ``at``-th system call; never if ``at`` is 0.

    Attributes:
        at: Which call, from 1.
        after: Whether the call has had its effect by then.
        action: What happens; it raises or does not return.
        seen: The calls so far.
    """

    at: int
    after: bool
    action: Callable[[], NoReturn]
    seen: list[str] = field(default_factory=list)

    def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        self.seen.append(name)
        if len(self.seen) != self.at:
            return getattr(os, name)(*args, **options)
        if self.after:
            try:
                result = getattr(os, name)(*args, **options)
            except OSError:
                self.action()
            if name == "open":
                os.close(result)
            elif name == "scandir":
                result.close()
        return self.action()


def fail(number: int) -> Callable[[], NoReturn]:
    """Return an action that raises an ``OSError``."""

    def action() -> NoReturn:
        raise OSError(number, os.strerror(number))

    return action


class FaultyCalls:
    """The ``os`` module, as one file sees it, with a fault in what touches the disk."""

    def __init__(self, strike: Strike) -> None:
        self._strike = strike

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._strike, name) if name in _CALLS else getattr(os, name)


class ShortCalls:
    """The ``os`` module with a kernel that takes at most ``most`` bytes of each write."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def writev(self, handle: int, blocks: Sequence[Buffer]) -> int:
        """Write the first bytes of the blocks."""
        return os.write(handle, b"".join(blocks)[: self._most])

    def write(self, handle: int, data: Buffer) -> int:
        """Write the first bytes of ``data``."""
        return os.write(handle, memoryview(data)[: self._most])


@contextmanager
def faulty_calls(strike: Strike) -> Iterator[None]:
    """Put a fault into the system calls of every local storage in the block, and of what is kept beside it."""
    modules: list[Any] = [local, config, track]
    for module in modules:
        module.os = FaultyCalls(strike)
    try:
        yield
    finally:
        for module in modules:
            module.os = os


@contextmanager
def faulty_storage(fault: Fault | None) -> Iterator[list[FaultyStorage]]:
    """Put a fault into the storage of every registry opened in the block; the storages are listed as they come."""
    made: list[FaultyStorage] = []

    def opened(url: str | Path, options: Any = None) -> Storage:
        made.append(FaultyStorage(storage.open_storage(url, options), fault))
        return made[-1]

    module: Any = access
    module.open_storage = opened
    try:
        yield made
    finally:
        module.open_storage = storage.open_storage
