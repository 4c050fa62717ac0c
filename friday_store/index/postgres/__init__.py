"""The index on a PostgreSQL server, shared by the machines of a team.

One connection for each process, opened when it is first needed; a connection of its own for each of anybody's
questions (:mod:`~friday_store.index.postgres.asking`). What a process applies is one transaction under an advisory
lock of the repository, so any number of processes may write, and nobody sees half of it. To make the index anew fills
a second schema beside the first, and renames both at the end: readers go on in the old one meanwhile. Who holds a
snapshot holds that renaming up, since PostgreSQL's snapshots do not cover names.

A connection that is lost (the server restarted, somebody ended it) is opened again, for half a minute if need be; what
was under way is then :class:`~friday_store.index.engine.LostIndexError`, and has left nothing. Commits do not wait for
the server's disk: a crash of the server takes the last few, and they come back from the log.

Needs ``psycopg`` (``pip install 'friday-store[postgres]'``), PostgreSQL 14 or later with a database in UTF-8, and one
role for all who share the index, which may create schemas there; any pooling must be by session.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import conninfo, sql
from psycopg.pq import TransactionStatus

from friday_store.errors import InvalidValueError, StorageError
from friday_store.index.engine import MOST_ROWS, DamagedIndexError, IndexFileError, LostIndexError
from friday_store.index.postgres import asking, wire
from friday_store.index.postgres.schema import COMMENT, statements
from friday_store.index.schema import KEYS, NAMES
from friday_store.index.server import Server
from friday_store.index.views import VIEWS

__all__ = ["Postgres"]

_LOGGER: Final = logging.getLogger(__name__)
_PATIENCE: Final = 30.0
_CONNECTING: Final = {"connect_timeout": 10, "application_name": "friday-store", "keepalives_idle": 30}
_OLDEST: Final = 140_000
_MANY: Final = 5000
_SESSION: Final = """
SET search_path TO {schema}, pg_catalog; SET synchronous_commit TO off; SET jit TO off;
SET random_page_cost TO 1.1;
SET client_min_messages TO warning; SET statement_timeout TO 0; SET idle_in_transaction_session_timeout TO 0
"""
_WRITING: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout TO '60s'; SELECT pg_advisory_xact_lock({lock})
"""
_READING: Final = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout TO '60s';
SELECT pg_advisory_xact_lock_shared({swap})
"""
_RENAMING: Final = "SET LOCAL lock_timeout TO '600s'; SELECT pg_advisory_xact_lock({swap})"
_SCHEMA: Final = "SELECT oid, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = ?"
_COLUMNS: Final = """
SELECT attname FROM pg_attribute WHERE attrelid = CAST(? AS regclass) AND attnum > 0 AND NOT attisdropped
AND attgenerated = '' ORDER BY attnum
"""
_UNUSABLE: Final = ("25006", "42501", "0A000")
_UNUSABLE_CLASSES: Final = ("08", "28", "3D", "53", "54", "57", "58")


class Postgres:
    """The index's schema on a server.

    Args:
        server: Where.
        repository: The repository's id.
    """

    def __init__(self, server: Server, repository: str) -> None:
        self._server = server
        key = uuid.UUID(repository or "00000000-0000-0000-0000-000000000000")
        self._schema = f"friday_store_{key.hex}"
        self._locks = {
            "lock": int.from_bytes(key.bytes[:8], signed=True),
            "swap": int.from_bytes(key.bytes[8:], signed=True),
        }
        self._opened: tuple[int, psycopg.Connection[Any]] | None = None
        self._inherited: list[psycopg.Connection[Any]] = []
        self._reached = False
        self._made = 0
        self._next = ""
        self._renewing: psycopg.Connection[Any] | None = None
        self._lock = threading.RLock()

    @property
    def place(self) -> str:
        """The server's release and URL, and the schema."""
        with contextlib.suppress(IndexFileError), self.using() as connection:
            release = str(connection.info.parameter_status("server_version")).split()[0]
            return f"PostgreSQL {release}, {self._server.place}, schema {self._schema}"
        return f"PostgreSQL, not reached, {self._server.place}, schema {self._schema}"

    @property
    def lasting(self) -> bool:
        return True

    @contextlib.contextmanager
    def using(self, *, question: bool = False) -> Iterator[psycopg.Connection[Any]]:
        """Give the connection to one thread at a time, with the driver's errors translated."""
        with self._lock:
            connection = self._connection()
            try:
                yield connection
            except psycopg.Error as error:
                raise self._translated(error, connection, question=question) from error
            except (UnicodeEncodeError, OverflowError) as error:
                raise InvalidValueError(f"no index can hold this value: {error}") from error

    def rows(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        assert not isinstance(values, Mapping)
        with self.using(question=True) as connection, self._saved(connection):
            return wire.Session(connection).execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _saved(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Let what fails while the index is made anew end nothing but itself."""
        if self._renewing is None:
            yield
            return
        connection.execute("SAVEPOINT question")
        try:
            yield
        except psycopg.Error:
            if not connection.closed:
                connection.execute("ROLLBACK TO SAVEPOINT question")
            raise
        connection.execute("RELEASE SAVEPOINT question")

    def select(
        self, sql: str, values: Sequence[Any] = (), *, timeout: float | None = None, most: int = MOST_ROWS
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        found = self.rows(_SCHEMA, (self._schema,))
        if not found or found[0][1] != COMMENT:
            raise DamagedIndexError("the index is gone from the server")
        connection = self._connected()
        try:
            return asking.ask(connection, sql, values, timeout=timeout, most=most)
        finally:
            connection.close()

    def tables(self) -> list[tuple[str, str, list[str]]]:
        return [
            (name, kind, [str(column) for (column,) in self.rows(_COLUMNS, (name,))])
            for kind, names in (("view", VIEWS), ("table", NAMES))
            for name in names
        ]

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._lock:
            with self.using() as connection:
                connection.execute(_READING.format(**self._locks))
            try:
                yield
            finally:
                if self._opened is not None and self._opened[1] is connection and _within(connection):
                    with self.using():
                        connection.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[wire.Session]:
        with self.using() as connection:
            session = wire.Session(connection)
            if self._renewing is connection:
                yield session
                return
            try:
                connection.execute(_WRITING.format(**self._locks))
                yield session
                if session.written > _MANY:
                    connection.execute("; ".join(f"ANALYZE {name}" for name in NAMES))
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise

    def create(self) -> None:
        """Make the schema where there is none.

        Raises:
            DamagedIndexError: It is of another release or program.
        """
        schema = self._next or self._schema
        if self._sound(self.rows(_SCHEMA, (schema,))):
            return
        with self.transaction() as session:
            if self._sound(session.execute(_SCHEMA, (schema,)).fetchall()):
                return
            superuser = session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            session.execute(f"SET LOCAL search_path TO {schema}, pg_catalog")
            for statement in statements(schema, reader=bool(superuser and superuser[0])):
                session.execute(statement)
        if not self._next:
            self._sound(self.rows(_SCHEMA, (schema,)))

    def _sound(self, found: Sequence[tuple[Any, ...]]) -> bool:
        """Whether a schema is there; remembers which."""
        if found and found[0][1] != COMMENT:
            raise DamagedIndexError("the index on the server is of another program or release")
        if found and not self._next:
            self._made = int(found[0][0])
        return bool(found)

    @contextlib.contextmanager
    def renewal(self) -> Iterator[bool]:
        with self._lock:
            before = self._made
            if self._opened is not None and self._opened[0] == os.getpid():
                _roll_back(self._opened[1])  # a snapshot that this thread holds would hold this up
            with self.transaction() as session:
                self._renewing = self._opened[1] if self._opened is not None else None
                try:
                    found = session.execute(_SCHEMA, (self._schema,)).fetchall()
                    yield 0 not in (before, now := int(found[0][0]) if found else 0) and before != now
                    if self._next:
                        self._exchange(session, int(found[0][0]) if found else 0)
                finally:
                    self._next, self._renewing = "", None
            self._sweep()

    def _exchange(self, session: wire.Session, before: int) -> None:
        """Put the schema that was just filled in the place of the one before it."""
        for name in NAMES:
            session.execute(f"ANALYZE {name}")
        session.execute("SET LOCAL lock_timeout TO '600s'")
        session.execute("SELECT pg_advisory_xact_lock(?)", (self._locks["swap"],))
        if before:
            session.execute(f"ALTER SCHEMA {self._schema} RENAME TO {self._schema}_{before}")
        session.execute(f"ALTER SCHEMA {self._next} RENAME TO {self._schema}")
        [(self._made, _)] = session.execute(_SCHEMA, (self._schema,)).fetchall()

    def _sweep(self) -> None:
        """Drop the schemas that others took the place of; what somebody still reads waits for the next time."""
        with contextlib.suppress(IndexFileError, StorageError, DamagedIndexError):
            pattern = f"^{self._schema}_[0-9]+$"
            for (name,) in self.rows("SELECT nspname FROM pg_namespace WHERE nspname ~ ?", (pattern,)):
                with self.transaction() as session:
                    session.execute("SET LOCAL lock_timeout TO '5s'")
                    session.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def clear(self) -> None:
        """Begin a second schema, which takes the place of the first when the renewal ends."""
        assert self._renewing is not None
        self._next = f"{self._schema}_next"
        with self.transaction() as session:
            session.execute(f"DROP SCHEMA IF EXISTS {self._next} CASCADE")
            session.execute(f"SET LOCAL search_path TO {self._next}, pg_catalog")

    def dump(self) -> Iterator[str]:
        for name, keys in KEYS.items():
            columns = ", ".join(str(column) for (column,) in self.rows(_COLUMNS, (name,)))
            found = self.rows(f"SELECT {columns} FROM {name} ORDER BY {', '.join(keys)}")  # noqa: S608 - fixed names
            yield from (f"{name}{row!r}" for row in found)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                pid, connection = self._opened
                if pid == os.getpid():
                    connection.close()
                else:
                    self._inherited.append(connection)
            self._opened = None

    def _connection(self) -> psycopg.Connection[Any]:
        if self._opened is not None and (self._opened[0] != os.getpid() or self._opened[1].closed):
            self.close()
        if self._opened is None:
            self._renewing = None
            self._opened = (os.getpid(), self._patiently())
        return self._opened[1]

    def _patiently(self) -> psycopg.Connection[Any]:
        """Return a new connection; where there was one before, wait for a server that is starting again."""
        until = time.monotonic() + (_PATIENCE if self._reached else 0)
        pause = 0.05
        while True:
            try:
                connection = self._connected()
            except LostIndexError as error:
                if time.monotonic() > until:
                    raise IndexFileError(error.message, hint=error.hint) from None
                time.sleep(pause)
                pause = min(2 * pause, 1.0)
            else:
                self._reached = True
                return connection

    def _connected(self) -> psycopg.Connection[Any]:
        """Return a new connection.

        Raises:
            LostIndexError: There is no server, or it is not ready; it may come.
            IndexFileError: The server refuses, or cannot do what is needed.
        """
        server = self._server
        try:
            named = conninfo.conninfo_to_dict(server.url)
            options = {**{name: value for name, value in _CONNECTING.items() if name not in named}, **server.options}
            connection = psycopg.connect(
                server.url,
                autocommit=True,
                cursor_factory=psycopg.RawCursor,
                **options,  # type: ignore[arg-type]
            )
        except psycopg.ProgrammingError:  # whose text may quote any part of the URL
            said = f"{server.place} is no address that PostgreSQL's client understands, or an option is unknown to it"
            raise IndexFileError(said, hint="friday-store index use --help") from None
        except psycopg.OperationalError as error:
            kind = IndexFileError if _refused(error) else LostIndexError
            said = server.clean(" ".join(str(error).split()))
            raise kind(f"cannot reach the index at {server.place}: {said}", hint="friday-store index show") from None
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Make a connection ready, if the server is one that can hold an index."""
        release, encoding = connection.info.server_version, connection.info.parameter_status("server_encoding")
        if release < _OLDEST or encoding != "UTF8":
            found = f"PostgreSQL {release // 10_000} in {encoding}"
            raise IndexFileError(f"{self._server.place} is {found}, and an index needs 14 in UTF8")
        wire.adapt(connection)
        connection.execute(sql.SQL(_SESSION).format(schema=sql.Identifier(self._schema)))

    def _translated(
        self, error: psycopg.Error, connection: psycopg.Connection[Any], *, question: bool
    ) -> StorageError | InvalidValueError | DamagedIndexError:
        code, said = error.sqlstate or "", self._server.clean(" ".join(str(error).split()))
        if connection.closed:
            return LostIndexError(f"the connection to the index at {self._server.place} was lost: {said}")
        if code[:2] in ("40", "25") and code != "25006":
            return LostIndexError(f"the index at {self._server.place} was busy: {said}")
        if code == "55P03":
            hint = "another process has held the index for a minute; run the command again"
            return StorageError(f"cannot use the index at {self._server.place}: {said}", hint=hint)
        if question and (code[:2] in ("22", "54") or not code):
            return InvalidValueError(f"this is too much for one question: {said}")
        if code in _UNUSABLE or code[:2] in _UNUSABLE_CLASSES:
            return IndexFileError(
                f"cannot use the index at {self._server.place}: {said}", hint="friday-store index show"
            )
        return DamagedIndexError(f"the index is damaged: {said}")


def _refused(error: psycopg.OperationalError) -> bool:
    """Whether a server answered that it will not have this client, now or later."""
    text = str(error)
    return "FATAL" in text and not any(word in text for word in ("starting up", "shutting down", "recovery"))


def _within(connection: psycopg.Connection[Any]) -> bool:
    return not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    """End a transaction; on a connection that is busy with something unfinished, end the connection."""
    if connection.closed or connection.info.transaction_status == TransactionStatus.IDLE:
        return
    if connection.info.transaction_status == TransactionStatus.ACTIVE:
        connection.close()
        return
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()
