"""What every family of estimators promises, as tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from friday_store import default_plugins
from friday_store.errors import InvalidValueError
from friday_store.hookspecs import Task, Trainer, Wide, hookimpl
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TASKS: Final[tuple[Task, ...]] = ("regression", "classification")
_ROWS: Final = 240
_SEED: Final = 7


class TrainerTests:
    """Subclass it and set ``trainer``.

    Attributes:
        trainer: The family under test.
        format: The format that its models are stored in; None lets the model decide.
    """

    trainer: Trainer
    format: str | None = None

    def params(self, task: Task) -> Mapping[str, Any]:  # noqa: ARG002 - for those that differ by task
        """Return parameters that make a fit quick, as ``estimator`` takes them; by default none."""
        return {}

    @pytest.fixture(autouse=True)
    def own_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep trust and caches of the tests apart from those of whoever runs them."""
        monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "home"))

    @pytest.fixture
    def plugins(self) -> Plugins:
        """Return the built-in families and this one."""
        name = self.trainer.name
        if name in {built_in.name for built_in in default_plugins.register_trainers()}:
            return Plugins(())
        return Plugins((), extra={"mine": SimpleNamespace(register_trainers=hookimpl(lambda: [self.trainer]))})

    def test_describes_itself(self) -> None:
        """A family has an upper-case name and does at least one task, each once."""
        assert isinstance(self.trainer, Trainer)
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", self.trainer.name)
        assert self.trainer.tasks
        assert len(set(self.trainer.tasks)) == len(self.trainer.tasks)
        assert set(self.trainer.tasks) <= set(_TASKS)

    def test_is_found_by_its_name(self, plugins: Plugins) -> None:
        """The family is the one that its name leads to."""
        assert type(self.trainer) is type(plugins.trainer(self.trainer.name))

    def test_gives_a_new_estimator_each_time(self) -> None:
        """Estimators are unfitted, share nothing, and say their parameters as scikit-learn's do."""
        for task in self.trainer.tasks:
            one, other = (self._new(task) for _ in range(2))
            assert one is not other
            assert repr(one.get_params()) == repr(other.get_params())
            assert not [name for name in vars(one) if name.endswith("_") and not name.startswith("_")]

    def test_refuses_what_it_cannot_do(self) -> None:
        """A task that the family does not name, and a parameter that is none, are refused by name."""
        for task in _TASKS:
            if task not in self.trainer.tasks:
                with pytest.raises(InvalidValueError):
                    self.trainer.estimator(task, seed=0, params={})
            else:
                with pytest.raises(InvalidValueError, match="no_such_parameter"):
                    self.trainer.estimator(task, seed=0, params={"no_such_parameter": 1})

    def test_every_value_to_try_can_be_tried(self) -> None:
        """A search space, and the wide one if any, names parameters of the estimator and values that it takes."""
        for task in self.trainer.tasks:
            wide = self.trainer.wide_space(task) if isinstance(self.trainer, Wide) else {}
            for name, values in (*self.trainer.search_space(task).items(), *wide.items()):
                assert values
                for value in values:
                    found = self.trainer.estimator(task, seed=0, params={**self.params(task), name: value})
                    assert found.get_params()[name] == value

    def test_equal_arguments_give_equal_models(self) -> None:
        """The same seed and data give the same predictions, bit for bit."""
        for task, features, labels in self._samples():
            one, other = (self._new(task).fit(features, labels).predict(features) for _ in range(2))
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()

    def test_predicts_what_was_asked_for(self) -> None:
        """Regressions are finite numbers; classifications are labels, and probabilities that add up to one."""
        for task, features, labels in self._samples():
            model = self._new(task).fit(features, labels)
            found = np.asarray(model.predict(features))
            assert found.shape == labels.shape
            if task == "regression":
                assert np.isfinite(found).all()
                assert np.corrcoef(found, labels)[0, 1] > 0, "learnt nothing from data that hold a plain signal"
            else:
                assert set(found.tolist()) <= set(labels.tolist())
                chances = np.asarray(model.predict_proba(features))
                assert chances.shape == (len(labels), 2)
                assert np.allclose(chances.sum(axis=1), 1)
                assert (found == labels).mean() > 0.5

    def test_leaves_the_data_alone(self) -> None:
        """Fitting and predicting change nothing in what they are given."""
        for task, features, labels in self._samples():
            before = features.copy(), labels.copy()
            self._new(task).fit(features, labels).predict(features)
            assert np.array_equal(before[0], features)
            assert np.array_equal(before[1], labels)

    def test_its_models_can_be_registered(self, plugins: Plugins, tmp_path: Path) -> None:
        """A fitted model is stored and loads as one that predicts the same."""
        with ModelRegistry(tmp_path / "registry", plugins=plugins) as registry:
            for task, features, labels in self._samples():
                model = self._new(task).fit(features, labels)
                registry.register_model(model, task, serializer=self.format)
                again = registry.load_model(task).predict(features)
                assert np.asarray(model.predict(features)).tobytes() == np.asarray(again).tobytes()

    def _new(self, task: Task) -> Any:
        return self.trainer.estimator(task, seed=_SEED, params=self.params(task))

    def _samples(self) -> Iterator[tuple[Task, NDArray[Any], NDArray[Any]]]:
        """Yield each task with features and labels in which two of four columns say what comes."""
        draw = np.random.default_rng(_SEED)
        features = draw.standard_normal((_ROWS, 4))
        signal = features @ np.array([1.0, -1.0, 0.0, 0.0]) + 0.3 * draw.standard_normal(_ROWS)
        labels: Mapping[Task, NDArray[Any]] = {"regression": signal, "classification": (signal > 0).astype(np.int64)}
        for task in self.trainer.tasks:
            yield task, features.copy(), labels[task].copy()
