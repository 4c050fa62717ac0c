"""What is known of one remote: ready to be opened, and as it may be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias

from friday_store.remotes.secrecy import shown_urls
from friday_store.storage import Storage, open_storage
from friday_store.storage.redaction import Redactor

Where: TypeAlias = Literal["repository", "local", "global"]
Layer: TypeAlias = Literal["global", "repository", "local", "environment", "option"]


@dataclass(frozen=True, repr=False)
class Remote:
    """A place with all that opening it needs, credentials included; not shown by ``repr`` and never pickled.

    Attributes:
        name: Its name, or None when it was given by its URL.
        url: A local path or an fsspec URL; may hold credentials, so show :attr:`place`.
        options: What fsspec's file system of that protocol is given.
        partial: Whether the data of models stays there until it is needed.
        single_writer: Whether the user vouches that nobody else writes there at the same time.
        probe: What the last probe found: ``exclusive``, ``writable``, ``clock``, ``checked``; empty if there was none.
    """

    name: str | None
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    single_writer: bool = False
    probe: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Remote({self.name!r}, {self.place!r}, options={sorted(self.options)})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a remote holds credentials and is not pickled or copied; resolve its name again")

    @property
    def place(self) -> str:
        """The URL without user, password and query."""
        return shown_urls(self.url)

    @property
    def local(self) -> bool:
        """Whether it is a folder of this machine."""
        return "://" not in self.url or self.url.startswith("file://")

    def storage(self) -> Storage:
        """Return the storage at this place.

        Raises:
            StorageError: The protocol or its package is unknown.
        """
        return open_storage(self.url, self.options)

    def clean(self, text: str) -> str:
        """Return text, such as a library's error, without this remote's credentials."""
        return shown_urls(Redactor(self.url, self.options)(text))


@dataclass(frozen=True)
class Setting:
    """One option as it may be shown: ``***`` for a secret.

    Attributes:
        key: Its name, with dots for tables.
        value: What it is.
        origin: The layer that it comes from.
    """

    key: str
    value: Any
    origin: Layer


@dataclass(frozen=True)
class Shown:
    """One remote as it may be shown.

    Attributes:
        name: Its name.
        url: Its URL as it was given, without user, password and query.
        origin: The layer that the URL comes from.
        partial: As in :class:`Remote`.
        single_writer: As in :class:`Remote`.
        options: Its options, by name.
        probe: What the last probe found.
    """

    name: str
    url: str
    origin: Layer
    partial: bool
    single_writer: bool
    options: tuple[Setting, ...]
    probe: Mapping[str, Any]
