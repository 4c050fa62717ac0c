"""Git for machine-learning models: content-addressed versions, lineage, push and pull between registries."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

if TYPE_CHECKING:
    from friday_store.comparison import Comparison, ModelDiff
    from friday_store.errors import (
        AmbiguousRevisionError,
        ConflictError,
        FridayStoreError,
        GateError,
        IntegrityError,
        InvalidNameError,
        InvalidValueError,
        ModelNotFoundError,
        PluginError,
        ProtectedError,
        QueryError,
        RepositoryError,
        SerializationError,
        StorageError,
        UntrustedArtifactError,
        VersionExistsError,
    )
    from friday_store.hookspecs import Part, Serializer, Trainer, hookimpl
    from friday_store.index.rows import ModelMetadata, ModelMetric, ModelTag
    from friday_store.lineage import Lineage
    from friday_store.loader import (
        EnvironmentMismatchError,
        EnvironmentMismatchWarning,
        ExpiredModelError,
        ExpiredModelWarning,
        InputMismatchError,
        ModelLoader,
        load_model,
        load_model_for_prediction,
    )
    from friday_store.market import MarketDataModelTrainer, ModelType, PredictionTarget
    from friday_store.operations import ModelOperations
    from friday_store.registry import ModelRegistry, ModelStatus
    from friday_store.serialization import CompatibilityReport, ModelSerializer
    from friday_store.training import ModelTrainerIntegration
    from friday_store.versioning import ModelVersioning

_HOMES: Final = {
    "AmbiguousRevisionError": "errors",
    "Comparison": "comparison",
    "CompatibilityReport": "serialization",
    "ConflictError": "errors",
    "EnvironmentMismatchError": "loader",
    "EnvironmentMismatchWarning": "loader",
    "ExpiredModelError": "loader",
    "ExpiredModelWarning": "loader",
    "FridayStoreError": "errors",
    "GateError": "errors",
    "InputMismatchError": "loader",
    "IntegrityError": "errors",
    "InvalidNameError": "errors",
    "InvalidValueError": "errors",
    "Lineage": "lineage",
    "MarketDataModelTrainer": "market",
    "ModelDiff": "comparison",
    "ModelLoader": "loader",
    "ModelMetadata": "index.rows",
    "ModelMetric": "index.rows",
    "ModelNotFoundError": "errors",
    "ModelOperations": "operations",
    "ModelRegistry": "registry",
    "ModelSerializer": "serialization",
    "ModelStatus": "registry",
    "ModelTag": "index.rows",
    "ModelTrainerIntegration": "training",
    "ModelType": "market",
    "ModelVersioning": "versioning",
    "Part": "hookspecs",
    "PluginError": "errors",
    "PredictionTarget": "market",
    "ProtectedError": "errors",
    "QueryError": "errors",
    "RepositoryError": "errors",
    "SerializationError": "errors",
    "Serializer": "hookspecs",
    "StorageError": "errors",
    "Trainer": "hookspecs",
    "UntrustedArtifactError": "errors",
    "VersionExistsError": "errors",
    "hookimpl": "hookspecs",
    "load_model": "loader",
    "load_model_for_prediction": "loader",
}

__all__ = [
    "AmbiguousRevisionError",
    "Comparison",
    "CompatibilityReport",
    "ConflictError",
    "EnvironmentMismatchError",
    "EnvironmentMismatchWarning",
    "ExpiredModelError",
    "ExpiredModelWarning",
    "FridayStoreError",
    "GateError",
    "InputMismatchError",
    "IntegrityError",
    "InvalidNameError",
    "InvalidValueError",
    "Lineage",
    "MarketDataModelTrainer",
    "ModelDiff",
    "ModelLoader",
    "ModelMetadata",
    "ModelMetric",
    "ModelNotFoundError",
    "ModelOperations",
    "ModelRegistry",
    "ModelSerializer",
    "ModelStatus",
    "ModelTag",
    "ModelTrainerIntegration",
    "ModelType",
    "ModelVersioning",
    "Part",
    "PluginError",
    "PredictionTarget",
    "ProtectedError",
    "QueryError",
    "RepositoryError",
    "SerializationError",
    "Serializer",
    "StorageError",
    "Trainer",
    "UntrustedArtifactError",
    "VersionExistsError",
    "hookimpl",
    "load_model",
    "load_model_for_prediction",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
