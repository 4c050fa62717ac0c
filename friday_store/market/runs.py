"""One job from its data to its result, in this process or in a worker of joblib."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from friday_store.errors import FridayStoreError
from friday_store.market.data import DataFacts, load
from friday_store.market.fitting import Options, fit, obstacle
from friday_store.market.results import Job, ResultRow, Status
from friday_store.market.samples import Samples
from friday_store.plugins import Plugins
from friday_store.serializer import serialized

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from friday_store.hookspecs import Target, Trainer
    from friday_store.market.evaluation import Evaluation
    from friday_store.serializer import Serialized

log = logging.getLogger("friday_store.market")


@dataclass(frozen=True, eq=False)
class Source:
    """The data of one symbol and timeframe.

    Attributes:
        data: The frame.
        facts: What records say of it.
        files: Where it was read, relative to the directory of the data.
    """

    data: pd.DataFrame
    facts: DataFacts
    files: tuple[str, ...]

    @classmethod
    def read(cls, paths: Sequence[Path], root: Path) -> Source | NoSource:
        """Read the files; a file that cannot be used is a reason, not an exception."""
        try:
            data = load(paths)
        except FridayStoreError as error:
            return NoSource("failed", f"{type(error).__name__}: {error}")
        return cls(data, DataFacts.of(data), tuple(path.relative_to(root).as_posix() for path in paths))


@dataclass(frozen=True)
class NoSource:
    """Why there are no data: the status of every job that needs them, and the reason."""

    status: Status
    reason: str


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished job.

    Attributes:
        job: What was asked for.
        row: What became of it, before registration.
        model: The trained estimator as the worker serialized it, so that who registers it need not load it; None unless
            trained.
        evaluation: Its evaluation; None unless trained.
        training_data: What the record says of its data.
        configuration: With what it was made, as :func:`.configuration.configuration` says; empty if that is not known.
    """

    job: Job
    row: ResultRow
    model: Serialized | None = None
    evaluation: Evaluation | None = None
    training_data: dict[str, Any] = field(default_factory=dict)
    configuration: str = ""


def run(
    job: Job, source: Source, target: Target, family: Trainer, options: Options, *, configuration: str = ""
) -> Outcome:
    """Train the model of one job and serialize it; whatever goes wrong becomes a row with its reason."""
    started = time.perf_counter()

    def row(status: Status, reason: str = "", **values: Any) -> ResultRow:
        return ResultRow.of(job, status, reason, seconds=time.perf_counter() - started, **values)

    try:
        samples = Samples.of_data(source.data, target, job.horizon)
        reason = obstacle(samples, family, test_size=options.test_size, min_rows=options.min_rows)
        if reason is not None:
            return Outcome(job, row("skipped", reason))
        estimator, evaluation = fit(samples, family, options)
        model = serialized(Plugins(()), estimator)
    except Exception as error:  # families come from plugins, and one must not end a run of many
        log.debug("%s failed", job.name, exc_info=True)
        return Outcome(job, row("failed", f"{type(error).__name__}: {error}"))
    training_data = {
        **source.facts.as_record(),
        "files": list(source.files),
        "features": [str(name) for name in samples.features.columns],
        "ignored": list(samples.ignored),
        "usable_rows": len(samples),
        "split": dict(evaluation.split),
        "seed": options.seed,
    }
    return Outcome(job, row("trained", metrics=evaluation.metrics), model, evaluation, training_data, configuration)
