"""What being installed promises: nothing is imported before it is needed, and friday-store knows of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from friday_store.plugins import Plugins
from friday_store_mlflow.folder import FolderFormat


def test_installed_and_sound() -> None:
    """The plugin is found by its entry point, implements two hooks, and reports no error."""
    [report] = [each for each in Plugins(["mlflow"]).reports if each.name == "mlflow"]
    assert (["register_commands", "register_serializers"], []) == (sorted(report.hooks), report.errors)
    assert isinstance(Plugins(["mlflow"]).serializer("mlflow"), FolderFormat)


@pytest.mark.parametrize("word", ["import friday_store_mlflow", "from friday_store_mlflow import plugin, Folder"])
def test_importing_it_imports_neither_mlflow_nor_yaml(word: str) -> None:
    """Importing the plugin leaves MLflow, YAML and what they need alone, and so does a registry that has it."""
    program = f"""
import sys
{word}
from friday_store import ModelRegistry
with ModelRegistry("models") as registry:
    registry.register_model([1, 2], "numbers")
    registry.load_model("numbers")
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("mlflow", "yaml", "pydantic")))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (0, "[]\n") == (result.returncode, result.stdout), result.stderr


def test_only_what_is_public_is_offered() -> None:
    """The module offers its three names, and says so of any other."""
    import friday_store_mlflow

    assert ["Folder", "Report", "import_mlflow"] == [
        getattr(friday_store_mlflow, name).__name__ for name in friday_store_mlflow.__all__
    ]
    with pytest.raises(AttributeError, match="nothing_of_this"):
        _ = friday_store_mlflow.nothing_of_this


def test_the_example_runs() -> None:
    """The project's example of a move from MLflow runs, and does not skip itself."""
    script = Path(__file__).parents[3] / "examples" / "migrate_from_mlflow.py"
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stderr
    assert "SKIPPED" not in result.stdout
    assert "2 imported, 0 on the second run" in result.stdout
