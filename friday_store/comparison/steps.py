"""What differs between two pipelines, step by step, from what was recorded when they were registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from friday_store.comparison.table import NONE, shown
from friday_store.comparison.versions import same

_MODEL = ""


@dataclass(frozen=True)
class StepDiff:
    """A step that differs; ``name`` is empty for the model itself, or the pipeline's own parameters.

    Attributes:
        name: The step's name.
        state: ``changed``, ``added`` or ``removed``.
        class_before: Its class; empty where it was not there or not recorded.
        class_after: Its class.
        parameters: What differs: name to the values before and after; None for absent.
    """

    name: str
    state: Literal["changed", "added", "removed"]
    class_before: str = ""
    class_after: str = ""
    parameters: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, hash=False)

    def lines(self) -> list[tuple[str, str, str, str]]:
        """Return it as lines of a table: step, parameter, before, after.

        Where the class is another, of the parameters only those that both have.
        """
        name, found = shown(self.name or "(model)"), []
        if self.state != "changed" or self.class_before != self.class_after:
            found.append((name, "class", *classes(self.class_before, self.class_after)))
        replaced = self.state == "changed" and self.class_before != self.class_after
        for key, (old, new) in self.parameters.items():
            if not replaced or None not in (old, new):
                found.append((name, shown(key), _value(old), _value(new)))
        return found


def classes(before: str, after: str) -> tuple[str, str]:
    """Return two classes without their modules, unless these are all that tells them apart."""
    short = before.rpartition(".")[2], after.rpartition(".")[2]
    before, after = (before, after) if short[0] == short[1] else short
    return _value(before or None), _value(after or None)


def _value(value: Any) -> str:
    return NONE if value is None else shown(value)


def steps(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[StepDiff]:
    """Return the steps of two records that differ, in the newer one's order, and then what was removed."""
    old, new = _Steps(before), _Steps(after)
    return list(_differing(old, new))


class _Steps:
    """The steps of one record: class by name, and parameters by step."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        listed = record["pipeline_steps"]
        named = [step for step in listed if isinstance(step, Mapping) and "name" in step] if listed else []
        self.classes = {_MODEL: str(record["model_type"])} | {str(s["name"]): str(s.get("class", "")) for s in named}
        self.parameters: dict[str, dict[str, Any]] = {name: {} for name in self.classes}
        for key, value in record["hyperparameters"].items():
            step, mark, rest = str(key).partition("__")
            if mark and step in self.classes:
                self.parameters[step][rest] = value
            elif key not in self.classes and not (named and key == "steps"):
                self.parameters[_MODEL][str(key)] = value


def _differing(old: _Steps, new: _Steps) -> Iterator[StepDiff]:
    for name in dict.fromkeys((*new.classes, *old.classes)):
        one, other = old.parameters.get(name, {}), new.parameters.get(name, {})
        changed = {
            key: (one.get(key), other.get(key))
            for key in dict.fromkeys((*one, *other))
            if key not in one or key not in other or not same(one[key], other[key])
        }
        before, after = old.classes.get(name), new.classes.get(name)
        if before is None or after is None:
            yield StepDiff(name, "added" if before is None else "removed", before or "", after or "", changed)
        elif before != after or changed:
            yield StepDiff(name, "changed", before, after, changed)
