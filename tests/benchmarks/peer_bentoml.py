"""BentoML's local model store: ``bentoml.sklearn.save_model`` and ``load_model``.

Run by the interpreter of BentoML's own environment, with the two labels and the metric that ours records. Usage
tracking is off: with it on every save builds a TLS client and posts an event, which takes ten times as long as
saving a small model (set ``BENTOML_DO_NOT_TRACK=false`` to see it).
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bentoml

from tests.benchmarks.measure import cpu_seconds, import_seconds
from tests.benchmarks.rounds import Round, big, forest, loop, one_by_one, small

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Setting

DURABILITY: Final = "none: nothing is fsynced"
_FACTS: Final[dict[str, Any]] = {"labels": {"a": "", "b": ""}, "metadata": {"rmse": 0.1}}


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    return {name: version(name) for name in ("bentoml", "scikit-learn", "joblib", "numpy")}


class Models:
    """The model store below the home folder, where BentoML puts it; the handle is the tag."""

    def __init__(self) -> None:
        self.folder = Path.home() / "bentoml" / "models"
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, model: Any, name: str) -> str:
        """Save under a version that BentoML makes up."""
        return str(bentoml.sklearn.save_model(name, model, **_FACTS).tag)

    def load(self, handle: str) -> Any:
        """Load by tag."""
        return bentoml.sklearn.load_model(handle)

    def close(self) -> None:
        """Remove all models."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()


def _small(setting: Setting) -> Round:
    return small(Models(), setting)


def _loop(setting: Setting) -> Round:
    return loop(Models(), setting)


def _bulk(setting: Setting) -> Round:
    return one_by_one(Models(), setting.bulk // 100)


def _big(setting: Setting) -> Round:
    return big(Models, setting)


def _forest(setting: Setting) -> Round:
    return forest(Models, setting)


def _cli(setting: Setting) -> Round:
    del setting
    command = [os.fspath(Path(sys.executable).with_name("bentoml")), "--version"]
    return lambda number: {"version": cpu_seconds(command)}


def _imports(setting: Setting) -> Round:
    del setting
    return lambda number: {"import": import_seconds("bentoml")}


WORKLOADS: Final = {
    "small": _small,
    "loop": _loop,
    "bulk": _bulk,
    "big": _big,
    "forest": _forest,
    "cli": _cli,
    "imports": _imports,
}
