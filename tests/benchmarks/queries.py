"""How long questions take in a registry of many versions: ``python tests/benchmarks/queries.py [VERSIONS] [FOLDER]``.

Makes the registry in FOLDER unless it is there (two hundred versions of each model, in transactions of ten thousand),
then asks each question again and again, warm, in one process, and writes milliseconds of processor
time (the best) and of the clock (best, median and worst); on a busy machine the first says more. Where
``FRIDAY_STORE_INDEX`` names a server, its times by the clock follow in the same line, asked in turn with the file's.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from friday_store import ModelOperations
from friday_store.plugins import Plugins

sys.path[0] = os.fspath(Path(__file__).parents[2])

from tests.benchmarks.crowd import members  # noqa: E402

TRANSACTION: Final = 10_000


def versions(count: int) -> Iterator[dict[str, Any]]:
    """Iterate over the arguments of so many registrations, the same each time."""
    for one in members(count):
        yield {
            "model": {"threshold": one.number},
            "model_name": one.name,
            "model_version": f"1.{one.place // 10}.{one.place % 10}",
            "model_type": one.type,
            "tags": one.tags,
            "metrics": one.metrics,
            "hyperparameters": one.parameters,
            "metadata": {"region": one.region, "run": {"number": one.number}},
        }


def make(registry: ModelOperations, count: int) -> float:
    """Register so many versions, and return how many a second, with the index."""
    start = time.perf_counter()
    done = 0
    pending: list[dict[str, Any]] = []
    for one in versions(count):
        pending.append(one)
        if len(pending) == TRANSACTION or done + len(pending) == count:
            registry.register_models(pending)
            done += len(pending)
            pending = []
            sys.stdout.write(f"  {done} made, {done / (time.perf_counter() - start):,.0f} a second\n")
    return count / (time.perf_counter() - start)


def questions(registry: ModelOperations) -> dict[str, Callable[[], object]]:
    """Return the questions by what they are."""
    name = registry.model_names()[0]
    pages = {
        order: registry.search(order_by=order or None, limit=50).after for order in ("", "-created", "-metrics.r2")
    }
    return {
        "latest version of a model": lambda: registry.get_latest_version(name),
        "record of a version": lambda: registry.get_model_metadata(f"{name}:1.3.0"),
        "list_models(limit=50)": lambda: registry.list_models(limit=50),
        "list_models(order_by='-created_at', limit=50)": lambda: registry.list_models(order_by="-created_at", limit=50),
        "page of 50 by a tag that 1 in 100 has": lambda: registry.list_models(tags=["S042"], limit=50),
        "page of 50 by a tag that 1 in 5 has": lambda: registry.list_models(tags=["1d"], limit=50),
        "... newest first": lambda: registry.list_models(tags=["1d"], order_by="-created_at", limit=50),
        "best of a model by metric": lambda: registry.find_best_model(name, "rmse"),
        "best of all by metric": lambda: registry.find_best_model(None, "rmse"),
        "best by metric with a tag": lambda: registry.find_best_model({"tags": ["S042"]}, "rmse"),
        "best by metric with a rare condition": lambda: registry.find_best_model(
            None, "rmse", require="alias is null and tag = 'S042' and params.alpha < 1"
        ),
        "two tags, a bound and an order": lambda: registry.search(
            "tag = 'S042' and tag = '1d' and metrics.rmse < 0.5", order_by="metrics.rmse", limit=50
        ),
        "... both wide": lambda: registry.search(
            "tag = '1d' and tag = 'reviewed' and metrics.rmse < 0.5", order_by="-metrics.r2", limit=50
        ),
        "second page of all, newest first": lambda: registry.search(
            order_by="-created", limit=50, after=pages["-created"]
        ),
        "second page of all by name": lambda: registry.search(limit=50, after=pages[""]),
        "second page of all by metric": lambda: registry.search(
            order_by="-metrics.r2", limit=50, after=pages["-metrics.r2"]
        ),
        "names that begin so": lambda: registry.list_models("S042_*", limit=50),
        "names that hold so": lambda: registry.list_models("*_close_42", limit=50),
        "a status that few have": lambda: registry.list_models(status="production"),
        "a parameter, first 50": lambda: registry.search("params.max_depth = 3", limit=50),
        "a parameter, counted through all": lambda: registry.search("params.max_depth = 99", limit=50),
        "descendants of a version": lambda: registry.search(f"descends from '{name}:1.3.0'"),
        "descendants among a tag, by metric": lambda: registry.search(
            f"descends from '{name}:1.3.0' and tag = 'reviewed'", order_by="metrics.mae", limit=10
        ),
    }


def main() -> None:
    """Make the registry, ask, and print."""
    count = int(sys.argv[1]) if sys.argv[1:] else 100_000
    folder = Path(sys.argv[2] if sys.argv[2:] else f"queries-{count}")
    server = os.environ.get("FRIDAY_STORE_INDEX")
    with contextlib.ExitStack() as held:
        places: list[str | Path] = [(folder / "index.db").absolute(), *([server] if server else [])]
        registries = [
            held.enter_context(ModelOperations(folder, plugins=Plugins(()), actor="bench", index=place))
            for place in places
        ]
        if not registries[0].repository.born:
            sys.stdout.write(f"made {make(registries[0], count):,.0f} versions a second\n")
        for registry in registries:
            start = time.perf_counter()
            registry.model_names()
            sys.stdout.write(f"{registry.repository.index.place}: ready in {time.perf_counter() - start:.1f} s\n")
        for what in questions(registries[0]):
            asks = [questions(registry)[what] for registry in registries]
            lines = measured(asks)
            sys.stdout.write(f"{'   '.join(lines)}  {what}\n")


def measured(asks: list[Callable[[], object]]) -> list[str]:
    """Ask the same in several places, in turn, and return what it takes in each."""
    for ask in asks:
        ask()
    busy: list[list[float]] = [[] for _ in asks]
    taken: list[list[float]] = [[] for _ in asks]
    for _ in range(15):
        for place, ask in enumerate(asks):
            start, spent = time.perf_counter(), time.process_time()
            ask()
            busy[place].append(1000 * (time.process_time() - spent))
            taken[place].append(1000 * (time.perf_counter() - start))
    return [
        f"{min(used):8.2f} {min(clock):8.2f} {statistics.median(clock):8.2f} {max(clock):8.2f}"
        for used, clock in zip(busy, taken, strict=True)
    ]


if __name__ == "__main__":
    main()
