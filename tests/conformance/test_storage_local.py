"""A local folder keeps what every storage promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from friday_store.storage.local import LocalStorage
from friday_store.testing import StorageTests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from friday_store.storage import Storage


class TestLocalStorage(StorageTests):
    """A folder that is not there yet."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], Storage]:
        """Return a function that opens the folder."""
        return lambda: LocalStorage(tmp_path / "above" / "store")

    @pytest.fixture
    def unwritable(self, tmp_path: Path) -> Storage:
        """Return a folder below a file."""
        (tmp_path / "file").touch()
        return LocalStorage(tmp_path / "file" / "store")
