"""A repository: packs, a log, and an index that mirrors them, at any place that can keep files.

It has two halves: reading (:meth:`Repository.resolve`, :meth:`Repository.manifest`, :meth:`Repository.parts`) and
:class:`~friday_store.repository.transaction.Transaction`, the only way to change it. Nothing in a repository names
an absolute path: it can be moved, copied, or served from a bucket.

``friday-store.json`` is created once: ``{"format": 1, "hash": "blake3", "id": "<uuid>"}`` and a newline, keys
sorted; ``"single_writer": true`` stands there too where the store lets two writers create one file. Its BLAKE3 is the
``prev`` of log entry 1, so its bytes cannot change unnoticed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from friday_store.digest import digest_of
from friday_store.errors import IntegrityError, RepositoryError, StorageError
from friday_store.index import Index, Server, VersionRow
from friday_store.log import Log, LogEntry
from friday_store.manifest import Artifact, Manifest, Note
from friday_store.objects import Compression, Kind, Memo, ObjectStore
from friday_store.objects.cache import ChunkCache
from friday_store.objects.reading import LostChunkError
from friday_store.plugins import Plugins
from friday_store.repository import resolve
from friday_store.repository.transaction import Transaction
from friday_store.storage import Storage
from friday_store.storage.files import is_shared, private_folder
from friday_store.storage.kept import Kept

__all__ = ["Repository", "Settings", "Tracked", "Transaction"]

FORMAT_FILE: Final = "friday-store.json"
FORMAT: Final = 1
FORMAT_CAP: Final = 4096
_CROWD: Final = 16
_FAR_CROWD: Final = 64


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Settings:
    """How this process uses a repository; nothing of it is stored.

    Attributes:
        actor: Who writes, for the log and for manifests.
        compression: ``auto`` or ``none``.
        verify: ``changed`` hashes mapped data again only when its file changed; ``always`` each time.
        cache: A per-user folder for what may be lost: verified files, indexes of repositories that cannot
            hold their own. None keeps those in memory.
        index: Returns where the index of the repository with an id is: a file, or a server. None: in the repository,
            or the cache where that cannot be written.
        cache_size: Bytes of models from far repositories to keep there; 0 keeps none.
        clock: Returns the time now.
    """

    actor: str = "unknown"
    compression: Compression = "auto"
    verify: str = "changed"
    cache: Path | None = None
    index: Callable[[str], Path | Server | None] = lambda _: None
    cache_size: int = 10 << 30
    clock: Callable[[], dt.datetime] = _utc_now


@dataclass(frozen=True)
class Tracked:
    """What is remembered here about a repository elsewhere, so that few questions tell what is new.

    Attributes:
        folder: Where its refs are mirrored, and what never changes is kept; None keeps them in memory.
        format: The bytes of its ``friday-store.json``; None asks for them.
        seen: Number and digest of the log entry that was its newest, which the caller has compared with the log.
    """

    folder: Path | None = None
    format: bytes | None = None
    seen: tuple[int, bytes] | None = None


class Repository:
    """One repository, open.

    Args:
        storage: Where it is.
        settings: How to use it.
        plugins: Who may veto and watch changes.
        create: Make it now if there is none. Otherwise an absent one reads as empty until the first change, if
            its place is empty.
        created: Called with the repository's id when this object made it.
        tracked: What is remembered about it, for one that this user only copies from and to: then its index
            mirrors names alone.
        guard: Called before the repository is made; raises when two writers could undo each other's work there.
        single_writer: Whether the user vouches that nobody else writes there at the same time.

    Raises:
        RepositoryError: The place holds something else, or a repository of a newer format.
        IntegrityError: ``friday-store.json`` is damaged.
    """

    fetch: Callable[[list[bytes]], bool] | None = None
    """Brings missing or damaged chunks from another repository; False when none has them."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        plugins: Plugins | None = None,
        *,
        create: bool = False,
        created: Callable[[str], None] | None = None,
        tracked: Tracked | None = None,
        guard: Callable[[], object] = lambda: None,
        single_writer: bool = False,
    ) -> None:
        self.storage = self._place = storage
        self.settings = settings
        self.plugins = plugins if plugins is not None else Plugins()
        self.born = False
        self._created = created
        self._tracked = tracked
        self._guard = guard
        self._single_writer = single_writer
        self._load()
        if create and not self.born:
            self.create()

    def _load(self) -> None:
        tracked = self._tracked or Tracked()
        data = tracked.format or self._format()
        self.id = ""
        self.takes_one_writer = False
        if data is not None:
            self.id, self.takes_one_writer = _format_of(data, self.storage.url)
            _warn_of_strangers(self.storage.root)
        self.born = data is not None
        self.format = data
        self.storage = self._remembering(tracked)
        cache = self.settings.cache
        memo = Memo(None if cache is None else cache / "verified") if self.settings.verify == "changed" else None
        self._objects = ObjectStore(self.storage, compression=self.settings.compression, memo=memo)
        self._log = Log(self.storage, digest_of(data or b""), self.settings.clock)
        bare = self._tracked is not None
        place = self._index_place()
        self._index = Index(place, self.id, self._log, self._objects, bare=bare, seen=tracked.seen)
        self._chunks = self._chunk_cache(memo)

    def _remembering(self, tracked: Tracked) -> Storage:
        """Return the storage, with a memory on this disk where it is far away."""
        if self._place.root is not None or not self.born or self._in_memory:
            return self._place
        if self._tracked is not None:
            return Kept(self._place, tracked.folder / "kept", entries=True) if tracked.folder else self._place
        cache = self.settings.cache
        return Kept(self._place, cache / "kept" / self.id) if cache else self._place

    @property
    def _in_memory(self) -> bool:
        return self._place.url.startswith("memory:")

    def _chunk_cache(self, memo: Memo | None) -> ChunkCache | None:
        far = self.storage.root is None and self._tracked is None and not self._in_memory
        if not far or self.settings.cache is None or not self.settings.cache_size:
            return None
        return ChunkCache(self.settings.cache / "chunks", self.settings.cache_size, memo)

    @property
    def objects(self) -> ObjectStore:
        """The objects."""
        self._look_for_it()
        return self._objects

    @property
    def log(self) -> Log:
        """The log."""
        self._look_for_it()
        return self._log

    @property
    def index(self) -> Index:
        """The index."""
        self._look_for_it()
        return self._index

    def _look_for_it(self) -> None:
        """Use the repository that somebody has made since this object found none."""
        if not self.born and self.storage.stat(FORMAT_FILE) is not None:
            self._load()

    def _format(self) -> bytes | None:
        """Return the format file's bytes; None where there is nothing yet."""
        data = self.storage.read(FORMAT_FILE, 0, FORMAT_CAP)
        foreign = [] if data is not None else [e.name for e in self.storage.list("") if not e.name.startswith(".")]
        if FORMAT_FILE in foreign:  # somebody made it between the two looks
            return self.storage.read(FORMAT_FILE, 0, FORMAT_CAP)
        if foreign:
            raise RepositoryError(
                f"{self.storage.url} is not a friday-store repository: it holds {foreign[0]!r} and no {FORMAT_FILE}",
                hint="name another folder, or make one: friday-store init NEW_FOLDER",
            )
        return data

    def _index_place(self) -> Path | Server | None:
        root = self.storage.root
        if not self.born:
            return None
        if self._tracked is not None:
            return None if self._tracked.folder is None else self._tracked.folder / "refs.db"
        named = self.settings.index(self.id)
        if named is not None:
            if isinstance(named, Path):
                private_folder(named.parent)
            return named
        if root is not None and os.access(root, os.W_OK) and not is_shared(root):
            return root / "index.db"
        if self.settings.cache is None:
            return None
        folder = self.settings.cache / "indexes"
        private_folder(folder)
        return folder / f"{self.id}.db"

    def create(self, *, guarded: bool = True) -> None:
        """Make the repository if there is none yet; safe when several processes do it at once.

        Args:
            guarded: Whether to ask first if the place can tell two writers apart.

        Raises:
            StorageError: The place cannot be written, or not safely.
        """
        if guarded:
            self._guard()
        made: dict[str, Any] = {"format": FORMAT, "hash": "blake3", "id": str(uuid.uuid4())}
        if self._single_writer:
            made["single_writer"] = True
        text = json.dumps(made, sort_keys=True) + "\n"
        if self.storage.create(FORMAT_FILE, text.encode()):
            log = Log(self.storage, digest_of(text.encode()), self.settings.clock)
            log.append(log.following(log.state(0), actor=self.settings.actor, message="init"))
            if self._created is not None:
                self._created(str(made["id"]))
        self._load()

    def transaction(self, message: str, *, origin: str = "", since: int | None = None) -> Transaction:
        """Return a new transaction.

        Args:
            message: Why, for the log.
            origin: The id of the repository that the objects come from; empty for one's own.
            since: The newest log entry that was known when the caller first looked for objects here; None: when the
                transaction first does.

        Raises:
            StorageError: It takes one writer at a time, and the user does not vouch for being that one.
        """
        if self.takes_one_writer and not self._single_writer:
            raise StorageError(
                f"{self.storage.url} takes one writer at a time, because its store lets two create one file; "
                "it can be read, and written if you vouch that nobody else writes there now",
                hint="give the option single_writer=true: friday-store -o single_writer=true, or remote set NAME",
            )
        return Transaction(self, message, origin, since)

    def resolve(self, revision: str) -> VersionRow:
        """Return the version that a revision names.

        Raises:
            InvalidNameError: It cannot be a revision.
            ModelNotFoundError: Nothing answers to it; the message says what is near.
            AmbiguousRevisionError: More than one version does.
        """
        return resolve.resolve(self.index, self.log, revision)

    def version(self, name: str, version: str) -> VersionRow | None:
        """Return a version by its exact name, or None."""
        for _ in range(2):
            found = self.index.versions("m.model_name = ? AND m.model_version = ?", (name, version))
            if not found or (found[0].model_name, found[0].model_version) == (name, version):
                break
            self.index.rebuild()
        return found[0] if found else None

    def manifest(self, row: VersionRow) -> Manifest:
        """Return a version's manifest; see :meth:`verified`."""
        return self.verified(row)[1]

    def verified(self, row: VersionRow) -> tuple[VersionRow, Manifest]:
        """Return a version's manifest, verified, and its row, which is another one if the index had lied.

        Raises:
            IntegrityError: It is damaged, or it is of another version even in an index made anew.
        """
        for _ in range(2):
            manifest = self.index.manifest(bytes.fromhex(row.model_id))
            if (manifest.name, manifest.version) == (row.model_name, row.model_version):
                return row, manifest
            self.index.rebuild()
            again = self.version(row.model_name, row.model_version)
            if again is None:
                break
            row = again
        raise IntegrityError(f"the index names a manifest that is not of {row.model_name}:{row.model_version}")

    def artifact(self, digest: bytes) -> Artifact:
        """Return an artifact, verified."""
        return Artifact.from_bytes(bytes(self.objects.read(digest, Kind.ARTIFACT)))

    def parts(self, artifact: Artifact, of: VersionRow | None = None) -> dict[str, memoryview]:
        """Return the verified parts of a model.

        From afar, they go through a cache of this user's. What is missing or damaged here comes through :attr:`fetch`
        from a remote that has it.

        Args:
            artifact: The model.
            of: Whose model it is, for the error's message.

        Raises:
            IntegrityError: A part is lost or damaged, and no remote has it.
        """
        try:
            return self._parts(artifact)
        except IntegrityError as error:
            if of is not None:
                error.message = f"{of.model_name}:{of.model_version}: {error.message}"
            raise

    def _parts(self, artifact: Artifact) -> dict[str, memoryview]:
        if self._chunks is not None:
            return self._chunks.parts(artifact, self.objects)
        try:
            return self.objects.parts(artifact)
        except LostChunkError:
            if self.fetch is None or not self.fetch(self.missing(artifact)):
                raise
        except IntegrityError:
            if self.fetch is None or not self.fetch(self.damaged(artifact)):
                raise
        return self.objects.parts(artifact)

    def damaged(self, artifact: Artifact) -> list[bytes]:
        """Return the chunks of a model whose stored bytes are not what was written, each of them read."""
        found = []
        for chunk in dict.fromkeys(chunk for part in artifact.parts for chunk in part):
            try:
                self.objects.read(chunk, Kind.CHUNK)
            except IntegrityError:
                found.append(chunk)
        return found

    def missing(self, artifact: Artifact) -> list[bytes]:
        """Return the chunks of a model that are in no pack here."""
        wanted = list(dict.fromkeys(chunk for part in artifact.parts for chunk in part))
        known = self.objects.known(wanted)
        return [chunk for chunk in wanted if chunk not in known]

    def notes(self, row: VersionRow) -> list[Note]:
        """Return a version's notes in the order in which they fold."""
        found = self.index.rows("SELECT digest FROM model_notes WHERE version_id = ? ORDER BY time, digest", (row.id,))
        return [self.index.note(bytes.fromhex(digest)) for (digest,) in found]

    def entries(self) -> list[LogEntry]:
        """Return the log from the newest entry to the first."""
        self.index.catch_up()
        return list(self.log.backwards(self.index.seq))

    def merge(self) -> bool:
        """Merge small packs where too many have gathered, as one transaction; whether there was anything to do."""
        if self.storage.root is not None:
            self.index.catch_up()
        names = self.objects.crowded(_CROWD if self.storage.root is not None else _FAR_CROWD)
        if not names:
            return False
        transaction = self.transaction(f"merge {len(names)} packs")
        transaction.replace_packs(names)
        return True

    def close(self) -> None:
        """Close the index; the repository can be used again and opens it anew."""
        self.index.close()


def _format_of(data: bytes, where: str) -> tuple[str, bool]:
    """Return a repository's id, and whether it takes one writer at a time."""
    try:
        raw: Mapping[str, Any] = json.loads(data)
        number, identity, algorithm = raw["format"], str(uuid.UUID(raw["id"])), raw["hash"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{where}/{FORMAT_FILE} is damaged", path=FORMAT_FILE) from error
    if type(number) is not int or number < 1 or algorithm != "blake3" or identity != raw["id"]:
        raise RepositoryError(
            f"{where} uses format {str(number)[:20]} with {str(algorithm)[:20]}; this release reads 1"
        )
    if number > FORMAT:
        raise RepositoryError(
            f"{where} has format {number}, and this release reads up to {FORMAT}",
            hint="pip install --upgrade friday-store",
        )
    return identity, raw.get("single_writer") is True


def _warn_of_strangers(root: Path | None) -> None:
    if root is None:
        return
    found = root.stat()
    if found.st_mode & stat.S_IWOTH:
        warnings.warn(f"{root} can be written by every user of this machine", stacklevel=4)
    elif found.st_uid not in (os.geteuid(), 0):
        warnings.warn(f"{root} belongs to another user", stacklevel=4)
