"""One thread for each fit, so that a model's bytes do not depend on how many the machine has.

A sum of floats that threads share depends on how many there are. Of the built-in families the regressor of
HIST_GRADIENT_BOOSTING shows it: with 1, 2 and 4 threads it gave three models, on 3,000 rows, whose forecasts differ
in the last bits. Workers of joblib get fewer threads than the process that started them, so the same fit gave other
bytes there.

A limit reaches only the libraries that are already loaded, and scikit-learn brings an OpenMP and a BLAS of its own.
So whoever limits makes the estimator first, which imports what it needs.

Measured on 2 cores that others used too: finding the loaded libraries takes 5 to 11 ms, and is done again only when
modules have been imported since; a limit then takes 0.04 ms. Where the cores are shared one thread is also faster:
HIST_GRADIENT_BOOSTING 229 ms against 886 on 3,270 rows of 24 features, ridge 1.3 ms both ways; what loses is ridge on
50,000 rows, 40 ms against 28.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final


class OneThread:
    """A limit of one thread that any number of threads of this process may hold at a time.

    OpenMP counts threads for each thread that calls it, BLAS for the whole process. So the first to come limits BLAS
    and the last to go gives it back: were each to restore what it found, the first to finish would set the others'
    BLAS free in the middle of a fit. Since version 3.8 threadpoolctl lets only one thread at a time set BLAS, for the
    same reason; here it may be the last that undoes what the first did, so that right is taken and given up each time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before: dict[str, tuple[Any, int]] = {}
        self._libraries: list[Any] = []
        self._modules = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold BLAS and OpenMP, as far as they are loaded, to one thread for work in the calling thread."""
        with self._lock:
            self._find()
            for library in self._libraries:
                if library.user_api == "blas" and library.filepath not in self._before:
                    self._before[library.filepath] = (library, library.num_threads)
                    _set(library, 1)
            own = [(library, library.num_threads) for library in self._libraries if library.user_api == "openmp"]
            self._holders += 1
        try:
            for library, _ in own:
                _set(library, 1)
            yield
        finally:
            for library, number in own:
                _set(library, number)
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    for library, number in self._before.values():
                        _set(library, number)
                    self._before.clear()

    def _find(self) -> None:
        """Look for libraries again when something was imported since."""
        if len(sys.modules) == self._modules:
            return
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped, unused-ignore]

        self._libraries = ThreadpoolController().lib_controllers
        self._modules = len(sys.modules)


def _set(library: Any, number: int) -> None:
    give_up = getattr(library, "clear_controlling_thread", None)
    if give_up is None:
        library.set_num_threads(number)
        return
    give_up(force=True)
    library.set_num_threads(number)
    give_up()


one_thread: Final = OneThread()
"""The one of this process, as its thread pools are."""
