"""What the commands that bring registries together share: options, the rehearsal before a question, the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from friday_store.cli import report as reports
from friday_store.cli.completing import model_names, remote_names
from friday_store.cli.progress import KINDS, Kind, Watch
from friday_store.cli.session import WILD, Refusal, Session
from friday_store.cli.text import clean, masked

if TYPE_CHECKING:
    from friday_store.hookspecs import SyncReport
    from friday_store.sync import Watcher

ALL: Final = ("*",)
_SHOWN: Final = 20


class Run(Protocol):
    """One exchange with a remote, rehearsed or real."""

    def __call__(self, *, dry_run: bool, progress: Watcher | None) -> SyncReport: ...


def _labels(ctx: click.Context, param: click.Parameter, globs: Sequence[str]) -> Sequence[str]:  # noqa: ARG001
    """Refuse a glob that can match no ``MODEL@ALIAS``."""
    for glob in globs:
        if "@" not in glob and WILD.isdisjoint(glob):
            raise click.BadParameter(f"{glob!r} matches no MODEL@ALIAS; '*@{glob}' is that alias of every model")
    return globs


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _together(*decorators: Decorator) -> Decorator:
    """Return decorators as one, in the order of the help."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        for each in reversed(decorators):
            command = each(command)
        return command

    return decorated


remote_and_patterns: Final = _together(
    click.argument("remote", default="origin", shell_complete=remote_names),
    click.argument("patterns", metavar="[PATTERN]...", nargs=-1, shell_complete=model_names),
)
rehearsing: Final = click.option(
    "-n", "--dry-run", is_flag=True, help="Change nothing; say exactly what would be done."
)
settling: Final = _together(
    click.option("--force", is_flag=True, help="Aliases that both sides moved go where the sender has them."),
    click.option(
        "--ours", metavar="GLOB", multiple=True, callback=_labels, help="MODEL@ALIAS that go where they are here."
    ),
    click.option(
        "--theirs", metavar="GLOB", multiple=True, callback=_labels, help="MODEL@ALIAS that go where they are there."
    ),
    click.option("--prune", is_flag=True, help="Delete versions that the sender deleted since both were in step."),
    click.option("--yes", is_flag=True, help="Do not ask before deleting."),
)
ported: Final = click.option(
    "--porcelain", is_flag=True, help="One line for each ref: flag, from:to, summary, with tabs."
)
without_data: Final = click.option(
    "--metadata-only", is_flag=True, help="Leave the models' own bytes there; loading fetches them."
)
watching: Final = click.option(
    "--progress",
    "kind",
    type=click.Choice(KINDS),
    default="auto",
    help="On stderr, after a second; auto: a bar on a terminal.",
)
needing: Final = click.option(
    "-o", "options", metavar="KEY=VALUE", multiple=True, help="What the remote's store needs, this time."
)


def exchange(
    session: Session,
    verb: str,
    call: Callable[..., SyncReport],
    remote: str,
    patterns: Sequence[str],
    *,
    dry_run: bool,
    porcelain: bool,
    kind: Kind,
    options: Sequence[str],
    yes: bool = True,
    after: Callable[[SyncReport], None] | None = None,
    **rules: Any,
) -> None:
    """Carry out a push, pull, fetch or import, and write what it did; ask before it deletes.

    Args:
        session: Which format, and which stderr.
        verb: The command, such as ``push``.
        call: What does it.
        remote: A remote, or where the models come from.
        patterns: Globs over model names.
        dry_run: Whether it is a rehearsal.
        porcelain: Whether git's format was asked for.
        kind: How progress is shown.
        options: ``-o`` after the command.
        yes: Whether nothing is asked.
        after: Called with what was done, once that has been written.
        rules: Arguments of ``call``.
    """
    if porcelain and session.format:
        raise click.UsageError(f"one format at a time: {session.format} or porcelain")
    needed = needs(session, options)

    def run(*, dry_run: bool, progress: Watcher | None) -> SyncReport:
        chosen = patterns or ALL
        return call(remote, chosen, dry_run=dry_run, progress=progress, remote_options=needed, **rules)

    if rules.get("prune") and not (yes or dry_run):
        words = (verb, remote, *patterns, "--prune", "--yes")
        ask({remote: run(dry_run=True, progress=None)}, reports.again(session, *words))
    report = watched(session, verb, kind, run, dry_run=dry_run)
    record = reports.recorded(report, remote, verb, dry_run=dry_run)
    try:
        reports.told(session, record, porcelain=porcelain, patterns=patterns)
    finally:
        if after is not None and not dry_run:
            after(report)


def needs(session: Session, options: Sequence[str]) -> dict[str, Any] | None:
    """Return what a remote's store needs this time: ``-o`` before the command, then ``-o`` after it."""
    from friday_store.remotes import parsed

    return {**session.options, **parsed(options)} or None


def watched(session: Session, verb: str, kind: Kind, run: Run, *, dry_run: bool) -> SyncReport:
    """Carry out one exchange, and show how far it is."""
    with Watch(session, kind, verb) as watch:
        return run(dry_run=dry_run, progress=watch)


def ask(rehearsed: Mapping[str, SyncReport], again: str) -> None:
    """Show what would be lost at each remote, and ask; nothing is asked when nothing would be.

    Raises:
        Refusal: Nobody can be asked, or the answer was no.
    """
    lost = [(masked(remote), move) for remote, report in rehearsed.items() for move in _lost(report)]
    if not lost:
        return
    what = reports.counted(len(lost), "ref")
    if not sys.stdin.isatty():
        first = lost[0][1]
        such = f"{first['ref']}: {first['summary']}"
        raise Refusal(f"{what} would be deleted or moved back ({such}), and nobody can be asked here", 2, again)
    for remote, move in lost[:_SHOWN]:
        click.echo(f"{clean(remote)}:{reports.line(move)}", err=True)
    if lost[_SHOWN:]:
        click.echo(f"and {len(lost) - _SHOWN} more", err=True)
    if not click.confirm(f"Delete or move back {what}?", err=True):
        raise Refusal("nothing was changed", 1)


def _lost(report: SyncReport) -> list[dict[str, Any]]:
    """Return what a run would delete, or take from where the other side has it."""
    moves: list[dict[str, Any]] = reports.recorded(report, "", "push", dry_run=True)["refs"]
    return [move for move in moves if move["flag"] in "-+"]
