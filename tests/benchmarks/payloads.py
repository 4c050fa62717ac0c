"""What is synchronised in the measurements, the same bytes for every side; kept in the cache folder between runs.

Nothing here imports friday_store or a peer.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.benchmarks.workloads import Setting

MIB: Final = 1 << 20
OBJECTS: Final = 3  # of a small version: manifest, artifact and the array
SMALL: Final = 200  # floats of a small version's array
_NAMES: Final = 100
_SEED: Final = 20_000


def files(setting: Setting) -> list[Path]:
    """Return the files of random bytes that every side pushes, making them on first use: many of 1 MiB, one big."""
    count, size = (20, 16) if setting.quick else (200, 256)
    folder = Path(setting.cache, f"random-{count}-and-{size}")
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for number in range(count):
            (unfinished / f"model-{number:03}.bin").write_bytes(np.random.default_rng(number).bytes(MIB))
        (unfinished / "big.bin").write_bytes(np.random.default_rng(count).bytes(size * MIB))
        unfinished.rename(folder)
    return sorted(folder.iterdir())


def another(folder: Path, number: int) -> Path:
    """Write another content into the folder's first file of 1 MiB and return it."""
    path = folder / "model-000.bin"
    path.write_bytes(np.random.default_rng((_SEED, number)).bytes(MIB))
    return path


def many(setting: Setting) -> int:
    """Return how many small versions are pushed at once."""
    return 500 if setting.quick else 10_000


def few(setting: Setting) -> int:
    """Return how many the small registry has that they are compared with."""
    return 20 if setting.quick else 100


def crowd(setting: Setting) -> int:
    """Return how many small versions are pushed where memory is measured."""
    return 2_000 if setting.quick else 100_000


def items(count: int) -> Iterator[dict[str, Any]]:
    """Yield the arguments of a registration of each small version, over a hundred names."""
    random = np.random.default_rng(count)
    for place in range(count):
        yield {"model": random.random(SMALL), "model_name": f"model-{place % _NAMES}"} | facts(place)


def facts(place: int) -> dict[str, Any]:
    """Return the facts that are recorded with a small version."""
    return {"metrics": {"rmse": 1 / (place + 1)}, "tags": ["a", f"fold-{place % 5}"], "serializer": "numpy"}


def array_file(setting: Setting) -> Path:
    """Return the file of one big array, 1 GiB of float32, made on first use."""
    size = (64 if setting.quick else 1_024) * MIB
    path = Path(setting.cache, f"array-{size // MIB}.npy")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.save(file, np.random.default_rng(0).standard_normal(size // 4, dtype=np.float32))
        unfinished.rename(path)
    return path


def tuned(array: NDArray[np.float32], share: float = 0.05) -> NDArray[np.float32]:
    """Return the array with this share of it, in one piece in its middle, replaced."""
    other = array.copy()
    size = int(share * array.size)
    start = array.size // 2
    other[start : start + size] = np.random.default_rng(1).standard_normal(size, dtype=np.float32)
    return other
