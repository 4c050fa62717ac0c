"""The public surface, pinned: a name that comes or goes is a decision."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import friday_store

EXPORTED = [
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

HEAVY = ("sklearn", "pandas", "numpy", "sqlalchemy", "fsspec", "scipy", "joblib", "click", "msgpack", "pluggy")


def imported(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after running code."""
    script = f"{code}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_exported_members() -> None:
    """These names are public, sorted, and each of them is there."""
    assert friday_store.__all__ == EXPORTED
    assert sorted(EXPORTED) == EXPORTED
    for name in EXPORTED:
        assert getattr(getattr(friday_store, name), "__name__", "hookimpl") == name
        assert name in dir(friday_store)


def test_unknown_members() -> None:
    """A name that is not there is an ordinary AttributeError."""
    assert not hasattr(friday_store, "nonsense")


def test_types_see_the_same_names() -> None:
    """What type checkers are shown is what is exported."""
    tree = ast.parse(Path(str(friday_store.__file__)).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    shown = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(shown) == EXPORTED
    assert (Path(str(friday_store.__file__)).parent / "py.typed").exists()


def test_importing_is_light() -> None:
    """Importing the package imports no library at all, and the errors and hooks none that is heavy."""
    assert imported("import friday_store").isdisjoint(HEAVY)
    light = imported("from friday_store import FridayStoreError, InvalidNameError, Part, hookimpl")
    assert light.isdisjoint(set(HEAVY) - {"pluggy"})


def test_the_kit_is_not_imported() -> None:
    """Nothing but tests imports the kit, pytest or Hypothesis."""
    found = imported("import friday_store.registry, friday_store.maintenance, friday_store.sync, friday_store.loader")
    assert found.isdisjoint({"pytest", "hypothesis"})


def test_opening_a_local_registry_is_light(tmp_path: Path) -> None:
    """Reading a local registry imports neither fsspec, SQLAlchemy, pandas nor scikit-learn."""
    code = f"""
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
registry = ModelRegistry({str(tmp_path / "r")!r}, plugins=Plugins(()))
registry.register_model({{"a": 1}}, "m", serializer="json")
assert registry.load_model("m") == {{"a": 1}}
registry.list_models(); registry.get_model_metadata("m"); registry.fsck()
"""
    assert imported(code).isdisjoint({"fsspec", "sqlalchemy", "pandas", "sklearn", "numpy", "joblib", "scipy"})
