"""What the market trainer promises."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline

from friday_store.default_plugins.estimators import builtin_trainers
from friday_store.errors import ConflictError, InvalidValueError, PluginError
from friday_store.hookspecs import Search, Trial
from friday_store.market import MarketDataModelTrainer, ModelType, PredictionTarget, WalkForwardSplit
from friday_store.market.data import DataFacts
from friday_store.market.demo_data import stocks
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.market.fitting import Options, fit
from friday_store.market.samples import Samples
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from friday_store.hookspecs import Task
    from friday_store.market.results import ResultRow, Results


class Shelf(ModelRegistry):
    """A registry in memory that remembers what each transaction was asked to register."""

    def __init__(self) -> None:
        super().__init__(f"memory://{uuid4().hex}", plugins=Plugins(()))
        self.transactions: list[list[dict[str, Any]]] = []

    def register_models(self, models: Iterable[Mapping[str, Any]]) -> list[str]:
        """Note the arguments of one transaction."""
        self.transactions.append([dict(each) for each in models])
        return super().register_models(self.transactions[-1])

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Every version's record, with its model."""
        return {
            found["model_id"]: {**found, "model": self.load_model(found["model_id"])} for found in self.list_models()
        }


class Coin:
    """A family as a plugin would bring it: one class, always."""

    name = "COIN"
    tasks: Sequence[Task] = ("classification",)

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Return a classifier of the most frequent class."""
        return DummyClassifier(strategy="prior", random_state=seed, **params)

    def search_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return two ways to guess."""
        return {"strategy": ["prior", "uniform"]}


class Broken(Coin):
    """A family whose estimator cannot be made."""

    name = "BROKEN"

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Fail as a plugin may."""
        raise ZeroDivisionError("no luck")


class Probe(RegressorMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """A regressor that remembers the times of the rows it was given."""

    calls: ClassVar[list[tuple[str, pd.Index[Any]]]] = []

    def __init__(self, level: float = 0.0) -> None:
        self.level = level

    def fit(self, X: pd.DataFrame, y: Any) -> Probe:  # noqa: N803
        """Remember the training rows."""
        self.calls.append(("fit", X.index))
        return self

    def predict(self, X: pd.DataFrame) -> Any:  # noqa: N803
        """Remember the test rows."""
        self.calls.append(("predict", X.index))
        return np.full(len(X), self.level)


class Watched:
    """A family of probes."""

    name = "WATCHED"
    tasks: Sequence[Task] = ("regression",)

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Return a probe."""
        return Probe(**params)

    def search_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return two levels."""
        return {"level": [0.0, 1.0]}


class Families:
    """The families of plugins besides the built-in ones."""

    def trainer(self, name: str) -> Any:
        """Return a family by its name."""
        return {family.name: family for family in (*builtin_trainers(), Coin(), Broken(), Watched())}[name]

    def targets(self) -> dict[str, Any]:
        """Return what can be predicted besides the built-in targets."""
        return {"next_day": NextDay()}

    def tuners(self) -> dict[str, Any]:
        """Return how parameters can be searched for besides the built-in ways."""
        return {"first": First(), "wild": Wild()}


class NextDay:
    """A target as a plugin would bring it: the return from the next open to the open ``horizon`` bars later."""

    name = "next_day"
    task: Task = "regression"
    baseline = "nothing"
    of_price = False

    def labels(self, bars: pd.DataFrame, horizon: int) -> pd.Series[Any]:
        """Return what can be earned when the order is given after the close."""
        return bars["open"].shift(-horizon - 1) / bars["open"].shift(-1) - 1

    def reach(self, horizon: int) -> int:
        """Return one bar more than the horizon."""
        return horizon + 1

    def naive(self, y: Any, horizon: int, close: Any) -> Any:
        """Return zero for each row."""
        assert close is None
        return np.zeros(len(y))


def bars(rows: int = 400, seed: int = 0, drift: float = 0.0) -> pd.DataFrame:
    """Return raw bars of a random walk."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(drift, 0.01, rows)))
    opened = close * np.exp(draw.normal(0, 0.003, rows))
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    volume = draw.integers(1_000, 2_000, rows).astype("float64")
    index = pd.date_range("2020-01-01", periods=rows, name="date")
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": volume}, index=index)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory of processed data with one symbol."""
    write_processed(prepare_ohlcv(bars()), tmp_path / "data", "NSE_TCS", "1d")
    return tmp_path / "data"


def fitted(model_type: ModelType | str, target: PredictionTarget | str, **options: Any) -> tuple[Any, Any]:
    """Return estimator and evaluation of one model of a random walk."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars()), target, options.pop("horizon", 1))
    return trainer.train_model(x, y, model_type, **options)


def statuses(results: Results) -> list[str]:
    """Return each row's status."""
    return [row.status for row in results]


@pytest.mark.parametrize("model_type", list(ModelType))
def test_defect_15_a_direction_gets_the_classifier_of_the_family(model_type: ModelType) -> None:
    """Every family predicts a direction as classes with probabilities, and is scored as such."""
    estimator, evaluation = fitted(model_type, PredictionTarget.PRICE_DIRECTION)
    assert is_classifier(estimator)
    scores = {"accuracy", "balanced_accuracy", "f1", "log_loss", "brier", "roc_auc", "mcc"}
    skills = {"skill", *(f"skill_{name}" for name in ("balanced_accuracy", "roc_auc", "log_loss", "brier"))}
    assert scores | skills | {"base_rate"} | {f"baseline_{name}" for name in scores} == set(evaluation.metrics)
    assert all(math.isfinite(value) for value in evaluation.metrics.values())
    assert evaluation.task == "classification"


@pytest.mark.parametrize("model_type", [kind for kind in ModelType if kind is not ModelType.LOGISTIC])
def test_other_targets_get_the_regressor(model_type: ModelType) -> None:
    """Every family but LOGISTIC predicts a number; with labels of a hundredth it still tells rows apart."""
    estimator, evaluation = fitted(model_type, "return")
    assert is_regressor(estimator)
    scores = {"mse", "rmse", "mae", "r2", "rank_ic", "hit_rate"}
    skills = {"skill", "skill_mae", "skill_hit_rate"}
    assert scores | skills | {f"baseline_{name}" for name in scores} == set(evaluation.metrics)
    x, _ = MarketDataModelTrainer(use_model_registry=False).prepare_features_and_target(prepare_ohlcv(bars()), "return")
    assert np.ptp(estimator.predict(x)) > 1e-4


def test_a_price_can_be_forecast_where_it_has_never_been() -> None:
    """A forest forecasts the close from the close and a return, so it follows a trend out of its training range."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars(drift=0.01)), PredictionTarget.NEXT_CLOSE, 5)
    estimator, evaluation = trainer.train_model(x, y, "random_forest")
    assert x.columns[0] == "close"
    assert "close" not in estimator.regressor_.feature_names_in_
    assert estimator.predict(x.iloc[-20:]).min() > y.iloc[: evaluation.split["train_rows"]].max()
    assert evaluation.metrics["skill"] > 0.2
    with pytest.raises(InvalidValueError, match="close"):
        estimator.predict(x.drop(columns="close"))


def test_defect_17_prices_of_the_test_part_change_no_bit_of_the_model() -> None:
    """A model of data whose test part is replaced is the same, byte for byte, for each target and horizon."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    data = prepare_ohlcv(bars())
    for target in PredictionTarget:
        for horizon in (1, 7):
            x, y = trainer.prepare_features_and_target(data, target, horizon)
            _, evaluation = trainer.train_model(x, y, "ridge")
            changed = data.copy()
            changed.loc[evaluation.split["test_first"] :, "close"] *= 3
            models = [
                pickle.dumps(
                    trainer.train_model(*trainer.prepare_features_and_target(one, target, horizon), "ridge")[0]
                )
                for one in (data, changed)
            ]
            assert models[0] == models[1]
            newest = pd.Timestamp(evaluation.split["train_last"]) + horizon * pd.Timedelta(days=1)
            assert newest < pd.Timestamp(evaluation.split["test_first"])


def test_folds_inside_an_estimator_get_the_gap_of_the_horizon() -> None:
    """The calibration of an SVC is purged as the hold-out is."""
    estimator, _ = fitted("svr", "price_direction", horizon=7)
    assert estimator.get_params()["model__cv"].gap == 7


def test_a_target_of_a_plugin_is_asked_for_by_its_string(folder: Path) -> None:
    """It is a tag and a field, its reach is the gap of split and search, its baseline is recorded."""
    shelf = Shelf()
    trainer = MarketDataModelTrainer(folder, registry=shelf, plugins=Families())
    (row,) = trainer.train_models_for_symbol("NSE_TCS", "1d", "next_day", 3, "ridge", tune_hyperparams=True)
    assert (row.status, row.target_type) == ("trained", "next_day"), row.reason
    (record,) = shelf.records.values()
    assert record["model_name"] == "NSE_TCS_1d_next_day_3_ridge"
    assert "next_day" in record["tags"]
    assert (record["metadata"]["market"]["target_type"], record["metadata"]["market"]["fitted_to"]) == (
        "next_day",
        "next_day",
    )
    evaluation = record["evaluation"]
    assert (evaluation["baseline"], evaluation["split"]["gap"], evaluation["search"]["gap"]) == ("nothing", 4, 4)
    x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars()), "next_day", 3)
    assert len(y) == 351 - 4
    model, again = trainer.train_model(x, y, "ridge")
    assert (again.target, again.split["gap"]) == ("next_day", 4)
    saved = trainer.save_model(model, again, symbol="X", timeframe="1d", model_type="ridge")
    assert shelf.records[saved]["metadata"]["market"]["target_type"] == "next_day"
    with pytest.raises(InvalidValueError, match=r"choose one of .*volatility, next_day"):
        trainer.prepare_features_and_target(prepare_ohlcv(bars()), "oracle")


def test_a_price_model_says_that_it_was_trained_on_a_return(folder: Path) -> None:
    """The record of next_close has it as a field and in words."""
    shelf = Shelf()
    MarketDataModelTrainer(folder, registry=shelf).train_models_for_symbol("NSE_TCS", "1d", "next_close", 1, "ridge")
    (record,) = shelf.records.values()
    assert (record["metadata"]["market"]["fitted_to"], record["evaluation"]["fitted_to"]) == ("return", "return")
    assert "through a forecast of the return" in record["description"]


def test_a_search_is_recorded_and_goes_forward_in_time() -> None:
    """The record holds every candidate, the folds, their gap and the winner, which the estimator then has."""
    estimator, evaluation = fitted("ridge", "return", horizon=3, tune_hyperparams=True)
    search = evaluation.search
    assert (search["folds"], search["gap"], search["scoring"], len(search["tried"])) == (
        3,
        3,
        "neg_mean_squared_error",
        4,
    )
    assert max(search["tried"], key=lambda one: one["mean"])["params"] == search["params"]
    assert estimator.get_params()["model__alpha"] == search["params"]["model__alpha"]
    assert fitted("linear", "return", tune_hyperparams=True)[1].search == {}
    assert fitted("logistic", "price_direction", tune_hyperparams=True)[1].search["scoring"] == "neg_log_loss"


@pytest.mark.parametrize("horizon", [1, 9])
def test_a_search_never_sees_the_test_part_or_a_label_that_reaches_into_its_fold(horizon: int) -> None:
    """Each fold is tested on rows later than every price in its training labels and earlier than the test part."""
    trainer = MarketDataModelTrainer(use_model_registry=False, plugins=Families())
    x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars()), "return", horizon)
    Probe.calls.clear()
    _, evaluation = trainer.train_model(x, y, "watched", tune_hyperparams=True)
    steps = [step for step, _ in Probe.calls]
    assert steps == ["fit", "predict"] * 7
    ahead = pd.Timedelta(days=horizon)
    for (_, trained), (_, tested) in zip(Probe.calls[::2], Probe.calls[1::2], strict=True):
        assert trained.max() + ahead < tested.min()
    assert all(rows.max() < pd.Timestamp(evaluation.split["test_first"]) for _, rows in Probe.calls[:-1])
    assert (0.0, y.index[-1]) == (evaluation.search["params"]["level"], Probe.calls[-1][1].max())


def test_a_price_model_is_tuned_on_returns() -> None:
    """The search does not see the level of the price."""
    estimator, evaluation = fitted("ridge", "next_close", tune_hyperparams=True)
    assert evaluation.search["score"] > -0.01
    assert estimator.regressor.get_params()["model__alpha"] == evaluation.search["params"]["model__alpha"]


@pytest.mark.parametrize(("word", "tried"), [(True, 8), ("grid", 8), (" Random ", 5), ("halving", 8)])
def test_a_word_chooses_the_search(word: bool | str, tried: int) -> None:
    """True is the grid, random tries as many as it may, halving most of them on fewer rows; none is no search."""
    trainer = MarketDataModelTrainer(use_model_registry=False, trials=5)
    x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars(600)), "return")
    _, evaluation = trainer.train_model(x, y, "hist_gradient_boosting", tune_hyperparams=word)
    search = evaluation.search
    assert ("grid" if word is True else str(word).strip().lower(), tried) == (
        search["strategy"],
        search["configurations"],
    )
    assert evaluation.configurations == evaluation.as_record()["configurations"] == tried
    complete = [one for one in search["tried"] if one.get("complete", True)]
    assert max(complete, key=lambda one: one["mean"])["params"] == search["params"]
    assert all(len(one["scores"]) == 3 for one in search["tried"])
    assert len(complete) == (4 if word == "halving" else tried)
    again = trainer.train_model(x, y, "hist_gradient_boosting", tune_hyperparams=word)[1]
    assert evaluation.as_record() == again.as_record()


def test_none_is_no_search_and_another_word_lists_the_known_ones() -> None:
    """Also for a whole symbol, before any work."""
    assert fitted("ridge", "return", tune_hyperparams="none")[1].search == {}
    assert fitted("ridge", "return", tune_hyperparams=False)[1].configurations == 1
    with pytest.raises(InvalidValueError, match="choose one of none, grid, random, halving"):
        fitted("ridge", "return", tune_hyperparams="luck")
    with pytest.raises(InvalidValueError, match="trials"):
        MarketDataModelTrainer(trials=0)


def test_a_tuner_of_a_plugin_is_asked_for_by_its_word(folder: Path) -> None:
    """It is given the purged folds, score and seed, and what it tried is recorded; nonsense is refused by its name."""
    shelf = Shelf()
    trainer = MarketDataModelTrainer(folder, registry=shelf, plugins=Families(), trials=7)
    asked = ("NSE_TCS", "1d", "price_direction", 3, "ridge")
    (row,) = trainer.train_models_for_symbol(*asked, tune_hyperparams="first")
    assert row.status == "trained", row.reason
    (record,) = shelf.records.values()
    search = record["evaluation"]["search"]
    assert (search["strategy"], search["configurations"], search["params"]) == ("first", 2, {"model__C": 0.01})
    (given,) = First.given
    assert (given.trials, given.seed, len(given.folds)) == (7, 42, 3)
    assert all(train[-1] + 3 < test[0] for train, test in given.folds)
    (row,) = trainer.train_models_for_symbol(*asked, tune_hyperparams="wild")
    assert "the tuner 'wild' tried luck, which the estimator does not have" in row.reason


class First:
    """A tuner as a plugin would bring it: the first value of each parameter, then the last."""

    name = "first"
    given: ClassVar[list[Search]] = []

    def search(self, search: Search) -> Iterable[Trial]:
        """Score two candidates by hand."""
        self.given.append(search)
        for place in (0, -1):
            params = {name: values[place] for name, values in search.space.items()}
            scores = []
            for train, test in search.folds:
                model = clone(search.estimator).set_params(**params)
                model.fit(search.features.iloc[train], search.labels.iloc[train])
                scores.append(search.scoring(model, search.features.iloc[test], search.labels.iloc[test]))
            yield Trial(params, scores)


class Wild(First):
    """A tuner that makes parameters up."""

    name = "wild"

    def search(self, search: Search) -> Iterable[Trial]:
        """Return one that no estimator has."""
        return [Trial({"luck": 1}, [1.0])]


class Impatient:
    """A family whose estimators would stop early on rows drawn at random."""

    name = "IMPATIENT"
    tasks: Sequence[Task] = ("regression",)

    def __init__(self, estimator: Any) -> None:
        self.made = estimator

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Return it."""
        return clone(self.made)

    def search_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return nothing to tune."""
        return {}


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingRegressor(),
        HistGradientBoostingRegressor(early_stopping=True),
        make_pipeline(GradientBoostingRegressor(n_iter_no_change=3)),
        TransformedTargetRegressor(HistGradientBoostingRegressor()),
    ],
)
def test_early_stopping_on_rows_drawn_at_random_is_refused(estimator: Any) -> None:
    """Also where it is the default, or inside a pipeline; no built-in family does it."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars()), "return")
    with pytest.raises(InvalidValueError, match="would stop early on rows drawn at random"):
        fit(Samples.of_arrays(x, y), Impatient(estimator), Options(0.2, 1, 2))


@pytest.mark.parametrize("target", ["next_close", "return", "price_direction"])
def test_a_walk_forward_evaluation_records_every_fold_and_the_spread(target: str) -> None:
    """Each fold has its rows, its purge and its scores; the model is the one that the hold-out alone gives."""
    trainer = MarketDataModelTrainer(use_model_registry=False, walk_forward=WalkForwardSplit(4, embargo=2))
    x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars()), target, 3)
    model, evaluation = trainer.train_model(x, y, "ridge", tune_hyperparams="grid")
    walked = evaluation.as_record()["walk_forward"]
    assert (walked["n_splits"], walked["horizon"], walked["embargo"], len(walked["folds"])) == (4, 3, 2, 4)
    for fold in walked["folds"]:
        assert pd.Timestamp(fold["train_last"]) + pd.Timedelta(days=3 + 2) < pd.Timestamp(fold["test_first"])
        assert set(evaluation.metrics) == set(fold["metrics"])
        assert fold["configurations"] == len(evaluation.search["tried"])
    assert walked["folds"][-1]["test_last"] == evaluation.split["test_last"]
    skills = [fold["metrics"]["skill"] for fold in walked["folds"]]
    skill = walked["spread"]["skill"]
    assert (skill["mean"], skill["std"]) == pytest.approx((np.mean(skills), np.std(skills, ddof=1)))
    assert (skill["stderr"], skill["folds"]) == (pytest.approx(skill["std"] / 2), 4)
    alone, _ = fitted("ridge", target, horizon=3, tune_hyperparams="grid")
    assert pickle.dumps(alone) == pickle.dumps(model)


def test_a_number_of_folds_is_enough_for_a_walk_forward(folder: Path) -> None:
    """It widens the purge to each job's horizon, and a fold that cannot be trained fails its row."""
    shelf = Shelf()
    trainer = MarketDataModelTrainer(folder, registry=shelf, walk_forward=3)
    results = trainer.train_models_for_symbol("NSE_TCS", "1d", "return", [1, 20], "ridge")
    assert statuses(results) == ["trained"] * 2
    assert [1, 20] == [record["evaluation"]["walk_forward"]["horizon"] for record in shelf.records.values()]
    (row,) = trainer.train_models_for_symbol("NSE_TCS", "1d", "return", 100, "ridge")
    assert (row.status, "fold 1 of 3 has no row to train on" in row.reason) == ("failed", True)


def panel(rows: int = 400) -> dict[str, pd.DataFrame]:
    """Return three symbols with calendars of their own."""
    data = {f"S{seed}": prepare_ohlcv(bars(rows, seed)) for seed in range(3)}
    data["S1"] = data["S1"].drop(data["S1"].index[100:140])
    data["S2"] = data["S2"].iloc[50:]
    return data


@pytest.mark.parametrize(
    ("target", "kind"),
    [("next_close", "ridge"), ("volatility", "random_forest"), ("price_direction", "logistic"), ("return", "lasso")],
)
def test_one_model_is_trained_on_a_panel_of_symbols(target: str, kind: str) -> None:
    """All symbols of a date are on one side, every label window ends before the test part, and it can be saved."""
    shelf = Shelf()
    trainer = MarketDataModelTrainer(registry=shelf, walk_forward=2)
    x, y = trainer.prepare_panel(panel(), target, 5)
    model, evaluation = trainer.train_model(x, y, kind, tune_hyperparams=True)
    split = evaluation.split
    dates = x.index.get_level_values("date")
    begin = pd.Timestamp(split["test_first"])
    assert (x.index.names, split["symbols"]) == (["date", "symbol"], ["S0", "S1", "S2"])
    assert split["test_rows"] == (dates >= begin).sum()
    known = pd.Series(dates, index=x.index).groupby(level="symbol").shift(-5)
    assert split["train_rows"] == (known < begin).sum()
    assert len(dates[dates >= begin].unique()) == math.ceil(len(dates.unique()) * 0.2)
    assert all(math.isfinite(value) for value in evaluation.metrics.values()), evaluation.undefined
    assert len(evaluation.walk_forward["folds"]) == 2
    assert np.isfinite(model.predict(x)).all()
    saved = trainer.save_model(model, evaluation, symbol="ALL", timeframe="1d", model_type=kind)
    assert shelf.records[saved]["training_data"]["split"]["symbols"] == ["S0", "S1", "S2"]


def test_the_naive_forecast_of_a_panel_is_of_each_symbol() -> None:
    """A volatility is compared with the recent volatility of the same symbol."""
    data = panel()
    both = Samples.of_panel(data, "volatility", 5)
    naive = pd.Series(both.naive(), index=both.labels.index)
    for symbol, frame in data.items():
        alone = Samples.of_data(frame, "volatility", 5)
        np.testing.assert_array_equal(alone.naive(), naive.xs(symbol, level="symbol"))


def test_folds_inside_an_estimator_are_purged_by_rows_of_the_panel() -> None:
    """The calibration of an SVC sees rows, so its gap is as many of them as the longest label window spans."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    x, y = trainer.prepare_panel(panel(), "price_direction", 5)
    model, _ = trainer.train_model(x, y, "svr")
    gap = model.get_params()["model__cv"].gap
    dates = x.index.get_level_values("date")
    ends = pd.Series(dates, index=x.index).groupby(level="symbol").shift(-5).to_numpy()
    spans = [int((dates <= end).sum()) - 1 - row for row, end in enumerate(ends) if not pd.isna(end)]
    assert max(spans) == gap


def test_a_panel_that_does_not_fit_together_is_refused() -> None:
    """Other features, another time zone, no close, no symbols and rows out of order are named."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    data = panel()
    for odd, problem in (
        (data["S2"].assign(news=1.0), "S2 and S0 differ in their features: news"),
        (data["S2"].tz_localize("UTC"), "S2 and S0 differ in their time zones"),
        (data["S2"].drop(columns="close"), "S2: no column close"),
    ):
        with pytest.raises(InvalidValueError, match=problem):
            trainer.prepare_panel({**data, "S2": odd}, "return")
    with pytest.raises(InvalidValueError, match="at least one symbol"):
        trainer.prepare_panel({}, "return")
    x, y = trainer.prepare_panel(data, "return")
    for index in (x.index[::-1], x.swaplevel().index):
        with pytest.raises(InvalidValueError, match="in order of time"):
            trainer.train_model(x.set_axis(index), y.set_axis(index), "ridge", target="return", horizon=1)


def test_labels_that_say_nothing_need_help() -> None:
    """Bare arrays train when target and horizon are given, and are refused by name when not."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(300, 3)), draw.integers(0, 2, 300)
    estimator, evaluation = trainer.train_model(x, y, "logistic", target="price_direction", horizon=2)
    assert (evaluation.target, evaluation.horizon) == ("price_direction", 2)
    assert estimator.predict_proba(pd.DataFrame(x, columns=estimator.feature_names_in_)).shape == (300, 2)
    for said, problem in (
        ({}, "what it is the label of"),
        ({"target": "return"}, "horizon"),
        ({"horizon": 1}, "target"),
    ):
        with pytest.raises(InvalidValueError, match=problem):
            trainer.train_model(x, y, "logistic", **said)
    with pytest.raises(InvalidValueError, match="299"):
        trainer.train_model(x, y[1:], "logistic", target="return", horizon=1)
    with pytest.raises(InvalidValueError, match="LOGISTIC does classification only"):
        trainer.train_model(x, y, "logistic", target="return", horizon=1)
    with pytest.raises(InvalidValueError, match="choose one of"):
        trainer.train_model(x, y, "oracle", target="return", horizon=1)


def test_columns_that_are_no_numbers_or_raw_prices_are_no_features() -> None:
    """Text is left out, prices and volume are left out, and data without any feature are refused."""
    trainer = MarketDataModelTrainer(use_model_registry=False)
    data = bars(30).assign(vwap=1.0, ticker="X", up=True, rsi=0.5)
    x, _ = trainer.prepare_features_and_target(data, "return")
    assert list(x.columns) == ["up", "rsi"]
    with pytest.raises(InvalidValueError, match="no feature"):
        trainer.prepare_features_and_target(bars(30), "return")


def test_defect_21_the_processed_file_of_the_package_is_taken(folder: Path) -> None:
    """What write_processed writes, with its date column, loads and trains."""
    trainer = MarketDataModelTrainer(folder, use_model_registry=False)
    data = trainer.load_processed_data("NSE_TCS/NSE_TCS_1d_processed.csv")
    x, y = trainer.prepare_features_and_target(data.reset_index(), PredictionTarget.RETURN)
    assert len(x) == len(y) == len(data) - 1


def test_a_symbol_is_trained_and_registered_in_one_transaction(folder: Path) -> None:
    """Each combination is one row, and each version carries name, tags, facts, data, split, seed and parameters."""
    shelf = Shelf()
    seen: list[ResultRow] = []
    trainer = MarketDataModelTrainer(folder, registry=shelf, progress=seen.append)
    results = trainer.train_models_for_symbol(
        "NSE_TCS", ["1d"], ["return", PredictionTarget.PRICE_DIRECTION], [1, 5], [ModelType.RIDGE, "LINEAR"]
    )
    assert statuses(results) == ["trained"] * 8
    assert [row.metrics for row in results] == [row.metrics for row in seen]
    assert results.to_frame()["model_name"].nunique() == 8
    assert [len(versions) for versions in shelf.transactions] == [8]
    record = shelf.get_model_metadata(results[3].model_id or "")
    assert "NSE_TCS_1d_return_5_linear" == record["model_name"] == results[3].model_name
    assert sorted(["NSE_TCS", "1d", "return", "horizon_5", "linear"]) == record["tags"]
    market = record["metadata"]["market"]
    assert tuple(market[name] for name in ("symbol", "timeframe", "target_type", "forecast_horizon", "model_type")) == (
        "NSE_TCS",
        "1d",
        "return",
        5,
        "linear",
    )
    data = trainer.load_processed_data(folder / "NSE_TCS" / "NSE_TCS_1d_processed.csv")
    assert DataFacts.of(data).as_record().items() <= record["training_data"].items()
    assert record["training_data"]["files"] == ["NSE_TCS/NSE_TCS_1d_processed.csv"]
    assert {"train_first", "train_last", "test_first", "test_last", "gap"} <= set(record["training_data"]["split"])
    assert (record["training_data"]["seed"], record["evaluation"]["baseline"]) == (42, "zero return")
    assert record["metrics"] == results[3].metrics
    assert "model__fit_intercept" in record["hyperparameters"]
    assert set(record["training_data"]["features"]) == set(record["feature_importance"])


def test_defect_22_a_change_of_directory_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths mean what they meant when the trainer was made, and no record names an absolute one."""
    monkeypatch.chdir(tmp_path)
    shelf = Shelf()
    trainer = MarketDataModelTrainer("data", evaluation_dir="reports", registry=shelf)
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert statuses(trainer.train_models_for_symbol("NSE_TCS", "1d", "return", 1, "ridge")) == ["trained"]
    report = tmp_path / "reports" / "NSE_TCS_1d_return_1_ridge.json"
    assert json.loads(report.read_text())["metrics"]["rmse"] > 0
    record = {name: value for name, value in shelf.transactions[0][0].items() if name != "model"}
    assert str(tmp_path) not in json.dumps(record) + report.read_text()


def test_defect_23_every_combination_asked_for_is_a_row(folder: Path) -> None:
    """A missing file, a file that cannot be read, too few rows, a wrong task and a plugin's failure are all told."""
    (folder / "BAD_1d_x.csv").write_text("date,close\n2024-01-02,1\n2024-01-01,2\n")
    write_processed(prepare_ohlcv(bars(248)), folder, "FEW", "1d")
    shelf = Shelf()
    trainer = MarketDataModelTrainer(folder, registry=shelf, plugins=Families())
    results = trainer.train_models_for_all_symbols(
        ["NSE_TCS", "BAD", "FEW", "NONE"],
        timeframes=["1d", "1h"],
        target_types=["return", "price_direction"],
        forecast_horizons=[1],
        model_types=["ridge", "coin", "broken"],
    )
    assert len(results) == 4 * 2 * 2 * 1 * 3
    frame = results.to_frame().set_index(["symbol", "timeframe", "target_type", "model_type"])
    reasons = frame["status"] + ": " + frame["reason"]
    assert reasons["NSE_TCS", "1d", "price_direction", "coin"] == "trained: "
    assert "skipped: no file NSE_TCS_1h_*" in reasons["NSE_TCS", "1h", "return", "ridge"]
    assert "skipped: COIN does classification only" in reasons["NSE_TCS", "1d", "return", "coin"]
    assert reasons["NSE_TCS", "1d", "price_direction", "broken"] == "failed: ZeroDivisionError: no luck"
    assert "failed: InvalidValueError: " in reasons["BAD", "1d", "return", "ridge"]
    assert "not sorted" in reasons["BAD", "1d", "return", "ridge"]
    assert reasons["FEW", "1d", "return", "ridge"] == "skipped: 198 usable rows, fewer than the 200 needed"
    assert "there is BAD, FEW, NSE_TCS" in reasons["NONE", "1d", "return", "ridge"]
    assert 3 == len(results.with_status("trained")) == sum(map(len, shelf.transactions))
    assert repr(results) == "<Results: 3 trained, 38 skipped, 7 failed>"


def test_defect_24_minute_and_month_models_have_names_of_their_own(tmp_path: Path) -> None:
    """Neither data, names nor reports of 1m and 1M meet, on a disk that ignores case too."""
    for timeframe, seed in (("1m", 1), ("1M", 2)):
        write_processed(prepare_ohlcv(bars(seed=seed)), tmp_path / "data", "X", timeframe)
    shelf = Shelf()
    trainer = MarketDataModelTrainer(tmp_path / "data", evaluation_dir=tmp_path / "reports", registry=shelf)
    results = trainer.train_models_for_symbol("X", None, "return", 1, "ridge")
    assert [row.model_name for row in results] == ["X_1m_return_1_ridge", "X_1M_return_1_ridge"]
    digests = {record["training_data"]["digest"] for record in shelf.records.values()}
    reports = {path.name.lower() for path in (tmp_path / "reports").iterdir()}
    assert (len(digests), len(reports)) == (2, 2)


def test_one_class_is_a_reason_to_skip(tmp_path: Path) -> None:
    """A price that only rises has no direction to learn."""
    rising = bars().assign(close=np.linspace(100, 200, 400))
    write_processed(prepare_ohlcv(rising), tmp_path, "UP", "1d")
    trainer = MarketDataModelTrainer(tmp_path, registry=Shelf())
    (row,) = trainer.train_models_for_symbol("UP", "1d", "price_direction", 1, "logistic")
    assert (row.status, "of class 1" in row.reason) == ("skipped", True)


def test_a_feature_that_is_empty_is_named(folder: Path) -> None:
    """The reason for too few rows says which column takes them away."""
    data = prepare_ohlcv(bars()).assign(sentiment=np.nan)
    write_processed(data, folder, "GAP", "1d")
    trainer = MarketDataModelTrainer(folder, registry=Shelf())
    (row,) = trainer.train_models_for_symbol("GAP", "1d", "return", 1, "ridge")
    assert row.reason == "0 usable rows, fewer than the 200 needed; 'sentiment' has no value in 351 rows of the data"


def test_a_refused_registration_fails_its_rows(folder: Path) -> None:
    """What could be trained but not registered is failed, with the registry's words; nothing is raised away."""

    class Refusing(Shelf):
        def register_models(self, models: Iterable[Mapping[str, Any]]) -> list[str]:
            raise ConflictError("somebody else was first")

    trainer = MarketDataModelTrainer(folder, registry=Refusing())
    (row,) = trainer.train_models_for_symbol("NSE_TCS", "1d", "return", 1, "ridge")
    assert (row.status, row.reason) == ("failed", "not registered: ConflictError: somebody else was first")
    assert row.metrics["rmse"] > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeframes": ["2d"]},
        {"timeframes": "1D"},
        {"target_types": ["price"]},
        {"forecast_horizons": [0]},
        {"model_types": ["oracle"]},
    ],
)
def test_a_wrong_argument_is_refused_before_any_work(folder: Path, wrong: dict[str, Any]) -> None:
    """A timeframe, target, horizon or family that does not exist is no row but an error."""
    shelf = Shelf()
    with pytest.raises((InvalidValueError, PluginError)):
        MarketDataModelTrainer(folder, registry=shelf).train_models_for_symbol("NSE_TCS", **wrong)
    assert shelf.transactions == []


def model_digests(folder: Path, kinds: Sequence[str], **options: Any) -> dict[str, str]:
    """Train in a registry of memory and return the digest of each model as it is stored, by its name."""
    shelf = Shelf()
    trainer = MarketDataModelTrainer(folder, registry=shelf, **options)
    results = trainer.train_models_for_symbol("NSE_TCS", "1d", ["next_close", "price_direction"], 1, kinds)
    assert {"trained"} == {row.status for row in results}, results.to_frame()["reason"].tolist()
    (versions,) = shelf.transactions
    return {
        version["model_name"]: hashlib.blake2b(b"".join(version["model"].views().values())).hexdigest()[:16]
        for version in versions
    }


def test_what_a_process_did_before_changes_no_bit_of_a_model() -> None:
    """An estimator that was unpickled leaves its names in the tables of its class, and no trace in the next model."""
    models = []
    for _ in range(2):
        model, _ = fitted("hist_gradient_boosting", "next_close")
        models.append(pickle.dumps(model))
        stranger = pickle.loads(models[0])
        stranger.regressor_.__dict__ = {"".join(name): value for name, value in vars(stranger.regressor_).items()}
    assert len({hashlib.blake2b(model).hexdigest() for model in models}) == 1


def test_equal_data_and_seed_give_equal_bytes_in_one_process_or_two(folder: Path) -> None:
    """A model's pickle is the same on a second run and from a worker; another seed gives another."""
    kinds = ["random_forest", "hist_gradient_boosting", "ridge", "svr"]
    here, there, other = (
        model_digests(folder, kinds, n_jobs=n_jobs, random_state=seed)
        for n_jobs, seed in ((None, 1), (2, 1), (None, 2))
    )
    assert here == there
    assert here["NSE_TCS_1d_next_close_1_random_forest"] != other["NSE_TCS_1d_next_close_1_random_forest"]


def test_the_number_of_threads_changes_no_bit_of_a_model(folder: Path) -> None:
    """Also the first fit of a process, which loads the libraries that have threads, is the same with 1 and with 3."""
    write_processed(prepare_ohlcv(bars(1_500)), folder, "NSE_TCS", "1d")
    runs = []
    for threads in (1, 3):
        with parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=threads):
            runs.append(model_digests(folder, ["hist_gradient_boosting"]))
    assert runs[0] == runs[1]


def test_a_model_can_be_saved_on_its_own(folder: Path, tmp_path: Path) -> None:
    """Into a registry it gives an id, without one a file; with neither it is refused."""
    shelf = Shelf()
    for place in ({"registry": shelf}, {"use_model_registry": False, "models_dir": tmp_path / "models"}):
        trainer = MarketDataModelTrainer(folder, **place)
        data = trainer.load_processed_data("NSE_TCS/NSE_TCS_1d_processed.csv")
        x, y = trainer.prepare_features_and_target(data, "return", 2)
        model, evaluation = trainer.train_model(x, y, "ridge")
        saved = trainer.save_model(model, evaluation, symbol="NSE_TCS", timeframe="1d", model_type="ridge")
    (record,) = shelf.records.values()
    assert (record["model_name"], record["metadata"]["market"]["forecast_horizon"]) == ("NSE_TCS_1d_return_2_ridge", 2)
    assert str(tmp_path / "models" / "NSE_TCS_1d_return_2_ridge.pkl") == saved
    with open(saved, "rb") as stream:  # noqa: PTH123 - the path came back as text
        np.testing.assert_array_equal(model.predict(x), pickle.load(stream).predict(x))
    with pytest.raises(InvalidValueError, match="nowhere"):
        MarketDataModelTrainer(folder, use_model_registry=False).save_model(
            model, evaluation, symbol="X", timeframe="1d", model_type="ridge"
        )


def test_without_a_registry_or_folder_models_are_only_evaluated(folder: Path) -> None:
    """The rows still have their metrics."""
    trainer = MarketDataModelTrainer(folder, use_model_registry=False)
    (row,) = trainer.train_all_models(target_types="volatility", forecast_horizons=5, model_types="lasso")
    assert (row.status, row.model_name, row.model_id) == ("trained", None, None)
    assert row.metrics["baseline_rmse"] > 0


def test_models_go_to_a_real_registry_and_come_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained is one transaction with its facts, and predicts as before."""
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "home"))
    with ModelRegistry(tmp_path / "registry") as registry:
        trainer = MarketDataModelTrainer(folder, registry=registry, plugins=Families())
        asked: dict[str, Any] = {"forecast_horizons": 1, "model_types": ["ridge", "random_forest"]}
        results = trainer.train_models_for_symbol("NSE_TCS", **asked)
        assert statuses(results) == ["trained"] * 4
        for row in results:
            record = registry.get_model_metadata(row.model_id or "")
            assert (row.model_name, row.model_version) == (record["model_name"], record["model_version"])
            assert record["metadata"]["market"]["symbol"] == "NSE_TCS"
            assert record["metrics"] == row.metrics
            assert record["training_data"]["rows"] == 351
        x, y = trainer.prepare_features_and_target(prepare_ohlcv(bars()), "next_close")
        model, _ = trainer.train_model(x, y, "random_forest")
        stored = registry.load_model("NSE_TCS_1d_next_close_1_random_forest")
        np.testing.assert_array_equal(model.predict(x), stored.predict(x))


def test_the_demonstration_tells_what_it_cannot_train(tmp_path: Path) -> None:
    """AAPL trains without a promise of skill; FB has too few rows and says so."""
    pytest.importorskip("bokeh_sampledata")
    frames = stocks()
    for symbol in ("AAPL", "FB"):
        write_processed(prepare_ohlcv(frames[symbol]), tmp_path, symbol, "1d")
    trainer = MarketDataModelTrainer(tmp_path, registry=Shelf())
    apple, facebook = trainer.train_all_models(
        target_types="price_direction", forecast_horizons=1, model_types="logistic"
    )
    assert (apple.status, facebook.status) == ("trained", "skipped")
    assert facebook.reason.startswith("146 usable rows")
    assert abs(apple.metrics["skill"]) < 0.15


def test_an_empty_request_is_an_empty_answer(folder: Path) -> None:
    """No horizons, no rows; the frame still has its columns."""
    results = MarketDataModelTrainer(folder, registry=Shelf()).train_models_for_symbol("NSE_TCS", forecast_horizons=[])
    assert (len(results), repr(results)) == (0, "<Results: none>")
    assert {"symbol", "status", "reason"} <= set(results.to_frame().columns)


def test_importing_the_package_does_not_import_scikit_learn() -> None:
    """The two seconds are paid when the first estimator is made."""
    code = "import sys, friday_store.market as m; m.MarketDataModelTrainer; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_built_in_families_are_those_of_the_enumeration() -> None:
    """Each has its name, its tasks and a search space whose parameters exist."""
    families = builtin_trainers()
    assert [kind.name for kind in ModelType] == [family.name for family in families]
    for family in families:
        for task in family.tasks:
            space = family.search_space(task)
            estimator = family.estimator(task, seed=1, params={name: values[0] for name, values in space.items()})
            assert set(space) <= set(estimator.get_params())
    with pytest.raises(InvalidValueError, match="no parameter depth"):
        families[0].estimator("regression", seed=1, params={"depth": 3})
