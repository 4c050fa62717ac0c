"""``gc`` and ``prune``: what stays by rule, and erasing the bytes of what does not."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.completing import model_names, remote_names
from friday_store.cli.output import Column, View, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, size

if TYPE_CHECKING:
    from friday_store.maintenance.gc import GcReport

_COLLECTED: Final = View(
    fields=(
        "dry_run", "grace", "objects", "objects_dropped", "packs_removed", "bytes_removed", "packs_written",
        "bytes_written", "files_deleted", "bytes_freed", "files_waiting", "bytes_waiting", "bytes_unneeded",
    ),
    columns=(
        Column("packs_removed", "REMOVED"),
        Column("files_deleted", "DELETED"),
        Column("bytes_freed", "FREED", size),
        Column("bytes_waiting", "WAITING", size),
    ),
    id="bytes_freed",
)  # fmt: skip
_FATES: Final = View(
    fields=("state", "model_id", "model_name", "model_version", "size_bytes", "kept"),
    columns=(
        Column("state", "STATE"),
        Column("model_name", "MODEL"),
        Column("model_version", "VERSION"),
        Column("size_bytes", "SIZE", size),
        Column("kept", "WHY"),
    ),
    id="model_id",
)


@click.command(
    cls=Command, examples=["gc -n", "gc --yes", "gc --grace 0 --yes --json", "gc --remote origin --grace 30d -n"]
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go, to the byte.")
@click.option("--grace", default="14d", show_default=True, metavar="TIME", help="30m, 12h, 14d; 0: all of it now.")
@click.option("--remote", metavar="REMOTE", shell_complete=remote_names, help="Collect there instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def gc(session: Session, /, *, dry_run: bool, grace: str, remote: str | None, yes: bool) -> None:
    """Erase what no name needs.

    Within the grace, restore brings back what was deleted. After it, a run puts the bytes out of use, and when they
    have been so for the grace, a later run erases them. Others can write meanwhile. It is refused, with code 7, where
    a store cannot tell two writers apart, and with code 5 where something is damaged: fsck --repair comes first.
    """
    registry = session.registry()
    if not dry_run and not yes:
        planned = registry.gc(grace=grace, dry_run=True, remote=remote)
        if planned.packs_removed or planned.files_deleted:
            _ask(session, _told(dataclasses.asdict(planned)), "nothing was erased")
    found = registry.gc(grace=grace, dry_run=dry_run, remote=remote)
    single(session, _COLLECTED, dataclasses.asdict(found), text=_told)
    _say_what_stays(session, found, grace)


def _told(record: Mapping[str, Any]) -> str:
    """Return a report as people read it."""
    would = "would be " if record["dry_run"] else ""
    lines = []
    if record["packs_removed"]:
        removed = f"{reports.counted(record['packs_removed'], 'pack')} ({size(record['bytes_removed'])})"
        lines.append(f"{removed} {would}put out of use, with {reports.counted(record['objects_dropped'], 'object')}")
    if record["packs_written"]:
        written = f"{reports.counted(record['packs_written'], 'pack')} ({size(record['bytes_written'])})"
        lines.append(f"{written} {would}written with what is still needed of them")
    if record["files_deleted"]:
        deleted = f"{reports.counted(record['files_deleted'], 'file')} ({size(record['bytes_freed'])})"
        lines.append(f"{deleted} {would}erased")
    if record["files_waiting"]:
        lines.append(f"{reports.counted(record['files_waiting'], 'file')} ({size(record['bytes_waiting'])}) waiting")
    return "\n".join(lines or ["nothing to collect"])


def _say_what_stays(session: Session, found: GcReport, grace: str) -> None:
    if found.files_waiting:
        session.say("note", f"a run after {grace} out of use erases what waits; until then restore brings it back")


def _ask(session: Session, what: str, otherwise: str) -> None:
    """Ask before something is done that cannot be undone for ever."""
    if not sys.stdin.isatty():
        raise Refusal(f"{what.splitlines()[0]}: nobody can be asked here, so say --yes", 2, session.again() + " --yes")
    click.echo(clean_lines(what), err=True)
    if not click.confirm("Go on?", err=True):
        raise Refusal(otherwise, 1)


def clean_lines(text: str) -> str:
    """Return text of several lines with what cannot be seen spelled out."""
    return "\n".join(clean(line) for line in text.splitlines())


def _bests(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> list[tuple[str, int]]:  # noqa: ARG001
    """Return ``metric:K`` as a pair."""
    found = []
    for text in given:
        metric, colon, number = text.rpartition(":")
        if not colon or not metric or not number.isdecimal():
            raise click.BadParameter(f"{text!r} is not METRIC:K, such as rmse:3")
        found.append((metric, int(number)))
    return found


@click.command(
    cls=Command,
    examples=[
        "prune aapl_1d --keep-last 1 -n",
        "prune 'aapl_*' --keep-last 1 --keep-best auc:1 --yes",
        "prune '*' --keep-best auc:2 --keep-tag AAPL --yes --json",
    ],
)
@click.argument("pattern", metavar="NAME|GLOB", shell_complete=model_names)
@click.option("--keep-last", type=click.IntRange(0), default=0, metavar="N", help="Those registered last.")
@click.option(
    "--keep-best", multiple=True, metavar="METRIC:K", callback=_bests, help="The K best by a metric; may be repeated."
)
@click.option("--keep-tag", "tags", multiple=True, metavar="TAG", help="What has this tag; may be repeated.")
@click.option(
    "--higher/--lower",
    "higher",
    default=None,
    help="Whether more of a metric is better; else its usual name says.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go, and why the rest stays.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(
    session: Session,
    /,
    *,
    pattern: str,
    keep_last: int,
    keep_best: Sequence[tuple[str, int]],
    tags: Sequence[str],
    higher: bool | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Forget versions by rule.

    A version goes that no rule keeps. What an alias names stays, and so do the parents of what stays, but for the
    version of the same name right before. restore brings back what went, until gc has erased it.
    """
    registry = session.registry()
    rules: dict[str, Any] = {
        "keep_last": keep_last, "keep_best": keep_best, "keep_tags": tags, "higher_is_better": higher,
    }  # fmt: skip
    found = registry.prune(pattern, dry_run=True, **rules)
    gone = sum(not fate.kept for fate in found)
    if not dry_run and gone:
        if not yes:
            _ask(session, f"{reports.counted(gone, 'version')} of {len(found)} would be removed", "nothing was removed")
        found = registry.prune(pattern, **rules)
    state = "would go" if dry_run else "removed"
    listing(session, _FATES, [{"state": "kept" if fate.kept else state, **fate._asdict()} for fate in found])
