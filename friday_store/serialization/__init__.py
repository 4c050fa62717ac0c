"""Models as files and bytes: written, read, hashed, measured and looked at. Knows no store.

A file is the format's own single file, which needs nothing of this package to be read. A file does not say which
format it is in, so that is told by its bytes (:mod:`friday_store.serialization.signatures`); it does not say who made
it either, so what could run code is not loaded unless the caller says that it is trusted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from friday_store import serializer
from friday_store.digest import digest_all, digest_of
from friday_store.errors import PluginError, StorageError, UntrustedArtifactError
from friday_store.hookspecs import Part, Serializer
from friday_store.manifest import Artifact
from friday_store.objects.chunking import Tally, cut
from friday_store.plugins import Plugins
from friday_store.serialization.compatibility import CompatibilityReport, Difference, compared
from friday_store.serialization.signatures import detect
from friday_store.storage.files import publish_file

__all__ = ["CompatibilityReport", "Difference", "ModelSerializer", "detect"]

Trusted = bool | Collection[str] | None
"""True for all; digests (hex BLAKE3 of the file) for those; None or False for nothing that could run code."""

_ORIGIN: Final = "file"


class ModelSerializer:
    """Write models as files and bytes, and read them back.

    Args:
        plugins: Where formats come from; None: what is installed.
    """

    def __init__(self, plugins: Plugins | None = None) -> None:
        self.plugins = plugins if plugins is not None else Plugins()

    def serialize(self, model: Any, path: str | Path, format: str | None = None) -> Path:  # noqa: A002 - the word
        """Write a model as its format's native file, whole or not at all, and return the path.

        Args:
            model: Any object that a format accepts.
            path: The file; one that is there is replaced.
            format: The format's name; None lets the model decide.

        Raises:
            SerializationError: The model cannot be written; the message names the attribute.
            StorageError: The file cannot be written.
        """
        target = Path(path)
        publish_file(target, self._blocks(model, format), replace=True)
        return target

    def deserialize(self, path: str | Path, *, trusted: Trusted = None, format: str | None = None) -> Any:  # noqa: A002
        """Return the model in a file.

        Args:
            path: The file.
            trusted: Whether a file whose format can run code may do so: True, or the digests (hex) that may. A file
                in a format that is data loads without.
            format: The format's name; None tells it by the file's bytes.

        Raises:
            UntrustedArtifactError: Loading could run code, and the caller has not vouched for it. Nothing was run.
            SerializationError: The file is not in that format.
            PluginError: The format's plugin is not installed.
            StorageError: The file cannot be read.
        """
        return self._load(self._read(path), trusted, format, str(path))

    def to_bytes(self, model: Any, format: str | None = None) -> bytes:  # noqa: A002 - the recorded word
        """Return the bytes of the native file that :meth:`serialize` writes."""
        return b"".join(self._blocks(model, format))

    def from_bytes(self, data: bytes | memoryview, *, trusted: Trusted = None, format: str | None = None) -> Any:  # noqa: A002
        """Return the model in the bytes of a native file; as :meth:`deserialize`."""
        return self._load(memoryview(data), trusted, format, "these bytes")

    def compute_model_hash(self, model_or_path: Any, format: str | None = None) -> str:  # noqa: A002
        """Return the digest (hex) of what a registry would store: the ``artifact`` of the record.

        Args:
            model_or_path: A model; or a file as a path, in text too, as ``register_model_from_file`` takes it.
            format: The format's name; None lets the model, or the file's bytes, decide.
        """
        chosen, parts = self._dump(model_or_path, format)
        return digest_of(_artifact(chosen, parts).to_bytes()).hex()

    def get_serialized_size(self, model: Any, format: str | None = None) -> int:  # noqa: A002 - the recorded word
        """Return the bytes of a model when it is stored uncompressed, which the record calls ``size_bytes``.

        Nothing is written; parts are counted and let go of one after the other.
        """
        dumped = serializer.dump(self.plugins, model, format)
        return sum(len(block) for part in dumped.parts for block in part.blocks())

    def is_compatible(self, record_or_path: Mapping[str, Any] | str | Path) -> CompatibilityReport:
        """Return whether a model can be expected to load here, without loading it.

        Args:
            record_or_path: A registry's record, of which format and recorded versions are looked at; or a file, which
                has recorded nothing but its format.
        """
        if isinstance(record_or_path, Mapping):
            return compared(record_or_path, self.plugins)
        return compared({"serializer": detect(self._read(record_or_path))}, self.plugins)

    def get_model_info(self, path: str | Path) -> dict[str, Any]:
        """Return what can be said about a file without loading it.

        Returns:
            ``path``, ``format``, ``installed`` (whether a plugin reads it), ``safety`` (None where that is not
            known), ``size_bytes``, ``digest`` (hex BLAKE3 of the file), ``model_hash`` (as
            :meth:`compute_model_hash`), ``parts``: name and size of each, and ``contents``: what the format says of
            them, such as shapes and dtypes; empty where it says nothing.
        """
        data = self._read(path)
        name = detect(data)
        reader = self.reader(name)
        chosen, parts = self._dump(Path(path), None)
        held = {part.name: part.view() for part in parts}
        artifact = _artifact(chosen, (Part(part.name, held[part.name], part.opaque) for part in parts))
        return {
            "path": str(path),
            "format": name,
            "installed": reader is not None,
            "safety": None if reader is None else reader.safety,
            "size_bytes": len(data),
            "digest": digest_of(data).hex(),
            "model_hash": digest_of(artifact.to_bytes()).hex(),
            "parts": [{"name": part.name, "size": part.size} for part in artifact.parts],
            "contents": serializer.contents(chosen, chosen.format, held),
        }

    def detect(self, path: str | Path) -> str:
        """Return the format of a file, told by its bytes; ``file`` when it is none that is known."""
        return detect(self._read(path))

    def reader(self, name: str) -> Serializer | None:
        """Return a format by its name; None when no plugin for it is installed."""
        with contextlib.suppress(PluginError):
            return self.plugins.serializer(name)
        return None

    def _dump(self, model: Any, name: str | None) -> tuple[Serializer, list[Part]]:
        """Return the parts of a model, or of a file in the format that its bytes say and a plugin reads."""
        if name is None and isinstance(model, str | os.PathLike):
            model = Path(model)
            found = self.reader(self.detect(model))
            name = serializer.FILE if found is None else found.name
        dumped = serializer.dump(self.plugins, model, name)
        return dumped.serializer, list(dumped.parts)

    def _blocks(self, model: Any, name: str | None) -> Iterable[bytes | memoryview]:
        dumped = serializer.dump(self.plugins, model, name)
        parts = {part.name: part.view() for part in dumped.parts}
        return serializer.to_file(self.plugins, dumped.serializer.name, dumped.serializer.format, parts)

    def _load(self, data: memoryview, trusted: Trusted, name: str | None, what: str) -> Any:
        chosen = self.plugins.serializer(detect(data) if name is None else name)
        if chosen.safety != "data":
            _require(trusted, data, chosen.name, what)
        parts = {part.name: part.view() for part in chosen.from_file(data)}
        return serializer.load(self.plugins, chosen.name, chosen.format, parts)

    def _read(self, path: str | Path) -> memoryview:
        try:
            if not Path(path).is_file():
                raise StorageError(
                    f"there is no file {path}",
                    hint="name a model's file; for a version give its record: registry.get_model_metadata(REVISION)",
                )
        except ValueError as error:
            raise StorageError(f"{str(path)[:80]!r} names no file") from error
        [whole] = serializer.dump(self.plugins, Path(path), serializer.FILE).parts
        return whole.view()


def _artifact(chosen: Serializer, parts: Iterable[Part]) -> Artifact:
    """Return what a registry would record of the parts."""
    entries = []
    for part, pieces in cut(parts, "none"):
        tally = Tally(part)
        for piece in tally.counted(pieces):
            tally.add(digest_of(piece.data))
        entries.append(tally.entry())
    return Artifact(chosen.name, chosen.format, tuple(entries))


def _require(trusted: Trusted, data: memoryview, name: str, what: str) -> None:
    if trusted is True:
        return
    found = digest_all([data]).hex()
    if isinstance(trusted, Collection) and not isinstance(trusted, str) and found in trusted:
        return
    raise UntrustedArtifactError(
        f"{what} is in the format {name!r}, which can run code when it is loaded; nothing was run",
        model_id=found,
        origin=_ORIGIN,
        hint=f"if you know who made it: deserialize(path, trusted={{'{found}'}})",
    )
