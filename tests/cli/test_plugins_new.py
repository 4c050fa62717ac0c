"""A new plugin is a package whose tests pass at once, in an environment that has never seen it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a new virtual environment, which sees what is installed here and nothing more."""
    folder = tmp_path_factory.mktemp("new") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (folder / os.path.relpath(packages, folder) / "here.pth").write_text(line)
    return folder / "bin" / "python"


@pytest.mark.parametrize("kind", ["serializer", "target", "trainer", "tuner"])
def test_a_new_plugin_passes_its_tests(kind: str, python: Path, tmp_path: Path, run: Run) -> None:
    """What ``plugins new`` writes installs, is found by its entry point, and passes the suite of the kit."""
    made = json.loads(run("plugins", "new", f"my-{kind}", "--kind", kind, "--into", str(tmp_path), "--json").stdout)
    root = tmp_path / f"friday-store-my-{kind}"
    assert (str(root), f"my-{kind}") == (made["path"], made["name"])
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(root)]
    subprocess.run(pip, check=True, capture_output=True, timeout=200)
    environment = {name: value for name, value in os.environ.items() if name != "FRIDAY_STORE_PLUGINS"}
    options = {"cwd": root, "capture_output": True, "text": True, "timeout": 250, "env": environment}
    done = subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider"], check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [python, "-c", "from friday_store.cli import main; main()", "plugins", "ls", "--json"]
    done = subprocess.run(shown, check=True, **options)  # type: ignore[call-overload]
    reports = {report["name"]: report for report in json.loads(done.stdout)}
    assert (f"friday-store-my-{kind}", []) == (reports[f"my_{kind}"]["package"], reports[f"my_{kind}"]["errors"])


@pytest.mark.parametrize("name", ["Upper", "a b", "../up", "-a", "a--b", "", "ä"])
def test_a_name_that_cannot_be(name: str, tmp_path: Path, run: Run) -> None:
    """A name that is no package's is refused, and nothing is written."""
    assert run("plugins", "new", "--into", str(tmp_path / "x"), "--", name).exit_code == 2
    assert not (tmp_path / "x").exists()


def test_what_is_there_is_left_alone(tmp_path: Path, run: Run) -> None:
    """A folder that exists is not written into."""
    (tmp_path / "friday-store-mine").mkdir()
    assert run("plugins", "new", "mine", "--into", str(tmp_path)).exit_code == 4
    assert [] == list((tmp_path / "friday-store-mine").iterdir())
