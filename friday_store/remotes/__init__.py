"""Remotes as configuration: names, URLs, options, where secrets stand, and what a probe of the place found.

A remote is put together from layers; a later one shadows an earlier one value by value:

===============  ===============================================================================================
``global``       the user's own ``config.toml``
``repository``   the repository's ``config.toml``, which may be committed and copied
``local``        the repository's ``config.local.toml``, mode 0600, ignored by git
``environment``  ``FRIDAY_STORE_REMOTE_<NAME>_<OPTION>``: upper case, ``_`` for ``-`` and ``.``
``option``       what was said for this one time (``-o key=value``)
===============  ===============================================================================================

fsspec's own configuration and the chain of credentials of the store's library lie below all of it: they are not
touched, since only what was given is passed on. A place that is given by its URL has no name; its options come from
the same layers as those of a remote called ``registry``, which therefore no remote may be called.

Secrets stand in ``config.local.toml``, in the environment, or wherever ``env:NAME`` and ``file:PATH`` say; the other
two files refuse them. Whoever can write a repository's ``config.toml`` chooses where data and the credentials for it
are sent, as with git: take over someone else's only after reading it.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from friday_store.errors import InvalidNameError, InvalidValueError, ModelNotFoundError, StorageError
from friday_store.remotes import refusal
from friday_store.remotes.layers import DIRECT, FILES, OWN, Layers, Table, divided, moved, origin, spelled, united
from friday_store.remotes.options import drop, leaves, parsed, put, resolved
from friday_store.remotes.remote import Remote, Setting, Shown, Where
from friday_store.remotes.secrecy import INDIRECTION, secret, shown, shown_urls, with_credentials
from friday_store.repository.config import change_remotes, keep_out_of_git
from friday_store.storage import Storage

if TYPE_CHECKING:
    from friday_store.storage.probe import Probe

__all__ = ["Remote", "Remotes", "Setting", "Shown", "Where", "fitting", "parsed", "shown_urls"]

FOLDER: Final = "remotes"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LOGGER: Final = logging.getLogger(__name__)


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Remotes:
    """The remotes that a repository, its user and the environment name.

    Args:
        root: The local repository's folder; None: there is none, so that only the user's file has remotes.
        user: The user's own ``config.toml``; None: there is none.
        environment: The variables.
        clock: Returns the time now.
    """

    def __init__(
        self,
        root: Path | None,
        user: Path | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], dt.datetime] = _utc_now,
    ) -> None:
        self._layers = Layers(root, user, environment if environment is not None else {})
        self._clock = clock

    def listing(self) -> dict[str, str]:
        """Return name to URL, as it was given, without user, password and query."""
        found = {name: united(self._layers.of(name)) for name in self._layers.names()}
        return {name: shown_urls(table["url"]) for name, table in found.items() if "url" in table}

    def partial(self) -> list[str]:
        """Return the remotes that keep the data of models which the registry may lack."""
        found = {name: united(self._layers.of(name)) for name in self._layers.names()}
        return [name for name, table in found.items() if "url" in table and table.get("partial", False)]

    def show(self, name: str) -> Shown:
        """Return a remote with the origin of every setting and without any secret.

        Raises:
            ModelNotFoundError: There is no such remote.
        """
        layers, table = self._table(name)
        options = [
            Setting(".".join(way[1:]), shown(way[1:], value), origin(layers, way))
            for way, value in sorted(leaves({"options": table.get("options", {})}))
            if len(way) > 1
        ]
        return Shown(
            name,
            shown_urls(table["url"]),
            origin(layers, ("url",)),
            table.get("partial", False),
            table.get("single_writer", False),
            tuple(options),
            table.get("probe", {}),
        )

    def resolve(self, remote: str, said: Mapping[str, Any] | None = None) -> Remote:
        """Return a remote, ready to be opened, with what ``env:`` and ``file:`` stand for.

        Args:
            remote: A remote's name, or a path or URL.
            said: Options for this one time.

        Raises:
            ModelNotFoundError: It is neither a remote's name nor a path or URL.
            InvalidValueError: A variable or file that an option names is missing.
        """
        if self._named(remote):
            layers, table = self._table(remote, said)
            first = origin(layers, ("url",))
            if moved(layers):
                table.pop("probe", None)
            return self._resolved(remote, table, self._base(first) if first in FILES else None)
        if "://" not in remote and not re.match(r"[./~]", remote) and not Path(remote).exists():
            raise self._unknown(remote)
        return self.direct(remote, said)

    def direct(self, url: str, said: Mapping[str, Any] | None = None) -> Remote:
        """Return the place at a path or URL, with the options of ``registry`` when it is not local.

        Raises:
            InvalidValueError: A variable or file that an option names is missing.
        """
        table = united(self._layers.of(DIRECT, said)) if "://" in url else divided(said or {})
        return self._resolved(None, {**table, "url": url}, None)

    def add(
        self, name: str, url: str | Path, options: Mapping[str, Any] | None = None, where: Where = "repository"
    ) -> None:
        """Name a place, which need not exist yet.

        Args:
            name: What to call it.
            url: A path, kept relative to the repository where it lies beside it, or an fsspec URL.
            options: What its file system needs, as tables; ``partial`` and ``single_writer`` among them.
            where: The file: ``repository``, ``local`` or ``global``.

        Raises:
            InvalidNameError: The name cannot be.
            InvalidValueError: The name is taken, or a secret would get into a file that is not for secrets.
            StorageError: The file cannot be written.
        """
        self._check_name(name, where)
        table = {**divided(options or {}), "url": self._written(str(url), where)}
        if where != "local":
            refusal.secrets(name, table, self._layers.path(where), added=True)

        def change(tables: MutableMapping[str, Any]) -> None:
            if name in tables:
                raise _taken(name, name, where)
            tables[name] = table

        self._change(where, change)

    def set(self, name: str, values: Mapping[str, Any], where: Where | None = None) -> None:
        """Set options of a remote, or its ``url``, ``partial`` or ``single_writer``; what was probed is forgotten.

        Args:
            name: The remote.
            values: Option to value, as tables.
            where: The file; None: that in which the URL stands.

        Raises:
            ModelNotFoundError: There is no such remote.
            InvalidValueError: A value cannot be, or would be a secret in a file that is not for secrets.
        """
        where = where or self._home(name)
        self._table(name)
        table = divided(values)
        if "url" in table:
            table["url"] = self._written(table["url"], where)
        if where != "local":
            refusal.secrets(name, table, self._layers.path(where), added=False)

        def change(tables: MutableMapping[str, Any]) -> None:
            mine = tables.setdefault(name, {})
            for way, value in leaves(table):
                put(mine, way, value)

        self._change(where, change)
        if "url" in table or "options" in table:
            self._forget_probe(name)

    def unset(self, name: str, keys: Sequence[str], where: Where | None = None) -> None:
        """Take options of a remote away, each from the file whose value holds, so that the one below it does.

        Args:
            name: The remote.
            keys: Options, with dots for tables, or ``partial`` or ``single_writer``.
            where: The file; None: the last one that has the option.

        Raises:
            ModelNotFoundError: There is no such remote, or no such option in a file.
            InvalidValueError: The key is ``url``, without which there is no remote.
        """
        self._table(name)
        for key in keys:
            if key == "url":
                raise InvalidValueError("a remote has a URL", path="url", hint=f"friday-store remote rm {name}")
            way = (key,) if key in OWN else ("options", *key.split("."))
            for file in (where,) if where else reversed(FILES):
                if drop(self._layers.file(file).get(name, {}), way):
                    self._change(file, lambda tables, way=way: drop(tables[name], way))  # type: ignore[misc]
                    break
            else:
                raise ModelNotFoundError(
                    f"remote {name!r} has no option {key!r} in a file", hint=f"friday-store remote show {name}"
                )
        self._forget_probe(name)

    def remove(self, name: str, where: Where | None = None) -> None:
        """Forget a remote, and what the repository remembers about it; nothing at its place changes.

        Args:
            name: The remote.
            where: The file; None: both files of the repository.

        Raises:
            ModelNotFoundError: There is no such remote in these files.
        """
        files: tuple[Where, ...] = (where,) if where else ("repository", "local")
        holding = [file for file in files if name in self._layers.file(file)]
        if not holding:
            if name in self._layers.file("global"):
                raise InvalidValueError(
                    f"remote {name!r} is not this repository's but the user's, so all repositories have it",
                    path="remote",
                    hint=f"friday-store remote rm --global {name}",
                )
            raise self._unknown(name)
        for file in holding:
            self._change(file, lambda tables: tables.pop(name))
        if name not in self._layers.names():
            self._forget(name)

    def probe(self, remote: Remote, storage: Storage | None = None, *, keep: bool = True) -> Probe | None:
        """Ask a place what it can do, by writing a throw-away file there, and keep the answer with the remote.

        Args:
            remote: The place.
            storage: It, open; None opens it.
            keep: Whether to keep the answer in the file where the remote's URL stands.

        Returns:
            What was found, which may be that it cannot be reached, and why; None for a folder of this machine that
            is not there yet, which is left so.

        Raises:
            StorageError: The protocol or its package is unknown.
        """
        from friday_store.storage.probe import probe

        if remote.local and not Path(remote.url.removeprefix("file://")).expanduser().exists():
            return None
        found = probe(storage or remote.storage())
        if keep and found.readable and remote.name is not None:
            self._record(remote.name, found)
        return found

    def check_writable(self, remote: Remote, storage: Storage | None = None) -> Probe | None:
        """Refuse to write where two writers could undo each other's work; called before anything is written.

        A folder of this machine can tell two writers apart. Any other place is asked, unless it said yes before or
        the user vouches for being the only writer.

        Args:
            remote: The place.
            storage: It, open; None opens it if it has to be asked.

        Returns:
            What was found, if the place was asked.

        Raises:
            StorageError: It cannot be written, or cannot be written safely, or cannot be reached.
        """
        if remote.local or remote.single_writer or remote.probe.get("exclusive"):
            return None
        found = self.probe(remote, storage)
        refusal.unsafe(remote, found)
        return found

    def _record(self, name: str, found: Probe) -> None:
        table: Table = {"writable": found.writable}
        if found.exclusive is not None:
            table["exclusive"] = found.exclusive
        if found.clock is not None:
            table["clock"] = round(found.clock, 1) + 0.0  # no -0.0
        table["checked"] = self._clock().astimezone(dt.UTC).isoformat(timespec="seconds")
        try:
            self._change(self._home(name), lambda tables: tables[name].update({"probe": table}))
        except (StorageError, ModelNotFoundError) as error:
            _LOGGER.info("what was found at remote %s is not kept: %s", name, error)

    def _forget_probe(self, name: str) -> None:
        for where in FILES:
            if "probe" in self._layers.file(where).get(name, {}):
                self._change(where, lambda tables: tables[name].pop("probe"))

    def _change(self, where: Where, change: Callable[[MutableMapping[str, Any]], Any]) -> None:
        path = self._layers.path(where)
        if where == "local":
            keep_out_of_git(path.parent)
        change_remotes(path, change)

    def _table(self, name: str, said: Mapping[str, Any] | None = None) -> tuple[Mapping[Any, Table], Table]:
        layers = self._layers.of(name, said)
        table = united(layers)
        if not table or name == DIRECT:
            raise self._unknown(name)
        if "url" not in table:
            raise InvalidValueError(
                f"remote {name!r} has options and no URL", path="url", hint=f"friday-store remote set {name} url=URL"
            )
        return layers, table

    def _named(self, remote: str) -> bool:
        """Whether a file has a remote of this name, or the environment a URL for it."""
        if remote == DIRECT or not _NAME.fullmatch(remote):
            return False
        return remote in self._layers.names() or "url" in self._layers.of(remote).get("environment", {})

    def _home(self, name: str) -> Where:
        """Return the last file in which the remote's URL stands."""
        found: list[Where] = [where for where in FILES if "url" in self._layers.file(where).get(name, {})]
        if not found:
            raise self._unknown(name)
        return found[-1]

    def _base(self, layer: str) -> Path | None:
        return self._layers.user.parent if layer == "global" and self._layers.user else self._layers.root

    def _resolved(self, name: str | None, table: Table, base: Path | None) -> Remote:
        environment, what = self._layers.environment, f"remote {name!r}" if name else "the registry"
        url, root = table["url"], self._layers.root
        if INDIRECTION.fullmatch(url) and url.startswith("env:"):
            url = resolved(url, ("url",), remote=what, root=root, environment=environment)
        refusal.malformed(url)
        if base is not None and "://" not in url:
            url = str(base / Path(url).expanduser())
        options = resolved(table.get("options", {}), (), remote=what, root=root, environment=environment)
        partial, single = table.get("partial", False), table.get("single_writer", False)
        return Remote(name, url, options, partial=partial, single_writer=single, probe=table.get("probe", {}))

    def _written(self, url: str, where: Where) -> str:
        """Return a URL as it stands in a file: a path relative to the repository where it lies beside it."""
        if not url.strip():
            raise InvalidValueError("a remote has a URL", path="url")
        if "://" in url or url.startswith("env:"):
            refusal.malformed(url)
            return url
        root, target = self._layers.root, Path(url).expanduser().absolute()
        if where == "global" or root is None or not target.is_relative_to(root.parent.parent):
            return str(target)
        return os.path.relpath(target, root)

    def _check_name(self, name: str, where: Where) -> None:
        if not _NAME.fullmatch(name) or name.endswith((".", ".lock")):
            raise InvalidNameError(f"{name[:80]!r} cannot be a remote's name: letters, digits, '_', '-' and '.' can")
        if spelled(name) == spelled(DIRECT):
            raise InvalidNameError(f"no remote is called {name!r}: so are the options of a registry given by its URL")
        here = FILES[:1] if where == "global" else FILES[1:]
        taken = {spelled(known): known for file in here for known in self._layers.file(file)}
        if spelled(name) in taken:
            raise _taken(name, taken[spelled(name)], where)

    def _unknown(self, name: str) -> ModelNotFoundError:
        known = self._layers.names()
        listed = f" (there are: {', '.join(known)})" if known else ""
        said = shown_urls(name)[:80]
        return ModelNotFoundError(f"there is no remote {said!r}{listed}", hint=f"friday-store remote add {said} URL")

    def _forget(self, name: str) -> None:
        """Remove ``remotes/<name>`` and ``remotes/<name>.*``, but not what is another remote's."""
        folder = None if self._layers.root is None else self._layers.root / FOLDER
        if folder is None or folder.is_symlink() or not folder.is_dir():
            return
        others = tuple(other for other in self._layers.names() if other.startswith(f"{name}."))
        for path in sorted(folder.iterdir()):
            mine = path.name == name or path.name.startswith(f"{name}.")
            if not mine or any(path.name == other or path.name.startswith(f"{other}.") for other in others):
                continue
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"cannot remove {path}: {error.strerror}", hint=f"rm -r {path}") from error


def fitting(url: str | Path, options: Mapping[str, Any] | None = None) -> Where:
    """Return the file that a remote may stand in: ``local`` if something about it is secret, else ``repository``."""
    return "local" if with_credentials(str(url)) or secret((), divided(options or {})) else "repository"


def _taken(name: str, known: str, where: Where) -> InvalidValueError:
    alike = "" if known == name else f", whose variables would be called the same as those of {name!r}"
    flag = "--global " if where == "global" else ""
    return InvalidValueError(
        f"there is a remote {known!r} already{alike}", path="remote", hint=f"friday-store remote rm {flag}{known}"
    )
