"""The names that a query may use, and what may be compared with them: the whitelist between users and columns."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Final

from friday_store import refs
from friday_store.errors import InvalidNameError
from friday_store.query.tree import Field, Operator, Value

COLUMNS: Final = {
    "name": Field("text", "model_name"),
    "version": Field("version", "model_version"),
    "type": Field("text", "model_type"),
    "status": Field("text", "status"),
    "author": Field("text", "author"),
    "description": Field("text", "description"),
    "serializer": Field("text", "serializer"),
    "id": Field("text", "model_id"),
    "artifact": Field("text", "artifact"),
    "origin": Field("text", "origin"),
    "size": Field("number", "size_bytes"),
    "created": Field("time", "created_at"),
    "updated": Field("time", "updated_at"),
    "tag": Field("many", "tag"),
    "alias": Field("many", "alias"),
    "parent": Field("many", "parent"),
}
SYNONYMS: Final = {
    "model_name": "name", "model_version": "version", "model_type": "type", "model_id": "id", "size_bytes": "size",
    "created_at": "created", "updated_at": "updated", "tags": "tag", "aliases": "alias", "parents": "parent",
    "format": "serializer",
}  # fmt: skip
SECTIONS: Final = {
    "params": "hyperparameters", "hyperparameters": "hyperparameters", "metadata": "metadata",
    "training_data": "training_data", "data": "training_data", "feature_importance": "feature_importance",
    "pipeline_steps": "pipeline_steps", "dependencies": "dependencies", "environment": "environment",
    "evaluation": "evaluation", "input_schema": "input_schema",
}  # fmt: skip
METRICS: Final = "metrics"
KNOWN: Final = (*COLUMNS, "metrics.NAME", *(f"{name}.KEY" for name in SECTIONS if name != "data"))
_ORDERED: Final = ("<", "<=", ">", ">=", "between")
_LIMITS: Final = range(-(1 << 63), 1 << 63)


class RefusedError(ValueError):
    """What cannot be asked of a field; the caller knows where it stands."""


def field(first: str, steps: Sequence[str | int]) -> Field:
    """Return the field that a name means.

    Args:
        first: The word it begins with.
        steps: What follows: keys as text, places in a list as numbers. The keys of a metric are one name, with dots.

    Raises:
        RefusedError: There is none.
    """
    if first == METRICS:
        if not steps or not all(isinstance(step, str) for step in steps):
            raise RefusedError('a metric has a name: metrics.rmse, or metrics."any name"')
        return Field("metric", ".".join(str(step) for step in steps))
    if first in SECTIONS:
        if not steps:
            raise RefusedError(f"{first} is a section: name a key of it, such as {first}.KEY")
        return Field("path", first, (SECTIONS[first], *steps))
    name = SYNONYMS.get(first, first)
    if name not in COLUMNS:
        near = difflib.get_close_matches(first, [*COLUMNS, *SYNONYMS, METRICS, *SECTIONS], 1, 0.5)
        other = f"a metric is {METRICS}.{first}, a parameter params.{first}; other fields are {', '.join(KNOWN)}"
        raise RefusedError(f"there is no field {first!r}; {f'did you mean {near[0]!r}?' if near else other}")
    if steps:
        raise RefusedError(f"{first} has no parts")
    return COLUMNS[name]


def value(of: Field, operator: Operator, given: Value) -> Value:
    """Return a value as the index has it.

    Raises:
        RefusedError: A field of this kind does not compare with it so.
    """
    if operator in ("like", "glob"):
        if of.kind in ("number", "time", "metric"):
            raise RefusedError(f"{operator} is for text, and {_label(of)} is a {_what(of)}")
        if not isinstance(given, str):
            raise RefusedError(f"{operator} takes a pattern in quotes")
        if "\0" in given:
            raise RefusedError("a pattern cannot hold a zero byte")
        return given
    if of.kind == "path" and isinstance(given, bool) and operator in _ORDERED:
        raise RefusedError("true and false have no order")
    if of.kind in ("number", "metric") and isinstance(given, bool | str):
        raise RefusedError(f"{_label(of)} is a number, and {given!r} is none")
    if of.kind in ("path", "number", "metric"):
        return _whole(given)
    if not isinstance(given, str):
        raise RefusedError(f"{_label(of)} is a {_what(of)}: it stands in quotes, such as '{given}'")
    return given if of.kind in ("text", "many") else _stored(of, operator, given)


def _stored(of: Field, operator: Operator, given: str) -> Value:
    """Return a version or a time as the index has it."""
    try:
        if of.kind == "version":
            parsed = refs.check_version(given)
            return refs.precedence(parsed) if operator in _ORDERED else given
        return round(refs.moment(given).timestamp() * 1_000_000)
    except (InvalidNameError, OverflowError) as error:
        raise RefusedError(str(error)) from error


def _whole(given: Value) -> Value:
    """Return a number that every database can hold; infinity for one beyond all that can be stored."""
    if type(given) is not int or given in _LIMITS:
        return given
    try:
        return float(given)
    except OverflowError:
        return math.inf if given > 0 else -math.inf


def _label(of: Field) -> str:
    if of.kind == "metric":
        return f"{METRICS}.{of.name}"
    return next((word for word, field in COLUMNS.items() if field is of), of.name)


def _what(of: Field) -> str:
    return {"time": "time", "version": "version", "number": "number", "metric": "number"}.get(of.kind, "text")
