"""What the project's first README listed, bullet by bullet; its examples run in ``tests/test_readme.py``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from friday_store import (
    MarketDataModelTrainer,
    ModelLoader,
    ModelMetadata,
    ModelMetric,
    ModelNotFoundError,
    ModelRegistry,
    ModelSerializer,
    ModelStatus,
    ModelTag,
    ModelTrainerIntegration,
    UntrustedArtifactError,
)
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.operations import ModelOperations
from friday_store.versioning import ModelVersioning

README: Final = Path(__file__).parent.parent.parent / "README.md"
EXAMPLES: Final = (
    """from friday_store import ModelRegistry

# Initialize the registry
registry = ModelRegistry()

# Register a model
model_id = registry.register_model(
    model=my_model,
    model_name="my_model",
    model_version="1.0.0",
    description="My first model",
    tags=["tag1", "tag2"]
)
""",
    """from friday_store import load_model

# Load the latest version of a model
model = load_model("my_model")

# Load a specific version of a model
model = load_model("my_model", "1.0.0")
""",
    """from friday_store import load_model_for_prediction

# Load a model for prediction
model = load_model_for_prediction(
    symbol="AAPL",
    timeframe="1d",
    target_type="next_close",
    forecast_horizon=1,
    model_type="random_forest"
)
""",
    """from friday_store import MarketDataModelTrainer, ModelType, PredictionTarget

# Initialize the trainer
trainer = MarketDataModelTrainer(use_model_registry=True)

# Train models for a symbol
results = trainer.train_models_for_symbol(
    symbol="AAPL",
    timeframes=["1d", "1h"],
    target_types=[PredictionTarget.NEXT_CLOSE, PredictionTarget.PRICE_DIRECTION],
    forecast_horizons=[1, 5, 10],
    model_types=[ModelType.RANDOM_FOREST, ModelType.GRADIENT_BOOSTING],
    tune_hyperparams=True
)
""",
)


class Model:
    """A model with a name."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def operations(registry: ModelRegistry) -> ModelOperations:
    """A model with three versions, of which the second has the smallest error."""
    for number, rmse in enumerate((0.3, 0.1, 0.2)):
        registry.register_model(Model(f"v{number}"), "m", metrics={"rmse": rmse}, tags=["t"], metadata={"n": number})
    return ModelOperations(registry)


# The registry, and the operations, which have the same list and two more.


@pytest.fixture(params=["ModelRegistry", "ModelOperations"])
def either(request: pytest.FixtureRequest, operations: ModelOperations) -> ModelRegistry:
    """The three versions, through a registry and through operations."""
    return operations if request.param == "ModelOperations" else ModelRegistry(operations.url)


def test_seed_registry_registering_models(either: ModelRegistry) -> None:
    """A model gets an id that is the digest of what was registered."""
    model_id = either.register_model(Model("new"), "other", "2.0.0", description="words", tags=["a", "b"])
    record = either.get_model_metadata("other")
    assert (64, model_id, "words", ["a", "b"]) == (
        len(model_id),
        record["model_id"],
        record["description"],
        record["tags"],
    )


def test_seed_registry_loading_models(either: ModelRegistry) -> None:
    """What is loaded is what was registered."""
    assert "v2" == either.load_model("m").name


def test_seed_registry_retrieving_by_name_and_version(either: ModelRegistry) -> None:
    """A name and a version name one model."""
    assert "v0" == either.get_model_by_name_and_version("m", "1.0.0").name
    assert "v1" == either.get_model("m:1.0.1").name


def test_seed_registry_latest_version(either: ModelRegistry) -> None:
    """The latest is the highest by precedence, as text and as the model."""
    assert ("1.0.2", "v2") == (either.get_latest_version("m"), either.get_latest_model("m").name)


def test_seed_registry_metadata(either: ModelRegistry) -> None:
    """Metadata are read, changed deeply, and taken away."""
    either.update_model_metadata("m", {"owner": {"team": "a"}})
    either.update_model_metadata("m", {"owner": {"since": 2020}, "n": None})
    assert {"owner": {"team": "a", "since": 2020}} == either.get_model_metadata("m")["metadata"]


def test_seed_registry_deleting_models(either: ModelRegistry) -> None:
    """A version or a whole model goes, and what is gone is not found."""
    either.delete_model("m", "1.0.0")
    assert ["1.0.2", "1.0.1"] == [record["model_version"] for record in either.get_model_versions("m")]
    either.delete_model("m")
    with pytest.raises(ModelNotFoundError):
        either.load_model("m")


def test_seed_registry_listing_models(either: ModelRegistry) -> None:
    """Everything is listed, or what passes a filter."""
    either.register_model(Model("x"), "other")
    assert 4 == len(either.list_models())
    assert {"m"} == {record["model_name"] for record in either.list_models(tags=["t"])}


def test_seed_registry_versions(either: ModelRegistry) -> None:
    """The versions of a model come newest first."""
    assert ["1.0.2", "1.0.1", "1.0.0"] == [record["version"] for record in either.get_model_versions("m")]


def test_seed_registry_status(either: ModelRegistry) -> None:
    """A status is set with its reason, and is kept."""
    either.set_model_status("m", ModelStatus.DEPRECATED, "old")
    assert "deprecated" == either.get_model_metadata("m")["status"]
    assert ["old"] == [change["reason"] for change in either.get_status_history("m")]


def test_seed_registry_exporting_and_importing(either: ModelRegistry, tmp_path: Path) -> None:
    """What is exported comes into another registry as it was."""
    either.export_model("m:1.0.1", tmp_path / "m.bundle")
    other = ModelRegistry(tmp_path / "other")
    assert either.resolve("m:1.0.1").model_id == other.import_model(tmp_path / "m.bundle")
    assert either.get_model_metadata("m:1.0.1")["metrics"] == other.get_model_metadata("m")["metrics"]


def test_seed_operations_comparing_models(operations: ModelOperations) -> None:
    """Two versions stand side by side, with the difference of their metrics."""
    rmse = operations.compare_models("m:1.0.0", "m:1.0.1").section("metrics")["rmse"]
    assert (0.3, 0.1) == rmse.sides
    assert [pytest.approx(-0.2)] == list(rmse.differences)


def test_seed_operations_finding_the_best_model(operations: ModelOperations) -> None:
    """The best is a record, by a metric whose direction is known."""
    assert "1.0.1" == operations.find_best_model("m", "rmse")["model_version"]


# Versioning.


def test_seed_versioning_lineage(operations: ModelOperations) -> None:
    """Each version comes from the one before it."""
    found = ModelVersioning(operations).get_model_lineage("m")
    assert ["m:1.0.2", "m:1.0.1", "m:1.0.0"] == [node.label for node in found.nodes]


def test_seed_versioning_comparing(operations: ModelOperations) -> None:
    """Two versions of a model are compared by their numbers."""
    found = ModelVersioning(operations).compare_model_versions("m", "1.0.0", "1.0.2")
    assert ("m:1.0.0", "m:1.0.2") == found.versions


def test_seed_versioning_time_differences(operations: ModelOperations) -> None:
    """How much later a version was made than another, and how much earlier."""
    versioning = ModelVersioning(operations)
    later = versioning.time_difference("m:1.0.0", "m:1.0.1")
    assert dt.timedelta(0) < later == -versioning.time_difference("m:1.0.1", "m:1.0.0")


def test_seed_versioning_history(operations: ModelOperations) -> None:
    """All versions in order, with what each changed."""
    history = ModelVersioning(operations).get_version_history("m")
    assert [None, "1.0.0", "1.0.1"] == [record["previous"] for record in history]
    assert pytest.approx(-0.2) == history[1]["metric_changes"]["rmse"]["difference"]


def test_seed_versioning_latest_version(operations: ModelOperations) -> None:
    """It is the registry's answer."""
    assert "1.0.2" == ModelVersioning(operations).get_latest_version("m")


def test_seed_versioning_diff(operations: ModelOperations) -> None:
    """A diff is unified text that names both versions and what changed."""
    text = ModelVersioning(operations).create_version_diff("m", "1.0.0", "1.0.1").text
    assert text.startswith("--- m:1.0.0\n+++ m:1.0.1\n")
    assert '-    "rmse": 0.3' in text
    assert '+    "rmse": 0.1' in text


def test_seed_versioning_tagging_and_untagging(operations: ModelOperations) -> None:
    """A tag comes and goes, and twice is once."""
    versioning = ModelVersioning(operations)
    for _ in range(2):
        versioning.tag_version("m", "1.0.0", "gold")
    assert ["gold", "t"] == operations.get_model_metadata("m:1.0.0")["tags"]
    for _ in range(2):
        versioning.untag_version("m", "1.0.0", "gold")
    assert ["t"] == operations.get_model_metadata("m:1.0.0")["tags"]


def test_seed_versioning_versions_by_tag(operations: ModelOperations) -> None:
    """All versions that have a tag."""
    versioning = ModelVersioning(operations)
    versioning.tag_version("m:1.0.1", "gold")
    assert ["1.0.1"] == [record["model_version"] for record in versioning.get_versions_by_tag("gold")]


# Serialization.


def test_seed_serializer_serializing_to_files(tmp_path: Path) -> None:
    """A file is written, in the format's own form."""
    path = ModelSerializer().serialize(np.arange(3.0), tmp_path / "m.npz")
    assert np.array_equal([0.0, 1.0, 2.0], np.load(path)["array"])


def test_seed_serializer_deserializing_from_files(tmp_path: Path) -> None:
    """A file that could run code loads when the caller trusts it, and only then."""
    models = ModelSerializer()
    path = models.serialize(Model("a"), tmp_path / "m.pkl")
    with pytest.raises(UntrustedArtifactError):
        models.deserialize(path)
    assert "a" == models.deserialize(path, trusted=True).name


def test_seed_serializer_computing_hashes(registry: ModelRegistry) -> None:
    """The hash is that of the stored bytes, as the registry records it."""
    registry.register_model(Model("a"), "m")
    assert registry.get_model_metadata("m")["artifact"] == ModelSerializer().compute_model_hash(Model("a"))
    assert ModelSerializer().compute_model_hash(Model("a")) != ModelSerializer().compute_model_hash(Model("b"))


def test_seed_serializer_checking_compatibility(registry: ModelRegistry) -> None:
    """A record is compared with what is installed, without loading."""
    registry.register_model(Model("a"), "m", dependencies={"gone-library": "1.0"})
    report = ModelSerializer().is_compatible(registry.get_model_metadata("m"))
    assert (False, "gone-library") == (bool(report), report.differences[0].name)


def test_seed_serializer_serialized_size(registry: ModelRegistry) -> None:
    """The size is what the record will say."""
    registry.register_model(Model("a"), "m")
    assert registry.get_model_metadata("m")["size_bytes"] == ModelSerializer().get_serialized_size(Model("a"))


def test_seed_serializer_bytes() -> None:
    """To bytes and back."""
    models = ModelSerializer()
    assert "a" == models.from_bytes(models.to_bytes(Model("a")), trusted=True).name


def test_seed_serializer_file_information(tmp_path: Path) -> None:
    """What a file is, without loading it."""
    models = ModelSerializer()
    found = models.get_model_info(models.serialize(Model("a"), tmp_path / "m"))
    assert ("pickle5", "code") == (found["format"], found["safety"])


# Training.


def test_seed_training_registering_trained_models(registry: ModelRegistry) -> None:
    """A fitted model comes back and predicts as before."""
    model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    ModelTrainerIntegration(registry).register_trained_model(model, "m")
    assert np.array_equal(model.predict([[3.0]]), registry.load_model("m").predict([[3.0]]))


def test_seed_training_registering_from_files(registry: ModelRegistry, tmp_path: Path) -> None:
    """A file is registered in the format that its bytes are in."""
    (tmp_path / "rules").write_text('{"threshold": 0.5}')
    ModelTrainerIntegration(registry).register_model_from_file(tmp_path / "rules", "m")
    assert {"threshold": 0.5} == registry.load_model("m")


def test_seed_training_registering_associated_information(registry: ModelRegistry) -> None:
    """The six kinds of facts stand in the record."""
    training = ModelTrainerIntegration(registry)
    registry.register_model(Model("a"), "m")
    training.register_evaluation_results("m", {"f1": 0.5})
    training.register_training_data_info("m", {"rows": 10})
    training.register_hyperparameters("m", {"alpha": 1.0})
    training.register_feature_importance("m", {"x": 3, "y": 1})
    training.register_pipeline_steps("m", ["clean", "fit"])
    training.register_dependencies("m", ["numpy"])
    record = registry.get_model_metadata("m")
    assert ({"f1": 0.5}, {"rows": 10}) == (record["evaluation"], record["training_data"])
    assert ({"alpha": 1.0}, {"x": 0.75, "y": 0.25}) == (record["hyperparameters"], record["feature_importance"])
    assert (["clean", "fit"], np.__version__) == (record["pipeline_steps"], record["dependencies"]["numpy"])


# Loading.


def test_seed_loader_by_name_and_version(operations: ModelOperations) -> None:
    """A version, or the latest."""
    loader = ModelLoader(operations)
    assert ("v0", "v2") == (loader.load_model("m", "1.0.0").name, loader.load_model("m").name)


def test_seed_loader_by_tags(operations: ModelOperations) -> None:
    """Every version with the tags."""
    assert ["v2", "v1", "v0"] == [model.name for model in ModelLoader(operations).load_model_by_tags(["t"])]


def test_seed_loader_best_model(operations: ModelOperations) -> None:
    """The model, not a tuple."""
    assert "v1" == ModelLoader(operations).load_best_model("m", "rmse").name


# The market trainer.


def bars(rows: int = 320) -> pd.DataFrame:
    """Return daily bars of a random walk."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, rows)))
    frame = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6})
    return frame.set_index(pd.date_range("2020-01-01", periods=rows, name="date"))


ONE: Final[dict[str, Any]] = {"target_types": ["return"], "forecast_horizons": [1], "model_types": ["ridge"]}


@pytest.fixture
def trainer(registry: ModelRegistry, tmp_path: Path) -> MarketDataModelTrainer:
    """A trainer with the data of two symbols."""
    for symbol in ("AAPL", "NSE_TCS"):
        write_processed(prepare_ohlcv(bars()), tmp_path / "data", symbol, "1d")
    return MarketDataModelTrainer(tmp_path / "data", evaluation_dir=tmp_path / "reports", registry=registry)


def test_seed_trainer_discovering_and_loading_data(trainer: MarketDataModelTrainer) -> None:
    """Symbols, timeframes and files; a file as a frame in order of time."""
    found = trainer.discover_processed_data()
    assert {"AAPL": ["1d"], "NSE_TCS": ["1d"]} == {symbol: list(frames) for symbol, frames in found.items()}
    data = trainer.load_processed_data(found["AAPL"]["1d"])
    assert data.index.is_monotonic_increasing
    assert "close" in data.columns


def test_seed_trainer_features_and_targets(trainer: MarketDataModelTrainer) -> None:
    """Rows of features with their labels; prices and volume are no features."""
    data = trainer.load_processed_data(trainer.discover_processed_data()["AAPL"]["1d"])
    x, y = trainer.prepare_features_and_target(data, "return", 5)
    assert len(x) == len(y)
    assert {"open", "high", "low", "close", "volume"}.isdisjoint(x.columns)


def test_seed_trainer_training_and_saving(trainer: MarketDataModelTrainer, tmp_path: Path) -> None:
    """Symbols are trained, registered, evaluated in a file, and load for prediction; a symbol or all of them."""
    [row] = trainer.train_models_for_symbol("NSE_TCS", timeframes=["1d"], **ONE)
    assert ("trained", "NSE_TCS_1d_return_1_ridge") == (row.status, row.model_name)
    assert (tmp_path / "reports" / "NSE_TCS_1d_return_1_ridge.json").exists()
    results = trainer.train_models_for_all_symbols(timeframes=["1d"], **ONE)
    assert {"AAPL": "trained", "NSE_TCS": "skipped"} == {each.symbol: each.status for each in results}  # it is there
    loader = ModelLoader(trainer.registry)
    model = loader.load_model_for_prediction("AAPL", "1d", "return", 1, "ridge")
    assert "AAPL_1d_return_1_ridge" == trainer.registry.record_of(model)["model_name"]


# The database.


def test_seed_database_rows(operations: ModelOperations) -> None:
    """Metadata, tags and metric history are rows that anyone's session reads."""
    operations.log_metrics("m:1.0.0", {"rmse": 0.25})
    engine = create_engine(f"sqlite:///{operations.repository.storage.root}/index.db")
    with Session(engine) as session:
        [version] = session.scalars(select(ModelMetadata).where(ModelMetadata.model_version == "1.0.0"))
        assert ["t"] == [tag.tag for tag in version.tags]
        assert [0.3, 0.25] == [metric.value for metric in version.metrics]
        assert 3 == len(session.scalars(select(ModelTag)).all())
        assert 4 == len(session.scalars(select(ModelMetric)).all())
    engine.dispose()


def test_seed_examples_are_printed_as_they_were() -> None:
    """The README has the four examples with nothing but the import changed; its tests run them."""
    text = README.read_text()
    for example in EXAMPLES:
        assert f"```python\n{example}```" in text
