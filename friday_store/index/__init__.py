"""The index: an SQL mirror of the log and the manifests, disposable at any moment.

It knows the last entry it applied and catches up from there before it answers; applying is idempotent and safe
from many processes. A missing, damaged, foreign or outdated file is made anew from the log without being asked.
It holds no fact of its own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from friday_store.digest import SIZE, digest_of
from friday_store.errors import IntegrityError, ModelNotFoundError, PluginError
from friday_store.index import mirror
from friday_store.index.database import Database
from friday_store.index.engine import MOST_ROWS, DamagedIndexError, Engine, IndexFileError, LostIndexError
from friday_store.index.schema import COLUMNS
from friday_store.index.server import Server
from friday_store.index.writing import INSERT, VersionRow, Writer, moves_of, moves_to
from friday_store.log import Log, LogEntry, State
from friday_store.manifest import Manifest, Note
from friday_store.objects import ObjectStore
from friday_store.protection import Protection
from friday_store.refs import Ref

__all__ = ["MOST_ROWS", "Index", "LostIndexError", "Server", "VersionRow"]

_LOGGER: Final = logging.getLogger(__name__)
_T = TypeVar("_T")
_BATCH: Final = 500
_TRIES: Final = 100
_RENEWALS: Final = 3
_PAGE: Final = 2000
_REMEMBERED: Final = 256
_CACHE: Final = 12 << 20
_BARE_CACHE: Final = 4 << 20
_ALL: Final = ", ".join(f"m.{column}" for column in COLUMNS)
_MIRRORED: Final = """
SELECT key, value, -1 AS birth FROM state
UNION ALL SELECT name, CAST(size AS TEXT), birth FROM packs ORDER BY birth
"""
_OF_VERSION: Final = "JOIN model_metadata m ON m.id = x.version_id WHERE m.model_name = ? AND m.model_version = ?"
_REFS: Final[Mapping[str, Callable[[Ref], tuple[str, tuple[str, ...]]]]] = {
    "versions": lambda ref: (
        "SELECT model_id FROM model_metadata WHERE model_name = ? AND model_version = ?",
        (ref.model, ref.name),
    ),
    "aliases": lambda ref: (
        "SELECT model_id FROM model_aliases WHERE model_name = ? AND alias = ?",
        (ref.model, ref.name),
    ),
    "tags": lambda ref: (
        f"SELECT m.model_id FROM model_tags x {_OF_VERSION} AND x.tag = ?",  # noqa: S608 - fixed text
        (ref.model, ref.leaf, ref.name),
    ),
    "notes": lambda ref: (
        f"SELECT x.digest FROM model_notes x {_OF_VERSION} AND x.digest = ?",  # noqa: S608 - fixed text
        (ref.model, ref.name, ref.leaf),
    ),
}


class _OutrunError(Exception):
    """Packs were collected while an index was made from them."""


class Index:
    """The mirror of one repository.

    Args:
        place: The SQLite file, or the server; None keeps it in memory.
        repository: The repository's id.
        log: The log that it mirrors.
        objects: Where manifests and notes are; the index tells it which packs are in use.
        bare: Mirror refs and packs alone, and read no manifest: for a remote of which only names are asked.
        seen: Number and digest of a log entry that the caller has just compared with the log.

    Attributes:
        bare: As given.
    """

    def __init__(
        self,
        place: Path | Server | None,
        repository: str,
        log: Log,
        objects: ObjectStore,
        *,
        bare: bool = False,
        seen: tuple[int, bytes] | None = None,
    ) -> None:
        self.bare = bare
        self._seen = seen
        self._looking = True
        self._database = _engine(place, repository, cache=_BARE_CACHE if bare else _CACHE)
        self._repository = repository
        self._log = log
        self._objects = objects
        self._writer = Writer(objects, bare=bare)
        self._at: tuple[int, bytes] | None = None
        self._time = 0
        self._protection = Protection()
        self._still: set[int] = set()
        self._held: set[int] = set()
        self._departures: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=_REMEMBERED)
        self._applying = 0
        objects.look_again = self._look_again
        objects.look = self._look_unless_applying

    @property
    def place(self) -> str:
        """Which database it is in, and where, for people."""
        return self._database.place

    @property
    def seq(self) -> int:
        """The number of the last entry applied; 0 before the first look."""
        return self._at[0] if self._at else 0

    @property
    def state(self) -> State:
        """The last entry applied, as a state without refs and packs: what the next entry must follow."""
        if self._at is None:
            self.catch_up()
        assert self._at is not None
        return State(self._at[0], self._at[1], self._time, protection=self._protection)

    def departed(self, seq: int) -> set[str]:
        """Return the packs that were put out of use after entry ``seq``, as far as entries have been applied.

        Raises:
            IntegrityError: An entry in between is missing or damaged.
        """
        last = self.seq
        if seq >= last:
            return set()
        recent = [names for number, names in list(self._departures) if seq < number <= last]
        if len(recent) < last - seq:
            before = self._log.digest(seq) if seq else self._log.root
            if before is None:
                raise IntegrityError(f"log entry {seq} is missing")
            recent = [entry.packs_removed for entry, _ in self._log.after(seq, before, last)]
        return {name for names in recent for name in names}

    def catch_up(
        self, known: Iterable[tuple[LogEntry, bytes]] | None = None, fresh: Mapping[bytes, Manifest] | None = None
    ) -> None:
        """Apply the log entries that came since; make the index anew if it cannot be used.

        Args:
            known: The entries, where they are at hand; read from the log if None.
            fresh: Manifests by digest that need not be read.
        """
        if threading.get_ident() in self._still or not (self._looking or known is not None or self._at is None):
            return
        try:
            for left in reversed(range(_RENEWALS)):
                try:
                    self._follow(known, fresh or {})
                    break
                except LostIndexError as error:
                    if not left:
                        raise
                    known = None
                    with contextlib.suppress(LostIndexError):
                        self._resume(error)
        except IndexFileError as error:
            self._retreat(error)

    @contextlib.contextmanager
    def unlooking(self) -> Iterator[None]:
        """Look at the log once, and then answer everybody from what has been applied within this block."""
        self.catch_up()
        was, self._looking = self._looking, False
        try:
            yield
        finally:
            self._looking = was

    @contextlib.contextmanager
    def glance(self) -> Iterator[None]:
        """Look at the log once, and then answer this thread from what has been applied, within this block.

        So several questions cost one look. Other processes may apply more to the file meanwhile, which is then seen;
        :meth:`still` holds one state.
        """
        self.catch_up()
        thread = threading.get_ident()
        if thread in self._still:
            yield
            return
        self._still.add(thread)
        try:
            yield
        finally:
            self._still.discard(thread)

    def recall(self) -> bool:
        """Answer everybody from what the file remembers, from now on, without asking the log; whether it can."""
        try:
            if self._at is None:
                self._open()
        except (DamagedIndexError, IndexFileError):
            return False
        self._looking = False
        return True

    def look(self) -> None:
        """Apply what came since, also within :meth:`unlooking`."""
        was, self._looking = self._looking, True
        try:
            self.catch_up()
        finally:
            self._looking = was

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Answer this thread from what has been applied within this block, without looking at the log.

        The file may be ahead, since other processes write it too: their rows would not go with the packs and the
        number of the entry that this process knows. So the block sees a snapshot of the file that is not ahead.
        """
        with contextlib.ExitStack() as held:
            for attempt in range(_TRIES):
                if attempt:
                    self.look()
                else:
                    self.catch_up()
                if self._settled(held):
                    break
            thread = threading.get_ident()
            self._still.add(thread)
            self._held.add(thread)
            try:
                yield
            finally:
                self._held.discard(thread)
                self._still.discard(thread)

    def _settled(self, held: contextlib.ExitStack) -> bool:
        """Hold a snapshot of the file if it has just what this process has applied."""
        try:
            held.enter_context(self._database.snapshot())
            if self._database.rows("SELECT value FROM state WHERE key = 'seq'") == [(str(self.seq),)]:
                return True
        except DamagedIndexError:
            held.close()
            self.rebuild()
        except LostIndexError as error:
            held.close()
            with contextlib.suppress(LostIndexError):
                self._resume(error)
        except IndexFileError as error:
            held.close()
            self._retreat(error)
        held.close()
        return False

    def _follow(self, known: Iterable[tuple[LogEntry, bytes]] | None, fresh: Mapping[bytes, Manifest]) -> None:
        if self._at is None:
            try:
                self._open()
            except DamagedIndexError as error:
                _LOGGER.info("making the index anew: %s", error)
                self.rebuild()
        assert self._at is not None
        entries = known if known is not None else self._log.after(*self._at)
        for entry, digest in entries:
            try:
                self._apply(entry, digest, fresh)
            except (ModelNotFoundError, ValueError, TypeError) as error:
                # an IntegrityError, when packs were merged or replaced since; or what damaged rows lead to
                level = logging.INFO if isinstance(error, IntegrityError) else logging.WARNING
                _LOGGER.log(level, "making the index anew: %s", error)
                self.rebuild()
                return

    def _look_again(self) -> None:
        """Put in use the packs of entries that another process has applied to the file, and this one has not seen."""
        with contextlib.suppress(DamagedIndexError, IndexFileError):
            packs = self._database.rows("SELECT name, size FROM packs ORDER BY birth")
            self._objects.use({**self._objects.live, **{str(name): int(size) for name, size in packs}})

    def _look_unless_applying(self) -> None:
        if threading.get_ident() != self._applying:
            self.look()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Apply within this block, where this thread must not begin to apply something else."""
        before, self._applying = self._applying, threading.get_ident()
        try:
            yield
        finally:
            self._applying = before

    def _retreat(self, error: DamagedIndexError | IndexFileError) -> None:
        """Go on in memory: a disk that is full, read-only or failing must not keep anybody from reading."""
        if not self._database.lasting:
            raise error
        _LOGGER.warning("going on with an index in memory: %s", error)
        self._database.close()
        self._database = Database(None)
        self._rebuild()

    def _resume(self, error: LostIndexError) -> None:
        """Begin again with a database whose connection was lost; it may have been set back meanwhile.

        Raises:
            LostIndexError: It was lost once more.
        """
        _LOGGER.info("connecting to the index again: %s", error)
        try:
            self._open()
            self._follow(None, {})
        except DamagedIndexError as damage:
            _LOGGER.info("making the index anew: %s", damage)
            self.rebuild()
        except LostIndexError:
            raise
        except IndexFileError as failure:
            self._retreat(failure)

    def prove(self) -> None:
        """Catch up in the database that was named, or raise: no index in memory takes its place.

        Raises:
            IndexFileError: It cannot be used.
        """
        with contextlib.suppress(DamagedIndexError):
            self._open()
        self.catch_up()
        if not self._database.lasting:
            raise IndexFileError("the index was made in memory only: see the warnings")

    def rebuild(self) -> None:
        """Throw the file away and make it anew from the log; in memory where that cannot be done."""
        try:
            for left in reversed(range(_RENEWALS)):
                try:
                    with self._database.renewal() as renewed:
                        if not (renewed and self._sound()):
                            self._rebuild()
                    break
                except LostIndexError:
                    if not left:
                        raise
        except (DamagedIndexError, IndexFileError) as error:
            self._retreat(error)

    def _sound(self) -> bool:
        """Open the file that another process has just made, if it can be used."""
        try:
            self._open()
        except DamagedIndexError:
            return False
        return True

    def _rebuild(self) -> None:
        for left in reversed(range(_RENEWALS)):
            state = self._log.state()
            self._objects.use({name: size for name, (size, _) in state.packs.items()})
            self._database.clear()
            self._database.create()
            with contextlib.suppress(_OutrunError):
                self._fill(state, patient=left > 0)
                break
        self._open()

    def _fill(self, state: State, *, patient: bool) -> None:
        """Write the rows of a state.

        Raises:
            _OutrunError: Something cannot be read, packs have been put out of use since, and the caller is patient.
        """
        with self._database.transaction() as connection, self._objects.sections(), self._alone():
            if connection.execute("SELECT count(*) FROM state").fetchone()[0]:
                return
            lost = self._writer.write(connection, moves_to(state), {}, lossy=True)
            if lost and patient and not state.packs.keys() <= self._log.state().packs.keys():
                raise _OutrunError
            born = [(name, birth, size) for name, (size, birth) in state.packs.items()]
            connection.executemany(INSERT["packs"], born)
            self._mark(connection, state, self._objects.live)

    def remembered(self) -> tuple[int, str] | None:
        """Return number and digest of the last entry that the file says it applied, before it catches up.

        None where there is no sound file of this repository.
        """
        try:
            self._database.create()
            found = dict(self._database.rows("SELECT key, value FROM state"))
        except (DamagedIndexError, IndexFileError):
            return None
        seq = _number(found.get("seq"))
        return (seq, str(found.get("entry"))) if seq > 0 and found.get("repository") == self._repository else None

    def dump(self) -> Iterator[str]:
        """Iterate over the rows as text; equal for every index of one log."""
        return iter(self._guarded(lambda: list(self._database.dump())))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def rows(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one of the package's fixed queries, from an index that has caught up."""
        return self._guarded(lambda: self._database.rows(sql, values))

    def select(
        self, sql: str, values: Sequence[Any] = (), *, timeout: float | None = None, most: int = MOST_ROWS
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the columns and rows of anybody's question in SQL, from an index that has caught up.

        That it only reads, and what else bounds it, is the database's own business: see :meth:`Database.select`.

        Raises:
            InvalidValueError: It does not only read, is not one statement, cannot be understood, or takes too much.
        """
        return self._guarded(lambda: self._database.select(sql, values, timeout=timeout, most=most))

    def tables(self) -> list[tuple[str, str, list[str]]]:
        """Return name, kind (``view`` or ``table``) and columns of what :meth:`select` can ask, views first."""
        return self._guarded(self._database.tables)

    def pages(self, sql: str, start: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Iterate over the rows of a query, some at a time; not one moment's answer unless the index is held still.

        Args:
            sql: Selects rows after a key, in its order; the key's columns come last.
            start: A key below all.
        """
        while some := self.rows(f"{sql} LIMIT {_PAGE}", start):
            yield from some
            start = some[-1][-len(start) :]

    def versions(
        self, condition: str, values: Mapping[str, Any] | Sequence[Any] = (), tail: str = ""
    ) -> list[VersionRow]:
        """Return the versions that meet a fixed condition over ``model_metadata m``."""
        sql = f"SELECT {_ALL}, m.seal FROM model_metadata m WHERE {condition} {tail}"  # noqa: S608 - fixed text
        return self._guarded(lambda: [_opened(row) for row in self._database.rows(sql, values)])

    def ref(self, ref: Ref) -> bytes | None:
        """Return the digest that a ref names now; None if there is no such ref."""
        sql, values = _REFS[ref.space](ref)

        def question() -> bytes | None:
            found = self._database.rows(sql, values)
            try:
                return bytes.fromhex(str(found[0][0])) if found else None
            except ValueError as error:
                raise DamagedIndexError("the index has an id that cannot be one") from error

        return self._guarded(question)

    def row(self, digest: bytes, birth: int, origin: str) -> VersionRow:
        """Return the row that a version would have, made from its manifest: for one that no ref here names."""
        manifest = self.manifest(digest)
        return VersionRow(*mirror.row(birth, digest, origin, manifest, mirror.fold(manifest, ())))

    def named(self, digest: bytes) -> tuple[str, str] | None:
        """Return name and version of the version with this digest; None if there is none."""
        sql = "SELECT model_name, model_version FROM model_metadata WHERE model_id = ?"
        found = self.rows(sql, (digest.hex(),))
        return (str(found[0][0]), str(found[0][1])) if found else None

    def _guarded(self, question: Callable[[], _T]) -> _T:
        """Answer a question, with the index made anew where it is damaged, and in memory if that happens again."""
        self.catch_up()
        for _ in range(_RENEWALS):
            try:
                return question()
            except LostIndexError as error:
                if threading.get_ident() in self._held:
                    raise
                with contextlib.suppress(LostIndexError):
                    self._resume(error)
            except DamagedIndexError as error:  # again, when others are making one damaged file anew at this moment
                _LOGGER.warning("making the index anew: %s", error)
                self.rebuild()
            except IndexFileError as error:
                self._retreat(error)
        try:
            return question()
        except (DamagedIndexError, IndexFileError) as error:
            self._retreat(error)
            return question()

    def _open(self) -> None:
        self._database.create()
        rows = self._database.rows(_MIRRORED)  # one statement, so that both are of one moment
        if not rows:
            self._start()
            return
        try:
            found = {key: value for key, value, birth in rows if birth < 0}
            seq, digest, time = int(found["seq"]), bytes.fromhex(found["entry"]), int(found["time"])
            repository, sealed = found["repository"], found["packs"]
            protected = found["protection"]
            protection = Protection.from_raw(mirror.loaded(protected))
            packs = {str(name): int(size) for name, size, birth in rows if birth >= 0}
        except (KeyError, ValueError, TypeError) as error:
            raise DamagedIndexError("the index does not say what it mirrors") from error
        if repository != self._repository:
            raise DamagedIndexError("the index mirrors another repository")
        if len(digest) != SIZE or (seq and not self._in_history(seq, digest)):
            raise DamagedIndexError("the index mirrors another history")
        if _sealed(packs, protected) != sealed:
            raise DamagedIndexError("the index names other packs, or protects other names, than it was told of")
        self._objects.use(packs)
        self._departures.clear()
        self._at, self._time, self._protection = (seq, digest), time, protection

    def _in_history(self, seq: int, digest: bytes) -> bool:
        if (seq, digest) == self._seen:
            return True
        return self._log.digest(seq) == digest

    def _start(self) -> None:
        """Begin with nothing; where there are checkpoints, a rebuild is the shorter way."""
        state = self._log.state(0)
        if self._log.checkpoints():
            raise DamagedIndexError("the index is empty")
        with self._database.transaction() as connection:
            if connection.execute("SELECT count(*) FROM state").fetchone()[0] == 0:
                self._mark(connection, state, {})
        self._objects.use({})
        self._at, self._time, self._protection = (0, state.entry), 0, state.protection

    def _apply(self, entry: LogEntry, digest: bytes, fresh: Mapping[bytes, Manifest]) -> None:
        packs = {**self._objects.live, **dict(entry.packs_added)}
        for name in entry.packs_removed:
            packs.pop(name, None)
        protection = self._protection if entry.protection is None else entry.protection
        with self._database.transaction() as connection:
            found = dict(connection.execute("SELECT key, value FROM state").fetchall())
            applied = _number(found.get("seq"))
            if applied == entry.seq - 1:
                self._objects.use({**self._objects.live, **dict(entry.packs_added)})
                many = self._objects.sections() if len(entry.refs) > _BATCH else contextlib.nullcontext()
                with many, self._alone():
                    self._writer.write(connection, moves_of(entry), fresh)
                connection.executemany(
                    INSERT["packs"], [(name, birth, size) for name, size, birth in entry.packs_born()]
                )
                for name in entry.packs_removed:
                    connection.execute("DELETE FROM packs WHERE name = ?", (name,))
                self._mark(connection, State(entry.seq, digest, entry.time, protection=protection), packs)
            elif applied < entry.seq:
                raise DamagedIndexError("the index lost entries that it had applied")
        self._objects.use(packs)
        self._departures.append((entry.seq, entry.packs_removed))
        self._at, self._time, self._protection = (entry.seq, digest), entry.time, protection

    def _mark(self, connection: Any, state: State, packs: Mapping[str, int]) -> None:
        values = {"seq": state.seq, "entry": state.entry.hex(), "time": state.time, "repository": self._repository}
        protected = mirror.dumped(state.protection.to_raw())
        values |= {"packs": _sealed(packs, protected), "protection": protected}
        connection.executemany(
            "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [(key, str(value)) for key, value in values.items()],
        )

    def manifest(self, digest: bytes) -> Manifest:
        """Return a version's manifest, verified."""
        return self._writer.manifest(digest)

    def note(self, digest: bytes) -> Note:
        """Return a note, verified."""
        return self._writer.note(digest)


def _engine(place: Path | Server | None, repository: str, *, cache: int) -> Engine:
    """Return the database at a place.

    Raises:
        PluginError: It needs a driver that is not installed.
    """
    if not isinstance(place, Server):
        return Database(place, cache=cache)
    try:
        from friday_store.index.postgres import Postgres
    except ImportError as error:
        hint = "pip install 'friday-store[postgres]'"
        raise PluginError(f"an index in PostgreSQL needs psycopg: {error}", hint=hint) from error
    return Postgres(place, repository)


def _opened(row: tuple[Any, ...]) -> VersionRow:
    """Return a row of ``model_metadata`` without its seal, which must fit."""
    if mirror.seal(row[:-1]) != row[-1]:
        raise DamagedIndexError("a row of the index does not match its checksum")
    return VersionRow(*row[:-1])


def _sealed(packs: Mapping[str, int], protected: str) -> str:
    return digest_of(repr((sorted(packs.items()), protected)).encode()).hex()


def _number(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else -1
