"""A log's own story: replayed from its first entry, and compared with what this user has seen of it before.

Each entry names the digest of the one before, so no entry can be exchanged alone. But who can write the files can write
the whole chain anew, and a new chain looks as sound as the old one did. What shows that is memory: as ssh remembers the
keys of hosts, :class:`Witness` keeps the digest of every entry of a repository that this user has checked, in a private
file outside every repository. A log only grows, so what was seen must be its beginning for ever.

Entries are not signed, versions and approvals are. What an entry says of its actor is that actor's own word; who signed
a version is checked here for every version that the log names now.

``seen/<id of the repository>.log`` is "FRIDSEEN", u64 µs since 1970, the digest of ``friday-store.json`` and of each
entry in order (32 bytes each), BLAKE3 of all that. ``seen/places.json`` maps a place to the id that was there.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from friday_store import signing
from friday_store.digest import SIZE, digest_of
from friday_store.errors import FridayStoreError, IntegrityError, InvalidValueError, StorageError
from friday_store.log import EVERY, Log, LogEntry, State, checkpoint_path, entry_path
from friday_store.maintenance.problem import Problem
from friday_store.manifest import Manifest
from friday_store.objects import Kind, ObjectStore
from friday_store.repository import FORMAT_CAP, FORMAT_FILE, Repository
from friday_store.storage import Storage
from friday_store.storage.files import replace_private

_MAGIC: Final = b"FRIDSEEN"
_HEADER: Final = struct.Struct("<8sQ")
_PLACES: Final = "places.json"
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Replay:
    """A log, read from the store itself and applied entry by entry.

    Args:
        storage: Where it is; not what is kept of it here.

    Attributes:
        state: The state after the last entry that fits.
        digests: That of ``friday-store.json``, then of each entry up to there.
    """

    def __init__(self, storage: Storage) -> None:
        root = digest_of(storage.read(FORMAT_FILE, 0, FORMAT_CAP) or b"")
        self._log = Log(storage, root, lambda: _EPOCH)
        self.state = State(0, root)
        self.digests = [root]

    def problems(self) -> Iterator[Problem]:
        """Replay the log, compare each checkpoint with it, and each entry with what was protected before it."""
        checkpoints = set(self._log.checkpoints())
        last = self._log.last()
        try:
            for entry, digest in self._entries(last):
                yield from self._unpermitted(entry)
                self.state.apply(entry, digest)
                self.digests.append(digest)
                if entry.seq in checkpoints:
                    yield from self._checkpoint(entry.seq)
        except FridayStoreError as error:
            number = len(self.digests)
            yield Problem("log", entry_path(number), f"log entry {number}: {error}")
            return
        if last == 0:
            yield Problem("log", entry_path(1), "the first log entry is missing")
        for number in sorted(checkpoints):
            if number > last or number % EVERY:
                yield Problem("checkpoint", checkpoint_path(number), "there is no such log entry to checkpoint")

    def _entries(self, last: int) -> Iterator[tuple[LogEntry, bytes]]:
        """Iterate over the entries, many in one go; where one is wrong, one by one up to that."""
        with contextlib.suppress(IntegrityError):
            yield from self._log.after(0, self._log.root, last)
        while self.state.seq < last:
            found = self._log.read(self.state.seq + 1)
            if found is None:
                raise IntegrityError("is missing")
            yield found

    def _unpermitted(self, entry: LogEntry) -> Iterator[Problem]:
        """Say where an entry did what the repository did not allow then: no program of ours writes such a one."""
        path, who = entry_path(entry.seq), f"log entry {entry.seq}, by {entry.actor!r},"
        name = self.state.protection.forbidden(entry.refs)
        if name is not None:
            yield Problem("protection", path, f"{who} removes {name}, and the repository was append-only", "warning")
        guarded = [] if entry.override else self.state.protection.guarded(entry.refs)
        if guarded:
            yield Problem(
                "protection", path, f"{who} moves {guarded[0]}, which was protected, and says no override", "warning"
            )

    def _checkpoint(self, number: int) -> Iterator[Problem]:
        try:
            found = self._log.read_checkpoint(number)
            told = self._log.span(found.after, number) if found.after else self.state  # those before it are checked
        except FridayStoreError as error:
            yield Problem("checkpoint", checkpoint_path(number), str(error))
            return
        if told is None or found.to_bytes() != told.to_bytes():
            yield Problem("checkpoint", checkpoint_path(number), f"checkpoint {number} does not say what the log says")


@dataclass(frozen=True)
class Seen:
    """What this user had seen of a log.

    Attributes:
        digests: That of ``friday-store.json``, then of each entry.
        time: When it was checked last.
    """

    digests: tuple[bytes, ...]
    time: dt.datetime

    @property
    def entries(self) -> int:
        """How many entries that were."""
        return len(self.digests) - 1

    def first_other(self, digests: list[bytes]) -> int | None:
        """Return the number of the first entry that is not what was seen, 0 for the format file; None if all are."""
        for number, seen in enumerate(self.digests):
            if number >= len(digests) or digests[number] != seen:
                return number
        return None


class Witness:
    """What this user has seen of repositories.

    Args:
        folder: A private folder of this user's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def seen(self, repository: str) -> Seen | None:
        """Return what was seen of a repository, by its id; None if nothing was.

        Raises:
            InvalidValueError: The file is damaged.
            StorageError: It cannot be read.
        """
        path = self._path(repository)
        data = _read(path)
        if data is None:
            return None
        body = data[:-SIZE]
        digests = body[_HEADER.size :]
        if digest_of(body) != data[-SIZE:] or body[: len(_MAGIC)] != _MAGIC or len(digests) % SIZE or not digests:
            raise InvalidValueError(
                f"{path} is damaged, so nothing is known of what you saw",
                path="seen",
                hint=f"look at it, then remove it: {path}",
            )
        time = _EPOCH + dt.timedelta(microseconds=_HEADER.unpack_from(body)[1])
        return Seen(tuple(digests[at : at + SIZE] for at in range(0, len(digests), SIZE)), time)

    def at(self, place: str) -> str | None:
        """Return the id of the repository that was at a place when this user looked last."""
        found = self._places().get(place)
        return found if isinstance(found, str) else None

    def remember(self, repository: str, place: str, digests: list[bytes], now: dt.datetime) -> None:
        """Keep what was seen.

        Raises:
            StorageError: It cannot be written.
        """
        body = _HEADER.pack(_MAGIC, round((now - _EPOCH).total_seconds() * 1_000_000)) + b"".join(digests)
        replace_private(self._path(repository), body + digest_of(body))
        places = self._places()
        if places.get(place) != repository:
            text = json.dumps({**places, place: repository}, indent=1, sort_keys=True)
            replace_private(self._folder / _PLACES, text.encode())

    def _places(self) -> dict[str, object]:
        path = self._folder / _PLACES
        data = _read(path)
        try:
            found = {} if data is None else json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InvalidValueError(f"{path} is damaged", path="seen", hint=f"look at it, then remove it: {path}")
        return found

    def _path(self, repository: str) -> Path:
        return self._folder / f"{repository}.log"


@dataclass(frozen=True)
class History:
    """What a check of a log found.

    Attributes:
        repository: The id.
        entries: How many entries follow each other without a break.
        digest: The digest of the last of these, in hex: who has the same has the same history.
        known: How many of them this user had seen before; None: never looked.
        looked: When that was.
        differs: The first entry that is not what was seen; 0 is ``friday-store.json``, or another repository.
        signed: Versions whose signature is valid.
        unsigned: Versions without any.
        problems: All that is wrong.
    """

    repository: str
    entries: int
    digest: str
    known: int | None
    looked: dt.datetime | None
    differs: int | None
    signed: int
    unsigned: int
    problems: tuple[Problem, ...]


def verified(repository: Repository, witness: Witness, *, accept: bool = False) -> History:
    """Check a repository's log, checkpoints and signatures, and compare it with what this user has seen of it.

    A history in which nothing is wrong is what is compared with the next time.

    Args:
        repository: Which.
        witness: What was seen.
        accept: Take another history than was seen for the one to compare with, if it is sound in itself.

    Raises:
        StorageError: It cannot be read, or what was seen cannot be kept.
    """
    storage = getattr(repository.storage, "far", repository.storage)
    replay = Replay(storage)
    problems = list(replay.problems())
    seen = witness.seen(repository.id)
    before = witness.at(storage.url)
    other = None if seen is None else seen.first_other(replay.digests)
    moved = before is not None and before != repository.id
    if moved:
        other = 0
    signed, unsigned, bad = _signatures(storage, replay.state)
    problems += bad
    sound = not problems
    if other is not None:
        problems.insert(0, _another(other, replay, seen, before if moved else None))
    if sound and (other is None or accept):
        witness.remember(repository.id, storage.url, replay.digests, repository.settings.clock())
    return History(
        repository.id,
        replay.state.seq,
        replay.digests[-1].hex(),
        None if seen is None else seen.entries,
        None if seen is None else seen.time,
        other,
        signed,
        unsigned,
        tuple(problems),
    )


def _another(number: int, replay: Replay, seen: Seen | None, before: str | None) -> Problem:
    if before is not None:
        return Problem("history", FORMAT_FILE, f"repository {before[:8]} was at this place when you looked last")
    assert seen is not None
    then = f"{seen.time:%Y-%m-%d %H:%M} UTC, when it had {_counted(seen.entries)}"
    if number == 0:
        return Problem("history", FORMAT_FILE, f"it is not the {FORMAT_FILE} that you saw on {then}")
    if number >= len(replay.digests):
        message = f"log entry {number} is gone: the log ends before what you saw on {then}"
    else:
        message = f"log entry {number} is not the one that you saw on {then}: history was rewritten from there on"
    return Problem("history", entry_path(number), message)


def _signatures(storage: Storage, state: State) -> tuple[int, int, list[Problem]]:
    """Return how many versions are signed and unsigned, and those with a signature that is not valid."""
    store = ObjectStore(storage)
    store.use({name: size for name, (size, _) in state.packs.items()})
    signed = unsigned = 0
    problems: list[Problem] = []
    with store.sections():
        for name, (digest, _, _) in state.refs.items():
            if not name.startswith("versions/"):
                continue
            try:
                manifest = Manifest.from_bytes(bytes(store.read(digest, Kind.ENVELOPE)))
            except StorageError:
                raise
            except FridayStoreError as error:
                problems.append(Problem("closure", name, f"{name}: {error}"))
                continue
            valid = signing.signers(signing.MANIFEST, manifest.payload(), manifest.signatures)
            if not manifest.signatures:
                unsigned += 1
            elif len(valid) == len(manifest.signatures):
                signed += 1
            else:
                who = f"{manifest.name}:{manifest.version}"
                problems.append(Problem("signature", name, f"{who} bears a signature that is not valid"))
    return signed, unsigned, problems


def _counted(entries: int) -> str:
    return "one entry" if entries == 1 else f"{entries} entries"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
