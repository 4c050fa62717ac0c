"""What the registry promises to its users, method by method."""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from friday_store.errors import (
    ConflictError,
    InvalidNameError,
    InvalidValueError,
    ModelNotFoundError,
    RepositoryError,
    SerializationError,
    StorageError,
    VersionExistsError,
)
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry, ModelStatus
from friday_store.testing import Fault, FaultyStorage

KEYS = {
    "model_id", "model_name", "model_version", "model_type", "description", "status", "tags", "aliases", "metrics",
    "metadata", "hyperparameters", "training_data", "feature_importance", "pipeline_steps", "dependencies",
    "evaluation", "parents", "author", "created_at", "updated_at", "size_bytes", "serializer", "id", "name",
    "version", "type",
}  # fmt: skip


class Symbol(enum.Enum):
    """A tag that is no text."""

    AAPL = "AAPL"


def versions(registry: ModelRegistry, **filters: Any) -> list[str]:
    """Return the versions that are listed, as revisions."""
    return [f"{record['name']}:{record['version']}" for record in registry.list_models(**filters)]


def log_length(registry: ModelRegistry) -> int:
    """Return the number of entries."""
    return len(registry.repository.entries())


def test_register_and_load(registry: ModelRegistry, estimator: Any) -> None:
    """A model comes back as it went in, by every way of naming it."""
    model_id = registry.register_model(estimator, "AAPL/1d", tags=["AAPL"], aliases=["production"])
    assert re.fullmatch("[0-9a-f]{64}", model_id)
    loads = [
        registry.load_model("AAPL/1d"),
        registry.load_model("AAPL/1d", "1.0.0"),
        registry.load_model("AAPL/1d:1.0.0"),
        registry.load_model("AAPL/1d@production"),
        registry.load_model("AAPL/1d@AAPL"),
        registry.load_model(model_id),
        registry.load_model(model_id[:8]),
        registry.get_model("AAPL/1d"),
        registry.get_model_by_name_and_version("AAPL/1d", "1.0.0"),
        registry.get_latest_model("AAPL/1d"),
    ]
    for loaded in loads:
        assert loaded is not estimator
        assert loaded.predict(np.eye(3)).tobytes() == estimator.predict(np.eye(3)).tobytes()


def test_a_record_says_everything(registry: ModelRegistry, estimator: Any) -> None:
    """A record has every promised key, and what was captured without being asked for."""
    before = dt.datetime.now(dt.UTC)
    first = registry.register_model([1], "m")
    tags: list[Any] = [Symbol.AAPL, "t", "t"]
    model_id = registry.register_model(
        estimator, "m", "2.0.0", model_type="linear", description="words", tags=tags, aliases=["a"],
        metrics={"rmse": np.float32(0.5)}, metadata={"note": Path("a/b")}, hyperparameters={"alpha": 9},
        training_data={"rows": np.int64(40)}, feature_importance={"x": 1}, dependencies={"own": "1"},
        evaluation={"on": dt.date(2026, 5, 1)}, input_example=np.zeros((2, 3), "f4"),
    )  # fmt: skip
    record = registry.get_model_metadata("m@a")
    assert set(record) >= KEYS
    assert record["id"] == record["model_id"] == model_id
    assert (record["name"], record["version"], record["type"]) == ("m", "2.0.0", "linear")
    assert (record["description"], record["status"], record["author"]) == ("words", "active", "tester@here")
    assert (record["tags"], record["aliases"], record["parents"]) == (["AAPL", "t"], ["a"], [first])
    assert record["metrics"] == {"rmse": 0.5}
    assert record["metadata"] == {"note": "a/b"}
    assert (record["hyperparameters"]["alpha"], record["hyperparameters"]["fit_intercept"]) == (9, True)
    assert (record["training_data"], record["evaluation"]) == ({"rows": 40}, {"on": "2026-05-01"})
    assert record["dependencies"]["own"] == "1"
    assert {"scikit-learn", "numpy"} <= set(record["dependencies"])
    assert record["input_schema"] == {"n_features": 3, "dtypes": {"*": "float32"}}
    assert record["serializer"] == "pickle5"
    assert record["size_bytes"] > 100
    assert before <= record["created_at"] <= record["updated_at"] <= dt.datetime.now(dt.UTC)


def test_a_record_is_the_caller_s_own(registry: ModelRegistry) -> None:
    """Changing a record changes nothing but the record."""
    registry.register_model([1], "m", tags=["t"], metadata={"a": {"b": 1}})
    record = registry.get_model_metadata("m")
    record["metadata"]["a"]["b"] = 2
    record["tags"].append("x")
    assert registry.get_model_metadata("m")["metadata"] == {"a": {"b": 1}}
    assert registry.get_model_metadata("m")["tags"] == ["t"]


def test_the_old_dialect(registry: ModelRegistry) -> None:
    """Metrics and type inside the metadata are understood."""
    registry.register_model([1], "m", metadata={"metrics": {"mse": 0.1}, "model_type": "list", "kept": 1})
    record = registry.get_model_metadata("m")
    assert (record["metrics"], record["type"], record["metadata"]) == ({"mse": 0.1}, "list", {"kept": 1})


@pytest.mark.parametrize(
    ("existing", "bump", "expected"),
    [
        ([], "patch", "1.0.0"), (["1.0.0"], "patch", "1.0.1"), (["1.0.0"], "minor", "1.1.0"),
        (["1.2.3"], "major", "2.0.0"), (["9.0.0", "10.0.0"], "patch", "10.0.1"), (["2.0.0", "1.5.0"], "patch", "2.0.1"),
        (["2.0.0-rc.1"], "patch", "2.0.0"),
        (["1.0.0", "1.0.0+b"], "patch", "1.0.1"), (["1.0.0", "2.0.0-rc.1"], "patch", "2.0.0"),
    ],
)  # fmt: skip
def test_the_next_version(registry: ModelRegistry, existing: list[str], bump: Any, expected: str) -> None:
    """Without a version the one after the highest is taken."""
    for number, version in enumerate(existing):
        registry.register_model([number], "m", version)
    model_id = registry.register_model(["new"], "m", bump=bump)
    assert registry.get_model_metadata(model_id)["version"] == expected


def test_there_is_no_version_after_the_last(registry: ModelRegistry) -> None:
    """A version that could not be read again is refused before it is written, and the registry goes on working."""
    registry.register_model([1], "m", "1.0.999999999999999")
    with pytest.raises(InvalidNameError):
        registry.register_model([2], "m")
    registry.register_model([2], "m", bump="minor")
    assert registry.get_latest_version("m") == "1.1.0"


def test_versions_never_change(registry: ModelRegistry) -> None:
    """The same content again is the same version; other content, bytes or words, is refused."""
    model_id = registry.register_model([1], "m", "1.0.0", metrics={"a": 1})
    length = log_length(registry)
    assert registry.register_model([1], "m", "1.0.0", metrics={"a": 1}) == model_id
    with pytest.raises(VersionExistsError, match="other bytes"):
        registry.register_model([2], "m", "1.0.0", metrics={"a": 1})
    with pytest.raises(VersionExistsError, match="other metadata"):
        registry.register_model([1], "m", version="1.0.0", metrics={"a": 2})
    assert registry.register_model([2], "m", "1.0.0", exist_ok=True) == model_id
    assert log_length(registry) == length
    assert registry.load_model("m") == [1]


def test_one_content_is_stored_once(registry: ModelRegistry, array_model: Any) -> None:
    """Versions of equal bytes share them, and the artifact's digest says so."""
    ids = [registry.register_model(array_model, name) for name in ("a", "b", "a")]
    assert len(set(ids)) == 3
    assert len({registry.get_model_metadata(model_id)["artifact"] for model_id in ids}) == 1
    assert sum(registry.repository.objects.live.values()) < 1.1 * array_model.nbytes


@pytest.mark.parametrize(
    ("arguments", "kind", "path"),
    [
        ({"model_name": "a b"}, InvalidNameError, ""), ({"model_name": "../up"}, InvalidNameError, ""),
        ({"model_name": "m", "model_version": "1"}, InvalidNameError, ""),
        ({"model_name": "m", "tags": ["latest"]}, InvalidNameError, ""),
        ({"model_name": "m", "aliases": [""]}, InvalidNameError, ""),
        ({"model_name": "m", "tags": "text"}, InvalidValueError, "tags"),
        ({"model_name": "m", "bump": "build"}, InvalidNameError, ""),
        ({"model_name": "m", "version": "1.0.0", "model_version": "1.0.0"}, InvalidValueError, "version"),
        ({"model_name": "m", "metrics": {"a": "x"}}, InvalidValueError, "metrics['a']"),
        ({"model_name": "m", "metrics": {"a": True}}, InvalidValueError, "metrics['a']"),
        ({"model_name": "m", "metadata": {"hyper": {"cb": print}}}, InvalidValueError, "metadata['hyper']['cb']"),
        ({"model_name": "m", "metadata": [1]}, InvalidValueError, "metadata"),
        ({"model_name": "m", "description": 5}, InvalidValueError, "description"),
        ({"model_name": "m", "pipeline_steps": [object()]}, InvalidValueError, "pipeline_steps[0]"),
        ({"model_name": "m", "parents": ["nothing"]}, ModelNotFoundError, ""),
        ({"model_name": "m", "serializer": "json", "model": {1: 2}}, SerializationError, ""),
        ({"model_name": "m", "model": lambda: 0}, SerializationError, ""),
    ],
    ids=lambda value: next(reversed(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_is_refused_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], kind: type[Exception], path: str
) -> None:
    """A wrong argument is named, and no repository, pack or entry comes of it."""
    with ModelRegistry(tmp_path / "r", plugins=Plugins(())) as registry:
        with pytest.raises(kind) as caught:
            registry.register_model(**{"model": [1], **arguments})
        assert path == getattr(caught.value, "path", "")
        assert registry.list_models() == []
    assert not list(tmp_path.glob("r/packs/*"))
    assert not list(tmp_path.glob("r/log/*/002"))


def test_many_at_once(registry: ModelRegistry) -> None:
    """Many versions are one entry and one pack, or nothing at all."""
    ids = registry.register_models({"model": [n], "model_name": "m", "tags": ["t"]} for n in range(20))
    assert [registry.load_model(model_id) for model_id in ids] == [[n] for n in range(20)]
    assert registry.get_latest_version("m") == "1.0.19"
    assert [record["parents"] for record in registry.get_model_versions("m")[:-1]] == [[i] for i in ids[-2::-1]]
    length = log_length(registry)
    for bad in ({"model": [1]}, {"model": [1], "model_name": "m", "nonsense": 1}, {"model": print, "model_name": " "}):
        with pytest.raises((InvalidValueError, InvalidNameError)):
            registry.register_models([{"model": [7], "model_name": "n"}, bad])
    assert log_length(registry) == length
    assert registry.model_names() == ["m"]


def test_a_transaction_is_all_or_nothing(registry: ModelRegistry) -> None:
    """What is done in a block is one entry, seen when it ends, and nothing if it raises."""
    registry.register_model([0], "m")
    length = log_length(registry)
    with registry.transaction("together") as together:
        model_id = together.register_model([1], "m")
        together.add_tag("m:1.0.0", "old")
        together.set_alias("m:1.0.0", "a")
        together.set_alias("m:1.0.0", "b")
        together.delete_alias("m", "b")
        assert versions(registry) == ["m:1.0.0"]
    assert log_length(registry) == length + 1
    assert registry.load_model(model_id) == [1]
    assert registry.get_model_metadata("m:1.0.0")["aliases"] == ["a"]
    with pytest.raises(ZeroDivisionError), registry.transaction() as together:  # noqa: PT012 - one story
        together.register_model([2], "m")
        together.add_tag("m", "t")
        raise ZeroDivisionError
    with pytest.raises(InvalidValueError), registry.transaction(), registry.transaction():
        pass
    with registry.transaction():
        pass
    assert log_length(registry) == length + 1


def test_a_transaction_keeps_its_promises(registry: ModelRegistry) -> None:
    """If others change what a block was told, it is refused as a whole; if they change other things, it holds."""
    registry.register_model([0], "m")
    other = ModelRegistry(registry.url, plugins=Plugins(()))
    with registry.transaction() as together:
        model_id = together.register_model([1], "m")
        other.register_model([5], "unrelated")
    assert registry.get_model_metadata(model_id)["version"] == "1.0.1"
    with pytest.raises(ConflictError), registry.transaction() as together:  # noqa: PT012 - one story
        together.register_model([2], "m")
        other.register_model([3], "m")
    assert versions(registry, name_filter="m") == ["m:1.0.2", "m:1.0.1", "m:1.0.0"]
    assert registry.load_model("m") == [3]


def test_latest_and_versions(registry: ModelRegistry) -> None:
    """The latest is the highest release; pre-releases count when there is nothing else."""
    for version in ("9.0.0", "10.0.0", "1.0.0", "11.0.0-rc.1"):
        registry.register_model([version], "m", version)
    registry.register_model([1], "pre", "1.0.0-a")
    assert registry.get_latest_version("m") == "10.0.0"
    assert registry.get_latest_model("m") == ["10.0.0"]
    assert registry.get_latest_version("pre") == "1.0.0-a"
    assert [r["version"] for r in registry.get_model_versions("m")] == ["11.0.0-rc.1", "10.0.0", "9.0.0", "1.0.0"]
    for method in (registry.get_latest_version, registry.get_model_versions, registry.load_model):
        with pytest.raises(ModelNotFoundError):
            method("none")
    with pytest.raises(ModelNotFoundError, match=r"10\.0\.0"):
        registry.load_model("m", "3.0.0")


@pytest.mark.usefixtures("engine")
def test_listing(registry: ModelRegistry) -> None:
    """Every filter filters, and all of them together."""
    for name, tags in (("AAPL_1d", ["AAPL", "1d"]), ("AAPL_1h", ["AAPL", "1h"]), ("MSFT%1d", ["MSFT", "1d"])):
        registry.register_model([name], name, tags=tags, model_type=name[:4], metrics={"rmse": len(name), "a.b": 1})
    registry.set_model_status("AAPL_1h", "staging")
    assert versions(registry) == ["AAPL_1d:1.0.0", "AAPL_1h:1.0.0", "MSFT%1d:1.0.0"]
    assert versions(registry, name_filter="AAPL*") == ["AAPL_1d:1.0.0", "AAPL_1h:1.0.0"]
    assert versions(registry, name_filter="AAPL_1?") == ["AAPL_1d:1.0.0", "AAPL_1h:1.0.0"]
    assert versions(registry, name_filter="AAPL%") == []
    assert versions(registry, name_filter="aapl*") == []
    assert versions(registry, name_filter="MSFT%*") == ["MSFT%1d:1.0.0"]
    assert versions(registry, tag_filter="1d") == ["AAPL_1d:1.0.0", "MSFT%1d:1.0.0"]
    assert versions(registry, tag_filter=["1d", "AAPL"]) == ["AAPL_1d:1.0.0"]
    assert versions(registry, tags=["1h", "MSFT"], require_all_tags=False) == ["AAPL_1h:1.0.0", "MSFT%1d:1.0.0"]
    assert versions(registry, tags=["1d"], status="active", model_type="MSFT") == ["MSFT%1d:1.0.0"]
    assert versions(registry, status="staging") == ["AAPL_1h:1.0.0"]
    assert versions(registry, limit=1, order_by="-created_at") == ["MSFT%1d:1.0.0"]
    assert versions(registry, limit=0) == []
    assert registry.model_names("AAPL*") == ["AAPL_1d", "AAPL_1h"]


@pytest.mark.parametrize("order", ["name", "version", "created_at", "updated_at", "size_bytes", "status", "author"])
def test_orders(registry: ModelRegistry, order: str) -> None:
    """Every order and its reverse hold all versions."""
    for number in range(3):
        registry.register_model(["x" * number], f"m{number}", f"{number}.0.0")
    forth, back = versions(registry, order_by=order), versions(registry, order_by=f"-{order}")
    assert sorted(forth) == sorted(back) == ["m0:0.0.0", "m1:1.0.0", "m2:2.0.0"]
    if order not in ("status", "author"):
        assert back == forth[::-1]


def test_ordering_by_a_metric(registry: ModelRegistry) -> None:
    """The newest value of a metric orders; what lacks it, or is not a number, comes last."""
    for name, value in (("a", 3.0), ("b", math.nan), ("c", 1.0), ("d", None), ("e", 2.0)):
        registry.register_model([name], name, metrics={} if value is None else {"rmse": value})
    registry.log_metrics("a", {"rmse": 0.5})
    assert versions(registry, order_by="metrics.rmse")[:3] == ["a:1.0.0", "c:1.0.0", "e:1.0.0"]
    assert versions(registry, order_by="-metrics.rmse")[:3] == ["e:1.0.0", "c:1.0.0", "a:1.0.0"]


HOSTILE = [
    "rmse; DROP TABLE model_metadata", "name DOWN", "1", "m.id", "model_name--", "created_at ASC, (SELECT 1)", "", "-",
    "metrics.", "rowid", "name\x00", "NAME", "metrics", "' OR 1=1", "--name", "version)", "/**/name", "random()",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_orders_that_cannot_be(registry: ModelRegistry, text: str) -> None:
    """An order is one of a list, never a piece of SQL."""
    registry.register_model([1], "m")
    with pytest.raises(InvalidValueError, match="order_by"):
        registry.list_models(order_by=text)


@pytest.mark.parametrize(
    "text", [*HOSTILE[:6], "a'b", 'a"b', "a.b", "[0]", "$", "\x00", "🙂", "%", "_", "a\nb", "?", ":x"]
)
def test_metrics_of_any_name(registry: ModelRegistry, text: str) -> None:
    """A metric is found by its exact name, whatever it holds, and changes no table."""
    registry.register_model([1], "m", metrics={text: 1.5, f"{text}x": 2.0})
    registry.register_model([2], "n", metrics={text: 0.5})
    registry.log_metrics("m", {text: 2.5}, step=1)
    assert registry.get_latest_metrics("m")[text] == 2.5
    assert list(registry.get_metric_history("m", text)["value"]) == [1.5, 2.5]
    assert versions(registry, order_by=f"-metrics.{text}") == ["m:1.0.0", "n:1.0.0"]
    assert versions(registry, status=text, tags=[text], model_type=text) == []
    assert len(registry.list_models()) == 2


@pytest.mark.parametrize("limit", [-1, 1.5, "1", True])
def test_limits_that_cannot_be(registry: ModelRegistry, limit: Any) -> None:
    """A limit is a whole number from 0."""
    with pytest.raises(InvalidValueError, match="limit"):
        registry.list_models(limit=limit)


@pytest.mark.usefixtures("engine")
def test_listing_as_a_frame(registry: ModelRegistry) -> None:
    """A frame has a row per version, metrics as columns, and its types also when it is empty."""
    empty = registry.list_models(as_frame=True)
    assert len(empty) == 0
    registry.register_model([1], "m", metrics={"a": 1})
    registry.register_model([2], "m", metrics={"b": math.nan})
    frame = registry.list_models(as_frame=True)
    assert list(frame["model_version"]) == ["1.0.1", "1.0.0"]
    assert frame["metrics.a"].tolist()[1] == 1.0
    assert math.isnan(frame["metrics.a"][0])
    assert isinstance(frame["created_at"].dtype, pd.DatetimeTZDtype)
    assert empty["created_at"].dtype == frame["created_at"].dtype


@pytest.mark.usefixtures("engine")
def test_summaries(registry: ModelRegistry) -> None:
    """One record per model sums up its versions."""
    registry.register_model([1], "a", aliases=["x"], tags=["t"])
    registry.register_model([2], "a", "2.0.0-rc.1", tags=["u"])
    registry.register_model([3], "b")
    first, second = registry.list_summaries()
    assert (first["model_name"], first["model_version"], first["versions"]) == ("a", "1.0.0", 2)
    assert (first["aliases"], first["tags"]) == ({"x": "1.0.0"}, ["t", "u"])
    assert first["size_bytes"] == sum(record["size_bytes"] for record in registry.get_model_versions("a"))
    assert second["model_name"] == "b"
    assert [found["model_name"] for found in registry.list_summaries(tags=["u"])] == ["a"]


def test_metadata_is_merged(registry: ModelRegistry) -> None:
    """Changes are merged deeply, None removes, and nothing else is touched."""
    registry.register_model([1], "m", metadata={"a": {"b": 1, "c": [1, 2]}, "d": 1}, metrics={"x": 1})
    record = registry.update_model_metadata("m", {"a": {"b": None, "e": np.float64(2)}, "f": {"g": None}}, "new words")
    assert record["metadata"] == {"a": {"c": [1, 2], "e": 2.0}, "d": 1, "f": {}}
    assert (record["description"], record["metrics"], record["version"]) == ("new words", {"x": 1.0}, "1.0.0")
    assert record["updated_at"] > record["created_at"]
    with pytest.raises(InvalidValueError) as caught:
        registry.update_model_metadata("m", {"a": {"b": print}})
    assert caught.value.path == "changes['a']['b']"
    assert registry.get_model_metadata("m") == record


def test_status(registry: ModelRegistry) -> None:
    """A status is one of a list, and who set it when and why is kept."""
    registry.register_model([1], "m")
    for status in ModelStatus:
        assert registry.set_model_status("m", status, f"because {status}")["status"] == status.value
    history = registry.get_status_history("m")
    assert [found["status"] for found in history] == [status.value for status in ModelStatus]
    assert history[0]["reason"] == "because active"
    assert history[0]["author"] == "tester@here"
    assert [found["time"] for found in history] == sorted(found["time"] for found in history)
    with pytest.raises(InvalidValueError, match="shadow"):
        registry.set_model_status("m", "shadow")
    (Path(registry.url) / "config.toml").write_text('statuses = ["shadow"]\n')
    with ModelRegistry(registry.url, plugins=Plugins(())) as again:
        assert again.set_model_status("m", "shadow")["status"] == "shadow"


def test_metrics_over_time(registry: ModelRegistry) -> None:
    """Observations are added, the newest counts, and the history has all of them with their types."""
    registry.register_model([1], "m", metrics={"rmse": 1.0, "other": 5})
    at = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    registry.log_metrics("m", {"rmse": Decimal("0.5")}, step=1, time=at)
    assert registry.log_metrics("m", {"rmse": math.nan, "new": np.int32(3)}, step=2)["metrics"]["new"] == 3.0
    history = registry.get_metric_history("m", "rmse")
    assert list(history.columns) == ["time", "step", "value"]
    assert history["value"].tolist()[:2] == [1.0, 0.5]
    assert math.isnan(history["value"][2])
    assert history["step"].tolist() == [pd.NA, 1, 2]
    assert history["time"][1] == at
    latest = registry.get_latest_metrics("m")
    assert math.isnan(latest.pop("rmse"))
    assert latest == {"other": 5.0, "new": 3.0}
    assert len(registry.get_metric_history("m", "none")) == 0
    assert str(registry.get_metric_history("m", "none").dtypes["step"]) == "Int64"
    metrics: list[Any] = [{}, {"a": "x"}, {"a": None}, None]
    for bad in metrics:
        with pytest.raises(InvalidValueError):
            registry.log_metrics("m", bad)
    for step in (1.5, "x", 1 << 63):
        with pytest.raises(InvalidValueError, match="step"):
            registry.log_metrics("m", {"a": 1}, step=step)  # type: ignore[arg-type]
    assert registry.get_latest_metrics("m").keys() == {"rmse", "other", "new"}


def test_tags(registry: ModelRegistry) -> None:
    """Tags come and go, twice is once, and the newest version with one answers to it."""
    registry.register_model([1], "m", metadata={"kept": 1})
    registry.register_model([2], "m")
    for revision in ("m:1.0.0", "m:1.0.1", "m:1.0.1"):
        registry.add_tag(revision, "team/x")
    assert registry.load_model("m@team/x") == [2]
    registry.remove_tag("m:1.0.1", "team/x")
    length = log_length(registry)
    registry.remove_tag("m:1.0.1", "team/x")
    registry.add_tag("m:1.0.0", "team/x")
    assert log_length(registry) == length
    assert registry.load_model("m@team/x") == [1]
    assert registry.get_model_metadata("m:1.0.0")["metadata"] == {"kept": 1}
    with pytest.raises(InvalidNameError):
        registry.add_tag("m", "greatest")
    with pytest.raises(ModelNotFoundError):
        registry.add_tag("n", "t")


def test_aliases(registry: ModelRegistry) -> None:
    """An alias names one version, moves when told, and not from where it is not."""
    ids = [registry.register_model([number], "m") for number in range(3)]
    registry.set_alias("m:1.0.0", "champion")
    registry.set_alias("m:1.0.1", "champion", expected=ids[0])
    with pytest.raises(ConflictError) as caught:
        registry.set_alias("m:1.0.2", "champion", expected=ids[0])
    assert caught.value.ref == "aliases/m/champion"
    with pytest.raises(ConflictError):
        registry.set_alias("m:1.0.2", "nobody", expected=ids[0])
    assert registry.load_model("m@champion") == [1]
    assert registry.get_model_metadata("m:1.0.0")["aliases"] == []
    registry.delete_alias("m", "champion")
    with pytest.raises(ModelNotFoundError):
        registry.load_model("m@champion")
    with pytest.raises(ModelNotFoundError):
        registry.delete_alias("m", "champion")


def test_promote_and_rollback(registry: ModelRegistry) -> None:
    """Rolling back goes where the alias was before, one step each time."""
    ids = [registry.register_model([number], "m") for number in range(4)]
    for number in range(3):
        registry.promote(f"m:1.0.{number}")
    assert registry.rollback("m") == ids[1]
    assert registry.rollback("m") == ids[0]
    with pytest.raises(ModelNotFoundError, match="did not point anywhere"):
        registry.rollback("m")
    registry.promote("m:1.0.3")
    assert registry.rollback("m") == ids[0]
    with pytest.raises(ModelNotFoundError):
        registry.rollback("m", "staging")


def test_rollback_to_what_was_deleted(registry: ModelRegistry) -> None:
    """An alias does not go back to a version that was deleted: it stays, and the hint says how that comes back."""
    ids = [registry.register_model([number], "m", aliases=["production"]) for number in range(2)]
    registry.delete_model("m", "1.0.0")
    with pytest.raises(ModelNotFoundError, match=r"was 1\.0\.0 before, which was deleted") as caught:
        registry.rollback("m")
    assert "friday-store restore m:1.0.0" == caught.value.hint
    assert ids[1] == registry.get_model_metadata("m@production")["id"]
    registry.restore_model("m", "1.0.0")
    assert ids[0] == registry.rollback("m")


def test_delete_and_restore(registry: ModelRegistry) -> None:
    """What was deleted is gone from every answer, and comes back whole."""
    registry.register_model([1], "m", tags=["t"], metrics={"a": 1})
    registry.register_model([2], "m")
    registry.log_metrics("m:1.0.0", {"a": 2})
    registry.set_model_status("m:1.0.0", "staging")
    registry.update_model_metadata("m:1.0.0", {"k": "v"})
    before = registry.get_model_metadata("m:1.0.0")
    assert registry.delete_model("m", "1.0.0") == [before["id"]]
    for revision in ("m:1.0.0", before["id"], "m@t"):
        with pytest.raises(ModelNotFoundError):
            registry.load_model(revision)
    assert versions(registry, tags=["t"]) == []
    assert registry.restore_model("m", "1.0.0") == [before["id"]]
    assert registry.get_model_metadata("m:1.0.0") == before
    assert registry.load_model("m:1.0.0") == [1]
    assert list(registry.get_metric_history("m:1.0.0", "a")["value"]) == [1.0, 2.0]
    with pytest.raises(ModelNotFoundError):
        registry.restore_model("m", "1.0.0")
    with pytest.raises(ModelNotFoundError):
        registry.delete_model("m", "9.0.0")


def test_deleting_a_whole_model(registry: ModelRegistry) -> None:
    """All versions of a model go and come back together; an alias protects unless forced, and comes back too."""
    ids = [registry.register_model([number], "m", tags=[f"t{number}"]) for number in range(3)]
    registry.register_model([9], "other", parents=["m:1.0.0"])
    registry.promote("m:1.0.1")
    with pytest.raises(ConflictError, match="@production"):
        registry.delete_model("m")
    assert registry.delete_model("m", force=True) == ids
    assert registry.model_names() == ["other"]
    assert sorted(registry.restore_model("m")) == sorted(ids)
    assert registry.load_model("m@production") == [1]
    assert [record["tags"] for record in registry.get_model_versions("m")] == [["t2"], ["t1"], ["t0"]]
    with pytest.raises(ModelNotFoundError):
        registry.restore_model("other")


def test_what_was_deleted_last_comes_back(registry: ModelRegistry) -> None:
    """Of two contents that one version had, the later comes back; an alias that points elsewhere now stays there."""
    for content in (1, 2):
        registry.register_model([content], "m", "1.0.0", aliases=["production"])
        registry.delete_model("m", "1.0.0", force=True)
    registry.register_model([3], "m", "2.0.0", aliases=["production"])
    registry.restore_model("m", "1.0.0")
    assert registry.load_model("m:1.0.0") == [2]
    assert registry.load_model("m@production") == [3]


def test_a_deleted_version_can_be_another_one(registry: ModelRegistry) -> None:
    """The name of a deleted version is free, and restoring does not take it back."""
    registry.register_model([1], "m", "1.0.0")
    registry.delete_model("m", "1.0.0")
    registry.register_model([2], "m", "1.0.0")
    with pytest.raises(ModelNotFoundError):
        registry.restore_model("m", "1.0.0")
    assert registry.load_model("m") == [2]
    with registry.transaction() as together:
        together.delete_model("m", "1.0.0")
        together.register_model([3], "m", "1.0.0")
    assert registry.load_model("m") == [3]
    followed = list(registry.repository.index.dump())
    registry.repository.index.rebuild()
    assert followed == list(registry.repository.index.dump())


def test_parents(registry: ModelRegistry) -> None:
    """A version's parents are the one before, or those that were named, by any revision."""
    one = registry.register_model([1], "m", "5.0.0")
    two = registry.register_model([2], "m", "1.0.0")
    three = registry.register_model([3], "ensemble", parents=["m:5.0.0", two])
    four = registry.register_model([4], "m", parents=[])
    assert registry.get_model_metadata(two)["parents"] == [one]
    assert registry.get_model_metadata(three)["parents"] == [one, two]
    assert registry.get_model_metadata(four)["parents"] == []
    assert registry.load_model(f"{three}~1") == [1]


def test_a_file_is_stored_without_being_loaded(registry: ModelRegistry, tmp_path: Path) -> None:
    """A file's bytes are what is stored, and a file of a format is checked and not run."""
    marker = tmp_path / "ran"
    (tmp_path / "evil.pkl").write_bytes(
        b"\x80\x05cpathlib\nPath\n\x8c" + bytes([len(str(marker))]) + str(marker).encode() + b"\x85R."
    )
    registry.register_model_from_file(tmp_path / "evil.pkl", "opaque")
    assert registry.load_model("opaque") == (tmp_path / "evil.pkl").read_bytes()
    registry.register_model_from_file(tmp_path / "evil.pkl", "pickled", format="pickle5")
    assert registry.get_model_metadata("pickled")["serializer"] == "pickle5"
    with pytest.raises(SerializationError):
        registry.register_model_from_file(tmp_path / "evil.pkl", "j", format="json")
    assert registry.model_names() == ["opaque", "pickled"]


def test_names_are_kept_apart(registry: ModelRegistry) -> None:
    """Names that differ in case, by a slash or a percent sign are different models; nothing is a path."""
    names = ["a", "A", "a/b", "a%2Fb", "CON", "nul", "latest", "é", "deadbeef", "a@b", "1.0.0", "AAPL_1m", "AAPL_1M"]
    for name in names:
        registry.register_model([name], name, tags=names[:2])
    assert sorted(names) == registry.model_names()
    for name in names:
        assert registry.load_model(f"{name}:1.0.0") == [name]
    stored = {path.name for path in Path(registry.url).rglob("*")}
    assert stored.isdisjoint(names)


def test_where_a_registry_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The nearest .friday, the environment or this user's own place, in that order; or what was named, once."""
    monkeypatch.chdir(tmp_path)
    assert ModelRegistry(plugins=Plugins(())).url == str(home / "registry")
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    ModelRegistry(project / ".friday", plugins=Plugins(())).register_model([1], "m")
    monkeypatch.chdir(project / "deep")
    assert ModelRegistry(plugins=Plugins(())).load_model("m") == [1]
    assert ModelRegistry(project, plugins=Plugins(())).load_model("m") == [1]
    monkeypatch.setenv("FRIDAY_STORE_URL", str(tmp_path / "named"))
    assert ModelRegistry(plugins=Plugins(())).url == str(tmp_path / "named")
    assert ModelRegistry(models_dir=project / ".friday", plugins=Plugins(())).url == str(project / ".friday")
    assert ModelRegistry(registry_dir=project / ".friday", plugins=Plugins(())).load_model("m") == [1]
    with pytest.raises(InvalidValueError):
        ModelRegistry("a", models_dir="b")
    with pytest.raises(InvalidValueError):
        ModelRegistry("a", verify="never")  # type: ignore[arg-type]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    with pytest.raises(RepositoryError):
        ModelRegistry(tmp_path / "thesis")


def test_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument, the configuration, the environment or user and host, in that order."""

    def author(actor: str | None = None) -> str:
        with ModelRegistry(tmp_path / "r", plugins=Plugins(()), actor=actor) as registry:
            name: str = registry.get_model_metadata(registry.register_model([time.time_ns()], "m"))["author"]
            return name

    assert "@" in author()
    monkeypatch.setenv("FRIDAY_STORE_ACTOR", "from the environment")
    assert author() == "from the environment"
    (tmp_path / "r" / "config.toml").write_text('actor = "from the file"\n')
    assert author() == "from the file"
    assert author("me") == "me"


def test_nothing_compressed_if_asked(tmp_path: Path) -> None:
    """A registry for serving stores everything raw."""
    with ModelRegistry(tmp_path / "r", plugins=Plugins(()), compression="none") as registry:
        registry.register_model(np.zeros(1 << 18), "m")
        assert sum(registry.repository.objects.live.values()) > 1 << 20


def test_loaded_models_are_known(registry: ModelRegistry, estimator: Any) -> None:
    """A model that was loaded here leads to its record, for as long as it lives."""
    model_id = registry.register_model(estimator, "m")
    model = registry.load_model("m")
    assert registry.record_of(model)["id"] == model_id
    with pytest.raises(ModelNotFoundError):
        registry.record_of(estimator)


@pytest.mark.parametrize("moment", ["before", "after", "short"])
def test_a_failed_call_leaves_all_or_nothing(tmp_path: Path, moment: Any, array_model: Any) -> None:
    """Whatever storage call fails while a version is registered, what was there loads, and trying again succeeds."""
    for at in range(1, 60):
        registry = ModelRegistry(tmp_path / f"{at}", plugins=Plugins(()))
        registry.register_model([0], "m", "1.0.0")
        faulty = FaultyStorage(registry.repository.storage, Fault(at, moment=moment))
        broken = ModelRegistry(tmp_path / f"{at}", plugins=Plugins(()))
        hurt(broken, faulty)
        try:
            broken.register_model(array_model, "m", "2.0.0", tags=["t"])
        except StorageError:
            assert len(faulty.calls) >= at
        else:
            if len(faulty.calls) < at:
                break
        assert registry.load_model("m:1.0.0") == [0]
        registry.register_model(array_model, "m", "2.0.0", tags=["t"])
        assert registry.load_model("m").tobytes() == array_model.tobytes()
        assert not list((tmp_path / f"{at}").rglob(".tmp-*"))
        assert registry.fsck() == []
    assert at > 8


def hurt(registry: ModelRegistry, storage: FaultyStorage) -> None:
    """Let a registry work on another storage."""
    repository = registry.repository
    repository.storage = storage
    repository.objects.storage = storage
    repository.log._storage = storage


def test_registering_the_same_again_points_its_aliases(registry: ModelRegistry, small_model: dict[str, Any]) -> None:
    """The same version with the same content is the same id, and the aliases asked for point at it."""
    first = registry.register_model(small_model, "m", "1.0.0")
    assert first == registry.register_model(small_model, "m", "1.0.0", aliases=["production"])
    assert first == registry.get_model_metadata("m@production")["model_id"]


@pytest.mark.parametrize("spelled", ["{}", "sqlite:///{}"])
def test_an_index_elsewhere(tmp_path: Path, spelled: str) -> None:
    """The index lies where it was named, nothing of it in the registry; another registry's file is made anew."""
    file = tmp_path / "elsewhere" / "models.db"
    for name in ("one", "two", "one"):
        with ModelRegistry(tmp_path / name, index=spelled.format(file)) as registry:
            registry.register_model({"a": 1}, name)
            assert [name] == registry.model_names()
        assert file.is_file()
        assert not (tmp_path / name / "index.db").exists()
    with pytest.raises(InvalidValueError, match="SQLite"):
        ModelRegistry(tmp_path / "one", index="mysql://localhost/models")
