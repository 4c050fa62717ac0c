"""What every search for parameters promises, as tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from friday_store import default_plugins
from friday_store.hookspecs import Search, Trial, Tuner, hookimpl
from friday_store.market.trainer import MarketDataModelTrainer
from friday_store.market.tuning import find_tuner
from friday_store.plugins import Plugins

_ROWS: Final = 400
_SPACE: Final[Mapping[str, Sequence[Any]]] = {"height": (0, 1, 3, 7), "colour": ("red", None, "green")}
_BEST: Final = {"height": 3, "colour": None}


class _Log(list[tuple[str, tuple[int, ...]]]):
    """What was seen; copies of an estimator share it."""

    def __deepcopy__(self, memo: Any) -> _Log:
        return self


class Watched(RegressorMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """An estimator that notes which rows it is fitted on; it scores best at one place of the space.

    Args:
        height: Best at 3.
        colour: Best at None.
        log: Where the rows go.
    """

    def __init__(self, height: int = 0, colour: str | None = "red", log: Any = None) -> None:
        self.height = height
        self.colour = colour
        self.log = log

    def fit(self, features: Any, labels: Any) -> Watched:
        """Note the rows."""
        assert list(features.index) == list(labels.index)
        self.log.append(("fit", tuple(features.index)))
        self.fitted_ = True
        return self


def _scoring(fitted: Watched, features: Any, labels: Any) -> float:
    assert list(features.index) == list(labels.index)
    fitted.log.append(("score", tuple(features.index)))
    return float(-abs(fitted.height - _BEST["height"]) - 2.0 * (fitted.colour is not None))  # type: ignore[operator]


class TunerTests:
    """Subclass it and set ``tuner``.

    Attributes:
        tuner: The search under test.
    """

    tuner: Tuner

    def asked(self, *, seed: int = 1, trials: int = 50) -> Search:
        """Return a search over a small space, on two folds forward in time with a gap of three rows."""
        features = pd.DataFrame({"x": np.arange(_ROWS, dtype="float64")})
        folds = [(np.arange(197), np.arange(200, 300)), (np.arange(297), np.arange(300, 400))]
        estimator = Watched(log=_Log())
        return Search(estimator, _SPACE, features, features["x"], folds, _scoring, seed, trials)

    @pytest.fixture
    def plugins(self) -> Plugins:
        """Return the built-in searches and this one."""
        if self.tuner.name in {built_in.name for built_in in default_plugins.register_tuners()}:
            return Plugins(())
        return Plugins((), extra={"mine": SimpleNamespace(register_tuners=hookimpl(lambda: [self.tuner]))})

    def test_describes_itself(self) -> None:
        """A tuner has a lower-case word that is none of those taken for "no search"."""
        assert isinstance(self.tuner, Tuner)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", self.tuner.name)
        assert self.tuner.name != "none"

    def test_is_found_by_its_word(self, plugins: Plugins) -> None:
        """The search is the one that its word leads to."""
        assert type(self.tuner) is type(find_tuner(self.tuner.name, plugins))

    def test_tries_what_is_in_the_space(self) -> None:
        """Every trial has a value of the space for each parameter, and a finite score for each fold."""
        asked = self.asked()
        tried = list(self.tuner.search(asked))
        assert any(trial.complete for trial in tried)
        for trial in tried:
            assert isinstance(trial, Trial)
            assert set(trial.params) == set(_SPACE)
            assert all(value in _SPACE[name] for name, value in trial.params.items())
            assert len(trial.scores) == len(asked.folds)
            assert np.isfinite(trial.scores).all()

    def test_finds_the_best_where_it_may_try_everything(self) -> None:
        """With more trials than there are candidates, the best complete trial is the best of the space."""
        complete = [trial for trial in self.tuner.search(self.asked()) if trial.complete]
        assert dict(max(complete, key=lambda trial: float(np.mean(trial.scores))).params) == _BEST

    def test_trains_and_scores_on_the_folds_alone(self) -> None:
        """No fit sees a row outside of a fold's training rows, and no score one outside of its test rows.

        Both rows of the gap and the newer half of a split by chance would be a leak.
        """
        asked = self.asked()
        list(self.tuner.search(asked))
        train, test = [set(each[0]) for each in asked.folds], [set(each[1]) for each in asked.folds]
        assert asked.estimator.log
        fold = None
        for what, rows in asked.estimator.log:
            if what == "fit":
                fold = next((place for place, allowed in enumerate(train) if set(rows) <= allowed), None)
                assert fold is not None, "a fit saw rows that no fold trains on"
                assert list(rows) == sorted(rows), "rows were fitted out of order"
            else:
                assert set(rows) in test, "a score was not of a fold's test rows"
                assert fold is not None
                assert fold <= test.index(set(rows)), "a score was of rows before those that were fitted"

    def test_equal_searches_give_equal_trials(self) -> None:
        """The seed decides whatever is drawn."""
        assert list(self.tuner.search(self.asked(seed=4))) == list(self.tuner.search(self.asked(seed=4)))

    def test_leaves_what_it_is_given_alone(self) -> None:
        """The estimator stays unfitted and as it was, and so do features and labels."""
        asked = self.asked()
        list(self.tuner.search(asked))
        assert not hasattr(asked.estimator, "fitted_")
        assert (asked.estimator.height, asked.estimator.colour) == (0, "red")
        assert list(asked.features["x"]) == list(range(_ROWS)) == list(asked.labels)

    def test_tunes_market_models_by_its_word(self, plugins: Plugins, tmp_path: Path) -> None:
        """Both tasks are searched through the trainer, and the record has what was tried and how many it was."""
        draw = np.random.default_rng(3)
        close = 100 * np.exp(np.cumsum(draw.normal(0, 0.01, _ROWS)))
        frame = pd.DataFrame({"close": close, "a": draw.normal(size=_ROWS), "b": draw.normal(size=_ROWS)})
        frame.index = pd.date_range("2024-01-01", periods=_ROWS, name="date")
        trainer = MarketDataModelTrainer(tmp_path, use_model_registry=False, trials=4, plugins=plugins)
        for target, family in (("return", "ridge"), ("price_direction", "logistic")):
            x, y = trainer.prepare_features_and_target(frame, target, 2)
            estimator, evaluation = trainer.train_model(x, y, family, self.tuner.name)
            record = evaluation.search
            assert record["strategy"] == self.tuner.name
            assert record["configurations"] == len({repr(sorted(each["params"].items())) for each in record["tried"]})
            assert record["params"].items() <= estimator.get_params().items()
