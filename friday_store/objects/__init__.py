"""Objects: content-addressed bytes in packs; written once, found by digest, verified when read.

:class:`ObjectStore` is the whole surface: which packs are live, where an object is, reading small objects,
loading the parts of a model, and a :class:`Batch` to add new ones. It knows nothing of names or versions.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Self, TypeVar

from friday_store.digest import SHORTEST, Buffer, digest_of
from friday_store.errors import IntegrityError, InvalidValueError, ModelNotFoundError
from friday_store.hookspecs import Part
from friday_store.manifest import Artifact, Manifest, Note
from friday_store.objects.chunking import Compression, Cut, Tally, cut, framed, frames
from friday_store.objects.memo import Memo
from friday_store.objects.pack import FOLDER, Directory, Frame, Kind, PackWriter, read_directory
from friday_store.objects.reading import Load, whole
from friday_store.objects.streaming import verified
from friday_store.storage import Storage

__all__ = ["Batch", "Compression", "Directory", "Kind", "Memo", "ObjectStore"]


_T = TypeVar("_T")
_MOVES: Final = 8
_SECTIONS: Final = 8 << 20
_LOOKUP: Final = 8
_TIER_BITS: Final = 16
_LARGE: Final = 64 << 20
_FULL: Final = 16_000
_SMALL: Final = 1 << 20


class ObjectStore:
    """The objects of one repository.

    Args:
        storage: Where the packs are.
        compression: ``auto`` compresses what shrinks; ``none`` stores everything raw, so that everything maps.
        memo: What this user has verified before; None hashes every load.

    Attributes:
        look_again: Called when an object to be read is in no pack in use: other processes may have added packs.
        look: Called when one cannot be read where it should be: learns which packs are in use now.
    """

    def __init__(self, storage: Storage, *, compression: Compression = "auto", memo: Memo | None = None) -> None:
        self.compression: Compression = compression
        self.storage = storage
        self._memo = memo
        self._sizes: dict[str, int] = {}
        self._directories: dict[str, Directory] = {}
        self._sections: dict[str, bytes] | None = None
        self._lock = threading.RLock()
        self.look_again: Callable[[], None] = lambda: None
        self.look: Callable[[], None] = lambda: None

    @property
    def live(self) -> Mapping[str, int]:
        """The packs in use: name to size in bytes."""
        return self._sizes

    def use(self, packs: Mapping[str, int]) -> None:
        """Set which packs are in use, as the log says; their directories are read when first needed."""
        with self._lock:
            self._sizes = dict(packs)
            for gone in self._directories.keys() - packs.keys():
                del self._directories[gone]

    def forget(self) -> None:
        """Let go of the directories that were read; each is read again when it is needed."""
        with self._lock:
            self._directories.clear()

    def add(self, directory: Directory) -> None:
        """Put a pack in use whose directory is at hand."""
        with self._lock:
            self._sizes = {**self._sizes, directory.name: directory.size}
            self._directories[directory.name] = directory

    def directory(self, name: str) -> Directory:
        """Return what a pack holds.

        Raises:
            IntegrityError: The pack is missing or damaged.
        """
        found = self._directories.get(name)
        if found is None:
            size = self._sizes.get(name)
            if size is None:  # another thread has taken it out of use since it was listed
                entry = self.storage.stat(f"{FOLDER}/{name}.pack")
                size = 0 if entry is None else entry.size
            found = read_directory(self.storage, name, size)
            with self._lock:
                self._directories[name] = found
        return found

    def crowded(self, crowd: int = 16) -> list[str]:
        """Return the packs to merge into one now, or nothing.

        Packs fall into tiers by size, each sixteen times the one before; ``crowd`` in a tier are too many. So a
        byte is copied once per tier, and the packs per tier stay fewer. Packs of 64 MiB, or of 16,000 objects, stay
        as they are.
        """
        tiers: dict[int, list[str]] = {}
        for name, size in self._sizes.items():
            if size < _LARGE:
                tiers.setdefault(max(0, (size.bit_length() - _TIER_BITS) // 4), []).append(name)
        for tier in sorted(tiers):
            if len(tiers[tier]) >= crowd:
                small = [name for name in tiers[tier] if not self._is_full(name)]
                if len(small) >= crowd:
                    return small
        return []

    def _is_full(self, name: str) -> bool:
        try:
            return self.directory(name).count >= _FULL
        except IntegrityError:  # what is damaged is passed over when packs are merged
            return False

    def find(self, digest: bytes) -> tuple[Directory, int] | None:
        """Return the pack that has an object, and its place there; the newest packs are asked first.

        Raises:
            IntegrityError: No pack has it that can be read, and one cannot: lost packs hide no others.
        """
        lost: IntegrityError | None = None
        for name in reversed(list(self._sizes)):
            try:
                directory = self.directory(name)
            except IntegrityError as error:
                lost = error
                continue
            place = directory.find(digest)
            if place >= 0:
                return directory, place
        if lost is not None:
            raise lost
        return None

    def located(self, digest: bytes) -> tuple[Directory, int] | None:
        """Return where an object is that must be somewhere; see :meth:`find`."""
        with contextlib.suppress(IntegrityError):
            found = self.find(digest)
            if found is not None:
                return found
        self.look_again()
        return self.find(digest)

    def __contains__(self, digest: bytes) -> bool:
        """Whether a pack that can be read has it; what is lost is not there, so that it can be stored again."""
        try:
            return self.find(digest) is not None
        except IntegrityError:
            return False

    def known(self, digests: Collection[bytes]) -> set[bytes]:
        """Return which of many objects are in packs that can be read."""
        total = 0
        directories = []
        for name in list(self._sizes):
            with contextlib.suppress(IntegrityError):  # what is lost can be stored again
                directories.append(self.directory(name))
                total += directories[-1].count
        if len(digests) * len(directories) * _LOOKUP < total:
            return {digest for digest in digests if any(each.find(digest) >= 0 for each in directories)}
        wanted, found = set(digests), set()
        for directory in directories:
            found |= wanted.intersection(directory.digests())
        return found

    def read(self, digest: bytes, kind: Kind) -> Buffer:
        """Return the verified bytes of a small object.

        Raises:
            ModelNotFoundError: No pack has it.
            IntegrityError: It is damaged or of another kind.
        """
        return self._while_packs_move(lambda: self._read(digest, kind))

    def moved_on(self, before: Mapping[str, int]) -> bool:
        """Whether one of the packs that were in use is not any more: then what was in it is in another.

        Its file can have been swept, so who fails to read something asks this, and reads again.
        """
        self.look()
        return not before.keys() <= self._sizes.keys()

    def _while_packs_move(self, read: Callable[[], _T]) -> _T:
        for _ in range(_MOVES):
            before = self._sizes
            try:
                return read()
            except IntegrityError:
                if not self.moved_on(before):
                    raise
        return read()

    def _read(self, digest: bytes, kind: Kind) -> Buffer:
        found = self.located(digest)
        if found is None:
            raise ModelNotFoundError(f"there is no object {digest.hex()[:12]} here")
        frame = found[0].frame(found[1])
        if frame.kind is not kind:
            raise IntegrityError(
                f"object {digest.hex()[:12]} is a {frame.kind.name.lower()}, not a {kind.name.lower()}"
            )
        return whole(frame, self.stored(found[0].name, frame))

    def peek(self, packs: Iterable[str], digest: bytes, kind: Kind) -> Buffer | None:
        """Return the verified bytes of a small object from packs that are not in use yet; None if none has it.

        Raises:
            IntegrityError: A pack or the object is damaged.
        """
        for name in packs:
            directory = self.directory(name)
            place = directory.find(digest)
            if place >= 0 and directory.frame(place).kind is kind:
                return whole(directory.frame(place), self.stored(name, directory.frame(place)))
        return None

    def stored(self, name: str, frame: Frame) -> bytes | None:
        """Return an object's bytes as they stand in a pack, unchecked; None if the pack is missing."""
        path, sections = f"{FOLDER}/{name}.pack", self._sections
        if sections is None or frame.kind is Kind.CHUNK:
            return self.storage.read(path, frame.offset, frame.offset + frame.stored)
        directory = self.directory(name)
        section = sections.get(name)
        if section is None:
            wanted = directory.start - directory.data
            while sections and wanted + sum(map(len, sections.values())) > _SECTIONS:
                sections.pop(next(iter(sections)), None)
            section = sections[name] = self.storage.read(path, directory.data, directory.start) or b""
        at = frame.offset - directory.data
        return section[at : at + frame.stored]

    def contents(self, name: str) -> Iterator[tuple[Frame, Buffer]]:
        """Iterate over the objects of a pack in their order, with their stored bytes, each checked.

        Raises:
            IntegrityError: One is damaged.
        """
        directory = self.directory(name)
        if directory.size > _SMALL:
            yield from verified(self.storage, ((directory, frame) for frame in directory))
            return
        data = self.storage.read(f"{FOLDER}/{name}.pack") or b""
        for frame in directory:
            stored = data[frame.offset : frame.offset + frame.stored]
            frame.decoded(stored)
            yield frame, stored

    @contextlib.contextmanager
    def sections(self) -> Iterator[None]:
        """Read whole metadata sections within this block: for those who read many small objects."""
        with self._lock:
            self._sections = {}
            try:
                yield
            finally:
                self._sections = None

    def parts(self, artifact: Artifact) -> dict[str, memoryview]:
        """Return the parts of a model, verified; see :mod:`friday_store.objects.reading`.

        Raises:
            IntegrityError: A chunk is missing or damaged.
        """
        return self._while_packs_move(lambda: Load(artifact, self.storage, self.located, self._memo).parts())

    def prefixed(self, prefix: str, kind: Kind) -> list[str]:
        """Return the digests (hex) of a kind that start with ``prefix``, sorted."""
        found: set[str] = set()
        if len(prefix) >= SHORTEST:
            for name in list(self._sizes):
                directory = self.directory(name)
                for digest in directory.prefixed(prefix):
                    if directory.frame(directory.find(digest)).kind is kind:
                        found.add(digest.hex())
        return sorted(found)

    def batch(self, written: Sequence[Directory] = ()) -> Batch:
        """Return a batch of new objects that will become one pack.

        Args:
            written: Packs of the same transaction that are durable but not in use yet.
        """
        return Batch(self, written)

    def writer(self) -> PackWriter:
        """Return a writer for a new pack."""
        return PackWriter(self.storage)


class Batch:
    """New objects on their way into one pack; used in ``with``, and nothing is kept unless :meth:`finish` is called.

    Attributes:
        relied: Objects that this batch would have stored had no pack held them already.
    """

    def __init__(self, store: ObjectStore, written: Sequence[Directory] = ()) -> None:
        self.relied: set[bytes] = set()
        self._store = store
        self._written = written
        self._writer: PackWriter | None = None
        self._packs = frozenset(store.live)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._writer is not None:
            self._writer.__exit__(*exc)
            self._writer = None

    def put(self, kind: Kind, data: bytes) -> bytes:
        """Add an artifact, an envelope or a note, and return its digest.

        Raises:
            InvalidValueError: It is larger than what is read back.
        """
        _check_readable(kind, data)
        digest = digest_of(data)
        if not self._known(digest):
            self._opened().add(*framed(kind, data, compress=self._store.compression == "auto", digest=digest))
        return digest

    def put_model(self, serializer: str, version: int, parts: Iterable[Part]) -> tuple[bytes, Artifact]:
        """Add the chunks and the artifact of a model, and return the artifact with its digest.

        Args:
            serializer: The format's name.
            version: The format's version.
            parts: The parts, with unique names; their buffers are read, not copied, and let go of once written:
                of parts that are made one after the other, and of streams, at most 64 MiB are held.
        """
        tallies: list[Tally] = []

        def cuts() -> Iterator[Cut]:
            for part, pieces in cut(parts, self._store.compression):
                tallies.append(Tally(part))
                yield from tallies[-1].counted(pieces)

        for piece, new, stored in frames(cuts(), self._known):
            if isinstance(new, Frame):
                self._opened().add(new, stored)
            tallies[piece.part].add(new.digest if isinstance(new, Frame) else new)
        artifact = Artifact(serializer, version, tuple(tally.entry() for tally in tallies))
        return self.put(Kind.ARTIFACT, artifact.to_bytes()), artifact

    def copy(self, frame: Frame, stored: Buffer) -> None:
        """Add an object's stored bytes as they are, from another repository or pack."""
        if not self._known(frame.digest):
            self._opened().add(frame, stored)

    def trim(self) -> None:
        """Leave out the chunks if other writers have stored all of them meanwhile."""
        if self._writer is None or self._store.live.keys() == self._packs:
            return
        chunks = self._writer.chunks()
        if chunks and all(digest in self._store for digest in chunks):
            self.relied.update(chunks)
            whole, self._writer = self._writer, None
            with whole:
                for frame, stored in whole.metadata:
                    self.copy(frame, stored)

    def finish(self) -> Directory | None:
        """Make the new objects durable as one pack and return what it holds; None if nothing was new.

        The pack is not in use until a log entry says so.
        """
        return None if self._writer is None else self._writer.finish()

    def _known(self, digest: bytes) -> bool:
        if self._writer is not None and digest in self._writer:
            return True
        if any(directory.find(digest) >= 0 for directory in self._written):
            return True
        known = digest in self._store
        if known:
            self.relied.add(digest)
        return known

    def _opened(self) -> PackWriter:
        if self._writer is None:
            self._writer = self._store.writer()
        return self._writer


_READERS: Final[Mapping[Kind, Callable[[bytes], object]]] = {
    Kind.ARTIFACT: Artifact.from_bytes,
    Kind.ENVELOPE: Manifest.from_bytes,
    Kind.NOTE: Note.from_bytes,
}


def _check_readable(kind: Kind, data: bytes) -> None:
    """Refuse to write what nobody would read: what is small always can be."""
    name = kind.name.lower()
    if len(data) <= _SMALL:
        return
    try:
        _READERS[kind](data)
    except IntegrityError as error:
        raise InvalidValueError(
            f"what is recorded is data, not metadata: {error}",
            path=name,
            hint="store it as a file, or a part of the model",
        ) from error
