"""The formats of plugins/ beside the file functions of their frameworks, in one process; run it in .venv-plugins.

Ours is a registration and a load by digest, through a registry that compresses nothing, as their files do not, and
through one that decides by itself (``compressed``); theirs is one file, with and without seeing it on disk. A save
begins with the disk at rest, a load with everything in the page cache. Both sides get the same object. Beside the time
on the clock stands that of the processor, which a busy machine does not stretch.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from friday_store import ModelRegistry
from tests.benchmarks.measure import settle, timed
from tests.benchmarks.rounds import Measures, Round

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Setting


class Case(NamedTuple):
    """A model and the functions that its framework has for files.

    Attributes:
        model: The model.
        save: Writes it to a path.
        load: Reads it from there.
        suffix: Of the file.
    """

    model: Any
    save: Callable[[Any, str], Any]
    load: Callable[[str], Any]
    suffix: str


def _torch(setting: Setting) -> Case:
    """Return a state dictionary of 400 MB."""
    import torch

    state = {f"layer.{place}": torch.from_numpy(array) for place, array in enumerate(_arrays(setting))}
    return Case(state, torch.save, partial(torch.load, weights_only=True), ".pt")


def _torch_module(setting: Setting) -> Case:
    """Return a module of 400 MB."""
    import torch

    layers = [torch.nn.Linear(1_024, 1_024) for _ in range(10 if setting.quick else 100)]
    return Case(torch.nn.Sequential(*layers), torch.save, partial(torch.load, weights_only=False), ".pt")


def _safetensors(setting: Setting) -> Case:
    """Return the same arrays as NumPy's."""
    from safetensors.numpy import load_file, save_file

    return Case({f"layer.{place}": array for place, array in enumerate(_arrays(setting))}, save_file, load_file, ".st")


def _keras(setting: Setting) -> Case:
    """Return a network of 100 MB."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    wide = [keras.layers.Dense(1_024) for _ in range(3 if setting.quick else 25)]
    model = keras.Sequential([keras.Input((1_024,)), *wide])
    return Case(model, lambda each, path: each.save(path), keras.saving.load_model, ".keras")


def _onnx(setting: Setting) -> Case:
    """Return a network of 100 MB."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = _arrays(setting)[: 3 if setting.quick else 25]
    names = ["X", *(f"h{place}" for place in range(len(arrays)))]
    nodes = [helper.make_node("MatMul", [names[p], f"w{p}"], [names[p + 1]]) for p in range(len(arrays))]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1_024])] for name in (names[0], names[-1])]
    weights = [numpy_helper.from_array(array, f"w{place}") for place, array in enumerate(arrays)]
    return Case(helper.make_model(helper.make_graph(nodes, "wide", *ends, weights)), onnx.save, onnx.load, ".onnx")


def _xgboost(setting: Setting) -> Case:
    """Return a booster of deep trees."""
    import xgboost

    features, labels = _table()
    params = {"max_depth": 10, "nthread": 2, "seed": 1}
    booster = xgboost.train(params, xgboost.DMatrix(features, labels), 20 if setting.quick else 300)
    return Case(booster, lambda each, path: each.save_model(path), lambda p: xgboost.Booster(model_file=p), ".ubj")


def _lightgbm(setting: Setting) -> Case:
    """Return a booster of wide trees."""
    import lightgbm

    features, labels = _table()
    params = {"num_leaves": 500, "num_threads": 2, "verbose": -1, "min_data_in_leaf": 5}
    booster = lightgbm.train(params, lightgbm.Dataset(features, labels), 20 if setting.quick else 300)
    return Case(booster, lambda each, path: each.save_model(path), lambda p: lightgbm.Booster(model_file=p), ".txt")


def _skops(setting: Setting) -> Case:
    """Return a random forest."""
    import skops.io
    from sklearn.ensemble import RandomForestRegressor

    features, labels = _table()
    forest = RandomForestRegressor(5 if setting.quick else 50, random_state=1, n_jobs=2).fit(features, labels)
    return Case(forest, skops.io.dump, lambda p: skops.io.load(p, skops.io.get_untrusted_types(file=p)), ".skops")


CASES: Final[dict[str, Callable[[Setting], Case]]] = {
    "torch": _torch,
    "torch-module": _torch_module,
    "safetensors": _safetensors,
    "keras": _keras,
    "onnx": _onnx,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "skops": _skops,
}


def formats(setting: Setting) -> Round:
    """Save and load a model of each format, ours first in every other round."""
    cases = {name: make(setting) for name, make in CASES.items()}

    def measure(number: int) -> Measures:
        found: Measures = {}
        for name, case in cases.items():
            sides = (_ours, _theirs)[:: -1 if number % 2 else 1]
            for side in sides:
                folder = setting.folder(f"{name}-{number}")
                found |= {f"{name}, {what}": value for what, value in side(name, case, folder).items()}
                shutil.rmtree(folder)
        return found

    return measure


def _ours(name: str, case: Case, folder: Path) -> Measures:
    found = _through(ModelRegistry(str(folder / "raw"), compression="none"), name, case, "")
    return found | _through(ModelRegistry(str(folder / "auto")), name, case, ", compressed")


def _through(opened: ModelRegistry, name: str, case: Case, which: str) -> Measures:
    with closing(opened) as registry:
        registry.load_model(registry.register_model({"a": 1}, "warm"))
        settle()
        found, handle = _both(f"save{which}", partial(registry.register_model, case.model, "model", serializer=name))
        first, _ = timed(registry.load_model, handle)
        settle()
        load, _ = _both(f"load{which}", partial(registry.load_model, handle))
        return {**found, f"load first{which}": first, **load}


def _theirs(name: str, case: Case, folder: Path) -> Measures:
    del name
    path = str(folder / f"model{case.suffix}")
    settle()
    save, _ = _both("file save", partial(case.save, case.model, path))
    synced, _ = timed(_sync, path)
    case.load(path)
    load, _ = _both("file load", partial(case.load, path))
    return {**save, "file save, on disk": save["file save"] + synced, **load}


def _both(what: str, work: Callable[[], Any]) -> tuple[Measures, Any]:
    """Return the seconds of one call by the clock and of the processor, on all threads, and its result."""
    spent: list[float] = []

    def counted() -> Any:
        before = time.process_time()
        result = work()
        spent.append(time.process_time() - before)
        return result

    seconds, result = timed(counted)
    return {what: seconds, f"{what}, processor": spent[0]}, result


def _sync(path: str) -> None:
    for place in (path, str(Path(path).parent)):
        descriptor = os.open(place, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _arrays(setting: Setting) -> list[Any]:
    random = np.random.default_rng(7)
    return [random.standard_normal((1_024, 1_024), dtype=np.float32) for _ in range(10 if setting.quick else 100)]


def _table() -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    features = random.random((20_000, 20), dtype=np.float32)
    return features, features[:, 0] + features[:, 1] * random.random(20_000)


WORKLOADS: Final = {"formats": formats}
