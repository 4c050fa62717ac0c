"""Garbage collection: what no name reaches any more goes, after a time in which it can come back.

Three steps, each safe by itself beside any number of writers:

1. **Mark** what is needed: by the refs as they are, by every state of the log that is younger than the grace (so what
   was deleted can be restored), and the manifests above those by parents. What a fetch brought within the grace stays
   too, since no ref names it yet, also when its pack was merged into another.
2. **Remove**: packs without anything needed, and packs worth rewriting, whose needed objects are first copied to new
   packs as they are stored, go out of use by one log entry. Nothing is deleted. An entry that others made meanwhile is
   read first: what it needs is spared, and where it removed packs itself, all is begun anew. And who left something
   out because a removed pack had it finds that entry when he commits (:mod:`friday_store.repository.transaction`).
3. **Sweep**: files of packs that went out of use longer ago than the grace are deleted, by the store's own clock. A
   pack's name never comes back, so a sweeper that sleeps and goes on a week later deletes nothing that is needed.

Packs that no entry names are those of a writer who is about to commit, or was killed. Those older than the grace, and
a day at least, are named by the entry of step 2 as removed: no writer can put them in use after it, so they are
deleted at once. So are temporary files that no living process holds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Final

from friday_store.digest import Buffer
from friday_store.errors import ConflictError, IntegrityError, StorageError
from friday_store.log import EVERY, State
from friday_store.maintenance.marking import Marks
from friday_store.maintenance.past import DAY, File, past
from friday_store.objects import ObjectStore
from friday_store.objects.pack import FOLDER, Frame, PackWriter
from friday_store.objects.streaming import verified
from friday_store.protection import append_only
from friday_store.repository import Repository
from friday_store.storage.nowhere import Nowhere

Source = Callable[[str], Iterable[tuple[Frame, Buffer]]]
"""Gives the needed objects of a pack, with their stored bytes."""

GRACE: Final = 14 * DAY
_MESSAGE: Final = "gc"
_OWNERS: Final = ("versions/", "notes/")
_TRIES: Final = 20
_PAUSE: Final = 0.05
_SMALL: Final = 64 << 20
_WASTE: Final = 10
_FULL: Final = 128 << 20
_MANY: Final = 16_000
_METADATA: Final = 8 << 20
_DELETED: Final = 500


@dataclass(frozen=True)
class GcReport:
    """What a garbage collection did, or with ``dry_run`` would do.

    Attributes:
        dry_run: Whether it only says so.
        grace: Seconds for which what is deleted can be restored, and what went out of use stays.
        objects: The objects that are needed.
        objects_dropped: Those that are not, in the packs that went out of use.
        packs_removed: The packs that went out of use.
        bytes_removed: The sum of their sizes.
        packs_written: The packs that hold what was still needed of them.
        bytes_written: The sum of their sizes.
        files_deleted: Files that were deleted: packs out of use for longer than the grace, packs that no entry ever
            named, temporary files of killed writers.
        bytes_freed: The sum of their sizes.
        files_waiting: Packs out of use whose grace is not over.
        bytes_waiting: The sum of their sizes.
        bytes_unneeded: What is not needed in the packs in use, since it is too little to rewrite them for.
    """

    dry_run: bool
    grace: float
    objects: int = 0
    objects_dropped: int = 0
    packs_removed: int = 0
    bytes_removed: int = 0
    packs_written: int = 0
    bytes_written: int = 0
    files_deleted: int = 0
    bytes_freed: int = 0
    files_waiting: int = 0
    bytes_waiting: int = 0
    bytes_unneeded: int = 0


def gc(repository: Repository, *, grace: float = GRACE, dry_run: bool = False) -> GcReport:
    """Collect what nothing needs, and return what that was.

    Args:
        repository: Whose.
        grace: Seconds for which what is deleted can be restored, and what went out of use stays.
        dry_run: Change nothing; the report is what a real run would say now.

    Raises:
        StorageError: The store lets two writers create one file, so that nothing protects a writer from this; or it
            cannot be read or written.
        IntegrityError: Something that is needed is missing or damaged: what it needs is not known.
        ConflictError: Others removed packs again and again.
        ProtectedError: The repository is append-only.
    """
    if repository.takes_one_writer:
        raise StorageError(
            f"{repository.storage.url} takes one writer at a time, because its store lets two create one file: "
            "nothing would protect them from garbage collection",
            hint="mirror it to a store that honours conditional writes, and collect there",
        )
    if not repository.born:
        return GcReport(dry_run, grace)
    for attempt in range(_TRIES):
        with _turn(repository, wait=attempt > 0 and not dry_run):
            work = _Collection(repository, grace)
            if dry_run:
                return work.rehearsed()
            if work.remove():
                break
        time.sleep(random.uniform(0, _PAUSE * (attempt + 1)))  # noqa: S311 - jitter
    else:
        raise ConflictError(f"others put packs out of use {_TRIES} times in a row", again=True)
    return work.sweep()


def _turn(repository: Repository, *, wait: bool) -> AbstractContextManager[None]:
    """Keep other writers of this machine waiting where they came first the time before."""
    return repository.storage.turn() if wait else nullcontext()


@dataclass
class _Plan:
    """What goes out of use.

    Attributes:
        gone: Packs of which nothing is needed.
        rewritten: Packs of which the needed objects are copied; name to how many those are.
        condemned: Packs that no entry ever named.
        unneeded: Bytes that are not needed and stay.
    """

    gone: list[str] = field(default_factory=list)
    rewritten: dict[str, int] = field(default_factory=dict)
    condemned: list[str] = field(default_factory=list)
    unneeded: int = 0

    @property
    def removed(self) -> list[str]:
        return [*self.gone, *self.rewritten]


class _Collection:
    """One attempt, from one state of the log."""

    def __init__(self, repository: Repository, grace: float) -> None:
        self._repository = repository
        self._grace = grace
        self._state = repository.log.state()
        self._store = ObjectStore(repository.storage)
        self._use_packs()
        self._past = past(repository, self._state, grace)
        self._marks = Marks(self._store)
        self._mark()
        self._plan = self._planned()
        self._written: list[tuple[str, int]] = []

    def rehearsed(self) -> GcReport:
        """Return what would be done."""
        self._allowed()
        self._written = self._rewritten(ObjectStore(Nowhere()), self._blank)
        return self._report(self._due(), self._abandoned(remove=False), dry_run=True)

    def remove(self) -> bool:
        """Put packs out of use; False if all must be begun anew."""
        self._allowed()
        self._written = self._rewritten(self._store, self._verified)
        if self._appended():
            self._repository.index.look()
            return True
        self._discard()
        return False

    def sweep(self) -> GcReport:
        """Delete what is due, and return what was done in all."""
        self._repository.index.look()
        self._allowed(self._repository.index.state)
        due = self._due()
        paths = [file.path for file in due]
        for first in range(0, len(paths), _DELETED):
            self._repository.storage.delete(paths[first : first + _DELETED])
        return self._report(due, self._abandoned(remove=True), dry_run=False)

    def _allowed(self, state: State | None = None) -> None:
        """Refuse to erase anything of an append-only repository.

        Raises:
            ProtectedError: It is one.
        """
        if (state or self._state).protection.append_only:
            raise append_only(self._repository.storage.url, "garbage collection erases")

    def _use_packs(self) -> None:
        self._store.use({name: size for name, (size, _) in self._state.packs.items()})

    def _mark(self) -> None:
        # a pack that was swept within the grace was so by one who held nothing as old as what a fetch brought in it
        there = self._state.packs.keys() | self._past.retired.keys()
        _need(self._marks, ((name, digest) for name, (digest, _, _) in self._state.refs.items()))
        for entry in self._past.entries:
            self._marks.need((side for _, *sides in entry.refs for side in sides if side is not None), there=False)
            if not entry.refs and not entry.packs_removed:
                for name in (name for name, _ in entry.packs_added if name in there):
                    with suppress(IntegrityError):  # a damaged pack stays as it is
                        self._marks.hold(name)

    def _planned(self) -> _Plan:
        plan = _Plan()
        for name, size in self._store.live.items():
            try:
                directory = self._store.directory(name)
            except IntegrityError:  # it stays as it is, for fsck to report
                continue
            needed = self._marks.count(name)
            waste = sum(frame.stored for frame in self._marks.dropped(name)) if needed < directory.count else 0
            if needed == 0:
                plan.gone.append(name)
            elif needed < directory.count and (size < _SMALL or waste * _WASTE >= size):
                plan.rewritten[name] = needed
            else:
                plan.unneeded += waste
        least = max(self._grace, DAY)
        plan.condemned = [name for name, file in self._past.unnamed.items() if file.age >= least]
        return plan

    def _rewritten(self, target: ObjectStore, source: Source) -> list[tuple[str, int]]:
        """Copy what is needed of the packs to be rewritten, and return the new packs; a damaged one is left alone."""
        made: list[tuple[str, int]] = []
        waiting = list(self._plan.rewritten)
        while waiting:
            with target.writer() as writer:
                while waiting and not _full(writer):
                    name = waiting.pop(0)
                    try:
                        for frame, stored in source(name):
                            writer.add(frame, stored)
                    except IntegrityError:
                        del self._plan.rewritten[name]
                if len(writer):
                    directory = writer.finish()
                    made.append((directory.name, directory.size))
        return made

    def _verified(self, name: str) -> Iterable[tuple[Frame, Buffer]]:
        directory = self._store.directory(name)
        return verified(self._store.storage, ((directory, frame) for frame in self._marks.needed(name)))

    def _blank(self, name: str) -> Iterable[tuple[Frame, Buffer]]:
        return ((frame, bytes(frame.stored)) for frame in self._marks.needed(name))

    def _appended(self) -> bool:
        """Create the entry; False when others removed packs meanwhile."""
        log = self._repository.log
        while self._plan.removed or self._plan.condemned:
            entry = log.following(
                self._state,
                actor=self._repository.settings.actor,
                message=_MESSAGE,
                packs_added=tuple(self._written),
                packs_removed=(*self._plan.removed, *self._plan.condemned),
            )
            if log.append(entry) is not None:
                if entry.seq % EVERY == 0:
                    log.checkpoint(entry.seq)
                return True
            if not self._followed():
                return False
        self._discard()
        return True

    def _followed(self) -> bool:
        """Spare what entries that came meanwhile need; False when one of them put packs out of use."""
        for entry, digest in self._repository.log.after(self._state.seq, self._state.entry):
            if entry.packs_removed:
                return False
            self._state.apply(entry, digest)
            self._use_packs()
            if self._state.protection.append_only:
                self._discard()
                self._allowed()
            _need(self._marks, ((name, new) for name, _, new in entry.refs if new is not None))
        plan, live = self._plan, self._state.packs
        plan.gone = [name for name in plan.gone if not self._marks.count(name)]
        plan.rewritten = {name: done for name, done in plan.rewritten.items() if self._marks.count(name) == done}
        plan.condemned = [name for name in plan.condemned if name not in live]
        return True

    def _discard(self) -> None:
        """Delete the new packs: no entry names them, and nobody else knows them."""
        self._repository.storage.delete([f"{FOLDER}/{name}.pack" for name, _ in self._written])
        self._written = []

    def _due(self) -> list[File]:
        """Return the packs to delete."""
        due = [file for file in self._past.retired.values() if file.age >= self._grace]
        due += [self._past.unnamed[name] for name in self._plan.condemned]
        return due + ([] if self._grace else self._removed())

    def _removed(self) -> list[File]:
        packs = self._state.packs
        return [File(f"{FOLDER}/{name}.pack", packs[name][0], 0.0) for name in self._plan.removed]

    def _abandoned(self, *, remove: bool) -> list[int]:
        """Return the sizes of the temporary files that nobody holds; remove them."""
        find = getattr(self._repository.storage, "abandoned", None)
        if find is None:
            return []
        before = self._past.now - self._grace if self._grace else None
        return [entry.size for entry in find(before, remove=remove)]

    def _report(self, due: list[File], temporaries: list[int], *, dry_run: bool) -> GcReport:
        plan, marks = self._plan, self._marks
        removed = self._removed()
        waiting = [file.size for file in self._past.retired.values() if file.age < self._grace]
        waiting += [file.size for file in removed] if self._grace else []
        held = {name: self._store.directory(name).count for name in plan.removed}
        return GcReport(
            dry_run,
            self._grace,
            objects=sum(marks.count(name) for name in self._store.live),
            objects_dropped=sum(held.values()) - sum(plan.rewritten.values()),
            packs_removed=len(removed),
            bytes_removed=sum(file.size for file in removed),
            packs_written=len(self._written),
            bytes_written=sum(size for _, size in self._written),
            files_deleted=len(due) + len(temporaries),
            bytes_freed=sum(file.size for file in due) + sum(temporaries),
            files_waiting=len(waiting),
            bytes_waiting=sum(waiting),
            bytes_unneeded=plan.unneeded,
        )


def _need(marks: Marks, refs: Iterable[tuple[str, bytes]]) -> None:
    """Mark what refs need; a label may name a version that is there no more."""
    named = list(refs)
    marks.need((digest for name, digest in named if name.startswith(_OWNERS)), there=True)
    marks.need((digest for name, digest in named if not name.startswith(_OWNERS)), there=False)


def _full(writer: PackWriter) -> bool:
    return writer.size >= _FULL or len(writer) >= _MANY or writer.metadata_size >= _METADATA
