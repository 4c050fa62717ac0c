"""The model that a trainer made, and the search that found it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from friday_store import codec
from friday_store.errors import InvalidValueError

_ESTIMATORS: Final = ("best_estimator_", "estimator_", "model_", "estimator", "model")


def model_of(trainer: Any) -> Any:
    """Return the fitted model that a trainer holds, or that it is.

    Raises:
        InvalidValueError: There is none.
    """
    for name in _ESTIMATORS:
        found = getattr(trainer, name, None)
        if found is not None and (hasattr(found, "predict") or hasattr(found, "transform")) and _fitted(found):
            return found
    if _fitted(trainer) and hasattr(trainer, "predict"):
        return trainer
    raise InvalidValueError(
        f"{type(trainer).__qualname__} holds no fitted model (looked for {', '.join(_ESTIMATORS)})",
        path="trainer",
        hint="fit it first; a search needs refit=True to keep its best model",
    )


def _fitted(model: Any) -> bool:
    """Whether a model has learnt something: by its own word, else by attributes that end with an underscore."""
    said = getattr(model, "__sklearn_is_fitted__", None)
    if callable(said):
        return bool(said())
    steps = getattr(model, "steps", None)
    if isinstance(steps, list) and steps:
        return _fitted(steps[-1][1])
    learnt = [name for name in getattr(model, "__dict__", {}) if name.endswith("_") and not name.startswith("_")]
    return bool(learnt) or not hasattr(model, "get_params")


def search(trainer: Any) -> dict[str, Any]:
    """Return what a search says of itself: the winner, and each candidate's parameters, scores and rank."""
    found: dict[str, Any] = {}
    for name in ("best_score", "best_params", "best_index", "n_splits"):
        value = getattr(trainer, f"{name}_", None)
        if value is not None:
            found[name] = _storable(value)
    results = getattr(trainer, "cv_results_", None)
    if isinstance(results, Mapping) and "params" in results:
        columns = [
            name for name in results if name.startswith(("mean_", "std_", "rank_")) and not name.startswith("std_fit")
        ]
        found["candidates"] = [
            {"params": _storable(params), **{name: _storable(results[name][place]) for name in columns}}
            for place, params in enumerate(results["params"])
        ]
    return found


def _storable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _storable(item) for name, item in value.items()}
    try:
        return codec.normalise(value, "search")
    except InvalidValueError:
        return repr(value)[:200]
