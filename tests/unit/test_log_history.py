"""Who writes a log anew is found out by those who saw the old one, wherever the chain was broken or not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from friday_store import InvalidValueError, RepositoryError
from friday_store.digest import digest_of
from friday_store.log import Log, LogEntry, checkpoint_path, entry_path
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

Edit = Callable[[LogEntry], LogEntry]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[ModelRegistry]:
    """A registry with a protected alias, a tag and a checkpoint."""
    with ModelRegistry(tmp_path / "team", plugins=Plugins(()), actor="lead@team") as registry:
        registry.register_model([1], "m", "1.0.0", serializer="json", aliases=["production"], tags=["t"])
        registry.register_model([2], "m", "2.0.0", serializer="json")
        registry.protect("production")
        yield registry


def rewrite(folder: Path, number: int, edit: Edit) -> None:
    """Write a log anew from an entry on, consistently: chain, checksums, checkpoints; no index remembers it."""
    storage = ModelRegistry(folder, plugins=Plugins(())).repository
    log = storage.log
    state = log.state(number - 1)
    entries = [entry for entry, _ in log.after(state.seq, state.entry)]
    for path in [*(folder / "log").rglob("*"), *(folder / "checkpoints").rglob("*")]:
        if path.is_file() and (path.parent.name == "checkpoints" or seq_of(path) >= number):
            path.unlink()
    for entry in entries:
        made = replace(edit(entry) if entry.seq == number else entry, prev=state.entry, seq=state.seq + 1)
        digest = log.append(made)
        assert digest is not None
        state.apply(made, digest)
        if made.seq % 256 == 0:
            log.checkpoint(made.seq)
    storage.close()
    for left in folder.glob("index.db*"):
        left.unlink()


def seq_of(path: Path) -> int:
    """Return the number of the entry at a path."""
    return int(path.parent.name) * 1000 + int(path.name)


def grown(registry: ModelRegistry, entries: int) -> None:
    """Move an alias until the log has so many entries."""
    while registry.repository.index.seq < entries:
        registry.set_alias(f"m:{1 + registry.repository.index.seq % 2}.0.0", "moving")


def test_first_look_and_growth(team: ModelRegistry, home: Path) -> None:
    """What is seen first is believed; what is added later is history too; all of it lies in a private file."""
    first = team.verify_log()
    assert (None, None, (), team.repository.index.seq) == (first.known, first.differs, first.problems, first.entries)
    assert (2, 0) == (first.signed, first.unsigned)
    assert team.repository.index.state.entry.hex() == first.digest
    grown(team, 300)
    second = team.verify_log()
    assert (first.entries, None, (), 300) == (second.known, second.differs, second.problems, second.entries)
    files = [path for path in (home / "seen").iterdir() if path.is_file()]
    assert {f"{team.repository.id}.log", "places.json"} == {path.name for path in files}
    assert {0o600} == {path.stat().st_mode & 0o777 for path in files}
    assert not any("seen" in path.name for path in Path(team.url).rglob("*"))


FORGERIES: dict[str, tuple[int, Edit]] = {
    "who": (2, lambda entry: replace(entry, actor="nobody")),
    "why": (3, lambda entry: replace(entry, message="as if")),
    "when": (4, lambda entry: replace(entry, time=entry.time + 1)),
    "the newest": (260, lambda entry: replace(entry, message="as if")),
    "no protection": (4, lambda entry: replace(entry, protection=None, message="nothing")),
    "a key more": (5, lambda entry: replace(entry, extra={"x": 1})),
}


@pytest.mark.parametrize(("number", "edit"), FORGERIES.values(), ids=FORGERIES)
def test_a_history_that_was_rewritten_whole_shows(number: int, edit: Edit, team: ModelRegistry) -> None:
    """The chain is sound, the checkpoint agrees, fsck finds nothing; this user's memory names the first other entry."""
    grown(team, 260)
    team.verify_log()
    team.close()
    rewrite(Path(team.url), number, edit)
    with ModelRegistry(team.url, plugins=Plugins(())) as again:
        assert [] == again.fsck()
        for _ in range(2):  # looking does not make it right
            found = again.verify_log()
            assert (number, 260, 260) == (found.differs, found.known, found.entries)
            [problem] = found.problems
            assert ("history", entry_path(number)) == (problem.kind, problem.path)
            assert f"log entry {number} is not the one that you saw on" in problem.message
        assert number == again.verify_log(accept=True).differs
        assert () == again.verify_log().problems


def test_a_log_that_was_cut_shows(team: ModelRegistry) -> None:
    """An old copy put in the place of the registry ends before what was seen."""
    team.verify_log()
    shutil.copytree(team.url, f"{team.url}.old")
    team.set_alias("m:2.0.0", "x")
    team.verify_log()
    team.close()
    shutil.rmtree(team.url)
    shutil.move(f"{team.url}.old", team.url)
    with ModelRegistry(team.url, plugins=Plugins(())) as again:
        found = again.verify_log()
        assert 5 == found.differs
        assert "log entry 5 is gone" in found.problems[0].message


def test_another_registry_in_the_same_place_shows(team: ModelRegistry) -> None:
    """One with another id has no history in common, and its place gives it away."""
    team.verify_log()
    team.close()
    shutil.rmtree(team.url)
    with ModelRegistry(team.url, plugins=Plugins(())) as other:
        other.register_model([1], "m", "1.0.0", serializer="json")
        found = other.verify_log()
        assert 0 == found.differs
        assert f"repository {team.repository.id[:8]} was at this place" in found.problems[0].message
        other.verify_log(accept=True)
        assert () == other.verify_log().problems


def test_a_break_is_found_without_memory(team: ModelRegistry) -> None:
    """An entry exchanged alone, one that is missing and a false checkpoint each show at the first look."""
    grown(team, 300)
    team.close()
    log = Log(team.repository.storage, team.repository.log.root, team.repository.settings.clock)
    sound = {path: path.read_bytes() for path in Path(team.url, "log").rglob("*") if path.is_file()}

    def found() -> list[tuple[str, str]]:
        return [(each.kind, each.path) for each in team.verify_log().problems]

    for number in (2, 256, 299):
        entry = log.read(number)
        assert entry is not None
        path = Path(team.url, entry_path(number))
        forged = replace(entry[0], message="forged").to_bytes()
        path.chmod(0o600)
        path.write_bytes(forged + digest_of(forged))
        assert ("log", entry_path(number + 1)) in found()
        path.unlink()
        assert ("log", entry_path(number)) in found()
        path.write_bytes(sound[path])
    checkpoint = Path(team.url, checkpoint_path(256))
    kept = checkpoint.read_bytes()
    checkpoint.unlink()
    log.checkpoint(256)
    assert kept == checkpoint.read_bytes()
    assert [] == found()
    checkpoint.chmod(0o600)
    checkpoint.write_bytes(kept[:-1] + b"\0")
    assert [("checkpoint", checkpoint_path(256))] == found()


@pytest.mark.parametrize("override", [False, True])
def test_a_move_by_hand_of_what_is_protected_shows(override: bool, team: ModelRegistry) -> None:
    """An entry that our programs would not write is found, by fsck as a warning too; one that says so is not."""
    log = team.repository.log
    state = log.state()
    first, second = (bytes.fromhex(team.get_model_metadata("m", v)["model_id"]) for v in ("1.0.0", "2.0.0"))
    moves = (("aliases/m/production", first, second),)
    assert log.append(log.following(state, actor="mallory", message="alias", refs=moves, override=override))
    found = team.verify_log().problems
    if override:
        assert () == found
        return
    assert [("protection", entry_path(5))] == [(each.kind, each.path) for each in found]
    assert "by 'mallory', moves aliases/m/production, which was protected" in found[0].message
    assert ["warning"] == [each.severity for each in team.fsck()]


def test_taking_away_by_hand_shows(team: ModelRegistry) -> None:
    """The same for what an append-only registry loses."""
    team.protect(append_only=True)
    log = team.repository.log
    tag = bytes.fromhex(team.get_model_metadata("m:1.0.0")["model_id"])
    moves = (("tags/m/t/1.0.0", tag, None),)
    assert log.append(log.following(log.state(), actor="mallory", message="untag", refs=moves, override=True))
    assert ["protection"] == [each.kind for each in team.verify_log().problems]


def test_a_false_signature_shows(team: ModelRegistry) -> None:
    """A version whose signature is not valid is named; one without is counted."""
    from friday_store.registry import recording

    def forged(manifest: Any) -> Any:
        return manifest.signed(lambda _: {"keyid": b"k" * 32, "sig": b"s" * 64})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(team.identity), "signed", lambda self, manifest: forged(manifest))
        team.register_model([3], "m", "3.0.0", serializer="json")
        patch.setattr(type(team.identity), "signed", lambda self, manifest: recording._unsigned(manifest))
        team.register_model([4], "m", "4.0.0", serializer="json")
    found = team.verify_log()
    assert (2, 1) == (found.signed, found.unsigned)
    assert [("signature", "m:3.0.0 bears a signature that is not valid")] == [
        (each.kind, each.message) for each in found.problems
    ]


def test_a_remote_is_asked_itself(team: ModelRegistry, tmp_path: Path) -> None:
    """What a remote's log was is remembered apart from syncs, and its rewritten log is named by number."""
    with ModelRegistry.clone(team.url, tmp_path / "ann", plugins=Plugins(())) as ann:
        assert 4 == ann.verify_log("origin").entries
        team.close()
        rewrite(Path(team.url), 3, lambda entry: replace(entry, message="as if"))
        assert 3 == ann.verify_log("origin").differs
        assert None is ann.verify_log().differs
        with pytest.raises(RepositoryError):
            ann.verify_log(str(tmp_path / "nothing"))


def test_damaged_memory_is_not_taken_for_none(team: ModelRegistry, home: Path) -> None:
    """A changed file of what was seen is an error that names it, never a first look."""
    team.verify_log()
    for name in (f"{team.repository.id}.log", "places.json"):
        path = home / "seen" / name
        kept = path.read_bytes()
        for bad in (b"", kept[:-1], b"x" + kept[1:]):
            path.write_bytes(bad)
            with pytest.raises(InvalidValueError, match="is damaged"):
                team.verify_log()
        path.write_bytes(kept)
    assert () == team.verify_log().problems
