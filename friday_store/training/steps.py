"""What a model is composed of: its steps, with the parameters of each."""

from __future__ import annotations

from typing import Any, Final

from friday_store import environment

_STEPS: Final = ("steps", "transformers", "transformer_list", "estimators")
_INNER: Final = ("estimator", "base_estimator", "regressor", "classifier", "transformer", "final_estimator")
_DEPTH: Final = 8
_MOST: Final = 200


def described(model: Any) -> list[dict[str, Any]]:
    """Return what a model is composed of: for each step ``name``, ``class``, ``module``, ``parameters``, ``steps``.

    Pipelines, unions, column transformers, ensembles and models around a model are followed; anything else has none.
    """
    return _described(model, _DEPTH)


def _described(model: Any, depth: int) -> list[dict[str, Any]]:
    steps = []
    for name, step in _steps(model)[:_MOST] if depth else []:
        inner = _described(step, depth - 1)
        entry: dict[str, Any] = {"name": name, **_kind(step), "parameters": _parameters(step)}
        steps.append({**entry, "steps": inner} if inner else entry)
    return steps


def _kind(step: Any) -> dict[str, str]:
    if isinstance(step, str) or step is None:  # "passthrough", "drop"
        return {"class": str(step), "module": ""}
    kind = step if isinstance(step, type) else type(step)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "module": kind.__module__}


def _steps(model: Any) -> list[tuple[str, Any]]:
    """Return the named parts that a model was given, fitted where it keeps them so by name."""
    own = environment.parameters(model)
    found: list[tuple[str, Any]] = []
    for attribute in (name for name in _STEPS if name in own):
        for listed in (getattr(model, f"{attribute}_", None), getattr(model, attribute)):
            if isinstance(listed, list) and listed and all(isinstance(i, tuple) and len(i) >= 2 for i in listed):
                found += [(str(item[0]), item[1]) for item in listed]
                break
    inner = [(name, getattr(model, f"{name}_", getattr(model, name))) for name in _INNER if name in own]
    return [*found, *((name, part) for name, part in inner if hasattr(part, "get_params"))]


def _parameters(step: Any) -> dict[str, Any]:
    """Return a step's own parameters; those of what it is composed of stand with their steps."""
    inner = {*_STEPS, *_INNER, *(name for name, _ in _steps(step))}
    return {
        name: value for name, value in environment.parameters(step).items() if "__" not in name and name not in inner
    }
