"""A far storage of which this disk keeps what is asked for again and again and never changes.

That is the end of each pack (metadata section, directory, trailer) and, where asked for, each log entry. A kept file
is thrown away when it does not match its checksum, and those that were not used for longest go first when all of them
take more than a gibibyte. Everything kept is verified by who reads it, as if it came from afar.

Byte format of a kept end of a file: "FRIDKEPT", u64 where it starts, u64 the file's size, the bytes, BLAKE3 of all.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from friday_store.digest import SIZE, Buffer, digest_of
from friday_store.errors import StorageError
from friday_store.storage import Entry, Spool, Storage
from friday_store.storage.files import replace_private

_MAGIC: Final = b"FRIDKEPT"
_HEADER: Final = struct.Struct("<8sQQ")
_LONGEST: Final = 64 << 20
_LIMIT: Final = 1 << 30
_OFTEN: Final = 64


class _End(NamedTuple):
    """A kept end of a file: where in the file it starts, the file's size, and where the bytes are.

    Other processes replace what is kept, perhaps by an end that starts elsewhere, so ``identity`` says which file it
    was that was checked: inode, size and time of change.
    """

    start: int
    size: int
    path: Path
    identity: tuple[int, int, int]

    def read(self, start: int, end: int | None) -> bytes:
        """Return bytes of the file from ``start``, which is kept.

        Raises:
            OSError: What is kept is gone, or another one.
        """
        stop = self.size if end is None else min(end, self.size)
        with _opened(self.path) as file:
            if _identity(file) != self.identity:
                raise FileNotFoundError(f"{self.path} is another one now")
            file.seek(_HEADER.size + start - self.start)
            return file.read(max(0, stop - start))


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _identity(file: BinaryIO) -> tuple[int, int, int]:
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


class Kept:
    """A far storage with a memory; it fulfils :class:`~friday_store.storage.Storage`.

    Args:
        far: The storage.
        folder: Where to keep; of this storage alone.
        entries: Whether to keep log entries too. Who does must compare the newest with :attr:`far` first: a log that
            was rolled back would not be noticed otherwise.
    """

    root: Path | None = None

    def __init__(self, far: Storage, folder: Path, *, entries: bool = False) -> None:
        self.far = far
        self._folder = folder
        self._entries = entries
        self._ends: dict[str, _End] = {}
        self._written = 0

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        return self.far.url

    def __repr__(self) -> str:
        return f"Kept({self.far!r})"

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:
        made = self.far.create(path, data)
        if made and self._entries and path.startswith("log/"):
            blocks = [data] if isinstance(data, bytes | bytearray | memoryview) else data
            self.keep(path, 0, blocks)
        return made

    def spool(self, folder: str) -> Spool:
        return self.far.spool(folder)

    def list(self, folder: str) -> list[Entry]:
        return self.far.list(folder)

    def delete(self, paths: Iterable[str]) -> None:
        listed = list(paths)
        self.far.delete(listed)
        for path in listed:
            self._ends.pop(path, None)
            with contextlib.suppress(OSError):  # what cannot be removed goes when room is needed
                self._place(path).unlink()

    def stat(self, path: str) -> Entry | None:
        return self.far.stat(path)

    def turn(self) -> AbstractContextManager[None]:
        return self.far.turn()

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        if path.startswith("packs/"):
            return self._pack(path, start, end)
        if self._entries and path.startswith("log/") and start == 0 and (end is None or end > _LONGEST):
            return self._entry(path, end)
        return self.far.read(path, start, end)

    def keep(self, path: str, start: int, blocks: Sequence[Buffer]) -> None:
        """Keep the end of a file that was just written: it starts at ``start`` and is these blocks."""
        self._keep(path, start, b"".join(bytes(block) for block in blocks))

    def kept_from(self, path: str) -> int | None:
        """Return from where on a file is kept to its end; None if it is not."""
        known = self._known(path)
        return None if known is None else known.start

    def _entry(self, path: str, end: int | None) -> bytes | None:
        known = self._known(path)
        if known is not None:
            with self._replaceable(path):
                return known.read(0, None)
        data = self.far.read(path, 0, end)
        if data is not None:
            self._keep(path, 0, data)
        return data

    def _pack(self, path: str, start: int, end: int | None) -> bytes | None:
        known = self._known(path)
        if known is not None:
            with self._replaceable(path):
                if start >= known.start:
                    return known.read(start, end)
                if (end is None or end >= known.start) and known.size - start <= _LONGEST:
                    return self._lengthened(path, known, start, end)
            return self.far.read(path, start, end)
        data = self.far.read(path, start, end)
        if data is not None and (end is None or len(data) < end - start):
            self._keep(path, start, data)
        return data

    @contextlib.contextmanager
    def _replaceable(self, path: str) -> Iterator[None]:
        """Pass over what another process has just removed or replaced."""
        try:
            yield
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            self._ends.pop(path, None)

    def _lengthened(self, path: str, known: _End, start: int, end: int | None) -> bytes | None:
        """Return bytes that begin before what is kept and reach into it, and keep from there on."""
        rest = known.read(known.start, None)
        more = self.far.read(path, start, known.start)
        if more is None or len(more) != known.start - start:
            return more
        self._keep(path, start, more + rest)
        return (more + rest)[: None if end is None else end - start]

    def _keep(self, path: str, start: int, data: bytes) -> None:
        if len(data) > _LONGEST:
            return
        target = self._place(path)
        size = start + len(data)
        body = _HEADER.pack(_MAGIC, start, size) + data
        with contextlib.suppress(StorageError):  # what cannot be kept is asked for again
            replace_private(target, body + digest_of(body), durable=False)
            self._ends.pop(path, None)
            if self._written % _OFTEN == 0:
                self._tidy()
            self._written += 1

    def _known(self, path: str) -> _End | None:
        found = self._ends.get(path)
        target = self._place(path)
        try:
            if self._folder.is_symlink():
                return None
            with _opened(target) as file:
                if found is not None and _identity(file) == found.identity:
                    return found
                with contextlib.suppress(OSError):
                    os.utime(file.fileno())
                identity = _identity(file)
                data = file.read()
        except OSError:
            return None
        body, seal = data[:-SIZE], data[-SIZE:]
        if len(body) < _HEADER.size or digest_of(body) != seal:
            target.unlink(missing_ok=True)
            return None
        magic, start, size = _HEADER.unpack_from(body)
        if magic != _MAGIC or size - start != len(body) - _HEADER.size:
            target.unlink(missing_ok=True)
            return None
        self._ends[path] = _End(start, size, target, identity)
        return self._ends[path]

    def _place(self, path: str) -> Path:
        return self._folder / path.replace("/", "-")

    def _tidy(self) -> None:
        """Remove what was not used for longest, down to the limit."""
        with contextlib.suppress(OSError):
            found = sorted(
                ((stat.st_mtime, stat.st_size, child) for child in self._folder.iterdir() if (stat := child.stat())),
                reverse=True,
            )
            total = 0
            for _, size, child in found:
                total += size
                if total > _LIMIT:
                    child.unlink(missing_ok=True)
