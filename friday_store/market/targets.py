"""What is predicted, by name, and the labels of it.

:mod:`friday_store.default_plugins.targets` defines the built-in targets and their labels; plugins bring more through
the hook ``register_targets``, each named by its string. A row whose future is not known has no label and is not in
the result.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from friday_store.default_plugins.targets import builtin_targets
from friday_store.errors import InvalidValueError, PluginError

if TYPE_CHECKING:
    from friday_store.hookspecs import Target, Task


class _Choice(StrEnum):
    """An enumeration that takes its values in any case and lists them when asked for something else."""

    @classmethod
    def _missing_(cls, value: object) -> _Choice:
        """Return the member that ``value`` spells in another case.

        Raises:
            InvalidValueError: There is none.
        """
        text = str(value).strip().lower()
        for member in cls:
            if member.value == text:
                return member
        choices = ", ".join(member.value for member in cls)
        raise InvalidValueError(f"{value!r} is not a {cls.__name__}; choose one of {choices}")


class PredictionTarget(_Choice):
    """The built-in targets; plugins add more under names of their own."""

    NEXT_CLOSE = "next_close"
    PRICE_DIRECTION = "price_direction"
    RETURN = "return"
    VOLATILITY = "volatility"

    @property
    def task(self) -> Task:
        """``classification`` for the direction, else ``regression``."""
        return "classification" if self is PredictionTarget.PRICE_DIRECTION else "regression"


BUILT_IN: Final[frozenset[str]] = frozenset(PredictionTarget)


class ModelType(_Choice):
    """The built-in families of estimators; plugins add more under names of their own."""

    LINEAR = "linear"
    RIDGE = "ridge"
    LASSO = "lasso"
    RANDOM_FOREST = "random_forest"
    GRADIENT_BOOSTING = "gradient_boosting"
    SVR = "svr"
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"
    LOGISTIC = "logistic"


def find_target(target: PredictionTarget | str | Target, plugins: Any = None) -> Target:
    """Return the target of that name, in any case: a built-in one, else one of the plugins.

    Args:
        target: Its name; a target itself comes back as it is.
        plugins: Where to look besides: an object with ``targets()``, such as :class:`~friday_store.plugins.Plugins`.

    Raises:
        InvalidValueError: There is none; the message lists those there are.
    """
    if not isinstance(target, str):
        if target is None or not hasattr(target, "labels"):
            raise InvalidValueError(f"{target!r} is not a target")
        return target
    name = target.strip().lower()
    there: dict[str, Target] = {each.name: each for each in builtin_targets()}
    if name not in there and plugins is not None:
        there |= plugins.targets()
    if name not in there:
        raise InvalidValueError(f"{target!r} is not a PredictionTarget; choose one of {', '.join(there)}")
    return there[name]


def unit_of(target: str, plugins: Any = None) -> str:
    """Return in words what a label of the target of that name is; empty where it does not say, or is not installed."""
    try:
        return str(getattr(find_target(target, plugins), "unit", ""))
    except InvalidValueError:
        return ""


def target_name(target: Target) -> PredictionTarget | str:
    """Return the name of a target: a member of the enumeration where it is a built-in one."""
    return PredictionTarget(target.name) if target.name in BUILT_IN else target.name


def check_horizon(horizon: object) -> int:
    """Return ``horizon`` as a whole number of rows, at least 1.

    Raises:
        InvalidValueError: It is something else.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise InvalidValueError(f"a horizon is a whole number of rows from 1, not {horizon!r}")
    return int(horizon)


def check_reach(target: Target, horizon: int) -> int:
    """Return how many rows after its own a label of ``target`` uses.

    Raises:
        PluginError: The target does not say so with a whole number from 1.
    """
    reach = target.reach(horizon)
    if isinstance(reach, bool) or not isinstance(reach, int | np.integer) or reach < 1:
        raise PluginError(f"target {target.name!r} reaches {reach!r} rows ahead; it must be a whole number from 1")
    return int(reach)


def labels(
    bars: pd.DataFrame | pd.Series[Any], target: PredictionTarget | str | Target, horizon: int = 1
) -> pd.Series[Any]:
    """Return the label of every row whose future is known.

    Args:
        bars: Columns of bars, ``close`` among them, or the close alone; in order of time, one row per bar, so that a
            horizon counts bars; NaN for a bar without a price.
        target: What to predict: a name of a built-in target, or a target.
        horizon: How many bars ahead.

    Returns:
        Labels on a subset of the index of ``bars``: int64 for a classification, else float64. The name is the
        target's; ``attrs`` holds ``target`` and ``horizon``. The last rows, as many as a label reaches ahead, are
        never in it.

    Raises:
        InvalidValueError: The horizon is not a whole number from 1, or a price is not positive.
        PluginError: The target labels rows whose future is not known, or not as its task demands.
    """
    kind, horizon = find_target(target), check_horizon(horizon)
    frame = bars.to_frame("close") if isinstance(bars, pd.Series) else bars
    frame = frame.assign(close=frame["close"].astype("float64"))
    bad = frame["close"] <= 0
    if bad.any():
        first = frame.index[bad][0]
        raise InvalidValueError(f"a close must be positive; {int(bad.sum())} are not, the first at {first}")
    found = kind.labels(frame, horizon)
    if not isinstance(found, pd.Series) or not found.index.equals(frame.index):
        raise PluginError(f"target {kind.name!r} gave no label or NaN for each bar")
    reach = check_reach(kind, horizon)
    if found.iloc[-reach:].notna().any():
        raise PluginError(f"target {kind.name!r} labels some of the last {reach} rows, whose future is not known")
    label = found.dropna()
    if kind.task == "classification":
        if not label.isin([0, 1]).all():
            raise PluginError(f"target {kind.name!r} is a classification, and not all its labels are 0 or 1")
        label = label.astype("int64")
    else:
        label = label.astype("float64")
    label.name = kind.name
    label.attrs = {"target": kind.name, "horizon": horizon}
    return label
