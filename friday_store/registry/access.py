"""An open registry: where it is, one version by its revision, and changes as transactions."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from friday_store import refs
from friday_store.errors import ConflictError, InvalidValueError
from friday_store.index import Server, VersionRow
from friday_store.plugins import Plugins
from friday_store.registry import location
from friday_store.repository import Repository, Settings, Transaction
from friday_store.repository.config import read_config
from friday_store.storage import open_storage
from friday_store.trust import Identity, Provenances, TrustStore

_T = TypeVar("_T")
_Action = Callable[[Transaction], Any]


class Access:
    """What every part of a registry stands on; the arguments are those of :class:`ModelRegistry`."""

    def __init__(
        self,
        url: str | Path | None = None,
        *,
        index: str | Path | Server | None = None,
        models_dir: str | Path | None = None,
        registry_dir: str | Path | None = None,
        plugins: Plugins | None = None,
        actor: str | None = None,
        compression: Literal["auto", "none"] | None = None,
        verify: Literal["changed", "always"] = "changed",
        storage_options: Mapping[str, Any] | None = None,
        trust: TrustStore | None = None,
        identity: Identity | None = None,
    ) -> None:
        given = [place for place in (url, models_dir, registry_dir) if place is not None]
        if len(given) > 1:
            raise InvalidValueError(
                "url, models_dir and registry_dir are three names for one thing; give one", path="url"
            )
        if verify not in ("changed", "always") or compression not in (None, "auto", "none"):
            raise InvalidValueError("verify is 'changed' or 'always'; compression is 'auto' or 'none'", path="verify")
        place = location.inside(given[0]) if given else location.default_url()
        self.place = location.remotes(None).direct(place, storage_options)
        storage = open_storage(self.place.url, self.place.options)
        self.config = read_config(storage.root)
        self.plugins = plugins if plugins is not None else location.default_plugins()
        self.identity = identity if identity is not None else location.identity()
        self.trust = trust if trust is not None else location.trust(self.identity)
        settings = Settings(
            actor=actor or self.config.actor or location.default_actor(),
            compression=compression or ("none" if self.config.compression == "none" else "auto"),
            verify=verify,
            cache=location.cache_folder(),
            index=location.index_place(index),
        )
        self.repository = Repository(
            storage,
            settings,
            self.plugins,
            created=lambda made: self.trust.add("own", made),
            guard=lambda: location.remotes(None).check_writable(self.place, storage),
            single_writer=self.place.single_writer,
        )
        if storage.root is not None:
            self.repository.fetch = self._fetch_missing
        self.provenances = Provenances(self.repository)
        self._loaded: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._open: tuple[Transaction, list[tuple[_Action, Any]]] | None = None

    def __repr__(self) -> str:
        return f"ModelRegistry({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where the registry is."""
        return self.repository.storage.url

    def close(self) -> None:
        """Let go of files; the registry opens them again when it is used again."""
        self.repository.close()

    @contextlib.contextmanager
    def transaction(self, message: str = "transaction", *, origin: str = "", override: bool = False) -> Iterator[Self]:
        """Make all changes in a ``with`` block one log entry, or none if the block raises.

        Methods return what they will have done; reading shows the state before. Not for several threads.

        Args:
            message: Why, for the log.
            origin: The id (a UUID) of what the versions come from, where somebody else made them: those in a format
                that can run code load only once they, or that origin, are trusted. Empty for one's own.
            override: Whether it may move aliases that are protected; the log says so then.

        Raises:
            ProtectedError: It would move what is protected.
            ConflictError: Others changed the same names meanwhile, so that what was returned no longer holds.
        """
        if self._open is not None:
            raise InvalidValueError("transactions do not nest", path="transaction")
        self._open = (self.repository.transaction(message, origin=origin), [])
        transaction, actions = self._open
        transaction.override = override
        try:
            yield self
        except BaseException:
            transaction.discard()
            raise
        finally:
            self._open = None

        def again(running: Transaction) -> None:
            for action, promised in actions:
                if action(running) != promised:
                    raise ConflictError(f"others changed the same models during {message!r}; run it again")

        if actions:
            transaction.run(again)
        else:
            transaction.discard()

    def _do(self, action: Callable[[Transaction], _T], message: str, running: Transaction | None = None) -> _T:
        """Carry out an action as a transaction of its own, or as a part of the open one."""
        if self._open is None:
            return (running or self.repository.transaction(message)).run(action)
        transaction, actions = self._open
        promised = action(transaction)
        actions.append((action, promised))
        return promised

    def _fetch_missing(self, chunks: list[bytes]) -> bool:  # noqa: ARG002 - who knows of remotes fetches
        """Bring chunks of a model from where they were left; False if there is no such place."""
        return False

    def resolve(self, revision: str) -> VersionRow:
        """Return the version that a revision names, as the index has it.

        Raises:
            ModelNotFoundError: Nothing answers to it.
            AmbiguousRevisionError: More than one version does.
        """
        return self._row(revision, None)

    def _row(self, revision: str, version: str | None) -> VersionRow:
        if version is None:
            return self.repository.resolve(revision)
        refs.check_name(revision, "model name")
        refs.check_version(version)
        return self.repository.version(revision, version) or self.repository.resolve(f"{revision}:{version}")
