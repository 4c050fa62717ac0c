"""A friday-store registry as MLflow's model registry: ``registry_uri="friday:///PATH"``.

Versions have the numbers of :mod:`friday_store_mlflow.numbering`; those without one are not shown. Reading answers
from the index, filtered and sorted by MLflow's own functions, so that its search language is all there. Writing goes
where it maps cleanly: versions, tags, aliases, descriptions, stages as statuses, deletion. What has no counterpart
raises :class:`MlflowException` with the code ``NOT_IMPLEMENTED``.

A model exists from its first version on. What ``create_registered_model`` says before that is remembered by this store
until then, so that MLflow's own way of registering works.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from mlflow.entities.model_registry import ModelVersion, ModelVersionTag, RegisteredModel, RegisteredModelTag
from mlflow.entities.model_registry.model_version_stages import (
    ALL_STAGES,
    DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS,
    get_canonical_stage,
)
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.prompt.registry_utils import add_prompt_filter_string
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.utils.models import _parse_model_uri
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry import (
    SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD,
    SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD,
)
from mlflow.store.model_registry.abstract_store import AbstractStore
from mlflow.tracking import MlflowClient
from mlflow.utils.search_utils import SearchModelUtils, SearchModelVersionUtils, SearchUtils

from friday_store import refs, serializer
from friday_store.errors import InvalidNameError, ModelNotFoundError, VersionExistsError
from friday_store.refs import Ref
from friday_store_mlflow import address, entities, tags
from friday_store_mlflow.folder import NAME, Folder
from friday_store_mlflow.numbering import number_of, version_of
from friday_store_mlflow.refusal import invalid, missing, refuse, refusing, translated
from friday_store_mlflow.stages import MODEL, SAID, status_of

_FIRST: Final = version_of(1)
_NEWEST: Final = "latest"
_BY_TIME: Final = ("last_updated_timestamp DESC", "name ASC", "version_number DESC")
_MODELS_URI: Final = "models:/"

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _served(method: _Method) -> _Method:
    """Run a method for one thread at a time, with friday-store's errors as MLflow's."""

    @functools.wraps(method)
    def run(self: FridayStore, *args: Any, **kwargs: Any) -> Any:
        with translated(), self.opened.lock:
            return method(self, *args, **kwargs)

    return cast("_Method", run)


class FridayStore(AbstractStore):
    """MLflow's interface to a registry; see there for what each method promises.

    Args:
        store_uri: ``friday:///ABSOLUTE/PATH``.
        tracking_uri: Where runs and logged models are, from which versions are made.

    Raises:
        MlflowException: The URI names no folder, or there is something else.
    """

    def __init__(self, store_uri: str, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri, tracking_uri)  # type: ignore[no-untyped-call]
        self.path = address.path_of(store_uri)
        self.tracking_uri = tracking_uri
        with translated():
            self.opened = address.opened(self.path)
        self._announced: dict[str, dict[str, Any]] = {}
        self._models: tuple[tuple[str, int], dict[str, list[dict[str, Any]]]] = (("", 0), {})
        self._read: tuple[Any, dict[str, list[ModelVersion]], dict[str, RegisteredModel]] | None = None

    # models

    @_served
    def create_registered_model(
        self,
        name: str,
        tags: Sequence[RegisteredModelTag] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """Announce a model, which is there from its first version on."""
        _no_job(deployment_job_id)
        refs.check_name(name, "model name")
        pairs = _pairs(tags)
        if IS_PROMPT_TAG_KEY in pairs:
            refuse("prompts", "keep them in MLflow's own registry")
        if name in self._announced or self._records(name):
            raise MlflowException(f"Registered Model (name={name}) already exists.", RESOURCE_ALREADY_EXISTS)
        self._announced[name] = {"description": description or "", "tags": pairs}
        return self._promised(name)

    @_served
    def update_registered_model(
        self, name: str, description: str | None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        """Change what is said of a model as a whole."""
        _no_job(deployment_job_id)
        self._say(name, {"description": description or ""})
        return self.get_registered_model(name)

    rename_registered_model = refusing(
        "way to rename a model", "its name is part of every version; copy_model_version makes a new one of another name"
    )

    @_served
    def delete_registered_model(self, name: str) -> None:
        """Forget a model with all its versions; ``friday-store restore`` brings it back."""
        if self._announced.pop(name, None) is None:
            self._of(name)
            self.opened.registry.delete_model(name, force=True)

    @_served
    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[RegisteredModel]:
        """Return a page of the models that pass a filter in MLflow's language."""
        wanted = add_prompt_filter_string(filter_string, is_prompt=False)
        _, models = self._everything()
        everything = [*models.values(), *map(self._promised, self._announced)]
        found = SearchModelUtils.sort(SearchModelUtils.filter(everything, wanted), order_by)
        return _page(found, max_results, SEARCH_REGISTERED_MODEL_MAX_RESULTS_THRESHOLD, page_token)

    @_served
    def get_registered_model(self, name: str) -> RegisteredModel:
        """Return a model."""
        return self._model(name)

    @_served
    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> list[ModelVersion]:
        """Return the newest version in each of some stages, or in each that there is."""
        wanted = dict.fromkeys(get_canonical_stage(stage) for stage in stages or ALL_STAGES)
        return [] if name in self._announced else entities.latest(self._of(name), list(wanted))

    @_served
    def set_registered_model_tag(self, name: str, tag: RegisteredModelTag) -> None:
        """Give a model a tag."""
        self._say(name, {"tags": {str(tag.key): str(tag.value)}})

    @_served
    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Take a tag from a model; nothing happens if it has none of that key."""
        self._say(name, {"tags": {key: None}})

    # versions

    @_served
    def create_model_version(  # noqa: PLR0917 - MLflow's signature
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Sequence[ModelVersionTag] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        """Store the files at a source as the next version of a model; a copy of a version here keeps its format."""
        if name not in self._announced:
            self._of(name)
        copied = self._own(source)
        if copied is None and source.startswith(_MODELS_URI):
            logged = self._logged(source)
            source, run_id, model_id = logged.artifact_location, run_id or logged.source_run_id, logged.model_id
        said = {"source": source, "run_id": run_id, "run_link": run_link, "model_id": model_id}
        facts: dict[str, Any] = {
            "description": description or "",
            "metadata": {SAID: {key: value for key, value in said.items() if value is not None}},
        }
        self._spell(facts, _pairs(tags))
        if name in self._announced:
            facts["metadata"][MODEL] = self._announced[name]
        if copied is not None:
            made = self._copy(name, copied, facts)
        else:
            with self._folder(source, local_model_path) as folder:
                made = self._register(name, folder, {**facts, "serializer": NAME, "model_type": NAME})
        self._announced.pop(name, None)
        version = self.opened.registry.get_model_metadata(made)["model_version"]
        return self._version(name, number_of(version))

    @_served
    def update_model_version(self, name: str, version: Any, description: str | None) -> ModelVersion:
        """Change a version's description."""
        self.opened.registry.update_model_metadata(self._revision(name, version), {}, description or "")
        return self._version(name, version)

    @_served
    def transition_model_version_stage(
        self,
        name: str,
        version: Any,
        stage: str,
        archive_existing_versions: bool,  # noqa: FBT001 - MLflow's signature
    ) -> ModelVersion:
        """Set the status that a stage is; ``None`` is ``active``."""
        canonical = get_canonical_stage(stage)
        revision = self._revision(name, version)
        if archive_existing_versions and canonical not in DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS:
            raise invalid(f"only {' and '.join(DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS)} can archive other versions")
        registry = self.opened.registry
        with registry.transaction(f"stage {canonical} for {revision}"):
            registry.set_model_status(revision, status_of(canonical) or "active", "by an MLflow client")
            for other in self._of(name) if archive_existing_versions else ():
                if other.current_stage == canonical and int(other.version) != int(version):
                    registry.set_model_status(self._revision(name, other.version), "archived", "by an MLflow client")
        return self._version(name, version)

    @_served
    def delete_model_version(self, name: str, version: Any) -> None:
        """Forget a version, and the aliases that point at it; ``friday-store restore`` brings it back."""
        self._version(name, version)
        self.opened.registry.delete_model(name, version_of(int(version)), force=True)

    @_served
    def get_model_version(self, name: str, version: Any) -> ModelVersion:
        """Return a version."""
        return self._version(name, version)

    @_served
    def get_model_version_download_uri(self, name: str, version: Any) -> str:
        """Return where a version's files are."""
        return str(self._version(name, version).source)

    @_served
    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[ModelVersion]:
        """Return a page of the versions that pass a filter in MLflow's language."""
        wanted = add_prompt_filter_string(filter_string, is_prompt=False)
        versions, _ = self._everything()
        everything = [each for found in versions.values() for each in found]
        found = SearchModelVersionUtils.sort(
            SearchModelVersionUtils.filter(everything, wanted), list(order_by or _BY_TIME)
        )
        return _page(found, max_results, SEARCH_MODEL_VERSION_MAX_RESULTS_THRESHOLD, page_token)

    @_served
    def set_model_version_tag(self, name: str, version: Any, tag: ModelVersionTag) -> None:
        """Give a version a tag."""
        self._retag(name, version, {str(tag.key): str(tag.value)})

    @_served
    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """Take a tag from a version; nothing happens if it has none of that key."""
        self._retag(name, version, {key: None})

    @_served
    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """Point an alias at a version."""
        self.opened.registry.set_alias(self._revision(name, version), alias)

    @_served
    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias; nothing happens if there is none."""
        self._state()
        if self.opened.registry.repository.index.ref(Ref("aliases", name, alias)) is not None:
            self.opened.registry.delete_alias(name, alias)

    @_served
    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """Return the version that an alias points at; ``latest`` is the one with the highest number."""
        if alias.lower() == _NEWEST:
            return self._of(name)[0]
        self._state()
        digest = self.opened.registry.repository.index.ref(Ref("aliases", name, alias))
        if digest is None:
            self._of(name)
            raise invalid(f"Registered model alias {alias} not found.")
        version = self.opened.registry.get_model_metadata(digest.hex())["model_version"]
        number = number_of(version)
        if number is None:
            raise invalid(f"{name}@{alias} is {version}, and MLflow has no number for a pre-release")
        return self._version(name, number)

    create_webhook = refusing("webhooks", "a plugin's after_commit hook sees every change")
    get_webhook = list_webhooks = list_webhooks_by_event = create_webhook
    update_webhook = delete_webhook = test_webhook = create_webhook

    # what the methods share

    def _records(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Return the records of a model, the newest first; none if there is no such model.

        They are kept until the log grows: before most questions, MLflow's client asks what kind of model it is.
        """
        state = self._state()
        if self._models[0] != state:
            self._models = (state, {})
        if name not in self._models[1]:
            try:
                self._models[1][name] = self.opened.registry.get_model_versions(name)
            except (ModelNotFoundError, InvalidNameError):
                return []
        return self._models[1][name]

    def _state(self) -> tuple[str, int]:
        """Return how far the log is, and of which registry."""
        repository = self.opened.registry.repository
        repository.index.catch_up()
        return repository.id, repository.index.seq

    def _everything(self) -> tuple[dict[str, list[ModelVersion]], dict[str, RegisteredModel]]:
        """Return the numbered versions of every model, the newest first, and the models, as the log has them now.

        Searches need all of them, and so they are kept until the log grows.
        """
        state = self._state()
        if self._read is None or self._read[0] != state:
            records: dict[str, list[Mapping[str, Any]]] = {}
            for record in self.opened.registry.list_models():
                records.setdefault(record["model_name"], []).append(record)
            every = {name: entities.versions(self.path, found) for name, found in records.items()}
            versions = {name: found for name, found in every.items() if found}
            models = {name: entities.model(found, records[name]) for name, found in versions.items()}
            self._read = (state, versions, models)
        return self._read[1], self._read[2]

    def _of(self, name: str) -> list[ModelVersion]:
        records = self._records(name)
        found = entities.versions(self.path, records)
        if not found:
            unnumbered = ", which has only pre-releases" if records else ""
            raise missing(f"Registered Model with name={name} not found{unnumbered}")
        return found

    def _model(self, name: str) -> RegisteredModel:
        if name in self._announced:
            return self._promised(name)
        return entities.model(self._of(name), self._records(name))

    def _promised(self, name: str) -> RegisteredModel:
        facts = self._announced[name]
        pairs = [RegisteredModelTag(key, value) for key, value in facts["tags"].items()]
        return RegisteredModel(name, description=facts["description"], tags=pairs, latest_versions=[])

    def _version(self, name: str, version: Any) -> ModelVersion:
        try:
            number = int(version)
        except (TypeError, ValueError):
            raise invalid(f"Parameter 'version' must be an integer, got '{version}'") from None
        found: list[ModelVersion] = []
        with contextlib.suppress(ModelNotFoundError, InvalidNameError):
            record = self.opened.registry.get_model_metadata(name, version_of(number))
            found = entities.versions(self.path, [record])
        if not found:
            self._of(name)
            raise missing(f"Model Version (name={name}, version={version}) not found")
        return found[0]

    def _revision(self, name: str, version: Any) -> str:
        return f"{name}:{version_of(int(self._version(name, version).version))}"

    def _say(self, name: str, changes: Mapping[str, Any]) -> None:
        """Change what is said of a model as a whole, where that stands, else in its newest version."""
        announced = self._announced.get(name)
        if announced is not None:
            announced |= {key: value for key, value in changes.items() if key != "tags"}
            merged = {**announced["tags"], **changes.get("tags", {})}
            announced["tags"] = {key: value for key, value in merged.items() if value is not None}
            return
        newest = self._of(name)[0]
        holder = entities.holder_of(self._records(name))
        at = f"{name}:{holder['model_version']}" if holder is not None else self._revision(name, newest.version)
        self.opened.registry.update_model_metadata(at, {MODEL: dict(changes)})

    @staticmethod
    def _spell(facts: dict[str, Any], pairs: Mapping[str, str]) -> None:
        facts["metadata"][tags.KEY] = dict(pairs)
        facts["tags"] = sorted(tags.all_spelled(pairs))

    def _retag(self, name: str, version: Any, changes: Mapping[str, str | None]) -> None:
        """Change a version's pairs, and the tags that spell them, in one transaction."""
        revision = self._revision(name, version)
        registry = self.opened.registry
        record = registry.get_model_metadata(revision)
        old = tags.pairs_of(record["metadata"])
        new = {key: value for key, value in {**old, **changes}.items() if value is not None}
        gone = (tags.all_spelled(old) - tags.all_spelled(new)) | {
            key for key, value in changes.items() if value is None and key not in old and key in record["tags"]
        }
        with registry.transaction(f"tags of {revision}"):
            for tag in sorted(gone):
                registry.remove_tag(revision, tag)
            for tag in sorted(tags.all_spelled(new) - set(record["tags"])):
                registry.add_tag(revision, tag)
            if old != new:
                registry.update_model_metadata(revision, {tags.KEY: dict(changes)})

    def _own(self, source: str) -> Mapping[str, Any] | None:
        """Return the record of the version here that a source names; None if it is elsewhere."""
        if source.startswith(f"{address.SCHEME}:"):
            if address.path_of(source) != self.path:
                raise invalid(f"{source} is in another registry: pull it with friday-store")
            return self.opened.registry.get_model_metadata(address.version_in(source))
        if not source.startswith(_MODELS_URI):
            return None
        parsed = _parse_model_uri(source)
        if parsed.model_id is not None:
            return None
        if parsed.version is None or parsed.name is None:
            raise invalid(f"{source} does not name one version: models:/NAME/NUMBER does")
        revision = self._revision(parsed.name, parsed.version)
        return self.opened.registry.get_model_metadata(revision)

    def _copy(self, name: str, record: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
        """Register a version's bytes under another name, in the same format, without loading them."""
        registry = self.opened.registry
        row, manifest = registry.repository.verified(registry.resolve(record["model_id"]))
        artifact = registry.repository.artifact(manifest.artifact)
        form = registry.plugins.serializer(artifact.serializer)
        parts = registry.trusted_parts(row, manifest, artifact)
        blocks = serializer.to_file(registry.plugins, form.name, artifact.format, parts)
        with tempfile.TemporaryDirectory(prefix="friday-store-") as place:
            file = Path(place, "model" + form.suffix)
            with file.open("wb") as target:
                target.writelines(blocks)
            kept = ("hyperparameters", "dependencies", "training_data", "feature_importance", "metrics", "model_type")
            same = {key: record[key] for key in kept}
            return self._register(
                name, file, {**same, **facts, "serializer": form.name, "parents": [record["model_id"]]}
            )

    def _register(self, name: str, model: Any, facts: Mapping[str, Any]) -> str:
        """Register the next version; the first has the number 1."""
        registry = self.opened.registry
        if not self._records(name):
            with contextlib.suppress(VersionExistsError):
                return registry.register_model(model, name, _FIRST, **facts)
        return registry.register_model(model, name, **facts)

    def _logged(self, source: str) -> Any:
        """Return what the tracking store knows of a logged model, ``models:/ID``."""
        return MlflowClient(tracking_uri=self.tracking_uri).get_logged_model(str(_parse_model_uri(source).model_id))

    @contextlib.contextmanager
    def _folder(self, source: str, local: str | None) -> Iterator[Folder]:
        """Give the folder at a source: where it is on this disk, else a copy that is gone after the block."""
        if local:
            yield Folder(Path(local))
            return
        repository = get_artifact_repository(source, tracking_uri=self.tracking_uri)
        with tempfile.TemporaryDirectory(prefix="friday-store-") as place:
            yield Folder(Path(repository.download_artifacts("", dst_path=place)))


def _no_job(deployment_job_id: str | None) -> None:
    if deployment_job_id is not None:
        refuse("deployment jobs", "leave deployment_job_id out")


def _pairs(given: Sequence[ModelVersionTag | RegisteredModelTag] | None) -> dict[str, str]:
    return {str(tag.key): str(tag.value) for tag in given or ()}


def _page(found: list[Any], max_results: int | None, most: int, page_token: str | None) -> PagedList[Any]:
    if not isinstance(max_results, int) or not 1 <= max_results <= most:
        raise invalid(f"Invalid value for max_results. It must be a positive integer of at most {most}")
    start = SearchUtils.parse_start_offset_from_page_token(page_token)
    end = start + max_results
    return PagedList(found[start:end], SearchUtils.create_page_token(end) if end < len(found) else None)
