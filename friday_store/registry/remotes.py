"""Remotes: other repositories by name, and where aliases were when this one was last in step with them.

A remote's URL stands in ``config.toml``; a relative path is relative to the repository's folder, so that both can
be moved together. ``remotes/<name>.json`` remembers the remote's id, its last log entry, and the aliases as they
were on both sides after the last sync; it is written after the log entry, and losing it costs at most a question.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from friday_store.errors import IntegrityError, InvalidNameError, InvalidValueError, ModelNotFoundError, RepositoryError
from friday_store.hookspecs import SyncReport
from friday_store.registry import location
from friday_store.repository import Repository
from friday_store.repository.config import read_config, write_remote
from friday_store.storage import open_storage
from friday_store.storage.local import replace_private
from friday_store.sync import Base, Progress, copy, refs_of

if TYPE_CHECKING:
    from friday_store.registry.sharing import Sharing

_Registry = TypeVar("_Registry", bound="Sharing")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
FOLDER: Final = "remotes"


def add(repository: Repository, name: str, url: str) -> None:
    """Write a remote into the configuration; see :meth:`ModelRegistry.add_remote`."""
    if not _NAME.fullmatch(name) or name.endswith((".", ".lock")):
        raise InvalidNameError(f"{name[:80]!r} cannot be a remote's name: letters, digits, '_', '-' and '.' can")
    root = _local(repository)
    if name in read_config(root).remotes:
        raise InvalidValueError(
            f"there is a remote {name!r} already", path="remote", hint=f"friday-store remote rm {name}"
        )
    if urlsplit(url).password or (urlsplit(url).username and "://" in url):
        raise InvalidValueError(
            "a URL with a user or password is not written to a file; use the store's own credentials"
        )
    write_remote(root, name, url if "://" in url else _relative(root, url))


def remove(repository: Repository, name: str) -> None:
    """Remove a remote from the configuration, and what is remembered about it."""
    root = _local(repository)
    if name not in read_config(root).remotes:
        raise _unknown(name, read_config(root).remotes)
    write_remote(root, name, None)
    (root / FOLDER / f"{name}.json").unlink(missing_ok=True)


def clone(cls: type[_Registry], url: str | Path, folder: Path, options: Mapping[str, Any]) -> _Registry:
    """Make a registry from another; see :meth:`ModelRegistry.clone`."""
    if folder.exists() and any(folder.iterdir()):
        raise RepositoryError(f"{folder} exists and is not empty", hint=f"friday-store clone {url} ANOTHER_FOLDER")
    source = cls(url, **options)
    if not source.repository.born:
        raise RepositoryError(f"there is no registry at {source.url}", hint=f"friday-store init {url}")
    made = cls(folder / location.FOLDER, **options)
    made.repository.create()
    made.add_remote("origin", source.url)
    made.pull("origin")
    return made


def sync(
    repository: Repository,
    remote: str,
    patterns: Sequence[str],
    *,
    to_remote: bool,
    force: bool,
    dry_run: bool,
    progress: Progress | None,
) -> SyncReport:
    """Copy to or from a remote, and remember where the aliases are then."""
    name, other = opened(repository, remote)
    if not to_remote and not other.born:
        raise RepositoryError(f"there is no registry at {other.storage.url}", hint=f"friday-store push {remote}")
    if to_remote and not other.born and not dry_run:
        other.create()
    if other.id and other.id == repository.id:
        raise InvalidValueError(f"{remote!r} is this very repository", path="remote")
    source, target = (repository, other) if to_remote else (other, repository)
    base = _remembered(repository, name, other)
    report = copy(source, target, patterns, base=base, force=force, dry_run=dry_run, progress=progress)
    if not dry_run:
        _remember(repository, name, other, base)
        repository.plugins.notify("after_sync", report=report)
    other.close()
    return report


def opened(repository: Repository, remote: str) -> tuple[str | None, Repository]:
    """Return a remote's name, if it has one, and the repository.

    Raises:
        ModelNotFoundError: It is neither a remote's name nor a path or URL.
    """
    root = repository.storage.root
    known = read_config(root).remotes
    named = remote in known
    if not named and "://" not in remote and not re.match(r"[./~]", remote) and not Path(remote).exists():
        raise _unknown(remote, known)
    url = known[remote] if named else remote
    if named and "://" not in url and root is not None:
        url = str(root / url)
    storage = open_storage(location.inside(url))
    return (remote if named else None), Repository(storage, repository.settings, repository.plugins)


def _remembered(repository: Repository, name: str | None, other: Repository) -> Base:
    root = repository.storage.root
    if name is None or root is None:
        return Base()
    path = root / FOLDER / f"{name}.json"
    if path.parent.is_symlink() or path.is_symlink():
        raise IntegrityError(f"{path} is, or lies in, a symbolic link; it is not followed", path=str(path))
    try:
        raw = json.loads(path.read_bytes())
        identity, seq, entry = str(raw["id"]), int(raw["seq"]), str(raw["entry"])
        aliases = {str(ref): str(digest) for ref, digest in raw["aliases"].items()}
    except FileNotFoundError:
        return Base()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} is damaged", path=str(path), hint=f"remove it: {path}") from error
    if identity != other.id:
        raise RepositoryError(
            f"remote {name!r} is another repository than at the last sync ({other.id[:8]}, not {identity[:8]})",
            hint=f"if that is meant: friday-store remote rm {name}, then remote add {name} again",
        )
    found = other.log.read(seq)
    if found is None or found[1].hex() != entry:
        raise IntegrityError(f"remote {name!r} was rolled back or its history was changed since the last sync")
    return Base(aliases)


def _remember(repository: Repository, name: str | None, other: Repository, base: Base) -> None:
    """Write down the aliases on which both sides agree now; where they do not, what was known stays."""
    root = repository.storage.root
    if name is None or root is None or not other.born:
        return
    here = {str(ref): digest for ref, digest in refs_of(repository.index) if ref.space == "aliases"}
    there = {str(ref): digest for ref, digest in refs_of(other.index) if ref.space == "aliases"}
    aliases = {ref: digest for ref, digest in base.aliases.items() if ref in here or ref in there}
    aliases |= {ref: digest for ref, digest in here.items() if there.get(ref) == digest}
    state = other.index.state
    document = {"id": other.id, "seq": state.seq, "entry": state.entry.hex(), "aliases": aliases}
    replace_private(root / FOLDER / f"{name}.json", json.dumps(document, indent=1, sort_keys=True).encode())


def _local(repository: Repository) -> Path:
    root = repository.storage.root
    if root is None:
        raise InvalidValueError("remotes belong to a local repository; this one is a URL", path="remote")
    if not repository.born:
        repository.create()
    return root


def _relative(root: Path, url: str) -> str:
    """Return a path relative to the repository where it lies beside it, else absolute."""
    target = Path(url).expanduser().absolute()
    try:
        return os.path.relpath(target, root) if target.is_relative_to(root.parent.parent) else str(target)
    except ValueError:
        return str(target)


def _unknown(name: str, known: Mapping[str, str]) -> ModelNotFoundError:
    listed = f" (there are: {', '.join(sorted(known))})" if known else ""
    return ModelNotFoundError(f"there is no remote {name!r}{listed}", hint=f"friday-store remote add {name} URL")
