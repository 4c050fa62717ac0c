"""Converting a version into a format that cannot run code, in a process of its own that has no network.

Loading what can run code runs it, wherever that is done: so a version is converted only if it is trusted to load here,
and the process is a second line, not a sandbox. It gives up the network before it reads anything (a network name space
of its own, which Linux grants to root and, where user name spaces are allowed, to anybody), and ends when it is done.

The two speak through a private folder that is removed afterwards: ``job.json`` ``{serializer, format, to, network,
parts: [name]}`` and the parts' bytes as ``in/0``, ``in/1`` …; then ``made``, the native file of the new format, and
``done.json``, ``{error}`` if there is none.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from friday_store import serializer
from friday_store.errors import FridayStoreError, InvalidValueError, SerializationError
from friday_store.manifest import Artifact
from friday_store.registry import ModelRegistry, location
from friday_store.storage.files import publish_file

_NEWUSER: Final = 0x10000000
_NEWNET: Final = 0x40000000
_DEADLINE: Final = 600.0


def convert(
    registry: ModelRegistry, revision: str, to: str, *, network: bool = False, deadline: float = _DEADLINE
) -> str:
    """Register a version's model again in another format, as a version that comes from it; return the new id.

    Args:
        registry: Where it is, and where it goes.
        revision: The version.
        to: The format's name.
        network: Whether the process may keep the network, where it cannot be taken away.
        deadline: Seconds that it has.

    Raises:
        UntrustedArtifactError: It may not load here.
        InvalidValueError: That format can run code too.
        SerializationError: The model cannot be written in that format, or this machine keeps no process from the
            network.
    """
    if registry.plugins.serializer(to).safety == "code":
        raise InvalidValueError(f"to: the format {to!r} can run code when it is loaded", path="to")
    of = registry.provenance(revision)
    artifact = registry.repository.artifact(bytes.fromhex(of.row.artifact))
    registry.trust.require(of, registry.plugins.serializer(artifact.serializer).safety)
    record = registry.get_model_metadata(of.row.model_id)
    with tempfile.TemporaryDirectory(prefix="friday-convert-") as folder:
        job = {"to": to, "network": network}
        made = _run(Path(folder), artifact, registry.repository.parts(artifact), job, deadline)
        return registry.register_model_from_file(
            made,
            record["model_name"],
            format=to,
            model_type=record["model_type"],
            description=f"{record['model_version']} as {to}",
            parents=[of.row.model_id],
            metrics=record["metrics"],
            hyperparameters=record["hyperparameters"],
        )


def _run(
    folder: Path,
    artifact: Artifact,
    parts: Mapping[str, memoryview],
    job: Mapping[str, Any],
    deadline: float,
) -> Path:
    """Return the file that the process made."""
    (folder / "in").mkdir()
    for number, part in enumerate(parts.values()):
        (folder / "in" / str(number)).write_bytes(part)
    made_of = {"serializer": artifact.serializer, "format": artifact.format, "parts": list(parts)}
    (folder / "job.json").write_text(json.dumps({**job, **made_of}))
    command = [sys.executable, "-m", __name__, str(folder)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=deadline, stdin=subprocess.DEVNULL)  # noqa: S603 - this very module
    except subprocess.TimeoutExpired as error:
        raise SerializationError(f"the conversion took longer than {deadline:g} s") from error
    try:
        said = json.loads((folder / "done.json").read_bytes())
    except (OSError, ValueError) as error:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SerializationError(f"the converting process ended with status {done.returncode}: {last[:300]}") from error
    if "error" in said:
        raise SerializationError(str(said["error"])[:2000], hint=said.get("hint"))
    return folder / "made"


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(bytearray())
        return memoryview(mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))


def alone() -> bool:
    """Take the network away from this process; whether that could be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    unshare = getattr(libc, "unshare", None)
    return unshare is not None and (unshare(_NEWNET) == 0 or unshare(_NEWUSER | _NEWNET) == 0)


def main(arguments: Sequence[str]) -> int:
    """Be the converting process."""
    folder = Path(arguments[0])
    job = json.loads((folder / "job.json").read_bytes())
    said: dict[str, Any]
    try:
        if not alone() and not job["network"]:
            raise SerializationError(
                "this machine lets no process give up the network", hint="friday-store convert --with-network"
            )
        plugins = location.default_plugins()
        parts = {name: _mapped(folder / "in" / str(number)) for number, name in enumerate(job["parts"])}
        model = serializer.load(plugins, job["serializer"], job["format"], parts)
        form, parts_made, _ = serializer.dump(plugins, model, job["to"])
        made = {part.name: part.view() for part in parts_made}
        publish_file(folder / "made", serializer.to_file(plugins, form.name, form.format, made))
        said = {}
    except FridayStoreError as error:
        said = {"error": str(error), "hint": error.hint}
    (folder / "done.json").write_text(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
