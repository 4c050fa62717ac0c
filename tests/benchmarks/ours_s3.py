"""friday_store with an S3 server: many small versions, one big model, and a registry used straight where it is.

Seconds are measured without anything in between; requests and bytes in a second pass through a counting proxy.
"""

from __future__ import annotations

import os
import shutil
import statistics
from contextlib import closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from friday_store import ModelRegistry
from friday_store.registry.location import HOME
from tests.benchmarks import payloads
from tests.benchmarks.buckets import Bucket
from tests.benchmarks.measure import settle, timed
from tests.benchmarks.rounds import Measures, Round, directly
from tests.servers.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

_ONE: Final = 3


def filled(folder: Path, size: int) -> ModelRegistry:
    """Return a registry of so many small versions, registered in one transaction."""
    registry = ModelRegistry(folder)
    registry.register_models(payloads.items(size))
    return registry


class Walk:
    """One thing after the other with fresh remotes: pushes of all, of nothing and of single versions, and a clone.

    Args:
        setting: Names the server, and where clones go.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._bucket = Bucket(setting, "many")
        self._registries = {
            "": filled(setting.folder("many"), payloads.many(setting)),
            ", few": filled(setting.folder("few"), payloads.few(setting)),
        }
        self._numbers = count()

    def steps(self, place: str, endpoint: str) -> Iterator[tuple[str, float]]:
        """Yield what was done and its seconds; nothing is asked of the server between two of them.

        Single versions are pushed more than once, beside many and beside few in turn. Their seconds are the median so
        far, so that the last are those that count.
        """
        options = self._bucket.options | {"endpoint_url": endpoint}
        for suffix, registry in self._registries.items():
            registry.add_remote(place, self._url(place, suffix), options, where="local", probe=False)
            settle()
            yield f"first push{suffix}", timed(registry.push, place)[0]
        ours = self._registries[""]
        yield "up-to-date push", timed(ours.push, place)[0]
        yield "up-to-date pull", timed(ours.pull, place)[0]
        folder = self._setting.folder(place)
        settle()
        seconds, clone = timed(_clone, self._url(place, ""), folder, options)
        yield "clone back", seconds
        with closing(clone):
            assert len(ours.list_models()) == len(clone.list_models())
        shutil.rmtree(folder)
        yield from self._ones(place)
        for suffix, registry in self._registries.items():
            registry.remove_remote(place, where="local")
            self._bucket.remove(f"{place}{suffix[2:]}")

    def _ones(self, place: str) -> Iterator[tuple[str, float]]:
        spent: dict[str, list[float]] = {suffix: [] for suffix in self._registries}
        for _ in range(_ONE):
            for suffix, registry in self._registries.items():
                number = next(self._numbers)
                model = np.random.default_rng((7, number)).random(payloads.SMALL)
                registry.register_model(model, "model-1", **payloads.facts(number))
                settle()
                spent[suffix].append(timed(registry.push, place)[0])
                yield f"push one{suffix}", statistics.median(spent[suffix])

    def _url(self, place: str, suffix: str) -> str:
        return self._bucket.url(f"{place}{suffix[2:]}")


def _many(setting: Setting) -> Round:
    """Take the walk twice: for seconds, and through a proxy for requests."""
    walk = Walk(setting)

    def measure(number: int) -> Measures:
        found = dict(walk.steps(f"timed-{number}", setting.endpoint))
        with Proxy(setting.endpoint) as proxy:
            for name, _ in walk.steps(f"counted-{number}", proxy.url):
                found[f"{name}, requests"] = float(proxy.count())
                proxy.forget()
        return found

    return measure


def _clone(url: str, folder: Path, options: dict[str, Any], **more: Any) -> ModelRegistry:
    return ModelRegistry.clone(url, folder, remote_options=options, **more)


def _big(setting: Setting) -> Round:
    """Push one big array, clone it back with and without its bytes, load it from both, push a changed one."""
    bucket = Bucket(setting, "big")
    array = np.load(payloads.array_file(setting))
    registry = ModelRegistry(setting.folder("registry"))
    registry.register_model(array, "model", serializer="numpy")
    registry.register_model(payloads.tuned(array), "tuned", serializer="numpy")
    probe = array[::4096].copy()
    size = array.nbytes
    del array

    def measure(number: int) -> Measures:
        place = f"round-{number}"
        registry.add_remote(place, bucket.url(place), bucket.options, where="local", probe=False)
        settle()
        found = {"push": timed(registry.push, place, ["model"])[0]}
        for suffix, bare in (("", False), (", metadata only", True)):
            folder = setting.folder(place)
            settle()
            clone_back = partial(_clone, bucket.url(place), folder, bucket.options, metadata_only=bare)
            found[f"clone back{suffix}"], clone = timed(clone_back)
            with closing(clone):
                found[f"load first{suffix}"], loaded = timed(clone.load_model, "model")
                np.testing.assert_array_equal(probe, loaded[::4096])
                del loaded
                found[f"load again{suffix}"] = timed(clone.load_model, "model")[0]
            shutil.rmtree(folder)
        found["clone and load"] = found["clone back"] + found["load first"]
        found["clone and load, metadata only"] = found["clone back, metadata only"] + found["load first, metadata only"]
        with Proxy(setting.endpoint) as proxy:
            registry.push(place, ["tuned"], remote_options={"endpoint_url": proxy.url})
            found["second, share"] = sum(request.received for request in proxy.requests) / size
        registry.remove_remote(place, where="local")
        bucket.remove(place)
        return found

    return measure


class Direct:
    """A registry at a URL, and readers of it that have cached nothing; the handle is the version's id."""

    def __init__(self, setting: Setting) -> None:
        self._bucket = Bucket(setting, "direct")
        self._setting = setting
        self._numbers = count()
        self._writer = self._opened()
        self._reader = self._writer

    def _opened(self, **options: Any) -> ModelRegistry:
        url = self._bucket.url("registry")
        return ModelRegistry(url, storage_options=self._bucket.options, **options)

    def save(self, model: Any, name: str) -> str:
        """Register it."""
        return self._writer.register_model(model, name)

    def forget(self) -> None:
        """Read with an empty cache from here on, as another machine of the same user would, its index caught up."""
        if self._reader is not self._writer:
            self._reader.close()
        os.environ[HOME] = str(self._setting.folder(f"reader-{next(self._numbers)}"))
        try:
            self._reader = self._opened(trust=self._writer.trust)
            self._reader.list_models(limit=1)
        finally:
            del os.environ[HOME]

    def load(self, handle: str) -> Any:
        """Load by id."""
        return self._reader.load_model(handle)


def _direct(setting: Setting) -> Round:
    return directly(Direct(setting), setting)


WORKLOADS: Final = {
    "sync-s3-many": _many,
    "sync-s3-big": _big,
    "sync-direct": _direct,
}
