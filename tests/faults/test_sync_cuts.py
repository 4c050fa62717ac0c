"""A push, pull or clone that is cut at any request: nothing points at what is missing, and going on is cheap."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from friday_store import FridayStoreError, ModelRegistry
from friday_store import storage as storages
from friday_store.maintenance import fsck
from friday_store.objects import streaming
from friday_store.objects.pack import read_directory
from friday_store.plugins import Plugins
from friday_store.registry import access, meeting
from friday_store.repository import Repository, Settings
from friday_store.storage import Storage, open_storage
from friday_store.sync import sending
from friday_store.testing.faults import Fault, FaultyStorage
from tests.faults import stored
from tests.servers.fixtures import Proxied

MODELS: Final = 3
_ONCE: Final = {"attempts": 1}


def content(number: int) -> np.ndarray[Any, Any]:
    """Return a model of 100 kB that does not shrink, and that any registry loads."""
    return np.random.default_rng(number).random(12_500)


@pytest.fixture(autouse=True)
def _small_packs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each model fill a pack."""
    home.mkdir()
    monkeypatch.setattr(sending, "_SIZE", 100_000)


def filled(root: Path) -> ModelRegistry:
    """Return a registry of some models with labels and notes."""
    registry = stored.opened(root)
    for number in range(MODELS):
        registry.register_model(content(number), "m", tags=["t"], aliases=["newest"])
    registry.log_metrics("m:1.0.0", {"live": 1.0})
    return registry


def refs(repository: Repository) -> dict[str, bytes]:
    """Return all refs with their digests."""
    return {name: value[0] for name, value in repository.log.state().refs.items()}


def downloaded(storage: Storage) -> Storage:
    """Return a copy on this disk of what is stored elsewhere, byte by byte."""
    if storage.root is not None:
        return storage
    root = Path(tempfile.mkdtemp(dir=os.environ["FRIDAY_STORE_HOME"]))
    folders = [""]
    for folder in folders:
        for entry in storage.list(folder):
            path = f"{folder}/{entry.name}".lstrip("/")
            if entry.folder:
                folders.append(path)
                (root / path).mkdir()
            else:
                (root / path).write_bytes(storage.read(path) or b"")
    return open_storage(root)


def is_sound(storage: Storage) -> dict[str, bytes]:
    """Check that everything that refs need is there, as somebody sees it who has nothing; return the refs.

    A repository of which the format file alone was written has no entry, and no refs.
    """
    repository = Repository(downloaded(storage), Settings(), Plugins(()))
    if not repository.born:
        return {}
    problems = stored.serious(fsck(repository))
    if repository.log.last() == 0:
        assert ["log"] == [problem.kind for problem in problems]
        return {}
    assert problems == []
    return refs(repository)


def packs(storage: Storage) -> dict[str, set[bytes]]:
    """Return the packs that are there, in use or not, with what they hold."""
    found = [(entry.name.removesuffix(".pack"), entry.size) for entry in storage.list("packs")]
    return {name: set(read_directory(storage, name, size).digests()) for name, size in found}


def sent_again(before: dict[str, set[bytes]], after: dict[str, set[bytes]]) -> list[str]:
    """Return the packs that had arrived of which something was written once more."""
    new = set().union(*(held for name, held in after.items() if name not in before))
    return [name for name, held in before.items() if held & new]


def gone_on(
    target: Storage, again: Callable[[], object], before: dict[str, bytes], expected: dict[str, bytes]
) -> set[str]:
    """Check a target where something was cut, go on, and check the end; return the packs that the cut had left.

    Args:
        target: Where to, as it is seen by somebody who remembers nothing.
        again: Goes on.
        before: The refs that were there before.
        expected: Those that are to be there.
    """
    assert is_sound(target) in ({}, before, expected), "half of a copy is visible"
    arrived = packs(target)
    again()
    assert expected == is_sound(target)
    assert len(sent_again(arrived, packs(target))) <= 1
    return set(arrived)


def cut_at_each(proxied: Proxied, act: Callable[[int], object], check: Callable[[int], object]) -> int:
    """Carry something out, cut off at its first request, then at its second, and so on; return how many it makes."""
    at, finished = 0, False
    while not finished:
        proxied.proxy.forget()
        proxied.proxy.cut(at)
        try:
            act(at)
        except FridayStoreError:
            assert proxied.proxy.count() > at
        finished = proxied.proxy.count() <= at
        proxied.proxy.calm()
        check(at)
        at += 1
    return at - 1


@pytest.mark.slow
def test_a_first_push_that_is_cut_at_each_request(s3_proxied: Proxied, tmp_path: Path) -> None:
    """N4: wherever the push that makes a remote is cut, from its probe on, a second one ends as if nothing had been."""
    mine = filled(tmp_path / "mine")
    expected = refs(mine.repository)
    left = []

    def push(at: int) -> None:
        url = f"{s3_proxied.url}/{at}"
        mine.add_remote(f"r{at}", url, {**s3_proxied.options, **_ONCE}, where="local", probe=False)
        mine.push(f"r{at}")

    def check(at: int) -> None:
        there = open_storage(f"{s3_proxied.url}/{at}", s3_proxied.direct.options)
        left.append(len(gone_on(there, lambda: mine.push(f"r{at}"), {}, expected)))

    assert cut_at_each(s3_proxied, push, check) > 15
    assert set(range(MODELS + 2)) == set(left)


def test_a_push_that_is_cut_at_each_request(s3_proxied: Proxied, tmp_path: Path) -> None:
    """N4: wherever a push to S3 is cut, the remote has no ref to missing data, and what arrived is used."""
    mine = filled(tmp_path / "mine")
    mine.add_remote("origin", s3_proxied.url, {**s3_proxied.options, **_ONCE}, where="local", probe=False)
    mine.push()
    there = open_storage(s3_proxied.url, s3_proxied.direct.options)
    before, known, left = refs(mine.repository), set(packs(there)), []

    def prepare(at: int) -> None:
        for number in range(3):
            mine.register_model(content(100 + 10 * at + number), "m", aliases=["newest"])
        mine.push(dry_run=True)  # so that every push knows the same of the remote

    def check(at: int) -> None:
        nonlocal before, known
        expected = refs(mine.repository)
        left.append(len(gone_on(there, mine.push, before, expected) - known))
        before, known = expected, set(packs(there))
        prepare(at + 1)

    prepare(0)
    assert cut_at_each(s3_proxied, lambda _: mine.push(), check) >= 6
    assert [0, 0, 0, 1, 2, 3, 4, 4] == left  # two looks at the log, four packs, the entry


@pytest.mark.parametrize("how", ["pull", pytest.param("clone", marks=pytest.mark.slow)])
def test_a_pull_that_is_cut_at_each_request(
    s3_proxied: Proxied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """N4: wherever a pull or clone from S3 is cut, nothing here points at missing data, and what arrived is used."""
    monkeypatch.setattr(streaming, "_WINDOW", 100_000)
    mine = filled(tmp_path / "mine")
    mine.push(s3_proxied.url, remote_options=s3_proxied.direct.options)
    expected, left = refs(mine.repository), set()
    options = {**s3_proxied.options, **_ONCE}

    def opened(at: int) -> ModelRegistry:
        return stored.opened(tmp_path / f"{at}" / ".friday")

    def bring(at: int) -> None:
        if how == "clone" and (opened(at).repository.log.last() < 2):
            ModelRegistry.clone(s3_proxied.url, tmp_path / f"{at}", plugins=Plugins(()), remote_options=options)
            return
        with opened(at) as registry:
            if "origin" not in registry.remotes():
                registry.add_remote("origin", s3_proxied.url, options, where="local", probe=False)
            registry.pull()

    def check(at: int) -> None:
        left.add(len(gone_on(open_storage(tmp_path / f"{at}" / ".friday"), lambda: bring(at), {}, expected)))
        with opened(at) as registry:
            np.testing.assert_array_equal(content(MODELS - 1), registry.load_model("m@newest"))

    assert cut_at_each(s3_proxied, bring, check) >= 8
    assert {0, 1, 2, MODELS + 1} <= left


def test_a_push_whose_replies_are_lost_from_some_pack_on(s3_proxied: Proxied, tmp_path: Path) -> None:
    """N4: a pack whose upload was not confirmed before the line went dead counts as arrived, and goes once."""
    mine = filled(tmp_path / "mine")
    mine.add_remote("origin", s3_proxied.url, {**s3_proxied.options, **_ONCE}, where="local", probe=False)
    mine.push()
    there = open_storage(s3_proxied.url, s3_proxied.direct.options)
    for at in (1, 2, 3):
        before, known = refs(mine.repository), packs(there)
        for number in range(3):
            mine.register_model(content(100 + 10 * at + number), "m")
        s3_proxied.proxy.trouble("lost", method="PUT", target="/packs/", nth=at, times=None)
        s3_proxied.proxy.trouble("reset", method="HEAD", target="/packs/", times=None)
        with pytest.raises(FridayStoreError):
            mine.push()
        s3_proxied.proxy.calm()
        arrived = packs(there)
        assert at == len(arrived) - len(known)
        gone_on(there, mine.push, before, refs(mine.repository))
        assert [] == sent_again(arrived, packs(there))
        assert 4 == len(packs(there)) - len(known)


def _cases() -> Iterator[Any]:
    """Every verb with faults at every side; the default run has one of each verb and the side that is written."""
    short = {("push", "there", "before", True), ("pull", "here", "after", False), ("pull", "there", "before", True)}
    for verb in ("push", "pull"):
        for side in ("here", "there"):
            for moment, forever in (("before", True), ("after", False), ("short", False)):
                case = (verb, side, moment, forever)
                yield pytest.param(*case, marks=[] if case in short else [pytest.mark.slow])


@pytest.mark.parametrize(("verb", "side", "moment", "forever"), [*_cases()])
def test_a_copy_between_folders_that_is_cut_at_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, verb: str, side: str, moment: Any, forever: bool
) -> None:
    """N4: whichever call of either storage fails, both sides are sound, and going on ends as if nothing had been."""
    filled(tmp_path / "source").close()
    with stored.opened(tmp_path / "target") as registry:
        registry.register_model(content(99), "other")
    roots = {"here": "source", "there": "target"} if verb == "push" else {"here": "target", "there": "source"}
    seam = access if side == "here" else meeting
    at, cuts, finished = 0, 0, False
    while not finished:
        at += 1
        work = tmp_path / f"{at}"
        for name, root in roots.items():
            stored.copied(tmp_path / root, work / name)
        with stored.opened(work / "here") as registry:
            registry.add_remote("other", work / "there", probe=False)
        before = {name: is_sound(open_storage(work / name)) for name in roots}
        made: list[FaultyStorage] = []

        def opened(url: str | Path, options: Any = None, made: list[FaultyStorage] = made, at: int = at) -> Storage:
            made.append(FaultyStorage(storages.open_storage(url, options), Fault(at, moment=moment, forever=forever)))
            return made[-1]

        with monkeypatch.context() as patch:
            patch.setattr(seam, "open_storage", opened)
            try:
                with stored.opened(work / "here") as registry:
                    getattr(registry, verb)("other")
            except FridayStoreError:
                cuts += 1
        finished = all(len(each.calls) < at for each in made)
        target, source = ("there", "here") if verb == "push" else ("here", "there")
        assert before[source] == is_sound(open_storage(work / source))
        both = before["here"] | before["there"]
        assert is_sound(open_storage(work / target)) in (before[target], both)
        arrived = packs(open_storage(work / target))
        with stored.opened(work / "here") as registry:
            getattr(registry, verb)("other")
            assert [] == stored.serious(registry.fsck())
        assert both == is_sound(open_storage(work / target))
        assert len(sent_again(arrived, packs(open_storage(work / target)))) <= 1
        assert [] == [path for path in stored.temporaries(work) if not forever]
        shutil.rmtree(work)
    assert cuts > 10


def test_a_registry_of_which_only_the_format_was_written(tmp_path: Path) -> None:
    """A target that was cut between its format file and its first entry is an empty registry to everybody."""
    mine = filled(tmp_path / "mine")
    mine.add_remote("shared", tmp_path / "shared", probe=False)
    mine.push("shared")
    shutil.rmtree(tmp_path / "shared" / "log")
    shutil.rmtree(tmp_path / "shared" / "packs")
    (tmp_path / "shared" / "index.db").unlink(missing_ok=True)
    laptop = stored.opened(tmp_path / "laptop")
    assert 0 == len(laptop.pull(str(tmp_path / "shared")).moved)
    laptop.register_model(content(1), "other")
    laptop.push(str(tmp_path / "shared"))
    storage = open_storage(tmp_path / "shared")
    repository = Repository(storage, Settings(), Plugins(()))
    assert refs(laptop.repository) == refs(repository)
    assert [] == fsck(repository)
