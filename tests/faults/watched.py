"""Uses a registry that is full of paths and addresses, with an eye on each file and each connection.

Prints JSON: which files with a name from the data were touched, and what was asked of the network.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2]))

from friday_store import ModelRegistry
from friday_store.cli import cli
from friday_store.plugins import Plugins

MARK = "sesame"
ADDRESSES = [
    f"http://127.0.0.1:9/{MARK}", f"https://{MARK}.example/x", f"s3://{MARK}/x", f"gcs://{MARK}/x",
    f"file:///{MARK}", f"../../{MARK}", f"/{MARK}/passwd", f"friday://{MARK}@x/y", f"memory://{MARK}",
    f"\\\\{MARK}\\share", f"simplecache::http://127.0.0.1:9/{MARK}", f"~/{MARK}", f"$HOME/{MARK}", f"`{MARK}`",
]  # fmt: skip
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "subprocess.Popen")


def main() -> None:
    """Fill a registry, and do everything with it."""
    folder = Path(sys.argv[1])
    touched: set[str] = set()
    asked: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(("open", "os.")):
            names = {
                str(each) for each in arguments if isinstance(each, str | bytes | os.PathLike) and MARK in str(each)
            }
            touched.update(f"{event} {name}" for name in names)
        elif event in _NETWORK:
            asked.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(watch)
    os.environ |= {"FRIDAY_STORE_HOME": str(folder / "home"), "FRIDAY_STORE_PLUGINS": "none"}
    os.chdir(folder)
    with ModelRegistry("store", plugins=Plugins(()), actor=ADDRESSES[0]) as registry:
        for number, address in enumerate(ADDRESSES):
            said = {"url": address, "path": [address], "nested": {"href": address}}
            facts: dict[str, Any] = {
                "metadata": said, "training_data": said, "evaluation": said, "dependencies": {"x": address},
                "hyperparameters": said, "pipeline_steps": [{"name": address}], "feature_importance": {address: 1.0},
            }  # fmt: skip
            registry.register_model(
                {address: address}, "m", f"1.0.{number}", description=address, metrics={address: 0.5},
                serializer="json", model_type=address, input_example=None, **facts,
            )  # fmt: skip
            registry.set_model_status(f"m:1.0.{number}", "staging", address)
            with registry.transaction(address):
                registry.add_tag(f"m:1.0.{number}", MARK)
        registry.set_alias("m:1.0.0", MARK)
        registry.register_model(
            {"w": 1}, f"{MARK}/model", "1.0.0", serializer="json", attachments={f"{MARK}/x.md": b"x"}
        )
    commands = 0
    last = f"m:1.0.{len(ADDRESSES) - 1}"
    for words in (
        ["ls"], ["ls", "m", "--json"], ["show", last, "--files", "--env"], ["log"], ["log", "--all", "--json"],
        ["history", "m"], ["history", f"m@{MARK}"], ["compare", "m:1.0.0", last], ["diff", "m:1.0.0", last],
        ["lineage", "m"], ["blame", "m", "url"], ["search", f"metadata.url = '{ADDRESSES[0]}'"], ["info", last],
        ["explain", last], ["load", last], ["metrics", "m"], ["best", "m", "--metric", ADDRESSES[0], "--max"],
        ["fsck"], ["verify-log"], ["gc", "--grace", "0", "--yes"], ["doctor"], ["trust"], ["protect"],
        ["export", "--all", "-o", "all.friday"], ["get", last, "out.json"], ["rm", "--yes", "m:1.0.1"],
        ["restore", "m"], ["prune", "m", "--keep-last", "3", "--yes"],
    ):  # fmt: skip
        result = CliRunner().invoke(cli, ["-R", "store", *words])
        commands += 1
        if result.exit_code and words[0] not in ("best", "blame"):
            sys.exit(f"{words}: {result.output}")
    for words in (
        ["clone", "store", "mine"], ["-R", "mine", "pull"], ["-R", "mine", "push"], ["-R", "mine", "status", "--fetch"],
        ["-R", "other", "init"], ["-R", "other", "import", "all.friday"], ["-R", "other", "show", last],
    ):  # fmt: skip
        result = CliRunner().invoke(cli, words)
        commands += 1
        if result.exit_code:
            sys.exit(f"{words}: {result.output}")
    found = sorted(touched)
    Path(f"{MARK}-control").touch()
    watching = len(touched) > len(found)
    sys.stdout.write(json.dumps({"touched": found, "asked": asked, "commands": commands, "watching": watching}))


if __name__ == "__main__":
    main()
