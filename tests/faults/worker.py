"""The process behind a crew: reads one job per line, forks a child for it, and answers with its process id.

Run as ``python -m tests.faults.worker``. A child writes what it did to a file with one ``write`` per line, so
that what was said before a kill is there after it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from friday_store import FridayStoreError, ModelRegistry
from friday_store.plugins import Plugins
from friday_store.storage import local
from friday_store.testing.faults import Fault
from tests.faults.faulty import Strike, die, faulty_calls, faulty_storage
from tests.faults.stored import opened

SAY: int = -1


def say(*what: Any) -> None:
    """Write a line that the test will read."""
    os.write(SAY, (json.dumps(what, default=str) + "\n").encode())


def content(number: int) -> dict[str, Any]:
    """Return a model that can be told to be whole."""
    return {"number": number, "body": bytes([number % 251]) * 3000, "end": number * 7}


def register(
    root: str, name: str, first: int = 0, count: int = 1_000_000, tag: str = "", *, synced: bool = True
) -> None:
    """Register models one after the other, and say each; if not synced, with a system that only says it syncs."""
    if not synced:
        os.fsync = os.fdatasync = lambda fd: None
    registry = opened(Path(root))
    say("ready", os.getpid())
    for number in range(first, first + count):
        digest = registry.register_model(content(number), name, tags=[tag] if tag else ())
        say("registered", number, digest)


def register_file(root: str, name: str, path: str, go: str) -> None:
    """Register the bytes of a file, when another file appears."""
    registry = opened(Path(root))
    say("ready", os.getpid())
    while not Path(go).exists():
        time.sleep(0.001)
    say("registered", 0, registry.register_model(Path(path), name))


def read(root: str, name: str, label: str, stop: str) -> None:
    """Load by label until a file appears, and say every answer."""
    registry = opened(Path(root))
    say("ready", os.getpid())
    while not Path(stop).exists():
        found = registry.load_model(f"{name}@{label}")
        say("read", found["number"], found == content(found["number"]))


def churn(root: str, name: str, stop: str) -> None:
    """Register until a file appears, what others register too among it, and delete every second version again."""
    registry = opened(Path(root))
    say("ready", os.getpid())
    number = 0
    while not Path(stop).exists():
        kept = registry.register_model(content(number % 40), name, metrics={"number": number})
        registry.register_model(content((number + 1) % 40), name)
        registry.delete_model(name, registry.resolve(f"{name}@latest").model_version)
        say("kept", number % 40, kept)
        number += 1


def collect(root: str, stop: str) -> None:
    """Collect garbage with no grace until a file appears, and say what came of it."""
    registry = opened(Path(root))
    say("ready", os.getpid())
    while not Path(stop).exists():
        say("freed", registry.gc(grace=0).bytes_freed)


def hold(root: str, seconds: float) -> None:
    """Be in the writers' queue for a time."""
    registry = opened(Path(root))
    with registry.repository.storage.turn():
        say("held", os.getpid())
        time.sleep(seconds)


def one(root: str, what: str, number: int, other: str = "", *, patience: float = 10) -> None:
    """Carry out one changing command, waiting so many seconds for other writers."""
    local._TURN = patience  # type: ignore[misc]
    COMMANDS[what](opened(Path(root)), number, other)
    say("done", what)


def killed(root: str, what: str, number: int, *, at: int, calls: bool, other: str = "") -> None:
    """Carry out one changing command and die before its ``at``-th call, or say how many there are."""
    if calls:
        strike = Strike(at, after=False, action=die)
        with faulty_calls(strike):
            one(root, what, number, other)
        say("calls", len(strike.seen))
    else:
        with faulty_storage(Fault(at, action=die)) as storages:
            one(root, what, number, other)
        say("calls", len(storages[0].calls))


COMMANDS: Final[dict[str, Callable[[ModelRegistry, int, str], object]]] = {
    "register": lambda registry, number, _: registry.register_model(content(number), "m", f"9.0.{number}"),
    "tag": lambda registry, number, _: registry.add_tag("m:1.0.0", f"tag{number}"),
    "status": lambda registry, number, _: registry.set_model_status("m:1.0.0", "staging", f"reason {number}"),
    "delete": lambda registry, number, _: registry.delete_model("m", f"1.0.{number}"),
    "pull": lambda registry, _, other: registry.pull(other),
    "push": lambda registry, _, other: registry.push(other),
    "gc": lambda registry, *_: registry.gc(grace=0),
}


def used(root: str, umask: int, other: str) -> None:
    """Use a registry in every way that makes files."""
    os.umask(umask)
    registry = ModelRegistry(root, plugins=Plugins(()))
    for number in range(18):
        registry.register_model(content(number), "m", tags=["t"])
    registry.set_model_status("m", "staging")
    registry.add_remote("other", other)
    registry.push("other")
    registry.load_model("m")
    registry.pull("other")
    say("open", sorted(str(path) for path in Path(root).rglob("*")))


ACTIONS: Final[dict[str, Callable[..., None]]] = {
    "register": register,
    "register_file": register_file,
    "read": read,
    "churn": churn,
    "collect": collect,
    "hold": hold,
    "one": one,
    "killed": killed,
    "used": used,
}


def _child(job: dict[str, Any]) -> NoReturn:
    global SAY  # noqa: PLW0603 - one per child
    code = 1
    try:
        os.environ["FRIDAY_STORE_HOME"] = job["home"]
        SAY = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        ACTIONS[job["action"]](**job["arguments"])
        code = 0
    except FridayStoreError as error:
        say("refused", type(error).__name__, str(error))
        code = 3
    except BaseException:  # noqa: BLE001 - the end of a process: whatever it was is said and seen as exit code 1
        say("failed", traceback.format_exc())
    os._exit(code)


def main() -> None:
    """Serve jobs until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            print(os.waitpid(job["wait"], 0)[1], flush=True)  # noqa: T201 - the answer
            continue
        process = os.fork()
        if process == 0:
            _child(job)
        print(process, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
