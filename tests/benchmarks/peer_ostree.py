"""OSTree: ``ostree pull-local`` of a branch from one repository into another. It was committed before.

On one file system and with the same kind of repository OSTree links the objects: no bytes are copied.
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

DURABILITY: Final = "syncfs and folders fsynced; objects are hard links of those here"


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    said = subprocess.run(["ostree", "--version"], capture_output=True, text=True, check=True).stdout
    return {"ostree": re.findall(r"[\d.]+\d", said)[0]}


class Pushed:
    """A folder of models, the repository it is committed to and the one that pulls, all below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self._here = folder / "here"
        self._models = folder / "models"
        self._models.mkdir()
        for repository in (self._here, self.remote):
            run(["ostree", f"--repo={repository}", "init", "--mode=bare-user"])

    def record(self, paths: Sequence[Path]) -> None:
        """Copy the files into the folder and commit it."""
        for path in paths:
            shutil.copyfile(path, self._models / path.name)
        run(["ostree", f"--repo={self._here}", "commit", "--branch=main", "--subject=more", os.fspath(self._models)])

    def push(self) -> None:
        """Let the other repository pull the branch."""
        run(["ostree", f"--repo={self.remote}", "pull-local", os.fspath(self._here), "main"])

    def close(self) -> None:
        """Remove all."""
        shutil.rmtree(self.folder)


def _local(setting: Setting) -> Round:
    return pushes(Pushed, setting)


WORKLOADS: Final = {"sync-local": _local}
