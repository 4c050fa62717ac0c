"""Repair: what can be had again comes back, what is damaged is kept aside, and nothing is ever deleted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from friday_store import IntegrityError, ModelRegistry
from friday_store.log import EVERY, checkpoint_path
from friday_store.maintenance.repair import ASIDE
from friday_store.plugins import Plugins
from tests.faults import stored
from tests.faults.stored import Everybody
from tests.servers.fixtures import Served

VERSIONS: Final = 6


def weights(seed: int) -> np.ndarray[Any, Any]:
    """Return a model of 70 kB that does not shrink."""
    return np.random.default_rng(seed).random(9000)


@pytest.fixture
def here(tmp_path: Path) -> ModelRegistry:
    """A registry of several packs, whose whole content the remote ``origin`` has too."""
    registry = stored.opened(tmp_path / "here")
    for seed in range(VERSIONS):
        registry.register_model(weights(seed), "m", tags=["t"], metrics={"loss": seed})
    registry.log_metrics("m:1.0.0", {"live": 1.0})
    registry.set_alias("m:1.0.3", "production")
    registry.add_remote("origin", tmp_path / "there", probe=False)
    registry.push()
    return registry


def content(root: Path) -> dict[str, bytes]:
    """Return everything below a folder but what an index may rewrite."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(("index.db", "refs.db", "writers.lock", "lock"))
    }


def packs(root: Path) -> list[Path]:
    """Return the packs, the largest first."""
    return sorted((root / "packs").iterdir(), key=lambda path: (-path.stat().st_size, path.name))


def flipped(path: Path, place: int) -> bytes:
    """Change a bit of a file; return what it was."""
    sound = path.read_bytes()
    data = bytearray(sound)
    data[place] ^= 4
    stored.overwrite(path, bytes(data))
    return bytes(data)


def loads(registry: ModelRegistry) -> set[int]:
    """Return which versions load; the others are refused."""
    found = set()
    for seed in range(VERSIONS):
        try:
            np.testing.assert_array_equal(weights(seed), registry.load_model(f"m:1.0.{seed}"))
        except IntegrityError:
            continue
        found.add(seed)
    return found


def reopened(registry: ModelRegistry) -> ModelRegistry:
    """Return the same registry, opened anew."""
    registry.close()
    return stored.opened(Path(registry.url))


def test_a_sound_registry_is_left_alone(here: ModelRegistry, tmp_path: Path) -> None:
    """Where nothing is wrong, repair says nothing and changes no file, with and without a remote."""
    before = content(tmp_path / "here")
    assert [] == here.repair()
    assert [] == here.repair(["origin"])
    assert before == content(tmp_path / "here")


@pytest.mark.parametrize("rounds", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_random_damage_is_mended_from_a_remote(here: ModelRegistry, tmp_path: Path, rounds: int) -> None:
    """Bits, ends and whole packs that are lost come back from a remote; the damaged files are in ``damaged``."""
    source = random.Random(f"repair {rounds}")
    here.close()
    truth = stored.truth(tmp_path / "here")
    for number in range(rounds):
        root = stored.copied(tmp_path / "here", tmp_path / f"{number}")
        damaged = []
        for path in source.sample(packs(root), 3):
            what = source.choice(["flip", "flip", "cut", "extend", "zero", "lose"])
            size = path.stat().st_size
            if what == "flip":
                damaged.append(flipped(path, source.randrange(size)))
            elif what == "lose":
                path.unlink()
            else:
                data = path.read_bytes()
                place = source.randrange(size)
                changed = {"cut": data[:place], "extend": data + b"\1", "zero": data[:place] + bytes(size - place)}
                stored.overwrite(path, changed[what])
                damaged.append(changed[what])
        with stored.opened(root) as registry:
            problems = registry.fsck()
            assert problems or stored.truth(root).loads == truth.loads
            done = registry.repair([str(tmp_path / "there")])
            assert [] == registry.fsck(), f"round {number}: {done}"
            assert done
        assert truth.loads == stored.truth(root).loads
        assert truth.records == stored.truth(root).records
        aside = [path.read_bytes() for path in sorted((root / ASIDE).iterdir())] if (root / ASIDE).exists() else []
        kept = [path.read_bytes() for path in packs(root)]
        assert all(data in aside or data in kept for data in damaged), f"round {number}"
        with stored.opened(root) as registry:
            assert [] == registry.repair([str(tmp_path / "there")])


def test_without_a_remote_what_is_sound_is_saved(here: ModelRegistry, tmp_path: Path) -> None:
    """A damaged object is lost and said to be; everything else of its pack goes on, under a new pack."""
    path = packs(tmp_path / "here")[0]
    flipped(path, 8192)
    here = reopened(here)
    here.remove_remote("origin")
    lost = {*range(VERSIONS)} - loads(here)
    assert 1 == len(lost)
    before = content(tmp_path / "here")
    assert {"object"} <= {problem.kind for problem in here.fsck()}
    assert before == content(tmp_path / "here"), "fsck changed something"
    [done] = here.repair()
    assert f"packs/{path.name}" == done.path
    assert {*range(VERSIONS)} - lost == loads(here)
    problems = here.fsck()
    assert problems
    assert {"closure"} == {problem.kind for problem in problems}
    assert 1 == len(list((tmp_path / "here" / ASIDE).iterdir()))
    assert here.repair([str(tmp_path / "there")])
    assert {*range(VERSIONS)} == loads(here)
    assert [] == here.fsck()


def test_a_registry_that_lost_all_its_packs(here: ModelRegistry, tmp_path: Path) -> None:
    """As long as its log is there, a remote gives everything back: manifests first, and then what they name."""
    for path in packs(tmp_path / "here"):
        path.unlink()
    here = reopened(here)
    here.repair(["origin"])
    assert {*range(VERSIONS)} == loads(here)
    assert [] == here.fsck()
    assert [1.0] == list(here.get_metric_history("m:1.0.0", "live")["value"])


def test_a_registry_is_mended_from_a_bucket(here: ModelRegistry, s3: Served, tmp_path: Path) -> None:
    """The remote may be far away, and more than one may each have a part."""
    here.add_remote("far", s3.url, s3.options, where="local", probe=False)
    here.push("far")
    here.register_model(weights(77), "n")
    here.add_remote("near", tmp_path / "near", probe=False)
    here.push("near", ["n"])
    for path in packs(tmp_path / "here"):
        path.unlink()
    here = reopened(here)
    here.repair(["near", "far"])
    assert {*range(VERSIONS)} == loads(here)
    np.testing.assert_array_equal(weights(77), here.load_model("n"))
    assert [] == here.fsck()


@pytest.mark.parametrize("place", [5000, -300])
def test_a_registry_in_a_bucket_is_checked_there(s3: Served, tmp_path: Path, place: int) -> None:
    """Whatever of a pack this user has at hand, fsck reads the bucket; repair brings the pack's content back."""
    small = stored.opened(tmp_path / "small")
    small.register_model(weights(0), "m")
    small.push(s3.url, remote_options=s3.options)

    def there() -> ModelRegistry:
        return ModelRegistry(s3.url, plugins=Plugins(()), storage_options=dict(s3.options), trust=Everybody())

    np.testing.assert_array_equal(weights(0), there().load_model("m"))
    assert [] == there().fsck()
    storage = s3.open()
    [pack] = storage.list("packs")
    data = bytearray(storage.read(f"packs/{pack.name}") or b"")
    data[place] ^= 1
    storage.delete([f"packs/{pack.name}"])
    storage.create(f"packs/{pack.name}", bytes(data))
    assert there().fsck()
    assert there().repair([small.url])
    found = there().fsck()
    assert found, "the old pack stays, out of use"
    assert all(f"packs/{pack.name}" == problem.path for problem in found)
    np.testing.assert_array_equal(weights(0), there().load_model("m"))
    storage.delete([f"packs/{each.name}" for each in storage.list("packs")])
    assert there().fsck(quick=True)


def test_a_remote_that_is_damaged_itself(here: ModelRegistry, tmp_path: Path) -> None:
    """What a remote has damaged too stays lost, and keeps nothing else from coming back."""
    there = stored.opened(tmp_path / "there").repository
    there.index.catch_up()
    store = there.objects
    artifact = here.repository.artifact(bytes.fromhex(here.get_model_metadata("m:1.0.2")["artifact"]))
    largest = max(artifact.parts, key=lambda part: part.size)
    place = store.find(largest.chunks[:32])
    assert place is not None
    flipped(tmp_path / "there" / "packs" / f"{place[0].name}.pack", place[0].frame(place[1]).offset + 9)
    for path in packs(tmp_path / "here"):
        path.unlink()
    here = reopened(here)
    here.repair(["origin"])
    assert {*range(VERSIONS)} - {2} == loads(here)
    assert {"closure"} == {problem.kind for problem in here.fsck()}


def test_a_damaged_checkpoint_is_made_anew(tmp_path: Path) -> None:
    """A checkpoint is written again from the log, byte by byte, and the damaged one is kept aside."""
    registry = stored.opened(tmp_path / "here")
    registry.register_model([1], "m", serializer="json")
    stored._pass_time(registry)
    path = tmp_path / "here" / checkpoint_path(EVERY)
    sound = path.read_bytes()
    for change in (lambda: flipped(path, len(sound) // 2), lambda: stored.overwrite(path, sound[:10])):
        damaged = change() or sound[:10]
        assert ["checkpoint"] == [problem.kind for problem in registry.fsck()]
        [done] = registry.repair()
        assert checkpoint_path(EVERY) == done.path
        assert sound == path.read_bytes()
        assert damaged in [each.read_bytes() for each in (tmp_path / "here" / ASIDE).iterdir()]
        assert [] == registry.fsck()


def test_strays_and_a_wrong_index(here: ModelRegistry, tmp_path: Path) -> None:
    """What a killed writer left is moved aside, and an index that does not say what the log says is made anew."""
    stray = tmp_path / "here" / "packs" / ".tmp-0123456789abcdef"
    stray.write_bytes(b"half of a pack")
    here.repository.index.catch_up()
    with here.repository.index._database.transaction() as connection:
        connection.execute("UPDATE model_metadata SET model_version = '9.9.9' WHERE model_version = '1.0.2'")
    found = {problem.kind for problem in here.fsck()}
    assert {"stray", "index"} <= found
    done = {each.path for each in here.repair()}
    assert {"index.db", "packs/.tmp-0123456789abcdef"} <= done
    assert b"half of a pack" in [path.read_bytes() for path in (tmp_path / "here" / ASIDE).iterdir()]
    assert [] == here.fsck()
    assert {*range(VERSIONS)} == loads(here)


def test_a_damaged_log_is_not_guessed(here: ModelRegistry, tmp_path: Path) -> None:
    """Nothing else has the log: when it is damaged, repair says so and touches nothing."""
    flipped(tmp_path / "here" / "log" / "0000000000" / "003", 40)
    here = reopened(here)
    before = content(tmp_path / "here")
    with pytest.raises(IntegrityError):
        here.repair(["origin"])
    assert before == content(tmp_path / "here")


DAMAGE: Final[dict[str, Callable[[Path], object]]] = {
    "data": lambda path: flipped(path, 8192),
    "metadata": lambda path: flipped(path, path.stat().st_size - 1500),
    "trailer": lambda path: flipped(path, path.stat().st_size - 5),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_fsck_alone_changes_nothing(here: ModelRegistry, tmp_path: Path, kind: str) -> None:
    """I13: fsck reports each kind of damage and repairs none of it."""
    DAMAGE[kind](packs(tmp_path / "here")[0])
    here = reopened(here)
    before = content(tmp_path / "here")
    assert here.fsck()
    assert before == content(tmp_path / "here")
    assert here.repair(["origin"])
    assert [] == here.fsck()


def test_a_load_takes_what_is_damaged_from_a_remote_and_says_so(
    here: ModelRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """A model whose bytes were damaged loads from a remote that has them, with a word; fsck still complains."""
    root = here.repository.storage.root
    assert root is not None
    for pack in packs(root):
        if pack.stat().st_size > 70_000:
            flipped(pack, 5000)
    registry = stored.opened(root)
    for seed in range(VERSIONS):
        np.testing.assert_array_equal(weights(seed), registry.load_model(f"m:1.0.{seed}"))
    said = [record.message for record in caplog.records if "came from remote origin" in record.message]
    assert len(said) == VERSIONS
    assert {problem.kind for problem in registry.fsck()} == {"object"}
    caplog.clear()
    np.testing.assert_array_equal(weights(0), stored.opened(root).load_model("m:1.0.0"))
    assert "came from" not in caplog.text


def test_a_load_of_damage_that_no_remote_can_mend_is_refused(here: ModelRegistry, tmp_path: Path) -> None:
    """Where the remote is gone, damaged too, or was never there, the load is refused as damaged."""
    root = here.repository.storage.root
    assert root is not None
    for folder in (root, tmp_path / "there"):
        for pack in packs(folder):
            if pack.stat().st_size > 70_000:
                flipped(pack, 5000)
    for forget in (False, True):
        with stored.opened(root) as registry:
            if forget:
                registry.remove_remote("origin")
            with pytest.raises(IntegrityError):
                registry.load_model("m:1.0.0")


def test_a_damaged_object_names_who_needs_it(here: ModelRegistry, tmp_path: Path) -> None:
    """A problem of a chunk says which versions cannot be read; once a load has healed one, that nothing is lost."""
    flipped(packs(tmp_path / "here")[0], 8192)
    here = reopened(here)
    [problem] = here.fsck()
    [version] = problem.versions
    assert problem.message.endswith(f"; needed by {version}")
    here.load_model(version)
    [healed] = here.fsck()
    assert () == healed.versions
    assert healed.message.endswith("; another pack has it sound")
    here.remove_remote("origin")
    assert here.repair()
    assert [] == here.fsck()


def test_a_lost_object_is_told_with_its_version(here: ModelRegistry, tmp_path: Path) -> None:
    """A load that misses a chunk names the version, and so does fsck."""
    flipped(packs(tmp_path / "here")[0], 8192)
    here = reopened(here)
    here.remove_remote("origin")
    here.repair()
    [problem] = here.fsck()
    [version] = problem.versions
    assert problem.message.startswith(f"{version}: chunk ")
    with pytest.raises(IntegrityError, match=f"^{version}: chunk "):
        here.load_model(version)


@pytest.mark.parametrize("place", [9000, -20], ids=["object", "directory"])
def test_a_damaged_pack_out_of_use_is_moved_aside(here: ModelRegistry, tmp_path: Path, place: int) -> None:
    """Damage in a pack that nothing uses is found, told to be needed by nobody, and mended without a remote."""
    for seed in range(VERSIONS, 20):  # until small packs are merged
        here.register_model(weights(seed), "m")
    live = set(here.repository.objects.live)
    [old, *_] = [path for path in packs(tmp_path / "here") if path.stem not in live]
    flipped(old, place)
    [problem] = here.fsck()
    assert (f"packs/{old.name}", ()) == (problem.path, problem.versions)
    assert problem.message.startswith("out of use")
    [done] = here.repair()
    assert (f"packs/{old.name}", False) == (done.path, old.exists())
    assert [] == here.fsck()


def test_what_is_sound_of_a_damaged_pack_out_of_use_can_still_be_restored(tmp_path: Path) -> None:
    """A repair does not take away the undo of a deletion: what was sound beside the damage stays."""
    registry = stored.opened(tmp_path / "other")
    with registry.transaction("two"):
        for seed in (50, 51):
            registry.register_model(weights(seed), f"gone-{seed}")
    [pack] = packs(tmp_path / "other")
    for seed in (50, 51):
        registry.delete_model(f"gone-{seed}")
    since = registry.repository.index.state.seq
    assert registry.repository.transaction("retire", since=since).exchange({}, [pack.stem])
    flipped(pack, 4096 + 100)
    registry = reopened(registry)
    assert 1 == len(registry.repair())
    assert [] == registry.fsck()
    registry.restore_model("gone-51")
    np.testing.assert_array_equal(weights(51), registry.load_model("gone-51"))
