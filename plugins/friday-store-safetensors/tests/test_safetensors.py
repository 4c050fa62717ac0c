"""The format ``safetensors`` keeps what every format promises, and is what other programs call safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from friday_store import SerializationError
from friday_store.testing import SerializerTests
from friday_store_safetensors import Safetensors

RANDOM = np.random.default_rng(5)


class TestArrays(SerializerTests):
    """A dict of NumPy arrays."""

    serializer = Safetensors()
    frameworks = ()  # friday-store itself needs NumPy

    @pytest.fixture
    def model(self) -> dict[str, Any]:
        """Arrays of several kinds, one without elements and one without dimensions."""
        return {
            "layer.weight": RANDOM.random((40, 30), dtype="float32"),
            "layer.bias": RANDOM.random(30),
            "steps": np.array(7),
            "none": np.zeros((0, 4), dtype="int16"),
            "mask": np.array([True, False]),
        }

    def changed(self, model: Any) -> Any:
        """Another bias."""
        model["layer.bias"] += 1
        return model


class TestTensors(SerializerTests):
    """A dict of PyTorch tensors."""

    serializer = Safetensors()
    frameworks = ("torch",)

    @pytest.fixture
    def model(self) -> dict[str, Any]:
        """Tensors of several kinds."""
        torch.manual_seed(1)
        return {"w": torch.randn(20, 30), "h": torch.randn(3, dtype=torch.bfloat16), "n": torch.tensor(5)}

    def predict(self, model: Any) -> Any:
        """Compare bits and types."""
        return {
            name: (str(each.dtype), tuple(each.shape), each.reshape(-1).view(torch.uint8).tolist())
            for name, each in model.items()
        }

    def changed(self, model: Any) -> Any:
        """One number more."""
        model["n"] += 1
        return model


def _parts(model: Any) -> dict[str, memoryview]:
    return {part.name: memoryview(bytearray(part.view())) for part in Safetensors().dump(model)}


def _file(model: Any) -> bytes:
    return b"".join(Safetensors().to_file(_parts(model)))


def _loaded(data: bytes) -> Any:
    parts = {part.name: memoryview(bytearray(part.view())) for part in Safetensors().from_file(memoryview(data))}
    Safetensors().check(parts)
    return Safetensors().load(parts, 1)


def test_the_library_reads_our_file() -> None:
    """The native file is read by the safetensors library, with every array as it was."""
    model = {"a": RANDOM.random((3, 4)), "b": np.arange(5, dtype="int8"), "c": RANDOM.random(7, dtype="float32")}
    found = safetensors.numpy.load(_file(model))
    assert set(model) == set(found)
    for name, array in model.items():
        np.testing.assert_array_equal(array, found[name], strict=True)


def test_we_read_the_librarys_file(tmp_path: Path) -> None:
    """A file of the library gives its tensors, of the kind that it names."""
    torch.manual_seed(2)
    model = {"w": torch.randn(4, 5), "b": torch.randn(5, dtype=torch.bfloat16)}
    safetensors.torch.save_file(model, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found = _loaded((tmp_path / "m.safetensors").read_bytes())
    assert set(model) == set(found)
    assert all(torch.equal(model[name], found[name]) for name in model)
    safetensors.numpy.save_file({"x": np.arange(3.0)}, tmp_path / "n.safetensors")
    np.testing.assert_array_equal(np.arange(3.0), _loaded((tmp_path / "n.safetensors").read_bytes())["x"], strict=True)


def test_loading_copies_nothing() -> None:
    """Arrays and tensors are views of the buffers that were given."""
    for model in ({"w": np.ones(1000)}, {"w": torch.ones(1000)}):
        parts = _parts(model)
        found = Safetensors().load(parts, 1)["w"]
        found[3] = 7
        assert 7 == np.frombuffer(parts["tensor/0"], np.asarray(model["w"]).dtype)[3]


def test_what_is_not_in_one_piece() -> None:
    """Transposed, big-endian and shared arrays keep their values."""
    base = RANDOM.random((6, 4))
    found = _loaded(_file({"t": base.T, "big": base.astype(">f8"), "again": base}))
    for name, expected in {"t": base.T, "big": base, "again": base}.items():
        np.testing.assert_array_equal(expected, found[name])
    assert {"t": "F64[4, 6]"} == Safetensors().describe(_parts({"t": base.T}))["tensors"]


def test_dtypes_beyond_numpy() -> None:
    """bfloat16 and float8 arrays come back as such."""
    model = {
        "b": np.arange(4).astype(ml_dtypes.bfloat16), "f": np.arange(4).astype(ml_dtypes.float8_e4m3fn),
    }  # fmt: skip
    found = _loaded(_file(model))
    assert {name: array.dtype for name, array in model.items()} == {name: array.dtype for name, array in found.items()}
    assert all(model[name].tobytes() == found[name].tobytes() for name in model)


@pytest.mark.parametrize(
    "wrong",
    [
        {"a": np.array(["text"])},
        {"a": np.array([None])},
        {"a": np.zeros(2, "datetime64[s]")},
        {1: np.zeros(2)},
        {"a": np.zeros(2), "b": torch.zeros(2)},
        {"a": torch.zeros(2).to_sparse()},
        {},
        [np.zeros(2)],
    ],
    ids=lambda wrong: str(wrong)[:30].encode("ascii", "replace").decode(),
)
def test_what_it_cannot_hold(wrong: Any) -> None:
    """Objects, dates, mixed kinds and sparse tensors are refused before anything is written."""
    with pytest.raises(SerializationError):
        Safetensors().dump(wrong)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "U8", "shape": [4]}},
        ["a"],
    ],
    ids=str,
)
def test_a_file_that_lies(header: Any) -> None:
    """A header that does not describe the eight bytes behind it exactly is refused."""
    text = json.dumps(header).encode()
    with pytest.raises(SerializationError):
        Safetensors().from_file(memoryview(len(text).to_bytes(8, "little") + text + bytes(8)))


def test_a_name_that_stands_twice() -> None:
    """Of two entries with one name neither is taken."""
    entry = '{"dtype":"U8","shape":[4],"data_offsets":[%d,%d]}'
    text = f'{{"a":{entry % (0, 4)},"a":{entry % (4, 8)}}}'.encode()
    with pytest.raises(SerializationError, match="twice"):
        Safetensors().from_file(memoryview(len(text).to_bytes(8, "little") + text + bytes(8)))
