"""Import an MLflow registry: models, versions, tags, aliases, metrics and lineage, a page of versions at a time.

MLflow's version N becomes ``0.0.N`` (:mod:`friday_store_mlflow.numbering`), with the files of its folder as they are,
what its run logged, and under ``metadata.mlflow`` what the registry and ``MLmodel`` say of it. Its parent is the
version that it is a copy of, else the version before it. A page is one transaction, in the order in which the versions
were made, so that what an interrupted import has finished stays, and the next one goes on from there.

Importing again brings what is new and what has changed *there* since: ``metadata.mlflow`` is what MLflow said the last
time, and what it says again is left as it is here. An alias that both sides moved stays where it is here, and is
reported. Nothing is loaded or run, and the versions carry the MLflow registry's id as their origin, so that a format
which can run code loads only once its user trusts them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from mlflow.exceptions import MlflowException

from friday_store import ModelRegistry, refs
from friday_store.errors import InvalidNameError, SerializationError, StorageError, VersionExistsError
from friday_store_mlflow import description, tags
from friday_store_mlflow.folder import DESCRIPTION, NAME
from friday_store_mlflow.labels import Aliases
from friday_store_mlflow.numbering import version_of
from friday_store_mlflow.source import Original, Run, Source
from friday_store_mlflow.stages import MODEL, SAID, status_of

_PAGE: Final = 100
_PAGE_BYTES: Final = 1 << 30
_REQUIREMENTS: Final = "requirements.txt"
_COMPARED: Final = ("description", "tags", "stage", "aliases")


@dataclass(frozen=True)
class Row:
    """What became of one version.

    Attributes:
        model_name: The model's name here.
        model_version: The version here.
        number: MLflow's number.
        outcome: ``new``, ``changed``, ``present``, or ``failed``.
        reason: Why it failed, or what has changed.
        files: Files that were stored.
        size_bytes: Their bytes.
        metrics: Metrics that were recorded.
        aliases: Aliases that were pointed at it.
        kept: Aliases that both sides moved, and that stayed elsewhere.
    """

    model_name: str
    model_version: str
    number: int
    outcome: str
    reason: str = ""
    files: int = 0
    size_bytes: int = 0
    metrics: int = 0
    aliases: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What an import did, or would do.

    Attributes:
        origin: The id that stands for the MLflow registry; trusting it trusts all that came from there.
        rows: One for each version there, the oldest first.
    """

    origin: str
    rows: tuple[Row, ...] = ()

    def count(self, outcome: str) -> int:
        """Return how many versions ended like this."""
        return sum(row.outcome == outcome for row in self.rows)

    @property
    def whole(self) -> bool:
        """Whether nothing failed and no alias was left where it was."""
        return not any(row.outcome == "failed" or row.kept for row in self.rows)


def import_mlflow(
    uri: str | Path,
    registry: ModelRegistry,
    patterns: Sequence[str] = ("*",),
    *,
    tracking_uri: str | None = None,
    names: Mapping[str, str] | None = None,
    force: bool = False,
    dry_run: bool = False,
    told: Callable[[Row], None] = lambda _: None,
) -> Report:
    """Bring the models of an MLflow registry into one of ours; a second run changes nothing.

    Args:
        uri: The MLflow registry: a folder, ``sqlite:///…``, ``http://…``, or what else MLflow opens.
        registry: Where to.
        patterns: Globs over MLflow's model names.
        tracking_uri: Where MLflow keeps the runs; None: the same.
        names: Other names for models, by MLflow's name: it allows some that cannot be here, such as those with spaces.
        force: Aliases that both sides moved go where MLflow has them.
        dry_run: Change nothing; the report is what a real run would say.
        told: Called with each row, once its page is in the log.

    Raises:
        InvalidNameError: A model or an alias cannot have its name here; nothing was changed.
        VersionExistsError: A version is here that came from elsewhere; nothing was changed.
        MlflowException: The MLflow registry cannot be read.
        StorageError: The store cannot be written; earlier pages are there.
    """
    source = Source(str(uri), tracking_uri)
    originals = source.originals(patterns)
    places = _Places(names or {}, originals)
    here = _Here(registry, places)
    here.check(originals)
    aliases = Aliases.settled(originals, places.name, here.records, force=force)
    family = _Family(originals)
    work = [_Work.of(original, places, here, aliases, family) for original in originals]
    rows: list[Row] = []
    for page in _pages(source, work):
        done = [each.row for each in page] if dry_run else _carry_out(source, registry, page)
        rows += done
        for row in done:
            told(row)
    return Report(source.id, tuple(rows))


class _Places:
    """Which name each model has here.

    Args:
        names: Those that the caller gave.
        originals: The versions.

    Raises:
        InvalidNameError: Some cannot be; it says which.
    """

    def __init__(self, names: Mapping[str, str], originals: Sequence[Original]) -> None:
        self._names = dict(names)
        problems: list[str] = []
        taken: dict[str, str] = {}
        for name in dict.fromkeys(original.name for original in originals):
            problems += _problem(self.name(name), "model name")
            if taken.setdefault(self.name(name), name) != name:
                problems.append(f"{taken[self.name(name)]!r} and {name!r} cannot both be {self.name(name)!r}")
        for original in originals:
            problems += [problem for alias in original.aliases for problem in _problem(alias, "alias")]
        if problems:
            raise InvalidNameError("; ".join(dict.fromkeys(problems)), hint="--map 'NAME IN MLFLOW=NAME_HERE'")

    def name(self, name: str) -> str:
        """Return the name here."""
        return self._names.get(name, name)


def _problem(name: str, what: str) -> list[str]:
    try:
        refs.check_name(name, what)
    except InvalidNameError as error:
        return [str(error)]
    return []


class _Here:
    """What the registry has of these models: records by name and version."""

    def __init__(self, registry: ModelRegistry, places: _Places) -> None:
        known = set(registry.model_names()) if registry.repository.born else set()
        self._known = known
        self._registry = registry
        self._places = places
        self.records: dict[str, dict[str, dict[str, Any]]] = {}

    def check(self, originals: Sequence[Original]) -> None:
        """Look up the models, and refuse versions that came from elsewhere.

        Raises:
            VersionExistsError: It names them.
        """
        for name in dict.fromkeys(self._places.name(original.name) for original in originals):
            found = self._registry.get_model_versions(name) if name in self._known else []
            self.records[name] = {str(record["model_version"]): record for record in found}
        strangers = []
        for original in originals:
            record = self.record(original)
            if record is not None and not _same(record, original):
                strangers.append(f"{record['model_name']}:{record['model_version']}")
        if strangers:
            more = f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""
            raise VersionExistsError(
                f"{', '.join(strangers[:5])}{more} exists here and did not come from this MLflow registry",
                hint="--map MODEL=OTHER_NAME imports the model under another name",
            )

    def record(self, original: Original) -> dict[str, Any] | None:
        """Return the record of a version that is here."""
        return self.records[self._places.name(original.name)].get(version_of(original.number))


def _same(record: Mapping[str, Any], original: Original) -> bool:
    said = record["metadata"].get(SAID)
    wanted = (original.name, original.number, original.created)
    return isinstance(said, Mapping) and wanted == (said.get("name"), said.get("version"), said.get("created"))


@dataclass(frozen=True)
class _Work:
    """One version, and what is to be done about it.

    Attributes:
        original: The version there.
        row: What the report will say; a new one's is completed when its files have been looked at.
        said: What will be recorded as said by the registry.
        before: What was recorded the last time; None for a new version.
        parent: The name and version here that it comes from.
        aliases: What to point at it.
        dropped: Aliases that are gone there, and point at it here.
        sizes: Its files, for a new one.
        run: What its run logged, for a new one.
        facts: What ``MLmodel`` says, for a new one.
        pinned: Versions that its requirements pin, for a new one.
    """

    original: Original
    row: Row
    said: Mapping[str, Any]
    before: Mapping[str, Any] | None
    parent: tuple[str, str] | None
    aliases: tuple[str, ...]
    dropped: tuple[str, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)
    run: Run = field(default_factory=Run)
    facts: Mapping[str, Any] = field(default_factory=dict)
    pinned: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, original: Original, places: _Places, here: _Here, aliases: Aliases, family: _Family) -> _Work:
        """Return what is to be done about a version."""
        name, version = places.name(original.name), version_of(original.number)
        record = here.record(original)
        said = {**original.said(), "aliases": list(aliases.recorded(name, version))}
        if family.is_newest(original):
            said["model"] = original.model_said()
        moved, dropped = aliases.moved(name, version), aliases.dropped(name, version)
        row = Row(name, version, original.number, "new", aliases=moved, kept=aliases.kept(name, version))
        before = None if record is None else record["metadata"][SAID]
        if before is not None:
            changed = _changed(before, said, moved, dropped)
            row = replace(row, outcome="changed" if changed else "present", reason=", ".join(changed))
        elif original.unready:
            row = replace(row, outcome="failed", reason=original.unready, aliases=())
        parent = family.parent(original)
        there = None if parent is None else (places.name(parent[0]), version_of(parent[1]))
        return cls(original, row, said, before, there, moved, dropped)


def _changed(
    before: Mapping[str, Any], said: Mapping[str, Any], moved: Sequence[str], dropped: Sequence[str]
) -> list[str]:
    """Return what MLflow says otherwise than the last time."""
    changed = [key for key in _COMPARED if said.get(key) != before.get(key)]
    if "model" in said and said["model"] != before.get("model"):
        changed.append("model")
    if (moved or dropped) and "aliases" not in changed:
        changed.append("aliases")
    return changed


class _Family:
    """How the versions there belong together."""

    def __init__(self, originals: Sequence[Original]) -> None:
        self._numbers: dict[str, list[int]] = {}
        for each in originals:
            insort(self._numbers.setdefault(each.name, []), each.number)

    def is_newest(self, original: Original) -> bool:
        """Whether a version is its model's newest."""
        return self._numbers[original.name][-1] == original.number

    def parent(self, original: Original) -> tuple[str, int] | None:
        """Return name and number of what one comes from: what it is a copy of, else the version before it."""
        copied = original.copied
        if copied is not None and copied[1] in self._numbers.get(copied[0], ()):
            return copied
        numbers = self._numbers[original.name]
        place = bisect_left(numbers, original.number)
        return (original.name, numbers[place - 1]) if place else None


def _pages(source: Source, work: Sequence[_Work]) -> Iterator[list[_Work]]:
    """Iterate over pages of work, each version looked at when its page is made."""
    page: list[_Work] = []
    size = 0
    for each in work:
        seen = _seen(source, each) if each.row.outcome == "new" else each
        if page and (len(page) >= _PAGE or size + seen.row.size_bytes > _PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(seen)
        size += seen.row.size_bytes
    if page:
        yield page


def _seen(source: Source, work: _Work) -> _Work:
    """Look at a new version's files and run, without fetching more than its descriptions."""
    try:
        sizes = source.listing(work.original)
        facts = description.facts(source.read(work.original, DESCRIPTION)) if DESCRIPTION in sizes else {}
        pinned = description.pinned(source.read(work.original, _REQUIREMENTS)) if _REQUIREMENTS in sizes else {}
    except StorageError:
        raise
    except (SerializationError, MlflowException, OSError) as error:
        return _failed(work, error)
    run = source.run(work.original, work.said.get("model_id") or facts.get("model_id"))
    row = replace(work.row, files=len(sizes), size_bytes=sum(sizes.values()), metrics=len(run.metrics))
    return replace(work, row=row, sizes=sizes, run=run, facts=facts, pinned=pinned)


def _failed(work: _Work, error: Exception) -> _Work:
    reason = f"its files cannot be read: {error}"
    return replace(work, row=Row(work.row.model_name, work.row.model_version, work.row.number, "failed", reason))


def _carry_out(source: Source, registry: ModelRegistry, page: Sequence[_Work]) -> list[Row]:
    """Write one page, and return its rows."""
    rows = []
    message = f"import {len(page)} versions from MLflow"
    staged: list[_Work] = []
    made: dict[tuple[str, str], str] = {}
    with registry.transaction(message, origin=source.id):
        for each in page:
            done = each
            if each.row.outcome == "new":
                done = _register(source, registry, each, made)
                staged += [done] if done.row.outcome == "new" and status_of(str(each.said["stage"])) else []
            elif each.row.outcome == "changed":
                _update(registry, each)
            rows.append(done.row)
    if staged:
        with registry.transaction(message + ": stages", origin=source.id):
            for each in staged:
                _update(registry, replace(each, before={**each.said, "stage": "None"}, aliases=(), dropped=()))
    return rows


def _register(source: Source, registry: ModelRegistry, work: _Work, made: dict[tuple[str, str], str]) -> _Work:
    row, said = work.row, work.said
    metadata: dict[str, Any] = {SAID: {**work.facts, **said, "stage": "None"}, tags.KEY: said["tags"]}
    if work.run.facts:
        metadata[SAID]["run"] = work.run.facts
    if "model" in said:
        metadata[MODEL] = said["model"]
    try:
        with source.folder(work.original) as folder:
            made[row.model_name, row.model_version] = registry.register_model(
                folder,
                row.model_name,
                row.model_version,
                model_type=description.kind(work.facts),
                description=said["description"],
                tags=sorted(tags.all_spelled(said["tags"])),
                aliases=work.aliases,
                metrics=work.run.metrics,
                metadata=metadata,
                hyperparameters=work.run.params,
                training_data={"datasets": work.run.data} if work.run.data else None,
                dependencies=work.pinned,
                parents=_ids(registry, work.parent, made),
                serializer=NAME,
            )
    except StorageError:
        raise
    except (SerializationError, MlflowException, OSError) as error:
        return _failed(work, error)
    return work


def _ids(registry: ModelRegistry, parent: tuple[str, str] | None, made: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the id of a parent that this page made or that is there; none for one that failed."""
    if parent is None:
        return []
    if parent in made:
        return [made[parent]]
    row = registry.repository.version(*parent) if registry.repository.born else None
    return [] if row is None else [row.model_id]


def _update(registry: ModelRegistry, work: _Work) -> None:
    """Bring what has changed there to a version that is here."""
    before, said = work.before or {}, work.said
    revision = f"{work.row.model_name}:{work.row.model_version}"
    keys = [key for key in (*_COMPARED, "model") if key in said]
    changes: dict[str, Any] = {
        SAID: _patch({key: before[key] for key in keys if key in before}, {key: said[key] for key in keys})
    }
    old, new = dict(before.get("tags", {})), dict(said["tags"])
    if old != new:
        changes[tags.KEY] = _patch(old, new)
        for tag in sorted(tags.all_spelled(old) - tags.all_spelled(new)):
            registry.remove_tag(revision, tag)
        for tag in sorted(tags.all_spelled(new) - tags.all_spelled(old)):
            registry.add_tag(revision, tag)
    if "model" in said:
        changes[MODEL] = _patch(dict(before.get("model", {})), said["model"])
    text = said["description"] if said["description"] != before.get("description", "") else None
    registry.update_model_metadata(revision, changes, text)
    if said["stage"] != before.get("stage"):
        registry.set_model_status(revision, status_of(str(said["stage"])) or "active", "as in MLflow")
    for alias in work.aliases:
        registry.set_alias(revision, alias)
    for alias in work.dropped:
        registry.delete_alias(work.row.model_name, alias)


def _patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes that make ``new`` of ``old`` when they are merged in: None removes a key."""
    changes: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            changes |= {key: inner} if (inner := _patch(before, value)) else {}
        elif key not in old or before != value:
            changes[key] = value
    return changes
