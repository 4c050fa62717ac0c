"""ZIP archives of members that are stored as they are: what the native files of many formats are.

For authors of formats. Reading gives each member where it lies in the file, so nothing is inflated, copied or held
twice, and a small file cannot become a big one. Writing gives blocks, the members' own bytes among them, with one
fixed date: equal members in equal order give equal bytes.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from friday_store.errors import SerializationError

Block = bytes | memoryview

_HEAD: Final = struct.Struct("<4s22xHH")  # https://pkware.cachefly.net/webdocs/APPNOTE/APPNOTE-6.3.10.TXT, 4.3.7
_MARK: Final = b"PK\x03\x04"
_SHOWN: Final = 80
_DAMAGE: Final = (
    zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, IndexError, struct.error, OverflowError,
)  # fmt: skip


def members(data: memoryview, *, checked: bool = True) -> dict[str, memoryview]:
    """Return the members of an archive by name, in its order, as views of ``data``; folders are left out.

    Args:
        data: The file.
        checked: Whether to compute every member's CRC-32; without, what is recorded may be anything.

    Raises:
        SerializationError: It is no such archive, a member is compressed, encrypted or damaged, or two have one name.
    """
    try:
        with zipfile.ZipFile(io.BufferedReader(View(data))) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except _DAMAGE as error:
        raise SerializationError(f"not a ZIP archive: {error}") from error
    found = {info.filename: _member(data, info, checked=checked) for info in infos}
    if len(found) != len(infos):
        raise SerializationError("the archive has two members of one name")
    return found


def written(members: Mapping[str, Block]) -> Iterator[Block]:
    """Yield the blocks of an archive of some members, in their order; their own bytes are not copied."""
    target = _Blocks()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(data)
            yield from target.taken()
    yield from target.taken()


class View(io.RawIOBase):
    """A buffer as a file to read, without a copy of it."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data, self._at = data, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, target: Any) -> int:
        """Fill a buffer from here on, as far as there is something; return how many bytes."""
        some = self._data[self._at : self._at + len(target)]
        target[: len(some)] = some
        self._at += len(some)
        return len(some)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, which may lie behind the end; OSError before the beginning."""
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        if place < 0:
            raise OSError("before the beginning")
        self._at = place
        return place


def _member(data: memoryview, info: zipfile.ZipInfo, *, checked: bool) -> memoryview:
    name = info.filename[:_SHOWN]
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise SerializationError(f"{name!r} is compressed or encrypted in the archive")
    head = data[info.header_offset : info.header_offset + _HEAD.size]
    if len(head) != _HEAD.size or bytes(head[:4]) != _MARK:
        raise SerializationError(f"{name!r} has no header in the archive")
    _, named, more = _HEAD.unpack(head)
    start = info.header_offset + _HEAD.size + named + more
    found = data[start : start + info.file_size]
    if len(found) != info.file_size or (checked and zlib.crc32(found) != info.CRC):
        raise SerializationError(f"{name!r} is cut short or damaged in the archive")
    return found


class _Blocks:
    """A file that keeps what is written as blocks, which can be taken away; going back, it only writes one anew."""

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}
        self._at = 0

    def write(self, block: Block) -> int:
        if block:
            assert len(self._blocks.get(self._at, block)) == len(block)
            self._blocks[self._at] = block
            self._at += len(block)
        return len(block)

    def tell(self) -> int:
        return self._at

    def seek(self, place: int) -> int:
        self._at = place
        return place

    def flush(self) -> None:
        """There is nothing behind it."""

    def taken(self) -> list[Block]:
        blocks, self._blocks = list(self._blocks.values()), {}
        return blocks
