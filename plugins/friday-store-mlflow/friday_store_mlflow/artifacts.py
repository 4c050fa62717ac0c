"""The files of a version, for MLflow's clients: ``friday:///PATH?version=ID`` as an artifact repository.

MLflow loads what it has downloaded without asking, so a version in a format that can run code leaves the registry this
way only if this user trusts it, as :meth:`friday_store.ModelRegistry.load_model` would ask.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from friday_store import serializer
from friday_store.index import VersionRow
from friday_store.manifest import Artifact, Manifest
from friday_store_mlflow import address, flavor, folder
from friday_store_mlflow.refusal import missing, refusing, translated

_READ_ONLY: Final = "a version's files never change; register a new version"

_Blocks = Callable[[], Iterable[bytes | memoryview]]


class FridayArtifactRepository(ArtifactRepository):
    """One version's files, read-only.

    Args:
        artifact_uri: The version.
        tracking_uri: Not used; MLflow gives it to every repository.
        registry_uri: The same.
    """

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._opened = address.opened(address.path_of(artifact_uri))
        self._model_id = address.version_in(artifact_uri)

    log_artifact = refusing("way to add a file to a version", _READ_ONLY)
    log_artifacts = refusing("way to add files to a version", _READ_ONLY)
    delete_artifacts = refusing("way to delete a version's files", _READ_ONLY)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Return the files and folders directly under a path; none under a file."""
        with translated():
            sizes = self._sizes
        prefix = posixpath.normpath(path) + "/" if path and posixpath.normpath(path) != "." else ""
        found: dict[str, FileInfo] = {}
        for name, size in sizes.items():
            if name.startswith(prefix):
                head, slash, _ = name.removeprefix(prefix).partition("/")
                place = prefix + head
                found[place] = FileInfo(place, is_dir=bool(slash), file_size=None if slash else size)
        return [found[place] for place in sorted(found)]

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        with translated(), self._opened.lock:
            files = self._files
        blocks = files.get(posixpath.normpath(remote_file_path))
        if blocks is None:
            raise missing(f"version {self._model_id[:12]} has no file {remote_file_path!r}")
        with Path(local_path).open("wb") as target:
            target.writelines(blocks())

    @functools.cached_property
    def _verified(self) -> tuple[VersionRow, Manifest]:
        registry = self._opened.registry
        return registry.repository.verified(registry.resolve(self._model_id))

    @functools.cached_property
    def _artifact(self) -> Artifact:
        return self._opened.registry.repository.artifact(self._verified[1].artifact)

    @functools.cached_property
    def _beside(self) -> Mapping[str, bytes]:
        """The files that are made for a version in one of friday-store's own formats."""
        form = self._opened.registry.plugins.serializer(self._artifact.serializer)
        return flavor.written(self._opened.registry.get_model_metadata(self._model_id), flavor.file_name(form.suffix))

    @functools.cached_property
    def _sizes(self) -> Mapping[str, int | None]:
        """The size of each file by its path, told without reading one; None where it is not known before."""
        if self._artifact.serializer == folder.NAME:
            named = ((folder.path_of(part.name), part.size) for part in self._artifact.parts)
            return {path: size for path, size in named if path is not None}
        form = self._opened.registry.plugins.serializer(self._artifact.serializer)
        return {flavor.file_name(form.suffix): None, **{name: len(data) for name, data in self._beside.items()}}

    @functools.cached_property
    def _files(self) -> Mapping[str, _Blocks]:
        """What gives the blocks of each file, verified.

        Raises:
            UntrustedArtifactError: The format can run code, and nobody here vouched for the version.
        """
        registry = self._opened.registry
        form = registry.plugins.serializer(self._artifact.serializer)
        parts = registry.trusted_parts(*self._verified, self._artifact)
        if self._artifact.serializer == folder.NAME:
            return {path: _whole(data) for path, data in folder.files_of(parts).items()}

        def native() -> Iterable[bytes | memoryview]:
            return serializer.to_file(registry.plugins, form.name, self._artifact.format, parts)

        beside = {path: _whole(data) for path, data in self._beside.items()}
        return {flavor.file_name(form.suffix): native, **beside}


def _whole(data: bytes | memoryview) -> _Blocks:
    return lambda: [data]
