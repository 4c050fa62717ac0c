"""Bundles: one file that is a pack, whose directory also carries refs.

A bundle is written and read as any pack (:mod:`friday_store.objects.pack`); its directory has one key more::

    bundle: {schema: 1, origin: id of the repository that it was made from, time: µs since 1970,
     refs: [[name, digest]] sorted by name, gone: [[name, digest]] of refs deleted since what it builds on}

So it is verified as packs are: the directory by the trailer, every object by its digest. An incremental bundle lacks
objects that its reader is to have already; reading it where they are missing is refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from friday_store.digest import SIZE, Buffer
from friday_store.errors import IntegrityError, InvalidNameError, RepositoryError, StorageError
from friday_store.objects import Directory, ObjectStore
from friday_store.objects.pack import FOLDER, HEADER, TRAILER, PackWriter, read_directory
from friday_store.objects.streaming import verified
from friday_store.refs import Ref
from friday_store.storage import Entry, Spool, Storage, open_storage
from friday_store.sync import Source
from friday_store.sync.closure import Closure
from friday_store.sync.merge import UNKNOWN, Change
from friday_store.sync.sending import Progress, Watcher

_KEY: Final = "bundle"


@dataclass(frozen=True)
class Bundle:
    """A bundle that is open for reading.

    Attributes:
        origin: The id of the repository that it says it was made from.
        time: When, in microseconds since 1970.
        refs: Name to digest.
        gone: Refs that were deleted since what it builds on, with the digest they had.
        directory: What it holds.
        source: It, as the source of a copy.
    """

    origin: str
    time: int
    refs: Mapping[str, bytes]
    gone: Mapping[str, bytes]
    directory: Directory
    source: Source

    def changes(self) -> dict[str, Change]:
        """Return what it brings, as the changes of a copy."""
        found = {name: Change(name, digest, UNKNOWN) for name, digest in self.refs.items()}
        return found | {name: Change(name, None, digest) for name, digest in self.gone.items()}


def read_bundle(url: str | Path, options: Mapping[str, Any] | None = None) -> Bundle:
    """Open a bundle at a path or URL; its directory is checked, its objects are when they are copied.

    Raises:
        StorageError: There is nothing, or it cannot be read.
        RepositoryError: It is no bundle.
        IntegrityError: It is damaged.
    """
    above, _, name = str(url).rpartition("/")
    local = "://" not in str(url)
    storage = open_storage(Path(url).expanduser().absolute().parent if local else above, options)
    found = storage.stat(name)
    if found is None or found.folder:
        raise StorageError(f"there is no bundle at {storage.url}/{name}", hint="friday-store export -o FILE makes one")
    if storage.read(name, 0, len(HEADER)) != HEADER or found.size < len(HEADER) + TRAILER.size:
        raise RepositoryError(f"{storage.url}/{name} is not a bundle", hint="friday-store export -o FILE makes one")
    trailer = storage.read(name, found.size - TRAILER.size, found.size) or b""
    if len(trailer) != TRAILER.size:
        raise IntegrityError(f"{storage.url}/{name} is cut short", path=name, hint="copy the bundle again")
    pack = TRAILER.unpack(trailer)[1].hex()
    single = _Single(storage, name, pack)
    try:
        directory = read_directory(single, pack, found.size)
    except IntegrityError as error:
        raise IntegrityError(
            f"bundle {storage.url}/{name} is damaged: {error}", path=name, hint="copy the bundle again"
        ) from error
    objects = ObjectStore(single)
    objects.add(directory)
    return _opened(directory, objects, f"{storage.url}/{name}")


def _opened(directory: Directory, objects: ObjectStore, where: str) -> Bundle:
    raw = directory.extra.get(_KEY)
    if not isinstance(raw, dict) or raw.get("schema") != 1:
        raise RepositoryError(f"{where} is a pack and not a bundle, or one of a newer release")
    try:
        refs, gone = _refs(raw["refs"]), _refs(raw["gone"])
        origin, time = str(raw["origin"]), int(raw["time"])
    except (KeyError, TypeError, ValueError, InvalidNameError) as error:
        raise IntegrityError(f"bundle {where} carries malformed refs: {error}", hint="copy the bundle again") from error
    versions: dict[bytes, tuple[str, str]] = {}
    for name, digest in refs.items():
        ref = Ref.parse(name)
        if ref.space == "versions":
            versions[digest] = (ref.model, ref.name)
    source = Source(
        objects,
        directory.name,
        where,
        lambda ref: refs.get(str(ref)),
        versions.get,
        hint="it builds on another bundle or repository: import or pull that first",
    )
    return Bundle(origin, time, refs, gone, directory, source)


def _refs(raw: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, digest in raw:
        if not isinstance(name, str) or not isinstance(digest, bytes) or len(digest) != SIZE:
            raise ValueError("a name or digest that is none")
        found[str(Ref.parse(name))] = digest
    return found


def write_bundle(
    path: Path,
    closure: Closure,
    source: Source,
    refs: Mapping[str, bytes],
    gone: Mapping[str, bytes],
    *,
    time: int,
    watcher: Watcher | None = None,
) -> Directory:
    """Write a bundle to a file that must not be there yet, at once and durably.

    Args:
        path: The file.
        closure: The objects.
        source: Where they are.
        refs: What it carries.
        gone: What was deleted since what it builds on.
        time: Now, in microseconds since 1970.
        watcher: Told how far it is.

    Raises:
        StorageError: The file is there, or cannot be written.
        IntegrityError: An object is damaged at the source.
    """
    storage = open_storage(path.expanduser().absolute().parent)
    if storage.stat(path.name) is not None:
        raise StorageError(f"{path} is there already", hint="name another file, or remove it")
    extra = {
        "schema": 1,
        "origin": source.id,
        "time": time,
        "refs": sorted([name, digest] for name, digest in refs.items()),
        "gone": sorted([name, digest] for name, digest in gone.items()),
    }
    with PackWriter(storage, "") as writer:
        done = sent = 0
        for frame, stored in verified(source.objects.storage, closure):
            writer.add(frame, stored)
            done, sent = done + 1, sent + frame.stored
            if watcher is not None:
                watcher(Progress(done, len(closure), sent, closure.size, 0))
        directory = writer.seal({_KEY: extra})
        writer.publish(directory, path.name)
    return directory


class _Single:
    """One file as a storage that holds one pack."""

    root: Path | None = None

    def __init__(self, storage: Storage, name: str, pack: str) -> None:
        self._storage = storage
        self._name = name
        self._path = f"{FOLDER}/{pack}.pack"
        self.url = f"{storage.url}/{name}"

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        return self._storage.read(self._name, start, end) if path == self._path else None

    def stat(self, path: str) -> Entry | None:
        return self._storage.stat(self._name) if path == self._path else None

    def list(self, folder: str) -> list[Entry]:  # noqa: ARG002 - there is one file
        return []

    def turn(self) -> AbstractContextManager[None]:
        return self._storage.turn()

    def create(self, path: str, data: Buffer | Sequence[Buffer]) -> bool:  # noqa: ARG002 - a bundle never changes
        self._refuse()

    def spool(self, folder: str) -> Spool:  # noqa: ARG002 - a bundle never changes
        self._refuse()

    def delete(self, paths: Iterable[str]) -> None:  # noqa: ARG002 - a bundle never changes
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StorageError(f"{self.url} is a bundle, which never changes")
