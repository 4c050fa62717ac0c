"""``status``: how far this registry and its remotes are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.output import Column, View, chosen, listing
from friday_store.cli.session import Session, model_names
from friday_store.cli.sync import remote_names
from friday_store.cli.text import clean, masked

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_ALL: Final = ("*",)
_FLAGS: Final = {"ahead": ">", "behind": "<", "conflict": "!"}
_STATUS: Final = View(
    fields=("remote", "seen", "ahead", "behind", "conflict", "refs"),
    columns=(
        Column("remote", "REMOTE"),
        Column("ahead", "AHEAD"),
        Column("behind", "BEHIND"),
        Column("conflict", "CONFLICT"),
    ),
    id="remote",
)
_REFS: Final = View(
    fields=("remote", "state", "ref", "here", "there", "reason"),
    columns=(
        Column("remote", "REMOTE"),
        Column("state", "STATE"),
        Column("ref", "REF"),
        Column("here", "HERE"),
        Column("there", "THERE"),
        Column("reason", "REASON"),
    ),
    id="ref",
)


@click.command(cls=Command, examples=["status", "status --fetch --json", "status origin 'aapl_*' --fetch"])
@click.argument("remote", required=False, shell_complete=remote_names)
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1, shell_complete=model_names)
@click.option("--fetch", is_flag=True, help="Ask the remotes; otherwise what was last seen of them counts.")
@click.pass_obj
def status(session: Session, /, *, remote: str | None, patterns: Sequence[str], fetch: bool) -> None:
    """Show how far remotes are ahead and behind.

    REMOTE is a name or a URL, all remotes without it; a PATTERN such as 'aapl_*' chooses models. A push moves what is
    ahead, a pull what is behind, and neither a conflict.
    """
    registry = session.registry()
    registry.repository.index.catch_up()  # what other processes changed here counts too
    names = [remote] if remote is not None else sorted(registry.remotes())
    if not names:
        session.say("note", "there are no remotes")
        session.say("hint", "friday-store remote add origin URL")
    found, failures = reports.each_of(
        names, lambda name: _compared(registry, name, patterns or _ALL, fetch=fetch, strict=remote is not None)
    )
    if chosen(session) in ("tsv", "ids"):
        listing(session, _REFS, [{"remote": each["remote"], **ref} for each in found.values() for ref in each["refs"]])
    else:
        listing(session, _STATUS, found.values(), text=_summary)
    reports.partly(failures, len(names))


def _compared(
    registry: ModelRegistry, name: str, patterns: Sequence[str], *, fetch: bool, strict: bool
) -> dict[str, Any]:
    """Return how far one remote is; one that was never looked at is no error unless it was asked for by name."""
    from friday_store.errors import ModelNotFoundError

    try:
        refs = registry.status(name, patterns, refresh=fetch)
    except ModelNotFoundError:
        if strict or fetch:
            raise
        return {"remote": masked(name), "seen": False, "ahead": None, "behind": None, "conflict": None, "refs": []}
    counts = {state: sum(each.state == state for each in refs) for state in _FLAGS}
    moves = [
        {"state": each.state, "ref": each.ref, "here": each.here, "there": each.there, "reason": each.reason}
        for each in refs
    ]
    return {"remote": masked(name), "seen": True, **counts, "refs": moves}


def _summary(record: Mapping[str, Any]) -> str:
    if not record["seen"]:
        return clean(f"{record['remote']}: not looked at yet (friday-store fetch {record['remote']})")
    parts = [f"{state} {record[state]}" for state in _FLAGS if record[state]]
    lines = [clean(f"{record['remote']}: {', '.join(parts) or 'in step'}")]
    for each in record["refs"]:
        reason = f"  {each['reason']}" if each["reason"] else ""
        lines.append(clean(f" {_FLAGS[each['state']]} {each['ref']}{reason}"))
    return "\n".join(lines)
