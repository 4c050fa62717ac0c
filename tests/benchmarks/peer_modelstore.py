"""modelstore: a folder as its file system store. It zips what joblib wrote; no metrics, tags or index.

Run by the interpreter of modelstore's own environment.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from modelstore import ModelStore

from tests.benchmarks.rounds import loop, middling, small

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "none: nothing is fsynced"


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    return {name: version(name) for name in ("modelstore", "scikit-learn", "joblib", "numpy")}


class Models:
    """A store in a folder; the handle is the domain and the id that modelstore makes up."""

    def __init__(self, folder: Path) -> None:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        self.folder = folder
        self._store = ModelStore.from_file_system(root_directory=str(folder), create_directory=True)

    def save(self, model: Any, name: str) -> str:
        """Upload to the folder."""
        found: dict[str, Any] = self._store.upload(name, model=model)
        return f"{name}/{found['model']['model_id']}"

    def load(self, handle: str) -> Any:
        """Load by domain and id."""
        return self._store.load(*handle.split("/"))

    def close(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.folder)


def _fresh(setting: Setting) -> Callable[[], Models]:
    numbers = count()
    return lambda: Models(setting.folder(f"models-{next(numbers)}"))


WORKLOADS: Final = {
    "small": lambda setting: small(_fresh(setting)(), setting),
    "loop": lambda setting: loop(_fresh(setting)(), setting),
    "middling": lambda setting: middling(_fresh(setting), setting),
}
