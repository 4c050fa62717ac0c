"""The built-in searches for parameters.

=========  ==========================================================================================
grid       every combination of the values
random     combinations drawn without repetition from a family's wide space, as many as were asked for
halving    every combination on the newest quarter of each fold's training rows, the better half on
           the newest half, and the better half of these on all (K. Jamieson and A. Talwalkar,
           *Non-stochastic Best Arm Identification*, 2016). scikit-learn's own halving draws rows at
           random; here a smaller training part is a later one
=========  ==========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from friday_store.hookspecs import Search, Trial

if TYPE_CHECKING:
    from friday_store.hookspecs import Folds, Tuner

    Params = dict[str, Any]

SHARES: Final = (0.25, 0.5)
LEAST_ROWS: Final = 50


@dataclass
class Strategy:
    """One search, as the protocol :class:`~friday_store.hookspecs.Tuner` asks.

    Attributes:
        name: The word that asks for it.
        run: The search.
        chooses: Whether it draws its candidates, from a space that may be large.
    """

    name: str
    run: Callable[[Search], Iterable[Trial]] = field(repr=False)
    chooses: bool = False

    def search(self, search: Search) -> Iterable[Trial]:
        """Return what was tried, in order."""
        return self.run(search)


def builtin_tuners() -> tuple[Tuner, ...]:
    """Return the built-in searches."""
    return (Strategy("grid", _grid), Strategy("random", _random, chooses=True), Strategy("halving", _halving))


def _grid(search: Search) -> list[Trial]:
    return _tried(search, _all(search), search.folds)


def _random(search: Search) -> list[Trial]:
    from sklearn.model_selection import ParameterSampler

    number = min(search.trials, math.prod(map(len, search.space.values())))
    drawn = ParameterSampler(dict(search.space), number, random_state=search.seed)
    return _tried(search, list(drawn), search.folds)


def _halving(search: Search) -> list[Trial]:
    candidates, tried = _all(search), list[Trial]()
    for share in SHARES:
        folds = [(train[-math.ceil(len(train) * share) :], test) for train, test in search.folds]
        if len(candidates) < 2 or not all(_enough(search, train) for train, _ in folds):
            continue
        results = _tried(search, candidates, folds)
        tried += [trial._replace(complete=False) for trial in results]
        order = sorted(range(len(results)), key=lambda place: -sum(results[place].scores))
        candidates = [candidates[place] for place in sorted(order[: math.ceil(len(order) / 2)])]
    return tried + _tried(search, candidates, search.folds)


def _enough(search: Search, rows: Any) -> bool:
    return len(rows) >= LEAST_ROWS and search.labels.iloc[rows].nunique() > 1


def _all(search: Search) -> list[Params]:
    from sklearn.model_selection import ParameterGrid

    return list(ParameterGrid({name: list(values) for name, values in search.space.items()}))


def _tried(search: Search, candidates: Sequence[Params], folds: Folds) -> list[Trial]:
    from sklearn.model_selection import GridSearchCV

    grid = [{name: [value] for name, value in params.items()} for params in candidates]
    options = {"scoring": search.scoring, "cv": list(folds), "refit": False, "error_score": "raise", "n_jobs": 1}
    results = GridSearchCV(search.estimator, grid, **options).fit(search.features, search.labels).cv_results_
    scores = zip(*(results[f"split{fold}_test_score"] for fold in range(len(folds))), strict=True)
    return [Trial(params, tuple(map(float, each))) for params, each in zip(candidates, scores, strict=True)]
