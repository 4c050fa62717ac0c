"""The reference of the command line as Markdown, made of the commands themselves; the README prints it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from friday_store.cli.topics import ENVIRONMENT, EXIT_CODES


def markdown() -> str:
    """Return tables of all commands, exit codes and variables of the environment."""
    from friday_store.cli import cli

    with click.Context(cli, info_name="friday-store") as root:
        rows = [row for name in cli.list_commands(root) for row in _rows(root, cli, name)]
    return "\n".join(
        [
            *_table(("command", "what it does", "its own options"), rows),
            "",
            *_table(("exit code", "means"), [(f"`{code}`", what) for code, what in EXIT_CODES.items()]),
            "",
            *_table(("variable", "means"), [(f"`{name}`", what) for name, what in ENVIRONMENT.items()]),
        ]
    )


def _rows(above: click.Context, group: click.Group, name: str, before: str = "") -> Iterator[tuple[str, str, str]]:
    """Iterate over the rows of a command and of those below it."""
    command = group.get_command(above, name)
    assert command is not None
    whole = f"{before}{name}"
    with click.Context(command, info_name=name, parent=above) as ctx:
        arguments = [param.make_metavar(ctx) for param in command.params if isinstance(param, click.Argument)]
        options = [
            max(param.opts, key=len) for param in command.params if isinstance(param, click.Option) and not param.hidden
        ]
        what = (command.help or "").splitlines()[0]
        yield f"`{' '.join([whole, *arguments])}`", what, " ".join(f"`{option}`" for option in options)
        if isinstance(command, click.Group):
            for below in command.list_commands(ctx):
                yield from _rows(ctx, command, below, f"{whole} ")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
