"""Loading by purpose, with a cache by digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from friday_store import InvalidValueError, ModelLoader, ModelNotFoundError, ModelRegistry


class Model:
    """A model that remembers what it is."""

    def __init__(self, name: str) -> None:
        self.name = name


def facts(symbol: str, kind: str, horizon: int = 1, target: str = "volatility") -> dict[str, Any]:
    """Return the arguments that register a market model."""
    market = {"symbol": symbol, "timeframe": "1d", "target_type": target}
    market |= {"forecast_horizon": horizon, "model_type": kind}  # type: ignore[dict-item]
    tags = [symbol, "1d", target, f"horizon_{horizon}", kind]
    return {"tags": tags, "metadata": {"market": market}}


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    """Two families for one question about A, and one about B."""
    made = ModelRegistry(tmp_path / "models")
    made.register_model(Model("forest"), "A_forest", metrics={"rmse": 0.2}, **facts("A", "random_forest"))
    made.register_model(Model("ridge"), "A_ridge", metrics={"rmse": 0.1}, **facts("A", "ridge"))
    made.register_model(Model("ridge-5"), "A_ridge_5", metrics={"rmse": 0.0}, **facts("A", "ridge", 5))
    made.register_model(Model("nan"), "A_svr", metrics={"rmse": float("nan")}, **facts("A", "svr"))
    made.register_model(Model("b"), "B_ridge", metrics={"rmse": 0.3}, **facts("B", "ridge"))
    return made


def test_the_best_of_those_that_fit(registry: ModelRegistry) -> None:
    """Fields are matched exactly, case aside; the smallest error wins; what is not a number comes last."""
    loader = ModelLoader(registry)
    assert "ridge" == loader.load_model_for_prediction("A", "1d", "volatility", 1).name
    assert "forest" == loader.load_model_for_prediction("A", "1d", "VOLATILITY", 1, "RANDOM_FOREST").name
    assert "nan" == loader.load_model_for_prediction("A", "1d", "volatility", 1, "svr").name
    model = loader.load_model_for_prediction("A", "1d", "volatility", 5)
    assert "A_ridge_5" == registry.record_of(model)["model_name"]


def test_production_comes_first(registry: ModelRegistry) -> None:
    """What somebody put into production is loaded although another scores better; the retired never are."""
    loader = ModelLoader(registry)
    registry.promote("A_forest")
    assert "forest" == loader.load_model_for_prediction("A", "1d", "volatility", 1).name
    registry.set_model_status("A_forest", "archived")
    assert "ridge" == loader.load_model_for_prediction("A", "1d", "volatility", 1).name


def test_nothing_fits(registry: ModelRegistry) -> None:
    """The error says what was asked for and what there is."""
    with pytest.raises(ModelNotFoundError, match=r"symbol=C.*there are: A 1d volatility 1"):
        ModelLoader(registry).load_model_for_prediction("C", "1d", "volatility", 1)


def test_a_moved_alias_is_seen_at_once(registry: ModelRegistry) -> None:
    """The cache is by digest, never by name."""
    loader = ModelLoader(registry)
    registry.register_model(Model("second"), "A_ridge")
    registry.promote("A_ridge:1.0.0")
    assert "ridge" == loader.load_model("A_ridge@production").name
    registry.promote("A_ridge:1.0.1")
    assert "second" == loader.load_model("A_ridge@production").name


def test_callers_do_not_share_unless_they_ask(registry: ModelRegistry) -> None:
    """A model is the caller's own; the shared one is one object."""
    loader = ModelLoader(registry)
    loader.load_model("A_ridge").name = "changed"
    assert "ridge" == loader.load_model("A_ridge").name
    assert loader.load_model("A_ridge", copy=False) is loader.load_model("A_ridge", copy=False)


def test_the_cache_is_bounded(registry: ModelRegistry) -> None:
    """The least recently used model goes first; a cache of none keeps none."""
    loader = ModelLoader(registry, cache_size=2)
    first = loader.load_model("A_ridge", copy=False)
    loader.load_model("A_forest", copy=False)
    assert first is loader.load_model("A_ridge", copy=False)
    loader.load_model("B_ridge", copy=False)
    assert first is loader.load_model("A_ridge", copy=False)
    none = ModelLoader(registry, cache_size=0)
    assert none.load_model("A_ridge", copy=False) is not none.load_model("A_ridge", copy=False)
    with pytest.raises(InvalidValueError):
        ModelLoader(registry, cache_size=-1)


def test_record_of_what_was_not_loaded(registry: ModelRegistry) -> None:
    """An object from elsewhere has no record here."""
    with pytest.raises(ModelNotFoundError):
        registry.record_of(Model("stranger"))
