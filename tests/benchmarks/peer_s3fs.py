"""s3fs by itself: one object for each thing, with nothing that says what belongs together.

Ten thousand single puts take minutes, so five hundred are measured and the time is multiplied; the same with the
bulk call.
"""

from __future__ import annotations

import io
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import joblib
import numpy as np

from tests.benchmarks import payloads
from tests.benchmarks.buckets import Bucket
from tests.benchmarks.measure import timed
from tests.benchmarks.rounds import Measures, Round, directly

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "what the server promises; puts are measured on a sample and multiplied"
_SAMPLE: Final = 500


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    return {name: version(name) for name in ("s3fs", "aiobotocore", "fsspec", "ministack")}


def _many(setting: Setting) -> Round:
    """Put a sample of small objects one by one, and another with the bulk call, and get them back."""
    bucket = Bucket(setting, "puts")
    sample = min(_SAMPLE, payloads.many(setting))
    random = np.random.default_rng(0)
    bodies = [random.random(payloads.SMALL).tobytes() for _ in range(sample)]

    def singly(place: str) -> None:
        for number, body in enumerate(bodies):
            bucket.files.pipe_file(f"{bucket.name}/{place}/single/{number}", body)

    def measure(number: int) -> Measures:
        place = f"round-{number}"
        paths = [f"{bucket.name}/{place}/bulk/{each}" for each in range(sample)]
        single = timed(singly, place)[0] / sample * payloads.many(setting)
        bulk = timed(bucket.files.pipe, dict(zip(paths, bodies, strict=True)))[0] / sample * payloads.many(setting)
        back, found = timed(bucket.files.cat, paths)
        assert bodies == [found[path] for path in paths]
        bucket.remove(place)
        return {
            "one put per object": single * payloads.OBJECTS,
            "one put per version": single,
            "bulk put of every object": bulk * payloads.OBJECTS,
            "bulk put of every version": bulk,
            "bulk get of every object": back / sample * payloads.many(setting) * payloads.OBJECTS,
        }

    return measure


def _big(setting: Setting) -> Round:
    """Put one big file, get it back, load it."""
    bucket = Bucket(setting, "file")
    source = payloads.array_file(setting)
    expected = np.load(source, mmap_mode="r")[::4096].copy()

    def measure(number: int) -> Measures:
        key, target = f"{bucket.name}/round-{number}/array.npy", setting.folder() / "array.npy"
        put, _ = timed(bucket.files.put_file, os.fspath(source), key)
        get, _ = timed(bucket.files.get_file, key, os.fspath(target))
        load, array = timed(np.load, target)
        np.testing.assert_array_equal(expected, array[::4096])
        target.unlink()
        bucket.remove(f"round-{number}")
        return {"put_file": put, "get_file": get, "load": load, "get and load": get + load}

    return measure


class Objects:
    """joblib's bytes, one object for each model; the handle is the key."""

    def __init__(self, setting: Setting) -> None:
        self._bucket = Bucket(setting, "joblib")

    def save(self, model: Any, name: str) -> str:
        """Dump and put it."""
        stream = io.BytesIO()
        joblib.dump(model, stream)
        key = f"{self._bucket.name}/{name}"
        self._bucket.files.pipe_file(key, stream.getvalue())
        return key

    def forget(self) -> None:
        """Nothing is cached."""

    def load(self, handle: str) -> Any:
        """Get and load it."""
        return joblib.load(io.BytesIO(self._bucket.files.cat_file(handle)))


def _direct(setting: Setting) -> Round:
    return directly(Objects(setting), setting)


WORKLOADS: Final = {"sync-s3-many": _many, "sync-s3-big": _big, "sync-direct": _direct}
