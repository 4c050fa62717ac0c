"""An S3 server that somebody else started, named by the environment: a Ceph gateway, MinIO, or a bucket to spare.

``FRIDAY_STORE_TEST_S3=http://127.0.0.1:7480 FRIDAY_STORE_TEST_S3_KEY=… FRIDAY_STORE_TEST_S3_SECRET=…`` makes the tests
that ask for ``s3`` go there. Each makes a fresh bucket, and leaves it.
"""

from __future__ import annotations

import os
from typing import Any, Self

_VARIABLE = "FRIDAY_STORE_TEST_S3"


class GivenS3:
    """The server that the environment names.

    Args:
        endpoint: Its URL.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.key = os.environ[f"{_VARIABLE}_KEY"]
        self.secret = os.environ[f"{_VARIABLE}_SECRET"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave it running: it is not ours."""

    @classmethod
    def named(cls) -> GivenS3 | None:
        """Return the server that the environment names, if it names one."""
        endpoint = os.environ.get(_VARIABLE)
        return cls(endpoint) if endpoint else None

    def bucket(self, name: str) -> None:
        """Make a bucket."""
        s3_client(self.endpoint, self.key, self.secret).create_bucket(Bucket=name)


def s3_client(endpoint: str, key: str, secret: str) -> Any:
    """Return botocore's own client of a server, which knows nothing of fsspec or of this package."""
    import botocore.session

    options = {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": "us-east-1"}
    return botocore.session.Session().create_client("s3", endpoint_url=endpoint, **options)
