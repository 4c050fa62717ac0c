"""Sharing: remotes, push and pull; and whether what is stored is sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from friday_store.hookspecs import SyncReport
from friday_store.maintenance import Problem, fsck
from friday_store.registry import remotes
from friday_store.registry.access import Access
from friday_store.repository.config import read_config
from friday_store.sync import Progress


class Sharing(Access):
    """What concerns other registries and the store as a whole."""

    @classmethod
    def clone(cls, url: str | Path, folder: str | Path, **options: Any) -> Self:
        """Copy a registry into a new one at ``folder``/.friday, with the source as its remote ``origin``.

        Raises:
            RepositoryError: There is no registry at ``url``, or something else at ``folder``.
        """
        return remotes.clone(cls, url, Path(folder), options)

    def remotes(self) -> dict[str, str]:
        """Return the remotes: name to URL."""
        return dict(read_config(self.repository.storage.root).remotes)

    def add_remote(self, name: str, url: str | Path) -> None:
        """Name another registry, which need not exist yet.

        Raises:
            InvalidValueError: The name is taken, or the URL holds a password.
        """
        remotes.add(self.repository, name, str(url))

    def remove_remote(self, name: str) -> None:
        """Forget a remote."""
        remotes.remove(self.repository, name)

    def push(
        self,
        remote: str = "origin",
        patterns: Sequence[str] = ("*",),
        *,
        force: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> SyncReport:
        """Copy what a remote lacks to it: missing objects first, then all refs in one log entry.

        Args:
            remote: A remote's name, or a path or URL.
            patterns: Globs over model names.
            force: Move aliases that moved on both sides.
            dry_run: Change nothing; the report is what a real run would say.
            progress: Told after every object: copied, to copy, bytes copied.
        """
        return remotes.sync(
            self.repository, remote, patterns, to_remote=True, force=force, dry_run=dry_run, progress=progress
        )

    def pull(
        self,
        remote: str = "origin",
        patterns: Sequence[str] = ("*",),
        *,
        force: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> SyncReport:
        """Copy what is new in a remote here; the arguments are those of :meth:`push`."""
        return remotes.sync(
            self.repository, remote, patterns, to_remote=False, force=force, dry_run=dry_run, progress=progress
        )

    def fsck(self, *, quick: bool = False) -> list[Problem]:
        """Return everything that is wrong with what is stored; see :mod:`friday_store.maintenance`."""
        return fsck(self.repository, quick=quick)
