"""Where a repository's files live: six verbs over a local folder, memory, S3 or GCS.

This is the only package that imports fsspec as a client (:mod:`friday_store.filesystem` serves its protocol), and only
for stores that are not local. Paths are relative to the
repository's root, with ``/``; the package makes them, never data. A file is created whole and at once, or not
at all, and never changes; the one conditional that a store must honour is "create, unless it is there".

fsspec does not unify that, so each protocol has its own ``create`` (see :mod:`~friday_store.storage.local`,
:mod:`~friday_store.storage.s3`, :mod:`~friday_store.storage.gcs` and :mod:`~friday_store.storage.memory`). Any other
protocol can be read and not written, with an error that says why. Whether a place honours all this is found out by
:func:`~friday_store.storage.probe.probe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from friday_store.digest import Buffer
from friday_store.errors import StorageError

__all__ = ["Entry", "Spool", "Storage", "open_storage"]


class Entry(NamedTuple):
    """One child of a folder.

    Attributes:
        name: The last part of its path.
        size: Bytes; 0 for a folder.
        time: Last modification by the store's own clock, seconds since 1970; 0 where the store does not say.
        folder: Whether it is a folder.
    """

    name: str
    size: int
    time: float
    folder: bool


class Spool(Protocol):
    """A file being written, invisible until it is published; discarded at the end of ``with`` unless it was.

    Attributes:
        size: Bytes written so far.
        sent: Called with the number of bytes that reached the store since the last call, or are on their way to it:
            a local folder calls it from ``write``, a far store from ``publish`` and from another thread. It must
            return at once, and neither raise nor use the storage.
    """

    size: int
    sent: Callable[[int], None] | None

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

    def write(self, blocks: Sequence[Buffer]) -> None:
        """Append the blocks, in order, without copying them where the store allows."""

    def publish(self, name: str) -> bool:
        """Make the file durable under ``name`` in the spool's folder; False if that name exists already.

        As for :meth:`Storage.create`, False may mean that the file there is this one.
        """


class Storage(Protocol):
    """The seam between friday-store and what keeps its bytes.

    Every failure is a :class:`StorageError`. Nothing is promised about two writers of one path but this: at most one
    ``create`` returns True, whenever and wherever they run, and its bytes are the file's. One storage may be used by
    any number of threads.

    Attributes:
        url: Where it is, without secrets.
        root: The local folder, or None when it is not local.
    """

    @property
    def url(self) -> str: ...

    @property
    def root(self) -> Path | None: ...

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:
        """Put a new file there, atomically and durably; False, and nothing changed, if there is one.

        Over a network an answer can be lost after the file was made. The request is then made again, and meets its
        own success: so False, and an error too, may mean that the file there is this one. Whoever must know reads it
        and compares something that only this writer can have written.
        """

    def spool(self, folder: str) -> Spool:
        """Return a file to be filled and then published in ``folder``; for data too large to hold."""

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        """Return the file's bytes from ``start`` up to ``end`` or where it ends; None if there is no such file."""

    def list(self, folder: str) -> list[Entry]:
        """Return the folder's children sorted by name, without temporary files; empty if it is missing."""

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; those already gone are passed over. After an error some may be left."""

    def stat(self, path: str) -> Entry | None:
        """Return size and time of a file, or None."""

    def turn(self) -> AbstractContextManager[None]:
        """Wait for other writers on this machine where that is cheap, so that they do not race in vain.

        Nothing depends on it: who does not wait may lose a race, never data.
        """


def open_storage(url: str | Path, options: Mapping[str, Any] | None = None) -> Storage:
    """Return the storage at a path or fsspec URL, which need not exist yet.

    Args:
        url: A local path, ``file://``, ``memory://``, ``s3://`` or ``gcs://`` URL, or that of another fsspec
            protocol, which can then only be read.
        options: What fsspec's file system of that protocol accepts; never shown, logged or written. For S3 and GCS
            also ``deadline`` (45: seconds until a small request is given up; more data has more time, 128 KiB a
            second), ``attempt_timeout`` (15: seconds until it is made again) and ``attempts`` (4).

    Raises:
        StorageError: The protocol or its package is unknown, or the options do not fit it.
        InvalidValueError: One of the limits is not a positive number.
    """
    text = str(url)
    parts = urlsplit(text)
    if isinstance(url, Path) or len(parts.scheme) < 2:
        local = Path(text)
    elif parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise StorageError(
                f"{text!r} names a host; a file URL has three slashes: file:///{parts.netloc}{parts.path}"
            )
        local = Path(parts.path)
    else:
        from friday_store.storage.objectstore import open_objectstore

        return open_objectstore(text, options or {})
    from friday_store.storage.local import LocalStorage

    return LocalStorage(local.expanduser().absolute())
