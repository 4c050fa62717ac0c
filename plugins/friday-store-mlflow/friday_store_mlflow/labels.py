"""Aliases, three-way: where MLflow has them now, where it had them when it was imported last, and where they are here.

An alias that moved there follows, unless it was moved here too: then it stays, and is reported each time, until
``force`` says otherwise. One that did not move there is left as it is here, moved, deleted or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from friday_store_mlflow.numbering import version_of
from friday_store_mlflow.source import Original
from friday_store_mlflow.stages import SAID

_Label = tuple[str, str]
"""Model and alias."""

_Version = tuple[str, str]
"""Model and version."""


@dataclass(frozen=True)
class Aliases:
    """What is to be done about every alias, each named by model and alias.

    Attributes:
        wanted: Those that point at a version there.
        moves: Those that are to be pointed at that version here.
        stays: Those that both sides moved.
        drops: Those that are gone there, by the version that they still point at here.
    """

    wanted: Mapping[_Version, Sequence[str]]
    moves: frozenset[_Label] = frozenset()
    stays: frozenset[_Label] = frozenset()
    drops: Mapping[_Version, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def settled(
        cls,
        originals: Sequence[Original],
        name: Callable[[str], str],
        records: Mapping[str, Mapping[str, Mapping[str, Any]]],
        *,
        force: bool,
    ) -> Aliases:
        """Return what is to be done.

        Args:
            originals: The versions there.
            name: A model's name here.
            records: Those here, by name and version.
            force: Whether those that both sides moved follow.
        """
        wanted = {
            (name(each.name), alias): version_of(each.number)
            for each in originals
            if not each.unready
            for alias in each.aliases
        }
        here: dict[_Label, str] = {}
        last: dict[_Label, str] = {}
        for model, versions in records.items():
            for version, record in versions.items():
                here |= {(model, alias): version for alias in record["aliases"]}
                said = record["metadata"].get(SAID, {})
                last |= {(model, alias): version for alias in said.get("aliases", ())}
        moved_there = {label: version for label, version in wanted.items() if last.get(label) != version}
        moves, stays = set(), set()
        for label, version in moved_there.items():
            if here.get(label) in (None, version, last.get(label)) or force:
                moves |= {label} if here.get(label) != version else set()
            else:
                stays.add(label)
        gone = {label: version for label, version in last.items() if label not in wanted and here.get(label) == version}
        return cls(_by_version(wanted), frozenset(moves), frozenset(stays), _by_version(gone))

    def moved(self, model: str, version: str) -> tuple[str, ...]:
        """Return the aliases to point at a version."""
        return tuple(alias for alias in self._at(model, version) if (model, alias) in self.moves)

    def kept(self, model: str, version: str) -> tuple[str, ...]:
        """Return the aliases that MLflow has at a version, and that stay elsewhere here."""
        return tuple(alias for alias in self._at(model, version) if (model, alias) in self.stays)

    def recorded(self, model: str, version: str) -> tuple[str, ...]:
        """Return the aliases that MLflow has at a version, but for those that stay elsewhere here."""
        return tuple(alias for alias in self._at(model, version) if (model, alias) not in self.stays)

    def dropped(self, model: str, version: str) -> tuple[str, ...]:
        """Return the aliases to delete that point at a version."""
        return tuple(self.drops.get((model, version), ()))

    def _at(self, model: str, version: str) -> Sequence[str]:
        return self.wanted.get((model, version), ())


def _by_version(labels: Mapping[_Label, str]) -> dict[_Version, list[str]]:
    found: dict[_Version, list[str]] = {}
    for (model, alias), version in sorted(labels.items()):
        found.setdefault((model, version), []).append(alias)
    return found
