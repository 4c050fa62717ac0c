"""Keep secrets out of what people see: URLs without their credentials, texts without keys and tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN: Final = "***"
_SHORTEST: Final = 6
_SECRET: Final = re.compile(
    r"key|secret|token|pass|credential|sas|auth|signature|cookie|header|connection_string", re.IGNORECASE
)
_PATTERNS: Final = (
    (re.compile(r"(\w://)[^\s/@'\"]+@"), r"\1"),
    (
        re.compile(
            r"([?&;](?:x-(?:amz|goog)-[a-z-]+|\w*sig(?:nature)?|[\w-]*token|[\w-]*key[\w-]*|upload_?id|code|se|sp|sv)=)[^&\s'\"<>]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"((?:authorization|x-amz-security-token|cookie)['\"]?\s*[:=]\s*['\"]?)[^\r\n'\"]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(\bbearer\s+)[\w.~+/=-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
)


def without_secrets(url: str) -> str:
    """Return the URL without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


class Redactor:
    """Removes one storage's secrets from texts, and what looks like a secret wherever it is from.

    Args:
        url: The URL as the user gave it.
        options: The options as the user gave them.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        parts = urlsplit(url)
        found = {parts.username or "", parts.password or "", unquote(parts.password or ""), parts.query, parts.fragment}
        found.update(_secrets(options, secret=False))
        self._values = sorted((text for text in found if len(text) >= _SHORTEST), key=len, reverse=True)
        self._url = url

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        text = text.replace(self._url, without_secrets(self._url))
        for value in self._values:
            text = text.replace(value, HIDDEN)
        for pattern, shown in _PATTERNS:
            text = pattern.sub(shown, text)
        return text

    def clean(self, error: BaseException) -> bool:
        """Whether a traceback of this error, and of what led to it, would show no secret."""
        seen: set[int] = set()
        chain: list[BaseException | None] = [error]
        while chain:
            link = chain.pop()
            if link is None or id(link) in seen:
                continue
            seen.add(id(link))
            if any(self(text) != text for text in (str(link), repr(link))):
                return False
            chain += [link.__cause__, None if link.__suppress_context__ else link.__context__]
        return True


def _secrets(value: Any, *, secret: bool) -> Iterator[str]:
    """Iterate over the strings below keys that speak of secrets."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, secret=secret or bool(_SECRET.search(str(key))))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item, secret=secret)
    elif isinstance(value, str) and secret:
        yield value
    elif isinstance(value, bytes) and secret:
        yield value.decode(errors="replace")
