"""Train models on market data, and ask for one by what it predicts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from friday_store import MarketDataModelTrainer, ModelLoader, ModelRegistry, ModelType, PredictionTarget
from friday_store.market.demo_data import stocks
from friday_store.market.features import prepare_ohlcv, write_processed


def main() -> None:
    """Prepare one symbol's bars, train two models, and load the one for the next day's direction."""
    with tempfile.TemporaryDirectory() as folder, ModelRegistry(Path(folder) / "models") as registry:
        processed = Path(folder) / "processed"
        write_processed(prepare_ohlcv(stocks()["GOOG"]), processed, "GOOG", "1d")
        trainer = MarketDataModelTrainer(processed, registry=registry)
        results = trainer.train_models_for_symbol(
            "GOOG",
            target_types=[PredictionTarget.PRICE_DIRECTION, PredictionTarget.VOLATILITY],
            forecast_horizons=[1],
            model_types=[ModelType.RIDGE],
        )
        print(results.to_frame()[["model_name", "status", "skill"]].to_string(index=False))
        model = ModelLoader(registry).load_model_for_prediction("GOOG", "1d", "price_direction", 1)
        print("loaded", registry.record_of(model)["model_name"])


if __name__ == "__main__":
    main()
