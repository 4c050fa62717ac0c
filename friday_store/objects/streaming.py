"""Reading many stored objects on their way to another pack: in windows, ahead of the writer, each one verified.

A window is 16 MiB of objects; its ranges are read together where they lie close to each other, on several threads,
while the window before is being written. So a copy holds two windows at most, whatever the size of what is copied.
Local packs are mapped and not read: the writer gathers from the page cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from friday_store.digest import Buffer
from friday_store.objects.pack import FOLDER, Directory, Frame
from friday_store.objects.reading import coalesced, opened
from friday_store.storage import Storage
from friday_store.workers import THREADS, workers

Placed = tuple[Directory, Frame]
"""An object in a pack."""

_WINDOW: Final = 16 << 20
_RANGE: Final = 4 << 20
_MANY: Final = 4000
_REQUESTS: Final = 8


def verified(storage: Storage, items: Iterable[Placed]) -> Generator[tuple[Frame, Buffer], None, None]:
    """Iterate over the stored bytes of objects, in order, each checked against its digest.

    Args:
        storage: Where the packs are.
        items: The objects.

    Raises:
        IntegrityError: A pack is missing, or an object in it is damaged.
    """
    waiting: deque[_Window] = deque()
    threads = THREADS if storage.root is not None else _REQUESTS
    with workers(threads, "friday-copy") as pool:
        for window in _windows(items):
            waiting.append(_Window(storage, window, pool))
            if len(waiting) > 1:
                yield from waiting.popleft()
        while waiting:
            yield from waiting.popleft()


def _windows(items: Iterable[Placed]) -> Iterator[list[Placed]]:
    window: list[Placed] = []
    size = 0
    for item in items:
        if window and (size + item[1].stored > _WINDOW or len(window) >= _MANY):
            yield window
            window, size = [], 0
        window.append(item)
        size += item[1].stored
    if window:
        yield window


class _Window:
    """Some objects that are being read."""

    def __init__(self, storage: Storage, items: list[Placed], pool: ThreadPoolExecutor) -> None:
        self._items = items
        self._ranges: list[Future[dict[bytes, Buffer]]] = []
        packs: dict[str, list[Frame]] = {}
        for directory, frame in items:
            packs.setdefault(directory.name, []).append(frame)
        for name, frames in packs.items():
            for share in _shares(frames):
                self._ranges.append(pool.submit(_read, storage, name, share))

    def __iter__(self) -> Iterator[tuple[Frame, Buffer]]:
        found: dict[bytes, Buffer] = {}
        for future in self._ranges:
            found.update(future.result())
        for _, frame in self._items:
            yield frame, found[frame.digest]


def _shares(frames: list[Frame]) -> Iterator[list[Frame]]:
    """Split frames of one pack into those that are read together."""
    ordered = deque(sorted(frames, key=lambda frame: frame.offset))
    for _, high in coalesced(ordered, most=_RANGE):
        share = []
        while ordered and ordered[0].offset + ordered[0].stored <= high:
            share.append(ordered.popleft())
        if share:
            yield share


def _read(storage: Storage, name: str, frames: list[Frame]) -> dict[bytes, Buffer]:
    source = opened(storage, f"{FOLDER}/{name}.pack", frames)
    found: dict[bytes, Buffer] = {}
    for frame in frames:
        found[frame.digest] = stored = source.stored(frame)
        frame.decoded(stored)
    return found
