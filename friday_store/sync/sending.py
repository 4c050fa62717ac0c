"""From a closure to durable packs at the target, with a journal so that an interrupted run is not done again.

Packs are closed at 128 MiB, or when they hold many small objects. At a local target a model stays in one pack, so that
its arrays can be mapped there; afar, where nothing is mapped, a pack ends anywhere, and the next one is filled while
the last is on its way.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from friday_store.errors import FridayStoreError
from friday_store.objects import Directory, ObjectStore
from friday_store.objects.pack import PackWriter, read_directory
from friday_store.objects.streaming import verified
from friday_store.repository import Repository
from friday_store.storage.files import replace_private
from friday_store.sync.closure import Closure

_SIZE: Final = 128 << 20
_METADATA: Final = 8 << 20
_COUNT: Final = 16_000
_FRESH: Final = 3 * 24 * 3600


class Progress(NamedTuple):
    """How far a copy is.

    Attributes:
        done: Objects copied.
        objects: Objects to copy.
        sent: Bytes copied.
        size: Bytes to copy.
        present: Objects that are there already.
    """

    done: int
    objects: int
    sent: int
    size: int
    present: int


Watcher = Callable[[Progress], None]
"""Called now and then while a copy runs, also from other threads."""


class Journal:
    """The packs that an interrupted copy left at its target, durable and not in use.

    Args:
        path: Where it is kept; None forgets.
        target: The target's id: a journal of another target is ignored.

    Attributes:
        since: The target's newest log entry before the first of the packs was written; None where there is none.
    """

    def __init__(self, path: Path | None, target: str) -> None:
        self.since: int | None = None
        self._path = path
        self._target = target
        self._packs: list[tuple[str, int]] = []

    def adopted(self, target: Repository) -> list[Directory]:
        """Return the packs that arrived; neither those that are in use nor those that were, or are collected."""
        found: list[Directory] = []
        packs, self._packs = self._read(), []
        departed = target.index.departed(self.since) if packs and self.since is not None else set()
        for name, size in packs:
            try:
                if name not in target.objects.live and name not in departed:
                    found.append(read_directory(target.storage, name, size))
                    self._packs.append((name, size))
            except FridayStoreError:  # it did not arrive
                continue
        return found

    def add(self, directory: Directory, since: int) -> None:
        """Remember a pack that is about to be written.

        Args:
            directory: The pack's.
            since: The newest entry of the target's log that is known.
        """
        self.since = since if self.since is None else min(self.since, since)
        self._packs.append((directory.name, directory.size))
        if self._path is not None:
            document = {
                "target": self._target,
                "time": int(time.time()),
                "since": self.since,
                "packs": self._packs,
            }
            replace_private(self._path, json.dumps(document).encode())

    def clear(self) -> None:
        """Forget them, since they are in use now."""
        self._packs, self.since = [], None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self) -> list[tuple[str, int]]:
        if self._path is None:
            return []
        try:
            raw = json.loads(self._path.read_bytes())
            if raw["target"] != self._target or not 0 <= time.time() - int(raw["time"]) < _FRESH:
                return []
            self.since = int(raw["since"])
            return [(bytes.fromhex(name).hex(), int(size)) for name, size in raw["packs"]]
        except (OSError, ValueError, KeyError, TypeError):  # a journal that cannot be read costs time alone
            return []


class Sending:
    """One copy of a closure's objects into packs of a target.

    Args:
        closure: The objects.
        source: Where they are.
        target: Where to.
        journal: Told of each pack before it is written.
        watcher: Told how far it is.
    """

    def __init__(
        self, closure: Closure, source: ObjectStore, target: Repository, journal: Journal, watcher: Watcher | None
    ) -> None:
        self._closure = closure
        self._source = source
        self._target = target
        self._journal = journal
        self._watcher = watcher
        self._far = target.storage.root is None
        self._since = target.index.state.seq
        self._done = self._sent = 0

    def run(self) -> list[tuple[str, int]]:
        """Write the packs and return name and size of each; they are durable and not in use.

        Raises:
            IntegrityError: An object is damaged at the source.
            StorageError: A pack cannot be read or written.
        """
        made: list[tuple[str, int]] = []
        writer: PackWriter | None = None
        groups = self._closure.groups()
        left = next(groups, 0)
        with (
            contextlib.closing(verified(self._source.storage, self._closure)) as objects,
            ThreadPoolExecutor(1, thread_name_prefix="friday-send") as pool,
        ):
            published: Future[None] | None = None
            try:
                for frame, stored in objects:
                    writer = writer or self._opened()
                    writer.add(frame, stored)
                    self._done += 1
                    left -= 1
                    if left == 0:
                        left = next(groups, 0)
                        self._tell(0)
                        parted = True
                    else:
                        parted = self._far
                    if parted and _full(writer):
                        published = self._published(writer, made, pool, published)
                        writer = None
                if writer is not None:
                    published = self._published(writer, made, pool, published)
                    writer = None
                if published is not None:
                    published.result()
            finally:
                if writer is not None:
                    writer.__exit__(None, None, None)
        return made

    def _opened(self) -> PackWriter:
        writer = self._target.objects.writer()
        writer.watch(self._tell)
        return writer

    def _published(
        self, writer: PackWriter, made: list[tuple[str, int]], pool: ThreadPoolExecutor, before: Future[None] | None
    ) -> Future[None]:
        """Seal a pack and send it on its way, after the one before has arrived."""
        directory = writer.seal()
        if before is not None:
            before.result()
        self._journal.add(directory, self._since)
        made.append((directory.name, directory.size))
        return pool.submit(_publish, writer, directory)

    def _tell(self, more: int) -> None:
        self._sent += more
        if self._watcher is not None:
            size = self._closure.size
            present = len(self._closure.relied)
            self._watcher(Progress(self._done, len(self._closure), min(self._sent, size), size, present))


def _publish(writer: PackWriter, directory: Directory) -> None:
    with writer:
        writer.publish(directory)


def _full(writer: PackWriter) -> bool:
    return writer.size >= _SIZE or writer.metadata_size >= _METADATA or len(writer) >= _COUNT
