"""friday_store, through its public registry and its command line only."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from contextlib import closing
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import friday_store
from friday_store import ModelRegistry
from tests.benchmarks import ours_formats, ours_local, ours_market, ours_memory, ours_queries, ours_s3, ours_services
from tests.benchmarks.measure import cpu_seconds, settle, timed
from tests.benchmarks.rounds import Measures, Round, big, forest, loop, middling, small
from tests.benchmarks.worker import Worker
from tests.benchmarks.workloads import Setting, small_models

if TYPE_CHECKING:
    from collections.abc import Iterator

Compression: TypeAlias = Literal["auto", "none"]

DURABILITY: Final = (
    "pack, log entry and their folders fsynced before register or push returns; index SQLite WAL, NORMAL"
)
_FACTS: Final[dict[str, Any]] = {"metrics": {"rmse": 0.1}, "tags": ["a", "b"]}
_NAMES: Final = 100


def versions() -> dict[str, str]:
    """Return the versions of what is measured."""
    libraries = {name: version(name) for name in ("scikit-learn", "numpy", "sqlalchemy", "zstandard")}
    return {"friday-store": friday_store.__version__, "python": platform.python_version()} | libraries


class Registry:
    """A registry in a folder of its own; every model is saved with a metric and two tags."""

    def __init__(self, folder: Path, compression: Compression = "auto") -> None:
        self.folder = folder
        self.registry = ModelRegistry(str(folder), compression=compression)

    def save(self, model: Any, name: str) -> str:
        """Register the next version of the name."""
        return self.registry.register_model(model, name, **_FACTS)

    def load(self, handle: str) -> Any:
        """Load by digest."""
        return self.registry.load_model(handle)

    def close(self) -> None:
        """Close the registry and remove its folder."""
        self.registry.close()
        shutil.rmtree(self.folder)


def _small(setting: Setting) -> Round:
    return small(Registry(setting.folder("registry")), setting)


def _loop(setting: Setting) -> Round:
    return loop(Registry(setting.folder("registry")), setting)


def _middling(setting: Setting) -> Round:
    return middling(_fresh(setting, "auto"), setting)


def _growth(setting: Setting) -> Round:
    """Register in a registry of 100 versions and in one of 10,000, call by call in turn.

    Both were filled by one registration after the other, over a hundred names.
    """
    few, many = Registry(setting.folder("few")), Registry(setting.folder("many"))
    for store, size in ((few, 100), (many, setting.versions)):
        for place, model in enumerate(small_models(size, seed=size)):
            store.save(model, f"grown-{place % _NAMES}")

    def measure(number: int) -> Measures:
        spent = {"few": 0.0, "many": 0.0}
        settle()
        for place, model in enumerate(small_models(setting.calls, seed=number + 1)):
            for side, store in (("few", few), ("many", many)):
                seconds, _ = timed(store.save, model, f"grown-{place}")
                spent[side] += seconds
        return {f"register, {side}": seconds / setting.calls for side, seconds in spent.items()}

    return measure


def _bulk(setting: Setting) -> Round:
    """Register ten thousand models in one transaction, then ask for one: the index must have caught up by then."""

    def register(store: Registry, items: list[dict[str, Any]]) -> str:
        store.registry.register_models(items)
        return store.registry.get_latest_version(items[-1]["model_name"])

    def measure(number: int) -> Measures:
        store = Registry(setting.folder("registry"))
        store.save(next(small_models(1, seed=0)), "warm")
        items = [item | {"model_name": f"bulk-{place}"} for place, item in enumerate(_items(setting.bulk, number + 1))]
        settle()
        seconds, _ = timed(register, store, items)
        store.close()
        return {"rate": setting.bulk / seconds}

    return measure


def _items(size: int, seed: int) -> Iterator[dict[str, Any]]:
    for model in small_models(size, seed):
        yield {"model": model, **_FACTS}


def _big(setting: Setting) -> Round:
    """The common work, and loads that verify anew, and a load in a process that has not seen the file."""
    return big(_fresh(setting, "auto"), setting, partial(_reloaded, setting))


def _reloaded(setting: Setting, store: Registry, handle: str) -> Measures:
    found = {}
    with closing(ModelRegistry(str(store.folder), verify="always")) as careful:
        careful.load_model("warm")
        found["load verified"], model = timed(careful.load_model, handle)
        del model
    inner = Setting(str(store.folder), setting.cache, setting.quick, handle)
    with Worker("ours", "reload", inner, home=setting.folder("home")) as other:
        found["load, other process"] = other.round(0)["load"]
    return found


def _reload(setting: Setting) -> Round:
    """Open an existing registry, load a small model so that imports are not measured, then load the big one."""
    registry = ModelRegistry(setting.scratch)
    registry.load_model("warm")

    def measure(number: int) -> Measures:
        seconds, model = timed(registry.load_model, setting.handle)
        del model
        return {"load": seconds}

    return measure


def _forest(setting: Setting) -> Round:
    """The common work without compression and then with the automatic rule."""
    plain = forest(_fresh(setting, "none"), setting, ", none")
    packed = forest(_fresh(setting, "auto"), setting, ", auto")
    return lambda number: plain(number) | packed(number)


def _fresh(setting: Setting, compression: Compression) -> Any:
    numbers = count()
    return lambda: Registry(setting.folder(f"{compression}-{next(numbers)}"), compression)


def _cli(setting: Setting) -> Round:
    """Processor time of whole commands, on registries of 10,000 versions: of 100 models, and of one each."""
    command = str(Path(sys.executable).with_name("friday-store"))
    if not os.access(command, os.X_OK):
        raise FileNotFoundError(f"{command} is not installed beside {sys.executable}")
    for name, models in (("deep", _NAMES), ("wide", setting.versions)):
        with closing(ModelRegistry(str(setting.folder(name)))) as registry:
            items = enumerate(_items(setting.versions, seed=0))
            registry.register_models([item | {"model_name": f"model-{place % models}"} for place, item in items])
    deep, wide = ([command, "--registry", setting.scratch + f"/{name}"] for name in ("deep", "wide"))
    commands = {"ls": [*deep, "ls"], "show": [*deep, "show", "model-1"], "ls, one version each": [*wide, "ls"]}

    def measure(number: int) -> Measures:
        found = {name: cpu_seconds(line) for name, line in commands.items()}
        return found | {"version": cpu_seconds([command, "--version"], 5)}

    return measure


WORKLOADS: Final = {
    "small": _small,
    "loop": _loop,
    "middling": _middling,
    "growth": _growth,
    "bulk": _bulk,
    "big": _big,
    "reload": _reload,
    "forest": _forest,
    "cli": _cli,
    **ours_local.WORKLOADS,
    **ours_s3.WORKLOADS,
    **ours_memory.WORKLOADS,
    **ours_services.WORKLOADS,
    **ours_market.WORKLOADS,
    **ours_formats.WORKLOADS,
    **ours_queries.WORKLOADS,
}
