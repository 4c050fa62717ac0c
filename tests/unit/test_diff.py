"""What differs inside stored models, without loading them."""

from __future__ import annotations

import json
import os
import pickle
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import IntegrityError, InvalidValueError, ModelDiff, ModelOperations, UntrustedArtifactError
from friday_store.comparison import pickles
from friday_store.comparison.arrays import Tally, array_of
from friday_store.objects.pack import BLOCK
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.trust import TrustStore

MARKER = "FRIDAY_TEST_MARKER"


class Spy:
    """An object whose unpickling leaves a trace."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __setstate__(self, state: dict[str, Any]) -> None:
        os.environ[MARKER] = "run"
        self.__dict__.update(state)


class Named:
    """A model with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@pytest.fixture
def operations(registry: ModelRegistry) -> ModelOperations:
    """Return the operations over a registry that is not there yet."""
    return ModelOperations(registry)


def diff(operations: ModelOperations, before: Any, after: Any, **options: Any) -> ModelDiff:
    """Register two models as versions of one and return what differs."""
    operations.register_model(before, "m", "1.0.0", **options)
    operations.register_model(after, "m", "2.0.0", **options)
    return operations.diff_models("m", "1.0.0", "2.0.0")


def test_nothing_is_run(operations: ModelOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle's values are seen although none of its code runs."""
    monkeypatch.delenv(MARKER, raising=False)
    found = diff(operations, Spy(1.0), Spy(2.0))
    assert [("value", 1.0, 2.0)] == [(value.path, value.before, value.after) for value in found.contents]
    assert MARKER not in os.environ
    assert 2.0 == operations.load_model("m").value
    assert "run" == os.environ[MARKER]


def test_only_what_differs_is_read(
    operations: ModelOperations, array_model: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """A chunk that both have is not touched: damage to it is not even noticed, though loading notices it."""
    changed = array_model.copy()
    array_model[-1], changed[-1] = 1.0, 3.0
    for model in (array_model, changed):
        operations.register_model(model, "m")
    repository = operations.repository
    (part,) = [p for p in repository.artifact(bytes.fromhex(operations.resolve("m").artifact)).parts if p.size > BLOCK]
    located = repository.objects.find(next(iter(part)))
    assert located is not None
    frame = located[0].frame(located[1])
    pack = tmp_path / "registry" / "packs" / f"{located[0].name}.pack"
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(frame.offset)
        file.write(b"damage")
    found = operations.diff_models("m:1.0.0", "m:1.0.1")
    (numbers,) = [each.numbers for each in found.parts if each.numbers is not None]
    assert (len(array_model), 1, 2.0) == (numbers.elements, numbers.changed, numbers.max_difference)
    assert pytest.approx(2.0 / len(array_model)) == numbers.mean_difference
    assert found.bytes_read < 2 * 8000 + 4096
    with pytest.raises(IntegrityError):
        operations.load_model("m")


def test_a_far_registry(array_model: np.ndarray[Any, Any]) -> None:
    """Where packs cannot be mapped, the chunks that differ are fetched, and no others."""
    changed = array_model.copy()
    changed[0] += 1.0
    with ModelOperations(f"memory://{uuid.uuid4()}", plugins=Plugins(())) as operations:
        found = diff(operations, array_model, changed)
    (part,) = [part for part in found.parts if part.numbers is not None]
    assert ("changed", 1) == (part.state, part.numbers and part.numbers.changed)
    assert 2 * BLOCK <= found.bytes_read < 2 * BLOCK + 4096


def test_shared_and_changed_bytes(operations: ModelOperations, array_model: np.ndarray[Any, Any]) -> None:
    """Bytes are shared by chunk, wherever in the model they stand, and the rest is changed."""
    extra = np.arange(BLOCK // 8, dtype=np.float64)
    found = diff(operations, {"a": array_model}, {"b": array_model, "c": extra})
    states = {part.path: (part.state, part.shared, part.changed) for part in found.parts}
    assert ("same", array_model.nbytes, 0) == states["b"]
    assert ("added", 0, extra.nbytes) == states["c"]
    assert array_model.nbytes == found.shared
    back = operations.diff_models("m:2.0.0", "m:1.0.0")
    assert ["removed"] == [part.state for part in back.parts if part.path == "c"]


def test_buffers_are_known_by_their_path(operations: ModelOperations, array_model: np.ndarray[Any, Any]) -> None:
    """A big array of a pickle is named by where it stands, with its dtype and shape, also after others came first."""
    grid = array_model[: 1 << 17].reshape(-1, 8)
    changed = grid.copy()
    changed[0, :] = 0
    found = diff(operations, Named(weights=grid), Named(first=array_model[:20000], weights=changed))
    (part,) = [part for part in found.parts if part.path == "weights"]
    assert ("changed", "float64", grid.shape, grid.shape) == (
        part.state,
        part.dtype,
        part.shape_before,
        part.shape_after,
    )
    assert part.numbers is not None
    assert (8, float(np.abs(grid[0]).max())) == (part.numbers.changed, part.numbers.max_difference)


def test_small_arrays_and_values(operations: ModelOperations, estimator: Any) -> None:
    """What stands in the pickle itself is told by path too: parameters, coefficients, classes."""
    features = np.random.default_rng(3).standard_normal((40, 3))
    other = type(estimator)(alpha=2.0).fit(features, features @ np.array([1.0, -2.0, 0.5]))
    found = diff(operations, estimator, other)
    values = {value.path: value for value in found.contents}
    assert (0.5, 2.0) == (values["alpha"].before, values["alpha"].after)
    numbers = values["coef_"].numbers
    assert numbers is not None
    assert pytest.approx(np.abs(estimator.coef_ - other.coef_).max()) == numbers.max_difference
    assert [(("alpha"), (0.5, 2.0))] == list(found.steps[0].parameters.items())


def test_what_was_added_is_one_line(operations: ModelOperations) -> None:
    """An object that only one model has is named once, at its topmost path."""
    found = diff(operations, Named(a=1), Named(a=1, deep=Named(x=1, y=[2, 3])))
    assert [("deep", "added")] == [(value.path, value.state) for value in found.contents]


def test_changed_shape_and_dtype(operations: ModelOperations) -> None:
    """Arrays whose elements do not match up are told by shape and dtype, without made-up numbers."""
    before = {"a": np.zeros((100, 100)), "b": np.zeros(10_000), "c": np.zeros(9)}
    after = {"a": np.zeros((50, 200)), "b": np.zeros(10_000, dtype=np.int64), "c": np.zeros(9)}
    found = diff(operations, before, after, serializer="numpy")
    parts = {part.path: part for part in found.parts}
    assert ((100, 100), (50, 200)) == (parts["a"].shape_before, parts["a"].shape_after)
    assert "changed" == parts["a"].state
    assert parts["a"].numbers is None
    assert ("int64", "changed") == (parts["b"].dtype, parts["b"].state)
    assert "same" == parts["c"].state


def test_json_models(operations: ModelOperations) -> None:
    """A model in JSON is compared value by value."""
    found = diff(operations, {"rules": [1, 2], "t": 0.5}, {"rules": [1, 3], "t": 0.5}, serializer="json")
    assert [("rules[1]", 2, 3)] == [(value.path, value.before, value.after) for value in found.contents]


def test_other_formats_are_raw_bytes(operations: ModelOperations, tmp_path: Path) -> None:
    """Of a file nothing is known but its bytes, and that is what is said."""
    for number in range(2):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes([number]) * 1000)
        operations.register_model_from_file(path, "m")
    found = operations.diff_models("m:1.0.0", "m:1.0.1")
    (part,) = found.parts
    assert ("changed", "", None, 1000) == (part.state, part.dtype, part.numbers, part.changed)
    assert "raw bytes" in found.to_text()


def test_the_same_model(operations: ModelOperations, small_model: dict[str, Any]) -> None:
    """Two versions with the same bytes are identical, and nothing is read to say so."""
    found = diff(operations, small_model, small_model)
    assert found.identical
    assert not found
    assert 0 == found.bytes_read
    assert "m:1.0.0 and m:2.0.0 are the same" in found.to_text()


def test_forests_that_share_trees(operations: ModelOperations) -> None:
    """Trees are told apart without loading them, and records' padding does not count."""
    from sklearn.ensemble import RandomForestRegressor

    draw = np.random.default_rng(1)
    features = draw.standard_normal((60, 3))
    forest = RandomForestRegressor(4, random_state=0).fit(features, features[:, 0])
    larger = RandomForestRegressor(6, random_state=0).fit(features, features[:, 0])
    other = RandomForestRegressor(1, random_state=9).fit(features, features[:, 1])
    larger.estimators_[1] = other.estimators_[0]
    found = diff(operations, forest, larger)
    assert found.trees is not None
    nodes = [sum(tree.tree_.node_count for tree in model.estimators_) for model in (forest, larger)]
    assert (4, 6, 3, 1, 2, 0, *nodes) == tuple(vars(found.trees).values())
    assert f"4 -> 6: 3 the same, 1 changed, 2 added; {nodes[0]} -> {nodes[1]} nodes" in found.to_text()
    loaded = operations.diff_models("m:1.0.0", "m:2.0.0", load=True, sample=features)
    assert loaded.behaviour is not None
    assert found.trees == loaded.behaviour.trees
    assert loaded.behaviour.predictions is not None
    gaps = larger.predict(features) - forest.predict(features)
    assert pytest.approx(np.abs(gaps).max()) == loaded.behaviour.predictions.max_difference
    assert pytest.approx(np.median(gaps)) == loaded.behaviour.predictions.quantiles[0.5]
    assert "Predictions (predict, 60 rows)" in loaded.to_text()


def test_pipelines_step_by_step(operations: ModelOperations) -> None:
    """Steps are compared by name, with their classes and parameters, as they were recorded."""
    from sklearn.linear_model import Lasso, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    before = Pipeline([("scale", StandardScaler()), ("model", Ridge(alpha=1.0))])
    after = Pipeline([("scale", MinMaxScaler()), ("model", Ridge(alpha=2.0)), ("last", Lasso())])
    found = diff(operations, before, after)
    steps = {step.name: step for step in found.steps}
    assert {"alpha": (1.0, 2.0)} == dict(steps["model"].parameters)
    assert "sklearn.preprocessing._data.MinMaxScaler" == steps["scale"].class_after
    assert "added" == steps["last"].state
    assert "MinMaxScaler" in found.to_text(160)


def test_coefficients_and_a_recorded_sample(operations: ModelOperations) -> None:
    """Loaded linear models are compared by feature; a sample in the metadata is predicted without being given."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(5)
    data = pd.DataFrame(draw.standard_normal((30, 2)), columns=["open", "close"])
    label = (data["open"] > 0).astype(int)
    for penalty in (1.0, 0.01):
        example = {name: data[name].head(5).tolist() for name in data}
        model = LogisticRegression(C=penalty).fit(data, label)
        operations.register_model(model, "m", metadata={"input_example": example})
    found = operations.diff_models("m:1.0.0", "m:1.0.1", load=True).behaviour
    assert found is not None
    assert found.coefficients is not None
    assert ["open", "close", "(intercept)"] == [each.name for each in found.coefficients]
    assert found.predictions is not None
    assert (5, "predict_proba") == (found.predictions.rows, found.predictions.of)
    assert found.predictions.max_difference is not None
    assert found.predictions.max_difference > 0
    with pytest.raises(InvalidValueError, match="cannot predict the sample"):
        operations.diff_models("m:1.0.0", "m:1.0.1", load=True, sample=np.zeros((2, 7)))


def test_a_strangers_models(operations: ModelOperations, small_model: dict[str, Any], tmp_path: Path) -> None:
    """They can be looked into, since nothing runs; loading them is refused until they are trusted."""
    diff(operations, small_model, {**small_model, "intercept": 1.0})
    with ModelOperations(tmp_path / "registry", plugins=Plugins(()), trust=TrustStore(None)) as stranger:
        found = stranger.diff_models("m", "1.0.0", "2.0.0")
        assert ["['intercept']"] == [value.path for value in found.contents]
        with pytest.raises(UntrustedArtifactError):
            stranger.diff_models("m", "1.0.0", "2.0.0", load=True)


def test_frame_json_and_html(operations: ModelOperations, array_model: np.ndarray[Any, Any]) -> None:
    """Every form tells the same, the frame is typed also when it is empty, and nothing of a user's is markup."""
    found = diff(operations, {"<b>": array_model, "f": lambda_free}, {"<b>": array_model + 1, "f": lambda_free})
    data = found.to_frame()
    row = data[data["path"] == "['<b>']"].iloc[0]
    assert ("changed", "263144", 1.0) == (row["state"], str(row["elements_changed"]), row["share_changed"])
    assert list(data.dtypes) == list(found.to_frame().head(0).dtypes)
    read = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert found.changed == read["changed"]
    assert len(found.parts) == len(read["parts"])
    assert "<b>&" not in found._repr_html_().replace("<p><b>", "").replace("</b></p>", "")
    assert "&lt;b&gt;" in found._repr_html_()
    assert max(map(len, found.to_text().splitlines())) <= 80


def lambda_free(value: float) -> float:
    """A function that a pickle names and does not hold."""
    return value


def test_two_versions_and_no_more(operations: ModelOperations, small_model: dict[str, Any]) -> None:
    """A diff of three says so."""
    diff(operations, small_model, small_model)
    with pytest.raises(InvalidValueError, match="two versions, not of 3"):
        operations.diff_models("m", "1.0.0", "2.0.0", "1.0.0")


def test_steps_are_paired_by_name(operations: ModelOperations) -> None:
    """A step that was put in front does not make the others differ; of another class the class alone is told."""
    from sklearn.linear_model import Lasso, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    draw = np.random.default_rng(2)
    features = draw.standard_normal((20, 2))
    target = features @ np.array([1.0, -1.0])
    before = Pipeline([("scale", StandardScaler()), ("model", Ridge(alpha=1.0))]).fit(features, target)
    after = Pipeline([("first", MinMaxScaler()), ("scale", StandardScaler()), ("model", Lasso())]).fit(features, target)
    found = {value.path: (value.before, value.after) for value in diff(operations, before, after).contents}
    assert (["scale", "model"], ["first", "scale", "model"]) == found["steps"]
    assert (None, "MinMaxScaler") == found["steps['first']"]
    assert ["steps['model'].__class__"] == [path for path in found if path.startswith("steps['model']")]
    assert {"steps['scale'].mean_", "steps['scale'].var_", "steps['scale'].scale_"} >= {
        path for path in found if path.startswith("steps['scale']")
    }


def test_coefficients_of_stored_models(operations: ModelOperations) -> None:
    """Coefficients are told by feature without loading, through steps that keep the columns, and not through others."""
    import pandas as pd
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    draw = np.random.default_rng(5)
    data = pd.DataFrame(draw.standard_normal((30, 2)), columns=["open", "close"])
    target = data["open"] - data["close"]
    for first in (StandardScaler(), PCA(2)):
        models = [Pipeline([("a", first), ("b", Ridge(alpha=alpha))]).fit(data, target) for alpha in (1.0, 9.0)]
        ids = [operations.register_model(model, "m") for model in models]
        found = operations.diff_models(*ids).coefficients
        assert found is not None
        names = ["open", "close"] if isinstance(first, StandardScaler) else ["x0", "x1"]
        assert names == [each.name for each in found if each.name != "(intercept)"]
        assert float(models[0]["b"].coef_[0]) == found[0].before
        assert float(models[1]["b"].coef_[0]) == found[0].after
    trees = operations.diff_models(ids[0], operations.register_model({"coef_": "none"}, "other"))
    assert trees.coefficients is None


def test_a_hundred_like_places_are_one_line(operations: ModelOperations) -> None:
    """The text counts places of one kind, shows what all of them say, and does not say a parameter twice."""
    from sklearn.ensemble import RandomForestRegressor

    draw = np.random.default_rng(1)
    features = draw.standard_normal((60, 3))
    models = [RandomForestRegressor(30, max_depth=d, random_state=0).fit(features, features[:, 0]) for d in (2, 3)]
    found = diff(operations, *models)
    assert len(found.contents) > 90
    text = found.to_text()
    assert "estimators_[*].max_depth x30  2       3" in text
    assert 1 == text.count("\n  max_depth")
    assert len(text.splitlines()) < 15
    assert max(map(len, text.splitlines())) <= 80


def test_trees_of_histogram_boosting(operations: ModelOperations) -> None:
    """They are counted too, with their nodes, although scikit-learn keeps them elsewhere."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    draw = np.random.default_rng(1)
    features = draw.standard_normal((100, 3))
    models = [HistGradientBoostingRegressor(max_iter=n, random_state=0).fit(features, features[:, 0]) for n in (3, 5)]
    found = diff(operations, *models).trees
    assert found is not None
    assert (3, 5, 3, 0, 2, 0) == tuple(vars(found).values())[:6]
    nodes = [sum(tree.get_n_leaf_nodes() * 2 - 1 for (tree,) in model._predictors) for model in models]
    assert nodes == [found.nodes_before, found.nodes_after]


def test_texts_are_told_by_what_came_and_went(operations: ModelOperations) -> None:
    """A list or array of texts is one value, so what comes after a name that went away is not told as changed."""
    before = {"names": np.array(["a", "b", "c"], dtype=object), "order": ["x", "y"]}
    after = {"names": np.array(["a", "c", "d"], dtype=object), "order": ["y", "x"]}
    found = diff(operations, before, after)
    assert {
        "['names']": (["a", "b", "c"], ["a", "c", "d"]),
        "['order']": (["x", "y"], ["y", "x"]),
    } == {value.path: (value.before, value.after) for value in found.contents}
    lines = [line.split() for line in found.to_text().splitlines()]
    assert ["['names']", "with", "b", "with", "d"] in lines
    assert ["['order']", "x,", "y", "y,", "x"] in lines


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x05.",
        b"\x80\x05K\x01K\x02.",
        b"\x80\x05h\x07.",
        b"\x80\x05Pid\n.",
        b"\x80\x05]K\x01b.",
        b"\x80\x05K\x01(e.",
        b"\x80\x05K\x01K\x02R.",
        b"\x80\x05(K\x01u.",
        b"\x80\x05\x8c\xff.",
        b"garbage",
    ],
)
def test_broken_pickles(data: bytes) -> None:
    """What is no pickle that can be looked at is refused with one error, whatever is wrong with it."""
    with pytest.raises(pickles.UnreadableError):
        pickles.read(data)


def test_hostile_pickles_end(operations: ModelOperations, tmp_path: Path) -> None:
    """A pickle that refers to itself, or doubles at each level, is walked once and raw bytes remain comparable."""
    loop: list[Any] = []
    loop.append(loop)
    doubled: list[Any] = []
    for _ in range(64):
        doubled = [doubled, doubled]
    for model in (loop, doubled):
        operations.register_model(model, "m")
    found = operations.diff_models("m:1.0.0", "m:1.0.1")
    assert ["changed"] == [part.state for part in found.parts]


@pytest.mark.parametrize(
    "value",
    [
        {"a": (1, 2.5, None, True), "b": {1, 2}, "c": frozenset({3}), "d": b"xy", "e": bytearray(b"z"), "f": 10**30},
        [Named(x=1), Named],
        {"nested": [{"k": [1, [2, [3]]]}]},
        np.float32(1.5),
        complex(1, 2),
    ],
)
@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_reads(value: Any, protocol: int) -> None:
    """A pickle of any protocol is read to its end."""
    assert pickles.read(pickle.dumps(value, protocol=protocol)) is not None


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">i2").reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12.0).reshape(3, 4)[::2],
        np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i1"), ("b", "f8")]),
        np.array(["a", "bc"]),
        np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"),
        np.array([True, False]),
        np.array([1 + 2j]),
    ],
)
def test_arrays_are_understood(array: np.ndarray[Any, Any]) -> None:
    """The dtype, shape and bytes of an array are read from its pickle, in whatever way numpy wrote it."""
    found = array_of(pickles.read(pickle.dumps(array, protocol=5)))
    assert found is not None
    assert isinstance(found.data, bytes)
    made = np.frombuffer(found.data, found.dtype).reshape(found.shape, order=found.order)  # type: ignore[call-overload]
    np.testing.assert_array_equal(array, made)


def test_arrays_of_objects_are_not_interpreted() -> None:
    """Their elements are pointers, and no bytes of theirs mean anything."""
    assert array_of(pickles.read(pickle.dumps(np.array([{}, None], dtype=object), protocol=5))) is None


def test_tally_counts_what_counts() -> None:
    """NaN equals NaN and NaT equals NaT, padding is passed over, infinities count as changed and not in the mean."""
    padded = np.dtype({"names": ["x"], "formats": ["f8"], "offsets": [0], "itemsize": 16})
    tally = Tally(padded)
    tally.add(np.array([1.0, 5.0, 2.0, 6.0]).tobytes(), np.array([1.0, 7.0, 2.5, 8.0]).tobytes())
    assert (2, 1, 0.5, 0.25) == tuple(vars(tally.numbers(2)).values())
    tally = Tally(np.dtype("f8"))
    tally.add(np.array([np.nan, np.inf, 1.0, np.nan]).tobytes(), np.array([np.nan, 1.0, 3.0, 0.0]).tobytes())
    assert (4, 3, 2.0, 0.5) == tuple(vars(tally.numbers(4)).values())
    tally = Tally(np.dtype("U1"))
    tally.add(np.array(["a", "b"]).tobytes(), np.array(["a", "c"]).tobytes())
    assert (2, 1, None, None) == tuple(vars(tally.numbers(2)).values())
    tally = Tally(np.dtype([("v", "f8", (2,))]))
    tally.add(np.array([1.0, 2.0, 3.0, 4.0]).tobytes(), np.array([1.0, 2.0, 3.0, 5.0]).tobytes())
    assert (2, 1, 1.0, 0.5) == tuple(vars(tally.numbers(2)).values())
