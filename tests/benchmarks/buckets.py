"""The S3 server of a run, and the bucket that one side has on it."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import s3fs

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Setting


class Bucket:
    """A fresh bucket.

    Args:
        setting: Names the server.
        name: The bucket's name, of which there must be none yet.

    Attributes:
        options: What fsspec's file system needs.
        files: That file system, without a cache of listings.
    """

    def __init__(self, setting: Setting, name: str) -> None:
        self.name = name
        self.options: dict[str, Any] = {
            "key": "test",
            "secret": "test-secret",
            "endpoint_url": setting.endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
        }
        self.files = s3fs.S3FileSystem(**self.options, use_listings_cache=False, skip_instance_cache=True)
        # s3fs names the region in the request, which the region that is the default refuses
        request = urllib.request.Request(f"{setting.endpoint}/{name}", method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def url(self, place: str) -> str:
        """Return the URL of a place in the bucket."""
        return f"s3://{self.name}/{place}"

    def remove(self, place: str) -> None:
        """Delete everything at a place, so that the server need not keep it in memory."""
        self.files.rm(f"{self.name}/{place}", recursive=True)
