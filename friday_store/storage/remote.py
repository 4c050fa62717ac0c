"""What the stores have in common that are asked over HTTP: patience, whole files by one request, bounded uploads.

A subclass says how to make single requests; here they are repeated, cut off, put together and explained. All of them
run in fsspec's own thread, so any number of threads may use one storage, and their requests overlap.

Requests: a read is one, however large the file; a ``stat`` is one; a listing is one for each thousand names; creating
8 MiB or less is one. The first time that something is missing, one more may ask whether the bucket is there at all.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry
from friday_store.storage.download import Body, Download
from friday_store.storage.failure import Advice, Broken, Refused, explained
from friday_store.storage.objectstore import ObjectStorage
from friday_store.storage.patience import Clock, Patience, persist
from friday_store.storage.redaction import without_secrets
from friday_store.storage.spooling import on_disk

T = TypeVar("T")

UNSHARED: Final = {"use_listings_cache": False, "skip_instance_cache": True}
CONFLICT: Final = 409
CHANGED: Final = 412
MISSING: Final = 404
_PART: Final = 8 << 20
_MIB: Final = 1 << 20
_PARTS: Final = 9000
_IN_FLIGHT: Final = 64 << 20
_AFTERWARDS: Final = 10.0


class RemoteStorage(ObjectStorage, ABC):
    """Files below one prefix of a bucket.

    Args:
        url: ``<protocol>://<bucket>/<prefix>``.
        options: What fsspec's file system of that protocol accepts, and those of
            :class:`~friday_store.storage.patience.Patience`: ``deadline`` and ``attempt_timeout`` in seconds, and
            ``attempts``.
    """

    advice: ClassVar[Advice]

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        if not urlsplit(url).netloc:
            raise StorageError(f"{without_secrets(url)} names no bucket", hint="<protocol>://<bucket>/<path>")
        if "@" in urlsplit(url).netloc:
            raise StorageError(
                "a user or password in the URL of a bucket would be written wherever the URL is",
                hint="give credentials as options or in the environment, and the URL without them",
            )
        self.patience, options = Patience.taken_from(options)
        self.bucket = ""
        self._known = False
        super().__init__(url, options)

    @abstractmethod
    def _get(self, key: str, start: int, end: int | None) -> AbstractAsyncContextManager[Body]:
        """Open the reply to one request for a range."""

    @abstractmethod
    async def _head(self, key: str) -> Entry:
        """Ask once for size and time."""

    @abstractmethod
    async def _page(
        self, prefix: str, token: str | None, clock: Clock | None = None
    ) -> tuple[builtins.list[Entry], str | None]:
        """Ask once for the children of a prefix, and return them with the token of the next page."""

    @abstractmethod
    async def _put(self, key: str, data: Buffer) -> None:
        """Ask once that an object be created."""

    @abstractmethod
    async def _remove(self, keys: builtins.list[str]) -> None:
        """Remove objects, those already gone too, with all the patience that it takes."""

    @abstractmethod
    async def _look(self) -> None:
        """Ask once for the bucket; :class:`Refused` with ``NoSuchBucket`` when it is not there."""

    @abstractmethod
    def _upload(self, path: str, local: Path, size: int, sent: Callable[[int], None]) -> bool:
        """Create a large file in parts; False if it exists."""

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        if end is not None and end <= start:
            return None if self.stat(path) is None else b""
        download = Download(self._get, self._key(path), start, end)
        return self.ask("read", path, lambda: self._unless_missing(download.attempt))

    def stat(self, path: str) -> Entry | None:
        key = self._key(path)
        return self.ask("look at", path, lambda: self._unless_missing(lambda _: self._head(key)))

    def list(self, folder: str) -> builtins.list[Entry]:
        prefix = f"{self._key(folder)}/".lstrip("/") if folder else self._key("")
        return sorted(self.ask("list", folder, lambda: self._children(prefix)))

    def delete(self, paths: Iterable[str]) -> None:
        listed = [*paths]
        if listed:
            what = listed[0] if len(listed) == 1 else f"{listed[0]} and {len(listed) - 1} more"
            self.ask("delete", what, lambda: self._remove([self._key(path) for path in listed]))

    def put_file(self, local: Path, path: str, sent: Callable[[int], None] | None = None) -> bool:
        with on_disk(local):
            size = local.stat().st_size
        if size <= _PART:
            return super().put_file(local, path, sent)
        return self._upload(path, local, size, sent or (lambda _: None))

    def ask(self, verb: str, path: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run requests in fsspec's thread and wait for them; they are cancelled when this thread is interrupted."""
        fs, _ = self._filesystem()
        with self.mapped_errors(verb, path):
            running = asyncio.run_coroutine_threadsafe(work(), fs.loop)
            try:
                return running.result()
            except BaseException:
                running.cancel()
                raise

    def afterwards(self) -> Patience:
        """Return the patience for tidying up after a failure."""
        return self.patience.shortened(_AFTERWARDS)

    @contextlib.contextmanager
    def mapped_errors(self, verb: str, path: str) -> Iterator[None]:
        with super().mapped_errors(verb, path):
            try:
                yield
            except (Refused, Broken) as error:
                what = f"cannot {verb} {self.url}/{path}".rstrip("/")
                found = explained(error, what, self.bucket, self.advice)
                found.message = self.redacted(found.message)
                found.args = (found.message,)
                raise found from self.shown(error)

    def _create(self, path: str, data: Buffer) -> bool:
        return self.ask("write", path, lambda: self._created(self._key(path), data))

    async def _created(self, key: str, data: Buffer) -> bool:
        size = memoryview(data).nbytes
        return await self.won(
            lambda: persist(self.patience, lambda _: self._put(key, data), size=size, again=(CONFLICT,))
        )

    async def won(self, write: Callable[[], Awaitable[object]]) -> bool:
        """Make a conditional write; False when the store says that the name is taken, or fought over."""
        try:
            await write()
        except Refused as error:
            if error.status in (CONFLICT, CHANGED):
                return False
            raise
        self._known = True
        return True

    async def _unless_missing(self, once: Callable[[Clock], Awaitable[T]]) -> T | None:
        try:
            found = await persist(self.patience, once)
        except Refused as error:
            if error.status != MISSING or error.code == "NoSuchBucket":
                raise
            if error.code != "NoSuchKey":
                await self._is_there()
            self._known = True
            return None
        self._known = True
        return found

    async def _is_there(self) -> None:
        """Make sure of the bucket, the first time: a missing bucket is not an empty one."""
        if not self._known:
            try:
                await persist(self.patience, lambda _: self._look())
            except Refused as error:
                if error.code == "NoSuchBucket":
                    raise

    async def _children(self, prefix: str) -> builtins.list[Entry]:
        found: builtins.list[Entry] = []
        token: str | None = None
        while True:
            entries, token = await persist(self.patience, functools.partial(self._page, prefix, token))
            found += (entry for entry in entries if entry.name)
            if token is None:
                self._known = True
                return found

    def _key(self, path: str) -> str:
        return f"{self._filesystem()[1]}{path}"


def part_size(size: int) -> int:
    """Return the size of the parts of a large upload: 8 MiB, or more where those would be too many."""
    return max(_PART, -(-size // _PARTS // _MIB) * _MIB if size > _PART * _PARTS else _PART)


def in_flight(part: int) -> int:
    """Return how many parts may be on their way at once, so that at most 64 MiB of them are in memory."""
    return max(1, min(4, _IN_FLIGHT // part))


def read_part(local: Path, start: int, size: int) -> bytes:
    """Return a piece of a local file.

    Raises:
        OSError: It cannot be read, or is shorter than it was.
    """
    with local.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), size, start)
        while len(data) < size and (more := os.pread(file.fileno(), size - len(data), start + len(data))):
            data += more
    if len(data) < size:
        raise OSError(f"{local} became shorter while it was sent")
    return data
