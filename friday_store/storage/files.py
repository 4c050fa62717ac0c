"""A user's single files: whole or not there, private, locked.

A file that is made is written under a temporary name in the folder where it will be, synced, and put in its place at
once. Who writes holds a lock on the temporary file, so that one whose writer was killed can be told from one that is
being written. On file systems without locks everybody goes on at once.

A folder with the setgid bit is shared by a group, and what is made in it for all of them has modes that say so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from friday_store.digest import Buffer
from friday_store.errors import StorageError

TEMPORARY: Final = ".tmp-"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCKLESS: Final = (errno.ENOLCK, errno.EOPNOTSUPP)


def private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, durably, for this user alone whatever the umask says.

    Raises:
        StorageError: It cannot be made.
    """
    missing = itertools.takewhile(lambda folder: not folder.exists(), (path, *path.parents))
    try:
        for folder in reversed(list(missing)):
            folder.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(PermissionError):  # a folder that can be searched and not read cannot be synced
                above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    sync(above)
                finally:
                    os.close(above)
    except OSError as error:
        refuse(error, "write", str(path))


def is_shared(folder: Path) -> bool:
    """Whether a folder is one that a group shares."""
    try:
        return bool(folder.stat().st_mode & stat.S_ISGID)
    except OSError:
        return False


def readable_mode(folder: Path) -> int:
    """Return the mode of a file of its owner's that all who can enter a shared folder may read, and nobody else."""
    mode = folder.stat().st_mode
    return 0o600 | (mode & 0o044 if mode & stat.S_ISGID else 0)


def folder_mode(above: int) -> int:
    """Return the mode of a folder in one of this mode: 0700, or the same if that one is shared."""
    return stat.S_IMODE(above) & ~stat.S_IWOTH | 0o700 if above & stat.S_ISGID else 0o700


def replace_private(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Put a small file of this user's in the place of another at once, through no link; its folder is made.

    Args:
        path: The file.
        data: Its bytes.
        durable: Whether it must be there after a power cut.
        mode: Who may read it.

    Raises:
        StorageError: It cannot be written, or a symbolic link stands in its folder's place.
    """
    if path.parent.is_symlink():
        refuse(OSError(errno.ELOOP, os.strerror(errno.ELOOP)), "write", str(path))
    try:
        private_folder(path.parent)
        temporary = path.with_name(TEMPORARY + secrets.token_hex(8))
        try:
            with os.fdopen(create_temporary(str(temporary)), "wb") as file:
                file.write(data)
                file.flush()
                if mode != 0o600:
                    os.fchmod(file.fileno(), mode)
                if durable:
                    sync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        refuse(error, "write", str(path))


def publish_file(path: Path, blocks: Iterable[Buffer], *, replace: bool = False) -> int:
    """Write a user's file that appears whole or not at all, and return its size; its mode is the umask's.

    Args:
        path: The file, whose folder is there.
        blocks: Its bytes.
        replace: Whether it may take the place of another.

    Raises:
        StorageError: It is there already, or cannot be written.
    """
    temporary = path.with_name(TEMPORARY + secrets.token_hex(8))
    try:
        with temporary.open("xb") as file:
            size = sum(file.write(block) for block in blocks)
            file.flush()
            sync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError as error:
        raise StorageError(f"{path} is there already", hint="name another file, or remove it") from error
    except OSError as error:
        refuse(error, "write", str(path))
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return size


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it; the kernel takes it from a holder that died.

    Args:
        path: A folder, or a file that is there for this; it and its folder are made if they are missing.

    Raises:
        StorageError: It cannot be locked: no permission, or a symbolic link stands in its place.
    """
    try:
        if path.is_dir():
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            private_folder(path.parent)
            handle = os.open(path, _LOCK, 0o600)
    except OSError as error:
        refuse(error, "lock", str(path))
    try:
        lock(handle, wait=True)
        yield
    finally:
        os.close(handle)


def create_temporary(name: str, folder: int | None = None) -> int:
    """Return a descriptor of a new temporary file that is locked, so that nobody takes it for an abandoned one."""
    while True:
        handle = os.open(name, _NEW, 0o600, dir_fd=folder)
        try:
            if lock(handle) is False:  # somebody looks whether it is abandoned: that ends, or the file is removed
                lock(handle, wait=True)
            if os.fstat(handle).st_nlink:
                return handle
        except BaseException:
            os.close(handle)
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise
        os.close(handle)


def lock(handle: int, *, wait: bool = False) -> bool | None:
    """Lock an open file or folder, and return whether that was possible; None where there are no locks.

    Raises:
        OSError: The system fails otherwise.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _LOCKLESS:
            raise
        return None
    return True


def sync(handle: int) -> None:
    """Send an open file or folder to the disk itself."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        fcntl.fcntl(handle, full)
    else:
        os.fsync(handle)


def refuse(error: OSError, verb: str, path: str) -> NoReturn:
    """Raise the :class:`StorageError` that says what the system refused, and what helps."""
    hints = {
        errno.ENOSPC: "free some space and run the command again; nothing was changed",
        errno.EDQUOT: "free some of your quota and run the command again; nothing was changed",
        errno.EROFS: "the file system is mounted read-only; reading commands work",
        errno.EACCES: "reading may work; to write, use a folder of your own",
        errno.EPERM: "the file system or its owner forbids it (hard links are needed)",
        errno.ELOOP: "a symbolic link stands where a file or folder of the repository should be; remove it",
        errno.ENOTDIR: "a file or a symbolic link stands where a folder of the repository should be; remove it",
    }
    if verb in ("delete", "move", "remove"):
        kept = "in a shared folder a file can be removed by its owner and the folder's alone; nothing was lost"
        hints |= {errno.EPERM: kept, errno.EACCES: kept}
    what = os.strerror(error.errno) if error.errno else str(error)
    refused = StorageError(f"cannot {verb} {path}: {what}", hint=hints.get(error.errno or 0))
    refused.errno = error.errno
    raise refused from error
