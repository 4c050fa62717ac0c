"""What became of the jobs of a run so far; the models of a symbol are kept together when its last job is done."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from friday_store.errors import FridayStoreError
from friday_store.market.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from friday_store.market.results import Job, ResultRow
    from friday_store.market.runs import Outcome

log = logging.getLogger("friday_store.market")


class Ledger:
    """The rows of one run.

    Args:
        jobs: All that were asked for.
        keep: Keeps trained outcomes in one transaction and returns their rows.
    """

    def __init__(self, jobs: Iterable[Job], keep: Callable[[Sequence[Outcome]], Sequence[ResultRow]]) -> None:
        self._jobs = tuple(jobs)
        self._keep = keep
        self._place = {job: place for place, job in enumerate(self._jobs)}
        self._left = Counter(job.symbol for job in self._jobs)
        self._open: dict[str, list[Outcome]] = {}
        self._rows: dict[Job, ResultRow] = {}

    def add(self, outcome: Outcome) -> None:
        """Take in one outcome; after the last one of a symbol, keep the symbol's models."""
        symbol = outcome.job.symbol
        level = logging.WARNING if outcome.row.status == "failed" else logging.INFO
        self._open.setdefault(symbol, []).append(outcome)
        self._left[symbol] -= 1
        done = f"({len(self._jobs) - self._left.total()} of {len(self._jobs)})"
        log.log(level, "%s %s: %s %s", done, outcome.job.name, outcome.row.status, outcome.row.reason)
        if not self._left[symbol]:
            self._settle(symbol, self._open[symbol])
            del self._open[symbol]

    def save(self, known: Callable[[Outcome], bool]) -> None:
        """Keep what is finished of the symbols that are not, since the run ends before they are.

        Args:
            known: Whether a model has been kept already: the run may have ended while that was being done.
        """
        for symbol, outcomes in self._open.items():
            self._settle(symbol, [each for each in outcomes if not known(each)])
        self._open = {}

    def results(self) -> Results:
        """Return the rows in the order of asking."""
        return Results(self._rows[job] for job in self._jobs)

    def _settle(self, symbol: str, outcomes: Sequence[Outcome]) -> None:
        """Keep what was trained, and note every row; when keeping is refused, the rows say so."""
        trained = sorted((each for each in outcomes if each.model is not None), key=lambda each: self._place[each.job])
        try:
            rows = self._keep(trained) if trained else []
        except FridayStoreError as error:
            reason = f"not registered: {type(error).__name__}: {error}"
            log.warning("%s: %d models %s", symbol, len(trained), reason)
            rows = [replace(each.row, status="failed", reason=reason) for each in trained]
        self._rows |= {each.job: each.row for each in outcomes}
        self._rows |= {each.job: row for each, row in zip(trained, rows, strict=True)}
