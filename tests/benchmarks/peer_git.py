"""git itself: joblib's file, added and committed; loaded from the blob that the commit holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import joblib

from tests.benchmarks.measure import run
from tests.benchmarks.rounds import loop, middling, small

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "git's own: refs and packs are fsynced, loose objects are not"
_AUTHOR: Final = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost", "-c", "gc.auto=0")


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    return {"git": re.findall(r"[\d.]+\d", said)[0], "joblib": joblib.__version__}


class Commits:
    """A repository; the handle is ``COMMIT:FILE``, and what counts as stored is ``.git``."""

    def __init__(self, folder: Path) -> None:
        self._work = folder
        self.folder = folder / ".git"
        run(["git", "init", "--quiet", "--initial-branch", "main", os.fspath(folder)])

    def save(self, model: Any, name: str) -> str:
        """Dump into the work tree, add and commit."""
        joblib.dump(model, self._work / f"{name}.joblib")
        self._git("add", f"{name}.joblib")
        self._git(*_AUTHOR, "commit", "--quiet", "--message", name)
        return f"{self._git('rev-parse', 'HEAD').strip()}:{name}.joblib"

    def load(self, handle: str) -> Any:
        """Write the blob to a file and load that."""
        path = self._work / ".loaded"
        with path.open("wb") as file:
            subprocess.run(["git", "-C", os.fspath(self._work), "cat-file", "blob", handle], stdout=file, check=True)
        return joblib.load(path)

    def close(self) -> None:
        """Remove the repository."""
        shutil.rmtree(self._work)

    def _git(self, *arguments: str) -> str:
        return run(["git", "-C", os.fspath(self._work), *arguments])


def _fresh(setting: Setting) -> Callable[[], Commits]:
    numbers = count()
    return lambda: Commits(setting.folder(f"commits-{next(numbers)}"))


WORKLOADS: Final = {
    "small": lambda setting: small(_fresh(setting)(), setting),
    "loop": lambda setting: loop(_fresh(setting)(), setting),
    "middling": lambda setting: middling(_fresh(setting), setting),
}
