"""Object stores, a database and a browser that run on this machine, as fixtures.

One server for each worker, a fresh bucket for each test.
``s3`` and ``gcs`` go to the server; ``s3_proxied`` and ``gcs_proxied`` through a proxy of the test's own;
``s3_unconditional`` and ``gcs_unconditional`` ignore preconditions, so that every writer of a name wins.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from friday_store.storage import Storage, open_storage
from tests.servers.given import GivenS3
from tests.servers.ministack import Ministack
from tests.servers.proxy import Proxy

if TYPE_CHECKING:
    from tests.servers.gcs import FakeGcs
    from tests.servers.postgres import PostgresServer


@dataclass(frozen=True)
class Served:
    """A place in a fresh bucket.

    Attributes:
        url: For ``open_storage`` and everything that takes a URL; the place is empty.
        options: What goes with it.
        bucket: The bucket's name.
        endpoint: The server's URL, or the proxy's.
        server: The server's URL, past the proxy.
    """

    url: str
    options: Mapping[str, Any]
    bucket: str
    endpoint: str
    server: str

    def open(self, **options: Any) -> Storage:
        """Return a storage there, as another process would open it."""
        return open_storage(self.url, {**self.options, **options})

    @property
    def direct(self) -> Served:
        """The same place past the proxy."""
        return replace(self, endpoint=self.server, options={**self.options, "endpoint_url": self.server})


@dataclass(frozen=True)
class Proxied(Served):
    """A place behind a proxy of its own."""

    proxy: Proxy


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack | GivenS3]:
    """The S3 server of this worker, or the one that the environment names."""
    with GivenS3.named() or Ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[FakeGcs]:
    """The GCS server of this worker."""
    from tests.servers.gcs import FakeGcs

    with FakeGcs() as server:
        yield server


@pytest.fixture(scope="session")
def unconditional_gcs() -> Iterator[FakeGcs]:
    """A GCS server that ignores preconditions."""
    from tests.servers.gcs import FakeGcs

    with FakeGcs(preconditions=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this worker; where the machine has none, CI fails, and anybody else is told."""
    try:
        from tests.servers.postgres import PostgresServer, programs
    except ImportError:
        _untested("PostgreSQL", "there is no psycopg here (pip install -e '.[test]')")
    found = programs()
    if found is None:
        _untested("PostgreSQL", "there is no PostgreSQL on this machine (apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, PostgresServer(Path(folder), found) as server:
        yield server


@pytest.fixture
def browser() -> Iterator[Any]:
    """Return a real Chromium."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
    if program is None:
        _untested("Chromium", "there is none on this machine (apt-get install chromium-headless-shell)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def _untested(what: str, reason: str) -> NoReturn:
    """Fail in CI, and elsewhere skip with words that cannot be overlooked."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}: {reason}")
    pytest.skip(f"NOT TESTED WITH {what.upper()}: {reason}")


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def index_url(request: pytest.FixtureRequest) -> str | None:
    """Where an index is, for what must hold wherever it is: once None, for the usual place, and once on a server."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres").url)


@pytest.fixture
def engine(index_url: str | None, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let every index of a test, in other processes too, be in SQLite once and once in PostgreSQL; which one."""
    if index_url is not None:
        monkeypatch.setenv("FRIDAY_STORE_INDEX", index_url)
    return "sqlite" if index_url is None else "postgres"


@pytest.fixture
def proxied() -> Iterator[Callable[..., Proxy]]:
    """A function that puts a proxy in front of a URL until the test's end."""
    made: list[Proxy] = []

    def put(upstream: str, **options: Any) -> Proxy:
        made.append(Proxy(upstream, **options).__enter__())
        return made[-1]

    yield put
    for each in made:
        each.__exit__()


@pytest.fixture
def s3(ministack: Ministack | GivenS3, cloud_environment: None) -> Served:
    """A place in S3."""
    return _s3(ministack, ministack.endpoint)


@pytest.fixture
def s3_proxied(ministack: Ministack | GivenS3, proxied: Callable[..., Proxy], cloud_environment: None) -> Proxied:
    """A place in S3, through a proxy."""
    proxy = proxied(ministack.endpoint)
    return Proxied(**vars(_s3(ministack, proxy.url)), proxy=proxy)


@pytest.fixture
def s3_unconditional(ministack: Ministack | GivenS3, proxied: Callable[..., Proxy], cloud_environment: None) -> Served:
    """A place in an S3 that does not know ``If-None-Match``."""
    return _s3(ministack, proxied(ministack.endpoint, without=("if-none-match",)).url)


@pytest.fixture
def gcs(fake_gcs: FakeGcs, cloud_environment: None) -> Served:
    """A place in GCS."""
    return _gcs(fake_gcs, fake_gcs.endpoint)


@pytest.fixture
def gcs_proxied(fake_gcs: FakeGcs, proxied: Callable[..., Proxy], cloud_environment: None) -> Proxied:
    """A place in GCS, through a proxy."""
    proxy = proxied(fake_gcs.endpoint)
    return Proxied(**vars(_gcs(fake_gcs, proxy.url)), proxy=proxy)


@pytest.fixture
def gcs_unconditional(unconditional_gcs: FakeGcs, cloud_environment: None) -> Served:
    """A place in a GCS that ignores preconditions."""
    return _gcs(unconditional_gcs, unconditional_gcs.endpoint)


@pytest.fixture
def cloud_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep credentials and settings of this machine, and the search for more of them, out of the test."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def _s3(server: Ministack | GivenS3, endpoint: str) -> Served:
    bucket = f"models-{uuid.uuid4().hex[:12]}"
    server.bucket(bucket)
    options = {
        "key": server.key, "secret": server.secret, "endpoint_url": endpoint,
        "client_kwargs": {"region_name": "us-east-1"},
    }  # fmt: skip
    return Served(f"s3://{bucket}/store", options, bucket, endpoint, server.endpoint)


def _gcs(server: FakeGcs, endpoint: str) -> Served:
    bucket = f"models-{uuid.uuid4().hex[:12]}"
    server.bucket(bucket)
    return Served(
        f"gs://{bucket}/store", {"token": "anon", "endpoint_url": endpoint}, bucket, endpoint, server.endpoint
    )
