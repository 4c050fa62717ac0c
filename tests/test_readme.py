"""What the README prints runs as it is printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import Ridge

from friday_store import MarketDataModelTrainer, hookspecs
from friday_store.cli import cli
from friday_store.market.features import prepare_ohlcv, write_processed
from tests.servers.fixtures import Served

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(mark: str) -> list[str]:
    """Return the code blocks that follow a mark."""
    return re.findall(rf"<!-- {mark} -->\n```\w+\n(.*?)\n```", README, re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a registry of its own."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("FRIDAY_STORE_URL", str(work / "registry"))
    return work


def bars(rows: int) -> pd.DataFrame:
    """Return daily bars of a random walk."""
    steps = np.random.default_rng(0).standard_normal(rows) / 100
    close = 100 * np.exp(steps.cumsum())
    frame = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6})
    return frame.set_index(pd.date_range("2020-01-01", periods=rows, freq="D", name="date"))


def test_the_python_blocks_run(place: Path) -> None:
    """The Python of the README runs in order, its assertions hold, and commands then show what is printed there.

    Numbers and digests are left out of the comparison: libraries of other versions differ in their last digits.
    """
    found = blocks("python")
    assert len(found) >= 3
    space: dict[str, object] = {}
    # as the entry point does, which an editable install that is older than it does not know
    fsspec.register_implementation("friday", "friday_store.filesystem.FridayFileSystem", clobber=True)
    for block in found:
        exec(compile(block, "README.md", "exec"), space)
    shown = re.findall(r"<!-- shown: (.*?) -->\n```text\n(.*?)\n```", README, re.DOTALL)
    assert len(shown) == 2
    for command, printed in shown:
        line = ["--registry", str(place / "models"), "--format", "human", *shlex.split(command)]
        result = CliRunner().invoke(cli, line)
        assert (0, _without_numbers(printed)) == (result.exit_code, _without_numbers(result.stdout)), command

    _commands_run(place)


def _commands_run(place: Path) -> None:
    """Run every line of the blocks of commands, in order, on the registry of the Python blocks."""
    lines = [line for block in blocks("commands") for line in block.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        words = shlex.split(line, comments=True)
        result = CliRunner().invoke(cli, ["--registry", str(place / "models"), *words[1:]])
        assert 0 == result.exit_code, f"{line}: {result.stderr}"


def _without_numbers(text: str) -> list[list[str]]:
    """Return the words of each line, with a mark for each number and digest."""
    mark = re.compile(r"[0-9a-f]{12}|[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?")
    return [mark.sub("#", line).split() for line in text.splitlines()]


def test_the_tour_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of the two-minute tour succeeds, and what it fetches is what was stored."""
    monkeypatch.delenv("FRIDAY_STORE_URL")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    [tour] = blocks("tour")
    for line in tour.splitlines():
        result = subprocess.run(
            ["bash", "-c", line.removeprefix("$ ")], cwd=place, capture_output=True, text=True, check=False
        )
        assert (0, "") == (result.returncode, result.stderr if result.returncode else ""), line
    assert '{"threshold": 0.7}' == (place / "old-rules.json").read_text().strip()


def test_seed_register_and_load(place: Path) -> None:
    """The seed's first two examples run as they are."""
    model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    space: dict[str, object] = {"my_model": model}
    for mark in ("seed: register", "seed: load"):
        [block] = blocks(mark)
        exec(compile(block, "README.md", "exec"), space)
    loaded = space["model"]
    assert isinstance(loaded, Ridge)
    assert model.coef_ == loaded.coef_
    assert (place / "registry" / "friday-store.json").exists()


def test_seed_predict(place: Path) -> None:
    """The seed's third example loads the model that was trained for it."""
    write_processed(prepare_ohlcv(bars(320)), place / "data" / "processed", "AAPL", "1d")
    MarketDataModelTrainer().train_models_for_symbol(
        "AAPL", target_types=["next_close"], forecast_horizons=[1], model_types=["random_forest"]
    )
    [block] = blocks("seed: predict")
    space: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), space)
    assert hasattr(space["model"], "predict")


def test_seed_train(place: Path) -> None:
    """The seed's fourth example gives a row for all 24 combinations; the hourly ones are skipped with the reason."""
    write_processed(prepare_ohlcv(bars(280)), place / "data" / "processed", "AAPL", "1d")
    [block] = blocks("seed: train")
    space: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), space)
    results = list(space["results"])  # type: ignore[call-overload]
    assert [24, 12, 12] == [len(results), *(sum(r.status == s for r in results) for s in ("trained", "skipped"))]
    assert all("no file" in row.reason for row in results if row.status == "skipped")


def test_each_promise_names_tests_that_are_there() -> None:
    """Each file in the table of promises exists, and those with a star have a long form."""
    table = README.partition("### What is promised, and how it is tested")[2].partition("### Limits")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) > 20
    for row in rows:
        folder = ""
        for name, star in re.findall(r"`([\w/.]+)`( \*)?", row):
            path = ROOT / "tests" / (name if "/" in name else f"{folder}/{name}")
            folder = folder if "/" not in name else name.rpartition("/")[0]
            assert path.exists(), name
            assert not star or "mark.slow" in path.read_text(), name


def test_plugin_hooks_are_documented() -> None:
    """The README names every hook with its arguments, and no other."""
    documented = set(re.findall(r"^\| `(\w+\([\w, ]*\))` \|", README, re.MULTILINE))
    specified = set()
    for name in dir(hookspecs):
        function = getattr(hookspecs, name)
        if hasattr(function, "friday_store_spec"):
            arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
            specified.add(f"{name}({', '.join(arguments)})")
    assert specified == documented


def test_the_example_of_a_policy_holds(tmp_path: Path) -> None:
    """The policy lets one of three versions become production: the one that is good enough and signed by who may."""
    script = ROOT / "examples" / "policy_production.py"
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ["1.0.0", "1.0.1", "1.0.2"] == re.findall(r"1\.0\.\d", done.stdout)
    assert ["refused", "refused", "production"] == [line.split()[0].strip(":") for line in done.stdout.splitlines()]


def _written(options: Mapping[str, Any], before: str = "") -> list[str]:
    """Return options as one writes them on a command line."""
    found = []
    for key, value in options.items():
        if isinstance(value, Mapping):
            found += _written(value, f"{before}{key}.")
        else:
            found.append(f"{before}{key}={value if isinstance(value, str) else json.dumps(value)}")
    return found


def test_the_bucket_of_the_example_can_be_one(s3: Served, tmp_path: Path) -> None:
    """The example of two machines does the same with a bucket of a real S3 server."""
    script = ROOT / "examples" / "two_machines_and_a_bucket.py"
    options = _written(s3.options)
    done = subprocess.run(
        [sys.executable, script, s3.url, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert "bob: refused" in done.stdout
    assert done.stdout.endswith("ann has 1.0.1 in production: 1.0.1\nbetween ann and the bucket: nothing\n")


def test_the_example_of_monitoring_acts(tmp_path: Path) -> None:
    """The drift is seen once, a new version takes over, and the picture is drawn."""
    script = ROOT / "examples" / "monitor_over_time.py"
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "demand:1.0.0 drifted; trained anew" in done.stdout
    assert 1 == done.stdout.count("drifted")
    assert (tmp_path / "monitor.png").read_bytes().startswith(b"\x89PNG")


def test_the_readme_is_in_order() -> None:
    """The README is a tutorial, how-to guides, a reference and an explanation, in this order, and not too long."""
    heads = [line[3:] for line in README.splitlines() if line.startswith("## ")]
    assert ["Tutorial", "How-to guides", "Reference", "Explanation", "License"] == heads
    assert len(README.splitlines()) < 1000
    anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
    assert set(re.findall(r"\]\(#([\w-]+)\)", README)) <= anchors


def test_the_example_of_a_plugin_is_short() -> None:
    """A complete plugin takes less than 40 lines."""
    lines = (ROOT / "examples" / "plugin_rules.py").read_text().splitlines()
    assert 40 > len([line for line in lines if line.strip()])


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(script: Path, tmp_path: Path) -> None:
    """Every script in ``examples/`` runs and says something."""
    result = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (0, "") == (result.returncode, result.stderr)
    assert result.stdout
