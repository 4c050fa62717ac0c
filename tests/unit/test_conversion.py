"""What converting promises: the same values in a format that runs no code, made where there is no network."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry
from friday_store.conversion import alone, convert
from friday_store.errors import InvalidValueError, SerializationError, UntrustedArtifactError
from friday_store.plugins import Plugins
from friday_store.trust import Identity


class Asking:
    """A model whose loading asks for the network, and becomes the answer."""

    def __reduce__(self) -> Any:
        return _interfaces, ()


def _interfaces() -> dict[str, Any]:
    return {"interfaces": [name for _, name in socket.if_nameindex()]}


def _isolates() -> bool:
    """Whether this machine lets a process give up the network; asked in a child of this one."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(alone)


def test_it_is_the_same_model(registry: ModelRegistry) -> None:
    """The new version holds the same values in the other format, comes from the old one, and is the next one."""
    weights = {"w": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2])}
    old = registry.register_model(weights, "m", serializer="pickle5", metrics={"loss": 0.5})
    made = convert(registry, "m", "numpy", network=not _isolates())
    record = registry.get_model_metadata(made)
    assert ("1.0.1", [old], "numpy", {"loss": 0.5}, "dict") == tuple(
        record[key] for key in ("model_version", "parents", "serializer", "metrics", "model_type")
    )
    loaded = registry.load_model(made)
    assert weights.keys() == loaded.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, loaded[name])


def test_there_is_no_network(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model's loading sees of the network is nothing but a loopback that is down."""
    if not _isolates():
        pytest.skip("this machine lets no process give up the network")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    registry.register_model(Asking(), "m")
    assert {"interfaces": ["lo"]} == registry.load_model(convert(registry, "m", "json"))


def test_what_is_not_trusted_is_not_converted(tmp_path: Path) -> None:
    """Converting loads, so a stranger's model is refused as loading it would be."""
    with ModelRegistry(tmp_path / "a", plugins=Plugins(()), identity=Identity(None)) as theirs:
        theirs.register_model({"a": 1}, "m")
    with ModelRegistry(tmp_path / "a", plugins=Plugins(())) as mine, pytest.raises(UntrustedArtifactError):
        convert(mine, "m", "json")


def test_what_cannot_be_converted(registry: ModelRegistry) -> None:
    """A format that can run code is no target; a model that the format cannot write is refused with its reason."""
    registry.register_model({"a": {1}}, "m")
    with pytest.raises(InvalidValueError, match="can run code"):
        convert(registry, "m", "joblib")
    with pytest.raises(SerializationError, match="JSON"):
        convert(registry, "m", "json", network=True)
    assert 1 == len(registry.get_model_versions("m"))
