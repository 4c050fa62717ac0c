"""The tuner ``optuna`` keeps to the folds and the seed, and market models are searched by it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from friday_store import MarketDataModelTrainer
from friday_store.hookspecs import Search, Trial
from friday_store.plugins import Plugins
from friday_store.testing import TunerTests
from friday_store_optuna import Optuna

SPACE = {"height": tuple(range(12)), "colour": ("red", "green", None), "slope": (0.001, 0.01, 0.1, 1.0)}
ROWS = 60


class Hill(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Its score is best at one place of the space, and it remembers which rows it was shown.

    Args:
        height: Best at 7.
        colour: Best at green.
        slope: Best at 0.1.
        seen: Where the rows of every fit and score go.
    """

    def __init__(self, height: int = 0, colour: str | None = "red", slope: float = 1.0, seen: Any = None) -> None:
        self.height = height
        self.colour = colour
        self.slope = slope
        self.seen = seen

    def fit(self, features: Any, labels: Any) -> Hill:
        """Note the rows."""
        assert list(features.index) == list(labels.index)
        SEEN.append(("fit", tuple(features.index)))
        return self


SEEN: list[tuple[str, tuple[int, ...]]] = []


def scoring(fitted: Hill, features: Any, labels: Any) -> float:
    """Return how near the best place is."""
    assert list(features.index) == list(labels.index)
    SEEN.append(("score", tuple(features.index)))
    return float(-abs(fitted.height - 7) - 3.0 * (fitted.colour != "green") - abs(np.log10(fitted.slope) + 1))


def asked(*, seed: int = 1, trials: int = 30, space: Any = None) -> Search:
    """Return what the trainer would ask for, on two folds with a gap of three rows."""
    features = pd.DataFrame({"x": np.arange(ROWS)})
    folds = [(np.arange(17), np.arange(20, 40)), (np.arange(37), np.arange(40, 60))]
    return Search(Hill(), space or SPACE, features, features["x"], folds, scoring, seed, trials)


def found(**options: Any) -> list[Trial]:
    """Return the trials of a search."""
    return list(Optuna().search(asked(**options)))


def test_it_finds_the_hill() -> None:
    """In a fifth of the space the best candidate is at the top or beside it, and better than the median."""
    trials = found()
    scores = [float(np.mean(trial.scores)) for trial in trials]
    assert 30 == len(trials)
    assert max(scores) >= -1
    assert np.mean(scores[15:]) > np.mean(scores[:10]), "it does not learn from what it tried"


def test_every_candidate_is_tried_once() -> None:
    """No candidate is trained twice, a small space is tried whole, and the search ends."""
    trials = found()
    assert len(trials) == len({repr(trial.params) for trial in trials})
    small = found(space={"height": (6, 7), "colour": ("green", "red")}, trials=50)
    assert {(6, "green"), (6, "red"), (7, "green"), (7, "red")} == {tuple(trial.params.values()) for trial in small}
    assert [{"height": 7}] == [trial.params for trial in found(space={"height": (7,)})]


def test_equal_searches_give_equal_trials() -> None:
    """The seed decides every candidate; another seed tries others."""
    assert found(seed=4) == found(seed=4)
    assert found(seed=4) != found(seed=5)


def test_it_trains_and_scores_on_the_folds_alone() -> None:
    """Rows of the gap are not seen, and no fit sees a row of its test part."""
    SEEN.clear()
    found(trials=3)
    expected = [
        ("fit", tuple(range(17))),
        ("score", tuple(range(20, 40))),
        ("fit", tuple(range(37))),
        ("score", tuple(range(40, 60))),
    ]
    assert expected * 3 == SEEN


def test_it_is_silent_and_leaves_optuna_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, and how much Optuna says elsewhere stays as it was."""
    import optuna

    before = optuna.logging.get_verbosity()
    found(trials=3)
    assert ("", "") == tuple(capfd.readouterr())
    assert before == optuna.logging.get_verbosity()


def test_importing_it_imports_no_optuna() -> None:
    """Optuna is imported when a search begins."""
    code = "import sys, friday_store_optuna as it; it.register_tuners(); sys.exit('optuna' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_market_model_is_tuned_by_its_word() -> None:
    """``tune_hyperparams="optuna"``: the record has every candidate, their number, the gap, and the best is used."""
    random = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, 400)))
    frame = pd.DataFrame({"close": close, "a": random.normal(size=400), "b": random.normal(size=400)})
    frame.index = pd.date_range("2024-01-01", periods=400, name="date")
    records = []
    for _ in range(2):
        trainer = MarketDataModelTrainer(
            use_model_registry=False, random_state=3, trials=4, plugins=Plugins(["optuna"])
        )
        x, y = trainer.prepare_features_and_target(frame, "return", 2)
        estimator, evaluation = trainer.train_model(x, y, "hist_gradient_boosting", tune_hyperparams="optuna")
        records.append(evaluation.search)
    record = records[0]
    assert records[0] == records[1]
    assert ("optuna", 2, 4, 4) == (record["strategy"], record["gap"], record["configurations"], len(record["tried"]))
    assert max(record["tried"], key=lambda trial: trial["mean"])["params"] == record["params"]
    assert record["params"].items() <= estimator.get_params().items()


class TestKit(TunerTests):
    """What every tuner promises."""

    tuner = Optuna()
