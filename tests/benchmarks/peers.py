"""The peers' own environments: made once, kept in a cache folder, never a dependency of the tests."""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PEERS: Final = ("mlflow", "bentoml", "joblib")
_SHARED: Final = ("scikit-learn", "joblib", "numpy")


def interpreter(peer: str, folder: Path) -> str:
    """Return the interpreter that has this peer installed, making its environment on first use.

    The peer is the newest release; the libraries that make and pickle the models are those of the interpreter that
    runs this, so that all sides handle the same objects. joblib is a dependency of the project and needs no
    environment of its own.

    Args:
        peer: One of ``PEERS``.
        folder: Where environments are kept; the peer's is the folder of its name.

    Raises:
        subprocess.CalledProcessError: pip failed; what it said stands on standard error.
    """
    if peer == "joblib":
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
