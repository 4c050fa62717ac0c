"""Retention: what a rule keeps, what names and lineage keep besides, and that the rest can come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from friday_store import InvalidValueError, ModelNotFoundError, ModelRegistry
from friday_store.registry.retention import Fate
from friday_store.repository import Transaction
from tests.faults import stored


@pytest.fixture
def here(engine: str, tmp_path: Path) -> ModelRegistry:
    """Ten versions of ``m`` whose rmse falls until 1.0.4 and rises again, and two of ``n``."""
    registry = stored.opened(tmp_path / "here")
    for number in range(10):
        registry.register_model([number], "m", metrics={"rmse": abs(number - 4), "auc": number / 10})
    for number in range(2):
        registry.register_model([number], "n", metrics={"rmse": number})
    return registry


def kept(fates: list[Fate]) -> dict[str, str]:
    """Return what stays, with the reason."""
    return {f"{fate.model_name}:{fate.model_version}": fate.kept for fate in fates if fate.kept}


def versions(registry: ModelRegistry, name: str) -> list[str]:
    """Return a model's versions, in the order in which they came."""
    return [record["model_version"] for record in reversed(registry.get_model_versions(name))]


def test_the_last_stay(here: ModelRegistry) -> None:
    """keep_last keeps just so many of those registered last, although each is the parent of the next."""
    assert {"m:1.0.8": "last 2", "m:1.0.9": "last 2"} == kept(here.prune("m", keep_last=2))
    assert ["1.0.8", "1.0.9"] == versions(here, "m")
    assert ["1.0.0", "1.0.1"] == versions(here, "n")
    assert 8 == len(here.restore_model("m"))
    assert 10 == len(versions(here, "m"))


def test_registered_last_is_not_highest(here: ModelRegistry) -> None:
    """What counts is when a version was registered, not its number."""
    here.register_model([77], "m", "0.0.1")
    assert {"m:0.0.1": "last 1"} == kept(here.prune("m", keep_last=1))


def test_the_best_stay(here: ModelRegistry) -> None:
    """keep_best keeps so many of the best by each metric's newest value, in the direction of its name."""
    here.log_metrics("m:1.0.4", {"rmse": 50.0})
    found = kept(here.prune("m", keep_best=[("rmse", 2), ("auc", 1)]))
    assert {"m:1.0.3": "best rmse", "m:1.0.5": "best rmse", "m:1.0.9": "best auc"} == found
    assert ["1.0.3", "1.0.5", "1.0.9"] == versions(here, "m")


def test_the_direction_can_be_said(here: ModelRegistry) -> None:
    """A direction that is said counts; of equals the one that was registered last is better."""
    assert {"m:1.0.9": "best rmse"} == kept(here.prune("m", keep_best=("rmse", 1), higher_is_better=True))


def test_names_keep(here: ModelRegistry) -> None:
    """What an alias names stays always, and what has one of the tags that are to stay."""
    here.set_alias("m:1.0.1", "production")
    here.add_tag("m:1.0.2", "golden")
    here.add_tag("m:1.0.3", "other")
    found = kept(here.prune("m", keep_last=1, keep_tags=["golden"]))
    assert {"m:1.0.1": "alias production", "m:1.0.2": "tag golden", "m:1.0.9": "last 1"} == found
    assert here.resolve("m@production").model_version == "1.0.1"


def test_parents_keep(here: ModelRegistry) -> None:
    """A parent that was named stays, in any model, and its own; that which only came right before does not."""
    here.register_model([20], "base", parents=[])
    here.register_model([21], "base")
    here.register_model([22], "tuned", parents=["base:1.0.0"])
    here.register_model([23], "m", parents=["m:1.0.3", "tuned:1.0.0"])
    found = kept(here.prune("*", keep_last=1))
    assert {
        "base:1.0.0": "parent of tuned:1.0.0", "base:1.0.1": "last 1", "tuned:1.0.0": "last 1", "n:1.0.1": "last 1",
        "m:1.0.3": "parent of m:1.0.10", "m:1.0.10": "last 1",
    } == found  # fmt: skip


def test_a_parent_of_a_model_that_is_not_pruned_stays(here: ModelRegistry) -> None:
    """A version stays for a child in a model that the pattern does not name."""
    here.register_model([30], "tuned", parents=["m:1.0.2"])
    assert "parent of tuned:1.0.0" == kept(here.prune("m", keep_last=1))["m:1.0.2"]


def test_a_dry_run_says_the_same_and_changes_nothing(here: ModelRegistry) -> None:
    """A dry run tells the fate of every version, and the real run does just that, as one entry of the log."""
    last = here.repository.log.last()
    expected = here.prune("*", keep_last=3, dry_run=True)
    assert last == here.repository.log.last()
    assert expected == here.prune("*", keep_last=3)
    assert last + 1 == here.repository.log.last()
    assert 12 == len(expected)
    gone = [fate for fate in expected if not fate.kept]
    assert {"m"} == {fate.model_name for fate in gone}
    assert 7 == len(gone)
    assert [] == [fate for fate in here.prune("*", keep_last=3) if not fate.kept]


def test_an_alias_that_is_set_meanwhile_keeps(here: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias that somebody sets just before the deletions are committed keeps its version."""
    commit = Transaction._commit
    pending = ["m:1.0.0"]

    def late(self: Transaction, state: Any) -> Any:
        if pending and self.message.startswith("prune"):
            with stored.opened(Path(here.url)) as other:
                other.set_alias(pending.pop(), "late")
        return commit(self, state)

    monkeypatch.setattr(Transaction, "_commit", late)
    monkeypatch.setattr("friday_store.storage.local._TURN", 0.01)
    assert "alias late" == kept(here.prune("m", keep_last=1))["m:1.0.0"]
    assert ["1.0.0", "1.0.9"] == versions(here, "m")


def test_an_alias_is_not_set_on_what_is_deleted_meanwhile(here: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who labels a version that somebody deletes at this moment is refused, and no label names what is not there."""
    commit = Transaction._commit
    pending = ["1.0.0", "1.0.1"]

    def late(self: Transaction, state: Any) -> Any:
        if pending and not self.message.startswith("delete"):
            with stored.opened(Path(here.url)) as other:
                other.delete_model("m", pending.pop(0))
        return commit(self, state)

    monkeypatch.setattr(Transaction, "_commit", late)
    monkeypatch.setattr("friday_store.storage.local._TURN", 0.01)
    with pytest.raises(ModelNotFoundError, match="deleted meanwhile"):
        here.set_alias("m:1.0.0", "production")
    with pytest.raises(ModelNotFoundError, match="deleted meanwhile"):
        here.add_tag("m:1.0.1", "t")
    assert [] == here.fsck()


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"keep_last": 0},
        {"keep_last": -1},
        {"keep_last": True},
        {"keep_best": ("rmse", 0)},
        {"keep_best": ("nobody_knows", 2)},
        {"keep_best": ("rmse",)},
        {"keep_best": "rmse:2"},
        {"keep_tags": "golden"},
    ],
)
def test_a_rule_that_keeps_nothing_or_cannot_be_is_refused(here: ModelRegistry, rule: dict[str, Any]) -> None:
    """A call without a rule, and one with a rule that cannot be, deletes nothing and says why."""
    with pytest.raises(InvalidValueError):
        here.prune("m", **rule)
    assert 10 == len(versions(here, "m"))


def test_a_pattern_that_names_nothing_is_an_error(here: ModelRegistry) -> None:
    """A pattern that no model answers to is told."""
    with pytest.raises(ModelNotFoundError, match="no model answers"):
        here.prune("x*", keep_last=1)


def test_a_rollback_to_a_deleted_version_is_refused(here: ModelRegistry) -> None:
    """An alias does not move back to a version that was deleted; the hint is how that comes back."""
    here.set_alias("m:1.0.0", "production")
    here.set_alias("m:1.0.9", "production")
    here.delete_model("m", "1.0.0")
    with pytest.raises(ModelNotFoundError, match="was deleted") as refused:
        here.rollback("m")
    assert "friday-store restore m:1.0.0" == refused.value.hint
    here.gc(grace=0)
    with pytest.raises(ModelNotFoundError, match="was deleted"):
        here.rollback("m")


def test_nothing_goes_for_a_metric_that_is_not_there(here: ModelRegistry) -> None:
    """A metric that no version has is an error that says which was meant; a model that lacks it keeps all it has."""
    with pytest.raises(ModelNotFoundError, match="did you mean 'auc'"):
        here.prune("m", keep_last=1, keep_best=("ac", 2), higher_is_better=True)
    with pytest.raises(ModelNotFoundError, match="has a number for 'auc'"):
        here.prune("n", keep_last=1, keep_best=("auc", 2))
    assert (10, 2) == (len(versions(here, "m")), len(versions(here, "n")))
    expected = {"m:1.0.9": "best auc", "m:1.0.8": "best auc", "n:1.0.0": "no auc", "n:1.0.1": "no auc"}
    assert expected == kept(here.prune("*", keep_best=("auc", 2)))
