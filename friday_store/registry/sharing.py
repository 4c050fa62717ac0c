"""Sharing: remotes, push and pull; and whether what is stored is sound."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from friday_store.errors import FridayStoreError
from friday_store.maintenance import Problem, fsck
from friday_store.registry import location
from friday_store.registry.access import Access
from friday_store.remotes import Remotes, Shown, Where
from friday_store.storage import Entry, open_storage

if TYPE_CHECKING:
    from friday_store.storage.probe import Probe


class Sharing(Access):
    """What concerns other registries and the store as a whole."""

    def remotes(self) -> dict[str, str]:
        """Return the remotes: name to URL, without user, password and query."""
        return self._remotes().listing()

    def remote(self, name: str) -> Shown:
        """Return a remote with where each of its settings comes from, and without any secret.

        Raises:
            ModelNotFoundError: There is no such remote.
        """
        return self._remotes().show(name)

    def add_remote(
        self,
        name: str,
        url: str | Path,
        options: Mapping[str, Any] | None = None,
        *,
        where: Where = "repository",
        probe: bool = True,
    ) -> None:
        """Name another registry, which need not exist yet.

        Args:
            name: What to call it.
            url: A path, or an fsspec URL.
            options: What fsspec's file system of that protocol needs, such as ``endpoint_url``; a value
                ``env:NAME`` or ``file:PATH`` is looked up when the remote is opened.
            where: Which file keeps it: the ``repository``'s, its ``local`` one, which alone takes secrets, or this
                user's ``global`` one.
            probe: Whether to ask the place what it can do. One that cannot be reached is a warning.

        Raises:
            InvalidValueError: The name is taken, or a secret would get into a file that others may read.
        """
        self._owned(where).add(name, url, options, where)
        if not probe:
            return
        try:
            found = self.probe_remote(name)
            why = found.reason if found is not None and not found.readable else ""
        except FridayStoreError as error:
            why = str(error)
        if why:
            warnings.warn(f"remote {name!r} is added but was not reached: {why}", stacklevel=2)

    def set_remote(
        self,
        name: str,
        values: Mapping[str, Any] | None = None,
        *,
        unset: Sequence[str] = (),
        where: Where | None = None,
    ) -> None:
        """Set and take away options of a remote, its ``url``, ``partial`` or ``single_writer``.

        Args:
            name: The remote.
            values: Option to value; tables inside are merged with what is there.
            unset: Options to take away, with dots for tables.
            where: Which file; None: that in which the URL, or the option to take away, stands.

        Raises:
            ModelNotFoundError: There is no such remote, or no such option to take away.
            InvalidValueError: A secret would get into a file that others may read.
        """
        if values:
            self._remotes().set(name, values, where)
        self._remotes().unset(name, unset, where)

    def probe_remote(self, name: str, *, keep: bool = True) -> Probe | None:
        """Ask a remote what it can do, by writing a throw-away file there; see :class:`friday_store.storage.Probe`.

        Args:
            name: The remote.
            keep: Whether to keep the answer in the configuration.

        Returns:
            What was found, which may be that it cannot be reached, and why; None for a folder of this machine that
            is not there yet.

        Raises:
            ModelNotFoundError: There is no such remote.
            InvalidValueError: A variable or file that one of its options names is missing.
            StorageError: The protocol or its package is unknown.
        """
        known = self._remotes()
        remote = known.resolve(name)
        return known.probe(remote, open_storage(location.inside(remote.url), remote.options), keep=keep)

    def unfinished_uploads(self, remote: str | None = None) -> list[Entry] | None:
        """Return the uploads that were begun and neither finished nor given up; their parts are stored until then.

        Args:
            remote: To a remote; None: to this registry.

        Returns:
            Path and time of each; None where a store has no such uploads.
        """
        storage = self.place.storage() if remote is None else self._remotes().resolve(remote).storage()
        find = getattr(storage, "unfinished", None)
        return None if find is None else list(find())

    def remove_remote(self, name: str, *, where: Where | None = None) -> None:
        """Forget a remote; nothing at its place changes."""
        self._owned(where or "repository").remove(name, where)

    def _remotes(self) -> Remotes:
        return location.remotes(self.repository.storage.root)

    def _owned(self, where: Where) -> Remotes:
        """Return the remotes to be changed; a local repository is made for them if there is none."""
        if where != "global" and self.repository.storage.root is not None and not self.repository.born:
            self.repository.create()
        return self._remotes()

    def fsck(self, *, quick: bool = False) -> list[Problem]:
        """Return everything that is wrong with what is stored; see :mod:`friday_store.maintenance`."""
        return fsck(self.repository, quick=quick, partial=bool(self._remotes().partial()))

    def verify(self) -> list[Problem]:
        """Return everything that is wrong with what is stored, every byte of it read; the same as :meth:`fsck`."""
        return self.fsck()
