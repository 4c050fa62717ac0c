"""``push``, ``pull``, ``fetch``, ``clone`` and ``mirror``: registries with each other."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.output import Column, View, single
from friday_store.cli.progress import KINDS, Kind, Watch
from friday_store.cli.session import Refusal, Session, model_names
from friday_store.cli.text import clean, masked

if TYPE_CHECKING:
    from friday_store.errors import FridayStoreError
    from friday_store.hookspecs import SyncReport
    from friday_store.registry import ModelRegistry
    from friday_store.sync import Watcher

_ALL: Final = ("*",)
_SHOWN: Final = 20
_WILD: Final = frozenset("*?[")
_CLONED: Final = View(
    fields=("path", "url", "models", "versions"),
    columns=(Column("path", "PATH"), Column("models", "MODELS"), Column("versions", "VERSIONS")),
    id="path",
)


class _Run(Protocol):
    """One exchange with a remote, rehearsed or real."""

    def __call__(self, *, dry_run: bool, progress: Watcher | None) -> SyncReport: ...


def remote_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """Return the remotes whose names begin so, for the shell; nothing when anything is wrong."""
    from friday_store.errors import FridayStoreError

    try:
        return [name for name in ctx.ensure_object(Session).registry().remotes() if name.startswith(incomplete)]
    except (FridayStoreError, OSError):
        return []


def _labels(ctx: click.Context, param: click.Parameter, globs: Sequence[str]) -> Sequence[str]:  # noqa: ARG001
    """Refuse a glob that can match no ``MODEL@ALIAS``."""
    for glob in globs:
        if "@" not in glob and _WILD.isdisjoint(glob):
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
_dry_run: Final = click.option("-n", "--dry-run", is_flag=True, help="Change nothing; say exactly what would be done.")
_settling: Final = _together(
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
_porcelain: Final = click.option(
    "--porcelain", is_flag=True, help="One line for each ref: flag, from:to, summary, with tabs."
)
_metadata_only: Final = click.option(
    "--metadata-only", is_flag=True, help="Leave the models' own bytes there; loading fetches them."
)
_progress: Final = click.option(
    "--progress",
    "kind",
    type=click.Choice(KINDS),
    default="auto",
    help="On stderr, after a second; auto: a bar on a terminal.",
)
_needs: Final = click.option(
    "-o", "options", metavar="KEY=VALUE", multiple=True, help="What the remote's store needs, this time."
)


@click.command(
    cls=Command,
    examples=[
        "push",
        "push origin 'aapl_*' -n",
        "push --porcelain",
        "push origin --theirs 'aapl_1d@production'",
        "push --prune --yes --json",
    ],
)
@remote_and_patterns
@click.option("--all", "everything", is_flag=True, help="Every model, which is so without a PATTERN.")
@_dry_run
@_settling
@click.option("--force-with-lease", is_flag=True, help="As --force, where the remote is as it was last seen.")
@_porcelain
@_progress
@_needs
@click.pass_obj
def push(
    session: Session, /, *, remote: str, patterns: Sequence[str], everything: bool, force_with_lease: bool, **rest: Any
) -> None:
    """Send what a remote lacks.

    REMOTE is a name or a URL; a PATTERN such as 'aapl_*' chooses models. Objects go first, then all refs at once. An
    alias that both sides moved is left alone until --ours, --theirs or --force settles it.
    """
    if everything and patterns:
        raise click.UsageError("--all means every model: leave out --all or the patterns")
    if force_with_lease and rest["force"]:
        raise click.UsageError("--force asks nothing, and --force-with-lease asks first: give one of them")
    registry = session.registry()
    _warn_of_strangers(session, registry, patterns)
    _exchange(session, "push", registry.push, remote, patterns, force_with_lease=force_with_lease, **rest)


def _warn_of_strangers(session: Session, registry: ModelRegistry, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        if _WILD.isdisjoint(pattern) and not registry.model_names(pattern):
            session.say("warning", f"there is no model {pattern!r} here")


@click.command(cls=Command, examples=["pull", "pull origin 'aapl_*' -n", "pull --theirs 'aapl_1d@production'"])
@remote_and_patterns
@_dry_run
@_settling
@_metadata_only
@_porcelain
@_progress
@_needs
@click.pass_obj
def pull(session: Session, /, *, remote: str, patterns: Sequence[str], metadata_only: bool, **rest: Any) -> None:
    """Fetch what is new in a remote, and follow it.

    REMOTE is a name or a URL; a PATTERN such as 'aapl_*' chooses models. An alias that both sides moved is left alone
    until --ours, --theirs or --force settles it. --metadata-only holds for later pulls too.
    """
    registry = session.registry()
    if metadata_only and not rest["dry_run"]:
        _leave_data(registry, remote)
    _exchange(session, "pull", registry.pull, remote, patterns, metadata_only=metadata_only or None, **rest)


def _leave_data(registry: ModelRegistry, remote: str) -> None:
    """Remember that the bytes of models stay at a remote, or nobody would know where to fetch them from."""
    if remote not in registry.remotes():
        raise Refusal(
            f"bytes that are left at {masked(remote)} are not found again unless it has a name",
            2,
            f"friday-store remote add NAME {remote}",
        )
    if not registry.remote(remote).partial:
        registry.set_remote(remote, {"partial": True})


@click.command(cls=Command, examples=["fetch", "fetch origin 'team_*' --metadata-only", "fetch -n --json"])
@remote_and_patterns
@_dry_run
@_metadata_only
@_porcelain
@_progress
@_needs
@click.pass_obj
def fetch(session: Session, /, *, remote: str, patterns: Sequence[str], **rest: Any) -> None:
    """Fetch what is new in a remote, and move nothing.

    What it has is then called REMOTE/MODEL@ALIAS, as in friday-store load origin/aapl_1d@production. Where models were
    cloned with --metadata-only, it brings the bytes of those that match.
    """
    _exchange(session, "fetch", session.registry().fetch, remote, patterns, **rest)


def _exchange(
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
    **rules: Any,
) -> None:
    """Carry out a push, pull or fetch, and write what it did; ask before it deletes."""
    if porcelain and session.format:
        raise click.UsageError(f"one format at a time: {session.format} or porcelain")
    needed = needs(session, options)

    def run(*, dry_run: bool, progress: Watcher | None) -> SyncReport:
        chosen = patterns or _ALL
        return call(remote, chosen, dry_run=dry_run, progress=progress, remote_options=needed, **rules)

    if rules.get("prune") and not (yes or dry_run):
        words = (verb, remote, *patterns, "--prune", "--yes")
        _ask({remote: run(dry_run=True, progress=None)}, reports.again(session, *words))
    report = _watched(session, verb, kind, run, dry_run=dry_run)
    record = reports.recorded(report, remote, verb, dry_run=dry_run)
    reports.told(session, record, porcelain=porcelain, patterns=patterns)


def needs(session: Session, options: Sequence[str]) -> dict[str, Any] | None:
    """Return what a remote's store needs this time: ``-o`` before the command, then ``-o`` after it."""
    from friday_store.remotes import parsed

    return {**session.options, **parsed(options)} or None


def _watched(session: Session, verb: str, kind: Kind, run: _Run, *, dry_run: bool) -> SyncReport:
    with Watch(session, kind, verb) as watch:
        return run(dry_run=dry_run, progress=watch)


def _ask(rehearsed: Mapping[str, SyncReport], again: str) -> None:
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


@click.command(
    cls=Command, examples=["mirror origin -n", "mirror --yes origin", "mirror --yes origin ../backup --json"]
)
@click.argument("remotes", metavar="REMOTE...", nargs=-1, required=True, shell_complete=remote_names)
@_dry_run
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@_progress
@click.pass_obj
def mirror(session: Session, /, *, remotes: Sequence[str], dry_run: bool, yes: bool, kind: Kind) -> None:
    """Make remotes what this registry is.

    What they have besides is deleted there, and aliases go where they are here. All remotes are tried, also when one
    fails.
    """
    registry = session.registry()

    def run(remote: str) -> _Run:
        return lambda *, dry_run, progress: registry.mirror([remote], dry_run=dry_run, progress=progress)[remote]

    failures: dict[str, FridayStoreError] = {}
    chosen: Sequence[str] = remotes
    if not (dry_run or yes):
        rehearsed, failures = reports.each_of(remotes, lambda remote: run(remote)(dry_run=True, progress=None))
        _ask(rehearsed, reports.again(session, "mirror", "--yes", *remotes))
        chosen = list(rehearsed)
    done, failed = reports.each_of(
        chosen, lambda remote: _watched(session, "mirror", kind, run(remote), dry_run=dry_run)
    )
    reports.mirrored(
        session,
        [reports.recorded(report, remote, "mirror", dry_run=dry_run) for remote, report in done.items()],
        failures | failed,
    )


@click.command(
    cls=Command,
    examples=[
        "clone shared/team",
        "clone shared/team copy --json",
        "clone shared/team light --metadata-only --only 'team_*'",
    ],
)
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--only", metavar="PATTERN", multiple=True, help="Only models such as 'aapl_*'; may be repeated.")
@_metadata_only
@_progress
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="What the store needs; the clone keeps it.")
@click.pass_obj
def clone(
    session: Session,
    /,
    *,
    url: str,
    folder: Path | None,
    only: Sequence[str],
    metadata_only: bool,
    kind: Kind,
    options: Sequence[str],
) -> None:
    """Copy a registry and set it as origin.

    Without DIR the folder is called as the registry is. A clone that was interrupted goes on when it is asked for
    again.
    """
    from friday_store.registry import ModelRegistry

    target = folder or Path(_called(url))
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(Watch(session, kind, "clone"))
        made = stack.enter_context(
            ModelRegistry.clone(
                url,
                target,
                patterns=only or _ALL,
                metadata_only=metadata_only,
                remote_options=needs(session, options),
                progress=watch,
                plugins=session.found_plugins(),
            )
        )
        records = made.list_models()
    record = {
        "path": str(target),
        "url": masked(url),
        "models": len({each["model_name"] for each in records}),
        "versions": len(records),
    }
    single(session, _CLONED, record, text=_cloned)


def _cloned(record: Mapping[str, Any]) -> str:
    what = f"{reports.counted(record['models'], 'model')}, {reports.counted(record['versions'], 'version')}"
    return clean(f"cloned {record['url']} into {record['path']}: {what}")


def _called(url: str) -> str:
    """Return the folder's name for a URL: its last part, ``.friday`` aside."""
    parts = [part for part in urlsplit(url).path.split("/") if part not in ("", ".", "..")]
    while parts and parts[-1] == ".friday":
        parts.pop()
    name = parts[-1] if parts else urlsplit(url).netloc.rpartition("@")[2]
    if not name or Path(name).resolve() == Path(url).resolve():
        raise click.UsageError("name the folder to clone into")
    return name
