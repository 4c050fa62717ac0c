"""Git LFS: ``git lfs push`` to a bare repository in a folder, through its transfer for ``file://`` remotes.

What is pushed was added and committed before. On one file system Git LFS links the file of its own store into that
of the remote: no bytes are copied.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from tests.benchmarks.measure import run
from tests.benchmarks.rounds import Round, alternating, pushes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "none: nothing is fsynced; objects are hard links of those here, refs not moved"
_AUTHOR: Final = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    said = {name: subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
            for name in ("git", "git-lfs")}  # fmt: skip
    return {name: re.findall(r"[\d.]+\d", text)[0] for name, text in said.items()}


class Pushed:
    """A repository and its remote, both below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote.git"
        self._work = folder / "work"
        run(["git", "init", "--quiet", "--bare", str(self.remote)])
        run(["git", "init", "--quiet", "--initial-branch", "main", str(self._work)])
        self._git("lfs", "install", "--local")
        self._git("lfs", "track", "*.bin")
        self._git("remote", "add", "origin", self.remote.as_uri())

    def record(self, paths: Sequence[Path]) -> None:
        """Copy the files into the work tree, add and commit them."""
        for path in paths:
            shutil.copyfile(path, self._work / path.name)
        self._git("add", "--all")
        self._git(*_AUTHOR, "commit", "--quiet", "--message", "more")

    def push(self) -> None:
        """Push the objects of Git LFS, and not the commit."""
        self._git("lfs", "push", "origin", "main")

    def close(self) -> None:
        """Remove both."""
        shutil.rmtree(self.folder)

    def _git(self, *arguments: str) -> None:
        run(["git", "-C", os.fspath(self._work), *arguments])


class Moved(Pushed):
    """The same, pushed by ``git push``, whose hook runs Git LFS first: objects and ref."""

    def push(self) -> None:
        """Push objects and commit."""
        self._git("push", "--quiet", "origin", "main")


def _local(setting: Setting) -> Round:
    return alternating(pushes(Pushed, setting), pushes(Moved, setting, ", and refs"))


WORKLOADS: Final = {"sync-local": _local}
