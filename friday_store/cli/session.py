"""One run of the command line: what it was told, and the registry that it opens for it."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

import click

from friday_store.cli.text import clean, masked

if TYPE_CHECKING:
    from friday_store.plugins import Plugins
    from friday_store.registry import ModelRegistry

WILD: Final = frozenset("*?[")
FORMATS: Final = ("human", "tsv", "json", "jsonl", "ids")
_LOGGER: Final = logging.getLogger("friday_store")
_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)


class Refusal(click.ClickException):
    """The command line itself refuses; with the exit code and what to do next."""

    def __init__(self, message: str, code: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class Session:
    """What the options said, for the commands; and while it is entered, warnings and log lines go to stderr.

    Attributes:
        arguments: The command line, for hints.
        url: ``--registry``, or None.
        options: ``-o``, for every store that is opened and is not local.
        format: One of :data:`FORMATS`, or empty for what suits stdout.
        fields: ``--fields``, or empty for the usual ones.
        color: ``auto``, ``always`` or ``never``.
        verbose: How many ``-v``.
        no_plugins: Whether plugins are left out.
        no_truncate: Whether tables may be wider than the terminal.
        no_pager: Whether long output goes to the terminal itself.
        debug: Whether a traceback is shown.
        header: Whether TSV begins with a line of titles.
        silent: Whether nothing is said unasked, since a shell is completing a word.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.arguments = list(arguments)
        self.url: str | None = None
        self.options: dict[str, Any] = {}
        self.format = ""
        self.fields: tuple[str, ...] = ()
        self.color = "auto"
        self.verbose = 0
        self.no_plugins = False
        self.no_truncate = False
        self.no_pager = False
        self.debug = os.environ.get("FRIDAY_STORE_DEBUG", "") not in ("", "0")
        self.header = False
        self.silent = False
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        handler = _Lines(self)
        level = _LOGGER.level
        _LOGGER.addHandler(handler)
        _LOGGER.setLevel(logging.DEBUG)
        self._resources.callback(_LOGGER.setLevel, level)
        self._resources.callback(_LOGGER.removeHandler, handler)
        self._resources.callback(setattr, warnings, "showwarning", warnings.showwarning)
        warnings.showwarning = self._warn
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def _warn(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:  # noqa: ARG002
        self.say("warning", str(message))

    def say(self, what: str, message: str) -> None:
        """Write one line to stderr, such as ``warning: …``."""
        paint = {"error": "red", "warning": "yellow", "hint": "cyan"}.get(what)
        head = click.style(f"{what}:", fg=paint, bold=what == "error")
        click.echo(f"{head} {clean(masked(' '.join(message.split())))}", err=True, color=self.colour(sys.stderr))

    def again(self, *more: str, instead: Mapping[str, str] | None = None) -> str:
        """Return the command line of this run, with more options in front and dots in the place of secrets.

        Args:
            more: The options.
            instead: Words that take the place of others.
        """
        words = [(instead or {}).get(word, word) for word in self.arguments]
        return shlex.join(["friday-store", *more, *map(_shown, words)])

    def colour(self, stream: IO[str]) -> bool:
        """Whether to colour a stream: ``--color``, else the environment, else whether it is a terminal."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
            return True
        return os.environ.get("TERM") != "dumb" and stream.isatty()

    def found_plugins(self) -> Plugins:
        """Return the installed plugins, or none if that was asked for."""
        from friday_store.plugins import Plugins
        from friday_store.registry.location import default_plugins

        return Plugins(()) if self.no_plugins else default_plugins()

    def registry(self, url: str | None = None, *, new: bool = False) -> ModelRegistry:
        """Return the registry, open until the run ends.

        Args:
            url: Where; None: as the options and the environment say.
            new: Whether one that is not there yet will do.

        Raises:
            RepositoryError: There is none.
        """
        from friday_store.errors import RepositoryError
        from friday_store.registry import ModelRegistry, location

        place = url or self.url
        registry = self._resources.enter_context(
            ModelRegistry(place, plugins=self.found_plugins(), storage_options=self.options)
        )
        own = place is None and location.is_own(registry.url)
        if not registry.repository.born and not new:
            hint = "friday-store init" if place is None else f"friday-store init {shlex.quote(place)}"
            where = f"here or above, and none of your own at {registry.url}" if own else f"at {registry.url}"
            raise RepositoryError(f"there is no registry {where}", hint=hint)
        if own and registry.repository.born and not self.silent:
            self.silent = True  # once is enough
            self.say("note", f"there is no .friday here or above; this is your own registry, {registry.url}")
        return registry


def _shown(argument: str) -> str:
    """Return an argument with dots in the place of the secret in ``-o key=secret``."""
    from friday_store.remotes.secrecy import secret_name

    key, equals, _ = argument.partition("=")
    hidden = equals and any(secret_name(name) for name in key.removeprefix("-o").split("."))
    return f"{key}=..." if hidden else argument


class _Lines(logging.Handler):
    """Log records as lines on stderr, as many as ``-v`` asks for."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= _LEVELS[min(self._session.verbose, 2)]:
            self._session.say(record.levelname.lower(), record.getMessage())
