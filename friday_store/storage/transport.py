"""What failures of sockets and of aiohttp mean, below both S3 and GCS."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import aiohttp

from friday_store.storage.failure import Broken


def broken(error: BaseException) -> Broken | None:
    """Return in what way no whole answer came; None if this is about something else."""
    chain = list(_led_to(error))
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    if any(isinstance(link, socket.gaierror) for link in chain):
        return Broken("name", said)
    if any(isinstance(link, aiohttp.ClientSSLError) for link in chain):
        return Broken("tls", said)
    if any(isinstance(link, TimeoutError) for link in chain):
        return Broken("timeout", said)
    if any(isinstance(link, aiohttp.ClientConnectorError | ConnectionRefusedError) for link in chain):
        return Broken("connect", said)
    if any(isinstance(link, aiohttp.ClientError | ConnectionError | EOFError) for link in chain):
        return Broken("reply", said)
    return None


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """Iterate over an error and what it names as its reasons."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        link = waiting.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            inner = getattr(link, "kwargs", None)
            waiting += [link.__cause__, link.__context__, getattr(link, "os_error", None)]
            waiting += [inner.get("error")] if isinstance(inner, dict) else []
