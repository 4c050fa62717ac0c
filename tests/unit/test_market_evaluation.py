"""What the split, the naive forecasts and the scores promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics as reference

from friday_store.errors import InvalidValueError
from friday_store.market.evaluation import naive_forecast, score_direction, score_regression, spread
from friday_store.market.splitting import hold_out
from friday_store.market.targets import PredictionTarget

DRAW = np.random.default_rng(7)


def hold_out_of(rows: int, test_size: float, horizon: int) -> tuple[list[int], list[int]]:
    """Return the rows of one symbol to train and to test on."""
    train, test = hold_out(np.zeros((rows, 1)), test_size, horizon)
    return train.tolist(), test.tolist()


def test_the_newest_rows_are_the_test() -> None:
    """The test part is the last share, rounded up; the gap before it belongs to neither."""
    assert (list(range(75)), list(range(80, 100))) == hold_out_of(100, 0.2, 5)
    assert (list(range(6)), list(range(7, 10))) == hold_out_of(10, 0.21, 1)


def test_defect_17_no_training_label_uses_a_price_of_the_test_part() -> None:
    """The newest price in a training label is older than the first test row."""
    for rows, test_size, horizon in ((50, 0.2, 1), (50, 0.33, 10), (11, 0.5, 3)):
        train, test = hold_out_of(rows, test_size, horizon)
        assert train[-1] + horizon == test[0] - 1


@pytest.mark.parametrize(
    ("rows", "test_size", "horizon"), [(10, 0.2, 8), (1, 0.5, 1), (10, 0, 1), (10, 1.0, 1), (9, 0.5, 0), (0, 0.5, 1)]
)
def test_a_split_that_leaves_nothing_is_refused(rows: int, test_size: float, horizon: int) -> None:
    """Nothing to train on, or a share or horizon out of range, is an error."""
    with pytest.raises(InvalidValueError):
        hold_out_of(rows, test_size, horizon)


def test_the_naive_price_is_the_last_and_the_naive_return_nothing() -> None:
    """Both are the forecast of a random walk."""
    close = np.array([1.0, 2.0, 3.0])
    assert close.tolist() == naive_forecast(PredictionTarget.NEXT_CLOSE, close + 1, 1, close).tolist()
    assert naive_forecast(PredictionTarget.RETURN, close, 1).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("horizon", [1, 5])
def test_the_naive_volatility_is_made_of_known_labels(horizon: int) -> None:
    """Row t averages the 20 newest labels whose future lies at or before t."""
    y = DRAW.random(60)
    forecast = naive_forecast(PredictionTarget.VOLATILITY, y, horizon)
    for row in (horizon, 30, 59):
        known = y[max(0, row - horizon + 1 - 20) : row - horizon + 1]
        assert forecast[row] == pytest.approx(known.mean(), rel=1e-9)
    assert np.isnan(forecast[: horizon - 1]).all()


def test_regression_scores_agree_with_scikit_learn() -> None:
    """Each score is the textbook one, and skill is one less the quotient of the squared errors."""
    y, predicted, baseline = DRAW.normal(size=(3, 50))
    scores = score_regression(y, predicted, baseline).metrics
    mse = reference.mean_squared_error(y, predicted)
    assert scores["mse"] == pytest.approx(mse)
    assert scores["rmse"] == pytest.approx(math.sqrt(mse))
    assert scores["mae"] == pytest.approx(reference.mean_absolute_error(y, predicted))
    assert scores["r2"] == pytest.approx(reference.r2_score(y, predicted))
    assert scores["skill"] == pytest.approx(1 - mse / reference.mean_squared_error(y, baseline))
    assert scores["baseline_rmse"] == pytest.approx(math.sqrt(reference.mean_squared_error(y, baseline)))


def test_skill_is_one_when_perfect_and_zero_when_naive() -> None:
    """The ends of the scale."""
    y, baseline = DRAW.normal(size=(2, 20))
    assert score_regression(y, y, baseline).metrics["skill"] == 1.0
    assert score_regression(y, baseline, baseline).metrics["skill"] == 0.0
    up = (y > 0).astype("int64")
    assert score_direction(up, up.astype(float), 1).metrics["skill"] == 1.0
    assert score_direction(up, np.ones(20), 1).metrics["skill"] == 0.0


def test_ranks_and_hits_are_of_what_differs_from_the_naive_forecast() -> None:
    """Both are the textbook ones of the moves; a forecast that says nothing hits half and ranks nothing."""
    y, predicted, baseline = DRAW.normal(size=(3, 50))
    scores = score_regression(y, predicted, baseline, usual=1).metrics
    assert scores["rank_ic"] == pytest.approx(spearmanr(y - baseline, predicted - baseline).statistic)
    assert scores["hit_rate"] == pytest.approx(np.mean((y > baseline) == (predicted > baseline)))
    assert scores["baseline_hit_rate"] == pytest.approx(np.mean(y > baseline))
    assert scores["skill_mae"] == pytest.approx(1 - np.abs(y - predicted).mean() / np.abs(y - baseline).mean())
    silent = score_regression(y, baseline, baseline)
    assert (silent.metrics["hit_rate"], silent.metrics["skill_mae"]) == (0.5, 0.0)
    assert "rank_ic" in silent.undefined
    assert math.isnan(silent.metrics["rank_ic"])
    close = np.linspace(10, 100, 50)
    prices = score_regression(close * (1 + y), close * (1 + predicted), close, close=close).metrics
    assert prices["rank_ic"] == pytest.approx(spearmanr(y, predicted).statistic)


def test_the_ranks_of_a_panel_are_those_of_each_time() -> None:
    """The rank IC is the mean over times with three symbols or more, in whatever order the rows are."""
    times = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4])
    y, predicted = DRAW.normal(size=(2, 12))
    predicted[9:] = 0.5
    expected = np.mean([spearmanr(y[times == time], predicted[times == time]).statistic for time in (1, 2)])
    for order in (np.arange(12), DRAW.permutation(12)):
        scores = score_regression(y[order], predicted[order], np.zeros(12), times=times[order]).metrics
        assert scores["rank_ic"] == pytest.approx(expected)


def test_probabilities_are_compared_with_the_base_rate() -> None:
    """Brier score and log loss have the training part's share of rises as their naive forecast."""
    y, chance = DRAW.integers(0, 2, 60), DRAW.random(60)
    scores = score_direction(y, chance, 1, 0.6).metrics
    naive = np.full(60, 0.6)
    assert scores["brier"] == pytest.approx(reference.brier_score_loss(y, chance))
    assert scores["mcc"] == pytest.approx(reference.matthews_corrcoef(y, chance > 0.5))
    assert scores["baseline_brier"] == pytest.approx(reference.brier_score_loss(y, naive))
    assert scores["skill_log_loss"] == pytest.approx(1 - scores["log_loss"] / reference.log_loss(y, naive))
    assert scores["baseline_f1"] == pytest.approx(reference.f1_score(y, np.ones(60)))
    assert scores["skill_roc_auc"] == pytest.approx(2 * reference.roc_auc_score(y, chance) - 1)
    same = score_direction(y, naive, 1, 0.6).metrics
    assert (same["skill_log_loss"], same["skill_brier"], same["skill_balanced_accuracy"]) == (0.0, 0.0, 0.0)


def test_the_spread_leaves_out_what_is_not_defined() -> None:
    """Mean, deviation and standard error are those of the folds that have the metric."""
    found = spread([{"a": 1.0, "b": math.nan}, {"a": 3.0, "b": math.nan}, {"a": math.nan, "c": 2.0}])
    assert set(found) == {"a", "c"}
    assert found["a"] == pytest.approx(
        {"mean": 2.0, "std": math.sqrt(2), "stderr": 1.0, "least": 1.0, "most": 3.0, "folds": 2}
    )
    assert (found["c"]["mean"], math.isnan(found["c"]["stderr"])) == (2.0, True)


def test_direction_scores_agree_with_scikit_learn() -> None:
    """Each score is the textbook one at a threshold of one half."""
    y, chance = DRAW.integers(0, 2, 60), DRAW.random(60)
    scores = score_direction(y, chance, 1).metrics
    predicted = chance > 0.5
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(y, predicted))
    assert scores["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(y, predicted))
    assert scores["f1"] == pytest.approx(reference.f1_score(y, predicted))
    assert scores["log_loss"] == pytest.approx(reference.log_loss(y, chance))
    assert scores["roc_auc"] == pytest.approx(reference.roc_auc_score(y, chance))
    assert scores["base_rate"] == scores["baseline_accuracy"] == pytest.approx(y.mean())


@pytest.mark.parametrize("kind", [0, 1])
def test_one_class_in_the_test_part_is_a_reason_not_a_failure(kind: int) -> None:
    """What one class leaves undefined is NaN and says why; the rest is there."""
    scores = score_direction(np.full(10, kind), np.linspace(0.1, 0.4, 10), kind)
    undefined = {name for name, value in scores.metrics.items() if math.isnan(value)}
    assert set(scores.undefined) == undefined
    both = {"balanced_accuracy", "roc_auc", "mcc", "skill_balanced_accuracy", "skill_roc_auc", "skill"}
    assert undefined == (both | ({"f1"} if kind == 0 else set()))
    assert f"class {kind}" in scores.undefined["roc_auc"]
    assert math.isfinite(scores.metrics["log_loss"])


def test_a_baseline_without_error_leaves_no_skill() -> None:
    """Equal labels and a perfect naive forecast are reasons too."""
    scores = score_regression(np.ones(5), np.zeros(5), np.ones(5))
    expected = {"r2", "baseline_r2", "rank_ic", "hit_rate", "skill", "skill_mae"}
    assert expected == set(scores.undefined) == {name for name, v in scores.metrics.items() if math.isnan(v)}


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9, 1.0])), min_size=1))
def test_the_scores_of_a_direction_are_those_of_scikit_learn(rows: list[tuple[int, float]]) -> None:
    """Whatever the classes and probabilities, ties and certainties among them; one class has no score of two."""
    y, chance = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found, said = score_direction(y, chance, 1), (chance > 0.5).astype("int64")
    expected = {"accuracy": reference.accuracy_score(y, said), "log_loss": reference.log_loss(y, chance, labels=[0, 1])}
    if y.any() or said.any():
        expected["f1"] = reference.f1_score(y, said)
    if 0 < y.sum() < len(y):
        expected["balanced_accuracy"] = reference.balanced_accuracy_score(y, said)
        expected |= {"mcc": reference.matthews_corrcoef(y, said), "roc_auc": reference.roc_auc_score(y, chance)}
    assert expected == pytest.approx({name: found.metrics[name] for name in expected})
    missing = {"f1", "balanced_accuracy", "mcc", "roc_auc"} - set(expected)
    assert missing == {name for name in found.undefined if not name.startswith("skill")}
