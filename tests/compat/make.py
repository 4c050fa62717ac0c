"""Write the store of the current format that later releases must read; run once per format, then never again.

python tests/compat/make.py tests/compat/format-1

``format-1`` is unsigned, as releases before signatures wrote; ``format-1-signed`` has what came since: signatures,
an approval, attachments, protected names. Its ``key.pub`` is the key that signed.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from friday_store import ModelRegistry, signing
from friday_store.trust import Identity

KEPT = ("friday-store.json", "packs", "log", "checkpoints")


def models() -> dict[str, tuple[Any, str | None]]:
    """Return one model of each built-in format, made of nothing that a later library could read otherwise."""
    big = np.arange(40_000, dtype="<f8").reshape(200, 200)
    return {
        "pickle5": (OrderedDict(weights=big, text="grüße", small=(1, 2.5, None)), None),
        "joblib": ({"rules": ["a", "b"], "level": 0.5}, "joblib"),
        "numpy": ({"w": big[:, ::-1].copy(), "b": np.array([1, 2, 3], dtype="<i4")}, None),
        "json": ({"threshold": 0.7, "names": ["x", "y"]}, "json"),
        "file": (b"any bytes \x00\xff at all" * 5000, "file"),
    }


def fill(registry: ModelRegistry) -> None:
    """Use everything that the log can say: versions, tags, aliases, notes, removal, return, merges, a checkpoint."""
    for name, (model, serializer) in models().items():
        metadata = {"nested": {"list": [1, 2.5, "three", None]}}
        facts: dict[str, Any] = {
            "tags": [name, "a/b"],
            "metrics": {"m": 0.5, "nan": float("nan")},
            "metadata": metadata,
        }
        registry.register_model(model, name, serializer=serializer, aliases=["production"], **facts)
        registry.register_model(model, name, "2.0.0-rc.1", serializer=serializer, description="candidate")
    registry.log_metrics("pickle5:1.0.0", {"m": 0.25}, step=3)
    registry.set_model_status("numpy:1.0.0", "staging", "compat")
    registry.update_model_metadata("json:1.0.0", {"nested": {"added": True}})
    registry.delete_model("file", "2.0.0-rc.1")
    registry.delete_model("joblib", "2.0.0-rc.1")
    registry.restore_model("joblib")
    registry.register_model({"card": 1}, "attached", serializer="json", attachments={"docs/card.md": b"# Card"})
    registry.approve("json:1.0.0", "sound")
    registry.protect("production", "held")
    registry.promote("json:2.0.0-rc.1", override=True)
    registry.protect(append_only=True)
    while registry.repository.index.seq < 258:
        registry.set_alias(f"json:{'1.0.0' if registry.repository.index.seq % 2 else '2.0.0-rc.1'}", "moving")


def facts(registry: ModelRegistry) -> list[dict[str, Any]]:
    """Return what must come back for ever."""
    keys = ("model_id", "model_name", "model_version", "tags", "aliases", "status", "metadata", "parents", "artifact")
    return [
        {key: record[key] for key in keys} | {"metrics": {k: str(v) for k, v in record["metrics"].items()}}
        for record in registry.list_models()
    ]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    own = Identity(None, "compat")
    with tempfile.TemporaryDirectory() as folder, ModelRegistry(f"{folder}/r", actor="compat", identity=own) as made:
        fill(made)
        target.mkdir()
        (target / "key.pub").write_text(signing.written(own.key().public, "compat") + "\n")
        live = set(made.repository.objects.live)
        for kept in KEPT:
            source = Path(folder, "r", kept)
            if source.is_dir():
                shutil.copytree(source, target / kept)
            else:
                shutil.copy(source, target / kept)
        for pack in (target / "packs").iterdir():
            if pack.stem not in live:
                pack.unlink()
        (target / "expected.json").write_text(json.dumps(facts(made), indent=1, sort_keys=True) + "\n")
