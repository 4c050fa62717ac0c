"""What the index promises: it says what the log says, and can be lost at any moment."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest

from friday_store.errors import ModelNotFoundError
from friday_store.index import mirror
from friday_store.index.database import Database
from friday_store.index.engine import DamagedIndexError
from friday_store.manifest import Manifest, Note
from friday_store.plugins import Plugins
from friday_store.refs import Ref
from friday_store.registry import ModelRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def filled(registry: ModelRegistry) -> None:
    """Do everything that leaves rows."""
    for number in range(4):
        registry.register_model(
            [number], "m", tags=["t", f"t{number}"], metrics={"rmse": number / 2, "nan": float("nan")}
        )
    registry.register_model(
        [9], "team/other", "2.0.0-rc.1+b", description="Ω", metadata={"$a": b"\x00", "b": [1, None]}
    )
    registry.set_alias("m:1.0.0", "production")
    registry.promote("m:1.0.2")
    registry.log_metrics("m:1.0.1", {"rmse": 0.125}, step=3)
    registry.log_metrics("m:1.0.1", {"rmse": float("inf")})
    registry.set_model_status("m:1.0.1", "staging", "because")
    registry.update_model_metadata("m:1.0.1", {"a": {"b": 1}}, "new words")
    registry.remove_tag("m:1.0.1", "t")
    registry.delete_model("m", "1.0.3")
    registry.delete_model("m", "1.0.0")
    registry.restore_model("m", "1.0.0")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a registry's folder with everything in it."""
    with ModelRegistry(tmp_path / "r", plugins=Plugins(()), actor="ann") as registry:
        filled(registry)
    return tmp_path / "r"


def opened(folder: Path) -> ModelRegistry:
    """Open a registry."""
    return ModelRegistry(folder, plugins=Plugins(()), actor="ann")


def dump(folder: Path) -> list[str]:
    """Return all rows of a registry's index."""
    with opened(folder) as registry:
        return list(registry.repository.index.dump())


@pytest.mark.usefixtures("engine")
def test_made_anew_it_is_the_same(store: Path) -> None:
    """A rebuilt index has the very rows of one that followed the log entry by entry."""
    with opened(store) as registry:
        followed = list(registry.repository.index.dump())
        registry.repository.index.rebuild()
        assert followed == list(registry.repository.index.dump())
    (store / "index.db").unlink(missing_ok=True)
    assert followed == dump(store)
    assert len(followed) > 30


@pytest.mark.usefixtures("engine")
def test_from_checkpoints_it_is_the_same(tmp_path: Path) -> None:
    """An index that begins at a checkpoint has the rows of one that began at the beginning."""
    with opened(tmp_path / "r") as registry:
        registry.register_model([1], "m")
        for number in range(300):
            (registry.remove_tag if number % 2 else registry.add_tag)("m", f"t{number // 4}")
        assert registry.repository.log.checkpoints() == [256]
        followed = list(registry.repository.index.dump())
        registry.repository.index.rebuild()
        assert followed == list(registry.repository.index.dump())


def truncated(path: Path) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign_schema(path: Path) -> None:
    """Put another program's database in the place."""
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE model_metadata (id INTEGER)")
    connection.close()


def dropped_table(path: Path) -> None:
    """Remove a table."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE model_tags")
    connection.close()


def emptied_state(path: Path) -> None:
    """Remove what the index says about itself."""
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM state WHERE key <> 'seq'")
    connection.close()


def wrong_state(path: Path) -> None:
    """Let it claim an entry of another history."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE state SET value = ? WHERE key = 'entry'", ("ab" * 32,))
    connection.close()


def older_schema(path: Path) -> None:
    """Let it be what an older release made."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("DROP INDEX version_by_metric")
    connection.close()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"x"),
    "truncated": truncated,
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "zeroed after the header": lambda path: path.write_bytes(
        path.read_bytes()[:100] + bytes(path.stat().st_size - 100)
    ),
    "no database": lambda path: path.write_bytes(b"not a database" * 1000),
    "another program's": foreign_schema,
    "an older release's": older_schema,
    "a table gone": dropped_table,
    "no memory of itself": emptied_state,
    "of another history": wrong_state,
}


@pytest.mark.parametrize("what", DAMAGE)
def test_it_recovers_without_being_asked(store: Path, what: str) -> None:
    """Whatever becomes of the file, the next question is answered as before, and the rows are what they were."""
    before = dump(store)
    for suffix in ("-wal", "-shm"):
        (store / f"index.db{suffix}").unlink(missing_ok=True)
    DAMAGE[what](store / "index.db")
    with opened(store) as registry:
        assert registry.load_model("m@production") == [2]
        assert [record["version"] for record in registry.get_model_versions("m")] == ["1.0.2", "1.0.1", "1.0.0"]
    assert before == dump(store)


def test_an_index_of_another_registry_is_thrown_away(store: Path, tmp_path: Path) -> None:
    """A file that mirrors another repository is not believed."""
    before = dump(store)
    with opened(tmp_path / "other") as other:
        other.register_model([1], "other")
    shutil.copy(tmp_path / "other" / "index.db", store / "index.db")
    assert before == dump(store)


def test_an_older_copy_catches_up(store: Path, tmp_path: Path) -> None:
    """A file from a backup follows the log from where it was."""
    shutil.copy(store / "index.db", tmp_path / "old.db")
    with opened(store) as registry:
        registry.register_model([77], "m")
        registry.add_tag("m", "newest")
        after = list(registry.repository.index.dump())
    shutil.copy(tmp_path / "old.db", store / "index.db")
    assert after == dump(store)


def test_damage_while_it_is_open(store: Path) -> None:
    """An index that is damaged under an open registry is made anew at the next question."""
    with opened(store) as registry:
        before = list(registry.repository.index.dump())
        dropped_table(store / "index.db")
        assert [record["tags"] for record in registry.get_model_versions("m")] == [["t", "t2"], ["t1"], ["t", "t0"]]
        assert before == list(registry.repository.index.dump())


@pytest.mark.usefixtures("engine")
def test_two_registries_see_each_other(store: Path) -> None:
    """What one process commits another sees at its next question, whoever applied it first."""
    with opened(store) as one, opened(store) as other:
        for number in range(5):
            name = f"n{number}"
            (one if number % 2 else other).register_model([number], name)
            assert (other if number % 2 else one).load_model(name) == [number]
        assert list(one.repository.index.dump()) == list(other.repository.index.dump())


@pytest.mark.usefixtures("engine")
def test_rows_that_another_process_applied(store: Path) -> None:
    """A row that is in the file already leads to its objects, though this process has not read that entry yet."""
    with opened(store) as one, opened(store) as other:
        one.list_models()
        model_id = other.register_model([55], "newest")
        assert one.repository.index._database.rows("SELECT 1 FROM model_metadata WHERE model_id = ?", (model_id,))
        manifest = one.repository.index.manifest(bytes.fromhex(model_id))
        assert manifest.name == "newest"
        assert list(one.repository.parts(one.repository.artifact(manifest.artifact))) == ["pickle"]


@pytest.mark.usefixtures("engine")
def test_a_plan_sees_one_state(store: Path) -> None:
    """While a transaction is planned its questions are answered from one state, whatever others write meanwhile."""
    with opened(store) as one, opened(store) as other:
        with one.repository.index.still():
            before = one.model_names()
            other.register_model([55], "newest")
            assert before == one.model_names()
        assert [*before, "newest"] == sorted(one.model_names(), key="newest".__eq__)


@pytest.mark.usefixtures("engine")
def test_two_processes_write_one_index(tmp_path: Path) -> None:
    """Processes that register at once leave one index, equal to one made anew."""
    script = textwrap.dedent(
        """
        import sys
        from friday_store.plugins import Plugins
        from friday_store.registry import ModelRegistry
        with ModelRegistry(sys.argv[1], plugins=Plugins(()), actor="x") as registry:
            for number in range(15):
                registry.register_model([sys.argv[2], number], "m", tags=[sys.argv[2]])
                registry.log_metrics("m", {"x": number})
        """
    )
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "r")]
    started = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
    for process in started:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    with opened(tmp_path / "r") as registry:
        assert len(registry.get_model_versions("m")) == 30
        followed = list(registry.repository.index.dump())
        registry.repository.index.rebuild()
        assert followed == list(registry.repository.index.dump())


@pytest.mark.usefixtures("engine")
def test_threads_share_one_registry(store: Path) -> None:
    """Questions from several threads while another writes get whole answers."""
    with opened(store) as registry:
        failures: list[BaseException] = []
        done = threading.Event()

        def ask() -> None:
            try:
                while not done.is_set():
                    assert registry.load_model("m:1.0.2") == [2]
                    assert len(registry.list_models("m")) >= 3
            except BaseException as error:  # noqa: BLE001 - carried to the test's thread
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(10):
            registry.register_model([100 + number], "m")
        done.set()
        for thread in threads:
            thread.join()
        assert failures == []


@pytest.mark.usefixtures("engine")
def test_threads_that_ask_at_once_go_on_looking(store: Path) -> None:
    """However questions of several threads overlap, what another process commits afterwards is seen."""
    with opened(store) as one, opened(store) as other:
        inside, leave = threading.Barrier(3), threading.Event()

        def ask(stays: bool) -> None:
            with one.repository.index.glance():
                inside.wait()
                if stays:
                    leave.wait()

        threads = [threading.Thread(target=ask, args=(stays,)) for stays in (False, True)]
        for thread in threads:
            thread.start()
        inside.wait()
        threads[0].join()
        other.register_model([55], "newest")
        assert one.load_model("newest") == [55]
        leave.set()
        threads[1].join()
        other.register_model([56], "newest")
        assert one.load_model("newest") == [56]


def test_an_index_in_memory(tmp_path: Path) -> None:
    """A registry that cannot hold its index has it in this user's cache, or in memory."""
    with ModelRegistry("memory://test_an_index_in_memory", plugins=Plugins(())) as registry:
        filled(registry)
        before = list(registry.repository.index.dump())
        registry.repository.index.rebuild()
        assert before == list(registry.repository.index.dump())


@pytest.mark.usefixtures("engine")
def test_the_newest_observation_is_marked(store: Path) -> None:
    """Of each metric of each version, the observation that counts is marked, and no other."""
    with opened(store) as registry:
        registry.log_metrics("m:1.0.2", {"rmse": 0.75, "late": 1})
        marked = registry.repository.index.rows(
            "SELECT m.model_version, x.name, x.value FROM model_metrics x JOIN model_metadata m ON m.id = x.version_id "
            "WHERE x.latest = 1 AND m.model_name = 'm' ORDER BY m.precedence, x.name"
        )
        expected = [
            (record["version"], name, None if math.isnan(value) else value)
            for record in reversed(registry.get_model_versions("m"))
            for name, value in sorted(record["metrics"].items())
        ]
        assert expected == marked


VIEWED: dict[str, list[tuple[Any, ...]]] = {
    "SELECT name, version, versions FROM models ORDER BY name": [("m", "1.0.2", 3), ("team/other", "2.0.0-rc.1+b", 1)],
    "SELECT version, status, tags, aliases FROM versions WHERE name = 'm' ORDER BY created": [
        ("1.0.0", "active", "t, t0", None),
        ("1.0.1", "staging", "t1", None),
        ("1.0.2", "active", "t, t2", "production"),
    ],
    "SELECT version, value FROM metrics WHERE metric = 'rmse' AND name = 'm' ORDER BY version": [
        ("1.0.0", 0.0),
        ("1.0.1", float("inf")),
        ("1.0.2", 1.0),
    ],
    "SELECT value, step FROM observed WHERE version = '1.0.1' AND metric = 'rmse' ORDER BY position": [
        (0.5, None),
        (0.125, 3),
        (float("inf"), None),
    ],
    "SELECT version FROM tags WHERE tag = 't' ORDER BY version": [("1.0.0",), ("1.0.2",)],
    "SELECT name, alias, version FROM aliases": [("m", "production", "1.0.2")],
    "SELECT version, parent_name, parent_version FROM lineage ORDER BY version": [
        ("1.0.1", "m", "1.0.0"),
        ("1.0.2", "m", "1.0.1"),
    ],
    "SELECT parameter, value FROM parameters": [("depth", 3)],
    "SELECT DISTINCT created < updated, substr(created, 5, 1) || substr(created, 11, 1) FROM versions": [
        (0, "- "),
        (1, "- "),
    ],
}


@pytest.mark.parametrize("sql", VIEWED)
def test_views_for_people(tmp_path: Path, sql: str) -> None:
    """Each view says what the registry says, in words and readable times, to any client of the database."""
    with opened(tmp_path / "r") as registry:
        filled(registry)
        registry.register_model({"a": 1}, "team/other", "3.0.0-rc.1", hyperparameters={"depth": 3}, parents=[])
        registry.delete_model("team/other", "2.0.0-rc.1+b" if "parameter" in sql else "3.0.0-rc.1")
        registry.list_models()
    connection = sqlite3.connect(f"file:{tmp_path / 'r' / 'index.db'}?mode=ro", uri=True)
    found = connection.execute(sql).fetchall()
    connection.close()
    assert sorted(VIEWED[sql], key=repr) == sorted(found, key=repr)


@pytest.mark.usefixtures("engine")
def test_refs_are_found(store: Path) -> None:
    """Every kind of ref is looked up as the log has it."""
    with opened(store) as registry:
        state = registry.repository.log.state()
        spaces = {name.partition("/")[0] for name in state.refs}
        assert spaces == {"versions", "aliases", "tags", "notes"}
        for name, (digest, _, _) in state.refs.items():
            assert digest == registry.repository.index.ref(Ref.parse(name))
        for name in ("versions/m/9.0.0", "aliases/m/none", "tags/m/none/1.0.0", f"notes/m/1.0.0/{'ab' * 32}"):
            assert registry.repository.index.ref(Ref.parse(name)) is None
        with pytest.raises(ModelNotFoundError):
            registry.load_model("m:9.0.0")


ONE = b"\x01" * 32


def note(kind: str, at: int, **body: Any) -> tuple[bytes, Note]:
    """Return a note with a digest."""
    return bytes([at]) * 32, Note(ONE, kind, body, "ann", at)


def test_folding() -> None:
    """A version's state is its manifest and its notes in the order of their times, whatever order they came in."""
    manifest = Manifest(
        "m", "1.0.0", ONE, "json", 1, (), 10, "ann", facts={"metrics": {"a": 1.0}, "metadata": {"k": {"x": 1}}}
    )
    notes = [
        note("metrics", 11, metrics={"a": 2.0, "b": 5}, step=1),
        note("metrics", 13, metrics={"a": 3.0}, time=5),
        note("status", 12, status="staging"),
        note("status", 14, status="production"),
        note("metadata", 15, changes={"metadata": {"k": {"y": 2}, "gone": 1}}, description="words"),
        note("metadata", 16, changes={"metadata": {"k": {"x": None}, "gone": None}}, description=None),
        note("approval", 17, whatever=1),
    ]
    for order in (notes, notes[::-1]):
        folded = mirror.fold(manifest, order)
        assert folded.metrics == [("a", 1.0, None, 10), ("a", 2.0, 1, 11), ("b", 5, 1, 11), ("a", 3.0, None, 5)]
        assert folded.details["metrics"] == {"a": 3.0, "b": 5}
        assert folded.details["metadata"] == {"k": {"y": 2}}
        assert (folded.status, folded.description, folded.updated) == ("production", "words", 17)


@pytest.mark.parametrize(
    "details",
    [
        {}, {"a": float("inf")}, {"$a": 1}, {"a": {"$float": "x"}}, {"a": [b"\x00", {"$$": None}]}, {"$bytes": "no"},
        {"ü": "\x00"}, {"a": {"$float": 1.5}}, {"a": {"$float": "1", "b": 2}}, {"a": -float("inf"), "b": "$c"},
        {"a": '"$'}, {"": 1, '"': 2, "\\": 3, "\x00": 4, "$0": 5, "$$0": 6, "\n": {"": "\x00\\"}}, {"$text": "x"},
    ],
    ids=repr,
)  # fmt: skip
def test_details_survive_their_column(details: dict[str, Any]) -> None:
    """Facts are strict JSON in the database, and come back as they were, whatever keys people choose."""
    text = mirror.dumped(details)
    assert "Infinity" not in text
    assert "NaN" not in text
    assert details == mirror.loaded(text)


def test_the_file_s_own_errors(tmp_path: Path) -> None:
    """A file of another release or program is damage, and can be thrown away with all that belongs to it."""
    database = Database(tmp_path / "index.db")
    database.create()
    database.create()
    with sqlite3.connect(tmp_path / "index.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    database.close()
    with pytest.raises(DamagedIndexError):
        database.create()
    database.clear()
    assert list(tmp_path.glob("index.db*")) == []
    database.create()
    database.close()
