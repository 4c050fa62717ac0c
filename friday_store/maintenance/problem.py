"""One thing that is wrong with a repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: ``format``, ``log``, ``checkpoint``, ``protection``, ``pack``, ``object``, ``closure``, ``index`` or
            ``stray``; of a log's history also ``history`` and ``signature``.
        path: The file, relative to the repository.
        message: What is wrong with it.
        severity: ``error`` when something stored is damaged or missing; ``warning`` when nothing is lost.
        versions: Which versions cannot be read whole because of it, such as ``churn:1.0.2``.
    """

    kind: str
    path: str
    message: str
    severity: Severity = "error"
    versions: tuple[str, ...] = ()
