"""The built-in families of estimators: for each, a regressor and the classifier of the same kind.

A family whose fit depends on the size of its inputs is a pipeline that standardises them first. A regressor whose
penalty or tube is in units of the label (lasso, SVR) standardises the label as well, since a daily return of 0.01
lies wholly inside SVR's default tube of 0.1. Each has a small space to try whole and
a wide one to choose from. No family asks for processes of its own, and nothing stops early on rows
drawn at random, so equal data, parameters and seed give equal models.

==================  =================================  =================================================
family              regression                         classification
==================  =================================  =================================================
LINEAR              least squares                      logistic regression, next to no penalty
RIDGE               ridge                              logistic regression, L2
LASSO               lasso                              logistic regression, L1
LOGISTIC            (none)                             logistic regression, L2, C searched more widely
RANDOM_FOREST       random forest                      random forest
GRADIENT_BOOSTING   gradient boosting                  gradient boosting
HIST_GRADIENT_…     the same on binned features        the same on binned features
SVR                 SVR, radial kernel                 SVC, calibrated by Platt's method on later rows
==================  =================================  =================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from friday_store.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from friday_store.hookspecs import Task, Trainer

    Maker = Callable[[int], Any]
    Space = Mapping[str, Sequence[Any]]

_FOREST = {"n_estimators": 200, "min_samples_leaf": 10, "max_features": "sqrt", "n_jobs": 1}
_FOREST_SPACE = {"min_samples_leaf": (5, 20, 80)}
_WIDE_FOREST = {
    "min_samples_leaf": (2, 5, 10, 20, 40, 80, 160),
    "max_features": ("sqrt", 0.3, 0.6),
    "max_depth": (4, 8, None),
}
_BOOSTING = {"n_estimators": 100, "learning_rate": 0.05, "max_depth": 3, "subsample": 0.8, "max_features": "sqrt"}
_BOOSTING_SPACE = {"n_estimators": (50, 150), "learning_rate": (0.02, 0.1), "max_depth": (2, 3)}
_WIDE_BOOSTING = {
    "n_estimators": (50, 100, 150, 250),
    "learning_rate": (0.01, 0.02, 0.05, 0.1),
    "max_depth": (2, 3, 4),
    "subsample": (0.5, 0.8, 1.0),
}
_BINNED = {"max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 15, "early_stopping": False}
_BINNED_SPACE = {"max_iter": (50, 150), "learning_rate": (0.02, 0.1), "max_leaf_nodes": (7, 31)}
_WIDE_BINNED = {
    "max_iter": (50, 100, 150, 250),
    "learning_rate": (0.01, 0.02, 0.05, 0.1),
    "max_leaf_nodes": (5, 7, 15, 31),
    "min_samples_leaf": (10, 20, 50, 100),
    "l2_regularization": (0.0, 1.0, 10.0),
}
_PENALTIES = {"model__C": (0.01, 0.1, 1.0)}
_DECADES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_WIDE: dict[str, tuple[Space, Space]] = {
    "RIDGE": ({"model__alpha": (*_DECADES[4:], 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)}, {"model__C": _DECADES}),
    "LASSO": ({"regressor__model__alpha": (0.0003, *_DECADES[:6])}, {"model__C": _DECADES}),
    "LOGISTIC": ({}, {"model__C": (0.0003, *_DECADES)}),
    "RANDOM_FOREST": (_WIDE_FOREST, _WIDE_FOREST),
    "GRADIENT_BOOSTING": (_WIDE_BOOSTING, _WIDE_BOOSTING),
    "HIST_GRADIENT_BOOSTING": (_WIDE_BINNED, _WIDE_BINNED),
    "SVR": (
        {
            "regressor__model__C": _DECADES[3:8],
            "regressor__model__gamma": ("scale", 0.003, 0.01, 0.03),
            "regressor__model__epsilon": (0.05, 0.1, 0.2),
        },
        {"model__estimator__C": _DECADES[3:8], "model__estimator__gamma": ("scale", 0.003, 0.01, 0.03)},
    ),
}
"""For each family the space of a regression and of a classification to choose from."""


@dataclass
class Family:
    """One family, as the protocol :class:`~friday_store.hookspecs.Trainer` asks.

    Parameters and search spaces use the names that ``set_params`` of the whole estimator takes, such as
    ``model__C`` for a pipeline.

    Attributes:
        name: Upper-case identifier, the name of a member of ``friday_store.ModelType``.
        tasks: Which tasks it can do.
        makers: For each task, a function from the seed to a new estimator.
        spaces: For each task, the values to try, few enough to try all of them.
        wide: For each task, more values, for a search that chooses.
    """

    name: str
    tasks: Sequence[Task]
    makers: Mapping[Task, Maker] = field(repr=False)
    spaces: Mapping[Task, Space] = field(repr=False)
    wide: Mapping[Task, Space] = field(repr=False, default_factory=dict)

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Return a new, unfitted estimator of the task; classifiers have ``predict_proba``.

        Raises:
            InvalidValueError: The family cannot do the task, or a parameter is not one of the estimator's.
        """
        if task not in self.makers:
            raise InvalidValueError(f"{self.name} does {', '.join(self.tasks)} only, not {task}")
        made = self.makers[task](seed)
        unknown = sorted(set(params) - set(made.get_params()))
        if unknown:
            raise InvalidValueError(f"{self.name} has no parameter {', '.join(unknown)} for {task}")
        return made.set_params(**params)

    def search_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return the values to try for each parameter; empty when there is nothing to tune."""
        return self.spaces.get(task, {})

    def wide_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return the values to choose from for each parameter; empty when there are none."""
        return self.wide.get(task, {})


def builtin_trainers() -> tuple[Trainer, ...]:
    """Return the built-in families, one for each member of ``friday_store.ModelType`` and in its order."""
    return (
        _family("LINEAR", _linear, {}, partial(_logistic, C=1e9), {}),
        _family("RIDGE", _ridge, {"model__alpha": (1.0, 10.0, 100.0, 1000.0)}, _logistic, _PENALTIES),
        _family(
            "LASSO",
            _lasso,
            {"regressor__model__alpha": (0.001, 0.01, 0.1)},
            partial(_logistic, l1_ratio=1.0, solver="liblinear"),
            _PENALTIES,
        ),
        _family(
            "RANDOM_FOREST",
            partial(_new, "sklearn.ensemble.RandomForestRegressor", _FOREST),
            _FOREST_SPACE,
            partial(_new, "sklearn.ensemble.RandomForestClassifier", _FOREST),
            _FOREST_SPACE,
        ),
        _family(
            "GRADIENT_BOOSTING",
            partial(_new, "sklearn.ensemble.GradientBoostingRegressor", _BOOSTING),
            _BOOSTING_SPACE,
            partial(_new, "sklearn.ensemble.GradientBoostingClassifier", _BOOSTING),
            _BOOSTING_SPACE,
        ),
        _family(
            "SVR",
            _support_vectors,
            {"regressor__model__C": (0.1, 1.0)},
            _support_vector_classifier,
            {"model__estimator__C": (0.1, 1.0)},
        ),
        _family(
            "HIST_GRADIENT_BOOSTING",
            partial(_new, "sklearn.ensemble.HistGradientBoostingRegressor", _BINNED),
            _BINNED_SPACE,
            partial(_new, "sklearn.ensemble.HistGradientBoostingClassifier", _BINNED),
            _BINNED_SPACE,
        ),
        _family("LOGISTIC", None, {}, _logistic, {"model__C": (0.001, 0.01, 0.1, 1.0, 10.0)}),
    )


def _family(
    name: str, regressor: Maker | None, regressor_space: Space, classifier: Maker, classifier_space: Space
) -> Family:
    makers: dict[Task, Maker] = {"classification": classifier}
    if regressor is not None:
        makers = {"regression": regressor, **makers}
    spaces: dict[Task, Space] = {"regression": regressor_space, "classification": classifier_space}
    more = _WIDE.get(name, ({}, {}))
    return Family(name, tuple(makers), makers, spaces, {"regression": more[0], "classification": more[1]})


def _new(path: str, options: Mapping[str, Any], seed: int | None = None) -> Any:
    module, _, name = path.rpartition(".")
    seeded = options if seed is None else {**options, "random_state": seed}
    return getattr(import_module(module), name)(**seeded)


def _scaled(model: Any, *, label: bool = False) -> Any:
    scaler = partial(_new, "sklearn.preprocessing.StandardScaler", {})
    pipeline = _new("sklearn.pipeline.Pipeline", {"steps": [("scale", scaler()), ("model", model)]})
    if not label:
        return pipeline
    return _new("sklearn.compose.TransformedTargetRegressor", {"regressor": pipeline, "transformer": scaler()})


def _linear(_seed: int) -> Any:
    return _scaled(_new("sklearn.linear_model.LinearRegression", {}))


def _ridge(seed: int) -> Any:
    return _scaled(_new("sklearn.linear_model.Ridge", {"alpha": 10.0}, seed))


def _lasso(seed: int) -> Any:
    return _scaled(_new("sklearn.linear_model.Lasso", {"alpha": 0.01, "max_iter": 10_000}, seed), label=True)


def _logistic(seed: int, **options: Any) -> Any:
    return _scaled(_new("sklearn.linear_model.LogisticRegression", {"C": 0.1, "max_iter": 5_000, **options}, seed))


def _support_vectors(_seed: int) -> Any:
    return _scaled(_new("sklearn.svm.SVR", {"C": 0.1}), label=True)


def _support_vector_classifier(seed: int) -> Any:
    # SVC's own probabilities are deprecated since scikit-learn 1.9, and its folds are not in order of time.
    folds = _new("sklearn.model_selection.TimeSeriesSplit", {"n_splits": 3, "gap": 1})
    model = _new("sklearn.svm.SVC", {"C": 0.1}, seed)
    options = {"estimator": model, "method": "sigmoid", "cv": folds, "ensemble": True}
    return _scaled(_new("sklearn.calibration.CalibratedClassifierCV", options))
