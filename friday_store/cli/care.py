"""``doctor``: whether all is well."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from friday_store import signing
from friday_store.cli import probing
from friday_store.cli.command import Command
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import Session
from friday_store.cli.text import masked
from friday_store.errors import FridayStoreError

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_LIBRARIES: Final = ("click", "msgpack", "blake3", "zstandard", "pluggy", "fsspec", "SQLAlchemy", "pandas", "rich")
_UPLOADS: Final = 3
_CHECKS: Final = View(
    fields=("check", "state", "detail"),
    columns=(Column("state", "STATE"), Column("check", "CHECK"), Column("detail", "DETAIL")),
    id="check",
)


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
        yield "index place", "ok", repository.index.place
        yield "log and packs", "fail" if stored else "ok", "; ".join(stored) or "sound, data not read"
    except FridayStoreError as error:
        yield "log and packs", "fail", str(error)
    yield from _store_checked(registry)
    try:
        found, own = registry.trust.ledger(), registry.identity.public()
        counts = (("keys", found.keys), ("repositories", found.repositories), ("versions", found.digests))
        yield "trust", "ok", ", ".join(f"{name}: {len(held)}" for name, held in counts)
        yield "identity", "ok", "made on first use" if own is None else signing.fingerprint(own)
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
    yield from _uploads_checked(registry, None)


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
    yield from _uploads_checked(registry, name)


def _uploads_checked(registry: ModelRegistry, remote: str | None) -> Iterator[tuple[str, str, str]]:
    """Whether parts of uploads lie about that nobody goes on with: a machine died, and they are paid for."""
    check = "uploads" if remote is None else f"remote {remote} uploads"
    try:
        found = registry.unfinished_uploads(remote)
    except FridayStoreError as error:  # listing them is a right of its own, without which all else works
        yield check, "note", masked(str(error))
        return
    if found:
        since = dt.datetime.fromtimestamp(min(each.time for each in found), dt.UTC)
        paths = ", ".join(each.name for each in found[:_UPLOADS])
        old = (dt.datetime.now(dt.UTC) - since).days > 0
        said = f"{len(found)} unfinished, the first since {since:%Y-%m-%d %H:%M} UTC: {paths}"
        rule = "; a lifecycle rule of the bucket removes such ones" if old else ""
        yield check, "warning" if old else "note", f"{said}{rule}"
    elif found is not None:
        yield check, "ok", "none is unfinished"
