"""Looking after a repository: ``fsck`` checks everything that is stored, and changes nothing.

Quick: the format file, the whole log with its chain, checkpoints against the log, sizes and directories of packs,
that every ref's closure is there, and that the index says what the log says. Full: also every byte of every pack,
including the zeros between objects, and of packs that are out of use but not erased yet. Every single-bit change of a
stored file is found by the full check, and of what is damaged it says which versions need it, or that none does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from friday_store.errors import FridayStoreError, IntegrityError
from friday_store.index import Index
from friday_store.log import State, entry_path
from friday_store.maintenance.history import Replay
from friday_store.maintenance.problem import Problem
from friday_store.manifest import Artifact, Manifest
from friday_store.objects import Directory, Kind, ObjectStore
from friday_store.objects.pack import FOLDER, HEADER
from friday_store.refs import Ref
from friday_store.repository import Repository

__all__ = ["Problem", "fsck"]

_TRIES: Final = 3
_LARGE_GAP: Final = 1 << 20
_SHOWN: Final = 3


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
        self._replay = Replay(self._storage)
        self._state = self._replay.state
        self._directories: dict[str, Directory] = {}
        self._bad: dict[bytes, set[str]] = {}  # damaged objects, and the packs in use that have them so
        self._needs: dict[bytes, list[str]] = {}  # of these those that cannot be read elsewhere, and who needs them

    def problems(self) -> Iterator[Problem]:
        if not self._repository.born:
            return
        yield from self._replay.problems()
        found = list(self._packs())
        closure = list(self._closure())
        yield from (self._judged(problem, digest) for problem, digest in found)
        yield from closure
        yield from self._index()
        yield from self._strays()

    def _judged(self, problem: Problem, digest: bytes | None) -> Problem:
        """Return the problem of a damaged object with who needs that object."""
        if digest is None:
            return problem
        versions = tuple(self._needs.get(digest, ()))
        if versions:
            return replace(problem, message=f"{problem.message}; needed by {_named(versions)}", versions=versions)
        why = "another pack has it sound" if self._elsewhere(digest) else "no version needs it"
        return replace(problem, message=f"{problem.message}; {why}")

    def _elsewhere(self, digest: bytes) -> bool:
        """Whether a pack in use has a sound copy of an object that another has damaged."""
        bad = self._bad[digest]
        return any(each.find(digest) >= 0 for name, each in self._directories.items() if name not in bad)

    def outrun(self) -> bool:
        """Whether a pack that was in use when this began is not any more: its file can have been swept."""
        try:
            return not self._state.packs.keys() <= self._repository.log.state().packs.keys()
        except FridayStoreError:
            return False

    def _packs(self) -> Iterator[tuple[Problem, bytes | None]]:
        """Check every pack; a problem of one object comes with its digest."""
        store = ObjectStore(self._storage)
        store.use({name: size for name, (size, _) in self._state.packs.items()})
        for name in self._state.packs:
            try:
                self._directories[name] = store.directory(name)
                if self._quick:
                    continue
                for problem, digest in self._pack(self._directories[name]):
                    if digest is not None:
                        self._bad.setdefault(digest, set()).add(name)
                    yield problem, digest
            except FridayStoreError as error:
                yield Problem("pack", f"{FOLDER}/{name}.pack", str(error)), None
        if not self._quick:
            yield from self._retired()

    def _retired(self) -> Iterator[tuple[Problem, bytes | None]]:
        """Check the packs that no entry names any more, or ever did: until they are collected they are stored."""
        store = ObjectStore(self._storage)
        found = {entry.name.removesuffix(".pack"): entry for entry in self._storage.list(FOLDER) if not entry.folder}
        store.use({name: entry.size for name, entry in found.items() if name not in self._state.packs})
        for name in store.live:
            try:
                for problem, _ in self._pack(store.directory(name)):
                    yield replace(problem, message=f"out of use: {problem.message}; no version needs it here"), None
            except FridayStoreError as error:
                path = f"{FOLDER}/{found[name].name}"
                if self._storage.stat(path) is not None:
                    yield Problem("pack", path, f"out of use, and damaged: {error}"), None

    def _pack(self, directory: Directory) -> Iterator[tuple[Problem, bytes | None]]:
        """Read every byte of a pack once, in order."""
        path = f"{FOLDER}/{directory.name}.pack"
        at = len(HEADER)
        if self._storage.read(path, 0, at) != HEADER:
            yield Problem("pack", path, "the header is damaged"), None
        for frame in directory:
            if not self._zeros(path, at, frame.offset):
                yield Problem("pack", path, f"the gap before offset {frame.offset} is not zero"), None
            try:
                frame.decoded(self._storage.read(path, frame.offset, frame.offset + frame.stored) or b"")
            except FridayStoreError as error:
                yield Problem("object", path, str(error)), frame.digest
            at = max(at, frame.offset + frame.stored)
        if not self._zeros(path, at, directory.start):
            yield Problem("pack", path, "the gap before the directory is not zero"), None

    def _zeros(self, path: str, start: int, end: int) -> bool:
        if end - start > _LARGE_GAP:
            return False
        return start >= end or not any(self._storage.read(path, start, end) or b"\1")

    def _closure(self) -> Iterator[Problem]:
        """Every ref's objects are there: for a version its manifest, artifact and chunks."""
        store = ObjectStore(self._storage)
        store.use({name: directory.size for name, directory in self._directories.items()})
        done: dict[bytes, set[bytes]] = {}
        with store.sections():
            for name, (digest, _, _) in self._state.refs.items():
                version: tuple[str, ...] = ()
                try:
                    ref = Ref.parse(name)
                    if ref.space == "versions":
                        version = (f"{ref.model}:{ref.name}",)
                        for chunk in _reach(store, ref, digest, done, partial=self._partial) & self._bad.keys():
                            if not self._elsewhere(chunk):
                                self._needs.setdefault(chunk, []).extend(version)
                    elif ref.space == "notes":
                        store.read(digest, Kind.NOTE)
                    elif self._state.refs.get(_version_ref(ref, self._state), (None,))[0] != digest:
                        yield Problem("closure", name, f"{name} names a version that is not there", "warning")
                except FridayStoreError as error:
                    yield Problem("closure", name, f"{version[0] if version else name}: {error}", versions=version)

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


def _named(versions: Sequence[str]) -> str:
    """Return some versions in words, at most three of them by name."""
    more = len(versions) - _SHOWN
    return ", ".join(versions[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _reach(store: ObjectStore, ref: Ref, digest: bytes, done: dict[bytes, set[bytes]], *, partial: bool) -> set[bytes]:
    """Return the chunks that a version needs; ``done`` holds those of the artifacts that were looked at."""
    manifest = Manifest.from_bytes(bytes(store.read(digest, Kind.ENVELOPE)))
    if (manifest.name, manifest.version) != (ref.model, ref.name):
        raise IntegrityError(f"it names a manifest of {manifest.name}:{manifest.version}")
    found: set[bytes] = set()
    for needed in manifest.artifacts:
        artifact = Artifact.from_bytes(bytes(store.read(needed, Kind.ARTIFACT)))
        manifest.check_artifact(needed, artifact)
        if needed not in done:
            done[needed] = _chunks(store, artifact, partial=partial)
        found |= done[needed]
    return found


def _chunks(store: ObjectStore, artifact: Artifact, *, partial: bool) -> set[bytes]:
    """Return the chunks of an artifact, all of which are in packs; fewer of one whose data a remote has."""
    found: set[bytes] = set()
    for part in artifact.parts:
        sizes = 0
        for chunk in part:
            place = store.find(chunk)
            if place is None and partial:
                return found
            if place is None:
                raise IntegrityError(f"chunk {chunk.hex()[:12]} of part {part.name!r} is in no pack")
            sizes += place[0].frame(place[1]).size
            found.add(chunk)
        if sizes != part.size:
            raise IntegrityError(f"the chunks of part {part.name!r} do not add up to its size")
    return found
