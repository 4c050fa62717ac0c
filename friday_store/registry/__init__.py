"""The registry: models by name, over one repository. Every method that changes something is one transaction.

A method that addresses a version takes a revision (``"m"``, ``"m:1.0.0"``, ``"m@production"``, an id) or a name and a
version. A record is a plain dict, the caller's to change. What is refused is refused before anything is written.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload

from friday_store import codec, refs, serializer
from friday_store.errors import ConflictError, InvalidValueError, ModelNotFoundError
from friday_store.hookspecs import SyncReport
from friday_store.index import VersionRow
from friday_store.maintenance import Problem, fsck
from friday_store.manifest import Note
from friday_store.plugins import Plugins
from friday_store.refs import Ref
from friday_store.registry import drafting, history, listing, location, remotes
from friday_store.registry.drafting import ModelStatus, Options
from friday_store.registry.records import Record, frame, moment, records
from friday_store.repository import Repository, Settings, Transaction
from friday_store.repository.config import read_config
from friday_store.storage import open_storage
from friday_store.sync import Progress
from friday_store.trust import TrustStore

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ModelRegistry", "ModelStatus"]

_T = TypeVar("_T")
_Action = Callable[[Transaction], Any]


class ModelRegistry:
    """A registry of models at a folder or URL.

    Args:
        url: A folder, or an fsspec URL. None: ``FRIDAY_STORE_URL``, else the nearest ``.friday`` up the tree, else
            a folder of this user's. It is created on the first write.
        models_dir: The same as ``url``.
        registry_dir: The same as ``url``.
        plugins: Where formats and hooks come from; None: what is installed.
        actor: Who writes; None: ``FRIDAY_STORE_ACTOR``, else the repository's configuration, else ``user@host``.
        compression: ``auto`` compresses what shrinks by 15 %; ``none`` stores everything raw, so that all of it maps.
            None: as the repository's configuration says.
        verify: ``changed`` hashes mapped data again only when its file changed; ``always`` hashes every load.
        storage_options: What fsspec's file system for the URL needs.
        trust: Whose models may run code; None: this user's file.

    Raises:
        RepositoryError: The place holds something else, or a repository of a newer format.
        StorageError: It cannot be reached.
    """

    def __init__(
        self,
        url: str | Path | None = None,
        *,
        models_dir: str | Path | None = None,
        registry_dir: str | Path | None = None,
        plugins: Plugins | None = None,
        actor: str | None = None,
        compression: Literal["auto", "none"] | None = None,
        verify: Literal["changed", "always"] = "changed",
        storage_options: Mapping[str, Any] | None = None,
        trust: TrustStore | None = None,
    ) -> None:
        given = [place for place in (url, models_dir, registry_dir) if place is not None]
        if len(given) > 1:
            raise InvalidValueError(
                "url, models_dir and registry_dir are three names for one thing; give one", path="url"
            )
        if verify not in ("changed", "always") or compression not in (None, "auto", "none"):
            raise InvalidValueError("verify is 'changed' or 'always'; compression is 'auto' or 'none'", path="verify")
        storage = open_storage(location.inside(given[0]) if given else location.default_url(), storage_options)
        self.config = read_config(storage.root)
        self.plugins = plugins if plugins is not None else location.default_plugins()
        self.trust = trust if trust is not None else TrustStore(location.data_folder() / "trust.json")
        settings = Settings(
            actor=actor or self.config.actor or location.default_actor(),
            compression=compression or ("none" if self.config.compression == "none" else "auto"),
            verify=verify,
            cache=location.cache_folder(),
        )
        self.repository = Repository(
            storage, settings, self.plugins, created=lambda identity: self.trust.add("repositories", identity)
        )
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

    # -- recording -----------------------------------------------------------------------------------------------

    def register_model(
        self,
        model: Any,
        model_name: str,
        model_version: str | None = None,
        *,
        version: str | None = None,
        model_type: str | None = None,
        description: str = "",
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
        metrics: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        training_data: Mapping[str, Any] | None = None,
        feature_importance: Mapping[str, Any] | None = None,
        pipeline_steps: Iterable[Any] | None = None,
        dependencies: Mapping[str, Any] | None = None,
        evaluation: Mapping[str, Any] | None = None,
        parents: Iterable[str] | None = None,
        bump: Literal["major", "minor", "patch"] = "patch",
        serializer: str | None = None,
        exist_ok: bool = False,
        input_example: Any = None,
    ) -> str:
        """Store a model as a new version and return its id (64 hex characters).

        Parameters of the estimator, names and number of its features, versions of the libraries it is made of,
        Python and platform are recorded without being asked for.

        Args:
            model: Any object that a format accepts; a :class:`~pathlib.Path` is stored as that file.
            model_name: The model's name.
            model_version: A semantic version. None: the next one, decided when the transaction commits, so that
                writers at the same time get versions of their own.
            version: The same as ``model_version``.
            model_type: None: the class's name.
            description: In your own words.
            tags: Names for finding it; many versions can have one.
            aliases: Names that move to this version, such as ``production``.
            metrics: Numbers by name; NaN and infinity are kept.
            metadata: Anything plain: numbers, text, lists, dicts, dates, paths, enums, small arrays.
            hyperparameters: Added to what the estimator says of itself.
            training_data: What it was trained on.
            feature_importance: Numbers by feature.
            pipeline_steps: None: those of a scikit-learn pipeline.
            dependencies: Added to the libraries in use.
            evaluation: How it was evaluated.
            parents: Revisions that it came from. None: the version of this name that was registered last.
            bump: Which part of the highest version moves when none is given.
            serializer: The format's name; None lets the model decide.
            exist_ok: Return the existing version's id whatever its content is.
            input_example: A frame or 2-D array, of which only names, dtypes and width are recorded.

        Raises:
            InvalidNameError: A name, version, tag or alias cannot be.
            InvalidValueError: A value cannot be stored; the message names the key.
            VersionExistsError: The version exists with other content. The same content again returns its id.
            SerializationError: The model cannot be written; the message names the attribute.
            StorageError: The store cannot be written.
        """
        if version is not None and model_version is not None:
            raise InvalidValueError("version and model_version are two names for one thing; give one", path="version")
        options = Options(
            model_type, description, tags, aliases, metrics, metadata, hyperparameters, training_data,
            feature_importance, pipeline_steps, dependencies, evaluation, parents, bump, serializer, exist_ok,
            input_example, model_version or version,
        )  # fmt: skip
        return self._register([(model, model_name, options)], f"register {model_name}")[0]

    def register_model_from_file(
        self,
        path: str | Path,
        model_name: str,
        *,
        format: str = "file",  # noqa: A002 - the recorded word
        **options: Any,
    ) -> str:
        """Store a model's native file, without loading it, and return the version's id.

        Args:
            path: The file.
            model_name: The model's name.
            format: The format that the file is in; ``file`` takes any file as it is.
            options: As for :meth:`register_model`, but ``serializer``; ``model_type`` is the format unless given.

        Raises:
            FridayStoreError: As :meth:`register_model`; :class:`SerializationError` for a file of another format.
        """
        given = {"model_type": format, **options, "model": Path(path), "model_name": model_name, "serializer": format}
        return self._register([_arguments(given)], f"register {model_name}")[0]

    def register_models(self, models: Iterable[Mapping[str, Any]]) -> list[str]:
        """Store many versions as one transaction and one pack, and return their ids in order.

        Args:
            models: The arguments of :meth:`register_model`, one mapping each; read one at a time, so a generator
                need not hold more than one model in memory.

        Raises:
            FridayStoreError: As :meth:`register_model`; then none of them is registered.
        """
        return self._register((_arguments(item) for item in models), "register models")

    @contextlib.contextmanager
    def transaction(self, message: str = "transaction") -> Iterator[ModelRegistry]:
        """Make all changes in a ``with`` block one log entry, or none if the block raises.

        Methods return what they will have done; reading shows the state before. Not for several threads.

        Raises:
            ConflictError: Others changed the same names meanwhile, so that what was returned no longer holds.
        """
        if self._open is not None:
            raise InvalidValueError("transactions do not nest", path="transaction")
        self._open = (self.repository.transaction(message), [])
        transaction, actions = self._open
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

    def _register(self, models: Iterable[tuple[Any, str, Options]], message: str) -> list[str]:
        running = self._open[0] if self._open else self.repository.transaction(message)
        try:
            requests = [drafting.draft(running, self.repository, *item) for item in models]
        except BaseException:
            if self._open is None:
                running.discard()
            raise
        return self._do(
            lambda transaction: [drafting.assign(transaction, self.repository, request) for request in requests],
            message,
            running,
        )

    def _do(self, action: Callable[[Transaction], _T], message: str, running: Transaction | None = None) -> _T:
        """Carry out an action as a transaction of its own, or as a part of the open one."""
        if self._open is None:
            return (running or self.repository.transaction(message)).run(action)
        transaction, actions = self._open
        promised = action(transaction)
        actions.append((action, promised))
        return promised

    # -- reading -------------------------------------------------------------------------------------------------

    def load_model(self, revision: str, version: str | None = None) -> Any:
        """Return the model, made from verified bytes; it is the caller's own.

        Raises:
            ModelNotFoundError: Nothing answers to the revision.
            UntrustedArtifactError: It came from elsewhere and could run code; nothing was run.
            IntegrityError: Stored bytes are damaged; nothing was interpreted.
            PluginError: The format's plugin is not installed.
        """
        row = self._row(revision, version)
        manifest = self.repository.manifest(row)
        artifact = self.repository.artifact(manifest.artifact)
        self.trust.require(row, self.repository.id, self.plugins.serializer(artifact.serializer).safety)
        parts = self.repository.parts(artifact)
        model = serializer.load(self.plugins, artifact.serializer, artifact.format, parts)
        self.remember(model, row.model_id)
        return model

    def record_of(self, model: Any) -> Record:
        """Return the record of a model that was loaded through this registry.

        Raises:
            ModelNotFoundError: It was not, or it is of a type that cannot be told apart (a dict, an array).
        """
        held = self._loaded.get(id(model))
        if held is None or held[0]() is not model:
            raise ModelNotFoundError(f"this {type(model).__name__} was not loaded through this registry")
        return self.get_model_metadata(held[1])

    def remember(self, model: Any, model_id: str) -> None:
        """Note which version an object is, for :meth:`record_of`; forgotten with the object."""
        key = id(model)
        with contextlib.suppress(TypeError):
            self._loaded[key] = (weakref.ref(model, lambda _: self._loaded.pop(key, None)), model_id)

    def get_model(self, revision: str, version: str | None = None) -> Any:
        """Return the model; the same as :meth:`load_model`."""
        return self.load_model(revision, version)

    def get_model_by_name_and_version(self, model_name: str, model_version: str) -> Any:
        """Return the model of an exact name and version."""
        return self.load_model(model_name, model_version)

    def get_latest_model(self, model_name: str) -> Any:
        """Return the model of the highest version."""
        return self.load_model(model_name)

    def get_latest_version(self, model_name: str) -> str:
        """Return the highest version by semver precedence; a pre-release only if there is nothing else."""
        return self._row(refs.check_name(model_name, "model name"), None).model_version

    def get_model_metadata(self, revision: str, version: str | None = None) -> Record:
        """Return a version's record."""
        return records(self.repository.index, [self._row(revision, version)])[0]

    def get_model_versions(self, model_name: str) -> list[Record]:
        """Return the records of all versions, newest first by semver precedence.

        Raises:
            ModelNotFoundError: There is no such model.
        """
        self._row(refs.check_name(model_name, "model name"), None)
        rows = self.repository.index.versions(
            "m.model_name = ?", (model_name,), "ORDER BY m.precedence DESC, m.id DESC"
        )
        return records(self.repository.index, rows)

    @overload
    def list_models(
        self,
        name_filter: str | None = ...,
        tag_filter: str | Iterable[str] | None = ...,
        *,
        as_frame: Literal[False] = ...,
        **filters: Unpack[listing.Filters],
    ) -> list[Record]: ...
    @overload
    def list_models(
        self,
        name_filter: str | None = ...,
        tag_filter: str | Iterable[str] | None = ...,
        *,
        as_frame: Literal[True],
        **filters: Unpack[listing.Filters],
    ) -> pd.DataFrame: ...
    def list_models(
        self,
        name_filter: str | None = None,
        tag_filter: str | Iterable[str] | None = None,
        *,
        tags: Iterable[str] | None = None,
        require_all_tags: bool = True,
        status: str | None = None,
        model_type: str | None = None,
        order_by: str | None = None,
        limit: int | None = None,
        as_frame: bool = False,
    ) -> list[Record] | pd.DataFrame:
        """Return the records of the versions that pass every filter.

        Args:
            name_filter: A glob over model names, such as ``AAPL_*``.
            tag_filter: A tag, or several.
            tags: The same as ``tag_filter``.
            require_all_tags: Whether a version needs all the tags, or one of them.
            status: One status.
            model_type: One type.
            order_by: ``name``, ``version``, ``created_at``, ``updated_at``, ``size_bytes``, ``status``, ``author``,
                ``model_type`` or ``metrics.NAME``; ``-`` before it turns it round. None: by name, then newest first.
            limit: At most so many.
            as_frame: Return a DataFrame instead.

        Raises:
            InvalidValueError: ``order_by`` or ``limit`` cannot be.
        """
        wanted = [tag_filter] if isinstance(tag_filter, str) else list(tag_filter or ())
        rows = listing.listed(
            self.repository.index,
            listing.Filter(
                name_filter, (*wanted, *(tags or ())), require_all_tags, status, model_type, order_by, limit
            ),
        )
        found = records(self.repository.index, rows)
        return frame(found) if as_frame else found

    def list_summaries(
        self, name_filter: str | None = None, *, tags: Iterable[str] = (), status: str | None = None
    ) -> list[Record]:
        """Return one record per model, sorted by name, over its versions that pass the filters.

        Its keys: ``model_name``, ``model_version`` and ``model_id`` of the highest, ``versions`` (how many),
        ``aliases`` (name to version), ``tags``, ``size_bytes`` (of all), ``created_at`` (the first's), ``updated_at``
        (the last's), ``precedence`` (text that sorts as the versions do).
        """
        found = listing.summaries(self.repository.index, listing.Filter(name_filter, tuple(tags), status=status))
        for summary in found:
            summary |= {key: moment(summary[key]) for key in ("created_at", "updated_at")}
        return found

    def model_names(self, name_filter: str | None = None) -> list[str]:
        """Return the names of all models, sorted."""
        return listing.names(self.repository.index, name_filter)

    def _row(self, revision: str, version: str | None) -> VersionRow:
        if version is None:
            return self.repository.resolve(revision)
        refs.check_name(revision, "model name")
        refs.check_version(version)
        return self.repository.version(revision, version) or self.repository.resolve(f"{revision}:{version}")

    # -- saying more about a version -------------------------------------------------------------------------------

    def update_model_metadata(
        self, revision: str, changes: Mapping[str, Any], description: str | None = None
    ) -> Record:
        """Merge changes into a version's metadata, deeply, and return its record; None removes a key.

        What was there before stays in the history.
        """
        body = {"changes": {"metadata": codec.normalise_map(changes, "changes")}, "description": description}
        return self._note(revision, "metadata", body, "metadata of")

    def set_model_status(self, revision: str, status: str | ModelStatus, reason: str = "") -> Record:
        """Set a version's status and return its record; who, when and why are kept.

        Raises:
            InvalidValueError: It is neither a :class:`ModelStatus` nor a word of the repository's configuration.
        """
        known = [*ModelStatus, *self.config.statuses]
        if str(status) not in known:
            raise InvalidValueError(f"{str(status)!r} is no status; there are: {', '.join(known)}", path="status")
        return self._note(revision, "status", {"status": str(status), "reason": reason}, f"status {status} for")

    def log_metrics(
        self, revision: str, metrics: Mapping[str, Any], *, step: int | None = None, time: dt.datetime | None = None
    ) -> Record:
        """Add observations of metrics to a version and return its record.

        Args:
            revision: The version.
            metrics: Numbers by name.
            step: Which step of a run they belong to.
            time: When they were observed; None: now.
        """
        observed = drafting.metrics(metrics)
        if not observed:
            raise InvalidValueError("metrics: there is nothing to log", path="metrics")
        body: dict[str, Any] = {"metrics": observed, "step": step}
        if time is not None:
            body["time"] = round(time.timestamp() * 1_000_000)
        return self._note(revision, "metrics", body, "metrics of")

    def get_latest_metrics(self, revision: str) -> dict[str, float]:
        """Return the newest value of each metric."""
        found: dict[str, float] = self.get_model_metadata(revision)["metrics"]
        return found

    def get_metric_history(self, revision: str, name: str) -> pd.DataFrame:
        """Return every observation of a metric: columns ``time``, ``step``, ``value``, oldest first."""
        return history.metric(self.repository.index, self._row(revision, None), name)

    def get_status_history(self, revision: str) -> list[Record]:
        """Return every change of status, oldest first: ``status``, ``reason``, ``author``, ``time``."""
        notes = self.repository.notes(self._row(revision, None))
        return [
            {**note.body, "author": note.author, "time": moment(note.time)} for note in notes if note.type == "status"
        ]

    def _note(self, revision: str, kind: str, body: Mapping[str, Any], what: str) -> Record:
        row = self._row(revision, None)
        about = bytes.fromhex(row.model_id)

        def plan(transaction: Transaction) -> None:
            current = self.repository.version(row.model_name, row.model_version)
            if current is None or current.model_id != row.model_id:
                raise ModelNotFoundError(f"{row.model_name}:{row.model_version} was deleted meanwhile")
            time = max(self.repository.log.now(), current.updated_at + 1)
            note = transaction.put_note(Note(about, kind, body, self.repository.settings.actor, time))
            transaction.move(Ref("notes", row.model_name, row.model_version, note.hex()), None, note)

        self._do(plan, f"{what} {row.model_name}:{row.model_version}")
        return records(self.repository.index, [self._row(row.model_id, None)])[0]

    # -- names that move -------------------------------------------------------------------------------------------

    def add_tag(self, revision: str, tag: str) -> None:
        """Give a version a tag; nothing happens if it has it."""
        self._move_tag(revision, refs.check_name(tag, "tag"), on=True)

    def remove_tag(self, revision: str, tag: str) -> None:
        """Take a tag from a version; nothing happens if it does not have it."""
        self._move_tag(revision, refs.check_name(tag, "tag"), on=False)

    def _move_tag(self, revision: str, tag: str, *, on: bool) -> None:
        row = self._row(revision, None)
        ref, target = Ref("tags", row.model_name, tag, row.model_version), bytes.fromhex(row.model_id)
        word = "tag" if on else "untag"
        self._do(
            lambda transaction: transaction.move(ref, transaction.planned(ref), target if on else None),
            f"{word} {row.model_name}:{row.model_version} {tag}",
        )

    def set_alias(self, revision: str, alias: str, *, expected: str | None = None) -> None:
        """Point an alias at a version of its model, moving it if it is elsewhere.

        Args:
            revision: The version.
            alias: The alias.
            expected: The id that it must point at now; None moves it from wherever it is.

        Raises:
            ConflictError: It points elsewhere than ``expected``.
        """
        row = self._row(revision, None)
        ref, target = Ref("aliases", row.model_name, refs.check_name(alias, "alias")), bytes.fromhex(row.model_id)

        def plan(transaction: Transaction) -> None:
            old = transaction.planned(ref)
            if expected is not None and (old is None or old.hex() != expected):
                here = old.hex()[:12] if old else "nothing"
                raise ConflictError(f"{row.model_name}@{alias} points at {here}, not at {expected[:12]}", ref=str(ref))
            transaction.move(ref, old, target)

        self._do(plan, f"alias {row.model_name}@{alias} -> {row.model_version}")

    def delete_alias(self, model_name: str, alias: str) -> None:
        """Remove an alias.

        Raises:
            ModelNotFoundError: There is none of this name.
        """
        ref = Ref("aliases", refs.check_name(model_name, "model name"), refs.check_name(alias, "alias"))

        def plan(transaction: Transaction) -> None:
            old = transaction.planned(ref)
            if old is None:
                raise ModelNotFoundError(
                    f"model {model_name!r} has no alias {alias!r}", hint=f"friday-store alias {model_name}"
                )
            transaction.move(ref, old, None)

        self._do(plan, f"delete alias {model_name}@{alias}")

    def promote(self, revision: str, alias: str = "production") -> None:
        """Point an alias, ``production`` unless named, at a version."""
        self.set_alias(revision, alias)

    def rollback(self, model_name: str, alias: str = "production") -> str:
        """Move an alias back to where it pointed before its last move, and return that version's id.

        Rolling back twice goes two moves back.

        Raises:
            ModelNotFoundError: There is no such alias, or nothing before.
        """
        ref = Ref("aliases", refs.check_name(model_name, "model name"), refs.check_name(alias, "alias"))

        def plan(transaction: Transaction) -> str:
            old, target = transaction.planned(ref), history.before(self.repository, ref)
            transaction.move(ref, old, target)
            return target.hex()

        return self._do(plan, f"{history.ROLLBACK} {model_name}@{alias}")

    # -- forgetting ------------------------------------------------------------------------------------------------

    def delete_model(self, model_name: str, version: str | None = None, *, force: bool = False) -> list[str]:
        """Forget a version, or a whole model, and return the ids; nothing is erased until garbage collection.

        Args:
            model_name: The model's name.
            version: One version; None deletes all.
            force: Also delete what an alias points at, and the alias with it.

        Raises:
            ModelNotFoundError: There is no such model or version.
            ConflictError: An alias points at it.
        """
        first = self._row(model_name, version)
        condition = "m.model_name = ?" if version is None else "m.model_name = ? AND m.model_version = ?"
        values = (first.model_name,) if version is None else (first.model_name, first.model_version)

        def plan(transaction: Transaction) -> list[str]:
            rows = self.repository.index.versions(condition, values, "ORDER BY m.id")
            return history.forget(self.repository, transaction, rows, force=force)

        return self._do(plan, f"delete {model_name}" + (f":{version}" if version else ""))

    def restore_model(self, model_name: str, version: str | None = None) -> list[str]:
        """Bring back a deleted version, or all deleted versions of a model, with their tags, and return the ids.

        Raises:
            ModelNotFoundError: Nothing of that name was deleted.
        """
        refs.check_name(model_name, "model name")
        return history.restore(self.repository, model_name, version)

    # -- other registries ------------------------------------------------------------------------------------------

    @classmethod
    def clone(cls, url: str | Path, folder: str | Path, **options: Any) -> ModelRegistry:
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


def _arguments(item: Mapping[str, Any]) -> tuple[Any, str, Options]:
    given = dict(item)
    try:
        model, name = given.pop("model"), given.pop("model_name")
        if "model_version" in given:
            given["version"] = given.pop("model_version")
        return model, name, Options(**given)
    except (KeyError, TypeError) as error:
        raise InvalidValueError(
            f"register_models: {error}; the keys are the arguments of register_model", path="models"
        ) from error
