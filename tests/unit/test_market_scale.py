"""What the market trainer promises about many jobs: none is lost, none is done twice, and a run can be broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import pytest

from friday_store.default_plugins.estimators import builtin_trainers
from friday_store.errors import InvalidValueError, StorageError
from friday_store.market import MarketDataModelTrainer
from friday_store.market.configuration import configuration
from friday_store.market.demo_data import stocks
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.market.fitting import Options
from friday_store.market.results import Job
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.trust import Identity, Policy, TrustStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from friday_store.hookspecs import Task
    from friday_store.market.results import ResultRow, Results

ROOT = Path(__file__).parents[2]


class Mortal:
    """A family whose workers die."""

    name = "MORTAL"
    tasks: Sequence[Task] = ("regression",)

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Return an ordinary estimator in the process that registers, and end any other."""
        if os.environ.get("FRIDAY_TEST_PARENT") != str(os.getpid()):
            os._exit(9)
        return builtin_trainers()[0].estimator(task, seed=seed, params=params)

    def search_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return nothing."""
        return {}


class Families:
    """The built-in families and those of this module."""

    def trainer(self, name: str) -> Any:
        """Return a family by its name."""
        return {family.name: family for family in (*builtin_trainers(), Mortal())}[name]


def bars(rows: int = 330, seed: int = 0) -> pd.DataFrame:
    """Return raw bars of a random walk."""
    draw = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(draw.normal(0, 0.01, rows)))
    frame = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6})
    return frame.set_index(pd.date_range("2020-01-01", periods=rows, name="date"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory of processed data of three symbols."""
    for seed, symbol in enumerate(("ONE", "TWO", "THREE")):
        write_processed(prepare_ohlcv(bars(seed=seed)), tmp_path / "data", symbol, "1d")
    return tmp_path / "data"


ASKED: dict[str, Any] = {
    "timeframes": "1d",
    "target_types": ["price_direction", "return"],
    "forecast_horizons": [1, 3],
    "model_types": ["ridge", "linear"],
}


ONE_MODEL: dict[str, Any] = {"target_types": "return", "forecast_horizons": 1, "model_types": "ridge"}


def names(rows: Results | Sequence[ResultRow]) -> list[str]:
    """Return what each row is about."""
    return [f"{row.symbol} {row.target_type} {row.forecast_horizon} {row.model_type}" for row in rows]


def transactions(registry: ModelRegistry) -> list[str]:
    """Return why each transaction was made."""
    return [entry.message for entry in registry.repository.log.backwards(registry.repository.log.last())]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_all_symbols_go_through_one_pool_and_one_transaction_each(
    folder: Path, registry: ModelRegistry, n_jobs: int | None
) -> None:
    """Every combination is a row in the order of asking, every model is registered, and each symbol is one entry."""
    seen: list[ResultRow] = []
    trainer = MarketDataModelTrainer(folder, registry=registry, n_jobs=n_jobs)
    results = trainer.train_models_for_all_symbols(["TWO", "ONE", "THREE"], **ASKED, progress=seen.append)
    assert ["trained"] * 24 == [row.status for row in results]
    expected = [
        f"{symbol} {target} {horizon} {kind}"
        for symbol in ("TWO", "ONE", "THREE")
        for target in ASKED["target_types"]
        for horizon in ASKED["forecast_horizons"]
        for kind in ASKED["model_types"]
    ]
    assert expected == names(results)
    assert sorted(expected) == sorted(names(seen))
    assert {row.model_id for row in results} == {record["model_id"] for record in registry.list_models()}
    assert 3 == transactions(registry).count("register models")
    assert [] == registry.fsck()


def test_what_is_registered_is_not_trained_again(folder: Path, registry: ModelRegistry) -> None:
    """The same run again skips all of it, by name and version; other data, seeds or parameters are trained."""
    trainer = MarketDataModelTrainer(folder, registry=registry)
    first = trainer.train_models_for_all_symbols(**ASKED)
    again = trainer.train_models_for_all_symbols(**ASKED)
    assert ["skipped"] * 24 == [row.status for row in again]
    for before, after in zip(first, again, strict=True):
        assert f"already registered as {before.model_name}:1.0.0" == after.reason
        assert (before.model_id, before.metrics) == (after.model_id, after.metrics)
    write_processed(prepare_ohlcv(bars(331, seed=1)), folder, "TWO", "1d")
    counts = [row.status for row in trainer.train_models_for_all_symbols(**ASKED) if row.symbol == "TWO"]
    assert ["trained"] * 8 == counts
    for changed in ({"random_state": 7}, {"test_size": 0.3}):
        other = MarketDataModelTrainer(folder, registry=registry, **changed)
        assert {"trained"} == {row.status for row in other.train_models_for_symbol("ONE", **ASKED)}
    tuned = trainer.train_models_for_symbol("ONE", **{**ASKED, "model_types": "ridge"}, tune_hyperparams=True)
    assert {"trained"} == {row.status for row in tuned}
    assert {"trained"} == {row.status for row in trainer.train_models_for_symbol("ONE", **ASKED, resume=False)}


@pytest.mark.parametrize("status", ["archived", "deprecated"])
def test_a_retired_version_is_no_reason_not_to_train(folder: Path, registry: ModelRegistry, status: str) -> None:
    """What was archived or deprecated is trained again, once; what is in use, whatever its status, is not."""
    trainer = MarketDataModelTrainer(folder, registry=registry)
    trainer.train_models_for_symbol("ONE", **ONE_MODEL)
    registry.set_model_status("ONE_1d_return_1_ridge:1.0.0", "staging")
    assert ["skipped"] == [row.status for row in trainer.train_models_for_symbol("ONE", **ONE_MODEL)]
    registry.set_model_status("ONE_1d_return_1_ridge:1.0.0", status)
    (row,) = trainer.train_models_for_symbol("ONE", **ONE_MODEL)
    assert "trained" == row.status, row.reason
    (again,) = trainer.train_models_for_symbol("ONE", **ONE_MODEL)
    assert ("skipped", row.model_id) == (again.status, again.model_id)


def test_what_a_stranger_registered_is_no_reason_not_to_train(folder: Path, tmp_path: Path) -> None:
    """A pulled version of a stranger does not count until it is trusted, though it names data and configuration."""
    far = _of_a_person(tmp_path / "stranger")
    MarketDataModelTrainer(folder, registry=far).train_models_for_symbol("ONE", **ONE_MODEL)
    (theirs,) = far.list_models()
    far.register_model([1.0], "ONE_1d_return_1_ridge", metadata={"market": "anything"})
    statuses = []
    for name, trusting in (("wary", False), ("trusting", True)):
        mine = _of_a_person(tmp_path / name)
        mine.add_remote("origin", far.url)
        mine.pull("origin")
        if trusting:
            mine.trust.add("digests", theirs["model_id"])
        (row,) = MarketDataModelTrainer(folder, registry=mine).train_models_for_symbol("ONE", **ONE_MODEL)
        statuses.append(row.status)
        mine.load_model(row.model_id or "")
        (row,) = MarketDataModelTrainer(folder, registry=mine).train_models_for_symbol("ONE", **ONE_MODEL)
        assert "skipped" == row.status
    assert ["trained", "skipped"] == statuses


def test_what_waits_for_approval_is_not_trained_again(folder: Path, tmp_path: Path) -> None:
    """A version of one's own counts, though a policy asks for more signatures before it loads."""
    registry = _of_a_person(tmp_path / "own")
    registry.trust.set_policy("*", Policy(2))
    trainer = MarketDataModelTrainer(folder, registry=registry)
    rows = [trainer.train_models_for_symbol("ONE", **ONE_MODEL)[0] for _ in range(2)]
    assert ["trained", "skipped"] == [row.status for row in rows]


def test_a_return_to_earlier_settings_tells_of_the_newer_version(folder: Path, registry: ModelRegistry) -> None:
    """With settings A, then B, then A, the row of the third run names A's version and that B's is newer."""
    first, second = (MarketDataModelTrainer(folder, registry=registry, random_state=seed) for seed in (1, 2))
    reasons = [trainer.train_models_for_symbol("ONE", **ONE_MODEL)[0].reason for trainer in (first, second, first)]
    name = "ONE_1d_return_1_ridge"
    told = f"already registered as {name}:1.0.0; the newer {name}:1.0.1 has another configuration or data"
    assert ["", "", told] == reasons
    assert f"already registered as {name}:1.0.1" == second.train_models_for_symbol("ONE", **ONE_MODEL)[0].reason


class Threshold:
    """A target of a plugin: what the return is above a threshold that the user sets."""

    name = "threshold"
    task: Task = "regression"
    baseline = "zero"
    of_price = False

    def __init__(self, above: float = 0.0, further: int = 0) -> None:
        self.above = above
        self._further = further

    def labels(self, bars: pd.DataFrame, horizon: int) -> pd.Series[Any]:
        """Return what the return is above the threshold."""
        return bars["close"].shift(-horizon) / bars["close"] - 1 - self.above

    def reach(self, horizon: int) -> int:
        """Return the horizon and what is added to it."""
        return horizon + self._further

    def naive(self, y: Any, horizon: int, close: Any) -> Any:
        """Return zero for each row."""
        return np.zeros(len(y))


class Bringing(Families):
    """The built-in families, and a target."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def targets(self) -> dict[str, Any]:
        """Return the target by its name."""
        return {self._target.name: self._target}


class Double(Threshold):
    """Another target of the same name."""


class Priced(Threshold):
    """The same for prices."""

    of_price = True


def test_a_configuration_is_of_the_target_itself_and_not_its_name(folder: Path, registry: ModelRegistry) -> None:
    """Targets of one name with another class, attribute or reach give other digests; equal ones the same."""
    job, options = Job("ONE", "1d", "threshold", 1, "ridge"), Options(0.2, 42, 20)
    family = next(each for each in builtin_trainers() if each.name == "RIDGE")
    targets: list[Any] = [Threshold(), Threshold(0.01), Threshold(further=1), Double(), Priced()]
    digests = [configuration(job, target, family, options) for target in targets]
    assert len(targets) == len(set(digests))
    assert digests[0] == configuration(job, Threshold(), family, options)
    statuses = []
    for target in (Threshold(), Threshold(), Threshold(0.01), Double()):
        trainer = MarketDataModelTrainer(folder, registry=registry, plugins=Bringing(target))
        (row,) = trainer.train_models_for_symbol("ONE", **{**ONE_MODEL, "target_types": "threshold"})
        statuses.append(row.status)
    assert ["trained", "skipped", "trained", "trained"] == statuses


def test_panels_are_registered_in_one_transaction_and_predict(folder: Path, registry: ModelRegistry) -> None:
    """Models that were trained by hand are saved together, all or none, and forecast bars of each of their symbols."""
    trainer = MarketDataModelTrainer(folder, registry=registry)
    data = {
        symbol: trainer.load_processed_data(f"{symbol}/{symbol}_1d_processed.csv") for symbol in ("ONE", "TWO", "THREE")
    }
    batch = []
    for horizon in (1, 5):
        x, y = trainer.prepare_panel(data, "return", horizon)
        model, evaluation = trainer.train_model(x, y, "ridge")
        about = {"symbol": "ALL", "timeframe": "1d", "model_type": "ridge"}
        batch.append({"estimator": model, "evaluation": evaluation, **about})
    with pytest.raises(InvalidValueError, match="timeframe"):
        trainer.save_models([*batch, {**batch[0], "timeframe": "2d"}])
    assert [] == registry.list_models()
    ids = trainer.save_models(batch)
    assert ids == [registry.get_model_metadata(f"ALL_1d_return_{horizon}_ridge")["model_id"] for horizon in (1, 5)]
    assert ["register models"] == transactions(registry)[:1]
    assert 1 == transactions(registry).count("register models")
    for symbol in data:
        frame = trainer.predict("ALL", "1d", "return", 5, data=bars(seed=list(data).index(symbol))).frame
        np.testing.assert_allclose(frame["prediction"], model.predict(data[symbol][x.columns]))
    assert [] == trainer.save_models([])


def test_what_was_left_over_is_done_the_next_time(folder: Path, registry: ModelRegistry) -> None:
    """With no time left no job is begun, and says so; the next run does those and only those."""
    trainer = MarketDataModelTrainer(folder, registry=registry)

    def slow(row: ResultRow) -> None:
        if row.status == "trained":
            time.sleep(0.3)

    short = trainer.train_models_for_all_symbols(**ASKED, time_budget=0.2, progress=slow)
    left = [row for row in short if row.status == "skipped"]
    assert left
    assert len(left) < 24
    assert {"not begun: the time budget of 0.2 s was used up"} == {row.reason for row in left}
    rest = trainer.train_models_for_all_symbols(**ASKED)
    assert names(left) == names(rest.with_status("trained"))
    assert 24 == len(registry.list_models())
    with pytest.raises(InvalidValueError, match="time_budget"):
        trainer.train_models_for_all_symbols(**ASKED, time_budget=0)


def test_a_run_that_is_broken_off_keeps_what_was_finished(folder: Path, registry: ModelRegistry) -> None:
    """When progress raises, every model whose row it was given is registered, also those of symbols half done."""
    seen: list[ResultRow] = []

    def stop(row: ResultRow) -> None:
        seen.append(row)
        if len(seen) == 11:
            raise KeyboardInterrupt

    trainer = MarketDataModelTrainer(folder, registry=registry)
    with pytest.raises(KeyboardInterrupt):
        trainer.train_models_for_all_symbols(["ONE", "TWO"], **ASKED, progress=stop)
    assert 11 == len(registry.list_models())
    assert [] == registry.fsck()
    again = trainer.train_models_for_all_symbols(["ONE", "TWO"], **ASKED)
    assert 11 == len(again.with_status("skipped"))
    assert 5 == len(again.with_status("trained"))


def test_a_registration_that_was_broken_off_is_made_up_for(folder: Path, registry: ModelRegistry) -> None:
    """Ctrl-C before or after a symbol's entry is made leaves each of its models registered exactly once."""
    for symbol, after in (("ONE", False), ("TWO", True)):
        trainer = MarketDataModelTrainer(folder, registry=_Interrupted(registry, after=after))
        with pytest.raises(KeyboardInterrupt):
            trainer.train_models_for_symbol(symbol, **ASKED)
        assert 8 == len(registry.list_models(tags=[symbol]))
        assert {"1.0.0"} == {record["model_version"] for record in registry.list_models()}


def _of_a_person(place: Path) -> ModelRegistry:
    """Return a registry of somebody with an identity and a trust of their own."""
    identity = Identity(place / "identity.json")
    trust = TrustStore(place / "trust.json", identity)
    return ModelRegistry(place / "registry", plugins=Plugins(()), identity=identity, trust=trust)


class _Interrupted(ModelRegistry):
    """A registry during whose first registration Ctrl-C is pressed."""

    def __init__(self, registry: ModelRegistry, *, after: bool) -> None:
        super().__init__(registry.url, plugins=Plugins(()))
        self._after: bool | None = after

    def register_models(self, models: Any) -> list[str]:
        """Be interrupted once, before or after the entry."""
        after, self._after = self._after, None
        if after is False:
            raise KeyboardInterrupt
        ids = super().register_models(models)
        if after:
            raise KeyboardInterrupt
        return ids


_STORY = """
import signal, sys
from friday_store.market import MarketDataModelTrainer
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without one
    registry = ModelRegistry(sys.argv[2], plugins=Plugins(()))
    trainer = MarketDataModelTrainer(sys.argv[1], registry=registry, n_jobs=2)
    trainer.train_models_for_all_symbols(
        target_types=["price_direction", "return"], forecast_horizons=list(range(1, 40)), model_types=["ridge"],
        progress=lambda row: print(row.symbol, row.target_type, row.forecast_horizon, flush=True),
    )
"""


def test_ctrl_c_with_workers_leaves_every_finished_model_registered(folder: Path, registry: ModelRegistry) -> None:
    """SIGINT to the whole group, as a terminal sends it, ends the run soon; each row that was told is registered."""
    with subprocess.Popen(
        [sys.executable, "-c", _STORY, str(folder), registry.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as started:
        assert started.stdout is not None
        told = [started.stdout.readline() for _ in range(20)]
        os.killpg(started.pid, signal.SIGINT)
        told += started.stdout.read().splitlines(keepends=True)
        assert started.wait(60) != 0
    assert 20 <= len(told) < 3 * 2 * 39
    there = {
        f"{market['symbol']} {market['target_type']} {market['forecast_horizon']}\n"
        for record in registry.list_models()
        if (market := record["metadata"]["market"])
    }
    assert set(told) <= there
    assert [] == registry.fsck()


def test_jobs_whose_worker_died_are_rows(
    folder: Path, registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When workers are killed the run ends with a row for every job, and what was finished is registered."""
    monkeypatch.setenv("FRIDAY_TEST_PARENT", str(os.getpid()))
    trainer = MarketDataModelTrainer(folder, registry=registry, n_jobs=2, plugins=Families())
    results = trainer.train_models_for_all_symbols(
        ["ONE", "TWO"], timeframes="1d", target_types="return", forecast_horizons=1, model_types=["ridge", "mortal"]
    )
    assert 4 == len(results)
    died = results.with_status("failed")
    assert {"TerminatedWorkerError"} <= {row.reason.split(": ")[1] for row in died}
    assert len(results) - len(died) == len(registry.list_models())


def test_a_registry_that_fails_ends_the_run(folder: Path, registry: ModelRegistry) -> None:
    """An error of the registry while jobs are handed out is raised, not lost in a thread of the pool."""

    class Failing(ModelRegistry):
        def list_models(self, *arguments: Any, **options: Any) -> Any:
            raise StorageError("the disk is gone")

    trainer = MarketDataModelTrainer(folder, registry=Failing(registry.url, plugins=Plugins(())), n_jobs=2)
    with pytest.raises(StorageError, match="the disk is gone"):
        trainer.train_models_for_all_symbols(**ASKED)
    with pytest.raises(InvalidValueError, match="n_jobs"):
        MarketDataModelTrainer(folder, registry=registry, n_jobs=0).train_models_for_all_symbols(**ASKED)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_other_backends_of_joblib_do_the_same(folder: Path, registry: ModelRegistry, backend: str) -> None:
    """With threads, and with a backend that hands all results back at once, no job is lost."""
    trainer = MarketDataModelTrainer(folder, registry=registry)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        results = trainer.train_models_for_all_symbols(**ASKED)
    assert ["trained"] * 24 == [row.status for row in results]
    assert 24 == len(registry.list_models())


def test_a_dask_cluster_does_the_same(folder: Path, registry: ModelRegistry, tmp_path: Path) -> None:
    """On a real cluster of two processes the same call gives the same models, byte for byte."""
    distributed = pytest.importorskip("distributed")
    trainer = MarketDataModelTrainer(folder, registry=registry)
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        results = trainer.train_models_for_all_symbols(**ASKED)
    assert ["trained"] * 24 == [row.status for row in results]
    with ModelRegistry(tmp_path / "alone", plugins=Plugins(())) as alone:
        MarketDataModelTrainer(folder, registry=alone).train_models_for_all_symbols(**ASKED)
        for record in alone.list_models():
            assert record["artifact"] == registry.get_model_metadata(record["model_name"])["artifact"]


_CREW = """
import sys
from friday_store.market import MarketDataModelTrainer
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
data, registry, horizons, *symbols = sys.argv[1:]
trainer = MarketDataModelTrainer(data, registry=ModelRegistry(registry, plugins=Plugins(())), min_rows=20)
targets = ["return", "volatility"]
rows = trainer.train_models_for_all_symbols(symbols, "1d", targets, list(range(1, int(horizons) + 1)), "linear")
print(len(rows.with_status("trained")))
"""


@pytest.mark.parametrize(
    ("symbols", "horizons"), [(2, 5), pytest.param(25, 50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_two_processes_lose_no_model(tmp_path: Path, registry: ModelRegistry, symbols: int, horizons: int) -> None:
    """Tiny models trained in two processes at a time all end up in one registry (5,000 in the long form)."""
    crews = [[f"{crew}{place}" for place in range(symbols)] for crew in "AB"]
    for seed, symbol in enumerate(symbol for crew in crews for symbol in crew):
        write_processed(prepare_ohlcv(bars(200, seed)), tmp_path / "data", symbol, "1d")
    place = [str(tmp_path / "data"), registry.url, str(horizons)]
    started = [
        subprocess.Popen([sys.executable, "-c", _CREW, *place, *crew], stdout=subprocess.PIPE, text=True)
        for crew in crews
    ]
    trained = [int(each.communicate()[0]) for each in started]
    assert [symbols * horizons * 2] * 2 == trained
    assert sum(trained) == len(registry.list_models())
    assert 2 * symbols == transactions(registry).count("register models")
    assert [] == registry.fsck()


class _Timed(ModelRegistry):
    """A registry that adds up how long it registers."""

    spent = 0.0

    def register_models(self, models: Any) -> list[str]:
        """Register, and count the processor's time."""
        start = time.process_time()
        ids = super().register_models(models)
        self.spent += time.process_time() - start
        return ids


@pytest.mark.parametrize(
    ("horizons", "models"),
    [
        ([1], ["ridge", "hist_gradient_boosting"]),
        pytest.param(
            [1, 5, 10],
            ["ridge", "random_forest", "gradient_boosting", "hist_gradient_boosting"],
            marks=[pytest.mark.slow, pytest.mark.timeout(3600)],
        ),
    ],
)
def test_the_demo_data_lose_no_job(tmp_path: Path, horizons: list[int], models: list[str]) -> None:
    """Five symbols, three targets, every horizon and family: a row each, and registering is a small part of it all."""
    pytest.importorskip("bokeh_sampledata")
    for symbol, raw in stocks().items():
        write_processed(prepare_ohlcv(raw), tmp_path / "data", symbol, "1d")
    targets = ["price_direction", "volatility", "next_close"]
    with _Timed(tmp_path / "registry", plugins=Plugins(())) as registry:
        trainer = MarketDataModelTrainer(tmp_path / "data", registry=registry, n_jobs=2)
        results = trainer.train_models_for_all_symbols(None, "1d", targets, horizons, models)
        assert 5 * 3 * len(horizons) * len(models) == len(results)
        few = results.with_status("skipped")
        assert {"FB"} == {row.symbol for row in few}
        assert len(results) - len(few) == len(results.with_status("trained")) == len(registry.list_models())
        assert registry.spent < 0.05 * sum(row.seconds for row in results)


@pytest.mark.slow
def test_ray_does_the_same(folder: Path, tmp_path: Path) -> None:
    """On a local ray, which hands results back in batches, every job is a row and every model has the same bytes."""
    script = tmp_path / "night.py"
    pytest.importorskip("ray")
    script.write_text(_RAY)
    environment = {**os.environ, "HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    places = [str(folder), str(tmp_path / "ray"), str(tmp_path / "alone")]
    subprocess.run([sys.executable, script, *places], env=environment, check=True, capture_output=True)
    with (
        ModelRegistry(places[1], plugins=Plugins(())) as far,
        ModelRegistry(places[2], plugins=Plugins(())) as alone,
    ):
        assert 6 == len(alone.model_names())
        for name in alone.model_names():
            assert alone.get_model_metadata(name)["artifact"] == far.get_model_metadata(name)["artifact"]


_RAY = """
import sys
import joblib, ray
from ray.util.joblib import register_ray
from friday_store.market import MarketDataModelTrainer
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    register_ray()
    for backend, place in (("ray", sys.argv[2]), ("sequential", sys.argv[3])):
        trainer = MarketDataModelTrainer(sys.argv[1], registry=ModelRegistry(place, plugins=Plugins(())))
        with joblib.parallel_config(backend=backend):
            rows = trainer.train_models_for_all_symbols(None, "1d", "return", [1, 2], "ridge")
        assert len(rows.with_status("trained")) == 6
    ray.shutdown()
"""
