"""Fuzz one decoder in a process of its own: ``python -m tests.fuzz.run TARGET --count 1000 [--seed 7]``.

``--atheris SECONDS`` lets atheris choose the inputs by the code that they reach. Prints the slowest second and the most
memory as JSON; an input that raises what it must not is printed in hex, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.targets import REFUSALS, Target, targets

_INTERESTING = (
    b"\x00", b"\xff", b"\x80", b"\x7f", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff", b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\0" * 7, b"\xcb\x7f\xf8" + b"\0" * 6, b"..", b"/",
)  # fmt: skip


def mutated(seeds: tuple[bytes, ...], draw: random.Random) -> bytes:
    """Return a seed with one to eight changes: bits, bytes, ranges removed, repeated, moved or taken from others."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 1, 2, 4, 8, 64, 1024)))
        match draw.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case 1 if at < len(data):
                data[at] = draw.randrange(256)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end] * draw.choice((1, 2, 50))
            case 4:
                data[at:end] = draw.choice(_INTERESTING)
            case 5:
                data[at:at] = draw.choice(_INTERESTING)
            case _:
                other = draw.choice(seeds)
                start = draw.randrange(len(other) + 1)
                data[at:end] = other[start : start + draw.choice((1, 8, 64))]
    return bytes(data)


def inputs(target: Target, count: int, seed: int) -> Iterator[bytes]:
    """Iterate over the seeds, and then over changed ones."""
    yield from target.seeds
    draw = random.Random(seed)
    for _ in range(count):
        yield mutated(target.seeds, draw)


def tried(target: Target, data: bytes) -> float:
    """Read an input and return the seconds that took."""
    began = time.process_time()
    with contextlib.suppress(*REFUSALS):
        target.decode(data)
    return time.process_time() - began


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=targets())
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--atheris", type=int, metavar="SECONDS")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    target = targets()[options.target]
    if options.atheris:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

        atheris.instrument_all()
        atheris.Setup(
            [sys.argv[0], f"-max_total_time={options.atheris}", "-rss_limit_mb=512", "-timeout=1"],
            lambda data: tried(target, data) and None,
        )
        atheris.Fuzz()
    slowest = 0.0
    for data in inputs(target, options.count, options.seed):
        try:
            slowest = max(slowest, tried(target, data))
        except Exception as error:
            error.add_note(f"{options.target}: {data.hex()}")
            raise
    memory = peak()
    sys.stdout.write(json.dumps({"slowest": slowest, "memory": memory}) + "\n")
    return 0


def peak() -> int:
    """Return the most memory that this program has held, in MiB; ``ru_maxrss`` is also that of who started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    sys.exit(main())
