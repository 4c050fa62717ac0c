"""What a loader keeps: the models used last, bounded in number and bytes, for all threads of a process and its forks.

Every process has locks of its own, because one that another thread held during a fork would never be released in the
child. What was kept before the fork is there after it, in the pages that parent and child share.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

ABSENT: Final = object()
"""In place of a model that is not held; None can be a model."""


class Kept(NamedTuple):
    """What is kept of one version.

    Attributes:
        recipe: What the loader needs to make the model again.
        model: The shared object, or :data:`ABSENT`.
        size: The bytes that the model counts for; 0 where it is absent.
    """

    recipe: Any
    model: Any = ABSENT
    size: int = 0


class Statistics(NamedTuple):
    """What a loader did since it was made or cleared.

    Attributes:
        hits: Loads that found what they needed kept here.
        misses: Loads that had to ask the store.
        copies: Loads, of either kind, that made an object for the caller alone.
        evictions: Versions that were let go of for want of room.
        models: Shared models that are kept now.
        bytes: What these count for, as stored and uncompressed.
    """

    hits: int
    misses: int
    copies: int
    evictions: int
    models: int
    bytes: int


class Cache:
    """Versions by digest, the least recently used first to go.

    Args:
        count: How many to keep at most.
        size: How many bytes of models to keep at most; a larger model is never kept.
    """

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._size = size
        self._locks: dict[int, threading.RLock] = {}
        self._turns: dict[tuple[int, str], tuple[threading.RLock, int]] = {}
        self._held: OrderedDict[str, Kept] = OrderedDict()
        self._counts = {"hits": 0, "misses": 0, "copies": 0, "evictions": 0}

    @property
    def _lock(self) -> threading.RLock:
        found = self._locks.get(os.getpid())
        return found if found is not None else self._locks.setdefault(os.getpid(), threading.RLock())

    def find(self, key: str, *, whole: bool) -> Kept | None:
        """Return what is kept of a version, as a hit; None if it is not, or lacks the model that is wanted.

        Args:
            key: The version's digest.
            whole: Whether the shared model is wanted.
        """
        with self._lock:
            kept = self._held.get(key)
            if kept is None or (whole and kept.model is ABSENT):
                return None
            self._held.move_to_end(key)
            self._counts["hits"] += 1
            return kept

    def keep(self, key: str, kept: Kept) -> None:
        """Keep something, and let go of what has not been used for longest until everything fits."""
        with self._lock:
            if kept.size > self._size:
                kept = Kept(kept.recipe)
            self._held[key] = kept
            self._held.move_to_end(key)
            total = sum(each.size for each in self._held.values())
            while len(self._held) > self._count or total > self._size:
                gone, let_go = self._held.popitem(last=False)
                total -= let_go.size
                self._counts["evictions"] += gone != key

    def count(self, what: str) -> None:
        """Count one more of something in :class:`Statistics`."""
        with self._lock:
            self._counts[what] += 1

    @contextlib.contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Let one thread at a time through for each key."""
        mine = os.getpid(), key
        with self._lock:
            lock, users = self._turns.get(mine) or (threading.RLock(), 0)
            self._turns[mine] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._turns.pop(mine)
                if users > 1:
                    self._turns[mine] = lock, users - 1

    def statistics(self) -> Statistics:
        """Return the counts, and what is kept now."""
        with self._lock:
            held = [kept for kept in self._held.values() if kept.model is not ABSENT]
            return Statistics(**self._counts, models=len(held), bytes=sum(kept.size for kept in held))

    def clear(self) -> None:
        """Let go of everything and count from 0."""
        with self._lock:
            self._held.clear()
            self._counts = dict.fromkeys(self._counts, 0)
