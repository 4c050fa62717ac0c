"""Statements and values on their way to psycopg and back; the module that knows how they look there.

The package's statements mark values with ``?``; psycopg's raw cursor takes PostgreSQL's own ``$1``. Text goes with its
type, so that the server need not guess, and without zero bytes (see :mod:`~friday_store.index.postgres.schema`).
Numbers of unlimited precision, which sums and JSON have, come as ``int`` or ``float``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from psycopg import Connection, RawCursor, sql
from psycopg.adapt import Buffer, Loader
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper, TextLoader

_LITERAL: Final = re.compile(r"('(?:[^']|'')*')")
_TOKEN: Final = re.compile(
    r"""[eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
      | (\$(?:[^\W\d]\w*)?\$).*?\1 | \?""",
    re.VERBOSE | re.DOTALL,
)
_BULK: Final = re.compile(r"INSERT INTO (\w+) \(([\w, ]+)\) VALUES \([?, ]+\)")
_FACT: Final = "json_extract(m.details, ?)"
_FEW: Final = 4
_WHOLE: Final = range(-(1 << 63), 1 << 63)


@functools.lru_cache(maxsize=1024)
def numbered(statement: str) -> str:
    """Return one of the package's statements as PostgreSQL takes it: with numbered marks, and facts as ``jsonb``."""
    pieces, number = [], 0
    for place, piece in enumerate(_LITERAL.split(statement)):
        if place % 2:
            pieces.append(piece)
            continue
        dressed = piece.replace(_FACT, f'({_FACT} COLLATE "C")').replace("(m.details,", "(m.facts,")
        first, *rest = dressed.split("?")
        pieces.append(first)
        for each in rest:
            number += 1
            pieces.append(f"${number}{each}")
    return "".join(pieces)


def filled(question: str, values: Sequence[Any], connection: Connection[Any]) -> str:
    """Return anybody's question with the values in the place of its ``?``, quoted by the driver.

    Raises:
        ValueError: There are more or fewer marks than values.
    """
    if not values:
        return question
    left = list(values)
    pieces, end = [], 0
    for mark in _marks(question):
        if not left:
            raise ValueError("there are more marks than values")
        pieces += [question[end:mark], sql.Literal(left.pop(0)).as_string(connection)]
        end = mark + 1
    if left:
        raise ValueError("there are more values than marks")
    return "".join([*pieces, question[end:]])


def _marks(question: str) -> Iterator[int]:
    """Iterate over the places of ``?`` outside of literals, names and comments."""
    return (found.start() for found in _TOKEN.finditer(question) if found[0] == "?")


class Session:
    """A connection within a transaction, for the writer: SQLite's two methods.

    Attributes:
        written: How many rows were inserted.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self.written = 0

    def execute(self, statement: str, values: Sequence[Any] = ()) -> RawCursor[Any]:
        """Run one of the package's statements."""
        cursor = RawCursor(self._connection)
        return cursor.execute(numbered(statement), tuple(values))  # type: ignore[arg-type]

    def executemany(self, statement: str, rows: Any) -> None:
        """Run one of the package's statements for each row; many plain ones go as one stream."""
        listed = list(rows)
        self.written += len(listed)
        bulk = _BULK.fullmatch(statement) if len(listed) > _FEW else None
        if bulk is None:
            for row in listed:
                self.execute(statement, row)
            return
        with RawCursor(self._connection).copy(f"COPY {bulk[1]} ({bulk[2]}) FROM STDIN") as stream:  # type: ignore[arg-type]
            for row in listed:
                stream.write_row(row)


class Verbatim(str):
    """Text that goes as it is."""

    __slots__ = ()


class _Text(StrDumper):
    """Text without zero bytes."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(escaped(obj))


class _TextBack(TextLoader):
    """Text as it was."""

    def load(self, data: Buffer) -> str | bytes:
        found = super().load(data)
        return unescaped(found) if isinstance(found, str) and "\1" in found else found


class _Number(Loader):
    """A whole number that SQLite could hold as such; every other as a fraction."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        whole = int(text) if text.lstrip("-").isdecimal() else None
        return whole if whole is not None and whole in _WHOLE else float(text)


def escaped(text: str) -> str:
    r"""Return a text with ``\x01\x01`` for a zero byte, and ``\x01\x02`` for ``\x01``."""
    if "\0" in text or "\1" in text:
        return text.replace("\1", "\1\2").replace("\0", "\1\1")
    return text


def unescaped(text: str) -> str:
    """Return what :func:`escaped` was given."""
    return re.sub("\1([\1\2])", lambda found: "\0" if found[1] == "\1" else "\1", text)


def adapt(connection: Connection[Any]) -> None:
    """Let a connection write and read values so."""
    connection.adapters.register_dumper(str, _Text)
    connection.adapters.register_dumper(Verbatim, StrDumper)
    connection.adapters.register_dumper(int, _Whole)
    for name in ("text", "varchar", "bpchar"):
        connection.adapters.register_loader(name, _TextBack)
    connection.adapters.register_loader("numeric", _Number)


class _Whole(Int8Dumper):
    """A whole number as the widest, so that one statement has one plan whatever the number is."""

    def dump(self, obj: Any) -> Buffer | None:
        if obj not in _WHOLE:
            raise OverflowError("a whole number has at most 64 bits")
        return super().dump(obj)
