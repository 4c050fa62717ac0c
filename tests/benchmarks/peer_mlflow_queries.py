"""Questions to MLflow's registry of many versions, through its client, on its SQLite store.

Registering a hundred thousand versions takes MLflow some hours, so its database is filled by SQL with the rows that its
client writes: for each version a run with metrics, parameters and tags, and a model version with the same tags. What
MLflow answers about versions it answers from those, and what it answers by metric from the runs.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mlflow

from tests.benchmarks.crowd import Member, members
from tests.benchmarks.measure import median_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.benchmarks.rounds import Measures, Round
    from tests.benchmarks.workloads import Setting

_TAGS: Final = ("symbol", "frame", "target", "reviewed")
_START: Final = 1_700_000_000_000


def queries(setting: Setting) -> Round:
    """Ask the same questions as of ours."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(f"sqlite:///{_database(setting)}")
    client = mlflow.MlflowClient()
    name = next(members(setting.crowd)).name
    experiment = client.get_experiment_by_name("crowd")
    assert experiment is not None
    asked: dict[str, Callable[[], Any]] = {
        "latest": lambda: client.search_model_versions(f"name = '{name}'", 1, ["version_number DESC"]),
        "page by tag": lambda: client.search_model_versions("tags.symbol = 'S042'", 50),
        "best by metric": lambda: client.search_runs([experiment.experiment_id], "", 1, 1, ["metrics.rmse ASC"]),
        "two tags and a bound": lambda: client.search_runs(
            [experiment.experiment_id],
            "tags.symbol = 'S042' and tags.frame = '1d' and metrics.rmse < 0.5",
            1,
            50,
            ["metrics.rmse ASC"],
        ),
    }
    for ask in asked.values():
        assert ask() or setting.quick  # a small crowd has not every tag

    def measure(number: int) -> Measures:
        del number
        return {what: median_of(ask, 5) for what, ask in asked.items()}

    return measure


def _database(setting: Setting) -> Path:
    """Return a copy of the filled database, which is made on first use and kept in the cache."""
    kept = Path(setting.cache, f"mlflow-{version('mlflow')}-{setting.crowd}.db")
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = setting.folder("filling") / "mlflow.db"
        mlflow.set_tracking_uri(f"sqlite:///{unfinished}")
        experiment = mlflow.create_experiment("crowd", artifact_location=(unfinished.parent / "artifacts").as_uri())
        _fill(unfinished, int(experiment), members(setting.crowd))
        shutil.copyfile(unfinished, kept)
    used = setting.folder("tracking") / "mlflow.db"
    shutil.copyfile(kept, used)
    return used


def _fill(path: Path, experiment: int, found: Iterable[Member]) -> None:
    tables: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        for table, row in _rows(experiment, one):
            tables.setdefault(table, []).append(row)
    models = {row["name"]: row["creation_time"] for row in tables["model_versions"]}
    tables["registered_models"] = [
        {"name": name, "creation_time": time, "last_updated_time": time, "description": None}
        for name, time in models.items()
    ]
    with sqlite3.connect(path) as connection:
        for table, rows in tables.items():
            names = list(rows[0])
            marks = ", ".join(f":{name}" for name in names)
            connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)
        connection.execute("ANALYZE")
    connection.close()


def _rows(experiment: int, one: Member) -> Iterable[tuple[str, dict[str, Any]]]:
    """Iterate over the rows of one version, each with its table."""
    run, time = f"{one.number:032x}", _START + one.number
    tags = {key: value for key, value in zip(_TAGS, [*one.tags, ""], strict=False) if value}
    yield "runs", {
        "run_uuid": run, "name": f"run-{one.number}", "source_type": "UNKNOWN", "source_name": "",
        "entry_point_name": "", "user_id": "bench", "status": "FINISHED", "start_time": time, "end_time": time + 1,
        "source_version": "", "lifecycle_stage": "active", "artifact_uri": f"file:///artifacts/{run}",
        "experiment_id": experiment, "deleted_time": None,
    }  # fmt: skip
    for key, value in one.metrics.items():
        fields = {"key": key, "value": value, "timestamp": time, "step": 0, "is_nan": 0, "run_uuid": run}
        yield "metrics", fields
        yield "latest_metrics", fields
    for key, given in one.parameters.items():
        yield "params", {"key": key, "value": str(given), "run_uuid": run}
    yield "model_versions", {
        "name": one.name, "version": one.place + 1, "creation_time": time, "last_updated_time": time,
        "description": None, "user_id": None, "current_stage": "None", "source": f"file:///artifacts/{run}",
        "run_id": run, "status": "READY", "status_message": None, "run_link": None,
        "storage_location": f"file:///artifacts/{run}",
    }  # fmt: skip
    for key, text in tags.items():
        yield "tags", {"key": key, "value": text, "run_uuid": run}
        yield "model_version_tags", {"key": key, "value": text, "name": one.name, "version": one.place + 1}
