"""What every test has: a home of its own, nothing of the machine's environment, and a few small things to store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.register_assert_rewrite("friday_store.testing")
pytest_plugins = ["tests.servers.fixtures"]

settings.register_profile("default", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long forms of checks unless ``-m`` says which to run."""
    if not config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return this test's own home; trust, caches and the default registry of the machine are out of reach."""
    folder = tmp_path / "home"
    for name in [name for name in os.environ if name.startswith("FRIDAY_STORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(folder))
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    """Return a local registry that is not there yet, with the built-in formats alone."""
    with ModelRegistry(tmp_path / "registry", plugins=Plugins(()), actor="tester@here") as opened:
        yield opened


@pytest.fixture
def small_model() -> dict[str, Any]:
    """Return a model of a few hundred bytes that any format of Python objects can write."""
    return {"intercept": 0.5, "slopes": [1.0, -2.0, 3.5], "features": ("open", "close", "volume")}


@pytest.fixture
def array_model() -> np.ndarray[Any, Any]:
    """Return 2 MiB of numbers that do not shrink: two blocks and a rest, stored raw."""
    return np.random.default_rng(7).standard_normal((1 << 18) + 1000)


@pytest.fixture
def estimator() -> Any:
    """Return a fitted scikit-learn model."""
    from sklearn.linear_model import Ridge

    draw = np.random.default_rng(3)
    features = draw.standard_normal((40, 3))
    return Ridge(alpha=0.5).fit(features, features @ np.array([1.0, -2.0, 0.5]))
