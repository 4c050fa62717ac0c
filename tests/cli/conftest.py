"""A prepared registry, and ways to run the command line in it."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from friday_store import ModelRegistry
from friday_store.cli import cli
from friday_store.plugins import Plugins
from friday_store.trust import Identity

Run = Callable[..., Result]
Spawn = Callable[..., "subprocess.CompletedProcess[str]"]

ENTRY = [sys.executable, "-c", "from friday_store.cli import main; main()"]
_CLEARED = (
    "FRIDAY_STORE_URL", "FRIDAY_STORE_PLUGINS", "FRIDAY_STORE_DEBUG", "FRIDAY_STORE_ACTOR", "NO_COLOR", "FORCE_COLOR",
    "FRIDAY_STORE_INDEX", "CLICOLOR_FORCE", "PYTHONWARNINGS", "FRIDAY_STORE_PAGER", "PAGER", "LESS",
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of this user's, and an environment that says nothing else."""
    for name in _CLEARED:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(folder))
    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``home`` and ``work``: a registry, one in ``shared/team`` that is its origin, and some files."""
    root = tmp_path_factory.mktemp("prepared")
    work = root / "work"
    work.mkdir()
    before = os.environ.get("FRIDAY_STORE_HOME")
    os.environ["FRIDAY_STORE_HOME"] = str(root / "home")
    try:
        _fill(work)
    finally:
        os.environ.pop("FRIDAY_STORE_HOME")
        if before is not None:
            os.environ["FRIDAY_STORE_HOME"] = before
    return root


def _fill(work: Path) -> None:
    (work / "my-key.json").write_bytes(Identity(None).exported())
    (work / "model.pkl").write_bytes(pickle.dumps({"weights": list(range(50))}, protocol=5))
    (work / "model.onnx").write_bytes(b"\x08\x07onnx" * 20)
    (work / "rules.json").write_text('{"rsi": 14}')
    np.savez(work / "weights.npz", w=np.arange(12.0))
    none = Plugins(())
    with ModelRegistry(work / "shared" / "team", plugins=none) as team:
        team.register_model({"team": 1}, "team_model", metrics={"auc": 0.5}, tags=["shared"])
        team.export_models(work / "team.friday")
    with ModelRegistry(work / ".friday", plugins=none, actor="ann@lab") as registry:
        registry.register_model(
            {"weights": [1.0, 2.0]},
            "aapl_1d",
            "1.0.0",
            tags=["AAPL"],
            aliases=["production"],
            metrics={"auc": 0.55, "loss": float("nan")},
            description="first try",
        )
        second = registry.register_model(
            {"weights": [1.5, 2.5]},
            "aapl_1d",
            "1.1.0",
            tags=["AAPL", "1d"],
            aliases=["production"],
            metrics={"auc": 0.61},
            hyperparameters={"depth": 6},
            metadata={"note": "plain"},
            attachments={"card.md": b"# The second try\n"},
        )
        registry.register_model(np.arange(6.0), "weights_only", "0.1.0", serializer="numpy")
        registry.register_model({"gone": 1}, "gone", "1.0.0")
        registry.delete_model("gone")
        registry.protect("canary")
        registry.add_remote("origin", work / "shared" / "team")
        registry.trust.add("digests", second)


@pytest.fixture
def work(prepared: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The prepared folder, copied for one test; the test runs in it."""
    shutil.copytree(prepared / "home", home)
    folder = tmp_path / "work"
    shutil.copytree(prepared / "work", folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bars of ACME, raw and processed, and a registry of one model that was trained on them."""
    from friday_store.market import MarketDataModelTrainer
    from friday_store.market.features import prepare_ohlcv, write_processed

    root = tmp_path_factory.mktemp("trained")
    close = 100 * np.exp(np.random.default_rng(0).normal(0, 0.01, 300).cumsum())
    frame = pd.DataFrame({"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6})
    bars = frame.set_index(pd.date_range("2020-01-01", periods=300, name="date"))
    bars.to_csv(root / "acme.csv")
    write_processed(prepare_ohlcv(bars), root / "data" / "processed", "ACME", "1d")
    with pytest.MonkeyPatch.context() as patch, ModelRegistry(root / "market", plugins=Plugins(())) as registry:
        patch.setenv("FRIDAY_STORE_HOME", str(root / "home"))
        trainer = MarketDataModelTrainer(root / "data" / "processed", registry=registry)
        trainer.train_models_for_symbol("ACME", "1d", ["return", "price_direction"], 1, "ridge")
    return root


@pytest.fixture
def market(trained: Path, work: Path) -> Path:
    """The prepared folder with market data, a trusted registry ``market`` beside its own, and raw bars."""
    for name in ("market", "data"):
        shutil.copytree(trained / name, work / name)
    shutil.copy(trained / "acme.csv", work)
    with ModelRegistry(work / "market", plugins=Plugins(())) as registry:
        registry.trust.add("repositories", registry.repository.id)
    return work


@pytest.fixture
def run() -> Run:
    """Run a command line in this process; its stdout is not a terminal."""

    def running(*arguments: object, **settings: Any) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], **settings)

    return running


@pytest.fixture
def spawn() -> Spawn:
    """Run a command line in a process of its own."""

    def spawning(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [*ENTRY, *(str(argument) for argument in arguments)]
        return subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
        )

    return spawning


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a plugin called ``guest`` with the given source, for processes that are started."""

    def install(source: str) -> None:
        site = tmp_path / "site"
        info = site / "guest-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "guest.py").write_text(source)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[friday_store]\nguest = guest\n")
        monkeypatch.setenv("PYTHONPATH", str(site))

    return install
