"""``friday://`` keeps what fsspec's own suites ask of a file system that can be read."""

from __future__ import annotations

import posixpath
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests
from pyarrow.fs import FSSpecHandler, PyFileSystem

from friday_store import ModelRegistry
from friday_store.filesystem import FridayFileSystem
from friday_store.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTRY = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]
FRAME = pd.DataFrame({"close": [1.5, 2.5, 3.5], "volume": [10, 20, 30]})


@pytest.fixture(autouse=True)
def known() -> None:
    """Register the protocol as its entry point does."""
    module, _, name = ENTRY["fsspec.specs"]["friday"].partition(":")
    fsspec.register_implementation("friday", getattr(import_module(module), name), clobber=True)


class Scripted(FridayFileSystem):
    """One test of the suite makes folder and files by the file system itself: each is a new version here."""

    def mkdir(self, path: str, **_: Any) -> None:  # type: ignore[override]
        """Make nothing: a folder is there for the files in it."""

    def touch(self, path: str, **_: Any) -> None:  # type: ignore[override]
        """Register a version that has the files before and one more."""
        model, name = path.split("/", maxsplit=1)
        names = self.registry.attachments(model) if self.registry.model_names(model) else ()
        kept = {each: bytes(self.registry.read_attachment(model, each)) for each in names}
        self.registry.register_model([1], model, attachments={**kept, name: b""})


class TestGet(AbstractFixtures, AbstractGetTests):  # type: ignore[misc]  # fsspec has no types
    """fsspec's suite for copying out; what it wants to find is registered as attachments instead of written."""

    @pytest.fixture
    def fs(self, tmp_path: Path) -> FridayFileSystem:
        """Return the file system of a registry that is not there yet."""
        return Scripted(str(tmp_path / "models"), skip_instance_cache=True)

    @pytest.fixture
    def fs_path(self) -> str:
        """Return the model below which everything stands."""
        return "scenario"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        """Paths are joined by slashes."""
        return posixpath.join

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        """A folder is there for the files in it."""
        return False

    def _made(self, fs: FridayFileSystem, local: Any, make: Callable[..., str], folder: Path) -> Iterator[str]:
        source = Path(make(local, lambda *parts: "/".join(map(str, parts)), str(folder)))
        files = [path for path in sorted(source.rglob("*")) if path.is_file()]
        attached = {f"source/{path.relative_to(source)}": path for path in files}
        fs.registry.register_model([1], "scenario", attachments=attached)
        yield "scenario/source"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, fs: FridayFileSystem, local_fs: Any, tmp_path: Path) -> Iterator[str]:
        """Return the scenario of many files."""
        yield from self._made(fs, local_fs, self._bulk_operations_scenario_0, tmp_path / "made")

    @pytest.fixture
    def fs_glob_edge_cases_files(self, fs: FridayFileSystem, local_fs: Any, tmp_path: Path) -> Iterator[str]:
        """Return the scenario of patterns."""
        yield from self._made(fs, local_fs, self._glob_edge_cases_files, tmp_path / "made")

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(
        self, fs: FridayFileSystem, local_fs: Any, tmp_path: Path
    ) -> Iterator[str]:
        """Return the scenario of names that begin alike."""
        yield from self._made(fs, local_fs, self._dir_and_file_with_same_name_prefix, tmp_path / "made")

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, fs: FridayFileSystem, local_fs: Any, tmp_path: Path) -> Iterator[str]:
        """Return the scenario of lists."""
        yield from self._made(fs, local_fs, self._10_files_with_hashed_names, tmp_path / "made")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    """Return a registry with a table attached to two versions, which is the default one."""
    FRAME.to_parquet(tmp_path / "table.parquet")
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    attached: dict[str, Path | bytes] = {
        "table.csv": tmp_path / "table.csv",
        "deep/table.parquet": tmp_path / "table.parquet",
        "a@b.txt": b"at",
    }
    registry = ModelRegistry(tmp_path / "models", plugins=Plugins(()))
    registry.register_model([1], "ohlc", attachments=attached, aliases=["prod"])
    registry.register_model([2], "team/deep/ohlc", attachments=attached, aliases=["prod"])
    registry.register_model([3], "ohlc", attachments={"table.csv": b"close\n9\n"})
    monkeypatch.setenv("FRIDAY_STORE_URL", str(tmp_path / "models"))
    return registry


@pytest.mark.parametrize("model", ["ohlc@prod", "ohlc:1.0.0", "ohlc~1", "team/deep/ohlc", "team/deep/ohlc@prod"])
def test_pandas_and_pyarrow_open_them_by_url(models: ModelRegistry, model: str, tmp_path: Path) -> None:
    """A table is read by its URL, through a cache too, whatever the revision, and pyarrow takes the file system."""
    url, options = f"friday://{model}", {"registry": str(tmp_path / "models")}
    assert FRAME.equals(pd.read_csv(f"{url}/table.csv"))
    assert FRAME.equals(pd.read_csv(f"{url}/table.csv", storage_options=options))
    assert FRAME.equals(pd.read_parquet(f"{url}/deep/table.parquet", storage_options=options))
    assert FRAME.equals(pd.read_csv(f"simplecache::{url}/table.csv", storage_options={"friday": options}))
    arrow = PyFileSystem(FSSpecHandler(FridayFileSystem(**options)))
    assert FRAME.equals(pq.read_table(f"{model}/deep/table.parquet", filesystem=arrow).to_pandas())
    with fsspec.open(f"{url}/a@b.txt") as file:
        assert b"at" == file.read()


def test_listing_and_ranges(models: ModelRegistry) -> None:
    """Models, revisions and folders list; ranges, globs and walks do what fsspec's do."""
    fs = fsspec.filesystem("friday", skip_instance_cache=True)
    assert ["ohlc", "team/deep/ohlc"] == fs.ls("", detail=False)
    assert ["ohlc@prod/a@b.txt", "ohlc@prod/deep", "ohlc@prod/table.csv"] == fs.ls("friday://ohlc@prod", detail=False)
    assert ["ohlc@prod/deep/table.parquet"] == fs.find("ohlc@prod/deep")
    assert ["ohlc@prod/table.csv"] == fs.glob("ohlc@prod/*.csv")
    assert b"los" == fs.cat_file("ohlc@prod/table.csv", 1, 4)
    assert (True, True, False) == (fs.isdir("ohlc@prod"), fs.isfile("ohlc/table.csv"), fs.exists("ohlc/none"))
    assert models.get_model_metadata("ohlc")["created_at"] == fs.modified("ohlc/table.csv")
    models.promote("ohlc:1.0.1", "prod")
    assert b"close\n9\n" == fs.cat("ohlc@prod/table.csv")


@pytest.mark.parametrize("path", ["none/x", "ohlc/none", "ohlc@none/table.csv", "ohlc:9.9.9/table.csv", "ohlc/deep/x"])
def test_what_is_not_there(models: ModelRegistry, path: str) -> None:
    """A model, revision or file that is not there is a FileNotFoundError, as everywhere in fsspec."""
    fs = fsspec.filesystem("friday", skip_instance_cache=True)
    with pytest.raises(FileNotFoundError):
        fs.cat_file(path)
    with pytest.raises(FileNotFoundError):
        fs.ls(path)


def test_nothing_can_be_written(models: ModelRegistry, tmp_path: Path) -> None:
    """Every way to write is refused."""
    fs = fsspec.filesystem("friday", skip_instance_cache=True)
    (tmp_path / "x").write_bytes(b"x")
    attempts: list[Callable[[], object]] = [
        lambda: fs.open("ohlc/new.txt", "wb"),
        lambda: fs.pipe_file("ohlc/new.txt", b"x"),
        lambda: fs.rm("ohlc/table.csv"),
        lambda: fs.put_file(str(tmp_path / "x"), "ohlc/x"),
        lambda: fs.mkdir("ohlc/new"),
        lambda: fs.touch("ohlc/new"),
        lambda: fs.cp_file("ohlc/table.csv", "ohlc/copy.csv"),
        lambda: fs.mv("ohlc/table.csv", "ohlc/copy.csv"),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionError):
            attempt()
    assert {"table.csv": 8} == models.attachments("ohlc")
