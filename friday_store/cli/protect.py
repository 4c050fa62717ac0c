"""``protect``: the aliases that do not move by accident, and the mode in which nothing is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Group
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import Session

if TYPE_CHECKING:
    from friday_store.protection import Protection
    from friday_store.registry import ModelRegistry

_EVERYTHING: Final = "everything"
_PROTECTED: Final = View(
    fields=("what", "rule", "since", "actor", "seq"),
    columns=(Column("what", "WHAT"), Column("rule", "RULE"), Column("since", "SINCE"), Column("actor", "ACTOR")),
    id="what",
)
_APPEND_ONLY: Final = click.option(
    "--append-only", is_flag=True, help="That no version, tag or note is removed, and no byte erased."
)


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=["protect", "protect add production", "protect add --append-only", "protect rm canary"],
)
@click.pass_context
def protect(ctx: click.Context) -> None:
    """Keep names from moving.

    A protected alias is made, moved and removed only by alias --override and rollback --override, and the log says so.
    It holds in this registry, for everybody who writes to it, by a push too, and is not copied to others.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(protect_ls)


@protect.command("ls", examples=["protect ls", "protect ls --json"])
@click.pass_obj
def protect_ls(session: Session) -> None:
    """List what is protected, since when, and by whom."""
    _told(session, session.registry())


@protect.command(
    "add",
    examples=["protect add production 'aapl_*@champion'", "protect add --append-only"],
)
@click.argument("aliases", metavar="[ALIAS|MODEL@ALIAS]...", nargs=-1)
@_APPEND_ONLY
@click.pass_obj
def protect_add(session: Session, /, *, aliases: Sequence[str], append_only: bool) -> None:
    """Protect aliases.

    An ALIAS alone is that of every model, also of those to come; either part may be a glob. --append-only protects
    what is stored as well.
    """
    if not aliases and not append_only:
        raise click.UsageError("name an alias, such as production, or --append-only")
    registry = session.registry()
    registry.protect(*aliases, append_only=append_only)
    _told(session, registry)


@protect.command("rm", examples=["protect rm canary", "protect rm canary --json"])
@click.argument("aliases", metavar="[ALIAS|MODEL@ALIAS]...", nargs=-1)
@_APPEND_ONLY
@click.pass_obj
def protect_rm(session: Session, /, *, aliases: Sequence[str], append_only: bool) -> None:
    """End a protection.

    The log keeps who did that, and when.
    """
    if not aliases and not append_only:
        raise click.UsageError("name what protect ls shows, or --append-only")
    registry = session.registry()
    registry.unprotect(*aliases, append_only=append_only)
    _told(session, registry)


def _told(session: Session, registry: ModelRegistry) -> None:
    now = registry.protection()
    since = _since(registry, now)
    rows = [{"what": each, "rule": "moves with --override alone", **since[each]} for each in now.aliases]
    if now.append_only:
        rows.append({"what": _EVERYTHING, "rule": "append-only", **since[_EVERYTHING]})
    listing(session, _PROTECTED, rows)


def _since(registry: ModelRegistry, now: Protection) -> dict[str, dict[str, Any]]:
    """Return by which entry each thing has been protected without a break."""
    from friday_store.registry.records import moment

    wanted = {*now.aliases, *([_EVERYTHING] if now.append_only else [])}
    found: dict[str, dict[str, Any]] = {}
    for entry in registry.repository.entries() if wanted else ():
        if entry.protection is None:
            continue
        here = {*entry.protection.aliases, *([_EVERYTHING] if entry.protection.append_only else [])}
        wanted &= here
        for each in wanted:
            found[each] = {"since": moment(entry.time), "actor": entry.actor, "seq": entry.seq}
        if not wanted:
            break
    return found
