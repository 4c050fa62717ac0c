"""Retention: which versions of a model stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from friday_store import refs
from friday_store.errors import InvalidValueError, ModelNotFoundError
from friday_store.index import Index, VersionRow
from friday_store.registry import listing, ranking
from friday_store.repository import Repository

_HAS_METRIC: Final = (
    "SELECT 1 FROM model_metrics x JOIN model_metadata m ON m.id = x.version_id "
    "WHERE m.model_name = ? AND x.name = ? LIMIT 1"
)


class Fate(NamedTuple):
    """What becomes of one version.

    Attributes:
        model_id: Its id.
        model_name: Its name.
        model_version: Its version.
        size_bytes: The size of its model.
        kept: Why it stays, such as ``last 3``, ``best rmse``, ``alias production``, ``tag golden``,
            ``parent of m:1.0.0``; empty when it goes.
    """

    model_id: str
    model_name: str
    model_version: str
    size_bytes: int
    kept: str


@dataclass(frozen=True)
class Rule:
    """What keeps a version; any of these does.

    Attributes:
        last: How many of those registered last.
        best: Metrics; how many of the best; whether more is better.
        tags: Tags of which one is enough.
    """

    last: int
    best: tuple[tuple[str, int, bool], ...]
    tags: tuple[str, ...]

    @classmethod
    def of(
        cls,
        last: int,
        best: tuple[str, int] | Sequence[tuple[str, int]],
        tags: Sequence[str],
        higher: bool | None,  # noqa: FBT001 - a third state is "by its name"
    ) -> Rule:
        """Return a rule from what a caller said.

        Raises:
            InvalidValueError: It keeps nothing, has a number that cannot be, or a metric whose direction is unknown.
        """
        pairs: list[Any] = [best] if best and isinstance(best[0], str) else list(best)
        for pair in pairs:
            if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
                raise InvalidValueError(
                    f"keep_best: {pair!r} is not a metric and a number, such as ('rmse', 3)", path="keep_best"
                )
        if isinstance(tags, str):
            raise InvalidValueError(f"keep_tags: expected a list, got the text {tags!r}", path="keep_tags")
        for name, number in (("keep_last", last), *(("keep_best", number) for _, number in pairs)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise InvalidValueError(f"{name}: {number!r} is no number of versions", path=name)
        if not (last or tags or any(number for _, number in pairs)):
            raise InvalidValueError(
                "prune: no rule keeps anything",
                path="keep_last",
                hint="say what stays: keep_last, keep_best or keep_tags; delete_model deletes a whole model",
            )
        directed = [(metric, n, ranking.higher_is_better(metric) if higher is None else higher) for metric, n in pairs]
        return cls(last, tuple(directed), tuple(refs.check_name(tag, "tag") for tag in tags))


def judged(repository: Repository, pattern: str, rule: Rule) -> tuple[list[Fate], list[VersionRow]]:
    """Return the fate of every version of the models that match, and the rows of those that go.

    Raises:
        ModelNotFoundError: No model matches, or none of them has a metric by which the best should stay.
    """
    index = repository.index
    names = listing.names(index, pattern)
    if not names:
        raise ModelNotFoundError(f"no model answers to {pattern!r}", hint="friday-store ls")
    models = {name: index.versions("m.model_name = ?", (name,), "ORDER BY m.id") for name in names}
    kept = _unranked(index, models, rule)
    for name, rows in models.items():
        for model_id, why in _ruled(index, name, rows, rule):
            kept.setdefault(model_id, why)
    every = [row for rows in models.values() for row in rows]
    _keep_parents(index, every, kept)
    fates = [
        Fate(row.model_id, row.model_name, row.model_version, row.size_bytes, kept.get(row.model_id, ""))
        for row in every
    ]
    return fates, [row for row in every if row.model_id not in kept]


def _unranked(index: Index, models: Mapping[str, Sequence[VersionRow]], rule: Rule) -> dict[str, str]:
    """Return the versions, with the reason, of models in which nothing has the metric by which the best should stay.

    Which of them would be the best is not known, so all of them stay.
    """
    kept: dict[str, str] = {}
    for metric in (metric for metric, number, _ in rule.best if number):
        lacking = [name for name in models if not index.rows(_HAS_METRIC, (name, metric))]
        if len(lacking) == len(models):
            raise ranking.nothing(index, {"name": lacking[0]}, metric)
        for name in lacking:
            kept |= {row.model_id: f"no {metric}" for row in models[name]}
    return kept


def _ruled(index: Index, name: str, rows: Sequence[VersionRow], rule: Rule) -> Iterable[tuple[str, str]]:
    """Iterate over the versions of a model that a rule keeps, with the reason."""
    sql = "SELECT alias, model_id FROM model_aliases WHERE model_name = ? ORDER BY alias"
    for alias, model_id in index.rows(sql, (name,)):
        yield model_id, f"alias {alias}"
    sql = "SELECT m.model_id, t.tag FROM model_tags t JOIN model_metadata m ON m.id = t.version_id "
    for model_id, tag in index.rows(f"{sql} WHERE m.model_name = ? ORDER BY t.tag", (name,)):
        if tag in rule.tags:
            yield model_id, f"tag {tag}"
    for row in rows[len(rows) - min(rule.last, len(rows)) :]:
        yield row.model_id, f"last {rule.last}"
    for metric, number, higher in rule.best:
        for model_id in ranking.ranked(index, name, metric, higher=higher)[:number]:
            yield model_id, f"best {metric}"


def _keep_parents(index: Index, rows: Sequence[VersionRow], kept: dict[str, str]) -> None:
    """Keep what is a parent of a version that stays, here or in a model that nobody prunes, and so on upwards."""
    here = {row.model_id for row in rows}
    sql = (
        "SELECT m.model_id, m.model_name, m.model_version, p.parent FROM model_parents p "
        "JOIN model_metadata m ON m.id = p.version_id ORDER BY m.id, p.position"
    )
    parents: dict[str, list[tuple[str, str]]] = {}
    before = _right_before(rows)
    for child, name, version, parent in index.rows(sql):
        if parent in here and before.get(child) != parent:
            parents.setdefault(child, []).append((parent, f"parent of {name}:{version}"))
    waiting = [child for child in parents if child not in here or child in kept]
    while waiting:
        for parent, why in parents.get(waiting.pop(), ()):
            if parent not in kept:
                kept[parent] = why
                waiting.append(parent)


def _right_before(rows: Sequence[VersionRow]) -> dict[str, str]:
    """Return of each version which one of the same name was registered right before it."""
    last: dict[str, str] = {}
    found: dict[str, str] = {}
    for row in rows:
        if row.model_name in last:
            found[row.model_id] = last[row.model_name]
        last[row.model_name] = row.model_id
    return found
