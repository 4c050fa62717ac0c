"""Killed processes: what was acknowledged is there, what was not is not in the way."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults import stored
from tests.faults.crew import Crew, said
from tests.faults.worker import content


def _wait_for(path: Path, lines: int = 1, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while len(said(path)) < lines:
        assert time.monotonic() < deadline, f"nothing was said within {seconds} s"
        time.sleep(0.001)


@pytest.mark.parametrize("kills", [30, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_killed_writers_lose_nothing_they_acknowledged(crew: Crew, tmp_path: Path, kills: int) -> None:
    """I6: after kill -9 at any time every acknowledged version is there, fsck is clean, and the next command works."""
    root = tmp_path / "registry"
    source = random.Random(f"I6 {kills}")
    acknowledged: dict[int, str] = {}
    for kill in range(kills):
        words = tmp_path / f"said{kill}"
        writer = crew.start("register", words, root=root, name="m", first=kill * 10_000, tag="t")
        _wait_for(words, 3)
        time.sleep(source.uniform(0, 0.08))
        assert crew.kill(writer) == -signal.SIGKILL
        new = {number: digest for what, number, digest in said(words)[1:] if what == "registered"}
        acknowledged |= new
        with stored.opened(root) as registry:
            for number, digest in new.items():
                assert registry.load_model(digest) == content(number)
            assert stored.serious(registry.fsck()) == []
    with stored.opened(root) as registry:
        registry.register_model(content(-1), "m")
        assert stored.serious(registry.fsck()) == []
        assert len(acknowledged) > kills
        assert set(acknowledged.values()) <= {record["model_id"] for record in registry.list_models()}
        for number, digest in source.sample(sorted(acknowledged.items()), 50):
            assert registry.load_model(digest) == content(number)


def _prepared(root: Path) -> None:
    with stored.opened(root) as registry:
        for number in range(3):
            registry.register_model(content(number), "m", tags=["t"])


@pytest.mark.parametrize("calls", [False, True], ids=["storage", "system"])
@pytest.mark.parametrize("what", ["register", "tag", "status", "delete", "pull"])
def test_a_kill_at_every_call_leaves_one_state_or_the_other(crew: Crew, tmp_path: Path, what: str, calls: bool) -> None:
    """I7: killed before any of its storage calls, or system calls, a command has happened or has not.

    After a call is before the next one, so every place between two calls is tried.
    """
    template, other = tmp_path / "template", tmp_path / "other"
    _prepared(template)
    with stored.opened(other) as registry:
        registry.register_model(content(50), "n", tags=["t"])
    words = tmp_path / "words"
    arguments = {"what": what, "number": 2, "calls": calls, "other": other}
    root = stored.copied(template, tmp_path / "counted")
    before = _answers(root)
    assert crew.run("killed", words, root=root, at=0, **arguments) == 0
    after = _answers(root)
    assert before != after
    total = said(words)[-1][1]
    assert total > 5
    seen = set()
    for at in range(1, total + 1):
        root = stored.copied(template, tmp_path / f"at{at}")
        assert crew.run("killed", words, root=root, at=at, **arguments) == 9
        found = _answers(root)
        assert found in (before, after), f"{what} killed at call {at}"
        seen.add(found == after)
        if found == before:
            assert crew.run("one", words, root=root, what=what, number=2, other=other) == 0
        assert _answers(root) == after
    assert seen == {False, True}


def _answers(root: Path) -> list[object]:
    """Return what a registry says, but for times and ids, once fsck has found it sound."""
    with stored.opened(root) as registry:
        assert stored.serious(registry.fsck()) == []
        return [
            (
                record["model_name"],
                record["model_version"],
                record["status"],
                sorted(record["tags"]),
                registry.load_model(record["model_id"]),
            )
            for record in registry.list_models()
        ]


def test_a_killed_holder_does_not_hold_up_others(crew: Crew, tmp_path: Path) -> None:
    """C5: when the process in the writers' queue is killed, the next writer goes on within two seconds."""
    root = tmp_path / "registry"
    _prepared(root)
    for attempt in range(3):
        words = tmp_path / f"held{attempt}"
        holder = crew.start("hold", words, root=root, seconds=600)
        _wait_for(words)
        next_words = tmp_path / f"next{attempt}"
        waiting = crew.start("one", next_words, root=root, what="register", number=attempt)
        time.sleep(0.1)
        assert said(next_words) == []
        crew.kill(holder)
        started = time.monotonic()
        assert crew.wait(waiting) == 0
        assert time.monotonic() - started < 2


def test_a_stopped_holder_delays_and_harms_nobody(crew: Crew, tmp_path: Path) -> None:
    """C5: behind a holder that sleeps, a writer goes on in the end, and the holder's own change is still whole."""
    root = tmp_path / "registry"
    _prepared(root)
    words = tmp_path / "held"
    holder = crew.start("hold", words, root=root, seconds=600)
    _wait_for(words)
    os.kill(holder, signal.SIGSTOP)
    started = time.monotonic()
    assert crew.run("one", tmp_path / "next", root=root, what="register", number=1, patience=1) == 0
    assert 1 <= time.monotonic() - started < 5
    crew.kill(holder)
    with stored.opened(root) as registry:
        assert registry.fsck() == []
