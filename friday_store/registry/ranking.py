"""The best version by a metric: which direction is better, and one question to the index.

What was observed last counts. A version whose value is missing or not a number is passed over, and so are those that
are deprecated or archived. Of equals, the one that was registered last wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from friday_store import refs
from friday_store.errors import InvalidValueError, ModelNotFoundError
from friday_store.index import Index, VersionRow
from friday_store.index.mirror import UNREADABLE
from friday_store.query import And, Compare, Field, Not, Order, Tree, parse, search
from friday_store.query.conditions import Resolver
from friday_store.query.fields import COLUMNS
from friday_store.query.order import Key
from friday_store.registry.listing import named

RETIRED: Final = ("deprecated", "archived", UNREADABLE)
_HIGHER: Final = frozenset((
    "accuracy", "auc", "average_precision", "balanced_accuracy", "bleu", "cohen_kappa", "d2", "dice",
    "explained_variance", "f1", "f1_macro", "f1_micro", "f1_score", "f1_weighted", "hit_rate", "ic",
    "information_coefficient", "iou", "jaccard", "kappa", "map", "matthews_corrcoef", "mcc", "ndcg", "pr_auc",
    "precision", "profit", "profit_factor", "r2", "r2_score", "recall", "return", "roc_auc", "roc_auc_ovr", "rouge",
    "score", "sensitivity", "sharpe", "sharpe_ratio", "silhouette", "skill", "skill_score", "sortino", "specificity",
    "win_rate",
))  # fmt: skip
_LOWER: Final = frozenset((
    "brier", "brier_score", "calibration_error", "cer", "cross_entropy", "crps", "deviance", "ece", "error",
    "error_rate", "fnr", "fpr", "hamming_loss", "hinge_loss", "inertia", "latency", "log_loss", "logloss", "loss",
    "mae", "mape", "max_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
    "medae", "median_absolute_error", "mse", "msle", "nll", "perplexity", "pinball_loss", "quantile_loss", "rmse",
    "rmsle", "root_mean_squared_error", "smape", "wer",
))  # fmt: skip
_SPLITS: Final = ("train_", "training_", "val_", "valid_", "validation_", "test_", "cv_", "eval_", "mean_", "baseline_")
_MARKS: Final = frozenset("*?[")
_KEYS: Final = {"name": "name", "tags": "tag", "status": "status", "model_type": "type"}


def higher_is_better(metric: str) -> bool:
    """Return whether more of a metric is better, by its usual name, also with a split before it (``val_rmse``).

    Raises:
        InvalidValueError: The name is not a usual one.
    """
    name = metric.lower().replace("-", "_").replace(" ", "_")
    for prefix in ("", *_SPLITS):
        bare = name.removeprefix(prefix)
        if bare in _HIGHER or bare in _LOWER:
            return bare in _HIGHER
    raise InvalidValueError(
        f"whether more of {metric!r} is better is not known",
        path="higher_is_better",
        hint="say it: higher_is_better=True or higher_is_better=False",
    )


def best(
    index: Index,
    wanted: str | Mapping[str, Any] | None,
    metric: str,
    higher: bool | None = None,  # noqa: FBT001 - a third state is "by its name"
    require: str | Mapping[str, Any] | None = None,
    *,
    resolve: Resolver,
) -> VersionRow:
    """Return the best version.

    Args:
        index: Where to ask.
        wanted: A model's name, a glob over names, a mapping as for ``require``, or None for all models.
        metric: The metric's name.
        higher: Whether more is better; None decides by the metric's name.
        require: What a version must have: a condition in the query language, or a mapping of ``name`` (or a glob),
            ``tags`` (all of them), ``status``, ``model_type``.
        resolve: Returns the id of the version that a revision names.

    Raises:
        InvalidValueError: The direction is not known, a key is none of those, or a condition cannot be understood.
        ModelNotFoundError: No version that passes has a number for the metric.
    """
    field = Field("metric", metric)
    order = Order((Key(field, down=higher_is_better(metric) if higher is None else higher),))
    given = wanted if isinstance(wanted, Mapping) else {} if wanted is None else {"name": wanted}
    parts = [parse(require)] if isinstance(require, str) else list(_wanted(require or {}))
    tree = And((*_wanted(given), *parts, *_counting(field)))
    found = search(index, tree, resolve, order=order, limit=1).rows
    if not found:
        raise nothing(index, given, metric)
    return found[0]


def ranked(index: Index, name: str, metric: str, *, higher: bool) -> list[str]:
    """Return the ids of a model's versions from the best to the worst by a metric; see :func:`best` for who counts."""
    field = Field("metric", metric)
    tree = And((Compare(COLUMNS["name"], "=", (name,)), *_counting(field)))
    found = search(index, tree, str, order=Order((Key(field, down=higher),)))  # it names no revision to resolve
    return [row.model_id for row in found.rows]


def _counting(metric: Field) -> tuple[Tree, Tree]:
    """Return the conditions that a version is in use and has a number for a metric."""
    return Not(Compare(metric, "null")), Not(Compare(COLUMNS["status"], "in", RETIRED))


def _wanted(wanted: Mapping[str, Any]) -> Iterator[Tree]:
    """Iterate over the conditions that a mapping says."""
    unknown = sorted(set(wanted) - set(_KEYS))
    if unknown:
        raise InvalidValueError(f"require: {unknown[0]!r} is none of {', '.join(_KEYS)}", path="require")
    for key, value in wanted.items():
        if value is None:
            continue
        for one in (value,) if isinstance(value, str) or key != "tags" else tuple(value):
            yield named(str(one)) if key == "name" else Compare(COLUMNS[_KEYS[key]], "=", (str(one),))


def nothing(index: Index, given: Mapping[str, Any], metric: str) -> ModelNotFoundError:
    """Return the error that no version has a number for a metric; it says the name that was meant if one is near."""
    name = given.get("name")
    if isinstance(name, str) and not _MARKS & set(name):
        refs.check_name(name, "model name")
        if not index.rows("SELECT 1 FROM model_metadata WHERE model_name = ? LIMIT 1", (name,)):
            return ModelNotFoundError(f"there is no model {name!r}", hint="friday-store ls")
        known = [str(row[0]) for row in index.rows(_METRICS, (name,))]
        near = get_close_matches(metric, known, 1)
        there = f"; its metrics are: {', '.join(known)}" if known else "; it has no metrics"
        there = f"; did you mean {near[0]!r}?" if near else there
        return ModelNotFoundError(
            f"no version of {name!r} that is in use has a number for {metric!r}{there}", hint=f"friday-store ls {name}"
        )
    return ModelNotFoundError(f"no version that passes has a number for {metric!r}", hint="friday-store ls")


_METRICS: Final = (
    "SELECT DISTINCT x.name FROM model_metadata m JOIN model_metrics x ON x.version_id = m.id "
    "WHERE m.model_name = ? ORDER BY x.name LIMIT 20"
)
