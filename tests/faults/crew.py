"""Processes to be killed: one that has imported everything forks a child for each job, see ``worker.py``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]


class Crew:
    """A source of worker processes; a worker writes what it did, line by line, to a file that outlives it.

    Attributes:
        home: The workers' ``FRIDAY_STORE_HOME``.
    """

    def __init__(self) -> None:
        self.home = Path(os.devnull)
        self._running: set[int] = set()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.dismiss()
        self._process.communicate(timeout=10)

    def start(self, action: str, said: Path, **arguments: Any) -> int:
        """Start one of the worker's actions and return its process id."""
        job = {"action": action, "said": str(said), "home": str(self.home), "arguments": arguments}
        process = int(self._ask(job))
        self._running.add(process)
        return process

    def wait(self, process: int) -> int:
        """Wait for a worker and return its exit code, negative for a signal."""
        self._running.discard(process)
        return os.waitstatus_to_exitcode(int(self._ask({"wait": process})))

    def kill(self, process: int) -> int:
        """Kill a worker, wait for it, and return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        return self.wait(process)

    def run(self, action: str, said: Path, **arguments: Any) -> int:
        """Start a worker, wait for it, and return its exit code."""
        return self.wait(self.start(action, said, **arguments))

    def dismiss(self) -> None:
        """Kill who still runs."""
        for process in list(self._running):
            self.kill(process)

    def _ask(self, question: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question, default=str) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def said(path: Path) -> list[Any]:
    """Return what workers wrote to a file; a line that a kill cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]
