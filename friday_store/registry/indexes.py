"""``indexes.json``: where this user's indexes are, by the id of their repositories.

::

    {"format": 1, "indexes": {"<repository id>": {"url": "postgresql://…", "options": {"password": "env:NAME"}}}}

It is a file of this user's, mode 0600, outside of every repository: a repository that came from elsewhere cannot say
which server is sent its facts, let alone whose password. In ``options`` stand libpq's options; ``env:NAME`` and
``file:PATH`` say where a value is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from friday_store.errors import InvalidValueError, StorageError
from friday_store.index.server import Server
from friday_store.remotes.options import resolved
from friday_store.storage.files import alone, private_folder, replace_private

FILE: Final = "indexes.json"
_FORMAT: Final = 1


class Indexes:
    """Where the indexes of one user are.

    Args:
        path: The file.
        environment: The variables that ``env:`` speaks of.
    """

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self._environment = environment

    def place(self, repository: str) -> Server | None:
        """Return the server of a repository's index; None where nothing was said.

        Raises:
            InvalidValueError: The file is not what it should be, or a variable or file that it names is missing.
        """
        found = self._read().get(repository)
        return None if found is None else self.server(found["url"], found["options"])

    def server(self, url: str, options: Mapping[str, str]) -> Server:
        """Return a server, with what ``env:`` and ``file:`` stand for.

        Raises:
            InvalidValueError: A variable or file is missing.
        """
        values = resolved(dict(options), (), remote="the index", root=None, environment=self._environment)
        return Server(url, {name: str(value) for name, value in values.items()})

    def put(self, repository: str, url: str, options: Mapping[str, str]) -> None:
        """Remember where a repository's index is."""
        self._change(lambda known: known.update({repository: {"url": url, "options": dict(options)}}))

    def drop(self, repository: str) -> None:
        """Forget it: the index is where it is without being asked."""
        if repository in self._read():
            self._change(lambda known: known.pop(repository, None))

    def _change(self, change: Any) -> None:
        private_folder(self.path.parent)
        with alone(self.path.parent):
            known = self._read()
            change(known)
            text = json.dumps({"format": _FORMAT, "indexes": known}, sort_keys=True, indent=2)
            replace_private(self.path, f"{text}\n".encode())

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self.path.read_text("utf-8"))
            known: dict[str, dict[str, Any]] = found["indexes"]
            sound = found["format"] == _FORMAT and all(_is_place(place) for place in known.values())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"cannot read {self.path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            sound = False
        if not sound:
            hint = f"remove it, and say again where indexes are: rm {self.path}"
            raise InvalidValueError(f"{self.path} is damaged, or of a newer release", path=FILE, hint=hint)
        return known


def _is_place(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("url"), str) and isinstance(found.get("options"), dict)
