"""Copying many objects at once: in order, verified, and never more in memory than two windows."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any, Final

import pytest

from friday_store.digest import digest_of
from friday_store.errors import IntegrityError, StorageError
from friday_store.objects import Directory, Kind, streaming
from friday_store.objects.chunking import framed
from friday_store.objects.pack import FOLDER, PackWriter, read_directory
from friday_store.objects.streaming import Placed, verified
from friday_store.storage import Storage, open_storage
from friday_store.testing.faults import Fault, FaultyStorage
from tests.faults import stored

SIZES: Final = (0, 1, 63, 4096, 70_000, 200_000)


def objects(count: int) -> dict[bytes, bytes]:
    """Return objects of many sizes, every third one such that it shrinks."""
    source = random.Random("objects")
    found = {}
    for number in range(count):
        size = source.choice(SIZES)
        data = b"%d" % number + (b"shrinks" * size if number % 3 == 0 else source.randbytes(size))
        found[digest_of(data)] = data
    return found


def packed(storage: Storage, held: dict[bytes, bytes]) -> Directory:
    """Write a pack of objects and return its directory, as it is read back."""
    with PackWriter(storage) as writer:
        for data in held.values():
            writer.add(*framed(Kind.CHUNK, data, compress=True))
        made = writer.finish()
    return read_directory(storage, made.name, made.size)


def far(storage: Storage, fault: Fault | None = None) -> FaultyStorage:
    """Return a storage as if it were far away: it counts, and nothing of it is mapped."""
    away = FaultyStorage(storage, fault)
    away.root = None
    return away


def shuffled(directories: list[Directory], seed: int) -> list[Placed]:
    """Return everything in some packs in any order."""
    items = [(directory, frame) for directory in directories for frame in directory]
    random.Random(seed).shuffle(items)
    return items


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("window", [1, 100_000, 32 << 20])
def test_everything_comes_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, local: bool) -> None:
    """Objects come in the order that was asked for, from any number of packs, and as they were stored."""
    monkeypatch.setattr(streaming, "_WINDOW", window)
    storage, held = open_storage(tmp_path), objects(60)
    keys = list(held)
    directories = [packed(storage, {key: held[key] for key in keys[at::4]}) for at in range(4)]
    items = shuffled(directories, window)
    found = list(verified(storage if local else far(storage), items))
    assert [frame.digest for _, frame in items] == [frame.digest for frame, _ in found]
    assert all(held[frame.digest] == bytes(frame.decoded(data)) for frame, data in found)


def test_nothing_is_nothing(tmp_path: Path) -> None:
    """Where nothing is asked for, nothing is read."""
    away = far(open_storage(tmp_path))
    assert [] == list(verified(away, []))
    assert [] == away.calls


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_object_stops_it(tmp_path: Path, local: bool, seed: int) -> None:
    """Whichever stored byte of an object is wrong: it is never given out, and the iteration ends in an error."""
    storage, held, source = open_storage(tmp_path), objects(20), random.Random(seed)
    directory = packed(storage, held)
    items = [item for item in shuffled([directory], seed) if item[1].stored]
    bad = source.choice(items)[1]
    path = tmp_path / FOLDER / f"{directory.name}.pack"
    data = bytearray(path.read_bytes())
    data[bad.offset + source.randrange(bad.stored)] ^= 1 << source.randrange(8)
    stored.overwrite(path, bytes(data))
    given: list[bytes] = []

    def copy() -> None:
        given.extend(frame.digest for frame, _ in verified(storage if local else far(storage), items))

    with pytest.raises(IntegrityError):
        copy()
    assert bad.digest not in given


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("what", ["gone", "cut", "empty"])
def test_a_lost_pack_is_an_error(tmp_path: Path, local: bool, what: str) -> None:
    """A pack that is gone or was cut is an error that names it."""
    storage, held = open_storage(tmp_path), objects(20)
    directory = packed(storage, held)
    path = tmp_path / FOLDER / f"{directory.name}.pack"
    if what == "gone":
        path.unlink()
    else:
        stored.overwrite(path, path.read_bytes()[: 0 if what == "empty" else 3000])
    with pytest.raises(IntegrityError) as refused:
        list(verified(storage if local else far(storage), shuffled([directory], 1)))
    assert directory.name in refused.value.path


def test_a_storage_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of any read reaches the caller, and no thread is left."""
    monkeypatch.setattr(streaming, "_WINDOW", 100_000)
    storage, held = open_storage(tmp_path), objects(40)
    directory = packed(storage, held)
    items = shuffled([directory], 3)
    whole = far(storage)
    list(verified(whole, items))
    assert len(whole.calls) > 3
    for at in range(1, len(whole.calls) + 1):
        with pytest.raises(StorageError):
            list(verified(far(storage, Fault(at)), items))
    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("friday-copy")]


def test_what_lies_together_is_read_together(tmp_path: Path) -> None:
    """A whole pack of small objects from afar is one range; a far one out of many is its own."""
    storage = open_storage(tmp_path)
    directory = packed(storage, {digest_of(b"%d" % n): b"%d" % n for n in range(500)})
    away = far(storage)
    list(verified(away, [(directory, frame) for frame in directory]))
    assert 1 == sum(call.startswith(("read", "open")) for call in away.calls)


def test_a_caller_that_stops_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing the iteration after the first object ends its threads, and reads no more than two windows."""
    monkeypatch.setattr(streaming, "_WINDOW", 50_000)
    storage, held = open_storage(tmp_path), objects(200)
    directory = packed(storage, held)
    read: list[int] = []

    class Measured(FaultyStorage):
        """Counts the bytes."""

        def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
            found = super().read(path, start, end)
            read.append(len(found or b""))
            return found

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    away = Measured(storage)
    away.root = None
    copying = verified(away, [(directory, frame) for frame in directory])
    next(copying)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("friday-copy")]
    copying.close()
    for thread in threads:  # they are not waited for by whoever stops, and end when the range they read is there
        thread.join()
    assert 0 < sum(read) <= 3 * 50_000 + 2 * 1_500_000
    assert sum(read) < directory.size / 2
