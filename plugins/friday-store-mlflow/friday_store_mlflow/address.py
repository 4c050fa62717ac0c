"""``friday:///PATH``, as MLflow names the registry in a folder, and ``friday:///PATH?version=ID``, a version there."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from friday_store import ModelRegistry

SCHEME: Final = "friday"


@dataclass(frozen=True)
class Opened:
    """A registry that MLflow's clients in this process share, and the lock of those who write to it."""

    registry: ModelRegistry
    lock: threading.RLock


def path_of(uri: str) -> str:
    """Return the folder that a URI names.

    Raises:
        MlflowException: It names none.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme != SCHEME or parts.netloc or not path.startswith("/") or path == "/":
        raise MlflowException(
            f"{uri!r} does not name a registry: friday:///ABSOLUTE/PATH names one in a folder", INVALID_PARAMETER_VALUE
        )
    return path


def of_version(path: str, model_id: str) -> str:
    """Return the URI of a version."""
    return f"{SCHEME}://{quote(path)}?version={model_id}"


def version_in(uri: str) -> str:
    """Return the id of the version that a URI names.

    Raises:
        MlflowException: It names none.
    """
    found = parse_qs(urlsplit(uri).query).get("version", [])
    if len(found) != 1:
        raise MlflowException(f"{uri!r} does not name a version", INVALID_PARAMETER_VALUE)
    return found[0]


@functools.lru_cache(maxsize=100)
def opened(path: str) -> Opened:
    """Return the registry in a folder; the same for all who ask, as MLflow does with its own stores."""
    return Opened(ModelRegistry(path), threading.RLock())
