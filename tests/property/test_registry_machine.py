"""The registry against a dict: whatever is done to both, in whatever order, they say the same."""

from __future__ import annotations

import copy
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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

from friday_store import refs
from friday_store.errors import ConflictError, ModelNotFoundError, VersionExistsError
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from tests.faults.stored import Everybody

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = st.sampled_from(["m", "team/x"])
VERSIONS = st.sampled_from([None, None, "1.0.0", "2.0.0-rc.1", "10.0.0+b"])
TAGS = st.sampled_from(["t", "T", "a/b", "1.0.0"])
ALIAS_NAMES = ("production", "b")
ALIASES = st.sampled_from(ALIAS_NAMES)
KEYS = st.sampled_from(["x", "y", "z.z", "$q"])
CONTENTS = st.integers(0, 3)
PICKS = st.integers(0, 99)
NUMBERS = st.integers(-5, 5) | st.floats(allow_nan=False, width=32)
CHANGES = st.recursive(
    st.none() | NUMBERS | st.text(max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
).flatmap(lambda inner: st.dictionaries(KEYS, st.just(inner), max_size=2))

Key = tuple[str, str]


@dataclass
class Version:
    """What the dict knows of one version."""

    id: str
    born: tuple[Any, ...]
    birth: int
    content: int
    tags: set[str]
    metrics: dict[str, float]
    metadata: dict[str, Any]
    parents: list[str]
    status: str = "active"
    description: str = ""
    history: list[tuple[str, float]] = field(default_factory=list)


@dataclass
class Grave:
    """What the dict knows of a deleted version: as it was, what pointed at it, and in which deletion it went.

    Attributes:
        swept: Whether garbage was collected with no grace since: then it comes back only if others kept its bytes.
    """

    version: Version
    aliases: set[str]
    turn: int
    swept: bool = False


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a deep merge; None removes."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


class RegistryMachine(RuleBasedStateMachine):
    """Two open registries over one place, and a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[Key, Version] = {}
        self.graves: dict[Key, Grave] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.births = self.turns = 0
        self.folder = tempfile.mkdtemp()
        self.trust = Everybody()  # whose word counts is not the question here
        self.handles: list[ModelRegistry] = []

    @initialize(local=st.booleans())
    def start(self, local: bool) -> None:
        """Choose where."""
        self.url = f"{self.folder}/registry" if local else f"memory://{uuid.uuid4()}"
        self.handles = [self.opened(), self.opened()]

    def opened(self) -> ModelRegistry:
        """Open the registry."""
        return ModelRegistry(self.url, plugins=Plugins(()), actor="ann", trust=self.trust)

    def teardown(self) -> None:
        """Close and remove everything."""
        for handle in self.handles:
            handle.close()
        shutil.rmtree(self.folder)

    def picked(self, pick: int) -> Key:
        """Choose a version that is there."""
        return sorted(self.alive)[pick % len(self.alive)]

    def of(self, name: str) -> list[Key]:
        """Return a model's versions, in the order of their births."""
        return sorted((key for key in self.alive if key[0] == name), key=lambda key: self.alive[key].birth)

    def ranked(self, keys: Iterable[Key]) -> list[Key]:
        """Sort versions by precedence, then birth."""
        return sorted(keys, key=lambda k: (refs.precedence(refs.check_version(k[1])), self.alive[k].birth))

    @rule(
        handle=st.booleans(),
        name=NAMES,
        version=VERSIONS,
        content=CONTENTS,
        tags=st.sets(TAGS),
        metrics=st.dictionaries(KEYS, NUMBERS, max_size=2),
    )
    def register(  # noqa: PLR0917 - a rule is called by keyword
        self, handle: bool, name: str, version: str | None, content: int, tags: set[str], metrics: dict[str, float]
    ) -> None:
        """Register a version: a new one, the same again, or one that is there with other content."""
        registry, known = self.handles[handle], self.of(name)
        metrics = {key: float(value) for key, value in metrics.items()}
        born = (content, sorted(tags), sorted(metrics.items()))
        expected = version or refs.bumped(self.ranked(known)[-1][1] if known else None, "patch")

        def act() -> str:
            return registry.register_model([content], name, version, tags=sorted(tags), metrics=metrics)

        existing = self.alive.get((name, expected))
        if existing is None:
            model_id = act()
            parents = [self.alive[known[-1]].id] if known else []
            self.births += 1
            self.alive[name, expected] = Version(model_id, born, self.births, content, set(tags), metrics, {}, parents)
            self.alive[name, expected].history = sorted(metrics.items())
        elif existing.born == born:
            assert act() == existing.id
        else:
            with pytest.raises(VersionExistsError):
                act()

    @precondition(lambda self: self.alive)
    @rule(handle=st.booleans(), pick=PICKS, tag=TAGS, on=st.booleans())
    def tag(self, handle: bool, pick: int, tag: str, on: bool) -> None:
        """Give or take a tag."""
        key = self.picked(pick)
        registry = self.handles[handle]
        (registry.add_tag if on else registry.remove_tag)(self.alive[key].id, tag)
        (self.alive[key].tags.add if on else self.alive[key].tags.discard)(tag)

    @precondition(lambda self: self.alive)
    @rule(handle=st.booleans(), pick=PICKS, alias=ALIASES, expect=st.sampled_from([None, "right", "wrong"]))
    def alias(self, handle: bool, pick: int, alias: str, expect: str | None) -> None:
        """Move an alias, from anywhere or from where it is expected."""
        key = self.picked(pick)
        here = self.aliases.get((key[0], alias))
        expected = None if expect is None else here if expect == "right" and here else "0" * 64
        if expected == "0" * 64:
            with pytest.raises(ConflictError):
                self.handles[handle].set_alias(self.alive[key].id, alias, expected=expected)
            return
        self.handles[handle].set_alias(self.alive[key].id, alias, expected=expected)
        self.aliases[key[0], alias] = self.alive[key].id

    @rule(handle=st.booleans(), name=NAMES, alias=ALIASES)
    def unalias(self, handle: bool, name: str, alias: str) -> None:
        """Remove an alias that is there or not."""
        if self.aliases.pop((name, alias), None) is None:
            with pytest.raises(ModelNotFoundError):
                self.handles[handle].delete_alias(name, alias)
        else:
            self.handles[handle].delete_alias(name, alias)

    @precondition(lambda self: self.alive)
    @rule(handle=st.booleans(), pick=PICKS, status=st.sampled_from(["staging", "production", "active", "archived"]))
    def status(self, handle: bool, pick: int, status: str) -> None:
        """Set a status."""
        version = self.alive[self.picked(pick)]
        assert self.handles[handle].set_model_status(version.id, status)["status"] == status
        version.status = status

    @precondition(lambda self: self.alive)
    @rule(handle=st.booleans(), pick=PICKS, metrics=st.dictionaries(KEYS, NUMBERS, min_size=1, max_size=2))
    def metric(self, handle: bool, pick: int, metrics: dict[str, float]) -> None:
        """Observe metrics."""
        version = self.alive[self.picked(pick)]
        self.handles[handle].log_metrics(version.id, metrics)
        version.metrics = version.metrics | {key: float(value) for key, value in metrics.items()}
        version.history = version.history + sorted((key, float(value)) for key, value in metrics.items())

    @precondition(lambda self: self.alive)
    @rule(handle=st.booleans(), pick=PICKS, changes=CHANGES, words=st.sampled_from([None, "words", "other"]))
    def metadata(self, handle: bool, pick: int, changes: dict[str, Any], words: str | None) -> None:
        """Change metadata and description."""
        version = self.alive[self.picked(pick)]
        self.handles[handle].update_model_metadata(version.id, changes, words)
        version.metadata = merged(version.metadata, changes)
        version.description = words or version.description

    @precondition(lambda self: self.alive)
    @rule(handle=st.booleans(), pick=PICKS, whole=st.booleans(), force=st.booleans())
    def delete(self, handle: bool, pick: int, whole: bool, force: bool) -> None:
        """Delete a version or a model, unless an alias is in the way."""
        key = self.picked(pick)
        doomed = self.of(key[0]) if whole else [key]
        ids = [self.alive[each].id for each in doomed]
        pointed = {alias: model_id for (name, alias), model_id in self.aliases.items() if name == key[0]}
        if not force and set(pointed.values()) & set(ids):
            with pytest.raises(ConflictError):
                self.handles[handle].delete_model(key[0], None if whole else key[1])
            return
        assert self.handles[handle].delete_model(key[0], None if whole else key[1], force=force) == ids
        self.buried(doomed)

    def buried(self, doomed: Iterable[Key]) -> None:
        """Take versions to their graves."""
        self.turns += 1
        for each in doomed:
            gone = self.alive.pop(each)
            names = {
                alias for (name, alias), model_id in self.aliases.items() if (name, model_id) == (each[0], gone.id)
            }
            self.graves[each] = Grave(gone, names, self.turns)
            for alias in names:
                del self.aliases[each[0], alias]

    @rule(handle=st.booleans(), name=NAMES, last=st.integers(1, 3), dry_run=st.booleans())
    def prune(self, handle: bool, name: str, last: int, dry_run: bool) -> None:
        """Delete all but the versions registered last, those that an alias names, and their parents."""
        registry, known = self.handles[handle], self.of(name)
        if not known:
            with pytest.raises(ModelNotFoundError):
                registry.prune(name, keep_last=last)
            return
        pointed = {model_id for (model, _), model_id in self.aliases.items() if model == name}
        before = {key: self.alive[known[place - 1]].id if place else "" for place, key in enumerate(known)}
        ids = {self.alive[key].id: key for key in known}
        kept = {*known[-last:], *(key for key in known if self.alive[key].id in pointed)}
        waiting = list(kept)
        while waiting:
            child = waiting.pop()
            for parent in self.alive[child].parents:
                if parent in ids and parent != before[child] and ids[parent] not in kept:
                    kept.add(ids[parent])
                    waiting.append(ids[parent])
        fates = registry.prune(name, keep_last=last, dry_run=dry_run)
        assert {key: key in kept for key in known} == {(f.model_name, f.model_version): bool(f.kept) for f in fates}
        if not dry_run:
            self.buried([key for key in known if key not in kept])

    @rule(handle=st.booleans(), grace=st.sampled_from([0, 0, "14d"]))
    def collect(self, handle: bool, grace: str | int) -> None:
        """Collect garbage: what is alive loads, from the other registry too, and a dry run said the same."""
        expected = self.handles[handle].gc(grace=grace, dry_run=True)
        assert expected == replace(self.handles[handle].gc(grace=grace), dry_run=True)
        if grace == 0:
            for grave in self.graves.values():
                grave.swept = True
            assert 0 == self.handles[handle].gc(grace=0, dry_run=True).objects_dropped
        for version in self.alive.values():
            assert [version.content] == self.handles[not handle].load_model(version.id)

    @rule(handle=st.booleans(), name=NAMES, pick=PICKS, whole=st.booleans())
    def restore(self, handle: bool, name: str, pick: int, whole: bool) -> None:
        """Bring back a version or all of a model that was deleted; what was deleted last comes first."""
        known = sorted(key for key in self.graves if key[0] == name)
        version = None if whole or not known else known[pick % len(known)][1]
        lost = [key for key in known if key not in self.alive and version in (None, key[1])]
        if not lost:
            with pytest.raises(ModelNotFoundError):
                self.handles[handle].restore_model(name, version)
            return
        try:
            found = self.handles[handle].restore_model(name, version)
        except ModelNotFoundError:
            assert any(self.graves[key].swept for key in lost)
            return
        assert sorted(self.graves[key].version.id for key in lost) == found
        for key in sorted(lost, key=lambda key: (-self.graves[key].turn, self.graves[key].version.birth)):
            grave = copy.deepcopy(self.graves[key])
            self.graves[key].swept = False
            self.births += 1
            grave.version.birth = self.births
            self.alive[key] = grave.version
            for alias in grave.aliases:
                self.aliases.setdefault((name, alias), grave.version.id)

    @rule(which=st.booleans())
    def reopen(self, which: bool) -> None:
        """Close one registry and open it again."""
        self.handles[which].close()
        self.handles[which] = self.opened()

    @rule(which=st.booleans())
    def rebuild(self, which: bool) -> None:
        """Make the index anew: it has the very rows that it had."""
        index = self.handles[which].repository.index
        before = list(index.dump())
        index.rebuild()
        assert before == list(index.dump())

    @rule(which=st.booleans())
    def merge(self, which: bool) -> None:
        """Put all packs together."""
        repository = self.handles[which].repository
        repository.index.catch_up()
        if len(repository.objects.live) > 1:
            repository.transaction("merge").replace_packs(list(repository.objects.live))
            assert len(repository.objects.live) == 1

    @precondition(lambda self: self.alive)
    @rule(handle=st.booleans(), pick=PICKS)
    def load(self, handle: bool, pick: int) -> None:
        """Load a version by every name that it has."""
        registry, key = self.handles[handle], self.picked(pick)
        name, version = self.alive[key], key[1]
        assert registry.load_model(name.id) == [name.content]
        assert registry.load_model(f"{key[0]}:{version}") == [name.content]
        found = list(registry.get_metric_history(name.id, "x")["value"])
        assert [value for metric, value in name.history if metric == "x"] == found
        for label in name.tags - {alias for model, alias in self.aliases if model == key[0]}:
            newest = [self.alive[each] for each in self.of(key[0]) if label in self.alive[each].tags][-1]
            assert registry.repository.resolve(f"{key[0]}@{label}").model_id == newest.id

    @invariant()
    def says_the_same(self) -> None:
        """Everything that is listed is what the dict says, and nothing else, from both registries."""
        for registry in self.handles:
            found = {(record["name"], record["version"]): record for record in registry.list_models()}
            assert set(self.alive) == set(found)
            for key, version in self.alive.items():
                pointing = sorted(
                    a for (name, a), model_id in self.aliases.items() if (name, model_id) == (key[0], version.id)
                )
                expected = {
                    "id": version.id, "tags": sorted(version.tags), "status": version.status,
                    "metrics": version.metrics, "metadata": version.metadata, "description": version.description,
                    "parents": version.parents, "aliases": pointing,
                }  # fmt: skip
                assert expected == {name: found[key][name] for name in expected}
            for name in {key[0] for key in self.alive}:
                ranked = self.ranked(self.of(name))
                stable = [key for key in ranked if refs.check_version(key[1]).prerelease is None]
                assert registry.get_latest_version(name) == (stable or ranked)[-1][1]
                assert [record["version"] for record in registry.get_model_versions(name)] == [
                    v for _, v in ranked[::-1]
                ]


@pytest.mark.parametrize(
    ("stories", "steps"),
    [(12, 30), pytest.param(200, 75, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_the_registry_is_a_dict(stories: int, steps: int) -> None:
    """Over that many stories of that many steps the registry and the dict say the same after every step."""
    run_state_machine_as_test(
        RegistryMachine, settings=settings(max_examples=stories, stateful_step_count=steps, deadline=None)
    )
