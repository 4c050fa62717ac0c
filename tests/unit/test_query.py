"""What the query language promises: what is wrong is pointed at, and no text of a user's becomes SQL."""

from __future__ import annotations

import csv
import gc
import importlib
import io
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from friday_store import ModelNotFoundError, ModelOperations
from friday_store.errors import InvalidValueError, QueryError
from friday_store.index.database import Database
from friday_store.plugins import Plugins
from friday_store.query import And, Compare, Not, Or, parse
from friday_store.query.fields import COLUMNS
from friday_store.query.order import Order


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, index_url: str | None) -> Iterator[ModelOperations]:
    """Return a registry with a few versions; the tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRIDAY_STORE_HOME", str(tmp_path_factory.mktemp("home")))
        with ModelOperations(
            tmp_path_factory.mktemp("q") / "r", plugins=Plugins(()), actor="ann", index=index_url
        ) as made:
            for number in range(6):
                made.register_model(
                    {"n": number},
                    "aapl" if number % 2 else "msft",
                    tags=["1d", *(["AAPL"] if number % 2 else [])],
                    metrics={"rmse": number / 10, "val-loss": 1 - number / 10},
                    hyperparameters={"alpha": number},
                    metadata={"region": "eu" if number < 3 else "us"},
                )
            made.set_alias("aapl:1.0.1", "production")
            yield made
            assert made.repository.index.place.startswith("SQLite" if index_url is None else "PostgreSQL")


def found(registry: ModelOperations, where: str, **options: Any) -> list[str]:
    """Return the versions that a query finds, as one types them."""
    return [f"{record['name']}:{record['version']}" for record in registry.search(where, **options)]


def test_what_leads_finds_the_same(registry: ModelOperations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of a tag are taken together where they are few, or a small share of many; the answer is the same."""
    search = importlib.import_module("friday_store.query.search")
    where = "tag = 'AAPL'"
    walked = []
    for wide, share in ((100, 1), (1, 1), (1, 2)):
        monkeypatch.setattr(search, "WIDE", wide)
        monkeypatch.setattr(search, "_WIDEST", 5)
        monkeypatch.setattr(search, "SHARE", share)
        asked = search._Search(registry.repository.index, parse(where), str, Order(), 2)
        walked.append(asked._lead() is None)
        assert ["aapl:1.0.0", "aapl:1.0.1"] == found(registry, where, order_by="version", limit=2)
    assert [False, False, True] == walked


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", 6),
        ("  ", 6),
        ("metrics.rmse < 0.25 and tag = 'AAPL'", 1),
        ("name = 'aapl' or alias = 'production'", 3),
        ("not (name = 'aapl' OR metadata.region = 'eu')", 1),
        ("metrics.val-loss > 0", None),
        ('metrics."val-loss" <= 0.5', 1),
        ("params.alpha in (1, 3.0, 'x')", 2),
        ("hyperparameters.alpha between 2 and 4", 3),
        ("tag like 'AA%' and name glob 'a*'", 3),
        ('tag = "AAPL"', 3),
        ("created > '2020-01-01' and updated < '2999-01-01T00:00+02:00'", 6),
        ("version >= '1.0.1' and version < '1.0.10'", 4),
        ("descends from 'aapl:1.0.0'", 2),
        ("status is null", 0),
        ("metadata.nothing is null", 6),
        ("metrics.nothing is not null", 0),
        ("size > 1e99 or size < -5", 0),
        ("environment.python is not null", 6),
        ("metrics.rmse == 0.5 and metrics.rmse <> 0.4", 1),
        ("created_at > '2020-01-01' and model_name = 'msft' and tags = '1d' and aliases is null", 3),
        ("params.alpha = 'NaN'", 0),
    ],
)
def test_what_is_found(registry: ModelOperations, where: str, expected: int | None) -> None:
    """Every form of the language does what it says."""
    if expected is None:
        with pytest.raises(QueryError):
            registry.search(where)
    else:
        assert expected == len(registry.search(where))


WRONG: dict[str, tuple[int, str]] = {
    "nmae = 'x'": (1, "did you mean 'name'?"),
    "name = 'x' and metric.rmse < 1": (16, "did you mean 'metrics'?"),
    "name = aapl": (8, "text stands in quotes: 'aapl'"),
    "name = 'aapl": (8, "not closed"),
    "name == ": (8, "expected a value"),
    "name": (5, "expected a comparison"),
    "name lik 'x'": (6, "did you mean 'like'?"),
    "name = 'x' adn tag = 'y'": (12, "did you mean 'and'?"),
    "(name = 'x'": (12, "expected ')' for the '(' in column 1"),
    "name = 'x')": (11, "does not belong here"),
    "and": (1, "expected a field"),
    "not": (4, "expected a field"),
    "metrics.rmse < '0.5'": (16, "metrics.rmse is a number"),
    "metrics.rmse like '0%'": (19, "like is for text"),
    "metrics < 1": (1, "a metric has a name"),
    "params = 1": (1, "params is a section"),
    "name = 5": (8, "it stands in quotes"),
    "name.x = 'y'": (1, "name has no parts"),
    "created > 'yesterday'": (11, "is not a time"),
    "version > '1.2'": (11, "is not a version"),
    "status = null": (10, "is null"),
    "status is nul": (11, "expected 'null'"),
    "tag in 'x'": (8, "expected '('"),
    "tag in ('x'": (12, "expected ')'"),
    "tag in ()": (9, "expected a value"),
    "size between 1 or 2": (16, "expected 'and'"),
    "params.a between 1 and 'x'": (24, "two kinds"),
    "params.a > true": (12, "no order"),
    "descends from x": (15, "expected a version"),
    "metadata.a[x] = 1": (12, "expected a place"),
    "metadata.5 = 1": (10, "expected a key"),
    "size = 5kg": (8, "this is no number"),
    "name = 'x'; drop table model_metadata": (11, "';' does not belong here"),
    "name = 'x' -- comment": (12, "does not belong here"),
    "name ~ 'x'": (6, "'~' does not belong here"),
    "name like 'a\0'": (11, "zero byte"),
    "(" * 60 + "name = 'x'" + ")" * 60: (51, "nests at most 50"),
    " or ".join(["id = 'x'"] * 201): (2401, "at most 200 conditions"),
    "name = '" + "x" * 10_000 + "'": (1, "at most 10000 characters"),
}


@pytest.mark.parametrize("where", WRONG, ids=lambda text: text[:40])
def test_a_mistake_is_pointed_at(registry: ModelOperations, where: str) -> None:
    """An error names the column of the mistake, what was probably meant, and shows the text with a mark below."""
    column, words = WRONG[where]
    with pytest.raises(QueryError) as caught:
        registry.search(where)
    error = caught.value
    assert (column, where) == (error.column, error.text or where)
    assert words in error.message
    assert isinstance(error, InvalidValueError)
    if error.text:
        shown, mark = error.pointed()
        assert mark.endswith("^")
        assert where[column - 1 : column] == shown[len(mark) - 1 : len(mark)]
        assert str(error) == f"{error.message}\n{shown}\n{mark}"


def test_a_version_that_is_not_there(registry: ModelOperations) -> None:
    """A revision in a query is resolved as everywhere else, with its own error."""
    with pytest.raises(ModelNotFoundError, match="aapl"):
        registry.search("descends from 'aapl:9.9.9'")


def test_the_tree_of_a_text() -> None:
    """And binds stronger than or, not stronger than and; brackets turn that round."""
    name, tag = Compare(COLUMNS["name"], "=", ("a",)), Compare(COLUMNS["tag"], "=", ("b",))
    assert Or((name, And((name, Not(tag))))) == parse("name = 'a' or name = 'a' and not tag = 'b'")
    assert And((Or((name, name)), tag)) == parse("(name = 'a' or name = 'a') and tag = 'b'")
    assert Compare(COLUMNS["description"], "=", ("it's",)) == parse("description = 'it''s'")


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("-metrics.rmse", "aapl:1.0.2"),
        ("metrics.rmse desc, name", "aapl:1.0.2"),
        ('metrics."val-loss"', "aapl:1.0.2"),
        ("metrics.val-loss", "aapl:1.0.2"),
        ("name DESC, -version", "msft:1.0.2"),
        ("-name desc, version", "aapl:1.0.0"),
        (["metadata.region", "params.alpha"], "msft:1.0.0"),
        (None, "aapl:1.0.2"),
        ("created", "msft:1.0.0"),
    ],
)
def test_orders(registry: ModelOperations, order: Any, first: str) -> None:
    """Several keys, either spelling of a direction, any metric."""
    assert first == found(registry, "", order_by=order)[0]


@pytest.mark.parametrize(
    "order", ["tag", "nmae", "name,", ",name", "name version", "metrics.none-such", "", "name; x", "name," * 3000]
)
def test_orders_that_cannot_be(registry: ModelOperations, order: str) -> None:
    """What cannot be sorted by is refused, with its place."""
    with pytest.raises(QueryError, match="order_by: "):
        registry.search(order_by=order)


def test_the_most_keys_have_pages(registry: ModelOperations) -> None:
    """As many keys as an order may have give pages too, and one more is refused with its place."""
    order = ",".join(f"params.{name}" for name in [*"abcdefg", "alpha"])
    whole, page = found(registry, "", order_by=order), registry.search(order_by=order, limit=2)
    assert whole[2:] == found(registry, "", order_by=order, after=page.after)
    with pytest.raises(QueryError, match="at most 8 keys") as caught:
        registry.search(order_by=f"{order},name")
    assert len(order) + 2 == caught.value.column


def test_pages(registry: ModelOperations) -> None:
    """A page says where the next begins, in its own order; the last says so."""
    whole = found(registry, "tag = '1d'", order_by="-metrics.rmse")
    page = registry.search("tag = '1d'", order_by="-metrics.rmse", limit=4)
    rest = registry.search("tag = '1d'", order_by="-metrics.rmse", limit=4, after=page.after)
    assert whole == [f"{r['name']}:{r['version']}" for r in (*page, *rest)]
    assert rest.after is None
    assert registry.search(limit=6).after is None
    for wrong in ("", "x", page.after[:-3] if page.after else "", "WyJ4Il0", "é", "W10"):
        with pytest.raises(InvalidValueError, match="after"):
            registry.search(order_by="-metrics.rmse", after=wrong)
    with pytest.raises(InvalidValueError, match="after"):
        registry.search(order_by="name", after=page.after)


def test_results_in_every_form(registry: ModelOperations, tmp_path: Path) -> None:
    """A page is records, a DataFrame, CSV and Parquet of the same rows; typed also when empty."""
    page = registry.search("name = 'aapl'", order_by="version")
    table = registry.query("name = 'aapl'", order_by="version")
    assert [record["id"] for record in page] == list(table["model_id"])
    assert [0.1, 0.3, 0.5] == list(table["metrics.rmse"])
    page.to_parquet(tmp_path / "a.parquet")
    again = pd.read_parquet(tmp_path / "a.parquet")
    assert list(table.columns) == list(again.columns)
    assert list(table["created_at"]) == list(again["created_at"])
    page.to_csv(tmp_path / "a.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8"))))
    assert [record["model_version"] for record in page] == [row["model_version"] for row in rows]
    assert ["1d,AAPL", "production"] == [rows[1]["tags"], rows[1]["aliases"]]
    assert page[0]["created_at"].isoformat() == rows[0]["created_at"]
    empty = registry.query("name = 'none'")
    assert (0, "int64") == (len(empty), str(empty["size_bytes"].dtype))


def test_the_other_verbs_take_it(registry: ModelOperations) -> None:
    """Lists, summaries and the best version take the same conditions."""
    assert 3 == len(registry.list_models("a*", where="tag = 'AAPL'"))
    assert ["aapl"] == [one["model_name"] for one in registry.list_summaries(where="alias = 'production'")]
    best = registry.find_best_model(None, "rmse", require="tag != 'AAPL' and params.alpha > 0")
    assert ("msft", 0.2) == (best["name"], best["metrics"]["rmse"])
    with pytest.raises(QueryError):
        registry.find_best_model(None, "rmse", require="nope = 1")


HOSTILE = [
    "' OR '1'='1", "'; DROP TABLE model_metadata; --", '" OR ""="', "') OR 1=1 --", "1 UNION SELECT * FROM state",
    "x' UNION SELECT seal FROM model_metadata --", "%", "_", "*", "?", "[a-z]", "\\", "\\%", "a'b", 'a"b', "a`b", "a;b",
    "a--b", "/* x */", "a.b", "[0]", "$", "$.x", "\x00", "a\x00b", "🙂", "\n", ":name", "?1", "@p",
    "NULL", "x' COLLATE NOCASE",
]  # fmt: skip


def literal(text: str, mark: str = "'") -> str:
    """Return a text in quotes, as the language wants it."""
    return mark + text.replace(mark, mark * 2) + mark


def asked(registry: ModelOperations, text: str) -> list[Any]:
    """Ask everything that a text can be put in, and return what came."""
    return [
        found(registry, f"name = {literal(text)} or tag = {literal(text)} or status in ({literal(text)})"),
        found(registry, f"description < {literal(text)} and description > {literal(text)}"),
        found(registry, f"metadata.{literal(text, chr(34))} = {literal(text)}"),
        found(registry, f"metrics.{literal(text, '`')} < 1", order_by=f"metrics.{literal(text, '`')}", limit=3),
        found(registry, f"params.{literal(text, chr(34))} is not null", order_by=f"-params.{literal(text, chr(34))}"),
        [record["id"] for record in registry.list_models(tags=[text], status=text, model_type=text)],
        [record["id"] for record in registry.list_models(tags=[text, "x"], require_all_tags=False)],
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_becomes_sql(registry: ModelOperations, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S12: for any text the statements are those for a harmless one, letter by letter; it is only ever bound."""
    log: list[str] = []
    rows = Database.rows

    def logged(self: Database, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        log.append(sql)
        return rows(self, sql, values)

    monkeypatch.setattr(Database, "rows", logged)
    nothing = asked(registry, "harmless")
    harmless, log = log, []
    assert nothing == asked(registry, text)
    assert harmless == log
    assert 6 == len(registry.search())


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_any_name_is_found(tmp_path: Path, text: str) -> None:
    """S12: a metric, parameter, key and value of any text is found by exactly it, and by nothing like it."""
    with ModelOperations(tmp_path / "r", plugins=Plugins(()), actor="ann") as registry:
        registry.register_models(
            {
                "model": [name],
                "model_name": "m",
                "metrics": {name: 1.5},
                "hyperparameters": {name: name},
                "metadata": {"k": {name: name}},
                "description": name,
            }
            for name in (text, f"{text}x", "other")
        )
        for where in (
            f"metrics.{literal(text, chr(34))} = 1.5",
            f"params.{literal(text, chr(34))} = {literal(text)}",
            f"metadata.k.{literal(text, '`')} = {literal(text)}",
            f"metadata.k.{literal(text, '`')} is not null",
            f"description = {literal(text)}",
        ):
            assert ["m:1.0.0"] == found(registry, where), where
        if "\x00" not in text:
            exact = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            assert ["m:1.0.0"] == found(registry, f"description like {literal(exact)}")
            assert ["m:1.0.1", "m:1.0.0"] == found(registry, f"description like {literal(exact + '%')}")


READING = [
    "SELECT count(*) FROM versions",
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 6) SELECT max(x) FROM n",
    "SELECT count(*) FROM model_metadata m, json_each(m.details) j WHERE j.key = 'metrics'",
]
WRITING = [
    "DELETE FROM model_metadata", "UPDATE state SET value = ''", "INSERT INTO state VALUES ('a', 'b')",
    "DROP TABLE model_tags", "DROP VIEW versions", "CREATE TABLE x (y)", "CREATE TEMP TABLE x (y)",
    "CREATE VIEW x AS SELECT 1",
    "PRAGMA user_version = 7", "PRAGMA writable_schema = ON", "PRAGMA query_only = OFF", "PRAGMA journal_mode = DELETE",
    "ATTACH 'other.db' AS o", "VACUUM", "VACUUM INTO 'copy.db'", "REINDEX", "ANALYZE", "BEGIN IMMEDIATE", "DETACH main",
    "SELECT load_extension('x')", "SELECT 1; DELETE FROM model_metadata", "", "nonsense", "SELECT * FROM none",
    "WITH x AS (SELECT 1) DELETE FROM model_metadata", "EXPLAIN DELETE FROM model_metadata",
    "REPLACE INTO state VALUES (1, 2)",
    "ALTER TABLE state RENAME TO s", "SELECT * FROM pragma_table_info('state')", "SAVEPOINT a", "COMMIT", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("place", ["file", "memory"])
def test_sql_of_one_s_own_only_reads(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL is let through by the database itself if it reads, and refused without a trace if it does anything else."""
    monkeypatch.chdir(tmp_path)
    url = str(tmp_path / "r") if place == "file" else "memory://test_sql_of_one_s_own"
    with ModelOperations(url, plugins=Plugins(()), actor="ann") as registry:
        for number in range(6):
            registry.register_model([number], "m", metrics={"a": number})
        before = list(registry.repository.index.dump())
        for sql in READING:
            assert [(6,)] == registry.select(sql)[1], sql
        assert (["version", "value"], [("1.0.5", 5.0)]) == registry.select(
            "SELECT version, value FROM metrics WHERE value > ? ", (4,)
        )
        for sql in WRITING:
            with pytest.raises(InvalidValueError, match=r"SQL|question"):
                registry.select(sql)
        assert before == list(registry.repository.index.dump())
        registry.register_model([7], "m")
        assert [(7,)] == registry.select("SELECT count(*) FROM model_metadata")[1]
    assert [] == [path.name for path in tmp_path.iterdir() if path.suffix == ".db"]


ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT "
HALF = "\ud800"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ModelOperations]:
    """Return a registry of three versions whose parameter ``c`` is 1, infinity and minus infinity."""
    with ModelOperations(tmp_path / "small", plugins=Plugins(()), actor="ann") as made:
        for number in (1, float("inf"), float("-inf")):
            made.register_model([number], "m", hyperparameters={"c": number, "d": [True, "a\0b"]})
        yield made


def test_a_question_that_is_refused_is_no_damage(
    small: ModelOperations, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What SQLite will not answer raises a typed error, and the index stays the file that it was."""
    before = (tmp_path / "small" / "index.db").stat().st_ino
    questions: list[tuple[str, Any]] = [
        ("SELECT 1 LIMIT 'a'", ()), ("SELECT zeroblob(2000000000)", ()), (f"SELECT {'+'.join('1' * 1200)}", ()),
        ("SELECT ?", [1 << 70]), ("SELECT ?", [object()]), ("SELECT ?", 5), ("SELECT ?", [HALF]),
        (f"SELECT '{HALF}'", ()), ("SELECT CAST(x'ff' AS TEXT)", ()), ("SELECT json('{')", ()),
    ]  # fmt: skip
    with caplog.at_level(logging.INFO):
        for sql, values in questions:
            with pytest.raises(InvalidValueError, match="SQL: "):
                small.select(sql, values)
        for sql, values in (questions[2], questions[3], questions[6]):
            with pytest.raises(InvalidValueError):
                small.repository.index.rows(sql, values)
        with pytest.raises(QueryError, match="column 9"):
            small.search(f"name = '{HALF}'")
        with pytest.raises(InvalidValueError):
            small.list_models(tags=[HALF])
    assert [] == caplog.records
    assert before == (tmp_path / "small" / "index.db").stat().st_ino


def test_many_values_and_huge_ones(small: ModelOperations) -> None:
    """``in`` takes as many values of any kind as fit into a query, and a number may be beyond all that are stored."""
    many = ",".join(str(number % 10) for number in range(2000))
    assert ["m:1.0.0"] == found(small, f"params.c in ({many})")
    assert ["m:1.0.2", "m:1.0.1"] == found(small, f"params.c not in ({many})")
    assert 3 == len(found(small, f"params.d[0] in ({many}, true) and params.d[1] in (1, 'a\0b', 'b')"))
    assert 0 == len(found(small, f"params.d[0] in ({many}, false) or params.d[1] in (1, 'a', 'b', 'a\0c')"))
    for huge in ("1" + "0" * 330, "1" + "0" * 500):
        assert [3, 0] == [len(found(small, f"size {sign} {huge}")) for sign in "<>"]
        assert [0, 3] == [len(found(small, f"size {sign} -{huge}")) for sign in "<>"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("> 5", {"1.0.1"}), ("< 5", {"1.0.0", "1.0.2"}), (">= 1", {"1.0.0", "1.0.1"}), ("= 1e999", {"1.0.1"}),
        ("!= -1e999", {"1.0.0", "1.0.1"}), ("between 0 and 1e999", {"1.0.0", "1.0.1"}),
        ("in (1, -1e999)", {"1.0.0", "1.0.2"}),
        ("between 0 and 9", {"1.0.0"}), ("= 'inf'", set[str]()), ("<= -1e999", {"1.0.2"}),
    ],
)  # fmt: skip
def test_infinite_parameters(small: ModelOperations, test: str, expected: set[str]) -> None:
    """An infinity in the facts compares as the number that it is."""
    assert expected == {record["version"] for record in small.search(f"params.c {test}")}


class _RungError(Exception):
    """The alarm of a test."""


@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_question_without_end_is_stopped(tmp_path: Path, place: str) -> None:
    """What a signal raises ends it, and so do its time and its rows; then the next question is answered."""

    def ring(*_: object) -> None:
        raise _RungError

    url = str(tmp_path / "r") if place == "file" else "memory://test_a_question_without_end"
    with ModelOperations(url, plugins=Plugins(()), actor="ann") as registry:
        registry.register_model([1], "m")
        before = signal.signal(signal.SIGALRM, ring)
        gc.disable()  # Python drops what is raised while a callback of its garbage collector runs; hypothesis sets one
        try:
            for asked_for in ("count(*) FROM n", "x FROM n"):
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                with pytest.raises(_RungError):
                    registry.select(ENDLESS + asked_for, most=20_000_000)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            gc.enable()
            signal.signal(signal.SIGALRM, before)
        with pytest.raises(InvalidValueError, match=r"within 0\.1 seconds"):
            registry.select(f"{ENDLESS}count(*) FROM n", timeout=0.1)
        with pytest.raises(InvalidValueError, match="more than 1,000 rows"):
            registry.select(f"{ENDLESS}x FROM n", most=1000)
        assert 1000 == len(registry.select(f"{ENDLESS}x FROM n LIMIT 1000", most=1000)[1])
        assert [(1,)] == registry.select("SELECT count(*) FROM versions")[1]


def test_a_long_question_keeps_nobody_waiting(small: ModelOperations) -> None:
    """Other threads read and write while one asks something without end."""

    def ask() -> None:
        with pytest.raises(InvalidValueError, match="within"):
            small.select(f"{ENDLESS}count(*) FROM n", timeout=4)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(0.3)
    small.register_model(["more"], "m")
    answered = len(small.search())
    assert (4, True) == (answered, thread.is_alive())
    thread.join()


def test_a_question_to_an_index_that_went_away(small: ModelOperations, tmp_path: Path) -> None:
    """An index that is deleted while it is open is made anew for a question in SQL as well."""
    for path in (tmp_path / "small").glob("index.db*"):
        path.unlink()
    assert [(3,)] == small.select("SELECT count(*) FROM versions")[1]
    assert (tmp_path / "small" / "index.db").exists()
