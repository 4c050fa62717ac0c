"""Bundles: what leaves as a file comes back exactly, and what is not exactly that comes back not at all."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from friday_store import (
    FridayStoreError,
    IntegrityError,
    InvalidValueError,
    ModelRegistry,
    RepositoryError,
    StorageError,
    UntrustedArtifactError,
)
from friday_store.manifest import Manifest, Note
from friday_store.objects import Kind
from friday_store.objects.pack import PackWriter
from friday_store.plugins import Plugins
from friday_store.storage import open_storage
from friday_store.sync.bundle import read_bundle
from friday_store.trust import Identity
from tests.faults import stored
from tests.servers.fixtures import Served

HOSTILE: Final = [
    "versions/m/1.0", "versions/m/1.0.0/x", "versions/../1.0.0", "versions/a%2F..%2Fb/1.0.0", "versions//1.0.0",
    "versions/m/01.0.0", "versions/%00/1.0.0", "versions/-m/1.0.0", "versions/m.lock/1.0.0", "versions/m%0A/1.0.0",
    "versions/a%E2%80%AEb/1.0.0", "versions/%6d/1.0.0", "versions/e%CC%81/1.0.0", "aliases/m/latest",
    "aliases/m/greatest",
    "aliases/m/@%7B1%7D", "aliases/m", "tags/m/t/1", "tags/m/a%20b/1.0.0", "notes/m/1.0.0/00", "notes/m/1.0.0/../x",
    "secrets/m/1.0.0", "versions", "", "/", "../../etc/passwd", "versions/" + "x" * 300 + "/1.0.0",
    "versions/" + "a" * 64 + "/1.0.0", "versions/m:1/1.0.0", "aliases/m/a~1",
]  # fmt: skip


def weights(seed: int, size: int = 3000) -> np.ndarray[Any, Any]:
    """Return a model that runs no code."""
    return np.random.default_rng(seed).random(size)


def refs(registry: ModelRegistry) -> dict[str, bytes]:
    """Return all refs with their digests."""
    return {name: value[0] for name, value in registry.repository.log.state().refs.items()}


def objects(registry: ModelRegistry) -> dict[bytes, bytes]:
    """Return the bytes of every object that is in use."""
    store = registry.repository.objects
    return {
        frame.digest: bytes(frame.decoded(store.stored(name, frame) or b""))
        for name in store.live
        for frame in store.directory(name)
    }


def files(root: Path) -> dict[str, bytes]:
    """Return everything below a folder but what an index may rewrite."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(("index.db", "writers.lock"))
    }


@pytest.fixture
def mine(tmp_path: Path) -> ModelRegistry:
    """A registry of two models with labels, notes and lineage."""
    registry = stored.opened(tmp_path / "mine")
    for seed in range(3):
        registry.register_model(weights(seed), "m", tags=["t"], aliases=["production"], metrics={"loss": seed})
    registry.register_model({"a": [1, 2]}, "plain", serializer="json", parents=["m:1.0.1"])
    registry.log_metrics("m:1.0.0", {"live": 1.0})
    return registry


@pytest.fixture
def empty(tmp_path: Path) -> ModelRegistry:
    """A registry that is there and holds nothing."""
    registry = stored.opened(tmp_path / "empty")
    registry.repository.create()
    return registry


def test_two_hundred_versions_come_back_exactly(tmp_path: Path) -> None:
    """I16: export, wipe, import: refs and objects are the same, byte by byte; importing again changes nothing."""
    root = tmp_path / "mine"
    registry = stored.opened(root)
    with registry.transaction():
        for number in range(200):
            model = weights(number, 200 + 40 * (number % 5)) if number % 2 else {"rule": number}
            form = None if number % 2 else "json"
            registry.register_model(model, f"m{number % 7}", f"1.0.{number}", tags=["t"], serializer=form)
    for number in range(0, 200, 20):
        registry.log_metrics(f"m{number % 7}:1.0.{number}", {"live": number / 3})
        registry.set_alias(f"m{number % 7}:1.0.{number}", "production")
    before = refs(registry), objects(registry)
    registry.export_models(tmp_path / "all.bundle")
    registry.close()
    shutil.rmtree(root)
    again = stored.opened(root)
    report = again.import_models(tmp_path / "all.bundle")
    assert (200, ()) == (sum(u.ref.startswith("versions/") for u in report.moved), report.rejected)
    assert before == (refs(again), objects(again))
    assert [] == again.fsck()
    kept = files(root)
    for _ in range(2):
        report = again.import_models(tmp_path / "all.bundle")
        assert ((), (), 0) == (report.moved, report.rejected, report.objects)
    assert kept == files(root)


def test_an_own_export_changes_nothing(mine: ModelRegistry, tmp_path: Path) -> None:
    """Whoever imports what he exported himself has the same files as before."""
    mine.export_models(tmp_path / "b")
    before = files(tmp_path / "mine")
    assert () == mine.import_models(tmp_path / "b").moved
    assert before == files(tmp_path / "mine")


def test_one_version_comes_back_with_its_labels(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A bundle of one version carries its tags, aliases and notes and no other's; its parents' manifests come along."""
    mine.export_model("m@production", tmp_path / "one.bundle")
    assert mine.get_model_metadata("m@production")["model_id"] == empty.import_model(tmp_path / "one.bundle")
    assert ["1.0.2"] == [record["model_version"] for record in empty.get_model_versions("m")]
    np.testing.assert_array_equal(weights(2), empty.load_model("m@production"))
    assert ["t"] == empty.get_model_metadata("m")["tags"]
    assert [] == empty.fsck()
    mine.export_model(["m:1.0.0", "plain"], tmp_path / "two.bundle")
    with pytest.raises(InvalidValueError, match="import_models"):
        empty.import_model(tmp_path / "two.bundle")
    empty.import_models(tmp_path / "two.bundle")
    assert [1.0] == list(empty.get_metric_history("m:1.0.0", "live")["value"])
    assert {"a": [1, 2]} == empty.load_model("plain")


@pytest.mark.parametrize("how", ["bundle", "time", "text"])
def test_an_increment_brings_what_is_new(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path, how: str) -> None:
    """What came after another bundle or a time is all that an increment holds, and with that base it is everything."""
    mine.export_models(tmp_path / "base")
    moment = dt.datetime.now(dt.UTC)
    mine.register_model(weights(7), "m", aliases=["production"])
    mine.add_tag("m:1.0.0", "late")
    mine.remove_tag("m:1.0.1", "t")
    mine.log_metrics("m:1.0.1", {"live": 2.0})
    mine.register_model(weights(1), "m", metrics={"loss": 77})
    since: Any = {"bundle": tmp_path / "base", "time": moment, "text": moment.isoformat()}[how]
    mine.export_models(tmp_path / "more", since=since)
    assert (tmp_path / "more").stat().st_size < 35_000 < (tmp_path / "base").stat().st_size
    before = files(tmp_path / "empty")
    with pytest.raises(IntegrityError) as refused:
        empty.import_models(tmp_path / "more")
    assert refused.value.hint is not None
    assert "import or pull that first" in refused.value.hint
    assert before == files(tmp_path / "empty")
    empty.import_models(tmp_path / "base")
    report = empty.import_models(tmp_path / "more", theirs=["*"])
    assert () == report.rejected
    assert refs(mine) == refs(empty)
    assert [] == empty.fsck()
    np.testing.assert_array_equal(weights(7), empty.load_model("m@production"))
    np.testing.assert_array_equal(weights(1), empty.load_model("m:1.0.4"))
    with pytest.raises(InvalidValueError, match="nothing is new"):
        mine.export_models(tmp_path / "none", since=dt.datetime.now(dt.UTC))


def test_a_deletion_travels_only_where_it_is_asked_for(
    mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path
) -> None:
    """An increment names what was deleted; an import takes it away with ``prune`` and keeps it without."""
    mine.export_models(tmp_path / "base")
    mine.delete_model("m", "1.0.0")
    mine.register_model(weights(9), "m")
    mine.export_models(tmp_path / "more", since=tmp_path / "base")
    empty.import_models(tmp_path / "base")
    empty.import_models(tmp_path / "more")
    assert "versions/m/1.0.0" in refs(empty)
    empty.import_models(tmp_path / "more", prune=True)
    assert refs(mine) == refs(empty)
    assert [] == empty.fsck()


def test_a_dry_run_says_what_an_import_would_do(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """The report of a dry run is that of the run, and nothing is written."""
    mine.export_models(tmp_path / "b")
    before = files(tmp_path / "empty")
    planned = empty.import_models(tmp_path / "b", dry_run=True)
    assert before == files(tmp_path / "empty")
    assert planned == empty.import_models(tmp_path / "b")


@pytest.mark.parametrize("flips", [400, pytest.param(6000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_flipped_bit_is_refused(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path, flips: int) -> None:
    """A bundle with one bit changed is refused by name and imports nothing, or the bit was in no object: then all."""
    mine.export_models(tmp_path / "sound")
    sound, source = (tmp_path / "sound").read_bytes(), random.Random(f"bundle {flips}")
    wanted, nothing = refs(mine), files(tmp_path / "empty")
    places = [source.randrange(len(sound) * 8) for _ in range(flips // 2)]
    places += [source.randrange(len(sound) * 8 - 40_000, len(sound) * 8) for _ in range(flips - len(places))]
    refused = 0
    for place in places:
        flipped = bytearray(sound)
        flipped[place // 8] ^= 1 << place % 8
        (tmp_path / "flipped").write_bytes(flipped)
        try:
            empty.import_models(tmp_path / "flipped")
        except FridayStoreError:
            refused += 1
            assert nothing == files(tmp_path / "empty"), f"bit {place}"
            continue
        assert wanted == refs(empty), f"bit {place}"
        assert [] == empty.fsck(), f"bit {place}"
        np.testing.assert_array_equal(weights(2), empty.load_model("m@production"))
        empty.close()
        shutil.rmtree(tmp_path / "empty")
        empty = stored.opened(tmp_path / "empty")
        empty.repository.create()
        nothing = files(tmp_path / "empty")
    assert refused > flips * 0.9


def test_a_bundle_of_another_length_is_refused(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A bundle that was cut anywhere, or goes on after its end, is refused by name and imports nothing."""
    mine.export_models(tmp_path / "sound")
    sound, source = (tmp_path / "sound").read_bytes(), random.Random("lengths")
    nothing = files(tmp_path / "empty")
    cuts = {0, 1, 15, 16, 63, 64, 65, len(sound) - 1, len(sound) // 2} | {
        source.randrange(len(sound)) for _ in range(60)
    }
    for data in (*(sound[:cut] for cut in sorted(cuts)), sound + b"\0", sound[1:]):
        (tmp_path / "cut").write_bytes(data)
        with pytest.raises((RepositoryError, IntegrityError)) as refused:
            empty.import_models(tmp_path / "cut")
        assert refused.value.hint
        assert nothing == files(tmp_path / "empty")


def test_a_pack_is_no_bundle(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A pack, a text, a folder and nothing at all are told from a bundle."""
    pack = next((tmp_path / "mine" / "packs").iterdir())
    (tmp_path / "text").write_text("hello " * 99)
    for path, error in (
        (pack, RepositoryError), (tmp_path / "text", RepositoryError), (tmp_path, StorageError),
        (tmp_path / "nothing", StorageError),
    ):  # fmt: skip
        with pytest.raises(error):
            empty.import_models(path)
    mine.export_models(tmp_path / "b")
    with pytest.raises(StorageError, match="is there already"):
        mine.export_models(tmp_path / "b")


Extra = dict[str, Any]


def forged(
    mine: ModelRegistry, path: Path, change: Callable[[Extra], object], *objects_too: tuple[Kind, bytes]
) -> None:
    """Write a bundle of everything in a registry with its refs changed, as an attacker would."""
    from friday_store.objects.chunking import framed

    mine.export_models(path.with_name("honest"))
    honest = read_bundle(path.with_name("honest"))
    extra = json_like(honest.directory.extra["bundle"])
    change(extra)
    storage = open_storage(path.parent)
    with PackWriter(storage, "") as writer:
        store = honest.source.objects
        for frame in honest.directory:
            writer.add(frame, store.stored(honest.directory.name, frame) or b"")
        for kind, data in objects_too:
            writer.add(*framed(kind, data, compress=False))
        directory = writer.seal({"bundle": extra})
        writer.publish(directory, path.name)
    path.with_name("honest").unlink()


def json_like(extra: Extra) -> Extra:
    """Return a copy that can be changed."""
    return {**extra, "refs": [[*ref] for ref in extra["refs"]], "gone": [[*ref] for ref in extra["gone"]]}


def refused(empty: ModelRegistry, path: Path, root: Path) -> FridayStoreError:
    """Import a bundle that must be refused, check that nothing was written, and return the error."""
    before = files(root)
    with pytest.raises(FridayStoreError) as found:
        empty.import_models(path)
    assert before == files(root)
    assert {} == refs(empty)
    return found.value


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_cannot_be_are_refused(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path, name: str) -> None:
    """S10: a bundle with a ref that nobody could have made here is refused as a whole."""
    digest = refs(mine)["versions/m/1.0.0"]
    for key in ("refs", "gone"):
        forged(mine, tmp_path / key, lambda extra, key=key: extra[key].append([name, digest]))  # type: ignore[misc]
        assert isinstance(refused(empty, tmp_path / key, tmp_path / "empty"), IntegrityError)


def put(name: str, digest: bytes) -> Callable[[Extra], object]:
    """Return a change of a bundle that lets a ref name another digest."""

    def change(extra: Extra) -> None:
        extra["refs"] = [ref for ref in extra["refs"] if ref[0] != name] + [[name, digest]]

    return change


def test_a_version_that_names_another_models_manifest(
    mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path
) -> None:
    """A ref whose manifest says another name or version is refused, under a new name and under one that is there."""
    digests = refs(mine)
    for number, (name, digest) in enumerate((
        ("versions/m/9.9.9", digests["versions/m/1.0.0"]), ("versions/m/1.0.1", digests["versions/plain/1.0.0"]),
        ("versions/other/1.0.0", digests["versions/m/1.0.0"]), ("versions/m/1.0.0", digests["versions/m/1.0.1"]),
    )):  # fmt: skip
        forged(mine, tmp_path / f"b{number}", put(name, digest))
        assert "names a manifest of" in str(refused(empty, tmp_path / f"b{number}", tmp_path / "empty"))


def test_labels_that_disagree_with_their_version(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A tag of another version, an alias of another model's version and an alias of no version are left alone."""
    digests = refs(mine)
    wrong = {
        "tags/m/bad/1.0.0": digests["versions/m/1.0.1"], "aliases/m/bad": digests["versions/plain/1.0.0"],
        "aliases/m/none": b"\7" * 32, "tags/nobody/t/1.0.0": digests["versions/m/1.0.0"],
    }  # fmt: skip
    forged(mine, tmp_path / "b", lambda extra: extra["refs"].extend([name, digest] for name, digest in wrong.items()))
    report = empty.import_models(tmp_path / "b")
    assert digests == refs(empty)
    assert {*wrong} - {"tags/nobody/t/1.0.0"} == {update.ref for update, _ in report.rejected}
    assert [] == empty.fsck()


def test_notes_about_something_else(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A note about another version, one that is no note, and one that is missing are refused with everything else."""
    digests = refs(mine)
    note = next(digest for name, digest in digests.items() if name.startswith("notes/"))
    for number, (name, digest) in enumerate((
        (f"notes/m/1.0.1/{note.hex()}", note), (f"notes/m/1.0.0/{digests['versions/m/1.0.0'].hex()}",
        digests["versions/m/1.0.0"]), (f"notes/m/1.0.0/{'7' * 64}", b"\x77" * 32),
    )):  # fmt: skip
        forged(mine, tmp_path / f"b{number}", put(name, digest))
        refused(empty, tmp_path / f"b{number}", tmp_path / "empty")


def test_a_note_under_the_name_of_another(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """The name of a note is its digest; a bundle in which it is not is refused."""
    digests = refs(mine)
    note = next(digest for name, digest in digests.items() if name.startswith("notes/"))
    forged(mine, tmp_path / "b", put(f"notes/m/1.0.0/{'7' * 64}", note))
    refused(empty, tmp_path / "b", tmp_path / "empty")


def test_a_manifest_that_disagrees_with_its_artifact(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A manifest that states another format than its artifact is refused: it would decide how bytes are read."""
    from dataclasses import replace

    from friday_store.digest import digest_of

    digest = refs(mine)["versions/m/1.0.0"]
    manifest = mine.repository.index.manifest(digest)
    lie = replace(manifest, version="5.0.0", serializer="pickle").to_bytes()
    assert "pickle" == Manifest.from_bytes(lie).serializer
    forged(mine, tmp_path / "b", put("versions/m/5.0.0", digest_of(lie)), (Kind.ENVELOPE, lie))
    assert "disagree" in str(refused(empty, tmp_path / "b", tmp_path / "empty"))


def test_what_is_no_list_of_refs(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """Whatever stands where refs belong is refused by name."""
    digest = refs(mine)["versions/m/1.0.0"]
    for number, change in enumerate((
        lambda extra: extra.update(refs=None), lambda extra: extra.update(refs=[1]),
        lambda extra: extra.update(refs="ab"),
        lambda extra: extra.pop("gone"), lambda extra: extra.update(time="now"), lambda extra: extra.update(schema=2),
        lambda extra: extra.update(refs=[["versions/m/1.0.0", b"short"]]),
        lambda extra: extra.update(refs=[[7, digest]]),
        lambda extra: extra.update(refs=[["versions/m/1.0.0", digest, 1]]), lambda extra: extra.update(time=None),
    )):  # fmt: skip
        forged(mine, tmp_path / f"b{number}", change)
        refused(empty, tmp_path / f"b{number}", tmp_path / "empty")


def test_what_a_bundle_says_of_its_origin_counts_for_nothing(mine: ModelRegistry, tmp_path: Path, home: Path) -> None:
    """Code from a bundle is refused, whoever it claims to be from, until its version or the bundle is trusted."""
    maker = ModelRegistry(tmp_path / "maker", plugins=Plugins(()), identity=Identity(None))
    maker.register_model({"a": {1, 2}}, "code")
    maker.register_model(weights(1), "data")
    forged(maker, tmp_path / "b", lambda extra: extra.update(origin=maker.repository.id))
    name = read_bundle(tmp_path / "b").directory.name
    target = ModelRegistry(tmp_path / "target", plugins=Plugins(()))
    target.import_models(tmp_path / "b")
    np.testing.assert_array_equal(weights(1), target.load_model("data"))
    with pytest.raises(UntrustedArtifactError) as found:
        target.load_model("code")
    assert name == found.value.origin
    target.trust.add("repositories", name)
    assert {"a": {1, 2}} == target.load_model("code")


@pytest.mark.parametrize("far", ["memory", "s3"])
def test_a_bundle_is_read_from_anywhere(
    mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path, far: str, request: pytest.FixtureRequest
) -> None:
    """A bundle that lies in a bucket is imported from its URL; one that is not there is said to be missing."""
    url, options = f"memory://bundles/{tmp_path.name}", None
    if far == "s3":
        served: Served = request.getfixturevalue("s3")
        url, options = served.url, dict(served.options)
    mine.export_models(tmp_path / "b")
    open_storage(url, options).create("my.bundle", (tmp_path / "b").read_bytes())
    empty.import_models(f"{url}/my.bundle", storage_options=options)
    assert refs(mine) == refs(empty)
    assert [] == empty.fsck()
    with pytest.raises(StorageError, match="no bundle"):
        empty.import_models(f"{url}/other.bundle", storage_options=options)


def test_files_go_round(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A model that left as a native file with its description comes back with what was known about it."""
    mine.update_model_metadata("plain", {"why": "because"})
    mine.export_model("plain", tmp_path / "files", format="files")
    document = json.loads((tmp_path / "files" / "metadata.json").read_text())
    assert {"a": [1, 2]} == json.loads((tmp_path / "files" / document["file"]).read_bytes())
    empty.import_model(tmp_path / "files")
    assert {"a": [1, 2]} == empty.load_model("plain")
    for key in ("metadata", "tags", "parents", "metrics", "author", "status"):
        assert mine.get_model_metadata("plain")[key] == empty.get_model_metadata("plain")[key], key
    assert [] == empty.fsck()
    seq = empty.repository.index.seq
    empty.import_model(tmp_path / "files")
    assert seq == empty.repository.index.seq
    with pytest.raises(StorageError, match="not an empty folder"):
        mine.export_model("plain", tmp_path / "files", format="files")


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../secret"}, {"file": "/etc/hostname"}, {"file": "missing"}, {"file": ""}, {"file": 7},
        {"envelope": "AAAA"}, {"envelope": 7}, {"envelope": "not base64!"}, {"notes": ["AAAA"]}, {"notes": "x"},
        {"notes": [7]}, {"tags": "t"}, {"tags": [".."]}, {"format": "nonsense"}, {"format": 7},
    ],
    ids=repr,
)  # fmt: skip
def test_files_that_were_tampered_with(
    mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path, change: dict[str, Any]
) -> None:
    """An exported folder whose description does not fit is refused by name, and nothing is written."""
    mine.log_metrics("plain", {"live": 1.0})
    mine.export_model("plain", tmp_path / "files", format="files")
    (tmp_path / "secret").write_text("{}")
    path = tmp_path / "files" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = files(tmp_path / "empty")
    with pytest.raises(FridayStoreError):
        empty.import_model(tmp_path / "files")
    assert {} == refs(empty)
    assert before == files(tmp_path / "empty")


def test_notes_are_what_they_were(mine: ModelRegistry, empty: ModelRegistry, tmp_path: Path) -> None:
    """A note goes through a bundle unchanged: who, when and what."""
    mine.set_model_status("m:1.0.0", "staging", "because")
    mine.export_models(tmp_path / "b")
    empty.import_models(tmp_path / "b")

    def notes(registry: ModelRegistry) -> list[Note]:
        return registry.repository.notes(registry.repository.resolve("m:1.0.0"))

    assert 2 == len(notes(mine))
    assert notes(mine) == notes(empty)


def test_an_interrupted_export_leaves_no_file(mine: ModelRegistry, tmp_path: Path) -> None:
    """An export of a registry that lacks an object is refused, and there is no bundle, not even a part of one."""
    pack = max((tmp_path / "mine" / "packs").iterdir(), key=lambda path: path.stat().st_size)
    with contextlib.suppress(FileNotFoundError):
        pack.unlink()
    with pytest.raises(IntegrityError):
        stored.opened(tmp_path / "mine").export_models(tmp_path / "b")
    assert [] == [path.name for path in tmp_path.iterdir() if path.is_file()]
