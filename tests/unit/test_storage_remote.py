"""What S3 and GCS promise beyond the kit: how often they are asked, how large files go, what failures say."""

from __future__ import annotations

import contextlib
import errno
import gc
import http.server
import json
import logging
import os
import re
import subprocess
import sys
import threading
import traceback
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from friday_store.errors import InvalidValueError, StorageError
from friday_store.storage import Storage, open_storage
from friday_store.storage.redaction import Redactor
from friday_store.storage.remote import in_flight, part_size
from tests.servers.fixtures import Proxied, Served
from tests.servers.gcs import FakeGcs
from tests.servers.given import s3_client

MIB = 1 << 20


@pytest.fixture(params=["s3", "gcs"])
def far(request: pytest.FixtureRequest) -> Proxied:
    """Return a place in each kind of store, through a proxy that counts."""
    found: Proxied = request.getfixturevalue(f"{request.param}_proxied")
    return found


@pytest.fixture
def storage(far: Proxied) -> Storage:
    """Return a storage there that holds ``a/file``, of ten bytes, and has asked nothing that is counted."""
    opened = far.open()
    opened.create("a/file", b"0123456789")
    far.proxy.forget()
    return opened


def asked(far: Proxied) -> list[str]:
    """Return the methods of the requests so far, and count anew."""
    methods = [request.method for request in far.proxy.requests]
    far.proxy.forget()
    return methods


def test_a_read_is_one_request(far: Proxied, storage: Storage) -> None:
    """Reading a whole file, a range, one past the end, an empty file or none at all is one GET each."""
    storage.create("a/empty", b"")
    far.proxy.forget()
    for path, start, end, expected in (
        ("a/file", 0, None, b"0123456789"), ("a/file", 3, 5, b"34"), ("a/file", 8, 50, b"89"), ("a/file", 10, 12, b""),
        ("a/file", 99, None, b""), ("a/empty", 0, None, b""), ("a/empty", 0, 5, b""), ("a/none", 0, None, None),
        ("a/none", 2, 3, None),
    ):  # fmt: skip
        assert expected == storage.read(path, start, end)
        assert asked(far) == ["GET"]


def test_a_large_read_is_one_request(far: Proxied, storage: Storage) -> None:
    """A file of any size is read by one GET, and its bytes are sent once."""
    data = os.urandom(20 * MIB)
    with storage.spool("packs") as spool:
        spool.write([data])
        spool.publish("large")
    far.proxy.forget()
    assert data == storage.read("packs/large")
    assert [(request.method, request.sent) for request in far.proxy.requests] == [("GET", len(data))]


def test_other_verbs_are_one_request(far: Proxied, storage: Storage) -> None:
    """Looking, creating, failing to, listing and removing are one request each, whether or not it is there."""
    found = storage.stat("a/file")
    assert found is not None
    head = "HEAD" if far.url.startswith("s3") else "GET"
    assert asked(far) == [head]
    assert storage.stat("a/none") is None
    assert asked(far) == [head]
    put = "PUT" if far.url.startswith("s3") else "POST"
    assert storage.create("a/new", b"x" * MIB) is True
    assert asked(far) == [put]
    assert storage.create("a/new", b"y") is False
    assert asked(far) == [put]
    assert [entry.name for entry in storage.list("a")] == ["file", "new"]
    assert asked(far) == ["GET"]
    assert storage.list("none") == []
    assert asked(far) == ["GET"]
    storage.delete(["a/new"])
    assert asked(far) == ["POST" if far.url.startswith("s3") else "DELETE"]
    storage.delete([])
    assert asked(far) == []


def test_thousands_of_names(far: Proxied, storage: Storage) -> None:
    """A listing asks once for a thousand names, and S3 removes a thousand at once."""
    names = [f"many/{number:04}" for number in range(2100)]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(storage.create, names, [b"x"] * len(names)))
    far.proxy.forget()
    assert [name.removeprefix("many/") for name in names] == [entry.name for entry in storage.list("many")]
    assert asked(far) == ["GET"] * 3
    storage.delete([*names, "many/missing"])
    assert asked(far) == (["POST"] * 3 if far.url.startswith("s3") else ["DELETE"] * 2101)
    assert storage.list("many") == []


def test_a_whole_bucket(far: Proxied) -> None:
    """A repository can be a bucket's root; its names have no prefix."""
    storage = open_storage(far.url.removesuffix("/store"), far.options)
    assert storage.list("") == []
    storage.create("file", b"1")
    storage.create("folder/file", b"22")
    assert [(entry.name, entry.size, entry.folder) for entry in storage.list("")] == [
        ("file", 1, False), ("folder", 0, True),
    ]  # fmt: skip
    assert storage.read("folder/file") == b"22"
    found = storage.stat("file")
    assert found is not None
    assert found.name == "file"
    storage.delete(["file", "folder/file"])
    assert storage.list("") == []


def test_threads_ask_at_once(far: Proxied, storage: Storage) -> None:
    """Reads from many threads overlap: sixteen are under way before the first is answered."""
    far.proxy.hold(16, "GET")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(storage.read, ["a/file"] * 16))
    assert [b"0123456789"] * 16 == found


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_asks_for_itself(far: Proxied, storage: Storage) -> None:
    """A storage works in a forked child, and in the parent afterwards."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.write(writer, storage.read("a/file") or b"")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"0123456789"
    os.waitpid(child, 0)
    assert storage.read("a/file") == b"0123456789"


def spooled(storage: Storage, data: bytes, sent: list[int]) -> bool:
    """Publish data as a large file."""
    with storage.spool("packs") as spool:
        spool.sent = sent.append
        spool.write([data])
        return spool.publish("large")


def dangling(far: Served, fake_gcs: FakeGcs) -> int:
    """Return how many uploads in parts are neither finished nor given up."""
    if far.url.startswith("gs"):
        return fake_gcs.uploads(far.bucket)
    found = s3_client(far.server, far.options["key"], far.options["secret"]).list_multipart_uploads(Bucket=far.bucket)
    return len(found.get("Uploads", []))


def test_a_large_upload_says_how_far_it_is(far: Proxied, storage: Storage, fake_gcs: FakeGcs) -> None:
    """Bytes are counted as they go out, in parts and to the last one; nothing is left behind."""
    sent: list[int] = []
    data = os.urandom(20 * MIB + 17)
    assert spooled(storage, data, sent) is True
    assert len(sent) == 3
    assert len(data) == sum(sent)
    assert data == far.direct.open().read("packs/large")
    assert dangling(far, fake_gcs) == 0


def test_a_small_upload_says_how_far_it_is(far: Proxied) -> None:
    """A spool that goes out as one request counts it, after it succeeded and not when it lost."""
    sent: list[int] = []
    assert spooled(far.open(), b"12345", sent) is True
    assert spooled(far.open(), b"12345", sent) is False
    assert sent == [5]


def test_a_full_disk_on_this_machine(s3: Served) -> None:
    """When a file finds no room to wait for its upload the error is the system's, and says where to make room."""
    script = (
        "import json, resource, signal, sys\n"
        "from friday_store.storage import open_storage\n"
        "from friday_store.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "with open_storage(sys.argv[1], json.loads(sys.argv[2])).spool('packs') as spool:\n"
        "    try: spool.write([bytes(4 << 20)]); spool.publish('p')\n"
        "    except StorageError as error: print(error, error.hint, error.errno)\n"
    )
    arguments = [sys.executable, "-c", script, s3.url, json.dumps(dict(s3.options))]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=120)
    assert "on this machine: File too large" in done.stdout
    assert "TMPDIR" in done.stdout
    assert done.stdout.strip().endswith(f" {errno.EFBIG}")


def test_a_local_spool_counts_what_is_written(tmp_path: Path) -> None:
    """In a local folder bytes are counted when they are written."""
    sent: list[int] = []
    with open_storage(tmp_path).spool("packs") as spool:
        spool.sent = sent.append
        spool.write([b"one", b"two"])
        spool.write([b"three"])
        assert sent == [6, 5]


def test_a_large_upload_that_loses_leaves_nothing(far: Proxied, fake_gcs: FakeGcs) -> None:
    """Who publishes a large file under a taken name is told so, and the parts are gone."""
    assert far.open().create("packs/large", b"first") is True
    assert spooled(far.open(), bytes(17 * MIB), []) is False
    assert far.open().read("packs/large") == b"first"
    assert dangling(far, fake_gcs) == 0


def test_a_large_upload_that_fails_leaves_nothing(far: Proxied, storage: Storage, fake_gcs: FakeGcs) -> None:
    """When one part cannot be sent the upload fails, nothing is visible, and the other parts are gone."""
    far.proxy.trouble("status", method="PUT", target="partNumber|upload_id", nth=2, times=None, status=400)
    with pytest.raises(StorageError, match="packs/large"):
        spooled(storage, bytes(30 * MIB), [])
    far.proxy.calm()
    assert storage.read("packs/large") is None
    assert dangling(far, fake_gcs) == 0
    assert spooled(storage, bytes(17 * MIB), []) is True


def test_a_large_upload_that_is_interrupted_leaves_nothing(far: Proxied, storage: Storage, fake_gcs: FakeGcs) -> None:
    """An interruption by the user ends the upload, and its parts are gone."""
    script = (
        "import os, signal, sys, json, threading\n"
        "from friday_store.storage import open_storage\n"
        "storage = open_storage(sys.argv[1], json.loads(sys.argv[2]))\n"
        "with storage.spool('packs') as spool:\n"
        "    spool.write([bytes(30 << 20)])\n"
        "    spool.sent = lambda count: os.kill(os.getpid(), signal.SIGINT)\n"
        "    try: spool.publish('large')\n"
        "    except KeyboardInterrupt: print('interrupted')\n"
    )
    arguments = [sys.executable, "-c", script, far.url, json.dumps(dict(far.options))]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout == "interrupted\n", done.stderr
    assert storage.read("packs/large") is None
    assert dangling(far, fake_gcs) == 0


def test_a_large_upload_takes_little_memory(s3: Served) -> None:
    """While a file of 160 MiB goes out no more than 64 MiB and a little are held."""
    storage = s3.open()
    storage.create("a", b"")
    with storage.spool("packs") as spool:
        for _ in range(20):
            spool.write([os.urandom(8 * MIB)])
        tracemalloc.start()
        try:
            assert spool.publish("large") is True
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 80 * MIB
    storage.delete(["packs/large"])


@given(st.integers(8 * MIB, 5 << 40))
def test_parts_of_any_file(size: int) -> None:
    """No upload has more than ten thousand parts, and 64 MiB of them, or one, are on their way at once."""
    part = part_size(size)
    assert 8 * MIB <= part <= 5 << 30
    assert part % (256 << 10) == 0
    assert -(-size // part) <= 10_000
    assert in_flight(part) * part <= 64 * MIB or in_flight(part) == 1


@pytest.mark.parametrize("size", [1000, 20 * MIB], ids=["small", "large"])
def test_a_spoilt_upload_is_not_taken(far: Proxied, storage: Storage, size: int) -> None:
    """A byte that changes on the way up is noticed: sent again if it happens once, and an error if it goes on."""
    data = os.urandom(size)
    uploads = {"method": "PUT" if size > 8 * MIB or far.url.startswith("s3") else "POST"}
    far.proxy.trouble("spoil", times=None, **uploads)
    with pytest.raises(StorageError):
        spooled(storage, data, [])
    far.proxy.calm()
    assert storage.read("packs/large") is None
    if far.url.startswith("s3"):
        far.proxy.trouble("spoil", times=1, **uploads)
    assert spooled(storage, data, []) is True
    assert data == storage.read("packs/large")


def test_a_missing_bucket_is_not_an_empty_one(far: Proxied) -> None:
    """Every verb says that the bucket is missing, and how to make it."""
    scheme = far.url.partition("://")[0]
    verbs: list[Callable[[Storage], object]] = [
        lambda storage: storage.read("x"), lambda storage: storage.read("x", 3, 3), lambda storage: storage.stat("x"),
        lambda storage: storage.list(""), lambda storage: storage.create("x", b""),
        lambda storage: spooled(storage, bytes(9 * MIB), []), lambda storage: storage.delete(["x"]),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket'") as caught:
            verb(open_storage(f"{scheme}://no-such-bucket/store", far.options))
        assert "create the bucket" in (caught.value.hint or "")


S3_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
REFUSALS = {
    "denied": (403, S3_DENIED, "denies access", "rights|role"),
    "unknown key": (
        403, b"<Error><Code>InvalidAccessKeyId</Code><Message>unknown</Message></Error>", "credentials", "AWS_ACCESS",
    ),
    "wrong secret": (
        403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>", "credentials", "AWS_ACCESS",
    ),
    "expired": (400, b"<Error><Code>ExpiredToken</Code><Message>old</Message></Error>", "credentials", "AWS_ACCESS"),
    "unauthorized": (401, b'{"error": {"message": "Invalid Credentials"}}', "credentials", "login|AWS_ACCESS"),
    "odd": (400, b"<Error><Code>MalformedXML</Code><Message>odd</Message></Error>", "400", ""),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals_say_what_to_do(s3_proxied: Proxied, what: str) -> None:
    """A refusal of the store is one request, and an error that names the place and says what to do next."""
    status, body, said, hint = REFUSALS[what]
    storage = s3_proxied.open()
    s3_proxied.proxy.trouble("status", status=status, body=body, times=None)
    for verb in (partial(storage.read, "x"), partial(storage.create, "x", b""), partial(storage.list, "x")):
        with pytest.raises(StorageError, match=rf"cannot \w+ {s3_proxied.url}/x.*{said}") as caught:
            verb()
        assert re.search(hint, caught.value.hint or "")
    assert s3_proxied.proxy.count() == 3


def test_refusals_of_gcs_say_what_to_do(gcs_proxied: Proxied) -> None:
    """A refusal by GCS is one request, and an error with the service's words and what to do next."""
    storage = gcs_proxied.open()
    for status, hint in ((401, "login"), (403, "role")):
        gcs_proxied.proxy.trouble("status", status=status, body=b'{"error": {"message": "Not you."}}')
        with pytest.raises(StorageError, match=r"cannot read .*Not you") as caught:
            storage.read("x")
        assert hint in (caught.value.hint or "")
    assert gcs_proxied.proxy.count() == 2


def test_read_only_credentials_can_read(far: Proxied, storage: Storage) -> None:
    """Where writing is denied reading goes on, and writing says which rights it needs."""
    far.proxy.trouble("status", method="PUT", status=403, body=S3_DENIED, times=None)
    far.proxy.trouble("status", method="POST", status=403, body=b'{"error": {"message": "denied"}}', times=None)
    with pytest.raises(StorageError, match="denies access") as caught:
        storage.create("a/new", b"")
    assert "writing" in (caught.value.hint or "")
    assert storage.read("a/file") == b"0123456789"
    assert [entry.name for entry in storage.list("a")] == ["file"]


def test_what_cannot_be_removed_is_told(s3_proxied: Proxied) -> None:
    """An error for one name among many that S3 removes at once is an error of the whole."""
    body = (
        b"<DeleteResult><Error><Key>store/b</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        b"</DeleteResult>"
    )
    s3_proxied.proxy.trouble("status", method="POST", status=200, body=body)
    with pytest.raises(StorageError, match=r"store/b.*Access Denied"):
        s3_proxied.open().delete(["a", "b"])


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://127.0.0.1:9", "nothing answers there"), ("http://no-such-host.invalid:9", "cannot be resolved"),
    ],
)  # fmt: skip
def test_hosts_that_are_not_there(far: Proxied, endpoint: str, said: str) -> None:
    """A host that is not there, or does not listen, is told from other failures, within seconds."""
    with pytest.raises(StorageError, match=said) as caught:
        far.open(endpoint_url=endpoint, attempts=2).read("x")
    assert "endpoint_url" in (caught.value.hint or "")


def test_a_host_that_is_not_secure(far: Proxied) -> None:
    """A host that cannot make the connection secure is told from one that is not there."""
    with pytest.raises(StorageError, match="cannot be made secure") as caught:
        far.open(endpoint_url=far.server.replace("http:", "https:")).read("x")
    assert "certificate" in (caught.value.hint or "")


def test_no_credentials(s3: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no credentials at all nothing is sent, and the error says where to put them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    options = {name: value for name, value in s3.options.items() if name not in ("key", "secret")}
    with pytest.raises(StorageError, match="there are no credentials") as caught:
        open_storage(s3.url, options).read("x")
    assert "AWS_ACCESS_KEY_ID" in (caught.value.hint or "")


@pytest.mark.parametrize(("url", "module", "extra"), [("s3://b/x", "s3fs", "s3"), ("gs://b/x", "gcsfs", "gcs")])
def test_a_missing_package_is_named(url: str, module: str, extra: str) -> None:
    """Without the package that a protocol needs, the error says what to install."""
    script = (
        "import sys; sys.modules[sys.argv[2]] = None\n"
        "from friday_store.storage import open_storage\n"
        "from friday_store.errors import StorageError\n"
        "try: open_storage(sys.argv[1])\nexcept StorageError as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, url, module], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"pip install 'friday-store[{extra}]'"


@pytest.mark.parametrize(
    ("url", "options", "kind"),
    [
        ("s3://user:canary-1@bucket/x", {}, StorageError), ("gs://user:canary-1@bucket/x", {}, StorageError),
        ("s3://", {}, StorageError), ("s3://b/x", {"max_concurrency": 0, "secret": "canary-1"}, StorageError),
        ("gs://b/x", {"token": {"canary-1": "canary-1"}}, StorageError),
        ("gs://b/x", {"attempts": -1}, InvalidValueError),
        ("s3://b/x", {"attempt_timeout": "soon"}, InvalidValueError), ("s3://b/x", {"deadline": 0}, InvalidValueError),
    ],
)  # fmt: skip
def test_what_cannot_be_opened(url: str, options: dict[str, Any], kind: type[Exception]) -> None:
    """A URL or options that cannot be right are refused when the storage is opened, without showing them."""
    with pytest.raises(kind) as caught:
        open_storage(url, options)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_options_of_the_file_system_are_checked(s3: Served) -> None:
    """What s3fs or botocore do not understand is a mapped error, at the latest with the first request."""
    with pytest.raises(StorageError):
        s3.open(config_kwargs={"no_such_setting": 1}).read("x")


def test_limits_come_as_text_too(far: Proxied) -> None:
    """The limits may be texts, as they are in a configuration."""
    assert far.open(deadline="30", attempt_timeout="5.5", attempts="2").read("x") is None


SECRETS = {
    "key": "canary-key", "secret": "canary-secret", "token": "canary-token",
    "s3_additional_kwargs": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "canary-of-32-bytes-for-encryption"},
}  # fmt: skip


def test_no_secret_is_shown(s3_proxied: Proxied, caplog: pytest.LogCaptureFixture) -> None:
    """Secrets are in no message, hint, representation, traceback or log of ours, even if the store repeats them."""
    caplog.set_level(logging.DEBUG, logger="friday_store")
    said = (
        b"<Error><Code>Odd</Code><Message>got canary-secret, Authorization: AWS4 canary-a, http://u:canary-b@h/x?"
        b"X-Amz-Signature=canary-c&amp;X-Amz-Security-Token=canary-d and canary-of-32-bytes-for-encryption"
        b"</Message></Error>"
    )
    s3_proxied.proxy.trouble("status", status=418, body=said, times=None)
    storage = s3_proxied.open(**SECRETS)
    verbs: list[Callable[[], object]] = [
        lambda: storage.read("x"), lambda: storage.create("x", b""), lambda: storage.list(""),
        lambda: storage.delete(["x"]), lambda: spooled(storage, bytes(9 * MIB), []),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(StorageError, match="418 Odd: got") as caught:
            verb()
        shown = [*traceback.format_exception(caught.value), repr(caught.value), str(caught.value.hint), repr(storage)]
        assert "canary" not in "".join(shown)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("friday_store")]
    assert "canary" not in "".join(ours)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://ann:pw12@host/x", "at http://host/x"),
        ("GET /b/k?X-Amz-Credential=AK%2Fx&x=1", "GET /b/k?X-Amz-Credential=***&x=1"),
        ("?sig=abc%3D&se=2026", "?sig=***&se=***"),
        ("{'Authorization': 'Bearer ya29.abc-def'}", "{'Authorization': '***'}"),
        ("bearer ya29.abc", "bearer ***"),
        ("the password hunter22 is wrong", "the password *** is wrong"),
        ("nothing to hide: s3://bucket/key?", "nothing to hide: s3://bucket/key?"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    """Credentials in URLs, signatures, tokens and the values of secret options are taken out of any text."""
    assert shown == Redactor("http://host/", {"headers": {"X-Thing": "hunter22"}, "note": "hide"})(text)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a web server that knows no ranges and has one file."""
    (tmp_path / "site" / "a").mkdir(parents=True)
    (tmp_path / "site" / "a" / "file").write_bytes(b"0123456789")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    serve = partial(Handler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_web_server_can_be_read(web: str) -> None:
    """A protocol that cannot be written can be read, ranges too, even from a server that passes over them."""
    storage = open_storage(web)
    assert storage.read("a/file") == b"0123456789"
    for start, end in ((3, 5), (0, 4), (8, 50), (10, 20), (12, 20), (4, None), (10, None), (5, 5)):
        assert b"0123456789"[start:end] == storage.read("a/file", start, end)
    assert storage.read("a/none") is None
    assert storage.stat("a/none") is None
    found = storage.stat("a/file")
    assert found is not None
    assert found.size == 10
    with pytest.raises(StorageError, match="without overwriting") as caught:
        storage.create("a/new", b"")
    assert "read from this URL" in (caught.value.hint or "")


def test_nothing_warns_when_storages_go(far: Proxied) -> None:
    """A storage that is let go leaves no open connection that Python complains of."""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        storage = far.open()
        storage.read("x")
        del storage
        gc.collect()
    assert [str(each.message) for each in complaints] == []
