"""The memory of a far storage: it answers what the storage would, or it is not asked."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from friday_store import ModelRegistry
from friday_store.objects.pack import read_directory
from friday_store.plugins import Plugins
from friday_store.storage import Storage, kept, open_storage
from friday_store.storage.kept import Kept
from friday_store.testing.faults import FaultyStorage
from tests.faults import stored
from tests.faults.stored import Everybody
from tests.servers.fixtures import Served

PACK = "packs/one.pack"


@pytest.fixture
def data() -> bytes:
    """The bytes of the pack."""
    return random.Random("pack").randbytes(100_000)


@pytest.fixture
def far(tmp_path: Path, data: bytes) -> FaultyStorage:
    """A storage that counts, and holds a pack and an entry."""
    storage = open_storage(tmp_path / "far")
    storage.create(PACK, data)
    storage.create("log/0000000000/001", b"entry one")
    return FaultyStorage(storage)


def reads(far: FaultyStorage) -> int:
    """Return how often the storage was read since the last question, and count anew."""
    found = sum(call.startswith("read ") for call in far.calls)
    far.calls.clear()
    return found


def file(tmp_path: Path) -> Path:
    """Return the file in which the end of the pack is kept."""
    return tmp_path / "kept" / PACK.replace("/", "-")


def test_the_end_of_a_pack_is_asked_once(far: FaultyStorage, tmp_path: Path, data: bytes) -> None:
    """What was read up to a pack's end answers every later read within it, also of another process."""
    memory = Kept(far, tmp_path / "kept")
    assert data[60_000:] == memory.read(PACK, 60_000, 100_001)
    assert 1 == reads(far)
    for storage in (memory, Kept(far, tmp_path / "kept")):
        for start, end in ((60_000, 100_001), (60_000, None), (70_000, 70_010), (99_999, 200_000), (100_000, None)):
            assert data[start:end] == storage.read(PACK, start, end)
        assert 0 == reads(far)
    assert data[:100] == memory.read(PACK, 0, 100)
    assert 1 == reads(far)


def test_a_longer_end_is_put_together(far: FaultyStorage, tmp_path: Path, data: bytes) -> None:
    """A read that begins before what is kept fetches the rest alone, and all of it is kept."""
    memory = Kept(far, tmp_path / "kept")
    memory.read(PACK, 60_000, 100_001)
    assert data[30_000:90_000] == memory.read(PACK, 30_000, 90_000)
    assert 2 == reads(far)
    assert data[30_000:] == memory.read(PACK, 30_000, None)
    assert 0 == reads(far)


@pytest.mark.parametrize("seed", range(5))
def test_any_range_is_what_the_storage_says(far: FaultyStorage, tmp_path: Path, data: bytes, seed: int) -> None:
    """Whatever was read before, and by whom, every range is the pack's."""
    source = random.Random(seed)
    memories = [Kept(far, tmp_path / "kept") for _ in range(3)]
    for _ in range(100):
        start = source.randrange(100_001)
        end = source.choice([None, 100_000, 100_001, source.randrange(start, 100_100)])
        assert data[start:end] == source.choice(memories).read(PACK, start, end)


def test_two_at_once_do_not_mislead_each_other(far: FaultyStorage, tmp_path: Path, data: bytes) -> None:
    """One that lengthens what is kept takes nothing from one that has it open."""
    first, second = Kept(far, tmp_path / "kept"), Kept(far, tmp_path / "kept")
    first.read(PACK, 60_000, 100_001)
    assert data[70_000:80_000] == first.read(PACK, 70_000, 80_000)
    second.read(PACK, 30_000, 100_001)
    assert data[70_000:80_000] == first.read(PACK, 70_000, 80_000)
    assert data[35_000:80_000] == first.read(PACK, 35_000, 80_000)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_is_thrown_away(far: FaultyStorage, tmp_path: Path, data: bytes, seed: int) -> None:
    """S8: what is kept and is not what was written is asked for again, whichever bit, byte or end is wrong."""
    Kept(far, tmp_path / "kept").read(PACK, 60_000, 100_001)
    reads(far)
    path, source = file(tmp_path), random.Random(seed)
    sound = path.read_bytes()
    changed = bytearray(sound)
    changed[source.randrange(len(sound))] ^= 1 << source.randrange(8)
    path.write_bytes(source.choice([bytes(changed), sound[: source.randrange(len(sound))], b"", sound + b"\0"]))
    assert data[60_000:] == Kept(far, tmp_path / "kept").read(PACK, 60_000, 100_001)
    assert 1 == reads(far)
    assert sound == path.read_bytes()


def test_a_file_that_another_process_removed(far: FaultyStorage, tmp_path: Path, data: bytes) -> None:
    """What was removed meanwhile is asked for again."""
    memory = Kept(far, tmp_path / "kept")
    memory.read(PACK, 60_000, 100_001)
    memory.read(PACK, 60_000, 100_001)
    file(tmp_path).unlink()
    reads(far)
    assert data[60_000:] == memory.read(PACK, 60_000, 100_001)
    assert 1 == reads(far)


def test_a_link_is_not_followed(far: FaultyStorage, tmp_path: Path, data: bytes) -> None:
    """A link in place of a kept file is replaced, and one in place of the folder is left alone; neither is read."""
    Kept(far, tmp_path / "kept").read(PACK, 60_000, 100_001)
    victim = tmp_path / "victim"
    file(tmp_path).rename(victim)
    file(tmp_path).symlink_to(victim)
    before = victim.read_bytes()
    reads(far)
    assert data[60_000:] == Kept(far, tmp_path / "kept").read(PACK, 60_000, 100_001)
    assert 1 == reads(far)
    assert before == victim.read_bytes()
    assert not file(tmp_path).is_symlink()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    assert data[60_000:] == Kept(far, tmp_path / "link").read(PACK, 60_000, 100_001)
    assert 1 == reads(far)


def test_entries_are_kept_where_asked_for(far: FaultyStorage, tmp_path: Path) -> None:
    """An entry that was read or written is not asked for again; without the wish each is asked for every time."""
    memory = Kept(far, tmp_path / "entries", entries=True)
    assert memory.create("log/0000000000/002", [b"entry ", b"two"])
    assert not memory.create("log/0000000000/001", b"another one")
    for _ in range(2):
        assert b"entry one" == memory.read("log/0000000000/001")
        assert b"entry two" == memory.read("log/0000000000/002")
        assert memory.read("log/0000000000/003") is None
    assert 3 == reads(far)
    plain = Kept(far, tmp_path / "kept")
    for _ in range(2):
        plain.read("log/0000000000/001")
    assert 2 == reads(far)


def test_what_is_not_there_is_not_kept(far: FaultyStorage, tmp_path: Path) -> None:
    """A missing pack is asked for again, since it may come."""
    memory = Kept(far, tmp_path / "kept")
    assert memory.read("packs/two.pack", 10, 20) is None
    memory.create("packs/two.pack", b"0123456789" * 3)
    assert b"0123456789" == memory.read("packs/two.pack", 10, 20)


def test_it_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was used least recently goes first, down to the limit, and still everything is answered."""
    monkeypatch.setattr(kept, "_LIMIT", 200_000)
    monkeypatch.setattr(kept, "_OFTEN", 1)
    far = open_storage(tmp_path / "far")
    memory = Kept(far, tmp_path / "kept")
    for number in range(30):
        far.create(f"packs/{number}.pack", bytes([number]) * 20_000)
    for number in range(30):
        assert bytes([number]) * 20_000 == memory.read(f"packs/{number}.pack", 0, 20_001)
        path = tmp_path / "kept" / f"packs-{number}.pack"
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "kept").iterdir()}
    assert sum(sizes.values()) <= 230_000
    assert "packs-29.pack" in sizes
    assert "packs-0.pack" not in sizes
    assert b"\0" * 20_000 == memory.read("packs/0.pack", 0, 20_001)


def test_a_folder_that_cannot_be_written_costs_questions_alone(far: FaultyStorage, tmp_path: Path, data: bytes) -> None:
    """Where nothing can be kept every read goes to the storage, and nothing fails."""
    (tmp_path / "blocked").write_text("a file stands here")
    memory = Kept(far, tmp_path / "blocked" / "kept")
    for _ in range(2):
        assert data[60_000:] == memory.read(PACK, 60_000, 100_001)
    assert 2 == reads(far)


def test_many_threads(tmp_path: Path, data: bytes) -> None:
    """Threads with memories of their own over one folder all read what the storage says."""
    far: Storage = open_storage(tmp_path / "far")
    for number in range(4):
        far.create(f"packs/{number}.pack", data[number:])
    go = threading.Barrier(6)

    def work(seed: int) -> None:
        source, memory = random.Random(seed), Kept(far, tmp_path / "kept")
        go.wait(10)
        for _ in range(80):
            number, start = source.randrange(4), source.randrange(100_000)
            end = source.choice([None, 200_000, start + 50])
            assert data[number:][start:end] == memory.read(f"packs/{number}.pack", start, end)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


def test_two_registries_of_one_user_in_a_bucket(s3: Served) -> None:
    """Two processes' registries at one place, with one memory, read and write in turns without misreading."""
    both = [
        ModelRegistry(s3.url, plugins=Plugins(()), storage_options=dict(s3.options), trust=Everybody())
        for _ in range(2)
    ]
    for number in range(6):
        both[number % 2].register_model(np.arange(2000.0) + number, "m", aliases=["newest"])
        for each in both:
            np.testing.assert_array_equal(np.arange(2000.0) + number, each.load_model("m@newest"))
    assert [] == both[0].fsck(quick=True)


def test_a_directory_that_was_written_is_known(s3: Served, tmp_path: Path) -> None:
    """The end of a pack that this process wrote is kept, and is that pack's directory."""
    mine = stored.opened(tmp_path / "mine")
    mine.register_model(np.arange(3000.0), "m")
    mine.add_remote("hub", s3.url, s3.options, where="local", probe=False)
    mine.push("hub")
    mine.register_model(np.arange(4000.0), "m")
    mine.push("hub")
    memory = Kept(s3.open(), tmp_path / "mine" / "remotes" / "hub" / "kept", entries=True)
    packs = memory.list("packs")
    assert 2 == len(packs)
    assert all(read_directory(memory, e.name.removesuffix(".pack"), e.size).count > 2 for e in packs)
