"""DVC: ``dvc push`` to a remote in a folder. What is pushed was added before; no Git, no analytics.

Run by the interpreter of DVC's own environment.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks.measure import run
from tests.benchmarks.rounds import Round, pushes

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def _local(setting: Setting) -> Round:
    return pushes(Pushed, setting)


WORKLOADS: Final = {"sync-local": _local}
