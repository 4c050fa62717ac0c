"""``alias`` and ``rollback``: names that move from version to version."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import alias_names, revisions
from friday_store.cli.output import Column, View, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, short
from friday_store.cli.versions import changed_one

if TYPE_CHECKING:
    from friday_store.refs import Revision
    from friday_store.registry import ModelRegistry

PRODUCTION: Final = "production"
_ALIASES: Final = View(
    fields=("revision", "alias", "model_name", "model_version", "model_id", "protected"),
    columns=(
        Column("model_name", "NAME"),
        Column("alias", "ALIAS"),
        Column("model_version", "VERSION"),
        Column("model_id", "ID", short),
        Column("protected", "PROTECTED"),
    ),
    id="revision",
)
_OVERRIDE: Final = click.option("--override", is_flag=True, help="Even if it is protected; the log says so.")


@click.command(
    cls=Command,
    examples=[
        "alias",
        "alias aapl_1d",
        "alias aapl_1d@champion aapl_1d:1.0.0",
        "alias --override aapl_1d@production aapl_1d:1.0.0",
        "alias -d aapl_1d@production",
    ],
)
@click.argument("name", metavar="[NAME[@ALIAS]]", required=False, shell_complete=alias_names)
@click.argument("revision", metavar="[REV]", required=False, shell_complete=revisions)
@click.option("-d", "--delete", is_flag=True, help="Remove it.")
@_OVERRIDE
@click.pass_obj
def alias(session: Session, /, *, name: str | None, revision: str | None, delete: bool, override: bool) -> None:
    """List, set or remove aliases."""
    registry = session.registry()
    if name is None or (revision is None and not delete and name in registry.model_names(name)):
        listing(session, _ALIASES, _aliases(registry, name))
    elif revision is not None and not delete:
        record = _meant(registry, name, revision)
        start = f"{record['model_name']}@"
        if not name.startswith(start):
            raise Refusal(
                f"an alias names a version of its own model, and {name!r} is not {start}ALIAS",
                2,
                shlex.join(["friday-store", "alias", f"{start}ALIAS", revision]),
            )
        registry.set_alias(record["model_id"], name.removeprefix(start), override=override)
        changed_one(session, registry.get_model_metadata(record["model_id"]), f"{name} is now")
    else:
        found = _labelled(registry, name)
        if revision is not None:
            raise click.UsageError("-d takes NAME@ALIAS alone")
        if delete:
            registry.delete_alias(found["model_name"], found["alias"], override=override)
        single(session, _ALIASES, found, text=(lambda _: clean(f"removed {name}")) if delete else None)


def _meant(registry: ModelRegistry, name: str, revision: str) -> dict[str, Any]:
    """Return the version that an alias is to point at.

    Raises:
        Refusal: The version comes first and the alias after it, as ``tag`` and ``status`` have it.
        ModelNotFoundError: There is no such version.
    """
    from friday_store.errors import InvalidNameError, ModelNotFoundError

    try:
        return registry.get_model_metadata(revision)
    except (ModelNotFoundError, InvalidNameError):
        try:
            model = registry.get_model_metadata(name)["model_name"]
        except (ModelNotFoundError, InvalidNameError):
            model = None
        if model is None:
            raise
        right = shlex.join(["friday-store", "alias", f"{model}@{revision}", name])
        raise Refusal(f"the alias comes first, as NAME@ALIAS, and {revision!r} is no version", 2, right) from None


def _aliases(registry: ModelRegistry, model: str | None) -> list[dict[str, Any]]:
    covers = registry.protection().covers
    return [
        {
            **record,
            "alias": each,
            "revision": f"{record['model_name']}@{each}",
            "protected": covers(record["model_name"], each),
        }
        for record in registry.list_models(model)
        for each in record["aliases"]
    ]


def _labelled(registry: ModelRegistry, text: str) -> dict[str, Any]:
    """Return the alias that ``NAME@ALIAS`` names; either part may hold an ``@`` itself."""
    from friday_store import refs

    readings: list[Revision] = [reading for reading in refs.parse(text) if reading.label]
    for reading in readings:
        for found in _aliases(registry, reading.name) if registry.model_names(reading.name) else []:
            if found["alias"] == reading.label:
                return found
    model = readings[0].name if readings else text
    registry.get_latest_version(model)
    raise Refusal(f"there is no alias {text!r}", 3, f"friday-store alias {model}")


@click.command(cls=Command, examples=["rollback aapl_1d -n", "rollback aapl_1d@production", "rollback aapl_1d --json"])
@click.argument("name", metavar="NAME[@ALIAS]", shell_complete=alias_names)
@click.option("-n", "--dry-run", is_flag=True, help="Only say where it would point.")
@_OVERRIDE
@click.pass_obj
def rollback(session: Session, /, *, name: str, dry_run: bool, override: bool) -> None:
    """Move an alias back.

    It points where it pointed before; without ALIAS it is production. Rolling back twice goes two moves back;
    friday-store history NAME@ALIAS shows them.
    """
    from friday_store.refs import Ref
    from friday_store.registry import history

    registry = session.registry()
    model, alias = moving(registry, name)
    was = next((each["model_version"] for each in _aliases(registry, model) if each["alias"] == alias), "nothing")
    if dry_run:
        target = history.before(registry.repository, Ref("aliases", model, alias)).hex()
    else:
        target = registry.rollback(model, alias, override=override)
    record = registry.get_model_metadata(target)
    changed_one(session, record, f"{model}@{alias} {'would be' if dry_run else 'is now'}", f"; it was {was}")


def moving(registry: ModelRegistry, text: str) -> tuple[str, str]:
    """Return the model and the alias that ``NAME[@ALIAS]`` names, whether or not the alias is there now.

    Raises:
        ModelNotFoundError: There is no such model.
    """
    model, mark, alias = text.rpartition("@")
    if not mark or text in registry.model_names(text):
        model, alias = text, PRODUCTION
    registry.get_latest_version(model)
    return model, alias
