"""Scores of a model on rows that it has not seen, each beside a naive forecast of the same rows.

Each target says what its naive forecast is; :mod:`friday_store.default_plugins.targets` has those of the built-in
ones. ``baseline_<metric>`` is what the naive forecast gets. A skill is the part of the naive forecast's error that the
model takes away: 1 is perfect, 0 is as good as naive, below 0 is worse.

============================  ====================================================================================
of a regression
============================  ====================================================================================
``mse rmse mae r2``           of the forecast
``rank_ic``                   Spearman's correlation of forecast and label, both as they differ from the naive
                              forecast; for prices in parts of the close; for a panel the mean over times with 3
                              symbols or more. The naive forecast ranks nothing: ``baseline_rank_ic`` is 0
``hit_rate``                  share of rows whose label lies on the side of the naive forecast where the model says;
                              a forecast equal to the naive one counts half. The baseline always says the side that
                              was the more frequent one in the training part
``skill skill_mae``           ``1 - mse / naive mse``, the same of mae
``skill_hit_rate``            ``(hit rate - naive) / (1 - naive)``
============================  ====================================================================================

============================  ====================================================================================
of a direction
============================  ====================================================================================
``accuracy f1 mcc``           at the threshold of one half; Matthews' correlation is a skill as it is
``balanced_accuracy``         the mean of the recalls of both classes; naive is one half
``log_loss brier``            of the probability; the naive one is the training part's share of class 1
``roc_auc``                   naive is one half
``base_rate``                 share of class 1 in the test rows
``skill``                     ``(accuracy - naive) / (1 - naive)``, where naive is the training part's majority
``skill_<metric>``            the same of balanced accuracy and ROC AUC; ``1 - loss / naive loss`` of the two losses
============================  ====================================================================================

A score that is not defined on these rows is NaN, and its reason stands in ``undefined``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from friday_store.market.targets import find_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        search: How parameters were searched for, each candidate with its fold scores, and the best; empty without.
        walk_forward: Its settings, the rows and scores of each fold, and the spread of each score; empty without one.
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
    walk_forward: Mapping[str, Any] = field(default_factory=dict)

    @property
    def configurations(self) -> int:
        """How many sets of parameters were tried for the model; the more, the more its best score owes to chance."""
        return int(self.search.get("configurations", 1))

    def as_record(self) -> dict[str, Any]:
        """Return what belongs under ``evaluation`` in a model's record, as plain values."""
        names = ("baseline", "task", "target", "horizon", "fitted_to", "seed")
        parts = {
            name: dict(getattr(self, name)) for name in ("metrics", "undefined", "split", "search", "walk_forward")
        }
        return {**{name: getattr(self, name) for name in (*names, "configurations")}, **parts}


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


def score_regression(
    y: Floats,
    predicted: Floats,
    baseline: Floats,
    *,
    close: Floats | None = None,
    usual: int | None = None,
    times: Any = None,
) -> Scores:
    """Return the scores of a regression.

    Args:
        y: Labels of the test rows.
        predicted: The model's forecast of them.
        baseline: The naive forecast of them.
        close: The close of each row, where labels are prices.
        usual: 1 if the training labels were above the naive forecast more often than below it, else -1; without it
            there is no naive hit rate.
        times: The time of each row of a panel.
    """
    errors, naive_errors = y - predicted, y - baseline
    mse, naive = float(np.mean(errors**2)), float(np.mean(naive_errors**2))
    mae, naive_mae = float(np.mean(np.abs(errors))), float(np.mean(np.abs(naive_errors)))
    spread = float(np.mean((y - y.mean()) ** 2))
    scale = 1.0 if close is None else close
    metrics = {
        "mse": mse,
        "rmse": math.sqrt(mse),
        "mae": mae,
        "r2": 1 - mse / spread if spread > 0 else math.nan,
        "rank_ic": _rank_ic((y - baseline) / scale, (predicted - baseline) / scale, times),
        "hit_rate": _hit_rate(naive_errors, predicted - baseline),
        "baseline_mse": naive,
        "baseline_rmse": math.sqrt(naive),
        "baseline_mae": naive_mae,
        "baseline_r2": 1 - naive / spread if spread > 0 else math.nan,
        "baseline_rank_ic": 0.0,
        "skill": 1 - mse / naive if naive > 0 else math.nan,
        "skill_mae": 1 - mae / naive_mae if naive > 0 else math.nan,
    }
    if usual is not None:
        rate = metrics["baseline_hit_rate"] = _hit_rate(naive_errors, np.full(len(y), float(usual)))
        metrics["skill_hit_rate"] = (metrics["hit_rate"] - rate) / (1 - rate) if rate < 1 else math.nan
    no_error = "the naive forecast makes no error"
    why = {
        "r2": "all test labels are equal",
        "baseline_r2": "all test labels are equal",
        "rank_ic": "the forecasts or the labels do not differ, or no time has 3 symbols",
        "skill_hit_rate": "no test label differs from the naive forecast" if not naive > 0 else no_error,
    }
    return Scores(metrics, {name: why.get(name, no_error) for name, value in metrics.items() if math.isnan(value)})


def score_direction(y: NDArray[np.int64], probability: Floats, majority: int, rate: float | None = None) -> Scores:
    """Return the scores of a direction.

    Args:
        y: Classes of the test rows, 0 or 1.
        probability: The model's probability of class 1; above one half it predicts 1.
        majority: The class that the naive forecast always gives.
        rate: The share of class 1 in the training part, the naive probability; without it there is no naive loss.
    """
    predicted = (probability > 0.5).astype("int64")
    accuracy, baseline = float(np.mean(predicted == y)), float(np.mean(y == majority))
    metrics = {"accuracy": accuracy, "baseline_accuracy": baseline, "base_rate": float(np.mean(y))}
    metrics |= {"baseline_balanced_accuracy": 0.5, "baseline_roc_auc": 0.5, "baseline_mcc": 0.0}
    metrics |= {"log_loss": _log_loss(y, probability), "brier": float(np.mean((probability - y) ** 2))}
    undefined = {}
    if baseline < 1:
        metrics["skill"] = (accuracy - baseline) / (1 - baseline)
    else:
        undefined["skill"] = "the naive forecast makes no error"
    if rate is not None:
        naive = np.full(len(y), rate)
        metrics |= {"baseline_log_loss": _log_loss(y, naive), "baseline_brier": float(np.mean((naive - y) ** 2))}
        for name in ("log_loss", "brier"):
            loss = metrics[f"baseline_{name}"]
            metrics[f"skill_{name}"] = 1 - metrics[name] / loss if loss > 0 else math.nan
            if not loss > 0:
                undefined[f"skill_{name}"] = "the naive forecast makes no error"
    metrics["baseline_f1"] = 2 * baseline / (1 + baseline) if majority == 1 else 0.0
    classes, problems = _class_scores(y, predicted, probability)
    undefined |= problems
    return Scores({**metrics, **classes, **dict.fromkeys(undefined, math.nan)}, undefined)


def spread(folds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return for each metric how it spreads over folds: mean, std, stderr, least, most, and the folds that have it.

    ``std`` is that of a sample and ``stderr`` is ``std`` over the root of the number of folds; both are NaN for one
    fold. Folds without the metric are not counted. Folds share training rows, so ``stderr`` is a lower bound.
    """
    found = {}
    for name in dict.fromkeys(name for fold in folds for name in fold):
        values = np.array([fold[name] for fold in folds if name in fold and not math.isnan(fold[name])])
        if not len(values):
            continue
        std = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        found[name] = {
            "mean": float(values.mean()),
            "std": std,
            "stderr": std / math.sqrt(len(values)),
            "least": float(values.min()),
            "most": float(values.max()),
            "folds": len(values),
        }
    return found


def _class_scores(
    y: NDArray[np.int64], predicted: NDArray[np.int64], probability: Floats
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the scores that need both classes, and why those that are missing are.

    They are scikit-learn's of the same names, which a property test compares, without its checks of the arguments:
    with these the scores of a ridge model took 17 ms of processor time, without them 3, and its fit takes 6.
    """
    metrics, undefined = {}, {}
    rises, calls, hits = int(y.sum()), int(predicted.sum()), int((y & predicted).sum())
    falls, right_falls = len(y) - rises, len(y) - rises - calls + hits
    if rises and falls:
        metrics["balanced_accuracy"] = (hits / rises + right_falls / falls) / 2
        metrics["roc_auc"] = _roc_auc(y, probability)
        spread = math.sqrt(rises * falls) * math.sqrt(calls * (len(y) - calls))
        metrics["mcc"] = (hits * right_falls - (calls - hits) * (rises - hits)) / spread if spread else 0.0
        metrics |= {f"skill_{name}": 2 * metrics[name] - 1 for name in ("balanced_accuracy", "roc_auc")}
    else:
        names = ("balanced_accuracy", "roc_auc", "mcc", "skill_balanced_accuracy", "skill_roc_auc")
        undefined = dict.fromkeys(names, f"all test rows are of class {y[0]}")
    if rises + calls:
        metrics["f1"] = 2 * hits / (rises + calls)
    else:
        undefined["f1"] = "no test row is a rise, and none is predicted to be"
    return metrics, undefined


def _roc_auc(y: NDArray[np.int64], probability: Floats) -> float:
    """Return the share of pairs of a rise and a fall of which the rise was given more, ties counted half."""
    from scipy.stats import rankdata

    rises, falls = int(y.sum()), int(len(y) - y.sum())
    return float((rankdata(probability)[y == 1].sum() - rises * (rises + 1) / 2) / (rises * falls))


def _log_loss(y: NDArray[np.int64], probability: Floats) -> float:
    """Return the mean negative logarithm of what was said of the class that came; 0 and 1 are taken for nearly so."""
    least = np.finfo("float64").eps
    said = np.clip(np.where(y == 1, probability, 1 - probability), least, 1 - least)
    return float(-np.log(said).mean())


def _hit_rate(moved: Floats, called: Floats) -> float:
    rows = moved != 0
    if not rows.any():
        return math.nan
    return float(np.mean((1 + np.sign(moved[rows]) * np.sign(called[rows])) / 2))


def _rank_ic(moved: Floats, called: Floats, times: Any) -> float:
    if times is None:
        return _rank_correlation(moved, called)
    order = np.argsort(times, kind="stable")
    starts = np.flatnonzero(np.r_[True, times[order][1:] != times[order][:-1]])
    groups = [rows for rows in np.split(order, starts[1:]) if len(rows) > 2]
    found = np.array([_rank_correlation(moved[rows], called[rows]) for rows in groups])
    return float(np.nanmean(found)) if np.isfinite(found).any() else math.nan


def _rank_correlation(one: Floats, two: Floats) -> float:
    from scipy.stats import rankdata

    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])
