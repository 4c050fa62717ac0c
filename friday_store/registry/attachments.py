"""Attachments: files that belong to a version and are not its model, such as reports, samples and cards.

They are one artifact beside the model's: format ``attachments``, its parts the files by name, each opaque, so that
``b3sum`` can check it. The manifest's fact ``attachments`` names it, ``{artifact: hex, files: {name: size}}``, so what
is attached is as fixed, signed, synced, verified and collected as the model. A reader that knows nothing of them sees
one fact more, and loads what it always did. The model's own digest does not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from friday_store import refs, serializer
from friday_store.digest import Buffer
from friday_store.errors import IntegrityError, InvalidValueError, ModelNotFoundError
from friday_store.hookspecs import Part
from friday_store.manifest import ATTACHMENTS, Artifact, Manifest
from friday_store.plugins import Plugins
from friday_store.repository import Repository, Transaction

Attachable = Path | Buffer
_FORMAT: Final = 1


def checked(given: Mapping[str, Any] | None) -> dict[str, Attachable]:
    """Return attachments in the order of their names.

    Raises:
        InvalidNameError: A name cannot be: those of attachments follow the rules of models' names, and none is a file
            and a folder.
        InvalidValueError: Something is neither a path nor bytes.
    """
    found = dict(sorted((given or {}).items(), key=lambda item: str(item[0])))
    refs.check_files(found, "name of an attachment")
    for name, data in found.items():
        if not isinstance(data, Path | bytes | bytearray | memoryview):
            what = f"attachments[{name!r}]"
            raise InvalidValueError(f"{what}: expected a Path or bytes, not {type(data).__name__}", path=what)
    return found


def put(transaction: Transaction, plugins: Plugins, given: Mapping[str, Attachable]) -> dict[str, Any]:
    """Store attachments, and return the fact that names them; empty if there are none.

    Raises:
        SerializationError: A file cannot be read.
    """
    if not given:
        return {}
    digest, artifact = transaction.put_model(ATTACHMENTS, _FORMAT, _parts(plugins, given))
    return {"artifact": digest.hex(), "files": {part.name: part.size for part in artifact.parts}}


def _parts(plugins: Plugins, given: Mapping[str, Attachable]) -> Iterator[Part]:
    for name, data in given.items():
        [part] = serializer.dump(plugins, data, serializer.FILE).parts
        yield part._replace(name=name)


def listed(manifest: Manifest) -> dict[str, int]:
    """Return the names and sizes of what is attached to a version."""
    return dict(manifest.facts[ATTACHMENTS]["files"]) if manifest.attached else {}


def read(repository: Repository, manifest: Manifest, name: str) -> memoryview:
    """Return the verified bytes of one attachment; of the others nothing is read.

    Raises:
        ModelNotFoundError: The version has none of that name.
        IntegrityError: It is damaged.
    """
    files = listed(manifest)
    if manifest.attached is None or name not in files:
        known = ", ".join(sorted(files)[:5]) or "none"
        raise ModelNotFoundError(
            f"{manifest.name}:{manifest.version} has no attachment {name!r} (there are: {known})",
            hint=f"friday-store show --fields attachments {manifest.name}:{manifest.version}",
        )
    artifact = repository.artifact(manifest.attached)
    entries = tuple(part for part in artifact.parts if part.name == name)
    if artifact.serializer != ATTACHMENTS or [part.size for part in entries] != [files[name]]:
        raise IntegrityError(f"the manifest of {manifest.name}:{manifest.version} and its attachments disagree")
    return repository.parts(Artifact(ATTACHMENTS, artifact.format, entries))[name]
