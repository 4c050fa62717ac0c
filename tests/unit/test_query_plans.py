"""How SQLite answers the questions that must stay fast however many versions there are: by its indexes alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from friday_store import ModelOperations
from friday_store.index.database import Database
from friday_store.plugins import Plugins

SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "page by a tag": ({"where": "tag = 'a'", "limit": 2}, "version_by_tag (tag=?)"),
    "a rare tag and a common one, a bound and an order": (
        {"where": "tag = 'a' and tag = 'b' and metrics.rmse < 5", "order_by": "metrics.rmse", "limit": 2},
        "version_by_tag (tag=?)",
    ),
    "page of all by a metric": ({"order_by": "-metrics.r2", "limit": 2}, "version_by_metric (name=? AND value>?)"),
    "page of all by name": ({"limit": 2}, "model_by_precedence"),
}
WIDE = "tag = 'a' and tag = 'b' and metrics.rmse < 5"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModelOperations, list[tuple[str, Any]]]]:
    """Return a registry, and the statements with values that it is asked."""
    with ModelOperations(tmp_path / "r", plugins=Plugins(()), actor="ann") as registry:
        for number in range(6):
            registry.register_model(
                [number], "m", tags=["b", *("a" * (number % 2))], metrics={"rmse": number, "r2": -number}
            )
        log: list[tuple[str, Any]] = []
        rows = Database.rows

        def logged(self: Database, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
            log.append((sql, values))
            return rows(self, sql, values)

        monkeypatch.setattr(Database, "rows", logged)
        yield registry, log


def plans(registry: ModelOperations, log: list[tuple[str, Any]]) -> list[str]:
    """Return the steps of all statements that were asked."""
    with registry.repository.index._database.using() as connection:  # type: ignore[attr-defined]
        return [row[3] for sql, values in list(log) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


def scans(steps: list[str]) -> list[str]:
    """Return the steps that go through a table whatever is in it."""
    names = ("x", "d", "t", "o", "model_metrics")
    return [step for step in steps if step.startswith("SCAN") and step.split()[1] in names]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_table_is_gone_through(asked: tuple[ModelOperations, list[tuple[str, Any]]], shape: str) -> None:
    """Each shape is led by the index that it names, and nothing is scanned."""
    registry, log = asked
    options, index = SHAPES[shape]
    log.clear()
    registry.search(**options)
    steps = plans(registry, log)
    assert [] == scans(steps)
    assert any(index in step for step in steps), steps
    if "where" in options:  # a metric of one version is found by the version, not among all values
        assert not any("version_by_metric" in step for step in steps), steps


def test_where_all_conditions_are_wide(
    asked: tuple[ModelOperations, list[tuple[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metric's index is walked in its order, alone: neither its table nor the versions' rows are looked at."""
    monkeypatch.setattr(sys.modules["friday_store.query.search"], "WIDE", 1)
    registry, log = asked
    log.clear()
    page = registry.search(WIDE, order_by="-metrics.r2", limit=1)
    assert ["1.0.1"] == [record["version"] for record in page]
    counted = [step for step in plans(registry, [each for each in log if "count(*)" in each[0]]) if "metric" in step]
    assert ["COVERING INDEX version_by_metric" in step for step in counted] == [True] * len(counted) != []
    [walked] = [each for each in log if "AS k0" in each[0]]
    steps = plans(registry, [walked])
    assert "SEARCH model_metrics USING COVERING INDEX version_by_metric (name=? AND value>?)" == steps[0]
    assert not any("model_metadata" in step or "TEMP B-TREE" in step or " m " in f" {step} " for step in steps), steps
    assert [] == scans(steps)
