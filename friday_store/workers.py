"""Threads for the time of a block, in a generator too.

A generator that nobody ends is ended by the garbage collector, in whatever thread happens to run then, and at
whatever moment. Waiting there for other threads can wait for ever: Python itself holds a lock of :mod:`threading`
while it starts and forgets threads, and joining one takes the same lock. So the threads of a generator that is given
up are told to stop, and not waited for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

THREADS: Final = min(4, os.cpu_count() or 1)


@contextlib.contextmanager
def workers(number: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Have threads in a block; they have ended when it has, unless it belongs to a generator that is given up.

    What has not begun when the block ends by an exception is not done.

    Args:
        number: How many threads there may be.
        name: What their names begin with.
    """
    pool = ThreadPoolExecutor(number, thread_name_prefix=name)
    try:
        yield pool
    except GeneratorExit:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
