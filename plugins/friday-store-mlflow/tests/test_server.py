"""What an import promises when MLflow is a server somewhere: the same as from its own disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from friday_store import ModelRegistry
from friday_store.cli import cli
from friday_store_mlflow import import_mlflow

if TYPE_CHECKING:
    from tests.conftest import Theirs

FEATURES = np.arange(6.0).reshape(3, 2)


def record(registry: ModelRegistry, revision: str) -> dict[str, Any]:
    """Return what is known of a version."""
    return registry.get_model_metadata(revision)


def test_everything_that_maps_comes_over_http(far: Theirs, registry: ModelRegistry) -> None:
    """Versions, files, tags, aliases, metrics, parameters and lineage come from a server as from a folder."""
    far.log("aapl", 1.0, rmse=0.5)
    second = far.log("aapl", 0.5, rmse=0.4)
    far.client.set_registered_model_alias("aapl", "prod", 2)
    far.client.set_model_version_tag("aapl", "2", "desk", "equities")
    far.client.update_model_version("aapl", "2", "the second")
    far.client.copy_model_version("models:/aapl/2", "aapl-prod")
    rehearsed = import_mlflow(far.uri, registry, ["aapl*"], dry_run=True)
    report = import_mlflow(far.uri, registry, ["aapl*"])
    assert rehearsed.rows == report.rows
    assert ["new"] * 3 == [row.outcome for row in report.rows]
    found = record(registry, "aapl@prod")
    assert ("0.0.2", "the second", 0.4, "0.5", second.run_id) == (
        found["model_version"], found["description"], found["metrics"]["rmse"], found["hyperparameters"]["alpha"],
        found["metadata"]["mlflow"]["run_id"],
    )  # fmt: skip
    assert "desk=equities" in found["tags"]
    assert [record(registry, "aapl:0.0.1")["id"]] == found["parents"]
    assert [found["id"]] == record(registry, "aapl-prod")["parents"]
    registry.trust.add("repositories", report.origin)
    mlflow.set_registry_uri(far.uri)
    mlflow.set_tracking_uri(far.uri)
    expected = mlflow.pyfunc.load_model("models:/aapl@prod").predict(FEATURES)
    np.testing.assert_array_equal(expected, registry.load_model("aapl@prod").predict(FEATURES))
    assert ["present"] * 3 == [row.outcome for row in import_mlflow(far.uri, registry, ["aapl*"]).rows]


def test_files_through_the_server_are_those_of_the_disk(far: Theirs, registry: ModelRegistry, tmp_path: Path) -> None:
    """Every file of a version comes byte for byte, also those in folders below its own."""
    far.log("msft", 0.2)
    report = import_mlflow(far.uri, registry, ["msft"])
    mlflow.set_registry_uri(far.uri)
    theirs = Path(mlflow.artifacts.download_artifacts("models:/msft/1", dst_path=str(tmp_path / "theirs")))
    registry.trust.add("repositories", report.origin)
    [row] = report.rows
    parts = registry.repository.parts(registry.repository.artifact(bytes.fromhex(record(registry, "msft")["artifact"])))
    ours = {name.removeprefix("files/"): bytes(data) for name, data in parts.items() if name.startswith("files/")}
    there = {path.relative_to(theirs).as_posix(): path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
    there.pop("registered_model_meta", None)  # what the download itself notes down
    assert there == ours
    assert (len(there), sum(map(len, there.values()))) == (row.files, row.size_bytes)


def test_our_registry_beside_their_tracking_server(far: Theirs, registry: ModelRegistry) -> None:
    """Runs are logged on the server and versions registered with us, by MLflow's own call; both know each other."""
    ours = "friday://" + registry.url.removeprefix("file://")
    mlflow.set_tracking_uri(far.uri)
    mlflow.set_registry_uri(ours)
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=0.3).fit(FEATURES, FEATURES.sum(axis=1))
    with mlflow.start_run(experiment_id=far.experiment) as run:
        mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="pickle",
            registered_model_name="goog",
            pip_requirements=["scikit-learn"],
        )
    client = MlflowClient(tracking_uri=far.uri, registry_uri=ours)
    assert run.info.run_id == client.get_model_version("goog", "1").run_id
    client.set_registered_model_alias("goog", "prod", "1")
    assert 0.3 == mlflow.sklearn.load_model("models:/goog@prod").alpha
    np.testing.assert_array_equal(model.predict(FEATURES), registry.load_model("goog@prod").predict(FEATURES))


def test_a_server_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that nobody runs is exit code 7 and one line, soon, and nothing is made here."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert 7 == cli.run(["-R", str(tmp_path / "models"), "import-mlflow", "http://127.0.0.1:9"])
    written = capsys.readouterr().err
    assert "MLflow cannot read http://127.0.0.1:9" in written
    assert "Traceback" not in written
    assert not (tmp_path / "models").exists()


_CLIENT = """
import sys
import mlflow, numpy
from mlflow import MlflowClient
mlflow.set_registry_uri(sys.argv[1])
client = MlflowClient()
[found] = client.search_model_versions("tags.desk = 'motors'")
print(found.name, found.version, found.aliases, found.run_id)
print([model.name for model in client.search_registered_models("name LIKE 'ts%'")])
print(mlflow.pyfunc.load_model("models:/tsla@prod").predict(numpy.arange(6.0).reshape(3, 2)).tolist())
"""


def test_a_client_that_has_never_heard_of_us(far: Theirs, registry: ModelRegistry) -> None:
    """After an import, a fresh process with MLflow's client finds, lists and loads by tag, name and alias."""
    made = far.log("tsla", 0.7)
    far.client.set_registered_model_alias("tsla", "prod", 1)
    far.client.set_model_version_tag("tsla", "1", "desk", "motors")
    report = import_mlflow(far.uri, registry, ["tsla"])
    registry.trust.add("repositories", report.origin)
    expected = registry.load_model("tsla@prod").predict(FEATURES).tolist()
    ours = "friday://" + registry.url.removeprefix("file://")
    done = subprocess.run([sys.executable, "-c", _CLIENT, ours], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert [f"tsla 1 ['prod'] {made.run_id}", "['tsla']", str(expected)] == done.stdout.splitlines()
