"""``get`` and ``load``: a model out of a registry, as its file or as an object."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import attachment_names, revisions
from friday_store.cli.output import Column, View, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, short, size
from friday_store.cli.versions import label, named

if TYPE_CHECKING:
    from friday_store.index import VersionRow
    from friday_store.manifest import Artifact
    from friday_store.registry import ModelRegistry

_WRITTEN: Final = View(
    fields=("path", "size_bytes", "model_id", "model_name", "model_version", "serializer"),
    columns=(
        Column("path", "PATH"),
        Column("size_bytes", "SIZE", size),
        Column("model_name", "NAME"),
        Column("model_version", "VERSION"),
        Column("model_id", "ID", short),
    ),
    id="model_id",
)
_LOADED: Final = View(
    fields=("model_id", "model_name", "model_version", "type", "seconds", "size_bytes", "serializer"),
    columns=(
        Column("model_name", "NAME"),
        Column("model_version", "VERSION"),
        Column("type", "TYPE"),
        Column("seconds", "SECONDS"),
        Column("size_bytes", "SIZE", size),
    ),
    id="model_id",
)


@click.command(
    cls=Command,
    examples=[
        "get aapl_1d",
        "get aapl_1d@production best.pkl --force",
        "get aapl_1d --attachment card.md",
        "get aapl_1d --attachment card.md -",
    ],
)
@click.argument("revision", shell_complete=revisions)
@click.argument("dest", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--attachment",
    metavar="NAME",
    shell_complete=attachment_names,
    help="A file that is attached to it, instead of the model.",
)
@click.pass_obj
def get(session: Session, /, *, revision: str, dest: Path | None, force: bool, attachment: str | None) -> None:
    """Write a model's file without loading it.

    DEST is a file or a folder, or - for stdout; without it the file is called NAME-VERSION, with the suffix of its
    format, and an attachment by its own name.
    """
    from friday_store.storage.files import publish_file

    registry = session.registry()
    row = named(registry, revision)
    artifact = registry.repository.artifact(registry.repository.manifest(row).artifact)
    if str(dest) == "-":
        _to_stdout(session, _blocks(registry, row, artifact, attachment))
        return
    if attachment is None:
        suffix = registry.plugins.serializer(artifact.serializer).suffix
        own = Path(f"{row.model_name.rpartition('/')[2]}-{row.model_version}{suffix}")
    else:
        own = Path(attachment.rpartition("/")[2])
    target = own if dest is None else dest / own if dest.is_dir() else dest
    if target.exists() and not force:
        again = ["--attachment", attachment] if attachment is not None else []
        hint = shlex.join(["friday-store", "get", "--force", *again, revision, str(target)])
        raise Refusal(f"{target} exists", 4, hint)
    written = publish_file(target, _blocks(registry, row, artifact, attachment), replace=force)
    record = {
        "path": str(target),
        "size_bytes": written,
        "model_id": row.model_id,
        "model_name": row.model_name,
        "model_version": row.model_version,
        "serializer": artifact.serializer,
    }
    single(session, _WRITTEN, record, text=lambda found: clean(f"wrote {found['path']} ({size(found['size_bytes'])})"))


def _to_stdout(session: Session, blocks: Iterable[bytes | memoryview]) -> None:
    """Write bytes to stdout as they are, which every block of has been verified before."""
    if session.format or session.fields:
        raise click.UsageError("stdout gets the file itself; leave out --json and the like")
    if sys.stdout.isatty():
        raise Refusal("a model's bytes are not for a terminal", 2, "friday-store get REV FILE")
    for block in blocks:
        sys.stdout.buffer.write(block)
    sys.stdout.flush()


def _blocks(
    registry: ModelRegistry, row: VersionRow, artifact: Artifact, attachment: str | None
) -> Iterable[bytes | memoryview]:
    """Return the bytes of a model's native file, or of what is attached to it; verified.

    No policy is asked: who is to approve a version looks at its files first.
    """
    from friday_store import serializer
    from friday_store.registry import attachments

    if attachment is not None:
        return [attachments.read(registry.repository, registry.repository.manifest(row), attachment)]
    parts = registry.repository.parts(artifact, row)
    return serializer.to_file(registry.plugins, artifact.serializer, artifact.format, parts)


@click.command(cls=Command, examples=["load aapl_1d", "load aapl_1d@production --json"])
@click.argument("revision", shell_complete=revisions)
@click.pass_obj
def load(session: Session, /, *, revision: str) -> None:
    """Load a model.

    What it is is shown. A model that could run code loads only if you made it or trust it; see friday-store trust.
    """
    registry = session.registry()
    record = registry.get_model_metadata(revision)
    began = time.perf_counter()
    model = registry.load_model(revision)
    found = {
        **record,
        "type": f"{type(model).__module__}.{type(model).__qualname__}",
        "seconds": round(time.perf_counter() - began, 6),
    }
    single(
        session,
        _LOADED,
        found,
        text=lambda each: clean(
            f"{label(each)} is a {each['type']}: {size(each['size_bytes'])}, loaded in {each['seconds']:.3f} s"
        ),
    )
