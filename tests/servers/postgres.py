"""A PostgreSQL server as a process of this machine, on a free port of the loopback, ended by its own process id.

Its collation is a language's, so that nothing depends on bytes by accident. ``FRIDAY_STORE_TEST_POSTGRES`` names the
folder of the server's programs where they are in none of the usual ones.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import psycopg

_READY = 60.0
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "60", "shared_buffers": "64MB"}


def programs() -> Path | None:
    """Return the folder of the newest server's programs on this machine; None if there is none."""
    named = os.environ.get("FRIDAY_STORE_TEST_POSTGRES")
    found = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_release, reverse=True)
    if not found and (beside := shutil.which("pg_ctl")):
        found = [Path(beside).resolve().parent]
    return next((folder for folder in found if (folder / "initdb").exists()), None)


def _release(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdecimal() else 0


class PostgresServer:
    """A running server with a database ``models``, which belongs to the plain role ``friday``.

    Args:
        folder: Where its data is.
        bin: Its programs.
    """

    def __init__(self, folder: Path, bin: Path) -> None:  # noqa: A002 - what the folder is called
        self._folder = folder
        self._bin = bin
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The database as the plain role has it."""
        return f"postgresql://friday@127.0.0.1:{self._port}/models"

    @property
    def superuser(self) -> str:
        """The database as a superuser has it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/models"

    def __enter__(self) -> Self:
        data = self._folder / "data"
        data.mkdir()
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(data, user.pw_uid, user.pw_gid)
            for above in (self._folder, *self._folder.parents):
                if above != Path("/tmp") and not above.stat().st_mode & 0o001 and above.owner() == "root":
                    above.chmod(above.stat().st_mode | 0o011)  # the server's user must get through
        made = [str(self._bin / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"]
        locale = ["--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8"]
        subprocess.run([*self._as(), *made, *locale], check=True, capture_output=True, cwd="/")
        self.start()
        self.execute("CREATE ROLE friday LOGIN", database="postgres")
        self.execute("CREATE DATABASE models OWNER friday", database="postgres")
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, on the port that it had before if it had one."""
        self._port = self._port or _free_port()
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        place = ["-D", str(self._folder / "data"), "-h", "127.0.0.1", "-p", str(self._port), "-k", ""]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as(), str(self._bin / "postgres"), *place, *settings], stdout=log, stderr=log, cwd="/"
            )
        until = time.monotonic() + _READY
        while True:
            try:
                self.execute("SELECT 1", database="postgres")
            except psycopg.OperationalError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop the server: ``SIGINT`` ends all connections, ``SIGQUIT`` is a crash."""
        process, self._process = self._process, None
        if process is not None:
            pid = int((self._folder / "data" / "postmaster.pid").read_text().split("\n")[0])
            os.kill(pid, how)
            process.wait(60)

    def execute(self, statement: str, database: str = "models") -> list[tuple[object, ...]]:
        """Run a statement as the superuser and return its rows."""
        url = f"postgresql://postgres@127.0.0.1:{self._port}/{database}"
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(statement)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def _as(self) -> list[str]:
        """Return the words that make a command the server's user's: it refuses to be root's."""
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
