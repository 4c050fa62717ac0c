"""With what a model is made, as one digest, and the registered version that was made with it from the same data.

Equal data, configuration and libraries give equal models, so a run that finds the version need not make it again. The
digest is BLAKE3 over the canonical map of what was asked for (symbol, timeframe, target, horizon, family), how every
model of the run is trained and evaluated (share of test rows, seed, tuning, walk-forward), and what the family makes
of that: the class and the parameters of its estimator, and where it is tuned the values to try. The versions of
libraries are not in it; they stand in the version's record.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from friday_store import codec, environment
from friday_store.digest import digest_of

if TYPE_CHECKING:
    from friday_store.hookspecs import Target, Trainer
    from friday_store.market.fitting import Options
    from friday_store.market.results import Job


def configuration(job: Job, target: Target, family: Trainer, options: Options) -> str:
    """Return the digest, in hex, of what a job's model would be made with; empty if the family cannot do the job."""
    task = target.task
    if task not in family.tasks:
        return ""
    walk = None if options.walk_forward is None else asdict(options.walk_forward)
    tuned = {} if options.tuner is None else {"tuner": options.tuner.name, "trials": options.trials}
    how = {"test_size": options.test_size, "seed": options.seed, "walk_forward": walk, **tuned}
    estimator = family.estimator(task, seed=options.seed, params={})
    made = {
        "asked": job.facts,
        "options": how,
        "estimator": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
        "parameters": environment.parameters(estimator),
        "space": {name: list(values) for name, values in family.search_space(task).items()} if tuned else {},
    }
    return digest_of(codec.encode(codec.normalise_map(made, "configuration"))).hex()


def registered(registry: Any, job: Job, data: str, made_with: str) -> dict[str, Any] | None:
    """Return the record of the newest version of a job's model with that data digest and configuration, or None."""
    for record in registry.list_models(job.name, order_by="-created_at"):
        market = record["metadata"].get("market", {})
        if market.get("configuration") == made_with and record["training_data"].get("digest") == data:
            found: dict[str, Any] = record
            return found
    return None
