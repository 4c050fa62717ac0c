"""``explain`` and ``convert``: what loading a model would run, and a copy of it that can run nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import revisions
from friday_store.cli.output import Column, View, single
from friday_store.cli.session import Session
from friday_store.cli.text import clean
from friday_store.cli.versions import changed_one, label

_FIELDS: Final = (
    "model_id", "model_name", "model_version", "serializer", "safety", "loads", "why", "signature", "names", "unread",
    "types", "scanner",
)  # fmt: skip
_EXPLAINED: Final = View(
    fields=_FIELDS,
    columns=(Column("model_name", "NAME"), Column("model_version", "VERSION"), Column("loads", "LOADS")),
    id="model_id",
)
_MARKS: Final = {"dangerous": "!!", "unusual": "? ", "usual": "  "}


@click.command(cls=Command, examples=["explain aapl_1d", "explain aapl_1d@production --json"])
@click.argument("revision", shell_complete=revisions)
@click.option("--scan", is_flag=True, help="Ask picklescan too, if it is installed.")
@click.pass_obj
def explain(session: Session, /, *, revision: str, scan: bool) -> None:
    """Say what loading it runs.

    Nothing of it is run. Names marked !! could do anything, those marked ? are not of the usual libraries. That is
    advice: a model of usual names alone can do harm too, and whether it loads is decided by trust.
    """
    registry = session.registry()
    found = registry.explain(revision, scan=scan)
    record = registry.get_model_metadata(found.model_id)
    names = [each._asdict() for each in found.names]
    shown = {**{key: record[key] for key in ("model_name", "model_version")}, **asdict(found), "names": names}
    single(session, _EXPLAINED, shown, text=_told)


def _told(found: Mapping[str, Any]) -> str:
    form = f"the format {found['serializer']!r} of class {found['safety']}"
    lines = [f"{label(found)} ({found['model_id'][:12]}) is in {form}, {found['signature']}"]
    if found["types"]:
        lines += ["it would make objects of:", *(f"   {name}" for name in found["types"])]
    if found["names"]:
        lines += ["it names:", *(f" {_MARKS[each['advice']]} {each['name']}{_called(each)}" for each in found["names"])]
    if found["unread"]:
        lines.append(f"there may be more: {found['unread']}")
    if found["scanner"]:
        lines.append(str(found["scanner"]))
    lines.append("it loads here" if found["loads"] else f"it does not load here: {found['why']}")
    return "\n".join(clean(line) for line in lines)


def _called(each: Mapping[str, Any]) -> str:
    return "" if each["called"] else " (named only)"


@click.command(cls=Command, examples=["convert aapl_1d --to json", "convert aapl_1d:1.0.0 --to json --json"])
@click.argument("revision", shell_complete=revisions)
@click.option("--to", required=True, metavar="FORMAT", help="A format that cannot run code, such as numpy or json.")
@click.option("--with-network", is_flag=True, help="Also where the network cannot be taken from a process.")
@click.pass_obj
def convert(session: Session, /, *, revision: str, to: str, with_network: bool) -> None:
    """Store one in a safe format.

    The version is loaded and written anew, as the next one, in a process of its own that has no network; so it must be
    one that loads here. Its parent is the one that it was made from.
    """
    from friday_store.conversion import convert as converted

    registry = session.registry()
    made = converted(registry, revision, to, network=with_network)
    changed_one(session, registry.get_model_metadata(made), "registered")
