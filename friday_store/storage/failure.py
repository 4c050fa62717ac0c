"""What a store answers when it does not do what it was asked, and what that means to a person."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final, Literal

from friday_store.errors import StorageError

Cause = Literal["timeout", "connect", "name", "tls", "reply"]

_TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_TRANSIENT_CODES: Final = frozenset(
    {
        "BadDigest", "IncompleteBody", "InternalError", "RequestTimeout", "RequestTimeoutException", "SlowDown",
        "ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequests", "XAmzContentSHA256Mismatch",
    }
)  # fmt: skip
_UNKNOWN: Final = frozenset(
    {
        "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "NoCredentials", "NotSignedUp", "RequestTimeTooSkewed",
        "SignatureDoesNotMatch", "TokenRefreshRequired",
    }
)  # fmt: skip
_BROKEN: Final[dict[Cause, tuple[int | None, str, str]]] = {
    "timeout": (
        errno.ETIMEDOUT,
        "the store did not answer in time",
        "run the command again, or allow more time with the option 'deadline' (seconds)",
    ),
    "connect": (
        errno.ECONNREFUSED,
        "nothing answers there",
        "check the network, a proxy, and the option 'endpoint_url'; then run the command again",
    ),
    "name": (None, "the host name cannot be resolved", "check the network, and the option 'endpoint_url'"),
    "tls": (
        None,
        "the connection cannot be made secure",
        "check the certificate of the host, or the option 'endpoint_url'",
    ),
    "reply": (errno.EIO, "the answer broke off or makes no sense", "run the command again"),
}


class Refused(Exception):  # noqa: N818 - an answer
    """The store answered, and not with success.

    Attributes:
        status: The HTTP status; 0 when nothing was sent.
        code: The store's word for it.
        message: The store's sentence about it.
    """

    final = False

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.status in _TRANSIENT or self.code in _TRANSIENT_CODES


class Broken(Exception):  # noqa: N818 - the absence of one
    """The store gave no answer, or not a whole one.

    Attributes:
        cause: In what way.
    """

    def __init__(self, cause: Cause, said: str) -> None:
        super().__init__(said)
        self.cause = cause

    @property
    def final(self) -> bool:
        """Whether asking again is in vain."""
        return self.cause == "tls"


@dataclass(frozen=True)
class Advice:
    """What to do next, in the words of one kind of store.

    Attributes:
        bucket: To make a bucket; ``{}`` is its name.
        credentials: To give credentials.
        rights: The rights that reading and writing need.
    """

    bucket: str
    credentials: str
    rights: str


def explained(error: Refused | Broken, what: str, bucket: str, advice: Advice) -> StorageError:
    """Return the error for a person.

    Args:
        error: What happened.
        what: What could not be done, such as ``cannot read s3://b/x``.
        bucket: The bucket's name.
        advice: The store's own words.
    """
    if isinstance(error, Broken):
        number, said, hint = _BROKEN[error.cause]
        return _made(f"{what}: {said} ({error})", hint, number)
    if error.code == "NoSuchBucket":
        return _made(f"{what}: there is no bucket {bucket!r}", advice.bucket.format(bucket), None)
    if error.status == 401 or error.code in _UNKNOWN:
        said = f"the store does not accept the credentials ({_said(error)})"
        if error.code == "NoCredentials":
            said = f"there are no credentials ({error.message})"
        return _made(f"{what}: {said}", advice.credentials, errno.EACCES)
    if error.status == 403:
        return _made(f"{what}: the store denies access ({_said(error)})", advice.rights, errno.EACCES)
    if error.transient:
        return _made(f"{what}: the store failed ({_said(error)})", "run the command again in a while", errno.EIO)
    return _made(f"{what}: {_said(error)}", None, None)


def _said(error: Refused) -> str:
    return f"{error.status} {error.code}: {error.message}".removesuffix(": ").strip()


def _made(message: str, hint: str | None, number: int | None) -> StorageError:
    error = StorageError(message, hint=hint)
    error.errno = number
    return error
