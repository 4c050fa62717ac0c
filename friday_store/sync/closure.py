"""What refs need: the objects below them, in the order in which a load reads them.

Big repositories have hundreds of thousands of objects, so the missing ones are held as a pack's number and a place in
its directory, eight bytes each, and those that were seen as bits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from friday_store.errors import IntegrityError, ModelNotFoundError
from friday_store.manifest import Artifact, Manifest, Note
from friday_store.objects import Directory, Kind, ObjectStore
from friday_store.objects.streaming import Placed
from friday_store.refs import Ref

Place = tuple[int, int]
"""An object: the number of its pack here, and its place in that pack's directory."""

_BATCH: Final = 4000


class Closure:
    """The objects that a target lacks.

    Args:
        source: Where the objects are.
        target: Who may have some of them already; None has nothing.
        adopted: Packs that are durable there and not in use yet.
        data: Whether the models' own bytes belong to it, or their metadata alone.

    Attributes:
        size: The missing objects' bytes, as stored.
        relied: The objects that the target has.
        absent: Objects that the source lacks, and the target too.
    """

    def __init__(
        self, source: ObjectStore, target: ObjectStore | None, adopted: Sequence[Directory] = (), *, data: bool = True
    ) -> None:
        self.size = 0
        self.relied: set[bytes] = set()
        self.absent: list[bytes] = []
        self._source = source
        self._target = target
        self.adopted = adopted
        self._data = data
        self._presumed: AbstractSet[bytes] = frozenset()
        self._unknown: set[bytes] = set()
        self._packs: list[Directory] = []
        self._numbers: dict[str, int] = {}
        self._seen: list[bytearray] = []
        self._waiting: list[Place | None] = []
        self._where = array("I")
        self._places = array("I")
        self._ends = array("Q")

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Placed]:
        for number, place in zip(self._where, self._places, strict=True):
            yield self._packs[number], self._packs[number].frame(place)

    def done(self) -> None:
        """Let go of all but the numbers, now that the objects are where they belong."""
        self._packs.clear()
        self._seen.clear()
        self._numbers.clear()

    def groups(self) -> Iterator[int]:
        """Iterate over the missing objects of one model after the other, as how many they are."""
        start = 0
        for end in self._ends:
            if end > start:
                yield end - start
                start = end

    def add_version(self, digest: bytes, ref: Ref | None = None) -> None:
        """Add a version's chunks, artifact and manifest, and the manifests above it that the source has.

        Args:
            digest: The version's.
            ref: The name that it must have; None when it was found by its digest.

        Raises:
            IntegrityError: It has another name, or its manifest and its artifact disagree.
        """
        manifest = self._manifest(digest)
        if ref is not None and (manifest.name, manifest.version) != (ref.model, ref.name):
            raise IntegrityError(f"{ref} names a manifest of {manifest.name}:{manifest.version}")
        for artifact in manifest.artifacts:
            self._add_artifact(manifest, artifact)
        self.add(digest)
        self._add_lineage(manifest.parents)
        self._waiting.append(None)
        self.settle(_BATCH)

    def _add_artifact(self, manifest: Manifest, digest: bytes) -> None:
        holder = self._holder(digest)
        place = self._new(digest)
        if holder is None:
            return
        artifact = Artifact.from_bytes(bytes(holder.read(digest, Kind.ARTIFACT)))
        manifest.check_artifact(digest, artifact)
        if self._data and (place is not None or digest in self._unknown):
            for part in artifact.parts:
                for chunk in part:
                    self.add(chunk)
        if place is not None:
            self._waiting.append(place)

    def _holder(self, artifact: bytes) -> ObjectStore | None:
        """Return who has an artifact: an increment leaves out what its reader has already."""
        if self._source.find(artifact) is not None:
            return self._source
        return self._target if self._target is not None and artifact in self._target else None

    def add_note(self, digest: bytes, ref: Ref, about: bytes | None) -> None:
        """Add a note, which must be about a version.

        Args:
            digest: The note's.
            ref: The name that it has.
            about: The version that this name speaks of.

        Raises:
            IntegrityError: It is about another, or has the name of another.
        """
        if ref.leaf != digest.hex():
            raise IntegrityError(f"{ref} names note {digest.hex()[:12]}")
        note = Note.from_bytes(bytes(self._source.read(digest, Kind.NOTE)))
        if note.about != about:
            raise IntegrityError(f"note {digest.hex()[:12]} is about another version than its ref says")
        self.add(digest)

    def presume(self, digests: AbstractSet[bytes]) -> None:
        """Leave objects out, since whoever gets this has them."""
        self._presumed = digests

    def digests(self) -> set[bytes]:
        """Return everything that was added and that the source has."""
        return {
            pack.digest(place)
            for pack, bits in zip(self._packs, self._seen, strict=True)
            for place in range(pack.count)
            if bits[place >> 3] & 1 << (place & 7)
        }

    def add(self, digest: bytes) -> None:
        """Add one object."""
        place = self._new(digest)
        if place is not None:
            self._waiting.append(place)

    def _new(self, digest: bytes) -> Place | None:
        """Return where an object is that was not seen before; None for one that was, or that needs no sending."""
        if digest in self._presumed:
            return None
        found = self._source.find(digest)
        if found is None:
            self._unknown.add(digest)
            return None
        directory, place = found
        number = self._numbers.setdefault(directory.name, len(self._packs))
        if number == len(self._packs):
            self._packs.append(directory)
            self._seen.append(bytearray((directory.count + 7) // 8))
        bits, bit = self._seen[number], 1 << (place & 7)
        if bits[place >> 3] & bit:
            return None
        bits[place >> 3] |= bit
        return number, place

    def settle(self, most: int = 0) -> None:
        """Find out about the objects added so far, if there are more than so many."""
        if len(self._waiting) + len(self._unknown) <= most:
            return
        waiting, self._waiting = self._waiting, []
        known = self._known([self._digest(item) for item in waiting if item is not None])
        for item in waiting:
            if item is None:
                self._ends.append(len(self._places))
            elif self._digest(item) not in known:
                self._where.append(item[0])
                self._places.append(item[1])
                self.size += self._packs[item[0]].stored(item[1])
        self._ends.append(len(self._places))
        unknown, self._unknown = self._unknown, set()
        self.absent += sorted(unknown - self._known(list(unknown)))

    def _digest(self, item: Place) -> bytes:
        return self._packs[item[0]].digest(item[1])

    def _known(self, digests: list[bytes]) -> set[bytes]:
        relied = self._target.known(digests) if self._target is not None and digests else set()
        self.relied |= relied
        return relied | {digest for digest in digests if any(pack.find(digest) >= 0 for pack in self.adopted)}

    def _add_lineage(self, parents: Iterable[bytes]) -> None:
        """Add the manifests above a version, as far as the source has them; their models belong to their own refs."""
        waiting = list(parents)
        while waiting:
            parent = waiting.pop()
            if self._source.find(parent) is not None and (place := self._new(parent)) is not None:
                self._waiting.append(place)
                waiting += self._manifest(parent).parents

    def _manifest(self, digest: bytes) -> Manifest:
        return Manifest.from_bytes(bytes(self._source.read(digest, Kind.ENVELOPE)))

    def check_whole(self, where: str, *, partial: bool, hint: str | None = None) -> None:
        """Refuse to go on when objects are nowhere.

        Raises:
            ModelNotFoundError: The source holds metadata alone, and has not fetched them.
            IntegrityError: They should be there.
        """
        if not self.absent:
            return
        named = f"{len(self.absent)} objects, such as {self.absent[0].hex()[:12]},"
        if partial:
            raise ModelNotFoundError(
                f"{named} are not here: {where} was cloned without the models' data",
                hint="friday-store fetch origin",
            )
        raise IntegrityError(f"{where} names {named} and does not have them", hint=hint)
