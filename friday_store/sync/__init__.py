"""Copying between repositories: one verb for push, pull, fetch, clone, mirror, export and import, with different ends.

:func:`copy` is given the refs that may differ (:mod:`~friday_store.sync.changes` finds them in the logs), decides about
each (:mod:`~friday_store.sync.merge`), finds the objects that the target lacks (:mod:`~friday_store.sync.closure`),
writes them as packs, each object verified on the way (:mod:`~friday_store.sync.sending`), and then moves all refs in
one log entry. Until that entry nothing is visible; an interrupted copy leaves unreferenced packs, which the next run
uses. The decision is made again under the compare-and-swap when others changed the target meanwhile.

Objects are verified against their digests; what the target then trusts to run is its user's own decision, for which
the versions remember the source's id.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from friday_store.errors import ConflictError
from friday_store.hookspecs import RefUpdate, RefUpdates, SyncReport
from friday_store.manifest import Manifest
from friday_store.objects import Kind, ObjectStore
from friday_store.protection import Protection
from friday_store.refs import Ref, quoted
from friday_store.repository import Repository, Transaction
from friday_store.sync.changes import each, refs_of
from friday_store.sync.closure import Closure
from friday_store.sync.merge import BOTH_MOVED, OTHER_CONTENT, STALE, Change, Verdict, judged
from friday_store.sync.sending import Journal, Progress, Sending, Watcher

__all__ = ["Change", "Journal", "Plan", "Progress", "Rules", "Source", "Watcher", "bring", "copy", "planned"]

_TRIES: Final = 5
_ANCESTORS: Final = 10_000
_MANY: Final = 500
_NO_VERSION: Final = "the version that it names is not there"
_MEANWHILE: Final = "it changed while this ran; run it again"


@dataclass(frozen=True)
class Source:
    """Where a copy comes from.

    Attributes:
        objects: Its objects.
        id: Its repository's id.
        url: Where it is, for messages.
        ref: What a ref names there now.
        version: Name and version of the version with this digest there, or None.
        partial: Whether it may lack the data of models, which it would fetch from elsewhere.
        hint: What to do when it lacks objects.
    """

    objects: ObjectStore
    id: str
    url: str
    ref: Callable[[Ref], bytes | None]
    version: Callable[[bytes], tuple[str, str] | None]
    partial: bool = False
    hint: str | None = None

    @classmethod
    def of(cls, repository: Repository, *, partial: bool = False) -> Source:
        """Return a repository as a source."""
        index = repository.index
        return cls(repository.objects, repository.id, repository.storage.url, index.ref, index.named, partial)


@dataclass(frozen=True)
class Rules:
    """How conflicts and deletions are settled.

    Attributes:
        force: Globs over ``MODEL@ALIAS``: aliases that moved on both sides go where the source has them.
        keep: Globs over ``MODEL@ALIAS``: such aliases stay where the target has them, which is no conflict.
        lease: Where the caller last saw each alias at the target (hex); who is elsewhere now is not forced.
        prune: Versions that the source deleted since both sides agreed are deleted at the target.
        whole: The target becomes what the source is: what the source lacks is deleted, and aliases are forced.
    """

    force: Sequence[str] = ()
    keep: Sequence[str] = ()
    lease: Callable[[Ref], bytes | None] | None = None
    prune: bool = False
    whole: bool = False


@dataclass
class Plan:
    """What will be done with refs: name, digest there, digest at the source.

    Attributes:
        moves: The refs that the target will move.
        forced: Those of them that the target had moved elsewhere.
        kept: Aliases that both sides moved and that stay as the caller said.
        rejected: Refs left alone, with the reason.
        behind: How many refs the source is to follow.
    """

    moves: list[tuple[str, bytes | None, bytes | None]] = field(default_factory=list)
    forced: set[str] = field(default_factory=set)
    kept: list[tuple[str, bytes | None, bytes | None]] = field(default_factory=list)
    rejected: list[tuple[str, bytes | None, bytes | None, str]] = field(default_factory=list)
    behind: int = 0


def copy(
    source: Source,
    target: Repository,
    changes: Mapping[str, Change],
    *,
    rules: Rules = Rules(),
    journal: Journal | None = None,
    data: bool = True,
    dry_run: bool = False,
    watcher: Watcher | None = None,
    message: str = "",
) -> SyncReport:
    """Bring refs of a source, and the objects that they need, to a target; return what that was.

    Args:
        source: Where from; only read.
        target: Where to.
        changes: The refs that may differ, by name.
        rules: How conflicts and deletions are settled.
        journal: What an earlier, interrupted copy left at the target.
        data: Whether the models' own bytes are copied, or their metadata alone.
        dry_run: Change nothing; the report is what a real run would say.
        watcher: Told how far the copy is.
        message: Why, for the target's log.

    Raises:
        IntegrityError: The source has a damaged object, or lacks one that it names; nothing was moved.
        ConflictError: The target's refs kept changing.
    """
    journal = journal or Journal(None, target.id)
    for left in reversed(range(_TRIES)):
        try:
            return _copied(
                source,
                target,
                changes,
                rules,
                journal,
                data=data,
                dry_run=dry_run,
                watcher=watcher,
                message=message,
            )
        except ConflictError as error:  # what the target had was collected meanwhile
            if not (error.again and left):
                raise
    raise AssertionError("the last try returns or raises")


def _copied(
    source: Source,
    target: Repository,
    changes: Mapping[str, Change],
    rules: Rules,
    journal: Journal,
    *,
    data: bool,
    dry_run: bool,
    watcher: Watcher | None,
    message: str,
) -> SyncReport:
    seen = target.index.state.seq if target.born else 0
    plan = planned(source, target, changes, rules)
    adopted = journal.adopted(target) if plan.moves else []
    closure = Closure(source.objects, target.objects if target.born else None, adopted, data=data)
    with source.objects.sections():
        for name, _, new in plan.moves:
            if new is not None and name.startswith("versions/"):
                closure.add_version(new, Ref.parse(name))
            elif new is not None and name.startswith("notes/"):
                about = Ref.parse(_version_of(name))
                there = target.index.ref(about) if target.born else None
                closure.add_note(new, Ref.parse(name), source.ref(about) or there)
        closure.settle()
    closure.check_whole(source.url, partial=source.partial, hint=source.hint)
    if dry_run or not plan.moves:
        return _report(plan, closure)
    if not target.born:
        target.create()
    since = seen if journal.since is None else min(seen, journal.since)
    transaction = target.transaction(message or f"copy from {source.url}", origin=source.id, since=since)
    for name, size in (
        *((directory.name, directory.size) for directory in adopted),
        *Sending(closure, source.objects, target, journal, watcher).run(),
    ):
        transaction.adopt(name, size)
    transaction.rely(closure.relied)
    closure.done()
    source.objects.forget()

    def move(running: Transaction) -> Plan:
        now = plan if target.index.seq == seen else _again(plan, planned(source, target, changes, rules))
        running.move_all(now.moves)
        return now

    report = _report(transaction.run(move), closure)
    journal.clear()
    return report


def _again(before: Plan, now: Plan) -> Plan:
    """Return a plan made anew without what the one before, for which objects were sent, did not have."""
    promised = {name for name, _, _ in before.moves}
    now.rejected += [(*moved, _MEANWHILE) for moved in now.moves if moved[0] not in promised]
    now.moves = [moved for moved in now.moves if moved[0] in promised]
    return now


def bring(
    source: Source,
    target: Repository,
    closure: Closure,
    *,
    journal: Journal | None = None,
    watcher: Watcher | None = None,
    message: str = "",
) -> None:
    """Copy the objects of a closure into a target without moving any ref.

    Raises:
        IntegrityError: The source has a damaged object, or lacks one that it names.
        ConflictError: What came was collected at once.
    """
    closure.settle()
    closure.check_whole(source.url, partial=source.partial)
    journal = journal or Journal(None, target.id)
    packs = {pack.name: pack.size for pack in closure.adopted}
    if len(closure):
        packs |= dict(Sending(closure, source.objects, target, journal, watcher).run())
    if packs:
        transaction = target.transaction(message or f"fetch from {source.url}", origin=source.id, since=journal.since)
        if not transaction.exchange(packs):
            raise ConflictError("a pack that came was collected before it was in use; run it again", again=True)
    journal.clear()


def planned(source: Source, target: Repository, changes: Mapping[str, Change], rules: Rules) -> Plan:
    """Decide about every change, versions first, since labels and notes depend on them."""
    plan = Plan()
    there = _There(target, len(changes))
    judge = _Judge(source, there, rules, plan)
    for change in each(changes):
        if change.ref.startswith("versions/"):
            judge.version(change)
    for change in each(changes):
        if not change.ref.startswith("versions/"):
            judge.label(change)
    if target.born and target.index.state.protection:
        _protect(plan, target.index.state.protection)
    return plan


def _protect(plan: Plan, protection: Protection) -> None:
    """Leave alone what the target protects, whatever the caller forces."""
    refused = [(*move, reason) for move in plan.moves if (reason := protection.reason(move)) is not None]
    names = {name for name, *_ in refused}
    plan.moves = [move for move in plan.moves if move[0] not in names]
    plan.rejected += refused
    plan.forced -= names


class _There:
    """The target's refs: asked one by one, or all read at once where most of them will be asked."""

    def __init__(self, target: Repository, questions: int) -> None:
        self._index = target.index if target.born else None
        self._all: dict[str, bytes] | None = None
        if self._index is not None and questions > _MANY:
            self._all = {str(ref): digest for ref, digest in refs_of(self._index)}

    def __call__(self, name: str) -> bytes | None:
        if self._index is None:
            return None
        return self._index.ref(Ref.parse(name)) if self._all is None else self._all.get(name)


class _Judge:
    """Applies the rules to one change after the other, and writes down what follows."""

    def __init__(self, source: Source, there: Callable[[str], bytes | None], rules: Rules, plan: Plan) -> None:
        self._source = source
        self._there = there
        self._rules = rules
        self._plan = plan
        self._clashing: set[str] = set()
        self._coming: dict[str, bytes | None] = {}
        self._going: set[str] = set()
        self._left: set[str] = set()

    def version(self, change: Change) -> None:
        """Decide about a version, whose name means one content for ever."""
        there = self._there(change.ref)
        verdict = judged(change, there)
        if verdict is Verdict.NEW:
            self._coming[change.ref] = change.new
            self._plan.moves.append((change.ref, there, change.new))
        elif verdict is Verdict.CONFLICT and change.new is not None:
            self._clashing.add(change.ref)
            self._reject(change, there, OTHER_CONTENT)
        elif (verdict is Verdict.REMOVE and self._rules.prune) or (change.new is None and self._rules.whole):
            self._going.add(change.ref)
            self._plan.moves.append((change.ref, there, None))
        elif change.new is None and there is not None:
            self._left.add(change.ref)

    def label(self, change: Change) -> None:
        """Decide about a tag, a note or an alias."""
        there = self._there(change.ref)
        verdict = judged(change, there)
        if verdict is Verdict.SAME:
            return
        if change.new is None:
            self._gone(change, there, verdict)
            return
        version = _version_of(change.ref)
        owner = self._coming.get(version) or (self._there(version) if version else None)
        if version in self._clashing:
            self._reject(change, there, "its version exists there with other content")
        elif version and owner is None:
            self._plan.behind += 1
        elif version and self._about(change, version) != owner:
            self._reject(change, there, "its version is another one there")
        elif change.ref.startswith("aliases/"):
            self._alias(change, Ref.parse(change.ref), there, verdict)
        elif verdict is Verdict.NEW:  # a tag shares the digest of its version, of which there may be very many
            self._plan.moves.append((change.ref, there, owner if change.new == owner else change.new))
        elif verdict is Verdict.CONFLICT:
            self._reject(change, there, "it names another version there")

    def _about(self, change: Change, version: str) -> bytes | None:
        """Return the version that a tag or note belongs to at the source; the target's where that says nothing."""
        if change.ref.startswith("tags/"):
            return change.new
        if version in self._coming:
            return self._coming[version]
        return self._source.ref(Ref.parse(version)) or self._there(version)

    def _gone(self, change: Change, there: bytes | None, verdict: Verdict) -> None:
        """Decide about a label that the source has no more: it goes with its version, or by itself."""
        version = _version_of(change.ref)
        if self._rules.whole or version in self._going:
            self._plan.moves.append((change.ref, there, None))
        elif version in self._left or version in self._clashing:
            self._plan.behind += 1
        elif verdict is Verdict.REMOVE:
            self._plan.moves.append((change.ref, there, None))
        elif verdict is Verdict.CONFLICT:
            self._settle(change, Ref.parse(change.ref), there)

    def _alias(self, change: Change, ref: Ref, there: bytes | None, verdict: Verdict) -> None:
        assert change.new is not None
        if not self._names_a_version(ref, change.new):
            self._reject(change, there, _NO_VERSION)
            return
        if verdict is Verdict.ASK and there is not None:
            verdict = self._by_lineage(change.new, there)
        if verdict in (Verdict.NEW, Verdict.FORWARD):
            self._plan.moves.append((change.ref, there, change.new))
        elif self._rules.whole:
            self._force(change, there)
        elif verdict is Verdict.CONFLICT:
            self._settle(change, ref, there)
        else:
            self._plan.behind += 1

    def _settle(self, change: Change, ref: Ref, there: bytes | None) -> None:
        """Settle an alias that both sides moved as the caller said, or leave it alone."""
        lease = self._rules.lease
        if lease is not None and there != lease(ref):
            self._reject(change, there, STALE)
        elif lease is not None or _matches(ref, self._rules.force):
            self._force(change, there)
        elif _matches(ref, self._rules.keep):
            self._plan.kept.append((change.ref, there, change.new))
        else:
            self._reject(change, there, BOTH_MOVED)

    def _force(self, change: Change, there: bytes | None) -> None:
        self._plan.forced.add(change.ref)
        self._plan.moves.append((change.ref, there, change.new))

    def _reject(self, change: Change, there: bytes | None, reason: str) -> None:
        self._plan.rejected.append((change.ref, there, change.new, reason))

    def _names_a_version(self, ref: Ref, digest: bytes) -> bool:
        """Whether a version with this digest will be there: else the alias would name nothing."""
        named = self._source.version(digest)
        if named is None or named[0] != ref.model:
            return False
        version = str(Ref("versions", *named))
        if version in self._going:
            return False
        return version in self._coming or self._there(version) == digest

    def _by_lineage(self, new: bytes, there: bytes) -> Verdict:
        """Decide about an alias of repositories that have not met: the side that is ahead by parents is followed."""
        if _is_ancestor(self._source.objects, there, new):
            return Verdict.FORWARD
        return Verdict.BEHIND if _is_ancestor(self._source.objects, new, there) else Verdict.CONFLICT


def _version_of(name: str) -> str:
    """Return the ref of the version that a tag or a note belongs to; empty for an alias.

    Works on the text, since there may be very many.
    """
    space, model, *rest = name.split("/")
    if space == "tags":
        return f"versions/{model}/{quoted(rest[1])}"
    return f"versions/{model}/{rest[0]}" if space == "notes" else ""


def _matches(ref: Ref, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(f"{ref.model}@{ref.name}", pattern) for pattern in patterns)


def _is_ancestor(objects: ObjectStore, old: bytes, new: bytes) -> bool:
    """Whether ``old`` is reached from ``new`` by parents, in what the source knows."""
    seen: set[bytes] = set()
    waiting = [new]
    while waiting and len(seen) < _ANCESTORS:
        digest = waiting.pop(0)
        if digest in seen or objects.find(digest) is None:
            continue
        seen.add(digest)
        parents = Manifest.from_bytes(bytes(objects.read(digest, Kind.ENVELOPE))).parents
        if old in parents:
            return True
        waiting += parents
    return False


def _report(plan: Plan, closure: Closure) -> SyncReport:
    return SyncReport(
        moved=RefUpdates(plan.moves),
        rejected=tuple((_update(name, old, new), reason) for name, old, new, reason in plan.rejected),
        objects=len(closure),
        size=closure.size,
        present=len(closure.relied),
        forced=frozenset(plan.forced),
        kept=tuple(_update(*each) for each in plan.kept),
        behind=plan.behind,
    )


def _update(name: str, old: bytes | None, new: bytes | None) -> RefUpdate:
    return RefUpdate(name, old.hex() if old else None, new.hex() if new else None)
