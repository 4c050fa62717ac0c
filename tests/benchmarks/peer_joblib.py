"""joblib: dump, fsync of file and folder, load. A file, not a registry: no version, no metadata, no index."""

from __future__ import annotations

import os
import shutil
from functools import partial
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import joblib

from tests.benchmarks.measure import timed
from tests.benchmarks.rounds import Measures, Round, big, forest, loop, middling, one_by_one, small

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "file and folder fsynced"


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    return {name: version(name) for name in ("joblib", "scikit-learn", "numpy")}


class Files:
    """One file for each version of each name; the handle is its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def save(self, model: Any, name: str) -> str:
        """Dump to a new file and see it on disk."""
        self._count += 1
        path = self.folder / f"{name}-{self._count}.joblib"
        with path.open("xb") as file:
            joblib.dump(model, file)
            file.flush()
            os.fsync(file.fileno())
        descriptor = os.open(self.folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        return str(path)

    def load(self, handle: str) -> Any:
        """Load the file."""
        return joblib.load(handle)

    def close(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.folder)


def _mapped(store: Files, handle: str) -> Measures:
    """Load once more with the arrays as views of the file."""
    seconds, model = timed(partial(joblib.load, mmap_mode="r"), handle)
    del model
    return {"load, mmap_mode": seconds}


def _fresh(setting: Setting) -> Callable[[], Files]:
    numbers = count()
    return lambda: Files(setting.folder(f"files-{next(numbers)}"))


def _small(setting: Setting) -> Round:
    return small(_fresh(setting)(), setting)


def _loop(setting: Setting) -> Round:
    return loop(_fresh(setting)(), setting)


def _bulk(setting: Setting) -> Round:
    return one_by_one(_fresh(setting)(), setting.bulk // 10)


def _big(setting: Setting) -> Round:
    return big(_fresh(setting), setting, _mapped)


def _middling(setting: Setting) -> Round:
    return middling(_fresh(setting), setting)


def _forest(setting: Setting) -> Round:
    return forest(_fresh(setting), setting)


WORKLOADS: Final = {
    "small": _small,
    "bulk": _bulk,
    "big": _big,
    "forest": _forest,
    "loop": _loop,
    "middling": _middling,
}
