"""What the index promises on a PostgreSQL server: the rows of SQLite's, for many writers, whatever becomes of it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, inspect, make_url, select
from sqlalchemy.orm import Session

from friday_store.errors import InvalidValueError, PluginError, StorageError
from friday_store.index import Server
from friday_store.index.engine import IndexFileError
from friday_store.index.rows import Base, ModelMetadata, ModelTag
from friday_store.index.writing import Writer
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

if TYPE_CHECKING:
    from tests.servers.postgres import PostgresServer

ODD = ["a\0b", "a\1b", "\1", "\0", "é", "Z", "a", "_", "🙂", "a'b", "?", "$1", "%s", "Ä", "ab", "a b", "a\1\1b"]


def opened(folder: Path, index: str | Server | None) -> ModelRegistry:
    """Open a registry with its index somewhere."""
    return ModelRegistry(folder, plugins=Plugins(()), actor="ann", index=index)


def fill(registry: ModelRegistry) -> None:
    """Do everything that leaves rows, with texts that databases see differently."""
    for number, text in enumerate(ODD):
        registry.register_model(
            [number], "m", tags=["t", f"t{number % 3}"], description=text,
            metrics={text: number / 3, "nan": float("nan"), "low": float("-inf"), "zero": -0.0},
            hyperparameters={"alpha": text, "seed": 2**62 + number, "tiny": 1e-300, text: {"deep": [text, True]}},
        )  # fmt: skip
    registry.set_alias("m:1.0.0", "production")
    registry.log_metrics("m:1.0.1", {"rmse": 0.125}, step=3)
    registry.set_model_status("m:1.0.1", "staging", "because")
    registry.remove_tag("m:1.0.1", "t")
    registry.delete_model("m", "1.0.3")


def dump(registry: ModelRegistry) -> list[str]:
    """Return all rows of a registry's index."""
    return list(registry.repository.index.dump())


def schema(registry: ModelRegistry) -> str:
    """Return the name of the schema that holds a registry's index."""
    return f"friday_store_{registry.repository.id.replace('-', '')}"


def end_connections(postgres: PostgresServer) -> int:
    """End everybody's connection to the server, and return how many there were."""
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'friday'"
    return len(postgres.execute(sql))


@pytest.fixture
def shared(tmp_path: Path, postgres: PostgresServer) -> Iterator[ModelRegistry]:
    """Return a registry with everything in it, and its index on the server, where it must stay."""
    with opened(tmp_path / "r", postgres.url) as registry:
        fill(registry)
        yield registry
        assert registry.repository.index.place.startswith("PostgreSQL 1")


def test_the_rows_are_those_of_sqlite(shared: ModelRegistry, tmp_path: Path) -> None:
    """Followed entry by entry or made anew, on the server or in a file: the dump is the same, byte for byte."""
    followed = dump(shared)
    with opened(tmp_path / "r", None) as beside:
        assert followed == dump(beside)
    shared.repository.index.rebuild()
    assert followed == dump(shared)
    assert [] == shared.fsck()
    assert len(followed) > 100


def test_every_order_and_text_is_that_of_sqlite(shared: ModelRegistry, tmp_path: Path) -> None:
    """Texts that collations sort differently, zero bytes among them, come in the order of their bytes from both."""
    asked: list[dict[str, Any]] = [
        {"order_by": "description"}, {"order_by": "-params.alpha"}, {"order_by": "params.seed, name"},
        {"where": "description > 'a' and description < 'b'"}, {"where": "params.alpha between 'A' and 'a'"},
        {"where": f"params.seed = {2**62 + 3}"}, {"where": "params.tiny < 1e-299 and params.tiny > 0"},
        {"where": "description glob '[!-~]?b' or name glob '*[^m]'"}, {"where": "params.alpha like '_'"},
        {"where": "metrics.low < 0"}, {"where": "params.alpha in ('a\1b', 'a', '\1')"},
    ]  # fmt: skip
    with opened(tmp_path / "r", None) as beside:
        for each in asked:
            theirs = [record["id"] for record in beside.search(**each)]
            assert theirs == [record["id"] for record in shared.search(**each)], each


GLOBS = [
    "*", "?", "[a-c]", "[^a-c]", "[]a]", "[^]a]", "[c-a]", "[a", "a[", "[a-c-e]", "a*b", "*.*", "[.]", "[*]", "[?]",
    "\\", "[\\]", "(x|y)", "x{2}", "^x$", "[é-ü]", "+", "[-a]", "[a-]", "", "[^", "[]", "a\nb", "*\n*", "[[:alpha:]]",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "c", "d", "-", "]", "[", "^", "ab", "a.b", "*", "?", "\\", "(x|y)", "xx", "^x$", "é", "ö", "+",
    "a\nb", "\n", "axb", "a[", "[a", ":",
]  # fmt: skip


def test_globs_are_those_of_sqlite(shared: ModelRegistry, tmp_path: Path) -> None:
    """Every pattern matches the same texts on the server as in SQLite, whatever it means to regular expressions."""
    sql = "SELECT glob(?, CAST(? AS TEXT)) FROM state WHERE key = 'seq'"
    with opened(tmp_path / "r", None) as beside:
        for pattern in GLOBS:
            theirs = [text for text in TEXTS if beside.repository.index.rows(sql, (pattern, text))[0][0]]
            ours = [text for text in TEXTS if shared.repository.index.rows(sql, (pattern, text))[0][0]]
            assert theirs == ours, pattern


DAMAGE = {
    "lost": "DROP SCHEMA {schema} CASCADE",
    "empty": "TRUNCATE {schema}.model_metadata, {schema}.model_tags, {schema}.model_metrics, {schema}.model_parents, "
    "{schema}.model_notes, {schema}.model_aliases, {schema}.packs, {schema}.state",
    "a table gone": "DROP TABLE {schema}.model_tags CASCADE",
    "a function gone": "DROP FUNCTION {schema}.glob CASCADE",
    "no memory of itself": "DELETE FROM {schema}.state WHERE key <> 'seq'",
    "of another history": "UPDATE {schema}.state SET value = repeat('ab', 32) WHERE key = 'entry'",
    "of another repository": "UPDATE {schema}.state SET value = 'x' WHERE key = 'repository'",
    "of another release": "COMMENT ON SCHEMA {schema} IS 'friday-store index, schema 1'",
    "of another program": "COMMENT ON SCHEMA {schema} IS NULL",
    "a row changed": "UPDATE {schema}.model_metadata SET description = 'no'",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_it_recovers_without_being_asked(
    shared: ModelRegistry, tmp_path: Path, postgres: PostgresServer, what: str
) -> None:
    """Whatever becomes of the schema, the next process answers as before, and the rows are what they were."""
    before = dump(shared)
    shared.close()
    postgres.execute(DAMAGE[what].format(schema=schema(shared)))
    with opened(tmp_path / "r", postgres.url) as registry:
        assert registry.load_model("m@production") == [0]
        assert 16 == len(registry.search("name glob 'm*' and (tag = 't' or tag != 't')"))
        assert before == dump(registry)
        assert registry.repository.index.place.startswith("PostgreSQL 1")
    found = postgres.execute(f"SELECT nspname FROM pg_namespace WHERE nspname LIKE '{schema(shared)}%'")
    assert [(schema(shared),)] == found


@pytest.mark.parametrize("what", ["lost", "a table gone", "a function gone", "a row changed"])
def test_damage_while_it_is_open(shared: ModelRegistry, postgres: PostgresServer, what: str) -> None:
    """An index that is damaged under an open registry is made anew at the next question that meets the damage."""
    before = dump(shared)
    postgres.execute(DAMAGE[what].format(schema=schema(shared)))
    assert 15 == len(shared.search("name glob 'm*' and tag = 't'"))
    assert before == dump(shared)


def test_one_that_is_behind_catches_up(shared: ModelRegistry, tmp_path: Path, postgres: PostgresServer) -> None:
    """What was registered by somebody who does not use the server is in it at the next question."""
    with opened(tmp_path / "r", None) as beside:
        beside.register_model([77], "m")
        after = dump(beside)
    assert after == dump(shared)


def test_repositories_share_a_database(shared: ModelRegistry, tmp_path: Path, postgres: PostgresServer) -> None:
    """Another repository's index in the same database has its own rows, and losing one leaves the other."""
    before = dump(shared)
    with opened(tmp_path / "other", postgres.url) as other:
        other.register_model([1], "m")
        assert ["m:1.0.0"] == [f"{r['name']}:{r['version']}" for r in other.list_models()]
        postgres.execute(DAMAGE["lost"].format(schema=schema(other)))
        assert 1 == len(other.list_models())
    assert before == dump(shared)


def test_an_ended_connection_is_opened_again(shared: ModelRegistry, postgres: PostgresServer) -> None:
    """Somebody who ends the connection is not noticed, be it between two questions or in the middle of a plan."""
    before = len(shared.list_models())
    assert end_connections(postgres) >= 1
    assert before == len(shared.list_models())
    assert end_connections(postgres) >= 1
    shared.register_model(["more"], "m")
    assert before + 1 == len(shared.list_models())
    index, ended = shared.repository.index, list[int]()
    rows = index._database.rows

    def ending(sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        if index._held and len(ended) < 2:  # within a plan
            ended.append(end_connections(postgres))
        return rows(sql, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index._database, "rows", ending)
        shared.register_model(["again"], "m")
    assert [1, 1] == ended
    assert before + 2 == len(shared.list_models())


def test_an_apply_that_is_cut_off_is_done_again(
    shared: ModelRegistry, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that ends while an entry is written leaves nothing of it, and then all of it."""
    write, cut = Writer.write, list[Any]()

    def cutting(self: Writer, connection: Any, *arguments: Any, **options: Any) -> int:
        found = write(self, connection, *arguments, **options)
        if len(cut) < 2:
            seen = postgres.execute(f"SELECT count(*) FROM {schema(shared)}.model_tags WHERE tag = 'half'")
            cut.append((seen, end_connections(postgres)))
        return found

    monkeypatch.setattr(Writer, "write", cutting)
    shared.register_model(["cut"], "m", tags=["half"])
    assert [([(0,)], 1), ([(0,)], 1)] == cut
    assert 1 == len(shared.list_models(tags=["half"]))
    followed = dump(shared)
    shared.repository.index.rebuild()
    assert followed == dump(shared)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_server_that_starts_again(shared: ModelRegistry, postgres: PostgresServer, how: int) -> None:
    """Questions and registrations wait for a server that is away for a moment, and go on with what it still has."""
    before = len(shared.list_models())
    postgres.stop(how)
    thread = threading.Timer(1, postgres.start)
    thread.start()
    assert before == len(shared.list_models())
    thread.join()
    postgres.stop(how)
    postgres.start()
    shared.register_model(["after"], "m")
    followed = dump(shared)
    assert before + 1 == len(shared.list_models())
    shared.repository.index.rebuild()
    assert followed == dump(shared)


def test_a_server_that_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without its server a registry is read and written as before, with a warning and an index in memory."""
    began = time.monotonic()
    with opened(
        tmp_path / "r", "postgresql://ann:canary-password@127.0.0.1:9/none?sslpassword=canary-query"
    ) as registry:
        registry.register_model([1], "m")
        assert [1] == registry.load_model("m")
        assert "in memory" in registry.repository.index.place
    assert "postgresql://127.0.0.1:9/none" in caplog.text
    assert "canary" not in caplog.text
    assert time.monotonic() - began < 5


def test_secrets_are_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """S14: a password in the URL or the options stands in no message, repr, log or file of the registry."""
    urls = ["postgresql://ann:canary-one@127.0.0.1:9/x", "postgresql://ann:canary-one@[bad/x", "postgresql://h/x?canary-one=1",
            "postgresql://ann:canary-one@127.0.0.1:port/x"]  # fmt: skip
    for number, url in enumerate(urls):
        try:
            server = Server(url, {"password": "canary-two"})
            said = [repr(server), server.place]
            with opened(tmp_path / f"r{number}", server) as registry:
                registry.register_model([1], "m")
                with pytest.raises(StorageError) as caught:
                    index_at(registry, server).prove()
            said += ["".join(traceback.format_exception(caught.value))]
        except InvalidValueError as error:
            said = [str(error), repr(error)]
        assert "canary" not in " ".join(said), said
    assert "canary" not in caplog.text
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"canary" not in path.read_bytes()


def index_at(registry: ModelRegistry, server: Server) -> Any:
    """Return a new index of a registry on a server."""
    from friday_store.index import Index

    repository = registry.repository
    return Index(server, repository.id, repository.log, repository.objects)


SCRIPT = """
    import os, signal, sys
    from friday_store.index.writing import Writer
    from friday_store.plugins import Plugins
    from friday_store.registry import ModelRegistry
    folder, url, what = sys.argv[1:]
    def killed(*arguments, **options):
        write(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    write = Writer.write
    with ModelRegistry(folder, plugins=Plugins(()), actor=what, index=url) as registry:
        registry.list_models()
        if what == "killed":
            Writer.write = killed
        for number in range(10):
            registry.register_model([what, number], "m", tags=[what])
            registry.log_metrics("m", {"x": number})
"""


def started(folder: Path, url: str, *names: str) -> list[subprocess.Popen[str]]:
    """Start writers in processes of their own."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), str(folder), url]
    return [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in names]


def test_many_writers(tmp_path: Path, postgres: PostgresServer) -> None:
    """Processes that register at once, one of them killed in the middle of an apply, leave one index, whole."""
    with opened(tmp_path / "r", postgres.url) as registry:
        registry.register_model([0], "m")
        processes = started(tmp_path / "r", postgres.url, "a", "b", "killed", "c")
        seen: list[tuple[int, int]] = []
        while any(process.poll() is None for process in processes):
            sql = "SELECT (SELECT count(*) FROM model_metadata), (SELECT count(DISTINCT version_id) FROM model_tags)"
            seen.append(registry.repository.index.rows(sql)[0])
        ends = [(process.communicate()[1], process.returncode) for process in processes]
        assert [0, 0, -signal.SIGKILL, 0] == [code for _, code in ends], ends
        assert all(versions == tagged + 1 for versions, tagged in seen)  # each entry has both, or is not there
        assert 32 == len(registry.list_models())
        followed = dump(registry)
        assert registry.repository.index.place.startswith("PostgreSQL")
        registry.repository.index.rebuild()
        assert followed == dump(registry)


def test_readers_go_on_while_it_is_made_anew(shared: ModelRegistry, tmp_path: Path, postgres: PostgresServer) -> None:
    """While some make the index anew, again and again, all who read see all of it, in one state, and no error."""
    expected, before = [record["id"] for record in shared.list_models()], dump(shared)
    done, failures = threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            with opened(tmp_path / "r", postgres.url) as mine:
                while not done.is_set():
                    assert expected == [record["id"] for record in mine.list_models()]
                    with mine.repository.index.still():
                        assert [(16,)] == mine.repository.index.rows("SELECT count(*) FROM model_metadata")
                        assert 15 == len(mine.list_models(tags=["t"]))
        except BaseException as error:  # noqa: BLE001 - carried to the test's thread
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    with opened(tmp_path / "r", postgres.url) as other:
        for _ in range(3):
            other.repository.index.rebuild()
            shared.repository.index.rebuild()
    done.set()
    for thread in threads:
        thread.join()
    assert [] == failures
    assert before == dump(shared)


def test_a_child_has_its_own_connection(shared: ModelRegistry) -> None:
    """After a fork the child asks the server itself, and the parent's connection still works."""
    expected = len(shared.list_models())
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if len(shared.list_models()) == expected else 1)
        os._exit(2)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert expected == len(shared.list_models())


def test_without_the_driver(tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where psycopg is not installed, the error says what to install."""
    opened(tmp_path / "r", None).register_model([1], "m")
    for name in [name for name in sys.modules if name.startswith("friday_store.index.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(PluginError, match="psycopg") as caught:
        opened(tmp_path / "r", postgres.url)
    assert caught.value.hint == "pip install 'friday-store[postgres]'"


def test_a_role_that_may_make_nothing(
    tmp_path: Path, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A role without rights in the database reads the registry from memory, and is told why."""
    with contextlib.suppress(Exception):
        postgres.execute("CREATE ROLE nobody LOGIN")
    with opened(tmp_path / "r", postgres.url.replace("friday@", "nobody@")) as registry:
        registry.register_model([1], "m")
        assert 1 == len(registry.list_models())
    assert "permission denied for database models" in caplog.text
    with pytest.raises(IndexFileError, match="permission denied"):
        index_at(registry, Server(postgres.url.replace("friday@", "nobody@"))).prove()


def test_anyone_s_own_session(shared: ModelRegistry, postgres: PostgresServer) -> None:
    """The mapped classes describe the tables on the server, and a session of one's own asks them."""
    url = make_url(postgres.url.replace("postgresql://", "postgresql+psycopg://"))
    engine = create_engine(url, connect_args={"options": f"-csearch_path={schema(shared)}"})
    found = inspect(engine)
    for name, table in Base.metadata.tables.items():
        columns = {c["name"]: c["nullable"] for c in found.get_columns(name) if c["name"] != "facts"}
        assert {c.name: c.nullable for c in table.columns} == columns
        assert set(table.primary_key.columns.keys()) == set(found.get_pk_constraint(name)["constrained_columns"])
        assert {index.name for index in table.indexes} <= {index["name"] for index in found.get_indexes(name)}
    with Session(engine) as session:
        query = select(ModelMetadata).join(ModelTag).where(ModelTag.tag == "t0").order_by(ModelMetadata.id)
        versions = session.scalars(query).all()
        assert [record["version"] for record in shared.list_models(tags=["t0"], order_by="created")] == [
            version.model_version for version in versions
        ]
    engine.dispose()


READING = [
    ("SELECT count(*) FROM versions", 16),
    ("WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 6) SELECT max(x) FROM n", 6),
    ("SELECT count(*) FROM model_metadata m, json_each(m.details) j WHERE j.key = 'metrics'", 16),
    ("SELECT sum(size_bytes) > 0 FROM models", True),
    ("SELECT count(*) FROM tags WHERE tag = 't' AND version <> '?' -- why?", 15),
    ("SELECT value FROM metrics WHERE metric = 'low' LIMIT 1;", float("-inf")),
    ("SELECT count(*) FROM parameters WHERE parameter = 'seed'", 16),
    ("SELECT aliases FROM versions WHERE version = '1.0.0'", "production"),
    ("SELECT length(created) FROM versions LIMIT 1", 23),
]
REFUSED = [
    "DELETE FROM model_metadata", "UPDATE state SET value = ''", "INSERT INTO state VALUES ('a', 'b')",
    "TRUNCATE state", "DROP TABLE model_tags", "DROP VIEW versions", "CREATE TABLE x (y int)", "VACUUM",
    "CREATE TEMP TABLE x (y int)",
    "CREATE VIEW x AS SELECT 1", "SELECT 1; DELETE FROM model_metadata", "", "nonsense", "SELECT * FROM none", "\0",
    "WITH x AS (DELETE FROM state RETURNING *) SELECT * FROM x", "SELECT 1 INTO x", "SELECT * FROM state FOR UPDATE",
    "EXPLAIN ANALYZE DELETE FROM state", "COPY state TO '/tmp/x'", "COPY state TO PROGRAM 'id'", "COMMIT", "BEGIN",
    "SET transaction_read_only TO off", "SELECT set_config('transaction_read_only', 'off', true)", "SET ROLE postgres",
    "SELECT set_config('role', 'postgres', false)", "SELECT set_config('session_authorization', 'postgres', false)",
    "SELECT pg_read_file('/etc/passwd')", "SELECT pg_read_binary_file('/etc/passwd')", "SELECT pg_ls_dir('/')",
    "SELECT query_to_xml('SELECT pg_read_file(''/etc/passwd'')', true, true, '')", "SELECT lo_import('/etc/passwd')",
    "SELECT query_to_xml('DELETE FROM state', true, true, '')", "SELECT pg_reload_conf()",
    "SELECT * FROM pg_authid", "DO $$ BEGIN END $$", "CALL x()", "LISTEN x", "LOCK TABLE state",
    "SELECT ask('SELECT 1', 1)",
]  # fmt: skip


@pytest.mark.parametrize("role", ["friday", "postgres"])
def test_sql_of_one_s_own_only_reads(tmp_path: Path, postgres: PostgresServer, role: str) -> None:
    """The server answers what reads the index, and refuses what writes or reads a file, also for a superuser."""
    with opened(tmp_path / "r", postgres.url.replace("friday@", f"{role}@")) as registry:
        fill(registry)
        before = dump(registry)
        for sql, expected in READING:
            assert [(expected,)] == registry.select(sql)[1], sql
        for sql in REFUSED:
            with pytest.raises(InvalidValueError, match=r"SQL|question"):
                pytest.fail(f"{sql}: {registry.select(sql)}")
        asked = 'SELECT version, value, ? AS "why?" FROM metrics WHERE metric = ? AND value >= ? -- ?'
        assert (["version", "value", "why?"], [("1.0.2", 2 / 3, "it's")]) == registry.select(asked, ("it's", "\1", 0.5))
        for values in ((1,), (1, 2, 3, 4, 5)):
            with pytest.raises(InvalidValueError, match="marks"):
                registry.select("SELECT ?, ?", values)
        registry.select("SELECT lo_create(0)")  # which PostgreSQL 15 lets pass, so nothing is ever committed
        assert [(0,)] == postgres.execute("SELECT count(*) FROM pg_largeobject_metadata")
        assert before == dump(registry)
        registry.register_model([7], "m")
        assert [(17,)] == registry.select("SELECT count(*) FROM model_metadata")[1]


class _RungError(Exception):
    """The alarm of a test."""


ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT (x + 1) % 1000 FROM n) SELECT "


def test_a_question_without_end_is_stopped(shared: ModelRegistry, postgres: PostgresServer) -> None:
    """What a signal raises ends it on the server too, and so do its time and its rows; nobody else waits for it."""

    def ring(*_: object) -> None:
        raise _RungError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(_RungError):
            shared.select(f"{ENDLESS}count(*) FROM n")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for sql in (f"{ENDLESS}count(*) FROM n", "SELECT 1 FROM pg_sleep(1000)"):
        with pytest.raises(InvalidValueError, match=r"within 0\.2 seconds"):
            shared.select(sql, timeout=0.2)
    with pytest.raises(InvalidValueError, match="more than 1,000 rows"):
        shared.select(f"{ENDLESS}x FROM n", most=1000)
    assert 1000 == len(shared.select(f"{ENDLESS}x FROM n LIMIT 1000", most=1000)[1])
    thread = threading.Thread(target=lambda: _wait(shared))
    thread.start()
    thread.join(0.3)
    shared.register_model(["more"], "m")
    assert (17, True) == (len(shared.search()), thread.is_alive())
    thread.join()
    running = "SELECT query FROM pg_stat_activity WHERE usename = 'friday' AND state = 'active'"
    assert [] == postgres.execute(running)


def _wait(registry: ModelRegistry) -> None:
    with pytest.raises(InvalidValueError, match="within"):
        registry.select("SELECT 1 FROM pg_sleep(1000)", timeout=3)


def test_questions_that_are_refused_are_no_damage(shared: ModelRegistry, caplog: pytest.LogCaptureFixture) -> None:
    """What the server will not answer raises a typed error, and the index stays what it was."""
    questions: list[tuple[Callable[[], Any], str]] = [
        (lambda: shared.select("SELECT 1 / 0"), "division by zero"),
        (lambda: shared.select("SELECT ?", [object()]), "SQL"),
        (lambda: shared.select("SELECT ?", ["\ud800"]), "SQL"),
        (lambda: shared.select("SELECT '\ud800'"), "SQL"),
        (lambda: shared.select("SELECT repeat('x', 2000000000)"), "SQL"),
        (lambda: shared.repository.index.rows("SELECT 1 FROM state WHERE key = ?", ("\ud800",)), "value"),
        (lambda: shared.repository.index.rows("SELECT 1 FROM packs WHERE size = ?", (1 << 70,)), "value"),
        (lambda: shared.list_models(tags=["\ud800"]), "value"),
    ]
    with caplog.at_level(logging.INFO):
        for ask, words in questions:
            with pytest.raises(InvalidValueError, match=words):
                ask()
    assert [] == caplog.records
