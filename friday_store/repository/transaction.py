"""Transactions: objects first, one log entry last.

A transaction gathers new objects in one pack, then asks a *plan* which refs to move, in the light of the newest
state; then makes the pack durable and creates the entry. Whoever loses the race for the entry's number reads
what came. If it brings objects and none of its refs was touched it takes the next number; else the plan is asked
again, with only the objects that the new answer needs going into a second pack. So an automatic version is decided
under the compare-and-swap, and nothing is serialized twice.

What a transaction leaves out because a pack has it already may be collected before the entry is created. The log tells
exactly: if an entry that came since the transaction first looked has put packs out of use, everything that was left
out must still be in a pack in use, and none of the new packs among those that are gone.

What the repository protects (:mod:`friday_store.protection`) is looked at right before each attempt to create the
entry, in the state that the entry would follow: so no race gets past it.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from friday_store.errors import ConflictError, IntegrityError, ProtectedError, StorageError
from friday_store.hookspecs import Committed, Part, RefUpdate
from friday_store.index import LostIndexError, mirror
from friday_store.log import EVERY, LogEntry, State
from friday_store.manifest import Artifact, Manifest, Note
from friday_store.objects import Batch, Directory, Kind
from friday_store.objects.pack import FOLDER, PackWriter
from friday_store.protection import Protection
from friday_store.refs import Move, Ref

if TYPE_CHECKING:
    from friday_store.repository import Repository

_LOGGER: Final = logging.getLogger(__name__)
_T = TypeVar("_T")
_ATTEMPTS: Final = 1000
_PAUSE: Final = 0.002


class Transaction:
    """One change of a repository; not for use by several threads.

    Args:
        repository: What to change.
        message: Why.
        origin: Where the objects come from; empty for one's own.
        since: The number of the newest log entry that was known when the caller first looked for objects here;
            None: when this first does.

    Attributes:
        origin: Where the objects come from; empty for one's own.
        override: Whether it may move every alias that is protected; its entry says so then.
        scratch: What a plan wants to remember while it runs; cleared before each run.
    """

    def __init__(self, repository: Repository, message: str, origin: str, since: int | None = None) -> None:
        self.message = message
        self._since = since
        self._repository = repository
        self.origin = origin
        self.override = False
        self._overridden: set[str] = set()
        self._protection: Protection | None = None
        self._written: list[Directory] = []
        self._adopted: dict[str, int] = {}
        self._batch: Batch | None = None
        self._relied: set[bytes] = set()
        self._moves: dict[str, Move] = {}
        self.scratch: dict[str, Any] = {}
        self._fresh: dict[bytes, Manifest] = {}

    @property
    def batch(self) -> Batch:
        """The new objects."""
        if self._batch is None:
            if not self._repository.born:
                self._repository.create()
            self._repository.index.catch_up()
            self._begin()
            self._batch = self._repository.objects.batch(self._written)
        return self._batch

    def put_model(self, serializer: str, version: int, parts: Iterable[Part]) -> tuple[bytes, Artifact]:
        """Store a model's parts; see :meth:`friday_store.objects.Batch.put_model`."""
        return self.batch.put_model(serializer, version, parts)

    def put_manifest(self, manifest: Manifest, envelope: bytes | None = None) -> bytes:
        """Store a manifest and return its digest, the version's id.

        Args:
            manifest: The manifest.
            envelope: The bytes of its envelope, where they are at hand.
        """
        digest = self.batch.put(Kind.ENVELOPE, manifest.to_bytes() if envelope is None else envelope)
        self._fresh[digest] = manifest
        return digest

    def put_note(self, note: Note) -> bytes:
        """Store a note and return its digest."""
        return self.batch.put(Kind.NOTE, note.to_bytes())

    def move(self, ref: Ref | str, old: bytes | None, new: bytes | None) -> None:
        """Plan to move a ref, given as such or by its checked name; a second move of it continues the first.

        Raises:
            ConflictError: The two do not fit.
        """
        name = str(ref)
        before = self._moves.get(name)
        if before is not None:
            if before[2] != old:
                raise ConflictError(f"{name} is moved twice in one transaction", ref=name)
            old = before[1]
        if old == new:
            self._moves.pop(name, None)
        else:
            self._moves[name] = (name, old, new)

    def move_all(self, moves: Iterable[Move]) -> None:
        """Plan to move many refs, each named once."""
        self._moves.update((move[0], move) for move in moves)

    def move_anyway(self, ref: Ref, old: bytes | None, new: bytes | None) -> None:
        """Plan to move an alias even if it is protected; the entry says so then."""
        self._overridden.add(str(ref))
        self.move(ref, old, new)

    def protect(self, protection: Protection) -> None:
        """Plan to set what is protected from the entry on."""
        self._protection = None if protection == self._repository.index.state.protection else protection

    def protects(self, ref: Ref) -> bool:
        """Whether an alias is protected now."""
        return self._repository.index.state.protection.covers(ref.model, ref.name)

    def fresh(self, digest: bytes) -> Manifest | None:
        """Return a manifest that this transaction put, or None."""
        return self._fresh.get(digest)

    def planned(self, ref: Ref) -> bytes | None:
        """Return what a ref will name after this transaction."""
        move = self._moves.get(str(ref))
        return move[2] if move is not None else self._repository.index.ref(ref)

    def run(self, plan: Callable[[Transaction], _T]) -> _T:
        """Carry out a plan as one entry and return what the plan returned.

        Args:
            plan: Puts manifests and notes and plans moves, from the repository's newest state; may be called
                again when others changed that state.

        Raises:
            ConflictError: A thousand attempts lost, or objects that this relied on were collected meanwhile; then
                its ``again`` is true.
            GateError: A plugin refused a move.
            ProtectedError: The repository protects what it would move.
        """
        entry: LogEntry | None = None
        try:
            for attempt in range(_ATTEMPTS):
                if not self._written and not self._adopted:
                    _ = self.batch
                with self._repository.storage.turn(), self._looked(again=attempt > 0):
                    self._moves.clear()
                    self._protection = None
                    self._overridden.clear()
                    self._fresh.clear()
                    self.scratch.clear()
                    before = self._repository.objects.live
                    try:
                        with self._repository.index.still():
                            state = self._repository.index.state
                            result = plan(self)
                    except LostIndexError:  # nothing is changed yet, so the plan is made again
                        continue
                    except IntegrityError:  # what a slow plan reads may have been moved to other packs, and swept
                        if not self._repository.objects.moved_on(before):
                            raise
                        continue
                    if not self._moves and self._protection is None:
                        return result
                    entry = self._commit(state)
                if entry is not None:
                    self._committed(entry)
                    return result
                time.sleep(random.uniform(0, _PAUSE * min(attempt + 1, 50)))  # noqa: S311 - jitter
            raise ConflictError(f"others changed the same refs {_ATTEMPTS} times in a row")
        finally:
            self.discard()

    def adopt(self, name: str, size: int) -> None:
        """Add a pack that is durable in this repository and not in use."""
        self._adopted[name] = size

    def rely(self, digests: Iterable[bytes]) -> None:
        """Name objects that must still be there when the entry is created, because the repository had them."""
        self._relied.update(digests)

    @contextlib.contextmanager
    def _looked(self, *, again: bool) -> Iterator[None]:
        """See the newest state; from afar, look once, since creating the entry tells whether that was enough."""
        index = self._repository.index
        if again:
            index.look()
        with index.unlooking() if self._repository.storage.root is None else contextlib.nullcontext():
            if not again:
                index.catch_up()
            yield

    def discard(self) -> None:
        """Forget what was put and not committed."""
        if self._batch is not None:
            self._batch.__exit__(None, None, None)
            self._batch = None

    def replace_packs(self, names: list[str]) -> None:
        """Copy the objects of some packs into one new pack and put it in their place, but for damaged ones."""
        repository = self._repository
        self._begin()
        with repository.objects.writer() as writer:
            whole = [name for name in names if self._copied(name, writer)]
            if len(whole) < 2:
                return
            merged = writer.finish()
        if self.exchange({merged.name: merged.size}, whole):
            repository.objects.add(merged)
        else:
            self._unwrite([merged])

    def exchange(self, added: Mapping[str, int], removed: Sequence[str] = ()) -> bool:
        """Put durable packs (name to size) in use and others out of use, as one entry that moves no ref.

        Returns:
            Whether that was done; not when somebody else has removed one of those to be removed, or collected one of
            those to be added.
        """
        repository = self._repository
        since = self._begin()
        while True:
            state = repository.index.state
            if any(name not in repository.objects.live for name in removed):
                return False
            if not repository.index.departed(since).isdisjoint(added):
                return False
            entry = self._entry(state, [], list(removed), added)
            digest = repository.log.append(entry)
            if digest:
                repository.index.catch_up([(entry, digest)])
                return True
            repository.index.look()

    def _copied(self, name: str, writer: PackWriter) -> bool:
        """Copy a pack's objects; False if it is damaged: then it stays as it is, for fsck to report."""
        try:
            for frame, stored in self._repository.objects.contents(name):
                writer.add(frame, stored)
        except IntegrityError as error:
            _LOGGER.warning("pack %s is not merged: %s", name[:12], error)
            return False
        return True

    def _begin(self) -> int:
        """Return the number of the log entry that was the newest when this first looked."""
        if self._since is None:
            self._since = self._repository.index.seq
        return self._since

    def _commit(self, state: State) -> LogEntry | None:
        """Make the pack durable and create the entry; None if the plan must be asked again.

        That is where others moved a ref that it moves. A change without objects is cheap to plan, and may hang on
        refs that it does not move itself, as an alias does on its version: it is asked again after every lost race.
        """
        repository = self._repository
        self.permit(state)
        self._gate()
        if self._batch is not None:
            self._batch.trim()
            self._relied |= self._batch.relied
            directory = self._batch.finish()
            self.discard()
            if directory is not None:
                self._written.append(directory)
        while True:
            self._check_relied()
            override = self.permit(state)
            entry = self._entry(state, self._written, [], self._adopted)
            entry = replace(entry, protection=self._protection, override=override)
            digest = repository.log.append(entry)
            if digest is not None:
                for made in self._written:
                    repository.objects.add(made)
                repository.index.catch_up([(entry, digest)], self._fresh)
                return entry
            repository.index.look()
            state = repository.index.state
            moves = self._moves.values()
            brought = self._written or self._adopted
            if not brought or any(repository.index.ref(Ref.parse(name)) != old for name, old, _ in moves):
                return None

    def _entry(
        self, state: State, added: list[Directory], removed: list[str], more: Mapping[str, int] | None = None
    ) -> LogEntry:
        repository = self._repository
        return repository.log.following(
            state,
            actor=repository.settings.actor,
            message=self.message,
            packs_added=(*((directory.name, directory.size) for directory in added), *(more or {}).items()),
            packs_removed=tuple(removed),
            refs=tuple(self._moves.values()),
            origin=self.origin,
        )

    def _check_relied(self) -> None:
        """Make sure that what this was not to store again, and what it has stored, was not collected meanwhile."""
        index = self._repository.index
        seq = index.seq
        departed = index.departed(self._begin())
        if not departed:
            return
        gone = len(self._relied - self._repository.objects.known(self._relied))
        made = (*(directory.name for directory in self._written), *self._adopted)
        gone += sum(name in departed for name in made)
        if gone:
            self._unwrite(self._written)
            what = "an object or pack" if gone == 1 else f"{gone} objects or packs"
            raise ConflictError(
                f"{what} that this needs was collected while it ran; run it again",
                ref=next(iter(self._moves)),
                again=True,
            )
        self._since = seq

    def permit(self, state: State | None = None) -> bool:
        """Return whether the planned moves override what is protected in a state; None is the newest.

        Raises:
            ProtectedError: They may not; what was written for them is deleted.
        """
        protection = (state or self._repository.index.state).protection
        try:
            return protection.permit(
                self._moves.values(), self._repository.storage.url, None if self.override else self._overridden
            )
        except ProtectedError:
            self._unwrite(self._written)
            raise

    def _unwrite(self, packs: Iterable[Directory]) -> None:
        """Delete packs of this transaction that are not in use: no entry names them, and nobody else knows them."""
        live = self._repository.objects.live
        self._repository.storage.delete([f"{FOLDER}/{pack.name}.pack" for pack in packs if pack.name not in live])

    def _gate(self) -> None:
        hooks = self._repository.plugins
        if hooks.listens("before_ref_update"):
            for name, old, new in self._moves.values():
                look = partial(self._about, name, new)
                update = RefUpdate(name, old.hex() if old else None, new.hex() if new else None, look)
                hooks.notify("before_ref_update", update=update)

    def _about(self, name: str, digest: bytes | None) -> dict[str, Any] | None:
        """Return what a gate may know of the version that a ref will name; see :class:`RefUpdate`."""
        if digest is None or Ref.parse(name).space == "notes":
            return None
        index = self._repository.index
        manifest = self._fresh.get(digest) or self._adopted_manifest(digest) or index.manifest(digest)
        rows = index.versions("m.model_id = ?", (digest.hex(),))
        later = mirror.loaded(rows[0].details) if rows else {}
        return {
            **manifest.facts,
            **later,
            "model_id": digest.hex(),
            "model_name": manifest.name,
            "model_version": manifest.version,
            "model_type": manifest.type,
            "description": rows[0].description if rows else manifest.description,
            "author": manifest.author,
            "payload": manifest.payload(),
            "signatures": manifest.signatures,
        }

    def _adopted_manifest(self, digest: bytes) -> Manifest | None:
        """Return a manifest that comes with a pack which is not in use yet."""
        found = self._repository.objects.peek([*self._adopted], digest, Kind.ENVELOPE)
        return None if found is None else Manifest.from_bytes(bytes(found))

    def _committed(self, entry: LogEntry) -> None:
        repository = self._repository
        if repository.plugins.listens("after_commit"):
            committed = Committed(entry.seq, entry.actor, entry.message, tuple(_updates(entry.refs)))
            repository.plugins.notify("after_commit", entry=committed)
        try:
            if entry.seq % EVERY == 0:
                repository.log.checkpoint(entry.seq)
            repository.merge()
        except (StorageError, IntegrityError) as error:  # the change is made: saying that it failed would be wrong
            _LOGGER.warning("entry %d is made, but not the upkeep after it: %s", entry.seq, error)


def _updates(moves: Iterable[Move]) -> list[RefUpdate]:
    return [RefUpdate(name, old.hex() if old else None, new.hex() if new else None) for name, old, new in moves]
