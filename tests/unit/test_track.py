"""What is remembered of a remote, and remotes that are no longer what they were, or lie."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from friday_store import (
    FridayStoreError,
    IntegrityError,
    ModelRegistry,
    RepositoryError,
    StorageError,
)
from friday_store.objects import Kind
from friday_store.repository import FORMAT_FILE
from friday_store.sync.track import Track
from tests.faults import stored
from tests.servers.fixtures import Served

GOOD: Final = {
    "id": "x", "format": "{}", "seen": [3, "ab"], "pushed": {"*": [1, "cd"]}, "pulled": {},
    "pending": {"aliases/m/a": None},
}  # fmt: skip


def weights(seed: int) -> np.ndarray[Any, Any]:
    """Return a model that runs no code."""
    return np.random.default_rng(seed).random(3000)


def refs(registry: ModelRegistry) -> dict[str, bytes]:
    """Return all refs with their digests."""
    return {name: value[0] for name, value in registry.repository.log.state().refs.items()}


def content(root: Path) -> dict[str, bytes]:
    """Return the files of a repository itself: log, packs, checkpoints, format."""
    found = stored.files(root)
    paths = [path for kind in ("format", "log", "pack", "checkpoint") for path in found.get(kind, [])]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """A memory comes back as it was, private to its user; without a folder nothing is kept."""
    track = Track(tmp_path / "remotes" / "hub", id="i", format="f", seen=(7, "ab"), pending={"aliases/m/a": "cd"})
    track.advance(track.pushed, ["a*"], (3, "x"))
    track.write()
    assert track == Track.read(tmp_path / "remotes" / "hub")
    assert 0o600 == (tmp_path / "remotes" / "hub" / "state.json").stat().st_mode & 0o777
    assert 0o700 == (tmp_path / "remotes" / "hub").stat().st_mode & 0o777
    Track(None, id="i").write()
    assert Track(None) == Track.read(None)
    assert not Track.read(tmp_path / "nothing").met


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", "{}", json.dumps({**GOOD, "seen": [1]}), json.dumps({**GOOD, "seen": "ab"}),
        json.dumps({**GOOD, "pushed": []}), json.dumps({**GOOD, "pushed": {"*": 3}}),
        json.dumps({**GOOD, "pending": [1]}),
        json.dumps({key: value for key, value in GOOD.items() if key != "pulled"}),
    ],
)  # fmt: skip
def test_a_damaged_memory_is_said_to_be(tmp_path: Path, text: str) -> None:
    """Whatever stands where the memory should be is an error that says what to remove, never a guess."""
    folder = tmp_path / "remotes" / "hub"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(text)
    with pytest.raises(IntegrityError) as refused:
        Track.read(folder)
    assert f"remove it: {folder / 'state.json'}" == refused.value.hint


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in place of the file, of its folder or of the folder above is refused, and nothing is written."""
    real = tmp_path / "real" / "hub"
    Track(real, id="i").write()
    for link in ("file", "folder", "above"):
        folder = tmp_path / link / "remotes" / "hub"
        if link == "above":
            folder.parent.parent.mkdir(parents=True)
            folder.parent.symlink_to(real.parent)
        elif link == "folder":
            folder.parent.mkdir(parents=True)
            folder.symlink_to(real)
        else:
            folder.mkdir(parents=True)
            (folder / "state.json").symlink_to(real / "state.json")
        with pytest.raises(IntegrityError, match="symbolic link"):
            Track.read(folder)
    before = (real / "state.json").read_bytes()
    with pytest.raises((StorageError, OSError)):
        Track(tmp_path / "folder" / "remotes" / "hub", id="other").write()
    assert before == (real / "state.json").read_bytes()


def test_marks_of_many_patterns_are_bounded() -> None:
    """The oldest patterns are forgotten, which costs another look; ``*`` covers all and never is."""
    track = Track(None)
    track.advance(track.pulled, ["*"], (1, "a"))
    for number in range(200):
        track.advance(track.pulled, [f"m{number}"], (number + 2, "b"))
    assert len(track.pulled) <= 65
    assert (201, "b") == track.since(track.pulled, ["m199"])
    assert (1, "a") == track.since(track.pulled, ["m0"])
    track.advance(track.pulled, ["*"], (300, "c"))
    assert {"*": (300, "c")} == track.pulled


def test_one_at_a_time(tmp_path: Path) -> None:
    """While one syncs with a remote, others of this machine wait; another remote is free."""
    inside, order = threading.Event(), []
    track, other = Track(tmp_path / "hub"), Track(tmp_path / "other")

    def second() -> None:
        inside.wait(10)
        with Track(tmp_path / "hub").alone():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with track.alone():
        inside.set()
        with other.alone():
            order.append("other")
        order.append("first")
    thread.join(10)
    assert ["other", "first", "second"] == order


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ModelRegistry, Path]:
    """A registry in step with its remote ``hub``, and where that is."""
    mine = stored.opened(tmp_path / "mine")
    for seed in range(3):
        mine.register_model(weights(seed), "m", tags=["t"], aliases=["production"])
    mine.register_model({"a": 1}, "n", serializer="json")
    mine.log_metrics("m:1.0.0", {"live": 1.0})
    mine.add_remote("hub", tmp_path / "hub", probe=False)
    mine.push("hub")
    mine.pull("hub")
    return mine, tmp_path / "hub"


def newest(hub: Path) -> Path:
    """Return the newest entry's file."""
    return max((hub / "log").rglob("[0-9][0-9][0-9]"))


def rolled_back(hub: Path) -> None:
    """Take away the newest entry, as a backup that was restored would."""
    newest(hub).unlink()


def rewritten(hub: Path) -> None:
    """Put another entry in the place of the newest."""
    newest(hub).unlink()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (hub / name).unlink(missing_ok=True)
    stored.opened(hub).register_model(weights(9), "evil")


def replaced(hub: Path) -> None:
    """Put another registry there."""
    shutil.rmtree(hub)
    stored.opened(hub).register_model(weights(9), "evil")


def changed_format(**changes: Any) -> Callable[[Path], None]:
    """Change the format file."""

    def change(hub: Path) -> None:
        path = hub / FORMAT_FILE
        stored.overwrite(path, (json.dumps(json.loads(path.read_text()) | changes) + "\n").encode())

    return change


def something_else(hub: Path) -> None:
    """Put a folder of other things there."""
    shutil.rmtree(hub)
    hub.mkdir()
    (hub / "thesis.tex").write_text("words")


def cut_short(hub: Path) -> None:
    """Leave half of the newest entry."""
    stored.overwrite(newest(hub), newest(hub).read_bytes()[:50])


GONE_WRONG: Final[dict[str, tuple[Callable[[Path], object], type[FridayStoreError]]]] = {
    "rolled back": (rolled_back, IntegrityError),
    "rewritten": (rewritten, IntegrityError),
    "cut short": (cut_short, IntegrityError),
    "replaced": (replaced, RepositoryError),
    "gone": (shutil.rmtree, RepositoryError),
    "something else": (something_else, RepositoryError),
}
UNKNOWN: Final[dict[str, tuple[Callable[[Path], object], type[FridayStoreError]]]] = {
    "newer": (changed_format(format=2), RepositoryError),
    "other hash": (changed_format(hash="sha256"), RepositoryError),
    "no format": (changed_format(format=None), RepositoryError),
    "no id": (changed_format(id="../../x"), IntegrityError),
    "gone": (shutil.rmtree, RepositoryError),
    "something else": (something_else, RepositoryError),
}


@pytest.mark.parametrize("what", sorted(GONE_WRONG))
def test_a_remote_that_is_not_what_it_was(pair: tuple[ModelRegistry, Path], what: str) -> None:
    """A remote that was rolled back, rewritten, replaced or lost is refused by name, and nothing changes here."""
    mine, hub = pair
    change, error = GONE_WRONG[what]
    change(hub)
    before = content(Path(mine.url))
    there = content(hub) if hub.exists() else {}
    mine.register_model(weights(50), "m")
    before = content(Path(mine.url))
    for verb in (mine.push, mine.pull, mine.fetch):
        with pytest.raises(error) as refused:
            verb("hub")
        assert refused.value.hint
        assert refused.value.exit_code in (5, 8)
        assert before == content(Path(mine.url))
        assert there == (content(hub) if hub.exists() else {})
    mine.remove_remote("hub")
    np.testing.assert_array_equal(weights(50), mine.load_model("m"))


@pytest.mark.parametrize("what", sorted(UNKNOWN))
def test_a_place_that_is_met_for_the_first_time(pair: tuple[ModelRegistry, Path], tmp_path: Path, what: str) -> None:
    """A newer format, another hash, a broken format file, another folder and nothing at all are refused by name."""
    _, hub = pair
    change, error = UNKNOWN[what]
    change(hub)
    fresh = stored.opened(tmp_path / "fresh")
    fresh.register_model(weights(60), "x")
    before = content(tmp_path / "fresh")
    with pytest.raises(error) as refused:
        fresh.pull(str(hub))
    assert refused.value.exit_code in (5, 8)
    assert before == content(tmp_path / "fresh")
    with pytest.raises(error):
        ModelRegistry.clone(hub, tmp_path / "clone")
    assert not (tmp_path / "clone" / ".friday" / FORMAT_FILE).exists()


def test_a_bucket_that_is_missing(s3: Served, pair: tuple[ModelRegistry, Path]) -> None:
    """A bucket that is not there is an error of the store that names it; nothing changes here."""
    mine, _ = pair
    before = content(Path(mine.url))
    url = f"s3://missing-{s3.bucket}/store"
    for verb in (mine.push, mine.pull):
        with pytest.raises((StorageError, RepositoryError), match=f"missing-{s3.bucket}") as refused:
            verb(url, remote_options=s3.options)
        assert "test-secret" not in str(refused.value)
        assert before == content(Path(mine.url))


def test_after_a_loss_that_was_meant_one_starts_again(pair: tuple[ModelRegistry, Path]) -> None:
    """What the hint says works: the remote is removed, added again, and everything is pushed anew."""
    mine, hub = pair
    shutil.rmtree(hub)
    with pytest.raises(RepositoryError, match="any more") as refused:
        mine.push("hub")
    assert "remote rm hub" in (refused.value.hint or "")
    mine.remove_remote("hub")
    mine.add_remote("hub", hub, probe=False)
    mine.push("hub")
    assert refs(mine) == refs(stored.opened(hub))


def written(hub: Path, moves: list[tuple[str, bytes | None, bytes | None]], **fields: Any) -> None:
    """Write an entry into a log by hand, as somebody who may write the bucket can."""
    repository = stored.opened(hub).repository
    state = repository.log.state()
    entry = repository.log.following(state, actor="mallory", message="", refs=tuple(moves), **fields)
    assert repository.log.append(entry)


Moves = list[tuple[str, bytes | None, bytes | None]]


def attacks(hub: Path) -> dict[str, Moves]:
    """Return moves of refs that no honest registry makes."""
    there = refs(stored.opened(hub))
    first, second, other = (there[f"versions/{name}"] for name in ("m/1.0.0", "m/1.0.1", "n/1.0.0"))
    note = next(digest for name, digest in there.items() if name.startswith("notes/"))
    repository = stored.opened(hub).repository
    repository.index.catch_up()
    store = repository.objects
    artifact = next(
        frame.digest for pack in store.live for frame in store.directory(pack) if frame.kind is Kind.ARTIFACT
    )
    return {
        "another version's manifest": [("versions/m/9.0.0", None, first)],
        "another model's manifest": [("versions/evil/1.0.0", None, other)],
        "an artifact": [("versions/evil/1.0.0", None, artifact)],
        "nothing": [("versions/evil/1.0.0", None, b"\7" * 32)],
        "a note as a version": [("versions/evil/1.0.0", None, note)],
        "a note about another": [(f"notes/m/1.0.1/{note.hex()}", None, note)],
        "a manifest as a note": [(f"notes/m/1.0.1/{second.hex()}", None, second)],
        "a note that is missing": [(f"notes/m/1.0.1/{'7' * 64}", None, b"\x77" * 32)],
        "a name that cannot be": [("versions/../1.0.0", None, first)],
        "a version that cannot be": [("versions/m/01.0", None, first)],
        "a space of its own": [("secrets/m/1.0.0", None, first)],
        "a moved version": [("versions/m/1.0.0", first, second)],
        "a swap": [("versions/m/1.0.0", first, second), ("versions/m/1.0.1", second, first)],
    }


ATTACKS: Final = (
    "another version's manifest", "another model's manifest", "an artifact", "nothing", "a note as a version",
    "a note about another", "a manifest as a note", "a note that is missing", "a name that cannot be",
    "a version that cannot be", "a space of its own", "a moved version", "a swap",
)  # fmt: skip


@pytest.mark.parametrize("how", ["known", "fresh", "clone"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_entry(pair: tuple[ModelRegistry, Path], tmp_path: Path, attack: str, how: str) -> None:
    """Refs that a remote moves to what they cannot name are refused by name or left alone; nothing wrong gets here."""
    mine, hub = pair
    moves = attacks(hub)[attack]
    written(hub, moves)
    if how != "known":
        mine = stored.opened(tmp_path / "clone" / ".friday")
    before = refs(mine) if mine.repository.born else {}
    try:
        if how == "clone":
            ModelRegistry.clone(hub, tmp_path / "clone")
        else:
            mine.pull(str(hub) if how == "fresh" else "hub")
    except FridayStoreError:
        assert before == (refs(mine) if mine.repository.born else {})
    after = refs(mine) if mine.repository.born else {}
    for name, old, new in moves:
        assert after.get(name) != new, "it was believed"
        assert before == {} or after.get(name) == (before.get(name) if name in before else None), old
    assert [] == mine.fsck()
    if how == "known":
        for seed in range(3):
            np.testing.assert_array_equal(weights(seed), mine.load_model(f"m:1.0.{seed}"))
        assert {"a": 1} == mine.load_model("n")


def test_labels_of_a_hostile_entry(pair: tuple[ModelRegistry, Path]) -> None:
    """A tag can mean its version alone, whatever it says; an alias of no version of its model is left alone."""
    mine, hub = pair
    there = refs(stored.opened(hub))
    first, second, other = (there[f"versions/{name}"] for name in ("m/1.0.0", "m/1.0.1", "n/1.0.0"))
    wrong: Moves = [
        ("tags/m/bad/1.0.0", None, second), ("aliases/m/bad", None, other), ("aliases/m/none", None, b"\7" * 32),
        ("tags/m/good/1.0.0", None, first),
    ]  # fmt: skip
    written(hub, wrong)
    before = refs(mine)
    report = mine.pull("hub")
    assert {"tags/m/good/1.0.0": first, "tags/m/bad/1.0.0": first, **before} == refs(mine)
    assert {"aliases/m/bad", "aliases/m/none"} == {update.ref for update, _ in report.rejected}
    assert [] == mine.fsck()


def test_a_pack_that_is_no_pack(pair: tuple[ModelRegistry, Path]) -> None:
    """An entry that names a missing, a damaged or an oversized pack cannot make a reader believe or take memory."""
    mine, hub = pair
    digest = refs(stored.opened(hub))["versions/m/1.0.0"]
    bad = "ab" * 32
    (hub / "packs" / f"{bad}.pack").write_bytes(os.urandom(5000))
    before = content(Path(mine.url))
    written(
        hub,
        [("versions/evil/1.0.0", None, b"\7" * 32), ("tags/m/x/1.0.0", None, digest)],
        packs_added=((bad, 5000), ("cd" * 32, 1 << 50)),
    )
    with pytest.raises(FridayStoreError):
        mine.pull("hub")
    assert before == content(Path(mine.url))


@pytest.fixture
def three(tmp_path: Path) -> tuple[ModelRegistry, ModelRegistry]:
    """Two registries with one hub, of which the first has pushed one tagged version and the second has nothing yet."""
    both = [stored.opened(tmp_path / name) for name in ("ann", "bob")]
    for each in both:
        each.add_remote("hub", tmp_path / "hub", probe=False)
    both[0].register_model(weights(0), "m", "1.0.0", tags=["t"])
    both[0].push("hub")
    both[0].pull("hub")
    return both[0], both[1]


def test_a_removal_after_a_pull_of_some_models_is_followed(three: tuple[ModelRegistry, ModelRegistry]) -> None:
    """What came with a pull of some models was agreed on: its removal there reaches here with a pull of all."""
    ann, bob = three
    bob.pull("hub", ["m"])
    ann.remove_tag("m", "t")
    ann.push("hub")
    bob.pull("hub")
    assert refs(ann) == refs(bob)


def test_an_alias_that_came_and_went_disputes_nothing(three: tuple[ModelRegistry, ModelRegistry]) -> None:
    """Who set an alias and removed it again has not moved it: the other side's is taken."""
    ann, bob = three
    bob.pull("hub")
    ann.set_alias("m:1.0.0", "production")
    ann.delete_alias("m", "production")
    bob.set_alias("m:1.0.0", "production")
    bob.push("hub")
    assert () == ann.push("hub").rejected
    assert () == ann.pull("hub").rejected
    assert refs(ann) == refs(bob)


def test_a_number_that_is_used_again_takes_nothing_from_the_other_version(
    three: tuple[ModelRegistry, ModelRegistry], tmp_path: Path
) -> None:
    """Labels and notes belong to a version and not to its number: they neither go nor come with another version."""
    ann, bob = three
    bob.pull("hub")
    ann.log_metrics("m:1.0.0", {"live": 1.0})
    ann.push("hub")
    hub = refs(stored.opened(tmp_path / "hub"))
    ann.delete_model("m", "1.0.0")
    ann.register_model(weights(1), "m", "1.0.0")
    assert {"versions/m/1.0.0"} == {update.ref for update, _ in ann.push("hub").rejected}
    assert hub == refs(stored.opened(tmp_path / "hub"))
    bob.log_metrics("m:1.0.0", {"live": 2.0})
    bob.push("hub")
    before = refs(ann)
    ann.pull("hub")
    assert before == refs(ann)
    assert [] == ann.fsck()
