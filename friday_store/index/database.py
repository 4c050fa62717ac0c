"""One SQLite file in WAL mode, shared by threads and processes.

Durability is the log's business: the file is written without waiting for the disk, and comes back from the log
if a power cut takes it. A connection belongs to one process; after a fork the child opens its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from friday_store.errors import InvalidValueError, StorageError
from friday_store.index.engine import MOST_ROWS, DamagedIndexError, IndexFileError
from friday_store.index.schema import KEYS, NAMES, TABLES, VERSION
from friday_store.index.views import VIEWS

_APPLICATION: Final = 0x46524459
_PATIENCE: Final = 60.0
_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_UNUSABLE: Final = (
    "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_NOLFS", "SQLITE_NOMEM",
)  # fmt: skip
_BARRED: Final = ("load_extension", "fts3_tokenizer", "writefile", "readfile", "edit")
_DAMAGE: Final = ("SQLITE_IOERR_SHORT_READ", "SQLITE_READONLY_DBMOVED")
_UNSOUND: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", *_DAMAGE)
_EXCESS: Final = ("too many", "too large", "too complex", "parser stack overflow", "at most 64 tables")
_STEPS: Final = 10_000


class Database:
    """The index's file; the engine that there is without asking.

    Args:
        path: Where it is; None keeps it in memory.
        cache: The most bytes of pages to hold.
    """

    def __init__(self, path: Path | None, *, cache: int = 32 << 20) -> None:
        self.path = path
        self._cache = cache
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._file = 0
        self._lock = threading.RLock()

    @property
    def place(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}, {'in memory' if self.path is None else self.path}"

    @property
    def lasting(self) -> bool:
        return self.path is not None

    @contextlib.contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time, with the driver's errors translated.

        What SQLite refuses to compile because it is too much says nothing about the file; every other refusal of one of
        the package's own statements does.
        """
        with self._lock:
            try:
                yield self._connection()
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorname", "")
                if code == "SQLITE_ERROR" and any(word in str(error) for word in _EXCESS):
                    raise InvalidValueError(f"this is too much for one question: {error}") from error
                if code in _DAMAGE or not code.startswith((*_BUSY, *_UNUSABLE)):
                    raise DamagedIndexError(f"the index is damaged: {error}") from error
                kind = StorageError if code.startswith(_BUSY) else IndexFileError
                raise kind(f"cannot use the index {self.path}: {error}", hint=_hint(code)) from error
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                raise DamagedIndexError(f"the index is damaged: {error}") from error

    def rows(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query.

        Raises:
            InvalidValueError: SQLite cannot hold a value, or the query is too much for it.
        """
        with self.using() as connection:
            try:
                return connection.execute(sql, values).fetchall()
            except (UnicodeEncodeError, OverflowError) as error:
                raise InvalidValueError(f"no index can hold this value: {error}") from error

    def tables(self) -> list[tuple[str, str, list[str]]]:
        """Return name, kind and columns of each view and table."""
        with self.using() as connection:
            return [
                (name, kind, [row[1] for row in connection.execute(f"PRAGMA table_info({name})")])
                for kind, names in (("view", VIEWS), ("table", NAMES))
                for name in names
            ]

    def select(
        self, sql: str, values: Sequence[Any] = (), *, timeout: float | None = None, most: int = MOST_ROWS
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the columns and rows of a question that SQLite lets do nothing but read.

        It runs on a connection of its own, which cannot write (``mode=ro``; in memory, where there is one connection
        and others wait for it, ``query_only``), and whose authorizer denies every action but reading this file's
        tables: no PRAGMA, no ATTACH, no function that loads or writes. What a signal raises, such as Ctrl-C, ends it.

        Args:
            sql: One statement.
            values: For its marks.
            timeout: Seconds that it may take; None for any time.
            most: More rows than these are refused.

        Raises:
            InvalidValueError: It is no single statement that reads, SQLite refuses it, or it takes too much.
        """
        watch = _Watch(timeout)
        with self._reader() as connection:
            connection.set_authorizer(_reading)
            connection.set_progress_handler(watch.handler, _STEPS)
            try:
                cursor = connection.execute(sql, values)
                if cursor.description is None:
                    raise InvalidValueError("this is no question: it gives no rows", path="sql")
                rows = list(itertools.islice(cursor, most + 1))
            except (sqlite3.Error, sqlite3.Warning, UnicodeError, OverflowError, MemoryError) as error:
                code = getattr(error, "sqlite_errorname", "")
                if code == "SQLITE_INTERRUPT":
                    raise watch.reason() from error
                if code.startswith(_UNSOUND):
                    raise DamagedIndexError(f"the index is damaged: {error}") from error
                raise _refused(error) from error
            finally:
                connection.set_progress_handler(None, 0)
                connection.set_authorizer(None)
            if len(rows) > most:
                raise InvalidValueError(f"the answer has more than {most:,} rows", path="sql", hint="add a LIMIT")
            return [column[0] for column in cursor.description], rows

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for reading; others have to wait only where the index is in memory."""
        with contextlib.ExitStack() as held:
            if self.path is None:
                held.enter_context(self._lock)
            with self.using() as own:
                connection = own
                if self.path is not None:
                    if not self.path.exists():
                        raise DamagedIndexError("the index file is gone")
                    where = f"{self.path.absolute().as_uri()}?mode=ro"
                    connection = sqlite3.connect(where, uri=True, timeout=_PATIENCE, isolation_level=None)
                    held.callback(connection.close)
                # opens the file, and makes both functions known, which the authorizer would take for making tables
                connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").fetchall()
            if self.path is None:
                connection.execute("PRAGMA query_only = ON")
                held.callback(lambda: connection.execute("PRAGMA query_only = OFF"))
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let this thread see one state of the file within a block, whatever other processes write; others wait."""
        with self._lock:
            with self.using() as connection:
                connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._opened is not None and self._opened[1] is connection and connection.in_transaction:
                    with self.using():
                        connection.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one write transaction; nothing of it stays if it raises."""
        with self.using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def create(self) -> None:
        """Make the tables in an empty file; do nothing if they are there.

        Raises:
            DamagedIndexError: The file is another one's, or of another schema.
        """
        with self.transaction() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if (version, application) == (VERSION, _APPLICATION):
                return
            if tables or version or application:
                raise DamagedIndexError("the index file is of another program or release")
            for statement in TABLES:
                connection.execute(statement)
            for name, text in VIEWS.items():
                connection.execute(f"CREATE VIEW {name} AS {text}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")

    @contextlib.contextmanager
    def renewal(self) -> Iterator[bool]:
        """Close the file, and keep other processes from making it anew in the block.

        Gives whether another process has made a new file since this one opened its own.
        """
        with self._lock:
            before = self._file
            self.close()
            if self.path is None:
                yield False
                return
            try:
                handle = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise IndexFileError(f"cannot make the index {self.path}: {error.strerror}") from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield 0 not in (before, now := _inode(self.path)) and before != now
            finally:
                os.close(handle)

    def clear(self) -> None:
        """Remove the file and what belongs to it; the next use makes a new one."""
        with self._lock:
            self.close()
            if self.path is not None:
                try:
                    for suffix in ("", "-wal", "-shm", "-journal"):
                        self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                except OSError as error:
                    raise IndexFileError(f"cannot remove the index {self.path}: {error.strerror}") from error

    def dump(self) -> Iterator[str]:
        """Iterate over all rows of all tables as text, in key order: equal indexes give equal dumps."""
        for name in NAMES:
            with self.using() as connection:
                found = connection.execute(f"SELECT * FROM {name} ORDER BY {', '.join(KEYS[name])}")  # noqa: S608
                yield from (f"{name}{row!r}" for row in found.fetchall())

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close this process's connection; the next use opens a new one."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None or self._opened[0] != os.getpid():
            where = ":memory:" if self.path is None else str(self._private(self.path))
            connection = sqlite3.connect(where, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            self._opened = (os.getpid(), connection)
            self._file = _inode(self.path)
            if self.path is not None:
                _use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{self._cache >> 10}")
            connection.execute("PRAGMA temp_store = MEMORY")
        return self._opened[1]

    def _private(self, path: Path) -> Path:
        """Make the file, since SQLite would make it readable by others and would follow a link to make it elsewhere."""
        if path.is_symlink():
            raise DamagedIndexError("the index is a symbolic link")
        with contextlib.suppress(OSError):  # it is there, or SQLite will say why it cannot be
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        return path


class _Watch:
    """Looks in on a question of anybody's while it runs: SQLite alone would hear no signal before the end.

    Attributes:
        handler: For ``set_progress_handler``: not 0 ends the question. It is a generator's, since what a signal raises
            when a plain function is called comes up before the function's first ``try``, and the driver drops it.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._until = None if timeout is None else time.monotonic() + timeout
        self._raised: BaseException | None = None
        self._looks = self._looking()
        self.handler = self._looks.__next__
        if self.handler():
            raise self.reason()

    def _looking(self) -> Iterator[int]:
        try:
            while self._until is None or time.monotonic() < self._until:
                yield 0
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the reason
            self._raised = error
        while True:
            yield 1

    def reason(self) -> BaseException:
        """Return why the question was ended."""
        if self._raised is not None:
            return self._raised
        return InvalidValueError(f"SQL: not answered within {self._timeout} seconds", path="sql")


def _reading(action: int, _first: str | None, second: str | None, *_: str | None) -> int:
    """Let SQLite compile what reads, and nothing else."""
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if second in _BARRED else sqlite3.SQLITE_OK
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _refused(error: Exception) -> InvalidValueError:
    text = str(error) or "this takes more memory than there is"
    if "not authorized" in text or "prohibited" in text or "readonly" in text:
        text = "only questions are allowed: the index is a mirror, and nothing is written into it"
    return InvalidValueError(f"SQL: {text}", path="sql", hint="friday-store query --tables")


def _inode(path: Path | None) -> int:
    try:
        return 0 if path is None else path.lstat().st_ino
    except OSError:
        return 0


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; SQLite does not wait for others who do the same, so this does."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _hint(code: str) -> str | None:
    if code == "SQLITE_FULL":
        return "free some space and run the command again; nothing was changed"
    if code.startswith("SQLITE_READONLY") or code == "SQLITE_CANTOPEN":
        return "the folder of the index cannot be written"
    if code == "SQLITE_BUSY":
        return "another process has held the index for a minute; run the command again"
    return None
