"""The format ``xgboost`` keeps what every format promises, and is XGBoost's own."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from friday_store import ModelRegistry, SerializationError
from friday_store.plugins import Plugins
from friday_store.testing import SerializerTests
from friday_store_xgboost import Xgboost

RANDOM = np.random.default_rng(11)
X = RANDOM.random((300, 6))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)


class _OfEstimators(SerializerTests):
    serializer = Xgboost()

    def predict(self, model: Any) -> Any:
        """Class, parameters, attributes of the booster, and predictions."""
        chances = model.predict_proba(X) if hasattr(model, "predict_proba") else None
        return (
            type(model).__name__,
            repr(model.get_params()),
            model.get_booster().attributes(),
            model.predict(X),
            chances,
        )


class TestClassifier(_OfEstimators):
    """A classifier."""

    @pytest.fixture
    def model(self) -> Any:
        """Three classes, and parameters of every kind."""
        return xgboost.XGBClassifier(
            n_estimators=12,
            max_depth=3,
            learning_rate=0.25,
            random_state=3,
            n_jobs=1,
            eval_metric=["mlogloss"],
        ).fit(X, Y + (X[:, 2] > 0.7))


class TestRegressor(_OfEstimators):
    """A regressor."""

    @pytest.fixture
    def model(self) -> Any:
        """With missing values and column names."""
        import pandas as pd

        frame = pd.DataFrame(X, columns=list("abcdef")).mask(X > 0.9)
        return xgboost.XGBRegressor(n_estimators=8, subsample=0.8, random_state=1, n_jobs=1).fit(frame, X.sum(axis=1))

    def predict(self, model: Any) -> Any:
        """The same, by a frame."""
        import pandas as pd

        frame = pd.DataFrame(X, columns=list("abcdef")).mask(X > 0.9)
        return type(model).__name__, repr(model.get_params()), list(model.feature_names_in_), model.predict(frame)


class TestForest(_OfEstimators):
    """A random forest."""

    @pytest.fixture
    def model(self) -> Any:
        """Of classes."""
        return xgboost.XGBRFClassifier(n_estimators=10, random_state=1, n_jobs=1).fit(X, Y)


class TestBooster(SerializerTests):
    """A bare booster, of the DART kind."""

    serializer = Xgboost()

    @pytest.fixture
    def model(self) -> Any:
        """A booster with an attribute of its own."""
        booster = xgboost.train(
            {"booster": "dart", "rate_drop": 0.2, "nthread": 1}, xgboost.DMatrix(X, Y), num_boost_round=5
        )
        booster.set_attr(note="mine")
        return booster

    def predict(self, model: Any) -> Any:
        """Attributes and predictions."""
        return model.attributes(), model.predict(xgboost.DMatrix(X))


def test_a_file_of_xgboost_comes_back_as_what_it_was(tmp_path: Path) -> None:
    """A file of ``save_model``, in both of its formats, is registered without loading it, or as what it says."""
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(X, Y)
    for name in ("m.ubj", "m.json"):
        model.save_model(tmp_path / name)
        data = memoryview((tmp_path / name).read_bytes())
        parts = {part.name: memoryview(bytearray(part.view())) for part in Xgboost().from_file(data)}
        found = Xgboost().load(parts, 1)
        assert type(found) is xgboost.XGBClassifier
        np.testing.assert_array_equal(model.predict_proba(X), found.predict_proba(X))
    described = Xgboost().describe(parts)
    assert {"class": "XGBClassifier", "booster": "gbtree", "trees": "5", "features": "6"}.items() <= described.items()


def test_xgboost_reads_our_file(tmp_path: Path) -> None:
    """What ``get`` writes is a model file of XGBoost."""
    model = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(X, Y)
    parts = {part.name: part.view() for part in Xgboost().dump(model)}
    (tmp_path / "m.ubj").write_bytes(b"".join(Xgboost().to_file(parts)))
    found = xgboost.XGBRegressor()
    found.load_model(tmp_path / "m.ubj")
    np.testing.assert_array_equal(model.predict(X), found.predict(X))


def test_storing_changes_nothing() -> None:
    """The booster has no attribute more than before."""
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y)
    before = model.get_booster().attributes()
    Xgboost().dump(model)
    assert before == model.get_booster().attributes()


def test_parameters_of_numpy() -> None:
    """A parameter that came from a search as a NumPy number comes back as the number."""
    model = xgboost.XGBRegressor(n_estimators=2, n_jobs=1, reg_alpha=np.float32(0.5)).fit(X, Y)
    parts = {part.name: memoryview(bytearray(part.view())) for part in Xgboost().dump(model)}
    assert 0.5 == Xgboost().load(parts, 1).reg_alpha


def test_what_it_cannot_hold() -> None:
    """A parameter that is code is named; an estimator that was not fitted is refused."""

    def objective(y: Any, forecast: Any) -> Any:
        return forecast - y, np.ones_like(y)

    with pytest.raises(SerializationError, match="'objective' is a function"):
        Xgboost().dump(xgboost.XGBRegressor(n_estimators=2, objective=objective).fit(X, Y))
    with pytest.raises(SerializationError, match="not fitted"):
        Xgboost().dump(xgboost.XGBRegressor())


def test_versions_share_their_trees(tmp_path: Path) -> None:
    """A booster that goes on from an earlier one shares the trees of that one."""
    data = xgboost.DMatrix(RANDOM.random((3000, 10)), RANDOM.random(3000))
    params = {"max_depth": 8, "seed": 1, "nthread": 1}
    first = xgboost.train(params, data, num_boost_round=60)
    second = xgboost.train(params, data, num_boost_round=4, xgb_model=first)
    registry = ModelRegistry(tmp_path, plugins=Plugins(["xgboost"]))
    sizes = []
    for booster in (first, second):
        registry.register_model(booster, "boosted")
        sizes.append(sum(file.stat().st_size for file in tmp_path.rglob("*.pack")))
    assert sizes[1] - sizes[0] < 0.2 * sizes[0]
    np.testing.assert_array_equal(second.predict(data), registry.load_model("boosted").predict(data))


@pytest.mark.parametrize("place", range(0, 2000, 37))
def test_a_changed_byte_is_an_error_of_ours_or_harmless(place: int) -> None:
    """The parts of a damaged document are refused by the check, or are a document still; nothing else is raised."""
    model = xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, Y), num_boost_round=3)
    data = bytearray(b"".join(part.view() for part in Xgboost().dump(model)))
    data[place % len(data)] ^= 0x55
    with contextlib.suppress(SerializationError):
        Xgboost().check({"model/0": memoryview(data)})
