"""The tables of the index, as SQL for SQLite; :mod:`friday_store.index.postgres.schema` makes PostgreSQL's of it.

Every row is a function of the log and the objects, so a rebuilt index equals one that followed the log entry by
entry. Ids are births of refs (``seq << 24 | place``), never counters. Times are microseconds since 1970 UTC. A
metric that is not a number is NULL, and ``latest`` is 1 for the newest observation of each metric of a version.
``seal`` is the CRC-32 of a version's other columns, checked whenever a row is read: SQLite itself would show a row
that the disk has changed.

The indexes are those that the package's own questions walk: ``model_by_precedence`` in the order of every listing,
``version_by_metric`` for the best by a metric, ``version_by_status`` for the few that are not as they were born. The
second costs 5 % of a bulk registration and takes the best of 100,000 versions from 150 ms to 0.2; ``latest`` stands in
it, though it is always 1 there, so that SQLite need not look at the table to see that (to count a bound of a metric up
to 4,000 versions takes 6.8 ms of processor time without it, and 0.25 with it).

The views for people stand in :mod:`friday_store.index.views`.

The mapped classes in :mod:`friday_store.index.rows` describe the same tables for anyone's own SQLAlchemy session, and
a test compares the two. The package's own fixed statements go to the driver as text, because importing SQLAlchemy
costs 0.5 s of CPU, and a command such as ``ls`` has 0.6 in all.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 5

TABLES: Final = (
    """CREATE TABLE model_metadata (
  id INTEGER NOT NULL PRIMARY KEY,
  model_id VARCHAR(64) NOT NULL,
  model_name TEXT NOT NULL,
  model_version TEXT NOT NULL,
  precedence TEXT NOT NULL,
  stable SMALLINT NOT NULL,
  model_type TEXT NOT NULL,
  description TEXT NOT NULL,
  status TEXT NOT NULL,
  serializer TEXT NOT NULL,
  artifact VARCHAR(64) NOT NULL,
  size_bytes BIGINT NOT NULL,
  author TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  origin TEXT NOT NULL,
  details TEXT NOT NULL,
  seal BIGINT NOT NULL,
  UNIQUE (model_id),
  UNIQUE (model_name, model_version)
)""",
    "CREATE INDEX model_by_precedence ON model_metadata (model_name, precedence DESC, id DESC, stable)",
    "CREATE INDEX version_by_status ON model_metadata (status, id) WHERE status <> 'active'",
    """CREATE TABLE model_tags (
  version_id BIGINT NOT NULL REFERENCES model_metadata (id),
  tag TEXT NOT NULL,
  PRIMARY KEY (version_id, tag)
) WITHOUT ROWID""",
    "CREATE INDEX version_by_tag ON model_tags (tag, version_id)",
    """CREATE TABLE model_metrics (
  version_id BIGINT NOT NULL REFERENCES model_metadata (id),
  name TEXT NOT NULL,
  position INTEGER NOT NULL,
  value REAL,
  step BIGINT,
  time BIGINT NOT NULL,
  latest SMALLINT NOT NULL,
  PRIMARY KEY (version_id, name, position)
) WITHOUT ROWID""",
    "CREATE INDEX version_by_metric ON model_metrics (name, value, version_id, latest) WHERE latest = 1",
    """CREATE TABLE model_parents (
  version_id BIGINT NOT NULL REFERENCES model_metadata (id),
  position INTEGER NOT NULL,
  parent VARCHAR(64) NOT NULL,
  PRIMARY KEY (version_id, position)
) WITHOUT ROWID""",
    "CREATE INDEX version_by_parent ON model_parents (parent, version_id)",
    """CREATE TABLE model_notes (
  version_id BIGINT NOT NULL REFERENCES model_metadata (id),
  time BIGINT NOT NULL,
  digest VARCHAR(64) NOT NULL,
  PRIMARY KEY (version_id, time, digest)
) WITHOUT ROWID""",
    """CREATE TABLE model_aliases (
  model_name TEXT NOT NULL,
  alias TEXT NOT NULL,
  model_id VARCHAR(64) NOT NULL,
  PRIMARY KEY (model_name, alias)
) WITHOUT ROWID""",
    "CREATE INDEX alias_by_model ON model_aliases (model_id)",
    """CREATE TABLE packs (
  name VARCHAR(64) NOT NULL PRIMARY KEY,
  birth BIGINT NOT NULL,
  size BIGINT NOT NULL
) WITHOUT ROWID""",
    "CREATE TABLE state (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)

KEYS: Final = {
    "model_metadata": ("id",),
    "model_tags": ("version_id", "tag"),
    "model_metrics": ("version_id", "name", "position"),
    "model_parents": ("version_id", "position"),
    "model_notes": ("version_id", "time", "digest"),
    "model_aliases": ("model_name", "alias"),
    "packs": ("name",),
    "state": ("key",),
}
"""The columns that tell the rows of each table apart, in the order of a dump."""

NAMES: Final = tuple(KEYS)

COLUMNS: Final = (
    "id", "model_id", "model_name", "model_version", "precedence", "stable", "model_type", "description", "status",
    "serializer", "artifact", "size_bytes", "author", "created_at", "updated_at", "origin", "details",
)  # fmt: skip
