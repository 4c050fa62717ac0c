"""What ``friday-store import-mlflow`` promises on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from friday_store import ModelRegistry
from friday_store.cli import cli
from friday_store_mlflow.command import import_mlflow

if TYPE_CHECKING:
    from tests.conftest import Theirs


def run(*words: str | Path) -> int:
    """Run a command line in this process and return its exit code."""
    return cli.run([str(word) for word in words])


def test_it_imports_and_says_what(small: Theirs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run changes nothing and prints the rows of the run after it; a second run has none."""
    small.log("aapl", 1.0, rmse=0.5)
    small.client.set_registered_model_alias("aapl", "prod", 1)
    place = tmp_path / "models"
    capsys.readouterr()
    assert 0 == run("-R", place, "import-mlflow", small.uri, "--json", "-n")
    rehearsed = capsys.readouterr()
    assert "would be 1 new, 0 changed, 0 present, 0 failed" in rehearsed.err
    assert not place.exists()
    assert 0 == run("-R", place, "import-mlflow", small.uri, "--json")
    done = capsys.readouterr()
    [row] = json.loads(done.out)
    assert [row] == json.loads(rehearsed.out)
    assert ("aapl", "0.0.1", 1, "new", ["prod"]) == tuple(
        row[key] for key in ("model_name", "model_version", "number", "outcome", "aliases")
    )
    [hint] = [line.removeprefix("hint: ") for line in done.err.splitlines() if line.startswith("hint: ")]
    assert 0 == run("-R", place, "import-mlflow", small.uri)
    again = capsys.readouterr()
    assert ("", True) == (again.out, "0 new, 0 changed, 1 present, 0 failed" in again.err)
    assert 6 == run("-R", place, "load", "aapl")
    assert 0 == run(*hint.split()[1:])
    assert 0 == run("-R", place, "load", "aapl")


def test_what_fails_gives_a_code_of_its_own(small: Theirs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 12 when some versions came and others did not; the row says why."""
    small.log("aapl", 1.0)
    small.log("aapl", 0.5)
    folder = Path(small.client.get_model_version_download_uri("aapl", "1").removeprefix("file://"))
    folder.rename(folder.with_name("away"))
    capsys.readouterr()
    assert 12 == run("-R", tmp_path / "models", "import-mlflow", small.uri)
    written = capsys.readouterr()
    assert "there is no folder" in written.out
    assert "1 of 2 versions could not be imported" in written.err
    with ModelRegistry(tmp_path / "models") as registry:
        assert "0.0.2" == registry.get_latest_version("aapl")


def test_names_are_mapped(small: Theirs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that cannot be here is exit code 2 with the option that helps, which then does."""
    small.log("my model", 1.0)
    capsys.readouterr()
    assert 2 == run("-R", tmp_path / "models", "import-mlflow", small.uri)
    assert "--map" in capsys.readouterr().err
    assert 0 == run("-R", tmp_path / "models", "import-mlflow", small.uri, "--map", "my model=mine")
    assert 2 == run("-R", tmp_path / "models", "import-mlflow", small.uri, "--map", "nothing")


def test_a_place_that_mlflow_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A URI that MLflow does not know is exit code 7 and one line, without a traceback."""
    assert 7 == run("-R", tmp_path / "models", "import-mlflow", "nosuch://place")
    written = capsys.readouterr().err
    assert "MLflow cannot read nosuch://place" in written
    assert "Traceback" not in written


def test_the_examples_of_its_help_run(
    small: Theirs, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every example in the help is a command line that works where its registry is."""
    import shlex

    small.log("aapl_1d", 1.0)
    (tmp_path / "mlflow.db").rename(tmp_path / "work" / "mlflow.db")
    monkeypatch.setenv("FRIDAY_STORE_URL", str(tmp_path / "models"))
    examples = import_mlflow.examples
    assert len(examples) >= 2
    for example in examples:
        assert 0 == run(*shlex.split(example)), example
