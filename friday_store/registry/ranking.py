"""The best version by a metric: which direction is better, and one question to the index.

What was observed last counts. A version whose value is missing or not a number is passed over, and so are those that
are deprecated or archived. Of equals, the one that was registered last wins.

A model's own versions are gone through by their keys; over many models the metric's values are gone through in their
order, which the index has, until a version passes. ``CROSS JOIN`` is how SQLite is told which.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from friday_store import refs
from friday_store.errors import InvalidValueError, ModelNotFoundError
from friday_store.index import Index, VersionRow
from friday_store.index.mirror import UNREADABLE

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
_KEYS: Final = ("name", "tags", "status", "model_type")
_NUMBER: Final = "x.name = ? AND x.latest = 1 AND x.value IS NOT NULL"
_BY_VERSION: Final = f"model_metadata m CROSS JOIN model_metrics x ON x.version_id = m.id WHERE {_NUMBER}"
_BY_VALUE: Final = f"model_metrics x CROSS JOIN model_metadata m ON m.id = x.version_id WHERE {_NUMBER}"


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
    require: Mapping[str, Any] | None = None,
) -> VersionRow:
    """Return the best version.

    Args:
        index: Where to ask.
        wanted: A model's name, a glob over names, a mapping as for ``require``, or None for all models.
        metric: The metric's name.
        higher: Whether more is better; None decides by the metric's name.
        require: What a version must have: ``name`` (or a glob), ``tags`` (all of them), ``status``, ``model_type``.

    Raises:
        InvalidValueError: The direction is not known, or a key is none of those.
        ModelNotFoundError: No version that passes has a number for the metric.
    """
    direction = "DESC" if (higher_is_better(metric) if higher is None else higher) else "ASC"
    given = wanted if isinstance(wanted, Mapping) else {} if wanted is None else {"name": wanted}
    conditions, values = _wanted([given, require or {}])
    source = _BY_VERSION if "m.model_name = ?" in conditions else _BY_VALUE
    more = "".join(f" AND {condition}" for condition in conditions)
    retired = ", ".join("?" * len(RETIRED))
    found = index.rows(
        f"SELECT m.id FROM {source}{more} AND m.status NOT IN ({retired}) "  # noqa: S608 - fixed text and marks
        f"ORDER BY x.value {direction}, x.version_id DESC LIMIT 1",
        [metric, *values, *RETIRED],
    )
    rows = index.versions("m.id = ?", (found[0][0],)) if found else []
    if not rows:
        raise _nothing(index, given, metric)
    return rows[0]


def ranked(index: Index, name: str, metric: str, *, higher: bool) -> list[str]:
    """Return the ids of a model's versions from the best to the worst by a metric; see :func:`best` for who counts."""
    retired = ", ".join("?" * len(RETIRED))
    direction = "DESC" if higher else "ASC"
    found = index.rows(
        f"SELECT m.model_id FROM {_BY_VERSION} AND m.model_name = ? AND m.status NOT IN ({retired}) "  # noqa: S608
        f"ORDER BY x.value {direction}, x.version_id DESC",
        [metric, name, *RETIRED],
    )
    return [str(row[0]) for row in found]


def _wanted(filters: list[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the conditions and the values that they bind, one each."""
    conditions: list[str] = []
    values: list[str] = []
    for wanted in filters:
        unknown = sorted(set(wanted) - set(_KEYS))
        if unknown:
            raise InvalidValueError(f"require: {unknown[0]!r} is none of {', '.join(_KEYS)}", path="require")
        for key, value in wanted.items():
            if value is None:
                continue
            for one in (value,) if isinstance(value, str) or key != "tags" else tuple(value):
                conditions.append(_condition(key, str(one)))
                values.append(str(one))
    return conditions, values


def _condition(key: str, value: str) -> str:
    if key == "tags":
        return "EXISTS (SELECT 1 FROM model_tags t WHERE t.version_id = m.id AND t.tag = ?)"
    if key == "name":
        return "m.model_name GLOB ?" if _MARKS & set(value) else "m.model_name = ?"
    return f"m.{key} = ?"


def _nothing(index: Index, given: Mapping[str, Any], metric: str) -> ModelNotFoundError:
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
