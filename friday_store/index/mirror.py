"""From log entries to rows: what a version's row says, and how notes change it.

A version's state is its manifest folded with its notes in (time, digest) order. ``metrics`` notes append
observations, ``status`` and ``metadata`` notes overwrite, key by key; what was overwritten stays in the notes.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from friday_store import refs
from friday_store.manifest import Manifest, Note

STATUS: Final = "active"
UNREADABLE: Final = "unreadable"
FLOAT: Final = "$float"
SECTIONS: Final = (
    "metrics", "metadata", "hyperparameters", "training_data", "feature_importance", "pipeline_steps",
    "dependencies", "environment", "evaluation", "input_schema",
)  # fmt: skip
LATER: Final = ("contents", "attachments")
"""Sections that came later: in the index only where a version has them, so that older indexes stay the same."""


@dataclass(frozen=True)
class Folded:
    """A version's state.

    Attributes:
        description: As last said.
        status: As last set.
        updated: The time of the last note, or of the manifest.
        details: The sections of facts; ``metrics`` holds the newest value of each.
        metrics: Every observation: name, value, step, time.
    """

    description: str
    status: str
    updated: int
    details: dict[str, Any]
    metrics: list[tuple[str, float, int | None, int]]


def fold(manifest: Manifest, notes: Iterable[tuple[bytes, Note]]) -> Folded:
    """Return the state of a version.

    Args:
        manifest: As it was made.
        notes: Digest and note, in any order.
    """
    details = {section: manifest.facts.get(section, {}) for section in SECTIONS}
    details |= {section: manifest.facts[section] for section in LATER if section in manifest.facts}
    metrics: list[tuple[str, float, int | None, int]]
    metrics = [(name, value, None, manifest.time) for name, value in sorted(details["metrics"].items())]
    description, status, updated = manifest.description, STATUS, manifest.time
    for _, note in sorted(notes, key=lambda item: (item[1].time, item[0])):
        updated = max(updated, note.time)
        if note.type == "metrics":
            step, time = note.body.get("step"), note.body.get("time", note.time)
            metrics += [(name, value, step, time) for name, value in note.body.get("metrics", {}).items()]
        elif note.type == "status":
            status = str(note.body.get("status", status))
        elif note.type == "metadata":
            details = merged(details, note.body.get("changes", {}))
            description = note.body.get("description") or description
    details["metrics"] = {name: value for name, value, _, _ in metrics}
    return Folded(description, status, updated, details, metrics)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` merged in, deeply; None removes a key."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def row(birth: int, digest: bytes, origin: str, manifest: Manifest, folded: Folded) -> tuple[Any, ...]:
    """Return the row of ``model_metadata``, in the order of its columns."""
    version = refs.check_version(manifest.version)
    return (
        birth,
        digest.hex(),
        manifest.name,
        manifest.version,
        refs.precedence(version),
        int(version.prerelease is None),
        manifest.type,
        folded.description,
        folded.status,
        manifest.serializer,
        manifest.artifact.hex(),
        manifest.size,
        manifest.author,
        manifest.time,
        folded.updated,
        origin,
        dumped(folded.details),
    )


def unreadable(birth: int, digest: bytes, origin: str, name: str, version: str) -> tuple[Any, ...]:
    """Return the row of a version whose manifest cannot be read: its ref is there, and nothing else is known."""
    parsed = refs.check_version(version)
    order = refs.precedence(parsed), int(parsed.prerelease is None)
    return birth, digest.hex(), name, version, *order, "", "", UNREADABLE, "", "", 0, "", 0, 0, origin, "{}"


def seal(row: tuple[Any, ...]) -> int:
    """Return the checksum that stands beside a row of ``model_metadata``."""
    return zlib.crc32(repr(row).encode(errors="surrogatepass"))


def metric_rows(birth: int, folded: Folded) -> list[tuple[Any, ...]]:
    """Return the rows of ``model_metrics``; what is not a number becomes NULL, and minus zero zero, as in SQLite."""
    newest = {name: position for position, (name, *_) in enumerate(folded.metrics)}
    return [
        (
            birth,
            name,
            position,
            None if math.isnan(value) else float(value) + 0.0,
            step,
            time,
            int(newest[name] == position),
        )
        for position, (name, value, step, time) in enumerate(folded.metrics)
    ]


def dumped(details: Mapping[str, Any]) -> str:
    """Return the sections as JSON that every database reads, and finds every key in.

    There is no NaN, no infinity, no bytes as such and no zero byte in it, and no key that a JSON path cannot spell:
    each is written as something that begins with ``$``, as keys that do so are themselves.
    """
    try:
        text = _ENCODER.encode(details)
    except (ValueError, TypeError):
        return _ENCODER.encode(_escaped(details))
    return _ENCODER.encode(_escaped(details)) if _ODD.search(text) else text


def spelled(key: str) -> str:
    """Return a key as :func:`dumped` writes it: base64 after ``$0`` where a path could not say it."""
    if not key or _UNSPELLABLE.search(key):
        return "$0" + base64.b64encode(key.encode()).decode()
    return f"${key}" if key[0] == "$" else key


def spelled_text(text: str) -> tuple[str, str]:
    """Return key and value of what :func:`dumped` writes for a text with a zero byte."""
    return "$text", base64.b64encode(text.encode()).decode()


def loaded(text: str) -> dict[str, Any]:
    """Return the sections that :func:`dumped` wrote."""
    found: dict[str, Any] = json.loads(text, object_hook=_unescaped) if '"$' in text else json.loads(text)
    return found


_ODD: Final = re.compile(r'"\$|\\|"":')
_UNSPELLABLE: Final = re.compile(r'["\\\x00-\x1f]')
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def _escaped(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {FLOAT: str(value)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, str) and "\0" in value:
        return dict([spelled_text(value)])
    if isinstance(value, Mapping):
        return {spelled(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def _unescaped(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        if FLOAT in found:
            return float(found[FLOAT])
        if "$bytes" in found:
            return base64.b64decode(found["$bytes"])
        if "$text" in found:
            return base64.b64decode(found["$text"]).decode()
    return {_unspelled(key): item for key, item in found.items()}


def _unspelled(key: str) -> str:
    if key[:2] == "$0":
        return base64.b64decode(key[2:]).decode()
    return key[1:] if key[:1] == "$" else key
