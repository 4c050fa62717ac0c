"""Looking after a repository: ``fsck`` checks everything that is stored, and changes nothing.

Quick: the format file, the whole log with its chain, checkpoints against the log, sizes and directories of packs,
that every ref's closure is there, and that the index says what the log says. Full: also every byte of every pack,
including the zeros between objects. Every single-bit change of a stored file is found by the full check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from friday_store.digest import digest_of
from friday_store.errors import FridayStoreError, IntegrityError
from friday_store.index import Index
from friday_store.log import EVERY, State, checkpoint_path, entry_path
from friday_store.manifest import Artifact, Manifest
from friday_store.objects import Directory, Kind, ObjectStore
from friday_store.objects.pack import FOLDER, HEADER
from friday_store.refs import Ref
from friday_store.repository import FORMAT_FILE, Repository

Severity = Literal["error", "warning"]
_TRIES: Final = 3
_LARGE_GAP: Final = 1 << 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: ``format``, ``log``, ``checkpoint``, ``pack``, ``object``, ``closure``, ``index`` or ``stray``.
        path: The file, relative to the repository.
        message: What is wrong with it.
        severity: ``error`` when something stored is damaged or missing; ``warning`` when nothing is lost.
    """

    kind: str
    path: str
    message: str
    severity: Severity = "error"


def fsck(repository: Repository, *, quick: bool = False, partial: bool = False) -> list[Problem]:
    """Return everything that is wrong with a repository; an empty list when it is sound.

    Where packs are collected while this runs, what looks like damage is looked at again.

    Args:
        repository: What to check; nothing in it is changed but an index that cannot be used.
        quick: Do not read the packs' data.
        partial: Chunks may be missing, since a remote keeps them until they are needed.
    """
    for left in reversed(range(_TRIES)):
        check = _Check(repository, quick=quick, partial=partial)
        found = list(check.problems())
        if not left or all(each.severity == "warning" for each in found) or not check.outrun():
            break
    return found


class _Check:
    def __init__(self, repository: Repository, *, quick: bool, partial: bool) -> None:
        self._partial = partial
        self._repository = repository
        self._storage = getattr(repository.storage, "far", repository.storage)  # not what is kept of it here
        self._quick = quick
        self._state = State(0, digest_of(self._storage.read(FORMAT_FILE) or b""))
        self._directories: dict[str, Directory] = {}

    def problems(self) -> Iterator[Problem]:
        if not self._repository.born:
            return
        yield from self._log()
        yield from self._packs()
        yield from self._closure()
        yield from self._index()
        yield from self._strays()

    def outrun(self) -> bool:
        """Whether a pack that was in use when this began is not any more: its file can have been swept."""
        try:
            return not self._state.packs.keys() <= self._repository.log.state().packs.keys()
        except FridayStoreError:
            return False

    def _log(self) -> Iterator[Problem]:
        """Replay the log from its first entry, and compare each checkpoint with it."""
        log = self._repository.log
        checkpoints = set(log.checkpoints())
        last = log.last()
        while self._state.seq < last:
            number = self._state.seq + 1
            try:
                found = log.read(number)
                if found is None:
                    raise IntegrityError("is missing")
                self._state.apply(*found)
            except FridayStoreError as error:
                yield Problem("log", entry_path(number), f"log entry {number}: {error}")
                return
            if number in checkpoints:
                yield from self._checkpoint(number)
        if last == 0:
            yield Problem("log", entry_path(1), "the first log entry is missing")
        for number in sorted(checkpoints):
            if number > last or number % EVERY:
                yield Problem("checkpoint", checkpoint_path(number), "there is no such log entry to checkpoint")

    def _checkpoint(self, number: int) -> Iterator[Problem]:
        try:
            state = self._repository.log.read_checkpoint(number)
        except FridayStoreError as error:
            yield Problem("checkpoint", checkpoint_path(number), str(error))
            return
        if state.to_bytes() != self._state.to_bytes():
            yield Problem("checkpoint", checkpoint_path(number), f"checkpoint {number} does not say what the log says")

    def _packs(self) -> Iterator[Problem]:
        store = ObjectStore(self._storage)
        store.use({name: size for name, (size, _) in self._state.packs.items()})
        for name in self._state.packs:
            try:
                self._directories[name] = store.directory(name)
                if not self._quick:
                    yield from self._pack(self._directories[name])
            except FridayStoreError as error:
                yield Problem("pack", f"{FOLDER}/{name}.pack", str(error))
        if not self._quick:
            yield from self._retired()

    def _retired(self) -> Iterator[Problem]:
        """Check the packs that no entry names any more, or ever did: until they are collected they are stored."""
        store = ObjectStore(self._storage)
        found = {entry.name.removesuffix(".pack"): entry for entry in self._storage.list(FOLDER) if not entry.folder}
        store.use({name: entry.size for name, entry in found.items() if name not in self._state.packs})
        for name in store.live:
            try:
                yield from self._pack(store.directory(name))
            except FridayStoreError as error:
                path = f"{FOLDER}/{found[name].name}"
                if self._storage.stat(path) is not None:
                    yield Problem("pack", path, f"not in use, and damaged: {error}")

    def _pack(self, directory: Directory) -> Iterator[Problem]:
        """Read every byte of a pack once, in order."""
        path = f"{FOLDER}/{directory.name}.pack"
        at = len(HEADER)
        if self._storage.read(path, 0, at) != HEADER:
            yield Problem("pack", path, "the header is damaged")
        for frame in directory:
            if not self._zeros(path, at, frame.offset):
                yield Problem("pack", path, f"the gap before offset {frame.offset} is not zero")
            try:
                frame.decoded(self._storage.read(path, frame.offset, frame.offset + frame.stored) or b"")
            except FridayStoreError as error:
                yield Problem("object", path, str(error))
            at = max(at, frame.offset + frame.stored)
        if not self._zeros(path, at, directory.start):
            yield Problem("pack", path, "the gap before the directory is not zero")

    def _zeros(self, path: str, start: int, end: int) -> bool:
        if end - start > _LARGE_GAP:
            return False
        return start >= end or not any(self._storage.read(path, start, end) or b"\1")

    def _closure(self) -> Iterator[Problem]:
        """Every ref's objects are there: for a version its manifest, artifact and chunks."""
        store = ObjectStore(self._storage)
        store.use({name: directory.size for name, directory in self._directories.items()})
        done: set[bytes] = set()
        with store.sections():
            for name, (digest, _, _) in self._state.refs.items():
                try:
                    ref = Ref.parse(name)
                    if ref.space == "versions":
                        _reach(store, ref, digest, done, partial=self._partial)
                    elif ref.space == "notes":
                        store.read(digest, Kind.NOTE)
                    elif self._state.refs.get(_version_ref(ref, self._state), (None,))[0] != digest:
                        yield Problem("closure", name, f"{name} names a version that is not there", "warning")
                except FridayStoreError as error:
                    yield Problem("closure", name, f"{name}: {error}")

    def _index(self) -> Iterator[Problem]:
        """The index remembers the log as it is, and says what one made anew from the log says."""
        try:
            if (known := self._repository.index.remembered()) is not None:
                found = self._repository.log.read(known[0])
                if found is None or found[1].hex() != known[1]:
                    message = f"the index remembers another log entry {known[0]}: the log was changed or cut since"
                    yield Problem("log", entry_path(known[0]), message)
            mirrored = list(self._repository.index.dump())
            bare = self._repository.index.bare
            fresh = Index(None, self._repository.id, self._repository.log, ObjectStore(self._storage), bare=bare)
            same = mirrored == list(fresh.dump())
            fresh.close()
        except FridayStoreError as error:
            yield Problem("index", "index.db", f"the index cannot be made: {error}")
            return
        if not same:
            yield Problem("index", "index.db", "the index does not say what the log says; delete it, and it comes back")

    def _strays(self) -> Iterator[Problem]:
        for path in getattr(self._storage, "strays", list)():
            yield Problem("stray", path, "a temporary file that a killed writer left; harmless", "warning")


def _version_ref(ref: Ref, state: State) -> str:
    """Return the version ref that an alias or a tag must agree with."""
    if ref.space == "tags":
        return str(Ref("versions", ref.model, ref.leaf))
    digest = state.refs[str(ref)][0]
    start = str(Ref("versions", ref.model, "0.0.0")).removesuffix("0.0.0")
    return next((name for name, (other, _, _) in state.refs.items() if other == digest and name.startswith(start)), "")


def _reach(store: ObjectStore, ref: Ref, digest: bytes, done: set[bytes], *, partial: bool) -> None:
    manifest = Manifest.from_bytes(bytes(store.read(digest, Kind.ENVELOPE)))
    if (manifest.name, manifest.version) != (ref.model, ref.name):
        raise IntegrityError(f"it names a manifest of {manifest.name}:{manifest.version}")
    for needed in manifest.artifacts:
        _reach_artifact(store, manifest, needed, done, partial=partial)


def _reach_artifact(store: ObjectStore, manifest: Manifest, digest: bytes, done: set[bytes], *, partial: bool) -> None:
    artifact = Artifact.from_bytes(bytes(store.read(digest, Kind.ARTIFACT)))
    manifest.check_artifact(digest, artifact)
    if digest in done:
        return
    for part in artifact.parts:
        sizes = 0
        for chunk in part:
            found = store.find(chunk)
            if found is None and partial:
                return
            if found is None:
                raise IntegrityError(f"chunk {chunk.hex()[:12]} of part {part.name!r} is in no pack")
            sizes += found[0].frame(found[1]).size
        if sizes != part.size:
            raise IntegrityError(f"the chunks of part {part.name!r} do not add up to its size")
    done.add(digest)
