"""Stores that earlier releases wrote load for ever."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry

HERE = Path(__file__).parent
FORMATS = sorted(path.name for path in HERE.glob("format-*"))


def make() -> ModuleType:
    """Return the script that made the stores."""
    spec = importlib.util.spec_from_file_location("compat_make", HERE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FORMATS)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> ModelRegistry:
    """A writable copy of a store, trusted as one's own."""
    shutil.copytree(HERE / request.param, tmp_path / "store", ignore=shutil.ignore_patterns("expected.json"))
    opened = ModelRegistry(tmp_path / "store")
    opened.trust.add("repositories", opened.repository.id)
    return opened


def same(expected: Any, actual: Any) -> bool:
    """Whether two plain models are equal, arrays included."""
    if isinstance(expected, dict):
        return expected.keys() == actual.keys() and all(same(expected[key], actual[key]) for key in expected)
    return bool(np.array_equal(expected, actual)) if isinstance(expected, np.ndarray) else bool(expected == actual)


def test_every_version_says_and_loads_what_it_did(registry: ModelRegistry, request: pytest.FixtureRequest) -> None:
    """Records, refs and models come back as they were written."""
    script = make()
    name = request.node.callspec.params["registry"]
    expected = json.loads((HERE / name / "expected.json").read_text())
    assert expected == json.loads(json.dumps(script.facts(registry)))
    for record in expected:
        model, _ = script.models()[record["model_name"]]
        assert same(model, registry.load_model(record["model_id"])), record["model_name"]


def test_it_is_sound_and_can_be_written_on(registry: ModelRegistry) -> None:
    """Nothing is damaged in it, and a new version can be added."""
    assert [] == registry.fsck()
    registry.register_model({"threshold": 0.9}, "json", serializer="json")
    assert {"threshold": 0.9} == registry.load_model("json@latest")
    assert [] == registry.fsck()
