"""History, the log, blame, tags, and what the next version should be called."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from friday_store import InvalidValueError, ModelNotFoundError, ModelRegistry, ModelVersioning
from friday_store.plugins import Plugins
from friday_store.registry.bumping import suggested


@pytest.fixture
def registry(engine: str, tmp_path: Path) -> Iterator[ModelRegistry]:
    """Return three versions of one model, of which the metric and a parameter change, and one of another."""
    with ModelRegistry(tmp_path / "models", plugins=Plugins(()), actor="ann") as made:
        for number, (rmse, alpha) in enumerate([(0.5, 1.0), (0.4, 2.0), (0.4, 2.0)]):
            made.register_model(
                {"v": number}, "m", metrics={"rmse": rmse}, hyperparameters={"alpha": alpha, "nan": math.nan}
            )
        made.register_model({"v": 0}, "other")
        yield made


@pytest.fixture
def versioning(registry: ModelRegistry) -> ModelVersioning:
    """Return the versioning of that registry."""
    return ModelVersioning(registry)


def test_version_history(versioning: ModelVersioning) -> None:
    """Versions come oldest first, each with what changed since the one before and how long that took."""
    first, second, third = versioning.get_version_history("m")
    assert ("1.0.0", None, None, {}) == (
        first["model_version"],
        first["previous"],
        first["since_previous"],
        first["metric_changes"],
    )
    change = second["metric_changes"]["rmse"]
    assert (0.5, 0.4, pytest.approx(-0.1), pytest.approx(-20.0)) == tuple(change.values())
    assert second["created_at"] - first["created_at"] == second["since_previous"]
    assert {} == third["metric_changes"]
    with pytest.raises(ModelNotFoundError):
        versioning.get_version_history("nothing")


def test_metric_history_over_all_versions(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """Observations of all versions stand in one typed frame, in the order of their times."""
    early = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    registry.log_metrics("m:1.0.2", {"rmse": math.nan, "mae": 1}, step=7, time=early)
    data = versioning.get_metric_history("m", "rmse")
    assert ["1.0.2", "1.0.0", "1.0.1", "1.0.2"] == data["model_version"].tolist()
    assert pd.Timestamp(early) == data["time"].iloc[0]
    assert math.isnan(data["value"].iloc[0])
    assert 7 == data["step"].iloc[0]
    assert {"rmse", "mae"} == set(versioning.get_metric_history("m")["metric"])
    empty = versioning.get_metric_history("m", "nothing")
    assert (0, list(data.dtypes)) == (len(empty), list(empty.dtypes))


def test_status_history(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """Who set which status of which version, when and why."""
    registry.set_model_status("m:1.0.1", "production", "it won")
    registry.set_model_status("m:1.0.0", "archived")
    first, second = versioning.get_status_history("m")
    assert ("1.0.1", "production", "it won", "ann") == (
        first["model_version"],
        first["status"],
        first["reason"],
        first["author"],
    )
    assert ("1.0.0", "archived") == (second["model_version"], second["status"])


def test_alias_history(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """Where an alias pointed at any time is known, also after it was removed and its versions were deleted."""
    registry.promote("m:1.0.0")
    registry.promote("m:1.0.1")
    registry.rollback("m")
    registry.delete_model("m", "1.0.1")
    registry.delete_alias("m", "production")
    found = versioning.alias_history("m", "production")
    assert ["1.0.0", "1.0.1", "1.0.0", None] == [record["model_version"] for record in found]
    assert [*(record["since"] for record in found[1:]), None] == [record["until"] for record in found]
    assert {"ann"} == {record["actor"] for record in found}
    assert found[1] == versioning.alias_at("m", "production", found[1]["since"])
    assert versioning.alias_at("m", "production", found[0]["since"] - dt.timedelta(seconds=1)) is None
    assert versioning.alias_at("m", "production", dt.datetime.now(dt.UTC)) is None
    with pytest.raises(ModelNotFoundError, match="never had an alias 'staging'"):
        versioning.alias_history("m", "staging")


def test_the_log(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """Every transaction is one record, newest first: who, what and when, of all models or of one."""
    with registry.transaction("two at once"):
        registry.add_tag("m:1.0.0", "good")
        registry.promote("other")
    newest = versioning.log()[0]
    assert ("two at once", "ann") == (newest["message"], newest["actor"])
    assert [("alias", "other", "production"), ("tag", "m", "good")] == sorted(
        (change["what"], change["model_name"], change["name"]) for change in newest["changes"]
    )
    assert "init" == versioning.log()[-1]["message"]
    of_one = versioning.log("other")
    assert ["two at once", "register other"] == [entry["message"] for entry in of_one]
    assert [1, 1] == [len(entry["changes"]) for entry in of_one]
    assert 2 == len(versioning.log(limit=2))
    with pytest.raises(InvalidValueError, match="limit"):
        versioning.log(limit=-1)


def test_the_log_as_a_frame(versioning: ModelVersioning) -> None:
    """The frame is typed also when it is empty."""
    full, empty = versioning.log_frame(), versioning.log_frame("nothing")
    assert (5, 0) == (len(full), len(empty))
    assert list(full.dtypes) == list(empty.dtypes)
    assert "other" == full["models"].iloc[0]


def test_blame(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """The version that brought the present value, with the value before; NaN is the same as itself."""
    found = versioning.blame("m", "alpha")
    assert ("1.0.1", 2.0, 1.0, "ann") == (
        found["model_version"],
        found["value"],
        found["previous"],
        found["author"],
    )
    assert registry.resolve("m:1.0.0").model_id == found["previous_id"]
    oldest = versioning.blame("m", "nan")
    assert ("1.0.0", None) == (oldest["model_version"], oldest["previous_id"])
    registry.update_model_metadata("m:1.0.2", {"owner": "bob"})
    assert "1.0.2" == versioning.blame("m", "metadata.owner")["model_version"]
    with pytest.raises(ModelNotFoundError, match="did you mean 'alpha'"):
        versioning.blame("m", "alhpa")
    with pytest.raises(ModelNotFoundError, match=r"no parameter 'metadata\.x\.y'"):
        versioning.blame("m", "metadata.x.y")


def test_blame_ends_at_what_is_not_here(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """A deleted version ends the walk; the nearest version that is here is named."""
    registry.delete_model("m", "1.0.1")
    assert "1.0.2" == versioning.blame("m", "alpha")["model_version"]


def test_version_diff(versioning: ModelVersioning) -> None:
    """A diff is unified text of the records, with a structured twin; of a version with itself it is empty."""
    found = versioning.create_version_diff("m", "1.0.0", "1.0.1")
    assert found.text.startswith("--- m:1.0.0\n+++ m:1.0.1\n@@ ")
    assert '-    "alpha": 1.0,' in found.text.splitlines()
    assert '+    "alpha": 2.0,' in found.text.splitlines()
    assert (1.0, 2.0) == found.comparison.section("parameters")["alpha"].sides
    assert found
    assert not versioning.create_version_diff("m", "1.0.0", "1.0.0")


def test_comparing_and_time(versioning: ModelVersioning) -> None:
    """Two versions stand side by side, and the time between them has a sign."""
    found = versioning.compare_model_versions("m", "1.0.0", "1.0.1")
    between = versioning.time_difference("m:1.0.0", "m:1.0.1")
    assert found.time_between == between
    assert -between == versioning.time_difference("m:1.0.1", "m:1.0.0")
    assert "1.0.2" == versioning.get_latest_version("m")
    assert 3 == len(versioning.get_model_lineage("m"))
    assert 2 == len(versioning.get_model_lineage("m", version="1.0.1"))


def test_ten_comes_after_nine(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """Versions are compared as numbers, and a pre-release is not the latest."""
    for version in ("9.0.0", "10.0.0", "11.0.0-rc.1"):
        registry.register_model({"v": version}, "m", version)
    assert "10.0.0" == versioning.get_latest_version("m")


def test_tagging_touches_nothing_else(versioning: ModelVersioning, registry: ModelRegistry) -> None:
    """Tags come and go as often as asked, and metadata stays as it was."""
    registry.update_model_metadata("m:1.0.0", {"kept": True})
    for _ in range(2):
        versioning.tag_version("m", "1.0.0", "good")
    versioning.tag_version("other", "good")
    assert {"kept": True} == registry.get_model_metadata("m:1.0.0")["metadata"]
    assert ["m", "other"] == [record["model_name"] for record in versioning.get_versions_by_tag("good")]
    for _ in range(2):
        versioning.untag_version("m:1.0.0", "good")
    assert [] == versioning.get_versions_by_tag("good", "m")


SCHEMA = {"features": ["a", "b"], "n_features": 2}
BASE = {"model_type": "Ridge", "input_schema": SCHEMA, "hyperparameters": {"alpha": 1.0}, "pipeline_steps": []}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "patch"),
        ({"hyperparameters": {"alpha": 1.0}}, "patch"),
        ({"hyperparameters": {"alpha": 2.0}}, "minor"),
        ({"hyperparameters": {"alpha": True}}, "minor"),
        ({"input_schema": {"features": ["a", "b", "c"], "n_features": 3}}, "minor"),
        ({"input_schema": {"features": ["a", "b", "c"]}}, "minor"),
        ({"input_schema": {"features": ["a", "c"], "n_features": 2}}, "major"),
        ({"input_schema": {"features": ["a"], "n_features": 1}}, "major"),
        ({"input_schema": {"n_features": 1}}, "major"),
        ({"input_schema": {"n_features": 3}}, "minor"),
        ({"input_schema": {}}, "patch"),
        ({"model_type": "Lasso"}, "major"),
        ({"pipeline_steps": [{"name": "s", "class": "x.Scaler"}]}, "major"),
    ],
)
def test_the_bump_rule(change: dict[str, Any], expected: str) -> None:
    """MAJOR for another algorithm or a lost feature, MINOR for a new feature or parameter, else PATCH."""
    assert expected == suggested(BASE, {**BASE, **change})


def test_suggest_bump(versioning: ModelVersioning) -> None:
    """What a new record leaves out counts as unchanged, and the seed's ``type`` is understood."""
    assert "patch" == versioning.suggest_bump("m", {})
    assert "patch" == versioning.suggest_bump("m", {"hyperparameters": {"alpha": 2.0, "nan": math.nan}, "type": "dict"})
    assert "minor" == versioning.suggest_bump("m", {"hyperparameters": {"alpha": 3.0}})
    assert "major" == versioning.suggest_bump("m", {"type": "Forest"})


def test_bump_auto(registry: ModelRegistry, estimator: Any) -> None:
    """``bump="auto"`` numbers each version by what changed since the highest, within a transaction too."""
    features = np.random.default_rng(3).standard_normal((40, 2))
    registry.register_model(estimator, "r", bump="auto")
    registry.register_model(type(estimator)(alpha=0.5).fit(features, features[:, 0]), "r", bump="auto")
    with registry.transaction():
        registry.register_model(type(estimator)(alpha=0.7).fit(features, features[:, 0]), "r", bump="auto")
        registry.register_model(type(estimator)(alpha=0.7).fit(features, features[:, 1]), "r", bump="auto")
    registry.register_model({"a": 1}, "r", bump="auto")
    versions = [record["model_version"] for record in registry.get_model_versions("r")]
    assert ["3.0.0", "2.1.1", "2.1.0", "2.0.0", "1.0.0"] == versions
