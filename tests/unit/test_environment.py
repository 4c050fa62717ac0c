"""What is captured of a model without being asked for, and that capturing never stands in the way."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from friday_store import environment


class Hostile:
    """A model whose properties raise."""

    steps = "none"

    @property
    def feature_names_in_(self) -> NoReturn:
        """Fail."""
        raise RuntimeError("mine")

    n_features_in_ = classes_ = feature_names_in_

    def get_params(self, *, deep: bool = True) -> NoReturn:
        """Fail."""
        raise RuntimeError("mine")


class Odd:
    """A model whose attributes are not what scikit-learn's are."""

    feature_names_in_ = 5
    n_features_in_ = "many"
    classes_ = "abc"
    get_params = 3


def frame() -> pd.DataFrame:
    """Return features by name."""
    return pd.DataFrame({"open": np.arange(20.0), "volume": np.arange(20)})


def test_libraries_in_use_with_their_versions() -> None:
    """The distributions of the model's own classes are recorded, at the versions that are installed."""
    found = environment.dependencies(make_pipeline(StandardScaler(), Ridge()))
    for name in ("scikit-learn", "numpy", "scipy", "joblib"):
        assert importlib.metadata.version(name) == found[name]
    assert sorted(found) == list(found)


def test_only_libraries_in_use() -> None:
    """What happens to be installed or imported is left out."""
    assert environment.dependencies({"a": [1, 2.5, "x"]}) == {}
    assert list(environment.dependencies({"w": np.arange(3)})) == ["numpy"]
    assert "pytest" not in environment.dependencies(Ridge())


def test_a_model_that_holds_itself() -> None:
    """Walking a model ends, however it is knotted and however big it is."""
    loop: dict[str, Any] = {"many": [[[object()] * 100] * 100] * 100}
    loop["self"] = loop
    assert environment.dependencies(loop) == {}
    wide = {number: [{place: object() for place in range(50)} for _ in range(50)] for number in range(50)}
    assert len(list(environment._reached(wide))) <= 2000


def test_python_and_platform() -> None:
    """Python's version and the machine's kind are recorded, and nothing that names a person or place."""
    found = environment.captured()
    assert platform.python_version() == found["python"]
    assert set(found) == {"implementation", "machine", "platform", "python"}


def test_input_schema_of_a_fitted_model() -> None:
    """Names and number of the features come from the model."""
    model = Ridge().fit(frame(), np.arange(20.0))
    assert environment.input_schema(model) == {"features": ["open", "volume"], "n_features": 2}


def test_input_schema_of_an_example() -> None:
    """An example adds dtypes; of its values nothing is kept."""
    found = environment.input_schema(object(), frame())
    assert found == {
        "features": ["open", "volume"],
        "n_features": 2,
        "dtypes": {"open": "float64", "volume": "int64"},
    }
    assert environment.input_schema(object(), np.zeros((3, 4), "f4")) == {"n_features": 4, "dtypes": {"*": "float32"}}
    assert environment.input_schema(object(), [1, 2]) == {}


def test_parameters() -> None:
    """Parameters are plain data; estimators inside are named by their class, their own parameters by path."""
    found = environment.parameters(make_pipeline(StandardScaler(), Ridge(alpha=0.25)))
    assert found["ridge__alpha"] == 0.25
    assert found["ridge"] == "sklearn.linear_model._ridge.Ridge"
    assert environment.parameters(RandomForestRegressor(n_estimators=3))["n_estimators"] == 3
    assert environment.parameters(Ridge) == {}
    assert environment.parameters(object()) == {}


def test_attributes_are_the_same_in_every_process() -> None:
    """An estimator gives its parameters, another object its attributes; none has an address in it."""

    @dataclass(slots=True)
    class Setting:
        above: float
        by: Any
        of: Any

    assert {"above": 0.5, "by": "builtins.len", "of": "builtins.object"} == environment.attributes(
        Setting(0.5, len, object())
    )
    assert environment.parameters(Ridge(alpha=2.0)) == environment.attributes(Ridge(alpha=2.0))
    assert {} == environment.attributes(object())


def test_pipeline_steps() -> None:
    """A pipeline's steps are named with their classes."""
    steps = environment.pipeline_steps(make_pipeline(StandardScaler(), Ridge()))
    assert [step["name"] for step in steps] == ["standardscaler", "ridge"]
    assert environment.pipeline_steps(Ridge()) == []


@pytest.mark.parametrize("model", [Hostile(), Odd(), Odd, None, type, lambda: 0, {"a": Hostile()}])
def test_strangers_do_not_stand_in_the_way(model: Any) -> None:
    """A model whose attributes raise or are something else is captured as far as it can be."""
    environment.dependencies(model)
    assert isinstance(environment.input_schema(model), dict)
    assert environment.parameters(model) == {}
    assert environment.pipeline_steps(model) == []
