"""A storage that fails when it is told to: before or after a call took effect, in the middle, or by dying."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry, Spool, Storage

_WRITES: Final = frozenset({"create", "write", "publish", "delete"})
_PASSED_ON: Final = frozenset({"open", "folder", "strays", "abandoned"})


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and when.

    Attributes:
        at: Which call, from 1.
        error: What the system says; it reaches the caller as :class:`StorageError`.
        moment: ``before`` the call took effect, ``after`` it did (a lost reply), or ``short``: a write stops half
            way, and every other call fails before.
        action: Called instead of failing, at the same moment; ``lambda: os.kill(os.getpid(), 9)`` dies there.
        forever: Whether every later call fails too.
        writes: Count only the calls that change something: ``create``, ``write``, ``publish`` and ``delete``.
    """

    at: int
    error: int = errno.EIO
    moment: Literal["before", "after", "short"] = "before"
    action: Callable[[], None] | None = None
    forever: bool = False
    writes: bool = False


class FaultyStorage:
    """A storage around another that counts the calls and carries out one fault.

    Spools are wrapped too, and ``open``, ``folder``, ``strays`` and ``abandoned`` are there when the inner storage has
    them. A discarded spool is no call: giving up must always work.

    Args:
        inner: What does the work.
        fault: What goes wrong; None only counts.

    Attributes:
        calls: The verb and path of each call so far, such as ``create log/0000000000/001``.
    """

    def __init__(self, inner: Storage, fault: Fault | None = None) -> None:
        self.url = inner.url
        self.root: Path | None = inner.root
        self.calls: list[str] = []
        self._inner = inner
        self._fault = fault
        self._counted = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FaultyStorage({self._inner!r}, {self._fault!r})"

    def __getattr__(self, name: str) -> Any:
        """Pass on what only some storages have."""
        if name not in _PASSED_ON:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found = getattr(self._inner, name)

        def passed_on(*arguments: Any, **options: Any) -> Any:
            with self.call(name, str(arguments[0]) if arguments else ""):
                return found(*arguments, **options)

        return passed_on

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:
        with self.call("create", path):
            return self._inner.create(path, data)

    def spool(self, folder: str) -> FaultySpool:
        with contextlib.ExitStack() as discarded:
            with self.call("spool", folder):
                inner = discarded.enter_context(self._inner.spool(folder))
            discarded.pop_all()
            return FaultySpool(self, inner, folder)

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        with self.call("read", path):
            return self._inner.read(path, start, end)

    def list(self, folder: str) -> list[Entry]:
        with self.call("list", folder):
            return self._inner.list(folder)

    def delete(self, paths: Iterable[str]) -> None:
        listed = [*paths]
        with self.call("delete", " ".join(listed)):
            self._inner.delete(listed)

    def stat(self, path: str) -> Entry | None:
        with self.call("stat", path):
            return self._inner.stat(path)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait as the inner storage does; not counted, since nothing depends on it."""
        with self._inner.turn():
            yield

    @contextlib.contextmanager
    def call(self, verb: str, path: str, half: Callable[[], object] | None = None) -> Iterator[None]:
        """Count one call and carry out the fault around it.

        Args:
            verb: What is called.
            path: On what.
            half: Does half of the work, for a fault in the middle.
        """
        moment = self._moment(verb, path)
        if moment == "short" and half is not None:
            half()
        if moment in ("before", "short"):
            self._fail(verb, path)
        yield
        if moment == "after":
            self._fail(verb, path)

    def _moment(self, verb: str, path: str) -> str | None:
        with self._lock:
            self.calls.append(f"{verb} {path}")
            fault = self._fault
            if fault is None or (fault.writes and verb not in _WRITES):
                return None
            self._counted += 1
            due = self._counted >= fault.at if fault.forever else self._counted == fault.at
            return fault.moment if due else None

    def _fail(self, verb: str, path: str) -> None:
        assert self._fault is not None
        if self._fault.action is not None:
            self._fault.action()
            return
        said = os.strerror(self._fault.error)
        failed = StorageError(f"cannot {verb} {self.url}/{path}: {said}")
        failed.errno = self._fault.error
        raise failed from OSError(self._fault.error, said)


class FaultySpool:
    """A spool whose writing and publishing are calls of a :class:`FaultyStorage`."""

    def __init__(self, storage: FaultyStorage, inner: Spool, folder: str) -> None:
        self.size = inner.size
        self._storage = storage
        self._inner = inner
        self._folder = folder

    @property
    def sent(self) -> Callable[[int], None] | None:
        """The inner spool's."""
        return self._inner.sent

    @sent.setter
    def sent(self, called: Callable[[int], None] | None) -> None:
        self._inner.sent = called

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._inner.__exit__(*exc)

    def write(self, blocks: Sequence[Buffer]) -> None:
        def half() -> None:
            views = [memoryview(block).cast("B") for block in blocks]
            self._inner.write([view[: len(view) // 2] for view in views[:1]])

        with self._storage.call("write", self._folder, half):
            self._inner.write(blocks)
        self.size = self._inner.size

    def publish(self, name: str) -> bool:
        with self._storage.call("publish", f"{self._folder}/{name}"):
            return self._inner.publish(name)
