"""Which version a revision names: the one place where that is decided.

``NAME`` is the highest release by semver precedence (the highest pre-release if there is no release);
``NAME:RANGE`` the highest in the range; ``NAME@LABEL`` the alias, else the newest version with that tag;
``@latest`` the one registered last and ``@greatest`` the highest precedence of all. With ``@{TIME}`` the same
question is asked of the state that the log had then.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import semver

from friday_store import refs
from friday_store.errors import AmbiguousRevisionError, ModelNotFoundError
from friday_store.index import Index, VersionRow
from friday_store.log import Log, State
from friday_store.refs import Ref, Revision

_HIGHEST: Final = "SELECT model_id FROM model_metadata WHERE model_name = ? ORDER BY precedence DESC, id DESC LIMIT 1"
_HIGHEST_RELEASE: Final = _HIGHEST.replace("WHERE", "WHERE stable = 1 AND")


class Names(Protocol):
    """Who answers which digest a name means: the index now, or a past state."""

    def version(self, name: str, version: str) -> Iterable[str]: ...
    def highest(self, name: str, *, stable_first: bool) -> Iterable[str]: ...
    def newest(self, name: str) -> Iterable[str]: ...
    def ranged(self, name: str, text: str) -> Iterable[str]: ...
    def labelled(self, name: str, label: str) -> Iterable[str]: ...
    def prefixed(self, prefix: str) -> Iterable[str]: ...


def resolve(index: Index, log: Log, text: str, *, mend: bool = True) -> VersionRow:
    """Return the version; see :meth:`friday_store.repository.Repository.resolve`.

    An index that gives another version than was asked for, or none to an id of its own, is damaged: it is made
    anew, once, if ``mend``.
    """
    readings = refs.parse(text)
    found: dict[str, Revision] = {}
    for reading in readings:
        names: Names = Now(index) if reading.time is None else Then(index, log, reading.time)
        for model_id in _answers(names, reading):
            found.setdefault(_ancestor(index, model_id, reading), reading)
    if len(found) > 1:
        rows = [row for model_id in found for row in index.versions("m.model_id = ?", (model_id,))]
        candidates = [f"{row.model_name}:{row.model_version}" for row in rows] or sorted(found)
        raise AmbiguousRevisionError(
            f"{text!r} could be any of {', '.join(candidates)}",
            candidates=candidates,
            hint=f"friday-store show {candidates[0]}",
        )
    if not found:
        raise _not_found(index, text, readings)
    model_id, reading = next(iter(found.items()))
    rows = index.versions("m.model_id = ?", (model_id,))
    if mend and reading.time is None and not reading.up and not (rows and _answers_to(rows[0], reading)):
        index.rebuild()
        return resolve(index, log, text, mend=False)
    if not rows:
        raise ModelNotFoundError(
            f"{text!r} is version {model_id[:12]}, which was deleted",
            hint=f"friday-store restore {reading.name}" if reading.name else None,
        )
    return rows[0]


def _answers_to(row: VersionRow, reading: Revision) -> bool:
    if reading.prefix is not None:
        return row.model_id.startswith(reading.prefix)
    return row.model_name == reading.name and reading.version in (None, row.model_version)


def _answers(names: Names, reading: Revision) -> Iterable[str]:
    if reading.prefix is not None:
        return names.prefixed(reading.prefix)
    if reading.version is not None:
        return names.version(reading.name, reading.version)
    if reading.range is not None:
        return names.ranged(reading.name, reading.range)
    if reading.label == "latest":
        return names.newest(reading.name)
    if reading.label is None or reading.label == "greatest":
        return names.highest(reading.name, stable_first=reading.label is None)
    return names.labelled(reading.name, reading.label)


class Now:
    """The index, as it is."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def version(self, name: str, version: str) -> Iterable[str]:
        sql = "SELECT model_id FROM model_metadata WHERE model_name = ? AND model_version = ?"
        return self._ids(sql, (name, version))

    def highest(self, name: str, *, stable_first: bool) -> Iterable[str]:
        return (stable_first and self._ids(_HIGHEST_RELEASE, (name,))) or self._ids(_HIGHEST, (name,))

    def newest(self, name: str) -> Iterable[str]:
        return self._ids("SELECT model_id FROM model_metadata WHERE model_name = ? ORDER BY id DESC LIMIT 1", (name,))

    def ranged(self, name: str, text: str) -> Iterable[str]:
        sql = (
            "SELECT model_id, model_version FROM model_metadata WHERE model_name = ? ORDER BY precedence DESC, id DESC"
        )
        inside = refs.matcher(text)
        rows = self._index.rows(sql, (name,))
        return next(([str(i)] for i, version in rows if inside(refs.check_version(version))), [])

    def labelled(self, name: str, label: str) -> Iterable[str]:
        alias = self._ids("SELECT model_id FROM model_aliases WHERE model_name = ? AND alias = ?", (name, label))
        sql = (
            "SELECT m.model_id FROM model_metadata m JOIN model_tags t ON t.version_id = m.id "
            "WHERE m.model_name = ? AND t.tag = ? ORDER BY m.id DESC LIMIT 1"
        )
        return alias or self._ids(sql, (name, label))

    def prefixed(self, prefix: str) -> Iterable[str]:
        sql = "SELECT model_id FROM model_metadata WHERE model_id >= ? AND model_id < ? ORDER BY model_id LIMIT 20"
        return self._ids(sql, (prefix, prefix + "g"))

    def _ids(self, sql: str, values: tuple[str, ...]) -> list[str]:
        return [str(row[0]) for row in self._index.rows(sql, values)]


class Then:
    """The state that the log had at some time."""

    def __init__(self, index: Index, log: Log, time: dt.datetime) -> None:
        index.catch_up()
        self._state: State = log.state(log.at(time))

    def version(self, name: str, version: str) -> Iterable[str]:
        return self._value(Ref("versions", name, version))

    def highest(self, name: str, *, stable_first: bool) -> Iterable[str]:
        found = list(self._versions(name))
        if stable_first and any(version.prerelease is None for version, _, _ in found):
            found = [item for item in found if item[0].prerelease is None]
        best = max(found, key=lambda item: (refs.precedence(item[0]), item[1]), default=None)
        return [] if best is None else [best[2]]

    def newest(self, name: str) -> Iterable[str]:
        best = max(self._versions(name), key=lambda item: item[1], default=None)
        return [] if best is None else [best[2]]

    def ranged(self, name: str, text: str) -> Iterable[str]:
        inside = refs.matcher(text)
        found = [item for item in self._versions(name) if inside(item[0])]
        best = max(found, key=lambda item: (refs.precedence(item[0]), item[1]), default=None)
        return [] if best is None else [best[2]]

    def labelled(self, name: str, label: str) -> Iterable[str]:
        alias = self._value(Ref("aliases", name, label))
        if alias:
            return alias
        start = f"tags/{refs.quoted(name)}/{refs.quoted(label)}/"
        tagged = [
            self._state.refs[str(Ref("versions", name, text.removeprefix(start)))][1::-1]
            for text in self._state.refs
            if text.startswith(start)
        ]
        return [max(tagged)[1].hex()] if tagged else []

    def prefixed(self, prefix: str) -> Iterable[str]:
        found = {value[0].hex() for text, value in self._state.refs.items() if text.startswith("versions/")}
        return sorted(digest for digest in found if digest.startswith(prefix))

    def _versions(self, name: str) -> Iterator[tuple[semver.Version, int, str]]:
        start = f"versions/{refs.quoted(name)}/"
        for text, (digest, birth, _) in self._state.refs.items():
            if text.startswith(start):
                yield refs.check_version(Ref.parse(text).name), birth, digest.hex()

    def _value(self, ref: Ref) -> list[str]:
        found = self._state.refs.get(str(ref))
        return [] if found is None else [found[0].hex()]


def _ancestor(index: Index, model_id: str, reading: Revision) -> str:
    """Follow first parents ``reading.up`` times."""
    for step in range(reading.up):
        manifest = index.manifest(bytes.fromhex(model_id))
        if not manifest.parents:
            raise ModelNotFoundError(f"{reading.text!r} goes up {reading.up} ancestors, and there are only {step}")
        model_id = manifest.parents[0].hex()
    return model_id


def _not_found(index: Index, text: str, readings: tuple[Revision, ...]) -> ModelNotFoundError:
    known = [name for reading in readings if (name := reading.name) and _versions(index, name)]
    if known:
        name = max(known, key=len)
        label = next((each.label for each in readings if each.name == name and each.label), None)
        if label is not None:
            return _no_such_label(index, text, name, label)
        versions = _versions(index, name)
        more = ", …" if len(versions) > 10 else ""
        return ModelNotFoundError(
            f"nothing answers to {text!r}: model {name!r} has the versions {', '.join(versions[:10])}{more}",
            hint=f"friday-store ls {name}",
        )
    base = readings[0].name.partition("@")[0] or text
    names = [str(row[0]) for row in index.rows("SELECT DISTINCT model_name FROM model_metadata")]
    near = difflib.get_close_matches(base, names, 1)
    if near:
        return ModelNotFoundError(
            f"there is no model {base!r}; did you mean {near[0]!r}?", hint=f"friday-store ls {near[0]}"
        )
    if any(each.prefix is not None for each in readings):
        return ModelNotFoundError(f"there is no version or model {text!r}", hint="friday-store ls")
    return ModelNotFoundError(f"there is no model {base!r}", hint="friday-store ls")


def _no_such_label(index: Index, text: str, name: str, label: str) -> ModelNotFoundError:
    """Return the error that a model has no such alias or tag; it says which it has."""
    sql = (
        "SELECT alias FROM model_aliases WHERE model_name = ? UNION SELECT t.tag FROM model_metadata m "
        "JOIN model_tags t ON t.version_id = m.id WHERE m.model_name = ? ORDER BY 1"
    )
    known = [str(row[0]) for row in index.rows(sql, (name, name))]
    near = difflib.get_close_matches(label, known, 1)
    some = f"it has {', '.join(known[:10])}{', …' if len(known) > 10 else ''}" if known else "it has none"
    return ModelNotFoundError(
        f"nothing answers to {text!r}: model {name!r} has no alias or tag {label!r}"
        + (f"; did you mean {near[0]!r}?" if near else f"; {some}"),
        hint=f"friday-store show {name}@{near[0]}" if near else f"friday-store alias {name}",
    )


def _versions(index: Index, name: str) -> list[str]:
    sql = "SELECT model_version FROM model_metadata WHERE model_name = ? ORDER BY precedence DESC, id DESC"
    return [str(row[0]) for row in index.rows(sql, (name,))]
