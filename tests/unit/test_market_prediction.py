"""What is promised about forecasts from a registered market model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from friday_store import UntrustedArtifactError
from friday_store.errors import InvalidValueError, ModelNotFoundError
from friday_store.loader import ExpiredModelError, InputMismatchError
from friday_store.market import MarketDataModelTrainer
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.market.prediction import predict
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.trust import TrustStore

if TYPE_CHECKING:
    from pathlib import Path


def bars(rows: int = 420, seed: int = 0) -> pd.DataFrame:
    """Return raw bars of a random walk."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.01, rows)))
    frame = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6})
    return frame.set_index(pd.date_range("2020-01-01", periods=rows, name="date"))


@pytest.fixture
def trainer(tmp_path: Path, registry: ModelRegistry) -> MarketDataModelTrainer:
    """Return a trainer that has trained one model for each target."""
    write_processed(prepare_ohlcv(bars(400)), tmp_path / "data", "X", "1d")
    made = MarketDataModelTrainer(tmp_path / "data", registry=registry)
    targets = ["price_direction", "next_close", "volatility"]
    made.train_models_for_symbol("X", "1d", targets, 1, "ridge")
    return made


@pytest.mark.parametrize("target", ["price_direction", "next_close", "volatility"])
def test_raw_bars_get_the_features_of_the_training(
    trainer: MarketDataModelTrainer, registry: ModelRegistry, target: str
) -> None:
    """The same forecasts come from raw bars, from processed data and from the model itself, as of the newest bar."""
    raw = trainer.predict("X", "1d", target, 1, bars(420))
    made = trainer.predict("X", "1d", target, 1, prepare_ohlcv(bars(420)))
    pd.testing.assert_frame_equal(raw.frame, made.frame)
    model = registry.load_model(f"X_1d_{target}_1_ridge")
    features = prepare_ohlcv(bars(420))[list(model.feature_names_in_)]
    np.testing.assert_array_equal(model.predict(features), raw.frame["prediction"])
    assert (bars(420).index[-1], 49, 0) == (raw.as_of, raw.left_out, made.left_out)
    assert raw.record["model_name"] == f"X_1d_{target}_1_ridge"
    if target == "price_direction":
        np.testing.assert_array_equal(model.predict_proba(features)[:, 1], raw.frame["probability"])


def test_a_forecast_says_what_it_is_and_who_made_it(trainer: MarketDataModelTrainer, registry: ModelRegistry) -> None:
    """The latest row and the frame carry question, version and as-of time; rows of the training part are marked."""
    found = trainer.predict("X", "1d", "price_direction", 1)
    split = found.record["training_data"]["split"]
    assert split["train_rows"] == found.frame["in_training"].sum()
    assert pd.Timestamp(split["train_last"]) == found.frame.index[found.frame["in_training"]][-1]
    latest = found.latest
    assert {
        "as_of": "2021-02-03T00:00:00",
        "symbol": "X",
        "target_type": "price_direction",
        "forecast_horizon": 1,
        "model_name": "X_1d_price_direction_1_ridge",
        "model_version": "1.0.0",
        "in_training": False,
    }.items() <= latest.items()
    assert latest["probability"] == found.frame["probability"].iloc[-1]
    frame = found.to_frame()
    assert {found.record["model_id"]} == set(frame["model_id"])
    assert [found.as_of] == list(frame["as_of"].unique())


def test_the_future_changes_no_forecast(trainer: MarketDataModelTrainer) -> None:
    """What is said of a bar is the same whether later bars are there or not."""
    short, long = (trainer.predict("X", "1d", "volatility", 1, bars(420).iloc[:end]).frame for end in (410, 420))
    pd.testing.assert_frame_equal(short, long.iloc[: len(short)])


def test_data_that_do_not_fit_are_refused(trainer: MarketDataModelTrainer, registry: ModelRegistry) -> None:
    """A missing feature is named; so are a model that is not there or none of the market, and data without one bar."""
    with pytest.raises(InputMismatchError, match="missing return_1"):
        trainer.predict("X", "1d", "volatility", 1, prepare_ohlcv(bars()).drop(columns="rsi_14")[["close", "macd"]])
    with pytest.raises(InvalidValueError, match="none of the 30 bars has every feature"):
        predict(registry, "X_1d_volatility_1_ridge", prepare_ohlcv(bars()).iloc[:30].assign(macd=np.nan))
    with pytest.raises(ModelNotFoundError, match="no registered model fits"):
        trainer.predict("X", "1d", "volatility", 9)
    registry.register_model({"a": 1}, "other")
    with pytest.raises(InvalidValueError, match="no model of market data"):
        predict(registry, "other", bars())
    with pytest.raises(InvalidValueError, match="time zone"):
        predict(registry, "X_1d_volatility_1_ridge", bars().tz_localize("UTC"))


def test_the_rules_of_loading_apply(trainer: MarketDataModelTrainer, registry: ModelRegistry, tmp_path: Path) -> None:
    """A model that came from elsewhere is refused until it is trusted, and one that has expired by its own word."""
    stranger = TrustStore(tmp_path / "stranger" / "trust.json")
    with ModelRegistry(registry.url, plugins=Plugins(()), trust=stranger) as other:
        with pytest.raises(UntrustedArtifactError):
            predict(other, "X_1d_volatility_1_ridge", bars())
        stranger.add("repositories", registry.repository.id)
        assert len(predict(other, "X_1d_volatility_1_ridge", bars()).frame)
    registry.update_model_metadata("X_1d_volatility_1_ridge", {"expires_after": "2021-01-01"})
    with pytest.raises(ExpiredModelError):
        predict(registry, "X_1d_volatility_1_ridge", bars())
    options: dict[str, Any] = {"expired": "ignore"}
    assert len(predict(registry, "X_1d_volatility_1_ridge", bars(), **options).frame)
