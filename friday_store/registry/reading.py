"""Reading a registry: models, records, lists and histories."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from friday_store import query, refs, serializer
from friday_store.errors import ModelNotFoundError
from friday_store.hookspecs import Describing, Typed
from friday_store.index import MOST_ROWS, VersionRow
from friday_store.manifest import Artifact, Manifest
from friday_store.registry import attachments, history, listing, ranking
from friday_store.registry.access import Access
from friday_store.registry.pages import Page
from friday_store.registry.records import Record, frame, moment, records
from friday_store.remotes.secrecy import shown_urls
from friday_store.trust import Provenance

if TYPE_CHECKING:
    import pandas as pd

    from friday_store.explanation import Explanation
    from friday_store.lineage import Direction, Lineage, Node


class Reading(Access):
    """What a registry answers; nothing here changes it."""

    def _repr_html_(self) -> str:
        from friday_store.registry import notebook

        return notebook.registry(self.repository.index, shown_urls(self.url), self.list_summaries())

    def load_model(self, revision: str, version: str | None = None) -> Any:
        """Return the model, made from verified bytes; it is the caller's own.

        Raises:
            ModelNotFoundError: Nothing answers to the revision.
            UntrustedArtifactError: It came from elsewhere and could run code; nothing was run.
            IntegrityError: Stored bytes are damaged; nothing was interpreted.
            PluginError: The format's plugin is not installed.
        """
        far = self.repository.storage.root is None  # where each look at the log is a request
        with self.repository.index.glance() if far else contextlib.nullcontext():
            named = self._row(revision, version)
        row, manifest = self.repository.verified(named)
        return self.made(row, manifest, self.repository.artifact(manifest.artifact))

    def made(self, row: VersionRow, manifest: Manifest, artifact: Artifact) -> Any:
        """Return the model of a version whose manifest and artifact are at hand, verified; see :meth:`load_model`."""
        parts = self.trusted_parts(row, manifest, artifact)
        model = serializer.load(self.plugins, artifact.serializer, artifact.format, parts)
        self.remember(model, row.model_id)
        return model

    def trusted_parts(self, row: VersionRow, manifest: Manifest, artifact: Artifact) -> dict[str, memoryview]:
        """Return the verified parts of a version that may load here, for whoever loads it by other means.

        Args:
            row: The version, as :meth:`Repository.verified` gave it.
            manifest: Its manifest, from there too.
            artifact: The artifact that the manifest names.

        Raises:
            UntrustedArtifactError: It came from elsewhere and could run code, or a policy asks for more signatures.
            IntegrityError: Stored bytes are damaged.
        """
        form, of = self.plugins.serializer(artifact.serializer), self.provenances.of(row, manifest)
        if form.safety != "typed" or not isinstance(form, Typed):
            self.trust.require(of, form.safety)
            return self.repository.parts(artifact, row)
        parts = self.repository.parts(artifact, row)
        self.trust.require(of, form.safety, lambda: serializer.types(form, artifact.format, parts))
        return parts

    def describe(self, revision: str, version: str | None = None) -> dict[str, Any]:
        """Return what the format says is inside a model, without loading it: shapes, dtypes, operators, versions.

        As it was recorded with the version; where nothing was, its verified bytes are asked, by the installed plugin.
        Empty for a format that says nothing.

        Raises:
            ModelNotFoundError: Nothing answers to the revision.
            SerializationError: The parts are not of their format.
            PluginError: The format's plugin is not installed.
        """
        row = self._row(revision, version)
        manifest = self.repository.manifest(row)
        if manifest.facts.get("contents"):
            return dict(manifest.facts["contents"])
        form = self.plugins.serializer(manifest.serializer)
        if not isinstance(form, Describing):
            return {}
        artifact = self.repository.artifact(manifest.artifact)
        return serializer.contents(form, artifact.format, self.repository.parts(artifact, row))

    def attachments(self, revision: str, version: str | None = None) -> dict[str, int]:
        """Return the names of the files that are attached to a version, with their sizes in bytes."""
        return attachments.listed(self.repository.manifest(self._row(revision, version)))

    def read_attachment(self, revision: str, name: str) -> memoryview:
        """Return the verified bytes of a file that is attached to a version.

        Raises:
            ModelNotFoundError: Nothing answers to the revision, or nothing of that name is attached.
            UntrustedArtifactError: A policy asks for more signatures.
            IntegrityError: It is damaged.
        """
        row, manifest = self.repository.verified(self._row(revision, None))
        self.trust.require(self.provenances.of(row, manifest), "data")
        return attachments.read(self.repository, manifest, name)

    def provenance(self, revision: str, version: str | None = None) -> Provenance:
        """Return whose word there is for a version: see :class:`~friday_store.trust.Provenance`."""
        return self.provenances.of(*self.repository.verified(self._row(revision, version)))

    def explain(self, revision: str, version: str | None = None, *, scan: bool = False) -> Explanation:
        """Return what loading a version would run, and whether it would load here; nothing of it is run.

        Args:
            revision: The version, or a model's name.
            version: The version, when a name was given.
            scan: Whether to ask ``picklescan`` too, if it is installed.
        """
        from friday_store import explanation

        row, manifest = self.repository.verified(self._row(revision, version))
        artifact = self.repository.artifact(manifest.artifact)
        of, parts = self.provenances.of(row, manifest), self.repository.parts(artifact, row)
        return explanation.explain(self.plugins, self.trust, of, artifact, parts, scan=scan)

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
        where: str | None = None,
        order_by: str | Iterable[str] | None = None,
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
            where: A condition in the query language, such as ``metrics.rmse < 0.5``; see :mod:`friday_store.query`.
            order_by: Keys with commas between, such as ``-metrics.r2, name``, or a list of them; ``-`` turns one round,
                and what has no value comes last. None: by name, then from the highest version down.
            limit: At most so many.
            as_frame: Return a DataFrame instead.

        Raises:
            QueryError: ``where`` or ``order_by`` cannot be understood; it says where.
            InvalidValueError: ``limit`` cannot be.
            ModelNotFoundError: ``where`` names a version that is not there.
        """
        wanted = [tag_filter] if isinstance(tag_filter, str) else list(tag_filter or ())
        asked = listing.Filter(name_filter, (*wanted, *(tags or ())), require_all_tags, status, model_type, where)
        index = self.repository.index
        with index.glance():
            found = records(index, listing.listed(index, asked, self._id_of, order_by, limit))
        return frame(found) if as_frame else found

    def _id_of(self, revision: str) -> str:
        return self.resolve(revision).model_id

    def search(
        self,
        where: str = "",
        *,
        order_by: str | Iterable[str] | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page:
        """Return the versions that a query finds, a page at a time; see :mod:`friday_store.query`.

        Args:
            where: The condition, such as ``metrics.rmse < 0.5 and tag = 'AAPL'``; empty for all versions.
            order_by: As for :meth:`list_models`.
            limit: At most so many; None for all.
            after: The page's :attr:`~friday_store.registry.pages.Page.after` that this one follows.

        Raises:
            QueryError: The condition or the order cannot be understood; it says where.
            InvalidValueError: ``limit`` or ``after`` cannot be.
            ModelNotFoundError: The condition names a version that is not there.
        """
        tree, index = query.parse(where), self.repository.index
        with index.glance():
            order = query.ordered(index, order_by)
            found = query.search(index, tree, self._id_of, order=order, limit=limit, after=after)
            return Page(tuple(records(index, found.rows)), found.after)

    def query(
        self, where: str = "", *, order_by: str | Iterable[str] | None = None, limit: int | None = None
    ) -> pd.DataFrame:
        """Return the versions that a query finds as a DataFrame, with a column for each metric; see :meth:`search`."""
        return self.search(where, order_by=order_by, limit=limit).to_frame()

    def best(
        self,
        wanted: str | Mapping[str, Any] | None,
        metric: str,
        higher: bool | None = None,  # noqa: FBT001 - a third state is "by its name"
        require: str | Mapping[str, Any] | None = None,
    ) -> VersionRow:
        """Return the best version by a metric; see :meth:`ModelOperations.find_best_model`."""
        return ranking.best(self.repository.index, wanted, metric, higher, require, resolve=self._id_of)

    def select(
        self, sql: str, values: Sequence[Any] = (), *, timeout: float | None = None, most: int = MOST_ROWS
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the columns and rows of a question in SQL to the index, which the database lets read alone.

        The tables and views are listed in the README.

        Args:
            sql: One statement.
            values: For its marks.
            timeout: Seconds that it may take; None for any time, until Ctrl-C.
            most: More rows than these are refused, since all of them are held in memory.

        Raises:
            InvalidValueError: It is not one statement that reads, the database refuses it, or it takes too much.
        """
        return self.repository.index.select(sql, values, timeout=timeout, most=most)

    def list_summaries(
        self,
        name_filter: str | None = None,
        *,
        tags: Iterable[str] = (),
        status: str | None = None,
        where: str | None = None,
    ) -> list[Record]:
        """Return one record per model, sorted by name, over its versions that pass the filters.

        Its keys: ``model_name``, ``model_version`` and ``model_id`` of the highest, ``versions`` (how many),
        ``aliases`` (name to version), ``tags``, ``size_bytes`` (of all), ``created_at`` (the first's), ``updated_at``
        (the last's), ``precedence`` (text that sorts as the versions do).
        """
        wanted = listing.Filter(name_filter, tuple(tags), status=status, where=where)
        index = self.repository.index
        with index.glance():
            found = listing.summaries(index, wanted, self._id_of)
        for summary in found:
            summary |= {key: moment(summary[key]) for key in ("created_at", "updated_at")}
        return found

    def model_names(self, name_filter: str | None = None) -> list[str]:
        """Return the names of all models, sorted."""
        return listing.names(self.repository.index, name_filter)

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

    def lineage(
        self, revision: str, direction: Direction = "ancestors", depth: int | None = None, *, version: str | None = None
    ) -> Lineage:
        """Return where a version came from, what came of it, or both; see :mod:`friday_store.lineage`.

        Args:
            revision: The version, or a model's name.
            direction: ``ancestors``, ``descendants`` or ``both``.
            depth: At most so many steps away; None for all.
            version: The version, when a name was given.
        """
        from friday_store import lineage

        return lineage.lineage(self.repository, self._row(revision, version), direction, depth)

    def common_ancestor(self, a: str, b: str) -> Node | None:
        """Return the nearest version that two versions come from, which can be one of them; None if there is none."""
        from friday_store import lineage

        return lineage.common_ancestor(self.repository, self.resolve(a), self.resolve(b))
