"""``init``, ``demo``, ``completion`` and ``help``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import topics
from friday_store.cli.output import Column, View, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_MADE: Final = View(
    fields=("url", "id", "created"), columns=(Column("url", "URL"), Column("id", "ID")), id="id"
)  # fmt: skip


@click.command(cls=Command, examples=["init", "init shared/models --json"])
@click.argument("url", required=False)
@click.option("--no-probe", is_flag=True, help="Do not ask the place what it can do.")
@click.option("--single-writer", is_flag=True, help="You vouch that nobody else writes there.")
@click.pass_obj
def init(session: Session, /, *, url: str | None, no_probe: bool, single_writer: bool) -> None:
    """Create an empty registry.

    Without URL it is the folder .friday here; with it, that place itself. One that is there already stays as it is. A
    store that lets two writers create one file is refused, unless there will be only one.
    """
    if single_writer:
        session.options["single_writer"] = True
    registry = session.registry(url or session.url or str(Path.cwd() / ".friday"), new=True)
    created = not registry.repository.born
    lines: list[str] = []
    if created:
        lines = [] if no_probe else _probed(session, registry)
        registry.repository.create(guarded=False)
    record = {"url": registry.url, "id": registry.repository.id, "created": created}
    verb = "made an empty registry at" if created else "there is a registry already at"
    single(session, _MADE, record, text=lambda each: "\n".join([clean(f"{verb} {each['url']}"), *lines]))


def _probed(session: Session, registry: ModelRegistry) -> list[str]:
    """Refuse a place that cannot be written safely; return lines that say how it is."""
    from friday_store.cli import probing
    from friday_store.registry import location

    found = location.remotes(None).check_writable(registry.place)
    return [] if found is None else probing.told(session, found, single_writer=registry.place.single_writer)


@click.command(cls=Command, examples=["demo --fast", "demo prices --fast --symbols AAPL"])
@click.argument("folder", metavar="[DIR]", default="friday-demo")
@click.option("--fast", is_flag=True, help="Fewer and smaller models.")
@click.option("--symbols", metavar="A,B", default="", help="Which symbols, such as AAPL,MSFT.")
def demo(*, folder: str, fast: bool, symbols: str) -> None:
    """Run a demo on real prices.

    DIR must be new or empty; without it the demo is in friday-demo.
    """
    from friday_store.cli.demo import run

    run(folder, fast=fast, symbols=[name.strip() for name in symbols.split(",") if name.strip()], say=click.echo)


@click.command(cls=Command, examples=["completion bash", "completion fish"])
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@click.pass_context
def completion(ctx: click.Context, /, *, shell: str) -> None:
    """Print a shell's completion script.

    For bash: add eval "$(friday-store completion bash)" to ~/.bashrc; likewise for the others.
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is None:
        raise Refusal(f"this click cannot complete for {shell}", 1, "pip install --upgrade click")
    if shell == "bash":  # else it would cut NAME:VERSION and NAME@ALIAS into words; as npm's own script does
        click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//[:@]/}")
    click.echo(script(ctx.find_root().command, {}, "friday-store", "_FRIDAY_STORE_COMPLETE").source())


@click.command("help", cls=Command, examples=["help exit-codes", "help revisions", "help register"])
@click.argument("topic", required=False, shell_complete=topics)
@click.pass_context
def help_(ctx: click.Context, /, *, topic: str | None) -> None:
    """Explain a topic.

    Topics: exit-codes, environment, formatting, revisions, search, sync; reference is all of it as Markdown. The name
    of a command shows that command's help.
    """
    from difflib import get_close_matches

    from friday_store.cli.topics import TOPICS

    above = ctx.parent
    assert above is not None
    assert isinstance(above.command, click.Group)
    if topic is None:
        click.echo(above.get_help())
    elif topic == "reference":
        from friday_store.cli import reference

        click.echo(reference.markdown())
    elif topic in TOPICS:
        click.echo(TOPICS[topic])
    else:
        command = above.command.get_command(above, topic)
        if command is None:
            near = get_close_matches(topic, [*TOPICS, *above.command.list_commands(above)], 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise Refusal(f"there is no topic {topic!r}{meant}", 2, "friday-store help")
        with command.make_context(topic, [], parent=above, resilient_parsing=True) as shown:
            click.echo(command.get_help(shown))
