"""The README's figures: the block of tables and the plots that one results file gives, and nothing else.

``python tests/benchmarks/run.py --publish`` measures, writes ``results/latest.json``, and from it this block and these
plots; a test holds the README against the file. ``python tests/benchmarks/page.py`` writes them again. Where there is
no file, the block says so.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path[0] = os.fspath(Path(__file__).parents[2])

from tests.benchmarks.bar import Bar, Unit  # noqa: E402
from tests.benchmarks.plots import Group, drawn  # noqa: E402
from tests.benchmarks.report import Results, limit, rows, shown  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = Path(__file__).parent / "results"
FILE: Final = FOLDER / "latest.json"
BEGIN: Final = "<!-- figures: begin; made by tests/benchmarks/run.py --publish -->"
END: Final = "<!-- figures: end -->"
NAMES: Final = {
    "floor": "bare minimum",
    "ours": "friday-store",
    "joblib": "joblib",
    "bentoml": "BentoML",
    "mlflow": "MLflow",
    "modelstore": "modelstore",
    "git": "git",
    "dvc": "DVC",
    "git-lfs": "git-lfs",
    "restic": "restic",
    "ostree": "ostree",
    "s3fs": "s3fs",
}


@dataclass(frozen=True)
class Line:
    """One row of a table: what was done, and how each side calls that measure.

    Attributes:
        text: What was done.
        workload: Which workload measured it.
        ours: Our measure.
        theirs: The measure of all others, where it has another name.
        unit: What is measured.
    """

    text: str
    workload: str
    ours: str
    theirs: str = ""
    unit: Unit = "seconds"

    def value(self, results: Results, side: str) -> float | None:
        """Return the value of a side; None if it was not measured."""
        return results.value(self.workload, side, self.ours if side == "ours" else self.theirs or self.ours)


LOCAL: Final = (
    Line("register one small pipeline", "small", "register"),
    Line("load one small pipeline", "small", "load"),
    Line("200 versions of one name in a loop", "loop", "register all"),
    Line("10,000 small ones in bulk", "bulk", "rate", unit="per second"),
    Line("register 1 GiB of arrays", "big", "register"),
    Line("load 1 GiB again", "big", "load"),
    Line("load 1 GiB again, every page touched", "big", "load and touch"),
    Line("memory above that model, registering it", "big", "peak", unit="bytes"),
    Line("second version of 1 GiB, 5 % changed", "big", "second"),
    Line("new bytes of that second version", "big", "share", unit="share"),
    Line("register 128 MiB of arrays", "middling", "register"),
    Line("load 128 MiB again", "middling", "load"),
    Line("second version of 128 MiB, 5 % changed", "middling", "second"),
    Line("new bytes of a second version of 128 MiB", "middling", "share", unit="share"),
    Line("register a random forest of 347 MiB", "forest", "register, auto", "register"),
    Line("load that forest", "forest", "load, auto", "load"),
    Line("bytes of that forest on disk", "forest", "bytes, auto", "bytes", unit="bytes"),
    Line("new bytes of that forest with ten trees more", "forest", "share, auto", "share", unit="share"),
    Line("processor time of `import`", "imports", "import"),
    Line("processor time of `--version`", "cli", "version"),
    Line("latest of a model among 100,000 versions", "queries", "latest"),
    Line("page of 50 of them by a tag", "queries", "page by tag"),
    Line("best of them by a metric", "queries", "best by metric"),
    Line("50 of them by two tags, a bound and an order", "queries", "two tags and a bound"),
)
FAR: Final = (
    Line("first push of 456 MiB in 201 models to a folder", "sync-local", "first push"),
    Line("one new version of 1 MiB to a folder", "sync-local", "push one"),
    Line("one new version of 1 MiB, by a command of its own", "sync-local", "push one, command line", "push one"),
    Line("first push of 10,000 small versions to S3", "sync-s3-many", "first push", "one put per object"),
    Line("clone them back", "sync-s3-many", "clone back", "bulk get of every object"),
    Line("push 1 GiB to S3", "sync-s3-big", "push", "put_file"),
    Line("clone that and load it", "sync-s3-big", "clone and load", "get and load"),
    Line("register 100 MiB at S3", "sync-direct", "register, 100 MiB"),
    Line("load it from there", "sync-direct", "load first, 100 MiB"),
)
PLOTS: Final = {
    "registering.svg": ("Registering, seconds", (LOCAL[0], LOCAL[2], LOCAL[4], LOCAL[8], LOCAL[10])),
    "loading.svg": ("Loading, seconds", (LOCAL[1], LOCAL[5], LOCAL[6], LOCAL[11], LOCAL[15])),
    "storing.svg": ("New bytes of a second version, share of the first", (LOCAL[9], LOCAL[13], LOCAL[17])),
    "asking.svg": ("Asking a registry of 100,000 versions, seconds", LOCAL[20:24]),
    "sharing.svg": ("Sharing, seconds", FAR[:7]),
}


def contents() -> dict[str, Any] | None:
    """Return the contents of the results file; None if there is none."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else None


def block(found: dict[str, Any] | None) -> str:
    """Return what stands between the README's marks, for the contents of a results file."""
    if found is None:
        return f"{BEGIN}\n\nThere is no run of all workloads yet whose figures are kept here.\n\n{END}"
    results = Results.of(found)
    machine = found["machine"]
    work = "a tenth of the work and less, which proves nothing" if found["quick"] else "all of the work"
    head = (
        f"Measured {machine['date'][:10]} on {machine['processor']}, {machine['memory']}, {machine['file system']}, "
        f"{machine['system']}; {work}, medians of the rounds, sides in turn. Load average while it began: "
        f"{machine['load']}. Ours is durable when `register_model` returns; what the others promise, and all versions, "
        f"stand below."
    )
    sides = ("ours", "floor", "joblib", "bentoml", "mlflow", "modelstore", "git", "dvc")
    far = ("ours", "floor", "git-lfs", "dvc", "restic", "ostree", "s3fs")
    parts = [BEGIN, head, _table(results, LOCAL, sides), _table(results, FAR, far)]
    parts += [f"![{title}](tests/benchmarks/results/{name})" for name, (title, _) in PLOTS.items()]
    parts += ["The bars, ours divided by theirs or ours alone:", _bars(results), _sides(results), END]
    return "\n\n".join(part for part in parts if part)


def _table(results: Results, lines: Sequence[Line], sides: Sequence[str]) -> str:
    """Return a table of absolute values; rows and columns without any are left out."""
    there = [line for line in lines if line.value(results, "ours") is not None]
    known = [side for side in sides if any(line.value(results, side) is not None for line in there)]
    if not there:
        return ""
    head = ["work", *(NAMES[side] for side in known)]
    cells = [
        [
            line.text,
            *("" if (value := line.value(results, side)) is None else shown(value, line.unit) for side in known),
        ]
        for line in there
    ]
    return _rows([head, ["---"] * len(head), *cells])


def _bars(results: Results) -> str:
    judged = [row for row in rows(results, results.about) if row.bar.limit is not None]
    cells = [
        [
            f"{row.bar.workload}: {row.bar.ours}",
            NAMES[row.bar.side] + (f", {row.bar.theirs}" if row.bar.theirs != row.bar.ours else "")
            if row.bar.side
            else "",
            limit(row.bar),
            "-" if (value := row.ratio if row.bar.side else row.ours) is None else _judged(value, row.bar),
            {"pass": "met", "FAIL": "**missed**"}.get(row.verdict, "not measured"),
        ]
        for row in judged
    ]
    return _rows([["ours", "against", "bar", "found", ""], ["---"] * 5, *cells])


def _judged(value: float, bar: Bar) -> str:
    return f"{value:.3g}" if bar.side else shown(value, bar.unit)


def _rows(cells: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _sides(results: Results) -> str:
    lines = []
    for side, about in results.about.items():
        versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        lines.append(f"- {NAMES[side]}: {about['durability']} ({versions})")
    lines += [f"- left out: {place}: {error.splitlines()[0]}" for place, error in results.errors.items()]
    return "\n".join(lines)


def plots(found: dict[str, Any]) -> dict[str, str]:
    """Return the plots, SVG by file name, for the contents of a results file."""
    results = Results.of(found)
    made = {}
    for name, (title, lines) in PLOTS.items():
        groups = []
        for line in lines:
            values = {NAMES[side]: value for side in NAMES if (value := line.value(results, side))}
            if NAMES["ours"] in values:
                labels = {side: shown(value, line.unit) for side, value in values.items()}
                groups.append(Group(line.text, values, labels))
        made[name] = drawn(title, groups, own=NAMES["ours"])
    return made


def publish(found: dict[str, Any] | None, readme: Path = ROOT / "README.md", folder: Path = FOLDER) -> None:
    """Write the README's block and the plots."""
    for name, svg in plots(found).items() if found else ():
        (folder / name).write_text(svg, encoding="utf-8")
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    readme.write_text(before + block(found) + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    publish(contents())
