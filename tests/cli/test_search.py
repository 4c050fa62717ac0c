"""Finding versions from the command line: by a condition, and in SQL."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from .conftest import Run

pytestmark = pytest.mark.usefixtures("work")


def test_search_finds_by_a_condition(run: Run) -> None:
    """The versions that meet it, in the order asked for, as rows, JSON or ids."""
    both = run("search", "tag = 'AAPL'", "--order-by", "-metrics.auc", "--fields", "model_version,metrics.auc")
    assert "1.1.0\t0.61\n1.0.0\t0.55\n" == both.stdout
    [record] = json.loads(run("search", "params.depth = 6 and alias = 'production'", "--json").stdout)
    assert ("aapl_1d", "1.1.0") == (record["model_name"], record["model_version"])
    assert [record["model_id"]] == run("search", "descends from 'aapl_1d:1.0.0'", "-q").stdout.split()
    assert "" == run("search", "name = 'none'").stdout


def test_pages_follow_each_other(run: Run) -> None:
    """With -n, a hint on stderr says how to go on; the last page has none."""
    first = run("search", "name = 'aapl_1d'", "-n", "1", "--fields", "model_version")
    cursor = first.stderr.split()[-1]
    second = run("search", "name = 'aapl_1d'", "-n", "1", "--fields", "model_version", "--after", cursor)
    assert ["1.1.0\n", "1.0.0\n", ""] == [first.stdout, second.stdout, second.stderr]


def test_a_mistake_is_shown(run: Run) -> None:
    """What is wrong, the text, and a mark below the place; nothing on stdout, and the code of a usage error."""
    for command in (["search"], ["ls", "--where"], ["best", "aapl_1d", "--metric", "auc", "--where"]):
        result = run(*command, "tag = 'AAPL' and metric.auc > 1")
        assert (2, "") == (result.exit_code, result.stdout)
        lines = result.stderr.splitlines()
        assert "error: there is no field 'metric'; did you mean 'metrics'?" == lines[0]
        assert ["  tag = 'AAPL' and metric.auc > 1", "                   ^"] == lines[1:]
    strange = run("search", "name = \x1b[31m")
    assert (2, False) == (strange.exit_code, "\x1b" in strange.stderr)


def test_files(run: Run, work: Path) -> None:
    """--csv and --parquet write the rows to a file; CSV also to stdout."""
    assert "" == run("search", "tag = 'AAPL'", "--csv", "found.csv").stdout
    written = (work / "found.csv").read_text(encoding="utf-8")
    assert ["1.1.0", "1.0.0"] == [row["model_version"] for row in csv.DictReader(io.StringIO(written))]
    assert written == run("search", "tag = 'AAPL'", "--csv", "-").stdout
    assert 0 == run("search", "tag = 'AAPL'", "--parquet", "found.parquet").exit_code
    assert [0.61, 0.55] == list(pd.read_parquet(work / "found.parquet")["metrics.auc"])
    assert 2 == run("search", "tag = 'AAPL'", "--csv", "a", "--parquet", "b").exit_code


def test_ls_takes_a_condition(run: Run) -> None:
    """Models count only their versions that meet it, and --versions lists those."""
    assert ["1"] == run("ls", "--where", "metrics.auc > 0.6", "--fields", "versions").stdout.split()
    assert ["1.1.0"] == run("ls", "aapl_1d", "--where", "params.depth > 5", "--fields", "model_version").stdout.split()


def test_query_asks_in_sql(run: Run) -> None:
    """Rows as in every list; the columns are those of the statement."""
    sql = "SELECT version, value FROM metrics WHERE metric = 'auc' ORDER BY value DESC"
    assert "1.1.0\t0.61\n1.0.0\t0.55\n" == run("query", sql).stdout
    assert {"version": "1.1.0", "value": 0.61} == json.loads(run("query", sql, "--json").stdout)[0]
    assert ["0.61", "0.55"] == run("query", sql, "--fields", "value").stdout.split()
    listed = {one["name"]: one["columns"] for one in json.loads(run("query", "--tables", "--json").stdout)}
    assert ["name", "version", "alias", "model_id"] == listed["aliases"]
    assert {"models", "versions", "metrics", "lineage", "model_metadata"} <= set(listed)


@pytest.mark.parametrize(
    "sql", ["DELETE FROM model_metadata", "DROP VIEW models", "PRAGMA user_version = 1", "SELEC 1"]
)
def test_query_only_reads(run: Run, sql: str) -> None:
    """Anything else is refused with one line and a hint."""
    before = run("ls", "--json").stdout
    result = run("query", sql)
    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.splitlines()[1] == "hint: friday-store query --tables"
    assert before == run("ls", "--json").stdout
    assert 2 == run("query").exit_code == run("query", "SELECT 1", "--tables").exit_code
