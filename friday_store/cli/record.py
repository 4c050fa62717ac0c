"""``register`` and ``tag``: what adds to a registry."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import format_names, model_names, revisions, tag_names
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import plain, short
from friday_store.cli.versions import changed_one, label

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
@click.option("-n", "--name", required=True, shell_complete=model_names, help="The model's name.")
@click.option("--as", "version", metavar="VERSION", help="The version; without it the next one.")
@click.option(
    "--bump", type=click.Choice(["major", "minor", "patch"]), default="patch", help="Which part the next one moves."
)
@click.option(
    "--format",
    "kind",
    metavar="F",
    shell_complete=format_names,
    help="The file's format; without it as its bytes tell.",
)
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="REV",
    shell_complete=revisions,
    help="What it came from; may be repeated.",
)
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
            raise Refusal(f"there is no file {str(file)!r}", 3, _near(file))
        registry = session.registry(new=True)
        chosen = kind or _detected(session, file)
        options |= {"hyperparameters": params, "description": message, "parents": parents or None, "model_type": chosen}
        if not registry.repository.born:
            session.say("note", f"this makes a new registry at {registry.url}")
        found = registry.register_model_from_file(file, name, format=chosen, **options)
    changed_one(session, registry.get_model_metadata(found), "registered")


def _near(file: Path) -> str:
    """Return what to do about a file that is not there: register one of nearly that name, or look which there are."""
    try:
        names = [each.name for each in file.parent.iterdir() if each.is_file()]
    except OSError:
        names = []
    near = get_close_matches(file.name, names, 1)
    if not near:
        return shlex.join(["ls", str(file.parent)])
    return shlex.join(["friday-store", "register", str(file.parent / near[0]), "-n", "NAME"])


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
@click.argument("revision", metavar="[REV]", required=False, shell_complete=revisions)
@click.argument("name", metavar="[TAG]", required=False, shell_complete=tag_names)
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
