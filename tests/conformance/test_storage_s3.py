"""S3 keeps what every storage promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from friday_store.storage import Storage, open_storage
from friday_store.testing import StorageTests
from tests.servers.fixtures import Served


class TestS3Storage(StorageTests):
    """A prefix in a bucket."""

    @pytest.fixture
    def reopen(self, s3: Served) -> Callable[[], Storage]:
        """Return a function that opens the prefix."""
        return s3.open

    @pytest.fixture
    def unwritable(self, s3: Served) -> Storage:
        """Return a prefix in a bucket that is not there."""
        return open_storage("s3://nothing-here/store", s3.options)
