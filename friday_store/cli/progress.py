"""How far a copy is, on stderr: a bar for people, or lines for programs; nothing before it has run for a second.

A line of ``--progress json`` is an object: ``type`` (``progress``), ``command``, ``done`` and ``objects`` (copied, and
to copy), ``sent_bytes`` and ``size_bytes`` (the same in bytes), ``present`` (objects that were there already) and
``seconds``. Fields are added, never removed. The last line says how far it came; a copy of no length has none.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

import click

from friday_store.cli.session import Session

if TYPE_CHECKING:
    from friday_store.cli.bar import Bar
    from friday_store.sync import Progress

Kind = Literal["auto", "bar", "json", "none"]
KINDS: Final = ("auto", "bar", "json", "none")
DELAY: Final = 1.0
"""Seconds that nothing is shown for."""
_PACE: Final = {"bar": 0.1, "json": 0.5}


class Watch:
    """Shows a copy's progress while it is entered; call it with each :class:`~friday_store.sync.Progress`.

    It may be called from any thread, as often as one likes. However the block ends, the terminal is left as it was.

    Args:
        session: Which stderr, and whether in colour.
        kind: What to show; a ``bar`` is nothing where there is no terminal, and ``auto`` is a bar where it can move.
        command: What runs, such as ``push``.
        clock: Seconds from any start.
        delay: Seconds that nothing is shown for; None: :data:`DELAY`.
    """

    def __init__(
        self,
        session: Session,
        kind: Kind,
        command: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        delay: float | None = None,
    ) -> None:
        self._session = session
        self._kind = _shown(session, kind)
        self._command = command
        self._clock = clock
        self._delay = DELAY if delay is None else delay
        self._lock = threading.Lock()
        self._began = self._shown = 0.0
        self._latest: Progress | None = None
        self._told: Progress | None = None
        self._bar: Bar | None = None
        self._open = False

    def __enter__(self) -> Self:
        self._began = self._clock()
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._open = False
            if self._told is not None and self._latest not in (None, self._told):
                self._show()
            if self._bar is not None:
                self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Remember how far it is, and show it if it is time."""
        if self._kind == "none":
            return
        with self._lock:
            self._latest = progress
            now = self._clock()
            waited = now - self._began >= self._delay and (self._told is None or now - self._shown >= _PACE[self._kind])
            if self._open and waited:
                self._shown = now
                self._show()

    def _show(self) -> None:
        progress = self._told = self._latest
        assert progress is not None
        if self._kind == "json":
            with contextlib.suppress(OSError):  # who reads of the progress may go away; the copy goes on
                click.echo(json.dumps(self._line(progress)), err=True)
            return
        if self._bar is None:
            from friday_store.cli.bar import Bar

            self._bar = Bar(self._command, colour=self._session.colour(sys.stderr))
        self._bar.move(progress)

    def _line(self, progress: Progress) -> dict[str, object]:
        return {
            "type": "progress",
            "command": self._command,
            "done": progress.done,
            "objects": progress.objects,
            "sent_bytes": progress.sent,
            "size_bytes": progress.size,
            "present": progress.present,
            "seconds": round(self._clock() - self._began, 3),
        }


def _shown(session: Session, kind: Kind) -> str:
    """Return what to show; nothing by itself on a terminal that cannot redraw a line, or that gets a log's lines."""
    if kind in ("json", "none"):
        return kind
    still = kind == "auto" and (os.environ.get("TERM") == "dumb" or session.verbose)
    return "bar" if sys.stderr.isatty() and not still else "none"
