"""The format ``lightgbm`` keeps what every format promises, and is LightGBM's own."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from friday_store import ModelRegistry, SerializationError
from friday_store.plugins import Plugins
from friday_store.testing import SerializerTests
from friday_store_lightgbm import Lightgbm

RANDOM = np.random.default_rng(13)
X = RANDOM.random((400, 5))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
QUIET: dict[str, Any] = {"verbose": -1, "n_jobs": 1, "random_state": 2}
SMALL: dict[str, Any] = {"verbose": -1, "num_threads": 1}


class _OfEstimators(SerializerTests):
    serializer = Lightgbm()
    has_file = False  # LightGBM's file says nothing of an estimator

    def predict(self, model: Any) -> Any:
        """Class, parameters, what the fit found out, and predictions."""
        said = [type(model).__name__, repr(model.get_params()), model.n_features_in_, model.best_iteration_]
        if hasattr(model, "predict_proba"):
            said += [model.classes_, model.predict_proba(X)]
        return [*said, model.feature_importances_, model.predict(X)]


class TestTexts(_OfEstimators):
    """A classifier of three classes with names, whose training stopped early."""

    @pytest.fixture
    def model(self) -> Any:
        """Two thirds to train on, the last third in order of time to stop by."""
        names = np.array(["down", "flat", "up"])[Y + (X[:, 2] > 0.7)]
        model = lightgbm.LGBMClassifier(n_estimators=60, num_leaves=5, **QUIET)
        stop = lightgbm.early_stopping(3, verbose=False)
        with warnings.catch_warnings(action="ignore"):  # what replaces eval_set in 4.7 takes no names of classes
            return model.fit(X[:260], names[:260], eval_set=[(X[260:], names[260:])], callbacks=[stop])


class TestNumbers(_OfEstimators):
    """A classifier of two classes that are numbers, with weights by class."""

    @pytest.fixture
    def model(self) -> Any:
        """Balanced."""
        return lightgbm.LGBMClassifier(n_estimators=5, class_weight="balanced", **QUIET).fit(X, Y * 2 - 1)


class TestRegressor(_OfEstimators):
    """A regressor."""

    @pytest.fixture
    def model(self) -> Any:
        """Of a sum."""
        return lightgbm.LGBMRegressor(n_estimators=5, **QUIET).fit(X, X.sum(axis=1))


class TestBooster(SerializerTests):
    """A bare booster, with a categorical column."""

    serializer = Lightgbm()

    @pytest.fixture
    def model(self) -> Any:
        """Trained on a frame with categories."""
        return lightgbm.train(SMALL, lightgbm.Dataset(_frame(), Y), num_boost_round=4)

    def predict(self, model: Any) -> Any:
        """Names, categories and predictions."""
        return model.feature_name(), model.pandas_categorical, model.predict(_frame())


def _frame() -> Any:
    import pandas as pd

    return pd.DataFrame({"a": X[:, 0], "c": pd.Categorical(np.array(["x", "y"])[Y])})


def test_files_of_lightgbm(tmp_path: Path) -> None:
    """LightGBM reads what ``get`` writes, and its own file is registered without loading it."""
    model = lightgbm.LGBMClassifier(n_estimators=4, **QUIET).fit(X, Y)
    chances: Any = model.predict_proba(X)
    expected = chances[:, 1]
    parts = {part.name: part.view() for part in Lightgbm().dump(model)}
    (tmp_path / "ours.txt").write_bytes(b"".join(Lightgbm().to_file(parts)))
    np.testing.assert_array_equal(expected, lightgbm.Booster(model_file=tmp_path / "ours.txt").predict(X))
    model.booster_.save_model(tmp_path / "theirs.txt")
    read = Lightgbm().from_file(memoryview((tmp_path / "theirs.txt").read_bytes()))
    found = Lightgbm().load({part.name: part.view() for part in read}, 1)
    np.testing.assert_array_equal(expected, found.predict(X))
    assert {"trees": 4, "features": 5, "class": "LGBMClassifier"}.items() <= Lightgbm().describe(parts).items()


def test_the_text_is_the_same_however_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a system has no files in memory, the parts are the same bytes; nothing is left open."""
    model = lightgbm.train(SMALL, lightgbm.Dataset(_frame(), Y), num_boost_round=4)
    files = Path("/proc/self/fd")
    opened = len(list(files.iterdir())) if files.is_dir() else 0
    found = [bytes(part.view()) for part in Lightgbm().dump(model)]
    assert opened == (len(list(files.iterdir())) if opened else 0)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert found == [bytes(part.view()) for part in Lightgbm().dump(model)]


def test_what_it_cannot_hold() -> None:
    """A parameter that is code is named; an estimator that was not fitted is refused."""

    def objective(y: Any, forecast: Any) -> Any:
        return forecast - y, np.ones_like(y)

    with pytest.raises(SerializationError, match="'objective' is a function"):
        Lightgbm().dump(lightgbm.LGBMRegressor(n_estimators=2, objective=objective, **QUIET).fit(X, Y))
    with pytest.raises(SerializationError, match="not fitted"):
        Lightgbm().dump(lightgbm.LGBMRegressor())


def test_versions_share_their_trees(tmp_path: Path) -> None:
    """A booster that goes on from an earlier one shares the trees of that one."""
    rows: Any = RANDOM.random((2000, 8))
    data = lightgbm.Dataset(rows, RANDOM.random(2000), free_raw_data=False)
    params = {"num_leaves": 63, **SMALL}
    first = lightgbm.train(params, data, num_boost_round=60)
    second = lightgbm.train(params, data, num_boost_round=4, init_model=first)
    registry = ModelRegistry(tmp_path, plugins=Plugins(["lightgbm"]))
    sizes = []
    for booster in (first, second):
        registry.register_model(booster, "boosted")
        sizes.append(sum(file.stat().st_size for file in tmp_path.rglob("*.pack")))
    assert sizes[1] - sizes[0] < 0.25 * sizes[0]
    np.testing.assert_array_equal(second.predict(rows), registry.load_model("boosted").predict(rows))


@pytest.fixture(scope="module")
def text() -> bytes:
    """A small model, as LightGBM writes it."""
    found: str = lightgbm.train(SMALL, lightgbm.Dataset(X, Y), num_boost_round=3).model_to_string()
    return found.encode()


@pytest.mark.parametrize("kept", np.linspace(0.02, 0.999, 40))
def test_no_cut_text_is_taken_for_whole(kept: float, text: bytes) -> None:
    """A text that was cut anywhere is refused before LightGBM reads it."""
    with pytest.raises(SerializationError):
        Lightgbm().from_file(memoryview(text)[: int(len(text) * kept)])


@pytest.mark.parametrize("place", range(0, 3000, 61))
def test_a_changed_byte(place: int, text: bytes) -> None:
    """A damaged text is refused by the check, or is a text of the same structure still; nothing else is raised."""
    damaged = bytearray(text)
    damaged[place % len(text)] ^= 0x15
    with contextlib.suppress(SerializationError):
        Lightgbm().from_file(memoryview(damaged))
