"""``push``, ``pull``, ``clone`` and ``remote``: registries with each other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from friday_store.cli.command import Command, Group
from friday_store.cli.output import Column, View, chosen, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked, size

if TYPE_CHECKING:
    from friday_store.hookspecs import RefUpdate, SyncReport

_PARTIAL: Final = 12
_REPORT: Final = View(
    fields=("remote", "direction", "dry_run", "refs", "objects", "size_bytes", "present"),
    columns=(
        Column("remote", "REMOTE"),
        Column("direction", "DIRECTION"),
        Column("objects", "OBJECTS"),
        Column("size_bytes", "SIZE", size),
    ),
    id="remote",
)
_MOVES: Final = View(
    fields=("flag", "ref", "old", "new", "summary"),
    columns=(Column("flag", ""), Column("ref", "REF"), Column("summary", "SUMMARY")),
    id="ref",
)
_REMOTES: Final = View(
    fields=("name", "url"), columns=(Column("name", "NAME"), Column("url", "URL")), id="name"
)  # fmt: skip
_CLONED: Final = View(
    fields=("path", "url", "models", "versions"),
    columns=(Column("path", "PATH"), Column("models", "MODELS"), Column("versions", "VERSIONS")),
    id="path",
)


@click.command(cls=Command, examples=["push", "push origin 'aapl_*' -n", "push --porcelain"])
@click.argument("remote", default="origin")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--force", is_flag=True, help="Move aliases that moved on both sides.")
@click.option("--porcelain", is_flag=True, help="One line for each ref: flag, from:to, summary, with tabs.")
@click.pass_obj
def push(
    session: Session, /, *, remote: str, patterns: Sequence[str], dry_run: bool, force: bool, porcelain: bool
) -> None:
    """Send what a remote lacks.

    REMOTE is a name or a URL; a PATTERN such as 'aapl_*' chooses models.
    """
    report = session.registry().push(remote, patterns or ("*",), force=force, dry_run=dry_run)
    record = _recorded(report, remote, "push", dry_run=dry_run, force=force)
    _tell(session, record, porcelain=porcelain)


@click.command(cls=Command, examples=["pull", "pull origin 'aapl_*' -n"])
@click.argument("remote", default="origin")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would come.")
@click.option("--force", is_flag=True, help="Move aliases that moved on both sides.")
@click.option("--porcelain", is_flag=True, help="One line for each ref: flag, from:to, summary, with tabs.")
@click.pass_obj
def pull(
    session: Session, /, *, remote: str, patterns: Sequence[str], dry_run: bool, force: bool, porcelain: bool
) -> None:
    """Fetch what is new in a remote.

    REMOTE is a name or a URL; a PATTERN such as 'aapl_*' chooses models.
    """
    report = session.registry().pull(remote, patterns or ("*",), force=force, dry_run=dry_run)
    record = _recorded(report, remote, "pull", dry_run=dry_run, force=force)
    _tell(session, record, porcelain=porcelain)


def _recorded(
    report: SyncReport, remote: str, direction: str, *, dry_run: bool, force: bool
) -> dict[str, Any]:  # fmt: skip
    moves = [_moved(update, force=force) for update in report.moved]
    moves += [{**_moved(update, force=force), "flag": "!", "summary": reason} for update, reason in report.rejected]
    return {
        "remote": masked(remote),
        "direction": direction,
        "dry_run": dry_run,
        "refs": moves,
        "objects": report.objects,
        "size_bytes": report.size,
        "present": report.present,
    }


def _moved(update: RefUpdate, *, force: bool) -> dict[str, Any]:
    """Return a move with git's flag for it: ``*`` new, ``-`` removed, ``+`` forced, a blank for moved on."""
    if update.old is None:
        flag, summary = "*", f"new {(update.new or '')[:12]}"
    elif update.new is None:
        flag, summary = "-", f"removed {update.old[:12]}"
    else:
        flag, summary = "+" if force else " ", f"{update.old[:12]}..{update.new[:12]}"
    return {"flag": flag, "ref": update.ref, "old": update.old, "new": update.new, "summary": summary}


def _tell(session: Session, record: dict[str, Any], *, porcelain: bool) -> None:
    """Write a report, and fail if a ref was left alone."""
    refs: list[dict[str, Any]] = record["refs"]
    if porcelain:
        lines = [f"{each['flag']}\t{each['ref']}:{each['ref']}\t{each['summary']}" for each in refs]
        click.echo("".join(f"{line}\n" for line in lines), nl=False)
    elif chosen(session) in ("tsv", "ids"):
        listing(session, _MOVES, refs)
    else:
        single(session, _REPORT, record, text=_summary)
    rejected = sum(each["flag"] == "!" for each in refs)
    if rejected:
        sys.stdout.flush()
        again = f"friday-store {record['direction']} {record['remote']}"
        raise Refusal(
            f"{rejected} of {len(refs)} refs were left alone: {next(e for e in refs if e['flag'] == '!')['summary']}",
            4 if rejected == len(refs) else _PARTIAL,
            f"{again} --force" if any(each["ref"].startswith("aliases/") for each in refs) else f"{again} -n",
        )


def _summary(record: Mapping[str, Any]) -> str:
    lines = [f" {each['flag']} {clean(each['ref'])}  {clean(each['summary'])}" for each in record["refs"]]
    sent = {"push": "sent", "pull": "fetched"}[record["direction"]]
    would = "would be " if record["dry_run"] else ""
    counted = f"{record['objects']} objects ({size(record['size_bytes'])}) {would}{sent}"
    there = f", {record['present']} were there" if record["present"] else ""
    return "\n".join([*lines, counted + there if lines else "up to date"])


@click.command(cls=Command, examples=["clone shared/team", "clone shared/team copy --json"])
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def clone(session: Session, /, *, url: str, folder: Path | None) -> None:
    """Copy a registry and set it as origin.

    Without DIR the folder is called as the registry is.
    """
    from friday_store.registry import ModelRegistry

    target = folder or Path(_called(url))
    with ModelRegistry.clone(url, target, plugins=session.found_plugins()) as made:
        records = made.list_models()
    record = {
        "path": str(target),
        "url": masked(url),
        "models": len({each["model_name"] for each in records}),
        "versions": len(records),
    }
    single(
        session,
        _CLONED,
        record,
        text=lambda each: clean(
            f"cloned {each['url']} into {each['path']}: {each['models']} models, {each['versions']} versions"
        ),
    )


def _called(url: str) -> str:
    """Return the folder's name for a URL: its last part, ``.friday`` aside."""
    parts = [part for part in urlsplit(url).path.split("/") if part not in ("", ".", "..")]
    while parts and parts[-1] == ".friday":
        parts.pop()
    name = parts[-1] if parts else urlsplit(url).netloc.rpartition("@")[2]
    if not name or Path(name).resolve() == Path(url).resolve():
        raise click.UsageError("name the folder to clone into")
    return name


@click.group(cls=Group, invoke_without_command=True, examples=["remote", "remote add backup ../backup"])
@click.pass_context
def remote(ctx: click.Context) -> None:
    """List, add and remove remotes."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(remote_ls)


@remote.command("ls", examples=["remote ls", "remote ls --json"])
@click.pass_obj
def remote_ls(session: Session) -> None:
    """List the remotes."""
    listing(session, _REMOTES, _remotes(session))


@remote.command("show", examples=["remote show origin", "remote show origin --json"])
@click.argument("name")
@click.pass_obj
def remote_show(session: Session, /, *, name: str) -> None:
    """Show one remote."""
    single(session, _REMOTES, _remote(session, name))


@remote.command("add", examples=["remote add backup ../backup", "remote add --json bucket s3://models/team"])
@click.argument("name")
@click.argument("url")
@click.pass_obj
def remote_add(session: Session, /, *, name: str, url: str) -> None:
    """Name another registry, which need not exist yet."""
    session.registry().add_remote(name, url)
    single(session, _REMOTES, _remote(session, name), text=lambda each: clean(f"{each['name']} is {each['url']}"))


@remote.command("rm", examples=["remote rm origin", "remote rm origin --json"])
@click.argument("name")
@click.pass_obj
def remote_rm(session: Session, /, *, name: str) -> None:
    """Forget a remote; nothing in it changes."""
    found = _remote(session, name)
    session.registry().remove_remote(name)
    single(session, _REMOTES, found, text=lambda each: clean(f"removed {each['name']}"))


def _remotes(session: Session) -> list[dict[str, str]]:
    return [{"name": name, "url": masked(url)} for name, url in sorted(session.registry().remotes().items())]


def _remote(session: Session, name: str) -> dict[str, str]:
    from difflib import get_close_matches

    known = {each["name"]: each for each in _remotes(session)}
    if name not in known:
        near = get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise Refusal(f"there is no remote {name!r}{meant}", 3, "friday-store remote ls")
    return known[name]
