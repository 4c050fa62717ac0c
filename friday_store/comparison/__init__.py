"""Comparing: versions side by side by what is recorded of them, and what differs inside their stored models."""

from __future__ import annotations

from friday_store.comparison.behaviour import Behaviour, behaviour
from friday_store.comparison.models import ModelDiff, PartDiff, ValueDiff
from friday_store.comparison.steps import StepDiff, steps
from friday_store.comparison.stored import diff
from friday_store.comparison.versions import Comparison, compare

__all__ = [
    "Behaviour",
    "Comparison",
    "ModelDiff",
    "PartDiff",
    "StepDiff",
    "ValueDiff",
    "behaviour",
    "compare",
    "diff",
    "steps",
]
