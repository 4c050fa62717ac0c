"""On random walks nothing is found, and the same statistic finds every way to let the future in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsRegressor

from friday_store.market import MarketDataModelTrainer, WalkForwardSplit
from friday_store.market.evaluation import score_direction
from friday_store.market.features import prepare_ohlcv
from friday_store.market.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Folds = Iterable[tuple[Any, Any]]

SEEDS = range(20)
HORIZON = 10
ROWS = 300


def error_of(skills: list[float]) -> float:
    """Return the mean skill in standard errors; what nothing was found in stays within 3."""
    return float(np.mean(skills) / (np.std(skills, ddof=1) / math.sqrt(len(skills))))


def walk(seed: int, common: int | None = None, rows: int = ROWS) -> pd.Series[Any]:
    """Return a random walk of prices; with ``common`` nearly all of its steps are those of all walks of that seed."""
    steps = np.random.default_rng(seed).normal(0, 0.01, rows)
    if common is not None:
        steps = np.random.default_rng(common).normal(0, 0.01, rows) + 0.2 * steps
    return pd.Series(100 * np.exp(np.cumsum(steps)), index=pd.date_range("2020-01-01", periods=rows, name="date"))


def one(seed: int) -> Samples:
    """Return the direction of a walk, and as its only feature the time: whoever knows a neighbour's label has it."""
    return Samples.of_data(clocked(walk(seed)), "price_direction", HORIZON)


def many(seed: int) -> Samples:
    """Return the same of a panel of three walks that mostly move together."""
    data = {f"S{number}": clocked(walk(100 * seed + number, 10_000 + seed)) for number in range(3)}
    return Samples.of_panel(data, "price_direction", HORIZON)


def clocked(close: pd.Series[Any]) -> pd.DataFrame:
    """Return prices with the number of their row."""
    return close.to_frame("close").assign(clock=np.arange(len(close), dtype="float64"))


def stacked(samples: Samples) -> tuple[Samples, Folds]:
    """Return a panel symbol after symbol, and folds by row with a gap, as if it were one series."""
    order = np.argsort(samples.labels.index.get_level_values(1), kind="stable")
    rows = Samples(samples.features.iloc[order], samples.labels.iloc[order], samples.definition, samples.horizon)
    return rows, TimeSeriesSplit(5, gap=HORIZON).split(np.zeros((len(rows), 1)))


def skill(samples: Samples, folds: Folds) -> float:
    """Return the skill of the nearest neighbour over the test rows of all folds."""
    x, y = samples.features.to_numpy(), samples.labels.to_numpy()
    tested, said = [], []
    for train, test in folds:
        said.append(KNeighborsRegressor(1).fit(x[train], y[train]).predict(x[test]))
        tested.append(y[test])
    metrics = score_direction(np.concatenate(tested), np.concatenate(said), 1).metrics
    return metrics["skill_balanced_accuracy"]


def forward(samples: Samples, horizon: int = HORIZON) -> tuple[Samples, Folds]:
    """Return the samples and folds with test parts shorter than a label's window."""
    return samples, WalkForwardSplit(25, horizon, test_size=5).split(samples.features)


@pytest.mark.parametrize(
    ("make", "leaks"),
    [
        pytest.param(lambda seed: forward(one(seed)), False, id="one symbol"),
        pytest.param(lambda seed: forward(many(seed)), False, id="a panel"),
        pytest.param(lambda seed: forward(one(seed), 1), True, id="a gap that is too short"),
        pytest.param(lambda seed: forward(many(seed), 1), True, id="the same of a panel"),
        pytest.param(
            lambda seed: (one(seed), KFold(5, shuffle=True, random_state=0).split(one(seed).features)),
            True,
            id="shuffled rows",
        ),
        pytest.param(lambda seed: stacked(many(seed)), True, id="stacked symbols"),
    ],
)
def test_nothing_is_found_in_random_walks_and_every_leak_is(
    make: Callable[[int], tuple[Samples, Folds]], leaks: bool
) -> None:
    """Over 20 seeds the skill is zero within its error, unless rows are shuffled, not purged or stacked."""
    found = error_of([skill(*make(seed)) for seed in SEEDS])
    assert leaks == (found > 5), found
    assert leaks or abs(found) < 3, found


@pytest.mark.parametrize(
    ("target", "family", "metrics"),
    [
        ("price_direction", "logistic", ("skill", "skill_balanced_accuracy", "mcc", "skill_roc_auc")),
        ("return", "ridge", ("rank_ic", "skill_hit_rate")),
    ],
)
def test_a_model_of_the_usual_features_has_no_skill_either(target: str, family: str, metrics: tuple[str, ...]) -> None:
    """Over 20 walks each score is as good as naive within its error; squared errors are worse, never better."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    found = []
    for seed in SEEDS:
        close = walk(seed, rows=500)
        bars = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1.0})
        x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars), target)
        found.append(trainer.train_model(x, y, family)[1].metrics)
    for name in metrics:
        assert abs(error_of([one[name] for one in found])) < 3, name
    worse = "skill_brier" if family == "logistic" else "skill"
    assert error_of([one[worse] for one in found]) < 2
