"""``rm`` and ``restore``: forgetting versions, and bringing them back."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import deleted_names, revisions
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import WILD, Refusal, Session
from friday_store.cli.text import ago, clean, short
from friday_store.cli.versions import VERSIONS, changed, label

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_DELETED: Final = View(
    fields=("model_name", "model_version", "model_id", "deleted_at", "actor", "message"),
    columns=(
        Column("model_name", "NAME"),
        Column("model_version", "VERSION"),
        Column("model_id", "ID", short),
        Column("deleted_at", "DELETED", ago),
        Column("actor", "BY"),
        Column("message", "WHY"),
    ),
    id="model_id",
)


class _Enough(Exception):  # noqa: N818 - it ends a rehearsal
    pass


@click.command(cls=Command, examples=["rm -n aapl_1d:1.0.0", "rm --yes aapl_1d:1.0.0", "rm --yes --force aapl_1d"])
@click.argument("target", metavar="NAME[:V]", shell_complete=revisions)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also what an alias points at.")
@click.pass_obj
def rm(session: Session, /, *, target: str, dry_run: bool, yes: bool, force: bool) -> None:
    """Forget a version or a model.

    restore brings it back: no byte is erased until gc does that.
    """
    registry = session.registry()
    name, _, version = target.partition(":")
    found = registry.get_model_versions(name) if not version else [registry.get_model_metadata(name, version)]
    if dry_run or not yes:
        _rehearse(registry, name, version or None, force=force)
    if not dry_run:
        if not yes:
            _ask(f"Remove {len(found)} version{'' if len(found) == 1 else 's'} of {name}?", target)
        gone = set(registry.delete_model(name, version or None, force=force))
        found = [record for record in found if record["model_id"] in gone]
    changed(session, found, "would remove" if dry_run else "removed")


def _rehearse(registry: ModelRegistry, name: str, version: str | None, *, force: bool) -> None:
    """Plan a deletion and drop it, so that what would refuse it refuses now."""
    with contextlib.suppress(_Enough), registry.transaction("rehearsal"):
        registry.delete_model(name, version, force=force)
        raise _Enough


def _ask(question: str, target: str) -> None:
    if not sys.stdin.isatty():
        message = f"{question[:1].lower()}{question[1:].removesuffix('?')}: nobody can be asked here, so say --yes"
        raise Refusal(message, 2, f"friday-store rm --yes {target}")
    if not click.confirm(clean(question), err=True):
        raise Refusal("nothing was removed", 1)


@click.command(
    cls=Command, examples=["restore", "restore -n gone", "restore gone:1.0.0 --json", "restore 'gon*'"]
)  # fmt: skip
@click.argument("target", metavar="[NAME[:V]|GLOB]", required=False, shell_complete=deleted_names)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would come back.")
@click.pass_obj
def restore(session: Session, /, *, target: str | None, dry_run: bool) -> None:
    """Bring back what was removed.

    Without a version, all of the model that is not erased yet comes back, and the rest is named. Without a name,
    what was removed is listed.
    """
    from friday_store.registry import history

    registry = session.registry()
    if target is None or not WILD.isdisjoint(target):
        names = history.deleted_names(registry.repository, target or "*")
        if target is not None and not names:
            raise Refusal(f"nothing was removed whose name answers to {target!r}", 3, "friday-store restore")
        version = ""
    else:
        name, _, version = target.partition(":")
        names = [name]
    if target is None:
        listing(session, _DELETED, [each for name in names for each in _gone(registry, name)])
        return
    there = {each["model_id"]: each for name in names for each in _gone(registry, name)}
    found = [i for name in names for i in registry.restore_model(name, version or None, dry_run=dry_run)]
    if dry_run:
        listing(session, VERSIONS, [there[i] for i in found], text=lambda each: clean(f"would restore {label(each)}"))
    else:
        changed(session, [registry.get_model_metadata(i) for i in found], "restored")
    for each in () if version else there.values():
        if each["model_id"] not in found:
            session.say("note", f"{label(each)} stays deleted: garbage collection has erased its bytes")


def _gone(registry: ModelRegistry, name: str) -> list[dict[str, Any]]:
    """Return what is known of the removed versions of a model."""
    from friday_store.registry import history
    from friday_store.registry.records import moment

    return [
        {
            "model_name": name,
            "model_version": version,
            "model_id": digest.hex(),
            "deleted_at": moment(entry.time),
            "actor": entry.actor,
            "message": entry.message,
        }
        for version, (entry, digest) in sorted(history.deleted(registry.repository, name).items())
    ]
