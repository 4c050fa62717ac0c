"""Garbage collection beside writers, in every order: no name ever loses what it needs.

The writers share a model that nobody needs when they begin: its version was deleted. The collector has no grace.
"""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from friday_store import log
from friday_store.default_plugins.pickle5 import Pickle5
from friday_store.errors import ConflictError
from friday_store.hookspecs import SyncReport
from friday_store.maintenance import fsck
from friday_store.maintenance import gc as collecting
from friday_store.maintenance.gc import gc
from friday_store.maintenance.past import DAY
from friday_store.maintenance.revival import revive
from friday_store.manifest import Manifest
from friday_store.objects import pack
from friday_store.plugins import Plugins
from friday_store.refs import Ref
from friday_store.repository import Repository, Settings, Transaction
from friday_store.sync import Source, copy
from friday_store.sync.changes import everything
from tests.property.interleaving import Actor, Explorer, View

SHARED: Final = ["the model that two share", *range(20)]


class Fates:
    """Random bytes, times and pauses that depend on who asks and how often alone."""

    def __init__(self) -> None:
        self._counts: dict[str, itertools.count[int]] = {}

    def token_bytes(self, size: int) -> bytes:
        """Return bytes that nobody else gets."""
        who = threading.current_thread().name
        number = next(self._counts.setdefault(who, itertools.count()))
        return f"{who}-{number}".encode().rjust(size, b".")[-size:]

    def reset(self) -> None:
        """Begin anew."""
        self._counts.clear()


def clock() -> dt.datetime:
    """Return one moment: entries are later than those before all the same."""
    return dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def opened(view: View) -> Repository:
    """Return the repository in a view, with an index of its own."""
    return Repository(view, Settings(actor="x", clock=clock), Plugins(()))


def registered(repository: Repository, name: str, model: Any) -> None:
    """Register a version as a registry does: the model first, its name under the commit; again if that is collected."""
    for _ in range(5):
        running = repository.transaction(f"register {name}")
        digest, artifact = running.put_model("pickle5", 1, Pickle5().dump(model))

        def plan(running: Transaction, digest: bytes = digest, size: int = artifact.size) -> None:
            ref = Ref("versions", name, "1.0.0")
            made = Manifest(name, "1.0.0", digest, "pickle5", size, (), time=1, author="x")
            running.move(ref, running.planned(ref), running.put_manifest(made))

        try:
            running.run(plan)
        except ConflictError as error:
            if not error.again:
                raise
        else:
            return


def pushed(files: dict[str, bytes], target: Repository) -> SyncReport:
    """Push all of another repository."""
    source = opened(View(files))
    return copy(Source.of(source), target, everything(source, target))


@dataclass
class World:
    """What there is at the beginning.

    Attributes:
        chance: Where random bytes come from.
        files: A repository with one version, and one that was deleted, whose model others are about to use.
        other: Another one, that has a version of the same model to push.
    """

    chance: Fates
    files: dict[str, bytes]
    other: dict[str, bytes]

    def cast(self, *names: str) -> Callable[[], list[Actor]]:
        """Return a function that makes actors, to whom the same chances happen each time."""

        def actors() -> list[Actor]:
            self.chance.reset()
            return [Actor(name, ACTS[name](dict(self.other))) for name in names]

        return actors


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Take all chance away, and make what there is at the beginning."""
    found = World(Fates(), {}, {})
    for module in (pack, log):
        monkeypatch.setattr(module, "secrets", found.chance)
    monkeypatch.setattr(log, "_REQUESTS", 1)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    here, there = (opened(View(files)) for files in (found.files, found.other))
    for repository in (here, there):
        repository.create()
    registered(here, "kept", ["something else"])
    registered(here, "old", SHARED)
    ref = Ref("versions", "old", "1.0.0")
    here.transaction("delete").run(lambda running: running.move(ref, running.planned(ref), None))
    registered(there, "pushed", SHARED)
    return found


def check(files: dict[str, bytes], actors: list[Actor] | None) -> None:
    """Check that every name has all that it needs; at the end also what the actors say."""
    repository = opened(View(files))
    assert [] == [each for each in fsck(repository, quick=actors is None) if each.severity == "error"]
    if actors is not None:
        done = {actor.name for actor in actors if actor.result.startswith("done")}
        assert {actor.name for actor in actors} - {"restored"} <= done, [actor.result for actor in actors]
        names = {ref.split("/")[1].replace("old", "restored") for ref in repository.log.state().refs}
        assert names == {"kept", *(done - {"gc"})}


ACTS: Final[dict[str, Callable[[dict[str, bytes]], Callable[[View], object]]]] = {
    "gc": lambda _: lambda view: gc(opened(view), grace=0) and None,
    "first": lambda _: lambda view: registered(opened(view), "first", SHARED),
    "second": lambda _: lambda view: registered(opened(view), "second", SHARED),
    "pushed": lambda other: lambda view: pushed(other, opened(view)) and None,
    "restored": lambda _: lambda view: restored(opened(view)),
}


def restored(repository: Repository) -> None:
    """Bring the deleted version back, if it is not erased."""
    ref = Ref("versions", "old", "1.0.0")
    moves = next(entry.refs for entry in repository.entries() if entry.message == "delete")

    def plan(running: Transaction) -> None:
        running.move(ref, running.planned(ref), moves[0][1])

    for _ in range(5):
        try:
            revive(repository, moves, "restore", "", partial=False).run(plan)
        except ConflictError as error:
            if not error.again:
                raise
        else:
            return


@pytest.mark.timeout(1200)  # hundreds of orders, each on real stores
@pytest.mark.parametrize(
    ("names", "floor"),
    [
        ("gc first", 0.0),
        ("gc pushed", 0.0),
        ("gc restored", 0.0),
        *(
            pytest.param(names, floor, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])
            for names, floor in [
                ("gc first", DAY),
                ("gc pushed", DAY),
                ("gc gc", 0.0),
                ("gc first second", DAY),
                ("gc first pushed", 0.0),
            ]
        ),
    ],
)
def test_no_order_of_collector_and_writers_loses_anything(
    names: str, floor: float, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I15: in every order of what a collector and writers do, every name has what it needs at every moment.

    With a floor of 0 the packs of writers who are about to commit are collected too, which makes them begin again.
    """
    monkeypatch.setattr(collecting, "DAY", floor)
    explorer = Explorer(world.files, world.cast(*names.split()), check)
    explorer.explore()
    assert explorer.states > 20
    assert ("done",) * len(names.split()) in explorer.results
    print(f"\n{names}, {floor}: {explorer.states} states, {explorer.orders} orders, {explorer.results}")  # noqa: T201


def test_a_writer_who_does_not_look_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exploration finds the order in which a writer loses his chunks who does not ask the log about them."""
    monkeypatch.setattr(Transaction, "_check_relied", lambda _: None)
    explorer = Explorer(world.files, world.cast("gc", "first"), check)
    with pytest.raises(AssertionError):
        explorer.explore()


def test_a_young_pack_is_condemned_where_nothing_keeps_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a floor of 0 there is an order in which a writer's pack is collected before its entry, and he goes on."""
    monkeypatch.setattr(collecting, "DAY", 0.0)
    condemned: list[str] = []

    def look(files: dict[str, bytes], actors: list[Actor] | None) -> None:
        if actors is not None:
            entries = opened(View(files)).entries()
            named = {name for entry in entries for name, _ in entry.packs_added}
            condemned.extend(name for entry in entries for name in entry.packs_removed if name not in named)

    explorer = Explorer(world.files, world.cast("gc", "first"), look)
    explorer.explore()
    assert condemned
