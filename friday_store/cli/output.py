"""What goes to stdout: the same records as a table for people, as TSV, JSON, JSON lines or bare ids.

The format is what was asked for, else the table on a terminal and TSV elsewhere. TSV has no header unless
``--header`` asks for one; its columns are those of the table, or those that ``--fields`` names. JSON has every field of
a view; fields are added, never removed. Numbers that JSON cannot hold are the texts ``NaN``, ``Infinity`` and
``-Infinity``. All of it is written at once at the end, so that a command that fails has written nothing.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from friday_store.cli.session import Session
from friday_store.cli.text import clean, flat, plain

Record = Mapping[str, Any]
_UNBOUNDED: Final = 100_000
_SHARE: Final = 0.55
"""Of a table's width what a column that is cut last keeps for itself."""
_NARROW: Final = 20
"""Characters that a value gets at the least, however narrow the terminal is."""


@dataclass(frozen=True)
class Column:
    """A field as people see it.

    Attributes:
        field: Its name.
        title: What stands above it.
        show: Its value as text for people.
        flat: Its value as text in TSV.
        whole: Whether it is cut last where a table is too wide, since rows are told apart by it.
    """

    field: str
    title: str
    show: Callable[[Any], str] = plain
    flat: Callable[[Any], str] = flat
    whole: bool = False


@dataclass(frozen=True)
class View:
    """How the records of one kind are shown.

    Attributes:
        fields: Every field, in the order of JSON.
        columns: Those in a table and in TSV.
        id: The field that ``ids`` writes.
    """

    fields: tuple[str, ...]
    columns: tuple[Column, ...]
    id: str


def listing(
    session: Session,
    view: View,
    records: Iterable[Record],
    *,
    text: Callable[[Record], str] | None = None,
    paged: bool = False,
) -> None:
    """Write any number of records.

    Args:
        session: Which format and fields.
        view: What the records are.
        records: They.
        text: A record as a paragraph for people; None makes a table.
        paged: On a terminal, what is longer than it goes to the user's pager.

    Raises:
        UsageError: There is no such field.
    """
    columns = _columns(session, view)
    found = list(records)
    kind = chosen(session)
    cut = False
    if kind == "human" and (text is None or session.fields):
        lines, cut = _table(session, columns, found)
    elif kind == "human":
        assert text is not None
        lines = [text(record) for record in found]
    elif kind == "tsv":
        lines = ["\t".join(column.title for column in columns)] if session.header else []
        lines += ["\t".join(clean(column.flat(_at(record, column.field))) for column in columns) for record in found]
    elif kind == "ids":
        lines = [clean(flat(record[view.id])) for record in found]
    elif kind == "jsonl":
        lines = [_json(_picked(session, view, record)) for record in found]
    else:
        lines = [_json([_picked(session, view, record) for record in found], indent=2)]
    _write(session, lines, paged=paged)
    if cut:
        session.say("hint", session.again("--no-truncate"))


def single(
    session: Session,
    view: View,
    record: Record,
    *,
    text: Callable[[Record], str] | None = None,
    upright: bool = False,
    paged: bool = False,
) -> None:
    """Write one record: a JSON object, not a list.

    Args:
        session: Which format and fields.
        view: What the record is.
        record: It.
        text: The record as people read it; None makes a table of one row.
        upright: In TSV write one field a line, name and value.
        paged: On a terminal, what is longer than it goes to the user's pager.

    Raises:
        UsageError: There is no such field.
    """
    kind = chosen(session)
    if kind == "tsv" and upright:
        columns = _columns(session, view)
        _write(session, [f"{column.field}\t{clean(flat(_at(record, column.field)))}" for column in columns])
    elif kind == "json":
        _columns(session, view)
        _write(session, [_json(_picked(session, view, record), indent=2)], paged=paged)
    else:
        listing(session, view, [record], text=text, paged=paged)


def text(session: Session, shown: str, *, paged: bool = False) -> None:
    """Write text as it is.

    Args:
        session: Which colours.
        shown: The text, cleaned.
        paged: On a terminal, what is longer than it goes to the user's pager.
    """
    _write(session, [shown], paged=paged)


def chosen(session: Session) -> str:
    """Return the format: what was asked for, else what suits stdout."""
    return session.format or ("human" if sys.stdout.isatty() else "tsv")


def pairs(items: Iterable[tuple[str, str]], indent: str = "") -> list[str]:
    """Return lines of names and values, aligned, for people; values that are empty are left out.

    On a terminal a value that is too long for it goes on below its own beginning.
    """
    kept = [(clean(name), clean(value)) for name, value in items if value]
    width = max((len(name) for name, _ in kept), default=0)
    start = len(indent) + width + 2
    room = shutil.get_terminal_size().columns - start if sys.stdout.isatty() else _UNBOUNDED
    lines: list[str] = []
    for name, value in kept:
        first, *more = (
            textwrap.wrap(value, max(room, _NARROW), break_on_hyphens=False) if len(value) > room else [value]
        )
        lines.append(f"{indent}{click.style(name.ljust(width), dim=True)}  {first}")
        lines += [" " * start + line for line in more]
    return lines


def _columns(session: Session, view: View) -> Sequence[Column]:
    known = {column.field: column for column in view.columns}
    for field in session.fields:
        if field.partition(".")[0] not in view.fields:
            raise click.UsageError(f"there is no field {field!r}; there are: {', '.join(view.fields)}")
    return [known.get(field) or Column(field, field.upper()) for field in session.fields] or view.columns


def _at(record: Record, field: str) -> Any:
    """Return a field, or what stands at a dotted path below one; None where there is nothing."""
    value: Any = record
    rest = field
    while rest:
        if not isinstance(value, Mapping):
            return None
        if rest in value:
            return value[rest]
        head, _, rest = rest.partition(".")
        value = value.get(head)
    return value


def _picked(session: Session, view: View, record: Record) -> dict[str, Any]:
    return {field: _at(record, field) for field in session.fields or view.fields}


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _table(session: Session, columns: Sequence[Column], records: Sequence[Record]) -> tuple[list[str], bool]:
    """Return an aligned table, and whether it had to be cut to the width of the terminal."""
    import io

    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    if not records:
        return [], False
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))

    def cell(text: str) -> Text:
        return Text(text, no_wrap=True, overflow="ellipsis")

    rows = [[cell(clean(column.show(_at(record, column.field)))) for column in columns] for record in records]
    bounded = sys.stdout.isatty() and not session.no_truncate
    width = shutil.get_terminal_size().columns if bounded else _UNBOUNDED
    for place, column in enumerate(columns):
        widest = max(len(column.title), *(row[place].cell_len for row in rows))
        table.add_column(cell(column.title), width=min(widest, int(width * _SHARE)) if column.whole else None)
    for row in rows:
        table.add_row(*row)
    colour = session.colour(sys.stdout)
    console = Console(
        file=io.StringIO(),
        width=_UNBOUNDED,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        _environ={},
    )
    cut = Measurement.get(console, console.options, table).maximum > width
    with console.capture() as captured:
        console.print(table, width=width)
    return [line.rstrip() for line in captured.get().splitlines()], cut and bounded


def _write(session: Session, lines: Sequence[str], *, paged: bool = False) -> None:
    if not lines:
        return
    text = "\n".join(lines)
    colour = session.colour(sys.stdout)
    if paged and not session.no_pager:
        from friday_store.cli import pager

        if pager.wanted(text):
            problem = pager.page(text if colour else click.unstyle(text))
            if problem is None:
                return
            session.say("warning", problem)
    click.echo(text, color=colour)
