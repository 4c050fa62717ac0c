"""What two loaded models do differently: trees, coefficients, and predictions on a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from friday_store.comparison import table
from friday_store.errors import InvalidValueError

_QUANTILES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_LINES: Final = 20
TREES: Final = ("before", "after", "same", "changed", "added", "removed")


@dataclass(frozen=True)
class Trees:
    """How many trees of two ensembles are the same, place by place."""

    before: int
    after: int
    same: int
    changed: int
    added: int
    removed: int

    def line(self) -> tuple[str, ...]:
        """Return it as the line of a table whose heads are ``TREES``."""
        return tuple(str(getattr(self, name)) for name in TREES)


@dataclass(frozen=True)
class Coefficient:
    """One coefficient that differs; None where the model has none of this name."""

    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Predictions:
    """How much the predictions of two models differ on one sample.

    Attributes:
        rows: Rows of the sample.
        share_equal: Which part of the predictions is equal, from 0 to 1; NaN equals NaN.
        quantiles: Quantile to value of ``after - before``; empty where predictions are not numbers.
        max_difference: The largest absolute one; None where predictions are not numbers.
        mean_difference: The mean absolute one; None where predictions are not numbers.
        of: ``predict``, or ``predict_proba`` where both models have it, of which the differences are then.
    """

    rows: int
    share_equal: float
    quantiles: Mapping[float, float]
    max_difference: float | None
    mean_difference: float | None
    of: str


@dataclass(frozen=True)
class Behaviour:
    """What two loaded models do differently; None where that does not apply, or no sample was at hand."""

    trees: Trees | None = None
    coefficients: tuple[Coefficient, ...] | None = None
    predictions: Predictions | None = None

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Yield the tables of it but the trees: caption, heads, rows."""
        if self.coefficients:
            lines: list[tuple[str, ...]]
            lines = [(table.shown(c.name), table.shown(c.before), table.shown(c.after)) for c in self.coefficients]
            yield "Coefficients", ("coefficient", "before", "after"), lines
        if self.predictions is not None:
            yield _predictions_table(self.predictions)

    def to_text(self, width: int = table.WIDTH) -> str:
        """Return it for people; of many coefficients, the first."""
        made = []
        for caption, heads, rows in self.tables():
            more = f"\n… and {len(rows) - _LINES} more" if len(rows) > _LINES else ""
            made.append(f"{caption}\n{table.text(heads, rows[:_LINES], width)}{more}")
        return "\n\n".join(made)


def _predictions_table(found: Predictions) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    lines = [("equal", f"{100 * found.share_equal:.4g} %")]
    lines += [("largest difference", table.shown(found.max_difference))] if found.max_difference is not None else []
    lines += [("mean difference", table.shown(found.mean_difference))] if found.mean_difference is not None else []
    lines += [(f"quantile {quantile:g}", table.signed(value)) for quantile, value in found.quantiles.items()]
    return f"Predictions ({found.of}, {found.rows} rows)", ("what", "value"), [tuple(line) for line in lines]


def behaviour(before: Any, after: Any, sample: Any = None) -> Behaviour:
    """Return what two models do differently.

    Args:
        before: The older model.
        after: The newer model.
        sample: Rows to predict, as the models' ``predict`` takes them; None leaves predictions out.

    Raises:
        InvalidValueError: A model cannot predict the sample.
    """
    old, new = _final(before), _final(after)
    return Behaviour(
        trees=_trees(old, new),
        coefficients=_coefficients(old, new),
        predictions=None if sample is None else _predictions(before, after, sample),
    )


def _final(model: Any) -> Any:
    """Return the estimator inside pipelines and targets that are transformed."""
    for _ in range(8):
        steps = getattr(model, "steps", None)
        inner = steps[-1][1] if isinstance(steps, list) and steps else getattr(model, "regressor_", None)
        if inner is None:
            break
        model = inner
    return model


def _trees(old: Any, new: Any) -> Trees | None:
    before, after = _grown(old), _grown(new)
    if before is None or after is None:
        return None
    equal = sum(one == other for one, other in zip(before, after, strict=False))
    common = min(len(before), len(after))
    added, removed = len(after) - common, len(before) - common
    return Trees(len(before), len(after), equal, common - equal, added, removed)


def _grown(model: Any) -> list[Any] | None:
    """Return what tells the trees of a scikit-learn ensemble or tree apart; None if it has none."""
    held = getattr(model, "estimators_", None)
    flat = [model] if held is None else list(getattr(held, "flat", held))
    if not flat or not all(hasattr(each, "tree_") for each in flat):
        return None
    return [_told_apart(each.tree_.__getstate__()) for each in flat]


def _told_apart(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a tree's nodes and values as bytes, field by field, since the padding of its records is arbitrary."""
    nodes, values = state["nodes"], state["values"]
    return (*(nodes[name].tobytes() for name in nodes.dtype.names), values.shape, values.tobytes())


def _coefficients(old: Any, new: Any) -> tuple[Coefficient, ...] | None:
    before, after = _named(old), _named(new)
    if before is None or after is None:
        return None
    names = dict.fromkeys((*after, *before))
    return tuple(
        Coefficient(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _named(model: Any) -> dict[str, float] | None:
    """Return the coefficients and the intercept of a linear model by feature; None if it has none."""
    coef = getattr(model, "coef_", None)
    if not hasattr(coef, "shape") or not hasattr(coef, "tolist"):
        return None
    import numpy as np

    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    matrix = np.atleast_2d(np.asarray(coef, dtype=float))
    if len(names) != matrix.shape[1]:
        names = [f"x{place}" for place in range(matrix.shape[1])]
    several = len(matrix) > 1
    found = {
        (f"{name}[{row}]" if several else name): float(matrix[row, place])
        for row in range(len(matrix))
        for place, name in enumerate(names)
    }
    for row, value in enumerate(np.atleast_1d(np.asarray(getattr(model, "intercept_", 0.0), dtype=float)).ravel()):
        found[f"(intercept)[{row}]" if several else "(intercept)"] = float(value)
    return found


def _predictions(before: Any, after: Any, sample: Any) -> Predictions:
    import numpy as np

    old, new = _predicted(before, "predict", sample), _predicted(after, "predict", sample)
    if old.shape != new.shape:
        raise InvalidValueError(f"the models predict different shapes, {old.shape} and {new.shape}", path="sample")
    equal = (old == new) | ((old != old) & (new != new))  # noqa: PLR0124 - NaN is not equal to itself
    of = "predict"
    if all(hasattr(model, "predict_proba") for model in (before, after)):
        old, new = (_predicted(model, "predict_proba", sample) for model in (before, after))
        of = "predict_proba"
    share = float(np.mean(equal)) if equal.size else math.nan
    if old.shape != new.shape or old.dtype.kind not in "biuf" or new.dtype.kind not in "biuf" or not old.size:
        return Predictions(len(equal), share, {}, None, None, of)
    gaps = new.astype(float) - old.astype(float)
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return Predictions(len(equal), share, {}, None, None, of)
    quantiles = dict(zip(_QUANTILES, np.quantile(gaps, _QUANTILES).tolist(), strict=True))
    most, mean = float(np.abs(gaps).max()), float(np.abs(gaps).mean())
    return Predictions(len(equal), share, quantiles, most, mean, of)


def _predicted(model: Any, method: str, sample: Any) -> Any:
    import numpy as np

    try:
        return np.asarray(getattr(model, method)(sample))
    except Exception as error:
        raise InvalidValueError(
            f"a {type(model).__name__} cannot {method} the sample: {type(error).__name__}: {error}",
            path="sample",
            hint="give rows with the features that both models take: sample=X",
        ) from error
