"""Chunks of far repositories, kept on this disk: a bounded store of packs that nothing depends on.

What a load needs and the cache lacks is fetched in few ranges, verified, and written as one pack; then the load reads
that pack as it would a local one, mapped where it can be, and verified as one. Chunks are named by digest, so all
repositories share one cache. The packs that were not used for longest go first. A damaged pack is thrown away, and
what it held is fetched again.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Final

from friday_store.errors import IntegrityError, StorageError
from friday_store.manifest import Artifact
from friday_store.objects import ObjectStore
from friday_store.objects.memo import Memo
from friday_store.objects.pack import FOLDER
from friday_store.objects.streaming import Placed, verified
from friday_store.storage.local import LocalStorage

_LOGGER: Final = logging.getLogger(__name__)
_USED: Final = "used"


class ChunkCache:
    """The cache of this user.

    Args:
        folder: Where it is.
        limit: The most bytes to keep.
        memo: What this user has verified before.
    """

    def __init__(self, folder: Path, limit: int, memo: Memo | None) -> None:
        self._limit = limit
        self._used = folder / _USED
        self._storage = LocalStorage(folder)
        self._store = ObjectStore(self._storage, memo=memo)
        self._store.look_again = self._look

    def parts(self, artifact: Artifact, far: ObjectStore) -> dict[str, memoryview]:
        """Return the parts of a model, verified; what is not cached is fetched first.

        Raises:
            IntegrityError: A chunk is missing or damaged in the far store too.
        """
        if artifact.size > self._limit:
            return far.parts(artifact)
        try:
            self._bring(artifact, far)
            return self._store.parts(artifact)
        except StorageError as error:
            _LOGGER.warning("loading without a cache: %s", error)
        except IntegrityError as error:
            _LOGGER.warning("fetching again what was damaged in the cache: %s", error)
            self._forget_damaged(artifact)
            with contextlib.suppress(StorageError, IntegrityError):  # others may remove it as fast as it comes
                self._bring(artifact, far)
                return self._store.parts(artifact)
        return far.parts(artifact)

    def _bring(self, artifact: Artifact, far: ObjectStore) -> None:
        """Fetch the chunks that are not cached."""
        self._look()
        wanted = list(dict.fromkeys(chunk for part in artifact.parts for chunk in part))
        known = self._store.known(wanted)
        missing = [chunk for chunk in wanted if chunk not in known]
        self._use(known)
        if not missing:
            return
        with self._store.writer() as writer:
            for frame, stored in verified(far.storage, [_placed(far, chunk) for chunk in missing]):
                writer.add(frame, stored)
            made = writer.finish()
        _LOGGER.info("fetched %d chunks (%d bytes) from %s", len(missing), made.size, far.storage.url)
        self._store.add(made)
        self._tidy(made.name)

    def _look(self) -> None:
        self._store.use({entry.name.removesuffix(".pack"): entry.size for entry in self._storage.list(FOLDER)})

    def _use(self, known: set[bytes]) -> None:
        """Remember that the packs which hold some chunks were used now."""
        for name in {found[0].name for chunk in known if (found := self._store.find(chunk)) is not None}:
            with contextlib.suppress(OSError):
                self._used.mkdir(mode=0o700, exist_ok=True)
                (self._used / name).touch(mode=0o600)

    def _tidy(self, newest: str) -> None:
        """Remove the packs that were not used for longest, down to the limit."""
        used = {entry.name: entry.time for entry in self._storage.list(_USED)}
        packs = [(entry.name.removesuffix(".pack"), entry) for entry in self._storage.list(FOLDER)]
        total = 0
        for name, entry in sorted(packs, key=lambda pack: max(used.get(pack[0], 0), pack[1].time), reverse=True):
            total += entry.size
            if total > self._limit and name != newest:
                self._storage.delete([f"{FOLDER}/{entry.name}", f"{_USED}/{name}"])

    def _forget_damaged(self, artifact: Artifact) -> None:
        """Remove the packs in which a chunk of a model, or the directory, is damaged."""
        damaged = set()
        for name in list(self._store.live):
            try:
                directory = self._store.directory(name)
                places = (directory.find(chunk) for part in artifact.parts for chunk in part)
                for place in places:
                    if place >= 0:
                        frame = directory.frame(place)
                        frame.decoded(self._store.stored(name, frame) or b"")
            except IntegrityError:
                damaged.add(f"{FOLDER}/{name}.pack")
        self._storage.delete(damaged)
        self._look()


def _placed(far: ObjectStore, chunk: bytes) -> Placed:
    found = far.located(chunk)
    if found is None:
        raise IntegrityError(f"chunk {chunk.hex()[:12]} is in no pack of {far.storage.url}")
    return found[0], found[0].frame(found[1])
