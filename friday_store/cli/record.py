"""``register``, ``tag``, ``rm`` and ``restore``: what changes a registry."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import Refusal, Session, model_names
from friday_store.cli.text import clean, plain, short
from friday_store.cli.versions import changed, changed_one, label

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_MODELS: Final = frozenset({".pkl", ".pickle", ".joblib", ".npy", ".npz", ".json"})
"""Suffixes of files that are expected to be more than opaque."""
_STDIN: Final = "(stdin)"
_BLOCK: Final = 1 << 20
_TAGS: Final = View(
    fields=("tag", "model_name", "model_version", "model_id"),
    columns=(
        Column("tag", "TAG"),
        Column("model_name", "NAME"),
        Column("model_version", "VERSION"),
        Column("model_id", "ID", short),
    ),
    id="tag",
)


class _Enough(Exception):  # noqa: N818 - it ends a rehearsal
    pass


def facts(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, Any]:  # noqa: ARG001
    """Return ``k=v`` pairs as a mapping; a value is JSON where it is JSON, else text."""
    found: dict[str, Any] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not key=value")
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found


def files(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, Path]:  # noqa: ARG001
    """Return files to attach by name: ``NAME=FILE``, or a file by its own name."""
    found: dict[str, Path] = {}
    for text in values:
        name, equals, path = text.partition("=")
        name, file = (name, Path(path)) if equals and not Path(text).is_file() else (Path(text).name, Path(text))
        if not file.is_file():
            raise click.BadParameter(f"there is no file {str(file)!r}")
        if name in found:
            raise click.BadParameter(f"two files are called {name!r}; say NAME={file}")
        found[name] = file
    return found


@click.command(
    cls=Command,
    examples=[
        "register model.pkl -n aapl_1d --metric auc=0.61 -t AAPL -m 'first try'",
        "register model.pkl -n aapl_1d --attach rules.json --attach cards/first.json=rules.json",
        "register weights.npz -n weights --as 2.0.0 --alias production",
        "register model.onnx -n onnx_model --format file --bump minor --param depth=6",
        "register - -n rules --format json < rules.json",
    ],
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-n", "--name", required=True, help="The model's name.")
@click.option("--as", "version", metavar="VERSION", help="The version; without it the next one.")
@click.option(
    "--bump", type=click.Choice(["major", "minor", "patch"]), default="patch", help="Which part the next one moves."
)
@click.option("--format", "kind", metavar="F", help="The file's format; without it as its bytes tell.")
@click.option("--parent", "parents", multiple=True, metavar="REV", help="What it came from; may be repeated.")
@click.option("--metric", "metrics", multiple=True, metavar="K=V", callback=facts, help="A number; may be repeated.")
@click.option("--param", "params", multiple=True, metavar="K=V", callback=facts, help="A parameter of its training.")
@click.option("--meta", "metadata", multiple=True, metavar="K=V", callback=facts, help="Anything else about it.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="TAG", help="A tag; may be repeated.")
@click.option("--alias", "aliases", multiple=True, metavar="A", help="An alias that moves here.")
@click.option(
    "--attach", "attachments", multiple=True, metavar="[NAME=]FILE", callback=files, help="A file that belongs to it."
)
@click.option("-m", "--message", default="", metavar="MSG", help="What it is, in your words.")
@click.pass_obj
def register(
    session: Session,
    /,
    *,
    file: Path,
    name: str,
    kind: str | None,
    params: dict[str, Any],
    message: str,
    parents: Sequence[str],
    **options: Any,
) -> None:
    """Store a file as a new version.

    The file's bytes are stored as they are; the model is not loaded. A FILE of - is what comes in on stdin.
    """
    with contextlib.ExitStack() as stack:
        if str(file) == "-":
            file = stack.enter_context(_received())
        elif not file.is_file():
            raise Refusal(f"there is no file {str(file)!r}", 3)
        registry = session.registry(new=True)
        chosen = kind or _detected(session, file)
        options |= {"hyperparameters": params, "description": message, "parents": parents or None, "model_type": chosen}
        if not registry.repository.born:
            session.say("note", f"this makes a new registry at {registry.url}")
        found = registry.register_model_from_file(file, name, format=chosen, **options)
    changed_one(session, registry.get_model_metadata(found), "registered")


@contextlib.contextmanager
def _received() -> Iterator[Path]:
    """Keep what comes in on stdin in a private file, for as long as it is needed.

    Raises:
        Refusal: Nothing can come from there, or it cannot be kept.
    """
    if sys.stdin.isatty():
        raise Refusal(
            "a model's bytes come from a pipe or a file, and stdin is a terminal", 2, "friday-store register -h"
        )
    with tempfile.TemporaryDirectory(prefix="friday-store-") as folder:
        path = Path(folder) / _STDIN
        try:
            with path.open("xb") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream, _BLOCK)
        except OSError as error:
            raise Refusal(f"what came in on stdin cannot be kept in {folder}: {error.strerror}", 7) from error
        yield path


def _detected(session: Session, file: Path) -> str:
    """Return the format that the file's bytes are in, if a plugin here reads it, else ``file``."""
    from friday_store.serialization import ModelSerializer

    serializer = ModelSerializer(session.found_plugins())
    found = serializer.detect(file)
    if found == "pickle5" and file.suffix.lower() == ".joblib":  # without arrays the two are the same bytes
        found = "joblib"
    if found != "file" and serializer.reader(found) is not None:
        return found
    what = "what came in" if file.name == _STDIN else str(file)
    if found != "file":
        session.say("note", f"no plugin here reads {found}, so {what} is stored as an opaque file")
    elif file.name == _STDIN or file.suffix.lower() in _MODELS:
        session.say("note", f"{what} is stored as an opaque file; --format says what it is")
    return "file"


@click.command(cls=Command, examples=["tag", "tag aapl_1d", "tag aapl_1d:1.0.0 reviewed", "tag -d aapl_1d AAPL"])
@click.argument("revision", metavar="[REV]", required=False, shell_complete=model_names)
@click.argument("name", metavar="[TAG]", required=False)
@click.option("-d", "--delete", is_flag=True, help="Remove it.")
@click.pass_obj
def tag(session: Session, /, *, revision: str | None, name: str | None, delete: bool) -> None:
    """List, add or remove tags."""
    registry = session.registry()
    if revision is None or name is None:
        if delete:
            raise click.UsageError("name a version and the tag to remove")
        records = registry.list_models() if revision is None else [registry.get_model_metadata(revision)]
        listing(session, _TAGS, [{**record, "tag": each} for record in records for each in record["tags"]])
        return
    record = registry.get_model_metadata(revision)
    if not delete:
        registry.add_tag(record["model_id"], name)
    elif name in record["tags"]:
        registry.remove_tag(record["model_id"], name)
    else:
        raise Refusal(f"{label(record)} has no tag {name!r}", 3, f"friday-store tag {label(record)}")
    after = registry.get_model_metadata(record["model_id"])
    changed_one(session, after, "untagged" if delete else "tagged", f": {plain(after['tags']) or 'no tags'}")


@click.command(cls=Command, examples=["rm -n aapl_1d:1.0.0", "rm --yes aapl_1d:1.0.0", "rm --yes --force aapl_1d"])
@click.argument("target", metavar="NAME[:V]", shell_complete=model_names)
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
        raise Refusal("nobody can be asked here", 2, f"friday-store rm --yes {target}")
    if not click.confirm(clean(question), err=True):
        raise Refusal("nothing was removed", 1)


@click.command(cls=Command, examples=["restore gone", "restore gone:1.0.0 --json"])
@click.argument("target", metavar="NAME[:V]")
@click.pass_obj
def restore(session: Session, /, *, target: str) -> None:
    """Bring back what was removed.

    Without a version, all of the model that is not erased yet comes back, and the rest is named.
    """
    from friday_store.registry import history

    registry = session.registry()
    name, _, version = target.partition(":")
    found = registry.restore_model(name, version or None)
    changed(session, [registry.get_model_metadata(model_id) for model_id in found], "restored")
    for erased in () if version else sorted(history.deleted(registry.repository, name)):
        session.say("note", f"{name}:{erased} stays deleted: garbage collection has erased its bytes")
