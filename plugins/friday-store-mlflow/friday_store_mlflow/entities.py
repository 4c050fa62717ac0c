"""friday-store's records as MLflow's entities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import Metric
from mlflow.entities.logged_model_parameter import LoggedModelParameter
from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)
from mlflow.entities.model_registry.model_version_stages import ALL_STAGES

from friday_store_mlflow import address, tags
from friday_store_mlflow.numbering import number_of
from friday_store_mlflow.stages import MODEL, SAID, stage_of

Record = Mapping[str, Any]


def versions(path: str, records: Sequence[Record]) -> list[ModelVersion]:
    """Return the versions that have a number, in the order of the records."""
    return [
        _version(path, record, number)
        for record in records
        if (number := number_of(record["model_version"])) is not None
    ]


def _version(path: str, record: Record, number: int) -> ModelVersion:
    said = record["metadata"].get(SAID)
    said = said if isinstance(said, Mapping) else {}
    updated = milliseconds(record["updated_at"])
    return ModelVersion(
        name=record["model_name"],
        version=str(number),
        creation_timestamp=int(said.get("created") or milliseconds(record["created_at"])),
        last_updated_timestamp=updated,
        description=record["description"],
        user_id=str(said.get("user") or record["author"]),
        current_stage=stage_of(record["status"]),
        source=address.of_version(path, record["model_id"]),
        run_id=said.get("run_id"),
        run_link=said.get("run_link"),
        tags=[ModelVersionTag(key, value) for key, value in tags.shown(record["tags"], record["metadata"]).items()],
        aliases=list(record["aliases"]),
        params=[LoggedModelParameter(key, str(value)) for key, value in record["hyperparameters"].items()],
        metrics=[Metric(key, value, updated, 0) for key, value in record["metrics"].items()],
    )


def model(found: Sequence[ModelVersion], records: Sequence[Record]) -> RegisteredModel:
    """Return the model of some versions, at least one, the newest first.

    Args:
        found: Its versions that have a number.
        records: All its records, in the same order.
    """
    facts = model_facts(records)
    return RegisteredModel(
        name=found[0].name,
        creation_timestamp=min(each.creation_timestamp for each in found),
        last_updated_timestamp=max(each.last_updated_timestamp or 0 for each in found),
        description=facts["description"],
        latest_versions=latest(found, ALL_STAGES),
        tags=[RegisteredModelTag(key, value) for key, value in facts["tags"].items()],
        aliases=[RegisteredModelAlias(alias, each.version) for each in found for alias in each.aliases],
    )


def model_facts(records: Sequence[Record]) -> dict[str, Any]:
    """Return description and tags of the model as a whole: those of the newest version that has any."""
    holder = holder_of(records)
    found = {} if holder is None else holder["metadata"][MODEL]
    pairs = found.get("tags")
    pairs = pairs if isinstance(pairs, Mapping) else {}
    return {
        "description": str(found.get("description") or ""),
        "tags": {str(key): str(value) for key, value in pairs.items()},
    }


def holder_of(records: Sequence[Record]) -> Record | None:
    """Return the newest version that holds facts about its model; records are the newest first."""
    return next((record for record in records if isinstance(record["metadata"].get(MODEL), Mapping)), None)


def latest(found: Sequence[ModelVersion], stages: Sequence[str]) -> list[ModelVersion]:
    """Return the newest version in each stage; versions are the newest first."""
    newest: dict[str, ModelVersion] = {}
    for each in found:
        newest.setdefault(each.current_stage or "None", each)
    return [newest[stage] for stage in stages if stage in newest]


def milliseconds(time: dt.datetime) -> int:
    """Return a time as MLflow writes it."""
    return int(time.timestamp() * 1000)
