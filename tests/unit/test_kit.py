"""The kit bites: a plugin that breaks a promise fails the test of that promise."""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from friday_store import ModelRegistry, SerializationError
from friday_store.default_plugins.formats import Json
from friday_store.hookspecs import Part, Safety, Search, Task, Trial
from friday_store.plugins import Plugins
from friday_store.testing import (
    SerializerTests,
    TargetTests,
    TrainerTests,
    TunerTests,
    arrays_by_name,
    journey,
    metadata,
    metrics,
    model_names,
    versions,
)
from friday_store.testing.serializers import assert_alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PLUGIN = """
import json
{top}

from friday_store.default_plugins.formats import Json
from friday_store.hookspecs import Part, Safety


class Form(Json):
    name = "kit"
    safety = "{safety}"
    requires = ("pluggy>=1",)

    def accepts(self, model):
        {accepts}
        return type(model).__module__ == "kit_framework"

    def dump(self, model):
        return [Part("json", json.dumps(model.words).encode())]

    def load(self, parts, format):
        import kit_framework

        if format > 1:
            from friday_store import SerializationError
            raise SerializationError("newer")
        return kit_framework.Model(json.loads(bytes(parts["json"])))

    def describe(self, parts):
        {describe}
        return {{"words": len(json.loads(bytes(parts["json"])))}}
"""
FRAMEWORK = """
class Model:
    def __init__(self, words):
        self.words = words
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that makes a suite over a plugin that was written to disk, with a framework beside it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "kit_framework.py").write_text(FRAMEWORK)

    def make(**lines: str) -> tuple[Any, Any]:
        given = {"top": "", "accepts": "pass", "describe": "pass", "safety": "data", **lines}
        (tmp_path / "kit_plugin.py").write_text(PLUGIN.format(**given))
        importlib.invalidate_caches()
        framework = importlib.import_module("kit_framework")

        class Suite(SerializerTests):
            serializer = importlib.import_module("kit_plugin").Form()
            frameworks = ("kit_framework",)

            def predict(self, model: Any) -> Any:
                return model.words

        return Suite(), framework.Model(["a", "b"])

    yield make
    for name in ("kit_plugin", "kit_framework"):
        sys.modules.pop(name, None)


def test_a_good_plugin_needs_its_framework_for_loading_alone(made: Any, tmp_path: Path) -> None:
    """One that imports its framework late passes, and what is missing is named."""
    suite, model = made()
    suite.test_without_the_framework(model, tmp_path)
    found = journey.bare(suite.serializer, ("kit_framework",), {"json": memoryview(b'["a"]')}, tmp_path / "again")
    assert ({"words": 1}, "pip install kit_framework") == (found.contents, found.hint)  # what it requires is there


@pytest.mark.parametrize("where", ["top", "accepts", "describe"])
@pytest.mark.parametrize("how", ["import kit_framework", "try: import kit_framework\n{0}except ImportError: pass"])
def test_an_early_import_is_caught(made: Any, tmp_path: Path, where: str, how: str) -> None:
    """A plugin that imports its framework at the top, to accept or to describe fails, also if it catches the error."""
    suite, model = made(**{where: how.format("" if where == "top" else " " * 8)})
    with pytest.raises(AssertionError):
        suite.test_without_the_framework(model, tmp_path)


def test_a_framework_without_requirements_is_caught() -> None:
    """Who names frameworks has to say what installs them."""

    class Suite(SerializerTests):
        serializer = Json()
        frameworks = ("json",)

    with pytest.raises(AssertionError, match="requires"):
        Suite().test_requires_what_is_installed()


def test_a_class_that_understates_its_safety_is_caught(tmp_path: Path) -> None:
    """The safety class decides what happens at somebody else's: the suite sees it there, and nowhere else."""
    suite = Travelling()
    suite.test_travels({"a": 1}, journey.own_plugins(suite.serializer), tmp_path)


class Travelling(SerializerTests):
    """A format of class code, which somebody else has to trust first."""

    class Guarded(Json):
        """JSON that says it could run code."""

        name = "guarded"
        safety: Safety = "code"

    serializer = Guarded()


class Drifting(Json):
    """A format in layout 3 whose layout 2 nobody kept."""

    name = "drifting"
    format = 3

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        """Read any layout the same way."""
        return json.loads(bytes(parts["json"]))


class Older(SerializerTests):
    """Layout 1 is there, and wrong."""

    serializer = Drifting()

    def older(self) -> dict[int, dict[str, bytes]]:
        """Return what layout 1 held."""
        return {1: {"json": b"[2]"}}


def test_a_forgotten_layout_is_caught() -> None:
    """Every layout that was ever released needs a sample, and it has to load as the model."""
    suite = Older()
    with pytest.raises(AssertionError, match="older"):
        suite.test_reads_older_layouts([1], journey.own_plugins(suite.serializer))


class Whole(Json):
    """A format that writes everything anew: one part, with what changes at the front."""

    name = "whole"

    def dump(self, model: Any) -> list[Part]:
        """Write one part."""
        return [Part("json", json.dumps(model).encode())]

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        """Refuse."""
        raise SerializationError("no file")


def test_versions_that_share_nothing_are_caught(tmp_path: Path) -> None:
    """A format that lays a big model out so that every byte moves fails, if the suite can change a model."""

    class Suite(SerializerTests):
        serializer = Whole()

        def changed(self, model: Any) -> Any:
            return [0.5, *model]

    model = [number / 7 for number in range(100_000)]
    with pytest.raises(AssertionError):
        Suite().test_versions_share_what_did_not_change(model, journey.own_plugins(Whole()), tmp_path)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_the_strategies_draw_can_be_stored(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Names, versions, metadata, metrics and arrays that are drawn are registered; arrays come back the same."""
    drawn: dict[str, Any] = {
        "model": data.draw(arrays_by_name()),
        "model_name": data.draw(model_names()),
        "model_version": data.draw(versions()),
        "metadata": data.draw(metadata()),
        "metrics": data.draw(metrics()),
    }
    with ModelRegistry(tmp_path_factory.mktemp("drawn"), plugins=Plugins(())) as registry:
        model_id = registry.register_model(**drawn)
        assert_alike(drawn["model"], registry.load_model(model_id))
        assert set(registry.get_model_metadata(model_id)["metrics"]) == set(drawn["metrics"])


class Careless:
    """A family that keeps one estimator for all, and takes any parameter."""

    name = "CARELESS"
    tasks: Sequence[Task] = ("regression",)

    def __init__(self) -> None:
        from sklearn.linear_model import SGDRegressor

        self.only = SGDRegressor()

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Return the only one, whose seed is the machine's."""
        return self.only

    def search_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return what the estimator does not take."""
        return {"alpha": (0.1,)}


@pytest.mark.parametrize(
    "promise",
    [
        "gives_a_new_estimator_each_time", "refuses_what_it_cannot_do", "every_value_to_try_can_be_tried",
        "equal_arguments_give_equal_models",
    ],
)  # fmt: skip
def test_a_careless_family_is_caught(promise: str) -> None:
    """A family that shares its estimator, ignores its arguments or its seed fails the test of that promise."""

    class Suite(TrainerTests):
        trainer = Careless()

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Suite(), f"test_{promise}")()


class Peeking:
    """A target that looks one bar further than it says, and whose naive forecast knows what comes."""

    name = "peeking"
    task: Task = "regression"
    baseline = "the mean"
    of_price = False

    def labels(self, bars: pd.DataFrame, horizon: int) -> pd.Series[Any]:
        """Return the return until a bar later than the horizon."""
        bars["seen"] = True
        return bars["close"].shift(-horizon - 1) / bars["close"] - 1

    def reach(self, horizon: int) -> int:
        """Return too little."""
        return horizon

    def naive(self, y: Any, horizon: int, close: Any) -> Any:
        """Return the mean of all."""
        return np.full(len(y), y.mean())


@pytest.mark.parametrize(
    "promise", ["reaches_no_further_than_it_says", "leaves_the_bars_alone", "its_naive_forecast_knows_no_later_label"]
)
def test_a_peeking_target_is_caught(promise: str) -> None:
    """A target that leaks the future, or changes what it is given, fails the test of that promise."""

    class Suite(TargetTests):
        target = Peeking()

    with pytest.raises(AssertionError):
        getattr(Suite(), f"test_{promise}")()


class Shuffling:
    """A tuner with folds of its own, drawn by chance, that fits what it was given."""

    name = "shuffling"

    def search(self, search: Search) -> list[Trial]:
        """Try one candidate that is not in the space, and another on shuffled rows."""
        rows = np.random.default_rng().permutation(len(search.features))
        fitted = search.estimator.set_params(height=int(rows[0]))
        fitted.fit(search.features.iloc[rows[:200]], search.labels.iloc[rows[:200]])
        score = search.scoring(fitted, search.features.iloc[rows[200:]], search.labels.iloc[rows[200:]])
        return [Trial({"height": int(rows[0])}, (score, score))]


@pytest.mark.parametrize(
    "promise",
    [
        "tries_what_is_in_the_space", "finds_the_best_where_it_may_try_everything",
        "trains_and_scores_on_the_folds_alone", "equal_searches_give_equal_trials", "leaves_what_it_is_given_alone",
    ],
)  # fmt: skip
def test_a_shuffling_tuner_is_caught(promise: str) -> None:
    """A tuner that draws rows, ignores the space or the seed, or fits what it was given fails that promise's test."""

    class Suite(TunerTests):
        tuner = Shuffling()

    with pytest.raises(AssertionError):
        getattr(Suite(), f"test_{promise}")()
