"""Mending a repository: what is damaged is moved aside, never deleted, and what can be had again is put in its place.

A damaged pack is taken out of use by one log entry, which at the same time puts a new one in use: with the sound
objects of the old one, and with those that another repository still has. Checkpoints and the index are made anew from
the log. A damaged log entry cannot be mended: no other repository has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from friday_store.digest import Buffer
from friday_store.errors import FridayStoreError, IntegrityError
from friday_store.log import checkpoint_path
from friday_store.manifest import Artifact, Manifest
from friday_store.objects import Directory, Kind, ObjectStore
from friday_store.objects.pack import FOLDER, HEADER, Frame, PackWriter
from friday_store.objects.streaming import Placed, verified
from friday_store.repository import Repository
from friday_store.storage.local import LocalStorage

ASIDE: Final = "damaged"
_ROUNDS: Final = 8


@dataclass(frozen=True)
class Repaired:
    """One thing that was mended.

    Attributes:
        path: What was damaged or missing: a file, relative to the repository, or an object's digest.
        message: What was done about it.
    """

    path: str
    message: str


class Sources:
    """Other repositories that may have what is lost here.

    Args:
        stores: Name and objects of each, the preferred first.
    """

    def __init__(self, stores: Sequence[tuple[str, ObjectStore]] = ()) -> None:
        self._stores = stores

    def copy(self, wanted: Sequence[bytes], writer: PackWriter) -> Iterator[tuple[bytes, str]]:
        """Write wanted objects to a pack, and give the digest of each with the name of where it came from."""
        left = list(wanted)
        for name, store in self._stores:
            known = store.known(left)
            places = [store.find(each) for each in left if each in known]
            placed = [(found[0], found[0].frame(found[1])) for found in places if found is not None]
            came = set()
            for frame, stored in _sound(store, placed):
                writer.add(frame, bytes(stored))
                came.add(frame.digest)
                yield frame.digest, name
            left = [each for each in left if each not in came]


def _sound(store: ObjectStore, placed: Sequence[Placed]) -> Iterator[tuple[Frame, Buffer]]:
    """Iterate over those of some objects that are sound where they are: a damaged one keeps no others from coming."""
    done = 0
    try:
        for found in verified(store.storage, placed):
            yield found
            done += 1
    except IntegrityError:
        for each in placed[done:]:
            with contextlib.suppress(IntegrityError):
                yield from verified(store.storage, [each])


def repair(repository: Repository, sources: Sources) -> Iterator[Repaired]:
    """Mend what can be mended, and give each thing that was.

    Args:
        repository: What to mend.
        sources: Who may have lost objects.

    Raises:
        IntegrityError: The log is damaged, so that it is not known what belongs to the repository.
        StorageError: Something cannot be read or written.
    """
    yield from _index(repository)
    yield from _checkpoints(repository)
    for _ in range(_ROUNDS):  # an object that came back may name others that are lost
        mended = list(_packs(repository, sources))
        yield from mended
        if not mended:
            break
    yield from _retired(repository)
    yield from _strays(repository)


def _index(repository: Repository) -> Iterator[Repaired]:
    before = list(repository.index.dump())
    repository.index.rebuild()
    if list(repository.index.dump()) != before:
        yield Repaired("index.db", "made anew from the log")


def _checkpoints(repository: Repository) -> Iterator[Repaired]:
    log = repository.log
    last = log.last()
    for number in log.checkpoints():  # from the first on, so that each is held against sound ones before it
        try:
            found = log.read_checkpoint(number)
            told = log.span(found.after, number) if number <= last else None
            sound = told is not None and found.to_bytes() == told.to_bytes()
        except IntegrityError:
            sound = False
        if not sound:
            _set_aside(repository, checkpoint_path(number))
            with contextlib.suppress(FridayStoreError):
                log.checkpoint(number)
            yield Repaired(checkpoint_path(number), f"made anew from the log; the old one is in {ASIDE}/")


def _packs(repository: Repository, sources: Sources) -> Iterator[Repaired]:
    """Put the sound objects of damaged packs, and what others still have, into a new pack."""
    since = repository.index.state.seq
    store = _without(repository.objects, ())
    bad: dict[str, set[bytes]] = {}
    for name in list(store.live):
        damaged = _damaged(store, name)
        if damaged is not None:
            bad[name] = damaged
    lost = list(_Loss(repository, store, bad).objects())
    if not bad and not lost:
        return
    with store.writer() as writer:
        for name, damaged in bad.items():
            _salvage(store, name, damaged, writer)
        lost = [digest for digest in lost if digest not in writer]
        found = dict(sources.copy(lost, writer))
        made = [writer.finish()] if len(writer) else []
    gone = list(bad)
    transaction = repository.transaction("repair", since=since)
    if (made or gone) and transaction.exchange({pack.name: pack.size for pack in made}, gone):
        for name in gone:
            _set_aside(repository, f"{FOLDER}/{name}.pack")
            yield Repaired(f"{FOLDER}/{name}.pack", f"replaced by a pack of what is sound; the old one is in {ASIDE}/")
        for digest, where in found.items():
            yield Repaired(digest.hex(), f"fetched from {where}")
    repository.index.rebuild()


def _retired(repository: Repository) -> Iterator[Repaired]:
    """Move damaged packs out of the way that are out of use; what is sound in them stays until it is collected."""
    storage = repository.storage
    if not isinstance(storage, LocalStorage):
        return  # afar a pack that is out of use stays as it is, until garbage collection erases it
    repository.index.catch_up()  # what another writer has just put in use is not spare
    spare = {entry.name.removesuffix(".pack"): entry.size for entry in storage.list(FOLDER) if not entry.folder}
    store = ObjectStore(storage)
    store.use({name: size for name, size in spare.items() if name not in repository.objects.live})
    for name in list(store.live):
        damaged = _damaged(store, name)
        if damaged is None:
            continue
        with store.writer() as writer:
            _salvage(store, name, {*damaged, *_present(repository, store, name)}, writer)
            made = len(writer) > 0
            if made:
                writer.finish()
        _set_aside(repository, f"{FOLDER}/{name}.pack")
        kept = "; what was sound in it can still be restored" if made else ""
        yield Repaired(f"{FOLDER}/{name}.pack", f"it was out of use, and is now in {ASIDE}/{kept}")


def _present(repository: Repository, store: ObjectStore, name: str) -> set[bytes]:
    """Return the objects of a pack that packs in use have too."""
    try:
        return repository.objects.known(set(store.directory(name).digests()))
    except IntegrityError:
        return set()


def _damaged(store: ObjectStore, name: str) -> set[bytes] | None:
    """Return the damaged objects of a pack that must be replaced, perhaps none; None for a sound pack."""
    try:
        directory = store.directory(name)
        damaged = set()
        for frame in directory:
            try:
                frame.decoded(store.stored(name, frame) or b"")
            except IntegrityError:
                damaged.add(frame.digest)
        header = store.storage.read(f"{FOLDER}/{name}.pack", 0, len(HEADER))
        whole = header == HEADER and _gaps_are_zero(store, directory)
    except IntegrityError:
        return set()
    return None if whole and not damaged else damaged


def _gaps_are_zero(store: ObjectStore, directory: Directory) -> bool:
    at = len(HEADER)
    for frame in directory:
        if frame.offset > at and any(store.storage.read(f"{FOLDER}/{directory.name}.pack", at, frame.offset) or b"\1"):
            return False
        at = max(at, frame.offset + frame.stored)
    return True


def _without(store: ObjectStore, bad: Iterable[str]) -> ObjectStore:
    sound = ObjectStore(getattr(store.storage, "far", store.storage))  # not what is kept of it here
    skipped = set(bad)
    sound.use({name: size for name, size in store.live.items() if name not in skipped})
    return sound


def _salvage(store: ObjectStore, name: str, damaged: set[bytes], writer: PackWriter) -> None:
    """Copy the sound objects of a pack whose directory can be read."""
    with contextlib.suppress(IntegrityError):
        for frame in store.directory(name):
            if frame.digest not in damaged:
                writer.add(frame, store.stored(name, frame) or b"")


class _Loss:
    """Which objects refs need and nobody here can read.

    Args:
        repository: Whose refs.
        store: Its packs, read afresh.
        bad: The damaged packs, with the objects that are damaged in them.
    """

    def __init__(self, repository: Repository, store: ObjectStore, bad: dict[str, set[bytes]]) -> None:
        self._repository = repository
        self._sound = _without(store, bad)
        self._rest = ObjectStore(store.storage)
        self._rest.use({name: size for name, size in store.live.items() if name in bad})
        self._damaged: set[bytes] = set().union(*bad.values()) if bad else set()
        self._seen: set[bytes] = set()

    def objects(self) -> Iterator[bytes]:
        """Iterate over them."""
        for name, (digest, _, _) in self._repository.log.state().refs.items():
            if name.startswith("versions/"):
                yield from self._version(digest)
            elif name.startswith("notes/"):
                yield from self._alone(digest)

    def _version(self, digest: bytes) -> Iterator[bytes]:
        yield from self._alone(digest)
        if not self._has(digest):
            return
        manifest = Manifest.from_bytes(bytes(self._read(digest, Kind.ENVELOPE)))
        for needed in manifest.artifacts:
            if needed not in self._seen:
                yield from self._artifact(needed)

    def _artifact(self, digest: bytes) -> Iterator[bytes]:
        yield from self._alone(digest)
        if self._has(digest):
            for part in Artifact.from_bytes(bytes(self._read(digest, Kind.ARTIFACT))).parts:
                for chunk in part:
                    yield from self._alone(chunk)

    def _alone(self, digest: bytes) -> Iterator[bytes]:
        if digest not in self._seen:
            self._seen.add(digest)
            if not self._has(digest):
                yield digest

    def _has(self, digest: bytes) -> bool:
        return digest in self._sound or (digest not in self._damaged and digest in self._rest)

    def _read(self, digest: bytes, kind: Kind) -> Buffer:
        return self._sound.read(digest, kind) if digest in self._sound else self._rest.read(digest, kind)


def _strays(repository: Repository) -> Iterator[Repaired]:
    for path in getattr(repository.storage, "strays", list)():
        _set_aside(repository, path)
        yield Repaired(path, f"a temporary file of a killed writer, moved to {ASIDE}/")


def _set_aside(repository: Repository, path: str) -> None:
    """Move a file out of the way, where the store is local; afar it stays, out of use."""
    storage = repository.storage
    if isinstance(storage, LocalStorage):
        storage.set_aside(path, ASIDE)
