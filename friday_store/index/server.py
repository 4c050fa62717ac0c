"""Where an index on a PostgreSQL server is, with all that connecting to it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn
from urllib.parse import urlsplit

from friday_store.errors import InvalidValueError
from friday_store.storage.redaction import Redactor, without_secrets

SCHEMES: Final = ("postgresql", "postgres")


@dataclass(frozen=True, repr=False)
class Server:
    """A database on a server, credentials included; not shown by ``repr`` and never pickled.

    Attributes:
        url: ``postgresql://[user[:password]@]host[:port]/database[?option=value]``, as libpq has it.
        options: More of libpq's options, such as ``password`` and ``sslmode``; they outrank those in the URL.

    Raises:
        InvalidValueError: It is the URL of something else.
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not serves(self.url):
            raise InvalidValueError(
                "the URL of an index begins with postgresql:// or sqlite:///", path="index", hint="friday-store index"
            )
        rest = self.url.partition("://")[2].partition("?")[0]
        try:
            urlsplit(self.url)
            sound = "@" not in rest.partition("/")[2]
        except ValueError:
            sound = False
        if not sound:  # and nothing of it is shown, since what is the password in it cannot be told
            raise InvalidValueError(
                "the URL of the index cannot be taken apart", path="index", hint="write %2F for a / in a password"
            )

    def __repr__(self) -> str:
        return f"Server({self.place!r}, options={sorted(self.options)})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a server's URL holds credentials and is not pickled or copied; read the configuration again")

    @property
    def place(self) -> str:
        """The URL without user, password and query."""
        return without_secrets(self.url)

    def clean(self, text: str) -> str:
        """Return text, such as the driver's error, without this server's credentials."""
        return Redactor(self.url, self.options)(text)


def serves(url: str) -> bool:
    """Whether a URL is that of a database on a server."""
    return url.partition("://")[0] in SCHEMES and "://" in url
