"""Comparing two stored models: which parts belong together, what of them must be read, and by how much they differ.

Parts are paired by the path at which they stand in the model, where the format tells it, else by name; what is left
is paired by equal chunks, so a part that only moved is the same. Two chunks are the same bytes if their digests are,
so only chunks that differ are read, and only where the dtype is known, to say by how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from friday_store.comparison import arrays, coefficients
from friday_store.comparison.arrays import Array, Numbers, Tally
from friday_store.comparison.behaviour import Trees
from friday_store.comparison.models import ModelDiff, PartDiff, State, ValueDiff
from friday_store.comparison.outlines import Outline, described_in, outline
from friday_store.comparison.pickles import MOST_BYTES
from friday_store.comparison.steps import StepDiff
from friday_store.comparison.versions import same
from friday_store.digest import SIZE
from friday_store.index import VersionRow
from friday_store.manifest import Artifact, PartEntry
from friday_store.repository import Repository

BLOCK: Final = 1 << 20
_BATCH: Final = 32
_CLASS: Final = "__class__"
_HOLDER: Final = "(several values)"
_TREES: Final = frozenset(
    ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
)


def diff(repository: Repository, old: VersionRow, new: VersionRow, steps: Iterable[StepDiff] = ()) -> ModelDiff:
    """Return what differs between the stored models of two versions.

    Args:
        repository: Where they are.
        old: The older version.
        new: The newer one.
        steps: What differs between their pipelines as recorded.

    Raises:
        IntegrityError: Stored bytes are damaged.
        LostChunkError: What would have to be read is not here.
    """
    before, after = (_Stored(repository, bytes.fromhex(row.artifact)) for row in (old, new))
    work = _Comparing(before, after)
    parts = tuple(work.parts())
    contents = tuple(work.contents())
    return ModelDiff(
        before=f"{old.model_name}:{old.model_version}",
        after=f"{new.model_name}:{new.model_version}",
        before_id=old.model_id,
        after_id=new.model_id,
        serializers=(before.artifact.serializer, after.artifact.serializer),
        size_before=before.artifact.size,
        size_after=after.artifact.size,
        shared=sum(part.shared for part in parts if part.state != "removed"),
        parts=parts,
        contents=contents,
        trees=work.trees([part.path for part in parts if part.state != "same"] + [value.path for value in contents]),
        coefficients=coefficients.stored(*work.outlines),
        steps=tuple(steps),
        bytes_read=before.read + after.read,
    )


@dataclass
class _Stored:
    """One stored model, and how much of it has been read."""

    repository: Repository
    digest: bytes
    read: int = 0

    @cached_property
    def artifact(self) -> Artifact:
        return self.repository.artifact(self.digest)

    @cached_property
    def chunks(self) -> frozenset[bytes]:
        return frozenset(chunk for part in self.artifact.parts for chunk in part)

    def outline(self) -> Outline:
        name = described_in(self.artifact)
        part = next((part for part in self.artifact.parts if part.name == name), None)
        if part is None or part.size > MOST_BYTES:
            return Outline()
        return outline(self.artifact, self.bytes_of([part])[0])

    def sizes(self, part: PartEntry) -> list[int]:
        """Return the sizes of a part's chunks: blocks and a rest, unless another chunker made them."""
        count = len(part.chunks) // SIZE
        if count == -(-part.size // BLOCK):
            return [BLOCK] * (count - 1) + [part.size - BLOCK * (count - 1)] if count else []
        found = (self.repository.objects.located(chunk) for chunk in part)
        return [0 if place is None else place[0].frame(place[1]).size for place in found]

    def bytes_of(self, pieces: list[PartEntry]) -> list[memoryview]:
        """Return the verified bytes of parts, or of some of their chunks."""
        named = [PartEntry(str(number), piece.size, piece.chunks) for number, piece in enumerate(pieces)]
        wanted = Artifact(self.artifact.serializer, self.artifact.format, tuple(named))
        found = self.repository.parts(wanted)
        self.read += wanted.size
        return [found[piece.name] for piece in named]


@dataclass
class _Comparing:
    """One comparison of two stored models."""

    before: _Stored
    after: _Stored
    outlines: tuple[Outline, Outline] = field(default_factory=lambda: (Outline(), Outline()))

    def parts(self) -> Iterator[PartDiff]:
        if self.before.digest != self.after.digest:
            self.outlines = self.before.outline(), self.after.outline()
        pairs, removed = self._paired()
        for old, new in pairs:
            yield self._compared(old, new)
        for old in removed:
            yield self._alone(old, "removed")

    def _paired(self) -> tuple[list[tuple[PartEntry | None, PartEntry]], list[PartEntry]]:
        """Pair parts by path or name, then the rest by equal chunks."""
        waiting = {self._key(0, part): part for part in self.before.artifact.parts}
        pairs = [(waiting.pop(self._key(1, part), None), part) for part in self.after.artifact.parts]
        rest: dict[bytes, list[str]] = {}
        for key, part in waiting.items():
            rest.setdefault(part.chunks, []).append(key)
        for place, (old, new) in enumerate(pairs):
            if old is None and rest.get(new.chunks):
                pairs[place] = waiting.pop(rest[new.chunks].pop()), new
        return pairs, list(waiting.values())

    def _key(self, side: int, part: PartEntry) -> str:
        known = self.outlines[side].parts.get(part.name)
        return f"path {known[0]}" if known else f"name {part.name}"

    def _compared(self, old: PartEntry | None, new: PartEntry) -> PartDiff:
        if old is None:
            return self._alone(new, "added")
        known = [outline.parts.get(part.name) for outline, part in zip(self.outlines, (old, new), strict=True)]
        one, other = (None if each is None else each[1] for each in known)
        equal = old.chunks == new.chunks
        shared = self._shared(self.after, new, self.before)
        return PartDiff(
            name=new.name,
            path=known[1][0] if known[1] else "",
            state="same"
            if equal and (one is None or other is None or one.comparable == other.comparable)
            else "changed",
            size_before=old.size,
            size_after=new.size,
            shared=shared,
            changed=new.size - shared,
            dtype=other.kind if other else "",
            shape_before=one.shape if one else None,
            shape_after=other.shape if other else None,
            numbers=None if equal else self._numbers(old, new, one, other),
            described=bool(self.outlines[1].above) and new.name == described_in(self.after.artifact),
        )

    def _alone(self, part: PartEntry, state: State) -> PartDiff:
        side = 1 if state == "added" else 0
        here, there = (self.after, self.before) if side else (self.before, self.after)
        known = self.outlines[side].parts.get(part.name)
        shared = self._shared(here, part, there)
        shape = known[1].shape if known else None
        return PartDiff(
            name=part.name,
            path=known[0] if known else "",
            state=state,
            size_before=None if side else part.size,
            size_after=part.size if side else None,
            shared=shared,
            changed=part.size - shared,
            dtype=known[1].kind if known else "",
            shape_before=None if side else shape,
            shape_after=shape if side else None,
        )

    @staticmethod
    def _shared(here: _Stored, part: PartEntry, there: _Stored) -> int:
        return sum(size for chunk, size in zip(part, here.sizes(part), strict=True) if chunk in there.chunks)

    def _numbers(self, old: PartEntry, new: PartEntry, one: Array | None, other: Array | None) -> Numbers | None:
        """Read the chunks that differ, some at a time, and add up how much."""
        if one is None or other is None or one.comparable != other.comparable:
            return None
        tally = Tally(one.dtype)
        for some in _batches(old, new, self.before.sizes(old), one.dtype.itemsize):
            olds = self.before.bytes_of([piece for piece, _ in some])
            news = self.after.bytes_of([piece for _, piece in some])
            for before, after in zip(olds, news, strict=True):
                tally.add(before, after)
        return tally.numbers(math.prod(one.shape))

    def contents(self) -> Iterator[ValueDiff]:
        """Yield what differs by path; what stands in one model alone as a whole, at its topmost path.

        Of what is of another class now, the class alone is told, since nothing below it has a counterpart.
        """
        old, new = self.outlines
        told: set[str] = set()
        replaced = {_owner(path) for path in old.values.keys() & new.values.keys() if self._of_another_class(path)}
        for path in dict.fromkeys((*old.above, *new.above)):
            if replaced and _below(path, replaced, old if path in old.above else new):
                continue
            if path in old.above and path in new.above:
                yield from self._changed(path)
            elif (top := _topmost(path, old, new)) not in told:
                told.add(top)
                state: State = "added" if path in new.above else "removed"
                yield ValueDiff(top, state, _told(old, top), _told(new, top))

    def _of_another_class(self, path: str) -> bool:
        old, new = self.outlines
        return _tail(path) == _CLASS and not same(old.values[path], new.values[path])

    def _changed(self, path: str) -> Iterator[ValueDiff]:
        old, new = self.outlines
        one, other = old.arrays.get(path), new.arrays.get(path)
        if one is not None and other is not None:
            apart = isinstance(one.data, bytes) or isinstance(other.data, bytes)
            if apart and (one.comparable != other.comparable or one.data != other.data):
                yield ValueDiff(path, "changed", _told(old, path), _told(new, path), arrays.numbers(one, other))
        elif (one is None) != (other is None) or not same(old.values.get(path, _HOLDER), new.values.get(path, _HOLDER)):
            yield ValueDiff(path, "changed", _told(old, path), _told(new, path))

    def trees(self, changed: Iterable[str]) -> Trees | None:
        """Return how many trees differ, a tree being changed if anything below its path is."""
        old, new = (
            {path for path, kind in side.values.items() if isinstance(kind, str) and kind in _TREES}
            for side in self.outlines
        )
        if not old and not new:
            return None
        known, touched = old | new, set()
        for path in changed:
            side = self.outlines[1] if path in self.outlines[1].above else self.outlines[0]
            here = path
            while here and f"{here}.__class__" not in known:
                here = side.above.get(here, "")
            touched.add(f"{here}.__class__")
        both = old & new
        nodes = [
            sum(_nodes(side, kind) for kind in kinds) for side, kinds in zip(self.outlines, (old, new), strict=True)
        ]
        counts = len(both - touched), len(both & touched), len(new - old), len(old - new)
        return Trees(len(old), len(new), *counts, *nodes)


def _told(side: Outline, path: str) -> Any:
    array = side.arrays.get(path)
    if array is not None:
        return f"{array.kind} {'x'.join(map(str, array.shape))}"
    kind = side.values.get(f"{path}.{_CLASS}" if path else _CLASS)
    holder = _HOLDER if kind is None else str(kind).rpartition(".")[2]
    return side.values.get(path, holder if path in side.above else None)


def _tail(path: str) -> str:
    return path.rpartition(".")[2]


def _owner(path: str) -> str:
    """Return the path of what a path ending in ``__class__`` is about."""
    return path.removesuffix(_CLASS).removesuffix(".")


def _below(path: str, owners: AbstractSet[str], side: Outline) -> bool:
    """Whether a path stands below one of some, their classes excepted."""
    if _tail(path) == _CLASS and _owner(path) in owners:
        path = _owner(path)
    while path:
        path = side.above.get(path, "")
        if path in owners:
            return True
    return False


def _nodes(side: Outline, kind: str) -> int:
    nodes = side.arrays.get(f"{_owner(kind)}.nodes")
    return 0 if nodes is None or not nodes.shape else nodes.shape[0]


def _topmost(path: str, old: Outline, new: Outline) -> str:
    """Return the highest path above one that stands in one model alone, which does too."""
    here, there = (old, new) if path in old.above else (new, old)
    while path and here.above[path] not in there.above:
        path = here.above[path]
    return path


def _batches(
    old: PartEntry, new: PartEntry, sizes: list[int], item: int
) -> Iterator[list[tuple[PartEntry, PartEntry]]]:
    """Yield pairs of pieces to compare: chunks that differ, or all as one where elements cross their borders."""
    pairs = list(zip(old, new, strict=False))
    if len(old.chunks) != len(new.chunks) or any(size % item for size in sizes):
        yield [(old, new)]
        return
    pieces = [
        (PartEntry("", size, one), PartEntry("", size, other))
        for (one, other), size in zip(pairs, sizes, strict=True)
        if one != other
    ]
    for start in range(0, len(pieces), _BATCH):
        yield pieces[start : start + _BATCH]
