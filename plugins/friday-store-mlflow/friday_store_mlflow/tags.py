"""MLflow's tags, which are pairs, as friday-store's, which are names.

The pairs of a version stand in its metadata under :data:`KEY`, whatever they hold. So that it can also be found by
them, each pair whose spelling can be a tag (``approved=yes``, or the key alone where the value is empty) is a tag too.
MLflow's clients are shown the pairs, and the tags that are the spelling of none of them as keys without a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from friday_store import refs
from friday_store.errors import InvalidNameError

KEY: Final = "mlflow_tags"


def spelled(key: str, value: str) -> str | None:
    """Return a pair as a tag; None if it cannot be one."""
    text = f"{key}={value}" if value else key
    try:
        return refs.check_name(text, "tag")
    except InvalidNameError:
        return None


def all_spelled(pairs: Mapping[str, str]) -> set[str]:
    """Return the tags that pairs are spelled as."""
    return {tag for key, value in pairs.items() if (tag := spelled(key, value)) is not None}


def pairs_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the pairs that a version's metadata holds."""
    found = metadata.get(KEY)
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def shown(names: Iterable[str], metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what MLflow's clients see."""
    pairs = pairs_of(metadata)
    return {**dict.fromkeys(sorted(set(names) - all_spelled(pairs)), ""), **pairs}
