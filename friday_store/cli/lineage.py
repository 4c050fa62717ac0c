"""``lineage`` and ``blame``: where versions come from, and which of them brought a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import parameter_names, revisions
from friday_store.cli.output import Column, View, chosen, listing, single, text
from friday_store.cli.session import FORMATS, Refusal, Session
from friday_store.cli.text import ago, clean, short
from friday_store.cli.versions import label

if TYPE_CHECKING:
    from friday_store.lineage import Lineage
    from friday_store.registry import ModelRegistry

_DRAWINGS: Final = ("tree", "dot", "mermaid")
_LINEAGE: Final = View(
    fields=("root", "direction", "nodes", "edges"),
    columns=(Column("root", "ROOT", short), Column("direction", "DIRECTION")),
    id="root",
)
_NODES: Final = View(
    fields=("model_id", "name", "version", "status", "kind", "parents"),
    columns=(
        Column("model_id", "ID", short),
        Column("name", "NAME"),
        Column("version", "VERSION"),
        Column("status", "STATUS"),
        Column("kind", "KIND"),
        Column("parents", "PARENTS", short),
    ),
    id="model_id",
)
_BLAME: Final = View(
    fields=("parameter", "value", "model_id", "model_name", "model_version", "author", "time", "previous",
            "previous_id"),
    columns=(
        Column("parameter", "PARAMETER"),
        Column("value", "VALUE"),
        Column("model_version", "SINCE"),
        Column("previous", "BEFORE"),
        Column("author", "AUTHOR"),
        Column("time", "TIME", ago),
    ),
    id="parameter",
)  # fmt: skip


def _drawing(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001 - click's
    """Return how to draw; one of the formats of every command goes to the session."""
    if value is None or value in _DRAWINGS:
        return value
    session = ctx.ensure_object(Session)
    if session.format not in ("", value):
        raise click.UsageError(f"one format at a time: {session.format} or {value}", ctx)
    session.format = value
    return None


@click.command(
    cls=Command,
    examples=[
        "lineage aapl_1d",
        "lineage aapl_1d:1.0.0 --down 3",
        "lineage aapl_1d@production --format mermaid",
        "lineage aapl_1d --up 1 --json",
        "lineage aapl_1d:1.1.0 --common aapl_1d:1.0.0",
    ],
)
@click.argument("revision", shell_complete=revisions)
@click.option("--up", type=click.IntRange(0), metavar="N", help="What it came from, at most N steps away.")
@click.option("--down", type=click.IntRange(0), metavar="N", help="What came of it, at most N steps away.")
@click.option("--common", metavar="REV", shell_complete=revisions, help="The nearest version that both come from.")
@click.option(
    "--format",
    "drawing",
    type=click.Choice([*_DRAWINGS, *FORMATS]),
    callback=_drawing,
    metavar="F",
    help="tree, dot, mermaid, or a format of every command.",
)
@click.pass_obj
def lineage(
    session: Session, /, *, revision: str, up: int | None, down: int | None, common: str | None, drawing: str | None
) -> None:
    """Show ancestors and descendants.

    Parents are followed across models, so the components of an ensemble and the base of a fine-tuned model are there;
    so is what was deleted, and data that a version names as a parent. Without --up and --down it is all of both.
    """
    registry = session.registry()
    if drawing is not None and session.format:
        raise click.UsageError(f"one format at a time: {session.format} or {drawing}")
    if common is not None:
        _common(session, registry, revision, common)
        return
    found = _found(registry, revision, up, down)
    kind = chosen(session)
    if drawing == "dot":
        text(session, found.to_dot().rstrip("\n"))
    elif drawing == "mermaid":
        text(session, found.to_mermaid().rstrip("\n"))
    elif drawing == "tree" or (kind == "human" and not session.fields):
        text(session, clean_lines(found.to_text(None)), paged=True)
    elif kind == "json":
        single(session, _LINEAGE, found.as_dict())
    else:
        listing(session, _NODES, found.records(), paged=True)


def clean_lines(shown: str) -> str:
    """Return text of many lines, each without what could move a cursor."""
    return "\n".join(map(clean, shown.splitlines()))


def _found(registry: ModelRegistry, revision: str, up: int | None, down: int | None) -> Lineage:
    if up is None and down is None:
        return registry.lineage(revision, "both")
    if down is None:
        return registry.lineage(revision, "ancestors", up)
    if up is None:
        return registry.lineage(revision, "descendants", down)
    return registry.lineage(revision, "ancestors", up).joined(registry.lineage(revision, "descendants", down))


def _common(session: Session, registry: ModelRegistry, one: str, other: str) -> None:
    from dataclasses import asdict

    node = registry.common_ancestor(one, other)
    if node is None:
        raise Refusal(f"{one} and {other} come from nothing that is the same", 1, f"friday-store lineage {one}")
    parents = [edge.parent for edge in registry.lineage(node.model_id, depth=1).edges] if node.status else []
    single(session, _NODES, {**asdict(node), "parents": parents}, text=lambda _: clean(node.label))


@click.command(
    cls=Command,
    examples=["blame aapl_1d", "blame aapl_1d@production depth", "blame aapl_1d metadata.note --json"],
)
@click.argument("revision", shell_complete=revisions)
@click.argument("parameters", metavar="[PARAMETER]...", nargs=-1, shell_complete=parameter_names)
@click.pass_obj
def blame(session: Session, /, *, revision: str, parameters: Sequence[str]) -> None:
    """Show who set a parameter.

    For each parameter it is the version that brought the present value, along first parents. PARAMETER is a
    hyperparameter, or a path into a section such as metadata.owner; without one, all hyperparameters.
    """
    from friday_store.versioning import ModelVersioning

    registry = session.registry()
    record = registry.get_model_metadata(revision)
    versioning = ModelVersioning(registry)
    asked = parameters or sorted(record["hyperparameters"])
    listing(session, _BLAME, [versioning.blame(record["model_id"], each) for each in asked], paged=True)
    if not asked and chosen(session) == "human":
        session.say("note", f"{label(record)} has no hyperparameters")
