"""Loading by purpose, with a cache by digest."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from friday_store import (
    EnvironmentMismatchError,
    EnvironmentMismatchWarning,
    ExpiredModelError,
    ExpiredModelWarning,
    InputMismatchError,
    InvalidValueError,
    ModelLoader,
    ModelNotFoundError,
    ModelRegistry,
    UntrustedArtifactError,
)
from friday_store.loader import default_loader, load_model
from friday_store.trust import TrustStore


class Model:
    """A model that remembers what it is."""

    def __init__(self, name: str) -> None:
        self.name = name


class Counted:
    """A model that counts how often it is made, and is not made before it may."""

    made: ClassVar[list[int]] = []
    gate: ClassVar[threading.Event] = threading.Event()

    def __setstate__(self, state: object) -> None:
        self.made.append(threading.get_ident())
        assert self.gate.wait(30)

    def __getstate__(self) -> object:
        return {"a": 1}


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


def test_a_copy_is_what_was_registered(registry: ModelRegistry) -> None:
    """A copy has nothing of what others did to the shared object, and no array in common with it or another copy."""
    weights = np.arange(200_000.0)
    registry.register_model({"w": weights, "layers": [weights[:10].copy()]}, "net")
    loader = ModelLoader(registry)
    shared = loader.load_model("net", copy=False)
    shared["w"][:] = -1
    shared["layers"].append("more")
    one, other = loader.load_model("net"), loader.load_model("net")
    one["w"][0] = 7.0
    assert not np.shares_memory(one["w"], other["w"])
    assert not np.shares_memory(one["w"], shared["w"])
    assert [7.0, 0.0, -1.0] == [one["w"][0], other["w"][0], shared["w"][0]]
    assert np.array_equal(weights, other["w"])
    assert 1 == len(other["layers"])
    assert np.array_equal(weights, registry.load_model("net")["w"])


def test_a_model_that_is_none_is_kept_too(registry: ModelRegistry) -> None:
    """Nothing is taken for absent because of what it is."""
    registry.register_model(None, "nothing", serializer="json")
    loader = ModelLoader(registry)
    assert (None, None) == (loader.load_model("nothing", copy=False), loader.load_model("nothing", copy=False))
    assert (1, 1) == loader.statistics()[:2]


def test_the_cache_is_bounded_in_bytes(registry: ModelRegistry) -> None:
    """Models count for what their records say; what does not fit lets the least used go, or is not kept itself."""
    for name, size in (("a", 1000), ("b", 1000), ("c", 1000), ("huge", 10_000)):
        registry.register_model(np.full(size, ord(name[0]), "u1"), name)
    sizes = {name: registry.get_model_metadata(name)["size_bytes"] for name in "abc"}
    loader = ModelLoader(registry, cache_bytes=sizes["a"] + sizes["b"])
    first = loader.load_model("a", copy=False)
    loader.warm(["b"])
    assert first is loader.load_model("a", copy=False)
    assert sizes["a"] + sizes["b"] == loader.statistics().bytes
    loader.load_model("c", copy=False)
    assert (2, sizes["a"] + sizes["c"], 1) == (
        loader.statistics().models,
        loader.statistics().bytes,
        loader.statistics().evictions,
    )
    assert first is loader.load_model("a", copy=False)
    assert loader.load_model("huge", copy=False) is not loader.load_model("huge", copy=False)
    assert first is loader.load_model("a", copy=False)


@pytest.mark.parametrize("wrong", [{"cache_size": -1}, {"cache_bytes": -1}, {"cache_size": 1.5}, {"cache_bytes": True}])
def test_a_bound_is_a_whole_number(registry: ModelRegistry, wrong: dict[str, Any]) -> None:
    """What is none is refused, and named."""
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        ModelLoader(registry, **wrong)


def test_statistics_tell_what_happened(registry: ModelRegistry) -> None:
    """Hits, misses, copies and what is held are counted, and from 0 again after clear."""
    loader = ModelLoader(registry)
    ids = loader.warm(["A_ridge", "A_forest"])
    assert [registry.resolve(name).model_id for name in ("A_ridge", "A_forest")] == ids
    assert (0, 2, 0, 0, 2) == loader.statistics()[:5]
    loader.load_model("A_ridge", copy=False)
    loader.load_model("A_ridge:1.0.0")
    loader.load_model("B_ridge")
    assert (2, 3, 2, 0, 2) == loader.statistics()[:5]
    assert sum(registry.resolve(name).size_bytes for name in ("A_ridge", "A_forest")) == loader.statistics().bytes
    loader.clear()
    assert (0, 0, 0, 0, 0, 0) == loader.statistics()


def test_a_name_and_a_version_are_a_revision_too(registry: ModelRegistry) -> None:
    """Both spellings give one object, and a version that is not there is an error each time."""
    loader = ModelLoader(registry)
    shared = loader.load_model("A_ridge", "1.0.0", copy=False)
    assert shared is loader.load_model("A_ridge:1.0.0", copy=False)
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match=r"1\.0\.0"):
            loader.load_model("A_ridge", "2.0.0")


def test_what_another_process_does_is_seen_at_once(registry: ModelRegistry) -> None:
    """An alias moved, a version deleted and one registered through another handle count for the next load."""
    loader, other = ModelLoader(registry), ModelRegistry(registry.url)
    other.promote("A_ridge")
    assert "ridge" == loader.load_model("A_ridge@production", copy=False).name
    other.register_model(Model("second"), "A_ridge", aliases=["production"])
    assert "second" == loader.load_model("A_ridge@production", copy=False).name
    assert "second" == loader.load_model("A_ridge", copy=False).name
    other.delete_model("A_ridge", "1.0.1", force=True)
    with pytest.raises(ModelNotFoundError):
        loader.load_model("A_ridge:1.0.1", copy=False)
    assert "ridge" == loader.load_model("A_ridge", copy=False).name


def test_a_time_and_a_name_with_a_slash_are_not_frozen(registry: ModelRegistry) -> None:
    """A revision with a time that is to come, and one that could be a remote's, mean what they mean now."""
    registry.register_model(Model("first"), "team/m")
    loader = ModelLoader(registry)
    for name, revision in (("A_ridge", "A_ridge@{2999-01-01}"), ("team/m", "team/m")):
        before = loader.load_model(revision, copy=False)
        registry.register_model(Model("second"), name)
        assert ("second", False) == (loader.load_model(revision, copy=False).name, before.name == "second")


def test_a_version_that_only_a_remote_has(registry: ModelRegistry, tmp_path: Path) -> None:
    """What a remote's name addresses loads, is kept and is checked; when it moves there, a fetch shows it at once."""
    here = ModelRegistry(tmp_path / "here")
    here.add_remote("origin", registry.url, probe=False)
    here.fetch("origin")
    loader = ModelLoader(here)
    shared = loader.load_model("origin/A_ridge", copy=False)
    assert ("ridge", True) == (shared.name, shared is loader.load_model("origin/A_ridge", copy=False))
    assert "ridge" == loader.load_model("origin/A_ridge").name
    loader.check("origin/A_ridge")
    registry.register_model(Model("second"), "A_ridge")
    here.fetch("origin")
    assert "second" == loader.load_model("origin/A_ridge", copy=False).name
    for version, name in (("1.0.1", "second"), ("1.0.0", "ridge"), ("1.0.1", "second")):
        registry.promote(f"A_ridge:{version}")
        here.fetch("origin")
        assert name == loader.load_model("origin/A_ridge@production", copy=False).name


def test_one_thread_makes_the_shared_model_and_the_others_wait(registry: ModelRegistry) -> None:
    """Eight threads that ask at once get one object, made once."""
    registry.register_model(Counted(), "counted")
    Counted.made.clear()
    Counted.gate.clear()
    loader = ModelLoader(registry)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(loader.load_model, "counted", copy=False) for _ in range(8)]
        Counted.gate.set()
        found = {id(each.result(30)) for each in waiting}
    assert (1, 1) == (len(found), len(Counted.made))
    assert (7, 1) == loader.statistics()[:2]


def test_a_load_of_one_model_does_not_hold_up_another(registry: ModelRegistry) -> None:
    """While a model is being made, others load."""
    registry.register_model(Counted(), "counted")
    Counted.made.clear()
    Counted.gate.clear()
    loader = ModelLoader(registry)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(loader.load_model, "counted", copy=False)
        try:
            assert "ridge" == loader.load_model("A_ridge", copy=False).name
            assert not slow.done()
        finally:
            Counted.gate.set()
        assert isinstance(slow.result(30), Counted)


def test_a_failed_load_is_an_error_for_each_who_asks_and_leaves_nothing(registry: ModelRegistry) -> None:
    """Trust that is missing is asked about again; once given, the same loader loads."""
    loader = ModelLoader(ModelRegistry(registry.url, trust=TrustStore(None)))
    for copy in (False, True, False):
        with pytest.raises(UntrustedArtifactError):
            loader.load_model("A_ridge", copy=copy)
    assert 0 == loader.statistics().models
    loader.registry.trust.add("digests", registry.resolve("A_ridge").model_id)
    assert "ridge" == loader.load_model("A_ridge", copy=False).name


def test_a_copy_is_not_made_from_what_is_not_trusted_any_more(registry: ModelRegistry) -> None:
    """Making a copy runs the model's code again, so trust is asked each time."""
    mine = registry.resolve("A_ridge").model_id
    loader = ModelLoader(ModelRegistry(registry.url, trust=TrustStore(None)))
    loader.registry.trust.add("digests", mine)
    loader.load_model("A_ridge")
    loader.registry.trust.remove("digests", mine)
    with pytest.raises(UntrustedArtifactError):
        loader.load_model("A_ridge")


def in_child(work: Callable[[], bytes]) -> bytes:
    """Return what a forked child makes of some work; nothing if it fails or hangs."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            os.write(writing, work())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return found


def test_a_fork_has_the_models_and_locks_of_its_own(registry: ModelRegistry) -> None:
    """A child forked while a thread holds every lock of the cache loads all the same, and finds what was warmed."""
    loader = ModelLoader(registry)
    loader.warm(["A_ridge"])
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with loader._cache.turn(registry.resolve("A_ridge").model_id), loader._cache._lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(30)

        def work() -> bytes:
            shared, own = loader.load_model("A_ridge", copy=False), loader.load_model("A_forest")
            return pickle.dumps((shared.name, own.name, loader.statistics().hits))

        found = in_child(work)
    finally:
        done.set()
        thread.join()
    assert ("ridge", "forest", 1) == pickle.loads(found)


def test_a_hit_is_cheap(registry: ModelRegistry) -> None:
    """A shared model that is here is there within 50 µs, at the best of many loads, whatever names it."""
    registry.promote("A_ridge")
    loader = ModelLoader(registry)
    for revision in ("A_ridge", "A_ridge@production", registry.resolve("A_ridge").model_id):
        loader.load_model(revision, copy=False)
        best = min(took(lambda given=revision: loader.load_model(given, copy=False)) for _ in range(500))  # type: ignore[misc]
        assert best < 50e-6


def took(work: Callable[[], object]) -> float:
    """Return the seconds that something took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_models_by_tags(registry: ModelRegistry) -> None:
    """All the tags or one of them; every version that has them, and one that cannot be loaded is not passed over."""
    loader = ModelLoader(registry)
    assert ["ridge", "ridge-5"] == [model.name for model in loader.load_model_by_tags(["A", "ridge"])]
    either = loader.load_model_by_tags(["svr", "horizon_5"], require_all_tags=False)
    assert ["ridge-5", "nan"] == [model.name for model in either]
    assert ["b"] == [model.name for model in loader.load_model_by_tags("B")]
    assert [] == loader.load_model_by_tags(["nobody"])
    with pytest.raises(InvalidValueError, match="tags"):
        loader.load_model_by_tags([])
    with pytest.raises(UntrustedArtifactError):
        ModelLoader(ModelRegistry(registry.url, trust=TrustStore(None))).load_model_by_tags(["A"])


def test_the_best_by_a_metric(registry: ModelRegistry) -> None:
    """What comes is one model, and the registry knows which."""
    registry.register_model(Model("worse"), "A_ridge", metrics={"rmse": 0.4})
    registry.register_model(Model("none"), "A_ridge", metrics={"rmse": float("nan")})
    loader = ModelLoader(registry)
    best = loader.load_best_model("A_ridge", "rmse")
    assert ("ridge", "1.0.0") == (best.name, registry.record_of(best)["model_version"])
    assert "worse" == loader.load_best_model("A_ridge", "rmse", higher_is_better=True, copy=False).name
    with pytest.raises(ModelNotFoundError):
        loader.load_best_model("A_ridge", "accuracy")


def test_input_is_checked_by_name_order_and_type(registry: ModelRegistry, estimator: Any) -> None:
    """The error says what is missing, extra, misplaced and of another type; what becomes the right type fits."""
    frame = pd.DataFrame({"open": [1.0, 2.0], "close": [1.0, 2.0], "volume": [1, 2]})
    registry.register_model(estimator, "m", input_example=frame)
    loader = ModelLoader(registry)
    loader.check_input("m", frame)
    loader.check_input("m", frame.astype({"open": "int64", "close": "float32"}))
    odd = pd.DataFrame({"close": ["a"], "extra": [1], "open": [1.0]})
    with pytest.raises(
        InputMismatchError, match=r"missing volume; not known extra; in another order open, close"
    ) as got:
        loader.check_input("m", odd)
    error = got.value
    assert (("volume",), ("extra",), ("open", "close")) == (error.missing, error.extra, error.misplaced)
    assert {"close"} == set(error.dtypes)
    assert "friday-store show m:1.0.0" in str(error.hint)
    with pytest.raises(InputMismatchError) as got:
        loader.check_input("m", frame.astype({"volume": "float64"}))
    assert {"volume": ("int64", "float64")} == got.value.dtypes
    loader.check_input("m", frame.to_numpy()[:, :3].astype("int64"))
    with pytest.raises(InputMismatchError, match="2 columns, not 3"):
        loader.check_input("m", frame.to_numpy()[:, :2])


def test_input_without_names_is_checked_by_width(registry: ModelRegistry, estimator: Any) -> None:
    """A model of bare arrays says how many columns it takes; one that says nothing cannot be checked, and says so."""
    registry.register_model(estimator, "bare")
    loader = ModelLoader(registry)
    loader.check_input("bare", np.ones((2, 3)))
    loader.check_input("bare", pd.DataFrame(np.ones((2, 3))))
    for wrong, said in ((np.ones((2, 4)), "4 columns, not 3"), (np.ones(3), "of 1 dimensions"), ([1, 2], "not list")):
        with pytest.raises(InvalidValueError, match=said):
            loader.check_input("bare", wrong)
    with pytest.raises(InvalidValueError, match="nothing is recorded") as got:
        loader.check_input("A_ridge", np.ones((2, 3)))
    assert "input_example" in str(got.value.hint)


def of_market(registry: ModelRegistry, model: Any, **more: Any) -> str:
    """Register a market model of symbol Z."""
    given = facts("Z", "ridge")
    metadata = {**given.pop("metadata"), **more.pop("metadata", {})}
    return registry.register_model(model, "Z_ridge", metadata=metadata, **given, **more)


def test_a_prediction_checks_input_first(registry: ModelRegistry, estimator: Any) -> None:
    """Input that does not fit refuses the load."""
    of_market(registry, estimator)
    loader = ModelLoader(registry)
    rows = np.ones((2, 3))
    model = loader.load_model_for_prediction("Z", "1d", "volatility", 1, X=rows)
    assert np.array_equal(estimator.predict(rows), model.predict(rows))
    with pytest.raises(InputMismatchError):
        loader.load_model_for_prediction("Z", "1d", "volatility", 1, X=np.ones((2, 5)))


def test_a_prediction_checks_the_environment(registry: ModelRegistry, estimator: Any) -> None:
    """Other libraries are a warning, an error or nothing, as the policy says; a patch release is no difference."""
    of_market(registry, estimator, dependencies={"scikit-learn": "0.1.0", "gone-library": "1.0"})
    loader = ModelLoader(registry)

    def load(**options: Any) -> Any:
        return loader.load_model_for_prediction("Z", "1d", "volatility", 1, **options)

    with pytest.warns(EnvironmentMismatchWarning, match=r"gone-library 1\.0 was recorded, none is installed"):
        load()
    with pytest.raises(EnvironmentMismatchError, match=r"scikit-learn 0\.1\.0 was recorded") as got:
        load(policy="error")
    assert {"scikit-learn", "gone-library"} == {each.name for each in got.value.report.notable}
    assert "pip install" in str(got.value.hint)
    assert hasattr(load(policy="ignore"), "predict")
    with pytest.raises(InvalidValueError, match="policy"):
        load(policy="shrug")
    patched = ".".join([*np.__version__.split(".")[:2], "999"])
    of_market(registry, estimator, dependencies={"numpy": patched}, description="patched")
    assert hasattr(load(policy="error"), "predict")


@pytest.mark.parametrize("kept", [0, dt.timedelta(hours=-1), dt.datetime(2020, 1, 1), "2020-01-01T00:00:00+02:00"])  # noqa: DTZ001
def test_an_expired_version_is_refused_or_warned_of(registry: ModelRegistry, estimator: Any, kept: Any) -> None:
    """Seconds after it was made, or a time; the error says since when, and how to extend it."""
    of_market(registry, estimator, metadata={"expires_after": kept})
    loader = ModelLoader(registry)

    def load(**options: Any) -> Any:
        return loader.load_model_for_prediction("Z", "1d", "volatility", 1, **options)

    with pytest.raises(ExpiredModelError, match=r"Z_ridge:1\.0\.0 expired on") as got:
        load()
    assert got.value.expired.tzinfo is not None
    assert "update_model_metadata" in str(got.value.hint)
    with pytest.warns(ExpiredModelWarning, match="expired on"):
        load(expired="warn")
    assert hasattr(load(expired="ignore"), "predict")
    registry.update_model_metadata("Z_ridge", {"expires_after": "2999-01-01"})
    assert hasattr(load(), "predict")


def test_expiry_comes_with_time(registry: ModelRegistry, estimator: Any) -> None:
    """A version that is held in the cache expires all the same, by the repository's clock."""
    of_market(registry, estimator, metadata={"expires_after": dt.timedelta(days=30)})
    loader = ModelLoader(registry)
    loader.load_model_for_prediction("Z", "1d", "volatility", 1, copy=False)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=31)
    registry.repository.settings = replace(registry.repository.settings, clock=lambda: later)
    with pytest.raises(ExpiredModelError):
        loader.load_model_for_prediction("Z", "1d", "volatility", 1, copy=False)


def test_an_expiry_that_cannot_be_understood_is_not_passed_over(registry: ModelRegistry, estimator: Any) -> None:
    """Neither 'soon' nor a list is a time, and the error says how to mend it."""
    for wrong in ("soon", [1], float("nan")):
        of_market(registry, estimator, metadata={"expires_after": wrong})
        with pytest.raises(InvalidValueError, match="expires_after") as got:
            ModelLoader(registry).load_model_for_prediction("Z", "1d", "volatility", 1)
        assert "update_model_metadata" in str(got.value.hint)


def test_the_errors_cross_a_process_boundary(registry: ModelRegistry) -> None:
    """They are pickled with their data."""
    moment = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    expired = pickle.loads(pickle.dumps(ExpiredModelError("over", expired=moment, hint="again")))
    assert (moment, "again", "over") == (expired.expired, expired.hint, str(expired))
    odd = pickle.loads(pickle.dumps(InputMismatchError("odd", missing=["a"], dtypes={"b": ("int64", "object")})))
    assert (("a",), {"b": ("int64", "object")}, "X") == (odd.missing, odd.dtypes, odd.path)


def test_the_functions_share_one_loader(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's functions load from the default registry, through a loader that stays."""
    monkeypatch.setenv("FRIDAY_STORE_URL", registry.url)
    assert "ridge" == load_model("A_ridge").name
    assert "ridge" == load_model("A_ridge", "1.0.0").name
    assert default_loader() is default_loader()
    assert (1, 1, 2) == default_loader().statistics()[:3]
