"""What is attached to a version goes wherever the version goes, and is as safe as its model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from friday_store import (
    IntegrityError,
    InvalidNameError,
    InvalidValueError,
    ModelNotFoundError,
    ModelRegistry,
    SerializationError,
    VersionExistsError,
    refs,
)
from friday_store.manifest import Manifest

BIG = random.Random(5).randbytes(3_000_000)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """Return a report, a table in a folder, and a big file on disk."""
    (tmp_path / "big.bin").write_bytes(BIG)
    return {"report.html": b"<h1>fine</h1>", "samples/ohlc.csv": b"a,b\n1,2\n", "big.bin": tmp_path / "big.bin"}


def test_they_come_back_as_they_were(registry: ModelRegistry, files: dict[str, Any]) -> None:
    """Bytes and files are kept byte for byte, listed with their sizes, and read one by one."""
    registry.register_model([1], "m", attachments=files)
    assert {"big.bin": len(BIG), "report.html": 13, "samples/ohlc.csv": 8} == registry.attachments("m")
    assert b"<h1>fine</h1>" == bytes(registry.read_attachment("m", "report.html"))
    assert BIG == registry.read_attachment("m@latest", "big.bin")
    assert [1] == registry.load_model("m")
    assert registry.get_model_metadata("m")["attachments"]["files"] == registry.attachments("m")
    assert [] == registry.fsck()


def test_the_model_is_the_same_with_and_without(registry: ModelRegistry, files: dict[str, Any]) -> None:
    """What is attached changes the version and not the model's own digest; equal files are stored once."""
    registry.register_model([1], "m")
    registry.register_model([1], "m", attachments=files)
    registry.register_model([2], "m", attachments=files)
    records = registry.get_model_versions("m")
    assert records[1]["artifact"] == records[2]["artifact"]
    assert {} == registry.attachments("m:1.0.0")
    assert records[0]["attachments"] == records[1]["attachments"]
    assert sum(registry.repository.objects.live.values()) < 2 * len(BIG)


def test_a_version_with_other_attachments_is_another(registry: ModelRegistry) -> None:
    """The same version again with the same files is the same; with other files it is refused."""
    first = registry.register_model([1], "m", "1.0.0", attachments={"a": b"1"})
    assert first == registry.register_model([1], "m", "1.0.0", attachments={"a": b"1"})
    with pytest.raises(VersionExistsError):
        registry.register_model([1], "m", "1.0.0", attachments={"a": b"2"})


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"../up": b""}, InvalidNameError),
        ({"/top": b""}, InvalidNameError),
        ({"a b": b""}, InvalidNameError),
        ({"": b""}, InvalidNameError),
        ({5: b""}, InvalidNameError),
        ({"a": "text"}, InvalidValueError),
        ({"a": None}, InvalidValueError),
        ({"a": b"", "a/b": b""}, InvalidNameError),
        ({"a": Path("/no/such/file")}, SerializationError),
    ],
)
def test_what_cannot_be_attached(registry: ModelRegistry, given: Any, error: type[Exception]) -> None:
    """Names that could escape, what is no file, and files that are not there are refused; nothing is stored."""
    with pytest.raises(error):
        registry.register_model([1], "m", attachments=given)
    assert [] == registry.list_models()


def test_an_unknown_one_names_those_there_are(registry: ModelRegistry) -> None:
    """A name that is not there is an error that says which are."""
    registry.register_model([1], "m", attachments={"a.txt": b"1"})
    with pytest.raises(ModelNotFoundError, match=r"'b.txt' \(there are: a.txt\)"):
        registry.read_attachment("m", "b.txt")


def test_they_are_pushed_pulled_and_bundled(registry: ModelRegistry, files: dict[str, Any], tmp_path: Path) -> None:
    """They travel with push and pull, in a bundle, and as plain files; a dry run counts them."""
    registry.register_model([1], "m", "1.0.0", attachments=files)
    shared = str(tmp_path / "shared")
    planned = registry.push(shared, dry_run=True)
    assert planned.objects == registry.push(shared).objects
    registry.export_model("m", tmp_path / "m.friday")
    registry.export_model("m", tmp_path / "plain", format="files")
    assert BIG == (tmp_path / "plain" / "attachments" / "big.bin").read_bytes()
    ways: list[Callable[[ModelRegistry], object]] = [
        lambda other: other.pull(shared),
        lambda other: other.import_model(tmp_path / "m.friday"),
        lambda other: other.import_model(tmp_path / "plain"),
    ]
    for number, bring in enumerate(ways):
        with ModelRegistry(tmp_path / f"other{number}") as other:
            bring(other)
            assert BIG == other.read_attachment("m", "big.bin")
            assert b"a,b\n1,2\n" == bytes(other.read_attachment("m", "samples/ohlc.csv"))
            assert [] == other.fsck()


def test_a_clone_of_metadata_fetches_them_when_they_are_read(registry: ModelRegistry, tmp_path: Path) -> None:
    """A clone without data knows what is attached, and brings it when it is asked for."""
    registry.register_model([1], "m", attachments={"big.bin": BIG})
    registry.push(str(tmp_path / "shared"))
    with ModelRegistry.clone(str(tmp_path / "shared"), tmp_path / "clone", metadata_only=True) as clone:
        assert {"big.bin": len(BIG)} == clone.attachments("m")
        assert BIG == clone.read_attachment("m", "big.bin")


def test_an_exported_folder_that_was_changed_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    """Plain files that are not what the manifest names, or lack one, are not imported."""
    registry.register_model([1], "m", attachments={"a.txt": b"1", "b.txt": b"2"})
    registry.export_model("m", tmp_path / "plain", format="files")
    file = tmp_path / "plain" / "attachments" / "a.txt"
    for content in (b"3", None):
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        with ModelRegistry(tmp_path / "other") as other:
            with pytest.raises(ValueError, match=r"attached to m:1\.0\.0"):
                other.import_model(tmp_path / "plain")
            assert [] == other.list_models()


def test_damage_is_found_and_mended(registry: ModelRegistry, tmp_path: Path) -> None:
    """A flipped bit in an attachment is an error when it is read and in ``fsck``, and comes back from a remote."""
    registry.register_model([1], "m", attachments={"big.bin": BIG})
    registry.push(str(tmp_path / "shared"))
    assert isinstance(registry.repository.storage.root, Path)
    (pack,) = (registry.repository.storage.root / "packs").rglob("*.pack")
    data = bytearray(pack.read_bytes())
    data[200_000] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    registry.repository.objects.forget()
    with pytest.raises(IntegrityError):
        registry.read_attachment("m", "big.bin")
    assert registry.fsck()
    registry.add_remote("origin", tmp_path / "shared")
    registry.repair(["origin"])
    assert BIG == registry.read_attachment("m", "big.bin")
    assert [] == registry.fsck()


def test_they_are_kept_by_gc_and_go_with_their_version(registry: ModelRegistry) -> None:
    """Collection leaves what a version needs, and takes it when the version is forgotten."""
    kept = registry.register_model([1], "kept", attachments={"a.bin": BIG[:100_000]})
    registry.register_model([2], "gone", attachments={"b.bin": BIG[100_000:900_001]})
    registry.delete_model("gone", force=True)
    collected(registry)
    assert BIG[:100_000] == registry.read_attachment(kept, "a.bin")
    assert [] == registry.fsck()


def collected(registry: ModelRegistry) -> None:
    """Collect garbage now."""
    registry.gc(grace=0)


@pytest.mark.parametrize(
    "said",
    [
        5, [], {"artifact": "ab" * 32}, {"artifact": "xy" * 32, "files": {}}, {"artifact": "ab" * 31, "files": {}},
        {"artifact": "ab" * 32, "files": {"a": -1}}, {"artifact": "ab" * 32, "files": {"a": "1"}},
        {"artifact": b"ab", "files": {}}, {"artifact": "ab" * 32, "files": {}, "more": 1},
    ],
    ids=lambda said: json.dumps(said, default=str),
)  # fmt: skip
def test_a_manifest_that_says_something_else_is_refused(registry: ModelRegistry, said: Any) -> None:
    """A fact of that name that is none is refused when the manifest is read."""
    model_id = registry.register_model([1], "m")
    manifest = registry.repository.index.manifest(bytes.fromhex(model_id))
    object.__setattr__(manifest, "facts", {**manifest.facts, "attachments": said})
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(manifest.to_bytes())


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../../x", "a/../../x", "..", "", "x/", "a//b", ".bashrc", "a/.ssh", "nul\x00", "esc\x1b[2J"],
)
def test_a_strangers_names_lead_nowhere(
    name: str, registry: ModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version whose files a careless client named so is refused by whoever pulls it, and nothing is written."""
    with monkeypatch.context() as careless, ModelRegistry(tmp_path / "theirs") as theirs:
        careless.setattr(refs, "check_files", lambda _names, _what: None)
        theirs.register_model([1], "m", attachments={name: b"x"})
    with pytest.raises(IntegrityError, match="name of an attachment"):
        registry.pull(str(tmp_path / "theirs"))
    assert [] == registry.list_models()
