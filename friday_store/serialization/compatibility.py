"""Whether a model can be expected to load here, from what was recorded of it, without loading it."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from friday_store import serializer
from friday_store.errors import PluginError
from friday_store.plugins import Plugins

Level = Literal["patch", "minor", "major", "missing"]


@dataclass(frozen=True)
class Difference:
    """A library, or Python itself, that is not here as it was where the model was made.

    Attributes:
        name: The distribution, or ``python``.
        recorded: The version that was recorded.
        installed: The version here; None when it is not installed.
        level: The first part of the version that differs, or ``missing``.
    """

    name: str
    recorded: str
    installed: str | None
    level: Level

    def __str__(self) -> str:
        return f"{self.name} {self.recorded} was recorded, {self.installed or 'none'} is installed"


@dataclass(frozen=True)
class CompatibilityReport:
    """Whether a model can be expected to load here; true when nothing speaks against it.

    Attributes:
        format: The format's name.
        safety: What its plugin says of itself; None when no plugin for it is installed.
        differences: Every library that is not here as recorded, also by a patch release.
        problems: What speaks against loading: no plugin, a library that is missing, of another major release, or
            older than the one recorded.
        hint: What to do about the first problem.
    """

    format: str
    safety: str | None
    differences: tuple[Difference, ...] = ()
    problems: tuple[str, ...] = ()
    hint: str | None = None

    @property
    def compatible(self) -> bool:
        """Whether nothing speaks against loading."""
        return not self.problems

    @property
    def notable(self) -> tuple[Difference, ...]:
        """The differences that are more than a patch release."""
        return tuple(difference for difference in self.differences if difference.level != "patch")

    def __bool__(self) -> bool:
        return self.compatible


def compared(record: Mapping[str, Any], plugins: Plugins) -> CompatibilityReport:
    """Return how what a record says fits what is installed here.

    Args:
        record: Its ``serializer``, ``dependencies`` and ``environment`` are looked at.
        plugins: Where formats come from.
    """
    name = str(record["serializer"])
    here = {"python": platform.python_version()}
    wanted = dict(record.get("dependencies") or {})
    if "python" in (record.get("environment") or {}):
        wanted["python"] = record["environment"]["python"]
    found = tuple(
        difference
        for library, version in sorted(wanted.items())
        if (difference := _difference(str(library), str(version), here.get(library) or installed(str(library))))
    )
    broken = [difference for difference in found if _breaks(difference)]
    problems, hint = [str(difference) for difference in broken], None
    if broken:
        pins = [f"'{each.name}=={each.recorded}'" for each in broken if each.name != "python"]
        hint = f"pip install {' '.join(pins)}" if pins else f"use Python {wanted['python']}"
    try:
        format_ = plugins.serializer(name)
        safety: str | None = format_.safety
        lacking = serializer.missing(format_)
        if lacking:
            problems = [*(f"{name} needs {each}, not installed here" for each in lacking), *problems]
            hint = f"pip install {' '.join(repr(each) for each in lacking)}"
    except PluginError as error:
        safety, problems, hint = None, [error.message, *problems], error.hint
    return CompatibilityReport(name, safety, found, tuple(problems), hint)


def installed(name: str) -> str | None:
    """Return the installed version of a distribution; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _difference(name: str, recorded: str, installed: str | None) -> Difference | None:
    if recorded == installed:
        return None
    if installed is None:
        return Difference(name, recorded, None, "missing")
    before, now = _release(recorded), _release(installed)
    level: Level = "major" if before[0] != now[0] else "minor" if before[1] != now[1] else "patch"
    return Difference(name, recorded, installed, level)


def _breaks(difference: Difference) -> bool:
    older = difference.installed is not None and _release(difference.installed) < _release(difference.recorded)
    return difference.level in ("missing", "major") or (difference.level == "minor" and older)


def _release(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version; what is no number is 0."""
    numbers = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:2]]
    return (*numbers, 0, 0)[0], (*numbers, 0, 0)[1]
