"""An S3 server with real conditional writes, as a process on a free port of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

_READY = 60.0


class Ministack:
    """A running ministack; ended by its own process id.

    Args:
        folder: Where its log goes, and whatever it thinks it must write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.endpoint = ""
        self.key, self.secret = "test", "test-secret"

    def __enter__(self) -> Self:
        for _ in range(3):
            if self._start(_free_port()):
                return self
        raise RuntimeError(f"ministack does not start: {(self._folder / 'log').read_text()[-2000:]}")

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()

    def bucket(self, name: str) -> None:
        """Make a bucket."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT"), timeout=30):
            return

    def _start(self, port: int) -> bool:
        self.endpoint = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
        settings = {
            "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3", "IOT_MTLS_ENABLED": "false",
            "SFTP_ENABLED": "false", "TMPDIR": str(self._folder), "LOG_LEVEL": "WARNING",
        }  # fmt: skip
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ministack"], env=kept | settings, stdout=log, stderr=log, cwd=self._folder
            )
        limit = time.monotonic() + _READY
        while time.monotonic() < limit and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=5) as reply:
                    if reply.status == 200:
                        return True
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        self.__exit__()
        return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
