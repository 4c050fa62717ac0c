"""Registering what was trained, and what belongs to it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor, StackingRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from friday_store import (
    InvalidValueError,
    ModelRegistry,
    ModelTrainerIntegration,
    SerializationError,
    StorageError,
    VersionExistsError,
)
from friday_store.digest import digest_of
from friday_store.training import described, normalised

X = pd.DataFrame(np.random.default_rng(5).standard_normal((60, 3)), columns=["open", "close", "volume"])
Y = X["close"] * 3 - X["open"] + 0.01 * X["volume"]


class Bomb:
    """A model that leaves a mark when it is unpickled."""

    fuse: ClassVar[list[str]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return _explode, ("boom",)


def _explode(word: str) -> Bomb:
    Bomb.fuse.append(word)
    return Bomb()


@pytest.fixture
def training(registry: ModelRegistry) -> ModelTrainerIntegration:
    """An integration over an empty registry."""
    return ModelTrainerIntegration(registry)


def scaled() -> Pipeline:
    """Return a fitted pipeline."""
    return Pipeline([("scale", StandardScaler()), ("model", Ridge(alpha=0.5))]).fit(X, Y)


def test_a_trained_model_comes_with_what_is_known_of_it(training: ModelTrainerIntegration) -> None:
    """Steps, importance, parameters, features and libraries are recorded without being asked for."""
    model_id = training.register_trained_model(scaled(), "m", metrics={"rmse": 0.1}, input_example=X)
    record = training.registry.get_model_metadata("m")
    assert (model_id, "1.0.0", {"rmse": 0.1}) == (record["model_id"], record["model_version"], record["metrics"])
    assert ["scale", "model"] == [step["name"] for step in record["pipeline_steps"]]
    assert 0.5 == record["hyperparameters"]["model__alpha"]
    assert {"open", "close", "volume"} == set(record["feature_importance"])
    assert ["close", "open", "volume"] == list(training.get_feature_importance("m"))
    assert "scikit-learn" in record["dependencies"]
    assert np.array_equal(scaled().predict(X), training.registry.load_model("m").predict(X))


def test_what_is_given_is_not_taken_from_the_model(training: ModelTrainerIntegration) -> None:
    """The caller's own facts stand, the version too, and a version never changes."""
    training.register_trained_model(scaled(), "m", "2.1.0", feature_importance={"a": 1.0}, pipeline_steps=[])
    record = training.registry.get_model_metadata("m")
    assert ("2.1.0", {"a": 1.0}) == (record["model_version"], record["feature_importance"])
    assert not record["pipeline_steps"]
    with pytest.raises(VersionExistsError):
        training.register_trained_model(Ridge().fit(X, Y), "m", "2.1.0")


class Sulky:
    """A model whose attributes fail."""

    @property
    def steps(self) -> list[Any]:
        """Return no step."""
        return []

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return nothing."""
        return {}

    @property
    def coef_(self) -> Any:
        """Return no coefficients."""
        raise RuntimeError("not today")


def test_what_a_model_cannot_say_of_itself_does_not_refuse_it(training: ModelTrainerIntegration) -> None:
    """Importance is captured where it can be; NaN, odd shapes and failing attributes are passed over."""
    odd = Ridge().fit(X, Y)
    odd.coef_ = np.array([np.nan, 1.0, 2.0])
    for model in (Sulky(), odd, {"a": 1}, Ridge()):
        training.register_trained_model(model, "odd")
        assert {} == training.registry.get_model_metadata("odd")["feature_importance"]


def test_a_file_is_registered_as_it_is_and_not_loaded(
    training: ModelTrainerIntegration, registry: ModelRegistry, tmp_path: Path
) -> None:
    """Its bytes are those that were given, its format is told by them, and nothing in it runs."""
    Bomb.fuse.clear()
    for number, (data, form) in enumerate(
        [
            (pickle.dumps(Bomb(), 5), "pickle5"),
            (b'{"threshold": 0.5}', "json"),
            (b"tree\nversion=v4\n", "lightgbm"),
            (b"hello", "file"),
        ]
    ):
        path = tmp_path / f"model{number}.bin"
        path.write_bytes(data)
        training.register_model_from_file(path, "given", tags=[form], metadata={"by": "me"})
        record = registry.get_model_metadata("given")
        stored = registry.repository.parts(registry.repository.artifact(bytes.fromhex(record["artifact"])))
        assert [data] == [bytes(part) for part in stored.values()]
        about = {"name": path.name, "size_bytes": len(data), "digest": digest_of(data).hex(), "format": form}
        assert {"file": about, "by": "me"} == record["metadata"]
        assert ("file" if form == "lightgbm" else form, form) == (record["serializer"], record["model_type"])
    assert [] == Bomb.fuse
    assert {"threshold": 0.5} == registry.load_model("given@json")
    assert b"hello" == registry.load_model("given@file")


def test_files_of_arrays_and_joblib_load_as_what_they_are(
    training: ModelTrainerIntegration, registry: ModelRegistry, tmp_path: Path
) -> None:
    """The arrays of an npy, npz or joblib file come back equal."""
    weights = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "a.npy", weights)
    np.savez_compressed(tmp_path / "b.npz", w=weights, v=weights[0])
    joblib.dump({"w": weights}, tmp_path / "c.joblib")
    for name, form in (("a.npy", "numpy"), ("b.npz", "numpy"), ("c.joblib", "joblib")):
        training.register_model_from_file(tmp_path / name, "m", f"{ord(name[0])}.0.0")
        assert form == registry.get_model_metadata("m")["serializer"]
        found = registry.load_model("m")
        assert np.array_equal(weights, found if name == "a.npy" else found["w"])
    assert "99.0.0" == registry.get_latest_version("m")


def test_a_named_format_is_taken_at_its_word(
    training: ModelTrainerIntegration, registry: ModelRegistry, tmp_path: Path
) -> None:
    """``file`` keeps any file byte by byte; a format that the file is not in is refused, and so is no file."""
    path = tmp_path / "a.npz"
    np.savez(path, w=np.arange(3))
    training.register_model_from_file(path, "m", format="file", model_type="weights")
    assert path.read_bytes() == registry.load_model("m")
    assert "weights" == registry.get_model_metadata("m")["model_type"]
    with pytest.raises(SerializationError):
        training.register_model_from_file(path, "m", format="json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY no array")
    with pytest.raises(SerializationError):
        training.register_model_from_file(path, "m")
    with pytest.raises(StorageError, match="no file"):
        training.register_model_from_file(tmp_path / "none", "m")
    assert ["1.0.0"] == [record["model_version"] for record in registry.get_model_versions("m")]


def test_a_search_is_registered_with_its_winner_and_candidates(
    training: ModelTrainerIntegration, registry: ModelRegistry
) -> None:
    """The best estimator is the model; scores, ranks and parameters of every candidate are recorded."""
    pipeline = Pipeline([("scale", StandardScaler()), ("model", Ridge())])
    grid = {"model__alpha": [0.1, 10.0], "scale": [StandardScaler(), MinMaxScaler()]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, Y)
    training.register_model_from_trainer(search, "m", evaluation={"note": "by hand"})
    record = registry.get_model_metadata("m")
    found = record["evaluation"]["search"]
    assert ("by hand", 3, 4) == (record["evaluation"]["note"], found["n_splits"], len(found["candidates"]))
    assert search.best_score_ == found["best_score"] == record["metrics"]["best_score"]
    assert [1, 2, 3, 4] == sorted(each["rank_test_score"] for each in found["candidates"])
    best = found["candidates"][found["best_index"]]
    assert (1, search.best_params_["model__alpha"]) == (best["rank_test_score"], best["params"]["model__alpha"])
    assert "Pipeline" == record["model_type"]
    assert np.array_equal(search.predict(X), registry.load_model("m").predict(X))


class Trainer:
    """A trainer of somebody's own."""

    def __init__(self, model: Any) -> None:
        self.model = model


def test_whatever_holds_a_fitted_model_is_a_trainer(training: ModelTrainerIntegration, registry: ModelRegistry) -> None:
    """An attribute with a fitted model, or the model itself; one that holds none is refused with what to do."""
    fitted = Ridge().fit(X, Y)
    for trainer in (Trainer(fitted), fitted, Trainer(scaled())):
        training.register_model_from_trainer(trainer, "m")
        assert registry.load_model("m").predict(X).shape == (60,)
    for empty in (Trainer(Ridge()), Trainer(None), object(), GridSearchCV(Ridge(), {"alpha": [1.0]})):
        with pytest.raises(InvalidValueError, match="no fitted model") as got:
            training.register_model_from_trainer(empty, "m")
        assert "refit=True" in str(got.value.hint)
    assert 3 == len(registry.get_model_versions("m"))


def test_facts_are_added_later(training: ModelTrainerIntegration, registry: ModelRegistry) -> None:
    """Each section is merged with what is there; the version and the other sections stay, and the log knows."""
    model_id = training.register_trained_model(Ridge().fit(X, Y), "m", evaluation={"cv": {"folds": 5}})
    before = registry.get_model_metadata("m")
    training.register_evaluation_results("m", {"cv": {"mean": np.float32(0.5)}})
    training.register_training_data_info("m", {"rows": 60, "from": Path("data/x.csv")})
    training.register_hyperparameters("m:1.0.0", {"alpha": 2.0, "note": None})
    record = training.register_dependencies(model_id, {"cuda": "12.4"})
    assert {"cv": {"folds": 5, "mean": 0.5}} == record["evaluation"]
    assert {"rows": 60, "from": "data/x.csv"} == record["training_data"]
    assert {**before["hyperparameters"], "alpha": 2.0} == record["hyperparameters"]
    assert {**before["dependencies"], "cuda": "12.4"} == record["dependencies"]
    kept = ("model_id", "metrics", "metadata", "feature_importance", "description", "status", "tags")
    assert [before[key] for key in kept] == [record[key] for key in kept]
    assert record == ModelRegistry(registry.url).get_model_metadata("m")
    assert 4 == sum(" of m:1.0.0" in entry.message for entry in registry.repository.entries())


def test_a_section_is_one_of_the_record(registry: ModelRegistry) -> None:
    """Facts of no section, and of the sections with methods of their own, are refused, and so is what is no mapping."""
    registry.register_model({"a": 1}, "m")
    before = registry.repository.log.last()
    wrong: list[tuple[str, Any]] = [
        ("metrics", {"a": 1}), ("metadata", {"a": 1}), ("nonsense", {}), ("evaluation", [1]),
        ("pipeline_steps", {"a": 1}), ("evaluation", {"f": lambda: 1}),
    ]  # fmt: skip
    for section, value in wrong:
        with pytest.raises(InvalidValueError):
            registry.record_facts("m", section, value)
    assert before == registry.repository.log.last()


def test_facts_of_several_sections_are_one_entry_in_a_block(training: ModelTrainerIntegration) -> None:
    """What is said in a transaction is one log entry."""
    registry = training.registry
    registry.register_model({"a": 1}, "m")
    before = registry.repository.log.last()
    with registry.transaction("after training"):
        training.register_evaluation_results("m", {"f1": 0.5})
        training.register_training_data_info("m", {"rows": 3})
    record = registry.get_model_metadata("m")
    assert (before + 1, {"f1": 0.5}, {"rows": 3}) == (
        registry.repository.log.last(),
        record["evaluation"],
        record["training_data"],
    )


def test_importance_is_shares_in_order() -> None:
    """Magnitudes add up to 1, the largest share first, whatever it was said by."""
    assert {"b": 0.5, "a": 0.25, "c": 0.25} == normalised({"a": 1, "b": 2.0, "c": np.float32(1)})
    assert ["b", "a", "c"] == list(normalised({"c": 1, "a": 1, "b": 2}))
    assert {"feature_1": 0.75, "feature_0": 0.25} == normalised(np.array([1, 3]))
    assert {"y": 0.75, "x": 0.25} == normalised(np.array([1, 3]), ["x", "y"])
    assert {"x": 0.75, "y": -0.25} == normalised([3, -1], ["x", "y"])
    assert {"x": 0.5, "y": 0.5} == normalised(np.array([[1.0, -3.0], [-3.0, 1.0]]), ["x", "y"])
    assert {"x": 0.0, "y": 0.0} == normalised([0, 0], ["x", "y"])
    ridge = Ridge().fit(X, Y)
    shares = normalised(ridge)
    assert ["close", "open", "volume"] == list(shares)
    assert 1.0 == pytest.approx(sum(shares.values()))
    classes = LogisticRegression().fit(X, Y > 0)
    assert ["close", "open", "volume"] == list(normalised(classes))
    forest = RandomForestRegressor(5, random_state=0).fit(X, Y)
    assert dict(zip(X, forest.feature_importances_, strict=True)) == pytest.approx(normalised(forest))


@pytest.mark.parametrize(
    ("wrong", "names"),
    [({"a": "much"}, None), ({"a": True}, None), ([1, 2], ["a"]), ([1, 2], ["a", "a"]), ([], None), (3, None),
     ({"a": float("nan")}, None), ([float("inf")], None), (object(), None), ([["a"], [1]], None),
     ([[1], [1, 2]], None)],
)  # fmt: skip
def test_importance_that_is_none_is_refused(wrong: Any, names: list[str] | None) -> None:
    """Text, truth values, NaN, and names that do not fit the numbers are no importance."""
    with pytest.raises(InvalidValueError):
        normalised(wrong, names)


def test_importance_is_replaced_as_a_whole(training: ModelTrainerIntegration, registry: ModelRegistry) -> None:
    """What was there is gone from the record; names come from the recorded input; the order is by share."""
    training.register_trained_model(Ridge().fit(X, Y), "m", feature_importance={"old": 1.0})
    record = training.register_feature_importance("m", np.array([1.0, 3.0, 4.0]))
    assert [("volume", 0.5), ("close", 0.375), ("open", 0.125)] == list(record["feature_importance"].items())
    assert {"volume": 0.5, "close": 0.375, "open": 0.125} == registry.get_model_metadata("m")["feature_importance"]
    assert ["volume", "close", "open"] == list(training.get_feature_importance("m"))
    training.register_feature_importance("m", {"close": 2})
    assert {"close": 1.0} == training.get_feature_importance("m")
    assert {"b": 1.0, "a": 0.0} == training.register_feature_importance("m", [0, 1], ["a", "b"])["feature_importance"]


def test_steps_are_described_one_by_one() -> None:
    """Name, class, module and the step's own parameters; what a step is composed of stands in it."""
    union = FeatureUnion([("poly", PolynomialFeatures(2)), ("range", MinMaxScaler())])
    columns = ColumnTransformer([("prices", StandardScaler(), ["open", "close"]), ("rest", "passthrough", ["volume"])])
    vote = VotingRegressor([("ridge", Ridge(alpha=0.5)), ("line", LinearRegression())])
    pipeline = Pipeline([("columns", columns), ("union", union), ("nothing", "passthrough"), ("vote", vote)])
    for model in (pipeline, pipeline.fit(X, Y)):
        found = described(model)
        assert ["columns", "union", "nothing", "vote"] == [step["name"] for step in found]
        assert ["prices", "rest"] == [step["name"] for step in found[0]["steps"]]
        prices, ridge = found[0]["steps"][0], found[3]["steps"][0]
        assert "sklearn.preprocessing._data.StandardScaler" == prices["class"]
        assert "sklearn.preprocessing._data" == prices["module"]
        assert {"copy": True, "with_mean": True, "with_std": True} == prices["parameters"]
        assert ("ridge", 0.5) == (ridge["name"], ridge["parameters"]["alpha"])
        assert "passthrough" == found[2]["class"]
        assert "transformers" not in found[0]["parameters"]
        assert {"n_jobs", "weights", "verbose"} == set(found[3]["parameters"])


def test_models_around_models_are_followed() -> None:
    """Stacked, bagged, searched and calibrated models name what they stand on; a plain model has no steps."""
    stack = StackingRegressor([("ridge", Ridge())], final_estimator=LinearRegression())
    assert ["ridge", "final_estimator"] == [step["name"] for step in described(stack)]
    for around in (BaggingRegressor(Ridge()), GridSearchCV(Ridge(), {}), CalibratedClassifierCV(LogisticRegression())):
        [inner] = described(around)
        assert "estimator" == inner["name"]
    for plain in (Ridge(), RandomForestRegressor(3).fit(X, Y), {"a": 1}, None, "text", Pipeline):
        assert [] == described(plain)


def test_steps_are_replaced(training: ModelTrainerIntegration, registry: ModelRegistry) -> None:
    """A list of one's own, or what a model says; both take the place of what was there."""
    registry.register_model({"a": 1}, "m")
    record = training.register_pipeline_steps("m", scaled())
    assert ["scale", "model"] == [step["name"] for step in record["pipeline_steps"]]
    record = training.register_pipeline_steps("m", [{"name": "clean", "by": "hand"}, "fit"])
    assert [{"name": "clean", "by": "hand"}, "fit"] == record["pipeline_steps"]
    assert record["pipeline_steps"] == registry.get_model_metadata("m")["pipeline_steps"]


def test_dependencies_are_what_is_installed(training: ModelTrainerIntegration, registry: ModelRegistry) -> None:
    """Named distributions get their installed versions, a model those of its classes; what is not here is refused."""
    registry.register_model({"a": 1}, "m")
    record = training.register_dependencies("m", ["numpy", "click"])
    assert np.__version__ == record["dependencies"]["numpy"]
    assert "click" in record["dependencies"]
    assert "scikit-learn" in training.register_dependencies("m", Ridge())["dependencies"]
    assert "pandas" in training.register_dependencies("m", "pandas")["dependencies"]
    with pytest.raises(InvalidValueError, match="gone-library") as got:
        training.register_dependencies("m", ["gone-library"])
    assert "gone-library" in str(got.value.hint)
