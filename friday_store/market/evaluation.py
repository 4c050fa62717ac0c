"""Chronological hold-out with a purge gap, and scores against a naive forecast on the same rows.

The test part is the newest rows. Between it and the training part lie ``gap`` rows that belong to neither: with a gap
of the horizon, the newest price in a training label is older than the first test row (M. López de Prado, *Advances in
Financial Machine Learning*, 2018, chapter 7).

Each target says what its naive forecast is; :mod:`friday_store.default_plugins.targets` has those of the built-in ones.
``skill`` is the part of the naive forecast's error that the model takes away: 1 is perfect, 0 is as good as naive,
below 0 is worse. A score that is not defined on these rows is NaN, and its reason stands in ``undefined``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from friday_store.errors import InvalidValueError
from friday_store.market.targets import find_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from friday_store.hookspecs import Target
    from friday_store.market.targets import PredictionTarget

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Metrics of one model on its test rows.

    Attributes:
        metrics: Every metric of the task, by name; NaN where it is not defined.
        undefined: For each metric that is NaN, why.
    """

    metrics: Mapping[str, float]
    undefined: Mapping[str, str]


@dataclass(frozen=True)
class Evaluation:
    """How one model was trained and how it did on rows that it had not seen.

    Attributes:
        metrics: Scores on the test rows.
        undefined: For each metric that is NaN, why.
        baseline: What the naive forecast was.
        split: Rows and first and last time of the training and the test part, and the gap between them in rows.
        task: ``regression`` or ``classification``.
        target: What is predicted.
        horizon: How many rows ahead.
        fitted_to: What the estimator was trained on: the target, or ``return`` where labels are prices.
        seed: Seed of the estimator.
        hyperparameters: The estimator's parameters as plain values.
        feature_importance: By feature; empty for a family that has none.
        search: Grid, folds, score and result of the search; empty without one.
    """

    metrics: Mapping[str, float]
    undefined: Mapping[str, str]
    baseline: str
    split: Mapping[str, Any]
    task: str
    target: str
    horizon: int
    fitted_to: str
    seed: int
    hyperparameters: Mapping[str, Any]
    feature_importance: Mapping[str, float] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Return what belongs under ``evaluation`` in a model's record, as plain values."""
        names = ("baseline", "task", "target", "horizon", "fitted_to", "seed")
        parts = {name: dict(getattr(self, name)) for name in ("metrics", "undefined", "split", "search")}
        return {**{name: getattr(self, name) for name in names}, **parts}


def split(rows: int, test_size: float = 0.2, gap: int = 1) -> tuple[slice, slice]:
    """Return the rows to train on and the rows to test on, oldest first, with ``gap`` rows between them.

    Args:
        rows: How many there are.
        test_size: Share of the rows to test on, above 0 and below 1; rounded up to whole rows.
        gap: Rows to leave out before the test part; the horizon, for no label to reach into it.

    Raises:
        InvalidValueError: ``test_size`` or ``gap`` is out of range, or no row is left to train on.
    """
    if not 0 < test_size < 1:
        raise InvalidValueError(f"test_size must be above 0 and below 1, not {test_size!r}")
    if gap < 0:
        raise InvalidValueError(f"a gap cannot be negative: {gap}")
    start = rows - math.ceil(rows * test_size)
    if start - gap < 1:
        raise InvalidValueError(f"{rows} rows leave none to train on with test_size {test_size} and a gap of {gap}")
    return slice(0, start - gap), slice(start, rows)


def naive_forecast(
    target: PredictionTarget | str | Target, y: Floats, horizon: int, close: Floats | None = None
) -> Floats:
    """Return the naive forecast of a regression for every row, each from what is known at that row.

    Args:
        target: What is predicted.
        y: Labels of one symbol in order of time.
        horizon: Rows ahead; a label is known that many rows later.
        close: The close of each row, where labels are prices.

    Returns:
        One value per row; NaN where nothing is known yet, as for the first rows of a volatility.
    """
    return np.asarray(find_target(target).naive(y, horizon, close), dtype="float64")


def score_regression(y: Floats, predicted: Floats, baseline: Floats) -> Scores:
    """Return mse, rmse, mae, r2, and against the naive forecast baseline_rmse and skill = 1 - mse / naive mse.

    Args:
        y: Labels of the test rows.
        predicted: The model's forecast of them.
        baseline: The naive forecast of them.
    """
    errors = y - predicted
    mse, naive = float(np.mean(errors**2)), float(np.mean((y - baseline) ** 2))
    spread = float(np.mean((y - y.mean()) ** 2))
    metrics = {"mse": mse, "rmse": math.sqrt(mse), "mae": float(np.mean(np.abs(errors)))}
    metrics |= {"r2": 1 - mse / spread if spread > 0 else math.nan, "baseline_rmse": math.sqrt(naive)}
    metrics["skill"] = 1 - mse / naive if naive > 0 else math.nan
    undefined = {}
    if not spread > 0:
        undefined["r2"] = "all test labels are equal"
    if not naive > 0:
        undefined["skill"] = "the naive forecast makes no error"
    return Scores(metrics, undefined)


def score_direction(y: NDArray[np.int64], probability: Floats, majority: int) -> Scores:
    """Return accuracy, balanced_accuracy, f1, log_loss, roc_auc, baseline_accuracy, base_rate and skill.

    Args:
        y: Classes of the test rows, 0 or 1.
        probability: The model's probability of class 1; above one half it predicts 1.
        majority: The class that the naive forecast always gives.

    Returns:
        ``base_rate`` is the share of class 1; skill = (accuracy - baseline) / (1 - baseline).
    """
    from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

    predicted = (probability > 0.5).astype("int64")
    accuracy, baseline = float(np.mean(predicted == y)), float(np.mean(y == majority))
    metrics = {"accuracy": accuracy, "baseline_accuracy": baseline, "base_rate": float(np.mean(y))}
    chances = np.column_stack([1 - probability, probability])
    metrics["log_loss"] = float(log_loss(y, chances, labels=[0, 1]))
    undefined = {}
    if len(np.unique(y)) == 2:
        metrics["balanced_accuracy"] = float(balanced_accuracy_score(y, predicted))
        metrics["roc_auc"] = float(roc_auc_score(y, probability))
    else:
        undefined = dict.fromkeys(("balanced_accuracy", "roc_auc"), f"all test rows are of class {y[0]}")
    if y.any() or predicted.any():
        metrics["f1"] = float(f1_score(y, predicted))
    else:
        undefined["f1"] = "no test row is a rise, and none is predicted to be"
    if baseline < 1:
        metrics["skill"] = (accuracy - baseline) / (1 - baseline)
    else:
        undefined["skill"] = "the naive forecast makes no error"
    return Scores({**metrics, **dict.fromkeys(undefined, math.nan)}, undefined)
