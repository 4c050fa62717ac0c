"""Where MLflow's facts stand in a version's metadata, and its stages as words for a version's status."""

from __future__ import annotations

from typing import Final

SAID: Final = "mlflow"
"""What an MLflow registry said of a version when it was imported last."""

MODEL: Final = "mlflow_model"
"""Description and tags of the model as a whole; those of the newest version that has any count."""

_STATUS: Final = {"Staging": "staging", "Production": "production", "Archived": "archived"}
_STAGE: Final = {status: stage for stage, status in _STATUS.items()}


def status_of(stage: str) -> str | None:
    """Return the status that a stage is; None for MLflow's ``None``."""
    return _STATUS.get(stage)


def stage_of(status: str) -> str:
    """Return the stage that a status is; ``None``, as a word, for those that MLflow does not have."""
    return _STAGE.get(status, "None")
