"""Which part of the version moves: the rule behind ``suggest_bump`` and ``bump="auto"``.

MAJOR when the algorithm changed or an input feature went away, because callers would break or be surprised; MINOR when
a feature was added or hyperparameters changed; else PATCH, such as for new data or a new fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from friday_store import codec

Bump = Literal["major", "minor", "patch"]
AUTO: Final = "auto"


def suggested(old: Mapping[str, Any], new: Mapping[str, Any]) -> Bump:
    """Return which part moves between two descriptions of a model.

    Args:
        old: ``model_type``, ``pipeline_steps``, ``input_schema`` and ``hyperparameters`` of the version before; a
            record has them. What is missing counts as unchanged.
        new: The same of the version to come.
    """
    before, after = _features(old), _features(new)
    if _differs(old, new, "model_type") or _classes(old, new) or (before and after and set(before) - set(after)):
        return "major"
    widths = _width(old), _width(new)
    if None not in widths and widths[0] > widths[1] and not (before and after):  # type: ignore[operator]
        return "major"
    added = bool(before and after and set(after) - set(before)) or (None not in widths and widths[0] != widths[1])
    return "minor" if added or _differs(old, new, "hyperparameters") else "patch"


def _differs(old: Mapping[str, Any], new: Mapping[str, Any], key: str) -> bool:
    """Whether a fact that both have differs; compared as stored, where NaN is itself and True is not 1."""
    if old.get(key) is None or new.get(key) is None:
        return False
    return _stored(old[key]) != _stored(new[key])


def _stored(value: Any) -> bytes:
    return codec.encode({"value": codec.normalise(value, "value")})


def _classes(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the classes of a pipeline's steps differ; what they are called does not count."""
    found = [
        [step.get("class") for step in side.get("pipeline_steps") or () if isinstance(step, Mapping)]
        for side in (old, new)
    ]
    return "pipeline_steps" in old and "pipeline_steps" in new and found[0] != found[1]


def _features(side: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in (side.get("input_schema") or {}).get("features") or ()]


def _width(side: Mapping[str, Any]) -> int | None:
    width = (side.get("input_schema") or {}).get("n_features")
    return width if isinstance(width, int) else None
