"""``config.toml``: what a local repository's owner has set. It is the one file in a repository that changes.

::

    compression = "auto"            # or "none": store everything raw, so that everything maps
    statuses = ["shadow"]           # more words for a version's status
    actor = "night-run"             # who writes, when nobody says

    [remotes.origin]
    url = "/mnt/models"             # a path, relative to the repository, or an fsspec URL
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from friday_store.errors import InvalidValueError, StorageError
from friday_store.storage.local import replace_private

FILE: Final = "config.toml"


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
    raw = _raw(root)
    compression = raw.get("compression", "auto")
    if compression not in ("auto", "none"):
        raise InvalidValueError(f"{FILE}: compression is 'auto' or 'none', not {compression!r}", path="compression")
    statuses, actor, remotes = raw.get("statuses", []), raw.get("actor"), raw.get("remotes", {})
    if not isinstance(statuses, list) or not all(isinstance(status, str) for status in statuses):
        raise InvalidValueError(f"{FILE}: statuses is a list of words", path="statuses")
    if not isinstance(remotes, dict) or not all(
        isinstance(r, dict) and isinstance(r.get("url"), str) for r in remotes.values()
    ):
        raise InvalidValueError(f"{FILE}: each remote is a table with a url", path="remotes")
    if actor is not None and not isinstance(actor, str):
        raise InvalidValueError(f"{FILE}: actor is text", path="actor")
    return Config(compression, tuple(statuses), actor, {name: remote["url"] for name, remote in remotes.items()})


def write_remote(root: Path, name: str, url: str | None) -> None:
    """Set a remote's URL, or remove the remote; comments and other settings stay.

    Raises:
        StorageError: The file cannot be written.
    """
    import tomlkit

    path = root / FILE
    _raw(root)
    document = tomlkit.parse(path.read_text() if path.exists() else "")
    remotes = document.setdefault("remotes", tomlkit.table(is_super_table=True))
    if url is None:
        remotes.pop(name, None)
    else:
        entry = remotes.setdefault(name, tomlkit.table())
        entry["url"] = url
    replace_private(path, tomlkit.dumps(document).encode())


def _raw(root: Path | None) -> dict[str, Any]:
    if root is None:
        return {}
    try:
        return tomllib.loads((root / FILE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{root / FILE}: {error}", path=FILE) from error
    except OSError as error:
        raise StorageError(f"cannot read {root / FILE}: {error.strerror}") from error
