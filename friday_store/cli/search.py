"""``search`` and ``query``: versions by a condition, and the index in SQL. ``help search`` explains the language."""

from __future__ import annotations

import sys

import click

from friday_store.cli.command import Command
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import Session
from friday_store.cli.text import clean
from friday_store.cli.versions import VERSIONS

_TABLES = View(
    fields=("name", "kind", "columns"),
    columns=(Column("name", "NAME"), Column("kind", "KIND"), Column("columns", "COLUMNS")),
    id="name",
)


@click.command(
    cls=Command,
    examples=[
        "search \"metrics.auc > 0.5 and tag = 'AAPL'\"",
        "search \"name like 'aapl%' and not alias = 'production'\" --order-by '-metrics.auc, name' -n 5 --json",
        "search \"descends from 'aapl_1d:1.0.0'\" --fields model_name,model_version,metrics.auc",
        'search "params.depth in (5, 6)" --csv deep.csv',
    ],
)
@click.argument("condition", metavar="EXPR")
@click.option("--order-by", "order", metavar="KEYS", help="Such as '-metrics.auc, name'; - turns a key round.")
@click.option("-n", "limit", type=click.IntRange(0), metavar="N", help="At most N versions.")
@click.option("--after", metavar="CURSOR", help="Go on where a run with -n ended, in the same order.")
@click.option("--csv", metavar="FILE", help="Write CSV there instead; - is stdout.")
@click.option("--parquet", metavar="FILE", help="Write Parquet there instead.")
@click.pass_obj
def search(
    session: Session,
    /,
    *,
    condition: str,
    order: str | None,
    limit: int | None,
    after: str | None,
    csv: str | None,
    parquet: str | None,
) -> None:
    """Find versions by a condition.

    EXPR compares metrics, params, tags, status, times and any metadata; see: friday-store help search
    """
    if csv is not None and parquet is not None:
        raise click.UsageError("one file at a time: --csv or --parquet")
    page = session.registry().search(condition, order_by=order, limit=limit, after=after)
    if csv is not None:
        page.to_csv(sys.stdout if csv == "-" else csv)
    elif parquet is not None:
        page.to_parquet(parquet)
    else:
        listing(session, VERSIONS, page, paged=True)
    if page.after is not None:
        session.say("hint", f"there are more: --after {page.after}")


@click.command(
    cls=Command,
    examples=[
        "query \"SELECT name, version, value FROM metrics WHERE metric = 'auc' ORDER BY value DESC LIMIT 3\"",
        'query "SELECT status, count(*) AS versions FROM versions GROUP BY status" --json',
        "query --tables",
    ],
)
@click.argument("sql", required=False)
@click.option("--tables", is_flag=True, help="List the tables and views, and their columns.")
@click.pass_obj
def query(session: Session, /, *, sql: str | None, tables: bool) -> None:
    """Ask the index in SQL.

    The database lets through what reads and nothing else. The index mirrors the registry and is made anew from it.
    """
    if (sql is None) is not tables:
        raise click.UsageError("give a statement in SQL, or --tables")
    registry = session.registry()
    if tables:
        found = [
            {"name": name, "kind": kind, "columns": columns}
            for name, kind, columns in registry.repository.index.tables()
        ]
        listing(session, _TABLES, found, paged=True)
        return
    names, rows = registry.select(str(sql))
    fields = tuple(dict.fromkeys(names))
    view = View(fields, tuple(Column(name, clean(name).upper()) for name in fields), fields[0])
    listing(session, view, [dict(zip(names, row, strict=True)) for row in rows], paged=True)
