"""``plugins``: which there are and what became of them, and the start of a new one."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Final

import click

from friday_store.cli.command import Group
from friday_store.cli.output import Column, View, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_PREFIX: Final = "friday-store-"
_WHAT: Final = {
    "serializer": "A model format",
    "target": "A target of market models",
    "trainer": "A family of estimators",
    "tuner": "A search for parameters",
}
_PLUGINS: Final = View(
    fields=("name", "package", "version", "hooks", "errors"),
    columns=(
        Column("name", "NAME"),
        Column("package", "PACKAGE"),
        Column("version", "VERSION"),
        Column("hooks", "HOOKS"),
        Column("errors", "ERRORS"),
    ),
    id="name",
)
_MADE: Final = View(
    fields=("path", "name", "kind", "files"),
    columns=(Column("path", "PATH"), Column("kind", "KIND"), Column("files", "FILES")),
    id="path",
)


@click.group(cls=Group, invoke_without_command=True, examples=["plugins", "plugins --json"])
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List plugins.

    Or start a new one: plugins new NAME.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(plugins_ls)


@plugins.command("ls", examples=["plugins ls", "plugins ls --json"])
@click.pass_obj
def plugins_ls(session: Session) -> None:
    """List plugins, their hooks and errors."""
    listing(
        session,
        _PLUGINS,
        [
            {"name": r.name, "package": r.package, "version": r.version, "hooks": r.hooks, "errors": r.errors}
            for r in session.found_plugins().reports
        ],
    )


@plugins.command("new", examples=["plugins new weights", "plugins new neighbours --kind trainer --into .."])
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(sorted(_WHAT)), default="serializer", metavar="K",
    help="serializer, or of market models: trainer, target or tuner.",
)  # fmt: skip
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR", help="Where.")
@click.pass_obj
def plugins_new(session: Session, /, *, name: str, kind: str, into: Path) -> None:
    """Write a package for a new plugin, whose tests pass at once.

    It is called friday-store-NAME, and holds a small format, family, target or tuner to replace by your own.
    """
    name = name.removeprefix(_PREFIX)
    if not _NAME.fullmatch(name):
        raise Refusal(f"{name!r} cannot be a plugin's name: lower-case letters, digits and single dashes", 2)
    root = into / (_PREFIX + name)
    if root.exists():
        raise Refusal(f"{root} exists", 4, "name another, or remove it")
    files = _filled(name, kind)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    record = {"path": str(root), "name": name, "kind": kind, "files": sorted(files)}
    single(session, _MADE, record, text=_told)


def _told(record: Any) -> str:
    return clean(f"wrote {record['path']}; try it: pip install -e '{record['path']}[test]'")


def _filled(name: str, kind: str) -> dict[str, str]:
    """Return the files of a new plugin: path to text."""
    module = name.replace("-", "_")
    words = {
        "name": name,
        "module": module,
        "title": "".join(word.title() for word in module.split("_")),
        "upper": module.upper(),
        "what": _WHAT[kind],
    }
    homes = {
        "pyproject.toml.in": "pyproject.toml",
        f"{kind}/README.md.in": "README.md",
        f"{kind}/plugin.py.in": f"friday_store_{module}/__init__.py",
        f"{kind}/test.py.in": f"tests/test_{module}.py",
    }
    skeleton = resources.files("friday_store.cli") / "skeleton"
    files = {
        home: Template((skeleton / source).read_text(encoding="utf-8")).substitute(words)
        for source, home in homes.items()
    }
    return {**files, f"friday_store_{module}/py.typed": ""}
