"""The index as a mirror: whatever happens to its file, the answers stay the same."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from friday_store import FridayStoreError
from tests.faults import stored
from tests.faults.crew import Crew, said
from tests.faults.stored import Truth
from tests.faults.worker import content


def _deleted(path: Path, others: Path) -> None:
    path.unlink()


def _zeroed(path: Path, others: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _emptied(path: Path, others: Path) -> None:
    path.write_bytes(b"")


def _halved(path: Path, others: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _one_page_short(path: Path, others: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def _scrambled(path: Path, others: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in random.Random("I12").sample(range(100, len(data)), 500):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))


def _text(path: Path, others: Path) -> None:
    path.write_bytes(b"no database at all\n" * 1000)


def _old(path: Path, others: Path) -> None:
    path.write_bytes((others / "old.db").read_bytes())


def _another(path: Path, others: Path) -> None:
    path.write_bytes((others / "another.db").read_bytes())


def _foreign(path: Path, others: Path) -> None:
    path.write_bytes((others / "foreign.db").read_bytes())


@pytest.fixture(scope="module")
def others(pristine: tuple[Path, Truth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index files that are not the registry's: an old one, another registry's, another program's."""
    import sqlite3

    folder = tmp_path_factory.mktemp("others")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRIDAY_STORE_HOME", str(folder / "home"))
        older = stored.copied(pristine[0], folder / "older")
        stored.forget_index(older)
        later = sorted((path for path in stored.files(older)["log"]), key=lambda path: int(path.name))[12:]
        for path in [*later, *stored.files(older)["checkpoint"]]:
            path.unlink()
        with stored.opened(older) as registry:
            registry.list_models()
        (older / "index.db").rename(folder / "old.db")
        with stored.opened(folder / "another") as registry:
            registry.register_model({"rule": 0}, "rules")
        (folder / "another" / "index.db").rename(folder / "another.db")
    connection = sqlite3.connect(folder / "foreign.db")
    connection.execute("CREATE TABLE model_metadata (id INTEGER)")
    connection.commit()
    connection.close()
    return folder


@pytest.mark.parametrize(
    "change",
    [_deleted, _zeroed, _emptied, _halved, _one_page_short, _scrambled, _text, _old, _another, _foreign],
)
def test_answers_survive_the_index(
    varied: tuple[Path, Truth], others: Path, change: Callable[[Path, Path], None]
) -> None:
    """I12: with the index lost, damaged, old or another's, every record and model is what it was."""
    root, truth = varied
    change(root / "index.db", others)
    assert stored.truth(root) == truth
    assert stored.problems(root) == []


def test_one_bit_in_the_index_raises_nothing_foreign(varied: tuple[Path, Truth]) -> None:
    """I12: after any flipped bit, a version loads as itself or is refused by name, and fsck or the mirror mends it."""
    root, truth = varied
    path = root / "index.db"
    sound = path.read_bytes()
    source = random.Random("one bit")
    used = [place for place, byte in enumerate(sound) if byte]
    unlike = []
    for _ in range(60):
        flipped = bytearray(sound)
        place = source.choice(used)
        flipped[place] ^= 1 << source.randrange(8)
        stored.forget_index(root)
        path.write_bytes(bytes(flipped))
        exact = dict(source.sample(sorted(truth.loads.items()), 10))
        assert stored.wrong_loads(root, exact) == []
        with contextlib.suppress(FridayStoreError), stored.opened(root) as registry:
            registry.list_models()
            for revision in truth.labels:
                with contextlib.suppress(FridayStoreError):
                    registry.load_model(revision)
        if not stored.problems(root):
            with stored.opened(root) as registry:
                if list(registry.repository.index.dump()) != truth.dump:
                    unlike.append(place)
    assert unlike == []


def test_an_open_registry_survives_the_loss_of_its_index(varied: tuple[Path, Truth]) -> None:
    """I12: a process that has the index open goes on when the file is deleted or zeroed under it."""
    root, truth = varied
    with stored.opened(root) as registry:
        assert {r["model_id"]: repr(r) for r in registry.list_models()} == truth.records
        stored.forget_index(root)
        registry.register_model({"after": 1}, "new")
        assert registry.load_model("new") == {"after": 1}
    with stored.opened(root) as registry:
        assert registry.fsck() == []
        assert registry.load_model("new") == {"after": 1}
        for revision, expected in truth.loads.items():
            assert stored.fingerprint(registry.load_model(revision)) == expected


def test_many_processes_make_one_lost_index_anew(crew: Crew, varied: tuple[Path, Truth], tmp_path: Path) -> None:
    """I12: eight processes that find the index lost, and write at once, lose nothing and agree afterwards."""
    root, truth = varied
    path = root / "index.db"
    for attempt, change in enumerate((_deleted, _zeroed, _scrambled, _text)):
        change(path, tmp_path)
        words = [tmp_path / f"said{attempt}.{number}" for number in range(8)]
        writers = [
            crew.start("register", one, root=root, name=f"new{number % 3}", first=attempt * 100 + number, count=3)
            for number, one in enumerate(words)
        ]
        assert [crew.wait(writer) for writer in writers] == [0] * 8, [said(one)[-1] for one in words]
        with stored.opened(root) as registry:
            assert registry.fsck() == []
            for one in words:
                for _, number, digest in said(one)[1:]:
                    assert registry.load_model(digest) == content(number)
    assert stored.wrong_loads(root, truth.loads) == []
