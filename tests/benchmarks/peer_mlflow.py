"""MLflow's model registry: SQLite backend, artifacts in a local folder, ``mlflow.sklearn``.

Run by the interpreter of MLflow's own environment, with the metric and the two tags that ours records: a run, the
metric, the model with its registration, the tags of the version. Beside it stand ``register, bare``, the model and
its registration alone, and ``register, default``, which leaves the requirements to MLflow: it starts a process that
loads the model to infer them. Models are pickled, since the default format of newer releases takes listed types only.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import mlflow
import mlflow.sklearn

from tests.benchmarks.measure import cpu_seconds, import_seconds, timed
from tests.benchmarks.peer_mlflow_queries import queries
from tests.benchmarks.rounds import Measures, Round, big, forest, loop, one_by_one, small
from tests.benchmarks.workloads import small_models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "artifacts not fsynced; SQLite rollback journal, FULL"
_REQUIREMENTS: Final = (f"scikit-learn=={version('scikit-learn')}",)


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    return {name: version(name) for name in ("mlflow", "scikit-learn", "cloudpickle", "numpy", "sqlalchemy")}


class Tracking:
    """A tracking server's database and artifacts in one folder; the handle is the model's address."""

    def __init__(self, folder: Path) -> None:
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self.folder = folder
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        artifacts = (folder / "artifacts").as_uri()
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("benchmark", artifact_location=artifacts))
        self._client = mlflow.MlflowClient()

    def save(self, model: Any, name: str, requirements: Sequence[str] | None = _REQUIREMENTS) -> str:
        """Log a metric and the model in a run, register it as the next version of the name, tag that."""
        with mlflow.start_run():
            mlflow.log_metric("rmse", 0.1)
            number = self._register(model, name, requirements)
        for tag in ("a", "b"):
            self._client.set_model_version_tag(name, number, tag, "")
        return f"models:/{name}/{number}"

    def save_bare(self, model: Any, name: str) -> str:
        """Log the model and register it, nothing else."""
        return f"models:/{name}/{self._register(model, name, _REQUIREMENTS)}"

    def _register(self, model: Any, name: str, requirements: Sequence[str] | None) -> str:
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=name,
            serialization_format="cloudpickle",
            pip_requirements=requirements,
        )
        return str(info.registered_model_version)

    def load(self, handle: str) -> Any:
        """Load by name and version."""
        return mlflow.sklearn.load_model(handle)

    def close(self) -> None:
        """Remove database and artifacts."""
        shutil.rmtree(self.folder)


def _fresh(setting: Setting) -> Callable[[], Tracking]:
    numbers = count()
    return lambda: Tracking(setting.folder(f"tracking-{next(numbers)}"))


def _small(setting: Setting) -> Round:
    """The common work, the same bare, and in the first round one registration with inferred requirements."""
    store = _fresh(setting)()
    common = small(store, setting)

    def bare(number: int) -> None:
        for place, model in enumerate(small_models(setting.calls, seed=number + 1)):
            store.save_bare(model, f"bare-{number}-{place}")

    def measure(number: int) -> Measures:
        found = common(number)
        found["register, bare"] = timed(bare, number)[0] / setting.calls
        if number == 1:
            found["register, default"], _ = timed(store.save, next(small_models(1, seed=0)), "default", None)
        return found

    return measure


def _loop(setting: Setting) -> Round:
    return loop(_fresh(setting)(), setting)


def _bulk(setting: Setting) -> Round:
    return one_by_one(_fresh(setting)(), setting.bulk // 100)


def _big(setting: Setting) -> Round:
    return big(_fresh(setting), setting)


def _forest(setting: Setting) -> Round:
    return forest(_fresh(setting), setting)


def _cli(setting: Setting) -> Round:
    del setting
    command = [os.fspath(Path(sys.executable).with_name("mlflow")), "--version"]
    return lambda number: {"version": cpu_seconds(command)}


def _imports(setting: Setting) -> Round:
    del setting
    return lambda number: {"import": import_seconds("mlflow")}


WORKLOADS: Final = {
    "small": _small,
    "loop": _loop,
    "bulk": _bulk,
    "big": _big,
    "forest": _forest,
    "cli": _cli,
    "imports": _imports,
    "queries": queries,
}
