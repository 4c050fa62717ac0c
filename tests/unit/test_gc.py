"""Garbage collection: exactly what nothing needs goes, not a byte more, not before its time, and by its real size."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from friday_store import IntegrityError, InvalidValueError, ModelNotFoundError, ModelRegistry, StorageError
from friday_store.log import entry_path
from friday_store.maintenance import _Check
from friday_store.maintenance.gc import GRACE, GcReport, _Collection
from friday_store.maintenance.past import DAY
from friday_store.objects.pack import FOLDER
from friday_store.plugins import Plugins
from friday_store.registry.history import deleted
from tests.faults import stored
from tests.servers.fixtures import Served

LONG: Final = 20 * DAY


def weights(seed: int, size: int = 10_000) -> np.ndarray[Any, Any]:
    """Return a model that does not shrink."""
    return np.random.default_rng(seed).random(size)


@pytest.fixture
def here(tmp_path: Path) -> ModelRegistry:
    """A registry with six versions of 80 kB, each in a pack of its own."""
    registry = stored.opened(tmp_path / "here")
    for seed in range(6):
        registry.register_model(weights(seed), "m", tags=["t"], metrics={"rmse": seed})
    return registry


def age(registry: ModelRegistry, seconds: float, *, entries: int | None = None) -> None:
    """Make the log entries and packs look older; entries: only the first so many."""
    root = Path(registry.url)
    last = registry.repository.log.last() if entries is None else entries
    for path in [*(root / entry_path(number) for number in range(1, last + 1)), *(root / FOLDER).iterdir()]:
        found = path.stat()
        os.utime(path, (found.st_atime, found.st_mtime - seconds))


def used(registry: ModelRegistry) -> int:
    """Return the bytes of a registry's packs and log, as du counts them."""
    folders = [Path(registry.url) / name for name in ("packs", "log")]
    done = subprocess.run(["du", "-scb", *map(str, folders)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-2])


def sound(registry: ModelRegistry, seeds: dict[str, int]) -> None:
    """Check that fsck finds nothing, and that versions load as what they were."""
    assert [] == registry.fsck()
    for version, seed in seeds.items():
        np.testing.assert_array_equal(weights(seed), registry.load_model("m", version))


def content(registry: ModelRegistry) -> dict[Path, bytes]:
    """Return all files of the log and the packs."""
    folders = [Path(registry.url) / name for name in ("packs", "log", "checkpoints")]
    return {path: path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}


def collected(registry: ModelRegistry, **options: Any) -> GcReport:
    """Collect, once a dry run has said the same to the byte and changed nothing."""
    before = content(registry)
    expected = registry.gc(dry_run=True, **options)
    assert before == content(registry)
    report = registry.gc(**options)
    assert expected == replace(report, dry_run=True)
    return report


def test_nothing_goes_while_everything_is_needed(here: ModelRegistry) -> None:
    """Where every object is needed nothing changes, not even the log, with any grace."""
    last = here.repository.log.last()
    for grace in (0, "14d"):
        report = collected(here, grace=grace)
        assert (0, 0, 0, 0) == (report.packs_removed, report.files_deleted, report.files_waiting, report.bytes_freed)
    assert last == here.repository.log.last()
    sound(here, {f"1.0.{seed}": seed for seed in range(6)})


def test_what_was_deleted_goes_in_two_steps(here: ModelRegistry) -> None:
    """A deletion is kept for the grace, then out of use for the grace, then erased; until then it can be undone."""
    here.delete_model("m", "1.0.1")
    fresh = collected(here)
    assert (0, 0) == (fresh.packs_removed, fresh.files_waiting)
    age(here, LONG)
    removed = collected(here)
    assert (1, 1, 0) == (removed.packs_removed, removed.files_waiting, removed.files_deleted)
    assert 80_000 < removed.bytes_removed == removed.bytes_waiting
    again = collected(here)
    assert (0, 1, 0) == (again.packs_removed, again.files_waiting, again.files_deleted)
    age(here, LONG)
    before = used(here)
    swept = collected(here)
    assert (0, 0, 1) == (swept.packs_removed, swept.files_waiting, swept.files_deleted)
    assert removed.bytes_removed == swept.bytes_freed == before - used(here)
    with pytest.raises(ModelNotFoundError, match="has erased its bytes since"):
        here.restore_model("m", "1.0.1")
    sound(here, {"1.0.0": 0, "1.0.2": 2, "1.0.5": 5})


@pytest.mark.parametrize("removed", [False, True], ids=["in use", "out of use"])
def test_a_deletion_can_be_undone_until_it_is_swept(here: ModelRegistry, removed: bool) -> None:
    """A deleted version comes back with its tags, also when its pack is out of use; under another pack's name then."""
    here.delete_model("m", "1.0.1")
    before = set(here.repository.objects.live)
    if removed:
        age(here, LONG)
        assert 1 == here.gc().packs_removed
    here.restore_model("m", "1.0.1")
    assert ["t"] == here.get_model_metadata("m", "1.0.1")["tags"]
    live = set(here.repository.objects.live)
    assert (2 if removed else 0) == len(live - before)  # what the lineage needs, and what came back
    age(here, LONG)
    here.gc()
    sound(here, {f"1.0.{seed}": seed for seed in range(6)})


def test_no_grace_frees_the_bytes_at_once(here: ModelRegistry) -> None:
    """With a grace of 0, what was deleted is erased by one run, which says exactly how much that was."""
    for seed in range(3):
        here.delete_model("m", f"1.0.{seed}")
    before = used(here)
    report = collected(here, grace=0)
    entry = (Path(here.url) / entry_path(here.repository.log.last())).stat().st_size
    assert before - used(here) == report.bytes_freed - report.bytes_written - entry
    assert report.bytes_freed > 3 * 80_000
    assert (3, 3) == (report.packs_removed, report.files_deleted)
    sound(here, {"1.0.3": 3, "1.0.4": 4, "1.0.5": 5})
    assert here.lineage("m:1.0.5") is not None
    last = collected(here, grace=0)
    assert (0, 0, 0) == (last.packs_removed, last.bytes_freed, last.objects_dropped)


def test_manifests_above_what_stays_are_kept(here: ModelRegistry) -> None:
    """The bytes of a deleted parent go, and its description stays, so that the lineage is told as before."""
    before = here.repository.index.manifest(bytes.fromhex(here.resolve("m:1.0.0").model_id))
    model_id = here.resolve("m:1.0.0").model_id
    here.delete_model("m", "1.0.0")
    report = here.gc(grace=0)
    assert 1 == report.packs_written
    assert before == here.repository.index.manifest(bytes.fromhex(model_id))
    assert report.bytes_written < 10_000


def test_a_pack_is_rewritten_for_what_is_needed_of_it(tmp_path: Path) -> None:
    """Of a pack that holds several models, the needed ones are copied as they are stored, and map as before."""
    registry = stored.opened(tmp_path / "here")
    registry.register_models([{"model": weights(seed), "model_name": "m", "parents": []} for seed in range(4)])
    for version in ("1.0.1", "1.0.2"):
        registry.delete_model("m", version)
    report = collected(registry, grace=0)
    assert (1, 1) == (report.packs_removed, report.packs_written)
    assert 160_000 < report.bytes_removed - report.bytes_written < 170_000
    sound(registry, {"1.0.0": 0, "1.0.3": 3})


def test_what_two_versions_share_stays_as_long_as_one_needs_it(tmp_path: Path) -> None:
    """A chunk that a version left stays although the version that brought it is gone."""
    registry = stored.opened(tmp_path / "here")
    first = registry.register_model(weights(1), "m", metrics={"x": 1})
    registry.register_model(weights(1), "m", metrics={"x": 2}, parents=[])
    registry.delete_model("m", "1.0.0")
    registry.gc(grace=0)
    sound(registry, {"1.0.1": 1})
    with pytest.raises(ModelNotFoundError):
        registry.load_model(first)


def test_bytes_are_counted_although_packs_are_merged(tmp_path: Path) -> None:
    """Packs that merging put out of use are erased too, after the grace."""
    registry = stored.opened(tmp_path / "here")
    for number in range(20):
        registry.register_model({"number": number}, "m")
    waiting = collected(registry)
    assert 16 == waiting.files_waiting
    age(registry, LONG)
    assert (16, waiting.bytes_waiting) == ((report := collected(registry)).files_deleted, report.bytes_freed)
    assert [] == registry.fsck()


def test_a_pack_that_no_entry_names_goes_when_it_is_old(here: ModelRegistry) -> None:
    """What a killed writer left is erased when it is older than the grace and a day; a young one is let be."""
    repository = here.repository
    repository.index.catch_up()
    with repository.objects.writer() as writer:
        for frame, data in repository.objects.contents(next(iter(repository.objects.live))):
            writer.add(frame, data)
        made = writer.finish()
    path = Path(here.url) / FOLDER / f"{made.name}.pack"
    for grace in (0, "14d"):
        assert (0, 0) == ((report := collected(here, grace=grace)).files_deleted, report.files_waiting)
    old = time.time() - 2 * DAY
    os.utime(path, (old, old))
    assert 0 == collected(here, grace="14d").files_deleted
    report = collected(here, grace="1d")
    assert (1, made.size) == (report.files_deleted, report.bytes_freed)
    assert not path.exists()
    assert (made.name,) == repository.entries()[0].packs_removed
    assert not repository.transaction("late", since=0).exchange({made.name: made.size})


def test_temporary_files_of_the_dead_go_and_those_of_the_living_stay(here: ModelRegistry) -> None:
    """A temporary file is removed when no process writes it; one that is being written is not, with no grace at all."""
    stray = Path(here.url) / "log" / ".tmp-0123"
    stray.write_bytes(bytes(100))
    with here.repository.storage.spool(FOLDER) as spool:
        spool.write([b"half"])
        assert 0 == collected(here, grace="14d").files_deleted
        report = collected(here, grace=0)
        assert (1, 100) == (report.files_deleted, report.bytes_freed)
        assert not stray.exists()
        assert spool.publish("x.pack")
    (Path(here.url) / FOLDER / "x.pack").unlink()
    assert [] == here.fsck()


def test_damage_stops_it(here: ModelRegistry) -> None:
    """Where something that is needed is missing, nothing is collected, since what it needs is not known."""
    here.delete_model("m", "1.0.0")
    pack = max((Path(here.url) / FOLDER).iterdir(), key=lambda path: path.stat().st_mtime)
    pack.unlink()
    before = sorted((Path(here.url) / FOLDER).iterdir())
    with pytest.raises(IntegrityError):
        here.gc(grace=0)
    assert before == sorted((Path(here.url) / FOLDER).iterdir())


def test_a_pack_with_a_damaged_object_is_not_rewritten(tmp_path: Path) -> None:
    """A pack of which a needed object is damaged stays as it is, for fsck to report and repair."""
    registry = stored.opened(tmp_path / "here")
    registry.register_models([{"model": weights(seed), "model_name": "m", "parents": []} for seed in range(2)])
    [pack] = (tmp_path / "here" / FOLDER).iterdir()
    data = bytearray(pack.read_bytes())
    data[20_000] ^= 1
    stored.overwrite(pack, bytes(data))
    registry.delete_model("m", "1.0.1")
    report = registry.gc(grace=0)
    assert (0, 0) == (report.packs_removed, report.files_deleted)
    assert [pack] == [*(tmp_path / "here" / FOLDER).iterdir()]


def test_a_store_that_lets_two_writers_win_is_refused(tmp_path: Path) -> None:
    """Where nothing tells two writers apart, collecting is refused even to who vouches for being the only one."""
    registry = stored.opened(tmp_path / "here")
    registry.register_model(1, "m")
    path = tmp_path / "here" / "friday-store.json"
    path.chmod(0o600)
    path.write_text(path.read_text().replace("}", ', "single_writer": true}'))
    registry = stored.opened(tmp_path / "here", storage_options={"single_writer": True})
    with pytest.raises(StorageError, match="one writer at a time"):
        registry.gc(grace=0)


def test_what_a_fetch_brought_stays_for_the_grace(tmp_path: Path) -> None:
    """Objects that were fetched and that no name here reaches are kept for the grace, and not for ever."""
    there = stored.opened(tmp_path / "there")
    there.register_model(weights(1), "m", aliases=["production"])
    here = stored.opened(tmp_path / "here")
    here.add_remote("origin", tmp_path / "there", probe=False)
    here.fetch()
    assert 0 == collected(here, grace="14d").packs_removed
    np.testing.assert_array_equal(weights(1), here.load_model("origin/m@production"))
    assert 1 == collected(here, grace=0).files_deleted
    np.testing.assert_array_equal(weights(1), here.load_model("origin/m@production"))


@pytest.mark.parametrize("times", [1, 2])
def test_what_a_fetch_brought_stays_for_the_grace_although_packs_are_merged(tmp_path: Path, times: int) -> None:
    """What was fetched is kept for the grace when its pack was merged, and no longer; what was beside it is not."""
    there = stored.opened(tmp_path / "there")
    version = bytes.fromhex(there.register_model(weights(1), "m"))
    here = stored.opened(tmp_path / "here")
    here.register_model(weights(2), "gone")
    here.delete_model("gone")
    age(here, LONG)
    here.add_remote("origin", tmp_path / "there", probe=False)
    here.fetch()
    [fetched] = [name for entry in here.repository.entries() if not entry.refs for name, _ in entry.packs_added]
    digests = list(here.repository.objects.directory(fetched).digests())
    for turn in range(times):  # each time, all packs become one
        here.register_model(weights(3), "own", parents=[], metrics={"x": turn})
        transaction = here.repository.transaction("merge")
        transaction.replace_packs(list(here.repository.objects.live))
    assert fetched not in here.repository.objects.live
    report = collected(here, grace="14d")
    assert 80_000 < report.bytes_removed - report.bytes_written < 90_000
    age(here, 10 * DAY)
    assert 0 == collected(here, grace="14d").packs_removed
    assert version in here.repository.objects
    assert set(digests) == here.repository.objects.known(digests)
    age(here, 10 * DAY)
    report = collected(here, grace="14d")
    assert 80_000 < report.bytes_removed - report.bytes_written < 90_000
    assert version not in here.repository.objects
    assert [] == here.fsck()


def test_collecting_in_a_remote(here: ModelRegistry, tmp_path: Path) -> None:
    """A remote is collected as a registry is, and what is remembered of it stays of use."""
    here.add_remote("origin", tmp_path / "there", probe=False)
    here.push()
    here.delete_model("m", "1.0.0")
    here.push(prune=True)
    expected = here.gc(remote="origin", grace=0, dry_run=True)
    report = here.gc(remote="origin", grace=0)
    assert expected == replace(report, dry_run=True)
    assert report.bytes_freed > 400_000
    assert [] == here.fsck(remote="origin")
    assert [] == stored.opened(tmp_path / "there").fsck()
    here.register_model(weights(9), "m")
    kept = {path.name for path in (Path(here.url) / "remotes" / "origin" / "kept").glob("packs-*")}
    assert kept <= {f"packs-{path.name}" for path in (tmp_path / "there" / FOLDER).iterdir()}
    assert 1 == sum(update.ref.startswith("versions/") for update in here.push().moved)
    copy = ModelRegistry.clone(tmp_path / "there", tmp_path / "copy", trust=stored.Everybody())
    np.testing.assert_array_equal(weights(9), copy.load_model("m"))


@pytest.mark.parametrize(
    ("grace", "seconds"), [("14d", 14 * DAY), ("1.5h", 5400.0), ("0", 0.0), (dt.timedelta(hours=1), 3600.0), (5, 5.0)]
)
def test_a_grace_is_a_time(here: ModelRegistry, grace: Any, seconds: float) -> None:
    """A grace can be seconds, a timedelta or a text with a unit."""
    assert seconds == here.gc(grace=grace, dry_run=True).grace


def test_the_grace_is_the_same_by_default(here: ModelRegistry) -> None:
    """Who names no grace gets that of the collector itself."""
    assert GRACE == here.gc(dry_run=True).grace


@pytest.mark.parametrize("grace", ["soon", "-1", -1, "", "1 y", float("nan"), True, dt.timedelta(days=-1)])
def test_what_is_no_time_is_refused(here: ModelRegistry, grace: Any) -> None:
    """A grace that is no time is refused before anything happens."""
    with pytest.raises(InvalidValueError, match="is no time"):
        here.gc(grace=grace)


def test_an_absent_registry_has_nothing_to_collect(tmp_path: Path) -> None:
    """Collecting where nothing was ever written makes nothing."""
    assert 0 == stored.opened(tmp_path / "nothing").gc(grace=0).files_deleted
    assert not (tmp_path / "nothing").exists()


def test_a_sweeper_that_wakes_late_harms_nobody(here: ModelRegistry) -> None:
    """What comes back while a sweeper sleeps is in a pack of another name, so it is still there when that goes on."""
    here.delete_model("m", "1.0.1")
    sleeper = _Collection(here.repository, 0)
    assert sleeper.remove()
    with stored.opened(Path(here.url)) as other:
        other.restore_model("m", "1.0.1")
        other.register_model(weights(1), "n")
        other.gc(grace="14d")
    assert sleeper.sweep().files_deleted == 1
    sound(here, {f"1.0.{seed}": seed for seed in range(6)})
    np.testing.assert_array_equal(weights(1), here.load_model("n"))


@pytest.mark.parametrize("described", [False, True], ids=["erased", "described in a lineage"])
def test_what_was_erased_and_is_pushed_meanwhile_is_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, described: bool
) -> None:
    """A version that was erased here, and that others push while a collector runs, keeps chunks that were here."""
    here = stored.opened(tmp_path / "here")
    models = {"n": {"a": weights(1), "n": 0}, "k": weights(2)}
    here.register_models([{"model": model, "model_name": name} for name, model in models.items()])
    here.delete_model("n")
    age(here, LONG)
    far = stored.opened(tmp_path / "far")
    far.register_model({"a": weights(1)}, "m")
    here.add_remote("far", tmp_path / "far", probe=False)
    here.pull("far")
    if described:
        here.register_model("child", "m")
    here.delete_model("m", "1.0.0")
    with monkeypatch.context() as patch:  # the pack of n and k is not worth it yet, and that of m is
        patch.setattr("friday_store.maintenance.gc._SMALL", 20_000)
        patch.setattr("friday_store.maintenance.gc._WASTE", 1)
        assert 80_000 < here.gc(grace=0).bytes_unneeded < 90_000
    append = _Collection._appended
    pushed: list[Any] = []

    def late(self: _Collection) -> bool:
        if not pushed:
            with stored.opened(tmp_path / "far") as other:
                other.add_remote("here", tmp_path / "here", probe=False)
                pushed.append(other.push("here"))
        return append(self)

    monkeypatch.setattr(_Collection, "_appended", late)
    here.gc(grace="1h")
    assert pushed[0].present
    age(here, LONG)
    here.gc(grace="1h")
    assert [] == here.fsck()
    np.testing.assert_array_equal(weights(1), stored.opened(tmp_path / "here").load_model("m", "1.0.0")["a"])


@pytest.mark.parametrize("described", [False, True], ids=["erased", "described in a lineage"])
def test_what_is_left_of_a_model_comes_back(here: ModelRegistry, described: bool) -> None:
    """Of a model's deleted versions those come back that are not erased; a version by itself is an error if it is."""
    if not described:
        here.delete_model("m")
        here.gc(grace=0)
        for seed in range(6, 9):
            here.register_model(weights(seed), "m", f"1.0.{seed}", parents=[])
    erased = ["1.0.1"] if described else [f"1.0.{seed}" for seed in range(6)]
    if described:
        here.delete_model("m", "1.0.1")
        here.gc(grace=0)
    ids = {record["model_version"]: record["id"] for record in here.get_model_versions("m")}
    here.delete_model("m")
    assert sorted(ids.values()) == here.restore_model("m")
    assert set(erased) == deleted(here.repository, "m").keys()
    sound(here, {version: int(version[-1]) for version in ids})
    for version in (None, erased[0]):
        with pytest.raises(ModelNotFoundError, match="has erased its bytes since"):
            here.restore_model("m", version)


def in_bucket(place: Served) -> ModelRegistry:
    """Return the registry in a bucket."""
    return ModelRegistry(place.url, storage_options=place.options, plugins=Plugins(()), trust=stored.Everybody())


def test_collecting_in_a_bucket(s3: Served, tmp_path: Path) -> None:
    """In S3, used directly and as a remote, what is not needed goes, and the bucket holds what is left and no more."""
    registry = in_bucket(s3)
    for seed in range(3):
        registry.register_model(weights(seed), "m", parents=[])
    registry.delete_model("m", "1.0.1")
    expected = registry.gc(grace=0, dry_run=True)
    report = registry.gc(grace=0)
    assert expected == replace(report, dry_run=True)
    assert 80_000 < report.bytes_freed
    storage = s3.open()
    assert registry.repository.log.state().packs.keys() == {
        entry.name.removesuffix(".pack") for entry in storage.list(FOLDER)
    }
    assert [] == registry.fsck()
    work = stored.opened(tmp_path / "work")
    work.add_remote("origin", s3.url, s3.options, where="local")
    work.pull()
    work.delete_model("m", "1.0.0")
    work.push(prune=True)
    assert 80_000 < work.gc(remote="origin", grace=0).bytes_freed
    assert 2 == len(storage.list(FOLDER))  # one has the skeleton that all share
    assert [] == work.fsck(remote="origin")
    work.register_model(weights(7), "m")
    work.push()
    np.testing.assert_array_equal(weights(7), in_bucket(s3).load_model("m"))


def test_fsck_is_not_misled_by_a_collector(here: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack that is collected while fsck reads is no damage; what is damaged is told all the same."""
    read = _Check._packs
    doomed = [True]

    def late(self: _Check) -> Any:
        if doomed:
            doomed.clear()
            with stored.opened(Path(here.url)) as other:
                other.delete_model("m", "1.0.0")
                other.gc(grace=0)
        return read(self)

    monkeypatch.setattr(_Check, "_packs", late)
    assert [] == here.fsck()
    max((Path(here.url) / FOLDER).iterdir(), key=lambda path: path.stat().st_size).unlink()
    assert "pack" in {problem.kind for problem in here.fsck()}
