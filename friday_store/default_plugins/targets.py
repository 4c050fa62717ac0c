"""The built-in targets: what is predicted, and the labels of it.

With the close ``c``, the log return ``l[t] = ln(c[t] / c[t-1])`` and the horizon ``h`` in bars, bar ``t`` has the
label

=================  ==========================================================================
next_close         ``c[t+h]``, a price
price_direction    1 if ``c[t+h] > c[t]``, else 0; an unchanged price is not a rise
return             ``c[t+h] / c[t] - 1``, a simple return
volatility         population standard deviation of ``l[t+1] … l[t+h]``; for ``h = 1``, where
                   that is zero by definition, the absolute value of ``l[t+1]``
=================  ==========================================================================

There is no annualisation. The naive forecasts:

=================  ============================================================================
next_close         the last close
return             zero, the forecast of a random walk
volatility         the mean of the last 20 values of the label that are known at that bar
price_direction    the majority class of the training part (a tie is "no rise")
=================  ============================================================================

A label of each looks exactly ``h`` bars ahead. Importing this module loads neither numpy nor pandas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from friday_store.hookspecs import Target, Task

    Floats = NDArray[np.float64]
    Column = pd.Series[Any]
    Labeller = Callable[[Column, int], Column]
    Forecaster = Callable[[Floats, int, Floats | None], Floats]

KNOWN_VALUES: Final = 20
_UNITS: Final = {
    "next_close": "the close, a price",
    "price_direction": "1 for a rise, else 0",
    "return": "a simple return over all bars ahead, 0.01 for 1 %",
    "volatility": "the standard deviation of the log returns of the bars ahead, per bar and not annualised",
}


@dataclass
class CloseTarget:
    """A target made of the close alone, as the protocol :class:`~friday_store.hookspecs.Target` asks.

    Attributes:
        name: Lower-case identifier, the value of a member of ``friday_store.PredictionTarget``.
        task: What kind of estimator it needs.
        baseline: What the naive forecast is, in words.
        of_price: Whether the label is a price.
        labeller: From the close and the horizon to the labels.
        forecaster: From labels, horizon and close to the naive forecast.
    """

    name: str
    task: Task
    baseline: str
    labeller: Labeller = field(repr=False)
    forecaster: Forecaster = field(repr=False)
    of_price: bool = False

    @property
    def unit(self) -> str:
        """What a label is, in words, for those who read a forecast or a score."""
        return _UNITS[self.name]

    def labels(self, bars: pd.DataFrame, horizon: int) -> Column:
        """Return the label of each bar, NaN where its future is not known."""
        return self.labeller(bars["close"], horizon)

    def reach(self, horizon: int) -> int:
        """Return the horizon: the newest close in a label."""
        return horizon

    def naive(self, y: Floats, horizon: int, close: Floats | None) -> Floats:
        """Return the naive forecast of each row, from what is known at it."""
        return self.forecaster(y, horizon, close)


def builtin_targets() -> tuple[Target, ...]:
    """Return the built-in targets, one for each member of ``friday_store.PredictionTarget`` and in its order."""
    majority = "majority class of the training part"
    return (
        CloseTarget("next_close", "regression", "last close", _next_close, _last_close, of_price=True),
        CloseTarget("price_direction", "classification", majority, _direction, _zero),
        CloseTarget("return", "regression", "zero return", _return, _zero),
        CloseTarget(
            "volatility", "regression", f"mean of the last {KNOWN_VALUES} known values", _volatility, _recent_mean
        ),
    )


def log_returns(close: Column) -> Column:
    """Return ``ln(close[t] / close[t-1])`` on the same index; the first is NaN."""
    import numpy as np
    import pandas as pd

    return pd.Series(np.log(close.to_numpy(dtype="float64")), index=close.index).diff()


def _next_close(close: Column, horizon: int) -> Column:
    return close.shift(-horizon).where(close.notna())


def _direction(close: Column, horizon: int) -> Column:
    future = close.shift(-horizon)
    return (future > close).astype("float64").where(close.notna() & future.notna())


def _return(close: Column, horizon: int) -> Column:
    return close.shift(-horizon) / close - 1


def _volatility(close: Column, horizon: int) -> Column:
    steps = log_returns(close)
    size = steps.abs() if horizon == 1 else steps.rolling(horizon).std(ddof=0)
    return size.shift(-horizon)


def _last_close(y: Floats, horizon: int, close: Floats | None) -> Floats:  # noqa: ARG001 - one form for all
    from friday_store.errors import InvalidValueError

    if close is None:
        raise InvalidValueError("the naive forecast of next_close is the close, and there is none")
    return close


def _zero(y: Floats, horizon: int, close: Floats | None) -> Floats:  # noqa: ARG001 - one form for all
    return 0.0 * y


def _recent_mean(y: Floats, horizon: int, close: Floats | None) -> Floats:  # noqa: ARG001 - one form for all
    import numpy as np

    total = np.concatenate([[0.0], np.cumsum(y)])
    last = np.maximum(np.arange(len(y)) + 1 - horizon, 0)
    first = np.maximum(last - KNOWN_VALUES, 0)
    with np.errstate(invalid="ignore"):
        forecast: Floats = (total[last] - total[first]) / (last - first)
    return forecast
