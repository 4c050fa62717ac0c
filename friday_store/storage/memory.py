"""Memory, for tests and scratch work."""

from __future__ import annotations

import threading
from typing import ClassVar

from friday_store.digest import Buffer
from friday_store.storage.objectstore import ObjectStorage


class MemoryStorage(ObjectStorage):
    """fsspec's memory file system, shared by the process, with a lock that makes ``create`` exact."""

    _lock: ClassVar[threading.RLock] = threading.RLock()

    def _create(self, path: str, data: Buffer) -> bool:
        fs, prefix = self._filesystem()
        with self._lock, self.mapped_errors("write", path):
            if fs.exists(f"{prefix}/{path}"):
                return False
            fs.pipe_file(f"{prefix}/{path}", bytes(data))
            return True
