"""The table and the page head: what was measured, on what, against which bar."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.bar import Bar, Unit
from tests.benchmarks.bars import BARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.benchmarks.rounds import Measures

_HEAD: Final = ("workload", "measure", "ours", "against", "theirs", "ratio", "bar", "verdict")
_MEMORY_FILES: Final = ("tmpfs", "ramfs")


@dataclass
class Results:
    """All that one run measured.

    Attributes:
        rounds: Measures of every round, by workload and side.
        about: Durability and versions, by side.
        errors: Why a side has no measures, by ``workload/side``.
        measured: When a workload was measured, how many seconds that took, and the load after it.
    """

    rounds: dict[str, dict[str, list[Measures]]] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, found: dict[str, Any]) -> Results:
        """Return the results in what :func:`as_json` returned."""
        return cls(found["rounds"], found["about"], found["errors"], found["measured"])

    def value(self, workload: str, side: str, measure: str) -> float | None:
        """Return the median over the rounds, the highest for a peak, None if it was not measured."""
        values = [found[measure] for found in self.rounds.get(workload, {}).get(side, []) if measure in found]
        if not values:
            return None
        return max(values) if measure.startswith("peak") else statistics.median(values)


@dataclass(frozen=True)
class Row:
    """One bar with its values; ``ratio`` is ours / theirs, ``verdict`` pass, FAIL, no value, or empty."""

    bar: Bar
    ours: float | None
    theirs: float | None
    ratio: float | None
    verdict: str


def rows(results: Results, sides: Iterable[str]) -> list[Row]:
    """Return a row for every bar whose workload was run and whose other side was asked for."""
    known = {*sides, ""}
    return [_row(bar, results) for bar in BARS if bar.workload in results.rounds and bar.side in known]


def _row(bar: Bar, results: Results) -> Row:
    ours = results.value(bar.workload, "ours", bar.ours)
    theirs = results.value(bar.workload, bar.side, bar.theirs) if bar.side else None
    ratio = ours / theirs if ours is not None and theirs else None
    judged = ratio if bar.side else ours
    if bar.limit is None:
        verdict = ""
    elif judged is None:
        verdict = "no value"
    else:
        verdict = "pass" if bar.holds(judged) else "FAIL"
    return Row(bar, ours, theirs, ratio, verdict)


def table(found: Sequence[Row]) -> str:
    """Return the rows as aligned plain text."""
    lines = [_HEAD, *(_cells(row) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    bar = row.bar
    return (
        bar.workload,
        bar.ours,
        shown(row.ours, bar.unit),
        f"{bar.side}: {bar.theirs}" if bar.side else "",
        shown(row.theirs, bar.unit) if bar.side else "",
        f"{row.ratio:.3f}" if row.ratio is not None else "",
        limit(bar),
        row.verdict,
    )


def limit(bar: Bar) -> str:
    """Return what a bar demands; empty where it demands nothing."""
    if bar.limit is None:
        return ""
    return ("at least " if bar.at_least else "at most ") + (
        f"{bar.limit:.3g} x" if bar.side else shown(bar.limit, bar.unit)
    )


def shown(value: float | None, unit: Unit) -> str:
    """Return a value with its unit; a dash for None."""
    if value is None:
        return "-"
    if unit == "bytes":
        return f"{value / 2**20:,.1f} MiB"
    if unit == "share":
        return f"{100 * value:.2f} %"
    if unit in ("requests", "models"):
        return f"{value:,.0f}"
    if unit == "per second":
        return f"{value:,.0f}/s"
    return _seconds(value)


def _seconds(value: float) -> str:
    if value < 1e-4:
        return f"{1_000_000 * value:.1f} µs"
    return f"{value:,.2f} s" if value >= 1 else f"{1_000 * value:.2f} ms"


def machine(scratch: Path) -> dict[str, str]:
    """Return date, system, processor, memory, load and the file system that is measured."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{pages * size / 2**30:.0f} GiB",
        "load": load(),
        "file system": _file_system(scratch),
    }


def load() -> str:
    """Return how many processes ran on average in the last one, five and fifteen minutes, ours included."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = [line for line in path.read_text().splitlines() if line.startswith("model name")] if path.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.machine()


def _file_system(folder: Path) -> str:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    found = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    holding = [(point, kind) for point, kind in found if folder.resolve().is_relative_to(point)]
    kind = max(holding, key=lambda mount: len(mount[0]))[1]
    return f"{kind} (in memory: no durability is measured)" if kind in _MEMORY_FILES else kind


def head(results: Results, where: dict[str, str], work: str) -> str:
    """Return the page head: machine, work, and of every side its durability and versions."""
    lines = [f"{name}: {value}" for name, value in where.items()]
    lines.append(work)
    for side, about in results.about.items():
        versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        lines.append(f"{side}: {about['durability']} ({versions})")
    lines += [f"failed, {place}: {error}" for place, error in results.errors.items()]
    return "\n".join(lines)


def as_json(results: Results, found: Sequence[Row], where: dict[str, str], *, quick: bool) -> dict[str, Any]:
    """Return everything, each round's values included, as JSON values."""
    return {"machine": where, "quick": quick, **asdict(results), "rows": [asdict(row) for row in found]}
