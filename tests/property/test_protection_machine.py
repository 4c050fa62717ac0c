"""A protected hub and two registries around it: nothing that they call, in whatever order, takes what is protected."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from friday_store import FridayStoreError, ProtectedError
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.trust import TrustStore

WHO = st.sampled_from(["ann", "bob", "hub"])
SIDES = st.sampled_from(["ann", "bob"])
NAMES = st.sampled_from(["m", "n"])
VERSIONS = st.sampled_from(["1.0.0", "1.1.0", "2.0.0"])
ALIASES = st.sampled_from(["production", "production", "b"])
SYNCS: dict[str, dict[str, Any]] = {
    "push": {},
    "force": {"force": True},
    "ours": {"ours": ["*"], "prune": True},
    "lease": {"force_with_lease": True, "prune": True},
    "tags": {"tags": True},
}

Refs = dict[str, str]


class ProtectionMachine(RuleBasedStateMachine):
    """What the hub protects is in ``held``; what it may not lose in ``kept``."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.trust = TrustStore(None)
        self.numbers = itertools.count()
        self.registries: dict[str, ModelRegistry] = {}
        self.held: Refs = {}
        self.kept: Refs = {}
        self.append_only = False
        self.guarded = True
        self.files = 0

    @initialize()
    def start(self) -> None:
        """Make the hub, with a version of each model in production, and two registries that know it."""
        for name in ("hub", "ann", "bob"):
            opened = ModelRegistry(self.folder / name, plugins=Plugins(()), actor=name, trust=self.trust)
            self.registries[name] = opened
        for model in ("m", "n"):
            self.hub.register_model([model], model, "1.0.0", serializer="json", aliases=["production"], tags=["t"])
        self.hub.protect("production")
        for name in ("ann", "bob"):
            self.registries[name].add_remote("hub", self.folder / "hub", probe=False)
            self.registries[name].pull("hub")
        self.held = self.now("aliases/", "/production")

    @property
    def hub(self) -> ModelRegistry:
        """The hub."""
        return self.registries["hub"]

    def teardown(self) -> None:
        """Close and remove everything."""
        for registry in self.registries.values():
            registry.close()
        shutil.rmtree(self.folder)

    def now(self, start: str, end: str = "") -> Refs:
        """Return some refs of the hub, from its log."""
        refs = self.hub.repository.log.state().refs
        return {name: value[0].hex() for name, value in refs.items() if name.startswith(start) and name.endswith(end)}

    @staticmethod
    def tried(act: Callable[[], object]) -> None:
        """Do something that may be refused, for whatever reason."""
        with contextlib.suppress(FridayStoreError):
            act()

    @rule(who=WHO, name=NAMES, version=VERSIONS, aliases=st.sets(ALIASES, max_size=1), tagged=st.booleans())
    def register(self, who: str, name: str, version: str, aliases: set[str], tagged: bool) -> None:
        """Register a version, perhaps with an alias."""
        model, tags = [next(self.numbers)], ["t"] if tagged else []
        self.tried(
            lambda: self.registries[who].register_model(
                model, name, version, serializer="json", tags=tags, aliases=sorted(aliases), metrics={"x": 1.0}
            )
        )

    @rule(who=WHO, name=NAMES, version=VERSIONS, alias=ALIASES, how=st.sampled_from(["set", "remove", "rollback"]))
    def alias(self, who: str, name: str, version: str, alias: str, how: str) -> None:
        """Move an alias."""
        registry = self.registries[who]
        acts: dict[str, Callable[[], object]] = {
            "set": lambda: registry.set_alias(f"{name}:{version}", alias),
            "remove": lambda: registry.delete_alias(name, alias),
            "rollback": lambda: registry.rollback(name, alias),
        }
        self.tried(acts[how])

    @rule(who=WHO, name=NAMES, version=VERSIONS | st.none(), force=st.booleans())
    def delete(self, who: str, name: str, version: str | None, force: bool) -> None:
        """Delete a version or a model."""
        self.tried(lambda: self.registries[who].delete_model(name, version, force=force))

    @rule(who=WHO, name=NAMES, version=VERSIONS, note=st.booleans())
    def label(self, who: str, name: str, version: str, note: bool) -> None:
        """Take a tag, or add a note."""
        registry = self.registries[who]
        self.tried(
            lambda: (
                registry.set_model_status(f"{name}:{version}", "staging")
                if note
                else registry.remove_tag(f"{name}:{version}", "t")
            )
        )

    @rule(who=WHO, name=NAMES, how=st.sampled_from(["prune", "restore", "gc", "gc", "reopen"]))
    def keep(self, who: str, name: str, how: str) -> None:
        """Let go of versions or bytes, or bring them back."""
        registry = self.registries[who]
        acts: dict[str, Callable[[], object]] = {
            "prune": lambda: registry.prune(name, keep_last=1),
            "restore": lambda: registry.restore_model(name),
            "gc": lambda: registry.gc(grace=0),
            "reopen": registry.close,
        }
        self.tried(acts[how])

    @rule(who=SIDES, how=st.sampled_from(sorted(SYNCS)))
    def push(self, who: str, how: str) -> None:
        """Push, by every force there is; and a rehearsal says the same."""
        if how == "lease":  # refused where what was seen last is not known any more
            self.tried(lambda: self.registries[who].push("hub", **SYNCS[how]))
            return
        rehearsed = self.registries[who].push("hub", dry_run=True, **SYNCS[how])
        assert rehearsed == self.registries[who].push("hub", **SYNCS[how])

    @rule(who=SIDES, how=st.sampled_from(["pull", "mirror", "bundle", "collect", "fetch"]))
    def sync(self, who: str, how: str) -> None:
        """Bring both together in the other ways."""
        registry = self.registries[who]
        self.files += 1
        path = self.folder / f"{self.files}.friday"

        def bundle() -> None:
            registry.export_models(path)
            self.hub.import_models(path, force=True)

        acts: dict[str, Callable[[], object]] = {
            "pull": lambda: registry.pull("hub", force=True, prune=True),
            "mirror": lambda: registry.mirror(["hub"]),
            "bundle": bundle,
            "collect": lambda: registry.gc(remote="hub", grace=0),
            "fetch": lambda: registry.fetch("hub"),
        }
        self.tried(acts[how])

    @rule(name=NAMES, version=VERSIONS)
    def override(self, name: str, version: str) -> None:
        """Move what is protected, on record."""
        self.tried(lambda: self.hub.set_alias(f"{name}:{version}", "production", override=True))
        self.held = self.now("aliases/", "/production")

    @rule(on=st.booleans())
    def guard(self, on: bool) -> None:
        """Begin or end the protection of the alias."""
        if on != self.guarded:
            (self.hub.protect if on else self.hub.unprotect)("production")
            self.guarded = on
        self.held = self.now("aliases/", "/production")

    @rule(on=st.booleans())
    def only_append(self, on: bool) -> None:
        """Begin or end the mode in which nothing goes."""
        if on and not self.append_only:
            self.hub.protect(append_only=True)
        elif self.append_only and not on:
            self.hub.unprotect(append_only=True)
        self.append_only = on
        self.kept = self.everything() if on else {}

    def everything(self) -> Refs:
        """Return the versions, tags and notes of the hub."""
        return {**self.now("versions/"), **self.now("tags/"), **self.now("notes/")}

    @invariant()
    def what_is_protected_is_where_it_was(self) -> None:
        """The alias names what it named; nothing that was there is gone, and every version loads."""
        if not self.registries:
            return
        if self.guarded:
            assert self.held == self.now("aliases/", "/production")
        if self.append_only:
            now = self.everything()
            assert self.kept.items() <= now.items()
            for digest in self.now("versions/").values():
                self.hub.load_model(digest)
            with pytest.raises(ProtectedError):
                self.hub.gc(grace=0)
            self.kept = now


def test_what_is_protected_stays() -> None:
    """By 20 random histories of up to 30 steps, and in the long form 300 of 60."""
    run_state_machine_as_test(ProtectionMachine, settings=settings(max_examples=20, stateful_step_count=30))


@pytest.mark.slow
def test_what_is_protected_stays_in_many_histories() -> None:
    """The long form."""
    run_state_machine_as_test(ProtectionMachine, settings=settings(max_examples=300, stateful_step_count=60))
