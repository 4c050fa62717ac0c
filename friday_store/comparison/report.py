"""What differs between two stored models as people read it: the like of it in one line, the important first.

A forest of which every tree has another depth differs in a hundred places of one kind: that is one line here, with the
places counted. What a line above has said already (a parameter, a coefficient, what stands inside a tree) is not said
again; :meth:`ModelDiff.as_dict` has all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from friday_store.comparison import table
from friday_store.comparison.coefficients import Coefficient
from friday_store.comparison.steps import classes

if TYPE_CHECKING:
    from friday_store.comparison.models import ModelDiff, PartDiff, ValueDiff

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Caption, heads and rows."""

LINES: Final = 20
PARAMETERS: Final = "Parameters"
_PLACE: Final = re.compile(r"\[\d+\]")
_IN_TREE: Final = re.compile(r"(?:^|\.)(?:tree_[.(\[]|_predictors\[\d+\]\[)")
_OF_LINEAR: Final = re.compile(r"(?:^|\.)(?:coef_|intercept_)$")


def summary(diff: ModelDiff) -> str:
    """Return one line: which versions, how large, and how much of it is shared."""
    before, after = table.shown(diff.before), table.shown(diff.after)
    if diff.identical:
        return f"{before} and {after} are the same {table.size(diff.size_after)}"
    share = f"{100 * diff.shared / diff.size_after:.1f} %" if diff.shared else "nothing"
    sizes = f"{table.size(diff.size_before)} -> {table.size(diff.size_after)}"
    formats = " -> ".join(dict.fromkeys(diff.serializers)) if len(set(diff.serializers)) > 1 else ""
    more = f", format {formats}" if formats else ""
    return f"{before} -> {after}: {sizes}, {share} shared, {table.size(diff.changed)} new{more}"


def tables(diff: ModelDiff) -> Iterator[Table]:
    """Yield what differs, table by table."""
    yield _parameters(diff)
    if diff.trees is not None:
        yield "Trees", (), [(diff.trees.to_text(),)]
    known = diff.behaviour.coefficients if diff.behaviour is not None else None
    yield coefficients(diff.coefficients if known is None else known)
    parts = [_part_line(part) for part in diff.parts if part.state != "same" and not part.described]
    yield "Parts", ("part", "state", "array", "size", "of it new", "changed", "largest", "mean"), parts
    yield "Inside", ("where", "before", "after", "largest"), list(_inside(diff))


def _parameters(diff: ModelDiff) -> Table:
    lines: list[tuple[str, ...]] = [line for step in diff.steps for line in step.lines()]
    if any(step.name for step in diff.steps):
        return PARAMETERS, ("step", "parameter", "before", "after"), lines
    return PARAMETERS, ("parameter", "before", "after"), [line[1:] for line in lines]


def coefficients(found: Sequence[Coefficient] | None) -> Table:
    """Return coefficients as a table; if there are many, what changed most comes first."""
    listed = list(found or ())
    if len(listed) > LINES:
        listed.sort(key=lambda each: -abs(each.difference) if each.difference is not None else 0.0)
    heads = ("coefficient", "before", "after", "difference")
    return "Coefficients", heads, [
        (table.shown(each.name), _or_none(each.before), _or_none(each.after), table.signed(each.difference))
        for each in listed
    ]  # fmt: skip


def as_text(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Return a table for people, cut after some lines, which it says; empty without rows."""
    some = table.text(heads, rows[:LINES], width - 2)
    if not some:
        return ""
    more = [f"… and {len(rows) - LINES} more"] if len(rows) > LINES else []
    return "\n".join([caption, *(f"  {line}" for line in (*some.splitlines(), *more))])


def _or_none(value: object) -> str:
    return table.NONE if value is None else table.shown(value)


def _part_line(part: PartDiff) -> tuple[str, ...]:
    size = part.size_after if part.size_after is not None else part.size_before or 0
    numbers = part.numbers
    shapes = ["x".join(map(str, shape)) for shape in (part.shape_before, part.shape_after) if shape is not None]
    array = f"{part.dtype} {' -> '.join(dict.fromkeys(shapes))}".strip() if part.dtype else "raw bytes"
    changed = "" if numbers is None else f"{100 * numbers.share_changed:.3g} %"
    gaps = (None, None) if numbers is None else (numbers.max_difference, numbers.mean_difference)
    most, mean = ("" if gap is None else f"{gap:.3g}" for gap in gaps)
    name = table.shown(part.path or part.name)
    fresh = table.size(part.changed) if part.shared else ""
    told = (array, table.size(size), fresh, changed, most, mean)
    return name, part.state, *told


def _inside(diff: ModelDiff) -> Iterator[tuple[str, ...]]:
    """Yield a line for each kind of place: paths that differ in the numbers of list places alone are one kind."""
    told = {part.path for part in diff.parts} | _said(diff)
    groups: dict[tuple[str, str], list[ValueDiff]] = {}
    for value in diff.contents:
        inner = diff.trees is not None and _IN_TREE.search(value.path)
        linear = diff.coefficients is not None and _OF_LINEAR.search(value.path)
        if value.path not in told and not inner and not linear:
            groups.setdefault((_PLACE.sub("[*]", value.path), value.state), []).append(value)
    for (pattern, _), values in groups.items():
        yield _value_line(values[0]) if len(values) == 1 else _group_line(pattern, values)


def _said(diff: ModelDiff) -> set[str]:
    """Return the paths of the parameters that the steps tell."""
    return {
        f"steps[{step.name!r}].{parameter}" if step.name else parameter
        for step in diff.steps
        for parameter in step.parameters
    }


def _group_line(pattern: str, values: Sequence[ValueDiff]) -> tuple[str, ...]:
    lines = [_value_line(value) for value in values]
    before, after = (_common([line[place] for line in lines]) for place in (1, 2))
    numbers = [value.numbers for value in values if value.numbers is not None]
    if len(numbers) == len(values):
        before = _common([line[1].partition(" ")[0] for line in lines])
        after = f"{sum(each.changed for each in numbers)} of {sum(each.elements for each in numbers)} differ"
    gaps = [value.numbers.max_difference for value in values if value.numbers and value.numbers.max_difference]
    return f"{table.shown(pattern)} x{len(values)}", before, after, table.shown(max(gaps, default=None))


def _common(cells: Sequence[str]) -> str:
    """Return what all cells say, else the first and the last."""
    return cells[0] if len(set(cells)) == 1 else f"{cells[0]} … {cells[-1]}"


def _value_line(value: ValueDiff) -> tuple[str, ...]:
    most = "" if value.numbers is None else table.shown(value.numbers.max_difference)
    path = table.shown(value.path) or "(model)"
    if value.path.rpartition(".")[2] == "__class__":
        return path, *classes(str(value.before or ""), str(value.after or "")), most
    if isinstance(value.before, list) and isinstance(value.after, list):
        return path, *_lists(value.before, value.after), most
    if value.numbers is not None:
        return path, _value(value.before), f"{value.numbers.changed} of {value.numbers.elements} differ", most
    before = table.NONE if value.state == "added" else _value(value.before)
    after = table.NONE if value.state == "removed" else _value(value.after)
    return path, before, after, most


def _value(value: object) -> str:
    return "None" if value is None else table.shown(value)


def _lists(before: list[str], after: list[str]) -> tuple[str, str]:
    """Return what only the one and what only the other list has; both as they are where the order alone differs."""
    old, new = set(before), set(after)
    gone, came = [each for each in before if each not in new], [each for each in after if each not in old]
    if not gone and not came:
        return table.shown(before), table.shown(after)
    return f"with {table.shown(gone)}" if gone else table.NONE, f"with {table.shown(came)}" if came else table.NONE
