"""From an artifact back to the buffers of its parts, verified before anybody interprets them.

A part whose chunks are raw and lie next to each other in one local pack is a view of a private mapping of that
pack: no copy, and writable, since pages that the model changes become its own (``MAP_PRIVATE``). So a loaded
model is an ordinary mutable model and the pack stays as it is. Every other part is put together in one anonymous
mapping: raw chunks copied, compressed ones inflated straight into their place, on several threads.

Putting parts together while the model is already being made from those before them was tried, and took 1.3 times as
long on two cores: the threads wait for each other's page faults and for the interpreter.

The bytes that are hashed are those of the view or of the assembled part, after which nothing copies them again. A
private mapping shows what is written into its file later, until a page is touched: so a view is given only of a file
that nobody but this user can write. Of a file of others' everything is copied first and hashed then.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from friday_store.digest import Buffer, digest_of
from friday_store.errors import IntegrityError, StorageError
from friday_store.manifest import Artifact, PartEntry
from friday_store.objects.memo import Memo, others_can_write
from friday_store.objects.pack import BIG, FOLDER, PAGE, Codec, Directory, Frame, Kind
from friday_store.storage import Storage
from friday_store.workers import THREADS, workers

_NORESERVE: Final = 0x4000 if os.uname().sysname == "Linux" else 0
_HUGE: Final = 4 << 20
_GAP: Final = 1 << 20
_FETCH: Final = 64 << 20
_SHARE: Final = 4 << 20
_ALIGN: Final = 64


class LostChunkError(IntegrityError):
    """A chunk is in no pack: it was lost, or it was left elsewhere."""


class Finder(Protocol):
    """Where an object is: the directory that has it and its place there."""

    def __call__(self, digest: bytes) -> tuple[Directory, int] | None: ...


class Source(Protocol):
    """The stored bytes of one pack."""

    def stored(self, frame: Frame) -> memoryview:
        """Return the stored bytes of an object."""

    def view(self, start: int, size: int) -> memoryview | None:
        """Return a private, writable view of a range, where there can be one."""


class Mapped:
    """A private mapping of the part of a local pack that a load needs."""

    def __init__(self, path: str, handle: int, low: int, high: int) -> None:
        self.began = time.time_ns()
        self.stat = os.fstat(handle)
        if high > self.stat.st_size:
            raise IntegrityError(f"{path} is cut short", path=path)
        self._low = low - low % mmap.ALLOCATIONGRANULARITY
        flags = mmap.MAP_PRIVATE | _NORESERVE
        access = mmap.PROT_READ | mmap.PROT_WRITE
        self._map = mmap.mmap(handle, high - self._low, flags=flags, prot=access, offset=self._low)
        self._whole = memoryview(self._map)
        self._shared = others_can_write(self.stat)

    def stored(self, frame: Frame) -> memoryview:
        return self._whole[frame.offset - self._low :][: frame.stored]

    def view(self, start: int, size: int) -> memoryview | None:
        return None if self._shared else self._whole[start - self._low :][:size]


class Fetched:
    """Ranges of a pack, read from the store in few requests."""

    stat: os.stat_result | None = None

    def __init__(self, path: str, storage: Storage, frames: Iterable[Frame]) -> None:
        self._ranges: list[tuple[int, memoryview]] = []
        for low, high in coalesced(frames):
            data = storage.read(path, low, high)
            if data is None or len(data) != high - low:
                raise IntegrityError(f"{path} is missing or cut short", path=path)
            self._ranges.append((low, memoryview(data)))

    def stored(self, frame: Frame) -> memoryview:
        for low, data in self._ranges:
            if low <= frame.offset < low + len(data):
                return data[frame.offset - low :][: frame.stored]
        raise AssertionError("every frame of a load was fetched")

    def view(self, start: int, size: int) -> None:  # noqa: ARG002 - fetched bytes are not writable
        return None


def opened(storage: Storage, path: str, frames: Collection[Frame]) -> Mapped | Fetched:
    """Return the source of some objects of a pack: mapped where the pack is local and they are not few.

    Raises:
        IntegrityError: The pack is missing or cut short.
        StorageError: It cannot be read.
    """
    opener = getattr(storage, "open", None)
    if opener is None or sum(frame.stored for frame in frames) < BIG:
        return Fetched(path, storage, frames)
    try:
        handle = opener(path)
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing at {storage.url}", path=path) from error
    except OSError as error:
        raise StorageError(f"cannot read {storage.url}/{path}: {error.strerror or error}") from error
    try:
        low = min(frame.offset for frame in frames)
        return Mapped(path, handle, low, max(frame.offset + frame.stored for frame in frames))
    finally:
        os.close(handle)


def coalesced(frames: Iterable[Frame], most: int = _FETCH) -> list[tuple[int, int]]:
    """Return the ranges to read for some objects of a pack: where they lie close together, one for several.

    Args:
        frames: The objects.
        most: The bytes of one range, unless an object is larger.
    """
    ranges: list[tuple[int, int]] = []
    for frame in sorted(frames, key=lambda item: item.offset):
        end = frame.offset + frame.stored
        if ranges and frame.offset - ranges[-1][1] <= _GAP and end - ranges[-1][0] <= most:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((frame.offset, end))
    return ranges


@dataclass
class _Use:
    """One pack in one load: which of its objects, where their bytes are, which are already verified."""

    directory: Directory
    places: dict[int, Frame] = field(default_factory=dict)
    source: Any = None
    bits: bytearray | None = None

    def knows(self, place: int) -> bool:
        """Whether this object was verified in this very file."""
        return self.bits is not None and bool(self.bits[place >> 3] & 1 << (place & 7))


Placed = tuple[_Use, int, Frame]


class Load:
    """One load of one artifact.

    Args:
        artifact: What to load.
        storage: Where the packs are.
        find: Where each chunk is.
        memo: What needs no hashing; None hashes everything.
    """

    def __init__(self, artifact: Artifact, storage: Storage, find: Finder, memo: Memo | None) -> None:
        self._artifact = artifact
        self._storage = storage
        self._find = find
        self._memo = memo
        self._uses: dict[str, _Use] = {}
        self._work: list[tuple[int, Callable[[], None]]] = []

    def parts(self) -> dict[str, memoryview]:
        """Return the verified parts by name.

        Raises:
            IntegrityError: A chunk is missing or damaged; no part is returned then.
        """
        placed = [(part, self._placed(part)) for part in self._artifact.parts]
        for use in self._uses.values():
            self._open(use)
        views = {part.name: self._viewed(part, chunks) for part, chunks in placed}
        self._assemble([(part, chunks) for part, chunks in placed if views[part.name] is None], views)
        _run(self._work)
        self._remember()
        return {name: view for name, view in views.items() if view is not None}

    def _placed(self, part: PartEntry) -> list[Placed]:
        chunks: list[Placed] = []
        for digest in part:
            found = self._find(digest)
            if found is None:
                raise LostChunkError(f"chunk {digest.hex()[:12]} of part {part.name!r} is in no pack")
            directory, place = found
            use = self._uses.setdefault(directory.name, _Use(directory))
            frame = use.places.get(place) or use.places.setdefault(place, directory.frame(place))
            chunks.append((use, place, frame))
        if sum(frame.size for _, _, frame in chunks) != part.size:
            raise IntegrityError(f"the chunks of part {part.name!r} do not add up to its size")
        if any(frame.kind is not Kind.CHUNK for _, _, frame in chunks):
            raise IntegrityError(f"part {part.name!r} names an object that is not a chunk")
        return chunks

    def _open(self, use: _Use) -> None:
        path = f"{FOLDER}/{use.directory.name}.pack"
        use.source = opened(self._storage, path, use.places.values())
        if self._memo is not None and isinstance(use.source, Mapped):
            use.bits = self._memo.verified(use.directory.name, use.directory.count, use.source.stat)

    def _viewed(self, part: PartEntry, chunks: list[Placed]) -> memoryview | None:
        """Return the part as one view, with the work to verify it queued; None if it must be put together."""
        if part.size < BIG:
            return None
        first, _, start = chunks[0]
        at = start.offset
        for use, _, frame in chunks:
            if use is not first or frame.codec is not Codec.RAW or frame.offset != at:
                return None
            at += frame.stored
        view: memoryview | None = first.source.view(start.offset, part.size)
        if view is not None:
            for use, place, frame in chunks:
                if not use.knows(place):
                    piece = view[frame.offset - start.offset :][: frame.size]
                    self._work.append((frame.size, _hashing(piece, use, frame)))
        return view

    def _assemble(self, parts: list[tuple[PartEntry, list[Placed]]], views: dict[str, memoryview | None]) -> None:
        total = sum(part.size + -part.size % _ALIGN for part, _ in parts)
        arena = _arena(total)
        at = 0
        for part, chunks in parts:
            views[part.name] = arena[at : at + part.size]
            start = at
            for use, place, frame in chunks:
                target = arena[start : start + frame.size]
                start += frame.size
                self._work.append((frame.size, _filling(use.source, frame, target, known=use.knows(place))))
            at += part.size + -part.size % _ALIGN

    def _remember(self) -> None:
        if self._memo is None:
            return
        for use in self._uses.values():
            if use.bits is not None and isinstance(use.source, Mapped):
                before = bytes(use.bits)
                for place in use.places:
                    use.bits[place >> 3] |= 1 << (place & 7)
                if bytes(use.bits) != before:
                    self._memo.remember(use.directory.name, use.bits, use.source.stat, use.source.began)


def _hashing(view: memoryview, use: _Use, frame: Frame) -> Callable[[], None]:
    def work() -> None:
        if digest_of(view) != frame.digest:
            raise IntegrityError(
                f"chunk {frame.digest.hex()[:12]} does not match its digest",
                path=f"{FOLDER}/{use.directory.name}.pack",
            )

    return work


def _filling(source: Source, frame: Frame, target: memoryview, *, known: bool) -> Callable[[], None]:
    def work() -> None:
        stored = source.stored(frame)
        if frame.codec is Codec.ZSTD:
            frame.inflate_into(stored, target)
        else:
            target[:] = stored
        if not known and digest_of(target) != frame.digest:
            raise IntegrityError(f"chunk {frame.digest.hex()[:12]} does not match its digest")

    return work


def _run(work: list[tuple[int, Callable[[], None]]]) -> None:
    """Do the work, on several threads where it is much, some MiB at a time."""
    shares: list[list[Callable[[], None]]] = []
    size = _SHARE
    for more, task in work:
        if size >= _SHARE:
            shares.append([])
            size = 0
        shares[-1].append(task)
        size += more
    if len(shares) <= 1:
        for share in shares:
            _do(share)
        return
    with workers(THREADS, "friday-load") as pool:
        for result in [pool.submit(_do, share) for share in shares]:
            result.result()


def _do(tasks: list[Callable[[], None]]) -> None:
    for task in tasks:
        task()


def _arena(size: int) -> memoryview:
    """Return zeroed, writable memory, in huge pages where the kernel has them.

    Measured for 348 MiB: 65 ms to fill in huge pages, 145 in small ones, 165 in shared ones.
    """
    if size < _HUGE:
        return memoryview(bytearray(size))
    memory = mmap.mmap(-1, size + -size % PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)[:size]


def whole(frame: Frame, data: Buffer | None) -> Buffer:
    """Return one small object's bytes, checked."""
    if data is None:
        raise IntegrityError(f"{frame.kind.name.lower()} {frame.digest.hex()[:12]} is in a pack that is missing")
    return frame.decoded(data)
