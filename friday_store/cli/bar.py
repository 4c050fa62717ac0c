"""The bar that shows how far a copy is; imported when one is shown, because rich is slow to import."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Lines
from rich.text import Text

from friday_store.cli.text import size
from friday_store.sync import Progress

_WIDTH: Final = 12


class _Rate(ProgressColumn):
    """Bytes per second, in binary units as all sizes."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing while it is unknown."""
        return Text(f"{size(int(task.speed))}/s" if task.speed else "")


class Bar:
    """One line on stderr that is drawn again and again, and gone once it is stopped.

    Args:
        command: What runs, such as ``push``.
        colour: Whether in colour.
    """

    def __init__(self, command: str, *, colour: bool) -> None:
        self._lines = Lines(
            TextColumn("{task.description}"),
            BarColumn(_WIDTH),
            TextColumn("{task.fields[objects]}"),
            TextColumn("{task.fields[amount]}"),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=Console(file=sys.stderr, no_color=not colour, highlight=False),
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._lines.add_task(command, total=None, objects="", amount="")

    def move(self, progress: Progress) -> None:
        """Show how far it is."""
        there = f", {progress.present} already there" if progress.present else ""
        self._lines.update(
            self._task,
            total=progress.size,
            completed=progress.sent,
            objects=f"{progress.done} of {progress.objects} new{there}",
            amount=f"{size(progress.sent)} of {size(progress.size)}",
        )
        self._lines.start()

    def stop(self) -> None:
        """Take the bar away."""
        self._lines.stop()
