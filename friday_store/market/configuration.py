"""With what a model is made, as one digest, and the registered version that was made with it from the same data.

Equal data, configuration and libraries give equal models, so a run that finds the version need not make it again. The
digest is BLAKE3 over the canonical map of what was asked for (symbol, timeframe, target, horizon, family), how every
model of the run is trained and evaluated (share of test rows, seed, tuning, walk-forward), what the target is (its
class and attributes, task, reach, and whether it is a price), and what the family makes of that: the class and the
parameters of its estimator, and where it is tuned the values to try. The versions of libraries are not in it; they
stand in the version's record. Nor is the code of a class or function: whoever changes it trains without ``resume``.

Only a version that would be of use counts as registered: one that this user made or trusts, and that is not retired.
What others say that they made with this configuration keeps no model from being made.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from friday_store import codec, environment
from friday_store.digest import digest_of
from friday_store.market.tuning import space_of
from friday_store.registry.ranking import RETIRED

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        "target": {
            "class": _class(target),
            "attributes": environment.attributes(target),
            "task": task,
            "of_price": target.of_price,
            "reach": target.reach(job.horizon),
        },
        "estimator": _class(estimator),
        "parameters": environment.parameters(estimator),
        "space": space_of(family, task, options.tuner) if tuned else {},
    }
    return digest_of(codec.encode(codec.normalise_map(made, "configuration"))).hex()


class Registered(NamedTuple):
    """What is in the registry of a job.

    Attributes:
        record: Of the newest version with the configuration and data that were asked for.
        newer: The newest version's name, if that is another one, which was made otherwise; else empty.
    """

    record: Mapping[str, Any]
    newer: str


def registered(registry: Any, job: Job, data: str, made_with: str) -> Registered | None:
    """Return the newest version of a job's model with that data digest and configuration, or None.

    Versions that are deprecated or archived do not count, nor those that this user has neither made nor trusts.
    """
    newer = ""
    for record in registry.list_models(job.name, order_by="-created_at"):
        market = record["metadata"].get("market")
        asked = isinstance(market, dict) and market.get("configuration") == made_with
        same = asked and record["training_data"].get("digest") == data
        if (same or not newer) and record["status"] not in RETIRED and _is_vouched_for(registry, record["model_id"]):
            if same:
                return Registered(record, newer)
            newer = f"{record['model_name']}:{record['model_version']}"
    return None


def _is_vouched_for(registry: Any, model_id: str) -> bool:
    """Whether this user made a version or trusts it."""
    of = registry.provenance(model_id)
    return registry.identity.public() in of.author() or bool(registry.trust.allows(of))


def _class(made: object) -> str:
    return f"{type(made).__module__}.{type(made).__qualname__}"
