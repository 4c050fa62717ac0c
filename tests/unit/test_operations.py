"""Finding the best, and operations that share a registry's parts."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from friday_store import InvalidValueError, ModelNotFoundError, ModelOperations
from friday_store.operations import revisions
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry, ranking


@pytest.fixture
def operations(engine: str, registry: ModelRegistry) -> ModelOperations:
    """Return versions with values, without, with NaN and with infinity."""
    made = ModelOperations(registry)
    for number, rmse in enumerate([0.5, 0.3, 0.3, math.nan, None, 0.9]):
        metrics = {} if rmse is None else {"rmse": rmse, "odd": rmse}
        made.register_model({"v": number}, "m", metrics=metrics, tags=["even"] if number % 2 == 0 else [])
    made.register_model({"v": 0}, "other", metrics={"rmse": 0.1}, model_type="Ridge")
    return made


def test_the_best_by_its_usual_direction(operations: ModelOperations) -> None:
    """Less error is better without being said, NaN and missing are passed over, ties go to the newest."""
    record = operations.find_best_model("m", "rmse")
    assert ("1.0.2", 0.3) == (record["model_version"], record["metrics"]["rmse"])
    assert "1.0.5" == operations.find_best_model("m", "rmse", True)["model_version"]


def test_many_models(operations: ModelOperations) -> None:
    """A glob, a mapping or None look over several models."""
    assert "other" == operations.find_best_model(None, "rmse")["model_name"]
    assert "other" == operations.find_best_model("*", "rmse")["model_name"]
    assert "m" == operations.find_best_model("[a-m]", "rmse")["model_name"]
    assert "other" == operations.find_best_model({"model_type": "Ridge"}, "rmse", True)["model_name"]


def test_what_is_required(operations: ModelOperations) -> None:
    """Tags, status and type narrow the choice, and a key that is none of those is refused."""
    assert "1.0.2" == operations.find_best_model("m", "rmse", require={"tags": ["even"]})["model_version"]
    operations.set_model_status("m:1.0.0", "production")
    assert "1.0.0" == operations.find_best_model("m", "rmse", require={"status": "production"})["model_version"]
    with pytest.raises(InvalidValueError, match="'colour' is none of name, tags, status, model_type"):
        operations.find_best_model("m", "rmse", require={"colour": "red"})


@pytest.mark.parametrize("status", ["archived", "deprecated"])
@pytest.mark.parametrize("name", ["m", "m*"])
def test_the_retired_are_passed_over(operations: ModelOperations, status: str, name: str) -> None:
    """What nobody should use is not found, by name and over many models alike."""
    operations.set_model_status("m:1.0.2", status)
    assert "1.0.1" == operations.find_best_model(name, "rmse")["model_version"]


@pytest.mark.parametrize("name", ["m", "m*"])
def test_the_last_observation_counts(operations: ModelOperations, name: str) -> None:
    """A value that was observed later replaces the one before, and a later NaN takes it away."""
    operations.log_metrics("m:1.0.0", {"rmse": 0.01})
    assert "1.0.0" == operations.find_best_model(name, "rmse")["model_version"]
    operations.log_metrics("m:1.0.0", {"rmse": math.nan})
    assert "1.0.2" == operations.find_best_model(name, "rmse")["model_version"]


def test_a_direction_that_is_not_known(operations: ModelOperations) -> None:
    """The error says what to pass, and passing it helps."""
    with pytest.raises(InvalidValueError, match="'odd' is better is not known") as caught:
        operations.find_best_model("m", "odd")
    assert "higher_is_better=True" in str(caught.value.hint)
    assert 0.9 == operations.find_best_model("m", "odd", True)["metrics"]["odd"]


def test_nothing_to_find(operations: ModelOperations) -> None:
    """Which of model and metric is missing is said, with the metrics that there are."""
    with pytest.raises(ModelNotFoundError, match="no model 'nothing'"):
        operations.find_best_model("nothing", "rmse")
    with pytest.raises(ModelNotFoundError, match=r"'accuracy'; its metrics are: odd, rmse"):
        operations.find_best_model("m", "accuracy")
    with pytest.raises(ModelNotFoundError, match="no version that passes"):
        operations.find_best_model("zz*", "rmse")


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("accuracy", True),
        ("val_accuracy", True),
        ("ROC-AUC", True),
        ("RMSE", False),
        ("test_log_loss", False),
        ("r2", True),
    ],
)
def test_usual_names(metric: str, higher: bool) -> None:
    """Usual names are known in any case, also with the split before them."""
    assert higher == ranking.higher_is_better(metric)


def test_no_name_has_two_directions() -> None:
    """The table says one thing of each name."""
    assert frozenset() == ranking._HIGHER & ranking._LOWER


def test_operations_are_a_registry(tmp_path: Path) -> None:
    """They take a registry's place: a URL and its options, and every method."""
    with ModelOperations(tmp_path / "models", plugins=Plugins(()), actor="me@here") as operations:
        operations.register_model({"a": 1}, "m")
        assert {"a": 1} == operations.load_model("m")
        assert "me@here" == operations.get_model_metadata("m")["author"]


def test_operations_share_an_open_registry(registry: ModelRegistry, small_model: dict[str, Any]) -> None:
    """What is done through one is done through the other, an open transaction included."""
    operations = ModelOperations(registry)
    with registry.transaction("both"):
        registry.register_model(small_model, "m")
        operations.register_model({**small_model, "x": 1}, "m")
    assert ["1.0.1", "1.0.0"] == [record["model_version"] for record in operations.get_model_versions("m")]
    assert operations.repository is registry.repository
    with pytest.raises(InvalidValueError, match="actor"):
        ModelOperations(registry, actor="someone")


def test_comparing_is_light(tmp_path: Path) -> None:
    """Comparing, diffing, history and lineage import neither pandas, numpy, scikit-learn nor SQLAlchemy."""
    code = f"""
import sys
from friday_store.operations import ModelOperations
from friday_store.plugins import Plugins
from friday_store.versioning import ModelVersioning
operations = ModelOperations({str(tmp_path / "r")!r}, plugins=Plugins(()))
for number in range(2):
    operations.register_model({{"a": number}}, "m", serializer="json", metrics={{"rmse": number}})
assert operations.compare_models("m", "1.0.0", "1.0.1").to_json()
assert operations.diff_models("m", "1.0.0", "1.0.1").to_text()
assert operations.lineage("m")._repr_html_()
assert operations.find_best_model("m", "rmse")
assert ModelVersioning(operations).get_version_history("m")
assert ModelVersioning(operations).log()
print(sorted({{"pandas", "numpy", "sklearn", "sqlalchemy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ("[]\n", "") == (done.stdout, done.stderr)


def test_results_show_themselves(operations: ModelOperations) -> None:
    """In a prompt each result shows its text, and never a dump of all its fields."""
    found = operations.compare_models("m:1.0.0", "m"), operations.diff_models("m:1.0.0", "m"), operations.lineage("m")
    for result in found:
        assert result.to_text() == repr(result) == str(result)


def test_a_name_and_its_versions() -> None:
    """A name before versions alone is their model; anything else is taken as revisions."""
    assert ["m:1.0.0", "m:2.0.0"] == revisions("m", "1.0.0", "2.0.0")
    assert ["m:1.0.0", "m"] == revisions("m:1.0.0", "m")
    assert ["a", "b", "1.0.0"] == revisions("a", "b", "1.0.0")
    assert ["m@production", "1.0.0", "2.0.0"] == revisions("m@production", "1.0.0", "2.0.0")
