"""Many who copy and register at once: one wins each name, nothing is lost, nothing is fetched by everybody."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from friday_store import ModelRegistry
from friday_store.hookspecs import SyncReport
from friday_store.plugins import Plugins
from tests.faults import stored
from tests.faults.crew import said
from tests.faults.stored import Everybody
from tests.faults.sync_worker import SyncCrew
from tests.faults.worker import content
from tests.servers.fixtures import Proxied, Served

T = TypeVar("T")
ALIAS = "aliases/m/production"


@pytest.fixture(scope="module")
def _sync_crew() -> Iterator[SyncCrew]:
    with SyncCrew() as crew:
        yield crew


@pytest.fixture
def sync_crew(_sync_crew: SyncCrew, home: Path) -> Iterator[SyncCrew]:
    """Processes that use registries elsewhere; none outlives its test."""
    _sync_crew.home = home
    yield _sync_crew
    _sync_crew.dismiss()


def together(*acts: Callable[[], T]) -> list[T]:
    """Do things at the same moment and return what came of each."""
    ready = threading.Barrier(len(acts))

    def act(what: Callable[[], T]) -> T:
        ready.wait(30)
        return what()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


def released(crew: SyncCrew, action: str, words: list[Path], go: Path, jobs: list[dict[str, Any]]) -> None:
    """Start workers, let them go when all are ready, and check that none failed."""
    running = [crew.start(action, path, go=go, **job) for path, job in zip(words, jobs, strict=True)]
    limit = time.monotonic() + 60
    while not all(said(path) for path in words):
        assert time.monotonic() < limit, "a worker does not come up"
        time.sleep(0.005)
    go.touch()
    assert [0] * len(jobs) == [crew.wait(each) for each in running], [said(path)[-1] for path in words]


def refs(registry: ModelRegistry) -> dict[str, str]:
    """Return all refs with their digests."""
    return {name: value[0].hex() for name, value in registry.repository.log.state().refs.items()}


def outcome(report: SyncReport) -> str:
    """Return what became of the alias in a push."""
    moved = ALIAS in [update.ref for update in report.moved]
    refused = ALIAS in [update.ref for update, _ in report.rejected]
    assert moved != refused, report
    return "won" if moved else "lost"


def race_for_an_alias(tmp_path: Path, url: str, options: dict[str, Any] | None, races: int) -> None:
    """Let two clones move an alias apart again and again; the loser says so, and follows."""
    mine = stored.opened(tmp_path / "mine")
    for number in range(3):
        mine.register_model(content(number), "m", aliases=["production"])
    clones = [mine, stored.opened(tmp_path / "laptop")]
    for each in clones:
        each.add_remote("hub", url, options, where="local" if options else "repository", probe=False)
    mine.push("hub")
    clones[1].pull("hub")
    for number in range(races):
        where = mine.get_model_metadata("m@production")["model_version"]
        others = [f"m:1.0.{n}" for n in range(3) if where != f"1.0.{n}"]
        for each, version in zip(clones, others if number % 2 else others[::-1], strict=True):
            each.set_alias(version, "production")
            each.log_metrics(version, {"race": float(number)})
        aims = [refs(each)[ALIAS] for each in clones]
        found = [outcome(report) for report in together(*(lambda each=each: each.push("hub") for each in clones))]
        assert {"won", "lost"} == set(found), f"race {number}: {found}"
        winner, loser = found.index("won"), found.index("lost")
        assert aims[loser] == refs(clones[loser])[ALIAS]
        assert [ALIAS] == [update.ref for update, _ in clones[loser].pull("hub").rejected]
        assert ALIAS in clones[loser].pull("hub", theirs=["m@production"]).forced
        clones[loser].push("hub")
        clones[winner].pull("hub")
        assert aims[winner] == refs(clones[loser])[ALIAS] == refs(clones[winner])[ALIAS]
        assert refs(clones[0]) == refs(clones[1])
    hub = ModelRegistry(url, plugins=Plugins(()), storage_options=options, trust=Everybody())
    assert refs(mine) == refs(hub)
    assert 2 * races == sum(name.startswith("notes/") for name in refs(hub))
    assert [] == hub.fsck()
    assert [] == mine.fsck()


@pytest.mark.parametrize("races", [40, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_race_for_an_alias_on_a_folder(tmp_path: Path, races: int) -> None:
    """Of two clones that push moves of one alias apart exactly one wins, the other is told, and no note is lost."""
    race_for_an_alias(tmp_path, str(tmp_path / "hub"), None, races)


@pytest.mark.parametrize("races", [3, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_race_for_an_alias_on_s3(tmp_path: Path, s3: Served, races: int) -> None:
    """The same where creating a log entry is a conditional request."""
    race_for_an_alias(tmp_path, s3.url, dict(s3.options), races)


@pytest.mark.parametrize(
    ("writers", "each"), [(4, 8), pytest.param(8, 50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_writers_of_one_name_on_s3(s3: Served, sync_crew: SyncCrew, tmp_path: Path, writers: int, each: int) -> None:
    """C2: processes that register straight into S3 lose nothing: every version is there once, in one line."""
    words = [tmp_path / f"said{number}" for number in range(writers)]
    jobs = [
        {"url": s3.url, "options": dict(s3.options), "name": "m", "first": number * 1000, "count": each}
        for number in range(writers)
    ]
    released(sync_crew, "register_at", words, tmp_path / "go", jobs)
    acknowledged = {number: digest for path in words for _, number, digest in said(path)[1:]}
    assert writers * each == len(acknowledged) == len(set(acknowledged.values()))
    registry = ModelRegistry(s3.url, plugins=Plugins(()), storage_options=dict(s3.options), trust=Everybody())
    records = registry.get_model_versions("m")
    assert set(acknowledged.values()) == {record["model_id"] for record in records}
    assert {f"1.0.{number}" for number in range(writers * each)} == {record["model_version"] for record in records}
    ids = [record["model_id"] for record in reversed(records)]
    assert [[], *([one] for one in ids[:-1])] == [record["parents"] for record in reversed(records)]
    for number in list(acknowledged)[:: max(1, len(acknowledged) // 8)]:
        assert content(number) == registry.load_model(acknowledged[number])
    assert [] == registry.fsck(quick=True)


def test_four_pull_the_same_at_once(s3_proxied: Proxied, sync_crew: SyncCrew, tmp_path: Path) -> None:
    """N8: four processes that pull the same fifty objects at once fetch each range twice at most, without errors."""
    source = stored.opened(tmp_path / "source")
    with source.transaction():
        for number in range(17):
            source.register_model(np.random.default_rng(number).random(9000), "m", f"1.0.{number}")
    source.push(s3_proxied.url, remote_options=s3_proxied.direct.options)
    here = stored.opened(tmp_path / "here")
    here.add_remote("origin", s3_proxied.url, s3_proxied.options, where="local", probe=False)
    here.close()
    words = [tmp_path / f"said{number}" for number in range(4)]
    released(sync_crew, "pull", words, tmp_path / "go", [{"root": tmp_path / "here", "remote": "origin"}] * 4)
    pulled = [(moved, objects) for path in words for _, moved, objects in said(path)[1:]]
    assert [(0, 0)] * 3 == sorted(pulled)[:3]
    assert 17 == max(pulled)[0]
    assert max(pulled)[1] >= 50
    asked = Counter(
        (request.path, request.headers["range"]) for request in s3_proxied.proxy.requests if "/packs/" in request.path
    )
    assert asked
    assert max(asked.values()) <= 2, asked
    here = stored.opened(tmp_path / "here")
    assert refs(source) == refs(here)
    assert [] == here.fsck()


@pytest.mark.parametrize("far", [False, True])
def test_pushers_of_the_same_content(
    request: pytest.FixtureRequest, sync_crew: SyncCrew, tmp_path: Path, far: bool
) -> None:
    """Whoever pushes the same at the same moment succeeds: each ref is made once, and nobody is told of a conflict."""
    url, options = str(tmp_path / "hub"), None
    if far:
        served: Served = request.getfixturevalue("s3")
        url, options = served.url, dict(served.options)
    mine = stored.opened(tmp_path / "clone0")
    for number in range(5):
        mine.register_model(content(number), "m", tags=["t"], aliases=["newest"])
    for number in range(4):
        clone = mine if number == 0 else stored.opened(tmp_path / f"clone{number}")
        if number:
            clone.pull(str(tmp_path / "clone0"))
        clone.add_remote("hub", url, options, where="local" if options else "repository", probe=False)
        clone.close()
    words = [tmp_path / f"said{number}" for number in range(4)]
    jobs = [{"root": tmp_path / f"clone{number}", "remote": "hub"} for number in range(4)]
    released(sync_crew, "push", words, tmp_path / "go", jobs)
    pushed = [line for path in words for line in said(path)[1:]]
    assert [[]] * 4 == [rejected for _, _, rejected in pushed]
    hub = ModelRegistry(url, plugins=Plugins(()), storage_options=options, trust=Everybody())
    assert refs(mine) == refs(hub)
    assert sorted(refs(mine)) == sorted(name for _, moved, _ in pushed for name in moved)
    assert [] == hub.fsck()


def test_a_pusher_beside_direct_registrations(tmp_path: Path) -> None:
    """Who pushes to a hub and who registers straight into it lose nothing to each other."""
    mine, hub = stored.opened(tmp_path / "mine"), stored.opened(tmp_path / "hub")
    mine.add_remote("hub", tmp_path / "hub", probe=False)

    def push() -> list[str]:
        ids = []
        for number in range(12):
            ids.append(mine.register_model(content(number), "mine", aliases=["newest"]))
            assert () == mine.push("hub").rejected
        return ids

    def register() -> list[str]:
        return [hub.register_model(content(100 + number), "theirs", aliases=["newest"]) for number in range(25)]

    pushed, registered = together(push, register)
    fresh = stored.opened(tmp_path / "hub")
    assert set(pushed) == {record["model_id"] for record in fresh.get_model_versions("mine")}
    assert set(registered) == {record["model_id"] for record in fresh.get_model_versions("theirs")}
    assert pushed[-1] == fresh.get_model_metadata("mine@newest")["model_id"]
    mine.pull("hub")
    assert refs(mine) == refs(fresh)
    assert [] == fresh.fsck()
    assert [] == mine.fsck()


def test_two_threads_that_pull_into_one_registry(tmp_path: Path) -> None:
    """One open registry may be told to pull twice at once: both come back, and what came is there once."""
    source = stored.opened(tmp_path / "source")
    for number in range(4):
        source.register_model(content(number), "m")
    handles = [stored.opened(tmp_path / "here") for _ in range(2)]
    handles[0].add_remote("origin", tmp_path / "source", probe=False)
    reports = together(*(lambda each=each: each.pull() for each in handles))
    assert 4 == sum(len(report.moved) for report in reports)
    assert [] == handles[0].fsck()
    assert refs(source) == refs(handles[1])
