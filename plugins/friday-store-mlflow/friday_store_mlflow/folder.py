"""The format ``mlflow``: a model's folder as MLflow made it, file by file, never interpreted until it is loaded.

Part ``index`` is JSON, ``[[path, size], ...]`` sorted by path; part ``files/PATH`` is a file's bytes, ``PATH``
percent-quoted where it holds more than ``A-Za-z0-9_.-~/`` (and the second of two dots always). Safety class *code*:
MLflow's flavours unpickle, and a flavour's loader can be any module. The native single file is a ZIP archive whose
members are stored as they are, with fixed dates, so that the same folder always gives the same bytes.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from friday_store import Part, SerializationError, archive
from friday_store.archive import Block
from friday_store.hookspecs import Safety

NAME: Final = "mlflow"
DESCRIPTION: Final = "MLmodel"
_INDEX: Final = "index"
_FILES: Final = "files/"
_MOST: Final = 100_000


@dataclass(frozen=True)
class Folder:
    """A model's folder on this disk, or one file; what ``register_model`` takes to store it as it is.

    Attributes:
        path: The folder.
    """

    path: Path

    def files(self) -> dict[str, Path]:
        """Return its files by their relative path, sorted.

        Raises:
            SerializationError: It is not there, or holds a link or another thing that is not a file.
        """
        if self.path.is_symlink() or not self.path.exists():
            raise SerializationError(f"there is no folder {self.path}")
        if self.path.is_file():
            return {self.path.name: self.path}
        found: dict[str, Path] = {}
        for place, folders, names in os.walk(self.path, onerror=_raised):
            for name in (*names, *folders):
                path = Path(place, name)
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise SerializationError(f"{path} is a link or a device, and only files are stored")
                if path.is_file():
                    found[path.relative_to(self.path).as_posix()] = path
        return dict(sorted(found.items()))


def _raised(error: OSError) -> None:
    raise error


class FolderFormat:
    """MLflow's model folders; see the module."""

    name = NAME
    format = 1
    safety: Safety = "code"
    deterministic = True
    suffix = ".zip"
    requires = ("mlflow-skinny>=3",)

    def accepts(self, model: object) -> bool:
        return isinstance(model, Folder)

    def dump(self, model: Any) -> Iterable[Part]:
        if not isinstance(model, Folder):
            raise SerializationError(f"the format 'mlflow' stores a Folder, not a {type(model).__qualname__}")
        try:
            opened = {path: _mapped(file) for path, file in model.files().items()}
        except OSError as error:
            raise SerializationError(f"cannot read {model.path}: {error}") from error
        return _parts(opened)

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        """Return MLflow's ``PyFuncModel``; its folder lives as long as it does."""
        if format > self.format:
            raise SerializationError(f"mlflow parts of format {format}; this release reads {self.format}")
        files = files_of(parts)
        if DESCRIPTION not in files:
            raise SerializationError(f"the folder holds no {DESCRIPTION}, so MLflow cannot load it")
        import mlflow.pyfunc

        folder = tempfile.mkdtemp(prefix="friday-store-")
        try:
            write_files(files, Path(folder))
            model = mlflow.pyfunc.load_model(folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
        return model

    def check(self, parts: Mapping[str, memoryview]) -> None:
        files_of(parts)

    def describe(self, parts: Mapping[str, memoryview]) -> Mapping[str, Any]:
        """Say how many files there are, and what ``MLmodel`` says: flavours, signature, versions."""
        from friday_store_mlflow import description

        files = files_of(parts)
        said = description.facts(bytes(files[DESCRIPTION])) if DESCRIPTION in files else {}
        shown = {key: value for key, value in said.items() if key in ("signature", "mlflow_version")}
        return {"files": len(files), "flavors": sorted(said.get("flavors", {})), **shown}

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterator[Block]:
        return archive.written(files_of(parts))

    def from_file(self, data: memoryview) -> Iterable[Part]:
        return _parts(dict(sorted(archive.members(data).items())))


def files_of(parts: Mapping[str, memoryview]) -> dict[str, memoryview]:
    """Return the files of a stored folder by their relative path.

    Raises:
        SerializationError: The parts are not those of a folder, whole.
    """
    try:
        index = json.loads(bytes(parts[_INDEX]))
        sizes = {str(path): size for path, size in index}
        sound = len(index) == len(sizes) <= _MOST and all(type(size) is int for size in sizes.values())
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError("these parts are not those of a model's folder") from error
    names = {part_name(path): path for path in sizes}
    if not sound or set(parts) != {_INDEX, *names}:
        raise SerializationError("these parts are not those of a model's folder")
    found = {path: parts[name] for name, path in names.items()}
    for path, data in found.items():
        if len(data) != sizes[path]:
            raise SerializationError(f"{path[:80]!r} does not have the size that the folder's index says")
    return found


def part_name(path: str) -> str:
    """Return the part that holds a file.

    Raises:
        SerializationError: The path would leave its folder, or is not in its only spelling.
    """
    pieces = path.split("/")
    if "\0" in path or "\\" in path or any(piece in ("", ".", "..") for piece in pieces):
        raise SerializationError(f"{path[:80]!r} is not the path of a file in a folder")
    try:
        return _FILES + quote(path, safe="/").replace("..", ".%2E")
    except UnicodeEncodeError as error:
        raise SerializationError(f"{path[:80]!a} is not the name of a file in UTF-8") from error


def path_of(part: str) -> str | None:
    """Return the path of the file that a part holds; None for the part that lists them."""
    return unquote(part.removeprefix(_FILES)) if part.startswith(_FILES) else None


def write_files(files: Mapping[str, memoryview], folder: Path) -> None:
    """Write files into a folder, each at its relative path."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _parts(files: Mapping[str, memoryview]) -> list[Part]:
    index = [[path, len(data)] for path, data in files.items()]
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()
    return [Part(_INDEX, text), *(Part(part_name(path), data, opaque=True) for path, data in files.items())]


def _mapped(path: Path) -> memoryview:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(handle)
