"""Find out what a place can do before anything depends on it.

Some servers that speak S3 or GCS ignore preconditions: each of two writers of one name is told that it won, and the
log of a repository would lose entries. Nothing but trying tells them apart.
"""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from friday_store.errors import StorageError
from friday_store.storage import Storage

PREFIX: Final = ".probe-"
_RACERS: Final = 2


@dataclass(frozen=True)
class Probe:
    """What a place can do.

    Attributes:
        readable: Whether files can be looked for and read.
        writable: Whether files can be created.
        exclusive: Whether creating a name twice fails; None when it could not be tried.
        clock: The store's time minus this machine's, in seconds; None when the store does not say. It is as exact
            as the store's times are, which for some is one second.
        reason: Why something is not so, or could not be tidied up; empty when all is well.
    """

    readable: bool
    writable: bool
    exclusive: bool | None
    clock: float | None
    reason: str


def probe(storage: Storage) -> Probe:
    """Try out a place with throw-away files, whose names start with ``.probe-``, and remove them.

    It takes about ten small requests. Nothing is raised for what the place cannot do; where it cannot be reached,
    nothing is readable and the reason says why.
    """
    path = PREFIX + secrets.token_hex(16)
    try:
        storage.read(path)
    except StorageError as error:
        return Probe(readable=False, writable=False, exclusive=None, clock=None, reason=_said(error))
    paths = [path, f"{path}-race"]
    found = _tried(storage, *paths)
    if not found.writable:
        return found
    left = _tidied(storage, paths)
    return replace(found, reason="; ".join(filter(None, (found.reason, left))))


def _tried(storage: Storage, path: str, race: str) -> Probe:
    ours = secrets.token_bytes(16)
    reads = Probe(readable=True, writable=False, exclusive=None, clock=None, reason="")
    try:
        if not storage.create(path, ours) and storage.read(path) != ours:  # an answer may have been lost
            return replace(reads, reason=f"{storage.url} says of a name that nobody can know that it is taken")
    except StorageError as error:
        return replace(reads, reason=_said(error))
    writes = replace(reads, writable=True)
    try:
        clock = _clock(storage, path)
        again = storage.create(path, secrets.token_bytes(16))
        exclusive = not again and storage.read(path) == ours and _one_wins(storage, race)
    except StorageError as error:
        return replace(writes, reason=_said(error))
    reason = (
        "" if exclusive else f"{storage.url} lets several writers create one name: the last one replaces the others"
    )
    return replace(writes, exclusive=exclusive, clock=clock, reason=reason)


def _clock(storage: Storage, path: str) -> float | None:
    """Return the store's time minus ours, from a file that was created a moment ago."""
    ours = time.time()
    found = storage.stat(path)
    return None if found is None or not found.time else found.time - ours


def _one_wins(storage: Storage, path: str) -> bool:
    """Whether of two that create a name at once no more than one is told that it did."""
    start = threading.Barrier(_RACERS)

    def create(data: bytes) -> bool:
        start.wait()
        return storage.create(path, data)

    with ThreadPoolExecutor(_RACERS, thread_name_prefix="friday-probe") as racers:
        won = list(racers.map(create, [secrets.token_bytes(16) for _ in range(_RACERS)]))
    return won.count(True) <= 1


def _tidied(storage: Storage, paths: list[str]) -> str:
    """Remove the files, or say why they stay."""
    try:
        storage.delete(paths)
    except StorageError as error:
        return f"{' and '.join(paths)} cannot be removed: {_said(error)}"
    return ""


def _said(error: StorageError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)
