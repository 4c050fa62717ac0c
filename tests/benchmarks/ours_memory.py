"""How much memory friday_store takes to push and clone with an S3 server: the peak of a process that does only that."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Final

import numpy as np

from friday_store import ModelRegistry
from tests.benchmarks import payloads
from tests.benchmarks.buckets import Bucket
from tests.benchmarks.measure import peak_of
from tests.benchmarks.ours_local import COMMAND
from tests.benchmarks.ours_s3 import filled
from tests.benchmarks.rounds import Measures, Round

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

_PUSH: Final = """
import sys
from friday_store import ModelRegistry
ModelRegistry(sys.argv[1]).push(sys.argv[2])
"""
_CLONE: Final = """
import json, sys
from friday_store import ModelRegistry
ModelRegistry.clone(sys.argv[1], sys.argv[2], remote_options=json.loads(sys.argv[3]))
"""
_IDLE: Final = "import friday_store.sync, friday_store.registry, s3fs"


def sync_memory(setting: Setting) -> Round:
    """Push and clone many small versions and one big model, through the registry and by commands."""
    bucket = Bucket(setting, "memory")
    folders = {"many": setting.folder("many"), "big": setting.folder("big")}
    filled(folders["many"], payloads.crowd(setting)).close()
    with ModelRegistry(folders["big"]) as registry:
        registry.register_model(np.load(payloads.array_file(setting)), "model", serializer="numpy")

    def measure(number: int) -> Measures:
        found = {"peak, imports": peak_of([sys.executable, "-c", _IDLE])}
        for what, folder in folders.items():
            for way in ("API", "command"):
                place = f"{what}-{way}-{number}"
                with ModelRegistry(folder) as registry:
                    registry.add_remote(place, bucket.url(place), bucket.options, where="local", probe=False)
                push, clone = _commands(way, folder, place, bucket, setting.folder(f"clone-{place}"))
                found[f"peak, push {what}, {way}"] = peak_of(push)
                found[f"peak, clone {what}, {way}"] = peak_of(clone)
                shutil.rmtree(setting.folder(f"clone-{place}"))
                bucket.remove(place)
        return found

    return measure


def _commands(way: str, folder: Path, place: str, bucket: Bucket, clone: Path) -> tuple[list[str], list[str]]:
    """Return what pushes a registry to a place, and what clones it from there."""
    if way == "API":
        push = [sys.executable, "-c", _PUSH, str(folder), place]
        return push, [sys.executable, "-c", _CLONE, bucket.url(place), str(clone), json.dumps(bucket.options)]
    flat = {key: value for key, value in bucket.options.items() if isinstance(value, str)}
    needs = [part for key, value in flat.items() for part in ("-o", f"{key}={value}")]
    region = ["-o", f"client_kwargs.region_name={bucket.options['client_kwargs']['region_name']}"]
    push = [COMMAND, "--registry", str(folder), "push", place]
    return push, [COMMAND, "clone", bucket.url(place), str(clone), *needs, *region]


WORKLOADS: Final = {"sync-memory": sync_memory}
