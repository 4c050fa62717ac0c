"""What is left out because the repository has it: whoever collects it meanwhile is noticed, whenever that was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ConflictError, ModelRegistry
from friday_store.default_plugins.pickle5 import Pickle5
from friday_store.objects import Directory
from friday_store.objects.pack import FOLDER
from friday_store.refs import Ref
from friday_store.repository import Repository, Transaction
from friday_store.sync import Journal
from tests.faults import stored


def weights(seed: int = 1) -> np.ndarray[Any, Any]:
    """Return a model of 80 kB that is one chunk and a skeleton."""
    return np.random.default_rng(seed).random(10_000)


@pytest.fixture
def here(tmp_path: Path) -> ModelRegistry:
    """A registry with one version, whose model is in one pack."""
    registry = stored.opened(tmp_path / "here")
    registry.register_model(weights(), "m")
    return registry


def put_away(root: str, names: Sequence[str], *, added: Sequence[Directory] = ()) -> None:
    """Put packs out of use and delete them, as garbage collection does with no grace, from another process's view."""
    with stored.opened(Path(root)) as other:
        repository = other.repository
        repository.index.catch_up()
        entry = repository.log.following(
            repository.index.state,
            actor="gc",
            message="gc",
            packs_added=tuple((pack.name, pack.size) for pack in added),
            packs_removed=tuple(names),
        )
        assert repository.log.append(entry) is not None
        repository.storage.delete([f"{FOLDER}/{name}.pack" for name in names])


def pack_of(repository: Repository) -> str:
    """Return the pack with the arrays."""
    repository.index.catch_up()
    return max(repository.objects.live, key=repository.objects.live.__getitem__)


def move_to_artifact(digest: bytes) -> Any:
    """Return a plan that moves something."""

    def plan(transaction: Transaction) -> None:
        ref = Ref("aliases", "m", "x")
        transaction.move(ref, transaction.planned(ref), digest)

    return plan


@pytest.mark.parametrize("seen", ["not seen", "seen by a reader", "seen by the transaction"])
def test_what_was_collected_while_a_model_was_written_is_noticed(here: ModelRegistry, seen: str) -> None:
    """A transaction whose chunks were collected after it left them out refuses to commit, whoever looked meanwhile."""
    repository = here.repository
    transaction = repository.transaction("late")
    digest, _ = transaction.put_model("pickle5", 1, Pickle5().dump(weights()))
    put_away(here.url, [pack_of(repository)])
    if seen == "seen by a reader":
        repository.index.catch_up()
    elif seen == "seen by the transaction":
        transaction.batch.trim()
        repository.index.look()
    with pytest.raises(ConflictError, match="collected while it ran") as refused:
        transaction.run(move_to_artifact(digest))
    assert refused.value.again
    assert "gc" == repository.entries()[0].message


def test_registering_goes_on_where_its_content_was_collected(
    here: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When what a new version shares with an old one is collected meanwhile, it is stored again without a word."""
    commit = Transaction._commit
    doomed = [pack_of(here.repository)]

    def late(self: Transaction, state: Any) -> Any:
        if doomed:
            put_away(here.url, [doomed.pop()])
        return commit(self, state)

    monkeypatch.setattr(Transaction, "_commit", late)
    made = here.register_model(weights(), "n")
    np.testing.assert_array_equal(weights(), here.load_model(made))


def test_a_pack_that_was_collected_before_its_entry_is_not_put_in_use(here: ModelRegistry) -> None:
    """A pack that waited too long for its entry, and was collected, is not named by any entry."""
    repository = here.repository
    repository.index.catch_up()
    transaction = repository.transaction("slow", since=repository.index.seq)
    with repository.objects.writer() as writer:
        for frame, data in repository.objects.contents(pack_of(repository)):
            writer.add(frame, data)
        made = writer.finish()
    put_away(here.url, [made.name])
    assert not transaction.exchange({made.name: made.size})
    transaction.adopt(made.name, made.size)
    with pytest.raises(ConflictError, match="collected while it ran"):
        transaction.run(move_to_artifact(bytes(32)))
    assert made.name not in repository.log.state().packs


def test_a_journal_does_not_bring_a_removed_pack_back(here: ModelRegistry, tmp_path: Path) -> None:
    """A pack that an interrupted copy wrote, and that was in use and merged away since, is not adopted again."""
    repository = here.repository
    repository.index.catch_up()
    journal = Journal(tmp_path / "journal.json", repository.id)
    with repository.objects.writer() as writer:
        for frame, data in repository.objects.contents(pack_of(repository)):
            writer.add(frame, data)
        made = writer.finish()
    journal.add(made, repository.index.seq)
    again = Journal(tmp_path / "journal.json", repository.id)
    assert [made.name] == [pack.name for pack in again.adopted(repository)]
    assert repository.transaction("used").exchange({made.name: made.size})
    repository.transaction("merge").replace_packs(list(repository.objects.live))
    assert 1 == len(repository.objects.live)
    for _ in range(2):
        assert [] == Journal(tmp_path / "journal.json", repository.id).adopted(repository)
        repository.index.rebuild()  # it knows of no entry by itself then, and asks the log


def test_a_reader_finds_what_was_moved_to_another_pack(here: ModelRegistry) -> None:
    """Who looked before packs were merged and their files deleted loads all the same, and reads small objects."""
    made = here.register_model(weights(2), "m")
    slow = here.repository
    artifact = slow.artifact(bytes.fromhex(here.get_model_metadata(made)["artifact"]))
    slow.index._looking = False
    with stored.opened(Path(here.url)) as other:
        other.repository.index.catch_up()
        before = list(other.repository.objects.live)
        other.repository.transaction("merge").replace_packs(before)
        other.repository.storage.delete([f"{FOLDER}/{name}.pack" for name in before])
    slow.objects.forget()
    assert {part.size for part in artifact.parts} == {len(view) for view in slow.parts(artifact).values()}
    assert "m" == slow.index.manifest(bytes.fromhex(made)).name
