"""One model: split, search, fit on the older part, score on the newer one."""

from __future__ import annotations

import io
import pickle
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from friday_store.errors import InvalidValueError, PluginError
from friday_store.market.evaluation import (
    Evaluation,
    Scores,
    naive_forecast,
    score_direction,
    score_regression,
    split,
)
from friday_store.market.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from friday_store.hookspecs import Trainer
    from friday_store.market.samples import Samples

FOLDS = 3


def obstacle(samples: Samples, family: Trainer, *, test_size: float, min_rows: int = 2) -> str | None:
    """Return why no model can be trained on these samples, or None when one can."""
    task = samples.task
    if task not in family.tasks:
        return f"{family.name} does {' and '.join(family.tasks)} only, and {samples.target} is {task}"
    if len(samples) < min_rows:
        reason = f"{len(samples)} usable rows, fewer than the {min_rows} needed"
        if samples.missing:
            worst = max(samples.missing, key=lambda name: (samples.missing or {})[name])
            reason += f"; {worst!r} has no value in {samples.missing[worst]} rows of the data"
        return reason
    train, _ = split(len(samples), test_size, samples.gap)
    classes = samples.labels.iloc[train].unique()
    if task == "classification" and len(classes) < 2:
        return f"all {train.stop} training rows are of class {classes[0]}"
    return None


def fit(samples: Samples, family: Trainer, *, test_size: float, seed: int, tune: bool) -> tuple[Any, Evaluation]:
    """Train one model on the older rows and score it on the newer ones.

    The estimator that comes back is the one that was scored: it has not seen the test rows. It predicts what the
    labels are; where these are prices it is a :class:`~friday_store.market.price.ReturnToPrice`, whose regressor was
    trained on returns. It is fitted on one thread (:mod:`.threads`) and made :func:`canonical`, so that its bytes are
    the same from this process and from a worker, whatever number of threads either has.

    Args:
        samples: Features and labels, oldest first.
        family: Where the estimator comes from.
        test_size: Share of the rows to test on.
        seed: Seed of the estimator.
        tune: Whether to search the family's space by cross-validation inside the training rows, forward in time,
            with a gap of the horizon: by log loss for a direction, else by mean squared error.

    Raises:
        InvalidValueError: No model can be trained on these samples, or its forecast is not finite.
        PluginError: The family's classifier has no ``predict_proba``.
    """
    reason = obstacle(samples, family, test_size=test_size)
    if reason is not None:
        raise InvalidValueError(reason)
    train, test = split(len(samples), test_size, samples.gap)
    _estimator(family, samples, seed, {})  # loads the libraries that are then held to one thread
    with one_thread.held():
        searched = _search(samples, family, train, seed) if tune else {}
        estimator = _estimator(family, samples, seed, searched.get("params", {}))
        if samples.definition.of_price:
            from friday_store.market.price import ReturnToPrice

            estimator = ReturnToPrice(estimator)
        estimator.fit(samples.features.iloc[train], samples.labels.iloc[train])
        estimator = canonical(estimator)
        scores = _score(estimator, samples, train, test)
    return estimator, Evaluation(
        metrics=scores.metrics,
        undefined=scores.undefined,
        baseline=samples.definition.baseline,
        split=_split_record(samples, train, test, test_size),
        task=samples.task,
        target=samples.definition.name,
        horizon=samples.horizon,
        fitted_to="return" if samples.definition.of_price else samples.definition.name,
        seed=seed,
        hyperparameters=_plain(estimator.get_params()),
        feature_importance=_importance(estimator, [str(name) for name in samples.features.columns]),
        search=searched,
    )


def canonical(estimator: Any) -> Any:
    """Return a copy whose pickle depends on what the estimator holds, not on how its objects came to be.

    A pickle writes an object that is met again as a reference. Whether two arrays share one dtype object depends on
    whether they were made here or came from another process; in the copy all of one dtype do.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(estimator)
    buffer.seek(0)
    return _Unpickler(buffer).load()


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return obj.str if isinstance(obj, np.dtype) and obj.kind in "biufcO" else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return np.dtype(pid)


def _estimator(family: Trainer, samples: Samples, seed: int, params: Mapping[str, Any]) -> Any:
    """Make the family's estimator; folds forward in time that it holds get the gap of the horizon."""
    estimator = family.estimator(samples.task, seed=seed, params=params)
    for name, value in estimator.get_params().items():
        if name.rpartition("__")[2] == "cv" and hasattr(value, "gap"):
            folds = copy(value)
            folds.gap = samples.gap
            estimator.set_params(**{name: folds})
    return estimator


def _search(samples: Samples, family: Trainer, train: slice, seed: int) -> dict[str, Any]:
    from sklearn.metrics import log_loss, make_scorer
    from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

    space = {name: list(values) for name, values in family.search_space(samples.task).items()}
    if not space:
        return {}
    features, y = samples.features.iloc[train], samples.labels.iloc[train]
    if samples.definition.of_price:
        y, features = y / features["close"] - 1, features.drop(columns="close")
    scoring: Any = "neg_mean_squared_error"
    if samples.task == "classification":
        scoring = make_scorer(log_loss, greater_is_better=False, response_method="predict_proba", labels=[0, 1])
    folds = TimeSeriesSplit(n_splits=FOLDS, gap=samples.gap)
    estimator = _estimator(family, samples, seed, {})
    search = GridSearchCV(estimator, space, scoring=scoring, cv=folds, refit=False, error_score="raise")
    results = search.fit(features, y).cv_results_
    tried = [
        {"params": _plain(params), "mean": float(mean), "std": float(std)}
        for params, mean, std in zip(
            results["params"], results["mean_test_score"], results["std_test_score"], strict=True
        )
    ]
    return {
        "params": dict(search.best_params_),
        "score": float(search.best_score_),
        "scoring": "neg_log_loss" if samples.task == "classification" else scoring,
        "folds": FOLDS,
        "gap": samples.gap,
        "tried": tried,
    }


def _score(estimator: Any, samples: Samples, train: slice, test: slice) -> Scores:
    features, y = samples.features.iloc[test], samples.labels.to_numpy()
    if samples.task == "classification":
        if not hasattr(estimator, "predict_proba"):
            raise PluginError(f"{type(estimator).__name__} has no predict_proba, which a direction needs")
        chances = np.asarray(estimator.predict_proba(features))[:, list(estimator.classes_).index(1)]
        return score_direction(y[test], _finite(chances), int(y[train].mean() > 0.5))
    baseline = naive_forecast(samples.definition, y, samples.horizon, samples.close)
    return score_regression(y[test], _finite(np.ravel(estimator.predict(features))), baseline[test])


def _finite(forecast: Any) -> Any:
    if not np.isfinite(forecast).all():
        raise InvalidValueError("the model's forecast of the test rows is not finite")
    return forecast


def _split_record(samples: Samples, train: slice, test: slice, test_size: float) -> dict[str, Any]:
    times = samples.labels.index
    record: dict[str, Any] = {"test_size": test_size, "gap": samples.gap}
    for name, part in (("train", train), ("test", test)):
        chosen = times[part]
        record |= {f"{name}_rows": len(chosen)}
        record |= {f"{name}_first": _time(chosen[0]), f"{name}_last": _time(chosen[-1])}
    return record


def _time(value: Any) -> Any:
    return value.isoformat() if isinstance(value, pd.Timestamp) else int(value)


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if isinstance(value, str | int | float | None)}


def _importance(estimator: Any, names: list[str]) -> dict[str, float]:
    """Return impurity importances of trees or coefficients on standardised features; else nothing."""
    model = getattr(estimator, "regressor_", estimator)
    names = [name for name in names if name != "close"] if model is not estimator and "close" in names else names
    model = getattr(model, "regressor_", model)
    if hasattr(model, "steps"):
        model = model.steps[-1][1]
    weights = getattr(model, "feature_importances_", getattr(model, "coef_", None))
    if weights is None or np.size(weights) != len(names):
        return {}
    return dict(zip(names, np.ravel(weights).astype(float).tolist(), strict=True))
