"""What a registry of very many versions costs: ``python tests/benchmarks/scale.py [VERSIONS] [FOLDER] [--out FILE]``.

Registers through the public API in transactions of ten thousand, and at 0, a tenth and all of them one by one, to see
whether that grows dearer; then measures disk, commands in processes of their own, questions in a warm one, the lineage
of ten thousand ancestors and the index made anew. A folder that is there already is gone on with. A million versions
(the default) take about twenty minutes on a quiet machine, 6 GB of disk and 3 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path[0] = os.fspath(Path(__file__).parents[2])

from friday_store import ModelOperations, ModelVersioning  # noqa: E402
from friday_store.plugins import Plugins  # noqa: E402
from tests.benchmarks.measure import folder_bytes, median_of, settle, timed, usage_of  # noqa: E402
from tests.benchmarks.queries import TRANSACTION, questions, versions  # noqa: E402
from tests.benchmarks.report import load, machine  # noqa: E402
from tests.benchmarks.workloads import small_models  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

DEEP: Final = 10_000
_SINGLES: Final = 50
_REBUILD: Final = """
import sys
from friday_store import ModelRegistry
with ModelRegistry(sys.argv[1]) as registry:
    registry.repository.index.rebuild()
"""
_COUNT: Final = "SELECT count(*) FROM model_metadata WHERE model_name NOT IN ('deep', 'single')"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the registry as far as it is not there, measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("versions", type=int, nargs="?", default=1_000_000)
    parser.add_argument("folder", type=Path, nargs="?", help="kept; a temporary one, which is not, if not given")
    parser.add_argument("--out", type=Path, help="write what was measured to this JSON file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="friday-store-scale-") as scratch:
        folder = options.folder or Path(scratch, "registry")
        found: dict[str, Any] = {"machine": machine(folder.parent), "versions": options.versions}
        with ModelOperations(folder, plugins=Plugins(()), actor="bench") as registry:
            found["registered"] = fill(registry, options.versions)
            found["disk"] = disk(folder, registry)
            found["warm"] = warm(registry)
        found["processes"] = processes(folder)
        found["load after"] = load()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


def fill(registry: ModelOperations, count: int) -> dict[str, Any]:
    """Register what is missing, and return how fast, and what one registration cost on the way."""
    done = int(registry.repository.index.rows(_COUNT)[0][0]) if registry.repository.born else 0
    begun, start = done, time.perf_counter()
    singles = {done: _single(registry)}
    pending: list[dict[str, Any]] = []
    for number, one in enumerate(versions(count)):
        if number < done:
            continue
        pending.append(one)
        if len(pending) == TRANSACTION or number == count - 1:
            registry.register_models(pending)
            done, pending = number + 1, []
            sys.stderr.write(f"{done:,} made, {(done - begun) / (time.perf_counter() - start):,.0f} a second\n")
            if done == count // 10:
                singles[done] = _single(registry)
    rate = (done - begun) / (time.perf_counter() - start)
    if not registry.repository.index.rows("SELECT 1 FROM model_metadata WHERE model_name = 'deep' LIMIT 1"):
        registry.register_models({"model": {"step": step}, "model_name": "deep"} for step in range(DEEP))
    singles[done] = _single(registry)
    return {"a second": rate, "one by one": singles}


def _single(registry: ModelOperations) -> dict[str, float]:
    """Register some one by one; seconds (median, the slowest) and bytes given to the system for one."""
    taken = []
    models = list(small_models(_SINGLES + 1, seed=time.time_ns() % (1 << 32)))
    registry.register_model(models.pop(), "single", metrics={"rmse": 0.1}, tags=["a", "b"])
    settle()
    before = _written()
    for model in models:
        seconds, _ = timed(lambda given: registry.register_model(given, "single", metrics={"rmse": 0.1}), model)
        taken.append(seconds)
    return {
        "median": statistics.median(taken),
        "slowest": max(taken),
        "written": (_written() - before) / len(taken),
    }


def _written() -> int:
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def disk(folder: Path, registry: ModelOperations) -> dict[str, Any]:
    """Return bytes by kind of file, and how many files of each."""
    registry.repository.index.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    found: dict[str, Any] = {"index": sum(path.stat().st_size for path in folder.glob("index.db*"))}
    for kind in ("packs", "log", "checkpoints"):
        found[kind] = folder_bytes(folder / kind)
        found[f"{kind}, files"] = sum(path.is_file() for path in (folder / kind).rglob("*"))
    objects = registry.repository.objects
    held = [objects.directory(name) for name in objects.live]
    found["directories"] = sum(directory.size - directory.start for directory in held)
    found["objects"] = sum(directory.count for directory in held)
    for what, sql in (("versions", "SELECT count(*) FROM model_metadata"), ("tags", "SELECT count(*) FROM model_tags")):
        found[what] = int(registry.repository.index.rows(sql)[0][0])
    found["refs"] = found["versions"] + found.pop("tags")
    return found


def warm(registry: ModelOperations) -> dict[str, float]:
    """Return the median seconds of each question, asked again and again in this process."""
    asked = questions(registry)
    lineage = ModelVersioning(registry)
    asked["lineage of 10,000 ancestors"] = lambda: lineage.get_model_lineage("deep")
    found = {}
    for what, ask in asked.items():
        first, _ = timed(ask)
        found[what] = median_of(ask, 5) if first < 2 else first
        sys.stderr.write(f"{1000 * found[what]:10.2f} ms  {what}\n")
    return found


def processes(folder: Path) -> dict[str, dict[str, float]]:
    """Return seconds (wall and processor) and the highest memory of commands in processes of their own."""
    command = str(Path(sys.executable).with_name("friday-store"))
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model.json")
        model.write_text(json.dumps({"threshold": time.time()}), encoding="utf-8")
        lines = {
            "show": [command, "-R", str(folder), "show", "deep"],
            "ls": [command, "-R", str(folder), "ls"],
            "ls of a model": [command, "-R", str(folder), "ls", "deep", "-n", "50"],
            "register": [command, "-R", str(folder), "register", str(model), "-n", "single"],
            "fsck --quick": [command, "-R", str(folder), "fsck", "--quick"],
            "rebuild": [sys.executable, "-c", _REBUILD, str(folder)],
        }
        return {what: _process(what, line) for what, line in lines.items()}


def _process(what: str, line: list[str]) -> dict[str, float]:
    wall, (memory, processor) = timed(usage_of, line)
    sys.stderr.write(f"{what}: {wall:.2f} s, {processor:.2f} of the processor, {memory / 2**20:,.0f} MiB\n")
    return {"wall": wall, "processor": processor, "memory": memory}


if __name__ == "__main__":
    main()
