"""What is compared with what, and the bars that must hold: data only.

A bar limits ours divided by theirs, measured in one run, or ours alone where nothing is named to compare with. A
comparison without a limit is printed beside, so that nobody has to take the choice of bars on trust.
"""

from __future__ import annotations

from typing import Final

from tests.benchmarks import sync_bars
from tests.benchmarks.bar import Bar, Unit

GROUPS: Final = {
    "small": ("small", "loop", "growth"),
    "bulk": ("bulk",),
    "big": ("big",),
    "middling": ("middling",),
    "forest": ("forest",),
    "cli": ("cli", "imports"),
    "queries": ("queries",),
    "services": ("services",),
    "market": ("market", "market-tiny"),
    **sync_bars.GROUPS,
    "formats": ("formats",),
}
ASKED_FOR: Final = ("formats",)  # groups that need more than the project's environment: .venv-plugins
SIDES: Final = {
    "small": ("floor", "ours", "joblib", "bentoml", "mlflow", "modelstore", "git", "dvc"),
    "loop": ("ours", "joblib", "bentoml", "mlflow", "modelstore", "git", "dvc"),
    "growth": ("ours",),
    "bulk": ("floor", "ours", "joblib", "bentoml", "mlflow"),
    "big": ("floor", "ours", "joblib", "bentoml", "mlflow"),
    "middling": ("ours", "joblib", "modelstore", "git", "dvc"),
    "forest": ("floor", "ours", "joblib", "bentoml", "mlflow"),
    "cli": ("floor", "ours", "bentoml", "mlflow"),
    "imports": ("ours", "bentoml", "mlflow"),
    "queries": ("ours", "mlflow"),
    "services": ("ours",),
    "market": ("ours",),
    "market-tiny": ("ours",),
    **sync_bars.SIDES,
    "formats": ("ours",),
}
# Fewer rounds than asked for where one takes a minute.
ROUNDS: Final = {"loop": 2, "big": 2, "middling": 2, "forest": 2, "sync-local": 2, "sync-s3-big": 2, "sync-memory": 1}
_PEERS: Final = ("joblib", "bentoml", "mlflow", "modelstore", "git", "dvc")


def _beside(workload: str, ours: str, theirs: str = "", unit: Unit = "seconds", skip: str = "") -> tuple[Bar, ...]:
    """Compare with the floor and every peer that does the same, except those that have a bar of their own."""
    sides = [side for side in ("floor", *_PEERS) if side in SIDES[workload] and side not in skip.split()]
    return tuple(Bar(workload, ours, side, theirs or ours, unit=unit) for side in sides)


_FORMATS: Final = ("torch", "torch-module", "safetensors", "keras", "onnx", "xgboost", "lightgbm", "skops")


def _of_format(name: str) -> tuple[Bar, ...]:
    """Compare a format with its framework's own file functions."""
    return (
        Bar("formats", f"{name}, save", "ours", f"{name}, file save, on disk", 1.2),
        Bar("formats", f"{name}, save", "ours", f"{name}, file save"),
        Bar("formats", f"{name}, load", "ours", f"{name}, file load", 1.2),
        Bar("formats", f"{name}, load first", "ours", f"{name}, file load"),
        *(
            Bar("formats", f"{name}, {what}{more}", "ours", f"{name}, file {what}{also}")
            for what in ("save", "load")
            for more, also in ((", processor", ", processor"), (", compressed", ""))
        ),
    )


BARS: Final = (
    Bar("small", "register", "floor", "register", 2.5),
    Bar("small", "register", "bentoml", "register", 0.5),
    Bar("small", "register", "mlflow", "register", 0.05),
    Bar("small", "register", "mlflow", "register, bare"),
    Bar("small", "register", "mlflow", "register, default"),
    *_beside("small", "register", skip="floor bentoml mlflow"),
    *_beside("small", "load"),
    Bar("loop", "register all", "bentoml", "register all", 0.5),
    Bar("loop", "register all", "mlflow", "register all", 0.1),
    *_beside("loop", "register all", skip="bentoml mlflow"),
    Bar("growth", "register, many", "ours", "register, few", 1.3),
    Bar("bulk", "rate", limit=1_000, at_least=True, unit="per second"),
    Bar("bulk", "rate", "mlflow", "rate", 150, at_least=True, unit="per second"),
    *_beside("bulk", "rate", unit="per second", skip="mlflow"),
    Bar("big", "register", "floor", "write", 1.3),
    *_beside("big", "register"),
    Bar("big", "load", limit=0.015),
    Bar("big", "load, other process", limit=0.015),
    Bar("big", "load", "mlflow", "load", 1 / 30),
    *_beside("big", "load", skip="mlflow"),
    Bar("big", "load", "joblib", "load, mmap_mode"),
    *_beside("big", "load first"),
    Bar("big", "load verified", "floor", "hash, all cores", 1.2),
    Bar("big", "load verified", "floor", "hash, one thread"),
    Bar("big", "load and touch", "floor", "read", 1.0),
    Bar("big", "load and touch", "floor", "read whole"),
    Bar("big", "load and touch", "mlflow", "load and touch", 1.0),
    *_beside("big", "load and touch", skip="mlflow"),
    Bar("big", "peak", limit=64 * 2**20, unit="bytes"),
    *_beside("big", "peak", unit="bytes"),
    Bar("big", "share", limit=0.055, unit="share"),
    *_beside("big", "share", unit="share"),
    Bar("big", "second", "ours", "register", 0.3),
    *_beside("big", "second"),
    *_beside("big", "load second"),
    *_beside("middling", "register"),
    *_beside("middling", "load"),
    *_beside("middling", "second"),
    *_beside("middling", "share", unit="share"),
    Bar("forest", "load, none", "joblib", "load", 1 / 3),
    *_beside("forest", "load, none", "load", skip="joblib"),
    Bar("forest", "register, none", "joblib", "register", 1.0),
    *_beside("forest", "register, none", "register", skip="joblib"),
    Bar("forest", "load, auto", "joblib", "load", 1 / 1.8),
    *_beside("forest", "load, auto", "load", skip="joblib floor"),
    Bar("forest", "register, auto", "joblib", "register", 1.5),
    *_beside("forest", "register, auto", "register", skip="joblib floor"),
    Bar("forest", "bytes, auto", "joblib", "bytes", 0.4, unit="bytes"),
    *_beside("forest", "bytes, auto", "bytes", unit="bytes", skip="joblib floor"),
    Bar("forest", "share, none", limit=0.06, unit="share"),
    Bar("forest", "share, auto", limit=0.06, unit="share"),
    *_beside("forest", "share, auto", "share", unit="share", skip="floor"),
    Bar("cli", "version", "floor", "version", 1.5),
    *_beside("cli", "version", skip="floor"),
    Bar("cli", "ls", limit=0.6),
    Bar("cli", "ls, one version each", limit=0.6),
    Bar("cli", "show", limit=0.6),
    Bar("imports", "import", "mlflow", "import", 0.1),
    Bar("imports", "import", "bentoml", "import"),
    Bar("imports", "import, a registry", "mlflow", "import"),
    Bar("queries", "latest", limit=0.001),
    *_beside("queries", "latest"),
    Bar("queries", "page by tag", limit=0.003),
    *_beside("queries", "page by tag"),
    Bar("queries", "page by a tag of many"),
    Bar("queries", "best by metric", limit=0.002),
    *_beside("queries", "best by metric"),
    Bar("queries", "two tags and a bound", limit=0.010),
    *_beside("queries", "two tags and a bound"),
    Bar("queries", "two tags of many and a bound"),
    Bar("queries", "a parameter"),
    Bar("services", "loader hit", limit=50e-6),
    Bar("services", "compare", limit=0.005),
    Bar("services", "diff, more trees"),
    Bar("services", "share read, more trees", limit=0.01, unit="share"),
    Bar("services", "diff, other values"),
    Bar("services", "share read, other values", limit=0.01, unit="share"),
    Bar("market", "train and register", "ours", "bare loop of fit", 1.1),
    Bar("market", "CPU of all of it", "ours", "CPU of the bare loop", 1.1),
    Bar("market", "registering, of the training", limit=0.02, unit="share"),
    Bar("market", "lost", limit=0, unit="models"),
    Bar("market-tiny", "rate", unit="per second"),
    Bar("market-tiny", "lost", limit=0, unit="models"),
    *sync_bars.BARS,
    Bar("formats", "torch, load", "ours", "torch, file load", 0.1),
    Bar("formats", "safetensors, load", "ours", "torch, file load", 0.1),
    *(bar for name in _FORMATS for bar in _of_format(name)),
)
