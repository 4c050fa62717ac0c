"""What an MLflow model says of itself, in ``MLmodel`` and ``requirements.txt``: read as text, never carried out."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any, Final

_CAP: Final = 4 << 20
_GENERAL: Final = "python_function"
_KEPT: Final = ("mlflow_version", "model_uuid", "model_id", "run_id", "utc_time_created", "metadata", "resources")
_PINNED: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([A-Za-z0-9.+!_-]+)\s*(?:[;#].*)?")


def facts(text: bytes) -> dict[str, Any]:
    """Return what an ``MLmodel`` file says: its flavours, its signature, and where it was made.

    A file that is not one says nothing; it is stored all the same.
    """
    raw = _parsed(text)
    found = {key: raw[key] for key in _KEPT if raw.get(key) is not None}
    flavors = raw.get("flavors")
    if isinstance(flavors, Mapping):
        found["flavors"] = flavors
    signature = raw.get("signature")
    if isinstance(signature, Mapping):
        found["signature"] = {str(key): _json(value) for key, value in signature.items() if value is not None}
    plain = _plain(found)
    assert isinstance(plain, dict)
    return plain


def kind(said: Mapping[str, Any]) -> str:
    """Return the flavour that a model is best known by, such as ``sklearn``."""
    flavors = said.get("flavors", {})
    named = [name for name in flavors if name != _GENERAL]
    return str(named[0]) if named else _GENERAL if flavors else "mlflow"


def pinned(text: bytes) -> dict[str, str]:
    """Return the versions that a ``requirements.txt`` pins, by distribution."""
    lines = text[:_CAP].decode(errors="replace").splitlines()
    return {match[1]: match[2] for line in lines if (match := _PINNED.fullmatch(line))}


def _parsed(text: bytes) -> Mapping[Any, Any]:
    import yaml

    if len(text) > _CAP:
        return {}
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, Mapping) else {}


def _json(value: Any) -> Any:
    """Return what a signature's field says; MLflow keeps JSON texts there."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _plain(value: Any) -> Any:
    """Return YAML's values as what a manifest can hold: keys are texts, and there is nothing without a value."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str | dt.datetime | dt.date):
        return value
    return str(value)
