"""One verb between repositories: what moves, what is refused, what is verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import (
    ConflictError,
    IntegrityError,
    InvalidNameError,
    InvalidValueError,
    ModelNotFoundError,
    ModelRegistry,
    RepositoryError,
    UntrustedArtifactError,
)
from friday_store.sync import Progress
from friday_store.trust import Identity


def weights(seed: int, size: int = 30_000) -> np.ndarray[Any, Any]:
    """Return an array that is stored out of band, in a format that runs no code."""
    return np.random.default_rng(seed).random(size)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ModelRegistry, ModelRegistry]:
    """A registry with three versions of ``m`` and one of ``other``, and a clone of what it pushed."""
    mine = ModelRegistry(tmp_path / "mine")
    for seed in range(3):
        mine.register_model(weights(seed), "m", tags=["t"], aliases=["production"], metrics={"loss": seed})
    mine.register_model(weights(9), "other", parents=["m:1.0.1"])
    mine.add_remote("shared", tmp_path / "shared")
    mine.push("shared")
    return mine, ModelRegistry.clone(tmp_path / "shared", tmp_path / "laptop")


def refs(registry: ModelRegistry) -> set[str]:
    """Return all refs with their digests, as text."""
    return {f"{name} {value[0].hex()}" for name, value in registry.repository.log.state().refs.items()}


def test_a_clone_has_everything(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """Refs, records, lineage and bytes are the same on the other side, which is sound."""
    mine, laptop = pair
    assert refs(mine) == refs(laptop)
    assert mine.get_model_metadata("other")["parents"] == laptop.get_model_metadata("other")["parents"]
    np.testing.assert_array_equal(weights(2), laptop.load_model("m@production"))
    assert [] == laptop.fsck()
    assert {"origin": "../../shared"} == laptop.remotes()


def test_the_second_push_sends_nothing(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """What is there is not sent again, and nothing is written."""
    mine, _ = pair
    before = mine.repository.index.seq
    report = mine.push("shared")
    assert (0, (), ()) == (report.objects, report.moved, report.rejected)
    assert before == mine.repository.index.seq


def test_only_what_is_missing_is_sent(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """A version of known bytes costs its manifest; a dry run says so beforehand and changes nothing."""
    mine, laptop = pair
    mine.register_model(weights(0), "m", metrics={"loss": 7})
    planned = mine.push("shared", dry_run=True)
    done = mine.push("shared")
    assert (1, planned) == (done.objects, done)
    assert 1 == laptop.pull().objects
    assert "1.0.3" == laptop.get_latest_version("m")


def test_patterns_choose_models(tmp_path: Path, pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """Only models whose names match are copied; a parent's manifest comes along, its model does not."""
    mine, _ = pair
    mine.push(str(tmp_path / "some"), ["oth*"])
    some = ModelRegistry(tmp_path / "some")
    assert ["other"] == some.model_names()
    assert [] == some.fsck()
    parent = bytes.fromhex(some.get_model_metadata("other")["parents"][0])
    assert "m" == some.repository.index.manifest(parent).name


def test_the_same_version_with_other_content_is_rejected(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """A version is create-only on every side: neither push nor pull nor force overwrites it."""
    mine, laptop = pair
    ours = mine.register_model(weights(100), "m", "2.0.0", tags=["t"], aliases=["candidate"])
    theirs = laptop.register_model(weights(200), "m", "2.0.0")
    mine.push("shared")
    for report in (laptop.push(force=True), laptop.pull(force=True)):
        reasons = {update.ref: reason for update, reason in report.rejected}
        assert "the version exists there with other content" == reasons["versions/m/2.0.0"]
    assert theirs == laptop.get_model_metadata("m:2.0.0")["model_id"]
    assert ours == mine.get_model_metadata("m:2.0.0")["model_id"]
    with pytest.raises(ModelNotFoundError):
        laptop.get_model_metadata("m@candidate")
    assert [] == laptop.fsck()


def test_an_alias_follows_who_moved_it(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """Moved on one side, it moves on the other, in both directions and also backwards."""
    mine, laptop = pair
    laptop.promote("m:1.0.0")
    laptop.push()
    mine.pull("shared")
    assert "1.0.0" == mine.get_model_metadata("m@production")["model_version"]
    mine.promote("m:1.0.1")
    mine.push("shared")
    laptop.pull()
    assert "1.0.1" == laptop.get_model_metadata("m@production")["model_version"]


def test_an_alias_moved_on_both_sides_is_a_conflict(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """Neither side's move is lost: it is rejected with the reason, and forced only when asked."""
    mine, laptop = pair
    laptop.promote("m:1.0.0")
    laptop.push()
    mine.promote("m:1.0.1")
    [(update, reason)] = mine.push("shared").rejected
    assert ("aliases/m/production", "it moved on both sides") == (update.ref, reason)
    assert mine.pull("shared").rejected
    assert "1.0.1" == mine.get_model_metadata("m@production")["model_version"]
    mine.push("shared", force=True)
    laptop.pull()
    assert "1.0.1" == laptop.get_model_metadata("m@production")["model_version"]


def test_notes_and_tags_are_merged(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """What both sides said about one version is said on both sides afterwards, in one order."""
    mine, laptop = pair
    mine.log_metrics("m:1.0.0", {"live": 1.0})
    laptop.log_metrics("m:1.0.0", {"live": 2.0})
    laptop.add_tag("m:1.0.0", "seen")
    laptop.push()
    mine.pull("shared")
    mine.push("shared")
    laptop.pull()
    assert [1.0, 2.0] == list(mine.get_metric_history("m:1.0.0", "live")["value"])
    assert [1.0, 2.0] == list(laptop.get_metric_history("m:1.0.0", "live")["value"])
    assert ["seen", "t"] == mine.get_model_metadata("m:1.0.0")["tags"]


def test_two_pushes_at_once_lose_nothing(pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path) -> None:
    """A target that changes between plan and commit is looked at again."""
    mine, laptop = pair
    shared = ModelRegistry(tmp_path / "shared")
    mine.register_model(weights(50), "m")

    seen: list[Progress] = []

    def meanwhile(progress: Progress) -> None:
        if not seen:
            shared.register_model(weights(60), "third")
        seen.append(progress)

    mine.push("shared", progress=meanwhile)
    laptop.pull()
    assert ["m", "other", "third"] == laptop.model_names()
    assert "1.0.3" == laptop.get_latest_version("m")


def test_what_came_from_elsewhere_runs_no_code(tmp_path: Path) -> None:
    """A stranger's pickle that was cloned is refused until its origin is trusted; data formats load at once."""
    mine = ModelRegistry(tmp_path / "mine", identity=Identity(None))
    mine.register_model({"a": 1}, "code")
    mine.register_model(weights(1), "data")
    mine.push(str(tmp_path / "shared"))
    laptop = ModelRegistry.clone(tmp_path / "shared", tmp_path / "laptop")
    laptop.load_model("data")
    with pytest.raises(UntrustedArtifactError) as refused:
        laptop.load_model("code")
    laptop.trust.add("repositories", refused.value.origin)
    assert {"a": 1} == laptop.load_model("code")


def test_deleting_and_restoring_keeps_the_origin(tmp_path: Path) -> None:
    """A foreign version that was deleted and restored here is still foreign."""
    mine = ModelRegistry(tmp_path / "mine", identity=Identity(None))
    mine.register_model({"a": 1}, "code")
    mine.push(str(tmp_path / "shared"))
    laptop = ModelRegistry.clone(tmp_path / "shared", tmp_path / "laptop")
    laptop.delete_model("code")
    laptop.restore_model("code")
    with pytest.raises(UntrustedArtifactError):
        laptop.load_model("code")


def test_damage_at_the_source_never_arrives(pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path) -> None:
    """An object that does not match its digest stops the copy; nothing of it is visible."""
    mine, _ = pair
    [pack] = [path for path in (tmp_path / "mine" / "packs").iterdir() if path.stat().st_size > 100_000][:1]
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(8192)
        byte = file.read(1)
        file.seek(8192)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(IntegrityError):
        mine.push(str(tmp_path / "new"))
    assert [] == ModelRegistry(tmp_path / "new").model_names()


def test_a_remote_that_became_another_is_refused(pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path) -> None:
    """A remote with another id than at the last sync is not synced with."""
    mine, _ = pair
    (tmp_path / "shared").rename(tmp_path / "moved")
    ModelRegistry(tmp_path / "shared").register_model(weights(1), "m")
    with pytest.raises(RepositoryError, match="another repository"):
        mine.push("shared")


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x.lock", "a/b", "x" * 65, "ä"])
def test_impossible_remote_names_are_refused(pair: tuple[ModelRegistry, ModelRegistry], name: str) -> None:
    """A remote's name is a plain word, since a file is named after it."""
    with pytest.raises(InvalidNameError):
        pair[0].add_remote(name, "/somewhere")


def test_remotes_are_refused_with_reasons(pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path) -> None:
    """Unknown and taken names, passwords in URLs, the repository itself, and nothing to pull from."""
    mine, _ = pair
    with pytest.raises(ModelNotFoundError, match="no remote 'nowhere'"):
        mine.push("nowhere")
    with pytest.raises(InvalidValueError, match="already"):
        mine.add_remote("shared", tmp_path)
    with pytest.raises(InvalidValueError, match="password") as refused:
        mine.add_remote("bucket", "s3://key:hunter2@bucket/models")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(InvalidValueError, match="this very repository"):
        mine.push(str(tmp_path / "mine"))
    with pytest.raises(RepositoryError, match="no registry"):
        mine.pull(str(tmp_path / "empty" / ".." / "nothing"))
    with pytest.raises(RepositoryError, match="not empty"):
        ModelRegistry.clone(tmp_path / "shared", tmp_path / "laptop")
    mine.remove_remote("shared")
    assert {} == mine.remotes()


def test_expected_guards_an_alias(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """An alias moves only from where the caller saw it, if it says so."""
    mine, _ = pair
    seen = mine.get_model_metadata("m@production")["model_id"]
    mine.set_alias("m:1.0.0", "production", expected=seen)
    with pytest.raises(ConflictError):
        mine.set_alias("m:1.0.1", "production", expected=seen)


def test_a_parent_that_comes_after_its_child_arrives_whole(tmp_path: Path) -> None:
    """A version that was reached as a parent first, because it was restored later, is copied with its model."""
    mine = ModelRegistry(tmp_path / "mine")
    for seed in range(2):
        mine.register_model(weights(seed), "m")
    mine.delete_model("m", "1.0.0")
    mine.restore_model("m", "1.0.0")
    report = mine.push(str(tmp_path / "shared"))
    shared = ModelRegistry(tmp_path / "shared")
    assert [] == shared.fsck()
    assert 7 == report.objects  # two arrays, one description that both share, two artifacts, two manifests
    np.testing.assert_array_equal(weights(0), shared.load_model("m:1.0.0"))


def test_a_mirror_takes_notes_away_once(pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path) -> None:
    """A note that the mirrored registry lacks is gone from the log and from every index, and is not removed again."""
    mine, laptop = pair
    laptop.log_metrics("m:1.0.0", {"loss": 7.0})
    laptop.push("origin")
    with ModelRegistry(tmp_path / "shared") as shared:
        assert {"loss": 7.0} == shared.get_model_metadata("m:1.0.0")["metrics"]
        mine.mirror(["shared"])
        assert {"loss": 0.0} == shared.get_model_metadata("m:1.0.0")["metrics"]
        assert refs(mine) == refs(shared)
        mine.mirror(["shared"])
        assert refs(mine) == refs(shared)
        assert [] == shared.fsck()
