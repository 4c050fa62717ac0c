"""The three small objects that describe a model: artifact, manifest, note. Frozen values; no input or output.

Laws, for each class: ``from_bytes(to_bytes(x)) == x``; ``to_bytes(from_bytes(b)) == b`` for every ``b`` that is
accepted, also one written by a newer release, whose unknown keys are kept in ``extra``.

Byte formats (canonical MessagePack maps, see :mod:`friday_store.codec`; ``*`` marks an optional key; digests are
32 raw bytes; times are integers, microseconds since 1970 UTC)::

    artifact  {kind, schema: 1, serializer: str, format: int, parts: [{name, size, chunks: digests end to end,
              digest*}]}
    envelope  {kind, schema: 1, payload: bytes of the manifest, signatures: [{keyid, sig}, ..]}
    manifest  {kind, schema: 1, name, version, artifact, serializer, size, parents: [digest], time, author,
              description, type, tags: [..], facts: {..}}
    note      {kind, schema: 1, about: digest of an envelope, type: str, body: {..}, author, time}

A version's digest (``model_id``) is that of its envelope. So it covers the author's signature, which is made with the
manifest (:mod:`friday_store.signing`, over the payload): the same payload signed by somebody else is another version,
and whoever signs later does so in a note of type ``approval``, whose body is ``{payload: bytes, signatures: [..]}``,
the payload being a map ``{kind: "approval", schema: 1, about, name, version, comment, time}``.

``facts`` holds the user's sections, each plain data: ``metrics``, ``metadata``, ``hyperparameters``,
``training_data``, ``feature_importance``, ``pipeline_steps``, ``dependencies``, ``environment``, ``evaluation``,
``input_schema``, ``contents``; and one of this package's own, ``attachments``,
``{artifact: 64 hex characters, files: {name: size}}``: the version needs that artifact too (see
:mod:`friday_store.registry.attachments`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Self, TypeVar

from friday_store import codec, digest, refs
from friday_store.errors import IntegrityError, InvalidNameError, InvalidValueError

ARTIFACT_CAP: Final = 256 << 20
MANIFEST_CAP: Final = 16 << 20
NOTE_CAP: Final = 16 << 20
ATTACHMENTS: Final = "attachments"

_SIZES: Final = range(1 << 63)
_STEPS: Final = range(-(1 << 63), 1 << 63)
_TIMES: Final = range(-62_135_596_800 * 10**6, 253_402_300_800 * 10**6)

_T = TypeVar("_T")


@dataclass(frozen=True)
class PartEntry:
    """One part of a model: its name, its size in bytes, and the digests of its chunks in order.

    Attributes:
        name: Unique within the artifact.
        size: Bytes of the whole part.
        chunks: 32 bytes for each chunk, end to end.
        digest: The digest of the whole, for opaque files only, so that ``b3sum`` can check an export.
    """

    name: str
    size: int
    chunks: bytes
    digest: bytes | None = None

    def __iter__(self) -> Any:
        """Iterate over the digests of the chunks."""
        return (self.chunks[at : at + digest.SIZE] for at in range(0, len(self.chunks), digest.SIZE))


@dataclass(frozen=True)
class Artifact:
    """What one serialized model is made of; its digest is the model hash."""

    serializer: str
    format: int
    parts: tuple[PartEntry, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    KIND: ClassVar[str] = "artifact"

    @property
    def size(self) -> int:
        """Bytes of all parts together, uncompressed."""
        return sum(part.size for part in self.parts)

    def to_bytes(self) -> bytes:
        """Return the canonical bytes."""
        parts = [
            {"name": part.name, "size": part.size, "chunks": part.chunks}
            | ({} if part.digest is None else {"digest": part.digest})
            for part in self.parts
        ]
        return codec.encode(
            {**self.extra, "kind": "artifact", "schema": 1}
            | {"serializer": self.serializer, "format": self.format, "parts": parts}
        )

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Return the artifact in ``data``.

        Raises:
            IntegrityError: It is none, or its parts do not add up.
        """
        raw = _opened(data, "artifact", ARTIFACT_CAP)
        parts = tuple(_part(item) for item in _take(raw, "parts", list))
        if len({part.name for part in parts}) != len(parts):
            raise IntegrityError("artifact names a part twice")
        return cls(_take(raw, "serializer", str), _take(raw, "format", int), parts, raw)


def _part(item: Any) -> PartEntry:
    if not isinstance(item, dict) or not set(item) <= {"name", "size", "chunks", "digest"}:
        raise IntegrityError("artifact has a malformed part")
    name, size, chunks = _take(item, "name", str), _take(item, "size", int), _take(item, "chunks", bytes)
    whole = _take(item, "digest", bytes) if "digest" in item else None
    if size < 0 or len(chunks) % digest.SIZE or (size > 0) != bool(chunks) or len(whole or b"0" * 32) != digest.SIZE:
        raise IntegrityError(f"artifact has a malformed part {name[:80]!r}")
    return PartEntry(name, size, chunks, whole)


@dataclass(frozen=True)
class Manifest:
    """One version of a model, for ever.

    Attributes:
        name: The model's name.
        version: Its semantic version.
        artifact: The digest of the artifact.
        serializer: The format's name, as in the artifact.
        size: The artifact's size in bytes, uncompressed.
        parents: Digests of the versions that this one came from.
        time: When it was made, microseconds since 1970 UTC.
        author: Who made it.
        description: One's own words.
        type: The kind of model, such as ``RandomForestRegressor``.
        tags: The tags that it was born with; tags of today are refs.
        facts: The sections of facts; see the module.
        signatures: Signatures over the payload.
    """

    name: str
    version: str
    artifact: bytes
    serializer: str
    size: int
    parents: tuple[bytes, ...]
    time: int
    author: str
    description: str = ""
    type: str = ""
    tags: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    signatures: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    around: Mapping[str, Any] = field(default_factory=dict, hash=False)

    KIND: ClassVar[str] = "envelope"

    def __post_init__(self) -> None:
        """Refuse what no index could hold.

        Raises:
            InvalidNameError: The name or version cannot be.
            InvalidValueError: The size, the time or a metric cannot be.
        """
        refs.check_name(self.name, "model name")
        refs.check_version(self.version)
        _require(_is_in(_SIZES, self.size), "size", "a number of bytes")
        _require(_is_in(_TIMES, self.time), "time", "microseconds since 1970")
        _require(_are_numbers(self.facts.get("metrics", {})), "metrics", "numbers by name")
        _require(_are_attached(self.facts.get(ATTACHMENTS)), ATTACHMENTS, "a digest, and sizes by name")

    @property
    def attached(self) -> bytes | None:
        """The digest of the artifact that holds the attachments; None if there are none."""
        named = self.facts.get(ATTACHMENTS)
        return bytes.fromhex(named["artifact"]) if named else None

    @property
    def artifacts(self) -> tuple[bytes, ...]:
        """The digests of all artifacts that the version needs: the model's first."""
        return (self.artifact,) if self.attached is None else (self.artifact, self.attached)

    def check_artifact(self, digest: bytes, artifact: Artifact) -> None:
        """Make sure that one of its artifacts is what the manifest says of it.

        Raises:
            IntegrityError: They disagree.
        """
        said = (self.serializer, self.size)
        if digest != self.artifact:
            said = (ATTACHMENTS, sum(self.facts[ATTACHMENTS]["files"].values()))
        if (artifact.serializer, artifact.size) != said:
            raise IntegrityError(f"the manifest of {self.name}:{self.version} and its artifact disagree")

    def payload(self) -> bytes:
        """Return the canonical bytes that signatures sign."""
        return codec.encode(
            {**self.extra, "kind": "manifest", "schema": 1}
            | {"name": self.name, "version": self.version, "artifact": self.artifact, "serializer": self.serializer}
            | {"size": self.size, "parents": self.parents, "time": self.time, "author": self.author}
            | {"description": self.description, "type": self.type, "tags": self.tags, "facts": self.facts}
        )

    def to_bytes(self) -> bytes:
        """Return the canonical bytes of the envelope."""
        return self._enveloped(self.payload())

    def signed(self, sign: Callable[[bytes], Mapping[str, Any]]) -> tuple[Self, bytes]:
        """Return the same manifest with one signature more, and the canonical bytes of its envelope.

        Args:
            sign: Returns a signature over the payload.
        """
        payload = self.payload()
        made = replace(self, signatures=(*self.signatures, sign(payload)))
        return made, made._enveloped(payload)  # noqa: SLF001 - of this class

    def _enveloped(self, payload: bytes) -> bytes:
        return codec.encode(
            {**self.around, "kind": "envelope", "schema": 1} | {"payload": payload, "signatures": self.signatures}
        )

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Return the manifest in an envelope's bytes.

        Raises:
            IntegrityError: It is none.
        """
        around = _opened(data, "envelope", MANIFEST_CAP)
        payload, signatures = _take(around, "payload", bytes), _take(around, "signatures", list)
        raw = _opened(payload, "manifest", MANIFEST_CAP)
        with _believed("manifest"):
            return cls(
                name=_take(raw, "name", str),
                version=_take(raw, "version", str),
                artifact=_digest(_take(raw, "artifact", bytes)),
                serializer=_take(raw, "serializer", str),
                size=_take(raw, "size", int),
                parents=tuple(_digest(parent) for parent in _take(raw, "parents", list)),
                time=_take(raw, "time", int),
                author=_take(raw, "author", str),
                description=_take(raw, "description", str),
                type=_take(raw, "type", str),
                tags=tuple(_text(tag) for tag in _take(raw, "tags", list)),
                facts=_take(raw, "facts", dict),
                signatures=tuple(signatures),
                extra=raw,
                around=around,
            )


@dataclass(frozen=True)
class Note:
    """Something said about a version after it was made.

    Attributes:
        about: The digest of the version's envelope.
        type: ``metrics``, ``status``, ``metadata`` or ``approval`` so far; others are kept and passed over.
        body: What is said, by type.
        author: Who says it.
        time: When, microseconds since 1970 UTC, later than every note that its writer had seen.
    """

    about: bytes
    type: str
    body: Mapping[str, Any] = field(hash=False)
    author: str
    time: int
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    KIND: ClassVar[str] = "note"

    def __post_init__(self) -> None:
        """Refuse what no index could hold.

        Raises:
            InvalidValueError: The time, or what the body of a known type must have, cannot be.
        """
        _require(_is_in(_TIMES, self.time), "time", "microseconds since 1970")
        if self.type == "metrics":
            step = self.body.get("step")
            _require(_are_numbers(self.body.get("metrics", {})), "metrics", "numbers by name")
            _require(step is None or _is_in(_STEPS, step), "step", "a whole number of 64 bits")
            _require(_is_in(_TIMES, self.body.get("time", self.time)), "time", "microseconds since 1970")
        elif self.type == "metadata":
            _require(isinstance(self.body.get("changes", {}), Mapping), "changes", "a mapping")

    def to_bytes(self) -> bytes:
        """Return the canonical bytes."""
        return codec.encode(
            {**self.extra, "kind": "note", "schema": 1, "about": self.about, "type": self.type}
            | {"body": self.body, "author": self.author, "time": self.time}
        )

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Return the note in ``data``.

        Raises:
            IntegrityError: It is none.
        """
        raw = _opened(data, "note", NOTE_CAP)
        with _believed("note"):
            return cls(
                about=_digest(_take(raw, "about", bytes)),
                type=_take(raw, "type", str),
                body=_take(raw, "body", dict),
                author=_take(raw, "author", str),
                time=_take(raw, "time", int),
                extra=raw,
            )


@contextlib.contextmanager
def _believed(kind: str) -> Iterator[None]:
    """Turn what is refused when a value is made into what is refused when one is read."""
    try:
        yield
    except (InvalidNameError, InvalidValueError) as error:
        raise IntegrityError(f"{kind} with an impossible value: {error}") from error


def _require(sound: bool, path: str, wanted: str) -> None:  # noqa: FBT001 - the outcome of a check
    if not sound:
        raise InvalidValueError(f"{path}: expected {wanted}", path=path)


def _is_in(limits: range, value: Any) -> bool:
    return type(value) is int and value in limits  # a range would look for any other type one by one


def _are_numbers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(type(number) in (int, float) for number in value.values())


def _are_attached(value: Any) -> bool:
    if value is None or value == {}:
        return True
    if not isinstance(value, Mapping) or value.keys() != {"artifact", "files"}:
        return False
    named, files = value["artifact"], value["files"]
    if not isinstance(named, str) or len(named) != 2 * digest.SIZE or not digest.is_prefix(named):
        return False
    if not isinstance(files, Mapping) or not all(_is_in(_SIZES, size) for size in files.values()):
        return False
    refs.check_files(files, "name of an attachment")
    return True


def _opened(data: bytes | memoryview, kind: str, cap: int) -> dict[str, Any]:
    raw = codec.decode(data, kind, cap=cap)
    schema = raw.pop("schema", None)
    if schema != 1:
        raise IntegrityError(f"{kind} of schema {str(schema)[:20]}; this release reads schema 1")
    del raw["kind"]
    return raw


def _take(raw: dict[str, Any], key: str, kind: type[_T]) -> _T:
    value = raw.pop(key, None)
    if type(value) is not kind:
        raise IntegrityError(f"field {key!r} is not {kind.__name__}")
    return value


def _digest(value: Any) -> bytes:
    if type(value) is not bytes or len(value) != digest.SIZE:
        raise IntegrityError("a digest does not have 32 bytes")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise IntegrityError("a tag is not text")
    return value
