"""What is promised about the leaderboard and the report of market models, which a real browser opens."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from friday_store.errors import InvalidValueError, PluginError
from friday_store.market import MarketDataModelTrainer, plots
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.market.leaderboard import fold_skills, folds
from friday_store.market.results import ResultRow, Results

if TYPE_CHECKING:
    from pathlib import Path

    from friday_store.registry import ModelRegistry

NASTY = "<img src=x onerror=alert(1)> $\\alpha$ \u202e &amp;"


def bars(rows: int = 330, seed: int = 0) -> pd.DataFrame:
    """Return raw bars of a random walk."""
    close = 100 * np.exp(np.random.default_rng(seed).normal(0, 0.01, rows).cumsum())
    frame = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6})
    return frame.set_index(pd.date_range("2020-01-01", periods=rows, name="date"))


@pytest.fixture
def trainer(tmp_path: Path, registry: ModelRegistry) -> MarketDataModelTrainer:
    """Return a trainer that has trained two families at three questions, with a feature of an unfriendly name."""
    data = prepare_ohlcv(bars()).assign(**{NASTY: 0.5})
    write_processed(data, tmp_path / "data", "X", "1d")
    made = MarketDataModelTrainer(tmp_path / "data", registry=registry, walk_forward=3)
    made.train_models_for_symbol("X", "1d", ["price_direction", "next_close", "volatility"], 2, ["ridge", "lasso"])
    made.promote_if_better("X_1d_volatility_2_ridge")
    return made


def test_the_leaderboard_ranks_within_each_question(trainer: MarketDataModelTrainer, registry: ModelRegistry) -> None:
    """Each model's newest version is a row; the one with most skill comes first; types are the same without rows."""
    board = trainer.leaderboard()
    assert (6, [1, 2] * 3) == (len(board), list(board["rank"]))
    assert (board["fold_std"] > 0).all()
    ridge = registry.get_model_metadata("X_1d_volatility_2_ridge")
    assert 3 == len(folds(ridge, "rmse")) == len(fold_skills(ridge))
    for own, fold in zip(fold_skills(ridge), ridge["evaluation"]["walk_forward"]["folds"], strict=True):
        assert own == pytest.approx(1 - fold["metrics"]["mse"] / fold["metrics"]["baseline_mse"])
    for _, rows in board.groupby("target_type"):
        assert rows["skill"].is_monotonic_decreasing
    for row in board.to_dict("records"):
        metrics = registry.get_model_metadata(row["model_id"])["metrics"]
        skill = "skill_balanced_accuracy" if row["metric"] == "balanced_accuracy" else "skill"
        assert (metrics[skill], metrics[row["metric"]]) == (row["skill"], row["score"])
    assert list(board.loc[board["production"], "model_name"]) == [
        name for name in ("X_1d_volatility_2_ridge",) if "production" in registry.get_model_metadata(name)["aliases"]
    ]
    assert 2 == len(trainer.leaderboard(symbol="X", target_type="volatility", forecast_horizon=2))
    empty = trainer.leaderboard(symbol="Y")
    assert (0, list(board.dtypes)) == (len(empty), list(empty.dtypes))
    registry.set_model_status("X_1d_volatility_2_ridge", "archived")
    assert 5 == len(trainer.leaderboard())


def test_the_report_stands_alone_and_escapes_all(trainer: MarketDataModelTrainer, tmp_path: Path) -> None:
    """One file names no other place, holds every question, and nothing that was recorded becomes markup."""
    rows = [ResultRow("X", "1d", "return", 1, "ridge", "failed", f"ValueError: {NASTY}")]
    path = trainer.write_report(tmp_path / "deep" / "report.html", results=Results(rows), title=NASTY)
    page = path.read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert re.findall(r"<script|\bon\w+=[^a]|@import|url\(", page) == []
    targets = re.findall(r"<[^>]+(?:src|href)=[\"']?([^\"'> ]+)", page)
    assert {"data:", "#q1", "#q2", "#q3"} == {target[:5] if target[0] == "d" else target for target in targets}
    for name in ("Calibration", "Forecasts against truth", "Feature importance"):
        assert f'alt="{name}"' in page
    assert 3 == page.count("<section id=q")
    assert "volatility is the standard deviation of the log returns" in page
    assert "Promotion to production: rmse" in page or "Best: X_1d_volatility_2_lasso" in page


def test_a_report_without_data_or_models_says_so(trainer: MarketDataModelTrainer, tmp_path: Path) -> None:
    """Where the data have changed there is a sentence in the place of a plot; an empty registry makes a short page."""
    write_processed(prepare_ohlcv(bars(331)), tmp_path / "data", "X", "1d")
    page = trainer.write_report(tmp_path / "report.html", target_type="volatility").read_text()
    assert "No plot of its forecasts" in page
    assert "is not what X_1d_volatility_2" in page
    assert "No market model is registered" in trainer.write_report(tmp_path / "none.html", symbol="Y").read_text()
    with pytest.raises(InvalidValueError, match="no registry"):
        MarketDataModelTrainer(tmp_path, use_model_registry=False).write_report(tmp_path / "r.html")


def test_a_report_without_matplotlib_names_the_extra(
    trainer: MarketDataModelTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install, before anything is written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PluginError, match="a report needs matplotlib") as caught:
        trainer.write_report(tmp_path / "report.html")
    assert "pip install 'friday-store[plot]'" == caught.value.hint
    assert not (tmp_path / "report.html").exists()


def test_plots_are_the_same_bytes_again_and_draw_any_text() -> None:
    """The same numbers give the same SVG; mathtext in a name, one row, or equal values are no obstacle."""
    y, p = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.4, 0.6, 0.5, 0.5])
    drawn = [
        (plots.calibration(y, p, 0.5), plots.truth(y, p, NASTY), plots.folds([0.5, -0.5, math.nan], 0.5),
         plots.importance({NASTY: 0.1, "b": -0.2}))
        for _ in range(2)
    ]  # fmt: skip
    assert drawn[0] == drawn[1]
    assert all(svg.count("<svg") == 1 for svg in drawn[0])
    assert "<img" not in drawn[0][3]
    assert plots.calibration(y[:1], p[:1], 0.0)


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_a_browser_shows_the_report(trainer: MarketDataModelTrainer, tmp_path: Path, browser: Any, width: int) -> None:
    """No message on the console, no request, every picture drawn, and no scrolling sideways, narrow or wide."""
    rows = [ResultRow("X", "1d", "return", 1, "ridge", "skipped", f"{NASTY} {'long' * 60}")]
    path = trainer.write_report(tmp_path / "report.html", results=Results(rows))
    page = browser.new_page(viewport={"width": width, "height": 800})
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert [] == told
    assert [path.as_uri()] == [url for url in asked if not url.startswith("data:")]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert 6 <= page.evaluate("document.images.length")
    page.click("table a >> nth=2")
    assert page.url.endswith("#q3")
    page.close()
