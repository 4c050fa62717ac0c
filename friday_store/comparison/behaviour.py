"""What two loaded models do differently: trees, coefficients, and predictions on a sample."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from friday_store.comparison import coefficients, report, table
from friday_store.comparison.coefficients import Coefficient
from friday_store.errors import InvalidValueError

_QUANTILES: Final = {
    0.0: "lowest", 0.05: "5 % below", 0.25: "25 % below", 0.5: "median", 0.75: "75 % below", 0.95: "95 % below",
    1.0: "highest",
}  # fmt: skip


@dataclass(frozen=True)
class Trees:
    """How many trees of two ensembles are the same, place by place, and how many nodes all of them have."""

    before: int
    after: int
    same: int
    changed: int
    added: int
    removed: int
    nodes_before: int
    nodes_after: int

    def to_text(self) -> str:
        """Return it as a sentence."""
        counts = [(self.same, "the same"), (self.changed, "changed"), (self.added, "added"), (self.removed, "removed")]
        told = ", ".join(f"{count} {word}" for count, word in counts if count)
        return f"{self.before} -> {self.after}: {told}; {self.nodes_before:,} -> {self.nodes_after:,} nodes"


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

    def tables(self) -> Iterator[report.Table]:
        """Yield what the trees and the coefficients do not tell: caption, heads, rows."""
        if self.predictions is not None:
            yield _predictions_table(self.predictions)

    def to_text(self, width: int = table.WIDTH) -> str:
        """Return it for people."""
        return "\n\n".join(report.as_text(*each, width) for each in self.tables())


def _predictions_table(found: Predictions) -> report.Table:
    lines = [("equal", f"{100 * found.share_equal:.4g} % of the rows")]
    lines += [(_QUANTILES[quantile], table.signed(value)) for quantile, value in found.quantiles.items()]
    lines += [("mean, absolute", table.shown(found.mean_difference))] if found.mean_difference is not None else []
    caption = f"Predictions ({found.of}, {found.rows} rows), after - before"
    return caption, (), [tuple(line) for line in lines]


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
        coefficients=_coefficients(before, after),
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
    trees = _grown(old), _grown(new)
    if trees[0] is None or trees[1] is None:
        return None
    before, after = ([_told_apart(tree.__getstate__()) for tree in side] for side in trees if side is not None)
    nodes = [sum(int(tree.node_count) for tree in side) for side in trees if side is not None]
    equal = sum(one == other for one, other in zip(before, after, strict=False))
    common = min(len(before), len(after))
    added, removed = len(after) - common, len(before) - common
    return Trees(len(before), len(after), equal, common - equal, added, removed, *nodes)


def _grown(model: Any) -> list[Any] | None:
    """Return the trees of a scikit-learn ensemble, or of a tree; None if it has none."""
    held = getattr(model, "estimators_", None)
    flat = [model] if held is None else list(getattr(held, "flat", held))
    if not flat or not all(hasattr(each, "tree_") for each in flat):
        return None
    return [each.tree_ for each in flat]


def _told_apart(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a tree's nodes and values as bytes, field by field, since the padding of its records is arbitrary."""
    nodes, values = state["nodes"], state["values"]
    return (*(nodes[name].tobytes() for name in nodes.dtype.names), values.shape, values.tobytes())


def _coefficients(before: Any, after: Any) -> tuple[Coefficient, ...] | None:
    old, new = _named(before), _named(after)
    return None if old is None or new is None else coefficients.differing(old, new)


def _named(model: Any) -> dict[str, float] | None:
    """Return the coefficients and the intercept of a linear model by feature; None if it has none."""
    final = _final(model)
    coef = getattr(final, "coef_", None)
    if not hasattr(coef, "shape") or not hasattr(coef, "tolist"):
        return None
    return coefficients.named(coef, getattr(final, "intercept_", 0.0), _features(model, final))


def _features(model: Any, final: Any) -> list[str]:
    """Return what the estimator's features are called: as it says itself, or as the steps before it make them."""
    names = getattr(final, "feature_names_in_", None)
    if names is None and isinstance(getattr(model, "steps", None), list) and len(model.steps) > 1:
        with contextlib.suppress(AttributeError, ValueError):  # a step that does not name what it makes
            names = model[:-1].get_feature_names_out()
    return [] if names is None else [str(name) for name in names]


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
    quantiles = dict(zip(_QUANTILES, np.quantile(gaps, list(_QUANTILES)).tolist(), strict=True))
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
