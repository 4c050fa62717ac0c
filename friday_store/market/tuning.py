"""The search for a model's parameters: which word asks for which search, in which folds, and what is recorded.

The searches themselves are plugins: :mod:`friday_store.default_plugins.tuners` has grid, random and halving, and the
hook ``register_tuners`` brings more. Every search is given the same folds, forward in time, split by time for a panel
and purged of labels that reach into a test part, and the same score, the higher the better: the negative log loss of a
direction, else the negative mean squared error. It never sees the rows that the model will be tested on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from friday_store.default_plugins.tuners import builtin_tuners
from friday_store.errors import InvalidValueError, PluginError
from friday_store.hookspecs import Search, Wide
from friday_store.market.splitting import WalkForwardSplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from friday_store.hookspecs import Task, Trainer, Trial, Tuner
    from friday_store.market.samples import Samples

FOLDS: Final = 3
TRIALS: Final = 10
NONE: Final = "none"
BUILT_IN_WORDS: Final = frozenset({NONE, *(each.name for each in builtin_tuners())})


def find_tuner(tune: bool | str | Tuner | None, plugins: Any = None) -> Tuner | None:  # noqa: FBT001 - the seed's
    """Return the search that a word asks for; None for none.

    Args:
        tune: True is ``grid`` and False ``none``; else one of these words, ``random``, ``halving``, or the name of a
            plugin's tuner; a tuner itself comes back as it is.
        plugins: Where to look besides: an object with ``tuners()``, such as :class:`~friday_store.plugins.Plugins`.

    Raises:
        InvalidValueError: No search has that name; the message lists those there are.
    """
    if tune is None or tune is False:
        return None
    if tune is not True and not isinstance(tune, str):
        return tune
    name = "grid" if tune is True else tune.strip().lower()
    if name == NONE:
        return None
    there: dict[str, Tuner] = {each.name: each for each in builtin_tuners()}
    if name not in there and plugins is not None:
        there |= plugins.tuners()
    if name not in there:
        raise InvalidValueError(f"{tune!r} is not a way to tune; choose one of {', '.join([NONE, *there])}")
    return there[name]


def space_of(family: Trainer, task: Task, tuner: Tuner | None) -> dict[str, list[Any]]:
    """Return the values to try for each parameter: more of them for a tuner that chooses, where the family has more."""
    chooses = bool(getattr(tuner, "chooses", False))  # hookspecs.Choosing
    found = (family.wide_space(task) if chooses and isinstance(family, Wide) else {}) or family.search_space(task)
    return {name: list(values) for name, values in found.items()}


def tuned(
    tuner: Tuner,
    estimator: Any,
    space: Mapping[str, Sequence[Any]],
    samples: Samples,
    rows: NDArray[np.intp],
    *,
    seed: int,
    trials: int,
) -> dict[str, Any]:
    """Search the space on the training rows and return the record of it; ``params`` are the best.

    Raises:
        PluginError: The tuner gave no complete trial, or parameters that the estimator does not have.
    """
    from sklearn.metrics import get_scorer, log_loss, make_scorer

    features, y = samples.features.iloc[rows], samples.labels.iloc[rows]
    if samples.definition.of_price:
        y, features = y / features["close"] - 1, features.drop(columns="close")
    name, scoring = "neg_mean_squared_error", get_scorer("neg_mean_squared_error")
    if samples.task == "classification":
        name = "neg_log_loss"
        scoring = make_scorer(log_loss, greater_is_better=False, response_method="predict_proba", labels=[0, 1])
    folds = tuple(WalkForwardSplit(FOLDS, samples.gap).split(features))
    search = Search(estimator, space, features, y, folds, scoring, seed, trials)
    tried = [_checked(tuner, trial, estimator) for trial in tuner.search(search)]
    complete = [trial for trial in tried if trial.complete]
    if not complete:
        raise PluginError(f"the tuner {tuner.name!r} tried nothing on all rows")
    best = max(complete, key=lambda trial: float(np.mean(trial.scores)))
    return {
        "strategy": tuner.name,
        "params": dict(best.params),
        "score": float(np.mean(best.scores)),
        "scoring": name,
        "folds": FOLDS,
        "gap": samples.gap,
        "configurations": len({repr(sorted(trial.params.items())) for trial in tried}),
        "tried": [_record(trial) for trial in tried],
    }


def _checked(tuner: Tuner, trial: Trial, estimator: Any) -> Trial:
    unknown = sorted(set(trial.params) - set(estimator.get_params()))
    if unknown:
        raise PluginError(f"the tuner {tuner.name!r} tried {', '.join(unknown)}, which the estimator does not have")
    if not len(trial.scores) or not np.isfinite(trial.scores).all():
        raise PluginError(f"the tuner {tuner.name!r} gave scores that are not finite: {list(trial.scores)}")
    return trial


def _record(trial: Trial) -> dict[str, Any]:
    scores = [float(score) for score in trial.scores]
    plain = {name: value for name, value in trial.params.items() if isinstance(value, str | int | float | None)}
    record = {"params": plain, "mean": float(np.mean(scores)), "std": float(np.std(scores)), "scores": scores}
    return record if trial.complete else {**record, "complete": False}
