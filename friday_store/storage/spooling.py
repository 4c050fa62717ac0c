"""Files too large to hold on their way to a store that takes them whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from friday_store.digest import Buffer
from friday_store.errors import StorageError

_HELD: Final = 8 << 20


class _Target(Protocol):
    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool: ...
    def put_file(self, local: Path, path: str, sent: Callable[[int], None] | None = None) -> bool: ...


class ObjectSpool:
    """Blocks kept in a local temporary file; up to 8 MiB of them go out as one request, more in parts."""

    def __init__(self, storage: _Target, folder: str) -> None:
        self.size = 0
        self.sent: Callable[[int], None] | None = None
        self._storage = storage
        self._path = folder
        with on_disk("the folder for temporary files"):
            self._file = tempfile.NamedTemporaryFile(prefix="friday-store-")  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # what could not be written before cannot be now, and nobody asks for it any more
        with contextlib.suppress(OSError):
            self._file.close()

    def write(self, blocks: Sequence[Buffer]) -> None:
        with on_disk(self._file.name):
            for block in blocks:
                self.size += self._file.write(block)

    def publish(self, name: str) -> bool:
        path = f"{self._path}/{name}".lstrip("/")
        with on_disk(self._file.name):
            self._file.flush()
        if self.size > _HELD:
            return self._storage.put_file(Path(self._file.name), path, self.sent)
        with on_disk(self._file.name):
            data = Path(self._file.name).read_bytes()
        created = self._storage.create(path, data)
        if created and self.sent is not None:
            self.sent(self.size)
        return created


@contextlib.contextmanager
def on_disk(what: Path | str) -> Iterator[None]:
    """Turn errors with local files on their way to a far store into :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else str(error)
        failed = StorageError(
            f"cannot use {what} on this machine: {said}",
            hint="a file waits there until it is sent; free some space, or set TMPDIR to a folder that has some",
        )
        failed.errno = error.errno
        raise failed from error
