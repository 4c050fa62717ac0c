"""``info``: what a model file or a version is, and whether it can be expected to load here, without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import revisions
from friday_store.cli.output import Column, View, pairs, single
from friday_store.cli.session import Session
from friday_store.cli.text import clean, plain, size

_FIELDS: Final = (
    "path", "revision", "model_id", "format", "safety", "trusted", "compatible", "problems", "differences",
    "size_bytes", "digest", "model_hash", "parts", "protected",
)  # fmt: skip
_INFO: Final = View(fields=_FIELDS, columns=tuple(Column(field, field.upper()) for field in _FIELDS), id="model_hash")
_SAFETY: Final = {
    "data": "data: loading it runs no code",
    "typed": "typed: only types that are listed load",
    "code": "code: loading it can run code",
}
_MOST: Final = 12


@click.command(
    cls=Command, examples=["info model.pkl", "info weights.npz --json", "info aapl_1d@production", "info aapl_1d"]
)
@click.argument("subject", metavar="FILE|REV", shell_complete=revisions)
@click.pass_obj
def info(session: Session, /, *, subject: str) -> None:
    """Say what a model file is.

    It is not loaded.

    A file's format is told by its bytes. Of a version it is also said whether it can be expected to load here, by the
    libraries that were recorded with it. A FILE that is there comes before a revision of the same name.
    """
    found = _of_file(session, subject) if Path(subject).is_file() else _of_version(session, subject)
    single(session, _INFO, {**dict.fromkeys(_FIELDS), **found}, text=_told, upright=True)


def _of_file(session: Session, subject: str) -> dict[str, Any]:
    from friday_store.serialization import ModelSerializer

    serializer = ModelSerializer(session.found_plugins())
    found = serializer.get_model_info(subject)
    report = serializer.is_compatible(subject)
    return {**found, **_compatibility(report)}


def _of_version(session: Session, subject: str) -> dict[str, Any]:
    from friday_store.serialization import ModelSerializer

    registry = session.registry()
    row = registry.resolve(subject)
    record = registry.get_model_metadata(row.model_id)
    report = ModelSerializer(registry.plugins).is_compatible(record)
    artifact = registry.repository.artifact(bytes.fromhex(row.artifact))
    return {
        "revision": f"{row.model_name}:{row.model_version}",
        "model_id": row.model_id,
        "format": row.serializer,
        "size_bytes": row.size_bytes,
        "trusted": registry.trust.allows(registry.provenance(row.model_id)),
        "model_hash": row.artifact,
        "protected": [each for each in record["aliases"] if registry.protection().covers(row.model_name, each)],
        "parts": [{"name": part.name, "size": part.size} for part in artifact.parts],
        **_compatibility(report),
    }


def _compatibility(report: Any) -> dict[str, Any]:
    differences = [
        {"name": each.name, "recorded": each.recorded, "installed": each.installed, "level": each.level}
        for each in report.differences
    ]
    return {
        "safety": report.safety,
        "compatible": report.compatible,
        "problems": list(report.problems),
        "differences": differences,
    }


def _told(found: Mapping[str, Any]) -> str:
    small = [f"{each['name']} {each['recorded']} → {each['installed'] or 'none'}" for each in found["differences"]]
    lines = [
        click.style(clean(found["path"] or found["revision"]), bold=True),
        *pairs(
            [
                ("format", found["format"]),
                ("safety", _SAFETY.get(found["safety"] or "", "not known: no plugin reads this format")),
                ("trusted", "" if found["trusted"] is None else plain(found["trusted"])),
                ("loads here", "yes, as far as is known" if found["compatible"] else "; ".join(found["problems"])),
                ("libraries", ", ".join(small)),
                ("protected", ", ".join(f"@{each}" for each in found["protected"] or ())),
                ("size", size(found["size_bytes"])),
                ("id", found["model_id"] or ""),
                ("digest", found["digest"] or ""),
                ("model hash", found["model_hash"]),
            ]
        ),
    ]
    parts = found["parts"]
    lines += ["", click.style(f"{len(parts)} part{'' if len(parts) == 1 else 's'}", bold=True)]
    lines += pairs([(each["name"], size(each["size"])) for each in parts[:_MOST]], "  ")
    return "\n".join(lines + ([f"  … and {len(parts) - _MOST} more"] if len(parts) > _MOST else []))
