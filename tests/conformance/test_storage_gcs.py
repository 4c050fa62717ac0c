"""GCS keeps what every storage promises."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from gcsfs.core import GCSFileSystem

from friday_store.storage import Storage, open_storage
from friday_store.testing import StorageTests
from tests.servers.fixtures import Served


class TestGcsStorage(StorageTests):
    """A prefix in a bucket."""

    @pytest.fixture
    def reopen(self, gcs: Served) -> Callable[[], Storage]:
        """Return a function that opens the prefix."""
        return gcs.open

    @pytest.fixture
    def unwritable(self, gcs: Served) -> Storage:
        """Return a prefix in a bucket that is not there."""
        return open_storage("gs://nothing-here/store", gcs.options)


def test_the_server_speaks_as_gcsfs_expects(gcs: Served, tmp_path: Path) -> None:
    """The server of these tests answers gcsfs's own requests too, and refuses what it should."""
    fs = GCSFileSystem(token="anon", endpoint_url=gcs.endpoint, use_listings_cache=False, skip_instance_cache=True)
    data = os.urandom(6 << 20)
    (tmp_path / "file").write_bytes(data)
    fs.put_file(str(tmp_path / "file"), f"{gcs.bucket}/a/large", mode="create", chunksize=1 << 20)
    fs.pipe_file(f"{gcs.bucket}/a/small", b"0123", mode="create", consistency="md5")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{gcs.bucket}/a/small", b"4567", mode="create")
    assert fs.cat_file(f"{gcs.bucket}/a/large") == data
    assert fs.cat_file(f"{gcs.bucket}/a/small", start=1, end=3) == b"12"
    assert [item["size"] for item in fs.ls(f"{gcs.bucket}/a", detail=True)] == [len(data), 4]
    fs.rm([f"{gcs.bucket}/a/large", f"{gcs.bucket}/a/small"])
    assert fs.find(gcs.bucket) == []
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(f"{gcs.endpoint}/storage/v1/b/{gcs.bucket}/iam")
