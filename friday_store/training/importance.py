"""How much each feature counts: as shares, from whatever says so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from friday_store import codec
from friday_store.errors import InvalidValueError


def importance_of(model: Any) -> dict[str, float]:
    """Return the shares of the features of a model that says them, of a pipeline those of its last step, or nothing.

    The features of a pipeline's last step are what the steps before it give, by the names that they say.
    """
    steps = getattr(model, "steps", None)
    try:
        last, names = model, None
        if isinstance(steps, list) and steps:
            last, names = steps[-1][1], getattr(model, "feature_names_in_", None)
            if len(steps) > 1 and names is not None:
                names = model[:-1].get_feature_names_out()
        says = any(hasattr(last, name) for name in ("feature_importances_", "coef_"))
        return normalised(last, names) if says else {}
    except Exception:  # noqa: BLE001 - a stranger's model may raise anything; then nothing is captured
        return {}


def normalised(importance: Any, names: Iterable[str] | None = None) -> dict[str, float]:
    """Return each feature's share, the largest first: their magnitudes add up to 1.

    Of coefficients it is the magnitude that counts. Another share is negative where the importance was, as permutation
    importance can be. All shares are 0 if all were.

    Args:
        importance: Numbers by feature; or an array, one number for each of ``names``, several rows of which (the
            coefficients of several classes) are averaged by magnitude; or a fitted model with
            ``feature_importances_`` or ``coef_``.
        names: The features of an array, in order; None calls them ``feature_0`` and so on.

    Raises:
        InvalidValueError: There are not as many names as numbers, or something is no finite number.
    """
    values = _values(importance, names)
    for name, value in values.items():
        if not math.isfinite(value):
            raise InvalidValueError(f"feature_importance[{name!r}]: {value} is no share of anything", path=name)
    total = math.fsum(abs(value) for value in values.values())
    shares = {name: value / total if total else 0.0 for name, value in values.items()}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _values(importance: Any, names: Iterable[str] | None) -> dict[str, float]:
    if isinstance(importance, Mapping):
        plain = codec.normalise_map(importance, "feature_importance")
    else:
        names = getattr(importance, "feature_names_in_", names)
        coefficients = getattr(importance, "coef_", None)
        importance = getattr(importance, "feature_importances_", importance if coefficients is None else coefficients)
        numbers = _row(codec.normalise(importance, "feature_importance"))
        if importance is coefficients:
            numbers = list(map(abs, numbers))
        listed = [f"feature_{place}" for place in range(len(numbers))] if names is None else [str(n) for n in names]
        plain = dict(zip(listed, numbers, strict=False))
        if len(listed) != len(numbers) or len(plain) != len(numbers):
            raise InvalidValueError(
                f"feature_importance: {len(numbers)} numbers for {len(set(listed))} names", path="names"
            )
    for name, value in plain.items():
        _number(value, f"feature_importance[{name!r}]")
    return {name: float(value) for name, value in plain.items()}  # type: ignore[arg-type]


def _row(values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise InvalidValueError(
            "feature_importance: expected numbers by feature, an array, or a model that says it",
            path="feature_importance",
        )
    rows = values if all(isinstance(row, list) for row in values) else [values]
    if len({len(row) for row in rows}) > 1:
        raise InvalidValueError("feature_importance: rows of different lengths", path="feature_importance")
    for row in rows:
        for place, number in enumerate(row):
            _number(number, f"feature_importance[{place}]")
    if len(rows) == 1:
        return list(rows[0])
    return [math.fsum(map(abs, column)) / len(rows) for column in zip(*rows, strict=True)]


def _number(value: Any, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"{path}: {value!r} is not a number", path=path)
