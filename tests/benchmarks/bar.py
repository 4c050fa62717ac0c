"""One line of the table: what is compared with what, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["seconds", "bytes", "per second", "requests", "share", "models"]


@dataclass(frozen=True)
class Bar:
    """One line of the table.

    Attributes:
        workload: A key of ``SIDES``.
        ours: The measure of ours.
        side: Who is compared with; empty for a bar on ours alone.
        theirs: Their measure.
        limit: What ours / theirs, or ours alone, must not exceed; None if nothing is promised.
        at_least: The limit is a least, not a most.
        unit: What is measured.
    """

    workload: str
    ours: str
    side: str = ""
    theirs: str = ""
    limit: float | None = None
    at_least: bool = False
    unit: Unit = "seconds"

    def holds(self, value: float) -> bool:
        """Return whether the ratio, or the value of ours alone, keeps the limit; True without one."""
        if self.limit is None:
            return True
        return value >= self.limit if self.at_least else value <= self.limit
