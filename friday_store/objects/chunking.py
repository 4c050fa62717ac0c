"""From the parts of a serialized model to frames for a pack: cut, hash, look up, compress.

Cutting follows the model's structure and not a rolling hash: a serializer gives big arrays as parts of their
own, and a part is cut in blocks of 1 MiB. Measured on forests, boosted trees and dense layers this equals or
beats content-defined chunking, costs no chunking time, and a part whose blocks lie next to each other in one
pack is one range that loads as a view.

A part is compressed with zstd level 1 when a sample of it shrinks by 15 % or more (tree models shrink 2.8 times,
and no further at level 3; float weights save 7 % and would lose mapping). Hashing and compressing run on two
threads while the blocks before are being written, and never hold more than 32 blocks.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Literal, NamedTuple

import zstandard

from friday_store.digest import Buffer, digest_of
from friday_store.errors import SerializationError
from friday_store.hookspecs import Part
from friday_store.objects.pack import BIG, BLOCK, Codec, Frame, Kind

Compression = Literal["auto", "none"]

THREADS: Final = min(4, os.cpu_count() or 1)
AHEAD: Final = 32
_LEVEL: Final = 1
_WORTH: Final = 0.85
_SMALLEST: Final = 512
_NO_CHECK: Final = bytes(16)


class Cut(NamedTuple):
    """One chunk of a part: which part, its bytes, whether to try to compress it."""

    part: int
    data: memoryview
    compress: bool


def framed(kind: Kind, data: Buffer, *, compress: bool, digest: bytes | None = None) -> tuple[Frame, Buffer]:
    """Return the frame (offset 0) and the stored bytes of one object."""
    digest = digest or digest_of(data)
    size = len(data)
    if compress and size >= _SMALLEST:
        packed = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(data)
        if len(packed) <= _WORTH * size:
            check = digest_of(packed)[: len(_NO_CHECK)]
            return Frame(digest, kind, Codec.ZSTD, 0, len(packed), size, check), packed
    return Frame(digest, kind, Codec.RAW, 0, size, size, _NO_CHECK), data


def cut(parts: Iterable[Part], compression: Compression) -> Iterator[tuple[Part, list[Cut]]]:
    """Yield each part with its chunks, in order.

    Raises:
        SerializationError: A part's bytes are not contiguous.
    """
    for number, part in enumerate(parts):
        try:
            data = memoryview(part.data).cast("B")
        except TypeError as error:
            raise SerializationError(f"part {part.name!r} is not contiguous") from error
        compress = compression == "auto" and _shrinks(data)
        yield part, [Cut(number, data[at : at + BLOCK], compress) for at in range(0, len(data), BLOCK)]


def _shrinks(data: memoryview) -> bool:
    """Whether a sample of 64 KiB (256 of more than 4 MiB), taken at four places, saves 15 % or more."""
    if len(data) <= 4 * BIG:
        return len(data) >= _SMALLEST
    piece = BIG // 4 if len(data) <= 4 * BLOCK else BIG
    step = (len(data) - piece) // 3
    sample = b"".join(data[at * step : at * step + piece] for at in range(4))
    return len(zstandard.ZstdCompressor(level=_LEVEL).compress(sample)) <= _WORTH * len(sample)


def frames(cuts: Iterable[Cut], known: Callable[[bytes], bool]) -> Iterator[tuple[Cut, Frame | bytes, Buffer]]:
    """Yield each chunk's digest, or its frame and stored bytes where ``known`` says it is new; in order.

    Args:
        cuts: The chunks.
        known: Whether a digest is stored already; called from several threads.
    """

    def prepare(item: Cut) -> tuple[Cut, Frame | bytes, Buffer]:
        digest = digest_of(item.data)
        if known(digest):
            return item, digest, b""
        return item, *framed(Kind.CHUNK, item.data, compress=item.compress, digest=digest)

    few: list[Cut] = []
    source = iter(cuts)
    total = 0
    for item in source:
        few.append(item)
        total += len(item.data)
        if total > BLOCK:
            yield from _threaded(prepare, few, source)
            return
    yield from map(prepare, few)


def _threaded(
    prepare: Callable[[Cut], tuple[Cut, Frame | bytes, Buffer]], first: list[Cut], rest: Iterator[Cut]
) -> Iterator[tuple[Cut, Frame | bytes, Buffer]]:
    waiting: deque[Future[tuple[Cut, Frame | bytes, Buffer]]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="friday-chunk") as pool:
        try:
            for items in (first, rest):
                for item in items:
                    waiting.append(pool.submit(prepare, item))
                    if len(waiting) >= AHEAD:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
