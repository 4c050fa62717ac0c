"""Long text in the user's pager, as git does it: ``FRIDAY_STORE_PAGER``, else ``PAGER``, else ``less``."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys

import click


def page(text: str) -> str | None:
    """Show text in the pager, and wait until it is closed; return why it could not be started, or None."""
    command = _command()
    try:
        words = shlex.split(command)
        process = subprocess.Popen(words, stdin=subprocess.PIPE, env={"LESS": "FRX", **os.environ})  # noqa: S603 - theirs
    except (OSError, ValueError) as error:
        return f"the pager {command!r} does not start: {getattr(error, 'strerror', None) or error}"
    assert process.stdin is not None
    with contextlib.suppress(OSError, KeyboardInterrupt), process.stdin as stream:  # it may be closed before the end
        stream.write(f"{text}\n".encode(sys.stdout.encoding, "replace"))
    while process.poll() is None:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is a key of the pager's
            process.wait()
    return None


def wanted(text: str) -> bool:
    """Whether text belongs in a pager: stdout is a terminal on which it would scroll away, and there is a pager."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return False
    size = shutil.get_terminal_size()
    rows = sum(max(1, -(-len(click.unstyle(line)) // size.columns)) for line in text.splitlines())
    return rows >= size.lines and _command() not in ("", "cat")


def _command() -> str:
    said = os.environ.get("FRIDAY_STORE_PAGER", os.environ.get("PAGER"))
    return ("less" if shutil.which("less") else "") if said is None else said.strip()
