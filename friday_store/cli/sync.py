"""``push``, ``pull``, ``fetch``, ``clone`` and ``mirror``: registries with each other."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.completing import remote_names
from friday_store.cli.exchange import (
    ALL,
    Run,
    ask,
    exchange,
    needing,
    needs,
    ported,
    rehearsing,
    remote_and_patterns,
    settling,
    watched,
    watching,
    without_data,
)
from friday_store.cli.output import Column, View, single
from friday_store.cli.progress import Kind, Watch
from friday_store.cli.session import WILD, Session
from friday_store.cli.text import clean, masked

if TYPE_CHECKING:
    from friday_store.errors import FridayStoreError
    from friday_store.registry import ModelRegistry

_CLONED: Final = View(
    fields=("path", "url", "models", "versions"),
    columns=(Column("path", "PATH"), Column("models", "MODELS"), Column("versions", "VERSIONS")),
    id="path",
)


@click.command(
    cls=Command,
    copies=True,
    examples=[
        "push",
        "push origin 'aapl_*' -n",
        "push origin 'aapl_*' --tags",
        "push --porcelain",
        "push origin --theirs 'aapl_1d@production'",
        "push --prune --yes --json",
    ],
)
@remote_and_patterns
@click.option("--all", "everything", is_flag=True, help="Every model, which is so without a PATTERN.")
@click.option(
    "--tags", is_flag=True, help="Besides, tags, notes and aliases of every version that the remote has already."
)
@rehearsing
@settling
@click.option("--force-with-lease", is_flag=True, help="As --force, where the remote is as it was last seen.")
@ported
@watching
@needing
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
    exchange(session, "push", registry.push, remote, patterns, force_with_lease=force_with_lease, **rest)


def _warn_of_strangers(session: Session, registry: ModelRegistry, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        if WILD.isdisjoint(pattern) and not registry.model_names(pattern):
            session.say("warning", f"there is no model {pattern!r} here")


@click.command(
    cls=Command, copies=True, examples=["pull", "pull origin 'aapl_*' -n", "pull --theirs 'aapl_1d@production'"]
)
@remote_and_patterns
@rehearsing
@settling
@without_data
@ported
@watching
@needing
@click.pass_obj
def pull(session: Session, /, *, remote: str, patterns: Sequence[str], metadata_only: bool, **rest: Any) -> None:
    """Fetch and follow what is new.

    REMOTE is a name or a URL; a PATTERN such as 'aapl_*' chooses models. An alias that both sides moved is left alone
    until --ours, --theirs or --force settles it. --metadata-only holds for later pulls too.
    """
    exchange(session, "pull", session.registry().pull, remote, patterns, metadata_only=metadata_only or None, **rest)


@click.command(cls=Command, copies=True, examples=["fetch", "fetch origin 'team_*' --metadata-only", "fetch -n --json"])
@remote_and_patterns
@rehearsing
@without_data
@ported
@watching
@needing
@click.pass_obj
def fetch(session: Session, /, *, remote: str, patterns: Sequence[str], **rest: Any) -> None:
    """Fetch, and move nothing.

    What the remote has is then called REMOTE/MODEL@ALIAS, as in friday-store load origin/aapl_1d@production. Where
    models were cloned with --metadata-only, it brings the bytes of those that match.
    """
    exchange(session, "fetch", session.registry().fetch, remote, patterns, **rest)


@click.command(
    cls=Command,
    copies=True,
    examples=["mirror origin -n", "mirror --yes origin", "mirror --yes origin ../backup --json"],
)
@click.argument("remotes", metavar="REMOTE...", nargs=-1, required=True, shell_complete=remote_names)
@rehearsing
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@watching
@click.pass_obj
def mirror(session: Session, /, *, remotes: Sequence[str], dry_run: bool, yes: bool, kind: Kind) -> None:
    """Make a remote the same as this.

    What remotes have besides is deleted there, and aliases go where they are here. All remotes are tried, also when one
    fails.
    """
    registry = session.registry()

    def run(remote: str) -> Run:
        return lambda *, dry_run, progress: registry.mirror([remote], dry_run=dry_run, progress=progress)[remote]

    failures: dict[str, FridayStoreError] = {}
    chosen: Sequence[str] = remotes
    if not (dry_run or yes):
        rehearsed, failures = reports.each_of(remotes, lambda remote: run(remote)(dry_run=True, progress=None))
        ask(rehearsed, reports.again(session, "mirror", "--yes", *remotes))
        chosen = list(rehearsed)
    done, failed = reports.each_of(
        chosen, lambda remote: watched(session, "mirror", kind, run(remote), dry_run=dry_run)
    )
    reports.mirrored(
        session,
        [reports.recorded(report, remote, "mirror", dry_run=dry_run) for remote, report in done.items()],
        failures | failed,
    )


@click.command(
    cls=Command,
    copies=True,
    examples=[
        "clone shared/team",
        "clone shared/team copy --json",
        "clone shared/team light --metadata-only --only 'team_*'",
    ],
)
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--only", metavar="PATTERN", multiple=True, help="Only models such as 'aapl_*'; may be repeated.")
@without_data
@watching
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
    """Copy a registry to work on.

    It is set as origin. Without DIR the folder is called as the registry is. A clone that was interrupted goes on when
    it is asked for again.
    """
    from friday_store.registry import ModelRegistry

    target = folder or Path(_called(url))
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(Watch(session, kind, "clone"))
        made = stack.enter_context(
            ModelRegistry.clone(
                url,
                target,
                patterns=only or ALL,
                metadata_only=metadata_only,
                remote_options=needs(session, options),
                progress=watch,
                plugins=session.found_plugins(),
            )
        )
        index = made.repository.index
        [(models, versions)] = index.rows("SELECT count(DISTINCT model_name), count(*) FROM model_metadata")
    record = {
        "path": str(target),
        "url": masked(url),
        "models": models,
        "versions": versions,
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
