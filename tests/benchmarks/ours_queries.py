"""Questions to a registry of many versions, warm, in one process, and what starting costs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from friday_store import ModelOperations
from friday_store.plugins import Plugins
from tests.benchmarks.measure import import_seconds, median_of
from tests.benchmarks.queries import make, questions
from tests.benchmarks.rounds import Measures, Round

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Setting

_ASKED: Final = {
    "latest": "latest version of a model",
    "page by tag": "page of 50 by a tag that 1 in 100 has",
    "page by a tag of many": "page of 50 by a tag that 1 in 5 has",
    "best by metric": "best of all by metric",
    "two tags and a bound": "two tags, a bound and an order",
    "two tags of many and a bound": "... both wide",
    "a parameter": "a parameter, counted through all",
}


def queries(setting: Setting) -> Round:
    """Ask a registry that is made on first use and kept in the cache."""
    registry = _opened(_made(setting))
    asked = {what: questions(registry)[question] for what, question in _ASKED.items()}
    for ask in asked.values():
        ask()

    def measure(number: int) -> Measures:
        del number
        return {what: median_of(ask, 15) for what, ask in asked.items()}

    return measure


def _made(setting: Setting) -> Path:
    """Return the folder of the registry in the cache; one that was not finished is not there."""
    folder = Path(setting.cache, f"crowd-{setting.crowd}")
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        with _opened(unfinished) as registry:
            make(registry, setting.crowd)
        unfinished.rename(folder)
    return folder


def _opened(folder: Path) -> ModelOperations:
    return ModelOperations(folder, plugins=Plugins(()), actor="bench")


def imports(setting: Setting) -> Round:
    """Import the package, and what opens a registry, each in a process of its own."""
    del setting
    return lambda number: {
        "import": import_seconds("friday_store"),
        "import, a registry": import_seconds("friday_store.registry"),
    }


WORKLOADS: Final = {"queries": queries, "imports": imports}
