"""What this user has verified on this machine: which objects of which local pack file.

A mapped object need not be hashed again while its file is provably the one that was: same device, inode, size,
modification and change time, owned by this user, writable by nobody else, and last changed at least 0.1 s before
its verification began (a later change in the same tick of the clock, at most 10 ms, would leave the times as they
are). The memory is
one small file per pack in a per-user folder outside every repository; it is a cache, and damaged or foreign
files in it are ignored.

Byte format: "FRIDMEMO", five u64 (device, inode, size, mtime and ctime in nanoseconds), one bit per directory
entry, BLAKE3 of all that.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from pathlib import Path
from typing import Final

from friday_store.digest import SIZE, digest_of
from friday_store.errors import StorageError
from friday_store.storage.files import replace_private

_MAGIC: Final = b"FRIDMEMO"
_IDENTITY: Final = struct.Struct("<5Q")
_SETTLED: Final = 100_000_000


class Memo:
    """Verified objects of local packs.

    Args:
        folder: Where to keep it; None forgets at the end of the process.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held: dict[str, tuple[bytes, bytearray]] = {}

    def verified(self, name: str, count: int, found: os.stat_result) -> bytearray:
        """Return one bit per object of the pack: whether it was verified in this very file."""
        identity = _identity(found)
        if identity is None:
            return bytearray((count + 7) // 8)
        held = self._held.get(name)
        if held is None or held[0] != identity:
            held = (identity, self._stored(name, identity, count))
            self._held[name] = held
        return bytearray(held[1])

    def remember(self, name: str, bits: bytearray, found: os.stat_result, began: int) -> None:
        """Remember the objects that are verified now, if the file was at rest when that began.

        Args:
            name: The pack.
            bits: One bit per object.
            found: What the file was before the verification.
            began: When that was, in nanoseconds since 1970.
        """
        identity = _identity(found)
        if identity is None or found.st_ctime_ns > began - _SETTLED:
            return
        self._held[name] = (identity, bits)
        if self._folder is None:
            return
        body = _MAGIC + identity + bits
        with contextlib.suppress(StorageError):  # a cache that cannot be kept costs time, nothing else
            replace_private(self._folder / name, body + digest_of(body), durable=False)

    def _stored(self, name: str, identity: bytes, count: int) -> bytearray:
        nothing = bytearray((count + 7) // 8)
        if self._folder is None:
            return nothing
        try:
            handle = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return nothing
        with os.fdopen(handle, "rb") as file:
            if others_can_write(os.fstat(handle)):
                return nothing
            data = file.read(len(_MAGIC) + len(identity) + len(nothing) + SIZE + 1)
        body, digest = data[:-SIZE], data[-SIZE:]
        if len(body) != len(_MAGIC) + len(identity) + len(nothing) or digest_of(body) != digest:
            return nothing
        start = len(_MAGIC) + len(identity)
        return bytearray(body[start:]) if body[:start] == _MAGIC + identity else nothing


def _identity(found: os.stat_result) -> bytes | None:
    if others_can_write(found):
        return None
    return _IDENTITY.pack(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def others_can_write(found: os.stat_result) -> bool:
    """Whether anybody but this user could change a file, or is its owner."""
    return found.st_uid != os.geteuid() or bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
