"""What the hardware allows: the least that does the same work, written by hand.

The floor saves a model the way a careful person would in fifty lines: pickle with the arrays apart, BLAKE3 over all
of it, the bytes created atomically and durably, a log entry created the same way, and one row committed to SQLite.
It has no versions, no deduplication, no checks on loading. Beside it stand single operations: writing the bytes,
hashing them, reading them.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import shutil
import sqlite3
import sys
import time
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from blake3 import blake3

from tests.benchmarks.measure import PAGE, cpu_seconds, settle, timed
from tests.benchmarks.rounds import Measures, Round, big, forest, pushes, small
from tests.benchmarks.workloads import big_model, small_models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "files and folders fsynced, SQLite WAL with synchronous=NORMAL"
_ALIGNED: Final = 64
_GATHER: Final = 1_000
_BLOCK: Final = 1 << 20


def versions() -> dict[str, str]:
    """Return the versions of what the floor is made of."""
    return {name: version(name) for name in ("blake3", "numpy")} | {"sqlite": sqlite3.sqlite_version}


class Floor:
    """Objects named by their digest, a numbered log and an SQLite index in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("objects", "log"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._index = sqlite3.connect(folder / "index.db")
        self._index.execute("pragma journal_mode = wal")
        self._index.execute("pragma synchronous = normal")
        self._index.execute("create table model (name text, digest text, parts text)")
        self._index.execute("create index by_digest on model (digest)")
        self._index.execute("create table fact (name text, key text, value any)")
        self._entries = 0

    def save(self, model: Any, name: str) -> str:
        """Pickle, hash, create the object, create the log entry, commit the row."""
        row, parts = _serialized(model, name)
        self._commit([row], parts, row[1])
        return row[1]

    def save_many(self, models: Sequence[tuple[Any, str]]) -> None:
        """Save many models as one file, one log entry and one transaction, with a metric and two tags each."""
        rows, parts = [], []
        for model, name in models:
            row, pieces = _serialized(model, name)
            rows.append(row)
            parts += pieces
        self._commit(rows, parts, blake3("".join(row[1] for row in rows).encode()).hexdigest())

    def _commit(self, rows: list[tuple[str, str, str]], parts: Sequence[Any], digest: str) -> None:
        self._entries += 1
        entry = {"sequence": self._entries, "object": digest, "refs": [row[:2] for row in rows], "time": time.time()}
        _create(self.folder / "objects" / digest, parts)
        _create(self.folder / "log" / str(self._entries), [json.dumps(entry).encode()])
        facts = [(row[0], key, value) for row in rows for key, value in (("rmse", 0.1), ("tag", "a"), ("tag", "b"))]
        with self._index:
            self._index.executemany("insert into model values (?, ?, ?)", rows)
            self._index.executemany("insert into fact values (?, ?, ?)", facts)

    def load(self, handle: str) -> Any:
        """Map the object and unpickle it with its arrays as views of the map."""
        (parts,) = self._index.execute("select parts from model where digest = ?", (handle,)).fetchone()
        with (self.folder / "objects" / handle).open("rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        pieces, start = [], 0
        for size in json.loads(parts):
            pieces.append(view[start : start + size])
            start += size + -size % _ALIGNED
        return pickle.loads(pieces[0], buffers=pieces[1:])

    def close(self) -> None:
        """Remove everything."""
        self._index.close()
        shutil.rmtree(self.folder)


def _serialized(model: Any, name: str) -> tuple[tuple[str, str, str], list[Any]]:
    buffers: list[pickle.PickleBuffer] = []
    skeleton = pickle.dumps(model, protocol=5, buffer_callback=buffers.append)
    pieces = [memoryview(skeleton), *(buffer.raw() for buffer in buffers)]
    hasher = blake3(max_threads=blake3.AUTO if sum(map(len, pieces)) > _BLOCK else 1)
    parts: list[Any] = []
    for piece in pieces:
        hasher.update(piece)
        parts += [piece, bytes(-len(piece) % _ALIGNED)]
    return (name, hasher.hexdigest(), json.dumps([len(piece) for piece in pieces])), [part for part in parts if part]


def _create(path: Path, parts: Sequence[Any]) -> None:
    """Create a file that did not exist: whole, and on disk when this returns."""
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("xb", buffering=0) as file:
        _gather(file.fileno(), parts)
        os.fsync(file.fileno())
    os.link(unfinished, path)
    unfinished.unlink()
    _sync_folder(path.parent)


def _gather(descriptor: int, parts: Sequence[Any]) -> None:
    waiting = [memoryview(part).cast("B") for part in parts]
    while waiting:
        written = os.writev(descriptor, waiting[:_GATHER])
        done = 0
        while done < len(waiting) and written >= len(waiting[done]):
            written -= len(waiting[done])
            done += 1
        waiting = waiting[done:]
        if written:
            waiting[0] = waiting[0][written:]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _small(setting: Setting) -> Round:
    return small(Floor(setting.folder("store")), setting)


def _bulk(setting: Setting) -> Round:
    def measure(number: int) -> Measures:
        models = [(model, f"bulk-{place}") for place, model in enumerate(small_models(setting.bulk, seed=number))]
        store = Floor(setting.folder("store"))
        settle()
        seconds, _ = timed(store.save_many, models)
        store.close()
        return {"rate": setting.bulk / seconds}

    return measure


def _big(setting: Setting) -> Round:
    """Single operations on the plain bytes, in a fresh folder as a store's is, and then the common work."""
    arrays = big_model(setting).coefs_
    common = big(_fresh(setting), setting)

    def measure(number: int) -> Measures:
        path = setting.folder(f"plain-{number}") / "bytes"
        settle()
        found = {
            "write": timed(_write, path, arrays)[0],
            "hash, one thread": timed(_hash, path, 1)[0],
            "hash, all cores": timed(_hash, path, os.cpu_count() or 1)[0],
            "read": timed(_read, path)[0],
            "read whole": timed(_copy, path)[0],
        }
        shutil.rmtree(path.parent)
        return found | common(number)

    return measure


def _write(path: Path, arrays: Sequence[Any]) -> None:
    """Write the arrays one after the other to one file, and see it on disk."""
    with path.open("wb", buffering=0) as file:
        for array in arrays:
            file.write(array)
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def _hash(path: Path, threads: int) -> str:
    """BLAKE3 of the file, mapped, warm."""
    return blake3(max_threads=threads).update_mmap(path).hexdigest()


def _read(path: Path) -> int:
    """Read the file block by block into one buffer, one byte of every page summed; no memory is asked for."""
    buffer = bytearray(_BLOCK)
    pages = np.frombuffer(buffer, np.uint8)[::PAGE]
    total = 0
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            total += int(pages.sum())
    return total


def _copy(path: Path) -> int:
    """Read the whole file into fresh memory, as a loader must that does not map it."""
    return len(path.read_bytes())


def _forest(setting: Setting) -> Round:
    return forest(_fresh(setting), setting)


def _fresh(setting: Setting) -> Callable[[], Floor]:
    numbers = count()
    return lambda: Floor(setting.folder(f"store-{next(numbers)}"))


def _cli(setting: Setting) -> Round:
    del setting
    command = [sys.executable, "-c", "import click"]
    return lambda number: {"version": cpu_seconds(command, 5)}


class Copied:
    """A folder that is copied to, every file created whole and on disk; nothing says what is there already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.remote.mkdir()
        self._waiting: list[Path] = []
        self._turns = count()

    def record(self, paths: Sequence[Path]) -> None:
        """Remember the files."""
        self._waiting = list(paths)

    def push(self) -> None:
        """Create a copy of each, under a name of its own."""
        turn = next(self._turns)
        for path in self._waiting:
            with path.open("rb") as file:
                view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            _create(self.remote / f"{turn}-{path.name}", [view])

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder)


def _sync_local(setting: Setting) -> Round:
    return pushes(Copied, setting)


WORKLOADS: Final = {
    "small": _small,
    "bulk": _bulk,
    "big": _big,
    "forest": _forest,
    "cli": _cli,
    "sync-local": _sync_local,
}
