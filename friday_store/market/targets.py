"""What is predicted, and the labels of it.

With the close ``c``, the log return ``l[t] = ln(c[t] / c[t-1])`` and the horizon ``h`` in rows, row ``t`` has the
label

=================  ==========================================================================
next_close         ``c[t+h]``, a price
price_direction    1 if ``c[t+h] > c[t]``, else 0; an unchanged price is not a rise
return             ``c[t+h] / c[t] - 1``, a simple return
volatility         population standard deviation of ``l[t+1] … l[t+h]``; for ``h = 1``, where
                   that is zero by definition, the absolute value of ``l[t+1]``
=================  ==========================================================================

A row whose future is not known has no label and is not in the result. There is no annualisation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from friday_store.errors import InvalidValueError

if TYPE_CHECKING:
    from friday_store.hookspecs import Task


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
    """What a model predicts; the module's docstring defines each label."""

    NEXT_CLOSE = "next_close"
    PRICE_DIRECTION = "price_direction"
    RETURN = "return"
    VOLATILITY = "volatility"

    @property
    def task(self) -> Task:
        """``classification`` for the direction, else ``regression``."""
        return "classification" if self is PredictionTarget.PRICE_DIRECTION else "regression"


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


def check_horizon(horizon: object) -> int:
    """Return ``horizon`` as a whole number of rows, at least 1.

    Raises:
        InvalidValueError: It is something else.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise InvalidValueError(f"a horizon is a whole number of rows from 1, not {horizon!r}")
    return int(horizon)


def labels(close: pd.Series[Any], target: PredictionTarget | str, horizon: int = 1) -> pd.Series[Any]:
    """Return the label of every row whose future is known.

    Args:
        close: Prices in order of time, one per bar, so that a horizon counts bars; NaN for a bar without a price.
        target: What to predict.
        horizon: How many bars ahead.

    Returns:
        Labels on a subset of the index of ``close``: int64 for the direction, else float64. The name is the
        target's; ``attrs`` holds ``target`` and ``horizon``. The last ``horizon`` rows are never in it.

    Raises:
        InvalidValueError: The horizon is not a whole number from 1, or a price is not positive.
    """
    target, horizon = PredictionTarget(target), check_horizon(horizon)
    now = close.astype("float64")
    bad = now <= 0
    if bad.any():
        raise InvalidValueError(f"a close must be positive; {int(bad.sum())} are not, the first at {now.index[bad][0]}")
    future = now.shift(-horizon)
    known = now.notna() & future.notna()
    if target is PredictionTarget.NEXT_CLOSE:
        label = future[known]
    elif target is PredictionTarget.PRICE_DIRECTION:
        label = (future > now)[known].astype("int64")
    elif target is PredictionTarget.RETURN:
        label = (future / now - 1)[known]
    else:
        label = _future_volatility(now, horizon)[known].dropna()
    label.name = target.value
    label.attrs = {"target": target.value, "horizon": horizon}
    return label


def log_returns(close: pd.Series[Any]) -> pd.Series[Any]:
    """Return ``ln(close[t] / close[t-1])`` on the same index; the first is NaN."""
    return pd.Series(np.log(close.to_numpy(dtype="float64")), index=close.index).diff()


def _future_volatility(close: pd.Series[Any], horizon: int) -> pd.Series[Any]:
    steps = log_returns(close)
    size = steps.abs() if horizon == 1 else steps.rolling(horizon).std(ddof=0)
    return size.shift(-horizon)
