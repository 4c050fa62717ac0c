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

from friday_store import ModelRegistry, ProtectedError, UntrustedArtifactError, signing
from friday_store.plugins import Plugins
from friday_store.protection import Protection
from friday_store.trust.provenance import approvers

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
    copied(request.param, tmp_path)
    opened = ModelRegistry(tmp_path / "store")
    opened.trust.add("repositories", opened.repository.id)
    return opened


def copied(name: str, folder: Path) -> None:
    """Copy a store to a folder."""
    shutil.copytree(HERE / name, folder / "store", ignore=shutil.ignore_patterns("expected.json", "key.pub"))


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
        model, _ = {**script.models(), "attached": ({"card": 1}, "json")}[record["model_name"]]
        assert same(model, registry.load_model(record["model_id"])), record["model_name"]


def test_it_is_sound_and_can_be_written_on(registry: ModelRegistry) -> None:
    """Nothing is damaged in it, and a new version can be added."""
    assert [] == registry.fsck()
    assert () == registry.verify_log().problems
    registry.register_model({"threshold": 0.9}, "json", serializer="json")
    assert {"threshold": 0.9} == registry.load_model("json@latest")
    assert [] == registry.fsck()


def test_what_was_signed_loads_by_its_key(tmp_path: Path) -> None:
    """Signatures, approvals, attachments and protections of an earlier release are what they were."""
    copied("format-1-signed", tmp_path)
    public, _ = signing.parsed((HERE / "format-1-signed" / "key.pub").read_text())
    with ModelRegistry(tmp_path / "store", plugins=Plugins(())) as opened:
        with pytest.raises(UntrustedArtifactError):
            opened.load_model("pickle5:1.0.0")
        opened.trust.add_key(public, "compat")
        assert "grüße" == opened.load_model("pickle5:1.0.0")["text"]
        found = opened.verify_log()
        assert (len(opened.list_models()), 0, ()) == (found.signed, found.unsigned, found.problems)
        row = opened.resolve("json:1.0.0")
        assert {public} == set(approvers(bytes.fromhex(row.model_id), opened.repository.notes(row)))
        assert {"docs/card.md": b"# Card"} == {
            name: opened.read_attachment("attached", name) for name in opened.attachments("attached")
        }
        assert Protection(("*@held", "*@production"), append_only=True) == opened.protection()
        with pytest.raises(ProtectedError):
            opened.promote("json:1.0.0")
        with pytest.raises(ProtectedError):
            opened.delete_model("attached")
