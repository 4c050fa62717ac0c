"""A forecast of a price, made from a forecast of a return.

This module imports scikit-learn; the rest of the package loads it when the first such model is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from friday_store.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ReturnToPrice(RegressorMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """Predict ``close · (1 + r)``, where ``regressor`` predicts the return ``r`` from the other columns.

    Trees and any other model that cannot leave the range of its training labels can so follow a price to where it
    has never been. ``X`` is a frame with the column ``close``, or an array whose first column is the close; the
    rest are the features of ``regressor``, which never sees the close itself. ``y`` is a price.

    Args:
        regressor: A scikit-learn regressor; it is cloned, not fitted.

    Attributes:
        regressor_: The fitted regressor of the return.
        feature_names_in_: Names of the columns of ``X``; only after a fit on a frame.
    """

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Fit a clone of ``regressor`` to the returns from the close to ``y``.

        Raises:
            InvalidValueError: ``X`` has no close, or one that is not positive.
        """
        close, features = self.take_close(X)
        self.regressor_ = clone(self.regressor).fit(features, np.asarray(y, dtype="float64") / close - 1)
        self.n_features_in_ = np.shape(X)[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803 - scikit-learn's name
        """Return one price for each row of ``X``.

        Raises:
            InvalidValueError: ``X`` has no close, or one that is not positive.
        """
        check_is_fitted(self, "regressor_")
        close, features = self.take_close(X)
        prices: NDArray[np.float64] = close * (1 + self.regressor_.predict(features))
        return prices

    @staticmethod
    def take_close(X: Any) -> tuple[NDArray[np.float64], Any]:  # noqa: N803 - scikit-learn's name
        """Return the close of each row, and ``X`` without it."""
        if isinstance(X, pd.DataFrame):
            if "close" not in X.columns:
                raise InvalidValueError("a forecast of the close needs the column 'close' in X")
            close, features = X["close"].to_numpy(dtype="float64"), X.drop(columns="close")
        else:
            X = np.asarray(X, dtype="float64")  # noqa: N806 - scikit-learn's name
            close, features = X[:, 0], X[:, 1:]
        if not (close > 0).all():
            raise InvalidValueError("a close must be positive")
        return close, features
