"""``config.toml``: what a repository's owner has set; and ``config.local.toml``, which is nobody else's business.

::

    compression = "auto"            # or "none": store everything raw, so that everything maps
    statuses = ["shadow"]           # more words for a version's status
    actor = "night-run"             # who writes, when nobody says

    [remotes.origin]
    url = "s3://models/team"        # a path, relative to the repository, or an fsspec URL
    single_writer = false           # true: write although the store cannot tell two writers apart

    [remotes.origin.options]        # what fsspec's file system of that protocol accepts
    endpoint_url = "https://objects.example.com"

``config.local.toml`` and the user's own ``config.toml`` have the same tables of remotes; which file outranks which,
and what may stand where, is said in :mod:`friday_store.remotes`. A file is replaced at once and durably, with mode
0600 from the start (in a shared folder, those who can enter it may read ``config.toml``); comments and settings of
others stay; a lock on its folder keeps two writers in turn.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from friday_store.errors import InvalidValueError, StorageError
from friday_store.storage.files import alone, private_folder, readable_mode, replace_private

FILE: Final = "config.toml"
LOCAL: Final = "config.local.toml"
_IGNORED: Final = (LOCAL, "index.db*", "remotes/", "writers.lock", ".tmp-*")


@dataclass(frozen=True)
class Config:
    """The settings of one repository; the defaults are those of an empty file."""

    compression: str = "auto"
    statuses: tuple[str, ...] = ()
    actor: str | None = None
    remotes: Mapping[str, str] = field(default_factory=dict)


def read_config(root: Path | None) -> Config:
    """Return the settings in a repository's folder; the defaults where there is no folder or file.

    Raises:
        InvalidValueError: The file is not TOML, or a setting has a value that cannot be.
    """
    raw = {} if root is None else _raw(root / FILE)
    compression = raw.get("compression", "auto")
    if compression not in ("auto", "none"):
        raise InvalidValueError(f"{FILE}: compression is 'auto' or 'none', not {compression!r}", path="compression")
    statuses, actor, remotes = raw.get("statuses", []), raw.get("actor"), _tables(raw, FILE)
    if not isinstance(statuses, list) or not all(isinstance(status, str) for status in statuses):
        raise InvalidValueError(f"{FILE}: statuses is a list of words", path="statuses")
    if any("url" not in remote for remote in remotes.values()):
        raise InvalidValueError(f"{FILE}: each remote is a table with a url", path="remotes")
    if actor is not None and not isinstance(actor, str):
        raise InvalidValueError(f"{FILE}: actor is text", path="actor")
    return Config(compression, tuple(statuses), actor, {name: remote["url"] for name, remote in remotes.items()})


def read_remotes(path: Path | None) -> dict[str, dict[str, Any]]:
    """Return the tables of the remotes in one file, by name; none where there is no file.

    Raises:
        InvalidValueError: The file is not TOML, or a remote's setting has a value that cannot be.
        StorageError: The file cannot be read.
    """
    return {} if path is None else _tables(_raw(path), str(path))


def change_remotes(path: Path, change: Callable[[MutableMapping[str, Any]], None]) -> None:
    """Change the tables of the remotes in one file, which is made if it is missing; all else in it stays.

    Args:
        path: The file.
        change: Called with the tables by name, to be changed in place, while no other process changes the file.

    Raises:
        InvalidValueError: The file is not TOML, or something in the change cannot be written as TOML.
        StorageError: The file cannot be read or written.
    """
    import tomlkit

    private_folder(path.parent)
    with alone(path.parent):
        before = read_remotes(path)
        document = tomlkit.parse(path.read_text("utf-8") if path.exists() else "")
        if "remotes" not in document:
            document["remotes"] = tomlkit.table(is_super_table=True)
        tables = document["remotes"]
        assert isinstance(tables, MutableMapping)
        try:
            change(tables)
        except tomlkit.exceptions.TOMLKitError as error:
            raise InvalidValueError(f"{path}: {error}", path=path.name) from error
        if not tables and not before:
            return
        mode = readable_mode(path.parent) if path.name == FILE else 0o600
        replace_private(path, tomlkit.dumps(document).encode(), mode=mode)


def keep_out_of_git(root: Path) -> None:
    """Make git ignore what is this user's alone, wherever the folder lies or will lie; ``.gitignore`` is added to."""
    path = root / ".gitignore"
    private_folder(root)
    with alone(root):
        if path.is_symlink():
            raise StorageError(f"{path} is a symbolic link; it is not followed", hint=f"rm {path}")
        text = path.read_text("utf-8") if path.exists() else ""
        missing = [line for line in _IGNORED if line not in text.splitlines()]
        if missing:
            head = text if text.endswith("\n") or not text else f"{text}\n"
            replace_private(path, (head + "".join(f"{line}\n" for line in missing)).encode())


def _tables(raw: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    remotes = raw.get("remotes", {})
    if not isinstance(remotes, dict) or not all(isinstance(remote, dict) for remote in remotes.values()):
        raise InvalidValueError(f"{where}: each remote is a table with a url", path="remotes")
    kinds: dict[str, tuple[type, str]] = {
        "url": (str, "text"),
        "partial": (bool, "true or false"),
        "single_writer": (bool, "true or false"),
        "options": (dict, "a table"),
        "probe": (dict, "a table"),
    }
    for name, remote in remotes.items():
        for key, (kind, word) in kinds.items():
            if key in remote and not isinstance(remote[key], kind):
                raise InvalidValueError(f"{where}: {key} of remote {name!r} is {word}", path=f"remotes.{name}.{key}")
    return remotes


def _raw(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path}: {error}", path=path.name) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
