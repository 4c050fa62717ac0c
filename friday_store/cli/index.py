"""``index``: where the SQL index of a registry is, and moving it to a server that a team shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Group
from friday_store.cli.output import Column, View, pairs, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_INDEX: Final = View(
    fields=("place", "chosen", "entry", "models", "versions"),
    columns=(Column("place", "PLACE"), Column("entry", "ENTRY"), Column("versions", "VERSIONS")),
    id="place",
)
_SQLITE: Final = "sqlite"


@click.group(cls=Group, invoke_without_command=True, examples=["index", "index rebuild"])
@click.pass_context
def index(ctx: click.Context) -> None:
    """Show or move the SQL index.

    It mirrors the log, and can be thrown away. It is a file in the registry, or a schema on a PostgreSQL server.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(index_show)


@index.command("show", examples=["index show", "index show --json"])
@click.pass_obj
def index_show(session: Session) -> None:
    """Say where the index is, and how far it has come."""
    _show(session, session.registry())


@index.command("use", examples=["index use sqlite", "index use sqlite --json"])
@click.argument("url", metavar="URL|sqlite")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of libpq's; env:NAME for a secret.")
@click.pass_obj
def index_use(session: Session, /, *, url: str, options: Sequence[str]) -> None:
    """Keep the index somewhere else.

    URL is postgresql://[USER@]HOST[:PORT]/DATABASE, for all who work with this registry: each of them says so once.
    Several registries can share a database. sqlite is the file that there is without being asked.

    The choice is remembered for you alone, in a private file outside of the registry. Leave the password to
    ~/.pgpass, or say where it stands: -o password=env:TEAM_DB.
    """
    from friday_store.registry import ModelRegistry, location

    registry = session.registry()
    known, identity = location.indexes(), registry.repository.id
    if url == _SQLITE:
        if options:
            raise Refusal("sqlite takes no options", 2, "friday-store index use sqlite")
        known.drop(identity)
        _show(session, session.registry())
        return
    given = dict(_divided(option) for option in options)
    server = known.server(url, given)
    with ModelRegistry(
        session.url, plugins=session.found_plugins(), storage_options=session.options, index=server
    ) as moved:
        moved.repository.index.prove()
    known.put(identity, url, given)
    _show(session, session.registry())


@index.command("rebuild", examples=["index rebuild", "index rebuild --json"])
@click.pass_obj
def index_rebuild(session: Session) -> None:
    """Make the index anew from the log.

    Nobody has to: what is missing, damaged or behind is made anew when it is next asked.
    """
    registry = session.registry()
    registry.repository.index.rebuild()
    _show(session, registry)


def _divided(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not equals or not name:
        raise Refusal(f"an option is KEY=VALUE, not {name!r}", 2, "friday-store index use --help")
    return name, value


def _show(session: Session, registry: ModelRegistry) -> None:
    single(session, _INDEX, _described(registry), text=_told, upright=True)


def _described(registry: ModelRegistry) -> dict[str, Any]:
    import os

    from friday_store.registry import location

    found = registry.repository.index
    [(models, versions)] = found.rows("SELECT count(DISTINCT model_name), count(*) FROM model_metadata")
    chosen = "registry"
    if os.environ.get(location.INDEX):
        chosen = location.INDEX
    elif location.indexes().place(registry.repository.id) is not None:
        chosen = "index use"
    return {"place": masked(found.place), "chosen": chosen, "entry": found.seq, "models": models, "versions": versions}


def _told(record: Any) -> str:
    lines = [("index", record["place"]), ("up to entry", str(record["entry"]))]
    lines += [("models", str(record["models"])), ("versions", str(record["versions"]))]
    if record["chosen"] != "registry":
        lines.insert(1, ("chosen by", record["chosen"]))
    return clean("\n".join(pairs(lines)))
