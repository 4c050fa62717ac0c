"""What the index needs of a database, and what can be wrong with one.

Two engines do it: :class:`~friday_store.index.database.Database`, an SQLite file of this machine, and
:class:`~friday_store.index.postgres.Postgres`, a schema on a server that a team shares. Both hold the same rows, and
both are asked by the same SQL: it marks values with ``?``, uses ``glob``, ``json_type``, ``json_extract`` and
``json_each`` as SQLite has them, and nothing that only one of the two understands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from friday_store.errors import IntegrityError, StorageError

MOST_ROWS: Final = 1_000_000


class DamagedIndexError(IntegrityError):
    """The database is not a sound index of this repository; what is in it can be thrown away."""


class IndexFileError(StorageError):
    """The database cannot be used from here: no space, no permission, a failing disk or server; one in memory can."""


class LostIndexError(IndexFileError):
    """The connection to the database was lost, and nothing of what was being done has stayed; it can be done again."""


class Engine(Protocol):
    """One database with the tables of one index; for several threads, and safe beside other processes.

    Everything raises :class:`DamagedIndexError` where the tables are not what they should be, and
    :class:`IndexFileError` where they cannot be used.
    """

    @property
    def place(self) -> str:
        """What it is and where, for people; nothing in it is secret."""

    @property
    def lasting(self) -> bool:
        """Whether it outlives this process."""

    def rows(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one of the package's own questions."""

    def select(
        self, sql: str, values: Sequence[Any] = (), *, timeout: float | None = None, most: int = MOST_ROWS
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return columns and rows of anybody's question, which the database itself lets do nothing but read."""

    def tables(self) -> list[tuple[str, str, list[str]]]:
        """Return name, kind and columns of each view and table."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Let this thread see one state within a block, whatever other processes write; other threads wait."""

    def transaction(self) -> AbstractContextManager[Any]:
        """Give a connection (``execute``, ``executemany``) for a block that is one write transaction, and alone."""

    def create(self) -> None:
        """Make the tables where there are none."""

    def renewal(self) -> AbstractContextManager[bool]:
        """Keep other processes from making the index anew in a block; gives whether one just has."""

    def clear(self) -> None:
        """Remove all of it."""

    def dump(self) -> Iterator[str]:
        """Iterate over all rows of all tables as text, in key order: equal indexes give equal dumps."""

    def close(self) -> None:
        """Let go of it; the next use opens it again."""


def insert(table: str, columns: Iterable[str]) -> str:
    """Return the statement that inserts a row of positional values."""
    names = list(columns)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - fixed names
