"""What a hostile store may cost: no more is read than allowed, nothing small becomes large, no address is asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from friday_store import IntegrityError, InvalidValueError, ModelRegistry, log
from friday_store.digest import digest_of
from friday_store.log import Log, State, checkpoint_path, entry_path
from friday_store.objects import pack
from friday_store.storage import Storage
from friday_store.storage.download import Body, Download
from friday_store.storage.kept import Kept
from friday_store.storage.patience import Clock, Patience

MORE = 3 << 20


class Watched:
    """A storage that notes the most bytes that one read could have given."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        """Read, and note."""
        found = self._inner.read(path, start, end)
        self.most = max(self.most, len(found or b""))
        return found


@pytest.fixture
def storage(registry: ModelRegistry) -> Storage:
    """The storage of a registry with a version."""
    registry.register_model([1], "m", serializer="json")
    registry.close()
    return registry.repository.storage


def put(storage: Storage, path: str, data: bytes) -> None:
    """Put a file in the place of another."""
    storage.delete([path])
    assert storage.create(path, data)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("what", ["entry", "digest", "checkpoint"])
def test_no_more_is_read_than_allowed(
    what: str, far: bool, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is too large is refused when the limit is reached, not when it has been read."""
    monkeypatch.setattr(log, "ENTRY_CAP", 65 << 20)
    monkeypatch.setattr(log, "CHECKPOINT_CAP", 65 << 20)
    body = b"x" * ((65 << 20) + MORE)
    put(storage, checkpoint_path(256) if what == "checkpoint" else entry_path(2), body + digest_of(body))
    watched = Watched(storage)
    seen: Any = Kept(watched, tmp_path / "kept", entries=True) if far else watched
    opened = Log(seen, bytes(32), lambda: None)  # type: ignore[arg-type,return-value]
    ask = {"entry": opened.read, "digest": opened.digest, "checkpoint": opened.read_checkpoint}[what]
    with pytest.raises(IntegrityError, match="is larger than the"):
        ask(256 if what == "checkpoint" else 2)
    assert (65 << 20) + 33 == watched.most


def test_no_more_is_written_than_is_read(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that would make an entry too large is refused before it is made, and the next one goes on."""
    registry.register_model([1], "m", serializer="json")
    before = registry.repository.log.last()
    monkeypatch.setattr(log, "ENTRY_CAP", 1500)
    with pytest.raises(InvalidValueError, match="one log entry of") as caught:
        registry.register_models([{"model": [n], "model_name": f"n{n}", "serializer": "json"} for n in range(50)])
    assert "several transactions" in str(caught.value.hint)
    assert before == registry.repository.log.last()
    registry.register_model([2], "m", serializer="json")
    assert [] == registry.fsck()


def test_a_directory_that_claims_to_be_large_is_not_read(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length in a pack's trailer is judged before that much is asked for."""
    monkeypatch.setattr(pack, "DIRECTORY_CAP", 1 << 20)
    name = "ab" * 32
    size = 8 << 20
    trailer = pack.TRAILER.pack(4 << 20, bytes.fromhex(name), pack._END)
    put(storage, f"packs/{name}.pack", pack.HEADER + bytes(size - len(pack.HEADER) - len(trailer)) + trailer)
    watched = Watched(storage)
    with pytest.raises(IntegrityError, match="damaged trailer"):
        pack.read_directory(watched, name, size)
    assert watched.most <= 64 << 10


def test_a_small_checkpoint_does_not_become_large(storage: Storage) -> None:
    """One that claims to hold 512 MiB in a few kilobytes is passed over, and is not unpacked for that."""
    bomb = zstandard.ZstdCompressor(level=3).compressobj(size=512 << 20)
    block = bytes(8 << 20)
    packed = b"".join([*(bomb.compress(block) for _ in range(64)), bomb.flush()])
    assert len(packed) < 64 << 10
    put(storage, checkpoint_path(256), packed + digest_of(packed))
    root = digest_of(storage.read("friday-store.json") or b"")
    opened = Log(storage, root, lambda: None)  # type: ignore[arg-type,return-value]
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="damaged"):
        opened.read_checkpoint(256)
    assert 2 == opened.state().seq
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_checkpoints_of_ours_are_believed(registry: ModelRegistry) -> None:
    """A state of very many labels of one version, which shrinks well, is still within what is believed."""
    refs = {f"tags/m/t/1.0.{n}": (b"d" * 32, n, "") for n in range(200_000)}
    state = State(1, bytes(32), 1, refs).to_bytes()
    packed = zstandard.ZstdCompressor(level=1).compress(state)
    assert log._is_plausible(len(state), len(packed))


def test_a_server_that_sends_for_ever_is_left() -> None:
    """Who is asked for a range and sends without end is listened to for that range and one block."""
    sent = 0

    @asynccontextmanager
    async def get(key: str, start: int, end: int | None) -> AsyncIterator[Body]:
        async def blocks() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                yield b"x" * 1000

        yield Body(start, None, "t", blocks())

    async def asked() -> bytes:
        return await Download(get, "k", 0, 2500).attempt(Clock(Patience(), 0))

    assert b"x" * 2500 == asyncio.run(asked())
    assert 3 == sent


def test_no_name_is_a_path_and_no_address_is_asked(tmp_path: Path) -> None:
    """Whatever paths and URLs stand in a version, its log and its models, none is opened, listed or connected to."""
    script = Path(__file__).with_name("watched.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=240, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert [] == said["asked"]
    assert [] == said["touched"]
    assert said["commands"] >= 25
    assert said["watching"]
