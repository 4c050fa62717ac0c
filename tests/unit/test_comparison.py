"""Versions side by side."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from friday_store import ModelNotFoundError, ModelOperations
from friday_store.comparison import compare, table
from friday_store.comparison.versions import difference, percent, same
from friday_store.errors import InvalidValueError
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry


def frame(*names: str) -> pd.DataFrame:
    """Return an example of an input with these columns."""
    return pd.DataFrame({name: np.zeros(2) for name in names})


@pytest.fixture
def operations(registry: ModelRegistry, small_model: dict[str, Any]) -> ModelOperations:
    """Two versions that differ in something of every kind, and one that has next to nothing."""
    registry.register_model(
        small_model,
        "m",
        metrics={"rmse": 0.5, "bias": -2.0, "zero": 0.0, "same": 1.0},
        hyperparameters={"alpha": 1.0, "nested": {"depth": 3}},
        training_data={"rows": 100},
        input_example=frame("open", "close"),
        dependencies={"tool": "1.0"},
    )
    registry.register_model(
        {**small_model, "more": list(range(1000))},
        "m",
        metrics={"rmse": 0.4, "bias": -1.0, "zero": 3.0, "same": 1.0, "new": math.nan},
        hyperparameters={"alpha": 2.0, "nested": {"depth": 3}},
        training_data={"rows": 150},
        input_example=frame("close", "volume"),
        dependencies={"tool": "1.1"},
    )
    registry.register_model(small_model, "other")
    return ModelOperations(registry)


def test_numbers_are_measured_against_the_first(operations: ModelOperations) -> None:
    """Percent is of the absolute value of the base, so a negative base keeps the sign; base 0 and NaN have none."""
    metrics = operations.compare_models("m:1.0.0", "m:1.0.1").section("metrics")
    assert pytest.approx([-0.1]) == list(metrics["rmse"].differences)
    assert pytest.approx([-20.0]) == list(metrics["rmse"].percents)
    assert (1.0,) == metrics["bias"].differences
    assert (50.0,) == metrics["bias"].percents
    assert ((3.0,), (None,)) == (metrics["zero"].differences, metrics["zero"].percents)
    assert ((None,), (None,)) == (metrics["new"].differences, metrics["new"].percents)


def test_every_section_is_there(operations: ModelOperations) -> None:
    """Parameters, features, schema, data, dependencies, environment, size and time stand beside each other."""
    found = operations.compare_models("m", "1.0.0", "1.0.1")
    assert (3, 3) == found.section("parameters")["nested.depth"].sides
    assert (100, 150) == found.section("data")["rows"].sides
    assert (("volume",), ("open",)) == (found.features_added, found.features_removed)
    assert (1, 0) == found.section("features")["close"].sides
    assert ("float64", None) == found.section("schema")["dtypes.open"].sides
    assert ("1.0", "1.1") == found.section("dependencies")["tool"].sides
    assert found.section("environment")["python"].same
    (grown,) = found.section("size")["size_bytes"].differences
    assert grown is not None
    assert grown > 0
    assert found.time_between > dt.timedelta(0)
    assert (found.time_between.total_seconds(),) == found.section("time")["created_at"].differences


def test_only_differences_and_chosen_metrics(operations: ModelOperations) -> None:
    """What is the same can be left out, and metrics can be chosen; the rest of the facts stays."""
    found = operations.compare_models("m:1.0.0", "m:1.0.1", metrics=["rmse", "same"], only_differences=True)
    assert ["rmse"] == list(found.section("metrics"))
    assert ["alpha"] == list(found.section("parameters"))
    assert {} == found.section("environment")
    assert found.only_differences


def test_a_version_beside_itself(operations: ModelOperations) -> None:
    """It differs in nothing, NaN included, and says so."""
    found = operations.compare_models("m", "m", only_differences=True)
    assert not found
    assert () == found.rows
    assert "m:1.0.1 | m:1.0.1: nothing differs" == found.to_text()


def test_more_than_two(operations: ModelOperations) -> None:
    """Each is measured against the first; what a version does not have is None."""
    found = operations.compare_models("m:1.0.0", "m:1.0.1", "other")
    assert ("m:1.0.0", "m:1.0.1", "other:1.0.0") == found.versions
    assert (0.5, 0.4, None) == found.section("metrics")["rmse"].sides
    first, second = found.section("metrics")["rmse"].differences
    assert pytest.approx(-0.1) == first
    assert second is None


def test_the_frame_has_one_shape(operations: ModelOperations) -> None:
    """Columns and dtypes are the same whatever is compared, and when nothing is left."""
    full, empty = operations.compare_models("m:1.0.0", "m:1.0.1"), operations.compare_models("m", "m").differing()
    dtypes = ["str", "str", "str", "str", "float64", "float64", "float64", "bool"]
    for found in (full, empty):
        assert dtypes == [str(dtype) for dtype in found.to_frame().dtypes]
    data = full.to_frame().set_index(["section", "name", "model_version"])
    assert pytest.approx(-20.0) == data.loc[("metrics", "rmse", "m:1.0.1"), "percent"]
    assert 0 == len(empty.to_frame())


def test_json_is_strict(operations: ModelOperations) -> None:
    """What is not a number is text in JSON, which any reader takes."""
    read = json.loads(operations.compare_models("m:1.0.0", "m:1.0.1").to_json(), parse_constant=pytest.fail)
    (new,) = [row for row in read["rows"] if row["name"] == "new"]
    assert [None, "nan"] == new["sides"]
    assert ["volume"] == read["features_added"]


def test_text_fits_a_terminal(operations: ModelOperations) -> None:
    """No line is longer than 80 characters, and the numbers are there."""
    text = operations.compare_models("m:1.0.0", "m:1.0.1").to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "rmse  " in text
    assert "-20.00 %" in text


def test_what_users_wrote_is_no_markup(registry: ModelRegistry, small_model: dict[str, Any]) -> None:
    """HTML is escaped, and no control character reaches a terminal."""
    registry.register_model(small_model, "m", description="<script>alert(1)</script>", metadata={"k": "\x1b[31mred"})
    registry.register_model(small_model, "m")
    found = ModelOperations(registry).compare_models("m:1.0.0", "m:1.0.1")
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in found.to_text()
    assert "\\x1b[31mred" in found.to_text()


def test_a_model_that_is_not_there(operations: ModelOperations) -> None:
    """The error is the registry's own, with what there is."""
    with pytest.raises(ModelNotFoundError, match=r"1\.0\.1, 1\.0\.0"):
        operations.compare_models("m", "1.0.0", "9.0.0")
    with pytest.raises(InvalidValueError, match="two versions"):
        compare([operations.get_model_metadata("m")])


@pytest.mark.parametrize(
    ("base", "value", "expected"),
    [
        (-2.0, -1.0, 50.0),
        (0.0, 1.0, None),
        (0, 0, None),
        (math.nan, 1.0, None),
        (1.0, math.nan, None),
        (math.inf, 1.0, None),
        (1.0, math.inf, None),
        (True, 2, None),
        ("1", 2, None),
        (4, 5, 25.0),
        (5e-324, 1e308, None),
    ],
)
def test_percent(base: Any, value: Any, expected: float | None) -> None:
    """Percent is None where it is undefined, never an infinity and never an error."""
    assert expected == percent(base, value)


def test_difference_of_large_whole_numbers() -> None:
    """Whole numbers are subtracted exactly before they become a float; infinities of one sign have no difference."""
    assert 1.0 == difference(2**63, 2**63 + 1)
    assert difference(math.inf, math.inf) is None
    assert difference(1, 10**400) is None


def test_same() -> None:
    """NaN is itself, truth is no number, and nested values are compared throughout."""
    assert same({"a": [math.nan, 1]}, {"a": [math.nan, 1.0]})
    assert not same(True, 1)
    assert not same({"a": 1}, {"a": 1, "b": None})
    assert not same([1], [1, 2])


def test_tables_are_cut_in_the_middle() -> None:
    """A cell that does not fit loses its middle, since both ends of a path tell what it is."""
    made = table.text(("path", "x"), [("a" * 50 + "tail", "1")], width=20)
    assert ["path", "aaaaaaaa…aaaatail  1"] == [line.strip().removesuffix("  x").strip() for line in made.splitlines()]
    assert "" == table.text(("path",), [])


def test_comparing_reads_no_object(operations: ModelOperations, tmp_path: Path) -> None:
    """Comparing needs the index alone: it answers with every pack gone."""
    for pack in (tmp_path / "registry" / "packs").iterdir():
        pack.unlink()
    with ModelOperations(tmp_path / "registry", plugins=Plugins(())) as opened:
        assert opened.compare_models("m:1.0.0", "m:1.0.1")


def test_a_place_that_moved_with_others(registry: ModelRegistry) -> None:
    """A feature that moved up because another went away is no difference; one that was put elsewhere is."""
    for features in (["a", "b", "c"], ["b", "c"], ["c", "b"]):
        registry.register_model([len(features), features[0]], "m", input_example=frame(*features))
    operations = ModelOperations(registry)
    gone = operations.compare_models("m:1.0.0", "m:1.0.1", only_differences=True)
    assert ["a"] == list(gone.section("features"))
    assert {"b", "c"} == set(operations.compare_models("m:1.0.1", "m:1.0.2", only_differences=True).section("features"))
    assert gone.without("version", "metrics").rows
    assert {"features"} == {row.section for row in gone.only(["features"]).rows}


def test_columns_stand_below_each_other() -> None:
    """All sections of a table share their columns, and a section without rows has no caption."""
    made = table.sections(("", "a", "b"), [("One", [("x", "1", "2")]), ("None", []), ("Two", [("yyyy", "3", "")])])
    assert ["        a  b", "One", "  x     1  2", "Two", "  yyyy  3"] == made.splitlines()
