"""The probe finds out what a place can do, and leaves nothing there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from friday_store.storage import Storage, open_storage
from friday_store.storage.probe import PREFIX, Probe, probe
from tests.servers.fixtures import Proxied, Served

Places = Callable[[str], Storage]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """Return a function that opens an empty place of a kind."""

    def opened(kind: str) -> Storage:
        if kind == "local":
            return open_storage(tmp_path / "store")
        if kind == "memory":
            return open_storage(f"memory://{uuid.uuid4()}")
        served: Served = request.getfixturevalue(kind)
        return served.open()

    return opened


@pytest.mark.parametrize("kind", ["local", "memory", "s3", "gcs"])
def test_a_good_place(place: Places, kind: str) -> None:
    """Where a name can be created once everything is possible, the clock is known, and nothing is left."""
    storage = place(kind)
    found = probe(storage)
    assert (True, True, True, "") == (found.readable, found.writable, found.exclusive, found.reason)
    assert found.clock is not None
    assert abs(found.clock) < 5
    assert storage.list("") == []


@pytest.mark.parametrize("kind", ["s3_unconditional", "gcs_unconditional"])
def test_a_place_where_every_writer_wins(place: Places, kind: str) -> None:
    """A server that ignores preconditions is found out, and said to be one."""
    storage = place(kind)
    found = probe(storage)
    assert (True, True, False) == (found.readable, found.writable, found.exclusive)
    assert "lets several writers create one name" in found.reason
    assert storage.list("") == []


def test_a_place_where_only_races_are_lost(s3_proxied: Proxied) -> None:
    """A server that refuses a second write but lets two at once win is found out by the race."""
    front = s3_proxied.proxy
    front.trouble("status", method="PUT", target="-race", status=200, times=2, headers={"ETag": '"x"'})
    found = probe(s3_proxied.open())
    assert (True, True, False) == (found.readable, found.writable, found.exclusive)


def test_a_place_that_cannot_be_written(s3_proxied: Proxied) -> None:
    """Where writing is denied reading is possible, and the reason is what the store said, and what to do."""
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    s3_proxied.proxy.trouble("status", method="PUT", status=403, body=body, times=None)
    found = probe(s3_proxied.open())
    assert (True, False, None, None) == (found.readable, found.writable, found.exclusive, found.clock)
    assert "denies access" in found.reason
    assert "s3:PutObject" in found.reason


def test_a_protocol_that_cannot_be_written(tmp_path: Path) -> None:
    """A protocol without exclusive creation is readable, and nothing is written to find that out."""
    found = probe(open_storage(f"local://{tmp_path}"))
    assert (True, False, None) == (found.readable, found.writable, found.exclusive)
    assert "without overwriting" in found.reason
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_keeps_everything(s3_proxied: Proxied) -> None:
    """Where nothing may be removed all the rest is possible, and the reason names what stays."""
    body = b"<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    s3_proxied.proxy.trouble("status", method="POST", status=200, body=body, times=None)
    storage = s3_proxied.open()
    found = probe(storage)
    assert (True, True, True) == (found.readable, found.writable, found.exclusive)
    left = [entry.name for entry in storage.list("")]
    assert len(left) == 2
    for name in left:
        assert name.startswith(PREFIX)
        assert name in found.reason


def test_a_place_that_cannot_be_reached(s3: Served) -> None:
    """Where nothing answers, or there is no bucket, nothing is possible, and the reason says why."""
    for storage, said in (
        (s3.open(endpoint_url="http://127.0.0.1:9", attempts=1), "nothing answers there"),
        (open_storage("s3://no-such-bucket/x", s3.options), "there is no bucket"),
    ):
        found = probe(storage)
        assert Probe(readable=False, writable=False, exclusive=None, clock=None, reason=found.reason) == found
        assert said in found.reason


@pytest.mark.parametrize("kind", ["s3_proxied", "gcs_proxied"])
def test_a_lost_answer_does_not_mislead(request: pytest.FixtureRequest, kind: str) -> None:
    """A probe whose first answer is lost says the same as any other."""
    served: Proxied = request.getfixturevalue(kind)
    served.proxy.trouble("lost", method="PUT" if kind.startswith("s3") else "POST")
    found = probe(served.open())
    assert (True, True, True, "") == (found.readable, found.writable, found.exclusive, found.reason)


def test_the_clock_of_the_store(place: Places, tmp_path: Path) -> None:
    """The store's time is compared with this machine's, whatever the difference is."""

    class Late:
        """A folder whose clock is an hour behind."""

        def __init__(self) -> None:
            self.inner = open_storage(tmp_path / "late")

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def stat(self, path: str) -> object:
            found = self.inner.stat(path)
            return found and found._replace(time=found.time - 3600)

    found = probe(Late())  # type: ignore[arg-type]
    assert found.clock is not None
    assert -3605 < found.clock < -3595
