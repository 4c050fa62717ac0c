"""The peers' own environments: made once, kept in a cache folder, never a dependency of the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PEERS: Final = ("mlflow", "bentoml", "modelstore", "joblib", "dvc", "git", "git-lfs", "restic", "ostree", "s3fs")
_HERE: Final = ("joblib", "s3fs")
_COMMANDS: Final = {
    "git": "git",
    "git-lfs": "git-lfs",
    "restic": "restic",
    "ostree": "ostree",
}  # command to Debian's package
_SHARED: Final = ("scikit-learn", "joblib", "numpy")


class PeerMissingError(RuntimeError):
    """A peer is not installed; the message says how to get it."""


def interpreter(peer: str, folder: Path) -> str:
    """Return the interpreter that has this peer installed, making its environment on first use.

    The peer is the newest release; the libraries that make and pickle the models are those of the interpreter that
    runs this, so that all sides handle the same objects. joblib and s3fs are dependencies of the project and need no
    environment of their own; what is a program of the system is driven by the interpreter that runs this.

    Args:
        peer: One of ``PEERS``.
        folder: Where environments are kept; the peer's is the folder of its name.

    Raises:
        subprocess.CalledProcessError: pip failed; what it said stands on standard error.
        PeerMissingError: The peer is a program of the system, and it is not there.
    """
    if peer in _COMMANDS and shutil.which(peer) is None:
        raise PeerMissingError(f"{peer} is not installed: apt-get install {peer}")
    if peer in _HERE or peer in _COMMANDS:
        return sys.executable
    home = folder / peer
    wanted = "\n".join([peer, *(f"{name}=={version(name)}" for name in _SHARED)]) + "\n"
    made = home / "requirements.txt"
    if not made.exists() or made.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"installing {peer} into {home}\n")
        venv.create(home, clear=True, with_pip=True, symlinks=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted.split()]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        made.write_text(wanted, encoding="utf-8")
    return str(home / "bin" / "python")
