"""friday_store's push to a folder, through the registry in a warm process and as a command in a new one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from friday_store import ModelRegistry
from tests.benchmarks.measure import run
from tests.benchmarks.rounds import Round, alternating, pushes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.workloads import Setting

COMMAND: Final = str(Path(sys.executable).with_name("friday-store"))


class Pushed:
    """A registry and its remote, both below one folder; what is pushed was registered before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.registry = ModelRegistry(folder / "registry")
        self.registry.repository.create()
        self.registry.add_remote("origin", self.remote, probe=False)

    def record(self, paths: Sequence[Path]) -> None:
        """Register every file as the next version of the model of its name."""
        self.registry.register_models({"model": path, "model_name": path.stem, "serializer": "file"} for path in paths)

    def push(self) -> None:
        """Push through the open registry."""
        self.registry.push()

    def close(self) -> None:
        """Close the registry and remove both."""
        self.registry.close()
        shutil.rmtree(self.folder)


class Commanded(Pushed):
    """The same, pushed by the command line in a process of its own."""

    def push(self) -> None:
        """Run ``friday-store push``."""
        run([COMMAND, "--registry", str(self.folder / "registry"), "push"])


def sync_local(setting: Setting) -> Round:
    """Push through the registry and by commands, each round from and to fresh folders."""
    return alternating(pushes(Pushed, setting), pushes(Commanded, setting, ", command line"))


WORKLOADS: Final = {"sync-local": sync_local}
