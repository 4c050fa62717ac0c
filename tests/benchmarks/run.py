"""Measure friday_store beside its peers and the hardware, in one run.

``python tests/benchmarks/run.py`` runs everything in about three quarters of an hour; ``--only`` (``sync`` stands for
all groups that begin so) and ``--peers`` choose, ``--quick`` shows in a few minutes that it runs. Each side of each
workload has its own process; rounds alternate between the sides, every other round in reverse, so that a machine that
slows down slows all of them. The first round of each is discarded, but where every measure has a new process of its
own. A peer's environment is made on first use and kept; one that cannot be had is named and left out. The exit status
is 1 if a bar does not hold or ours could not be measured.

The formats of plugins/ are measured only when asked for, in the environment that ``plugins/check`` makes:
``.venv-plugins/bin/python tests/benchmarks/run.py --only formats --peers none``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

sys.path[0] = os.fspath(Path(__file__).parents[2])

from tests.benchmarks.bars import ASKED_FOR, GROUPS, SIDES  # noqa: E402
from tests.benchmarks.peers import PEERS, PeerMissingError, interpreter  # noqa: E402
from tests.benchmarks.report import Results, Row, as_json, head, load, machine, rows, table  # noqa: E402
from tests.benchmarks.sync_bars import ROUNDS, SERVED  # noqa: E402
from tests.benchmarks.worker import Worker, WorkerError  # noqa: E402
from tests.benchmarks.workloads import Setting, forest_files  # noqa: E402
from tests.servers.ministack import Ministack  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the table, write the JSON, return the exit status."""
    options = _parser().parse_args(arguments)
    sides = ("floor", "ours", *options.peers)
    workloads = [workload for group in options.only for workload in GROUPS[group]]
    results = Results()
    found: list[Row] = []
    wanted = [side for side in sides if any(side in SIDES[workload] for workload in workloads)]
    pythons = _interpreters(wanted, options, results)
    where = machine(options.scratch)
    for workload in workloads:
        with tempfile.TemporaryDirectory(prefix="friday-store-", dir=options.scratch) as scratch:
            _run(workload, pythons, Path(scratch), options, results)
        where[f"load after {workload}"] = load()
        found = rows(results, sides)
        if options.out:  # what was measured is there also when the run is stopped later
            options.out.write_text(json.dumps(as_json(results, found, where), indent=1), encoding="utf-8")
    work = f"work: {'quick, a tenth and less' if options.quick else 'full'}; median of {options.repeat} rounds"
    sys.stdout.write(f"{head(results, where, work)}\n\n{table(found)}\n")
    return int(any(row.verdict in ("FAIL", "no value") for row in found))


def _interpreters(sides: Sequence[str], options: argparse.Namespace, results: Results) -> dict[str, str]:
    """Return the interpreter of every side that can run; a peer that is not there is reported and left out."""
    found = {}
    for side in sides:
        try:
            found[side] = interpreter(side, options.venvs) if side in PEERS else sys.executable
        except (PeerMissingError, subprocess.CalledProcessError) as error:
            results.errors[side] = str(error)
            sys.stderr.write(f"LEFT OUT: {error}\n")
    return found


def _run(workload: str, pythons: dict[str, str], scratch: Path, options: argparse.Namespace, results: Results) -> None:
    """Run all rounds of one workload; a side that fails is reported and left out from there on."""
    if workload == "forest":
        forest_files(Setting(str(scratch), str(options.cache), options.quick))
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(_server(scratch)).endpoint if workload in SERVED else ""
        workers: list[Worker] = []
        for side in (side for side in SIDES[workload] if side in pythons):
            setting = Setting(str(scratch / side), str(options.cache), options.quick, endpoint=endpoint)
            try:
                worker = Worker(side, workload, setting, pythons[side])
            except WorkerError as error:
                _failed(results, workload, side, error)
                continue
            workers.append(stack.enter_context(worker))
            results.about[side] = worker.about
        measured = results.rounds.setdefault(workload, {})
        last = min(options.repeat, ROUNDS.get(workload, options.repeat))
        for number in range(int(workload in ROUNDS), last + 1):
            sys.stderr.write(f"{workload}: round {number} of {last}\n")
            for worker in workers[:: -1 if number % 2 else 1]:
                try:
                    found = worker.round(number)
                except WorkerError as error:
                    _failed(results, workload, worker.side, error)
                    workers.remove(worker)
                    continue
                if number:
                    measured.setdefault(worker.side, []).append(found)


def _server(scratch: Path) -> Ministack:
    folder = scratch / "server"
    folder.mkdir()
    return Ministack(folder)


def _failed(results: Results, workload: str, side: str, error: WorkerError) -> None:
    results.errors[f"{workload}/{side}"] = str(error).splitlines()[0]
    sys.stderr.write(f"{workload}: {error}\n")


def _parser() -> argparse.ArgumentParser:
    cache = platformdirs.user_cache_path("friday-store-benchmarks")
    usual = [group for group in GROUPS if group not in ASKED_FOR]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", type=_groups, default=usual, help="groups or how they begin")
    parser.add_argument("--peers", type=_several(PEERS), default=list(PEERS), help="peers, comma-separated, or none")
    parser.add_argument("--repeat", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work and less")
    parser.add_argument("--out", type=Path, help="write everything measured to this JSON file")
    parser.add_argument("--venvs", type=Path, default=cache / "venvs", help="where the peers' environments are kept")
    parser.add_argument("--cache", type=Path, default=cache / "models", help="where models and files are kept")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    return parser


def _several(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name and name != "none"]
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return chosen

    return parse


def _groups(text: str) -> list[str]:
    given = [name for name in text.split(",") if name]
    if unknown := [name for name in given if not any(group.startswith(name) for group in GROUPS)]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(GROUPS)}")
    return [group for group in GROUPS if any(group.startswith(name) for name in given)]


if __name__ == "__main__":
    sys.exit(main())
