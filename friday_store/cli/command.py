"""Commands that are imported when they are called, know the options of every command, and show examples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import click
from click.exceptions import NoSuchCommand

from friday_store.cli.session import FORMATS, Session

Table = Mapping[str, Mapping[str, tuple[str, str]]]
"""Section to command to (``module:function``, one line of help)."""

_SHARED: Final = "shared_"


def _kept(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        setattr(ctx.ensure_object(Session), str(param.name).removeprefix(_SHARED), value)


def _format(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if not value:
        return
    session = ctx.ensure_object(Session)
    wanted = {"json": "json", "quiet": "ids"}.get(str(param.name).removeprefix(_SHARED), value)
    if session.format not in ("", wanted):
        raise click.UsageError(f"one format at a time: {session.format} or {wanted}", ctx)
    session.format = wanted


def _fields(ctx: click.Context, param: click.Parameter, value: str | None) -> None:  # noqa: ARG001 - click's
    if value is not None:
        ctx.ensure_object(Session).fields = tuple(field.strip() for field in value.split(",") if field.strip())


def _folder(ctx: click.Context, param: click.Parameter, value: str | None) -> None:  # noqa: ARG001 - click's
    if value is not None:
        try:
            ctx.with_resource(contextlib.chdir(value))
        except OSError as error:
            raise click.UsageError(f"cannot go to {value!r}: {error.strerror}", ctx) from error


def _options(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> None:  # noqa: ARG001 - click's
    if value:
        from friday_store.remotes import parsed

        ctx.ensure_object(Session).options.update(parsed(value))


def shared(*, hidden: bool) -> list[click.Option]:
    """Return the options that stand before or after every command's name; their values go to the session."""

    def option(name: str, *flags: str, callback: Any = _kept, **settings: Any) -> click.Option:
        names = (_SHARED + name, *flags)
        return click.Option(names, callback=callback, expose_value=False, is_eager=True, hidden=hidden, **settings)

    return [
        option("folder", "-C", metavar="DIR", callback=_folder, help="Run as if started in DIR."),
        option("url", "-R", "--registry", metavar="URL", help="The registry, instead of the nearest .friday."),
        option(
            "options", "-o", metavar="KEY=VALUE", multiple=True, callback=_options, help="What a URL's store needs."
        ),
        option(
            "format", "--format", type=click.Choice(FORMATS), callback=_format, metavar="F", help=", ".join(FORMATS)
        ),
        option("json", "--json", is_flag=True, callback=_format, help="The same as --format json."),
        option("quiet", "-q", "--quiet", is_flag=True, callback=_format, help="Ids only."),
        option("fields", "--fields", metavar="A,B.C", callback=_fields, help="Only these fields."),
        option("color", "--color", type=click.Choice(["auto", "always", "never"]), metavar="WHEN", help="Colour."),
        option("header", "--header", is_flag=True, help="TSV with a line of titles."),
        option("no_truncate", "--no-truncate", is_flag=True, help="Tables in full, also past the terminal's edge."),
        option("no_pager", "--no-pager", is_flag=True, help="Long output without a pager."),
        option("verbose", "-v", "--verbose", count=True, help="Say more; -vv for all."),
        option("no_plugins", "--no-plugins", is_flag=True, help="Leave plugins out."),
        option("debug", "--debug", is_flag=True, help="Show tracebacks."),
    ]


class Command(click.Command):
    """A command with examples, that also takes the shared options which it does not redefine.

    Args:
        args: Arguments of :class:`click.Command`.
        examples: Command lines without the program's name; each is run by the tests.
        copies: Whether it copies much, so that freed memory is to go back to the system.
        settings: Arguments of :class:`click.Command`.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), copies: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)
        self.copies = copies
        taken = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        self.params += [option for option in shared(hidden=True) if taken.isdisjoint(option.opts)]

    def invoke(self, ctx: click.Context) -> Any:
        """Carry out the command."""
        if self.copies:
            from friday_store.cli import memory

            memory.give_back()
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the examples; each line is run by the tests."""
        formatter.write_paragraph()
        formatter.write("Examples:\n")
        for example in self.examples:
            formatter.write(f"  $ friday-store {example}\n")
        formatter.write("\nOptions of every command: friday-store --help\n")


class Group(Command, click.Group):
    """A command with commands of its own."""

    command_class = Command


class LazyGroup(click.Group):
    """The root: its help needs no command, and a plugin is asked only for a name that is not in the table."""

    def __init__(self, *args: Any, table: Table, folded: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.table = table
        self.folded = folded

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the table, by section."""
        return [name for section in self.table.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command of the table or of a plugin."""
        for section in self.table.values():
            if cmd_name in section:
                module, _, function = section[cmd_name][0].partition(":")
                command = getattr(import_module(module), function)
                assert isinstance(command, click.Command)
                return command
        return None if ctx.resilient_parsing or cmd_name[:1] == "-" else self._of_plugin(ctx, cmd_name)

    def _of_plugin(self, ctx: click.Context, name: str) -> click.Command | None:
        found = click.Group()
        ctx.ensure_object(Session).found_plugins().commands(found)
        return found.get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant, or say which names are near."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the commands by section, then the options, without importing a command."""
        rows = {title: list(self._rows(section)) for title, section in self.table.items()}
        width = max(len(names) for section in rows.values() for names, _ in section)
        for title, section in rows.items():
            with formatter.section(title):
                formatter.write_dl([(names.ljust(width), line) for names, line in section])
        with formatter.section("Options, before or after the command, besides --help, --version and --no-plugins"):
            formatter.write_dl(list(self._option_rows()))

    def _rows(self, section: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Iterate over the lines of a section; two commands that undo each other share one."""
        for name, (_, line) in section.items():
            if name not in self.folded.values():
                other = self.folded.get(name)
                more = "" if other is None else section[other][1]
                yield (
                    (name, line) if other is None else (f"{name}, {other}", f"{line[:-1]}; {more[0].lower()}{more[1:]}")
                )

    def _option_rows(self) -> Iterator[tuple[str, str]]:
        yield "-C DIR, -R URL, -o KEY=VALUE", "start in DIR; another registry; its options"
        yield "--format F, --json, -q", f"{', '.join(FORMATS)}; -q writes ids"
        yield "--fields A,B, --header", "only these fields; titles above tsv"
        yield "--no-truncate, --no-pager", "tables in full; long output as it is"
        yield "--color WHEN, -v, --debug", "auto, always, never; say more; show tracebacks"
