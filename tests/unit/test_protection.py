"""What is protected stays where it is, whoever asks and from wherever, until somebody says on record that it may go."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from friday_store import ConflictError, InvalidNameError, InvalidValueError, ModelNotFoundError, ProtectedError
from friday_store.log import Log, LogEntry, State
from friday_store.plugins import Plugins
from friday_store.protection import Protection
from friday_store.refs import Ref
from friday_store.registry import ModelRegistry

Registry = ModelRegistry


@pytest.fixture
def team(tmp_path: Path) -> Iterator[ModelRegistry]:
    """A registry with two versions of a model, the first in production, which is protected."""
    with ModelRegistry(tmp_path / "team", plugins=Plugins(()), actor="lead@team") as registry:
        registry.register_model([1], "m", "1.0.0", serializer="json", aliases=["production"], tags=["t"])
        registry.register_model([2], "m", "2.0.0", serializer="json", aliases=["canary"])
        registry.protect("production")
        yield registry


def at(registry: ModelRegistry, alias: str = "production") -> str:
    """Return the version that an alias of the model names."""
    return str(registry.get_model_metadata(f"m@{alias}")["model_version"])


MOVES: dict[str, Callable[[Registry], Any]] = {
    "set": lambda r: r.set_alias("m:2.0.0", "production"),
    "set where it is expected": lambda r: r.set_alias(
        "m:2.0.0", "production", expected=r.get_model_metadata("m:1.0.0")["model_id"]
    ),
    "promote": lambda r: r.promote("m:2.0.0"),
    "roll back": lambda r: r.rollback("m"),
    "remove": lambda r: r.delete_alias("m", "production"),
    "register with it": lambda r: r.register_model([3], "m", serializer="json", aliases=["production"]),
    "register another model with it": lambda r: r.register_model([3], "n", serializer="json", aliases=["production"]),
    "delete what it names": lambda r: r.delete_model("m", "1.0.0", force=True),
    "delete the model": lambda r: r.delete_model("m", force=True),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_protected_alias_does_not_move(move: Callable[[Registry], Any], team: ModelRegistry) -> None:
    """Whatever would make, move or remove it is refused whole, with what to do; nothing is written."""
    team.promote("m:2.0.0", override=True)
    team.promote("m:1.0.0", override=True)
    before = list(team.repository.index.dump())
    packs = sorted(Path(team.url, "packs").rglob("*.pack"))
    with pytest.raises(ProtectedError, match="is protected") as caught:
        move(team)
    assert "--override" in str(caught.value.hint)
    assert caught.value.exit_code == 4
    assert before == list(team.repository.index.dump())
    assert packs == sorted(Path(team.url, "packs").rglob("*.pack"))
    assert "1.0.0" == at(team)
    assert [] == team.list_models("n")


def test_an_override_is_on_record(team: ModelRegistry) -> None:
    """Who says so moves it, and the entry says that they did; an override of what is not protected says nothing."""
    team.set_alias("m:2.0.0", "production", override=True)
    assert "2.0.0" == at(team)
    team.rollback("m", override=True)
    assert "1.0.0" == at(team)
    team.set_alias("m:1.0.0", "canary", override=True)
    with team.transaction("hotfix", override=True):
        team.promote("m:2.0.0")
        team.set_alias("m:2.0.0", "canary")
    team.delete_alias("m", "production", override=True)
    assert [True, True, False, True, True] == [entry.override for entry in reversed(team.repository.entries()[:5])]


def test_an_override_is_of_one_alias(team: ModelRegistry) -> None:
    """Within a transaction, that one protected alias may move does not let another go with it."""
    team.protect("canary")

    def both() -> None:
        with team.transaction("both"):
            team.set_alias("m:2.0.0", "production", override=True)
            team.set_alias("m:1.0.0", "canary")

    with pytest.raises(ProtectedError, match="m@canary"):
        both()
    assert ("1.0.0", "2.0.0") == (at(team), at(team, "canary"))


def test_globs(team: ModelRegistry) -> None:
    """A glob covers models and aliases; an alias alone is that of every model, and everything else moves freely."""
    assert ("*@production", "aapl_*@c?") == team.protect("aapl_*@c?", "production").aliases
    covers = team.protection().covers
    assert covers("any/model@x", "production")
    assert covers("aapl_1d", "c2")
    assert not covers("aapl_1d", "candidate")
    team.set_alias("m:1.0.0", "canary")
    assert ("aapl_*@c?",) == team.unprotect("*@production").aliases
    team.promote("m:2.0.0")
    for bad in ("", "a b", "x\n", "a" * 600):
        with pytest.raises(InvalidNameError):
            team.protect(bad)
    with pytest.raises(ModelNotFoundError, match="not protected"):
        team.unprotect("production")
    with pytest.raises(ModelNotFoundError, match="not append-only"):
        team.unprotect(append_only=True)


def test_it_is_in_the_log_with_who_and_when(team: ModelRegistry) -> None:
    """Each change is an entry by somebody; what changes nothing makes none."""
    seq = team.repository.index.seq
    team.protect("production")
    assert seq == team.repository.index.seq
    team.unprotect("production")
    [off, on] = [entry for entry in team.repository.entries() if entry.protection is not None]
    assert ("protect *@production", "lead@team", Protection(("*@production",))) == (on.message, on.actor, on.protection)
    assert ("unprotect *@production", Protection()) == (off.message, off.protection)
    with pytest.raises(InvalidValueError, match="entry of its own"), team.transaction():
        team.protect("x")


def test_it_comes_back_with_the_log(team: ModelRegistry) -> None:
    """A new index, a checkpoint and another process know of it."""
    team.protect(append_only=True)
    expected = team.protection()
    while team.repository.index.seq < 257:
        team.set_alias(f"m:{1 + team.repository.index.seq % 2}.0.0", "moving")
    checkpoint = team.repository.log.read_checkpoint(256)
    assert expected == checkpoint.protection
    assert checkpoint.to_bytes() == State.from_bytes(checkpoint.to_bytes()).to_bytes()
    rows = list(team.repository.index.dump())
    team.repository.index.rebuild()
    assert rows == list(team.repository.index.dump())
    assert expected == team.protection()
    Path(team.url, "index.db").unlink()
    with ModelRegistry(team.url, plugins=Plugins(())) as again:
        assert expected == again.protection()
        with pytest.raises(ProtectedError):
            again.promote("m:2.0.0")
        assert [] == again.fsck()


def test_an_index_that_forgot_it_is_made_anew(team: ModelRegistry) -> None:
    """Who edits the index does not unprotect anything."""
    import sqlite3

    team.close()
    with sqlite3.connect(Path(team.url, "index.db")) as database:
        database.execute("UPDATE state SET value = replace(value, '*@production', '*@nothing') WHERE key='protection'")
    database.close()
    with ModelRegistry(team.url, plugins=Plugins(())) as again, pytest.raises(ProtectedError):
        again.promote("m:2.0.0")


def test_a_race_does_not_get_past_it(team: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that was planned before the protection came, and commits after it, is refused."""
    with ModelRegistry(team.url, plugins=Plugins(())) as other:
        real = Log.append
        done = False

        def append(self: Log, entry: LogEntry) -> bytes | None:
            nonlocal done
            if not done and entry.refs:
                done = True
                other.protect("canary", append_only=True)
            return real(self, entry)

        monkeypatch.setattr(Log, "append", append)
        with pytest.raises(ProtectedError, match="m@canary"):
            team.register_model([9], "m", "9.0.0", serializer="json", aliases=["canary"])
    assert "2.0.0" == at(team, "canary")
    assert [] == team.fsck()


TAKING: dict[str, Callable[[Registry], Any]] = {
    "delete": lambda r: r.delete_model("m", "2.0.0", force=True),
    "delete all": lambda r: r.delete_model("m", force=True),
    "untag": lambda r: r.remove_tag("m:1.0.0", "t"),
    "prune": lambda r: r.prune("m", keep_last=1),
    "rehearse pruning": lambda r: r.prune("m", keep_last=1, dry_run=True),
    "gc": lambda r: r.gc(grace=0),
    "rehearse gc": lambda r: r.gc(dry_run=True),
}


@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING)
def test_append_only_takes_nothing_away(take: Callable[[Registry], Any], team: ModelRegistry) -> None:
    """No version and no tag goes, no byte is erased, no override helps; what is added is added."""
    team.unprotect("production")
    team.register_model([3], "m", "3.0.0", serializer="json", aliases=["x"])
    team.delete_alias("m", "production")
    team.delete_alias("m", "canary")
    team.register_model([0], "gone", serializer="json")
    team.delete_model("gone")
    team.protect(append_only=True)
    files = {path: path.read_bytes() for path in Path(team.url, "packs").rglob("*.pack")}
    refs = team.repository.log.state().refs
    with pytest.raises(ProtectedError, match="append-only") as caught:
        take(team)
    assert "protect rm --append-only" in str(caught.value.hint)
    assert refs == team.repository.log.state().refs
    assert files == {path: path.read_bytes() for path in Path(team.url, "packs").rglob("*.pack")}
    team.add_tag("m:1.0.0", "more")
    team.set_alias("m:1.0.0", "x")
    team.restore_model("gone")
    team.unprotect(append_only=True)
    take(team)


def test_restoring_does_not_move_a_protected_alias(team: ModelRegistry) -> None:
    """A version that comes back does not bring the alias that has been protected since."""
    team.unprotect("production")
    team.delete_model("m", "1.0.0", force=True)
    team.protect("production")
    team.restore_model("m")
    assert [] == team.get_model_metadata("m:1.0.0")["aliases"]


@pytest.fixture
def ann(tmp_path: Path, team: ModelRegistry) -> Iterator[ModelRegistry]:
    """A clone of the team's registry, in which everything was moved or deleted."""
    with ModelRegistry.clone(team.url, tmp_path / "ann", plugins=Plugins(()), actor="ann@lab") as clone:
        clone.promote("m:2.0.0")
        clone.delete_model("m", "1.0.0", force=True)
        clone.set_alias("m:2.0.0", "mine")
        yield clone


@pytest.mark.parametrize("options", [{}, {"force": True}, {"ours": ["*"]}, {"force_with_lease": True}], ids=str)
def test_no_push_moves_what_the_other_side_protects(
    options: dict[str, Any], ann: ModelRegistry, team: ModelRegistry
) -> None:
    """It is left alone and named, whatever is forced; the rest goes, and a dry run says the same."""
    rehearsed = ann.push(dry_run=True, **options)
    report = ann.push(**options)
    assert ["aliases/m/production"] == [update.ref for update, _ in report.rejected]
    assert ["it is protected"] == [reason for _, reason in report.rejected]
    assert rehearsed == report
    assert "1.0.0" == at(team)
    assert "2.0.0" == at(team, "mine")


def test_a_clone_is_free(ann: ModelRegistry, team: ModelRegistry) -> None:
    """What the team protects is not protected in a clone, which follows when the team moves it."""
    assert not ann.protection()
    ann.pull(force=True)
    assert "1.0.0" == at(team)
    team.promote("m:2.0.0", override=True)
    ann.pull(force=True)
    assert "2.0.0" == at(ann)


def test_no_mirror_and_no_prune_takes_from_append_only(ann: ModelRegistry, team: ModelRegistry) -> None:
    """Versions that the source lacks stay, each named as left alone."""
    team.protect(append_only=True)
    report = ann.push(prune=True)
    assert "versions/m/1.0.0" in {update.ref for update, _ in report.rejected}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = ann.mirror(["origin"])["origin"]
    assert {"the repository is append-only", "it is protected"} == {reason for _, reason in told.rejected}
    assert [1] == team.load_model("m:1.0.0")
    assert "t" in team.get_model_metadata("m:1.0.0")["tags"]
    with pytest.raises(ProtectedError):
        ann.gc(remote="origin", grace=0)


def test_a_bundle_does_not_move_it(ann: ModelRegistry, team: ModelRegistry, tmp_path: Path) -> None:
    """What comes by file is judged as what comes by push."""
    ann.export_models(tmp_path / "ann.friday")
    report = team.import_models(tmp_path / "ann.friday", force=True)
    assert "aliases/m/production" in {update.ref for update, _ in report.rejected}
    assert "1.0.0" == at(team)


def test_laws_of_the_value() -> None:
    """It goes through bytes with keys of newer releases, and what is no protection is refused."""
    later = Protection(("*@a",), append_only=True, extra={"approvals": {"*@a": 2}})
    entry = LogEntry(1, bytes(32), bytes(16), 1, "a", "m", protection=later, override=True)
    assert entry == LogEntry.from_bytes(entry.to_bytes())
    assert entry.to_bytes() == LogEntry.from_bytes(entry.to_bytes()).to_bytes()
    assert later == State.from_bytes(State(0, bytes(32), protection=later).to_bytes()).protection
    bad: Any
    for bad in (
        [],
        {"aliases": []},
        {"aliases": ["b@b", "a@a"], "append_only": False},
        {"aliases": [1], "append_only": 0},
    ):
        with pytest.raises((TypeError, KeyError, ValueError)):
            Protection.from_raw(bad)


def test_it_is_a_conflict(team: ModelRegistry) -> None:
    """Who handles conflicts handles this, and learns of which ref."""
    with pytest.raises(ConflictError) as caught:
        team.delete_alias("m", "production")
    assert str(Ref("aliases", "m", "production")) == caught.value.ref
