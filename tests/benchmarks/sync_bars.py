"""The bars of synchronising: data only; see :mod:`tests.benchmarks.bars`, of which this is a part."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.bar import Bar

GROUPS: Final = {
    "sync-local": ("sync-local",),
    "sync-s3-many": ("sync-s3-many",),
    "sync-s3-big": ("sync-s3-big",),
    "sync-memory": ("sync-memory",),
    "sync-direct": ("sync-direct",),
}
SIDES: Final = {
    "sync-local": ("floor", "ours", "git-lfs", "dvc", "restic", "ostree"),
    "sync-s3-many": ("ours", "s3fs"),
    "sync-s3-big": ("ours", "s3fs"),
    "sync-memory": ("ours",),
    "sync-direct": ("ours", "s3fs"),
}
SERVED: Final = ("sync-s3-many", "sync-s3-big", "sync-memory", "sync-direct")  # with an S3 server
COLD: Final = ("sync-memory",)  # each measure in a process of its own, so that the first round counts; the highest
_MOST: Final = 256 * 2**20


def _commands(ours: str, theirs: str, skip: str = "") -> tuple[Bar, ...]:
    """Compare with every tool that pushes to a folder, but those that have a bar of their own."""
    sides = [side for side in ("git-lfs", "dvc", "restic", "ostree") if side not in skip.split()]
    return tuple(Bar("sync-local", ours, side, theirs) for side in sides)


def _peaks() -> tuple[Bar, ...]:
    return tuple(
        Bar("sync-memory", f"peak, {verb} {what}, {way}", limit=_MOST, unit="bytes")
        for what in ("many", "big")
        for verb in ("push", "clone")
        for way in ("API", "command")
    )


BARS: Final = (
    Bar("sync-local", "first push", "git-lfs", "first push", 1.0),
    Bar("sync-local", "first push", "git-lfs", "first push, and refs"),
    *_commands("first push", "first push", skip="git-lfs"),
    Bar("sync-local", "first push", "floor", "first push"),
    *_commands("first push, command line", "first push"),
    Bar("sync-local", "push one", limit=0.060),
    *_commands("push one", "push one"),
    Bar("sync-local", "push one", "floor", "push one"),
    *_commands("push one, command line", "push one"),
    Bar("sync-local", "push one, command line", "git-lfs", "push one, and refs"),
    Bar("sync-s3-many", "first push, requests", limit=40, unit="requests"),
    Bar("sync-s3-many", "first push", "s3fs", "one put per object", 1 / 20),
    Bar("sync-s3-many", "first push", "s3fs", "one put per version"),
    Bar("sync-s3-many", "first push", "s3fs", "bulk put of every object"),
    Bar("sync-s3-many", "first push", "s3fs", "bulk put of every version"),
    Bar("sync-s3-many", "clone back, requests", limit=60, unit="requests"),
    Bar("sync-s3-many", "clone back", "s3fs", "bulk get of every object"),
    Bar("sync-s3-many", "up-to-date push, requests", limit=2, unit="requests"),
    Bar("sync-s3-many", "up-to-date push"),
    Bar("sync-s3-many", "up-to-date pull, requests", limit=2, unit="requests"),
    Bar("sync-s3-many", "up-to-date pull"),
    Bar("sync-s3-many", "push one, requests", limit=6, unit="requests"),
    Bar("sync-s3-many", "push one, few, requests", limit=6, unit="requests"),
    Bar("sync-s3-many", "push one", "ours", "push one, few", 1.5),
    Bar("sync-s3-big", "push", "s3fs", "put_file", 1 / 0.9),
    Bar("sync-s3-big", "second, share", limit=0.06, unit="share"),
    Bar("sync-s3-big", "clone back", "s3fs", "get_file"),
    Bar("sync-s3-big", "load first", "s3fs", "load"),
    Bar("sync-s3-big", "load again", "s3fs", "load"),
    Bar("sync-s3-big", "clone and load", "s3fs", "get and load"),
    Bar("sync-s3-big", "clone back, metadata only"),
    Bar("sync-s3-big", "clone and load, metadata only", "s3fs", "get and load"),
    Bar("sync-s3-big", "load again, metadata only", "s3fs", "load"),
    Bar("sync-memory", "peak, imports", unit="bytes"),
    *_peaks(),
    *(
        Bar("sync-direct", f"{what}{size}", "s3fs", f"{what}{size}")
        for size in ("", ", 100 MiB")
        for what in ("register", "load first", "load again")
    ),
)
