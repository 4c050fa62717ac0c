"""The work of one round, written once for every side that can save a model and load it again.

A round returns what it measured by name: seconds unless the name says bytes, share, peak or rate. All sides use the
same names for the same work, so that the table can put them side by side.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from tests.benchmarks import payloads
from tests.benchmarks.measure import folder_bytes, peak, settle, timed, touch
from tests.benchmarks.workloads import Layers, big_model, forests, same, small_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.benchmarks.workloads import Setting

Measures: TypeAlias = dict[str, float]
Round: TypeAlias = "Callable[[int], Measures]"
_ONE: Final = 3  # single pushes in a round


class Store(Protocol):
    """What is measured: somewhere a model is saved under a name and loaded from again."""

    folder: Path

    def save(self, model: Any, name: str) -> str:
        """Save the model as the next version of the name, as durably as this side does; return a handle to it."""

    def load(self, handle: str) -> Any:
        """Return the model that was saved."""

    def close(self) -> None:
        """Release what is open and remove all files."""


def small(store: Store, setting: Setting) -> Round:
    """Register small models one by one, each under a fresh name; seconds are per model, merging and all included."""
    _save_all(store, small_models(setting.calls, seed=0), "warm")

    def measure(number: int) -> Measures:
        models = list(small_models(setting.calls, seed=number + 1))
        settle()
        register, handles = timed(_save_all, store, models, f"small-{number}")
        load, loaded = timed(_load_all, store, handles)
        same(models[-1], loaded)
        return {"register": register / len(models), "load": load / len(models)}

    return measure


def one_by_one(store: Store, count: int) -> Round:
    """Register many small models where there is no transaction to put them in."""
    _save_all(store, small_models(5, seed=0), "warm")

    def measure(number: int) -> Measures:
        models = list(small_models(count, seed=number + 1))
        settle()
        seconds, _ = timed(_save_all, store, models, f"bulk-{number}")
        return {"rate": count / seconds}

    return measure


def loop(store: Store, setting: Setting) -> Round:
    """Register versions of one name, one after the other; seconds are of all of them."""
    _save_all(store, small_models(2, seed=0), "warm")

    def measure(number: int) -> Measures:
        models = list(small_models(setting.loop, seed=number + 1))
        settle()
        seconds, _ = timed(lambda: [store.save(model, f"loop-{number}") for model in models])
        return {"register all": seconds}

    return measure


def _save_all(store: Store, models: Iterable[Any], name: str) -> list[str]:
    return [store.save(model, f"{name}-{place}") for place, model in enumerate(models)]


def _load_all(store: Store, handles: Sequence[str]) -> Any:
    loaded = None
    for handle in handles:
        loaded = store.load(handle)
    return loaded


def versions(store: Store, first: Any, second: Any, suffix: str = "") -> tuple[Measures, str]:
    """Register a model and then one that differs little, under one name of a fresh store, and load both.

    Args:
        store: Fresh; one small model is saved and loaded first, so that no import is measured.
        first: The model.
        second: The same with little changed.
        suffix: Appended to the name of every measure.

    Returns:
        The handle of the first, and ``register``, ``load`` (the third time, files in the page cache and known), ``load
        first`` (right after registering), ``second``, ``load second``; ``bytes`` stored by the first and ``share``
        of that added by the second; ``peak``, by how many bytes resident memory rose while registering.
    """
    warm = next(small_models(1, seed=0))
    store.load(store.save(warm, "warm"))
    settle()
    empty = folder_bytes(store.folder)
    register, risen, handle = peak(store.save, first, "model")
    stored = folder_bytes(store.folder) - empty
    load_first, loaded = timed(store.load, handle)
    same(first, loaded)
    del loaded
    settle()
    store.load(handle)
    load, loaded = timed(store.load, handle)
    del loaded
    settle()
    again, other = timed(store.save, second, "model")
    added = folder_bytes(store.folder) - empty - stored
    load_second, loaded = timed(store.load, other)
    same(second, loaded)
    found = {"register": register, "load first": load_first, "load": load, "second": again, "load second": load_second}
    found |= {"bytes": float(stored), "share": added / stored, "peak": risen}
    return {f"{name}{suffix}": value for name, value in found.items()}, handle


def big(make: Callable[[], Store], setting: Setting, extra: Callable[[Any, str], Measures] | None = None) -> Round:
    """Register and load 1 GiB of arrays, each round in a fresh store.

    Args:
        make: Opens a fresh store.
        setting: How large.
        extra: Measures more in the store that holds both versions, given the handle of the first.
    """
    first = big_model(setting)
    second = first.tuned()

    def measure(number: int) -> Measures:
        store = make()
        try:
            found, handle = versions(store, first, second)
            found["load and touch"], _ = timed(_load_and_touch, store, handle)
            return found | (extra(store, handle) if extra else {})
        finally:
            store.close()

    return measure


def _load_and_touch(store: Store, handle: str) -> int:
    return touch(store.load(handle).coefs_)


def middling(make: Callable[[], Store], setting: Setting) -> Round:
    """Register and load an eighth of the big model, each round in a fresh store: for sides that take minutes else."""
    first = Layers(rows=max(1, setting.rows // 8)).fit()
    second = first.tuned()

    def measure(number: int) -> Measures:
        store = make()
        try:
            return versions(store, first, second)[0]
        finally:
            store.close()

    return measure


def forest(make: Callable[[], Store], setting: Setting, suffix: str = "") -> Round:
    """Register and load a random forest, each round in a fresh store; the second version has a few trees more."""
    first, second = forests(setting)

    def measure(number: int) -> Measures:
        store = make()
        try:
            return versions(store, first, second, suffix)[0]
        finally:
            store.close()

    return measure


class Pushed(Protocol):
    """What is measured: a store and the remote that it is pushed to."""

    remote: Path

    def record(self, paths: Sequence[Path]) -> None:
        """Take files in, without sending anything."""

    def push(self) -> None:
        """Bring the remote up to date."""

    def close(self) -> None:
        """Remove everything."""


def pushes(make: Callable[[Path], Pushed], setting: Setting, suffix: str = "") -> Round:
    """Push many files and a big one to an empty remote, and then new versions of one of them, one by one.

    Args:
        make: Makes a store and an empty remote, both in a given folder.
        setting: Which files.
        suffix: Appended to the name of every measure, ``first push`` and ``push one``.
    """
    source = payloads.files(setting)
    total = sum(path.stat().st_size for path in source)

    def measure(number: int) -> Measures:
        changed = setting.folder(f"changed-{number}")
        store = make(setting.folder(f"pushed-{number}"))
        try:
            store.record(source)
            settle()
            first, _ = timed(store.push)
            ones = []
            for turn in range(_ONE):
                store.record([payloads.another(changed, _ONE * number + turn)])
                settle()
                ones.append(timed(store.push)[0])
            assert folder_bytes(store.remote) >= total + _ONE * payloads.MIB
        finally:
            store.close()
        return {f"first push{suffix}": first, f"push one{suffix}": statistics.median(ones)}

    return measure


def alternating(first: Round, second: Round) -> Round:
    """Return both as one, the second first in every other round: what is written first may find an emptier disk."""

    def measure(number: int) -> Measures:
        found: Measures = {}
        for each in (first, second)[:: -1 if number % 2 else 1]:
            found |= each(number)
        return found

    return measure


class Far(Protocol):
    """What is measured: a place at a server, where models are saved and loaded from."""

    def save(self, model: Any, name: str) -> str:
        """Save the model and return a handle to it."""

    def forget(self) -> None:
        """Keep nothing of what was saved nearer than the server."""

    def load(self, handle: str) -> Any:
        """Return the model that was saved."""


def directly(store: Far, setting: Setting) -> Round:
    """Save models at a server, load each for the first time and again: small ones, per model, and one of 100 MiB."""
    _far(store, list(small_models(2, seed=0)), "warm")
    rows = 26 if setting.quick else 262

    def measure(number: int) -> Measures:
        small = _far(store, list(small_models(setting.calls, seed=number + 1)), f"small-{number}")
        large = _far(store, [Layers(rows=rows, seed=number + 1).fit()], f"large-{number}")
        return small | {f"{name}, 100 MiB": seconds for name, seconds in large.items()}

    return measure


def _far(store: Far, models: Sequence[Any], name: str) -> Measures:
    save, handles = timed(lambda: [store.save(model, f"{name}-{place}") for place, model in enumerate(models)])
    store.forget()
    found = {"register": save / len(models)}
    for measure in ("load first", "load again"):
        seconds, loaded = timed(lambda: [store.load(handle) for handle in handles])
        for expected, actual in zip(models, loaded, strict=True):
            same(expected, actual)
        found[measure] = seconds / len(models)
    return found
