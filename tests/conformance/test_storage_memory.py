"""Memory keeps what every storage promises, alone and under a wrapper that injects no fault."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from friday_store.storage import open_storage
from friday_store.testing import FaultyStorage, StorageTests

if TYPE_CHECKING:
    from collections.abc import Callable

    from friday_store.storage import Storage


class TestMemoryStorage(StorageTests):
    """A name in fsspec's memory file system."""

    @pytest.fixture
    def reopen(self) -> Callable[[], Storage]:
        """Return a function that opens the same name."""
        url = f"memory://{uuid.uuid4()}/store"
        return lambda: open_storage(url)

    @pytest.fixture
    def unwritable(self) -> Storage:
        """Return a place of a protocol that cannot create without overwriting."""
        return open_storage("local:///nowhere")


class TestFaultyStorage(TestMemoryStorage):
    """The same through :class:`FaultyStorage`."""

    @pytest.fixture
    def reopen(self) -> Callable[[], Storage]:
        """Return a function that opens the same name."""
        url = f"memory://{uuid.uuid4()}/store"
        return lambda: FaultyStorage(open_storage(url))
