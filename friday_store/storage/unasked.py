"""A far storage that is not asked: for what can be told from what is remembered of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from friday_store.digest import Buffer
from friday_store.errors import StorageError
from friday_store.storage import Entry, Spool


class Unasked:
    """It fulfils :class:`~friday_store.storage.Storage`, and every verb raises.

    Args:
        url: Where the storage is, without secrets.
        hint: How to ask it.
    """

    root: Path | None = None

    def __init__(self, url: str, hint: str) -> None:
        self.url = url
        self._hint = hint

    def __repr__(self) -> str:
        return f"Unasked({self.url!r})"

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:  # noqa: ARG002 - nothing is written
        self._refuse(path)

    def spool(self, folder: str) -> Spool:
        self._refuse(folder)

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:  # noqa: ARG002 - nothing is read
        self._refuse(path)

    def list(self, folder: str) -> list[Entry]:
        self._refuse(folder)

    def delete(self, paths: Iterable[str]) -> None:
        self._refuse(", ".join(paths))

    def stat(self, path: str) -> Entry | None:
        self._refuse(path)

    def turn(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def _refuse(self, path: str) -> NoReturn:
        raise StorageError(f"{self.url}/{path} is not remembered here, and was not asked for", hint=self._hint)
