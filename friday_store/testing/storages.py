"""What every place for bytes promises, as tests."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from friday_store.errors import StorageError
from friday_store.storage import Storage

_MIB = 1 << 20
_ROUNDS = 20
_WRITERS = 8


class StorageTests:
    """Subclass it and give the fixtures ``storage``, ``reopen`` and ``unwritable``.

    ``storage`` is an empty place that may not exist yet; ``reopen`` returns a function that opens the same place
    again, as another process would; ``unwritable`` is a storage of the same class at a place that refuses writes.
    """

    @pytest.fixture
    def storage(self, reopen: Callable[[], Storage]) -> Storage:
        """Return an empty storage."""
        return reopen()

    @pytest.fixture
    def reopen(self) -> Callable[[], Storage]:
        """Return a function that opens the same place anew."""
        raise NotImplementedError("give a fixture called 'reopen'")

    @pytest.fixture
    def unwritable(self) -> Storage:
        """Return a storage that refuses every write."""
        raise NotImplementedError("give a fixture called 'unwritable'")

    def test_nothing_is_there_at_first(self, storage: Storage) -> None:
        """What is missing reads as None, lists as empty, and is deleted without complaint."""
        assert storage.read("a/b") is None
        assert storage.read("a/b", 3, 9) is None
        assert storage.read("a/b", 3, 3) is None
        assert storage.stat("a/b") is None
        assert storage.list("") == []
        assert storage.list("a") == []
        storage.delete(["a/b", "c"])

    @pytest.mark.parametrize(
        "data",
        [
            b"bytes",
            bytearray(b"array"),
            memoryview(b"view"),
            [b"one", memoryview(b"two"), bytearray(b"three")],
            b"",
            [],
        ],
        ids=["bytes", "bytearray", "memoryview", "blocks", "empty", "no blocks"],
    )
    def test_what_was_created_is_read(self, storage: Storage, reopen: Callable[[], Storage], data: object) -> None:
        """A file holds exactly the bytes it was created with, here and for whoever opens the place anew."""
        expected = b"".join(data) if isinstance(data, list) else bytes(data)  # type: ignore[call-overload]
        assert storage.create("folder/file", data) is True  # type: ignore[arg-type]
        assert expected == storage.read("folder/file")
        assert expected == reopen().read("folder/file")

    def test_a_file_never_changes(self, storage: Storage, reopen: Callable[[], Storage]) -> None:
        """The second to create a name is told so, and the file stays as it was."""
        assert storage.create("file", b"first") is True
        assert reopen().create("file", b"second, and longer") is False
        assert storage.create("file", b"first") is False
        assert storage.read("file") == b"first"

    def test_a_deleted_name_can_be_created_again(self, storage: Storage, reopen: Callable[[], Storage]) -> None:
        """Deleting removes what is there and passes over what is not, and others see it at once."""
        other = reopen()
        storage.create("a/1", b"1")
        storage.create("a/2", b"2")
        assert other.read("a/1") == b"1"
        storage.delete(["a/0", "a/1", "missing/file", "a/2"])
        assert other.read("a/1") is None
        assert other.list("a") == []
        assert other.create("a/1", b"again") is True
        assert storage.read("a/1") == b"again"

    def test_ranges(self, storage: Storage) -> None:
        """A range is read as asked, and ends where the file does."""
        data = bytes(range(256)) * 8
        storage.create("file", data)
        for start, end in ((0, None), (0, 10), (5, 6), (1000, 2048), (2040, None), (0, 5000), (2047, 5000)):
            assert data[start:end] == storage.read("file", start, end)

    def test_ranges_of_nothing(self, storage: Storage) -> None:
        """A range that is empty, or begins where the file ends or after it, is empty and no error."""
        storage.create("file", bytes(100))
        storage.create("empty", b"")
        for start, end in ((7, 7), (100, None), (100, 200), (101, 200), (5000, None)):
            assert storage.read("file", start, end) == b""
        for start, end in ((0, None), (0, 10), (3, None), (3, 10)):
            assert storage.read("empty", start, end) == b""

    def test_many_threads_share_a_storage(self, storage: Storage) -> None:
        """One storage is written, read and listed by many threads at once."""
        names = [f"many/{number:02}" for number in range(40)]
        with ThreadPoolExecutor(_WRITERS) as pool:
            assert list(pool.map(storage.create, names, [name.encode() for name in names])) == [True] * len(names)
            assert [name.encode() for name in names] == list(pool.map(storage.read, names))
        assert names == [f"many/{entry.name}" for entry in storage.list("many")]
        storage.delete(names)
        assert storage.list("many") == []

    def test_stat(self, storage: Storage) -> None:
        """A file's size is known without reading it, and its time is the store's, or 0."""
        storage.create("folder/file", bytes(1234))
        found = storage.stat("folder/file")
        assert found is not None
        assert (found.name, found.size, found.folder) == ("file", 1234, False)
        assert found.time == 0 or abs(found.time - time.time()) < 3600

    def test_listing(self, storage: Storage, reopen: Callable[[], Storage]) -> None:
        """A folder lists its own children in the order of their names: files with sizes, folders as such."""
        for name in ("f/b", "f/a", "f/10", "f/9", "f/d/x", "f/d/y", "f/d/e/z", "g/h"):
            storage.create(name, name.encode())
        found = reopen().list("f")
        assert [(entry.name, entry.folder) for entry in found] == [
            ("10", False), ("9", False), ("a", False), ("b", False), ("d", True),
        ]  # fmt: skip
        assert [entry.size for entry in found if not entry.folder] == [4, 3, 3, 3]
        assert [entry.name for entry in storage.list("f/d")] == ["e", "x", "y"]
        assert [entry.name for entry in storage.list("") if entry.folder] == ["f", "g"]

    def test_a_prefix_is_not_a_folder(self, storage: Storage) -> None:
        """Folders end at slashes: ``packs2`` is not in ``packs``."""
        storage.create("packs2/x", b"")
        assert storage.list("packs") == []
        assert storage.stat("packs2/xy") is None

    def test_a_spool_is_invisible_until_it_is_published(self, storage: Storage, reopen: Callable[[], Storage]) -> None:
        """A spooled file appears whole, when it is published and not before."""
        with storage.spool("packs") as spool:
            spool.write([b"one ", memoryview(b"two "), b""])
            spool.write([bytearray(b"three")])
            assert spool.size == 13
            assert reopen().list("packs") == []
            assert spool.publish("p") is True
            assert reopen().read("packs/p") == b"one two three"
        assert reopen().read("packs/p") == b"one two three"
        assert [entry.name for entry in reopen().list("packs")] == ["p"]

    def test_a_spool_that_is_not_published_leaves_nothing(self, storage: Storage) -> None:
        """A spool that is given up, or fails, is as if it had never been."""
        with storage.spool("packs") as spool:
            spool.write([b"never seen"])
        with pytest.raises(RuntimeError, match="gave up"), storage.spool("packs") as spool:  # noqa: PT012 - one story
            spool.write([b"never seen"])
            raise RuntimeError("gave up")
        assert storage.list("packs") == []

    @pytest.mark.parametrize("size", [10, 9 * _MIB], ids=["small", "large"])
    def test_a_spool_says_how_far_it_is(self, storage: Storage, size: int) -> None:
        """Every byte is counted once as it goes to the store, until all of them are there."""
        sent: list[int] = []
        with storage.spool("packs") as spool:
            spool.sent = sent.append
            spool.write([bytes(size - 3), b"end"])
            assert spool.publish("p") is True
        assert size == sum(sent)

    def test_a_spool_does_not_replace_a_file(self, storage: Storage) -> None:
        """Publishing under a name that is taken is refused, and changes nothing."""
        storage.create("packs/p", b"first")
        with storage.spool("packs") as spool:
            spool.write([b"second"])
            assert spool.publish("p") is False
        assert storage.read("packs/p") == b"first"

    def test_a_large_spool(self, storage: Storage) -> None:
        """Twenty mebibytes in blocks of odd sizes arrive in order, and parts of them can be read."""
        blocks = [bytes([number % 251]) * (_MIB // 2 + 17 * number) for number in range(40)]
        data = b"".join(blocks)
        with storage.spool("packs") as spool:
            for first in range(0, len(blocks), 3):
                spool.write([memoryview(block) for block in blocks[first : first + 3]])
            assert len(data) == spool.size
            assert spool.publish("large") is True
        found = storage.stat("packs/large")
        assert found is not None
        assert len(data) == found.size
        assert data[7 * _MIB + 3 : 9 * _MIB] == storage.read("packs/large", 7 * _MIB + 3, 9 * _MIB)
        assert data == storage.read("packs/large")

    @pytest.mark.parametrize("spooled", [False, True], ids=["create", "spool"])
    def test_one_of_many_writers_wins(self, reopen: Callable[[], Storage], spooled: bool) -> None:  # noqa: FBT001
        """Of eight that create one name at once, exactly one is told that it did, and its bytes are there."""
        stores = [reopen() for _ in range(_WRITERS)]
        start = threading.Barrier(_WRITERS)

        def write(writer: int, path: str) -> bool:
            data = [bytes([writer]) * 5000, bytes([writer]) * 5000]
            start.wait()
            if not spooled:
                return stores[writer].create(f"race/{path}", data)
            with stores[writer].spool("race") as spool:
                spool.write(data)
                return spool.publish(path)

        with ThreadPoolExecutor(_WRITERS) as pool:
            for number in range(_ROUNDS):
                won = list(pool.map(write, range(_WRITERS), [str(number)] * _WRITERS))
                assert won.count(True) == 1
                assert bytes([won.index(True)]) * 10_000 == reopen().read(f"race/{number}")

    def test_turns(self, storage: Storage, reopen: Callable[[], Storage]) -> None:
        """Whoever waits for a turn gets one, and an error inside reaches the caller."""
        storage.create("file", b"")
        for each in (storage, reopen()):
            with pytest.raises(RuntimeError, match="inside"), each.turn():
                raise RuntimeError("inside")

    def test_a_refused_write_is_a_storage_error(self, unwritable: Storage) -> None:
        """Where writing is impossible every way of writing says so with one kind of error."""
        with pytest.raises(StorageError, match=r"cannot write .*file"):
            unwritable.create("folder/file", b"data")
        with pytest.raises(StorageError), unwritable.spool("folder") as spool:  # noqa: PT012 - either may refuse
            spool.write([b"data"])
            spool.publish("file")

    def test_a_refusal_has_the_system_s_number(self, unwritable: Storage) -> None:
        """Where the system gave a number for the failure, the error carries it."""
        with pytest.raises(StorageError) as caught:
            unwritable.create("folder/file", b"data")
        assert caught.value.errno in {None, *errno.errorcode}
