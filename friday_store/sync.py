"""Copying between repositories: one verb for push, pull and clone, with different ends.

:func:`copy` finds which refs of the source the target lacks or has elsewhere, writes the missing objects to the
target as one pack, each verified on the way, and then moves the refs in one log entry. Until that entry nothing is
visible; an interrupted copy leaves an unreferenced pack at most.

Versions are create-only: the same name with another digest is rejected, always. Tags and notes are sets and are
added. An alias follows the side that moved it since the last sync (where there was none: the side that is ahead
by parents); if both moved it, it is rejected unless forced. Objects are verified against their digests; what the
target then trusts to run is its user's own decision, for which the versions remember the source's id.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from friday_store.errors import IntegrityError
from friday_store.hookspecs import RefUpdate, SyncReport
from friday_store.index import Index
from friday_store.manifest import Artifact
from friday_store.objects import Directory, Kind
from friday_store.objects.pack import Frame
from friday_store.refs import Ref
from friday_store.repository import Repository, Transaction

Progress = Callable[[int, int, int], None]
"""Called with objects copied, objects to copy, and bytes copied."""

_ANCESTORS: Final = 10_000
_ITS_VERSION: Final = "JOIN model_metadata m ON m.id = p.version_id"
_SPACES: Final = {
    "versions": "SELECT model_name, model_version, '', model_id FROM model_metadata ORDER BY id",
    "tags": (
        "SELECT m.model_name, t.tag, m.model_version, m.model_id FROM model_tags t "
        "JOIN model_metadata m ON m.id = t.version_id ORDER BY m.id, t.tag"
    ),
    "notes": (
        "SELECT m.model_name, m.model_version, n.digest, n.digest FROM model_notes n "
        "JOIN model_metadata m ON m.id = n.version_id ORDER BY m.id, n.time, n.digest"
    ),
    "aliases": "SELECT model_name, alias, '', model_id FROM model_aliases ORDER BY model_name, alias",
}


@dataclass(frozen=True)
class Base:
    """Where the aliases were, on both sides, when they were last in step; empty when that is not known."""

    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Plan:
    moves: list[RefUpdate] = field(default_factory=list)
    rejected: list[tuple[RefUpdate, str]] = field(default_factory=list)


def refs_of(index: Index, patterns: Sequence[str] = ("*",)) -> Iterator[tuple[Ref, str]]:
    """Iterate over the refs of the models whose names match a glob, with their digests; versions come first."""
    everything = "*" in patterns
    for space, sql in _SPACES.items():
        for model, name, leaf, digest in index.rows(sql):
            if everything or any(fnmatch.fnmatchcase(model, pattern) for pattern in patterns):
                yield Ref(space, model, name, leaf), digest  # type: ignore[arg-type]


def copy(
    source: Repository,
    target: Repository,
    patterns: Sequence[str] = ("*",),
    *,
    base: Base | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> SyncReport:
    """Copy what the target lacks of some models, and return what that was.

    Args:
        source: Where from; only read.
        target: Where to.
        patterns: Globs over model names.
        base: Where aliases were at the last sync.
        force: Move aliases that moved on both sides to where the source has them.
        dry_run: Change nothing; the report is what a real run would say.
        progress: Told after every object.

    Raises:
        IntegrityError: The source has a damaged object, or lacks one that it names; nothing was moved.
        ConflictError: The target's refs kept changing.
    """
    wanted = list(refs_of(source.index, patterns))
    plan = _planned(source, target, wanted, base or Base(), force=force)
    closure = _Closure(source, target)
    closure.add(update for update in plan.moves if update.new)
    if dry_run:
        return _report(plan, closure.missing, closure.present)
    transaction = target.transaction(f"copy from {source.storage.url}", origin=source.id)
    try:
        copied = _send(source, transaction, closure.missing, progress)
    except BaseException:
        transaction.discard()
        raise

    def move(running: Transaction) -> _Plan:
        again = _planned(source, target, wanted, base or Base(), force=force)
        for update in again.moves:
            old, new = (bytes.fromhex(side) if side else None for side in (update.old, update.new))
            running.move(Ref.parse(update.ref), old, new)
        return again

    return _report(transaction.run(move), copied, closure.present)


def _planned(
    source: Repository, target: Repository, wanted: Iterable[tuple[Ref, str]], base: Base, *, force: bool
) -> _Plan:
    target.index.catch_up()
    here = {str(ref): digest for ref, digest in refs_of(target.index)}
    plan = _Plan()
    clashing: set[tuple[str, str]] = set()
    known = {digest for name, digest in here.items() if name.startswith("versions/")}
    for ref, digest in wanted:
        update = RefUpdate(str(ref), here.get(str(ref)), digest)
        version = {"versions": ref.name, "tags": ref.leaf, "notes": ref.name}.get(ref.space, "")
        if update.old == update.new:
            continue
        if ref.space == "versions" and update.old is not None:
            clashing.add((ref.model, ref.name))
            plan.rejected.append((update, "the version exists there with other content"))
        elif (ref.model, version) in clashing:
            plan.rejected.append((update, "its version exists there with other content"))
        elif ref.space == "aliases" and digest not in known:
            plan.rejected.append((update, "the version that it names is not there"))
        elif ref.space == "aliases" and update.old is not None and not force:
            _follow(source, plan, update, base)
        else:
            plan.moves.append(update)
            known.add(digest)
    return plan


def _follow(source: Repository, plan: _Plan, update: RefUpdate, base: Base) -> None:
    """Decide about an alias that is elsewhere on the two sides."""
    assert update.old is not None
    assert update.new is not None
    last = base.aliases.get(update.ref)
    if last is None:
        forward = _is_ancestor(source, update.old, update.new)
        behind = not forward and _is_ancestor(source, update.new, update.old)
    else:
        forward, behind = last == update.old, last == update.new
    if forward:
        plan.moves.append(update)
    elif not behind:
        plan.rejected.append((update, "it moved on both sides"))


def _is_ancestor(repository: Repository, old: str, new: str) -> bool:
    """Whether ``old`` is reached from ``new`` by parents, in what the repository knows."""
    seen: set[str] = set()
    waiting = [new]
    while waiting and len(seen) < _ANCESTORS:
        some, waiting = waiting[:500], waiting[500:]
        marks = ", ".join("?" * len(some))
        sql = f"SELECT p.parent FROM model_parents p {_ITS_VERSION} WHERE m.model_id IN ({marks})"  # noqa: S608
        found = {str(parent) for (parent,) in repository.index.rows(sql, some)} - seen
        if old in found:
            return True
        seen |= found
        waiting += sorted(found)
    return False


class _Closure:
    """What the refs need, children before those that name them.

    Attributes:
        missing: Objects that the target lacks, with where the source has them.
        present: How many it has already.
    """

    def __init__(self, source: Repository, target: Repository) -> None:
        self.missing: dict[bytes, tuple[Directory, Frame]] = {}
        self.present = 0
        self._source = source
        self._target = target
        self._seen: set[bytes] = set()

    def add(self, updates: Iterable[RefUpdate]) -> None:
        """Add what some refs need."""
        with self._source.objects.sections():
            for update in updates:
                ref, digest = Ref.parse(update.ref), bytes.fromhex(update.new or "")
                if ref.space == "versions":
                    self._add_version(digest)
                elif ref.space == "notes":
                    self._add(digest)

    def _add_version(self, digest: bytes) -> None:
        """Add a version's chunks, artifact and manifest, also if the manifest was reached as a parent before."""
        manifest = self._source.index.manifest(digest)
        if manifest.artifact not in self._seen:
            artifact = Artifact.from_bytes(bytes(self._source.objects.read(manifest.artifact, Kind.ARTIFACT)))
            for part in artifact.parts:
                for chunk in part:
                    self._add(chunk)
            self._add(manifest.artifact)
        self._add(digest)
        self._add_lineage(manifest.parents)

    def _add_lineage(self, parents: Iterable[bytes]) -> None:
        """Add the manifests above a version, as far as the source has them; their models belong to their own refs."""
        waiting = list(parents)
        while waiting:
            parent = waiting.pop()
            if parent not in self._seen and self._source.objects.find(parent) is not None:
                self._add(parent)
                waiting += self._source.index.manifest(parent).parents

    def _add(self, digest: bytes) -> None:
        if digest in self._seen:
            return
        self._seen.add(digest)
        if digest in self._target.objects:
            self.present += 1
            return
        found = self._source.objects.find(digest)
        if found is None:
            raise IntegrityError(f"the source names object {digest.hex()[:12]} and does not have it")
        self.missing[digest] = (found[0], found[0].frame(found[1]))


def _send(
    source: Repository,
    transaction: Transaction,
    missing: Mapping[bytes, tuple[Directory, Frame]],
    progress: Progress | None,
) -> dict[bytes, tuple[Directory, Frame]]:
    """Copy objects in the order in which they stand in the source's packs, each checked."""
    done = size = 0
    by_place = sorted(missing.items(), key=lambda item: (item[1][0].name, item[1][1].offset))
    with source.objects.sections():
        for _, (directory, frame) in by_place:
            stored = source.objects.stored(directory.name, frame)
            if stored is None:
                raise IntegrityError(f"pack {directory.name[:12]} is missing at {source.storage.url}")
            frame.decoded(stored)
            transaction.batch.copy(frame, stored)
            done, size = done + 1, size + frame.stored
            if progress is not None:
                progress(done, len(missing), size)
    return dict(missing)


def _report(plan: _Plan, missing: Mapping[bytes, tuple[Directory, Frame]], present: int) -> SyncReport:
    return SyncReport(
        moved=tuple(plan.moves),
        rejected=tuple(plan.rejected),
        objects=len(missing),
        size=sum(frame.stored for _, frame in missing.values()),
        present=present,
    )
