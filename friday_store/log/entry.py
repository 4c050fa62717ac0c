"""One entry of the log, and what every file of the log is checked by; the bytes stand in :mod:`friday_store.log`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from friday_store import codec
from friday_store.digest import SIZE, digest_of
from friday_store.errors import IntegrityError
from friday_store.protection import Protection
from friday_store.refs import Move

ENTRY_CAP: Final = 256 << 20
PER_FOLDER: Final = 1000
_PLACES: Final = 24
_MOST: Final = 1 << 63


@dataclass(frozen=True)
class LogEntry:
    """One transaction.

    Attributes:
        seq: Its number, from 1.
        prev: The digest of the entry before.
        id: Fresh random bytes.
        time: Microseconds since 1970 UTC, later than the entry before.
        actor: Who.
        message: Why.
        packs_added: Name and size of each.
        packs_removed: Names.
        refs: Name, digest before and after; None for absent.
        origin: The id of the repository that the objects were copied from; empty for one's own.
        protection: What is protected from this entry on; None leaves it as it was.
        override: Whether it moves what is protected, and says so.
        digest: The digest of the entry's bytes.
    """

    seq: int
    prev: bytes
    id: bytes
    time: int
    actor: str
    message: str
    packs_added: tuple[tuple[str, int], ...] = ()
    packs_removed: tuple[str, ...] = ()
    refs: tuple[Move, ...] = ()
    origin: str = ""
    protection: Protection | None = None
    override: bool = False
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    def to_bytes(self) -> bytes:
        """Return the canonical bytes, without the checksum that follows them in the file."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        more = dict(self.extra)
        if self.protection is not None:
            more["protection"] = self.protection.to_raw()
        if self.override:
            more["override"] = True
        return codec.encode({**more, "kind": "entry", "schema": 1, **fields}, flat=not more)

    @classmethod
    def from_bytes(cls, data: bytes) -> LogEntry:
        """Return the entry in ``data``.

        Raises:
            IntegrityError: It is none.
        """
        raw = opened(data, "entry", ENTRY_CAP)
        try:
            entry = cls(
                seq=whole(raw.pop("seq")),
                prev=of(bytes, raw.pop("prev")),
                id=of(bytes, raw.pop("id")),
                time=whole(raw.pop("time")),
                actor=of(str, raw.pop("actor")),
                message=of(str, raw.pop("message")),
                packs_added=tuple((pack_name(name), whole(size)) for name, size in raw.pop("packs_added")),
                packs_removed=tuple(pack_name(name) for name in raw.pop("packs_removed")),
                refs=tuple((of(str, name), side(old), side(new)) for name, old, new in raw.pop("refs")),
                origin=of(str, raw.pop("origin")),
                protection=Protection.from_raw(raw.pop("protection")) if "protection" in raw else None,
                override=true(raw.pop("override")) if "override" in raw else False,
                extra=raw,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"malformed log entry: {error}") from error
        return entry

    @property
    def digest(self) -> bytes:
        """The digest of the entry's bytes."""
        return digest_of(self.to_bytes())

    def births(self) -> Iterator[tuple[int, Move]]:
        """Iterate over the moves, each with the birth it gives to its ref."""
        return ((self.seq << _PLACES | place, move) for place, move in enumerate(self.refs))

    def packs_born(self) -> Iterator[tuple[str, int, int]]:
        """Iterate over the packs added: name, size, birth."""
        return ((name, size, self.seq << _PLACES | place) for place, (name, size) in enumerate(self.packs_added))


_FIELDS: Final = (
    "seq", "prev", "id", "time", "actor", "message", "packs_added", "packs_removed", "refs", "origin",
)  # fmt: skip


def entry_path(seq: int) -> str:
    """Return where an entry stands."""
    return f"log/{seq // PER_FOLDER:010d}/{seq % PER_FOLDER:03d}"


def newest_move(entries: Iterable[LogEntry], ref: str) -> tuple[LogEntry, Move] | None:
    """Return the first of the entries that moves ``ref``, with the move."""
    for entry in entries:
        for move in entry.refs:
            if move[0] == ref:
                return entry, move
    return None


def opened(data: bytes, kind: str, cap: int, schemas: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """Return the map in a file's bytes, without kind and schema, once it is known to be of these.

    Raises:
        IntegrityError: It is not.
    """
    raw = codec.decode(data, kind, cap=cap)
    if raw.pop("schema", None) not in schemas:
        raise IntegrityError(f"{kind} of a schema that this release does not read")
    del raw["kind"]
    return raw


def of(kind: type, value: Any) -> Any:
    """Return a value that is of this very type, or raise ``TypeError``."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}")
    return value


def true(value: Any) -> bool:
    """Return True for what is true, or raise ``TypeError``."""
    if value is not True:
        raise TypeError("expected true, or nothing")
    return True


def whole(value: Any) -> int:
    """Return a whole number of 63 bits, or raise ``TypeError``."""
    if type(value) is not int or not 0 <= value < _MOST:
        raise TypeError("expected a whole number of 63 bits")
    return value


def side(value: Any) -> bytes | None:
    """Return a digest or None, or raise ``TypeError``."""
    if value is not None and (type(value) is not bytes or len(value) != SIZE):
        raise TypeError("expected a digest")
    return value


def pack_name(name: Any) -> str:
    """Return a pack's name, or raise ``TypeError`` or ``ValueError``."""
    if type(name) is not str or len(bytes.fromhex(name)) != SIZE or name != name.lower():
        raise TypeError("expected a pack's name")
    return name
