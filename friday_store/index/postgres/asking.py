"""Anybody's question in SQL, on a connection of its own, which the server lets do nothing but read.

The transaction is read-only, which no statement in it can undo, and is never committed. The question runs inside the
function ``ask``, whose owner's rights it has, and within which PostgreSQL lets nobody change roles: where the index was
made by a superuser, that owner is the role ``friday_store_reader``, which may read the index and no more; else it is
whoever made the index, whom the server lets read no file. It is one statement, because it is first sent to be
described, by the protocol that takes one; that also tells the columns. It ends after a time, five minutes unless the
caller says less or more, so what sleeps only keeps its own caller waiting.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus

from friday_store.errors import InvalidValueError
from friday_store.index.postgres import wire

LONGEST: Final = 300.0
_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout TO {milliseconds}"
_MOST_MILLISECONDS: Final = (1 << 31) - 1
_BARRED: Final = ("25006", "42501")


def ask(
    connection: psycopg.Connection[Any], question: str, values: Sequence[Any], *, timeout: float | None, most: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and rows of a question.

    Args:
        connection: One that nobody else uses, and that is closed afterwards.
        question: One statement.
        values: For its marks.
        timeout: Seconds that it may take; None for :data:`LONGEST`.
        most: More rows than these are refused.

    Raises:
        InvalidValueError: It is no single statement that reads, the server refuses it, or it takes too much.
    """
    seconds = LONGEST if timeout is None else timeout
    milliseconds = min(max(1, round(1000 * seconds)), _MOST_MILLISECONDS)
    with _ended(connection), _told(seconds):
        connection.execute(_READING.format(milliseconds=milliseconds))  # type: ignore[arg-type]
        text = wire.filled(question, values, connection)
        names, types = _described(connection, text)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(f"c{place}"), sql.SQL(kind))  # type: ignore[arg-type]
            for place, kind in enumerate(types)
        )
        asked = sql.SQL("SELECT * FROM ask($1, $2) AS answer ({})").format(columns)
        rows = connection.execute(asked, (wire.Verbatim(text), min(most, 1 << 62))).fetchall()
    if len(rows) > most:
        raise InvalidValueError(f"the answer has more than {most:,} rows", path="sql", hint="add a LIMIT")
    return names, rows


def _described(connection: psycopg.Connection[Any], text: str) -> tuple[list[str], list[str]]:
    """Return the names and the types of a question's columns, without running it."""
    if "\0" in text:
        raise InvalidValueError("SQL: a statement has no zero byte", path="sql")
    prepared = connection.pgconn.prepare(b"", text.encode())
    if prepared.status != ExecStatus.COMMAND_OK:
        said = prepared.error_field(DiagnosticField.MESSAGE_PRIMARY) or b""
        raise refused(said.decode(errors="replace"), (prepared.error_field(DiagnosticField.SQLSTATE) or b"").decode())
    found = connection.pgconn.describe_prepared(b"")
    if not found.nfields:
        raise InvalidValueError("this is no question: it gives no rows", path="sql")
    names = [(found.fname(place) or b"").decode(errors="replace") for place in range(found.nfields)]
    oids = [(found.ftype(place), found.fmod(place)) for place in range(found.nfields)]
    types = [connection.execute("SELECT format_type(CAST($1 AS oid), CAST($2 AS int))", oid).fetchone() for oid in oids]
    return names, [str(one[0]) for one in types if one is not None]


def refused(said: str, code: str) -> InvalidValueError:
    """Return the error of a question that the server will not answer."""
    if code in _BARRED or "security-definer" in said:
        said = f"only questions are allowed: the index is a mirror, and nothing is written into it ({said})"
    return InvalidValueError(f"SQL: {said}", path="sql", hint="friday-store query --tables")


@contextlib.contextmanager
def _told(seconds: float) -> Iterator[None]:
    """Translate the server's errors."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise InvalidValueError(f"SQL: not answered within {seconds:g} seconds", path="sql") from error
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error)
        raise refused(" ".join(said.split()), error.sqlstate or "") from error
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise refused(str(error), "") from error


@contextlib.contextmanager
def _ended(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """End on the server what a signal ended here."""
    try:
        yield
    except BaseException:
        if not connection.closed and connection.info.transaction_status == TransactionStatus.ACTIVE:
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=2)
        raise
