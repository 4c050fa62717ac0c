"""``data``: check files of market data, and make the files that training reads of raw bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from friday_store.cli.command import Group
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import Session
from friday_store.cli.text import clean

_PROBLEMS: Final = View(
    fields=("severity", "kind", "path", "message"),
    columns=(
        Column("severity", "SEVERITY"),
        Column("kind", "KIND"),
        Column("path", "PATH"),
        Column("message", "MESSAGE"),
    ),
    id="path",
)
_PREPARED: Final = View(
    fields=("symbol", "timeframe", "bars", "rows", "adjusted", "path", "source", "reason"),
    columns=(
        Column("symbol", "SYMBOL"),
        Column("timeframe", "TIME"),
        Column("bars", "BARS"),
        Column("rows", "ROWS"),
        Column("adjusted", "ADJUSTED"),
        Column("path", "PATH"),
        Column("reason", "REASON"),
    ),
    id="path",
)


@click.group(cls=Group, examples=["data check data/processed", "data prepare -t 1d acme.csv"])
def data() -> None:
    """Check and prepare market data."""


@data.command(examples=["data check data/processed", "data check --min-rows 1000 acme.csv --json"])
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="PATH...")
@click.option("--min-rows", type=int, default=200, show_default=True, metavar="N", help="Warn of fewer rows.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.pass_obj
def check(session: Session, /, *, paths: Sequence[Path], min_rows: int, strict: bool) -> None:
    """Say all that is wrong, one line for each problem.

    PATH is a file, or a directory of files named SYMBOL_timeframe_*.csv or .parquet; data/processed when none is
    given. An error is what training refuses, a warning what a person should know. The exit code is 1 when there is an
    error.
    """
    from friday_store.market import checks

    places = paths or (Path("data/processed"),)
    found = [problem for path in places for problem in checks.check(path, min_rows=min_rows)]
    rows = [{**vars(problem), "path": str(problem.path)} for problem in found]
    listing(session, _PROBLEMS, rows, text=_line)
    errors = sum(problem.severity == "error" or strict for problem in found)
    if not found:
        session.say("note", "nothing is wrong")
    if errors:
        raise click.exceptions.Exit(1)


@data.command(
    examples=["data prepare -t 1d acme.csv", "data prepare -t 1d --symbol ACME --sort acme.csv -d data/new --json"]
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("-d", "--data", type=click.Path(path_type=Path), default=Path("data/processed"), metavar="DIR",
              show_default=True, help="Where processed files go.")  # fmt: skip
@click.option("-t", "--timeframe", metavar="T", help="Such as 1d, where a file's name does not say it.")
@click.option("--symbol", metavar="S", help="Whose bars, where neither a column nor the name says so.")
@click.option("--sort", is_flag=True, help="Sort the bars by time first.")
@click.pass_obj
def prepare(
    session: Session, /, *, files: Sequence[Path], data: Path, timeframe: str | None, symbol: str | None, sort: bool
) -> None:
    """Make features of raw bars.

    FILE has the columns open, high, low, close, volume and a time; with a column ticker or symbol it may hold many
    symbols, and an adjusted close adjusts all prices. Features of a bar are made of it and those before it. The exit
    code is 12 when some could not be prepared, 1 when none could.
    """
    from friday_store.market import raw

    found = [
        prepared
        for file in files
        for prepared in raw.prepare_file(file, data, symbol=symbol, timeframe=timeframe, sort=sort)
    ]
    rows = [
        {**vars(each), "path": None if each.path is None else str(each.path), "source": str(each.source)}
        for each in found
    ]
    listing(session, _PREPARED, rows)
    failed = sum(each.path is None for each in found)
    if failed:
        raise click.exceptions.Exit(12 if failed < len(found) else 1)


def _line(row: Mapping[str, Any]) -> str:
    return clean(f"{row['severity']}: {row['path']}: {row['message']}")
