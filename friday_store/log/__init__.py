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
    checkpoints/00000000000000012288  what entries up to 12288 come to, at every 256th
        {kind: "checkpoint", schema: 1, seq, entry: digest of that entry, time, packs: [[name, size, birth]]
         by birth, refs: [[name, digest, birth, origin]] by name, protection: where there is any}: of all entries
        {…, schema: 2, after, base: digest of entry ``after``, gone: [name of a ref that was there then, and was
         moved or removed since], removed: [name of a pack that was in use then], protection: where it was changed
         since}: of the entries after ``after``

The ``birth`` of a ref or a pack is ``seq << 24 | place in the entry``: unique, ordered by time, the same in every
replay. A pack that was removed is never added again; ``packs_removed`` may name packs that no entry added, which then
none may add (:mod:`friday_store.maintenance.gc`). ``id`` is fresh for each attempt: who is told "it exists" reads the
entry back, and its own id means that only the reply was lost.

A checkpoint sums up 256 entries, or 4,096 where its number is a multiple of that, or 65,536, and so on; so a state is
read from at most fifteen files of each width and fewer than 256 entries, and a registration pays for a checkpoint by
what was registered lately, not by all that is there. One of more than half a million facts is not written: its
entries, or the narrower checkpoints below it, say the same and are read as fast.

No more than 256 MiB of an entry, and 1 GiB of a checkpoint, are ever asked for, and a checkpoint that claims to hold
more than 256 times its bytes is not unpacked: nobody can make a reader take all memory by what they serve.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

import zstandard

from friday_store.digest import SIZE, digest_of
from friday_store.errors import ConflictError, IntegrityError, InvalidValueError, StorageError
from friday_store.log.entry import ENTRY_CAP, PER_FOLDER, LogEntry, entry_path, newest_move
from friday_store.log.state import CHECKPOINT_CAP, State
from friday_store.refs import Move
from friday_store.storage import Storage
from friday_store.workers import workers

__all__ = ["EVERY", "Log", "LogEntry", "Move", "State", "checkpoint_path", "entry_path", "newest_move"]

_LOGGER: Final = logging.getLogger(__name__)

EVERY: Final = 256
_RATIO: Final = 256
_SMALL: Final = 16 << 20
_WIDER: Final = 16
_HEAVIEST: Final = 1 << 19
_REQUESTS: Final = 16
_FAR: Final = 1 << 63


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
        end = _FAR if last is None else last + 1
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
            known = [int(folder) * PER_FOLDER + name for name in names if name is not None]
            if known:
                return max(known)
        return 0

    def state(self, seq: int | None = None) -> State:
        """Return the state after entry ``seq``, or after the newest.

        Raises:
            IntegrityError: An entry on the way is missing or damaged.
            ConflictError: There is no such entry.
        """
        state = self._checkpointed(seq)
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
        """Write the checkpoint of entry ``seq`` unless it is there; called by the writer of that entry.

        Of the widest span that is not too heavy; none where even the narrowest is.
        """
        path = checkpoint_path(seq)
        if self._storage.stat(path) is not None:
            return
        for after in _starts(seq):
            span = self.span(after, seq, heaviest=_HEAVIEST)
            if span is not None:
                told = span.to_bytes()
                packed = zstandard.ZstdCompressor(level=1).compress(told)
                if _is_plausible(len(told), len(packed)):  # else the log alone says it
                    self._storage.create(path, [packed, digest_of(packed)])
                return

    def span(self, after: int, seq: int, *, heaviest: int | None = None) -> State | None:
        """Return what the entries after ``after`` up to ``seq`` come to, as checkpoint ``seq`` should say it.

        It is put together from the checkpoints in between and the entries that they leave. None where it is heavier
        than ``heaviest``.

        Raises:
            IntegrityError: An entry on the way is missing or damaged.
        """
        base = self.digest(after) if after else self.root
        if base is None:
            raise IntegrityError(f"log entry {after} is missing", path=entry_path(after))
        limit = _FAR if heaviest is None else heaviest
        pieces: list[State] = []
        for piece in self._pieces(after, seq - 1):
            pieces.append(piece)
            if sum(each.weight for each in pieces) > 2 * limit:  # twice: what one brought another may have removed
                return None
        span = State(after, base, after=after, base=base if after else b"")
        for each in [*pieces[::-1], None]:
            self._replay(span, seq if each is None else each.after, limit)
            if span.weight > limit:
                return None
            if each is not None:
                span.join(each)
        if span.seq != seq:
            raise IntegrityError(f"log entry {span.seq + 1} is missing", path=entry_path(span.seq + 1))
        return span

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

    def _replay(self, state: State, seq: int, limit: int = _FAR) -> None:
        """Apply the entries up to ``seq`` to a state, or fewer where it grows heavier than ``limit``."""
        for entry, digest in self.after(state.seq, state.entry, seq):
            state.apply(entry, digest)
            if state.weight > limit:
                return

    def _pieces(self, after: int, last: int | None) -> Iterator[State]:
        """Iterate over what checkpoints after ``after`` up to ``last`` tell, from the newest back, as few as may be."""
        at = _FAR if last is None else last
        for number in reversed(self.checkpoints()):
            if after < number <= at:
                try:
                    piece = self.read_checkpoint(number)
                except IntegrityError as error:  # the log says the same; fsck reports the damage
                    _LOGGER.warning("passing over a damaged checkpoint: %s", error)
                    continue
                if piece.after >= after:
                    yield piece
                    at = piece.after

    def _checkpointed(self, seq: int | None) -> State:
        """Return the newest state at or before ``seq`` that checkpoints lead to; the empty one where none does."""
        state = State(0, self.root)
        try:
            for piece in list(self._pieces(0, seq))[::-1]:
                self._replay(state, piece.after)
                state.join(piece)
        except IntegrityError as error:  # the log alone says whether it is they that are wrong
            _LOGGER.warning("passing over the checkpoints: %s", error)
            return State(0, self.root)
        return state


def checkpoint_path(seq: int) -> str:
    """Return where a checkpoint stands."""
    return f"checkpoints/{seq:020d}"


def _starts(seq: int) -> list[int]:
    """Return the entries that checkpoint ``seq`` may be told from, the earliest first."""
    starts, width = [], EVERY
    while seq % width == 0:
        starts.append(seq - width)
        width *= _WIDER
    return starts[::-1] or [0]


def _is_plausible(size: int, packed: int) -> bool:
    """Whether so few bytes may claim to hold so many."""
    return 0 <= size <= min(CHECKPOINT_CAP, max(_SMALL, _RATIO * packed))


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() else None
