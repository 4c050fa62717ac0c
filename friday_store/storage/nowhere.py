"""A storage that keeps nothing: to find out how long a file would be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from friday_store.digest import Buffer
from friday_store.storage import Entry


class Nowhere:
    """It fulfils :class:`~friday_store.storage.Storage`: it takes everything, and has nothing."""

    url = "nowhere"
    root: Path | None = None

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:  # noqa: ARG002 - it is let go
        return True

    def spool(self, folder: str) -> _Spool:  # noqa: ARG002 - all folders are one
        return _Spool()

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:  # noqa: ARG002 - nothing is there
        return None

    def list(self, folder: str) -> list[Entry]:  # noqa: ARG002 - nothing is there
        return []

    def delete(self, paths: Iterable[str]) -> None:
        """Do nothing."""

    def stat(self, path: str) -> Entry | None:  # noqa: ARG002 - nothing is there
        return None

    def turn(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class _Spool:
    def __init__(self) -> None:
        self.size = 0
        self.sent: Callable[[int], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """There is nothing to discard."""

    def write(self, blocks: Sequence[Buffer]) -> None:
        self.size += sum(memoryview(block).nbytes for block in blocks)

    def publish(self, name: str) -> bool:  # noqa: ARG002 - it is let go
        return True
