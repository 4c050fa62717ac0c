"""What holding a fit to one thread promises."""

from __future__ import annotations

import threading

import pytest
import sklearn.ensemble  # noqa: F401 - loads the libraries with threads
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from friday_store.market.threads import OneThread


def counts() -> list[tuple[str, int]]:
    """Return kind and number of threads of each library, as the calling thread sees them."""
    return [(info["user_api"], info["num_threads"]) for info in threadpool_info()]


def test_all_libraries_are_held_and_given_back() -> None:
    """Inside there is one thread, after it as many as before, also when the work fails."""
    limit = OneThread()
    inside = []
    with threadpool_limits(3):
        before = counts()
        assert {"blas", "openmp"} == {kind for kind, _ in before}
        with limit.held():
            inside.extend(counts())
        assert {1} == {number for _, number in inside}
        assert before == counts()
        with pytest.raises(ZeroDivisionError), limit.held():
            1 / 0  # noqa: B018 - for what it raises
        assert before == counts()


def test_who_finishes_first_frees_nobody_else() -> None:
    """BLAS stays held until the last of several threads is done, since its number is the process's."""
    limit = OneThread()
    entered, leave, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        with limit.held():
            entered.set()
            leave.wait(10)
            seen.extend(counts())

    with threadpool_limits(3):
        thread = threading.Thread(target=work)
        with limit.held():
            thread.start()
            assert entered.wait(10)
        assert {1} == {number for kind, number in counts() if kind == "blas"}
        leave.set()
        thread.join()
        assert {1} == {number for _, number in seen}
        assert {3} == {number for kind, number in counts() if kind == "blas"}
