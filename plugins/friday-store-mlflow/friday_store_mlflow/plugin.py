"""What friday-store is given: the format ``mlflow`` and the command ``import-mlflow``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from friday_store import hookimpl
from friday_store_mlflow.folder import FolderFormat

if TYPE_CHECKING:
    import click


@hookimpl
def register_serializers() -> Sequence[FolderFormat]:
    """Return the format of MLflow's model folders."""
    return [FolderFormat()]


@hookimpl
def register_commands(group: click.Group) -> None:
    """Add ``import-mlflow``."""
    from friday_store_mlflow.command import import_mlflow

    group.add_command(import_mlflow)
