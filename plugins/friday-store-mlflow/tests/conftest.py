"""What every test has: a home of its own, MLflow kept from the network, and real MLflow registries on this disk."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

from friday_store import ModelRegistry

pytest.register_assert_rewrite("friday_store.testing")
_READY: Final = 120.0


def pytest_configure(config: pytest.Config) -> None:
    """Let MLflow's own warnings about MLflow's own code pass; ours stay errors."""
    for line in ("ignore:.*Any type hint is inferred:UserWarning", "ignore:.*noload:DeprecationWarning"):
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return this test's own home and working folder; the machine's registries and trust are out of reach."""
    for name in [name for name in os.environ if name.startswith("FRIDAY_STORE_")]:
        monkeypatch.delenv(name)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def fluent() -> Iterator[None]:
    """Give MLflow's process-wide settings back as they were."""
    import mlflow

    yield
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.set_tracking_uri("")
    mlflow.set_registry_uri("")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    """Return a local registry that is not there yet."""
    with ModelRegistry(tmp_path / "registry", actor="tester@here") as opened:
        yield opened


@dataclass(frozen=True)
class Theirs:
    """An MLflow registry with its tracking store.

    Attributes:
        uri: Both of them.
        client: MLflow's own client for it.
        experiment: Where runs go.
    """

    uri: str
    client: Any
    experiment: str

    def log(self, name: str, alpha: float, **metrics: float) -> Any:
        """Train a small model in a run, register it, and return MLflow's version."""
        import mlflow
        import numpy as np
        from sklearn.linear_model import Ridge

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        features = np.arange(20.0).reshape(10, 2)
        model = Ridge(alpha=alpha).fit(features, features.sum(axis=1))
        with mlflow.start_run(experiment_id=self.experiment):
            mlflow.log_param("alpha", alpha)
            for key, value in metrics.items():
                mlflow.log_metric(key, value)
            logged = mlflow.sklearn.log_model(
                model,
                name="model",
                serialization_format="pickle",
                signature=mlflow.models.infer_signature(features, model.predict(features)),
                pip_requirements=["scikit-learn==1.8.0", "numpy==2.0.0 ; python_version > '3'"],
            )
        return mlflow.register_model(logged.model_uri, name)


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with MLflow's tables and nothing in them; making one takes MLflow seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


def made(kind: str, folder: Path, blank: Path) -> Theirs:
    """Return a new MLflow registry of a kind, ``file`` or ``sqlite``."""
    from mlflow import MlflowClient

    uri = (folder / "mlruns").as_uri() if kind == "file" else f"sqlite:///{folder / 'mlflow.db'}"
    if kind == "sqlite":
        shutil.copyfile(blank, folder / "mlflow.db")
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.create_experiment("prices", artifact_location=(folder / "artifacts").as_uri())
    return Theirs(uri, client, experiment)


@pytest.fixture(params=["file", "sqlite"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path, blank: Path) -> Theirs:
    """Return an empty MLflow registry of each kind, made by MLflow."""
    return made(request.param, tmp_path, blank)


@pytest.fixture
def small(tmp_path: Path, blank: Path) -> Theirs:
    """Return an empty MLflow registry in a database."""
    return made("sqlite", tmp_path, blank)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Iterator[str]:
    """Return the address of a real MLflow server on this machine, which keeps its clients' runs, models and files."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(blank, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stores = {"--backend-store-uri": f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination": folder / "files"}
    options = {**stores, "--host": "127.0.0.1", "--port": port, "--workers": 1}
    command = [sys.executable, "-m", "mlflow", "server", *(str(word) for pair in options.items() for word in pair)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        limit = time.monotonic() + _READY
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < limit, (folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its workers, which are of its own group
        process.wait()


@pytest.fixture
def far(server: str, request: pytest.FixtureRequest) -> Theirs:
    """Return a registry that is reached through the server alone; the tests of a process share it."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server, registry_uri=server)
    return Theirs(server, client, client.create_experiment(request.node.name))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
