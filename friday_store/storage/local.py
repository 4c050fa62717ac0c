"""A folder on a POSIX file system.

``create`` is: temporary file in the same folder, write, fsync, ``link`` to the final name (which fails if it
exists), unlink the temporary name, fsync the folder. So a name appears with all its bytes or not at all, and
stays after a power cut; a writer holds a lock on its temporary file, so that one whose writer was killed can be told
from one that is being written. fsspec's own local writes truncate in place and never fsync, and its exclusive mode
checks and then writes. Files are 0444 and folders 0700 whatever the umask says. Where the root has the setgid bit
it is shared: folders below it then have its mode (but nothing that all the world may write), and the lock and the
settings can be read by those who can enter it. Below the root no symbolic link is followed. Network file systems are as
good as their ``link`` and ``fsync``.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry
from friday_store.storage.files import (
    TEMPORARY,
    create_temporary,
    folder_mode,
    lock,
    private_folder,
    readable_mode,
    refuse,
    sync,
)

_GATHER: Final = min(os.sysconf("SC_IOV_MAX"), 1024)
_LONG: Final = 24 * 3600.0
_TURN: Final = 10.0
_FLUSH: Final = 32 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStorage:
    """The files below one local folder; see the module for what is promised."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def __repr__(self) -> str:
        return f"LocalStorage({self.url!r})"

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:
        folder, _, name = path.rpartition("/")
        with self.spool(folder) as spool:
            spool.write([data] if isinstance(data, bytes | bytearray | memoryview) else data)
            return spool.publish(name)

    def spool(self, folder: str) -> LocalSpool:
        return LocalSpool(self, folder)

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        with self.mapped_errors("read", path):
            try:
                os.lstat(f"{self.url}/{path}")  # one call where there is nothing, as after the newest log entry
                handle = self.open(path)
            except FileNotFoundError:
                return None
            try:
                size = os.fstat(handle).st_size
                end = size if end is None else min(end, size)
                blocks = []
                while start < end and (block := os.pread(handle, end - start, start)):
                    blocks.append(block)
                    start += len(block)
                return b"".join(blocks) if len(blocks) != 1 else blocks[0]
            finally:
                os.close(handle)

    def list(self, folder: str) -> list[Entry]:
        with self.mapped_errors("list", folder):
            try:
                handle = self.folder(folder)
            except FileNotFoundError:
                return []
            try:
                with os.scandir(handle) as children:
                    found = [_entry(child) for child in children if not child.name.startswith(TEMPORARY)]
            finally:
                os.close(handle)
            return sorted(entry for entry in found if entry is not None)

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            folder, _, name = path.rpartition("/")
            with self.mapped_errors("delete", path), contextlib.suppress(FileNotFoundError):
                handle = self.folder(folder)
                try:
                    os.unlink(name, dir_fd=handle)
                finally:
                    os.close(handle)

    def stat(self, path: str) -> Entry | None:
        folder, _, name = path.rpartition("/")
        with self.mapped_errors("look at", path):
            try:
                handle = self.folder(folder)
            except FileNotFoundError:
                return None
            try:
                found = os.stat(name, dir_fd=handle, follow_symlinks=False)
            except FileNotFoundError:
                return None
            finally:
                os.close(handle)
            return Entry(name, found.st_size, found.st_mtime, stat.S_ISDIR(found.st_mode))

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Queue on a ``flock``, which the kernel takes from a dead holder; go on without it after ten seconds."""
        with self.mapped_errors("lock", "writers.lock"):
            handle = _lock_file(self.root)
        try:
            _wait(handle)
            yield
        finally:
            os.close(handle)

    def open(self, path: str) -> int:
        """Return a descriptor of a file opened for reading, following no link below the root."""
        folder, _, name = path.rpartition("/")
        handle = self.folder(folder)
        try:
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
        finally:
            os.close(handle)

    def folder(self, path: str, *, make: bool = False) -> int:
        """Return a descriptor of a folder below the root, following no link; made on the way if asked to."""
        if make:
            private_folder(self.root)
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mode = folder_mode(os.fstat(handle).st_mode) if make else 0
        for part in path.split("/") if path else ():
            above = handle
            try:
                handle = _child(above, part, mode)
            finally:
                os.close(above)
        return handle

    def strays(self) -> builtins.list[str]:
        """Return the temporary files that killed writers left, as paths relative to the root."""
        found = []
        for where, _, names in os.walk(self.root, followlinks=False):
            found += [str((Path(where) / name).relative_to(self.root)) for name in names if name.startswith(TEMPORARY)]
        return sorted(found)

    def abandoned(self, before: float | None = None, *, remove: bool) -> builtins.list[Entry]:
        """Return the temporary files that no living process is writing, by their paths relative to the root.

        On a file system without locks, those are the files that nobody has written to for a day.

        Args:
            before: Only those that were not written to since this time; None for all.
            remove: Whether to remove them.
        """
        found = []
        for path in self.strays():
            with self.mapped_errors("remove", path), contextlib.suppress(FileNotFoundError):
                entry = self._abandoned(path, before, remove=remove)
                if entry is not None:
                    found.append(entry)
        return found

    def _abandoned(self, path: str, before: float | None, *, remove: bool) -> Entry | None:
        above, _, name = path.rpartition("/")
        folder = self.folder(above)
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                found = os.fstat(handle)
                locked = lock(handle)
                if locked is None:
                    before = min(time.time() - _LONG, time.time() if before is None else before)
                if locked is False or (before is not None and found.st_mtime > before):
                    return None
                if remove:
                    os.unlink(name, dir_fd=folder)
                return Entry(path, found.st_size, found.st_mtime, folder=False)
            finally:
                os.close(handle)
        finally:
            os.close(folder)

    def set_aside(self, path: str, folder: str) -> None:
        """Move a file into a folder of what is out of use, under a name of its own; a missing file is passed over."""
        above, _, name = path.rpartition("/")
        with self.mapped_errors("move", path), contextlib.suppress(FileNotFoundError):
            aside = self.folder(folder, make=True)
            try:
                here = self.folder(above)
                try:
                    fresh = f"{path.replace('/', '-').removeprefix(TEMPORARY)}.{secrets.token_hex(4)}"
                    os.rename(name, fresh, src_dir_fd=here, dst_dir_fd=aside)
                    sync(aside)
                    sync(here)
                finally:
                    os.close(here)
            finally:
                os.close(aside)

    @contextlib.contextmanager
    def mapped_errors(self, verb: str, path: str) -> Iterator[None]:
        """Turn the system's errors into :class:`StorageError`."""
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            refuse(error, verb, f"{self.url}/{path}")


class LocalSpool:
    """A temporary file in the folder where it will be published.

    A thread sends every 32 MiB on to the disk while the next are being made and written; measured for 1 GiB, that
    takes 0.50 s where one fsync at the end takes 0.67 s. What the thread is told of failures is raised here, since
    the kernel tells it only once.
    """

    def __init__(self, storage: LocalStorage, folder: str) -> None:
        self.size = 0
        self.sent: Callable[[int], None] | None = None
        self._flushed = 0
        self._flusher: ThreadPoolExecutor | None = None
        self._flushing: Future[None] | None = None
        self._storage = storage
        self._path = folder
        self._name: str | None = TEMPORARY + secrets.token_hex(8)
        with storage.mapped_errors("write", folder):
            self._folder = storage.folder(folder, make=True)
            try:
                self._file = create_temporary(self._name, self._folder)
            except OSError:
                os.close(self._folder)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if self._flusher is not None:
                self._flusher.shutdown()
            self._forget()
        finally:
            os.close(self._file)
            os.close(self._folder)

    def write(self, blocks: Sequence[Buffer]) -> None:
        before = self.size
        with self._storage.mapped_errors("write", self._path):
            for first in range(0, len(blocks), _GATHER):
                self._gather(blocks[first : first + _GATHER])
            if self.size - self._flushed >= _FLUSH and (self._flushing is None or self._flushing.done()):
                self._flush()
        if self.sent is not None:
            self.sent(self.size - before)

    def _flush(self) -> None:
        self._settle()
        if self._flusher is None:
            self._flusher = ThreadPoolExecutor(1, thread_name_prefix="friday-flush")
        self._flushed = self.size
        self._flushing = self._flusher.submit(os.fdatasync, self._file)

    def _settle(self) -> None:
        """Wait for the thread, and raise what it was told."""
        if self._flushing is not None:
            self._flushing.result()

    def _gather(self, blocks: Sequence[Buffer]) -> None:
        wanted = sum(memoryview(block).nbytes for block in blocks)
        written = os.writev(self._file, blocks)
        self.size += written
        if written < wanted:
            self._rest(blocks, written)

    def _rest(self, blocks: Sequence[Buffer], done: int) -> None:
        """Write what a short ``writev`` left; one call moves at most 2 GiB on Linux."""
        for block in blocks:
            view = memoryview(block).cast("B")
            skipped = min(done, len(view))
            done -= skipped
            while skipped < len(view):
                moved = os.write(self._file, view[skipped:])
                if not moved:
                    raise OSError(errno.EIO, "nothing was written")
                skipped += moved
                self.size += moved

    def publish(self, name: str) -> bool:
        assert self._name is not None
        with self._storage.mapped_errors("write", f"{self._path}/{name}"):
            self._settle()
            os.fchmod(self._file, 0o444)
            sync(self._file)
            try:
                os.link(self._name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
            except FileExistsError:
                return False
            self._forget()
            sync(self._folder)
            return True

    def _forget(self) -> None:
        if self._name is not None:
            name, self._name = self._name, None
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder)


def _lock_file(root: Path) -> int:
    """Return a descriptor of the file on which writers queue; that of others can be locked where it can be read.

    It is not asked for with ``O_CREAT`` where it may be there: in a sticky folder Linux refuses that for others' files.
    """
    path, flags = root / "writers.lock", os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDWR | flags)
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o600)
            os.fchmod(handle, readable_mode(root))
            return handle
    return os.open(path, os.O_RDONLY | flags)


def _child(above: int, name: str, make: int) -> int:
    """Open a folder in another; with a mode to ``make`` it with, made if it is missing."""
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, make, dir_fd=above)
        if make != 0o700:  # whatever the umask says
            os.chmod(name, make, dir_fd=above)
        sync(above)
    return os.open(name, _FOLDER, dir_fd=above)


def _entry(child: os.DirEntry[str]) -> Entry | None:
    try:
        found = child.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    folder = child.is_dir(follow_symlinks=False)
    return Entry(child.name, 0 if folder else found.st_size, found.st_mtime, folder)


def _wait(handle: int) -> None:
    deadline = time.monotonic() + _TURN
    pause = 0.0005
    while time.monotonic() < deadline and lock(handle) is False:
        time.sleep(pause)
        pause = min(pause * 1.5, 0.01)
