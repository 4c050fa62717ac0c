"""One side of one workload in a process of its own, driven line by line.

The parent writes the number of a round, the child answers with one line of JSON: what it measured, or ``error``.
So rounds of several sides alternate, each with its own interpreter, libraries and memory. What libraries print goes
to a log beside the scratch folder; the child keeps the real standard output for its answers.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.benchmarks.workloads import Setting

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

    from tests.benchmarks.rounds import Measures

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = {
    "ours": "ours",
    "floor": "floor",
    "joblib": "peer_joblib",
    "bentoml": "peer_bentoml",
    "mlflow": "peer_mlflow",
    "modelstore": "peer_modelstore",
    "git": "peer_git",
    "git-lfs": "peer_git_lfs",
    "dvc": "peer_dvc",
    "restic": "peer_restic",
    "ostree": "peer_ostree",
    "s3fs": "peer_s3fs",
}
# No event is sent to anybody while measuring, unless the user's own environment says otherwise.
_QUIET: Final = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Settings and credentials of the user, which would decide what is measured.
_OWN: Final = ("XDG_", "FRIDAY_", "AWS_", "S3_", "GIT_", "RESTIC_", "DVC_")


class WorkerError(RuntimeError):
    """A side could not be measured; the message is its own."""


class Worker:
    """A running side. Usable as a context manager; leaving it ends the process.

    Args:
        side: A key of ``MODULES``.
        workload: A key of that module's ``WORKLOADS``.
        setting: Where it works.
        python: The interpreter, of a peer's environment where it has one.
        home: Its home folder, so that no key, cache or setting of the user is touched; below the scratch folder
            if not given.

    Raises:
        WorkerError: The side could not be set up.
    """

    def __init__(
        self, side: str, workload: str, setting: Setting, python: str = sys.executable, home: Path | None = None
    ) -> None:
        self.side = side
        self.log = (home or setting.folder("home")) / f"{workload}.log"
        environment = _QUIET | {key: value for key, value in os.environ.items() if not key.startswith(_OWN)}
        with self.log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [python, "-m", "tests.benchmarks.worker", side, workload, setting.to_json()],
                cwd=ROOT,
                env=environment | {"HOME": str(self.log.parent)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self.about = self._answer()
        except WorkerError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, by force if it does not end by itself."""
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def round(self, number: int) -> Measures:
        """Run one round and return what it measured.

        Raises:
            WorkerError: The round failed.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer says it
            self._process.stdin.write(f"{number}\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise WorkerError(f"{self.side}: {answer['error']}\n{tail}")
        return answer


def main(side: str, workload: str, setting: Setting) -> None:
    """Serve one workload of one side until standard input ends."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        try:
            module = importlib.import_module(f"tests.benchmarks.{MODULES[side]}")
            measure = module.WORKLOADS[workload](setting)
            _say(answers, _about(module))
            for line in sys.stdin:
                _say(answers, measure(int(line)))
        except Exception as error:  # noqa: BLE001 - a side that fails is reported, the others go on
            traceback.print_exc()
            _say(answers, {"error": f"{type(error).__name__}: {error}"})


def _about(module: ModuleType) -> dict[str, Any]:
    return {"durability": module.DURABILITY, "versions": module.versions()}


def _say(stream: Any, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Setting.from_json(sys.argv[3]))
