"""One range of one file, however often its reply breaks off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from friday_store.storage.failure import Broken, Refused
from friday_store.storage.patience import Clock

_PAST_THE_END: Final = 416


@dataclass(frozen=True)
class Body:
    """A reply that is being read.

    Attributes:
        start: Where in the file its first byte is.
        total: The file's size; None when the store does not say.
        tag: The file's identity; another one means another file.
        blocks: The bytes.
    """

    start: int
    total: int | None
    tag: str
    blocks: AsyncIterator[bytes]


class Download:
    """The read of one range, which goes on where an attempt broke off.

    Files never change, so two replies can be put together; where the store says that it is another file by now,
    everything is read anew. A reply that is shorter than the size it states is not whole.
    """

    def __init__(
        self,
        get: Callable[[str, int, int | None], AbstractAsyncContextManager[Body]],
        key: str,
        start: int,
        end: int | None,
    ) -> None:
        self._get = get
        self._key = key
        self._start = start
        self._end = end
        self._tag = ""
        self._blocks: list[bytes] = []
        self._got = 0

    async def attempt(self, clock: Clock) -> bytes:
        """Read what is left, and return all of it."""
        try:
            async with self._get(self._key, self._start + self._got, self._end) as body:
                if self._got and body.tag != self._tag:
                    self._blocks, self._got = [], 0
                    raise Broken("reply", "the file is another one by now")
                self._tag = body.tag
                await self._receive(body, clock)
        except Refused as error:
            if error.status != _PAST_THE_END or self._got:
                raise
        return self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)

    async def _receive(self, body: Body, clock: Clock) -> None:
        skipped = self._start + self._got - body.start
        async for received in body.blocks:
            clock.moved(len(received))
            block = received[skipped:] if skipped else received
            skipped = max(0, skipped - len(received))
            over = 0 if self._end is None else len(block) - (self._end - self._start - self._got)
            if over > 0:
                block = block[:-over]
            if block:
                self._blocks.append(block)
                self._got += len(block)
            if over > 0:  # who sends more than was asked for is not listened to for ever
                break
        if body.total is not None:
            end = body.total if self._end is None else min(self._end, body.total)
            missing = end - self._start - self._got
            if missing > 0:
                raise Broken("reply", f"{missing} bytes are missing at its end")
