"""Networks that fail: once is not noticed, for ever is one kind of error in a known time, and nobody wins twice."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from friday_store.errors import IntegrityError, StorageError
from friday_store.log import Log, entry_path
from friday_store.storage import Storage
from tests.servers.fixtures import Proxied
from tests.servers.gcs import FakeGcs
from tests.servers.proxy import Proxy

MIB = 1 << 20
FAULTS = ("500", "503", "reset", "hang", "half", "drip")
QUICK = {"deadline": 3, "attempt_timeout": 1, "attempts": 3}
SURE = {"deadline": 60, "attempt_timeout": 3, "attempts": 6}
DATA = os.urandom(200_000)


@pytest.fixture(params=["s3", "gcs"])
def far(request: pytest.FixtureRequest) -> Proxied:
    """Return a place in each kind of store, behind a proxy of its own."""
    found: Proxied = request.getfixturevalue(f"{request.param}_proxied")
    return found


@pytest.fixture
def storage(request: pytest.FixtureRequest, far: Proxied) -> Storage:
    """Return a storage there which holds ``a/file`` and ``a/old``, and is connected.

    It has little patience where faults go on for ever, and much where one request is to fail and the next to succeed,
    however busy the machine is.
    """
    once = any(word in request.node.name for word in ("happens_once", "large_file", "broke_off"))
    opened = far.open(**(SURE if once else QUICK))
    opened.create("a/file", DATA)
    opened.create("a/old", b"")
    return opened


def disturb(proxy: Proxy, fault: str, *, times: int | None) -> None:
    """Let one request of each kind go wrong, or all of them."""
    for method, target in (
        ("GET", r"file(\?|$)"), ("PUT", ""), ("HEAD", ""), ("POST", r"\?delete|upload"), ("DELETE", ""),
        ("GET", r"prefix="), ("GET", r"stat(\?|$)"),
    ):  # fmt: skip
        if fault.isdigit():
            proxy.trouble("status", method=method, target=target, times=times, status=int(fault))
        else:
            proxy.trouble(fault, method=method, target=target, times=times)  # type: ignore[arg-type]


VERBS: dict[str, Callable[[Storage], object]] = {
    "GET": lambda storage: storage.read("a/file"),
    "PUT": lambda storage: storage.create("b/new", b"new"),
    "LIST": lambda storage: [entry.name for entry in storage.list("a")],
    "HEAD": lambda storage: storage.stat("c/stat"),
    "DELETE": lambda storage: storage.delete(["a/old"]),
}


def outcomes(storage: Storage) -> dict[str, object]:
    """Return what every verb gives, all of them at once: its result, or the error."""

    def outcome(verb: Callable[[Storage], object]) -> object:
        try:
            return verb(storage)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(len(VERBS)) as pool:
        return dict(zip(VERBS, pool.map(outcome, VERBS.values()), strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_happens_once(far: Proxied, storage: Storage, fault: str) -> None:
    """Every verb succeeds when one request of its kind fails, in whatever way."""
    disturb(far.proxy, fault, times=1)
    found = outcomes(storage)
    assert found["GET"] == DATA
    assert found["LIST"] in (["file", "old"], ["file"])
    assert found["HEAD"] is None
    assert found["DELETE"] is None
    # an answer that was lost after the work was done is met again as "it exists"
    assert found["PUT"] is True or (fault in ("half", "drip") and found["PUT"] is False)
    far.proxy.calm()
    assert storage.read("b/new") == b"new"
    assert [entry.name for entry in storage.list("a")] == ["file"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_goes_on(far: Proxied, storage: Storage, fault: str) -> None:
    """Every verb ends in one kind of error, soon, when all requests of its kind fail."""
    disturb(far.proxy, fault, times=None)
    begun = time.monotonic()
    found = outcomes(storage)
    assert time.monotonic() - begun < 20
    for verb in VERBS if fault != "drip" else ("GET",):  # short answers get through at a kilobyte a second
        assert isinstance(found[verb], StorageError), verb
    far.proxy.calm()
    assert storage.read("a/file") == DATA


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hang", "drip", "500"])
def test_the_patience_that_everybody_has(far: Proxied, fault: str) -> None:
    """With the limits as they come, a store that fails for ever is given up within a minute."""
    storage = far.open()
    storage.create("a/file", DATA)
    disturb(far.proxy, fault, times=None)
    begun = time.monotonic()
    found = outcomes(storage)
    assert time.monotonic() - begun < 60
    assert isinstance(found["GET"], StorageError)


@pytest.mark.parametrize("fault", ["500", "reset", "half", "hang"])
def test_a_large_file_and_a_fault(far: Proxied, storage: Storage, fake_gcs: FakeGcs, fault: str) -> None:
    """A large file goes out and comes back whole when a request for each of its steps fails once."""
    data = os.urandom(17 * MIB)
    for nth in (1, 3):
        for method in ("PUT", "POST", "GET"):
            action = "status" if fault.isdigit() else fault
            far.proxy.trouble(action, method=method, nth=nth, status=500)  # type: ignore[arg-type]
    with storage.spool("packs") as spool:
        spool.write([data])
        published = spool.publish("large")
    assert published is True or fault == "half"
    assert data == storage.read("packs/large")
    assert fake_gcs.uploads(far.bucket) <= 1  # one whose beginning was not answered is nobody's


def test_a_read_goes_on_where_it_broke_off(far: Proxied, storage: Storage) -> None:
    """Of a large file whose reply breaks off in the middle, only the rest is asked for again."""
    data = os.urandom(20 * MIB)
    with storage.spool("packs") as spool:
        spool.write([data])
        spool.publish("large")
    far.proxy.forget()
    far.proxy.trouble("half", method="GET")
    assert data == storage.read("packs/large")
    first, second = far.proxy.requests
    assert first.headers["range"] == "bytes=0-"
    assert int(second.headers["range"].removeprefix("bytes=").removesuffix("-")) > 0
    assert second.sent < len(data)


def test_a_large_file_over_a_line_that_breaks_often(far: Proxied, storage: Storage) -> None:
    """Progress counts: a reply that breaks off more often than there are attempts is read to its end."""
    data = os.urandom(20 * MIB)
    with storage.spool("packs") as spool:
        spool.write([data])
        spool.publish("large")
    far.proxy.trouble("half", method="GET", times=6)
    assert data == storage.read("packs/large")


def test_losers_are_never_told_that_they_won(far: Proxied) -> None:
    """Of two writers whose answers get lost no more than one is told that it won, and its bytes are there."""
    stores = [far.open(**QUICK) for _ in range(2)]
    method = "PUT" if far.url.startswith("s3") else "POST"
    start = threading.Barrier(2)

    def write(writer: int, name: str) -> bool:
        start.wait()
        return stores[writer].create(name, bytes([writer]) * 100)

    with ThreadPoolExecutor(2) as pool:
        for number in range(20):
            far.proxy.trouble("lost", method=method, nth=1 + number % 2)
            won = list(pool.map(write, range(2), [f"race/{number}"] * 2))
            far.proxy.calm()
            found = stores[0].read(f"race/{number}")
            assert found in (bytes(100), b"\1" * 100)
            assert won.count(True) <= 1
            if True in won:
                assert bytes([won.index(True)]) * 100 == found


def test_a_name_that_is_fought_over(s3_proxied: Proxied) -> None:
    """When S3 says that another write of a name is under way, it is tried again, and then counts as lost."""
    storage = s3_proxied.open(**QUICK)
    body = b"<Error><Code>ConditionalRequestConflict</Code><Message>A conflicting operation.</Message></Error>"
    s3_proxied.proxy.trouble("status", method="PUT", status=409, body=body)
    assert storage.create("a", b"1") is True
    s3_proxied.proxy.trouble("status", method="PUT", status=409, body=body, times=None)
    assert storage.create("b", b"2") is False
    s3_proxied.proxy.calm()
    assert storage.read("a") == b"1"
    assert storage.read("b") is None


def test_a_completion_that_fails_in_a_good_reply(s3_proxied: Proxied) -> None:
    """S3 may say 200 to the completion of a large file and then, in the body, that it failed; it is completed again."""
    body = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>Please try again.</Message></Error>'
    s3_proxied.proxy.trouble("status", method="POST", target="uploadId=", status=200, body=body)
    storage = s3_proxied.open(**QUICK)
    with storage.spool("packs") as spool:
        spool.write([bytes(9 * MIB)])
        assert spool.publish("large") is True
    assert storage.read("packs/large") == bytes(9 * MIB)
    assert s3_proxied.proxy.count("POST", "uploadId=") == 2


def log_of(storage: Storage) -> Log:
    """Return a log there."""
    return Log(storage, bytes(32), lambda: dt.datetime.now(dt.UTC))


@pytest.mark.parametrize(("times", "count"), [(1, 20), (None, 4)], ids=["once", "ever"])
def test_an_entry_whose_answer_is_lost(far: Proxied, times: int | None, count: int) -> None:
    """Entries are appended, each once, although the answer to the creation of each, or all of them, are lost."""
    log, sure = log_of(far.open(**(SURE if times else QUICK))), log_of(far.open(**SURE))
    state = sure.state()
    for number in range(1, count + 1):
        far.proxy.calm()
        far.proxy.trouble("lost", method="PUT" if far.url.startswith("s3") else "POST", times=times)
        entry = log.following(state, actor="tester", message="", packs_added=(), packs_removed=(), refs=())
        assert log.append(entry) is not None
        state = sure.state()
        assert number == state.seq
    far.proxy.calm()
    assert sure.read(count) is not None
    assert sure.read(count + 1) is None


def test_a_large_file_whose_answer_is_lost(far: Proxied, storage: Storage, fake_gcs: FakeGcs) -> None:
    """When the last answer is lost the file is there, with its size, and publishing says so or says that it exists."""
    data = os.urandom(17 * MIB)
    if far.url.startswith("s3"):
        far.proxy.trouble("lost", method="POST", target="uploadId=")
    else:
        far.proxy.trouble("lost", method="PUT", nth=3)
    with storage.spool("packs") as spool:
        spool.write([data])
        published = spool.publish("large")
    # GCS tells how far an upload is, S3 may tell only that the name is taken
    assert published is True or far.url.startswith("s3")
    found = storage.stat("packs/large")
    assert found is not None
    assert len(data) == found.size
    assert data == storage.read("packs/large")
    assert fake_gcs.uploads(far.bucket) == 0


def test_removing_whose_answer_is_lost(far: Proxied, storage: Storage) -> None:
    """Files are gone, and nothing is said, when the answer to their removal is lost."""
    far.proxy.trouble("lost", method="POST" if far.url.startswith("s3") else "DELETE")
    storage.delete(["a/old", "a/file"])
    assert storage.list("a") == []


def test_a_reply_with_other_bytes(far: Proxied, storage: Storage) -> None:
    """Bytes that changed on the way are found by who reads the log, and the storage hands them on as they came."""
    log = log_of(storage)
    entry = log.following(log.state(), actor="tester", message="", packs_added=(), packs_removed=(), refs=())
    assert log.append(entry) is not None
    far.proxy.trouble("corrupt", method="GET", times=None)
    found = storage.read("a/file")
    assert found is not None
    assert len(DATA) == len(found)
    assert found != DATA
    with pytest.raises(IntegrityError, match=entry_path(1).rpartition("/")[2]):
        log.read(1)


def test_a_reply_that_is_too_short(far: Proxied, storage: Storage) -> None:
    """A reply with half of the bytes and a matching length is not taken for the whole."""
    far.proxy.trouble("short", method="GET")
    assert storage.read("a/file") == DATA
    assert storage.read("a/file", 100, 90_000) == DATA[100:90_000]
    far.proxy.trouble("short", method="GET", times=None)
    with pytest.raises(StorageError, match="bytes are missing"):
        storage.read("a/file")
    with pytest.raises(StorageError, match="bytes are missing"):
        storage.read("a/file", 100, 90_000)


def test_a_connection_that_is_cut(far: Proxied, storage: Storage) -> None:
    """From the moment that nothing gets through any more every verb is an error, and works again afterwards."""
    far.proxy.cut(after=1)
    assert storage.read("a/file") == DATA
    for verb in VERBS.values():
        with pytest.raises(StorageError):
            verb(storage)
    far.proxy.calm()
    assert storage.read("a/file") == DATA
