"""What is promised about moving production to a newer market model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from friday_store.errors import ConflictError, InvalidValueError, ModelNotFoundError
from friday_store.loader import InputMismatchError
from friday_store.market import MarketDataModelTrainer
from friday_store.market.features import write_processed
from friday_store.market.holdout import HoldOut
from friday_store.market.promotion import promote_if_better

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from friday_store.registry import ModelRegistry

NAME = "X_1d_return_1_ridge"
ASKED: dict[str, Any] = {"target_types": "return", "forecast_horizons": 1, "model_types": "ridge"}


def processed(rows: int, told: float, seed: int = 0) -> pd.DataFrame:
    """Return bars whose next return is told by the feature ``hint`` as well as ``told`` (0: not at all, 1: exactly)."""
    draw = np.random.default_rng(seed)
    returns = draw.normal(0, 0.01, rows)
    close = 100 * np.cumprod(1 + returns)
    hint = told * np.append(returns[1:], 0.0) + (1 - told) * draw.normal(0, 0.01, rows)
    index = pd.date_range("2020-01-01", periods=rows, name="date")
    return pd.DataFrame({"close": close, "hint": hint, "noise": draw.normal(size=rows)}, index=index)


@pytest.fixture
def trainer(tmp_path: Path, registry: ModelRegistry) -> MarketDataModelTrainer:
    """Return a trainer for a symbol that has no data yet."""
    return MarketDataModelTrainer(tmp_path / "data", registry=registry)


def trained(trainer: MarketDataModelTrainer, data: pd.DataFrame) -> str:
    """Train the next version on the data, and return it."""
    write_processed(data, trainer.processed_data_dir, "X", "1d")
    (row,) = trainer.train_models_for_symbol("X", **ASKED)
    assert ("trained", "") == (row.status, row.reason)
    return str(row.model_version)


def production(registry: ModelRegistry) -> str | None:
    """Return the version in production."""
    try:
        return str(registry.get_model_metadata(f"{NAME}@production")["model_version"])
    except ModelNotFoundError:
        return None


def test_a_better_version_takes_over_and_a_worse_one_does_not(
    trainer: MarketDataModelTrainer, registry: ModelRegistry
) -> None:
    """Production moves to the first that beats naive, then only to what beats that one too on rows new to both."""
    first = trained(trainer, processed(600, told=0.5))
    decision = trainer.promote_if_better(NAME)
    assert (True, first, None, "rmse") == (
        decision.promoted,
        decision.candidate,
        decision.incumbent,
        decision.metric,
    )
    assert production(registry) == first
    worse = trained(trainer, processed(610, told=0.0))
    decision = trainer.promote_if_better(NAME, "rmse")
    assert (False, worse, first) == (decision.promoted, decision.candidate, decision.incumbent)
    assert "does not beat" in decision.reason
    assert production(registry) == first
    better = trained(trainer, processed(620, told=0.9))
    decision = trainer.promote_if_better(NAME, "skill")
    assert decision.scores["candidate"] > decision.scores["incumbent"]
    assert decision.scores["naive"] == 0.0
    assert production(registry) == better


def test_the_decision_is_on_record(trainer: MarketDataModelTrainer, registry: ModelRegistry) -> None:
    """The candidate's record says who won, by what, on which rows; one entry holds that and the move."""
    trained(trainer, processed(600, told=0.5))
    before = registry.repository.log.last()
    decision = trainer.promote_if_better(NAME)
    assert registry.repository.log.last() == before + 1
    entry = next(iter(registry.repository.log.backwards(before + 1)))
    assert entry.message == f"promote {NAME}:1.0.0 to production"
    noted = registry.get_model_metadata(NAME)["evaluation"]["promotion"]
    assert {name: value for name, value in decision.as_record().items() if value is not None} == noted
    split = registry.get_model_metadata(NAME)["training_data"]["split"]
    assert (noted["rows"], noted["first"], noted["last"]) == (
        split["test_rows"],
        split["test_first"],
        split["test_last"],
    )
    recorded = registry.get_model_metadata(NAME)["metrics"]
    assert decision.scores["candidate"] == pytest.approx(recorded["rmse"])
    assert decision.scores["naive"] == pytest.approx(recorded["baseline_rmse"])


def test_neither_is_scored_on_a_row_that_the_other_was_trained_on(
    trainer: MarketDataModelTrainer, registry: ModelRegistry
) -> None:
    """The rows begin after both training parts, also where production was trained on more recent data."""
    trained(trainer, processed(800, told=0.3))
    trainer.promote_if_better(NAME)
    old = registry.get_model_metadata(NAME)
    trained(trainer, processed(700, told=0.9))
    decision = trainer.promote_if_better(NAME)
    assert pd.Timestamp(decision.first) > pd.Timestamp(old["training_data"]["split"]["train_last"])
    assert decision.rows == len(HoldOut.of(processed(700, told=0.9), [registry.get_model_metadata(NAME), old]))
    registry.set_alias(f"{NAME}:1.0.0", "production")
    trained(trainer, processed(645, told=0.9))
    few = trainer.promote_if_better(NAME)
    assert (False, {}) == (few.promoted, few.scores)
    assert "rows that no model has seen, fewer than the 20 needed" in few.reason


def test_data_that_have_changed_are_refused(trainer: MarketDataModelTrainer, registry: ModelRegistry) -> None:
    """The hold-out is found by the digest of the data; other files are an error, and given data are taken."""
    trained(trainer, processed(600, told=0.5))
    write_processed(processed(601, told=0.5), trainer.processed_data_dir, "X", "1d")
    with pytest.raises(InvalidValueError, match=r"is not what X_1d_return_1_ridge:1.0.0 was"):
        trainer.promote_if_better(NAME)
    assert production(registry) is None
    decision = trainer.promote_if_better(NAME, on=processed(600, told=0.5))
    assert (True, 120) == (decision.promoted, decision.rows)
    again = trainer.promote_if_better(NAME, on=trainer.processed_data_dir / "X" / "X_1d_processed.csv")
    assert (False, "it has the alias production already") == (again.promoted, again.reason)


def test_what_cannot_be_decided_is_an_error(trainer: MarketDataModelTrainer, registry: ModelRegistry) -> None:
    """A metric, a place, a model or data that do not fit are named, and nothing is written."""
    data = processed(600, told=0.5)
    trained(trainer, data)
    registry.register_model({"a": 1}, "other")
    before = registry.repository.log.last()
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: trainer.promote_if_better(NAME, "accuracy"), "there is no metric 'accuracy'; there are mse"),
        (lambda: trainer.promote_if_better(NAME, "oddity"), "'oddity'"),
        (lambda: trainer.promote_if_better(NAME, on="yesterday"), "same hold-out"),
        (lambda: trainer.promote_if_better("other"), "no model of market data"),
        (lambda: trainer.promote_if_better(NAME, candidate="other"), "not of X_1d"),
        (lambda: promote_if_better(registry, NAME), "where the processed data are"),
        (lambda: trainer.promote_if_better(NAME, on=data.tz_localize("UTC")), "time zone"),
    ]
    for call, problem in wrong:
        with pytest.raises(InvalidValueError, match=problem):
            call()
    with pytest.raises(InputMismatchError, match=r"lack features of .*: hint"):
        trainer.promote_if_better(NAME, on=data.drop(columns="hint"))
    with pytest.raises(ModelNotFoundError):
        trainer.promote_if_better("nothing")
    assert registry.repository.log.last() == before


def test_a_direction_is_measured_against_the_base_rate(trainer: MarketDataModelTrainer) -> None:
    """The naive forecast of a direction has balanced accuracy one half, and the log loss of the base rate."""
    write_processed(processed(600, told=0.6), trainer.processed_data_dir, "X", "1d")
    trainer.train_models_for_symbol("X", target_types="price_direction", forecast_horizons=1, model_types="logistic")
    decision = trainer.promote_if_better("X_1d_price_direction_1_logistic")
    assert ("balanced_accuracy", 0.5) == (decision.metric, decision.scores["naive"])
    assert decision.promoted
    loss = trainer.promote_if_better("X_1d_price_direction_1_logistic", "log_loss", alias="staging")
    assert loss.scores["naive"] == pytest.approx(np.log(2), rel=0.02)
    assert loss.scores["candidate"] < loss.scores["naive"]


def test_an_alias_that_moves_meanwhile_is_left_alone(
    trainer: MarketDataModelTrainer, registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody else sets production while it is decided, that stays, and nothing is noted."""
    trained(trainer, processed(600, told=0.5))
    trained(trainer, processed(610, told=0.5))
    load = registry.load_model

    def meddling(revision: str, version: str | None = None) -> Any:
        registry.set_alias(f"{NAME}:1.0.0", "production")
        return load(revision, version)

    monkeypatch.setattr(registry, "load_model", meddling)
    with pytest.raises(ConflictError, match="not at nothing"):
        trainer.promote_if_better(NAME)
    assert production(registry) == "1.0.0"
    assert "promotion" not in registry.get_model_metadata(f"{NAME}:1.0.1")["evaluation"]


def test_old_versions_go_by_rule(trainer: MarketDataModelTrainer, registry: ModelRegistry) -> None:
    """The newest stay, and the best, and what an alias names; a rehearsal says the same and deletes nothing."""
    for rows, told in ((600, 0.5), (610, 0.9), (620, 0.1), (630, 0.1), (640, 0.1)):
        trained(trainer, processed(rows, told=told))
    registry.set_alias(f"{NAME}:1.0.0", "audit")
    rehearsed = trainer.prune(keep_last=1, dry_run=True)
    assert 5 == len(registry.get_model_versions(NAME))
    assert rehearsed == trainer.prune(keep_last=1)
    assert ["1.0.4", "1.0.1", "1.0.0"] == [each["model_version"] for each in registry.get_model_versions(NAME)]
    assert [] == trainer.prune(keep_last=1, symbol="Y")
    with pytest.raises(InvalidValueError):
        trainer.prune(keep_last=0, keep_best=0)
