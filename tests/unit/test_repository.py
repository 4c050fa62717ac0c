"""What a repository promises: one log, one winner, and everything that was acknowledged stays loadable."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from friday_store.errors import (
    AmbiguousRevisionError,
    ConflictError,
    FridayStoreError,
    IntegrityError,
    InvalidNameError,
    InvalidValueError,
    ModelNotFoundError,
    RepositoryError,
    StorageError,
)
from friday_store.hookspecs import Part
from friday_store.manifest import Manifest
from friday_store.objects import Kind
from friday_store.plugins import Plugins
from friday_store.refs import Ref
from friday_store.registry import ModelRegistry
from friday_store.repository import Repository, Settings
from friday_store.repository.config import Config, change_remotes, read_config
from friday_store.storage import open_storage
from friday_store.storage.local import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from friday_store.repository import Transaction
    from friday_store.storage import Storage

START = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


class Clock:
    """A clock that goes on by a day whenever it is told to."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> dt.datetime:
        """Return the time."""
        return self.time

    def next_day(self) -> None:
        """Go on."""
        self.time += dt.timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Return a folder."""
    return LocalStorage(tmp_path / "repository")


@pytest.fixture
def repository(storage: LocalStorage, clock: Clock) -> Repository:
    """Return a new repository."""
    return opened(storage, clock)


def opened(storage: Storage, clock: Callable[[], dt.datetime] = Clock(), *, create: bool = True) -> Repository:  # noqa: B008 - it stands still
    """Open a repository."""
    return Repository(storage, Settings(actor="ann", clock=clock), Plugins(()), create=create)


def add(
    repository: Repository, name: str, version: str, *, parents: tuple[str, ...] = (), content: bytes = b"1"
) -> str:
    """Add a version by hand and return its id."""

    def plan(transaction: Transaction) -> str:
        artifact, described = transaction.put_model("json", 1, [Part("json", content)])
        above = tuple(bytes.fromhex(parent) for parent in parents)
        made = Manifest(name, version, artifact, "json", described.size, above, repository.log.now(), "ann")
        digest = transaction.put_manifest(made)
        transaction.move(Ref("versions", name, version), None, digest)
        return digest.hex()

    return repository.transaction(f"add {name}:{version}").run(plan)


def point(repository: Repository, ref: Ref, model_id: str | None) -> None:
    """Move a ref."""
    new = None if model_id is None else bytes.fromhex(model_id)
    repository.transaction(f"move {ref}").run(lambda running: running.move(ref, running.planned(ref), new))


def test_the_format_file(repository: Repository, storage: LocalStorage) -> None:
    """These are the bytes that make a folder a repository, and history begins with them."""
    expected = f'{{"format": 1, "hash": "blake3", "id": "{repository.id}"}}\n'
    assert expected.encode() == storage.read("friday-store.json")
    assert [entry.message for entry in repository.entries()] == ["init"]
    assert {entry.name for entry in storage.list("")} == {
        "friday-store.json",
        "log",
        "index.db",
        "index.db-wal",
        "index.db-shm",
    }


def test_reading_makes_nothing(storage: LocalStorage) -> None:
    """A repository that is not there reads as empty, and is made by the first change."""
    repository = opened(storage, create=False)
    assert repository.entries() == []
    with pytest.raises(ModelNotFoundError):
        repository.resolve("m")
    assert not storage.root.exists()
    add(repository, "m", "1.0.0")
    assert opened(storage).resolve("m").model_version == "1.0.0"


@pytest.mark.parametrize("place", ["local", "memory"])
def test_one_that_was_made_meanwhile(tmp_path: Path, place: str) -> None:
    """Who found nothing, and looks again after somebody else made the repository, sees that one and writes to it."""
    url = str(tmp_path / "r") if place == "local" else f"memory://{uuid.uuid4()}"
    readers = [opened(open_storage(url), create=False) for _ in range(3)]
    for reader in readers:
        assert reader.entries() == []
    model_id = add(opened(open_storage(url)), "m", "1.0.0")
    assert readers[0].resolve("m").model_id == model_id
    assert readers[1].entries()
    add(readers[2], "m", "2.0.0")
    assert {reader.resolve("m").model_version for reader in readers} == {"2.0.0"}
    assert len({reader.id for reader in readers}) == 1


def test_many_make_one_repository(storage: LocalStorage) -> None:
    """Of many that make it at once one does, and all use that one."""
    start = threading.Barrier(8)

    def make(_: int) -> str:
        start.wait()
        return opened(storage).id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make, range(8)))) == 1


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", IntegrityError), (b"{}", IntegrityError), (b"[]", IntegrityError), (b"\xff", IntegrityError),
        (b'{"format": 1, "hash": "blake3", "id": "x"}', IntegrityError), (b"null", IntegrityError),
        (b'{"format": 2, "hash": "blake3", "id": "%s"}', RepositoryError),
        (b'{"format": 0, "hash": "blake3", "id": "%s"}', RepositoryError),
        (b'{"format": "1", "hash": "blake3", "id": "%s"}', RepositoryError),
        (b'{"format": 1, "hash": "md5", "id": "%s"}', RepositoryError),
    ],
    ids=repr,
)  # fmt: skip
def test_format_files_that_cannot_be_used(storage: LocalStorage, data: bytes, kind: type[FridayStoreError]) -> None:
    """A damaged format file is damage; one of a newer format, or another hash, says what would read it."""
    storage.create("friday-store.json", data.replace(b"%s", str(uuid.uuid4()).encode()))
    with pytest.raises(kind):
        opened(storage)


def test_a_changed_format_file_is_noticed(repository: Repository, storage: LocalStorage) -> None:
    """The format file is a part of history, so it cannot be replaced by another that is sound."""
    add(repository, "m", "1.0.0")
    storage.delete(["friday-store.json", "index.db", "index.db-wal", "index.db-shm"])
    storage.create("friday-store.json", json.dumps({"format": 1, "hash": "blake3", "id": str(uuid.uuid4())}).encode())
    with pytest.raises(IntegrityError, match="history was changed"):
        opened(storage).resolve("m")


def test_another_program_s_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something else is no place for a repository."""
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RepositoryError, match=r"thesis\.tex"):
        opened(LocalStorage(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_it_can_be_moved(repository: Repository, storage: LocalStorage, tmp_path: Path) -> None:
    """Nothing in a repository names where it is."""
    model_id = add(repository, "m", "1.0.0")
    repository.close()
    for path in storage.root.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes()
    shutil.move(storage.root, tmp_path / "elsewhere")
    assert opened(LocalStorage(tmp_path / "elsewhere")).resolve("m").model_id == model_id


def test_a_store_that_others_can_write_is_pointed_out(repository: Repository, storage: LocalStorage) -> None:
    """A folder that everybody can write is used with a warning."""
    storage.root.chmod(0o777)
    with pytest.warns(UserWarning, match="every user"):
        opened(storage)


@pytest.fixture
def versions(repository: Repository, clock: Clock) -> dict[str, str]:
    """Return the ids of a small history, one day apart."""
    found: dict[str, str] = {}
    for version in ("1.0.0", "1.4.0", "2.0.0", "1.5.0", "10.0.0-rc.1"):
        above = (list(found.values())[-1],) if found else ()
        found[version] = add(repository, "m", version, parents=above)
        clock.next_day()
    point(repository, Ref("aliases", "m", "production"), found["1.4.0"])
    clock.next_day()
    point(repository, Ref("aliases", "m", "production"), found["2.0.0"])
    for version in ("1.0.0", "1.5.0"):
        point(repository, Ref("tags", "m", "team/x", version), found[version])
    found["pre"] = add(repository, "pre", "0.1.0-a")
    found["a"] = add(repository, "a", "1.0.0", content=b"2")
    found["a@b"] = add(repository, "a@b", "1.0.0", content=b"3")
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m", "2.0.0"), ("m:1.4.0", "1.4.0"), ("m:^1", "1.5.0"), ("m:>=1,<1.5", "1.4.0"),
        ("m:>=3.0.0-a", "10.0.0-rc.1"),
        ("m@production", "2.0.0"), ("m@team/x", "1.5.0"), ("m@latest", "10.0.0-rc.1"), ("m@greatest", "10.0.0-rc.1"),
        ("m~", "1.4.0"), ("m~2", "1.0.0"), ("m@latest~1", "1.5.0"), ("m:1.5.0~1~1", "1.4.0"), ("pre", "pre"),
        ("m@production@{2026-05-06T00:00}", "1.4.0"), ("m@{2026-05-01T01:00}", "1.0.0"), ("m@{2026-05-03}", "2.0.0"),
        ("m@latest@{2026-05-04}", "1.5.0"), ("m:^1@{2026-05-02}", "1.4.0"), ("m@{2026-05-03}~1", "1.4.0"), ("a", "a"),
        ("a@b", "a@b"), ("m@greatest@{2026-05-05}", "10.0.0-rc.1"), ("m@{2026-05-05}", "2.0.0"),
    ],
)  # fmt: skip
def test_revisions(repository: Repository, versions: dict[str, str], text: str, expected: str) -> None:
    """Every form of a revision leads to the version that the grammar promises."""
    assert versions[expected] == repository.resolve(text).model_id


def test_digests(repository: Repository, versions: dict[str, str]) -> None:
    """A version is found by its digest, and by the first eight characters or more."""
    for version, model_id in versions.items():
        for length in (8, 12, 64):
            assert repository.resolve(model_id[:length]).model_id == model_id, version
        assert repository.resolve(f"{model_id}@{{2030-01-01}}").model_id == model_id
    for unknown in ("0" * 64, versions["pre"].upper(), versions["pre"] + "0", versions["pre"][:7]):
        with pytest.raises(ModelNotFoundError):
            repository.resolve(unknown)
    for impossible in ("", "blake3:" + versions["pre"], versions["pre"] + "\n"):
        with pytest.raises(InvalidNameError):
            repository.resolve(impossible)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mm", "did you mean 'm'"), ("zzz", "no model 'zzz'"), ("m:9.9.9", "1.4.0"), ("m@nowhere", "it has production"),
        ("m:^3", "2.0.0"), ("m~9", "goes up 9"), ("m@{2020-01-01}", "nothing answers"), ("0123456789", "no "),
        ("m@team/x@{2026-05-02}", "nothing answers"),
    ],
)  # fmt: skip
def test_what_is_not_found(repository: Repository, versions: dict[str, str], text: str, said: str) -> None:
    """A revision that names nothing says what is near."""
    with pytest.raises(ModelNotFoundError, match=said):
        repository.resolve(text)


def test_ambiguity_is_an_error(repository: Repository, versions: dict[str, str]) -> None:
    """A text with two true readings is refused with both, each spelled so that it is not ambiguous."""
    point(repository, Ref("aliases", "a", "b"), versions["a"])
    with pytest.raises(AmbiguousRevisionError) as caught:
        repository.resolve("a@b")
    assert set(caught.value.candidates) == {"a:1.0.0", "a@b:1.0.0"}
    assert {repository.resolve(text).model_id for text in caught.value.candidates} == {versions["a"], versions["a@b"]}


def test_an_ambiguous_prefix_is_an_error(repository: Repository) -> None:
    """A name that looks like a digest's prefix, and is one, is refused with both readings."""
    model_id = add(repository, "m", "1.0.0")
    add(repository, model_id[:9], "1.0.0", content=b"2")
    with pytest.raises(AmbiguousRevisionError) as caught:
        repository.resolve(model_id[:9])
    assert set(caught.value.candidates) == {"m:1.0.0", f"{model_id[:9]}:1.0.0"}


def test_a_deleted_version_of_the_past(repository: Repository, versions: dict[str, str], clock: Clock) -> None:
    """A time before a deletion still knows the name, and says that the version is gone."""
    clock.next_day()
    point(repository, Ref("versions", "pre", "0.1.0-a"), None)
    with pytest.raises(ModelNotFoundError, match="deleted"):
        repository.resolve("pre@{2026-05-07T12:00}")


def test_a_transaction_is_one_entry(repository: Repository) -> None:
    """Many versions and names are one entry and one pack."""

    def plan(transaction: Transaction) -> None:
        for number in range(50):
            artifact, _ = transaction.put_model("json", 1, [Part("json", str(number).encode())])
            digest = transaction.put_manifest(Manifest("m", f"1.0.{number}", artifact, "json", 1, (), 0, "ann"))
            transaction.move(Ref("versions", "m", f"1.0.{number}"), None, digest)
            transaction.move(Ref("tags", "m", "t", f"1.0.{number}"), None, digest)

    before = len(repository.entries())
    repository.transaction("many").run(plan)
    newest, *older = repository.entries()
    assert (len(older), len(newest.refs), len(newest.packs_added), newest.message) == (before, 100, 1, "many")
    assert (newest.actor, newest.origin) == ("ann", "")


def test_a_transaction_that_changes_nothing_is_none(repository: Repository, storage: LocalStorage) -> None:
    """A plan that moves nothing, or moves there and back, leaves no entry and no pack."""
    ref, one = Ref("aliases", "m", "a"), b"\x01" * 32
    before = len(repository.entries())

    def plan(transaction: Transaction) -> str:
        transaction.batch.put(Kind.NOTE, b"nothing points here")
        transaction.move(ref, None, one)
        transaction.move(ref, one, None)
        return "answer"

    assert repository.transaction("nothing").run(plan) == "answer"
    assert len(repository.entries()) == before
    assert storage.list("packs") == []
    assert storage.strays() == []


def test_two_moves_of_one_ref_must_fit(repository: Repository) -> None:
    """A second move in a transaction starts where the first ended."""
    ref, one, two = Ref("aliases", "m", "a"), b"\x01" * 32, b"\x02" * 32
    transaction = repository.transaction("moves")
    transaction.move(ref, None, one)
    transaction.move(ref, one, two)
    assert transaction.planned(ref) == two
    with pytest.raises(ConflictError) as caught:
        transaction.move(ref, one, two)
    assert caught.value.ref == "aliases/m/a"


def test_a_plan_that_fails_leaves_nothing(repository: Repository, storage: LocalStorage) -> None:
    """An error in a plan reaches the caller, and neither entry, pack nor temporary file is there."""

    def plan(transaction: Transaction) -> None:
        transaction.put_model("json", 1, [Part("json", bytes(5 << 20))])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        repository.transaction("fails").run(plan)
    assert len(repository.entries()) == 1
    assert storage.list("packs") == []
    assert storage.strays() == []


@pytest.mark.parametrize("place", ["local", "memory"])
def test_writers_at_once_lose_nothing(tmp_path: Path, place: str) -> None:
    """Eight writers with registries of their own get versions of their own, in one line of parents and entries."""
    url = str(tmp_path / "r") if place == "local" else f"memory://{uuid.uuid4()}/r"
    start = threading.Barrier(8)

    def write(writer: int) -> list[str]:
        with ModelRegistry(url, plugins=Plugins(()), actor=f"writer {writer}") as registry:
            start.wait()
            return [registry.register_model([writer, number], "m", tags=["t"]) for number in range(5)]

    with ThreadPoolExecutor(8) as pool:
        written = dict(enumerate(pool.map(write, range(8))))
    with ModelRegistry(url, plugins=Plugins(())) as registry:
        records = {record["id"]: record for record in registry.get_model_versions("m")}
        assert sorted(records) == sorted(model_id for ids in written.values() for model_id in ids)
        assert {f"1.0.{number}" for number in range(40)} == {record["version"] for record in records.values()}
        for writer, ids in written.items():
            assert [registry.load_model(model_id) for model_id in ids] == [[writer, number] for number in range(5)]
        newest, line = registry.repository.resolve("m").model_id, 1
        while records[newest]["parents"]:
            (newest,), line = records[newest]["parents"], line + 1
        assert line == 40
        entries = registry.repository.entries()
        assert [entry.seq for entry in entries] == list(range(len(entries), 0, -1))


def test_one_of_many_moves_an_alias_from_where_it_was(repository: Repository, storage: LocalStorage) -> None:
    """Of many that expect an alias in one place and move it, one succeeds and the others are told."""
    ids = [add(repository, "m", f"1.0.{number}") for number in range(9)]
    point(repository, Ref("aliases", "m", "a"), ids[8])
    start = threading.Barrier(8)

    def move(number: int) -> str | None:
        with ModelRegistry(storage.root, plugins=Plugins(())) as registry:
            start.wait()
            try:
                registry.set_alias(ids[number], "a", expected=ids[8])
            except ConflictError as error:
                return error.ref
            return None

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(move, range(8)))
    assert found.count(None) == 1
    assert found.count("aliases/m/a") == 7
    assert repository.resolve("m@a").model_id == ids[found.index(None)]


def test_one_version_has_one_content(storage: LocalStorage, repository: Repository) -> None:
    """Of many that register one version with other contents one wins, and the rest are refused."""
    start = threading.Barrier(6)

    def write(number: int) -> FridayStoreError | None:
        with ModelRegistry(storage.root, plugins=Plugins(())) as registry:
            start.wait()
            try:
                registry.register_model([number], "m", "1.0.0")
            except FridayStoreError as error:
                return error
            return None

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(write, range(6)))
    assert found.count(None) == 1
    assert {type(error).__name__ for error in found if error} == {"VersionExistsError"}


def test_what_a_transaction_relies_on_must_stay(repository: Repository, storage: LocalStorage) -> None:
    """A writer that did not store a chunk, because a pack had it, is told when that pack went before it was done."""
    add(repository, "m", "1.0.0", content=b"shared")
    (pack,) = repository.objects.live

    def plan(transaction: Transaction) -> None:
        artifact, _ = transaction.put_model("json", 1, [Part("json", b"shared")])
        digest = transaction.put_manifest(Manifest("m", "2.0.0", artifact, "json", 6, (), 0, "ann"))
        transaction.move(Ref("versions", "m", "2.0.0"), None, digest)
        other = opened(storage)
        log, state = other.log, other.log.state()
        assert log.append(log.following(state, actor="gc", message="collect", packs_removed=(pack,)))

    with pytest.raises(ConflictError, match="collected"):
        repository.transaction("add m:2.0.0").run(plan)


def test_merging_keeps_everything(repository: Repository, storage: LocalStorage) -> None:
    """Small packs are merged as they gather; every version loads as before, from few files."""
    ids = {add(repository, "m", f"1.0.{number}", content=str(number).encode()): number for number in range(60)}
    assert len(repository.objects.live) <= 30
    for reader in (repository, opened(storage)):
        for model_id, number in ids.items():
            artifact = reader.artifact(reader.manifest(reader.resolve(model_id)).artifact)
            assert bytes(reader.parts(artifact)["json"]) == str(number).encode()
    merges = [entry for entry in repository.entries() if entry.message.startswith("merge ")]
    assert merges
    for entry in merges:
        assert entry.refs == ()
        assert len(entry.packs_added) == 1
        assert len(entry.packs_removed) >= 16
    assert repository.merge() is False


def test_a_manifest_under_another_name_is_refused(repository: Repository) -> None:
    """A ref that names the manifest of another version is damage, whoever wrote it."""
    model_id = add(repository, "m", "1.0.0")
    log, state = repository.log, repository.log.state()
    move = ("versions/other/1.0.0", None, bytes.fromhex(model_id))
    assert log.append(log.following(state, actor="mallory", message="", refs=(move,)))
    with pytest.raises(IntegrityError):
        repository.resolve("other")


def test_no_configuration_is_the_default_one(tmp_path: Path) -> None:
    """Where there is no file, or no folder, the defaults hold."""
    assert Config() == read_config(tmp_path) == read_config(None) == read_config(tmp_path / "missing")


def test_configuration(tmp_path: Path) -> None:
    """Settings are read, and a remote is written without touching anything else in the file."""
    text = '# mine\ncompression = "none"\nstatuses = ["shadow"]\nactor = "night-run"\n'
    (tmp_path / "config.toml").write_text(text)
    change_remotes(tmp_path / "config.toml", lambda remotes: remotes.update(origin={"url": "s3://bucket/models"}))
    assert (tmp_path / "config.toml").read_text().startswith(text)
    assert read_config(tmp_path) == Config("none", ("shadow",), "night-run", {"origin": "s3://bucket/models"})
    change_remotes(tmp_path / "config.toml", lambda remotes: remotes.pop("origin"))
    assert read_config(tmp_path).remotes == {}
    assert "# mine" in (tmp_path / "config.toml").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "compression = 5", 'compression = "zip"', "statuses = 1", "statuses = [1]", "actor = 1", "remotes = 1",
        "= broken",
        "[remotes.x]\nuri = 1", "[remotes.x]\nurl = 1", "\udcff",
    ],
    ids=ascii,
)  # fmt: skip
def test_configurations_that_cannot_be(tmp_path: Path, text: str) -> None:
    """A setting that cannot be is named, and nothing is guessed."""
    (tmp_path / "config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidValueError):
        read_config(tmp_path)


def test_a_storage_that_cannot_be_written(storage: LocalStorage) -> None:
    """A repository that cannot be made says so, and nothing else comes out."""
    storage.root.parent.mkdir(exist_ok=True)
    storage.root.touch()
    with pytest.raises(StorageError):
        opened(storage)
    with pytest.raises(StorageError):
        opened(open_storage(f"local://{storage.root.parent}/nothing"))


def test_closing_is_not_the_end(repository: Repository) -> None:
    """A closed repository opens again when it is used."""
    model_id = add(repository, "m", "1.0.0")
    repository.close()
    repository.close()
    assert repository.resolve("m").model_id == model_id


def test_settings_are_values() -> None:
    """Settings compare and do not change."""
    one: Any = Settings(actor="a")
    assert one == Settings(actor="a")
    with pytest.raises(AttributeError):
        one.actor = "b"
