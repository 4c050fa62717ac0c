"""Where a registry is, and this user's own folders: the one place below the command line that reads the environment."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from friday_store.errors import InvalidValueError
from friday_store.index.server import Server, serves
from friday_store.maintenance.history import Witness
from friday_store.plugins import Plugins
from friday_store.registry.indexes import FILE as INDEXES
from friday_store.registry.indexes import Indexes
from friday_store.remotes import Remotes
from friday_store.repository.config import FILE
from friday_store.trust import Identity, TrustStore
from friday_store.trust.identity import FILE as IDENTITY

URL: Final = "FRIDAY_STORE_URL"
HOME: Final = "FRIDAY_STORE_HOME"
INDEX: Final = "FRIDAY_STORE_INDEX"
ACTOR: Final = "FRIDAY_STORE_ACTOR"
PLUGINS: Final = "FRIDAY_STORE_PLUGINS"
FOLDER: Final = ".friday"


def default_url() -> str:
    """Return ``FRIDAY_STORE_URL``, else the nearest ``.friday`` up the tree, else a folder of this user's."""
    named = os.environ.get(URL)
    if named:
        return named
    return str(nearest(Path.cwd()) or data_folder() / "registry")


def is_own(url: str) -> bool:
    """Whether a registry is this user's own, which is used where there is no other."""
    return url == str(data_folder() / "registry")


def nearest(start: Path) -> Path | None:
    """Return the ``.friday`` folder in ``start`` or the nearest folder above it."""
    for folder in (start, *start.parents):
        if _is_repository(folder / FOLDER):
            return folder / FOLDER
    return None


def inside(url: str | Path) -> str:
    """Return the ``.friday`` folder in a local folder that has one, else the URL as it is."""
    text = str(url)
    if "://" not in text:
        path = Path(text).expanduser()
        if _is_repository(path / FOLDER) and not _is_repository(path):
            return str(path / FOLDER)
    return text


def _is_repository(folder: Path) -> bool:
    """Whether a folder holds a repository, as far as this user can see."""
    try:
        return (folder / "friday-store.json").is_file()
    except OSError:
        return False


def data_folder() -> Path:
    """Return where this user's own data is: trust, and the default registry; ``FRIDAY_STORE_HOME`` overrides."""
    named = os.environ.get(HOME)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("friday-store", appauthor=False))


def identity() -> Identity:
    """Return this user's identity, which is made when it is first needed."""
    return Identity(data_folder() / IDENTITY, default_actor())


def trust(own: Identity) -> TrustStore:
    """Return what this user trusts; what ``own`` signed is theirs."""
    return TrustStore(data_folder() / "trust.json", own)


def witness() -> Witness:
    """Return what this user has seen of repositories."""
    return Witness(data_folder() / "seen")


def config_folder() -> Path:
    """Return where this user's own ``config.toml`` is; ``FRIDAY_STORE_HOME`` overrides."""
    named = os.environ.get(HOME)
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_config_dir("friday-store", appauthor=False))


def remotes(root: Path | None) -> Remotes:
    """Return the remotes of the repository in a folder, or of none, with this user's and the environment's."""
    return Remotes(root, config_folder() / FILE, os.environ)


def cache_folder() -> Path:
    """Return where this user's caches are; they can be deleted at any moment."""
    named = os.environ.get(HOME)
    if named:
        return Path(named).expanduser().absolute() / "cache"
    import platformdirs

    return Path(platformdirs.user_cache_dir("friday-store", appauthor=False))


def index_place(named: str | Path | Server | None = None) -> Callable[[str], Path | Server | None]:
    """Return what tells where the index of the repository with an id is.

    Args:
        named: Where it is said to be. None: ``FRIDAY_STORE_INDEX``, else what :func:`indexes` has for the repository.

    Raises:
        InvalidValueError: It is a URL of no database that an index can be in.
    """
    given = named if named is not None else os.environ.get(INDEX) or None
    if given is not None:
        place = given if isinstance(given, Server) else index_of(str(given))
        return lambda _: place
    return indexes().place


def index_of(text: str, options: Mapping[str, str] | None = None) -> Path | Server:
    """Return the place that a path or URL names.

    Raises:
        InvalidValueError: It is a URL of no database that an index can be in.
    """
    if serves(text):
        return Server(text, options or {})
    if "://" in text:
        scheme, _, path = text.partition("://")
        if scheme != "sqlite" or not path.startswith("/") or path == "/":
            raise InvalidValueError(
                f"an index is in a SQLite file or on a PostgreSQL server, and {scheme}:// names neither",
                path="index",
                hint="sqlite:///PATH or postgresql://HOST/DATABASE",
            )
        text = path[1:]
    return Path(text).expanduser().absolute()


def indexes() -> Indexes:
    """Return where this user's indexes are that are neither in their repositories nor in the cache."""
    return Indexes(data_folder() / INDEXES, os.environ)


def default_actor() -> str:
    """Return ``FRIDAY_STORE_ACTOR``, else ``user@host``."""
    named = os.environ.get(ACTOR)
    if named:
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def default_plugins() -> Plugins:
    """Return the installed plugins, or those that ``FRIDAY_STORE_PLUGINS`` names (``a,b`` or ``none``)."""
    named = os.environ.get(PLUGINS)
    if named is None or named == "":
        return Plugins()
    return Plugins(() if named == "none" else tuple(name.strip() for name in named.split(",")))
