"""Measure friday_store beside its peers and the hardware, in one run.

``python tests/benchmarks/run.py --publish`` runs everything in less than half an hour on a quiet machine, after the
first time, which makes the peers' environments and the big inputs; it writes ``results/latest.json``, the plots beside
it and the README's figures. ``--quick`` shows in a few minutes that all runs; ``--only`` (``sync`` stands for all
groups that begin so) and ``--peers`` choose; ``--resume`` goes on with the file of a run that was broken off, and
``--again`` takes some groups of it anew.

Each side of each workload has its own process; rounds alternate between the sides, every other round in reverse, so
that a machine that slows down slows all of them. The first round of each is discarded, but where every measure has a
new process of its own. A peer's environment is made on first use and kept; one that cannot be had is named and left
out. The exit status is 1 if a bar does not hold or ours could not be measured.

The formats of plugins/ are measured only when asked for, in the environment that ``plugins/check`` makes:
``.venv-plugins/bin/python tests/benchmarks/run.py --only formats --peers none``. A registry of a million versions is
measured by ``tests/benchmarks/scale.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

sys.path[0] = os.fspath(Path(__file__).parents[2])

from tests.benchmarks import page  # noqa: E402
from tests.benchmarks.bars import ASKED_FOR, GROUPS, ROUNDS, SIDES  # noqa: E402
from tests.benchmarks.peers import PEERS, PeerMissingError, interpreter  # noqa: E402
from tests.benchmarks.report import Results, Row, as_json, head, load, machine, rows, table  # noqa: E402
from tests.benchmarks.sync_bars import COLD, SERVED  # noqa: E402
from tests.benchmarks.worker import Worker, WorkerError  # noqa: E402
from tests.benchmarks.workloads import Setting, forest_files  # noqa: E402
from tests.servers.ministack import Ministack  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, print the table, write the JSON, return the exit status."""
    options = _parser().parse_args(arguments)
    if options.publish and options.quick:
        sys.exit("a quick run proves nothing, so it is not published")
    options.out = options.out or (page.FILE if options.publish else None)
    sides = ("floor", "ours", *options.peers)
    results, where = _begun(options)
    workloads = [workload for group in options.only for workload in GROUPS[group]]
    workloads = [each for each in workloads if each not in results.measured]
    found: list[Row] = []
    wanted = [side for side in sides if any(side in SIDES[workload] for workload in workloads)]
    pythons = _interpreters(wanted, options, results)
    for place, workload in enumerate(workloads):
        begun = time.perf_counter()
        sys.stderr.write(f"[{place + 1}/{len(workloads)}] {workload}, {dt.datetime.now(dt.UTC):%H:%M:%S}\n")
        with tempfile.TemporaryDirectory(prefix="friday-store-", dir=options.scratch) as scratch:
            _run(workload, pythons, Path(scratch), options, results)
        results.measured[workload] = {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - begun),
            "load": load(),
        }
        found = rows(results, sides)
        _keep(options, results, found, where)  # what was measured is there also when the run is stopped later
    found = rows(results, sides)
    _keep(options, results, found, where)
    if options.publish:
        page.publish(as_json(results, found, where, quick=options.quick))
    work = f"work: {'quick, a tenth and less' if options.quick else 'full'}; median of up to {options.repeat} rounds"
    sys.stdout.write(f"{head(results, where, work)}\n\n{table(found)}\n")
    return int(any(row.verdict in ("FAIL", "no value") for row in found))


def _begun(options: argparse.Namespace) -> tuple[Results, dict[str, str]]:
    """Return what was measured before, where that is gone on with, without what is to be measured again."""
    if not options.resume or options.out is None or not options.out.exists():
        return Results(), machine(options.scratch)
    found = json.loads(options.out.read_text(encoding="utf-8"))
    if found["quick"] != options.quick:
        sys.exit(
            f"{options.out} is of {'a quick' if found['quick'] else 'a whole'} run: name another file, or begin anew"
        )
    results = Results.of(found)
    for workload in (workload for group in options.again for workload in GROUPS[group]):
        results.measured.pop(workload, None)
        results.rounds.pop(workload, None)
    results.errors = {
        place: error for place, error in results.errors.items() if place.partition("/")[0] in results.measured
    }
    return results, found["machine"]


def _keep(options: argparse.Namespace, results: Results, found: list[Row], where: dict[str, str]) -> None:
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = options.out.with_suffix(".part")
        made = as_json(results, found, where, quick=options.quick)
        unfinished.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(options.out)


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
        for number in range(int(workload in COLD), last + 1):
            sys.stderr.write(f"  round {number} of {last}\n")
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
    parser.add_argument("--repeat", type=int, default=3, help="rounds that count, where they are short (default 3)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work and less")
    parser.add_argument("--out", type=Path, help="write everything measured to this JSON file")
    parser.add_argument(
        "--publish", action="store_true", help="write results/latest.json, plots and the README's figures"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with what that file has; only the rest is measured"
    )
    parser.add_argument("--again", type=_groups, default=[], help="with --resume: groups to measure again all the same")
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
