"""What was a short while ago: log entries with their ages, and files that are not in use any more, or not yet.

All ages are by the store's own clock: the time at which it says that a file was modified, against that of a file
written now. So the clocks of the machines that use a repository need not agree.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
from dataclasses import dataclass, field
from typing import Final

from friday_store.errors import IntegrityError, StorageError
from friday_store.log import LogEntry, State, entry_path
from friday_store.objects.pack import FOLDER
from friday_store.repository import Repository
from friday_store.storage.probe import PREFIX

DAY: Final = 24 * 3600.0
_PACK: Final = ".pack"


@dataclass(frozen=True)
class File:
    """A file that is not in use.

    Attributes:
        path: Where it is, relative to the repository.
        size: Bytes.
        age: Seconds since it went out of use; for one that was never in use, since it was written.
    """

    path: str
    size: int
    age: float


@dataclass
class Past:
    """The past of a repository, as seen from one state.

    Attributes:
        entries: The log entries that are younger than the grace.
        retired: Packs that an entry has put out of use, by name.
        unnamed: Packs that no entry names: a writer is about to, or was killed.
        now: The store's time; 0 where the grace is none.
    """

    entries: list[LogEntry] = field(default_factory=list)
    retired: dict[str, File] = field(default_factory=dict)
    unnamed: dict[str, File] = field(default_factory=dict)
    now: float = 0.0


def past(repository: Repository, state: State, grace: float) -> Past:
    """Return what happened within ``grace`` seconds before a state, and the packs that are not in use.

    Raises:
        StorageError: The store cannot be read or written, or does not say when files were modified.
        IntegrityError: A log entry is missing or damaged.
    """
    return _Looking(repository, state, grace).past()


class _Looking:
    def __init__(self, repository: Repository, state: State, grace: float) -> None:
        self._storage = getattr(repository.storage, "far", repository.storage)
        self._log = repository.log
        self._state = state
        self._grace = grace
        self._folders: dict[str, dict[str, float]] = {}

    def past(self) -> Past:
        files = {
            entry.name.removesuffix(_PACK): entry
            for entry in self._storage.list(FOLDER)
            if entry.name.endswith(_PACK) and not entry.folder
        }
        spare = {name: entry for name, entry in files.items() if name not in self._state.packs}
        # an entry that names a pack is younger than the pack's file; a day more, since copied files may be of any order
        times = [entry.time - DAY for entry in spare.values()]
        horizon = min([*times, *([self.now - self._grace] if self._grace else [])], default=None)
        entries = [] if horizon is None else self._entries(horizon)
        removed = {name: entry.seq for entry in entries for name in entry.packs_removed}
        found = Past(now=self.now if self._grace else 0.0)
        if self._grace:
            found.entries = [entry for entry in entries if self._age(entry.seq) < self._grace]
        for name, entry in spare.items():
            path = f"{FOLDER}/{entry.name}"
            if name in removed:
                age = self._age(removed[name]) if self._grace else 0.0
                found.retired[name] = File(path, entry.size, age)
            else:
                found.unnamed[name] = File(path, entry.size, self.now - self._known(entry.time))
        return found

    @functools.cached_property
    def now(self) -> float:
        """The store's time, from a file that is written for it and removed at once."""
        path = PREFIX + secrets.token_hex(16)
        self._storage.create(path, b"")
        try:
            found = self._storage.stat(path)
        finally:
            with contextlib.suppress(StorageError):  # it harms nobody, and its name says what it is
                self._storage.delete([path])
        return self._known(0.0 if found is None else found.time)

    def _entries(self, horizon: float) -> list[LogEntry]:
        """Return the entries up to the state's back to the first that is older than ``horizon``, oldest first."""
        first = self._state.seq + 1
        while first > 1 and self._time(first - 1) >= horizon:
            first -= 1
        if first > self._state.seq:
            return []
        before = self._log.root if first == 1 else self._log.digest(first - 1)
        if before is None:
            raise IntegrityError(f"log entry {first - 1} is missing", path=entry_path(first - 1))
        return [entry for entry, _ in self._log.after(first - 1, before, self._state.seq)]

    def _age(self, seq: int) -> float:
        return self.now - self._time(seq)

    def _time(self, seq: int) -> float:
        """Return when the store says that an entry was created."""
        folder, _, name = entry_path(seq).rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = {entry.name: entry.time for entry in self._storage.list(folder)}
        return self._known(self._folders[folder].get(name, 0.0))

    def _known(self, time: float) -> float:
        if not time:
            raise StorageError(
                f"{self._storage.url} does not say when its files were modified, so nothing can be collected by age",
                hint="friday-store gc --grace 0",
            )
        return time
