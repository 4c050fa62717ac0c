"""The log: numbered, create-only entries, the only thing that ever changes a repository.

An entry is one transaction. Creating entry n+1 is the compare-and-swap: before it nothing is visible, after it
everything is. ``prev`` is the digest of the entry before, so history is tamper-evident from the last entry back
to ``friday-store.json``, whose digest is the ``prev`` of entry 1.

Byte formats; each file is a canonical MessagePack map (a checkpoint's is a zstd frame of one) followed by the
BLAKE3 of those bytes::

    log/0000000012/345                entry 12345
        {kind: "entry", schema: 1, seq, prev: digest, id: 16 bytes, time: µs since 1970, actor, message,
         packs_added: [[name, size]], packs_removed: [name], refs: [[name, old digest or nil, new or nil]],
         origin: "" or the id of the repository that it was copied from,
         protection: what is protected from now on, where this entry changes it (:mod:`friday_store.protection`),
         override: true, where it moves what is protected}
    checkpoints/00000000000000012288  the state after that entry, every 256 entries
        {kind: "checkpoint", schema: 1, seq, entry: digest of that entry, time, packs: [[name, size, birth]]
         by birth, refs: [[name, digest, birth, origin]] by name, protection: where there is any}

The ``birth`` of a ref or a pack is ``seq << 24 | place in the entry``: unique, ordered by time, the same in every
replay. A pack that was removed is never added again; ``packs_removed`` may name packs that no entry added, which then
none may add (:mod:`friday_store.maintenance.gc`). ``id`` is fresh for each attempt: who is told "it exists" reads the
entry back, and its own id means that only the reply was lost.

No more than 256 MiB of an entry, and 1 GiB of a checkpoint, are ever asked for, and a checkpoint that claims to hold
more than 256 times its bytes is not unpacked: nobody can make a reader take all memory by what they serve.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import zstandard

from friday_store import codec
from friday_store.digest import SIZE, digest_of
from friday_store.errors import ConflictError, IntegrityError, InvalidValueError, StorageError
from friday_store.protection import Protection
from friday_store.refs import Move
from friday_store.storage import Storage
from friday_store.workers import workers

_LOGGER: Final = logging.getLogger(__name__)

ENTRY_CAP: Final = 256 << 20
CHECKPOINT_CAP: Final = 1 << 30
_RATIO: Final = 256
_SMALL: Final = 16 << 20
EVERY: Final = 256
_PER_FOLDER: Final = 1000
_REQUESTS: Final = 16
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
        raw = _opened(data, "entry", ENTRY_CAP)
        try:
            entry = cls(
                seq=_whole(raw.pop("seq")),
                prev=_of(bytes, raw.pop("prev")),
                id=_of(bytes, raw.pop("id")),
                time=_whole(raw.pop("time")),
                actor=_of(str, raw.pop("actor")),
                message=_of(str, raw.pop("message")),
                packs_added=tuple((_pack(name), _whole(size)) for name, size in raw.pop("packs_added")),
                packs_removed=tuple(_pack(name) for name in raw.pop("packs_removed")),
                refs=tuple((_of(str, name), _side(old), _side(new)) for name, old, new in raw.pop("refs")),
                origin=_of(str, raw.pop("origin")),
                protection=Protection.from_raw(raw.pop("protection")) if "protection" in raw else None,
                override=_true(raw.pop("override")) if "override" in raw else False,
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


@dataclass
class State:
    """All refs and live packs after one entry.

    Attributes:
        seq: The entry's number; 0 before the first.
        entry: Its digest; that of ``friday-store.json`` before the first.
        time: Its time.
        refs: Name to (digest, birth, origin).
        packs: Name to (size, birth), in the order in which they came.
        protection: What is protected.
    """

    seq: int
    entry: bytes
    time: int = 0
    refs: dict[str, tuple[bytes, int, str]] = field(default_factory=dict)
    packs: dict[str, tuple[int, int]] = field(default_factory=dict)
    protection: Protection = field(default_factory=Protection)

    def apply(self, entry: LogEntry, digest: bytes) -> None:
        """Move on by one entry.

        Raises:
            IntegrityError: It does not follow this state.
        """
        if entry.seq != self.seq + 1 or entry.prev != self.entry:
            raise IntegrityError(f"log entry {entry.seq} does not follow entry {self.seq}", path=entry_path(entry.seq))
        for birth, (name, old, new) in entry.births():
            if self.refs.get(name, (None,))[0] != old:
                raise IntegrityError(f"log entry {entry.seq} moves {name} from where it was not")
            if new is None:
                self.refs.pop(name, None)
            else:
                self.refs[name] = (new, birth, entry.origin)
        for name, size, birth in entry.packs_born():
            self.packs[name] = (size, birth)
        for name in entry.packs_removed:
            self.packs.pop(name, None)
        if entry.protection is not None:
            self.protection = entry.protection
        self.seq, self.entry, self.time = entry.seq, digest, entry.time

    def to_bytes(self) -> bytes:
        """Return the canonical bytes of a checkpoint: equal states give equal bytes."""
        return codec.encode(
            {
                "kind": "checkpoint",
                "schema": 1,
                "seq": self.seq,
                "entry": self.entry,
                "time": self.time,
                "packs": [(name, *self.packs[name]) for name in self.packs],
                "refs": [(name, *self.refs[name]) for name in sorted(self.refs)],
                **({"protection": self.protection.to_raw()} if self.protection else {}),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """Return the state in a checkpoint's bytes.

        Raises:
            IntegrityError: It is none.
        """
        raw = _opened(data, "checkpoint", CHECKPOINT_CAP)
        try:
            return cls(
                _whole(raw["seq"]),
                _of(bytes, raw["entry"]),
                _whole(raw["time"]),
                {_of(str, n): (_of(bytes, d), _whole(b), _of(str, o)) for n, d, b, o in raw["refs"]},
                {_pack(name): (_whole(size), _whole(birth)) for name, size, birth in raw["packs"]},
                Protection.from_raw(raw["protection"]) if "protection" in raw else Protection(),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"malformed checkpoint: {error}") from error


class Log:
    """The log of one repository.

    Args:
        storage: Where it is.
        root: The digest of ``friday-store.json``.
        clock: Returns the time now; entries are later than the one before whatever it says.

    Attributes:
        root: What the first entry follows.
    """

    def __init__(self, storage: Storage, root: bytes, clock: Callable[[], dt.datetime]) -> None:
        self._storage = storage
        self.root = root
        self._clock = clock

    def now(self) -> int:
        """Return the time in microseconds since 1970 UTC."""
        return round(self._clock().timestamp() * 1_000_000)

    def read(self, seq: int) -> tuple[LogEntry, bytes] | None:
        """Return an entry and its digest; None if there is none of this number.

        Raises:
            IntegrityError: It is damaged.
        """
        path = entry_path(seq)
        body = self._unsealed(path, ENTRY_CAP)
        if body is None:
            return None
        try:
            entry = LogEntry.from_bytes(body)
        except IntegrityError as error:
            raise IntegrityError(str(error), path=path) from error
        if entry.seq != seq:
            raise IntegrityError(f"log entry {seq} says that it is entry {entry.seq}", path=path)
        return entry, digest_of(body)

    def digest(self, seq: int) -> bytes | None:
        """Return an entry's digest, without looking at what it says; None if there is none of this number.

        Raises:
            IntegrityError: Its bytes do not match their checksum.
        """
        body = self._unsealed(entry_path(seq), ENTRY_CAP)
        return None if body is None else digest_of(body)

    def _unsealed(self, path: str, cap: int) -> bytes | None:
        """Return what a file holds before its checksum; None where there is none.

        Raises:
            IntegrityError: They do not match, or it is larger than allowed, and was not read to its end.
        """
        data = self._storage.read(path, 0, cap + SIZE + 1)
        if data is None:
            return None
        if len(data) > cap + SIZE:
            raise IntegrityError(f"{path} is larger than the {cap} bytes that are allowed", path=path)
        body, seal = data[:-SIZE], data[-SIZE:]
        if digest_of(body) != seal:
            raise IntegrityError(f"{path} does not match its checksum", path=path)
        return body

    def after(self, seq: int, digest: bytes, last: int | None = None) -> Iterator[tuple[LogEntry, bytes]]:
        """Iterate over the entries after ``seq``, whose digest is given; each follows the one before.

        Args:
            seq: The number of the entry before the first.
            digest: Its digest.
            last: The number of the last one; None goes on to the newest.

        Raises:
            IntegrityError: The chain is broken.
        """
        for found in self._ahead(seq + 1, last):
            entry, following = found
            if entry.prev != digest:
                raise IntegrityError(
                    f"log entry {seq + 1} does not follow entry {seq}: history was changed", path=entry_path(seq + 1)
                )
            yield entry, following
            seq, digest = entry.seq, following

    def _ahead(self, seq: int, last: int | None) -> Iterator[tuple[LogEntry, bytes]]:
        """Iterate over the entries from ``seq`` on; from afar, more and more of them in one go."""
        end = _MOST if last is None else last + 1
        if self._storage.root is not None:
            while seq < end and (found := self.read(seq)) is not None:
                yield found
                seq += 1
            return
        some = 1 if last is None else _REQUESTS
        with workers(_REQUESTS, "friday-log") as pool:
            while seq < end:
                for each in list(pool.map(self.read, range(seq, min(seq + some, end)))):
                    if each is None:
                        return
                    yield each
                seq, some = seq + some, min(2 * some, _REQUESTS)

    def backwards(self, seq: int) -> Iterator[LogEntry]:
        """Iterate from entry ``seq`` down to 1.

        Raises:
            IntegrityError: An entry is missing or damaged.
        """
        for number in range(seq, 0, -1):
            found = self.read(number)
            if found is None:
                raise IntegrityError(f"log entry {number} is missing", path=entry_path(number))
            yield found[0]

    def last(self) -> int:
        """Return the number of the newest entry, by looking at what is there; 0 if there is none."""
        for folder in sorted((e.name for e in self._storage.list("log") if _number(e.name) is not None), reverse=True):
            names = [_number(entry.name) for entry in self._storage.list(f"log/{folder}")]
            known = [int(folder) * _PER_FOLDER + name for name in names if name is not None]
            if known:
                return max(known)
        return 0

    def state(self, seq: int | None = None) -> State:
        """Return the state after entry ``seq``, or after the newest.

        Raises:
            IntegrityError: An entry on the way is missing or damaged.
            ConflictError: There is no such entry.
        """
        state = self._checkpoint(seq)
        while True:
            for entry, digest in self.after(state.seq, state.entry):
                if seq is not None and entry.seq > seq:
                    break
                state.apply(entry, digest)
            if seq is not None and state.seq != seq:
                raise ConflictError(f"the log has no entry {seq}; the newest is {state.seq}")
            last = state.seq if seq is not None else self.last()
            if last <= state.seq:
                return state
            following = entry_path(state.seq + 1)  # others may have written it since it was found missing
            if self._storage.stat(following) is None:
                raise IntegrityError(f"log entry {state.seq + 1} is missing, and {last} is there", path=following)

    def at(self, time: dt.datetime) -> int:
        """Return the number of the newest entry at or before a time; 0 if there is none."""
        limit = round(time.timestamp() * 1_000_000)
        low, high = 0, self.last()
        while low < high:
            middle = (low + high + 1) // 2
            found = self.read(middle)
            if found is None:
                raise IntegrityError(f"log entry {middle} is missing", path=entry_path(middle))
            low, high = (middle, high) if found[0].time <= limit else (low, middle - 1)
        return low

    def append(self, entry: LogEntry) -> bytes | None:
        """Create the entry and return its digest; None if another entry has that number, and never else.

        Raises:
            StorageError: It could not be created, or it cannot be found out whether it was.
            IntegrityError: A damaged entry has that number.
            InvalidValueError: It is larger than a reader accepts.
        """
        body = entry.to_bytes()
        if len(body) > ENTRY_CAP:
            raise InvalidValueError(
                f"this would be one log entry of {len(body) >> 20} MiB, and {ENTRY_CAP >> 20} are allowed",
                path="transaction",
                hint="make the change in several transactions, or sync some models at a time",
            )
        digest = digest_of(body)
        sealed = body + digest
        del body  # which may be large
        try:
            created = self._storage.create(entry_path(entry.seq), sealed)
        except StorageError:
            with contextlib.suppress(StorageError, IntegrityError):
                if self._is_there(entry):
                    return digest
            raise
        return digest if created or self._is_there(entry) else None

    def _is_there(self, entry: LogEntry) -> bool:
        """Whether this very entry is in the log, although the store said otherwise or nothing."""
        found = self.read(entry.seq)
        return found is not None and found[0].id == entry.id

    def following(self, state: State, **fields: Any) -> LogEntry:
        """Return the entry that would follow ``state``, with a fresh id and a later time."""
        time = max(self.now(), state.time + 1)
        return LogEntry(seq=state.seq + 1, prev=state.entry, id=secrets.token_bytes(16), time=time, **fields)

    def checkpoint(self, seq: int) -> None:
        """Write the checkpoint of entry ``seq`` unless it is there; called by the writer of that entry."""
        path = checkpoint_path(seq)
        if self._storage.stat(path) is None:
            state = self.state(seq).to_bytes()
            packed = zstandard.ZstdCompressor(level=1).compress(state)
            if _is_plausible(len(state), len(packed)):  # else the log alone says it
                self._storage.create(path, [packed, digest_of(packed)])

    def checkpoints(self) -> list[int]:
        """Return the numbers of the checkpoints, ascending."""
        return sorted(n for e in self._storage.list("checkpoints") if (n := _number(e.name)) is not None)

    def read_checkpoint(self, seq: int) -> State:
        """Return the state that a checkpoint holds.

        Raises:
            IntegrityError: It is damaged.
        """
        path = checkpoint_path(seq)
        packed = self._unsealed(path, CHECKPOINT_CAP)
        if packed is None:
            raise IntegrityError(f"checkpoint {seq} is missing", path=path)
        try:
            sound = _is_plausible(zstandard.frame_content_size(packed), len(packed))
            state = State.from_bytes(zstandard.ZstdDecompressor().decompress(packed) if sound else b"")
        except (zstandard.ZstdError, IntegrityError) as error:
            raise IntegrityError(f"checkpoint {seq} is damaged: {error}", path=path) from error
        if state.seq != seq:
            raise IntegrityError(f"checkpoint {seq} says that it is {state.seq}", path=path)
        return state

    def _checkpoint(self, seq: int | None) -> State:
        """Return the newest checkpoint's state at or before ``seq``; the empty state where there is none."""
        for number in reversed(self.checkpoints()):
            if seq is None or number <= seq:
                try:
                    return self.read_checkpoint(number)
                except IntegrityError as error:  # the log says the same; fsck reports the damage
                    _LOGGER.warning("passing over a damaged checkpoint: %s", error)
        return State(0, self.root)


def entry_path(seq: int) -> str:
    """Return where an entry stands."""
    return f"log/{seq // _PER_FOLDER:010d}/{seq % _PER_FOLDER:03d}"


def checkpoint_path(seq: int) -> str:
    """Return where a checkpoint stands."""
    return f"checkpoints/{seq:020d}"


def newest_move(entries: Iterable[LogEntry], ref: str) -> tuple[LogEntry, Move] | None:
    """Return the first of the entries that moves ``ref``, with the move."""
    for entry in entries:
        for move in entry.refs:
            if move[0] == ref:
                return entry, move
    return None


def _opened(data: bytes, kind: str, cap: int) -> dict[str, Any]:
    raw = codec.decode(data, kind, cap=cap)
    if raw.pop("schema", None) != 1:
        raise IntegrityError(f"{kind} of a schema that this release does not read")
    del raw["kind"]
    return raw


def _is_plausible(size: int, packed: int) -> bool:
    """Whether so few bytes may claim to hold so many."""
    return 0 <= size <= min(CHECKPOINT_CAP, max(_SMALL, _RATIO * packed))


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}")
    return value


def _true(value: Any) -> bool:
    if value is not True:
        raise TypeError("expected true, or nothing")
    return True


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise TypeError("expected a whole number of 63 bits")
    return value


def _side(value: Any) -> bytes | None:
    if value is not None and (type(value) is not bytes or len(value) != SIZE):
        raise TypeError("expected a digest")
    return value


def _pack(name: Any) -> str:
    if type(name) is not str or len(bytes.fromhex(name)) != SIZE or name != name.lower():
        raise TypeError("expected a pack's name")
    return name


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() else None
