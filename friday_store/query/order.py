"""The order of results, and where a page of them ends.

``order_by`` holds keys with commas between: ``-metrics.r2, name`` or ``metrics.r2 desc, name``. What has no value comes
last in either direction, and of equals the version registered last comes first. Nothing given: by name, each model's
versions from the highest down. ``created`` is the order of registration.

A **cursor** is where a page ended: base64 of JSON ``[order, values of the keys, id]``. It belongs to one order, and is
good for any condition.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from friday_store.digest import digest_of
from friday_store.errors import InvalidValueError
from friday_store.index import Index
from friday_store.query import fields
from friday_store.query.conditions import Bound, Sql, column_of, json_path
from friday_store.query.parser import keys
from friday_store.query.tree import Field

_NUMBER: Final = (
    "CASE WHEN json_type(m.details, ?) IN ('integer', 'real') THEN CAST(json_extract(m.details, ?) AS NUMERIC) END"
)
_TEXT: Final = "CASE WHEN json_type(m.details, ?) = 'text' THEN json_extract(m.details, ?) END"
_METRIC: Final = (
    "(SELECT o.value FROM model_metrics o WHERE o.version_id = m.id AND o.name = ? AND o.latest = 1 "
    "AND +o.value IS NOT NULL)"
)


@dataclass(frozen=True)
class Key:
    """One key of an order.

    Attributes:
        field: What it is the value of.
        down: Whether the greatest come first.
    """

    field: Field
    down: bool = False

    def terms(self) -> list[Sql]:
        """Return what the rows sort by: for facts first the numbers, then the texts."""
        of = self.field
        if of.kind == "metric":
            return [Sql(_METRIC, (of.name,))]
        if of.kind == "path":
            return [Sql(text, (json_path(of.path),) * 2) for text in (_NUMBER, _TEXT)]
        if of.name == "created_at":
            return [Sql("m.id")]
        return [Sql(column_of(of, "<"))]

    @property
    def gaps(self) -> bool:
        """Whether a version can be without it."""
        return self.field.kind in ("metric", "path")


DEFAULT: Final = (Key(fields.COLUMNS["name"]), Key(fields.COLUMNS["version"], down=True))


@dataclass(frozen=True)
class Order:
    """The keys, the first the strongest."""

    keys: tuple[Key, ...] = DEFAULT

    def columns(self) -> list[tuple[Sql, bool, bool]]:
        """Return for each sorted value its SQL, whether it goes down, and whether it can be missing."""
        return [(term, key.down, key.gaps) for key in self.keys for term in key.terms()]

    @property
    def fingerprint(self) -> str:
        """What tells it from other orders."""
        return digest_of(repr(self.keys).encode()).hex()[:8]

    def cursor(self, values: Sequence[Bound], identity: int) -> str:
        """Return where a page ends whose last row has these values."""
        text = json.dumps([self.fingerprint, list(values), identity], ensure_ascii=True)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def opened(self, cursor: str) -> tuple[tuple[Bound, ...], int]:
        """Return what :meth:`cursor` was made from.

        Raises:
            InvalidValueError: It is none, or of another order.
        """
        try:
            found: Any = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
            of, values, identity = found
            sound = len(values) == len(self.columns()) and type(identity) is int and abs(identity) < 1 << 63
            sound = sound and all(_is_bound(value) for value in values)
        except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
            of, values, identity, sound = "", [], 0, False
        if not sound or of != self.fingerprint:
            raise InvalidValueError(
                "after: this is not where a page in this order ended", path="after", hint="take it from the page before"
            )
        return tuple(values), identity


def _is_bound(value: Any) -> bool:
    return value is None or type(value) in (str, float) or (type(value) is int and abs(value) < 1 << 63)


def ordered(index: Index, given: str | Iterable[str] | None) -> Order:
    """Return the order that was asked for: one text, or a text for each key.

    A text that is ``metrics.`` and the exact name of a metric that is there means that metric, whatever it holds.

    Raises:
        QueryError: A key cannot be sorted by; the message says where it stands.
    """
    if given is None:
        return Order()
    if isinstance(given, str):
        name = given.removeprefix("-").removeprefix("metrics.")
        odd = given.removeprefix("-").startswith("metrics.") and not name.isidentifier()
        if odd and index.rows("SELECT 1 FROM model_metrics WHERE name = ? AND latest = 1 LIMIT 1", (name,)):
            return Order((Key(Field("metric", name), given.startswith("-")),))
    found = keys(given if isinstance(given, str) else ", ".join(given))
    return Order(tuple(Key(field, down) for field, down in found))
