"""friday_store's services: a loader that has the model, two versions side by side, what differs in two forests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from friday_store import ModelLoader, ModelOperations
from tests.benchmarks.measure import settle, timed
from tests.benchmarks.rounds import Measures, Round
from tests.benchmarks.workloads import forests, small_models

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Setting

_HITS: Final = 2_000
_COMPARISONS: Final = 50
_NAMES: Final = 100


def services(setting: Setting) -> Round:
    """Ask a loader for what it has, and compare two versions, in a registry of many; diff two forests.

    The forests are fully grown: the second has a twentieth more trees, the third other values in a hundredth of the
    trees. What was read is counted in bytes of both models, uncompressed.
    """
    operations = ModelOperations(str(setting.folder("registry")))
    operations.register_models(
        {"model": model, "model_name": f"model-{place % _NAMES}", "metrics": {"rmse": place, "r2": 1 / (place + 1)}}
        for place, model in enumerate(small_models(setting.versions, seed=0))
    )
    first, more = forests(setting)
    operations.register_models({"model": model, "model_name": "forest"} for model in (first, more))
    operations.register_model(_other_values(first), "forest", parents=["forest:1.0.0"])
    del first, more
    loader = ModelLoader(operations)
    loader.warm(["model-1"])

    def measure(number: int) -> Measures:
        settle()
        hits, _ = timed(_hit, loader)
        compared, _ = timed(_compared, operations, number)
        found = {"loader hit": hits / _HITS, "compare": compared / _COMPARISONS}
        for what, version in (("more trees", "1.0.1"), ("other values", "1.0.2")):
            seconds, diff = timed(operations.diff_models, "forest", "1.0.0", version)
            assert diff.trees is not None
            assert diff.trees.same == setting.trees - (_few(setting.trees) if what == "other values" else 0)
            found[f"diff, {what}"] = seconds
            found[f"share read, {what}"] = diff.bytes_read / (diff.size_before + diff.size_after)
        return found

    return measure


def _few(trees: int) -> int:
    return max(trees // 100, 1)


def _hit(loader: ModelLoader) -> None:
    for _ in range(_HITS):
        loader.load_model("model-1", copy=False)


def _compared(operations: ModelOperations, number: int) -> None:
    for place in range(_COMPARISONS):
        name = f"model-{(number * _COMPARISONS + place) % _NAMES}"
        operations.compare_models(name, f"{name}~1")


def _other_values(forest: Any) -> Any:
    """Return the forest with twice the values in a hundredth of its trees."""
    for tree in forest.estimators_[:: len(forest.estimators_) // _few(len(forest.estimators_))]:
        tree.tree_.value[...] *= 2
    return forest


WORKLOADS: Final = {"services": services}
