"""Versions as the command line shows them: the fields of the registry's records, under one name each."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from friday_store.cli.output import Column, View, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import ago, clean, short, size

if TYPE_CHECKING:
    from friday_store.index import VersionRow
    from friday_store.registry import ModelRegistry

FIELDS: Final = (
    "model_id", "model_name", "model_version", "model_type", "description", "status", "tags", "aliases", "metrics",
    "metadata", "hyperparameters", "training_data", "feature_importance", "pipeline_steps", "dependencies",
    "environment", "evaluation", "input_schema", "contents", "attachments", "parents", "author", "created_at",
    "updated_at", "size_bytes", "serializer", "artifact", "origin",
)  # fmt: skip
VERSIONS: Final = View(
    fields=FIELDS,
    columns=(
        Column("model_name", "NAME", whole=True),
        Column("model_version", "VERSION"),
        Column("model_id", "ID", short),
        Column("status", "STATUS"),
        Column("aliases", "ALIASES"),
        Column("metrics", "METRICS"),
        Column("size_bytes", "SIZE", size),
        Column("created_at", "CREATED", ago),
    ),
    id="model_id",
)


def named(registry: ModelRegistry, revision: str) -> VersionRow:
    """Return the version that a revision names, also one of a remote such as ``origin/NAME@ALIAS``."""
    return registry.resolve(revision)


def label(record: Mapping[str, Any]) -> str:
    """Return a version's name as one types it."""
    return f"{record['model_name']}:{record['model_version']}"


def changed(session: Session, records: Iterable[Mapping[str, Any]], verb: str) -> None:
    """Write versions that a command changed: for people one sentence each."""
    listing(session, VERSIONS, records, text=lambda record: _sentence(record, verb))


def changed_one(session: Session, record: Mapping[str, Any], verb: str, rest: str = "") -> None:
    """Write the version that a command changed: for people one sentence."""
    single(session, VERSIONS, record, text=lambda found: _sentence(found, verb, rest))


def _sentence(record: Mapping[str, Any], verb: str, rest: str = "") -> str:
    return clean(f"{verb} {label(record)} ({short(record['model_id'])}, {size(record['size_bytes'])}){rest}")


def parents(registry: ModelRegistry, record: Mapping[str, Any]) -> list[str]:
    """Return a version's parents as one types them; short digests for those that are not here."""
    return [_known(registry, model_id) for model_id in record["parents"]]


def _known(registry: ModelRegistry, model_id: str) -> str:
    from friday_store.errors import ModelNotFoundError

    try:
        return label(registry.get_model_metadata(model_id))
    except ModelNotFoundError:
        return short(model_id)


def known_metrics(subject: str, wanted: Sequence[str], known: Collection[str]) -> Sequence[str]:
    """Return the metrics that were asked for.

    Raises:
        Refusal: One of them was never observed; the message says which were.
    """
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, 1)
            there = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(known)[:20]) or 'none'}"
            raise Refusal(
                f"{subject} has no metric {name!r}; {there}", 3, shlex.join(["friday-store", "metrics", subject])
            )
    return wanted
