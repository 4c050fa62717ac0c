"""Another user of this machine: imports everything as root, gives up being root for ever, and does what it is told.

Started as ``python member.py UID GID HOME``; reads a JSON list on each line of stdin: ``["run", arguments]``,
``["tamper", path]`` or ``["create", root, path]``, and answers with a line of JSON. It imports first, since another
user may not be able to read this interpreter's own files.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from friday_store.cli import cli
from friday_store.errors import StorageError
from friday_store.storage.local import LocalStorage

os.environ["FRIDAY_STORE_PLUGINS"] = "none"


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a command line."""
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def tamper(path: str) -> list[str]:
    """Try to change, replace or remove a file and its folder by the system's own calls; return what was possible."""
    there = Path(path)
    mine = there.with_name(".tmp-mine")
    acts: dict[str, Callable[[], object]] = {
        "append": lambda: there.open("ab").close(),
        "overwrite": lambda: there.open("wb").close(),
        "chmod": lambda: there.chmod(0o666),
        "unlink": there.unlink,
        "rename": lambda: there.rename(there.with_name("elsewhere")),
        "replace": lambda: (mine.write_bytes(b"x"), mine.replace(there)),
        "move the folder": lambda: there.parent.rename(there.parent.with_name("elsewhere")),
        "open the folder to all": lambda: there.parent.chmod(0o777),
    }
    done = []
    for name, act in acts.items():
        with contextlib.suppress(OSError):
            act()
            done.append(name)
    mine.unlink(missing_ok=True)
    return done


def create(root: str, path: str) -> bool | str:
    """Create a file of a repository."""
    try:
        return LocalStorage(Path(root)).create(path, b"x")
    except StorageError as error:
        return str(error)


def warm() -> None:
    """Do everything once, so that nothing is imported later."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["FRIDAY_STORE_HOME"] = f"{name}/home"
        file = Path(name, "m.json")
        file.write_text("[1]")
        one = ["-R", f"{name}/one"]
        for words in (
            [*one, "init"], [*one, "register", str(file), "-n", "m", "--alias", "a"], [*one, "ls", "--json"],
            [*one, "log", "--all"], [*one, "show", "m"], [*one, "get", "m", f"{name}/out"], [*one, "rm", "--yes", "m"],
            [*one, "rm", "--yes", "--force", "m"], [*one, "gc", "--grace", "0", "--yes"], [*one, "fsck"],
            [*one, "verify-log"], ["clone", f"{name}/one", f"{name}/two"], ["-R", f"{name}/two", "pull"],
            ["-R", f"{name}/two", "push"], ["-R", f"{name}/two", "remote"], ["nonsense"],
        ):  # fmt: skip
            run(*words)


def main() -> None:
    """Serve."""
    uid, gid, home = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    warm()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.environ["FRIDAY_STORE_HOME"] = home
    os.chdir(home)
    verbs: dict[str, Callable[..., Any]] = {"run": run, "tamper": tamper, "create": create}
    _say(os.getuid())
    for line in sys.stdin:
        verb, *rest = json.loads(line)
        _say(verbs[verb](*rest))


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
