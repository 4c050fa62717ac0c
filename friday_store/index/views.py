"""Views of the index for people: ``datasette``, ``friday-store query``, or any client of the database.

=============  ====================================================================================================
``models``     one row for each model: its highest version, how many there are, first and last time, bytes
``versions``   one row for each version, with its tags, aliases and newest metrics (JSON) beside
``metrics``    the newest value of each metric of each version
``observed``   every value of each metric that was ever observed
``parameters`` each hyperparameter of each version
``tags``       each tag of each version
``aliases``    where each alias points
``lineage``    each version and one parent; the parent's name is NULL where it is not here
=============  ====================================================================================================

Times are UTC, to the millisecond. The package's own statements use the tables, never a view.
"""

from __future__ import annotations

import re
from typing import Final

TEXTS: Final = {
    "models": """
SELECT m.model_name AS name,
  (SELECT h.model_version FROM model_metadata h WHERE h.model_name = m.model_name
    ORDER BY h.stable DESC, h.precedence DESC, h.id DESC LIMIT 1) AS version,
  count(*) AS versions, utc(min(m.created_at)) AS created, utc(max(m.updated_at)) AS updated,
  sum(m.size_bytes) AS size_bytes
FROM model_metadata m GROUP BY m.model_name""",
    "versions": """
SELECT m.model_name AS name, m.model_version AS version, m.model_type AS type, m.status, m.description,
  (SELECT group_concat(tag, ', ') FROM (
    SELECT t.tag FROM model_tags t WHERE t.version_id = m.id ORDER BY t.tag) ordered) AS tags,
  (SELECT group_concat(alias, ', ') FROM (
    SELECT a.alias FROM model_aliases a WHERE a.model_id = m.model_id ORDER BY a.alias) ordered) AS aliases,
  json_extract(m.details, '$.metrics') AS metrics, utc(m.created_at) AS created,
  utc(m.updated_at) AS updated, m.author, m.serializer AS format, m.size_bytes, m.model_id
FROM model_metadata m""",
    "metrics": """
SELECT m.model_name AS name, m.model_version AS version, x.name AS metric, x.value, x.step,
  utc(x.time) AS time, m.model_id
FROM model_metrics x JOIN model_metadata m ON m.id = x.version_id WHERE x.latest = 1""",
    "observed": """
SELECT m.model_name AS name, m.model_version AS version, x.name AS metric, x.value, x.step,
  utc(x.time) AS time, x.position, m.model_id
FROM model_metrics x JOIN model_metadata m ON m.id = x.version_id""",
    "parameters": """
SELECT m.model_name AS name, m.model_version AS version, j.key AS parameter, j.value, m.model_id
FROM model_metadata m, json_each(m.details, '$.hyperparameters') j""",
    "tags": """
SELECT m.model_name AS name, m.model_version AS version, t.tag, m.model_id
FROM model_tags t JOIN model_metadata m ON m.id = t.version_id""",
    "aliases": """
SELECT m.model_name AS name, m.model_version AS version, a.alias, m.model_id
FROM model_aliases a JOIN model_metadata m ON m.model_id = a.model_id""",
    "lineage": """
SELECT m.model_name AS name, m.model_version AS version, p.position, o.model_name AS parent_name,
  o.model_version AS parent_version, m.model_id, p.parent AS parent_id
FROM model_parents p JOIN model_metadata m ON m.id = p.version_id
  LEFT JOIN model_metadata o ON o.model_id = p.parent""",
}


def _readable(text: str) -> str:
    """Return a view's statement with its times, written ``utc(column)``, as text."""
    return re.sub(
        r"utc\(((?:[^()]|\([^()]*\))*)\)", r"strftime('%Y-%m-%d %H:%M:%f', \1 / 1000000.0, 'unixepoch')", text
    )


VIEWS: Final = {name: _readable(text) for name, text in TEXTS.items()}
