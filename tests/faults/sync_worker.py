"""A crew whose workers use registries elsewhere; see ``crew.py`` and ``worker.py``.

Run as ``python -m tests.faults.sync_worker``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import s3fs  # noqa: F401 - imported once, before the children are forked

from friday_store import ModelRegistry
from friday_store.plugins import Plugins
from tests.faults import worker
from tests.faults.crew import ROOT, Crew
from tests.faults.stored import Everybody, opened


class SyncCrew(Crew):
    """A source of workers with the actions of this module."""

    def __init__(self) -> None:
        self.home = Path("/dev/null")
        self._running = set()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.sync_worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )


def started(go: str) -> None:
    """Say that everything is there, and wait until a file appears."""
    worker.say("ready")
    while not Path(go).exists():
        time.sleep(0.001)


def register_at(url: str, options: dict[str, Any], name: str, *, first: int, count: int, go: str) -> None:
    """Register models one after the other in a registry anywhere, and say each."""
    registry = ModelRegistry(url, plugins=Plugins(()), storage_options=options, trust=Everybody())
    started(go)
    for number in range(first, first + count):
        worker.say("registered", number, registry.register_model(worker.content(number), name))


def pull(root: str, remote: str, go: str) -> None:
    """Pull once, and say how much came."""
    registry = opened(Path(root))
    started(go)
    report = registry.pull(remote)
    worker.say("pulled", len(report.moved), report.objects)


def push(root: str, remote: str, go: str) -> None:
    """Push once, and say what moved and what was refused."""
    registry = opened(Path(root))
    started(go)
    report = registry.push(remote)
    worker.say("pushed", [update.ref for update in report.moved], [update.ref for update, _ in report.rejected])


worker.ACTIONS.update({"register_at": register_at, "pull": pull, "push": push})

if __name__ == "__main__":
    worker.main()
