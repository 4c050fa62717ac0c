"""A night at the desk: train what is new, promote what is better, say what tomorrow brings, and write it all down."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from friday_store import MarketDataModelTrainer, ModelRegistry
from friday_store.market.demo_data import stocks
from friday_store.market.features import prepare_ohlcv, write_processed

ASKED: dict[str, Any] = {
    "target_types": ["volatility", "price_direction"],
    "forecast_horizons": 1,
    "model_types": ["ridge", "hist_gradient_boosting"],
}


def main() -> None:
    """Run three nights: one that runs out of time, the rest of it, and the next one with 20 more days of prices."""
    bars = {symbol: frame for symbol, frame in stocks().items() if symbol in ("AAPL", "FB", "IBM")}
    with tempfile.TemporaryDirectory() as folder, ModelRegistry(Path(folder) / "models") as registry:
        trainer = MarketDataModelTrainer(Path(folder) / "processed", registry=registry, n_jobs=2)
        for night, days in (("Monday", -20), ("Monday, after a restart", -20), ("Tuesday", None)):
            for symbol, frame in bars.items():
                write_processed(prepare_ohlcv(frame.iloc[:days]), trainer.processed_data_dir, symbol, "1d")
            results = trainer.train_models_for_all_symbols(**ASKED, time_budget=1.0 if night == "Monday" else 600)
            print(f"{night}: {results}")
            for row in results.with_status("trained"):
                decision = trainer.promote_if_better(str(row.model_name))
                print(f"  {'promoted' if decision.promoted else 'kept out'}  {row.model_name}: {decision.reason}")

        for symbol in ("AAPL", "IBM"):
            forecast = trainer.predict(symbol, "1d", "volatility", 1, bars[symbol])
            latest = forecast.latest
            move = f"{latest['prediction']:.2%}"
            print(f"{symbol} after {latest['as_of'][:10]}: a move of about {move} ({latest['model_name']})")
        print(trainer.leaderboard()[["symbol", "target_type", "rank", "model_type", "production", "skill"]].to_string())
        page = trainer.write_report(Path(folder) / "report.html", results=results, title="Tuesday night")
        print(f"report: {page.stat().st_size // 1024} KiB, one file")


if __name__ == "__main__":
    main()
