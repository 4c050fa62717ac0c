"""The main job, on real prices."""

from __future__ import annotations

from pathlib import Path

import pytest

from friday_store import InvalidValueError, ModelRegistry, RepositoryError
from friday_store.cli import demo


def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    """Features, two evenings of training, a decision about production, a forecast, and a second registry in step."""
    lines: list[str] = []
    demo.run(str(tmp_path / "demo"), fast=True, say=lines.append)
    report = "\n".join(lines)
    assert [4, 1] == [report.count("AAPL  price_direction"), report.count("loaded in")]
    assert 4 == report.count("usable rows, fewer than the 200 needed")
    assert "close to a coin toss" in report
    assert "pushed again: 0 objects" in report
    with ModelRegistry(tmp_path / "demo") as registry, ModelRegistry(tmp_path / "demo" / "backup") as backup:
        assert ["AAPL_1d_price_direction_1_random_forest", "AAPL_1d_price_direction_1_ridge"] == registry.model_names()
        for name in registry.model_names():
            newest, oldest = registry.get_model_versions(name)
            assert [oldest["model_id"]] == newest["parents"]
            assert {"accuracy", "baseline_accuracy", "skill", "log_loss", "roc_auc"} <= newest["metrics"].keys()
            assert {"digest", "rows"} <= newest["training_data"].keys()
            assert newest["model_id"] == backup.get_model_metadata(name)["model_id"]
            decision = newest["evaluation"]["promotion"]
            assert decision["reason"] in report
            assert decision["promoted"] == ("production" in newest["aliases"])
            assert decision["promoted"] <= (decision["scores"]["candidate"] > decision["scores"]["naive"] == 0.5)
        assert [] == registry.fsck() == backup.fsck()


def test_the_demo_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    """A folder in use and an unknown symbol are refused, and nothing is written."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    with pytest.raises(RepositoryError, match="not empty"):
        demo.run(str(tmp_path / "kept"), fast=True)
    with pytest.raises(InvalidValueError, match="no symbol 'TSLA'; there are AAPL"):
        demo.run(str(tmp_path / "new"), symbols=["TSLA"])
    assert not (tmp_path / "new").exists()
