"""Where training meets the registry: what was trained goes in with what is known about it, or it is added later.

What is added later is said about a version that never changes: it stands in the record, and what stood there before
stays in the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from friday_store import environment, serializer
from friday_store.digest import digest_of
from friday_store.errors import InvalidValueError
from friday_store.registry import ModelRegistry
from friday_store.registry.records import Record
from friday_store.serialization import ModelSerializer
from friday_store.serialization.compatibility import installed
from friday_store.training.importance import importance_of, normalised
from friday_store.training.search import model_of, search
from friday_store.training.steps import described

__all__ = ["ModelTrainerIntegration", "described", "normalised"]


class ModelTrainerIntegration:
    """Register what was trained, and what belongs to it.

    Args:
        registry: Where to; None: the default registry.
    """

    def __init__(self, registry: ModelRegistry | None = None) -> None:
        self.registry = registry if registry is not None else ModelRegistry()

    def register_trained_model(
        self, model: Any, model_name: str, model_version: str | None = None, **options: Any
    ) -> str:
        """Register a fitted model with its steps and its feature importance, and return the version's id.

        Args:
            model: The model.
            model_name: The model's name.
            model_version: Its version; None: the next one.
            options: As for :meth:`ModelRegistry.register_model`; what is given there is not taken from the model.

        Raises:
            FridayStoreError: As :meth:`ModelRegistry.register_model`.
        """
        known = {"pipeline_steps": described(model), "feature_importance": importance_of(model)}
        return self.registry.register_model(model, model_name, model_version, **{**known, **options})

    def register_model_from_file(
        self,
        path: str | Path,
        model_name: str,
        model_version: str | None = None,
        *,
        format: str | None = None,  # noqa: A002 - the recorded word
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Register a model's file, without loading it, and return the version's id.

        The file's bytes are stored as they are; of an npy or npz file it is the arrays that are, not their packing.
        Its name, size, digest and format are recorded as ``metadata.file``.

        Args:
            path: The file.
            model_name: The model's name.
            model_version: Its version; None: the next one.
            format: The format's name; None tells it by the file's bytes, and takes a file as opaque when no plugin
                reads its format. ``file`` keeps any file byte by byte.
            metadata: Anything plain.
            options: As for :meth:`ModelRegistry.register_model`.

        Raises:
            StorageError: The file cannot be read.
            SerializationError: The file is not in the format that was named.
            FridayStoreError: As :meth:`ModelRegistry.register_model`.
        """
        reader = ModelSerializer(self.registry.plugins)
        found = reader.detect(path)
        if format is None:
            format = found if reader.reader(found) is not None else serializer.FILE  # noqa: A001
        [whole] = serializer.dump(self.registry.plugins, Path(path), serializer.FILE).parts
        digest, size = digest_of(whole.view()).hex(), len(whole.view())
        about = {"name": Path(path).name, "size_bytes": size, "digest": digest, "format": found}
        given = {"model_type": found, **options, "metadata": {"file": about, **(metadata or {})}}
        if model_version is not None:
            given["model_version"] = model_version
        return self.registry.register_model_from_file(path, model_name, format=format, **given)

    def register_model_from_trainer(
        self, trainer: Any, model_name: str, model_version: str | None = None, **options: Any
    ) -> str:
        """Register what a trainer made, with the search that found it, and return the version's id.

        Args:
            trainer: A fitted object that holds the model as ``best_estimator_``, ``estimator_``, ``model_``,
                ``estimator`` or ``model``, or that is a model itself; ``cv_results_``, ``best_score_``,
                ``best_params_`` and ``scorer_`` are recorded as ``evaluation.search``, the score as a metric too.
            model_name: The model's name.
            model_version: Its version; None: the next one.
            options: As for :meth:`register_trained_model`.

        Raises:
            InvalidValueError: It holds no model that was fitted.
            FridayStoreError: As :meth:`ModelRegistry.register_model`.
        """
        found = search(trainer)
        if found:
            options["evaluation"] = {"search": found, **(options.get("evaluation") or {})}
            if "best_score" in found:
                options["metrics"] = {"best_score": found["best_score"], **(options.get("metrics") or {})}
        return self.register_trained_model(model_of(trainer), model_name, model_version, **options)

    def register_evaluation_results(self, revision: str, results: Mapping[str, Any]) -> Record:
        """Add to how a version was evaluated; return its record. Metrics over time are ``registry.log_metrics``."""
        return self._record(revision, "evaluation", results)

    def register_training_data_info(self, revision: str, info: Mapping[str, Any]) -> Record:
        """Add to what a version was trained on; return its record."""
        return self._record(revision, "training_data", info)

    def register_hyperparameters(self, revision: str, parameters: Mapping[str, Any]) -> Record:
        """Add to a version's hyperparameters; return its record."""
        return self._record(revision, "hyperparameters", parameters)

    def register_feature_importance(self, revision: str, importance: Any, names: Iterable[str] | None = None) -> Record:
        """Replace a version's feature importance; return its record, with the most important feature first.

        Args:
            revision: The version.
            importance: A mapping, an array, or a fitted model that says it; see :func:`normalised`.
            names: The features, for an array; None: those that were recorded of the input.
        """
        before = self.registry.get_model_metadata(revision)
        shares = normalised(importance, names if names is not None else before["input_schema"].get("features"))
        gone = dict.fromkeys(before["feature_importance"])
        return _sorted(self._record(revision, "feature_importance", {**gone, **shares}))

    def register_pipeline_steps(self, revision: str, steps: Any) -> Record:
        """Replace a version's steps by a list, or by what :func:`described` says of a model; return its record."""
        listed = isinstance(steps, Iterable) and not hasattr(steps, "get_params")
        return self._record(revision, "pipeline_steps", list(steps) if listed else described(steps))

    def register_dependencies(self, revision: str, dependencies: Any) -> Record:
        """Add to a version's dependencies; return its record.

        Args:
            revision: The version.
            dependencies: Versions by distribution; names of distributions, whose installed versions are taken; or a
                model, whose classes tell.

        Raises:
            InvalidValueError: A distribution that was named is not installed.
        """
        return self._record(revision, "dependencies", _versions(dependencies))

    def get_feature_importance(self, revision: str) -> dict[str, float]:
        """Return a version's feature importance, the most important feature first."""
        found: dict[str, float] = _sorted(self.registry.get_model_metadata(revision))["feature_importance"]
        return found

    def _record(self, revision: str, section: str, value: Any) -> Record:
        return self.registry.record_facts(revision, section, value)


def _versions(dependencies: Any) -> dict[str, str]:
    if isinstance(dependencies, Mapping):
        return {str(name): str(version) for name, version in dependencies.items()}
    if isinstance(dependencies, str):
        dependencies = [dependencies]
    if isinstance(dependencies, list | tuple | set | frozenset) and all(isinstance(name, str) for name in dependencies):
        return {name: _installed(name) for name in dependencies}
    return environment.dependencies(dependencies)


def _installed(name: str) -> str:
    version = installed(name)
    if version is None:
        raise InvalidValueError(
            f"dependencies: {name!r} is not installed here, so its version is not known",
            path=f"dependencies[{name!r}]",
            hint=f"give its version: {{{name!r}: '1.0'}}",
        )
    return version


def _sorted(record: Record) -> Record:
    shares = record["feature_importance"]
    ordered = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
    return {**record, "feature_importance": ordered}
