"""The format ``onnx`` keeps what every format promises, and its models run in onnxruntime."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from friday_store import ModelRegistry, SerializationError
from friday_store.plugins import Plugins
from friday_store.testing import SerializerTests
from friday_store_onnx import Onnx, converted, inlined

RANDOM = np.random.default_rng(17)
ROWS = RANDOM.random((20, 64), dtype="float32")


def network(scale: float = 1.0) -> Any:
    """Return two layers, the weights of which are 16 KiB and 2 KiB."""
    wide = np.arange(64 * 64, dtype="float32").reshape(64, 64) % 7
    narrow = scale * np.arange(64 * 8, dtype="float32").reshape(64, 8) % 5
    nodes = [
        helper.make_node("MatMul", ["X", "wide"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "narrow"], ["Y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 64])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 8])],
        [numpy_helper.from_array(wide, "wide"), numpy_helper.from_array(narrow, "narrow")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def run(model: Any, rows: Any = ROWS) -> Any:
    """Return what onnxruntime makes of some rows."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: rows})


class TestNetwork(SerializerTests):
    """A network with a tensor that is put aside and one that is not."""

    serializer = Onnx()

    @pytest.fixture
    def model(self) -> Any:
        """Two layers."""
        return network()

    def predict(self, model: Any) -> Any:
        """Run it."""
        return run(model)

    def changed(self, model: Any) -> Any:
        """Another small layer."""
        model.graph.initializer[1].CopyFrom(network(2.0).graph.initializer[1])
        return model


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestRegressor(n_estimators=20, random_state=1),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_are_converted_when_asked(estimator: Any, tmp_path: Path) -> None:
    """A fitted estimator registered with ``serializer="onnx"`` comes back as an ONNX model that predicts the same."""
    y = (ROWS[:, 0] > 0.5).astype(int)
    estimator.fit(ROWS, y)
    registry = ModelRegistry(tmp_path, plugins=Plugins(["onnx"]))
    first = registry.register_model(estimator, "m", serializer="onnx")
    assert first == registry.register_model(estimator, "m", "1.0.0", serializer="onnx")
    found = run(registry.load_model("m"))[0]
    np.testing.assert_allclose(np.ravel(estimator.predict(ROWS)), np.ravel(found), rtol=1e-5)


def test_a_sample_says_what_the_inputs_are() -> None:
    """With rows of its input an estimator is converted for their type."""
    model = LogisticRegression().fit(ROWS.astype("float64"), ROWS[:, 0] > 0.5)
    assert TensorProto.DOUBLE == converted(model, ROWS[:1].astype("float64")).graph.input[0].type.tensor_type.elem_type


@pytest.mark.parametrize("wrong", [LogisticRegression(), {"a": 1}, "text"], ids=["unfitted", "dict", "text"])
def test_what_it_cannot_convert(wrong: Any) -> None:
    """What is neither an ONNX model nor a fitted estimator is refused."""
    with pytest.raises(SerializationError):
        Onnx().dump(wrong)


def test_tensors_in_other_files(tmp_path: Path) -> None:
    """A model that names other files is refused in every way in, and read with them when asked to."""
    path = tmp_path / "m.onnx"
    onnx.save_model(
        network(), path, save_as_external_data=True, all_tensors_to_one_file=True, location="m.bin", size_threshold=0
    )
    data = memoryview(path.read_bytes())
    lean = onnx.load(path, load_external_data=False)
    for way in (lambda: Onnx().from_file(data), lambda: Onnx().dump(lean), lambda: Onnx().load({"model": data}, 1)):
        with pytest.raises(SerializationError, match="another file"):
            way()
    np.testing.assert_array_equal(run(network()), run(inlined(path)))
    (tmp_path / "m.bin").unlink()
    with pytest.raises(SerializationError, match="cannot read"):
        inlined(path)


def test_the_file_is_an_onnx_file(tmp_path: Path) -> None:
    """What ``get`` writes is read by onnx, and what onnx wrote is registered."""
    parts = {part.name: part.view() for part in Onnx().dump(network())}
    (tmp_path / "m.onnx").write_bytes(b"".join(Onnx().to_file(parts)))
    onnx.checker.check_model(tmp_path / "m.onnx")
    assert network() == onnx.load(tmp_path / "m.onnx")
    onnx.save_model(network(), tmp_path / "t.onnx")
    again = {part.name: part.view() for part in Onnx().from_file(memoryview((tmp_path / "t.onnx").read_bytes()))}
    assert network() == Onnx().load(again, 1)


def test_versions_share_their_tensors() -> None:
    """Two networks that differ in the small layer have the big one in common, and storing changes neither."""
    model = network()
    one = {part.name: bytes(part.view()) for part in Onnx().dump(model)}
    two = {part.name: bytes(part.view()) for part in Onnx().dump(network(2.0))}
    assert one["tensor/0"] == two["tensor/0"]
    assert one["model"] != two["model"]
    assert network() == model


def test_a_tensor_of_the_wrong_length() -> None:
    """A tensor that is shorter than its shape says is refused before any runtime sees it."""
    parts = {part.name: memoryview(bytes(part.view())) for part in Onnx().dump(network())}
    with pytest.raises(SerializationError, match="does not fit"):
        Onnx().load(parts | {"tensor/0": parts["tensor/0"][:-4]}, 1)


def test_describes_without_onnx() -> None:
    """What ``show`` says: versions, operators, inputs and outputs, and every tensor with dtype and shape."""
    described = Onnx().describe({part.name: part.view() for part in Onnx().dump(network())})
    model = network()
    assert (model.ir_version, {"ai.onnx": 17}) == (described["ir_version"], described["opsets"])
    assert len(model.graph.node) == described["nodes"] == sum(described["operators"].values())
    assert {node.op_type for node in model.graph.node} == set(described["operators"])
    shapes = {each.name: f"float32{list(each.dims)}" for each in model.graph.initializer}
    assert (shapes, len(shapes)) == (described["tensors"], described["count"])
    assert [each.name for each in model.graph.input] == list(described["inputs"])
    assert "float32[?, 8]" == described["outputs"]["Y"]


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_a_damaged_model_is_described_or_refused(place: int) -> None:
    """A changed byte, or a cut, gives other words or a :class:`SerializationError`; nothing else is raised."""
    whole = Onnx().dump(network())[0].view()
    changed = bytearray(whole)
    changed[place % len(changed)] ^= 0xA5
    for data in (changed, bytes(whole[: place % len(whole)])):
        with contextlib.suppress(SerializationError):
            Onnx().describe({"model": memoryview(data)})
