"""Trust: which artifacts may run code here. It is this user's own, kept outside every repository, never synced.

Formats whose ``safety`` is ``data`` always load. The others load when the version was registered in a repository
that this user made or trusts, or when the version itself is trusted by digest. A version that came by pull or clone
carries the id of the repository it came from, one that came by import the digest of the bundle, and that is what is
asked: what a bundle says of its origin counts for nothing.

The file is JSON, ``{"digests": [..], "repositories": [..]}``, with mode 0600.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from friday_store.errors import InvalidValueError, UntrustedArtifactError
from friday_store.hookspecs import Safety
from friday_store.index import VersionRow
from friday_store.storage.local import private_folder, replace_private

Subject = Literal["digests", "repositories"]
_DIGEST: Final = 64
_SUBJECTS: Final = ("digests", "repositories")


def _place(origin: str) -> str:
    """Return what an origin is, and how all of it would be trusted."""
    if origin == "files":
        return "an exported folder"
    what = "bundle" if len(origin) == _DIGEST else "repository"
    return f"{what} {origin}, which you have not trusted (trust add {origin} would trust all of it)"


class TrustStore:
    """What this user trusts.

    Args:
        path: The file; None keeps it in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._held: dict[str, set[str]] = {subject: set() for subject in _SUBJECTS}

    def allows(self, row: VersionRow, repository: str) -> bool:
        """Whether a version may run code: by its digest, or by where it was registered and where it is now.

        Both must be trusted, because the origin is what the log of the repository at hand says.
        """
        trusted = self.listed()
        places = {repository, row.origin or repository}
        return row.model_id in trusted["digests"] or places <= trusted["repositories"] | trusted["digests"]

    def require(self, row: VersionRow, repository: str, safety: Safety) -> None:
        """Refuse to go on with a version that could run a stranger's code.

        Raises:
            UntrustedArtifactError: Nobody here vouched for it; the message says how to.
        """
        if safety == "data" or self.allows(row, repository):
            return
        known = self.listed()["repositories"]
        origin = row.origin if row.origin and row.origin not in known else repository
        raise UntrustedArtifactError(
            f"{row.model_name}:{row.model_version} ({row.model_id[:12]}) is in the format {row.serializer!r}, which "
            f"can run code when it is loaded, and comes from {_place(origin)}; it says that {row.author!r} made it, "
            "unsigned",
            model_id=row.model_id,
            origin=origin,
            hint=f"friday-store trust add {row.model_id}",
        )

    def listed(self) -> dict[str, set[str]]:
        """Return the trusted digests and repositories."""
        found = {subject: set(held) for subject, held in self._held.items()}
        for subject, values in self._read().items():
            found[subject] |= values
        return found

    def add(self, subject: Subject, value: str) -> None:
        """Trust a version's digest or a repository's id."""
        self._held[subject].add(value)
        try:
            with self._locked():
                stored = self._read()
                stored[subject].add(value)
                self._write(stored)
        except OSError as error:
            warnings.warn(f"trust cannot be kept in {self._path}: it ends with this process ({error})", stacklevel=2)

    def remove(self, subject: Subject, value: str) -> bool:
        """Stop trusting; whether it was trusted."""
        known = value in self.listed()[subject]
        self._held[subject].discard(value)
        with self._locked():
            stored = self._read()
            stored[subject].discard(value)
            self._write(stored)
        return known

    def _read(self) -> dict[str, set[str]]:
        empty: dict[str, set[str]] = {subject: set() for subject in _SUBJECTS}
        if self._path is None:
            return empty
        try:
            raw = json.loads(self._path.read_bytes())
            return {subject: {str(value) for value in raw[subject]} for subject in _SUBJECTS}
        except FileNotFoundError:
            return empty
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidValueError(
                f"{self._path} is damaged, so nothing in it is trusted",
                hint=f"look at it, then remove it: {self._path}",
            ) from error

    def _write(self, stored: dict[str, set[str]]) -> None:
        if self._path is None:
            return
        document = {subject: sorted(values) for subject, values in stored.items()}
        replace_private(self._path, json.dumps(document, indent=1, sort_keys=True).encode())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        private_folder(self._path.parent)
        handle = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
