"""Writing the index: from moves of refs to rows, within one transaction of its file."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from friday_store.errors import IntegrityError, ModelNotFoundError
from friday_store.index import mirror
from friday_store.index.engine import insert
from friday_store.index.schema import COLUMNS
from friday_store.log import LogEntry, State
from friday_store.manifest import Manifest, Note
from friday_store.objects import Kind, ObjectStore
from friday_store.refs import Ref

_LOGGER: Final = logging.getLogger(__name__)
_T = TypeVar("_T")
_BATCH: Final = 1000
_IDS: Final = 20_000
INSERT: Final = {
    "versions": insert("model_metadata", (*COLUMNS, "seal")),
    "tags": insert("model_tags", ("version_id", "tag")),
    "metrics": insert("model_metrics", ("version_id", "name", "position", "value", "step", "time", "latest")),
    "parents": insert("model_parents", ("version_id", "position", "parent")),
    "packs": insert("packs", ("name", "birth", "size")),
    "notes": insert("model_notes", ("version_id", "time", "digest")),
}


class VersionRow(NamedTuple):
    """One row of ``model_metadata``; see :mod:`friday_store.index.rows`."""

    id: int
    model_id: str
    model_name: str
    model_version: str
    precedence: str
    stable: int
    model_type: str
    description: str
    status: str
    serializer: str
    artifact: str
    size_bytes: int
    author: str
    created_at: int
    updated_at: int
    origin: str
    details: str


class Moves:
    """The moves of one transaction, or of a whole state; parsed anew for each question, since there may be very many.

    Args:
        moves: Called for the moves in order: birth, name, digest (None for removed), origin.
    """

    def __init__(self, moves: Callable[[], Iterable[tuple[int, str, bytes | None, str]]]) -> None:
        self._moves = moves

    def births(self, space: str) -> Iterator[tuple[int, Ref, bytes, str]]:
        """Iterate over the refs of a namespace that were made or moved: birth, ref, digest, origin."""
        start = f"{space}/"
        for birth, name, new, origin in self._moves():
            if new is not None and name.startswith(start):
                yield birth, Ref.parse(name), new, origin

    def deaths(self, space: str) -> Iterator[Ref]:
        """Iterate over the refs of a namespace that were removed."""
        start = f"{space}/"
        return (Ref.parse(name) for _, name, new, _ in self._moves() if new is None and name.startswith(start))


class Writer:
    """Writes what the log says into rows; the caller holds the transaction.

    Args:
        objects: Where manifests and notes are.
        bare: Write refs alone, and read no manifest or note.
    """

    def __init__(self, objects: ObjectStore, *, bare: bool = False) -> None:
        self._objects = objects
        self._bare = bare
        self._lost = 0

    def write(self, connection: Any, moves: Moves, fresh: Mapping[bytes, Manifest], *, lossy: bool = False) -> int:
        """Write what moves say, and return how many objects are lost.

        ``lossy`` goes on where one is: its ref stays, and hides no other.
        """
        self._lost = 0
        self._remove(connection, moves)
        for bereft in self._unnoted(connection, moves):
            self._note(connection, bereft, [], lossy=lossy)
        ids: dict[tuple[str, str], int] = {}
        self._insert_versions(connection, moves.births("versions"), fresh, ids, lossy=lossy)
        for some in batched(moves.births("tags"), _BATCH):
            tags = [(_version_id(connection, ids, ref.model, ref.leaf), ref.name) for _, ref, _, _ in some]
            connection.executemany(INSERT["tags"], [tag for tag in tags if tag[0] is not None])
        connection.executemany(
            "INSERT INTO model_aliases VALUES (?, ?, ?) "
            "ON CONFLICT (model_name, alias) DO UPDATE SET model_id = excluded.model_id",
            ((ref.model, ref.name, digest.hex()) for _, ref, digest, _ in moves.births("aliases")),
        )
        noted: dict[int, list[bytes]] = {}
        for _, ref, digest, _ in moves.births("notes"):
            if (version := _version_id(connection, ids, ref.model, ref.name)) is not None:
                noted.setdefault(version, []).append(digest)
        for version, digests in noted.items():
            self._note(connection, version, digests, lossy=lossy)
        return self._lost

    def _insert_versions(
        self,
        connection: Any,
        births: Iterable[tuple[int, Ref, bytes, str]],
        fresh: Mapping[bytes, Manifest],
        ids: dict[tuple[str, str], int],
        *,
        lossy: bool,
    ) -> None:
        for some in batched(births, _BATCH):
            rows, metrics, parents = [], [], []
            for birth, ref, digest, origin in some:
                if len(ids) < _IDS:
                    ids[ref.model, ref.name] = birth
                manifest = fresh.get(digest) or self._manifest(digest, lossy=lossy)
                if manifest is None:
                    rows.append(mirror.unreadable(birth, digest, origin, ref.model, ref.name))
                    continue
                if (manifest.name, manifest.version) != (ref.model, ref.name):
                    raise IntegrityError(f"ref {ref} names a manifest of {manifest.name}:{manifest.version}")
                folded = mirror.fold(manifest, ())
                rows.append(mirror.row(birth, digest, origin, manifest, folded))
                metrics += mirror.metric_rows(birth, folded)
                parents += [(birth, place, parent.hex()) for place, parent in enumerate(manifest.parents)]
            connection.executemany(INSERT["versions"], [(*row, mirror.seal(row)) for row in rows])
            connection.executemany(INSERT["metrics"], metrics)
            connection.executemany(INSERT["parents"], parents)

    def _manifest(self, digest: bytes, *, lossy: bool) -> Manifest | None:
        return None if self._bare else self._read(self.manifest, digest, lossy=lossy)

    def _remove(self, connection: Any, moves: Moves) -> None:
        for ref in moves.deaths("aliases"):
            connection.execute("DELETE FROM model_aliases WHERE model_name = ? AND alias = ?", (ref.model, ref.name))
        for ref in moves.deaths("tags"):
            version = _version_id(connection, {}, ref.model, ref.leaf)
            connection.execute("DELETE FROM model_tags WHERE version_id = ? AND tag = ?", (version, ref.name))
        for ref in moves.deaths("versions"):
            version = _version_id(connection, {}, ref.model, ref.name)
            for table in ("model_tags", "model_metrics", "model_parents", "model_notes"):
                connection.execute(f"DELETE FROM {table} WHERE version_id = ?", (version,))  # noqa: S608 - fixed names
            connection.execute("DELETE FROM model_metadata WHERE id = ?", (version,))

    @staticmethod
    def _unnoted(connection: Any, moves: Moves) -> list[int]:
        """Remove notes whose versions stay, as a mirror does, and return these versions."""
        found: dict[int, None] = {}
        for ref in moves.deaths("notes"):
            if (version := _version_id(connection, {}, ref.model, ref.name)) is not None:
                connection.execute("DELETE FROM model_notes WHERE version_id = ? AND digest = ?", (version, ref.leaf))
                found[version] = None
        return list(found)

    def _note(self, connection: Any, version: int, digests: list[bytes], *, lossy: bool) -> None:
        """Fold a version anew with its new notes; a note may come late, from another machine."""
        if self._bare:
            rows = [(version, 0, digest.hex()) for digest in digests]
            connection.executemany(INSERT["notes"] + " ON CONFLICT DO NOTHING", rows)
            return
        known = connection.execute("SELECT digest FROM model_notes WHERE version_id = ?", (version,)).fetchall()
        read = {
            digest: self._read(self.note, digest, lossy=lossy)
            for digest in dict.fromkeys([bytes.fromhex(row[0]) for row in known] + digests)
        }
        notes = [(digest, note) for digest, note in read.items() if note is not None]
        new = [(version, note.time if (note := read[digest]) else 0, digest.hex()) for digest in digests]
        connection.executemany(INSERT["notes"] + " ON CONFLICT DO NOTHING", new)
        sql = f"SELECT {', '.join(COLUMNS)} FROM model_metadata WHERE id = ?"  # noqa: S608 - fixed names
        row = VersionRow(*connection.execute(sql, (version,)).fetchone())
        if any(note.about.hex() != row.model_id for _, note in notes):
            raise IntegrityError(f"a note of version {row.model_id[:12]} is about another")
        manifest = self._read(self.manifest, bytes.fromhex(row.model_id), lossy=lossy)
        if manifest is None:
            return
        folded = mirror.fold(manifest, notes)
        details = mirror.dumped(folded.details)
        row = row._replace(
            description=folded.description, status=folded.status, updated_at=folded.updated, details=details
        )
        connection.execute(
            "UPDATE model_metadata SET description = ?, status = ?, updated_at = ?, details = ?, seal = ? WHERE id = ?",
            (row.description, row.status, row.updated_at, row.details, mirror.seal(tuple(row)), version),
        )
        connection.execute("DELETE FROM model_metrics WHERE version_id = ?", (version,))
        connection.executemany(INSERT["metrics"], mirror.metric_rows(version, folded))

    def _read(self, read: Callable[[bytes], _T], digest: bytes, *, lossy: bool) -> _T | None:
        """Return a manifest or note; None instead of an error if it is lost and that is allowed."""
        try:
            return read(digest)
        except (IntegrityError, ModelNotFoundError) as error:
            if not lossy:
                raise
            _LOGGER.warning("object %s cannot be read: %s", digest.hex()[:12], error)
            self._lost += 1
            return None

    def manifest(self, digest: bytes) -> Manifest:
        """Return a version's manifest, verified."""
        return Manifest.from_bytes(bytes(self._objects.read(digest, Kind.ENVELOPE)))

    def note(self, digest: bytes) -> Note:
        """Return a note, verified."""
        return Note.from_bytes(bytes(self._objects.read(digest, Kind.NOTE)))


def moves_of(entry: LogEntry) -> Moves:
    """Return the moves of one transaction."""
    return Moves(lambda: ((birth, name, new, entry.origin) for birth, (name, _, new) in entry.births()))


def moves_to(state: State) -> Moves:
    """Return the moves that lead from nothing to a state."""
    names = sorted(state.refs, key=lambda name: state.refs[name][1])
    return Moves(lambda: ((state.refs[name][1], name, state.refs[name][0], state.refs[name][2]) for name in names))


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Iterate over lists of at most ``size`` items."""
    rest = iter(items)
    while some := list(itertools.islice(rest, size)):
        yield some


def _version_id(connection: Any, ids: Mapping[tuple[str, str], int], name: str, version: str) -> int | None:
    found = ids.get((name, version))
    if found is None:
        sql = "SELECT id FROM model_metadata WHERE model_name = ? AND model_version = ?"
        row = connection.execute(sql, (name, version)).fetchone()
        found = None if row is None else int(row[0])
    return found
