"""``fsck``: whether all that is stored is sound, and mending what is not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.completing import remote_names
from friday_store.cli.output import Column, View, chosen, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked
from friday_store.errors import IntegrityError

if TYPE_CHECKING:
    from friday_store.maintenance import Problem
    from friday_store.maintenance.repair import Repaired
    from friday_store.registry import ModelRegistry

_DAMAGE: Final = 5
_NAMED: Final = 3
_LINES: Final = View(
    fields=("severity", "kind", "path", "message", "versions"),
    columns=(
        Column("severity", "SEVERITY"),
        Column("kind", "KIND"),
        Column("path", "PATH"),
        Column("message", "MESSAGE"),
    ),
    id="path",
)
_DOCUMENT: Final = View(fields=("problems", "repaired", "left"), columns=_LINES.columns, id="path")


@click.command(
    cls=Command,
    examples=[
        "fsck",
        "fsck --quick --json",
        "fsck --remote origin",
        "fsck --repair",
        "fsck --repair-from origin",
    ],
)
@click.option("--quick", is_flag=True, help="Do not read the packs' data.")
@click.option("--remote", metavar="REMOTE", shell_complete=remote_names, help="Check what a remote stores instead.")
@click.option("--repair", is_flag=True, help="Mend what can be mended from what is here.")
@click.option(
    "--repair-from",
    "remotes",
    metavar="REMOTE",
    multiple=True,
    shell_complete=remote_names,
    help="The same, and fetch what is lost from a remote; may be repeated.",
)
@click.pass_obj
def fsck(session: Session, /, *, quick: bool, remote: str | None, repair: bool, remotes: Sequence[str]) -> None:
    """Check and repair what is stored.

    Nothing is changed without --repair or --repair-from; damaged files are then moved to the folder damaged, never
    deleted. The exit code is 0 when nothing is lost or damaged, or no longer, also with warnings; 5 when something is;
    and 7 when the store could not be read, so that nothing is known.
    """
    mending = repair or bool(remotes)
    if quick and mending:
        raise click.UsageError("a repair reads everything: leave out --quick")
    if remote is not None and mending:
        raise click.UsageError("a remote is not repaired from here: friday-store -R URL fsck --repair does that")
    registry = session.registry()
    problems = registry.fsck(quick=quick, remote=remote)
    mended: list[Repaired] = []
    left = problems
    try:
        if mending:
            mended = registry.repair(remotes)
            left = registry.fsck()
    except IntegrityError as error:
        _write(session, problems, mended, left)
        raise Refusal(str(error), error.exit_code, _lost(registry, left) or error.hint) from error
    _write(session, problems, mended, left)
    reach = " (the packs' data was not read)" if quick else " now" if mended else ""
    _judged(session, left, f"{reports.counted(len(mended), 'repair')} done; " if mended else "", reach)
    if remote is not None:
        hint = _repair_there(registry, remote, left)
    else:
        hint = _way_out(session, registry, left, remotes, mending=mending)
    if hint:
        session.say("hint", hint)
    raise click.exceptions.Exit(_DAMAGE if any(each.severity == "error" for each in left) else 0)


def _write(session: Session, problems: Sequence[Problem], mended: Sequence[Repaired], left: Sequence[Problem]) -> None:
    """Write what was wrong, then what was repaired, then what is still wrong."""
    repaired = [{"path": each.path, "message": each.message} for each in mended]
    found, still = _recorded(problems), _recorded(left)
    if chosen(session) == "json":
        single(session, _DOCUMENT, {"problems": found, "repaired": repaired, "left": still})
        return
    rows = [*found, *({"severity": "repaired", "kind": "", **each} for each in repaired)]
    if left is not problems:
        rows += [{**each, "severity": f"still {each['severity']}"} for each in still]
    listing(session, _LINES, rows, text=_line)


def _line(row: Mapping[str, Any]) -> str:
    told = row["message"].startswith(row["path"]) or row["kind"] == "closure"  # which is about a version, and names it
    where = "" if told else f"{row['path']}: "
    return clean(f"{row['severity']}: {where}{row['message']}")


def _recorded(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "severity": each.severity,
            "kind": each.kind,
            "path": each.path,
            "message": each.message,
            "versions": list(each.versions),
        }
        for each in problems
    ]


def _judged(session: Session, left: Sequence[Problem], done: str, reach: str) -> None:
    damage = sum(each.severity == "error" for each in left)
    if damage:
        found = "left" if done else "found"
        session.say("error", f"{done}{reports.counted(damage, 'problem')} {found}: stored bytes are damaged or missing")
    else:
        session.say("note", f"{done}nothing is damaged{reach}")


def _way_out(
    session: Session, registry: ModelRegistry, left: Sequence[Problem], tried: Sequence[str], *, mending: bool
) -> str | None:
    """Return the command that could mend what is left; None where there is nothing left to try."""
    if not any(each.severity == "error" for each in left):
        return None
    lost = _lost(registry, left)
    if lost:
        return lost
    gone = [each for each in left if each.severity == "error" and each.versions]
    others = [name for name in registry.remotes() if name not in tried] if gone else []
    if others:
        words = [word for name in (*tried, *others) for word in ("--repair-from", name)]
        return reports.again(session, "fsck", *words)
    if not mending and any(each.kind != "closure" for each in left):  # a file is damaged: the rest of it can be saved
        return reports.again(session, "fsck", "--repair")
    return _given_up(session, gone) if gone else _waiting(session, registry)


def _given_up(session: Session, gone: Sequence[Problem]) -> str:
    """Say which versions are lost here and in every remote that was asked; return what lets go of one."""
    versions = list(dict.fromkeys(name for each in gone for name in each.versions))
    count = f"{', '.join(versions[:_NAMED])}{' and more' if len(versions) > _NAMED else ''}"
    session.say("note", f"only a copy of this registry brings {count} back: fsck --repair-from its URL; or let it go")
    return reports.again(session, "rm", "--yes", "--force", versions[0])


def _waiting(session: Session, registry: ModelRegistry) -> str | None:
    """Return what erases a damaged file that is out of use, in a store where nothing can be moved aside."""
    return None if registry.repository.storage.root is not None else reports.again(session, "gc")


def _repair_there(registry: ModelRegistry, remote: str, left: Sequence[Problem]) -> str | None:
    """Return the command that repairs a remote."""
    if not any(each.severity == "error" for each in left):
        return None
    url = registry.remotes().get(remote, remote)
    place = url if "://" in url else os.path.normpath(Path(registry.url, url))
    return shlex.join(["friday-store", "-R", masked(place), "fsck", "--repair"])


def _lost(registry: ModelRegistry, left: Sequence[Problem]) -> str | None:
    """Return what to do about a damaged log, which no other registry has and which nothing here can mend."""
    paths = ", ".join(each.path for each in left if each.kind == "log")
    if not paths:
        return None
    for url in registry.remotes().values():
        place = url if "://" in url else os.path.normpath(Path(registry.url, url))
        return shlex.join(["friday-store", "clone", masked(place), "ANOTHER_FOLDER"])
    return f"bring {paths} back from a copy of {registry.url}"
