"""``status``: how far this registry and its remotes are apart, or the status of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.completing import model_names, remote_names, revisions, status_names
from friday_store.cli.output import Column, View, chosen, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked, plain
from friday_store.cli.versions import label

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_ALL: Final = ("*",)
_FLAGS: Final = {"ahead": ">", "behind": "<", "conflict": "!"}
_REMOTES: Final = View(
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
_VERSION: Final = View(
    fields=("model_id", "model_name", "model_version", "status", "history"),
    columns=(Column("model_name", "NAME"), Column("model_version", "VERSION"), Column("status", "STATUS")),
    id="model_id",
)


def _subjects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the remotes and models whose names begin so, for the shell."""
    return [*remote_names(ctx, param, incomplete), *revisions(ctx, param, incomplete)]


def _words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the models and the words for a status that begin so, for the shell."""
    return [*model_names(ctx, param, incomplete), *status_names(ctx, param, incomplete)]


@click.command(
    cls=Command,
    examples=[
        "status",
        "status --fetch --json",
        "status origin 'aapl_*' --fetch",
        "status aapl_1d",
        "status aapl_1d:1.0.0 staging --reason 'passed review'",
    ],
)
@click.argument("subject", metavar="[REMOTE|REV]", required=False, shell_complete=_subjects)
@click.argument("words", metavar="[PATTERN...|STATUS]", nargs=-1, shell_complete=_words)
@click.option("--fetch", is_flag=True, help="Ask the remotes; otherwise what was last seen of them counts.")
@click.option("-m", "--reason", metavar="TEXT", help="Why a version gets another status.")
@click.option("--remote", "meaning", flag_value="remote", help="The name is a remote's, though a model has it too.")
@click.option("--version", "meaning", flag_value="version", help="It is a model's, though a remote has it too.")
@click.pass_obj
def status(
    session: Session,
    /,
    *,
    subject: str | None,
    words: Sequence[str],
    fetch: bool,
    reason: str | None,
    meaning: str | None,
) -> None:
    """Show how far apart remotes are.

    Of a version it shows or sets the status.

    \b
    REMOTE (a name or URL), or nothing  what a push would move, what a pull would, and what neither may
    REV                                 the status of that version, and who set it when
    REV STATUS                          sets it: active, staging, deprecated, archived or another
    """  # noqa: D301 - click's mark for lines that stay as they are
    registry = session.registry()
    if subject is not None and _means(session, registry, subject, meaning) == "version":
        if fetch:
            raise click.UsageError("--fetch asks remotes; the status of a version is here")
        if words[1:] or (reason is not None and not words):
            raise click.UsageError("say one revision and at most one status; --reason says why it is set")
        _of_version(session, registry, subject, words[0] if words else None, reason or "")
    elif reason is not None:
        raise click.UsageError("--reason goes with a revision and its new status")
    else:
        _of_remotes(session, registry, subject, words, fetch=fetch)


def _means(session: Session, registry: ModelRegistry, subject: str, meaning: str | None) -> str:
    """Return ``remote`` or ``version``: what the first argument is.

    Raises:
        Refusal: A remote and a model are called so.
    """
    if meaning is not None:
        return meaning
    model = bool(registry.model_names(subject))
    if subject in registry.remotes():
        if model:
            message = f"{subject!r} is a remote and a model: --remote means the one, --version the other"
            raise Refusal(message, 3, reports.again(session, "status", "--remote", subject))
        return "remote"
    place = "://" in subject or subject[:1] in (".", "/", "~") or (not model and Path(subject).is_dir())
    return "remote" if place else "version"


def _of_version(session: Session, registry: ModelRegistry, revision: str, word: str | None, reason: str) -> None:
    from friday_store.errors import ModelNotFoundError

    try:
        record = registry.get_model_metadata(revision)
    except ModelNotFoundError as error:
        near = get_close_matches(revision, registry.remotes(), 1)
        if near and not get_close_matches(revision, registry.model_names(), 1):
            message = f"there is no model and no remote {revision!r}; did you mean {near[0]!r}?"
            raise Refusal(message, 3, reports.again(session, "status", near[0])) from error
        raise
    if word is not None:
        record = registry.set_model_status(record["model_id"], word, reason)
    found = {**record, "history": registry.get_status_history(record["model_id"])}
    single(session, _VERSION, found, text=_told)


def _told(record: Mapping[str, Any]) -> str:
    lines = [f"{label(record)} is {record['status']}"]
    for each in reversed(record["history"]):
        reason = f": {each['reason']}" if each["reason"] else ""
        lines.append(f"  {plain(each['time'])}  {each['status']} by {each['author']}{reason}")
    return "\n".join(clean(line) for line in lines)


def _of_remotes(
    session: Session, registry: ModelRegistry, remote: str | None, patterns: Sequence[str], *, fetch: bool
) -> None:
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
        listing(session, _REMOTES, found.values(), text=_summary)
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
