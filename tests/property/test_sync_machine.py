"""Two registries and a hub against dicts: whatever is done, sync does what a three-way merge of dicts does."""

from __future__ import annotations

import fnmatch
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from friday_store import FridayStoreError, ModelNotFoundError, VersionExistsError
from friday_store import storage as storages
from friday_store.hookspecs import SyncReport
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry, meeting
from friday_store.storage import Storage
from friday_store.testing.faults import Fault, FaultyStorage
from friday_store.trust import TrustStore

WORK: Final = ("ann", "bob")
SIDES = st.sampled_from(WORK)
NAMES = st.sampled_from(["m", "n"])
VERSIONS = st.sampled_from(["1.0.0", "1.1.0", "2.0.0"])
ALIASES = st.sampled_from(["production", "b"])
PATTERNS = st.sampled_from([("*",), ("*",), ("m",), ("n",)])
PICKS = st.integers(0, 99)
ALL: Final = ("*",)

State = dict[str, str]


def parts(ref: str) -> list[str]:
    """Return the parts of a ref's name."""
    return ref.split("/")


def version_of(ref: str) -> str | None:
    """Return the version that a tag or note hangs on; None for others."""
    space, model, *rest = parts(ref)
    return {"tags": f"versions/{model}/{rest[-1]}", "notes": f"versions/{model}/{rest[0]}"}.get(space)


class Pair:
    """What a work registry and the hub have agreed on.

    Attributes:
        base: Ref to digest.
        blind: The models of which a direction remembers nothing, since it was never used or the memory was lost.
        forgotten: Refs that were left apart by such a direction, of which nobody need know what was agreed.
    """

    def __init__(self) -> None:
        self.base: State = {}
        self.blind = {"push": {"m", "n"}, "pull": {"m", "n"}}
        self.forgotten: set[str] = set()

    def knows(self, verb: str, ref: str) -> bool:
        """Whether a direction must know what was agreed about a ref."""
        return ref not in self.forgotten and parts(ref)[1] not in self.blind[verb]


class Merge:
    """A three-way merge of dicts, for the refs of one copy.

    Args:
        verb: The direction.
        source: Where from.
        target: Where to.
        pair: What both had.
        ancestors: Of each version that the source knows, those above it.
        known: The versions whose descriptions the source has.
    """

    def __init__(
        self, verb: str, source: State, target: State, *, pair: Pair, ancestors: dict[str, set[str]], known: set[str]
    ) -> None:
        self.verb = verb
        self.source = source
        self.target = target
        self.pair = pair
        self.ancestors = ancestors
        self.known = known
        self.coming = {
            ref for ref, new in source.items() if parts(ref)[0] == "versions" and self._version(ref, new) == {"move"}
        }

    def _version(self, ref: str, new: str) -> set[str]:
        there, base = self.target.get(ref), self.pair.base.get(ref)
        if there == new:
            return {"stay"}
        if there is not None:  # who deleted it and used its number again is told when he offers his own
            return {"stay", "reject"} if new == base else {"reject"}
        if new == base:  # the target has deleted it; who has forgotten that brings it back
            return {"stay"} if self.pair.knows(self.verb, ref) else {"stay", "move"}
        return {"move"}

    def allowed(self, ref: str, moved: set[str]) -> set[str]:
        """Return what may become of a ref, given what was moved: more than one only where a base is forgotten."""
        space = parts(ref)[0]
        new, there, base = self.source.get(ref), self.target.get(ref), self.pair.base.get(ref)
        if new == there:
            return {"stay"}
        if space == "versions":
            return {"stay"} if new is None else self._version(ref, new)
        found = self._label(ref, new, there, base, moved)
        if not self.pair.knows(self.verb, ref):
            found |= self._label(ref, new, there, "?", moved)
        return found

    def _label(self, ref: str, new: str | None, there: str | None, base: str | None, moved: set[str]) -> set[str]:
        version = version_of(ref)
        if new == base:  # the label of a version whose number the target uses for another is told of with that
            clash = version is not None and self.target.get(version) not in (None, self.source.get(version))
            return {"stay", "reject"} if clash else {"stay"}
        if new is None:
            return self._removed(version, there, base)
        if version is None:
            return self._alias(ref, new, there, base, moved)
        here, held = self.source[version], self.target.get(version)
        if version in moved:
            return {"move"}
        if held is None:
            return {"stay"}
        return {"move"} if held == here else {"reject"}

    def _removed(self, version: str | None, there: str | None, base: str | None) -> set[str]:
        if base == "?":
            return {"stay"}
        if version is not None:
            same = self.source.get(version) == self.target.get(version)
            return {"move"} if there == base and same else {"stay"}
        return {"move"} if there == base else {"reject"}

    def _alias(self, ref: str, new: str, there: str | None, base: str | None, moved: set[str]) -> set[str]:
        named = next(name for name, digest in self.source.items() if digest == new and name.startswith("versions/"))
        if named not in moved and self.target.get(named) != new:
            return {"reject"}
        if there is None:
            return {"move"} if base in (None, "?") else {"reject"}
        if base == "?":
            if there in self.ancestors[new]:
                return {"move"}
            return {"stay"} if there in self.known and new in self.ancestors[there] else {"reject"}
        return {"move"} if there == base else {"reject"}


class SyncMachine(RuleBasedStateMachine):
    """Two work registries, a hub, and what their users know."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.trust = TrustStore(None)
        self.registries: dict[str, ModelRegistry] = {}
        self.pairs = {name: Pair() for name in WORK}
        self.ancestors: dict[str, set[str]] = {}
        self.born: dict[str, int] = {}
        self.deleters: dict[str, set[str]] = {}
        self.numbers = itertools.count()

    @initialize()
    def start(self) -> None:
        """Make the hub, and two registries that know it."""
        self.hub = self.opened("hub")
        self.hub.repository.create()
        for name in WORK:
            self.registries[name] = self.opened(name)
            self.registries[name].add_remote("hub", self.folder / "hub", probe=False)

    @property
    def deleted(self) -> set[str]:
        """The versions that somebody deleted and did not bring back."""
        return {each for each, whose in self.deleters.items() if whose}

    def opened(self, name: str) -> ModelRegistry:
        """Open a registry."""
        return ModelRegistry(self.folder / name, plugins=Plugins(()), actor=name, trust=self.trust)

    def teardown(self) -> None:
        """Close and remove everything."""
        for registry in (*self.registries.values(), self.hub):
            registry.close()
        shutil.rmtree(self.folder)

    def state(self, name: str) -> State:
        """Return a registry's refs, from its log."""
        registry = self.hub if name == "hub" else self.registries[name]
        return {ref: value[0].hex() for ref, value in registry.repository.log.state().refs.items()}

    def versions(self, who: str) -> list[str]:
        """Return the versions that a registry has."""
        return sorted(ref for ref in self.state(who) if ref.startswith("versions/"))

    def picked(self, who: str, pick: int) -> tuple[str, str]:
        """Choose a version that a registry has; empty texts where it has none."""
        known = self.versions(who)
        if not known:
            return "", ""
        _, model, version = parts(known[pick % len(known)])
        return model, version

    @rule(who=SIDES, name=NAMES, version=VERSIONS, tagged=st.booleans())
    def register(self, who: str, name: str, version: str, tagged: bool) -> None:
        """Register a version under a name that is free there."""
        number = next(self.numbers)
        registry = self.registries[who]
        if f"versions/{name}/{version}" in self.state(who):
            with pytest.raises(VersionExistsError):
                registry.register_model([number], name, version, serializer="json")
            return
        made = registry.register_model(
            [number], name, version, serializer="json", tags=["t"] if tagged else [], metrics={"x": float(number)}
        )
        self.born[made] = number
        above = registry.get_model_metadata(made)["parents"]
        self.ancestors[made] = {*above, *(one for each in above for one in self.ancestors[each])}

    @rule(who=SIDES, pick=PICKS, tag=st.sampled_from(["t", "u"]), on=st.booleans())
    def tag(self, who: str, pick: int, tag: str, on: bool) -> None:
        """Give or take a tag."""
        name, version = self.picked(who, pick)
        if name:
            registry = self.registries[who]
            (registry.add_tag if on else registry.remove_tag)(f"{name}:{version}", tag)

    @rule(who=SIDES, pick=PICKS, alias=ALIASES)
    def alias(self, who: str, pick: int, alias: str) -> None:
        """Move an alias."""
        name, version = self.picked(who, pick)
        if name:
            self.registries[who].set_alias(f"{name}:{version}", alias)

    @rule(who=SIDES, name=NAMES, alias=ALIASES)
    def unalias(self, who: str, name: str, alias: str) -> None:
        """Remove an alias."""
        if f"aliases/{name}/{alias}" in self.state(who):
            self.registries[who].delete_alias(name, alias)

    @rule(who=SIDES, pick=PICKS)
    def metric(self, who: str, pick: int) -> None:
        """Observe a metric."""
        name, version = self.picked(who, pick)
        if name:
            self.registries[who].log_metrics(f"{name}:{version}", {"live": float(next(self.numbers))})

    @rule(who=SIDES, pick=PICKS)
    def delete(self, who: str, pick: int) -> None:
        """Delete a version, with the aliases that name it."""
        name, version = self.picked(who, pick)
        if name:
            for gone in self.registries[who].delete_model(name, version, force=True):
                self.deleters.setdefault(gone, set()).add(who)

    @rule(who=st.sampled_from([*WORK, "hub"]), grace=st.sampled_from([0, 0, "14d"]), near=st.booleans())
    def collect(self, who: str, grace: str | int, near: bool) -> None:
        """Collect garbage somewhere, in the hub by itself or as a remote; no name changes."""
        before = self.state(who)
        if who == "hub" and not near:
            self.registries["ann"].gc(grace=grace, remote="hub")
        else:
            (self.hub if who == "hub" else self.registries[who]).gc(grace=grace)
        assert before == self.state(who)

    @rule(who=SIDES, name=NAMES)
    def restore(self, who: str, name: str) -> None:
        """Bring back what was deleted of a model, as far as it is not erased."""
        before = self.state(who)
        try:
            found = self.registries[who].restore_model(name)
        except ModelNotFoundError:
            assert before == self.state(who)
        else:
            for back in found:
                self.deleters[back].discard(who)

    @rule(who=SIDES)
    def reopen(self, who: str) -> None:
        """Close a registry and open it again."""
        self.registries[who].close()
        self.registries[who] = self.opened(who)

    @rule(who=SIDES)
    def forget(self, who: str) -> None:
        """Lose what is remembered of the hub."""
        shutil.rmtree(self.folder / who / "remotes", ignore_errors=True)
        self.pairs[who].blind = {"push": {"m", "n"}, "pull": {"m", "n"}}

    @rule(who=SIDES, verb=st.sampled_from(["push", "pull"]), patterns=PATTERNS)
    def sync(self, who: str, verb: str, patterns: tuple[str, ...]) -> None:
        """Push or pull."""
        self.compared(who, verb, patterns, {})

    @rule(who=SIDES, verb=st.sampled_from(["push", "pull"]), how=st.sampled_from(["force", "ours", "theirs"]))
    def settle(self, who: str, verb: str, how: str) -> None:
        """Push or pull, and say whose aliases win where both moved one."""
        self.compared(who, verb, ALL, {"force": True} if how == "force" else {how: ["*@production"]})

    @rule(who=SIDES, verb=st.sampled_from(["push", "pull"]))
    def dry_run(self, who: str, verb: str) -> None:
        """Ask what a push or pull would do: nothing changes, and the run does it."""
        before = self.state(who), self.state("hub")
        planned = getattr(self.registries[who], verb)("hub", dry_run=True)
        assert before == (self.state(who), self.state("hub"))
        assert planned == self.compared(who, verb, ALL, {})

    @rule(who=SIDES, at=st.integers(1, 40), after=st.booleans())
    def interrupted(self, who: str, at: int, after: bool) -> None:
        """Push to a hub that fails from some call on: all of it arrives or nothing."""
        mine, before = self.state(who), self.state("hub")
        planned = self.registries[who].push("hub", dry_run=True)
        try:
            with failing(Fault(at, moment="after" if after else "before", forever=not after)):
                self.registries[who].push("hub")
        except FridayStoreError:
            pass
        now = {**before, **{update.ref: update.new for update in planned.moved if update.new}}
        for update in planned.moved:
            if update.new is None:
                del now[update.ref]
        assert self.state("hub") in (before, now)
        assert mine == self.state(who)
        if self.state("hub") == now:
            self.agree(who, ALL)

    @rule(who=SIDES)
    def both_ways(self, who: str) -> None:
        """A pull and a push without anything refused make both sides equal, but for what was deleted or forgotten."""
        pulled = self.compared(who, "pull", ALL, {})
        pushed = self.compared(who, "push", ALL, {})
        mine, there = self.state(who), self.state("hub")
        if not pulled.rejected and not pushed.rejected:
            apart = {ref for ref in mine.keys() | there.keys() if mine.get(ref) != there.get(ref)}
            gone = {ref for ref in apart if ref.startswith("versions/") and there.get(ref) in self.deleted}
            left = {ref for ref in apart if ref in gone or version_of(ref) in gone or self.hangs(ref, there)}
            assert set() == apart - left - self.pairs[who].forgotten

    def hangs(self, ref: str, state: State) -> bool:
        """Whether a ref is an alias of a version that somebody deleted."""
        return ref.startswith("aliases/") and state.get(ref) in self.deleted

    def compared(self, who: str, verb: str, patterns: tuple[str, ...], options: dict[str, Any]) -> SyncReport:
        """Copy, and compare what happened with a merge of dicts."""
        names = (who, "hub") if verb == "push" else ("hub", who)
        source, target = (self.state(name) for name in names)
        pair = self.pairs[who]
        registry = self.hub if names[0] == "hub" else self.registries[who]
        known = {digest for digest in self.ancestors if bytes.fromhex(digest) in registry.repository.objects}
        report: SyncReport = getattr(self.registries[who], verb)("hub", list(patterns), **options)
        moved = {update.ref: update.new for update in report.moved}
        rejected = {update.ref for update, _ in report.rejected}
        kept = {update.ref for update in report.kept}
        mine, theirs = ("ours", "theirs") if verb == "push" else ("theirs", "ours")
        merge = Merge(verb, source, target, pair=pair, ancestors=self.ancestors, known=known)
        for ref in sorted({*source, *target, *pair.base, *moved, *rejected, *kept}):
            happened = "move" if ref in moved else "reject" if ref in rejected else "kept" if ref in kept else "stay"
            allowed = merge.allowed(ref, {*moved})
            if not any(fnmatch.fnmatchcase(parts(ref)[1], pattern) for pattern in patterns):
                allowed = {"stay"}
            elif "reject" in allowed and ref.startswith("aliases/") and self.disputed(merge, ref, {*moved}):
                label = "@".join(parts(ref)[1:])
                if options.get("force") or any(fnmatch.fnmatchcase(label, each) for each in options.get(mine, ())):
                    allowed = allowed - {"reject"} | {"move"}
                elif any(fnmatch.fnmatchcase(label, each) for each in options.get(theirs, ())):
                    allowed = allowed - {"reject"} | {"kept"}
            assert happened in allowed, f"{verb} of {who}: {ref}: {happened}, not {allowed}; {report}"
            if ref in moved:
                assert source.get(ref) == moved[ref]
        expected = {**target, **moved}
        assert {ref: digest for ref, digest in expected.items() if digest} == self.state(names[1])
        assert source == self.state(names[0])
        self.agree(who, patterns)
        self.see(who, verb, patterns)
        for ref in kept:
            pair.forgotten.discard(ref)
            pair.base.pop(ref, None)
            if ref in source:
                pair.base[ref] = source[ref]
        return report

    def see(self, who: str, verb: str, patterns: tuple[str, ...]) -> None:
        """Remember that a direction has looked at some models; what it left apart without knowing stays unknown."""
        mine, there, pair = self.state(who), self.state("hub"), self.pairs[who]
        seen = {"m", "n"} if "*" in patterns else {*patterns}
        apart = {ref for ref in mine.keys() | there.keys() if mine.get(ref) != there.get(ref)}
        pair.forgotten |= {ref for ref in apart if parts(ref)[1] in seen & pair.blind[verb]}
        pair.blind[verb] -= seen

    def disputed(self, merge: Merge, ref: str, moved: set[str]) -> bool:
        """Whether an alias may be forced: a version that it names is there, or it was removed."""
        new = merge.source.get(ref)
        if new is None:
            return True
        named = next(name for name, digest in merge.source.items() if digest == new and name.startswith("versions/"))
        return named in moved or merge.target.get(named) == new

    def agree(self, who: str, patterns: tuple[str, ...]) -> None:
        """Remember what both sides have alike after a sync."""
        mine, there, pair = self.state(who), self.state("hub"), self.pairs[who]
        for ref in {*mine, *there, *pair.base}:
            if mine.get(ref) == there.get(ref) and any(fnmatch.fnmatchcase(parts(ref)[1], each) for each in patterns):
                pair.base.pop(ref, None)
                if ref in mine:
                    pair.base[ref] = mine[ref]
                pair.forgotten.discard(ref)

    @invariant()
    def nothing_is_lost(self) -> None:
        """What was registered is somewhere, unless somebody deleted it."""
        if self.registries:
            held = {digest for name in (*WORK, "hub") for digest in self.state(name).values()}
            assert {*self.born} - self.deleted <= held

    @invariant()
    def every_name_loads(self) -> None:
        """Every version loads as what was registered, and aliases name versions that are there."""
        for name in (*WORK, "hub") if self.registries else ():
            registry = self.hub if name == "hub" else self.registries[name]
            state = self.state(name)
            for ref, digest in state.items():
                if ref.startswith("versions/"):
                    _, model, version = parts(ref)
                    assert [self.born[digest]] == registry.load_model(model, version)
                elif ref.startswith("aliases/"):
                    assert digest in [value for each, value in state.items() if each.startswith("versions/")]

    @precondition(lambda self: self.registries)
    @rule()
    def check(self) -> None:
        """Nothing is wrong with anything stored; temporary files of failed pushes are no damage."""
        for registry in (*self.registries.values(), self.hub):
            assert [] == [problem for problem in registry.fsck() if problem.kind != "stray"]


@contextmanager
def failing(fault: Fault) -> Iterator[None]:
    """Let the storage of remotes fail in the block."""

    def opened(url: str | Path, options: Any = None) -> Storage:
        return FaultyStorage(storages.open_storage(url, options), fault)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meeting, "open_storage", opened)
        yield


@pytest.mark.parametrize(
    ("stories", "steps"), [(12, 25), pytest.param(300, 60, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_sync_is_a_merge_of_dicts(stories: int, steps: int) -> None:
    """Over that many stories every push and pull does, refuses and keeps what a merge of dicts says."""
    run_state_machine_as_test(
        SyncMachine, settings=settings(max_examples=stories, stateful_step_count=steps, deadline=None)
    )
