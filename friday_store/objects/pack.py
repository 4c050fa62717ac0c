"""Packs: immutable files of many objects, the only form in which objects are stored.

Byte format; integers are unsigned and little-endian::

    header      "FRIDPACK", u32 format = 1, u32 zero
    data        chunks; a raw one of 64 KiB and more starts at a multiple of 4096, any other at one of 64;
                the gaps are zero
    metadata    artifacts, envelopes and notes, without gaps
    directory   canonical MessagePack map, one column per property, sorted by digest:
                kind "directory", schema 1, nonce (16 bytes), count, data (where the metadata section starts),
                digests (32 bytes each), kinds (1 byte each: 0 chunk, 1 artifact, 2 envelope, 3 note),
                codecs (1 byte each: 0 raw, 1 zstd frame), offsets, stored, sizes (8 bytes each: where, how many
                bytes in the file, how many when decoded), checks (16 bytes each: the head of the BLAKE3 of a
                zstd frame's stored bytes; zero for raw objects, whose digest says it)
    trailer     u64 length of the directory, its BLAKE3 (32 bytes), "KCAPDIRF"

A pack is named by its directory's BLAKE3. The nonce is random, so the name of a removed pack never comes back:
a late sweeper cannot delete a new one. The design's two-letter folders are left out: merging keeps the number
of live packs logarithmic, and on ext4 each new folder cost a registration 0.18 ms for its own two syncs.
"""

from __future__ import annotations

import secrets
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple, Self

import zstandard

from friday_store import codec
from friday_store.digest import SIZE, Buffer, digest_of
from friday_store.errors import IntegrityError
from friday_store.manifest import ARTIFACT_CAP, MANIFEST_CAP, NOTE_CAP
from friday_store.storage import Storage

FOLDER: Final = "packs"
HEADER: Final = b"FRIDPACK" + struct.pack("<II", 1, 0)
PAGE: Final = 4096
LINE: Final = 64
BIG: Final = 64 << 10
BLOCK: Final = 1 << 20
DIRECTORY_CAP: Final = 256 << 20
_END: Final = b"KCAPDIRF"
TRAILER: Final = struct.Struct("<Q32s8s")
_FLUSH: Final = 8 << 20
_CHECK: Final = 16


_KEYS: Final = frozenset(
    ("kind", "schema", "nonce", "count", "data", "digests", "kinds", "codecs", "offsets", "stored", "sizes", "checks")
)


class Kind(IntEnum):
    """What an object is."""

    CHUNK = 0
    ARTIFACT = 1
    ENVELOPE = 2
    NOTE = 3


class Codec(IntEnum):
    """How an object's bytes stand in the file."""

    RAW = 0
    ZSTD = 1


CAPS: Final = {Kind.CHUNK: 16 * BLOCK, Kind.ARTIFACT: ARTIFACT_CAP, Kind.ENVELOPE: MANIFEST_CAP, Kind.NOTE: NOTE_CAP}


class Frame(NamedTuple):
    """Where one object stands in a pack.

    Attributes:
        digest: Of the decoded bytes.
        kind: What it is.
        codec: How it is stored.
        offset: Where it starts in the file.
        stored: Bytes in the file.
        size: Bytes when decoded.
        check: The first 16 bytes of the stored bytes' BLAKE3 when compressed, else zeros.
    """

    digest: bytes
    kind: Kind
    codec: Codec
    offset: int
    stored: int
    size: int
    check: bytes

    def decoded(self, stored: Buffer) -> Buffer:
        """Return the object's bytes from its stored bytes, both checked.

        Raises:
            IntegrityError: They are not what was written.
        """
        if len(stored) != self.stored:
            raise IntegrityError(f"{self.kind.name.lower()} {self.digest.hex()[:12]} is cut short")
        data = stored if self.codec is Codec.RAW else self._inflated(stored)
        if digest_of(data) != self.digest:
            raise IntegrityError(f"{self.kind.name.lower()} {self.digest.hex()[:12]} does not match its digest")
        return data

    def inflate_into(self, stored: Buffer, target: memoryview) -> None:
        """Decompress into ``target``, which has exactly ``size`` bytes; the caller checks the digest of that."""
        try:
            with zstandard.ZstdDecompressor().stream_reader(stored) as reader:
                done = 0
                while done < self.size and (got := reader.readinto(target[done:])):
                    done += got
        except zstandard.ZstdError as error:
            raise IntegrityError(f"chunk {self.digest.hex()[:12]} cannot be decompressed") from error
        if done != self.size:
            raise IntegrityError(f"chunk {self.digest.hex()[:12]} decompresses to another size")

    def _inflated(self, stored: Buffer) -> bytes:
        """Return the decompressed bytes; memory is only taken for the size that the directory states."""
        self._checked(stored)
        try:
            sound = zstandard.frame_content_size(stored) == self.size
            data = zstandard.ZstdDecompressor().decompress(stored) if sound else b""
        except zstandard.ZstdError as error:
            raise IntegrityError(f"{self.kind.name.lower()} {self.digest.hex()[:12]} cannot be decompressed") from error
        if not sound:
            raise IntegrityError(f"{self.kind.name.lower()} {self.digest.hex()[:12]} decompresses to another size")
        return data

    def _checked(self, stored: Buffer) -> None:
        if digest_of(stored)[:_CHECK] != self.check:
            raise IntegrityError(f"{self.kind.name.lower()} {self.digest.hex()[:12]} does not match its checksum")


class Directory:
    """What a pack holds; reading it costs no object per entry, and a lookup bisects the heads of the digests.

    Attributes:
        name: The pack's name, 64 hex characters.
        count: How many objects it holds.
        data: Where the metadata section starts.
        start: Where the directory itself starts, which is where the metadata section ends.
        size: Bytes of the whole pack.
        extra: The directory's other keys.
    """

    def __init__(self, encoded: bytes | memoryview, start: int) -> None:
        name = digest_of(encoded).hex()
        raw = codec.decode(encoded, "directory", cap=DIRECTORY_CAP)
        if raw.get("schema") != 1:
            raise IntegrityError(f"pack {name[:12]} has a directory of schema {str(raw.get('schema'))[:20]}")
        self.name = name
        self.count: int = _whole(raw, "count", DIRECTORY_CAP)
        self.data: int = _whole(raw, "data", start)
        self.start = start
        self.size = start + len(encoded) + TRAILER.size
        self._digests = _column(raw, "digests", self.count * SIZE)
        self._kinds = _column(raw, "kinds", self.count)
        self._codecs = _column(raw, "codecs", self.count)
        self._offsets = _numbers(_column(raw, "offsets", self.count * 8))
        self._stored = _numbers(_column(raw, "stored", self.count * 8))
        self._sizes = _numbers(_column(raw, "sizes", self.count * 8))
        self._checks = _column(raw, "checks", self.count * _CHECK)
        self.extra = {key: value for key, value in raw.items() if key not in _KEYS}
        self._heads = array("Q", self._digests)[:: SIZE // 8]
        if sys.byteorder == "little":
            self._heads.byteswap()

    def digest(self, place: int) -> bytes:
        """Return the digest of the entry at ``place``."""
        return self._digests[place * SIZE : (place + 1) * SIZE]

    def find(self, digest: bytes) -> int:
        """Return the place of an object, or -1."""
        head = int.from_bytes(digest[:8], "big")
        place = bisect_left(self._heads, head)
        while place < self.count and self._heads[place] == head:
            if self.digest(place) == digest:
                return place
            place += 1
        return -1

    def digests(self) -> Iterator[bytes]:
        """Iterate over the digests in their order."""
        return (self._digests[at : at + SIZE] for at in range(0, self.count * SIZE, SIZE))

    def frame(self, place: int) -> Frame:
        """Return the entry at ``place``, checked against the pack's bounds.

        Raises:
            IntegrityError: The entry cannot be true.
        """
        try:
            kind, how = Kind(self._kinds[place]), Codec(self._codecs[place])
        except ValueError as error:
            raise IntegrityError(f"pack {self.name[:12]} holds an object of unknown kind") from error
        offset, stored, size = self._offsets[place], self._stored[place], self._sizes[place]
        low, high = (len(HEADER), self.data) if kind is Kind.CHUNK else (self.data, self.start)
        sound = low <= offset and offset + stored <= high and size <= CAPS[kind]
        if not sound or (stored != size if how is Codec.RAW else stored > size):
            raise IntegrityError(f"pack {self.name[:12]} has an impossible directory entry")
        check = self._checks[place * _CHECK : (place + 1) * _CHECK]
        return Frame(self.digest(place), kind, how, offset, stored, size, check)

    def stored(self, place: int) -> int:
        """Return how many bytes of the file the entry at ``place`` takes."""
        return self._stored[place]

    def prefixed(self, prefix: str) -> list[bytes]:
        """Return the digests that start with a hex prefix."""
        low = bytes.fromhex(prefix.ljust(2 * SIZE, "0"))
        place, found = bisect_left(range(self.count), low, key=self.digest), []
        while place < self.count and self.digest(place).hex().startswith(prefix):
            found.append(self.digest(place))
            place += 1
        return found

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over all entries in the order in which they stand in the file."""
        places = sorted(range(self.count), key=self._offsets.__getitem__)
        return (self.frame(place) for place in places)

    def __len__(self) -> int:
        return self.count


def read_directory(storage: Storage, name: str, size: int) -> Directory:
    """Return a pack's directory, checked against the pack's name.

    Args:
        storage: Where the pack is.
        name: The pack's name.
        size: Its size in bytes, as the log says.

    Raises:
        IntegrityError: The pack is missing, of another size, or damaged at its end.
    """
    path = f"{FOLDER}/{name}.pack"
    if size < len(HEADER) + TRAILER.size:
        raise IntegrityError(f"pack {name[:12]} is too small to be one", path=path)
    kept = getattr(storage, "kept_from", None)  # what is on this disk already need not be asked for again
    guess = max(0, size - (64 << 10), (kept(path) or 0) if kept is not None else 0)
    tail = storage.read(path, guess, size + 1)
    if tail is None:
        raise IntegrityError(f"pack {name[:12]} is missing", path=path)
    if guess + len(tail) != size:
        raise IntegrityError(f"pack {name[:12]} does not have the {size} bytes that were written", path=path)
    length, digest, end = TRAILER.unpack(tail[-TRAILER.size :])
    start = size - TRAILER.size - length
    if end != _END or digest.hex() != name or start < len(HEADER) or length > DIRECTORY_CAP:
        raise IntegrityError(f"pack {name[:12]} has a damaged trailer", path=path)
    encoded: bytes | None = (
        tail[start - guess : -TRAILER.size] if start >= guess else storage.read(path, start, start + length)
    )
    if encoded is None or digest_of(encoded) != digest:
        raise IntegrityError(f"pack {name[:12]} has a damaged directory", path=path)
    return Directory(encoded, start)


class PackWriter:
    """Writes one pack; used in ``with``, which discards it unless :meth:`finish` was called.

    Frames of a gather list are written as they are; nothing is copied, and at most 8 MiB of them are held.

    Attributes:
        size: Bytes written so far; objects but chunks wait for the end.
        metadata: Those, with their stored bytes.
        metadata_size: The sum of their stored bytes.
    """

    def __init__(self, storage: Storage, folder: str = FOLDER) -> None:
        self._storage = storage
        self._folder = folder
        self._spool = storage.spool(folder)
        self._pending: list[Buffer] = [HEADER]
        self._held = self.size = len(HEADER)
        self._frames: dict[bytes, Frame] = {}
        self.metadata: list[tuple[Frame, Buffer]] = []
        self.metadata_size = 0
        self._end: list[Buffer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._spool.__exit__(*exc)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._frames

    def __len__(self) -> int:
        return len(self._frames)

    def watch(self, sent: Callable[[int], None]) -> None:
        """Have ``sent`` told of bytes that are on their way to the store."""
        self._spool.sent = sent

    def chunks(self) -> list[bytes]:
        """Return the digests of the chunks that were added."""
        return [frame.digest for frame in self._frames.values() if frame.kind is Kind.CHUNK]

    def add(self, frame: Frame, stored: Buffer) -> None:
        """Add an object's stored bytes; the frame's offset is filled in here. Known digests are passed over."""
        if frame.digest in self._frames:
            return
        if frame.kind is not Kind.CHUNK:
            self._frames[frame.digest] = frame
            self.metadata.append((frame, bytes(stored)))  # a view would hold all that was read with it
            self.metadata_size += frame.stored
            return
        step = PAGE if frame.codec is Codec.RAW and frame.size >= BIG else LINE
        gap = -self.size % step
        if gap:
            self._append(bytes(gap))
        self._frames[frame.digest] = frame._replace(offset=self.size)
        self._append(stored)

    def _append(self, block: Buffer) -> None:
        size = len(block)
        if size:
            self._pending.append(block)
        self.size += size
        self._held += size
        if self._held >= _FLUSH:
            self._spool.write(self._pending)
            self._pending, self._held = [], 0

    def finish(self) -> Directory:
        """Write what remains, make the pack durable, and return what it holds."""
        directory = self.seal()
        self.publish(directory)
        return directory

    def seal(self, extra: Mapping[str, Any] | None = None) -> Directory:
        """Write metadata, directory and trailer, and return what the pack will hold; nobody can see it yet.

        Args:
            extra: More keys of the directory; see :mod:`friday_store.sync.bundle`.
        """
        data = self.size
        for frame, stored in self.metadata:
            self._frames[frame.digest] = frame._replace(offset=self.size)
            self._append(stored)
        encoded = _encoded([self._frames[digest] for digest in sorted(self._frames)], data, extra or {})
        directory = Directory(encoded, self.size)
        trailer = TRAILER.pack(len(encoded), bytes.fromhex(directory.name), _END)
        self._spool.write([*self._pending, encoded, trailer])
        self._pending = []
        self._end = [*(stored for _, stored in self.metadata), encoded, trailer]
        return directory

    def publish(self, directory: Directory, name: str | None = None) -> None:
        """Make the sealed pack durable under its own name, or that of a bundle."""
        name = name or f"{directory.name}.pack"
        path = f"{self._folder}/{name}" if self._folder else name
        if not self._spool.publish(name):
            found = self._storage.stat(path)  # no other writer has this nonce, so it is ours, and a reply was lost
            if found is None or found.size != directory.size:
                raise IntegrityError(f"pack {directory.name[:12]} is there with another size", path=path)
        keep = getattr(self._storage, "keep", None)
        if keep is not None:
            keep(path, directory.data, self._end)


def _encoded(frames: list[Frame], data: int, extra: Mapping[str, Any]) -> bytes:
    count = len(frames)
    return codec.encode(
        {
            **extra,
            "kind": "directory",
            "schema": 1,
            "nonce": secrets.token_bytes(16),
            "count": count,
            "data": data,
            "digests": b"".join(frame.digest for frame in frames),
            "kinds": bytes(frame.kind for frame in frames),
            "codecs": bytes(frame.codec for frame in frames),
            "offsets": struct.pack(f"<{count}Q", *(frame.offset for frame in frames)),
            "stored": struct.pack(f"<{count}Q", *(frame.stored for frame in frames)),
            "sizes": struct.pack(f"<{count}Q", *(frame.size for frame in frames)),
            "checks": b"".join(frame.check for frame in frames),
        }
    )


def _whole(raw: dict[str, Any], key: str, most: int) -> int:
    value = raw.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise IntegrityError(f"pack directory has a bad {key!r}")
    return value


def _column(raw: dict[str, Any], key: str, length: int) -> bytes:
    value = raw.get(key)
    if type(value) is not bytes or len(value) != length:
        raise IntegrityError(f"pack directory has a bad column {key!r}")
    return value


def _numbers(column: bytes) -> array[int]:
    numbers = array("Q", column)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
