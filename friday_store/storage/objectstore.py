"""Files below an fsspec URL, and which protocols can create one.

fsspec has no portable "create, unless it is there". So each protocol that can be written has a class of its own:
:mod:`~friday_store.storage.s3`, :mod:`~friday_store.storage.gcs` and :mod:`~friday_store.storage.memory`. A protocol
that has none is read, never written. File systems are made lazily and per process: an inherited one is not safe after
a fork, and one that was pickled would carry its secrets along.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry
from friday_store.storage.redaction import Redactor, without_secrets
from friday_store.storage.spooling import ObjectSpool

_FAILURES: Final = (OSError, ValueError, RuntimeError, LookupError, EOFError)
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def open_objectstore(url: str, options: Mapping[str, Any]) -> ObjectStorage:
    """Return the storage for a URL with a scheme; see :func:`friday_store.storage.open_storage`."""
    scheme = urlsplit(url).scheme
    try:
        return _kind(scheme)(url, options)
    except ImportError as error:
        raise _missing(without_secrets(url), scheme, error) from error


def _kind(scheme: str) -> type[ObjectStorage]:
    if scheme == "memory":
        from friday_store.storage.memory import MemoryStorage

        return MemoryStorage
    if scheme in ("s3", "s3a"):
        from friday_store.storage.s3 import S3Storage

        return S3Storage
    if scheme in ("gs", "gcs"):
        from friday_store.storage.gcs import GcsStorage

        return GcsStorage
    return ObjectStorage


class ObjectStorage:
    """Files below one fsspec URL. This class reads; a protocol that can create has a subclass."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    root: Path | None = None

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = without_secrets(url)
        self.redacted = Redactor(url, options)
        self._target = url.rstrip("/")
        self._options = {**self.defaults, **options}
        self._opened: tuple[int, Any, str] | None = None
        self._filesystem()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a storage holds credentials and is not pickled; open the URL again")

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:
        blocks = [data] if isinstance(data, bytes | bytearray | memoryview) else data
        return self._create(path, blocks[0] if len(blocks) == 1 else b"".join(blocks))

    def spool(self, folder: str) -> ObjectSpool:
        return ObjectSpool(self, folder)

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        fs, prefix = self._filesystem()
        where = f"{prefix}/{path}"
        with self.mapped_errors("read", path):
            try:
                if start:
                    size = int(fs.info(where)["size"])
                    end = size if end is None else min(end, size)
                if end is not None and end <= start:
                    return b"" if fs.exists(where) else None
                data = bytes(fs.cat_file(where, start=start or None, end=end))
                # a web server may pass over the range and send everything
                return data[start:end] if end is not None and len(data) > end - start else data
            except FileNotFoundError:
                return None

    def list(self, folder: str) -> list[Entry]:
        fs, prefix = self._filesystem()
        where = f"{prefix}/{folder}".rstrip("/")
        with self.mapped_errors("list", folder):
            try:
                found = fs.ls(where, detail=True)
            except FileNotFoundError:
                return []
            return sorted(_entry(item) for item in found if item["name"].rstrip("/") != where)

    def delete(self, paths: Iterable[str]) -> None:
        fs, prefix = self._filesystem()
        for path in paths:
            with self.mapped_errors("delete", path), contextlib.suppress(FileNotFoundError):
                fs.rm_file(f"{prefix}/{path}")

    def stat(self, path: str) -> Entry | None:
        fs, prefix = self._filesystem()
        with self.mapped_errors("look at", path):
            try:
                return _entry(fs.info(f"{prefix}/{path}"))
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Return at once: writers on other machines cannot be waited for."""
        yield

    def put_file(self, local: Path, path: str, sent: Callable[[int], None] | None = None) -> bool:
        """Create a file from a local one; False if it exists.

        Args:
            local: The local file.
            path: The name.
            sent: Called with the number of bytes that have gone out since the last call, from any thread.
        """
        data = local.read_bytes()
        created = self._create(path, data)
        if created and sent is not None:
            sent(len(data))
        return created

    def _create(self, path: str, data: Buffer) -> bool:  # noqa: ARG002 - subclasses write it
        raise StorageError(
            f"cannot write {self.url}/{path}: of fsspec's protocols only file, memory, s3 and gcs can create a file "
            "without overwriting another",
            hint="read from this URL, and write to a local, S3 or GCS repository",
        )

    def _filesystem(self) -> tuple[Any, str]:
        """Return this process's file system, and what stands before each path in it."""
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), *self._connected())
            except StorageError:
                raise
            except ImportError as error:
                raise _missing(self.url, urlsplit(self.url).scheme, error) from error
            except (*_FAILURES, TypeError) as error:
                said = self.redacted(f"{type(error).__name__}: {error}")
                hint = "check the protocol of the URL, and that it knows the options that are given"
                raise StorageError(f"cannot open {self.url}: {said}", hint=hint) from self.shown(error)
        return self._opened[1], self._opened[2]

    def _connected(self) -> tuple[Any, str]:
        import fsspec

        fs, prefix = fsspec.url_to_fs(self._target, **self._options)
        return fs, prefix.rstrip("/")

    def shown(self, error: BaseException) -> BaseException | None:
        """Return the error for a traceback, or nothing if it would show a secret."""
        return error if self.redacted.clean(error) else None

    @contextlib.contextmanager
    def mapped_errors(self, verb: str, path: str) -> Iterator[None]:
        """Turn foreign errors into :class:`StorageError`."""
        try:
            yield
        except StorageError:
            raise
        except _FAILURES as error:
            said = self.redacted(f"{type(error).__name__}: {error}")
            raise StorageError(f"cannot {verb} {self.url}/{path}: {said}") from self.shown(error)


def _missing(url: str, scheme: str, error: ImportError) -> StorageError:
    extra = _EXTRAS.get(scheme)
    hint = f"pip install 'friday-store[{extra}]'" if extra else "install the package that the message names"
    return StorageError(f"cannot open {url}: a package for {scheme}:// is missing ({error})", hint=hint)


def _entry(item: Mapping[str, Any]) -> Entry:
    time = item.get("LastModified") or item.get("mtime") or item.get("created") or 0
    seconds = float(time.timestamp()) if hasattr(time, "timestamp") else float(time) if _number(time) else 0.0
    folder = item["type"] == "directory"
    return Entry(item["name"].rstrip("/").rpartition("/")[2], 0 if folder else int(item["size"] or 0), seconds, folder)


def _number(value: Any) -> bool:
    return isinstance(value, int | float)
