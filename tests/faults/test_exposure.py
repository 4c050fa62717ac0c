"""Who can read and write what, links that lead elsewhere, and what reading imports."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from friday_store import FridayStoreError, ModelRegistry
from tests.faults import stored
from tests.faults.crew import ROOT, Crew
from tests.faults.worker import content


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_modes(crew: Crew, tmp_path: Path, home: Path, umask: int) -> None:
    """S9: whatever the umask, folders are 0700 and files 0600, or 0444 where they never change."""
    root, other = tmp_path / "registry", tmp_path / "other"
    assert crew.run("used", tmp_path / "said", root=root, umask=umask, other=other) == 0
    wrong = []
    for top in (root, other, home):
        for path in [top, *top.rglob("*")]:
            found = path.lstat()
            mode = stat.S_IMODE(found.st_mode)
            allowed = (0o700,) if stat.S_ISDIR(found.st_mode) else (0o600, 0o444)
            if mode not in allowed:
                wrong.append(f"{path.relative_to(tmp_path)} {mode:o}")
    assert wrong == []
    assert len(list(root.rglob("*"))) > 10


_PLACES = (
    "friday-store.json", "packs", "log", "checkpoints", "log/0000000000", "packs/*.pack", "log/0000000000/002",
    "index.db", "index.db-wal", "writers.lock", "config.toml", "remotes", "remotes/other",
    "remotes/other/state.json", "remotes/other/refs.db", "remotes/other/lock",
)  # fmt: skip


def _tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file below a folder: bytes and time."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"", path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def _commands(registry: ModelRegistry, other: Path, attempt: int) -> list[Callable[[], object]]:
    return [
        registry.list_models,
        lambda: registry.load_model("m:1.0.0"),
        lambda: registry.register_model(content(attempt + 10), "m"),
        lambda: registry.add_remote(f"another{attempt}", other),
        lambda: registry.pull("other"),
        registry.fsck,
    ]


@pytest.mark.parametrize("dangling", [False, True], ids=["real", "dangling"])
@pytest.mark.parametrize("place", _PLACES)
def test_planted_links_are_not_followed(tmp_path: Path, place: str, dangling: bool) -> None:
    """S9: a symbolic link in a registry is never followed: nothing outside is written, or read as the registry's."""
    root, outside, other = tmp_path / "registry", tmp_path / "outside", tmp_path / "other"
    with stored.opened(other) as registry:
        registry.register_model(content(7), "n")
    with stored.opened(root) as registry:
        registry.register_model(content(0), "m", tags=["t"])
        registry.register_model(content(1), "m")
        registry.add_remote("other", other)
        registry.pull("other")
        registry.repository.log.checkpoint(registry.repository.index.seq)
    outside.mkdir()
    planted = next(root.glob(place)) if place != "index.db-wal" else root / place
    target = outside / planted.name
    if planted.exists():
        planted.rename(target)
    if dangling:
        target = outside / "nothing"
    planted.symlink_to(target)
    before = _tree(outside)
    for attempt in range(2):
        with contextlib.suppress(FridayStoreError), stored.opened(root) as registry:
            for command in _commands(registry, other, attempt):
                with contextlib.suppress(FridayStoreError):
                    command()
    assert _tree(outside) == before
    assert not (outside / "nothing").exists()
    if place.partition("/")[0] in ("friday-store.json", "packs", "log"):
        assert stored.problems(root) != []


_IMPORTS = """
import sys
before = set(sys.modules)
from friday_store import ModelRegistry
from friday_store.plugins import Plugins
here, source = sys.argv[1:]
registry = ModelRegistry(here, plugins=Plugins(()))
registry.pull(source)
records = registry.list_models()
assert len(records) > 10
for record in records:
    registry.get_model_metadata(record["model_id"])
assert registry.fsck() == []
named = {"sklearn", "torch", "joblib", "pandas", "numpy", "scipy", "skops", "tests", "named_by_data"}
print(sorted(name for name in sys.modules if name.partition(".")[0] in named))
"""


def test_reading_imports_no_library_of_models(varied: tuple[Path, object], tmp_path: Path, home: Path) -> None:
    """S20: pull, list, show and fsck import no machine-learning library and nothing that data names."""
    root, _ = varied
    (tmp_path / "named_by_data.py").write_text("class Model:\n    pass\n")
    script = "from named_by_data import Model; from friday_store import ModelRegistry; import sys; "
    script += "ModelRegistry(sys.argv[1]).register_model(Model(), 'named', dependencies={'named_by_data': '1'})"
    environment = {**os.environ, "FRIDAY_STORE_HOME": str(home), "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, str(root)], check=True, env=environment, cwd=ROOT)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS, str(tmp_path / "here"), str(root)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "[]"
