"""Every order in which actors can touch one store: the real code, stopped at each storage operation that others see.

An actor runs in a thread of its own and waits before each operation until the explorer lets it go on. What an actor
does depends on nothing but what its operations gave it, so two orders that lead to the same files and gave every actor
the same answers are one state, and no state is explored twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from friday_store.digest import Buffer
from friday_store.errors import FridayStoreError
from friday_store.storage import Entry

_TIME: Final = 1_000_000.0
_PATIENCE: Final = 60.0


class StopError(BaseException):
    """The explorer has seen enough of this order."""


@dataclass
class Actor:
    """One who uses the store.

    Attributes:
        name: For messages.
        act: What it does with its view of the store.
        seen: What its operations have given it so far.
        result: What came of it: the error's text where it was refused.
    """

    name: str
    act: Callable[[View], object]
    seen: Any = field(default_factory=hashlib.sha256)
    result: str = ""
    finished: bool = False
    stopped: bool = False
    pending: str = ""
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def run(self, view: View) -> None:
        """Act, to the end or until stopped."""
        try:
            self.result = f"done: {self.act(view)}"
        except StopError:
            pass
        except FridayStoreError as error:
            self.result = f"refused: {type(error).__name__}: {error}"
        except BaseException as error:  # noqa: BLE001 - it is what the explorer reports
            self.result = f"failed: {error!r}"
        self.finished = True
        self.waiting.release()

    def pause(self, what: str) -> None:
        """Wait until the explorer lets this actor do its next operation."""
        self.pending = what
        self.waiting.release()
        self.go.acquire()
        if self.stopped:
            raise StopError

    def learn(self, *answer: object) -> None:
        """Remember what an operation gave."""
        self.seen.update(repr((self.pending, answer)).encode())


class View:
    """Files in a dict as one actor sees them; it fulfils :class:`friday_store.storage.Storage`.

    Args:
        files: The files, which all views share.
        actor: Whose view this is; None is never stopped.
        every: Whether reading a pack is an operation that others see too.
    """

    url = "dict"
    root: Path | None = None

    def __init__(self, files: dict[str, bytes], actor: Actor | None = None, *, every: bool = False) -> None:
        self.files = files
        self._actor = actor
        self._every = every

    def _step(self, verb: str, path: str) -> None:
        if self._actor is None:
            return
        if self._actor.stopped:
            raise StopError
        shared = path.startswith(("log/", "packs")) and (verb != "read" or self._every or path.startswith("log/"))
        if shared and verb != "stat":
            self._actor.pause(f"{verb} {path}")

    def _learn(self, *answer: object) -> None:
        if self._actor is not None:
            self._actor.learn(*answer)

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:
        self._step("create", path)
        made = path not in self.files
        if made:
            blocks = [data] if isinstance(data, bytes | bytearray | memoryview) else data
            self.files[path] = b"".join(bytes(block) for block in blocks)
        self._learn(made)
        return made

    def spool(self, folder: str) -> Spooled:
        return Spooled(self, folder)

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        self._step("read", path)
        found = self.files.get(path)
        if not path.startswith("packs/") or self._every:
            self._learn(None if found is None else hashlib.sha256(found).hexdigest())
        return None if found is None else found[start:end]

    def list(self, folder: str) -> list[Entry]:
        self._step("list", folder)
        start = f"{folder}/" if folder else ""
        below = sorted(path.removeprefix(start) for path in self.files if path.startswith(start))
        found = {}
        for path in below:
            name, slash, _ = path.partition("/")
            size = 0 if slash else len(self.files[start + name])
            found[name] = Entry(name, size, 0 if slash else _TIME, bool(slash))
        self._learn(sorted(found))
        return sorted(found.values())

    def delete(self, paths: Iterable[str]) -> None:
        listed = list(paths)
        self._step("delete", listed[0] if listed else "")
        for path in listed:
            self.files.pop(path, None)

    def stat(self, path: str) -> Entry | None:
        self._step("stat", path)
        found = self.files.get(path)
        return None if found is None else Entry(path.rpartition("/")[2], len(found), _TIME, folder=False)

    def turn(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Spooled:
    """A file on its way into a dict."""

    def __init__(self, view: View, folder: str) -> None:
        self.size = 0
        self.sent: Callable[[int], None] | None = None
        self._view = view
        self._folder = folder
        self._blocks: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """There is nothing to discard."""

    def write(self, blocks: Sequence[Buffer]) -> None:
        self._blocks += [bytes(block) for block in blocks]
        self.size = sum(map(len, self._blocks))

    def publish(self, name: str) -> bool:
        return self._view.create(f"{self._folder}/{name}", self._blocks)


@dataclass
class Explorer:
    """Explores every order.

    Args:
        files: The files at the beginning.
        actors: Makes the actors anew for each order.
        check: Called with the files after every change that leads to files not seen before; and with the actors too
            when all have finished.
        every: Whether reading a pack is an operation that others see too.

    Attributes:
        states: How many states there were.
        orders: How many orders were tried.
        results: What came of the actors, over all orders.
    """

    files: dict[str, bytes]
    actors: Callable[[], list[Actor]]
    check: Callable[[dict[str, bytes], list[Actor] | None], None]
    every: bool = False
    states: int = 0
    orders: int = 0
    results: set[tuple[str, ...]] = field(default_factory=set)

    def explore(self) -> None:
        """Try every order."""
        visited: set[str] = set()
        checked: set[str] = set()
        waiting: list[list[int]] = [[]]
        while waiting:
            self.orders += 1
            waiting += self._tried(waiting.pop(), visited, checked)
        self.states = len(visited)

    def _tried(self, prefix: list[int], visited: set[str], checked: set[str]) -> list[list[int]]:
        """Follow a prefix, then always the first actor that can go on; return the other ways that were passed."""
        files, taken = dict(self.files), [*prefix]
        others: list[list[int]] = []
        with self._running(files) as actors:
            for chosen in prefix:
                self._let(actors[chosen])
            while True:
                self._checked(files, checked)
                able = [number for number, actor in enumerate(actors) if not actor.finished]
                if not able:
                    self.results.add(tuple(actor.result.split(":")[0] for actor in actors))
                    self.check(files, actors)
                    return others
                key = _key(files, actors)
                if key in visited:
                    return others
                visited.add(key)
                others += [[*taken, number] for number in able[1:]]
                taken.append(able[0])
                self._let(actors[able[0]])

    @contextlib.contextmanager
    def _running(self, files: dict[str, bytes]) -> Iterator[list[Actor]]:
        actors = self.actors()
        threads = []
        for actor in actors:
            view = View(files, actor, every=self.every)
            threads.append(threading.Thread(target=actor.run, args=(view,), name=actor.name, daemon=True))
            threads[-1].start()
            self._wait(actor)
        try:
            yield actors
        finally:
            for actor in actors:
                actor.stopped = True
                actor.go.release(64)
            for thread in threads:
                thread.join(_PATIENCE)

    def _let(self, actor: Actor) -> None:
        actor.go.release()
        self._wait(actor)

    def _wait(self, actor: Actor) -> None:
        assert actor.waiting.acquire(timeout=_PATIENCE), f"{actor.name} hangs after {actor.pending}"
        assert not actor.result.startswith("failed"), f"{actor.name}: {actor.result}"

    def _checked(self, files: dict[str, bytes], checked: set[str]) -> None:
        digest = _digest(files)
        if digest not in checked:
            checked.add(digest)
            self.check(files, None)


def _digest(files: dict[str, bytes]) -> str:
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    return found.hexdigest()


def _key(files: dict[str, bytes], actors: list[Actor]) -> str:
    parts = [_digest(files)]
    parts += [f"{actor.seen.hexdigest()} {actor.pending} {actor.finished}" for actor in actors]
    return "\n".join(parts)
