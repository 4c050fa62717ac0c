"""Many jobs over joblib, across symbols: handed out as workers come free, handed back in the order they finish.

What needs no worker is answered here: there are no data, a version made with the same configuration from the same data
is registered already, or the time is up. The frames go with the jobs, so workers need not see the files. With the
backends of joblib that cannot hand results back one by one (ray, multiprocessing) jobs go in batches, and the results
of a batch come together.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final

from friday_store.errors import InvalidValueError
from friday_store.market.configuration import configuration, registered
from friday_store.market.fitting import Options
from friday_store.market.results import Job, ResultRow
from friday_store.market.runs import NoSource, Outcome, Source, run

if TYPE_CHECKING:
    from friday_store.hookspecs import Target, Trainer

    Call = tuple[Callable[..., Outcome], tuple[Any, ...], dict[str, Any]]
    Find = Callable[[Job], Source | NoSource]

log = logging.getLogger("friday_store.market")

_BATCH: Final = 8
"""Jobs for each worker in a batch, where results come together."""


class Schedule:
    """The jobs of one run.

    Args:
        jobs: What was asked for; those of one symbol and timeframe beside each other, for their data are read once.
        find: Reads the data of a symbol and timeframe.
        targets: By the name in the jobs.
        families: The same.
        options: How every model is trained.
        registry: Where versions that need not be made again are looked for; None makes all.
        budget: Seconds after which no job is begun; those that run are finished. None is no limit.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        find: Find,
        targets: Mapping[str, Target],
        families: Mapping[str, Trainer],
        options: Options,
        *,
        registry: Any = None,
        budget: float | None = None,
    ) -> None:
        self.jobs = list(dict.fromkeys(jobs))
        self._find = find
        self._targets = targets
        self._families = families
        self._options = options
        self._registry = registry
        self._budget = budget
        self._answered: deque[Outcome] = deque()
        self._problem: Exception | None = None
        self._deadline: float | None = None
        self._workers = 1

    def outcomes(self, n_jobs: int | None) -> Iterator[Outcome]:
        """Iterate over what becomes of each job, as it finishes.

        When the workers themselves fail (one is killed for the memory it takes), the jobs they had not finished come
        as ``failed`` with that reason.

        Args:
            n_jobs: As :class:`joblib.Parallel` takes it.

        Raises:
            InvalidValueError: ``n_jobs`` is no number of workers.
        """
        from joblib import effective_n_jobs

        try:
            self._workers = effective_n_jobs(n_jobs)
        except (ValueError, TypeError) as error:
            raise InvalidValueError(f"n_jobs: {error}", path="n_jobs") from error
        self._deadline = None if self._budget is None else time.monotonic() + self._budget
        waiting = dict.fromkeys(self.jobs)
        for outcome in self._all(n_jobs, waiting):
            del waiting[outcome.job]
            yield outcome

    def _all(self, n_jobs: int | None, waiting: Mapping[Job, None]) -> Iterator[Outcome]:
        finished = self._finished(n_jobs)
        while True:
            try:
                outcome = next(finished, None)
            except Exception as error:  # noqa: BLE001 - backends and clusters fail with exceptions of their own
                reason = f"the workers ended: {type(error).__name__}: {error}"
                yield from (Outcome(job, ResultRow.of(job, "failed", reason)) for job in list(waiting))
                return
            while self._answered:
                yield self._answered.popleft()
            if outcome is None:
                break
            yield outcome
        if self._problem is not None:
            raise self._problem

    def _finished(self, n_jobs: int | None) -> Iterator[Outcome]:
        from joblib import Parallel

        calls = self._calls()
        try:
            parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        except ValueError:  # the backend says that it cannot do that
            together = Parallel(n_jobs=n_jobs)
            while batch := list(islice(calls, self._workers * _BATCH)):
                yield from together(batch)
            return
        yield from parallel(calls)

    def _calls(self) -> Iterator[Call]:
        """Iterate over what workers are to do; joblib asks from threads of its own, where nothing may be raised."""
        try:
            yield from self._planned()
        except Exception as error:  # noqa: BLE001 - it is raised where the outcomes are asked for
            self._problem = error

    def _planned(self) -> Iterator[Call]:
        from joblib import delayed

        for _, same in groupby(self.jobs, key=lambda job: (job.symbol, job.timeframe)):
            group = list(same)
            if self._late():
                self._answered += map(self._unbegun, group)
                continue
            source = self._find(group[0])
            for job in group:
                answer, made_with = self._answer(job, source)
                if answer is not None:
                    self._answered.append(answer)
                else:
                    target, family = self._targets[job.target], self._families[job.model_type]
                    yield delayed(run)(job, source, target, family, self._options, configuration=made_with)

    def _answer(self, job: Job, source: Source | NoSource) -> tuple[Outcome | None, str]:
        """Return what becomes of a job that no worker need do, and its configuration."""
        if isinstance(source, NoSource):
            return Outcome(job, ResultRow.of(job, source.status, source.reason)), ""
        if self._late():
            return self._unbegun(job), ""
        made_with = ""
        try:
            target, family = self._targets[job.target], self._families[job.model_type]
            made_with = configuration(job, target, family, self._options)
        except Exception:
            log.debug("%s has no configuration", job.name, exc_info=True)
        known = self._known(job, source.facts.digest, made_with)
        return (None if known is None else Outcome(job, known)), made_with

    def _known(self, job: Job, data: str, made_with: str) -> ResultRow | None:
        """Return the row of a job whose version is registered already, or None."""
        if self._registry is None or not made_with:
            return None
        found = registered(self._registry, job, data, made_with)
        if found is None:
            return None
        record = found.record
        newer = f"; the newer {found.newer} has another configuration or data" if found.newer else ""
        return ResultRow.of(
            job,
            "skipped",
            f"already registered as {record['model_name']}:{record['model_version']}{newer}",
            model_name=record["model_name"],
            model_version=record["model_version"],
            model_id=record["model_id"],
            metrics=record["metrics"],
        )

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _unbegun(self, job: Job) -> Outcome:
        reason = f"not begun: the time budget of {self._budget:g} s was used up"
        return Outcome(job, ResultRow.of(job, "skipped", reason))
