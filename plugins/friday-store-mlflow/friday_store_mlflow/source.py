"""An MLflow registry, read: its versions in the order in which they were made, with what is known of each.

Reading goes through MLflow's own client, so that every store that MLflow can open can be imported. Nothing is loaded:
files are listed, mapped or downloaded, and ``MLmodel`` is read as text.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeVar

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import MlflowClient

from friday_store_mlflow.folder import Folder

_PAGE: Final = 100
_READY: Final = "READY"
_COPY: Final = re.compile(r"models:/([^/]+)/(\d+)/?")
_GONE: Final = "RESOURCE_DOES_NOT_EXIST"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Original:
    """A version as the registry itself describes it.

    Attributes:
        model: Its registered model.
        number: MLflow's number.
        created: When, in milliseconds since 1970.
        aliases: Those that point at it.
        raw: MLflow's own entity.
    """

    model: RegisteredModel
    number: int
    created: int
    aliases: tuple[str, ...]
    raw: ModelVersion

    @property
    def name(self) -> str:
        """The model's name there."""
        return str(self.raw.name)

    @property
    def copied(self) -> tuple[str, int] | None:
        """The version that it is a copy of: name and number."""
        match = _COPY.fullmatch(str(self.raw.source or ""))
        return (match[1], int(match[2])) if match else None

    @property
    def unready(self) -> str | None:
        """Why it cannot be imported, if MLflow itself says that it is not whole."""
        status = str(self.raw.status or _READY)
        return None if status == _READY else f"MLflow says {status}: {self.raw.status_message or 'no reason given'}"

    def said(self) -> dict[str, Any]:
        """Return what the registry says of it, as it is recorded here."""
        raw = self.raw
        said = {
            "name": self.name,
            "version": self.number,
            "created": self.created,
            "user": raw.user_id,
            "run_id": raw.run_id,
            "run_link": raw.run_link,
            "model_id": raw.model_id,
            "source": raw.source,
            "stage": str(raw.current_stage or "None"),
            "description": raw.description or "",
            "tags": {str(key): str(value) for key, value in raw.tags.items()},
            "aliases": sorted(self.aliases),
        }
        return {key: value for key, value in said.items() if value is not None}

    def model_said(self) -> dict[str, Any]:
        """Return what the registry says of the model as a whole."""
        return {
            "description": self.model.description or "",
            "tags": {str(key): str(value) for key, value in self.model.tags.items()},
        }


@dataclass(frozen=True)
class Run:
    """What the tracking store knows of the run that made a version."""

    facts: dict[str, Any] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    data: list[dict[str, str]] = field(default_factory=list)


class Source:
    """An MLflow registry, and the tracking store beside it.

    Args:
        uri: The registry: a folder, ``sqlite:///…``, ``http://…``, or what else MLflow opens.
        tracking_uri: Where the runs are; None: the same.
    """

    def __init__(self, uri: str, tracking_uri: str | None = None) -> None:
        self.uri = uri
        self.tracking_uri = tracking_uri or uri
        self._client = MlflowClient(tracking_uri=self.tracking_uri, registry_uri=uri)
        self._places: dict[tuple[str, int], str] = {}

    @property
    def id(self) -> str:
        """The id that stands for this registry as an origin; the same URI always gives the same."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlflow:{self.uri}"))

    def originals(self, patterns: Sequence[str]) -> list[Original]:
        """Return the versions of the models that match a glob, the oldest first."""
        found = []
        for model in self._models():
            if any(fnmatchcase(str(model.name), pattern) for pattern in patterns):
                aliases: dict[int, list[str]] = {}
                for alias, version in model.aliases.items():
                    aliases.setdefault(int(version), []).append(str(alias))
                for raw in self._versions(str(model.name)):
                    number = int(raw.version)
                    made = int(raw.creation_timestamp)
                    found.append(Original(model, number, made, tuple(sorted(aliases.get(number, ()))), raw))
        return sorted(found, key=lambda each: (each.created, each.copied is not None, each.name, each.number))

    def _models(self) -> Iterator[RegisteredModel]:
        token = None
        while True:
            page = self._client.search_registered_models(max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _versions(self, name: str) -> Iterator[ModelVersion]:
        mark = '"' if "'" in name else "'"
        token = None
        while True:
            page = self._client.search_model_versions(f"name = {mark}{name}{mark}", max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def run(self, original: Original, model_id: str | None) -> Run:
        """Return what is known of a version's run and logged model; nothing where they are gone."""
        found = Run()
        run_id = original.raw.run_id
        if run_id:
            run = _there(lambda: self._client.get_run(run_id))
            found = found if run is None else _of_run(run)
        logged = _there(lambda: self._client.get_logged_model(model_id)) if model_id else None
        if logged is not None:
            params = {str(key): str(value) for key, value in (logged.params or {}).items()}
            metrics = {str(each.key): float(each.value) for each in logged.metrics or ()}
            found = Run(found.facts, {**found.params, **params}, {**found.metrics, **metrics}, found.data)
        return found

    def listing(self, original: Original) -> dict[str, int]:
        """Return the files of a version with their sizes, without fetching them.

        Raises:
            MlflowException: The store cannot be read.
            SerializationError: The folder is gone, or holds what cannot be stored.
        """
        repository = self._artifacts(original)
        if isinstance(repository, LocalArtifactRepository):
            files = Folder(Path(repository.artifact_dir)).files()
            return {path: file.stat().st_size for path, file in files.items()}
        return dict(_listed(repository, None))

    def read(self, original: Original, path: str) -> bytes:
        """Return one small file of a version."""
        repository = self._artifacts(original)
        if isinstance(repository, LocalArtifactRepository):
            return Path(repository.artifact_dir, path).read_bytes()
        with tempfile.TemporaryDirectory(prefix="friday-store-") as place:
            return Path(repository.download_artifacts(path, dst_path=place)).read_bytes()

    @contextlib.contextmanager
    def folder(self, original: Original) -> Iterator[Folder]:
        """Give a version's folder: where it is, if that is this disk, else a copy that is gone after the block."""
        repository = self._artifacts(original)
        if isinstance(repository, LocalArtifactRepository):
            yield Folder(Path(repository.artifact_dir))
            return
        with tempfile.TemporaryDirectory(prefix="friday-store-") as place:
            yield Folder(Path(repository.download_artifacts("", dst_path=place)))

    def _artifacts(self, original: Original) -> ArtifactRepository:
        key = original.name, original.number
        uri = self._places.get(key)
        if uri is None:
            # the public method asks first if the model is a prompt, which reads all of its versions each time
            client = self._client._get_registry_client()  # noqa: SLF001 - as MLflow's own models:/ URIs do
            uri = self._places[key] = str(client.get_model_version_download_uri(original.name, str(original.number)))
        return get_artifact_repository(uri, tracking_uri=self.tracking_uri, registry_uri=self.uri)


def _there(ask: Callable[[], _T]) -> _T | None:
    """Return what MLflow has; None if it says that there is nothing of that name."""
    try:
        return ask()
    except MlflowException as error:
        if error.error_code != _GONE:
            raise
        return None


def _listed(repository: ArtifactRepository, path: str | None) -> Iterator[tuple[str, int]]:
    for info in repository.list_artifacts(path):
        if info.is_dir:
            yield from _listed(repository, info.path)
        else:
            yield str(info.path), int(info.file_size or 0)


def _of_run(run: Any) -> Run:
    tags: Mapping[str, str] = run.data.tags
    facts = {
        "name": run.info.run_name,
        "experiment": run.info.experiment_id,
        "status": run.info.status,
        "user": run.info.user_id or tags.get("mlflow.user"),
        "started": run.info.start_time,
        "ended": run.info.end_time,
        "parent": tags.get("mlflow.parentRunId"),
        "program": tags.get("mlflow.source.name"),
        "commit": tags.get("mlflow.source.git.commit"),
    }
    inputs = run.inputs.dataset_inputs if run.inputs else ()
    data = [
        {
            "name": str(each.dataset.name),
            "digest": str(each.dataset.digest),
            "source": str(each.dataset.source),
            "context": next((str(tag.value) for tag in each.tags if tag.key == "mlflow.data.context"), ""),
        }
        for each in inputs
    ]
    return Run(
        {key: value for key, value in facts.items() if value not in (None, "")},
        {str(key): str(value) for key, value in run.data.params.items()},
        {str(key): float(value) for key, value in run.data.metrics.items()},
        data,
    )
