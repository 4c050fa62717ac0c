"""Object stores through fsspec: S3, GCS, and memory for tests and scratch work.

fsspec has no portable "create, unless it is there". So each protocol names its own: S3 ``If-None-Match: *``, GCS
``ifGenerationMatch=0``, memory a lock. Listing caches are off, since another machine may have written a moment
ago. File systems are made lazily and per process: an inherited one is not safe after a fork, and one that was
pickled would carry its secrets along.

A protocol that is not named here is read, never written.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit, urlunsplit

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry

_HELD: Final = 8 << 20
_PART: Final = 16 << 20
_CONFLICTS: Final = frozenset(
    {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "ConcurrentModification"}
)
_FAILURES: Final = (OSError, ValueError, RuntimeError, TimeoutError)


def open_objectstore(url: str, options: Mapping[str, Any]) -> ObjectStorage:
    """Return the storage for a URL with a scheme; see :func:`friday_store.storage.open_storage`."""
    scheme = urlsplit(url).scheme
    return _KINDS.get(scheme, ObjectStorage)(url, options)


def without_secrets(url: str) -> str:
    """Return the URL without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


class ObjectStorage:
    """Files below one fsspec URL. This class reads; a protocol that can create has a subclass."""

    package: ClassVar[str] = "the fsspec implementation of this protocol"
    defaults: ClassVar[Mapping[str, Any]] = {}
    root: Path | None = None

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = without_secrets(url)
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
        with self.mapped_errors("read", path):
            try:
                data = fs.cat_file(f"{prefix}/{path}", start=start or None, end=end)
            except FileNotFoundError:
                return None
            return bytes(data)

    def list(self, folder: str) -> list[Entry]:
        fs, prefix = self._filesystem()
        with self.mapped_errors("list", folder):
            try:
                found = fs.ls(f"{prefix}/{folder}".rstrip("/"), detail=True, refresh=True)
            except FileNotFoundError:
                return []
        return sorted(_entry(item) for item in found if item["name"].rstrip("/") != f"{prefix}/{folder}".rstrip("/"))

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

    def put_file(self, local: Path, path: str) -> bool:
        """Upload a local file under a new name; False if it exists."""
        return self._create(path, local.read_bytes())

    def _create(self, path: str, data: Buffer) -> bool:  # noqa: ARG002 - subclasses write it
        raise StorageError(
            f"cannot write {self.url}/{path}: of fsspec's protocols only file, memory, s3 and gcs can create a file "
            "without overwriting another",
            hint="read from this URL, and write to a local, S3 or GCS repository",
        )

    def _filesystem(self) -> tuple[Any, str]:
        if self._opened is None or self._opened[0] != os.getpid():
            import fsspec

            try:
                fs, prefix = fsspec.url_to_fs(self._target, **self._options)
            except (ImportError, ValueError) as error:
                raise StorageError(f"cannot open {self.url}: {error}", hint=f"pip install {self.package}") from error
            self._opened = (os.getpid(), fs, prefix.rstrip("/"))
        return self._opened[1], self._opened[2]

    @contextlib.contextmanager
    def mapped_errors(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except (StorageError, FileNotFoundError):
            raise
        except _FAILURES as error:
            said = f"{type(error).__name__}: {error}".replace(self._target, self.url)
            raise StorageError(f"cannot {verb} {self.url}/{path}: {said}") from error


class MemoryStorage(ObjectStorage):
    """fsspec's memory file system, shared by the process, with a lock that makes ``create`` exact."""

    _lock: ClassVar[threading.RLock] = threading.RLock()

    def _create(self, path: str, data: Buffer) -> bool:
        fs, prefix = self._filesystem()
        with self._lock, self.mapped_errors("write", path):
            if fs.exists(f"{prefix}/{path}"):
                return False
            fs.pipe_file(f"{prefix}/{path}", bytes(data))
            return True


class S3Storage(ObjectStorage):
    """S3 and what speaks it, with ``If-None-Match: *``."""

    package = "'friday-store[s3]'"
    defaults: ClassVar[Mapping[str, Any]] = {"use_listings_cache": False}

    def put_file(self, local: Path, path: str) -> bool:
        fs, prefix = self._filesystem()
        with self.mapped_errors("write", path):
            return _won(lambda: fs.put_file(str(local), f"{prefix}/{path}", mode="create", chunksize=_PART))

    def _create(self, path: str, data: Buffer) -> bool:
        fs, prefix = self._filesystem()
        with self.mapped_errors("write", path):
            return _won(lambda: fs.pipe_file(f"{prefix}/{path}", bytes(data), mode="create"))


class GcsStorage(S3Storage):
    """Google Cloud Storage, with ``ifGenerationMatch=0``, which gcsfs spells as S3's ``mode="create"``."""

    package = "'friday-store[gcs]'"


class ObjectSpool:
    """Blocks kept in a local temporary file; up to 8 MiB of them go out as one request."""

    def __init__(self, storage: ObjectStorage, folder: str) -> None:
        self.size = 0
        self._storage = storage
        self._path = folder
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def write(self, blocks: Sequence[Buffer]) -> None:
        with self._storage.mapped_errors("spool", self._path):
            for block in blocks:
                self.size += self._file.write(block)

    def publish(self, name: str) -> bool:
        path = f"{self._path}/{name}"
        self._file.flush()
        if self.size <= _HELD:
            return self._storage.create(path, Path(self._file.name).read_bytes())
        return self._storage.put_file(Path(self._file.name), path)


_KINDS: Final[Mapping[str, type[ObjectStorage]]] = {
    "memory": MemoryStorage,
    "s3": S3Storage,
    "s3a": S3Storage,
    "gs": GcsStorage,
    "gcs": GcsStorage,
}


def _won(attempt: Any) -> bool:
    """Whether a conditional write was ours; every other failure goes on as it is."""
    try:
        attempt()
    except FileExistsError:
        return False
    except OSError as error:
        reply = getattr(error.__cause__, "response", {})
        status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if reply.get("Error", {}).get("Code") in _CONFLICTS or status in (409, 412):
            return False
        raise
    return True


def _entry(item: Mapping[str, Any]) -> Entry:
    time = item.get("LastModified") or item.get("mtime") or item.get("created") or 0
    seconds = time.timestamp() if hasattr(time, "timestamp") else 0.0
    folder = item["type"] == "directory"
    return Entry(item["name"].rstrip("/").rpartition("/")[2], 0 if folder else int(item["size"]), seconds, folder)
