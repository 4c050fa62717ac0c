"""What is secret in a URL or an option, and what may be shown in its place.

An option is secret when its name, or that of a table around it, looks so (``key``, ``secret``, ``token``,
``sas_token``, ``connection_string``, ``Authorization`` and the like), whatever the library calls it; and any text
that is a URL with a user, a password or a signature. A value that only says where the secret stands (``env:NAME``,
``file:PATH``) is not secret, nor are switches. The guess errs on the side of secrecy: the price is ``--local``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

HIDDEN: Final = "***"
INDIRECTION: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:(?!//).+", re.DOTALL)

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s'\"]*)")
_NAMES: Final = frozenset({"auth", "key", "pass", "pat", "pwd", "sas", "sig"})
_PARTS: Final = (
    "accesskey", "accountkey", "apikey", "authorization", "connectionstring", "cookie", "credential", "customerkey",
    "passphrase", "passwd", "password", "privatekey", "secret", "serviceaccountkey", "sharedkey", "signature", "token",
)  # fmt: skip
_PLACES: Final = ("endpoint", "expiry", "file", "path", "profile", "type", "uri", "url")
_WORDS: Final = frozenset({"", "anon", "browser", "cache", "cloud", "google_default"})
_HOSTED: Final = frozenset({"abfs", "abfss", "ftp", "hdfs", "sftp", "smb", "ssh", "wasb", "wasbs"})


def secret_name(name: str) -> bool:
    """Whether an option of this name, or a part of a query, holds a secret."""
    flat = re.sub(r"[^a-z0-9]", "", name.lower())
    if flat.endswith(_PLACES):
        return False
    return flat in _NAMES or any(part in flat for part in _PARTS)


def secret(path: Sequence[str], value: Any) -> bool:
    """Whether a value, or anything inside it, is secret.

    Args:
        path: The names on the way to it, such as ``("client_kwargs", "aws_session_token")``.
        value: Text, a number, a switch, or tables and lists of them.
    """
    return any(_secret(way, leaf) for way, leaf in _leaves(path, value))


def shown(path: Sequence[str], value: Any) -> Any:
    """Return a value with ``***`` for what is secret in it, and URLs without user, password and query."""
    if isinstance(value, Mapping):
        return {name: shown((*path, name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(path, item) for item in value]
    if _secret(path, value) and _named(path, value):
        return HIDDEN
    return shown_urls(value) if isinstance(value, str) and not INDIRECTION.fullmatch(value) else value


def shown_urls(text: str) -> str:
    """Return text with every URL in it without user, password, query and fragment."""
    return _URL.sub(lambda found: found[1] + _placed(found[2])[1], text) if "://" in text else text


def with_credentials(text: str) -> bool:
    """Whether a text has a URL that lets in whoever reads it: a user, a password, or a signed query."""
    return any(_opens(found[1], found[2]) for found in _URL.finditer(text))


def misplaced(text: str) -> bool:
    """Whether a text has a URL in which a slash stands before the ``@`` that ends the password."""
    return any("/" in _placed(found[2])[0] for found in _URL.finditer(text))


def _secret(path: Sequence[str], value: Any) -> bool:
    if value is None or isinstance(value, bool) or (isinstance(value, str) and INDIRECTION.fullmatch(value)):
        return False
    return _named(path, value) or (isinstance(value, str) and with_credentials(value))


def _named(path: Sequence[str], value: Any) -> bool:
    if not any(secret_name(name) for name in path):
        return False
    key_file = path[-1] == "token" and isinstance(value, str) and value.endswith(".json") and "{" not in value
    return not key_file and value not in _WORDS


def _opens(scheme: str, rest: str) -> bool:
    user, place = _placed(rest)
    query = rest[len(user) :].partition("?")[2].partition("#")[0]
    if any(secret_name(name) for name, _ in parse_qsl(query, keep_blank_values=True)):
        return True
    return bool(user) and (":" in user or scheme.removesuffix("://").lower() not in _HOSTED or not place)


def _placed(rest: str) -> tuple[str, str]:
    """Return what stands after ``://`` as the user's part with its ``@``, and the place without query and fragment.

    A slash in a password makes the URL wrong, but AWS's own secrets have them, so people write such URLs.
    """
    host = rest.partition("/")[0]
    port = host.rpartition(":")[2]
    if "@" in host:
        user = host[: host.rindex("@") + 1]
    elif ":" in host and "@" in rest and not port.isdecimal() and host[:1] != "[":
        user = rest[: rest.rindex("@") + 1]
    else:
        user = ""
    return user, re.split(r"[?#]", rest[len(user) :], maxsplit=1)[0]


def _leaves(path: Sequence[str], value: Any) -> Iterator[tuple[Sequence[str], Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves((*path, str(name)), item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(path, item)
    else:
        yield path, value
