"""Marking: which objects are needed, starting from what refs name.

A version needs its manifest, its artifact and its chunks, and the manifests above it by parents: their models belong
to their own refs. A note needs itself. Where several packs hold an object, the one that :meth:`ObjectStore.find`
answers with is needed, and the others are not. What is needed is kept as one bit for each place of a pack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from friday_store.errors import IntegrityError
from friday_store.manifest import Artifact, Manifest
from friday_store.objects import Directory, Kind, ObjectStore
from friday_store.objects.pack import Frame


class Marks:
    """The needed objects of some packs; they only become more.

    Args:
        store: The packs, which may change as long as no marked object is lost.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._bits: dict[str, bytearray] = {}
        self._counts: dict[str, int] = {}
        self._roots: set[bytes] = set()
        self._models: set[bytes] = set()

    def need(self, digests: Iterable[bytes], *, there: bool) -> None:
        """Mark what some versions and notes need; of what is not there now, this has to be asked again when it comes.

        Args:
            digests: Theirs.
            there: Whether all of them must be there, but for chunks, which a partial clone lacks; otherwise what was
                collected before is passed over.

        Raises:
            IntegrityError: Something that is needed is missing or damaged, so that it is not known what it needs.
        """
        with self._store.sections():
            for digest in digests:
                if digest not in self._roots and self._root(digest, there=there):
                    self._roots.add(digest)

    def hold(self, name: str) -> None:
        """Mark everything in a pack; where it is out of use, everything that was in it and is still there.

        Raises:
            IntegrityError: What is in it cannot be read.
        """
        directory = self._store.directory(name)
        for place in range(directory.count):
            if name in self._store.live:
                self._mark(directory, place)
            else:
                with suppress(IntegrityError):  # it can only be in a damaged pack, which stays as it is
                    found = self._store.find(directory.digest(place))
                    if found is not None:
                        self._mark(*found)

    def count(self, name: str) -> int:
        """Return how many objects of a pack are needed."""
        return self._counts.get(name, 0)

    def needed(self, name: str) -> Iterator[Frame]:
        """Iterate over the needed objects of a pack, in the order in which they stand in it."""
        for frame, needed in self._frames(name):
            if needed:
                yield frame

    def dropped(self, name: str) -> Iterator[Frame]:
        """Iterate over the other objects of a pack."""
        for frame, needed in self._frames(name):
            if not needed:
                yield frame

    def _frames(self, name: str) -> Iterator[tuple[Frame, bool]]:
        directory, bits = self._store.directory(name), self._bits.get(name, b"")
        for frame in directory:
            place = directory.find(frame.digest)
            yield frame, bool(bits) and bool(bits[place >> 3] & 1 << (place & 7))

    def _root(self, digest: bytes, *, there: bool) -> bool:
        """Mark what a version or note needs, and return whether all of it but chunks was there."""
        found = self._store.find(digest)
        if found is None:
            if there:
                raise IntegrityError(f"object {digest.hex()[:12]} is missing, so nothing can be collected")
            return False
        if found[0].frame(found[1]).kind is Kind.ENVELOPE:
            return self._model(self._lineage(digest), there=there)
        self._mark(*found)
        return True

    def _lineage(self, digest: bytes) -> Manifest:
        """Mark a manifest and those above it; return it."""
        first = manifest = self._manifest(digest)
        waiting = list(manifest.parents)
        while waiting:
            parent = waiting.pop()
            found = self._store.find(parent)
            if found is not None and self._is_new(*found):
                waiting += self._manifest(parent).parents
        return first

    def _manifest(self, digest: bytes) -> Manifest:
        found = self._store.find(digest)
        assert found is not None
        self._mark(*found)
        return Manifest.from_bytes(bytes(self._store.read(digest, Kind.ENVELOPE)))

    def _model(self, manifest: Manifest, *, there: bool) -> bool:
        """Mark what a version is made of: its model, and what is attached to it; return whether all of it was there."""
        found = [self._artifact(digest, there=there) for digest in manifest.artifacts]
        return all(found)

    def _artifact(self, digest: bytes, *, there: bool) -> bool:
        if digest in self._models:
            return True
        found = self._store.find(digest)
        if found is None:
            if there:
                raise IntegrityError(f"artifact {digest.hex()[:12]} is missing, so nothing can be collected")
            return False
        self._models.add(digest)
        self._mark(*found)
        for part in Artifact.from_bytes(bytes(self._store.read(digest, Kind.ARTIFACT))).parts:
            for chunk in part:
                place = self._store.find(chunk)
                if place is not None:
                    self._mark(*place)
        return True

    def _mark(self, directory: Directory, place: int) -> None:
        if self._is_new(directory, place):
            bits = self._bits.setdefault(directory.name, bytearray((directory.count + 7) // 8))
            bits[place >> 3] |= 1 << (place & 7)
            self._counts[directory.name] = self.count(directory.name) + 1

    def _is_new(self, directory: Directory, place: int) -> bool:
        bits = self._bits.get(directory.name)
        return bits is None or not bits[place >> 3] & 1 << (place & 7)
