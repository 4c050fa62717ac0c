"""``doctor`` and ``trust``: whether all is well, and what may run here."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from friday_store.cli import probing
from friday_store.cli.command import Command, Group
from friday_store.cli.output import Column, View, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked
from friday_store.cli.versions import named
from friday_store.errors import FridayStoreError

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry
    from friday_store.trust import Subject, TrustStore

_REPOSITORY: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LIBRARIES: Final = ("click", "msgpack", "blake3", "zstandard", "pluggy", "fsspec", "SQLAlchemy", "pandas", "rich")
_CHECKS: Final = View(
    fields=("check", "state", "detail"),
    columns=(Column("state", "STATE"), Column("check", "CHECK"), Column("detail", "DETAIL")),
    id="check",
)
_TRUSTED: Final = View(
    fields=("kind", "value"), columns=(Column("kind", "KIND"), Column("value", "VALUE")), id="value"
)  # fmt: skip


@click.command(cls=Command, examples=["doctor", "doctor --json"])
@click.pass_obj
def doctor(session: Session) -> None:
    """Check the installation.

    The registry is checked too, and each remote is asked, by a throw-away file. Nothing in the answer is secret. The
    exit code is 1 when a check failed.
    """
    found = [{"check": name, "state": state, "detail": detail} for name, state, detail in _checked(session)]
    listing(session, _CHECKS, found)
    if any(each["state"] == "fail" for each in found):
        raise click.exceptions.Exit(1)


def _checked(session: Session) -> Iterator[tuple[str, str, str]]:
    from friday_store import __version__

    yield "friday-store", "ok", __version__
    yield "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "sqlite", "ok", sqlite3.sqlite_version
    for name in _LIBRARIES:
        try:
            yield name, "ok", importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "fail", "is not installed"
    for report in session.found_plugins().reports:
        problems = "; ".join(report.errors)
        yield f"plugin {report.name}", "fail" if problems else "ok", problems or report.version
    try:
        registry = session.registry(new=True)
    except FridayStoreError as error:
        yield "registry", "fail", str(error)
        return
    yield from _registry_checked(registry)


def _registry_checked(registry: ModelRegistry) -> Iterator[tuple[str, str, str]]:
    repository = registry.repository
    if not repository.born:
        yield "registry", "note", f"none at {registry.url}"
        return
    yield "registry", "ok", f"{registry.url}, format 1, id {repository.id}"
    try:
        problems = registry.fsck(quick=True)
        index = [each.message for each in problems if each.kind == "index"]
        stored = [each.message for each in problems if each.kind != "index" and each.severity == "error"]
        seq = repository.index.seq
        yield "index", "fail" if index else "ok", "; ".join(index) or f"says what the log says, up to entry {seq}"
        yield "log and packs", "fail" if stored else "ok", "; ".join(stored) or "sound, data not read"
    except FridayStoreError as error:
        yield "log and packs", "fail", str(error)
    yield from _store_checked(registry)
    try:
        found = registry.trust.listed()
        yield "trust", "ok", f"repositories: {len(found['repositories'])}, versions: {len(found['digests'])}"
    except FridayStoreError as error:
        yield "trust", "fail", str(error)
    if repository.storage.root is not None:
        from friday_store.repository.config import LOCAL

        yield from _kept_apart(repository.storage.root / LOCAL)
    for name in registry.remotes():
        yield from _remote_checked(registry, name)


def _kept_apart(path: Path) -> Iterator[tuple[str, str, str]]:
    """Whether the file with this user's secrets, if there is one, is this user's alone."""
    if not path.exists():
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    shared = bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
    yield path.name, "warning" if shared else "ok", f"mode {mode:04o}" + (f"; chmod 600 {path}" if shared else "")


def _store_checked(registry: ModelRegistry) -> Iterator[tuple[str, str, str]]:
    """Probe the registry's own store; what would stop a remote from being pushed to is a failure here."""
    from friday_store.storage.probe import probe

    try:
        found = probe(registry.place.storage())
    except FridayStoreError as error:
        yield "write", "fail", masked(str(error))
        return
    for check, state, detail in probing.checks(found, single_writer=registry.place.single_writer):
        broken = (check, state) in (("write", "note"), ("exclusive", "warning"))
        yield check, "fail" if broken else state, masked(detail)


def _remote_checked(registry: ModelRegistry, name: str) -> Iterator[tuple[str, str, str]]:
    shown = registry.remote(name)
    try:
        found = registry.probe_remote(name, keep=False)
    except FridayStoreError as error:
        yield f"remote {name}", "fail", masked(str(error))
        return
    if found is None:
        yield f"remote {name}", "note", f"nothing is at {shown.url} yet"
        return
    yield f"remote {name}", "ok", shown.url
    for check, state, detail in probing.checks(found, single_writer=shown.single_writer):
        yield f"remote {name} {check}", state, masked(detail)


@click.group(cls=Group, invoke_without_command=True, examples=["trust", "trust add aapl_1d:1.0.0"])
@click.pass_context
def trust(ctx: click.Context) -> None:
    """List, add and remove what may run code.

    Formats such as pickle can run code when they are loaded. What you registered yourself loads; what came from
    elsewhere loads once you trust the version, or the repository that it came from, by id.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(trust_ls)


@trust.command("ls", examples=["trust ls", "trust ls --json"])
@click.pass_obj
def trust_ls(session: Session) -> None:
    """List what you trust."""
    found = _store().listed()
    kinds = {"repositories": "repository", "digests": "version"}
    listing(
        session,
        _TRUSTED,
        [
            {"kind": word, "value": value}
            for kind, word in kinds.items()
            for value in sorted(found[cast("Subject", kind)])
        ],
    )


@trust.command("add", examples=["trust add aapl_1d:1.0.0", "trust add 3f1c2a9e-5b7d-4c1e-9a44-0d6b8f7e2c10"])
@click.argument("subject", metavar="ID|REV|REPOSITORY")
@click.pass_obj
def trust_add(session: Session, /, *, subject: str) -> None:
    """Trust a version, or all that comes from a repository."""
    kind, value = _subject(session, subject)
    _store().add(kind, value)
    _told(session, kind, value, "trusted")


@trust.command("rm", examples=["trust rm aapl_1d:1.1.0", "trust rm aapl_1d:1.1.0 --json"])
@click.argument("subject", metavar="ID|REV|REPOSITORY")
@click.pass_obj
def trust_rm(session: Session, /, *, subject: str) -> None:
    """Stop trusting a version or a repository."""
    kind, value = _subject(session, subject)
    if not _store().remove(kind, value):
        raise Refusal(f"{subject!r} was not trusted by itself", 3, "friday-store trust ls")
    _told(session, kind, value, "no longer trusted")


def _subject(session: Session, text: str) -> tuple[Subject, str]:
    if _REPOSITORY.fullmatch(text):
        return "repositories", text
    return "digests", text if _DIGEST.fullmatch(text) else named(session.registry(), text).model_id


def _told(session: Session, kind: Subject, value: str, verb: str) -> None:
    record: Mapping[str, Any] = {"kind": "repository" if kind == "repositories" else "version", "value": value}
    single(session, _TRUSTED, record, text=lambda each: clean(f"{each['kind']} {each['value']} is {verb}"))


def _store() -> TrustStore:
    from friday_store.registry import location
    from friday_store.trust import TrustStore

    return TrustStore(location.data_folder() / "trust.json")
