"""The tuner ``optuna``: a seeded tree-structured Parzen estimator over a family's search space.

Bergstra et al., *Algorithms for Hyper-Parameter Optimization*, 2011; as implemented by Optuna's ``TPESampler``. A
parameter is searched by the place of its values in the space: as a range of whole numbers where they ascend, so that
what is near in value is near in the search, and else as a choice. A candidate that comes up again is answered from
memory, and does not count. Whatever Optuna would print about a study stays unsaid.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from friday_store import hookimpl
from friday_store.hookspecs import Search, Trial

_AGAIN: Final = 20  # suggestions for each candidate that is wanted, before the space counts as searched


class Optuna:
    """See the module."""

    name = "optuna"
    chooses = True

    def search(self, search: Search) -> Iterator[Trial]:
        """Yield every candidate with its scores, in the order in which they were tried."""
        import optuna

        places = {name: list(values) for name, values in search.space.items()}
        wanted = min(search.trials, _product(places))
        with _silent():
            sampler = optuna.samplers.TPESampler(seed=search.seed, n_startup_trials=max(2, wanted // 3))
            study = optuna.create_study(direction="maximize", sampler=sampler)
        known: dict[tuple[int, ...], float] = {}
        for _ in range(_AGAIN * wanted):
            if len(known) == wanted:
                return
            asked = study.ask()
            chosen = tuple(_place(asked, name, values) for name, values in places.items())
            if chosen not in known:
                params = {name: places[name][place] for name, place in zip(places, chosen, strict=True)}
                scores = _scores(search, params)
                known[chosen] = sum(scores) / len(scores)
                yield Trial(params, scores)
            study.tell(asked, known[chosen])


@hookimpl
def register_tuners() -> list[Optuna]:
    """Add the tuner."""
    return [Optuna()]


def _product(places: dict[str, list[Any]]) -> int:
    number = 1
    for values in places.values():
        number *= len(values)
    return number


def _place(asked: Any, name: str, values: Sequence[Any]) -> int:
    numbers = all(type(value) in (int, float) for value in values)
    if numbers and list(values) == sorted(values):
        return int(asked.suggest_int(name, 0, len(values) - 1))
    return int(asked.suggest_categorical(name, range(len(values))))


def _scores(search: Search, params: dict[str, Any]) -> tuple[float, ...]:
    from sklearn.base import clone

    found = []
    for train, test in search.folds:
        fitted = clone(search.estimator).set_params(**params)
        fitted.fit(search.features.iloc[train], search.labels.iloc[train])
        found.append(float(search.scoring(fitted, search.features.iloc[test], search.labels.iloc[test])))
    return tuple(found)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Optuna from writing to standard error that a study was made."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
