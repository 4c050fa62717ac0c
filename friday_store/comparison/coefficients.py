"""Coefficients of linear models by the name of their feature, and which of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from friday_store.comparison.arrays import Array
from friday_store.comparison.outlines import Outline
from friday_store.comparison.versions import same

_MOST: Final = 100_000
"""More than so many coefficients are told as one array."""
_COEF: Final = "coef_"
_INTERCEPT: Final = "intercept_"
_INTERCEPTED: Final = "(intercept)"
_SAME_NAMES: Final = frozenset(
    f"sklearn.preprocessing._data.{name}"
    for name in (
        "MaxAbsScaler", "MinMaxScaler", "Normalizer", "PowerTransformer", "QuantileTransformer", "RobustScaler",
        "StandardScaler",
    )
)  # fmt: skip
"""Steps whose output columns are their input columns."""


@dataclass(frozen=True)
class Coefficient:
    """One coefficient that differs; None where the model has none of this name."""

    name: str
    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        """How much more it is; None where one is missing."""
        return None if self.before is None or self.after is None else self.after - self.before


def differing(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[Coefficient, ...]:
    """Return the coefficients that differ, in the newer model's order."""
    names = dict.fromkeys((*after, *before))
    return tuple(
        Coefficient(name, before.get(name), after.get(name))
        for name in names
        if not same(before.get(name), after.get(name))
    )


def named(coef: Any, intercept: Any, features: Sequence[str]) -> dict[str, float]:
    """Return coefficients and intercept by name.

    Args:
        coef: One per feature, or a row of them per output.
        intercept: A number, or one per output.
        features: The features' names; ``x0``, ``x1`` and so on take their place if they are not as many.
    """
    import numpy as np

    matrix = np.atleast_2d(np.asarray(coef, dtype=float))
    names = list(features) if len(features) == matrix.shape[1] else [f"x{n}" for n in range(matrix.shape[1])]
    several = len(matrix) > 1
    found = {
        (f"{name}[{row}]" if several else name): float(matrix[row, place])
        for row in range(len(matrix))
        for place, name in enumerate(names)
    }
    for row, value in enumerate(np.atleast_1d(np.asarray(intercept, dtype=float)).ravel()):
        found[f"{_INTERCEPTED}[{row}]" if several else _INTERCEPTED] = float(value)
    return found


def stored(before: Outline, after: Outline) -> tuple[Coefficient, ...] | None:
    """Return the coefficients that differ between two stored models; None where they have none in common at hand."""
    old, new = _of(before), _of(after)
    if old is None or new is None or not {name for name in old.keys() & new.keys() if _INTERCEPTED not in name}:
        return None
    return differing(old, new)


def _of(model: Outline) -> dict[str, float] | None:
    places = [path for path, array in model.arrays.items() if _tail(path) == _COEF and _usable(array)]
    found: dict[str, float] = {}
    for path in places:
        owner = path.removesuffix(_COEF)
        known = named(_numbers(model.arrays[path]), _intercept(model, owner), _features(model, owner))
        prefix = owner if len(places) > 1 else ""
        found |= {f"{prefix}{name}": value for name, value in known.items()}
    return found if places else None


def _tail(path: str) -> str:
    return path.rpartition(".")[2]


def _usable(array: Array) -> bool:
    small = isinstance(array.data, bytes) and math.prod(array.shape) <= _MOST
    return small and array.dtype.kind in "biuf" and len(array.shape) in (1, 2)


def _numbers(array: Array) -> Any:
    import numpy as np

    assert isinstance(array.data, bytes)
    flat = np.frombuffer(array.data, array.dtype)
    return flat.reshape(array.shape, order="F" if array.order == "F" else "C")


def _intercept(model: Outline, owner: str) -> Any:
    array = model.arrays.get(f"{owner}{_INTERCEPT}")
    if array is not None:
        return _numbers(array) if _usable(array) else []
    value = model.values.get(f"{owner}{_INTERCEPT}")
    return value if isinstance(value, int | float) else []


def _features(model: Outline, owner: str) -> Sequence[str]:
    """Return the names of the features that an estimator saw: its own, or its pipeline's where no step changes them."""
    own = model.values.get(f"{owner}feature_names_in_")
    if isinstance(own, list):
        return own
    above = model.above.get(owner.removesuffix("."), "")
    steps = model.values.get(above)
    if not isinstance(steps, list):
        return []
    before = [f"{above}[{name!r}]" for name in steps]
    before = before[: before.index(owner.removesuffix("."))] if owner.removesuffix(".") in before else []
    classes = [model.values.get(f"{step}.__class__") for step in before]
    if not before or not all(isinstance(name, str) and name in _SAME_NAMES for name in classes):
        return []
    first = model.values.get(f"{before[0]}.feature_names_in_")
    return first if isinstance(first, list) else []
