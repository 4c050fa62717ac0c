"""friday-store and MLflow: import a registry of theirs, and serve one of ours to their clients.

``import friday_store_mlflow`` imports neither MLflow nor YAML; that happens when something of them is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from friday_store_mlflow.folder import Folder
    from friday_store_mlflow.migration import Report, import_mlflow

__all__ = ["Folder", "Report", "import_mlflow"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "Folder":
        from friday_store_mlflow.folder import Folder

        return Folder
    if name in ("Report", "import_mlflow"):
        from friday_store_mlflow import migration

        return getattr(migration, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
