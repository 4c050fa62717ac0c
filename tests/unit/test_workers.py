"""Threads in generators: a generator that is given up waits for nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

import pytest

from friday_store.workers import workers


def numbers(work: Callable[[int], int]) -> Generator[int, None, None]:
    """Yield a first number, while a thread works on those that follow."""
    with workers(1, "test-workers") as pool:
        pending = [pool.submit(work, number) for number in range(1, 4)]
        yield 0
        for each in pending:
            yield each.result()


def test_a_generator_that_ends_has_waited_for_its_threads() -> None:
    """All that was begun is done."""
    assert list(numbers(lambda number: number)) == [0, 1, 2, 3]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-workers")]


def test_a_generator_that_is_given_up_waits_for_nobody() -> None:
    """Whoever ends it may hold what the threads need to end; what has not begun is never done."""
    begun: list[int] = []
    started, free = threading.Event(), threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        started.set()
        free.wait()
        return number

    given_up = numbers(work)
    next(given_up)
    started.wait()
    working = [thread for thread in threading.enumerate() if thread.name.startswith("test-workers")]
    given_up.close()
    free.set()
    for thread in working:
        thread.join()
    assert begun == [1]


def test_an_exception_in_the_block_ends_the_threads() -> None:
    """They have ended when it arrives, and what has not begun is not done."""
    done: list[int] = []
    started, free = threading.Event(), threading.Event()

    def work(number: int) -> None:
        started.set()
        free.wait()
        done.append(number)

    def fail() -> None:
        with workers(1, "test-workers") as pool:
            for number in range(3):
                pool.submit(work, number)
            started.wait()
            threading.Timer(0.05, free.set).start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert done == [0]
