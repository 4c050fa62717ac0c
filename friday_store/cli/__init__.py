"""The command line. Data goes to stdout, everything else to stderr; ``friday-store help exit-codes`` lists the codes.

This module, and so ``--version``, ``--help`` and ``completion``, imports click and nothing else from outside; a
command's module is imported when it is called, and the registry when the command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from friday_store.cli import failure
from friday_store.cli.command import LazyGroup, Table, shared
from friday_store.cli.session import Session

__all__ = ["cli", "main"]

PROGRAM: Final = "friday-store"
_COMPLETE: Final = "_FRIDAY_STORE_COMPLETE"
_HERE: Final = "friday_store.cli"
TABLE: Final[Table] = {
    "Start": {
        "init": (f"{_HERE}.start:init", "Create an empty registry."),
        "clone": (f"{_HERE}.sync:clone", "Copy a registry to work on."),
        "demo": (f"{_HERE}.start:demo", "Run a demo on real prices."),
        "data": (f"{_HERE}.data:data", "Check and prepare market data."),
    },
    "Record": {
        "register": (f"{_HERE}.record:register", "Store a file as a new version."),
        "train": (f"{_HERE}.market:train", "Train models on market data."),
        "predict": (f"{_HERE}.market:predict", "Say what one forecasts."),
        "tag": (f"{_HERE}.record:tag", "List, add or remove tags."),
        "alias": (f"{_HERE}.alias:alias", "List, set or remove aliases."),
        "rollback": (f"{_HERE}.alias:rollback", "Move an alias back."),
        "rm": (f"{_HERE}.removal:rm", "Forget a version or a model."),
        "restore": (f"{_HERE}.removal:restore", "Bring back what was removed."),
    },
    "Look": {
        "ls": (f"{_HERE}.look:ls", "List models, or the versions of one."),
        "show": (f"{_HERE}.look:show", "Show a version."),
        "info": (f"{_HERE}.info:info", "Say what a model file is."),
        "explain": (f"{_HERE}.explain:explain", "Say what loading it runs."),
        "log": (f"{_HERE}.look:log", "Show history, newest first."),
        "verify-log": (f"{_HERE}.verify_log:verify_log", "Check that history is whole."),
        "history": (f"{_HERE}.history:history", "Show a model's versions over time."),
        "metrics": (f"{_HERE}.history:metrics", "Show or log metrics."),
        "compare": (f"{_HERE}.compare:compare", "Put versions side by side."),
        "diff": (f"{_HERE}.compare:diff", "Show what changed in a model."),
        "search": (f"{_HERE}.search:search", "Find versions by a condition."),
        "query": (f"{_HERE}.search:query", "Ask the index in SQL."),
        "best": (f"{_HERE}.best:best", "Find the best version."),
        "convert": (f"{_HERE}.explain:convert", "Store one in a safe format."),
        "lineage": (f"{_HERE}.lineage:lineage", "Show ancestors and descendants."),
        "blame": (f"{_HERE}.lineage:blame", "Show who set a parameter."),
        "get": (f"{_HERE}.fetch:get", "Write a model's file without loading it."),
        "load": (f"{_HERE}.fetch:load", "Load a model."),
    },
    "Sync": {
        "push": (f"{_HERE}.sync:push", "Send what a remote lacks."),
        "pull": (f"{_HERE}.sync:pull", "Fetch and follow what is new."),
        "fetch": (f"{_HERE}.sync:fetch", "Fetch, and move nothing."),
        "status": (f"{_HERE}.status:status", "Show how far apart remotes are."),
        "mirror": (f"{_HERE}.sync:mirror", "Make a remote the same as this."),
        "remote": (f"{_HERE}.remote:remote", "Manage remotes."),
        "export": (f"{_HERE}.bundle:export", "Write models to one file."),
        "import": (f"{_HERE}.bundle:import_", "Bring in models from a file."),
    },
    "Keep": {
        "fsck": (f"{_HERE}.fsck:fsck", "Check and repair what is stored."),
        "prune": (f"{_HERE}.gc:prune", "Forget versions by rule."),
        "gc": (f"{_HERE}.gc:gc", "Erase what no name needs."),
        "protect": (f"{_HERE}.protect:protect", "Keep names from moving."),
        "index": (f"{_HERE}.index:index", "Show or move the SQL index."),
        "doctor": (f"{_HERE}.care:doctor", "Check the installation."),
        "trust": (f"{_HERE}.trust:trust", "List, add and remove what may run code."),
        "identity": (f"{_HERE}.trust:identity", "Show or move your key."),
        "approve": (f"{_HERE}.trust:approve", "Vouch for a version."),
        "plugins": (f"{_HERE}.plugin:plugins", "List plugins."),
        "completion": (f"{_HERE}.start:completion", "Print a shell's completion script."),
        "help": (f"{_HERE}.start:help_", "Explain a topic."),
    },
}
FOLDED: Final = {
    "init": "clone",
    "demo": "data",
    "alias": "rollback",
    "train": "predict",
    "register": "tag",
    "rm": "restore",
    "compare": "diff",
    "info": "explain",
    "best": "convert",
    "ls": "show",
    "history": "metrics",
    "log": "verify-log",
    "lineage": "blame",
    "get": "load",
    "push": "mirror",
    "pull": "fetch",
    "status": "remote",
    "export": "import",
    "fsck": "doctor",
    "prune": "gc",
    "trust": "plugins",
    "search": "query",
    "completion": "help",
    "identity": "approve",
    "index": "protect",
}
"""Commands that share a line of the root's help with one that undoes them or is near."""


class Root(LazyGroup):
    """The group whose ``main`` turns every failure into two lines and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,  # noqa: ARG002 - it has one name
        complete_var: str | None = None,  # noqa: ARG002 - the same
        standalone_mode: bool = True,  # noqa: ARG002, FBT001, FBT002 - click's signature
        windows_expand_args: bool = True,  # noqa: ARG002, FBT001, FBT002 - the same
        **extra: Any,  # noqa: ARG002 - the same
    ) -> NoReturn:
        """Run a command line and exit."""
        sys.exit(self.run(sys.argv[1:] if args is None else args))

    def run(self, arguments: Sequence[str]) -> int:
        """Run a command line and return the exit code."""
        with Session(arguments) as session:
            try:
                try:
                    return self._run(session, list(arguments))
                except click.exceptions.Exit as done:
                    return done.exit_code
                finally:
                    sys.stdout.flush()
            except SystemExit:
                raise
            except BaseException as error:  # noqa: BLE001 - the last place where an exception can be told
                return failure.told(session, error)

    def _run(self, session: Session, arguments: list[str]) -> int:
        instruction = os.environ.get(_COMPLETE)
        if instruction:
            from click.shell_completion import shell_complete

            session.silent = True

            return shell_complete(self, {"obj": session}, PROGRAM, _COMPLETE, instruction)
        with self.make_context(PROGRAM, arguments, obj=session) as ctx:
            self.invoke(ctx)
        return 0


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001, FBT001 - click's
    if value:
        from friday_store import __version__

        click.echo(f"{PROGRAM} {__version__}")
        ctx.exit()


@click.command(
    cls=Root,
    table=TABLE,
    folded=FOLDED,
    name=PROGRAM,
    invoke_without_command=True,
    params=shared(hidden=False),
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Git for machine-learning models."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """Run the command line of this process."""
    cli.main()
    raise AssertionError
