"""From an exception to an exit code, and two lines on stderr (four for a query); see ``help exit-codes``."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback

import click

from friday_store.cli import words
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked
from friday_store.errors import FridayStoreError, QueryError


def told(session: Session, error: BaseException) -> int:
    """Tell the user what went wrong, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        _silence()
        return 141
    if session.debug:
        lines = "".join(traceback.format_exception(error)).splitlines()
        click.echo("\n".join(clean(masked(line)) for line in lines), err=True)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130
    code, message, hint = _explained(session, error)
    session.say("error", message)
    if isinstance(error, QueryError):
        click.echo("\n".join(clean(masked(line)) for line in error.pointed()), err=True)
    if hint:
        session.say("hint", hint)
    return code


def _explained(session: Session, error: BaseException) -> tuple[int, str, str | None]:
    if isinstance(error, FridayStoreError):
        return error.exit_code, *words.said(error)
    if isinstance(error, Refusal):
        return error.code, error.message, error.hint
    if isinstance(error, click.ClickException):
        ctx = getattr(error, "ctx", None)
        path = "friday-store" if ctx is None else ctx.command_path
        return error.exit_code, _lower(error.format_message()), f"{path} --help"
    return 1, f"unexpected {type(error).__name__}: {error}", session.again("--debug")


def _lower(message: str) -> str:
    """Return a message of click's as ours are: not a sentence, but what follows ``error:``."""
    first, _, rest = message.partition(". ")
    parts = [part[:1].lower() + part[1:] for part in (first, rest) if part]
    return "; ".join(part.removesuffix(".") for part in parts)


def _silence() -> None:
    """Let the interpreter's last flush of a broken stdout succeed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
