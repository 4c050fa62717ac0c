"""Files that are written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from friday_store.errors import StorageError
from friday_store.storage.files import publish_file

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, making its folders; a reader sees the old file or the new one, never a part.

    Raises:
        StorageError: The file cannot be written; the old one, if any, is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    publish_file(path, [data], replace=True)
