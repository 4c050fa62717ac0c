"""What reads bytes that a stranger may have written: one target per decoder, with sound inputs to start from.

A target raises :class:`~friday_store.FridayStoreError` (or the reader's own refusal) for what it does not accept, and
nothing else; it takes no second and no gigabyte. Where a checksum guards a decoder, the target makes it fit again, so
that what lies behind it is reached.
"""

from __future__ import annotations

import functools
import io
import json
import pickle
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import zstandard

from friday_store import FridayStoreError, ModelRegistry, codec, refs, serializer, signing
from friday_store.comparison.outlines import outline
from friday_store.comparison.pickles import UnreadableError, globals_in, read
from friday_store.digest import digest_of
from friday_store.log import Log, LogEntry, State, checkpoint_path
from friday_store.manifest import Artifact, Manifest, Note, PartEntry
from friday_store.objects.pack import FOLDER, HEADER, TRAILER, read_directory
from friday_store.plugins import Plugins
from friday_store.remotes import Remotes
from friday_store.repository import Repository, Settings
from friday_store.repository.config import read_config
from friday_store.storage import open_storage
from friday_store.storage.local import LocalStorage
from friday_store.sync.bundle import read_bundle
from friday_store.sync.track import Track
from friday_store.trust import Identity, TrustStore
from friday_store.trust.provenance import approval, approvers

REFUSALS: Final = (FridayStoreError, UnreadableError)


@dataclass(frozen=True)
class Target:
    """One decoder.

    Attributes:
        decode: Reads an input.
        seeds: Sound inputs.
    """

    decode: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


@functools.cache
def folder() -> Path:
    """Return a folder of this process's own, for the targets that read files."""
    held = tempfile.TemporaryDirectory(prefix="friday-fuzz-")
    _HELD.append(held)
    return Path(held.name)


_HELD: list[Any] = []


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> object:
        path = folder() / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)

    return decode


def _resealed(data: bytes) -> bytes:
    """Return a pack with the digest in its trailer that its directory has now."""
    if len(data) < len(HEADER) + TRAILER.size:
        return data
    length, _, end = TRAILER.unpack(data[-TRAILER.size :])
    start = len(data) - TRAILER.size - length
    return data[: -TRAILER.size] + TRAILER.pack(length, digest_of(data[max(start, 0) : -TRAILER.size]), end)


def _pack(data: bytes) -> object:
    data = _resealed(data)
    storage = LocalStorage(folder())
    name = data[-TRAILER.size :][8:40].hex()
    path = folder() / FOLDER / f"{name}.pack"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    try:
        directory = read_directory(storage, name, len(data))
        for frame in directory:
            frame.decoded(data[frame.offset : frame.offset + frame.stored])
        return directory
    finally:
        path.unlink()


def _bundle(path: Path) -> object:
    path.write_bytes(_resealed(path.read_bytes()))
    return read_bundle(path).changes()


def _checkpoint(data: bytes) -> object:
    storage = open_storage(f"memory://fuzz-{id(data)}")
    storage.create(checkpoint_path(256), data + digest_of(data))
    return Log(storage, b"", _never).read_checkpoint(256)


def _entry(data: bytes) -> object:
    return list(LogEntry.from_bytes(data).births())


def _never() -> Any:
    raise AssertionError("nobody asks for the time")


def _format(path: Path) -> object:
    return Repository(LocalStorage(path.parent), Settings(), Plugins(())).id


def _approvals(data: bytes) -> object:
    return approvers(bytes(32), [Note(bytes(32), "approval", {"payload": data, "signatures": [{}]}, "a", 1)])


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def _outline(data: bytes) -> object:
    return outline(Artifact("pickle5", 1, (PartEntry("pickle", len(data), b""),)), memoryview(data))


def _loads(form: str) -> Callable[[bytes], object]:
    """Return what loads a data format from the parts that JSON names, each a text of bytes."""

    def decode(data: bytes) -> object:
        head, _, body = data.partition(b"\0\0\0")
        name = {"numpy": "arrays", "json": "json"}[form]
        return serializer.load(
            Plugins(()), form, 1, {name: memoryview(head)} | ({"array/0": memoryview(body)} if form == "numpy" else {})
        )

    return decode


def _npz(data: bytes) -> object:
    return list(Plugins(()).serializer("numpy").from_file(memoryview(data)))


def _seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Return the files of a small registry, and values of every kind."""
    manifest, envelope = Identity(None).signed(
        Manifest(
            "m", "1.0.0", bytes(32), "pickle5", 9, (bytes(32),), 5, "me", tags=("a",), facts={"metrics": {"x": 1.5}}
        )
    )
    with (
        tempfile.TemporaryDirectory() as home,
        ModelRegistry(
            Path(home) / "r", plugins=Plugins(()), trust=TrustStore(None), identity=Identity(None)
        ) as registry,
    ):
        registry.register_model({"a": np.arange(20_000.0), "b": "text" * 9000}, "m", tags=["t"], metrics={"x": 1.0})
        registry.log_metrics("m", {"x": 2})
        registry.export_model("m", Path(home) / "bundle")
        state = registry.repository.log.state()
        found = {
            "bundle": ((Path(home) / "bundle").read_bytes(),),
            "pack": tuple(path.read_bytes() for path in (Path(home) / "r" / "packs").iterdir()),
            "entry": tuple(entry.to_bytes() for entry in registry.repository.entries()),
            "state": (state.to_bytes(),),
            "checkpoint": (zstandard.ZstdCompressor().compress(replace(state, seq=256).to_bytes()),),
            "format": ((Path(home) / "r" / "friday-store.json").read_bytes(),),
        }
    npz, job = io.BytesIO(), io.BytesIO()
    np.savez_compressed(npz, a=np.arange(50), b=np.zeros((3, 4)))
    joblib.dump({"a": np.arange(30), "o": np.array([1, {2}], dtype=object)}, job)
    sample = {"a": np.arange(5), "b": {1, "x"}, "c": b"y", "d": [None, 1.5, 1 << 70]}
    pickles = tuple(pickle.dumps(sample, protocol) for protocol in range(6))
    known = {"digests": ["a"], "repositories": [], "keys": {"0" * 64: {"name": "x"}}}
    seen = {
        "id": "x",
        "format": "y",
        "seen": [1, "ab"],
        "pushed": {"*": [1, "ab"]},
        "pulled": {},
        "pending": {"a": None},
    }
    config = b'compression = "none"\nstatuses = ["a"]\n[remotes.origin]\nurl = "x"\n[remotes.origin.options]\nk = 1\n'
    heads = json.dumps([{"name": "", "dtype": "<f8", "shape": [2], "order": "C"}]).encode()
    return {
        **found,
        "codec": (envelope,),
        "manifest": (envelope,),
        "artifact": (Artifact("pickle5", 1, (PartEntry("pickle", 5, bytes(32), bytes(32)),)).to_bytes(),),
        "note": (Note(bytes(32), "metrics", {"metrics": {"a": 1.0}, "step": 1}, "me", 7).to_bytes(),),
        "approval": (approval(bytes(32), manifest, "fine", 3),),
        "pickle": pickles,
        "globals": (*pickles, job.getvalue()),
        "numpy": (heads + b"\0\0\0" + bytes(16),),
        "npz": (npz.getvalue(),),
        "json": (b'{"a": [1, 2.5, null, "x"]}',),
        "config": (config,),
        "trust": (json.dumps({**known, "policies": {"*": {"threshold": 1, "keys": []}}}).encode(),),
        "identity": (Identity(None).exported(),),
        "track": (json.dumps(seen).encode(),),
        "ref": (b"versions/m/1.0.0", b"tags/m/a%2Fb/1.0.0", b"notes/m/1.0.0/" + b"a" * 64),
        "key": (signing.written(bytes(32), "me").encode(),),
    }  # fmt: skip


@functools.cache
def targets() -> dict[str, Target]:
    """Return every target by name."""
    seeds = _seeds()
    readers: dict[str, tuple[str, Callable[[bytes], object]]] = {
        "codec": ("codec", lambda data: codec.decode(data, "envelope")),
        "manifest": ("manifest", lambda data: Manifest.from_bytes(data).to_bytes()),
        "artifact": ("artifact", lambda data: Artifact.from_bytes(data).to_bytes()),
        "note": ("note", lambda data: Note.from_bytes(data).to_bytes()),
        "approval": ("approval", _approvals),
        "entry": ("entry", _entry),
        "state": ("state", State.from_bytes),
        "checkpoint": ("checkpoint", _checkpoint),
        "pack": ("pack", _pack),
        "bundle": ("bundle", _file("bundle", _bundle)),
        "format": ("format", _file("store/friday-store.json", _format)),
        "pickle": ("pickle", read),
        "outline": ("pickle", _outline),
        "globals": ("globals", globals_in),
        "numpy": ("numpy", _loads("numpy")),
        "npz": ("npz", _npz),
        "json": ("json", _loads("json")),
        "config": ("config", _file("config.toml", lambda path: read_config(path.parent))),
        "remotes": ("config", _file("config.toml", lambda path: Remotes(path.parent, None, {}).listing())),
        "trust": ("trust", _file("trust.json", lambda path: TrustStore(path).ledger())),
        "identity": ("identity", _file("identity.json", lambda path: Identity(path).public())),
        "track": ("track", _file("track/state.json", lambda path: Track.read(path.parent))),
        "ref": ("ref", _text(refs.Ref.parse)),
        "key": ("key", _text(signing.parsed)),
    }
    return {name: Target(decode, seeds[seed]) for name, (seed, decode) in readers.items()}
