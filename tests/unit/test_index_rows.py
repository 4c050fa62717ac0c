"""The mapped classes and the SQL of the index describe the same tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, select
from sqlalchemy.orm import Session

from friday_store import ModelRegistry
from friday_store.index.database import Database
from friday_store.index.rows import Base, ModelMetadata, ModelMetric, ModelTag


def described(path: Path) -> dict[str, object]:
    """Return columns, keys, foreign keys, unique constraints and indexes of the mapped tables in a file."""
    engine = create_engine(f"sqlite:///{path}")
    found = inspect(engine)
    tables: dict[str, object] = {}
    for name in Base.metadata.tables:
        columns = {c["name"]: (str(c["type"]).replace("_", " "), c["nullable"]) for c in found.get_columns(name)}
        keys = found.get_pk_constraint(name)["constrained_columns"]
        foreign = [(key["constrained_columns"], key["referred_table"]) for key in found.get_foreign_keys(name)]
        unique = sorted(tuple(item["column_names"]) for item in found.get_unique_constraints(name))
        indexes = sorted((str(item["name"]), tuple(item["column_names"])) for item in found.get_indexes(name))
        tables[name] = (columns, keys, foreign, unique, indexes)
    engine.dispose()
    return tables


def test_the_classes_describe_the_tables_of_the_sql(tmp_path: Path) -> None:
    """Columns, types, keys, foreign keys, unique constraints and indexes are the same."""
    database = Database(tmp_path / "sql.db")
    database.create()
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'classes.db'}")
    Base.metadata.create_all(engine)
    engine.dispose()
    assert described(tmp_path / "classes.db") == described(tmp_path / "sql.db")


def test_anyone_can_read_the_index_with_a_session(tmp_path: Path) -> None:
    """A session of one's own finds versions by tag, with their metrics."""
    registry = ModelRegistry(tmp_path / "models")
    first = registry.register_model({"a": 1}, "m", tags=["AAPL"], metrics={"rmse": 0.5, "r2": float("nan")})
    registry.register_model({"a": 2}, "m", tags=["MSFT"])
    engine = create_engine(f"sqlite:///{tmp_path / 'models' / 'index.db'}")
    with Session(engine) as session:
        query = select(ModelMetadata).join(ModelTag).where(ModelTag.tag == "AAPL")
        [version] = session.scalars(query).all()
        assert [first, "1.0.0", ["AAPL"]] == [version.model_id, version.model_version, [t.tag for t in version.tags]]
        assert {"rmse": 0.5, "r2": None} == {metric.name: metric.value for metric in version.metrics}
        assert [0.5] == session.scalars(select(ModelMetric.value).where(ModelMetric.name == "rmse")).all()
    engine.dispose()


@pytest.mark.parametrize("name", ["ModelMetadata", "ModelTag", "ModelMetric"])
def test_seed_database_integration(name: str) -> None:
    """The seed's SQLAlchemy models are exported by the package."""
    import friday_store

    assert getattr(friday_store, name).__tablename__.startswith("model_")
