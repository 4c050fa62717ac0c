"""How long a store is waited for, and how often it is asked again.

Every request is an attempt with a limit that *cancels* it, and attempts are repeated until the deadline; so a store
that hangs, drips or fails for ever ends in an error after a known time, and one that failed once is not noticed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

from friday_store.errors import InvalidValueError
from friday_store.storage.failure import Broken, Refused

T = TypeVar("T")

_NAMES: Final = {"deadline": "deadline", "attempt_timeout": "attempt", "attempts": "attempts"}


@dataclass(frozen=True)
class Patience:
    """The limits of one request with its repetitions.

    Attributes:
        deadline: Seconds for all attempts of a small request.
        attempt: Seconds for one attempt of a small request, and between two bytes of any.
        attempts: How often a request is made without progress before its failure is believed.
        rate: Bytes per second that a store must manage; more data gets more time.
        pause: Seconds before the second attempt; doubled from then on, with jitter.
    """

    deadline: float = 45.0
    attempt: float = 15.0
    attempts: int = 4
    rate: float = 128 << 10
    pause: float = 0.2

    @classmethod
    def taken_from(cls, options: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Return the patience that the options ``deadline``, ``attempt_timeout`` and ``attempts`` ask for.

        Returns:
            It, and the other options.

        Raises:
            InvalidValueError: One of them is not a positive number.
        """
        rest = {name: value for name, value in options.items() if name not in _NAMES}
        given: dict[str, Any] = {}
        for option, name in _NAMES.items():
            if option in options:
                kind = int if name == "attempts" else float
                try:
                    given[name] = kind(options[option])
                except (TypeError, ValueError):
                    given[name] = 0
                if not 0 < given[name] < 1 << 31:
                    raise InvalidValueError(f"option {option!r} is not a positive number", path=option)
        return replace(cls(), **given), rest

    @property
    def window(self) -> float:
        """Bytes that must move within one attempt's time for it to go on."""
        return self.attempt * self.rate

    def shortened(self, deadline: float) -> Self:
        """Return a patience for what is done after a failure already."""
        return replace(self, deadline=min(self.deadline, deadline), attempts=min(self.attempts, 2))


class Clock:
    """The limits of one request while it runs.

    Args:
        patience: How long.
        size: Bytes that are sent along.
    """

    def __init__(self, patience: Patience, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._extra = size / patience.rate
        self._moved = 0
        self._end = self._loop.time() + patience.deadline + self._extra
        self._limit: asyncio.Timeout | None = None
        self.failed = 0

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._end - self._loop.time()

    def attempt(self) -> asyncio.Timeout:
        """Return the limit of the next attempt."""
        self._moved = 0
        self._limit = asyncio.timeout(max(0, min(self._patience.attempt + self._extra, self.left)))
        return self._limit

    def moved(self, count: int) -> None:
        """Take note of bytes received: a reply that keeps coming has time."""
        self._moved += count
        if self._moved >= self._patience.window and self._limit is not None:
            self._moved = self.failed = 0
            self._end = self._loop.time() + self._patience.deadline
            self._limit.reschedule(self._loop.time() + self._patience.attempt)


async def persist(
    patience: Patience, once: Callable[[Clock], Awaitable[T]], *, size: int = 0, again: Iterable[int] = ()
) -> T:
    """Make a request until it succeeds, is refused, or the patience is at its end.

    Args:
        patience: How long.
        once: Makes one attempt; it is cancelled when its time is over.
        size: Bytes that are sent along.
        again: Statuses that are worth another attempt besides those that always are.

    Raises:
        Refused: The store said no.
        Broken: It could not be asked.
    """
    clock = Clock(patience, size)
    while True:
        try:
            async with clock.attempt():
                return await once(clock)
        except TimeoutError:
            failure: Refused | Broken = Broken("timeout", "no answer in time")
        except Broken as error:
            failure = error
        except Refused as error:
            if not error.transient and error.status not in again:
                raise
            failure = error
        clock.failed += 1
        pause = patience.pause * 2 ** (clock.failed - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        if failure.final or clock.failed >= patience.attempts or pause >= clock.left:
            raise failure
        await asyncio.sleep(pause)


async def together(jobs: Iterable[Callable[[], Awaitable[T]]], most: int) -> list[T]:
    """Do jobs, up to ``most`` at a time, and return what they returned; after one failure no other is begun."""
    waiting = enumerate(jobs)
    done: dict[int, T] = {}

    async def work() -> None:
        for place, job in waiting:
            done[place] = await job()

    workers = [asyncio.create_task(work()) for _ in range(most)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [done[place] for place in sorted(done)]
