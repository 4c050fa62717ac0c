"""Every built-in format keeps what every format promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store.default_plugins.formats import File, Joblib, Json, Numpy
from friday_store.default_plugins.pickle5 import Pickle5
from friday_store.testing import SerializerTests


class Predictor:
    """A model with arrays of every size class and a reference to itself."""

    def __init__(self) -> None:
        draw = np.random.default_rng(1)
        self.small = draw.standard_normal(10)
        self.large = draw.standard_normal((300, 100))
        self.column_major = np.asfortranarray(draw.standard_normal((120, 90)))
        self.read_only = draw.integers(0, 9, 20_000)
        self.read_only.flags.writeable = False
        self.names = ["open", "close"]
        self.myself = self

    def predict(self) -> tuple[Any, ...]:
        """Return everything there is."""
        assert self.myself is self
        return self.small, self.large, self.column_major, self.read_only, self.names


class TestPickle5(SerializerTests):
    """An object with big and small buffers."""

    serializer = Pickle5()
    mistaken = ("joblib",)

    @pytest.fixture
    def model(self) -> Predictor:
        """Return an object with arrays."""
        return Predictor()

    def predict(self, model: Predictor) -> Any:
        """Return what the object holds."""
        return model.predict()

    def changed(self, model: Predictor) -> Predictor:
        """Train on one of three big arrays."""
        model.column_major += 1
        return model


class TestPickle5Plain(SerializerTests):
    """An object without buffers."""

    serializer = Pickle5()
    mistaken = ("joblib",)

    @pytest.fixture
    def model(self, small_model: dict[str, Any]) -> Any:
        """Return plain data."""
        return small_model


class TestJoblib(SerializerTests):
    """A scikit-learn model in joblib's own file."""

    serializer = Joblib()
    chosen = False
    mistaken = ("pickle5",)
    frameworks = ()  # joblib is there wherever this package is

    @pytest.fixture
    def model(self, estimator: Any) -> Any:
        """Return a fitted model."""
        return estimator

    def predict(self, model: Any) -> Any:
        """Return predictions."""
        return model.predict(np.eye(3))


class TestNumpyNamed(SerializerTests):
    """Arrays by name, with names that other layers might stumble over."""

    serializer = Numpy()

    @pytest.fixture
    def model(self) -> dict[str, Any]:
        """Return arrays of several kinds."""
        return {
            "file": np.arange(100_000, dtype="<i4"),
            "F/order": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
            "big endian.npy": np.arange(5, dtype=">f8"),
            "scalar": np.array(2.5),
            "empty": np.zeros((0, 3)),
            "text": np.array(["a", "bcd"]),
            "days": np.array(["2026-01-01"], dtype="M8[D]"),
            "../up": np.array([True, False]),
        }

    def changed(self, model: Any) -> Any:
        """Another date in one array of eight."""
        return model | {"days": np.array(["2026-01-02"], dtype="M8[D]")}


class TestNumpySingle(SerializerTests):
    """One array without a name."""

    serializer = Numpy()

    @pytest.fixture
    def model(self, array_model: Any) -> Any:
        """Return one array."""
        return array_model


class TestJson(SerializerTests):
    """Nested plain data."""

    serializer = Json()
    chosen = False

    @pytest.fixture
    def model(self) -> Any:
        """Return rules."""
        return {"rules": [{"if": "close > open", "then": 1.5}, None, True], "ü": {"": [1e300, -0.0, float("nan")]}}


class TestFile(SerializerTests):
    """A file as it is."""

    serializer = File()
    mistaken = ("joblib", "json", "numpy", "pickle5")
    shows_truncation = False

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        """Return the path of a file."""
        path = tmp_path / "model.onnx"
        path.write_bytes(bytes(range(256)) * 1000)
        return path

    def predict(self, model: Path | bytes) -> bytes:
        """Return the bytes: a file is stored by its path and loads as what it held."""
        return model.read_bytes() if isinstance(model, Path) else model
