r"""The tables of the index in PostgreSQL, made from those for SQLite, and what SQLite has and PostgreSQL has not.

One repository has one schema, ``friday_store_<its id without dashes>``, with all of it: several repositories may share
a database, and ``DROP SCHEMA … CASCADE`` forgets one of them. Differences from SQLite, all of them here:

- Text compares by its bytes (``COLLATE "C"``), whatever the database's own collation is.
- There is no zero byte in a text of PostgreSQL's. One is written as ``\x01\x01``, and ``\x01`` as ``\x01\x02``, which
  keeps every order and every equality; :mod:`~friday_store.index.postgres.wire` does it on the way in and out.
- ``facts`` is ``details`` once more, as ``jsonb``: to look a key up in 100,000 versions takes 0.25 s instead of 3.
- ``glob``, ``json_type``, ``json_extract``, ``json_each`` and ``utc`` are functions of the schema. ``json_extract``
  gives text, so that numbers are cast where they are compared.
- ``ask`` runs anybody's question, see :mod:`~friday_store.index.postgres.asking`.

The schema's comment tells the release that made it. A whole number beyond 2**53 and a fraction compare as fractions of
double precision; SQLite compares them exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from friday_store.index.schema import TABLES, VERSION
from friday_store.index.views import TEXTS

COMMENT: Final = f"friday-store index, schema {VERSION}.1"
READER: Final = "friday_store_reader"
_TYPES: Final = {
    "TEXT": 'TEXT COLLATE "C"',
    "VARCHAR(64)": 'VARCHAR(64) COLLATE "C"',
    "INTEGER": "BIGINT",
    "REAL": "DOUBLE PRECISION",
}
_FACTS: Final = (
    'details TEXT COLLATE "C" NOT NULL,\n  facts JSONB NOT NULL GENERATED ALWAYS AS (details::jsonb) STORED,'
)
_PURE: Final = "LANGUAGE sql IMMUTABLE PARALLEL SAFE"
_ITEMS: Final = """
  SELECT (n - 1)::text, v
    FROM jsonb_array_elements_text(CASE jsonb_typeof(facts) WHEN 'array' THEN facts ELSE '[]' END)
    WITH ORDINALITY items (v, n)
  UNION ALL SELECT k, v
    FROM jsonb_each_text(CASE jsonb_typeof(facts) WHEN 'object' THEN facts ELSE '{}' END) pairs (k, v)
"""
_SPELLED: Final = r"replace(split_part(value, U&'\0001\0001', 1), U&'\0001\0002', U&'\0001')"
_FUNCTIONS: Final = (
    'CREATE DOMAIN word AS text COLLATE "C"',
    f"""CREATE FUNCTION json_at(facts jsonb, path text) RETURNS jsonb {_PURE}
RETURN jsonb_path_query_first(facts, ('strict ' || path)::jsonpath, '{{}}', true)""",
    f"""CREATE FUNCTION json_type(facts jsonb, path text) RETURNS text {_PURE}
RETURN CASE jsonb_typeof(json_at(facts, path)) WHEN 'string' THEN 'text' WHEN 'number' THEN 'real'
  WHEN 'boolean' THEN json_at(facts, path)::text ELSE jsonb_typeof(json_at(facts, path)) END""",
    f"""CREATE FUNCTION json_extract(facts jsonb, path text) RETURNS text {_PURE}
RETURN replace(json_at(facts, path) #>> '{{}}', U&'\\0001', U&'\\0001\\0002')""",
    f"""CREATE FUNCTION json_type(details text, path text) RETURNS text {_PURE}
RETURN json_type(details::jsonb, path)""",
    f"""CREATE FUNCTION json_extract(details text, path text) RETURNS text {_PURE}
RETURN json_extract(details::jsonb, path)""",
    f"""CREATE FUNCTION json_items(facts jsonb) RETURNS TABLE (key word, value word) {_PURE} ROWS 100
BEGIN ATOMIC {_ITEMS}; END""",
    f"""CREATE FUNCTION json_each(facts jsonb, path text) RETURNS TABLE (key word, value word) {_PURE} ROWS 20
BEGIN ATOMIC SELECT * FROM json_items(json_at(facts, path)); END""",
    f"""CREATE FUNCTION json_each(details text) RETURNS TABLE (key word, value word) {_PURE} ROWS 100
BEGIN ATOMIC SELECT * FROM json_items(details::jsonb); END""",
    f"""CREATE FUNCTION json_each(details text, path text) RETURNS TABLE (key word, value word) {_PURE} ROWS 20
BEGIN ATOMIC SELECT * FROM json_items(json_at(details::jsonb, path)); END""",
    r"""CREATE FUNCTION glob_pattern(glob text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $body$
DECLARE found text := '^'; place int := 1; one text; last int;
BEGIN
  WHILE place <= length(glob) LOOP
    one := substr(glob, place, 1);
    IF one = '*' THEN
      found := found || '.*';
    ELSIF one = '?' THEN
      found := found || '.';
    ELSIF one <> '[' THEN
      found := found || CASE WHEN one ~ '[[:alnum:]_[:space:]]' THEN one ELSE '\' || one END;
    ELSE
      last := place + 1;
      IF substr(glob, last, 1) = '^' THEN last := last + 1; END IF;
      IF substr(glob, last, 1) = ']' THEN last := last + 1; END IF;
      WHILE last <= length(glob) AND substr(glob, last, 1) <> ']' LOOP last := last + 1; END LOOP;
      IF last > length(glob) THEN RETURN '$a'; END IF;
      found := found || glob_class(substr(glob, place + 1, last - place - 1));
      place := last;
    END IF;
    place := place + 1;
  END LOOP;
  RETURN found || '$';
END $body$""",
    r"""CREATE FUNCTION glob_class(class text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $body$
DECLARE found text := ''; place int := 1; turned boolean := false; low text; high text;
BEGIN
  IF substr(class, 1, 1) = '^' THEN turned := true; place := 2; END IF;
  IF substr(class, place, 1) = ']' THEN found := '\]'; place := place + 1; END IF;
  WHILE place <= length(class) LOOP
    low := substr(class, place, 1);
    IF substr(class, place + 1, 1) = '-' AND place + 2 <= length(class) THEN
      high := substr(class, place + 2, 1);
      found := found || '\' || low || CASE WHEN low COLLATE "C" <= high COLLATE "C" THEN '-\' || high ELSE '' END;
      place := place + 3;
    ELSE
      found := found || '\' || low;
      place := place + 1;
    END IF;
  END LOOP;
  found := regexp_replace(found, '\\([[:alnum:]_[:space:]])', '\1', 'g');
  RETURN CASE WHEN found <> '' THEN '[' || CASE WHEN turned THEN '^' ELSE '' END || found || ']'
    WHEN turned THEN '.' ELSE '$a' END;
END $body$""",
    f"""CREATE FUNCTION glob(pattern text, value text) RETURNS boolean {_PURE}
RETURN CASE WHEN strpos(value, U&'\\0001') = 0 THEN value ELSE {_SPELLED} END
  ~ glob_pattern(replace(pattern, U&'\\0001\\0002', U&'\\0001'))""",
    """CREATE FUNCTION utc(micros bigint) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(to_timestamp(micros / 1000000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')""",
    """CREATE FUNCTION ask(question text, most bigint) RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER AS $body$
DECLARE answers refcursor; one record; number bigint := 0;
BEGIN
  OPEN answers NO SCROLL FOR EXECUTE question;
  LOOP
    FETCH answers INTO one;
    EXIT WHEN NOT FOUND OR number > most;
    number := number + 1;
    RETURN NEXT one;
  END LOOP;
END $body$""",
)
_ROLE: Final = f"""DO $body$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{READER}') THEN CREATE ROLE {READER} NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $body$"""


def statements(schema: str, *, reader: bool) -> Iterator[str]:
    """Iterate over what makes a schema, which must be the first in the search path.

    Args:
        schema: Its name.
        reader: Whether to give anybody's questions to a role of their own, which only a superuser can make, and only
            a superuser needs: others may read no file of the server anyway.
    """
    yield f"CREATE SCHEMA {schema}"
    for statement in TABLES:
        yield _table(statement)
    yield from _FUNCTIONS
    for name, text in TEXTS.items():
        yield f"CREATE VIEW {name} AS {_view(text)}"
    if reader:
        yield _ROLE
        yield f"GRANT USAGE ON SCHEMA {schema} TO {READER}"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER}"
        yield f"ALTER FUNCTION ask(text, bigint) OWNER TO {READER}"
    yield f"COMMENT ON SCHEMA {schema} IS '{COMMENT}'"


def _table(statement: str) -> str:
    if not statement.startswith("CREATE TABLE"):
        return statement
    typed = re.sub(r"\b(?:TEXT|VARCHAR\(64\)|INTEGER|REAL)(?!\w)", lambda found: _TYPES[found[0]], statement)
    return typed.removesuffix(" WITHOUT ROWID").replace('details TEXT COLLATE "C" NOT NULL,', _FACTS)


def _view(text: str) -> str:
    return text.replace("group_concat(", "string_agg(").replace("(m.details,", "(m.facts,")
