"""From the parts of a serialized model to frames for a pack: cut, hash, look up, compress.

Cutting follows the model's structure and not a rolling hash: a serializer gives big arrays as parts of their
own, and a part is cut in blocks of 1 MiB. Measured on forests, boosted trees and dense layers this equals or
beats content-defined chunking, costs no chunking time, and a part whose blocks lie next to each other in one
pack is one range that loads as a view.

A part is compressed when a sample of it shrinks by 15 % or more (tree models shrink 3.4 times, and no further at
level 3; float weights save 7 % and would lose mapping). Chunks of 64 KiB and more use zstd level -1: of a forest of
347 MiB it makes 104 MiB in 0.52 s and reads it back in 0.17 s of one core, where level 1 makes 99 MiB in 0.58 s and
takes 0.24 s. Smaller objects, whose text profits from level 1, use that. Hashing and compressing run on several
threads while the chunks before are being written, and never hold more than 32 MiB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, islice
from typing import Final, Literal, NamedTuple

import zstandard

from friday_store.digest import Buffer, digest_of, hasher
from friday_store.hookspecs import Part
from friday_store.manifest import PartEntry
from friday_store.objects.pack import BIG, BLOCK, Codec, Frame, Kind
from friday_store.workers import THREADS, workers

Compression = Literal["auto", "none"]

AHEAD: Final = 8
SHARE: Final = 4 << 20
_LEVEL: Final = 1
_FAST: Final = -1
_WORTH: Final = 0.85
_SMALLEST: Final = 512
_SAMPLED: Final = 4
_NO_CHECK: Final = bytes(16)


class Cut(NamedTuple):
    """One chunk of a part: which part, its bytes, whether to try to compress it."""

    part: int
    data: memoryview
    compress: bool


Prepared = tuple[Cut, Frame | bytes, Buffer]
"""A chunk, its digest if it is known or its frame if it is new, and its stored bytes."""


def framed(kind: Kind, data: Buffer, *, compress: bool, digest: bytes | None = None) -> tuple[Frame, Buffer]:
    """Return the frame (offset 0) and the stored bytes of one object."""
    digest = digest or digest_of(data)
    size = len(data)
    if compress and size >= _SMALLEST:
        level = _FAST if size >= BIG else _LEVEL
        packed = zstandard.ZstdCompressor(level=level, write_content_size=True).compress(data)
        if len(packed) <= _WORTH * size:
            check = digest_of(packed)[: len(_NO_CHECK)]
            return Frame(digest, kind, Codec.ZSTD, 0, len(packed), size, check), packed
    return Frame(digest, kind, Codec.RAW, 0, size, size, _NO_CHECK), data


def cut(parts: Iterable[Part], compression: Compression) -> Iterator[tuple[Part, Iterator[Cut]]]:
    """Yield each part with its chunks, in order; the chunks of one are to be read before the next part.

    A stream is cut where the same bytes in one buffer would be, and holds at most 4 MiB, by which it is decided
    whether to compress it.

    Raises:
        SerializationError: A part's bytes are not contiguous.
    """
    for number, part in enumerate(parts):
        yield part, (_streamed if part.streamed else _cut)(number, part, compression)


def _cut(number: int, part: Part, compression: Compression) -> Iterator[Cut]:
    data = part.view()
    compress = compression == "auto" and _shrinks(data)
    return (Cut(number, data[at : at + BLOCK], compress) for at in range(0, len(data), BLOCK))


def _streamed(number: int, part: Part, compression: Compression) -> Iterator[Cut]:
    blocks = _regular(part.blocks())
    first = list(islice(blocks, _SAMPLED))
    sample = first[0] if len(first) == 1 else memoryview(b"".join(first))
    compress = compression == "auto" and _shrinks(sample)
    del sample
    while first:
        yield Cut(number, first.pop(0), compress)
    for block in blocks:
        yield Cut(number, block, compress)


def _regular(blocks: Iterable[memoryview]) -> Iterator[memoryview]:
    """Divide a stream anew: every block but the last has the size of a chunk. Copies only what spans blocks."""
    kept: list[memoryview] = []
    size = 0
    for block in blocks:
        at = 0
        while size + len(block) - at >= BLOCK:
            end = at + BLOCK - size
            yield memoryview(b"".join([*kept, block[at:end]])) if kept else block[at:end]
            kept, size, at = [], 0, end
        if at < len(block):
            kept.append(block[at:])
            size += len(block) - at
    if kept:
        yield memoryview(b"".join(kept))


class Tally:
    """What an artifact says of one part, added up while its chunks pass by."""

    def __init__(self, part: Part) -> None:
        self._name = part.name
        self._whole = hasher() if part.opaque else None
        self._size = 0
        self._digests: list[bytes] = []

    def counted(self, pieces: Iterable[Cut]) -> Iterator[Cut]:
        """Pass the chunks on, and note what they add to the whole."""
        for piece in pieces:
            self._size += len(piece.data)
            if self._whole is not None:
                self._whole.update(piece.data)
            yield piece

    def add(self, digest: bytes) -> None:
        """Note the digest of the next chunk."""
        self._digests.append(digest)

    def entry(self) -> PartEntry:
        """Return the part as it is recorded."""
        whole = None if self._whole is None else self._whole.digest()
        return PartEntry(self._name, self._size, b"".join(self._digests), whole)


def _shrinks(data: memoryview) -> bool:
    """Whether a sample of 64 KiB (256 of more than 4 MiB), taken at four places, saves 15 % or more."""
    if len(data) <= 4 * BIG:
        return len(data) >= _SMALLEST
    piece = BIG // 4 if len(data) <= 4 * BLOCK else BIG
    step = (len(data) - piece) // 3
    sample = b"".join(data[at * step : at * step + piece] for at in range(4))
    return len(zstandard.ZstdCompressor(level=_LEVEL).compress(sample)) <= _WORTH * len(sample)


def frames(cuts: Iterable[Cut], known: Callable[[bytes], bool]) -> Iterator[Prepared]:
    """Yield each chunk's digest, or its frame and stored bytes where ``known`` says it is new; in order.

    Args:
        cuts: The chunks.
        known: Whether a digest is stored already; called from several threads.
    """

    def prepare(share: list[Cut]) -> list[Prepared]:
        return [one(item) for item in share]

    def one(item: Cut) -> Prepared:
        digest = digest_of(item.data)
        if known(digest):
            return item, digest, b""
        return item, *framed(Kind.CHUNK, item.data, compress=item.compress, digest=digest)

    shares = _shares(cuts)
    first = next(shares, [])
    second = next(shares, None)
    if second is None:
        yield from prepare(first)
    else:
        yield from _threaded(prepare, chain([first, second], shares))


def _shares(cuts: Iterable[Cut]) -> Iterator[list[Cut]]:
    """Group chunks into shares of some MiB, so that handing them to a thread costs little beside the work."""
    share: list[Cut] = []
    size = 0
    for item in cuts:
        share.append(item)
        size += len(item.data)
        if size >= SHARE:
            yield share
            share, size = [], 0
    if share:
        yield share


def _threaded(prepare: Callable[[list[Cut]], list[Prepared]], shares: Iterable[list[Cut]]) -> Iterator[Prepared]:
    waiting: deque[Future[list[Prepared]]] = deque()
    with workers(THREADS, "friday-chunk") as pool:
        for share in shares:
            waiting.append(pool.submit(prepare, share))
            if len(waiting) >= AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
