"""How far apart two registries are: what a push would move, what a pull would, and what neither may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from friday_store import IntegrityError, ModelNotFoundError, ModelRegistry, RepositoryError
from friday_store.registry.exchange import RefStatus
from tests.faults import stored


@pytest.fixture
def pair(tmp_path: Path) -> tuple[ModelRegistry, ModelRegistry]:
    """Two registries in step with one hub."""
    mine = stored.opened(tmp_path / "mine")
    for number in range(3):
        mine.register_model([number], "m", serializer="json", aliases=["production"])
    mine.register_model(["other"], "other", serializer="json")
    mine.add_remote("hub", tmp_path / "hub", probe=False)
    mine.push("hub")
    theirs = stored.opened(tmp_path / "theirs")
    theirs.add_remote("hub", tmp_path / "hub", probe=False)
    theirs.pull("hub")
    return mine, theirs


def states(rows: list[RefStatus]) -> dict[str, str]:
    """Return the state of each ref."""
    return {row.ref: row.state for row in rows}


def test_two_in_step_are_not_apart(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """Nothing is said of what is equal, with and without asking."""
    for each in pair:
        assert [] == each.status("hub")
        assert [] == each.status("hub", refresh=True)
        assert [] == each.status()


def test_each_side_of_a_difference(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """What is new here is ahead, what is new there is behind, what both moved is a conflict, with both values."""
    mine, theirs = pair
    new = mine.register_model([9], "m", serializer="json")
    mine.add_tag("m:1.0.0", "mine")
    mine.set_alias("m:1.0.0", "production")
    theirs.add_tag("m:1.0.1", "theirs")
    theirs.set_alias("m:1.0.1", "production")
    theirs.push("hub")
    assert {"versions/m/1.0.3", "tags/m/mine/1.0.0", "aliases/m/production"} == {*states(mine.status("hub"))}
    rows = {row.ref: row for row in mine.status("hub", refresh=True)}
    assert {
        "versions/m/1.0.3": "ahead", "tags/m/mine/1.0.0": "ahead", "tags/m/theirs/1.0.1": "behind",
        "aliases/m/production": "conflict",
    } == states([*rows.values()])  # fmt: skip
    ids = [mine.get_model_metadata(f"m:1.0.{number}")["model_id"] for number in range(2)]
    assert ("hub", new, None) == (
        rows["versions/m/1.0.3"].remote, rows["versions/m/1.0.3"].here, rows["versions/m/1.0.3"].there,
    )  # fmt: skip
    assert (None, ids[1]) == (rows["tags/m/theirs/1.0.1"].here, rows["tags/m/theirs/1.0.1"].there)
    conflict = rows["aliases/m/production"]
    assert (*ids, "it moved on both sides") == (conflict.here, conflict.there, conflict.reason)


def test_a_status_says_what_push_and_pull_do(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """The refs that are ahead are those that a push moves, those behind are those that a pull moves."""
    mine, theirs = pair
    mine.register_model([9], "m", serializer="json", tags=["t"])
    mine.delete_alias("m", "production")
    theirs.log_metrics("m:1.0.0", {"live": 1.0})
    theirs.push("hub")
    found = states(mine.status("hub", refresh=True))
    assert {ref for ref, state in found.items() if state == "ahead"} == {
        update.ref for update in mine.push("hub").moved
    }
    assert {ref for ref, state in found.items() if state == "behind"} == {
        update.ref for update in mine.pull("hub").moved
    }
    assert [] == mine.status("hub", refresh=True)


def test_the_same_version_twice_is_a_conflict(pair: tuple[ModelRegistry, ModelRegistry]) -> None:
    """A version that both sides made is a conflict, and stays one until it is gone on one side."""
    mine, theirs = pair
    for each in pair:
        each.register_model([id(each)], "m", "5.0.0", serializer="json")
    theirs.push("hub")
    for _ in range(2):
        found = mine.status("hub", refresh=True)
        assert {"versions/m/5.0.0": "conflict"} == states(found)
        assert "the version exists there with other content" == found[0].reason
        assert mine.push("hub").rejected
    mine.delete_model("m", "5.0.0")
    mine.pull("hub")
    assert "conflict" not in states(mine.status("hub", refresh=True)).values()


def test_patterns_and_remotes(pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path) -> None:
    """Only the models that match are told of; without a name every remote that was reached is."""
    mine, _ = pair
    mine.add_remote("second", tmp_path / "second", probe=False)
    mine.register_model([9], "m", serializer="json")
    mine.register_model([9], "other", serializer="json")
    assert {"versions/m/1.0.3"} == {*states(mine.status("hub", ["m"]))}
    assert {"hub"} == {row.remote for row in mine.status()}
    mine.push("second")
    mine.register_model([10], "m", serializer="json")
    assert {("hub", "versions/m/1.0.3"), ("hub", "versions/m/1.0.4"), ("hub", "versions/other/1.0.1"),
            ("second", "versions/m/1.0.4")} == {(row.remote, row.ref) for row in mine.status()}  # fmt: skip


def test_without_asking_nothing_is_touched(
    pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was last seen answers when the remote is away; asking then is an error, as is a remote never reached."""
    mine, _ = pair
    mine.pull("hub")
    mine.register_model([9], "m", serializer="json")
    (tmp_path / "hub").rename(tmp_path / "away")
    assert {"versions/m/1.0.3": "ahead"} == states(mine.status("hub"))
    assert not (tmp_path / "hub").exists()
    with pytest.raises(RepositoryError):
        mine.status("hub", refresh=True)
    mine.add_remote("never", tmp_path / "never", probe=False)
    with pytest.raises(ModelNotFoundError) as refused:
        mine.status("never")
    assert "friday-store fetch never" == refused.value.hint


def test_a_lost_mirror_comes_back(pair: tuple[ModelRegistry, ModelRegistry], tmp_path: Path) -> None:
    """When the remembered names are lost or damaged, asking brings them back; until then nothing is claimed."""
    mine, theirs = pair
    theirs.add_tag("m", "late")
    theirs.push("hub")
    mirror = tmp_path / "mine" / "remotes" / "hub" / "refs.db"
    mine.status("hub", refresh=True)
    for damage in (mirror.unlink, lambda: mirror.write_bytes(b"no database" * 1000)):
        mine.close()
        for name in ("refs.db-wal", "refs.db-shm"):
            mirror.with_name(name).unlink(missing_ok=True)
        damage()
        with pytest.raises((ModelNotFoundError, IntegrityError)):
            mine.status("hub")
        assert {"tags/m/late/1.0.2": "behind"} == states(mine.status("hub", refresh=True))
        assert {"tags/m/late/1.0.2": "behind"} == states(mine.status("hub"))


@pytest.mark.parametrize("how", ["fetch", "status"])
def test_what_was_seen_can_be_addressed(pair: tuple[ModelRegistry, ModelRegistry], how: str) -> None:
    """``REMOTE/MODEL@ALIAS`` is what the remote had when it was last seen, also where it differs here."""
    mine, theirs = pair
    theirs.set_alias("m:1.0.0", "production")
    made = theirs.register_model(["new"], "fresh", serializer="json")
    theirs.push("hub")
    options: dict[str, Any] = {"refresh": True} if how == "status" else {}
    getattr(mine, how)("hub", **options)
    assert [0] == mine.load_model("hub/m@production")
    assert [2] == mine.load_model("m@production")
    assert ["new"] == mine.load_model("hub/fresh")
    assert made not in {record["model_id"] for record in mine.list_models()}
    with pytest.raises(ModelNotFoundError):
        mine.load_model("fresh")
