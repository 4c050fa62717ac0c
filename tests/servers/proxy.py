"""An HTTP proxy in front of a server that loses, breaks, delays and counts what goes through it.

It reads the framing of HTTP/1.1 and nothing else: heads, lengths, chunks, ``100 Continue``. Bodies pass through
without being held, but for those that a trouble changes. Every request has its own connection to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from tests.servers.background import Background

Action = Literal["status", "reset", "hang", "half", "drip", "lost", "corrupt", "short", "spoil"]

_BLOCK: Final = 1 << 16
_FRAMING: Final = re.compile("content-length|transfer-encoding", re.IGNORECASE)
_SUMS: Final = re.compile(r"x-amz-checksum-.*|x-goog-hash|content-md5|etag", re.IGNORECASE)


@dataclass
class Trouble:
    """What goes wrong with some requests.

    Attributes:
        action: ``status`` (answer so without asking the server), ``reset`` (before anything is done), ``hang``
            (no answer), ``half`` (half of the reply, then the end), ``drip`` (the reply at 1 KB/s), ``lost`` (done,
            and reset in place of the reply), ``corrupt`` (other bytes of the same length, no checksums), ``short``
            (half of the body, as if that were all) or ``spoil`` (one byte of the request's body is another).
        method: Of the requests meant; None for any.
        target: A pattern searched in path and query of the requests meant.
        nth: From which of them on, from 1.
        times: How many of them; None for all from there on.
        status: For ``status``.
        body: For ``status``.
    """

    action: Action
    method: str | None = None
    target: str = ""
    nth: int = 1
    times: int | None = 1
    status: int = 503
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seen: int = 0

    def hits(self, method: str, target: str) -> bool:
        """Count a request if it is meant, and say whether this is its time."""
        if self.method not in (None, method) or not re.search(self.target, target):
            return False
        self.seen += 1
        return self.nth <= self.seen and (self.times is None or self.seen < self.nth + self.times)


@dataclass
class Request:
    """A request that came: body bytes in and out, and the status sent, 0 for none."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int = 0
    received: int = 0
    sent: int = 0


@dataclass(frozen=True)
class _Head:
    first: str
    fields: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key.lower() == name), None)

    def without(self, pattern: re.Pattern[str], **more: str) -> _Head:
        kept = [(name, value) for name, value in self.fields if not pattern.fullmatch(name)]
        return _Head(self.first, kept + [(name.replace("_", "-"), value) for name, value in more.items()])

    def __bytes__(self) -> bytes:
        return "".join([f"{self.first}\r\n", *(f"{n}: {v}\r\n" for n, v in self.fields), "\r\n"]).encode("latin-1")

    @property
    def status(self) -> int:
        return int(self.first.split()[1])


class Proxy(Background):
    """A proxy for one server.

    Args:
        upstream: The server's URL.
        without: Headers that no request keeps, for a server that does not know them.

    Attributes:
        url: Where it listens.
        requests: What came so far, in order.
    """

    def __init__(self, upstream: str, *, without: tuple[str, ...] = ()) -> None:
        where = urlsplit(upstream)
        self._upstream = (where.hostname or "", where.port or 80)
        self._without = re.compile("|".join((*without, "connection")), re.IGNORECASE)
        self._troubles: list[Trouble] = []
        self._cut: int | None = None
        self._held: tuple[str, int] | None = None
        self._enough = asyncio.Event()
        self._lock = threading.Lock()
        self._serving: set[asyncio.Task[None] | None] = set()
        self.requests: list[Request] = []
        self.url = ""

    def trouble(self, action: Action, **options: Any) -> Trouble:
        """Add a trouble; see :class:`Trouble`."""
        made = Trouble(action, **options)
        with self._lock:
            self._troubles.append(made)
        return made

    def cut(self, after: int) -> None:
        """Refuse everything once ``after`` more requests have come."""
        with self._lock:
            self._cut = after

    def hold(self, count: int, method: str) -> None:
        """Let no request of this method through before ``count`` of them are waiting, once."""
        with self._lock:
            self._held = (method, count)
            self._enough = asyncio.Event()

    def calm(self) -> None:
        """End all troubles."""
        with self._lock:
            self._troubles.clear()
            self._cut = self._held = None

    def forget(self) -> None:
        """Count from here."""
        with self._lock:
            self.requests = []

    def count(self, method: str | None = None, target: str = "") -> int:
        """Return how many requests of this method came whose path and query have a match of the pattern."""
        with self._lock:
            found = [r for r in self.requests if method in (None, r.method)]
        return sum(re.search(target, f"{r.path}?{r.query}") is not None for r in found)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_BLOCK)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio itself forgets a task whose client has gone, while it still waits for the server
        self._serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (head := await _head(reader)) is not None and await self._request(head, reader, writer):
                pass
        with contextlib.suppress(ConnectionError):
            writer.close()
        self._serving.discard(asyncio.current_task())

    def _met(self, method: str, target: str) -> tuple[Request, Trouble | None]:
        path, _, query = target.partition("?")
        seen = Request(method, path, query, {})
        with self._lock:
            self.requests.append(seen)
            hits = [trouble for trouble in self._troubles if trouble.hits(method, target)]
            if self._cut is not None:
                self._cut -= 1
                if self._cut < 0:
                    hits = [Trouble("reset")]
        return seen, hits[0] if hits else None

    async def _request(self, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is at its end."""
        method, target, _ = head.first.split(" ", 2)
        seen, trouble = self._met(method, target)
        seen.headers = {name.lower(): value for name, value in head.fields}
        if self._held is not None and self._held[0] == method:
            if self.count(method) >= self._held[1]:
                self._enough.set()
            await self._enough.wait()
        if trouble is None:
            return await self._pass(head, reader, writer, seen, None)
        if trouble.action == "reset":
            _reset(writer)
            return False
        if trouble.action in ("status", "hang"):
            if (head.get("expect") or "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async for block in _body(reader, head, request=True):
                seen.received += len(block)
            if trouble.action == "hang":
                await reader.read(1)
                return False
            fields = [("Content-Length", str(len(trouble.body))), *trouble.headers.items()]
            body = b"" if method == "HEAD" else trouble.body
            writer.write(bytes(_Head(f"HTTP/1.1 {trouble.status} Trouble", fields)) + body)
            await writer.drain()
            seen.status = trouble.status
            return True
        return await self._pass(head, reader, writer, seen, trouble.action)

    async def _pass(
        self,
        head: _Head,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: Request,
        action: Action | None,
    ) -> bool:
        there, back = await asyncio.open_connection(*self._upstream, limit=_BLOCK)
        try:
            back.write(bytes(head.without(self._without, Connection="close")))
            upload = asyncio.create_task(_pump(reader, head, back, seen, spoiled=action == "spoil"))
            try:
                reply = await self._reply(there, writer)
                seen.status = reply.status
                if action == "lost":
                    async for _ in _framed(there, reply, seen.method):
                        pass
                    await upload
                    _reset(writer)
                    return False
                await _answer(there, reply, writer, seen, action)
                return action not in ("half", "drip") and upload.done() and _framing(reply, seen.method) != "open"
            finally:
                upload.cancel()
                await asyncio.gather(upload, return_exceptions=True)
        finally:
            back.close()

    async def _reply(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Head:
        while True:
            reply = await _head(there)
            if reply is None:
                raise ConnectionError("the server closed the connection")
            if reply.status != 100:
                return reply
            writer.write(bytes(reply))


async def _head(reader: asyncio.StreamReader) -> _Head | None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    fields = [line.partition(":")[::2] for line in lines[1:] if line]
    return _Head(lines[0], [(name.strip(), value.strip()) for name, value in fields])


def _framing(head: _Head, method: str, *, request: bool = False) -> Literal["none", "chunked", "open"] | int:
    if not request and (method == "HEAD" or head.status in (204, 304)):
        return "none"
    if (head.get("transfer-encoding") or "").lower() == "chunked":
        return "chunked"
    length = head.get("content-length")
    return int(length) if length is not None else "none" if request else "open"


async def _body(reader: asyncio.StreamReader, head: _Head, *, request: bool) -> AsyncIterator[bytes]:
    async for _, data, _ in _framed(reader, head, "", request=request):
        yield data


async def _framed(
    reader: asyncio.StreamReader, head: _Head, method: str, *, request: bool = False
) -> AsyncIterator[tuple[bytes, bytes, bytes]]:
    """Read a body to its end: what stands before some data on the wire, the data, and what stands after."""
    framing = _framing(head, method, request=request)
    if framing == "open":
        while block := await reader.read(_BLOCK):
            yield b"", block, b""
    elif isinstance(framing, int):
        left = framing
        while left:
            block = await reader.read(min(left, _BLOCK))
            if not block:
                raise ConnectionError("the body ended early")
            left -= len(block)
            yield b"", block, b""
    elif framing == "chunked":
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if not size:
                rest = b""
                while not rest.endswith(b"\r\n\r\n") and rest != b"\r\n":
                    rest += await reader.readuntil(b"\r\n")
                yield line, b"", rest
                return
            yield line, await reader.readexactly(size), await reader.readexactly(2)


async def _pump(
    reader: asyncio.StreamReader, head: _Head, back: asyncio.StreamWriter, seen: Request, *, spoiled: bool
) -> None:
    middle = int(head.get("content-length") or 0) // 2 if spoiled else -1
    async for before, data, after in _framed(reader, head, "", request=True):
        at = middle - seen.received
        sent = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if 0 <= at < len(data) else data
        seen.received += len(data)
        back.write(before + sent + after)
        await back.drain()


async def _answer(
    there: asyncio.StreamReader, reply: _Head, writer: asyncio.StreamWriter, seen: Request, action: Action | None
) -> None:
    """Send a reply on, as it is or changed."""
    if action in (None, "spoil"):
        writer.write(bytes(reply))
        async for before, data, after in _framed(there, reply, seen.method):
            seen.sent += len(data)
            writer.write(before + data + after)
            await writer.drain()
        await writer.drain()
        return
    body = b"".join([data async for _, data, _ in _framed(there, reply, seen.method)])
    head = reply
    if action in ("corrupt", "short"):
        head = reply.without(_SUMS)
        body = bytes(byte ^ 0x15 for byte in body[:64]) + body[64:] if action == "corrupt" else body[: len(body) // 2]
    if seen.method != "HEAD":
        head = head.without(
            re.compile("content-length|transfer-encoding", re.IGNORECASE), Content_Length=str(len(body))
        )
    whole = bytes(head) + body
    if action == "half":
        whole = bytes(head) + body[: len(body) // 2] if body else whole[: len(whole) // 2]
    seen.sent += max(0, len(whole) - len(bytes(head)))
    if action == "drip":
        for at in range(0, len(whole), 100):
            writer.write(whole[at : at + 100])
            await writer.drain()
            await asyncio.sleep(0.1)
    else:
        writer.write(whole)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    made = writer.get_extra_info("socket")
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
