"""The files in which remotes stand: what is read, what is kept, and who can read them."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from friday_store.errors import InvalidValueError, StorageError
from friday_store.repository.config import FILE, LOCAL, change_remotes, keep_out_of_git, read_config, read_remotes

TEXT = """\
# mine
compression = "none"  # maps

[remotes.origin]
url = "s3://bucket/models"  # the team's

[remotes.origin.options]
endpoint_url = "http://127.0.0.1:1"
"""


def named(name: str, url: str) -> Callable[[MutableMapping[str, Any]], None]:
    """Return a change that sets one remote."""

    def change(tables: MutableMapping[str, Any]) -> None:
        tables[name] = {"url": url, "options": {"client_kwargs": {"region_name": "eu"}}}

    return change


def test_a_change_keeps_the_rest(tmp_path: Path) -> None:
    """Comments, settings and other remotes stay byte for byte; what was written is what is read."""
    path = tmp_path / FILE
    path.write_text(TEXT)
    change_remotes(path, named("lab.eu", "gs://lab"))
    assert path.read_text().startswith(TEXT)
    expected = {"url": "gs://lab", "options": {"client_kwargs": {"region_name": "eu"}}}
    assert expected == read_remotes(path)["lab.eu"]
    assert {"origin": "s3://bucket/models", "lab.eu": "gs://lab"} == read_config(tmp_path).remotes
    change_remotes(path, lambda tables: tables.__delitem__("lab.eu"))
    assert TEXT.split() == path.read_text().split()


@pytest.mark.parametrize("name", [FILE, LOCAL])
def test_files_are_private_from_the_start(tmp_path: Path, name: str) -> None:
    """Whatever mode the file had, it is 0600 afterwards, and no temporary file is left beside it."""
    path = tmp_path / "below" / name
    change_remotes(path, named("a", "s3://a"))
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o666)
    change_remotes(path, named("b", "s3://b"))
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [name] == [child.name for child in path.parent.iterdir()]


def test_no_file_is_made_for_nothing(tmp_path: Path) -> None:
    """A change that changes nothing makes no file."""
    change_remotes(tmp_path / FILE, lambda tables: tables.pop("absent", None))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "remotes = 1", "remotes.x = 1", "remotes.x.url = 1", "remotes.x.partial = 1", 'remotes.x.single_writer = "no"',
        "remotes.x.options = []", "remotes.x.probe = true", "= broken",
    ],
)  # fmt: skip
def test_files_that_cannot_be(tmp_path: Path, text: str) -> None:
    """A remote's setting of another kind is named, and a change leaves the broken file as it is."""
    path = tmp_path / LOCAL
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=LOCAL):
        read_remotes(path)
    with pytest.raises(InvalidValueError, match=LOCAL):
        change_remotes(path, named("a", "s3://a"))
    assert text == path.read_text()


def test_what_toml_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A value that TOML has no word for is a typed error, and nothing is written."""
    with pytest.raises(InvalidValueError, match=FILE):
        change_remotes(tmp_path / FILE, lambda tables: tables.update({"a": {"url": "s3://a", "options": {"x": None}}}))
    assert [] == list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be is a typed error."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        change_remotes(tmp_path / "file" / FILE, named("a", "s3://a"))


_ADD = """
import sys
from pathlib import Path
from friday_store.repository.config import change_remotes
for number in range(10):
    name = f"{sys.argv[2]}-{number}"
    change_remotes(Path(sys.argv[1]), lambda tables: tables.__setitem__(name, {"url": "s3://" + name}))
"""


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Processes that change the file at the same time take turns: every change is there."""
    path = tmp_path / FILE
    writers = [subprocess.Popen([sys.executable, "-c", _ADD, str(path), name]) for name in ("a", "b", "c")]
    assert [0, 0, 0] == [writer.wait(60) for writer in writers]
    assert {f"{name}-{number}" for name in "abc" for number in range(10)} == set(read_remotes(path))


def test_git_is_told_what_to_ignore(tmp_path: Path) -> None:
    """Git does not see the local file, index or what is remembered of remotes; lines of others stay."""
    root = tmp_path / ".friday"
    (root / "remotes").mkdir(parents=True)
    (root / ".gitignore").write_text("*.bak")
    for name in (FILE, LOCAL, "index.db", "index.db-wal", "remotes/origin.json", "old.bak"):
        (root / name).write_text("x")
    keep_out_of_git(root)
    keep_out_of_git(root)
    assert ["*.bak", LOCAL] == (root / ".gitignore").read_text().splitlines()[:2]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    seen = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert [".friday/.gitignore", ".friday/config.toml"] == seen.stdout.splitlines()


def test_a_planted_gitignore_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in its place is refused, and what it points at stays."""
    (tmp_path / "outside").write_text("mine")
    (tmp_path / ".gitignore").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="symbolic link"):
        keep_out_of_git(tmp_path)
    assert "mine" == (tmp_path / "outside").read_text()
