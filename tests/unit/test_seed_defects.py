"""The 24 defects that the project's origin had: one test each, so that none of them comes back."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from sklearn.linear_model import Ridge
from sqlalchemy import create_engine, text

from friday_store import (
    FridayStoreError,
    IntegrityError,
    InvalidNameError,
    MarketDataModelTrainer,
    ModelLoader,
    ModelNotFoundError,
    ModelRegistry,
    ModelTrainerIntegration,
    PredictionTarget,
    StorageError,
    VersionExistsError,
)
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.operations import ModelOperations
from friday_store.testing.faults import Fault, FaultyStorage
from friday_store.versioning import ModelVersioning


class Bomb:
    """A model that leaves a mark when it is unpickled."""

    fuse: ClassVar[list[str]] = []

    def __init__(self, weight: int) -> None:
        self.weight = np.full(50_000, weight)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.fuse.append("boom")
        self.__dict__.update(state)


def bars(rows: int = 320, seed: int = 0) -> pd.DataFrame:
    """Return daily bars of a random walk."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, rows)))
    frame = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6})
    return frame.set_index(pd.date_range("2020-01-01", periods=rows, name="date"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory of processed data with one symbol."""
    write_processed(prepare_ohlcv(bars()), tmp_path / "data", "NSE_TCS", "1d")
    return tmp_path / "data"


def labels(target: PredictionTarget | str, horizon: int) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Return data, features and labels of a random walk."""
    data = prepare_ohlcv(bars())
    return data, *MarketDataModelTrainer(use_model_registry=False).prepare_features_and_target(data, target, horizon)


def test_seed_defect_01_a_write_happens_whole_or_not_at_all(registry: ModelRegistry) -> None:
    """Evaluation results that cannot be stored, or whose write fails at any call, leave every version and record."""
    for name in ("a", "b"):
        registry.register_model({"a": 1}, name, metrics={"rmse": 0.5})
    before = registry.list_models()
    with pytest.raises(FridayStoreError, match=r"evaluation\['plot'\]"):
        ModelTrainerIntegration(registry).register_evaluation_results("a", {"f1": 0.5, "plot": lambda: 1})
    assert before == registry.list_models()
    failures = 0
    for at in range(1, 30):
        broken = ModelRegistry(registry.url)
        faulty = FaultyStorage(broken.repository.storage, Fault(at))
        broken.repository.storage = broken.repository.objects.storage = faulty
        broken.repository.log._storage = faulty
        try:
            ModelTrainerIntegration(broken).register_evaluation_results("a", {"f1": 0.5})
        except StorageError:
            failures += 1
            first, *rest = registry.list_models()
            assert before[1:] == rest
            assert first in (before[0], {**before[0], "evaluation": {"f1": 0.5}, "updated_at": first["updated_at"]})
        else:
            break
    assert failures > 3
    assert {"f1": 0.5} == registry.get_model_metadata("a")["evaluation"]
    assert [] == registry.fsck()


def test_seed_defect_02_numpy_scalars_are_stored(registry: ModelRegistry) -> None:
    """A ``np.float32`` in metadata or metrics is a number, and hurts nothing."""
    registry.register_model({"a": 1}, "m", metadata={"x": np.float32(0.5)}, metrics={"r": np.float32(0.25)})
    record = registry.update_model_metadata("m", {"y": np.int64(3)})
    assert ({"x": 0.5, "y": 3}, {"r": 0.25}) == (record["metadata"], record["metrics"])
    assert record == ModelRegistry(registry.url).get_model_metadata("m")


def test_seed_defect_03_stored_bytes_are_hashed_and_verified_before_unpickling(registry: ModelRegistry) -> None:
    """What was registered loads again and again; with one bit changed it does not, and nothing of it runs."""
    registry.register_model(Bomb(1), "m")
    for _ in range(2):
        assert 1 == registry.load_model("m").weight[0]
    [pack] = Path(registry.url).glob("packs/*.pack")
    data = bytearray(pack.read_bytes())
    start = int(registry.repository.objects.directory(pack.stem).data)
    data[start // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    Bomb.fuse.clear()
    with pytest.raises(IntegrityError):
        ModelRegistry(registry.url, verify="always").load_model("m")
    assert [] == Bomb.fuse


def test_seed_defect_04_a_version_never_changes(registry: ModelRegistry) -> None:
    """The same version with other content is refused, and what was there stays."""
    registry.register_model({"a": 1}, "m", "1.0.0")
    with pytest.raises(VersionExistsError):
        registry.register_model({"a": 2}, "m", "1.0.0")
    assert {"a": 1} == registry.load_model("m", "1.0.0")


def test_seed_defect_05_instances_that_register_at_once_lose_nothing(tmp_path: Path) -> None:
    """Four registries over one place register at the same time, and every version is there with its own number."""

    def register(worker: int) -> list[str]:
        with ModelRegistry(tmp_path / "shared") as mine:
            return [mine.register_model({"worker": worker, "number": number}, "m") for number in range(5)]

    with ThreadPoolExecutor(4) as pool:
        ids = [model_id for found in pool.map(register, range(4)) for model_id in found]
    with ModelRegistry(tmp_path / "shared") as registry:
        versions = registry.get_model_versions("m")
        assert sorted(ids) == sorted(record["model_id"] for record in versions)
        assert [f"1.0.{number}" for number in reversed(range(20))] == [record["version"] for record in versions]


def test_seed_defect_06_ten_is_above_nine(registry: ModelRegistry) -> None:
    """Versions are ordered by their numbers, not as text."""
    for version in ("9.0.0", "10.0.0", "9.10.0"):
        registry.register_model({"v": version}, "m", version)
    assert "10.0.0" == registry.get_latest_version("m")
    assert ["10.0.0", "9.10.0", "9.0.0"] == [record["version"] for record in registry.get_model_versions("m")]


def test_seed_defect_07_tagging_keeps_the_metadata(registry: ModelRegistry) -> None:
    """A tag that comes and goes changes nothing else of the record."""
    registry.register_model({"a": 1}, "m", metadata={"owner": "me"}, metrics={"rmse": 0.5}, tags=["t"])
    before = registry.get_model_metadata("m")
    ModelVersioning(registry).tag_version("m", "1.0.0", "gold")
    assert {**before, "tags": ["gold", "t"]} == registry.get_model_metadata("m")
    ModelVersioning(registry).untag_version("m", "1.0.0", "gold")
    assert before == registry.get_model_metadata("m")


def test_seed_defect_08_importing_writes_inside_the_registry_alone(registry: ModelRegistry, tmp_path: Path) -> None:
    """A name with ``../`` is no name, in a registration, a revision or what is imported; nothing appears outside."""
    registry.register_model({"a": 1}, "m", serializer="json")
    registry.export_model("m", tmp_path / "out", format="files")
    [about] = (tmp_path / "out").rglob("metadata.json")
    document = json.loads(about.read_text())
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    about.write_text(json.dumps({**document, "file": "../../secret.json"}))
    with pytest.raises(FridayStoreError, match="not a file beside it"):
        ModelRegistry(tmp_path / "deep" / "other").import_model(about.parent)
    for wrong in ("../../evil", "/evil", "a/../../evil"):
        with pytest.raises(InvalidNameError):
            registry.register_model({"a": 1}, wrong)
    assert not list(tmp_path.rglob("evil*"))
    assert ["m"] == registry.model_names()


@pytest.mark.parametrize("form", ["bundle", "files"])
def test_seed_defect_09_name_and_version_come_from_the_content(
    registry: ModelRegistry, tmp_path: Path, form: Any
) -> None:
    """The name of the file says nothing: what is imported is called what it was called."""
    registry.register_model({"a": 1}, "my_model_v2", "3.1.4", serializer="json")
    registry.export_model("my_model_v2", tmp_path / "other_9.9.9", format=form)
    folder = [path.parent for path in (tmp_path / "other_9.9.9").rglob("metadata.json")]
    other = ModelRegistry(tmp_path / "other")
    other.import_model(folder[0] if form == "files" else tmp_path / "other_9.9.9")
    record = other.get_model_metadata("my_model_v2")
    assert ("my_model_v2", "3.1.4", ["my_model_v2"]) == (record["name"], record["version"], other.model_names())


def test_seed_defect_10_what_is_deleted_leaves_no_rows_and_is_not_served(registry: ModelRegistry) -> None:
    """Tags, metrics and aliases go with the version, and a loader that had it in its cache does not find it."""
    registry.register_model({"a": 1}, "m", metrics={"rmse": 0.5}, tags=["t"], aliases=["production"])
    registry.log_metrics("m", {"rmse": 0.4})
    loader = ModelLoader(registry)
    loader.warm(["m"])
    registry.delete_model("m", force=True)
    for revision in ("m", "m:1.0.0", "m@production"):
        with pytest.raises(ModelNotFoundError):
            loader.load_model(revision, copy=False)
    engine = create_engine(f"sqlite:///{registry.url}/index.db")
    with engine.connect() as connection:
        for table in ("model_metadata", "model_tags", "model_metrics", "model_aliases", "model_notes"):
            assert 0 == connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()


def test_seed_defect_11_the_loader_sees_what_is_new_and_shares_nothing(registry: ModelRegistry) -> None:
    """The latest is that of now, and an object that was handed out is its caller's own."""
    registry.register_model({"a": [1]}, "m")
    loader = ModelLoader(registry)
    loader.load_model("m")["a"].append(2)
    assert {"a": [1]} == loader.load_model("m")
    registry.register_model({"a": [3]}, "m")
    assert {"a": [3]} == loader.load_model("m")


def test_seed_defect_12_the_best_passes_over_nan_and_is_a_model(registry: ModelRegistry) -> None:
    """A metric that is NaN or missing is passed over; the answer is a record, and the loader's a model."""
    for value in (0.5, float("nan"), 0.7):
        registry.register_model({"value": str(value)}, "m", metrics={"accuracy": value})
    registry.register_model({"value": "none"}, "m")
    record = ModelOperations(registry).find_best_model("m", "accuracy")
    assert isinstance(record, dict)
    assert "1.0.2" == record["model_version"]
    assert {"value": "0.7"} == ModelLoader(registry).load_best_model("m", "accuracy")


@pytest.mark.parametrize(
    ("before", "after", "percent"), [(-2.0, -1.0, 50.0), (-2.0, -3.0, -50.0), (2.0, 3.0, 50.0), (0.0, 1.0, None)]
)
def test_seed_defect_13_the_percent_change_has_the_right_sign(
    registry: ModelRegistry, before: float, after: float, percent: float | None
) -> None:
    """More is positive also from a negative base, and from zero there is no percentage."""
    for value in (before, after):
        registry.register_model({"value": value}, "m", metrics={"r2": value})
    row = ModelOperations(registry).compare_models("m", "1.0.0", "1.0.1").section("metrics")["r2"]
    assert ((after - before,), (percent,)) == (row.differences, row.percents)


@pytest.mark.parametrize("horizon", [1, 5])
def test_seed_defect_14_rows_without_a_future_have_no_direction(horizon: int) -> None:
    """The last rows, whose later price is not known, are absent and not labelled 0."""
    data, x, y = labels(PredictionTarget.PRICE_DIRECTION, horizon)
    assert x.index[-1] == y.index[-1] == data.index[-1 - horizon]


def test_seed_defect_15_a_direction_is_classified() -> None:
    """The model of a direction is a classifier with probabilities, scored as one."""
    _, x, y = labels(PredictionTarget.PRICE_DIRECTION, 1)
    model, evaluation = MarketDataModelTrainer(use_model_registry=False).train_model(x, y, "ridge")
    assert is_classifier(model)
    assert {0, 1} == set(model.predict(x.head(200)))
    assert "balanced_accuracy" in evaluation.metrics
    assert "rmse" not in evaluation.metrics


def test_seed_defect_16_volatility_of_one_bar_has_rows() -> None:
    """With a horizon of one it is the absolute log return of the next bar, for every row but the last."""
    data, x, y = labels(PredictionTarget.VOLATILITY, 1)
    expected = np.log(data["close"]).diff().abs().shift(-1)[y.index]
    assert len(x) == len(y) > 200
    assert np.allclose(expected, y)


def test_seed_defect_17_no_training_label_uses_a_price_of_the_test_part() -> None:
    """Prices of the test part changed, the model is the same to the last bit."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    data, x, y = labels(PredictionTarget.RETURN, 5)
    _, evaluation = trainer.train_model(x, y, "ridge")
    changed = data.copy()
    changed.loc[evaluation.split["test_first"] :, "close"] *= 3
    models = [
        pickle.dumps(trainer.train_model(*trainer.prepare_features_and_target(one, "return", 5), "ridge")[0])
        for one in (data, changed)
    ]
    assert models[0] == models[1]


def test_seed_defect_18_a_random_forest_is_registered_and_loads(registry: ModelRegistry, folder: Path) -> None:
    """What was trained is in the registry and predicts; no file lies about beside it."""
    trainer = MarketDataModelTrainer(folder, registry=registry)
    [row] = trainer.train_models_for_symbol("NSE_TCS", ["1d"], ["return"], [1], ["random_forest"])
    model = ModelLoader(registry).load_model_for_prediction("NSE_TCS", "1d", "return", 1, "random_forest")
    _, x, _ = labels(PredictionTarget.RETURN, 1)
    assert ("trained", registry.record_of(model)["model_id"]) == (row.status, row.model_id)
    assert np.isfinite(model.predict(x)).all()
    assert ["1d"] == [path.name.split("_")[2] for path in folder.rglob("NSE_TCS_*")]


def test_seed_defect_19_dependencies_are_the_versions_in_use(registry: ModelRegistry) -> None:
    """The recorded versions are those that are installed."""
    registry.register_model(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), "m")
    recorded = registry.get_model_metadata("m")["dependencies"]
    assert {"numpy", "scikit-learn"} <= set(recorded)
    assert {name: importlib.metadata.version(name) for name in recorded} == recorded


def test_seed_defect_20_a_symbol_may_hold_an_underscore(registry: ModelRegistry, folder: Path) -> None:
    """``NSE_TCS`` is a symbol, in the file's name, the record and the question; nobody asks for ``NSE``."""
    trainer = MarketDataModelTrainer(folder, registry=registry)
    assert ["NSE_TCS"] == list(trainer.discover_processed_data())
    trainer.train_models_for_symbol("NSE_TCS", ["1d"], ["return"], [1], ["ridge"])
    [record] = registry.list_models()
    assert "NSE_TCS" == record["metadata"]["market"]["symbol"]
    assert hasattr(ModelLoader(registry).load_model_for_prediction("NSE_TCS", "1d", "return", 1), "predict")
    with pytest.raises(ModelNotFoundError, match="NSE_TCS 1d return 1"):
        ModelLoader(registry).load_model_for_prediction("NSE", "1d", "return", 1)


def test_seed_defect_21_a_date_column_is_taken(tmp_path: Path) -> None:
    """What the package's own preparation writes is what its trainer reads, in a column called ``date``."""
    frame = prepare_ohlcv(bars()).reset_index()
    frame.to_csv(tmp_path / "AAPL_1d_x.csv", index=False)
    assert "date" in frame.columns
    trainer = MarketDataModelTrainer(tmp_path, use_model_registry=False)
    data = trainer.load_processed_data("AAPL_1d_x.csv")
    assert (len(frame), "datetime64") == (len(data), str(data.index.dtype)[:10])
    [row] = trainer.train_models_for_symbol("AAPL", ["1d"], ["return"], [1], ["ridge"])
    assert "trained" == row.status


def test_seed_defect_22_a_registry_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a change of the working directory nor a move of the folder loses a model, and no path is stored."""
    monkeypatch.chdir(tmp_path)
    with ModelRegistry("models") as registry:
        registry.register_model({"a": 1}, "m")
        (tmp_path / "elsewhere").mkdir()
        os.chdir(tmp_path / "elsewhere")
        registry.register_model({"a": 2}, "m")
        assert {"a": 2} == registry.load_model("m")
    assert [] == list((tmp_path / "elsewhere").iterdir())
    shutil.move(tmp_path / "models", tmp_path / "elsewhere" / "moved")
    with ModelRegistry(tmp_path / "elsewhere" / "moved") as moved:
        assert [{"a": 1}, {"a": 2}] == [moved.load_model("m", version) for version in ("1.0.0", "1.0.1")]
        assert [] == moved.fsck()
    for path in (tmp_path / "elsewhere" / "moved").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_seed_defect_23_every_request_gets_an_answer(registry: ModelRegistry, folder: Path) -> None:
    """Each combination is a row with its reason, and a load of several models fails rather than leaving one out."""
    (folder / "BAD_1d_x.csv").write_text("date,close\n2024-01-02,1\n2024-01-01,2\n")
    trainer = MarketDataModelTrainer(folder, registry=registry)
    results = trainer.train_models_for_all_symbols(
        ["NSE_TCS", "BAD"],
        timeframes=["1d", "1h"],
        target_types=["return"],
        forecast_horizons=[1, 5],
        model_types=["ridge"],
    )
    assert 8 == len(results)
    assert {"trained": 2, "failed": 2, "skipped": 4} == {
        status: len(results.with_status(status)) for status in ("trained", "failed", "skipped")
    }
    assert all(row.reason for row in results if row.status != "trained")
    [pack] = Path(registry.url).glob("packs/*.pack")
    pack.unlink()
    with pytest.raises(IntegrityError):
        ModelLoader(ModelRegistry(registry.url)).load_model_by_tags(["NSE_TCS"])


def test_seed_defect_24_minutes_and_months_do_not_collide(registry: ModelRegistry, tmp_path: Path) -> None:
    """``1m`` and ``1M`` are different models, and their files differ on a disk that ignores case."""
    for timeframe, seed in (("1m", 1), ("1M", 2)):
        write_processed(prepare_ohlcv(bars(seed=seed)), tmp_path / "data", "X", timeframe)
    trainer = MarketDataModelTrainer(tmp_path / "data", evaluation_dir=tmp_path / "reports", registry=registry)
    results = trainer.train_models_for_symbol("X", None, ["return"], [1], ["ridge"])
    assert {"X_1m_return_1_ridge", "X_1M_return_1_ridge"} == set(registry.model_names())
    for place in ("data", "reports"):
        files = [path.name for path in (tmp_path / place).rglob("*") if path.is_file()]
        assert 2 == len({name.lower() for name in files})
    loader = ModelLoader(registry)
    found = [loader.load_model_for_prediction("X", timeframe, "return", 1) for timeframe in ("1m", "1M")]
    assert [row.model_id for row in results] == [registry.record_of(model)["model_id"] for model in found]
