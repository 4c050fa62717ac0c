"""DVC: joblib's file, added to its cache and checked out again; ``dvc push`` to a remote in a folder.

What is pushed was added before; no Git, no analytics.

Run by the interpreter of DVC's own environment.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import joblib

from tests.benchmarks.measure import run
from tests.benchmarks.rounds import loop, middling, pushes, small

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "none: nothing is fsynced"
_DVC: Final = os.fspath(Path(sys.executable).with_name("dvc"))


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    return {name: version(name) for name in ("dvc", "dvc-data", "dvc-objects")}


class Pushed:
    """A work tree with one tracked folder, and its remote, both below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self._models = folder / "work" / "models"
        self._models.mkdir(parents=True)
        self._dvc("init", "--quiet", "--no-scm")
        self._dvc("config", "--quiet", "core.analytics", "false")
        self._dvc("remote", "add", "--quiet", "--default", "origin", os.fspath(self.remote))

    def record(self, paths: Sequence[Path]) -> None:
        """Copy the files into the tracked folder and add it."""
        for path in paths:
            (self._models / path.name).unlink(missing_ok=True)
            shutil.copyfile(path, self._models / path.name)
        self._dvc("add", "--quiet", "models")

    def push(self) -> None:
        """Push."""
        self._dvc("push", "--quiet")

    def close(self) -> None:
        """Remove both."""
        shutil.rmtree(self.folder)

    def _dvc(self, *arguments: str) -> None:
        run([_DVC, *arguments], self._models.parent)


class Added:
    """A work tree; the handle is a copy of the ``.dvc`` file, and what counts as stored is the cache."""

    def __init__(self, folder: Path) -> None:
        self._work = folder
        self.folder = folder / ".dvc" / "cache"
        self._numbers = count()
        run([_DVC, "init", "--quiet", "--no-scm"], folder)
        run([_DVC, "config", "--quiet", "core.analytics", "false"], folder)
        self.folder.mkdir(exist_ok=True)

    def save(self, model: Any, name: str) -> str:
        """Dump into the work tree and add."""
        path = self._work / f"{name}.joblib"
        path.unlink(missing_ok=True)
        joblib.dump(model, path)
        run([_DVC, "add", "--quiet", path.name], self._work)
        kept = self._work / f"{name}-{next(self._numbers)}.kept"
        shutil.copyfile(path.with_suffix(".joblib.dvc"), kept)
        return f"{name}/{kept.name}"

    def load(self, handle: str) -> Any:
        """Check the file out and load it."""
        name, kept = handle.split("/")
        shutil.copyfile(self._work / kept, self._work / f"{name}.joblib.dvc")
        run([_DVC, "checkout", "--quiet", "--force", f"{name}.joblib.dvc"], self._work)
        return joblib.load(self._work / f"{name}.joblib")

    def close(self) -> None:
        """Remove the work tree."""
        shutil.rmtree(self._work)


def _fresh(setting: Setting) -> Callable[[], Added]:
    numbers = count()
    return lambda: Added(setting.folder(f"added-{next(numbers)}"))


WORKLOADS: Final = {
    "small": lambda setting: small(_fresh(setting)(), setting),
    "loop": lambda setting: loop(_fresh(setting)(), setting),
    "middling": lambda setting: middling(_fresh(setting), setting),
    "sync-local": lambda setting: pushes(Pushed, setting),
}
