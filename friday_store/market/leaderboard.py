"""Which model is best at each question, with what it is measured against, as a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from friday_store.market.promotion import USUAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from friday_store.market.targets import PredictionTarget
    from friday_store.registry import ModelRegistry

QUESTION: Final = ("symbol", "timeframe", "target_type", "forecast_horizon")
_SKILL: Final = {"classification": "skill_balanced_accuracy", "regression": "skill"}
"""For each task the skill of the metric that decides (:data:`.promotion.USUAL`) over the naive forecast."""
_COLUMNS: Final = {
    **dict.fromkeys(("symbol", "timeframe", "target_type"), "str"),
    "forecast_horizon": "int64",
    "task": "str",
    "rank": "int64",
    **dict.fromkeys(("model_type", "model_name", "model_version"), "str"),
    "production": "bool",
    "skill": "float64",
    "metric": "str",
    **dict.fromkeys(("score", "naive", "fold_skill", "fold_skill_std", "fold_mean", "fold_std"), "float64"),
    "tried": "int64",
    "test_rows": "int64",
    **dict.fromkeys(("test_first", "test_last", "model_id"), "str"),
}


def leaderboard(
    registry: ModelRegistry,
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    target_type: PredictionTarget | str | None = None,
    forecast_horizon: int | None = None,
) -> pd.DataFrame:
    """Return the newest version of every market model, ranked within its question by skill over the naive forecast.

    The metric is the one that decides about promotion: the RMSE, of which the skill is ``1 - mse / naive mse``, or the
    balanced accuracy of a direction, of which it is ``2 * balanced accuracy - 1``. A walk-forward fold has a naive
    forecast of its own, so folds are compared by their skill: an RMSE is in the label's units, and grows with prices.

    Skill is measured on each version's own hold-out, which is the same for models of one question that were trained
    in one run; ``test_first`` and ``test_last`` tell. To decide between two versions use
    :func:`.promotion.promote_if_better`, which scores both on the same rows.

    Args:
        registry: Where the models are.
        symbol: Only this one, like the others.
        timeframe: See there.
        target_type: See there.
        forecast_horizon: See there.

    Returns:
        Columns symbol, timeframe, target_type, forecast_horizon, task, rank (1 is best), model_type, model_name,
        model_version, production, skill, metric, score and naive (that metric of the model and of the naive
        forecast), fold_skill and fold_skill_std, fold_mean and fold_std (of skill and metric in walk-forward folds; NaN
        without), tried (configurations), test_rows, test_first, test_last, model_id. The types are the same when it
        is empty.
    """
    wanted = {
        "symbol": symbol,
        "timeframe": timeframe,
        "target_type": None if target_type is None else str(target_type).lower(),
        "forecast_horizon": forecast_horizon,
    }
    tags = [str(value) for name, value in wanted.items() if value is not None and name != "forecast_horizon"]
    newest: dict[str, Mapping[str, Any]] = {}
    for record in registry.list_models(tags=tags, order_by="created_at"):
        market = record["metadata"].get("market")
        fits = isinstance(market, dict) and all(value in (None, market[name]) for name, value in wanted.items())
        if fits and record["status"] not in ("deprecated", "archived"):
            newest[record["model_name"]] = record
    board = pd.DataFrame([_row(record) for record in newest.values()], columns=list(_COLUMNS))
    board["rank"] = board.groupby(list(QUESTION))["skill"].rank(ascending=False, method="min", na_option="bottom")
    ordered = board.astype(_COLUMNS).sort_values([*QUESTION, "rank", "model_name"])
    return ordered.reset_index(drop=True)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    market, metrics, evaluation = record["metadata"]["market"], record["metrics"], record["evaluation"]
    metric, skill = USUAL[market["task"]], _SKILL[market["task"]]
    split = evaluation.get("split", {})
    spread, skills = (pd.Series(folds(record, name), dtype="float64") for name in (metric, skill))
    return {
        **{name: market[name] for name in (*QUESTION, "task", "model_type")},
        **{name: record[name] for name in ("model_name", "model_version", "model_id")},
        "production": "production" in record["aliases"],
        "skill": metrics.get(skill),
        "metric": metric,
        "score": metrics.get(metric),
        "naive": metrics.get(f"baseline_{metric}"),
        "fold_skill": skills.mean(),
        "fold_skill_std": skills.std(),
        "fold_mean": spread.mean(),
        "fold_std": spread.std(),
        "tried": evaluation.get("configurations", 1),
        "test_rows": split.get("test_rows", 0),
        "test_first": split.get("test_first", ""),
        "test_last": split.get("test_last", ""),
    }


def fold_skills(record: Mapping[str, Any]) -> list[float]:
    """Return the skill of each walk-forward fold over the naive forecast of the same rows, oldest first."""
    return folds(record, _SKILL[record["metadata"]["market"]["task"]])


def folds(record: Mapping[str, Any], metric: str) -> list[float]:
    """Return a metric of each walk-forward fold of a version, oldest first; none if it was not evaluated so."""
    found = record["evaluation"].get("walk_forward", {}).get("folds", ())
    return [float(fold["metrics"][metric]) for fold in found if metric in fold.get("metrics", {})]
