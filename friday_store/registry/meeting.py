"""This repository and another one, brought together: what push, pull, fetch and status have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from friday_store.digest import digest_of
from friday_store.errors import IntegrityError, InvalidValueError, ModelNotFoundError, RepositoryError
from friday_store.hookspecs import SyncReport
from friday_store.log import Log, entry_path
from friday_store.maintenance import Problem, fsck
from friday_store.refs import Ref
from friday_store.registry import location
from friday_store.remotes import Remote
from friday_store.repository import FORMAT_FILE, Repository, Tracked
from friday_store.storage import Storage, open_storage
from friday_store.storage.unasked import Unasked
from friday_store.sync import Journal, Plan, Rules, Source, Watcher, bring, copy, planned
from friday_store.sync.changes import agreed, changed, each, everything, packed, refs_of, since
from friday_store.sync.closure import Closure
from friday_store.sync.merge import Change
from friday_store.sync.track import FOLDER, Mark, Track

if TYPE_CHECKING:
    from friday_store.maintenance.gc import GcReport

_ALL: Final = ("*",)


@dataclass(frozen=True)
class _Way:
    """One direction of a sync: from where to where, how far the source's log was considered, and how far it is now."""

    verb: str
    source: Source
    target: Repository
    marks: dict[str, Mark]
    mark: Mark
    data: bool = True


class Meeting:
    """One repository and a remote.

    Args:
        here: The repository at hand.
        remote: The other one.
        partial: Whether the data of models may be missing here.
        offline: Ask nothing, and answer from what is remembered.
        guard: Called before the remote is written; raises when two writers could undo each other's work there.

    Raises:
        RepositoryError: The remote is another repository than at the last sync, or none.
        IntegrityError: The remote's history was changed or cut since.
        ModelNotFoundError: Offline, and nothing is remembered.
    """

    def __init__(
        self,
        here: Repository,
        remote: Remote,
        *,
        partial: bool = False,
        offline: bool = False,
        guard: Callable[[Remote, Storage], object] = lambda _remote, _storage: None,
    ) -> None:
        self.here = here
        self.remote = remote
        self._partial = partial
        self._guard = guard
        root = here.storage.root
        self.folder = None if root is None or remote.name is None else root / FOLDER / remote.name
        self.track = Track.read(self.folder)
        self.there = self._remembered() if offline else self._opened()
        if self.there.id and self.there.id == here.id:
            raise InvalidValueError(f"{remote.place} is this very repository, or a copy of its files", path="remote")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.there.close()

    def _opened(self) -> Repository:
        storage = open_storage(location.inside(self.remote.url), self.remote.options)
        track = self.track
        if not track.id:
            return self._repository(storage, Tracked(self.folder))
        seq, digest = track.seen
        form = track.format.encode()
        if seq:
            found = Log(storage, digest_of(form), self.here.settings.clock).digest(seq)
            if found is None or found.hex() != digest:
                self._diagnose(storage)
        return self._repository(storage, Tracked(self.folder, form, (seq, bytes.fromhex(digest))))

    def _repository(self, storage: Storage, tracked: Tracked) -> Repository:
        return Repository(
            storage,
            self.here.settings,
            self.here.plugins,
            tracked=tracked,
            guard=lambda: self._guard(self.remote, storage),
            single_writer=self.remote.single_writer,
        )

    def _diagnose(self, storage: Storage) -> None:
        """Say why the newest entry that was seen is not there any more."""
        name, track = self.remote.name, self.track
        again = f"if that is meant: friday-store remote rm {name}, then remote add {name} again"
        now = self._repository(storage, Tracked())
        if not now.born:
            raise RepositoryError(f"there is no registry at {self.remote.place} any more", hint=again)
        if now.id != track.id:
            raise RepositoryError(
                f"remote {name!r} is another repository than at the last sync ({now.id[:8]}, not {track.id[:8]})",
                hint=again,
            )
        raise IntegrityError(
            f"remote {name!r} was rolled back or its history was changed since the last sync: its log entry "
            f"{track.seen[0]} is not the one that was seen",
            path=entry_path(track.seen[0]),
            hint=again,
        )

    def _remembered(self) -> Repository:
        track, ask = self.track, f"friday-store fetch {self.remote.name or self.remote.place}"
        if track.id:
            storage: Storage = Unasked(self.remote.place, ask)
            if self.remote.local:  # a folder of this machine is at hand without asking anybody
                here = open_storage(location.inside(self.remote.url))
                storage = here if here.stat(FORMAT_FILE) is not None else storage
            seen = (track.seen[0], bytes.fromhex(track.seen[1]))
            there = self._repository(storage, Tracked(self.folder, track.format.encode(), seen))
            if there.index.recall() and there.index.seq == track.seen[0]:
                return there
            there.close()
        raise ModelNotFoundError(f"nothing is remembered of remote {self.remote.name or self.remote.place!r}", hint=ask)

    def push(
        self,
        patterns: Sequence[str] = _ALL,
        *,
        labels: bool = False,
        rules: Rules = Rules(),  # noqa: B008 - frozen
        dry_run: bool = False,
        watcher: Watcher | None = None,
    ) -> SyncReport:
        """Bring the remote what it lacks of some models, and the labels of versions of others that it has."""
        self._needed(self.here)
        with self.track.alone():
            if not dry_run:
                self._guard(self.remote, self.there.storage)
                if not self.there.born:
                    self.there.create()
            with self._looked():
                mark = _mark(self.here)
                changes = self._outgoing(patterns, whole=rules.whole)
                if labels and "*" not in patterns:
                    rest = each(self._outgoing(_ALL))
                    changes = {other.ref: other for other in rest if _is_label(other.ref)} | dict(changes)
                way = _Way("push", Source.of(self.here, partial=self._partial), self.there, self.track.pushed, mark)
                return self._carried(way, patterns, changes, rules, dry_run=dry_run, watcher=watcher)

    def pull(
        self,
        patterns: Sequence[str] = _ALL,
        *,
        rules: Rules = Rules(),  # noqa: B008 - frozen
        data: bool = True,
        dry_run: bool = False,
        watcher: Watcher | None = None,
    ) -> SyncReport:
        """Bring here what is new of some models in the remote."""
        self._needed(self.there)
        if not self.here.born and not dry_run:
            self.here.create()
        with self.track.alone(), self._looked():
            mark = _mark(self.there)
            changes = self._incoming(patterns, whole=rules.whole)
            way = _Way("pull", Source.of(self.there), self.here, self.track.pulled, mark, data=data)
            return self._carried(way, patterns, changes, rules, dry_run=dry_run, watcher=watcher)

    def _carried(
        self,
        way: _Way,
        patterns: Sequence[str],
        changes: Mapping[str, Change],
        rules: Rules,
        *,
        dry_run: bool,
        watcher: Watcher | None,
    ) -> SyncReport:
        """Copy in one direction, and remember what came of it."""
        report = copy(
            way.source,
            way.target,
            changes,
            rules=rules,
            journal=self._journal(way.verb, way.target),
            data=way.data,
            dry_run=dry_run,
            watcher=watcher,
            message="push" if way.target is self.there else f"pull from {self.remote.name or self.remote.place}",
        )
        if not dry_run:
            self._settle(way.marks, patterns, way.mark, report, changes)
        elif self.there.born:
            self._remember()  # the mirror of its names has moved on, so what was seen must too
        return report

    def fetch(
        self,
        patterns: Sequence[str] = _ALL,
        *,
        data: bool = True,
        dry_run: bool = False,
        watcher: Watcher | None = None,
    ) -> SyncReport:
        """Bring here the objects of some models in the remote, and move no ref."""
        self._needed(self.there)
        if not self.here.born and not dry_run:
            self.here.create()
        with self.track.alone(), self._looked():
            source = Source.of(self.there)
            journal = self._journal("fetch", self.here)
            here = self.here.objects if self.here.born else None
            closure = Closure(self.there.objects, here, journal.adopted(self.here) if here else (), data=data)
            with self.there.objects.sections():
                for ref, digest in self._wanted(patterns, data=data):
                    if ref.space == "versions":
                        closure.add_version(digest)
                    elif ref.space == "notes":
                        closure.add(digest)
                closure.settle()
            if not dry_run:
                bring(source, self.here, closure, journal=journal, watcher=watcher)
                self._remember()
            plan = planned(source, self.here, self._incoming(patterns), Rules())
        return SyncReport(objects=len(closure), size=closure.size, present=len(closure.relied), behind=len(plan.moves))

    def fetch_objects(self, chunks: Sequence[bytes], watcher: Watcher | None = None) -> int:
        """Bring some objects here, whatever is here already, from a remote that has all of them; return their bytes.

        Raises:
            IntegrityError: The remote lacks one, or has it damaged.
        """
        self._needed(self.there)
        with self._looked():
            closure = Closure(self.there.objects, None)
            for chunk in chunks:
                closure.add(chunk)
            bring(Source.of(self.there), self.here, closure, watcher=watcher)
            self._remember()
        return closure.size

    def fetch_versions(self, digests: Sequence[bytes]) -> None:
        """Bring some versions of the remote here, with their models, and move no ref."""
        with self._looked():
            closure = Closure(self.there.objects, self.here.objects)
            for digest in digests:
                closure.add_version(digest)
            bring(Source.of(self.there), self.here, closure)
            self._remember()

    def collect(self, grace: float, *, dry_run: bool = False) -> GcReport:
        """Collect garbage in the remote."""
        from friday_store.maintenance.gc import gc

        self._needed(self.there)
        with self.track.alone():
            if not dry_run:
                self._guard(self.remote, self.there.storage)
            report = gc(self.there, grace=grace, dry_run=dry_run)
            self.look()
        return report

    def check(self, *, quick: bool = False) -> list[Problem]:
        """Return everything that is wrong with what the remote stores."""
        self._needed(self.there)
        return fsck(self.there, quick=quick)

    def compared(self, patterns: Sequence[str] = _ALL) -> tuple[Plan, Plan]:
        """Return what a push would move, and what a pull would."""
        self.here.index.catch_up()
        with self._looked():
            outgoing = self._outgoing(patterns)
            incoming = self._incoming(patterns)
            here, there = Source.of(self.here), Source.of(self.there)
            return planned(here, self.there, outgoing, Rules()), planned(there, self.here, incoming, Rules())

    def look(self) -> None:
        """Look at the remote's log, and remember what is new."""
        self.there.index.catch_up()
        self._remember()

    @contextlib.contextmanager
    def _looked(self) -> Iterator[None]:
        with self.there.index.unlooking() if self.there.born else contextlib.nullcontext():
            yield

    def _outgoing(self, patterns: Sequence[str], *, whole: bool = False) -> Mapping[str, Change]:
        if whole or not self.there.born:
            return everything(self.here, self.there, patterns)
        mark = since(self.here, self.track.since(self.track.pushed, patterns))
        found = changed(self.here, self.there, mark, self.track.pending, patterns, met=self.track.met)
        return agreed(found, self.here, self.there, self.track.since(self.track.pulled, patterns))

    def _incoming(self, patterns: Sequence[str], *, whole: bool = False) -> Mapping[str, Change]:
        if whole or not self.here.born:
            return everything(self.there, self.here, patterns)
        mark = self.track.since(self.track.pulled, patterns)
        found = changed(self.there, self.here, mark, self.track.pending, patterns, met=self.track.met)
        return agreed(found, self.there, self.here, since(self.here, self.track.since(self.track.pushed, patterns)))

    def _wanted(self, patterns: Sequence[str], *, data: bool) -> Iterator[tuple[Ref, bytes]]:
        """Iterate over the remote's refs whose objects may be missing here."""
        if data and self.remote.partial:
            yield from refs_of(self.there.index, patterns)
            return
        for change in each(self._incoming(patterns)):
            if change.new is not None:
                yield Ref.parse(change.ref), change.new

    def _settle(
        self,
        marks: dict[str, Mark],
        patterns: Sequence[str],
        mark: Mark,
        report: SyncReport,
        changes: Mapping[str, Change],
    ) -> None:
        """Remember how far both logs were considered, and which refs stay open."""
        pending = self.track.pending
        for update in report.moved:
            pending.pop(update.ref, None)
        for name in [name for name in pending if name in changes]:
            ref = Ref.parse(name)
            if self.here.index.ref(ref) == self.there.index.ref(ref):
                del pending[name]
        for update, _ in report.rejected:
            if update.ref in changes:
                pending[update.ref] = packed(changes[update.ref].base)
        for update in report.kept:
            pending[update.ref] = update.new
        self.track.advance(marks, patterns, mark)
        self._remember()

    def _remember(self) -> None:
        state = self.there.index.state
        track = self.track
        track.id, track.seen = self.there.id, (state.seq, state.entry.hex())
        track.format = (self.there.format or b"").decode()
        track.write()

    def _journal(self, verb: str, target: Repository) -> Journal:
        return Journal(None if self.folder is None else self.folder / f"{verb}.json", target.id)

    def _needed(self, repository: Repository) -> None:
        if not repository.born:
            raise RepositoryError(
                f"there is no registry at {repository.storage.url}",
                hint=f"friday-store push {self.remote.name or self.remote.place}"
                if repository is self.there
                else "friday-store init",
            )


def _is_label(ref: str) -> bool:
    return not ref.startswith("versions/")


def _mark(repository: Repository) -> Mark:
    repository.index.catch_up()
    state = repository.index.state
    return state.seq, state.entry.hex()
