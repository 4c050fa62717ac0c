"""What becomes of one ref when two repositories are brought together: a pure three-way rule.

*Base* is the value on which both sides last agreed. Versions are create-only: the same name with another digest is a
conflict, always, and nothing resolves it. Tags and notes are sets: what either side added is added, what one side
removed since the base is removed. An alias follows the side that moved it since the base; when both did, it is a
conflict, which a caller may resolve for the source.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

OTHER_CONTENT: Final = "the version exists there with other content"
BOTH_MOVED: Final = "it moved on both sides"
STALE: Final = "it is no longer where it was when you last looked"


class Unknown(Enum):
    """The type of :data:`UNKNOWN`."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
"""The base of a ref of repositories that have not met before."""

Base = bytes | None | Unknown


class Change(NamedTuple):
    """A ref as the source has it.

    Attributes:
        ref: Its name.
        new: The digest that it names at the source; None when it is gone.
        base: The value on which both sides last agreed; None when it was absent.
    """

    ref: str
    new: bytes | None
    base: Base


class Verdict(Enum):
    """What to do at the target."""

    SAME = "="
    NEW = "*"
    FORWARD = " "
    REMOVE = "-"
    BEHIND = "<"
    CONFLICT = "!"
    ASK = "?"


def judged(change: Change, there: bytes | None) -> Verdict:
    """Return what becomes of a ref.

    Args:
        change: The source's side.
        there: Where the target has it; None when it has not.

    Returns:
        ``SAME``: both sides agree; ``NEW``, ``FORWARD``, ``REMOVE``: the target follows; ``BEHIND``: the target is
        ahead, and the source should follow; ``CONFLICT``: both moved; ``ASK``: only lineage can tell.
    """
    new, base = change.new, change.base
    if new == there:
        return Verdict.SAME
    if new is None:
        return _removed(base, there)
    if there is None:
        return _absent(change, base)
    if not change.ref.startswith("aliases/"):
        return Verdict.CONFLICT
    if base is UNKNOWN:
        return Verdict.ASK
    moved_here, moved_there = base != new, base != there
    return Verdict.CONFLICT if moved_here and moved_there else Verdict.FORWARD if moved_here else Verdict.BEHIND


def _removed(base: Base, there: bytes | None) -> Verdict:
    """Decide about a ref that the source has no more, or never had."""
    if base is UNKNOWN or base is None:
        return Verdict.BEHIND
    return Verdict.REMOVE if there == base else Verdict.CONFLICT


def _absent(change: Change, base: Base) -> Verdict:
    """Decide about a ref that the target has not: it is new there, or was removed there since the base."""
    if base is UNKNOWN or base is None:
        return Verdict.NEW
    if base == change.new:
        return Verdict.BEHIND
    return Verdict.CONFLICT if change.ref.startswith("aliases/") else Verdict.NEW
