"""What the format promises: a folder comes back as it was, and only as that."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from friday_store import SerializationError
from friday_store.testing import SerializerTests
from friday_store_mlflow import Folder
from friday_store_mlflow.folder import FolderFormat, files_of, part_name, path_of


def parts_of(folder: Path) -> dict[str, memoryview]:
    """Return the stored parts of a folder."""
    return {part.name: part.view() for part in FolderFormat().dump(Folder(folder))}


class TestFolder(SerializerTests):
    """The kit's promises, for a scikit-learn model that MLflow saved."""

    serializer = FolderFormat()
    frameworks: ClassVar[Sequence[str]] = ("mlflow",)
    shows_truncation: ClassVar[bool] = True

    @pytest.fixture
    def model(self, tmp_path: Path) -> Any:
        """Return a folder that MLflow wrote."""
        import mlflow.sklearn
        import numpy as np
        from sklearn.linear_model import Ridge

        features = np.arange(20.0).reshape(10, 2)
        model = Ridge().fit(features, features.sum(axis=1))
        path = tmp_path / "saved"
        mlflow.sklearn.save_model(
            model, path, serialization_format="pickle", pip_requirements=["scikit-learn", "numpy"]
        )
        return Folder(path)

    def predict(self, model: Any) -> Any:
        """Return predictions; a folder is loaded by MLflow itself."""
        import mlflow.pyfunc
        import numpy as np

        loaded = mlflow.pyfunc.load_model(str(model.path)) if isinstance(model, Folder) else model
        return loaded.predict(np.arange(6.0).reshape(3, 2))

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        """Remember where the models of this test are."""
        self.place = tmp_path

    def changed(self, model: Any) -> Any:
        """The same folder with one requirement more."""
        with (self.place / "saved" / "requirements.txt").open("a") as file:
            file.write("scipy\n")
        return Folder(self.place / "saved")


@pytest.mark.parametrize("name", ["a b", "ü", "a..b", "...", "100%", "index", "deep/er/file", "-", "a%2Eb", "=#?"])
def test_any_file_name_comes_back(name: str, tmp_path: Path) -> None:
    """Names with blanks, dots, per cent signs and letters of any script are kept, each under a part of its own."""
    folder = tmp_path / "model"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(b"content")
    parts = parts_of(folder)
    assert {name: b"content"} == {path: bytes(data) for path, data in files_of(parts).items()}
    assert name == path_of(part_name(name))
    file = b"".join(FolderFormat().to_file(parts))
    back = {part.name: bytes(part.view()) for part in FolderFormat().from_file(memoryview(file))}
    assert {key: bytes(value) for key, value in parts.items()} == back


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "a\0b", "\udcff"])
def test_paths_that_leave_the_folder_are_refused(path: str) -> None:
    """A path that could name something outside, or has two spellings, is no file of a folder."""
    with pytest.raises(SerializationError):
        part_name(path)


def test_an_archive_that_would_leave_the_folder_is_refused() -> None:
    """An archive with ``../`` in a name is refused, and so is a packed one, which could be a bomb."""
    for name, method in (("../evil", zipfile.ZIP_STORED), ("big", zipfile.ZIP_DEFLATED)):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr(name, b"0" * 1000)
        with pytest.raises(SerializationError):
            list(FolderFormat().from_file(memoryview(file.getvalue())))


def test_the_archive_is_an_ordinary_one(tmp_path: Path) -> None:
    """Anybody's ZIP reader opens the native file, and finds the folder's files."""
    (tmp_path / "model" / "data").mkdir(parents=True)
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "model" / "data" / "weights").write_bytes(bytes(3 << 20))
    file = b"".join(FolderFormat().to_file(parts_of(tmp_path / "model")))
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        assert ["MLmodel", "data/weights"] == archive.namelist()


def test_links_and_missing_folders_are_refused(tmp_path: Path) -> None:
    """A link could name any file of this machine; a folder that is not there is no model."""
    with pytest.raises(SerializationError, match="no folder"):
        Folder(tmp_path / "nowhere").files()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path)
    with pytest.raises(SerializationError, match="link"):
        Folder(tmp_path / "model").files()
    with pytest.raises(SerializationError, match="no folder"):
        Folder(tmp_path / "model" / "link").files()
