"""What the labels promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from friday_store.default_plugins.targets import CloseTarget, builtin_targets
from friday_store.errors import InvalidValueError, PluginError
from friday_store.hookspecs import hookimpl
from friday_store.market.targets import ModelType, PredictionTarget, find_target, labels, target_name
from friday_store.plugins import Plugins

CLOSE = pd.Series([10.0, 11.0, 11.0, 9.0, 12.0, 15.0], index=pd.date_range("2024-01-01", periods=6))


def test_next_close_is_the_price_that_many_bars_later() -> None:
    """The label of row t is the close of row t + h."""
    assert labels(CLOSE, PredictionTarget.NEXT_CLOSE, 2).tolist() == [11.0, 9.0, 12.0, 15.0]


def test_return_is_simple() -> None:
    """The label is the later close over this one, less 1."""
    np.testing.assert_allclose(labels(CLOSE, "return", 1), [0.1, 0.0, -2 / 11, 1 / 3, 0.25], rtol=1e-15)


def test_an_unchanged_price_is_not_a_rise() -> None:
    """A tie is class 0."""
    assert labels(CLOSE, "price_direction", 1).tolist() == [1, 0, 0, 1, 1]


def test_a_rise_too_small_for_a_quotient_is_a_rise() -> None:
    """The direction compares prices, not a rounded return."""
    close = pd.Series([1.0 - 2**-53, 1.0, 1.0])
    assert labels(close, "price_direction", 1).tolist() == [1, 0]


@pytest.mark.parametrize("horizon", [2, 3, 5])
def test_volatility_is_the_population_deviation_of_the_log_returns_ahead(horizon: int) -> None:
    """The label of row t is the standard deviation of the h log returns after t."""
    steps = np.diff(np.log(CLOSE.to_numpy()))
    expected = [steps[row : row + horizon].std() for row in range(len(CLOSE) - horizon)]
    np.testing.assert_allclose(labels(CLOSE, "volatility", horizon), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("target", list(PredictionTarget))
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_defect_14_rows_without_a_future_have_no_label(target: PredictionTarget, horizon: int) -> None:
    """The last h rows are absent; none of them is labelled 0."""
    assert CLOSE.index[:-horizon].equals(labels(CLOSE, target, horizon).index)


def test_defect_16_volatility_one_bar_ahead_is_the_absolute_log_return() -> None:
    """A horizon of one gives a label for every row but the last."""
    np.testing.assert_allclose(labels(CLOSE, "volatility", 1), np.abs(np.diff(np.log(CLOSE))), rtol=1e-15)


def test_a_missing_price_takes_away_the_labels_that_need_it() -> None:
    """Neither the row without a price nor the one that looks at it has a label; the horizon counts bars."""
    close = CLOSE.copy()
    close.iloc[2] = np.nan
    assert [CLOSE.index[0], *CLOSE.index[3:5]] == labels(close, "return", 1).index.tolist()
    assert [CLOSE.index[1], CLOSE.index[3]] == labels(close, "price_direction", 2).index.tolist()


def test_labels_say_what_they_are() -> None:
    """Name and attributes carry the target and the horizon; a direction is of integers."""
    y = labels(CLOSE, "PRICE_DIRECTION", 2)
    assert (y.name, y.attrs, str(y.dtype)) == ("price_direction", {"target": "price_direction", "horizon": 2}, "int64")


def test_more_bars_ahead_than_there_are_gives_nothing() -> None:
    """A horizon beyond the data is no error and no label."""
    assert len(labels(CLOSE, "volatility", 6)) == 0


@pytest.mark.parametrize("horizon", [0, -1, 1.0, True, "1", None])
def test_a_horizon_is_a_whole_number_from_one(horizon: object) -> None:
    """Anything else is refused by name."""
    with pytest.raises(InvalidValueError, match="horizon"):
        labels(CLOSE, "return", horizon)  # type: ignore[arg-type]


def test_a_price_that_is_not_positive_is_refused() -> None:
    """Returns of such prices mean nothing, so the first one is named."""
    close = CLOSE.copy()
    close.iloc[3] = 0.0
    with pytest.raises(InvalidValueError, match="2024-01-04"):
        labels(close, "next_close", 1)


@pytest.mark.parametrize("text", ["random_forest", "RANDOM_FOREST", " Random_Forest "])
def test_choices_are_taken_in_any_case(text: str) -> None:
    """A plain string names a member whatever its case."""
    assert ModelType(text) is ModelType.RANDOM_FOREST


@pytest.mark.parametrize("value", ["forest", "", None, 3])
def test_an_unknown_choice_lists_the_known_ones(value: object) -> None:
    """The error names every choice."""
    with pytest.raises(InvalidValueError, match=r"linear, ridge, .* logistic"):
        ModelType(value)  # type: ignore[arg-type]


class Rises(CloseTarget):
    """A direction that labels the last bars 0, as a careless plugin might."""

    def labels(self, bars: pd.DataFrame, horizon: int) -> pd.Series[Any]:
        """Label every bar."""
        return super().labels(bars, horizon).fillna(0.0)


def test_a_target_that_labels_what_nobody_knows_is_refused() -> None:
    """Labels of the last rows, labels that are no classes, no labels and a reach of nothing are named."""
    made = {each.name: each for each in builtin_targets()}
    direction, plain = made["price_direction"], made["return"]
    assert isinstance(direction, CloseTarget)
    assert isinstance(plain, CloseTarget)
    careless = Rises("rises", "classification", "", direction.labeller, direction.forecaster)
    with pytest.raises(PluginError, match="'rises' labels some of the last 2 rows"):
        labels(CLOSE, careless, 2)
    with pytest.raises(PluginError, match="not all its labels are 0 or 1"):
        labels(CLOSE, replace(plain, name="classes", task="classification"), 1)
    with pytest.raises(PluginError, match="no label or NaN for each bar"):
        labels(CLOSE, replace(plain, labeller=lambda close, horizon: close.iloc[horizon:]), 1)


def test_a_target_may_be_given_itself_or_by_name() -> None:
    """A plugin's is found where plugins are given; without them the error lists the built-in ones."""
    plain = builtin_targets()[2]
    own = replace(plain, name="own")  # type: ignore[type-var]
    assert find_target(" RETURN ").name == "return"
    assert find_target(own) is own
    assert find_target("own", Plugins((), extra={"mine": Mine()})).name == "own"
    assert target_name(find_target("return")) is PredictionTarget.RETURN
    assert target_name(own) == "own"
    for wrong in ("own", None, 3):
        with pytest.raises(InvalidValueError):
            find_target(wrong)  # type: ignore[arg-type]


class Mine:
    """A plugin with a target."""

    @hookimpl
    def register_targets(self) -> list[Any]:
        """Return it."""
        return [replace(builtin_targets()[2], name="own")]  # type: ignore[type-var]


def test_only_the_direction_is_a_classification() -> None:
    """Each target says its task."""
    tasks = {target: target.task for target in PredictionTarget}
    assert [target for target, task in tasks.items() if task == "classification"] == ["price_direction"]
