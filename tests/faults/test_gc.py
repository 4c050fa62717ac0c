"""Garbage collection while others work, when it is killed, and when the disk fails."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from friday_store import FridayStoreError
from friday_store.maintenance.marking import Marks
from friday_store.maintenance.past import past
from friday_store.objects import ObjectStore
from friday_store.testing.faults import Fault
from tests.faults import stored
from tests.faults.crew import Crew, said
from tests.faults.faulty import ERRORS, Strike, fail, faulty_calls, faulty_storage
from tests.faults.worker import content

LONG = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """A registry with four versions, and garbage of every kind: deleted, merged away, left by a killed writer."""
    root = tmp_path / "littered"
    with stored.opened(root) as registry:
        for number in range(8):
            registry.register_model(content(number), "m", tags=["t"], parents=[])
        for number in range(4):
            registry.delete_model("m", f"1.0.{number}")
        registry.repository.transaction("merge").replace_packs(list(registry.repository.objects.live)[:3])
        (root / "packs" / ".tmp-dead").write_bytes(b"half of a pack")
    return root


def answers(root: Path) -> list[object]:
    """Return what a registry says, once a full check has found it sound."""
    with stored.opened(root) as registry:
        assert [] == stored.serious(registry.fsck())
        return [(each["model_version"], registry.load_model(each["model_id"])) for each in registry.list_models()]


def unneeded(root: Path) -> tuple[int, int, int]:
    """Return how many objects in use nobody needs, packs that are not in use, and packs that no entry ever named."""
    with stored.opened(root) as registry:
        state = registry.repository.log.state()
        store = ObjectStore(registry.repository.storage)
        store.use({name: size for name, (size, _) in state.packs.items()})
        marks = Marks(store)
        marks.need((digest for digest, _, _ in state.refs.values()), there=True)
        held = sum(store.directory(name).count for name in store.live)
        found = past(registry.repository, state, 0)
        return held - sum(marks.count(name) for name in store.live), len(found.retired), len(found.unnamed)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("calls", [False, pytest.param(True, marks=LONG)], ids=["storage", "system"])
def test_a_failure_at_every_call_of_gc(littered: Path, tmp_path: Path, calls: bool, after: bool) -> None:
    """I9: whichever call fails while garbage is collected: a typed error, nothing needed is lost, a retry works."""
    expected, at, finished = answers(littered), 0, False
    while not finished:
        at += 1
        root = stored.copied(littered, tmp_path / f"at{at}")
        strike = Strike(at, after, fail(ERRORS["EIO"]))
        fault = None if calls else Fault(at, moment="after" if after else "before")
        with faulty_storage(fault) as storages, faulty_calls(strike) if calls else contextlib.nullcontext():
            try:
                with stored.opened(root) as registry:
                    registry.gc(grace=0)
            except FridayStoreError:
                pass
        finished = len(strike.seen if calls else storages[0].calls) < at
        assert expected == answers(root), f"call {at}"
        with stored.opened(root) as registry:
            registry.gc(grace=0)
        assert expected == answers(root), f"call {at}, again"
        shutil.rmtree(root)
    assert at > 15


def test_a_kill_at_every_call_of_gc(crew: Crew, littered: Path, tmp_path: Path) -> None:
    """I6, I7: killed at any of its storage calls, a collection loses nothing, and the next one does what is left."""
    expected, words = answers(littered), tmp_path / "words"
    root = stored.copied(littered, tmp_path / "counted")
    assert 0 == crew.run("killed", words, root=root, at=0, what="gc", number=0, calls=False)
    assert expected == answers(root)
    total = said(words)[-1][1]
    assert total > 15
    for at in range(1, total + 1):
        root = stored.copied(littered, tmp_path / f"at{at}")
        assert 9 == crew.run("killed", words, root=root, at=at, what="gc", number=0, calls=False)
        assert expected == answers(root), f"call {at}"
        with stored.opened(root) as registry:
            registry.gc(grace=0)
        assert [] == stored.temporaries(root)
        assert expected == answers(root), f"call {at}, again"
        shutil.rmtree(root)


@pytest.mark.parametrize("kills", [4, pytest.param(25, marks=LONG)])
def test_killed_collectors_lose_nothing(crew: Crew, tmp_path: Path, kills: int) -> None:
    """I6: collectors killed at any time beside a writer lose nothing, and leave nothing that the next one does not."""
    root, stop = tmp_path / "registry", tmp_path / "stop"
    with stored.opened(root) as registry:
        registry.register_model(content(0), "first")
    words = tmp_path / "writer"
    writer = crew.start("churn", words, root=root, name="m", stop=stop)
    source = random.Random(f"I6 gc {kills}")
    for kill in range(kills):
        told = tmp_path / f"collector{kill}"
        collector = crew.start("collect", told, root=root, stop=stop)
        _wait_for(told, 2)
        time.sleep(source.uniform(0, 0.2))
        assert -signal.SIGKILL == crew.kill(collector)
    stop.touch()
    assert 0 == crew.wait(writer), said(words)[-1]
    _check(root, [words])


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=LONG)])
def test_collecting_while_eight_register(crew: Crew, tmp_path: Path, seconds: float) -> None:
    """I15: with no grace, beside eight processes that register and delete what they share, nothing needed is lost."""
    root, stop = tmp_path / "registry", tmp_path / "stop"
    with stored.opened(root) as registry:
        registry.register_model(content(0), "first")
    words = [tmp_path / f"said{number}" for number in range(8)]
    writers = [crew.start("churn", path, root=root, name=f"m{n % 4}x{n}", stop=stop) for n, path in enumerate(words)]
    told = tmp_path / "collector"
    collector = crew.start("collect", told, root=root, stop=stop)
    time.sleep(seconds)
    for path in (*words, told):
        _wait_for(path, 2)
    stop.touch()
    assert [0] * 8 == [crew.wait(writer) for writer in writers], [said(path)[-1] for path in words]
    assert 0 == crew.wait(collector), said(told)[-1]
    assert sum(line[1] for line in said(told)[1:]) > 0
    _check(root, words)
    assert (0, 0, 0) == unneeded(root)


def test_readers_beside_a_collector(crew: Crew, tmp_path: Path) -> None:
    """C7: while versions are registered and deleted and garbage goes at once, every read by label is whole."""
    root, stop = tmp_path / "registry", tmp_path / "stop"
    with stored.opened(root) as registry:
        registry.register_model(content(0), "m", tags=["t"])
    readers = [tmp_path / f"read{number}" for number in range(4)]
    running = [crew.start("read", path, root=root, name="m", label="t", stop=stop) for path in readers]
    told = tmp_path / "collector"
    running.append(crew.start("collect", told, root=root, stop=stop))
    churned, words = tmp_path / "churned", tmp_path / "said"
    running.append(crew.start("churn", churned, root=root, name="other", stop=stop))
    writer = crew.start("register", words, root=root, name="m", first=1000, count=30, tag="t")
    assert 0 == crew.wait(writer), said(words)[-1]
    for path in (*readers, told):
        _wait_for(path, 3)
    stop.touch()
    assert [0] * 6 == [crew.wait(one) for one in running], [said(path)[-1] for path in (*readers, told, churned)]
    committed = {0} | {number for _, number, _ in said(words)[1:]}
    reads = [line for path in readers for line in said(path)[1:]]
    assert all(whole and number in committed for _, number, whole in reads)
    _check(root, [churned])


def _wait_for(path: Path, lines: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while len(said(path)) < lines:
        assert time.monotonic() < deadline, f"{path.name} said only {said(path)}"
        time.sleep(0.01)


def _check(root: Path, words: list[Path]) -> None:
    """Check that all that was kept is there, and that two more runs leave nothing that is not needed."""
    kept = {digest: number for path in words for _, number, digest in said(path)[1:]}
    with stored.opened(root) as registry:
        for _ in range(2):
            registry.gc(grace=0)
            assert [] == stored.serious(registry.fsck(quick=True))
        listed = {record["model_id"] for record in registry.list_models()}
        assert kept.keys() <= listed
        for digest, number in kept.items():
            assert content(number) == registry.load_model(digest)
        assert [] == registry.fsck()
    assert (0, 0) == unneeded(root)[:2]
