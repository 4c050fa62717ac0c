"""What becomes of a trained model: a version in a registry, or a file, and the record that says where it came from."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from friday_store.market.files import write_whole
from friday_store.plugins import BUILT_IN, Plugins
from friday_store.serializer import load, to_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from friday_store.market.results import Job, ResultRow
    from friday_store.market.runs import Outcome


def facts(outcome: Outcome) -> dict[str, Any]:
    """Return what is recorded of a trained outcome: the arguments of ``ModelRegistry.register_model`` but the model."""
    job, evaluation = outcome.job, outcome.evaluation
    if evaluation is None:
        raise ValueError(f"{job.name} was not trained")
    description = f"{job.target} of {job.symbol} at {job.timeframe}, horizon {job.horizon}, by {job.model_type}"
    if evaluation.fitted_to != str(job.target):
        description += "; predicts a price from the close and the features, through a forecast of the return"
    made_with = {"configuration": outcome.configuration} if outcome.configuration else {}
    market = {**job.facts, **made_with, "task": evaluation.task, "fitted_to": evaluation.fitted_to}
    return {
        "model_name": job.name,
        "model_type": job.model_type,
        "description": description,
        "tags": job.tags,
        "metrics": dict(evaluation.metrics),
        "metadata": {"market": market},
        "hyperparameters": dict(evaluation.hyperparameters),
        "training_data": dict(outcome.training_data),
        "feature_importance": dict(evaluation.feature_importance),
        "evaluation": evaluation.as_record(),
    }


def register(outcomes: Sequence[Outcome], registry: Any) -> list[ResultRow]:
    """Register trained outcomes in one transaction and return their rows with name, version and id.

    Where a plugin brings a format, or wants to see a model before it is registered, models are loaded for that; else
    what the workers serialized is stored as it is.

    Raises:
        FridayStoreError: The registry refused; then none of them is registered.
    """
    plugins = registry.plugins
    plain = all(owner == BUILT_IN for _, owner in plugins.serializers()) and not plugins.listens("before_register")
    versions = (
        {"model": outcome.model if plain else _loaded(outcome), **facts(outcome)} for outcome in outcomes
    )  # one model in memory at a time
    ids = registry.register_models(versions)
    rows = []
    for outcome, model_id in zip(outcomes, ids, strict=True):
        record = registry.get_model_metadata(model_id)
        name, version = record["model_name"], record["model_version"]
        rows.append(replace(outcome.row, model_name=name, model_version=version, model_id=model_id))
    return rows


def _loaded(outcome: Outcome) -> Any:
    """Return the model that a worker of this run made."""
    model = outcome.model
    assert model is not None
    return load(Plugins(()), model.format, model.version, model.views())


def model_file(job: Job, folder: Path | str) -> Path:
    """Return the file that holds the model of ``job`` when there is no registry."""
    return Path(folder) / f"{job.file_stem}.pkl"


def write_models(outcomes: Sequence[Outcome], folder: Path | str) -> list[ResultRow]:
    """Write each trained model as a pickle, in place of an older one, and return the rows.

    Raises:
        StorageError: A file cannot be written.
    """
    for outcome in outcomes:
        model = outcome.model
        assert model is not None
        whole = to_file(Plugins(()), model.format, model.version, model.views())
        write_whole(model_file(outcome.job, folder), b"".join(whole))
    return [replace(outcome.row, model_name=outcome.job.name) for outcome in outcomes]


def write_evaluations(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write the record of each trained outcome as JSON, in which what is not finite is null.

    Raises:
        StorageError: A file cannot be written.
    """
    for outcome in outcomes:
        text = json.dumps(_finite(facts(outcome)), indent=2, sort_keys=True, allow_nan=False)
        write_whole(folder / f"{outcome.job.file_stem}.json", text.encode() + b"\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
