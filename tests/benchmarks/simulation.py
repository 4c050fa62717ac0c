"""What a registry comes to at sizes that nobody has built: ``python tests/benchmarks/simulation.py [--results FILE]``.

Replays the rules of packs and checkpoints, which are exact, over registrations one by one or in transactions, and
multiplies by what one version was measured to take (``scale.py``, its results file). Nothing is registered.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE: Final = Path(__file__).parent / "results" / "scale.json"
# The rules of friday_store.objects and friday_store.log.
CROWD: Final = 16
FULL: Final = 16_000
LARGE: Final = 64 << 20
TIER_BITS: Final = 16
EVERY: Final = 256
WIDER: Final = 16
HEAVIEST: Final = 1 << 19
BLOCK: Final = 4096
FIND: Final = 1.6e-6  # seconds to look into one pack's directory, measured with seven of 30,000 objects
REF: Final = 350  # bytes in memory: to make an index of 2.7 million refs anew held 1.0 GB


@dataclass(frozen=True)
class Constants:
    """What one version takes.

    Attributes:
        objects: Objects in packs.
        pack: Bytes in packs.
        directory: Bytes of that in the directories, which a process that writes holds in memory.
        entry: Bytes in the log.
        index: Bytes in the index.
        refs: Refs.
    """

    objects: float
    pack: float
    directory: float
    entry: float
    index: float
    refs: float

    @classmethod
    def of(cls, found: dict[str, Any]) -> Constants:
        """Return what a results file of ``scale.py`` says."""
        disk, count = found["disk"], found["disk"]["versions"]
        return cls(
            disk["objects"] / count,
            disk["packs"] / count,
            disk["directories"] / count,
            disk["log"] / count,
            disk["index"] / count,
            disk["refs"] / count,
        )


@dataclass
class Packs:
    """Packs by the rule of merging; those that no merge takes any more are only counted."""

    final: int = 0
    merged: int = 0
    written: float = 0.0
    small: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, size: float, objects: float) -> None:
        """Add a pack, and merge what is crowded then."""
        self.written += size
        self._keep(size, objects)
        while (crowded := self._crowded()) is not None:
            some = self.small.pop(crowded)
            total = sum(each[0] for each in some)
            self.merged += 1
            self.written += total
            self._keep(total, sum(each[1] for each in some))

    def _crowded(self) -> int | None:
        return next((tier for tier in sorted(self.small) if len(self.small[tier]) >= CROWD), None)

    def _keep(self, size: float, objects: float) -> None:
        if size >= LARGE or objects >= FULL:
            self.final += 1
        else:
            self.small.setdefault(max(0, (int(size).bit_length() - TIER_BITS) // 4), []).append((size, objects))

    @property
    def live(self) -> int:
        """How many packs there are."""
        return self.final + sum(map(len, self.small.values()))


def checkpoints(entries: int, facts: float) -> Counter[int]:
    """Return how many checkpoints of each width (in entries) there are; facts are those of one entry."""
    widths: Counter[int] = Counter()
    for number in range(EVERY, entries + 1, EVERY):
        width = EVERY
        while number % (width * WIDER) == 0:
            width *= WIDER
        while width >= EVERY and width * facts > HEAVIEST:
            width //= WIDER
        if width >= EVERY:
            widths[width] += 1
    return widths


def simulated(count: int, each: int, constants: Constants) -> dict[str, float]:
    """Return what a registry of so many versions comes to, registered so many in a transaction."""
    packs, entries = Packs(), count // each
    sample = min(entries, 200_000)  # the tiers repeat themselves after that
    for _ in range(sample):
        packs.add(constants.pack * each, constants.objects * each)
    grown = entries / sample
    facts = constants.refs * each + 1
    widths = checkpoints(entries, facts)
    per_fact = constants.entry / (constants.refs + 1)
    length = constants.entry * each + 400
    return {
        "versions": count,
        "entries": entries,
        "log, bytes on disk": entries * (length + -length % BLOCK),
        "log folders": entries // 1000 + 1,
        "checkpoint files": sum(widths.values()),
        "checkpoint bytes": sum(width * number * facts * per_fact for width, number in widths.items()),
        "checkpoint bytes for one registration": sum(
            width * number * facts * per_fact for width, number in widths.items()
        )
        / count,
        "packs": packs.final * grown + sum(map(len, packs.small.values())),
        "pack bytes": count * constants.pack,
        "bytes written for one byte of packs": packs.written / (constants.pack * each * sample),
        "directories in memory": count * constants.directory,
        "a new object looked for, seconds": (packs.final * grown + 16) * FIND,
        "index bytes": count * constants.index,
        "a whole state in memory": count * constants.refs * REF,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=FILE, help="what scale.py has measured")
    options = parser.parse_args(arguments)
    constants = Constants.of(json.loads(options.results.read_text(encoding="utf-8")))
    for each in (1, 10_000):
        found = [simulated(10**power, each, constants) for power in (5, 6, 7, 8)]
        sys.stdout.write(f"\n{each:,} in a transaction\n")
        for name in found[0]:
            sys.stdout.write(f"{name:40}" + "".join(f"{_short(row[name]):>12}" for row in found) + "\n")


def _short(value: float) -> str:
    for power, sign in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:,.3g} {sign}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
