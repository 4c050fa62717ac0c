"""One model: split, search, fit on the older part, score on the newer one; and the same again, fold after fold."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from friday_store.errors import InvalidValueError, PluginError
from friday_store.market.evaluation import Evaluation, Scores, score_direction, score_regression, spread
from friday_store.market.splitting import Timeline, WalkForwardSplit, hold_out
from friday_store.market.threads import one_thread
from friday_store.market.tuning import TRIALS, space_of, tuned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from friday_store.hookspecs import Trainer, Tuner
    from friday_store.market.samples import Samples

    Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Options:
    """How models are trained.

    Attributes:
        test_size: Share of the rows to test on.
        seed: Seed of every estimator.
        min_rows: Fewest usable rows to train on.
        tuner: How each family's space is searched; None: not at all.
        trials: How many candidates a search that draws them tries.
        walk_forward: The folds of a walk-forward evaluation; None: none.
    """

    test_size: float
    seed: int
    min_rows: int
    tuner: Tuner | None = None
    trials: int = TRIALS
    walk_forward: WalkForwardSplit | None = None


def obstacle(samples: Samples, family: Trainer, *, test_size: float, min_rows: int = 2) -> str | None:
    """Return why no model can be trained on these samples, or None when one can."""
    if samples.task not in family.tasks:
        return f"{family.name} does {' and '.join(family.tasks)} only, and {samples.target} is {samples.task}"
    if len(samples) < min_rows:
        reason = f"{len(samples)} usable rows, fewer than the {min_rows} needed"
        if samples.missing:
            worst = max(samples.missing, key=lambda name: (samples.missing or {})[name])
            reason += f"; {worst!r} has no value in {samples.missing[worst]} rows of the data"
        return reason
    train, _ = hold_out(samples.features, test_size, samples.gap)
    return _one_class(samples, train)


def fit(samples: Samples, family: Trainer, options: Options) -> tuple[Any, Evaluation]:
    """Train one model on the older rows and score it on the newer ones.

    The estimator that comes back is the one that was scored: it has not seen the test rows. It predicts what the
    labels are; where these are prices it is a :class:`~friday_store.market.price.ReturnToPrice`, whose regressor was
    trained on returns. It is fitted on one thread (:mod:`.threads`) and made :func:`canonical`, so that its bytes are
    the same from this process and from a worker, whatever number of threads either has.

    Args:
        samples: Features and labels, oldest first; of a panel by time and then by symbol.
        family: Where the estimator comes from.
        options: How. A search has folds forward in time inside the training rows. For each fold of a walk-forward
            evaluation, over all rows, a new estimator is searched for and fitted, and scored on the fold's test part;
            the model that comes back is none of them. Its horizon is raised to what labels reach.

    Raises:
        InvalidValueError: No model can be trained on these samples, or its forecast is not finite.
        PluginError: The family's classifier has no ``predict_proba``.
    """
    reason = obstacle(samples, family, test_size=options.test_size)
    if reason is not None:
        raise InvalidValueError(reason)
    train, test = hold_out(samples.features, options.test_size, samples.gap)
    _estimator(family, samples, options.seed, {})  # loads the libraries that are then held to one thread
    with one_thread.held():
        estimator, searched = _trained(samples, family, train, options)
        scores = _score(estimator, samples, train, test)
        walked = _walk(samples, family, options)
    return estimator, Evaluation(
        metrics=scores.metrics,
        undefined=scores.undefined,
        baseline=samples.definition.baseline,
        split={"test_size": options.test_size, "gap": samples.gap, **_split_record(samples, train, test)},
        task=samples.task,
        target=samples.definition.name,
        horizon=samples.horizon,
        fitted_to="return" if samples.definition.of_price else samples.definition.name,
        seed=options.seed,
        hyperparameters=_plain(estimator.get_params()),
        feature_importance=_importance(estimator, [str(name) for name in samples.features.columns]),
        search=searched,
        walk_forward=walked,
    )


def _trained(samples: Samples, family: Trainer, rows: Rows, options: Options) -> tuple[Any, dict[str, Any]]:
    """Return an estimator fitted on ``rows``, and the record of the search for its parameters."""
    features, y = samples.features.iloc[rows], samples.labels.iloc[rows]
    searched: dict[str, Any] = {}
    space = space_of(family, samples.task, options.tuner)
    if options.tuner is not None and space:
        estimator = _estimator(family, samples, options.seed, {})
        searched = tuned(options.tuner, estimator, space, samples, rows, seed=options.seed, trials=options.trials)
    estimator = _estimator(family, samples, options.seed, searched.get("params", {}))
    if samples.definition.of_price:
        from friday_store.market.price import ReturnToPrice

        estimator = ReturnToPrice(estimator)
    estimator.fit(features, y)
    return canonical(estimator), searched


def _walk(samples: Samples, family: Trainer, options: Options) -> dict[str, Any]:
    """Return the record of a walk-forward evaluation: each fold's rows and scores, and how far they spread."""
    if options.walk_forward is None:
        return {}
    splitter = replace(options.walk_forward, horizon=max(options.walk_forward.horizon, samples.gap))
    folds: list[dict[str, Any]] = []
    for train, test in splitter.split(samples.features):
        reason = _one_class(samples, train)
        if reason is not None:
            raise InvalidValueError(f"walk-forward: fold {len(folds) + 1}: {reason}")
        estimator, searched = _trained(samples, family, train, options)
        scores = _score(estimator, samples, train, test)
        fold = {**_split_record(samples, train, test), "metrics": dict(scores.metrics)}
        if searched:
            fold |= {"params": searched["params"], "configurations": searched["configurations"]}
        folds.append(fold)
    settings = {name: value for name, value in vars(splitter).items() if value is not None}
    return {**settings, "folds": folds, "spread": spread([fold["metrics"] for fold in folds])}


def canonical(estimator: Any) -> Any:
    """Return a copy whose pickle depends on what the estimator holds, not on how its objects came to be.

    A pickle writes an object that is met again as a reference. Whether two arrays share one dtype object, or two
    attributes one name, depends on what a process did before: estimators that were unpickled leave other names in the
    key tables that their class shares. In the copy all dtypes that are equal are one, and so are all names and texts.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(estimator)
    copied = pickle.loads(buffer.getbuffer())
    _share_texts(copied)
    return copied


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.dtype) and obj.kind in "biufcO":
            return np.dtype, (obj.str,)
        return NotImplemented


def _share_texts(found: Any) -> None:
    """Make equal texts one below a table of attributes: names, keys and values, and give every table keys of its own.

    Texts that only a compiled object holds stay as they are.
    """
    waiting, seen = [found], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, str | int | float | type | ModuleType | FunctionType):
            seen.add(id(one))
            waiting += _inside(one)


def _inside(one: Any) -> Iterable[Any]:
    """Share the texts that an object holds itself, and return what it holds."""
    if type(one) is dict:
        table = {_shared(name): _shared(value) for name, value in one.items()}
        one.clear()
        one.update(table)
        return one.values()
    if isinstance(one, Mapping):
        return one.values()
    if isinstance(one, list):
        one[:] = map(_shared, one)
        return one
    if isinstance(one, np.ndarray) and one.dtype == object:
        for place, value in enumerate(one.flat):
            if type(value) is str:
                one.flat[place] = sys.intern(value)
        return list(one.flat)
    if type(getattr(one, "__dict__", None)) is dict:
        one.__dict__ = {_shared(name): _shared(value) for name, value in one.__dict__.items()}
        return list(one.__dict__.values())
    return one if isinstance(one, tuple) else ()


def _shared(value: Any) -> Any:
    if type(value) is tuple:
        return tuple(map(_shared, value))
    return sys.intern(value) if type(value) is str else value


def _estimator(family: Trainer, samples: Samples, seed: int, params: Mapping[str, Any]) -> Any:
    """Make the family's estimator; folds forward in time that it holds get a gap that no label window spans.

    Raises:
        InvalidValueError: It would stop early on rows drawn at random, whose neighbours in time it is trained on.
    """
    estimator = family.estimator(samples.task, seed=seed, params=params)
    settings = estimator.get_params()
    gap = 0
    for name, value in settings.items():
        stem, _, last = name.rpartition("__")
        if last == "cv" and hasattr(value, "gap"):
            folds, gap = copy(value), gap or _row_gap(samples)
            folds.gap = gap
            estimator.set_params(**{name: folds})
        beside = f"{stem}__" if stem else ""
        waits = last == "n_iter_no_change" and f"{beside}early_stopping" not in settings
        drawn = waits and f"{beside}validation_fraction" in settings and value is not None
        if drawn or (last == "early_stopping" and value is not False):
            raise InvalidValueError(
                f"{family.name} would stop early on rows drawn at random: {name}={value!r}",
                hint=f"leave {name} off; rows beside those it is trained on are no test",
            )
    return estimator


def _row_gap(samples: Samples) -> int:
    """Return how many rows, in order of time, the longest label window spans; of one symbol that is its reach."""
    timeline = Timeline.of(samples.features, samples.gap)
    inside = timeline.known < timeline.count
    last = np.searchsorted(timeline.times, timeline.known[inside], side="right") - 1
    return int((last - np.flatnonzero(inside)).max(initial=samples.gap))


def _one_class(samples: Samples, rows: Rows) -> str | None:
    classes = samples.labels.iloc[rows].unique()
    if samples.task == "classification" and len(classes) < 2:
        return f"all {len(rows)} training rows are of class {classes[0]}"
    return None


def _score(estimator: Any, samples: Samples, train: Rows, test: Rows) -> Scores:
    features, y = samples.features.iloc[test], samples.labels.to_numpy()
    if samples.task == "classification":
        if not hasattr(estimator, "predict_proba"):
            raise PluginError(f"{type(estimator).__name__} has no predict_proba, which a direction needs")
        chances = np.asarray(estimator.predict_proba(features))[:, list(estimator.classes_).index(1)]
        rate = float(y[train].mean())
        return score_direction(y[test], _finite(chances), int(rate > 0.5), rate)
    naive = samples.naive()
    test = test[np.isfinite(naive[test])]
    if not len(test):
        raise InvalidValueError("no test row has a naive forecast to be compared with")
    features, times = samples.features.iloc[test], samples.times[test] if samples.is_panel else None
    rises = y[train] > naive[train]
    falls = y[train] < naive[train]
    close = None if samples.close is None else samples.close[test]
    usual = 1 if rises.sum() >= falls.sum() else -1
    predicted = _finite(np.ravel(estimator.predict(features)))
    return score_regression(y[test], predicted, naive[test], close=close, usual=usual, times=times)


def _finite(forecast: Any) -> Any:
    if not np.isfinite(forecast).all():
        raise InvalidValueError("the model's forecast of the test rows is not finite")
    return forecast


def _split_record(samples: Samples, train: Rows, test: Rows) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, rows in (("train", train), ("test", test)):
        times = samples.times[rows]
        first, last = _time(times.min()), _time(times.max())
        record |= {f"{name}_rows": len(rows), f"{name}_first": first, f"{name}_last": last}
    if samples.is_panel:
        record["symbols"] = samples.symbols
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
