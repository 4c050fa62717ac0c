"""The cache of far models: bounded, shared, and never believed without looking."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import IntegrityError, ModelRegistry
from friday_store.errors import StorageError
from friday_store.manifest import Artifact
from friday_store.objects import Memo, ObjectStore
from friday_store.objects.cache import ChunkCache
from friday_store.storage import open_storage
from friday_store.testing.faults import FaultyStorage
from tests.faults import stored

MODELS = 5


def weights(seed: int) -> np.ndarray[Any, Any]:
    """Return a model of 160 kB that does not shrink."""
    return np.random.default_rng(seed).random(20_000)


class Far:
    """The objects of a registry behind a storage that counts, and the artifacts of its models."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with stored.opened(root) as registry:
            for seed in range(MODELS):
                registry.register_model(weights(seed), "m")
            self.artifacts = [self._artifact(registry, f"m:1.0.{seed}") for seed in range(MODELS)]
            packs = dict(registry.repository.objects.live)
        self.storage = FaultyStorage(open_storage(root))
        self.storage.root = None
        self.objects = ObjectStore(self.storage)
        self.objects.use(packs)

    def _artifact(self, registry: ModelRegistry, revision: str) -> Artifact:
        return registry.repository.artifact(bytes.fromhex(registry.get_model_metadata(revision)["artifact"]))

    def asked(self) -> int:
        """Return how often a pack was read since the last question, and count anew."""
        found = sum(call.startswith(("read packs/", "open packs/")) for call in self.storage.calls)
        self.storage.calls.clear()
        return found


@pytest.fixture
def far(tmp_path: Path) -> Far:
    """A far store of some models."""
    return Far(tmp_path / "far")


def opened(tmp_path: Path, limit: int = 1 << 30) -> ChunkCache:
    """Return the cache, as another process would open it."""
    return ChunkCache(tmp_path / "cache", limit, Memo(tmp_path / "memo"))


def is_model(parts: dict[str, memoryview], seed: int) -> bool:
    """Whether the bytes of an array are among the parts."""
    return any(bytes(part) == weights(seed).tobytes() for part in parts.values())


def packs(tmp_path: Path) -> list[Path]:
    """Return the cache's packs."""
    return sorted((tmp_path / "cache" / "packs").iterdir())


def test_a_model_is_fetched_once(far: Far, tmp_path: Path) -> None:
    """The first load fetches, the second does not, nor does that of another process; files are private."""
    assert is_model(opened(tmp_path).parts(far.artifacts[0], far.objects), 0)
    assert far.asked()
    for cache in (opened(tmp_path), opened(tmp_path)):
        assert is_model(cache.parts(far.artifacts[0], far.objects), 0)
    assert 0 == far.asked()
    assert 0o700 == (tmp_path / "cache" / "packs").stat().st_mode & 0o777
    assert all(path.stat().st_mode & 0o077 == 0o044 for path in packs(tmp_path))


@pytest.mark.parametrize("seed", range(25))
def test_a_poisoned_entry_is_fetched_again(far: Far, tmp_path: Path, seed: int) -> None:
    """S8: a pack of the cache that was changed, with size and time kept, is refused and what it held is fetched."""
    source = random.Random(seed)
    assert is_model(opened(tmp_path).parts(far.artifacts[0], far.objects), 0)
    far.asked()
    [path] = packs(tmp_path)
    found = path.stat()
    data = bytearray(path.read_bytes())
    place = source.randrange(4096, len(data)) if seed % 2 else source.randrange(len(data) - 1000, len(data))
    data[place] ^= 1 << source.randrange(8)
    stored.overwrite(path, bytes(data))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert is_model(opened(tmp_path).parts(far.artifacts[0], far.objects), 0)


@pytest.mark.parametrize("length", [0, 1, 5000, -1])
def test_a_cut_entry_is_fetched_again(far: Far, tmp_path: Path, length: int) -> None:
    """S8: a pack of the cache that was cut is thrown away."""
    opened(tmp_path).parts(far.artifacts[0], far.objects)
    [path] = packs(tmp_path)
    stored.overwrite(path, path.read_bytes()[:length])
    assert is_model(opened(tmp_path).parts(far.artifacts[0], far.objects), 0)


def test_a_removed_entry_is_fetched_again(far: Far, tmp_path: Path) -> None:
    """A pack that another process has removed, and a cache that was deleted, cost a fetch and nothing else."""
    cache = opened(tmp_path)
    cache.parts(far.artifacts[0], far.objects)
    [path] = packs(tmp_path)
    path.unlink()
    assert is_model(cache.parts(far.artifacts[0], far.objects), 0)
    for each in [*(tmp_path / "cache" / "packs").iterdir(), *(tmp_path / "cache" / "used").glob("*")]:
        each.unlink()
    assert is_model(cache.parts(far.artifacts[0], far.objects), 0)
    assert 1 == len(packs(tmp_path))


def test_what_was_not_used_for_longest_goes(far: Far, tmp_path: Path) -> None:
    """The cache stays below its limit; what was used last stays, also when it came first."""
    cache = opened(tmp_path, limit=3 * 170_000)
    for seed in range(3):
        cache.parts(far.artifacts[seed], far.objects)
        for path in (*packs(tmp_path), *(tmp_path / "cache" / "used").glob("*")):
            os.utime(path, (path.stat().st_mtime - 100,) * 2)
    cache.parts(far.artifacts[0], far.objects)
    far.asked()
    for seed in (3, 4):
        assert is_model(cache.parts(far.artifacts[seed], far.objects), seed)
        assert sum(path.stat().st_size for path in packs(tmp_path)) <= 3 * 170_000
    far.asked()
    assert is_model(cache.parts(far.artifacts[0], far.objects), 0)
    assert 0 == far.asked()
    assert is_model(cache.parts(far.artifacts[1], far.objects), 1)
    assert far.asked()


def test_a_model_above_the_limit_is_not_kept(far: Far, tmp_path: Path) -> None:
    """What is larger than the whole cache goes past it."""
    cache = opened(tmp_path, limit=100_000)
    assert is_model(cache.parts(far.artifacts[0], far.objects), 0)
    assert not (tmp_path / "cache").exists() or [] == list((tmp_path / "cache").rglob("*.pack"))


@pytest.mark.parametrize("where", ["packs", "cache"])
def test_a_link_is_not_followed(far: Far, tmp_path: Path, where: str) -> None:
    """Where a symbolic link stands in the cache's place, models load without it and nothing is written through it."""
    victim = tmp_path / "victim"
    victim.mkdir()
    if where == "packs":
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "packs").symlink_to(victim)
        assert is_model(opened(tmp_path).parts(far.artifacts[0], far.objects), 0)
        assert [] == list(victim.iterdir())
    else:
        (tmp_path / "cache").write_text("a file")
        assert is_model(opened(tmp_path).parts(far.artifacts[0], far.objects), 0)


def test_damage_far_away_is_not_kept(far: Far, tmp_path: Path) -> None:
    """A chunk that is damaged in the far store is refused, and the cache holds nothing of it."""
    for path in (tmp_path / "far" / "packs").iterdir():
        data = bytearray(path.read_bytes())
        data[9000] ^= 1
        stored.overwrite(path, bytes(data))
    for _ in range(2):
        with pytest.raises(IntegrityError):
            opened(tmp_path).parts(far.artifacts[0], far.objects)
    assert [] == list((tmp_path / "cache").rglob("*.pack"))
    assert [] == stored.temporaries(tmp_path / "cache")


def test_a_far_store_that_fails_is_an_error_of_it(far: Far, tmp_path: Path) -> None:
    """When the far store cannot be read, that is said, and what is cached loads all the same."""
    cache = opened(tmp_path)
    cache.parts(far.artifacts[0], far.objects)
    lost = tmp_path / "lost"
    (tmp_path / "far" / "packs").rename(lost)
    (tmp_path / "far" / "packs").write_text("no folder")
    assert is_model(opened(tmp_path).parts(far.artifacts[0], far.objects), 0)
    with pytest.raises((StorageError, IntegrityError)):
        opened(tmp_path).parts(far.artifacts[1], far.objects)


def test_many_loads_at_once(far: Far, tmp_path: Path) -> None:
    """Threads with caches of their own over one folder, too small for all models, load what was asked for."""
    go = threading.Barrier(6)

    def work(seed: int) -> None:
        source, cache = random.Random(seed), opened(tmp_path, limit=2 * 170_000)
        objects = ObjectStore(open_storage(far.root))
        objects.use(far.objects.live)
        go.wait(10)
        for _ in range(12):
            number = source.randrange(MODELS)
            assert is_model(cache.parts(far.artifacts[number], objects), number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
