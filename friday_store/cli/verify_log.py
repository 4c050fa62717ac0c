"""``verify-log``: whether history is whole, and still what this user saw of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.completing import remote_names
from friday_store.cli.output import Column, View, pairs, single
from friday_store.cli.session import Session
from friday_store.cli.text import clean, plain

_DAMAGE: Final = 5
_FIELDS: Final = (
    "repository", "entries", "digest", "known", "looked", "differs", "signed", "unsigned", "problems",
)  # fmt: skip
_CHECKED: Final = View(fields=_FIELDS, columns=tuple(Column(field, field.upper()) for field in _FIELDS), id="digest")


@click.command(
    cls=Command,
    name="verify-log",
    examples=["verify-log", "verify-log --remote origin", "verify-log --json"],
)
@click.option("--remote", metavar="REMOTE", shell_complete=remote_names, help="The log of a remote instead.")
@click.option("--accept", is_flag=True, help="Take the log as it is for the one to compare with from now on.")
@click.pass_obj
def verify_log(session: Session, /, *, remote: str | None, accept: bool) -> None:
    """Check that history is whole.

    All entries must form one chain that the checkpoints agree with and that nothing protected was moved in, signatures
    must be valid, and the log must begin with what you saw of it the last time. That is kept for you, in no registry:
    so a history that was written anew shows, and where. The exit code is 5 when anything is wrong. Two people who read
    the same digest have the same history.
    """
    registry = session.registry()
    found = registry.verify_log(remote, accept=accept)
    single(session, _CHECKED, asdict(found), text=_told, upright=True)
    if found.problems:
        session.say(
            "error", f"{reports.counted(len(found.problems), 'problem')} found in the log of {found.repository}"
        )
        if found.differs is not None and not accept:
            words = ["--accept", *(["--remote", remote] if remote else [])]
            session.say("hint", f"if it was replaced on purpose: {reports.again(session, 'verify-log', *words)}")
        elif found.differs is None:
            session.say("hint", "friday-store fsck")
        raise click.exceptions.Exit(0 if accept and all(p.kind == "history" for p in found.problems) else _DAMAGE)
    session.say("note", "nothing was changed" if found.known is not None else "from now on it is compared with this")


def _told(found: Mapping[str, Any]) -> str:
    if found["known"] is None:
        seen = "never before"
    else:
        seen = f"{found['known']} entries on {plain(found['looked'])}"
        seen += ", and these are as they were" if found["differs"] is None else f", and entry {found['differs']} is not"
    versions = f"{reports.counted(found['signed'], 'version')} signed, {found['unsigned']} not"
    lines = pairs(
        [
            ("repository", found["repository"]),
            ("entries", f"{found['entries']} in one chain"),
            ("digest", found["digest"]),
            ("you saw", seen),
            ("signatures", versions),
        ]
    )
    return "\n".join(lines + [clean(f"{each['severity']}: {each['message']}") for each in found["problems"]])
