"""``friday://NAME@ALIAS/FILE``: what is attached to versions, for everything that opens fsspec's URLs. Read-only.

::

    pandas.read_csv("friday://aapl_1d@production/sample.csv", storage_options={"registry": "models"})

Below ``friday://`` stand the models, below a revision of one its attachments, folders among them. A revision is what
is one everywhere: ``NAME``, ``NAME:1.4.0``, ``NAME@production``, ``NAME:^1.4``; it ends where the name of a model that
is there ends, with what follows it up to the next ``/``. It is resolved each time, so a moved alias is seen at once,
and bytes are verified before anybody gets them. The option ``registry`` says which registry, as a folder or URL; the
default is the one that the command line would find. Nothing is loaded or run: attachments are bytes.

The only module besides :mod:`friday_store.storage` that imports fsspec: there as a client of stores, here as a
protocol that others are clients of.
"""

from __future__ import annotations

import io
import re
import threading
from pathlib import PurePosixPath
from typing import Any, ClassVar, Final, NoReturn

from fsspec.spec import AbstractFileSystem

from friday_store.errors import ModelNotFoundError
from friday_store.registry import ModelRegistry

_SELECTOR: Final = re.compile(r"[@:~]")


class FridayFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """See the module.

    Args:
        registry: A folder or URL; None: the default registry.
        options: Arguments of fsspec's own base class.
    """

    protocol: ClassVar[str] = "friday"
    root_marker = ""

    def __init__(self, registry: str | None = None, **options: Any) -> None:
        super().__init__(**{**options, "use_listings_cache": False})
        self._url = registry
        self._registry: ModelRegistry | None = None
        self._lock = threading.Lock()

    @property
    def registry(self) -> ModelRegistry:
        """The registry, opened when it is first needed."""
        with self._lock:
            if self._registry is None:
                self._registry = ModelRegistry(self._url)
            return self._registry

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 - fsspec's signature
        """List the models, the attachments of a version, or one of its folders."""
        path = self._strip_protocol(path)
        found = [_entry(name, None) for name in self.registry.model_names()] if not path else self._below(path)
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, type and size of one thing."""
        path = self._strip_protocol(path)
        if not path:
            return _entry("", None)
        revision, name = self._split(path)
        files = self._attached(path, revision)
        if name in files:
            return _entry(path, files[name])
        if not name or any(name in map(str, PurePosixPath(other).parents) for other in files):
            return _entry(path, None)
        raise FileNotFoundError(f"{revision} has no attachment {name!r}")

    def _open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> io.BytesIO:
        if mode != "rb":
            self._refuse()
        return io.BytesIO(self.cat_file(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the bytes of a file, or of a range of it."""
        path = self._strip_protocol(path)
        entry = self.info(path)
        if entry["type"] == "directory":
            raise IsADirectoryError(path)
        data = self.registry.read_attachment(*self._split(path))
        return bytes(data[slice(start, end)])

    def created(self, path: str) -> Any:
        """Return when the version was registered."""
        revision, _ = self._split(self._strip_protocol(path))
        return self.registry.get_model_metadata(revision)["created_at"]

    modified = created

    def _below(self, path: str) -> list[dict[str, Any]]:
        revision, folder = self._split(path)
        files = self._attached(path, revision)
        if folder in files:
            return [_entry(path, files[folder])]
        start, found = f"{folder}/" if folder else "", {}
        for name, size in files.items():
            if name.startswith(start):
                head, _, rest = name[len(start) :].partition("/")
                found[head] = _entry(f"{path}/{head}", None if rest else size)
        if not found and folder:
            raise FileNotFoundError(f"{revision} has no attachment {folder!r}")
        return [found[head] for head in sorted(found)]

    def _attached(self, path: str, revision: str) -> dict[str, int]:
        try:
            return self.registry.attachments(revision)
        except ModelNotFoundError as error:
            raise FileNotFoundError(f"friday://{path}: {error}") from error

    def _split(self, path: str) -> tuple[str, str]:
        """Return the revision that a path starts with, and the rest: names of models may hold slashes too."""
        parts = path.split("/")
        names = set(self.registry.model_names())
        for place, part in enumerate(parts):
            model = "/".join([*parts[:place], _SELECTOR.split(part, maxsplit=1)[0]])
            if model in names:
                return "/".join(parts[: place + 1]), "/".join(parts[place + 1 :])
        return parts[0], "/".join(parts[1:])

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise PermissionError("friday:// is read-only: versions never change; register a new one with attachments")

    mkdir = makedirs = rmdir = cp_file = _rm = rm_file = pipe_file = put_file = touch = _refuse


def _entry(name: str, size: int | None) -> dict[str, Any]:
    return {"name": name, "size": size or 0, "type": "directory" if size is None else "file"}
