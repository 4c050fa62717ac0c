"""A small registry with something of everything, and what it must answer."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from friday_store import FridayStoreError, ModelRegistry
from friday_store.hookspecs import Safety
from friday_store.log import EVERY
from friday_store.maintenance import Problem
from friday_store.plugins import Plugins
from friday_store.trust import Provenance, TrustStore

SAMPLE: Final = np.random.default_rng(7).normal(size=(20, 4))
_INDEX: Final = ("index.db", "index.db-wal", "index.db-shm")


class Everybody(TrustStore):
    """Trusts all: for tests of bytes, where trust is not the question."""

    def __init__(self) -> None:
        super().__init__(None)

    def require(self, of: Provenance, safety: Safety, types: Callable[[], Iterable[str]] | None = None) -> None:
        """Refuse nothing."""


def opened(root: Path, **options: Any) -> ModelRegistry:
    """Return the registry at ``root`` without external plugins."""
    return ModelRegistry(root, plugins=Plugins(()), actor="tester", **{"trust": Everybody(), **options})


@dataclass(frozen=True)
class Truth:
    """What a sound registry answers.

    Attributes:
        loads: The fingerprint of each model, by every exact revision that names it.
        labels: The same for revisions that the index decides about: the highest version, tags, aliases.
        records: The record of each version as text, by id.
        dump: The rows of the index.
    """

    loads: Mapping[str, str]
    labels: Mapping[str, str]
    records: Mapping[str, str]
    dump: list[str]


def fingerprint(model: Any) -> str:
    """Return a text that is equal for equal models."""
    if hasattr(model, "predict"):
        return "predicts " + fingerprint(model.predict(SAMPLE))
    if isinstance(model, dict):
        return repr({key: fingerprint(value) for key, value in sorted(model.items())})
    if hasattr(model, "tobytes"):
        return f"{model.dtype} {model.shape} {hashlib.sha256(model.tobytes()).hexdigest()}"
    return repr(model)


def build(root: Path, folder: Path) -> None:
    """Make the registry: packs raw and compressed, merged and not, notes, labels, a deletion, a checkpoint."""
    from sklearn.tree import DecisionTreeRegressor

    random = np.random.default_rng(3)
    opaque = folder / "opaque.bin"
    opaque.write_bytes(random.bytes(3000))
    with opened(root) as registry:
        for number in range(17):
            registry.register_model({"rule": number}, "rules", tags=[f"t{number % 3}"], metrics={"rmse": number / 7})
        for depth in (2, 5):
            tree = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(SAMPLE, SAMPLE.sum(axis=1))
            registry.register_model(
                tree, "tree", tags=["AAPL", f"depth{depth}"], metadata={"depth": depth, "note": "é"}
            )
        registry.register_model(
            {"w": random.normal(size=(64, 1024)).astype("float32"), "z": np.zeros(60_000)}, "arrays", tags=["AAPL"]
        )
        registry.register_model([f"line {number}" for number in range(20_000)], "text", description="compresses")
        registry.register_model(opaque, "opaque")
        registry.register_model({"a": [1, 2.5, None]}, "plain", serializer="json", aliases=["live"])
        registry.delete_model("rules", "1.0.3")
        registry.set_alias("tree:1.0.0", "production")
        registry.set_alias("tree:1.0.1", "production")
        _pass_time(registry)
        registry.log_metrics("tree", {"mae": 0.5}, step=1)
        registry.set_model_status("arrays", "production", "because")
        registry.update_model_metadata("plain", {"deep": {"er": [1]}})
        registry.register_model({"last": random.normal(size=9000)}, "arrays")
        assert registry.fsck() == []


def _pass_time(registry: ModelRegistry) -> None:
    """Append entries that change nothing up to the first checkpoint's."""
    repository = registry.repository
    repository.index.catch_up()
    while repository.index.seq < EVERY:
        entry = repository.log.following(repository.index.state, actor="tester", message="nothing")
        digest = repository.log.append(entry)
        assert digest is not None
        repository.index.catch_up([(entry, digest)])
    repository.log.checkpoint(EVERY)


def truth(root: Path) -> Truth:
    """Return what a sound registry answers."""
    with opened(root) as registry:
        records = registry.list_models()
        exact = [record["model_id"] for record in records]
        exact += [f"{record['model_name']}:{record['model_version']}" for record in records]
        labels = {record["model_name"] for record in records}
        labels |= {f"{r['model_name']}@{label}" for r in records for label in (*r["tags"], *r["aliases"])}
        return Truth(
            loads={revision: fingerprint(registry.load_model(revision)) for revision in exact},
            labels={revision: fingerprint(registry.load_model(revision)) for revision in sorted(labels)},
            records={record["model_id"]: repr(record) for record in records},
            dump=list(registry.repository.index.dump()),
        )


def wrong_loads(root: Path, loads: Mapping[str, str]) -> list[str]:
    """Return the revisions that load as something else than they are; errors of the package are no wrong loads."""
    wrong = []
    try:
        with opened(root) as registry:
            for revision, expected in loads.items():
                try:
                    found = fingerprint(registry.load_model(revision))
                except FridayStoreError:
                    continue
                if found != expected:
                    wrong.append(revision)
    except FridayStoreError:
        return wrong
    return wrong


def problems(root: Path) -> list[str]:
    """Return what fsck finds, or why the registry cannot be opened, as text."""
    try:
        with opened(root) as registry:
            return [f"{problem.kind} {problem.path}: {problem.message}" for problem in registry.fsck()]
    except FridayStoreError as error:
        return [f"cannot be opened: {error}"]


def serious(found: Iterable[Problem]) -> list[Problem]:
    """Return the problems but what killed writers leave behind."""
    return [problem for problem in found if problem.kind != "stray"]


def files(root: Path) -> dict[str, list[Path]]:
    """Return a registry's files by kind: ``format``, ``log``, ``checkpoint``, ``pack``, ``index``, ``other``."""
    found: dict[str, list[Path]] = {}
    kinds = {"friday-store.json": "format", "log": "log", "checkpoints": "checkpoint", "packs": "pack"}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        top = path.relative_to(root).parts[0]
        kind = "index" if top in _INDEX else kinds.get(top, "other")
        found.setdefault(kind, []).append(path)
    return found


def overwrite(path: Path, data: bytes) -> None:
    """Put bytes in place of a read-only file's, in the same inode."""
    path.chmod(0o600)
    path.write_bytes(data)
    if path.name not in _INDEX:
        path.chmod(0o444)


def copied(source: Path, target: Path) -> Path:
    """Copy a registry's folder and return the copy."""
    shutil.copytree(source, target, symlinks=True)
    return target


def forget_index(root: Path) -> None:
    """Delete a registry's index."""
    for name in _INDEX:
        (root / name).unlink(missing_ok=True)


def temporaries(root: Path) -> list[str]:
    """Return the temporary files below a folder."""
    return [str(path) for path in root.rglob(".tmp-*")]
