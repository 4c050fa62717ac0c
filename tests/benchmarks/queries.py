"""How long questions take in a registry of many versions: ``python tests/benchmarks/queries.py [VERSIONS] [FOLDER]``.

Makes the registry in FOLDER unless it is there (two hundred versions of each model, in transactions of ten thousand),
then asks each question again and again, warm, in one process, and writes milliseconds of processor
time (the best) and of the clock (median and worst); on a busy machine the first says more.
"""

from __future__ import annotations

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
    with ModelOperations(folder, plugins=Plugins(()), actor="bench") as registry:
        if not registry.repository.born:
            sys.stdout.write(f"made {make(registry, count):,.0f} versions a second\n")
        for what, ask in questions(registry).items():
            ask()
            busy, taken = [], []
            for _ in range(15):
                start, spent = time.perf_counter(), time.process_time()
                ask()
                busy.append(1000 * (time.process_time() - spent))
                taken.append(1000 * (time.perf_counter() - start))
            times = f"{min(busy):8.2f} {statistics.median(taken):8.2f} {max(taken):8.2f}"
            sys.stdout.write(f"{times}  {what}\n")


if __name__ == "__main__":
    main()
