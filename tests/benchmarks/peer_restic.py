"""restic: ``restic backup`` to a repository in a folder.

restic has nothing that corresponds to registering before pushing, so its time includes cutting and hashing; it also
encrypts, and reads the whole folder for one new file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from tests.benchmarks.measure import run
from tests.benchmarks.rounds import Round, pushes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "files and folders fsynced; encrypted; cutting and hashing included"


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    said = subprocess.run(["restic", "version"], capture_output=True, text=True, check=True).stdout
    return {"restic": re.findall(r"[\d.]+\d", said)[0]}


class Pushed:
    """A folder of models and a repository, both below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self._models = folder / "models"
        self._models.mkdir()
        os.environ["RESTIC_PASSWORD"] = "benchmark"
        self._restic("init")

    def record(self, paths: Sequence[Path]) -> None:
        """Copy the files into the folder."""
        for path in paths:
            shutil.copyfile(path, self._models / path.name)

    def push(self) -> None:
        """Back the folder up."""
        self._restic("backup", os.fspath(self._models))

    def close(self) -> None:
        """Remove both."""
        shutil.rmtree(self.folder)

    def _restic(self, *arguments: str) -> None:
        run(["restic", "--quiet", "--repo", os.fspath(self.remote), *arguments])


def _local(setting: Setting) -> Round:
    return pushes(Pushed, setting)


WORKLOADS: Final = {"sync-local": _local}
