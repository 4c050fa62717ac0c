"""Measure friday_store beside MLflow, BentoML, joblib and the hardware, in one run.

``python tests/benchmarks/run.py`` runs everything in about a quarter of an hour; ``--only`` and ``--peers`` choose,
``--quick`` shows in a minute or two that it runs. Each side of each workload has its own process; rounds alternate
between the sides, every other round in reverse, so that a machine that slows down slows all of them. The first
round of each is discarded. A peer's environment is made on first use and kept. The exit status is 1 if a bar does
not hold or ours could not be measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

sys.path[0] = os.fspath(Path(__file__).parents[2])

from tests.benchmarks.bars import GROUPS, SIDES  # noqa: E402
from tests.benchmarks.peers import PEERS, interpreter  # noqa: E402
from tests.benchmarks.report import Results, as_json, head, machine, rows, table  # noqa: E402
from tests.benchmarks.worker import Worker, WorkerError  # noqa: E402
from tests.benchmarks.workloads import Setting, forest_files  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the table, write the JSON, return the exit status."""
    options = _parser().parse_args(arguments)
    sides = ("floor", "ours", *options.peers)
    pythons = {side: interpreter(side, options.venvs) if side in PEERS else sys.executable for side in sides}
    results = Results()
    where = machine(options.scratch)
    for group in options.only:
        for workload in GROUPS[group]:
            with tempfile.TemporaryDirectory(prefix="friday-store-", dir=options.scratch) as scratch:
                _run(workload, pythons, Path(scratch), options, results)
    found = rows(results, sides)
    work = f"work: {'quick, a tenth and less' if options.quick else 'full'}; median of {options.repeat} rounds"
    sys.stdout.write(f"{head(results, where, work)}\n\n{table(found)}\n")
    if options.out:
        options.out.write_text(json.dumps(as_json(results, found, where), indent=1), encoding="utf-8")
    return int(any(row.verdict in ("FAIL", "no value") for row in found))


def _run(workload: str, pythons: dict[str, str], scratch: Path, options: argparse.Namespace, results: Results) -> None:
    """Run all rounds of one workload; a side that fails is reported and left out from there on."""
    if workload == "forest":
        forest_files(Setting(str(scratch), str(options.cache), options.quick))
    with contextlib.ExitStack() as stack:
        workers: list[Worker] = []
        for side in (side for side in SIDES[workload] if side in pythons):
            setting = Setting(str(scratch / side), str(options.cache), options.quick)
            try:
                worker = Worker(side, workload, setting, pythons[side])
            except WorkerError as error:
                _failed(results, workload, side, error)
                continue
            workers.append(stack.enter_context(worker))
            results.about[side] = worker.about
        measured = results.rounds.setdefault(workload, {})
        for number in range(options.repeat + 1):
            sys.stderr.write(f"{workload}: round {number} of {options.repeat}\n")
            for worker in workers[:: -1 if number % 2 else 1]:
                try:
                    found = worker.round(number)
                except WorkerError as error:
                    _failed(results, workload, worker.side, error)
                    workers.remove(worker)
                    continue
                if number:
                    measured.setdefault(worker.side, []).append(found)


def _failed(results: Results, workload: str, side: str, error: WorkerError) -> None:
    results.errors[f"{workload}/{side}"] = str(error).splitlines()[0]
    sys.stderr.write(f"{workload}: {error}\n")


def _parser() -> argparse.ArgumentParser:
    cache = platformdirs.user_cache_path("friday-store-benchmarks")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", type=_several(tuple(GROUPS)), default=list(GROUPS), help="groups, comma-separated")
    parser.add_argument("--peers", type=_several(PEERS), default=list(PEERS), help="peers, comma-separated, or none")
    parser.add_argument("--repeat", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work and less")
    parser.add_argument("--out", type=Path, help="write everything measured to this JSON file")
    parser.add_argument("--venvs", type=Path, default=cache / "venvs", help="where the peers' environments are kept")
    parser.add_argument("--cache", type=Path, default=cache / "models", help="where trained forests are kept")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    return parser


def _several(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name and name != "none"]
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return chosen

    return parse


if __name__ == "__main__":
    sys.exit(main())
