"""``remote``: other registries by name, what their stores need, and what a probe found there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli import probing
from friday_store.cli.command import Group
from friday_store.cli.completing import remote_names
from friday_store.cli.output import Column, View, listing, pairs, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked, plain
from friday_store.errors import FridayStoreError

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry
    from friday_store.remotes import Shown, Where

_REMOTES: Final = View(
    fields=("name", "url"), columns=(Column("name", "NAME"), Column("url", "URL")), id="name"
)  # fmt: skip
_ADDED: Final = View(fields=("name", "url", "probe"), columns=_REMOTES.columns, id="name")
_SHOWN: Final = View(
    fields=("name", "url", "partial", "single_writer", "options", "origins", "probe"),
    columns=(
        Column("name", "NAME"),
        Column("url", "URL"),
        Column("partial", "PARTIAL"),
        Column("single_writer", "SINGLE WRITER"),
        Column("options", "OPTIONS"),
        Column("origins", "ORIGINS"),
        Column("probe", "PROBE"),
    ),
    id="name",
)


def _where(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--local`` and ``--global``, which say in which file something is kept."""
    command = click.option("--global", "where", flag_value="global", help="In this user's own config.toml.")(command)
    return click.option(
        "--local", "where", flag_value="local", help="In config.local.toml: yours alone, and for secrets."
    )(command)


@click.group(cls=Group, invoke_without_command=True, examples=["remote", "remote add backup ../backup"])
@click.pass_context
def remote(ctx: click.Context) -> None:
    """Manage remotes.

    An option such as endpoint_url stands in one of three files, in FRIDAY_STORE_REMOTE_<NAME>_<OPTION>, or after -o;
    what is said last holds. Secrets stand in the --local file, in the environment, or where env:NAME or file:PATH say.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(remote_ls)


@remote.command("ls", examples=["remote ls", "remote ls --json"])
@click.pass_obj
def remote_ls(session: Session) -> None:
    """List the remotes."""
    listing(session, _REMOTES, _remotes(session.registry()))


@remote.command("show", examples=["remote show origin", "remote show origin --json"])
@click.argument("name", shell_complete=remote_names)
@click.pass_obj
def remote_show(session: Session, /, *, name: str) -> None:
    """Show one remote.

    Also where each setting comes from, and what the last probe found; never a secret.
    """
    _show(session, _known(session.registry(), name), name)


@remote.command(
    "add",
    examples=[
        "remote add backup ../backup",
        "remote add --no-probe bucket s3://models/team -o client_kwargs.region_name=eu-west-1",
        "remote add --no-probe lab s3://models -o endpoint_url=https://s3.example.com -o key=env:LAB_KEY",
    ],
)
@click.argument("name")
@click.argument("url")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="What the store needs; dots make tables.")
@_where
@click.option("--no-probe", is_flag=True, help="Do not ask the place what it can do.")
@click.pass_obj
def remote_add(
    session: Session, /, *, name: str, url: str, options: Sequence[str], where: Where | None, no_probe: bool
) -> None:
    """Name another registry, which need not exist yet.

    A throw-away file is written there to see whether the store can tell two writers apart; pushing needs that.
    """
    from friday_store.remotes import parsed

    registry = session.registry(new=where == "global")
    said = {**session.options, **parsed(options)}
    registry.add_remote(name, url, said, where=where or "repository", probe=False)
    lines, probe = ([], None) if no_probe else _probed(session, registry, name)
    record = {**_known(registry, name), "probe": probe}
    said_url = masked(url)
    single(session, _ADDED, record, text=lambda each: "\n".join([clean(f"{each['name']} is {said_url}"), *lines]))


@remote.command(
    "set", examples=["remote set origin url=../team single_writer=true", "remote set --local origin key=env:LAB_KEY"]
)
@click.argument("name", shell_complete=remote_names)
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@_where
@click.pass_obj
def remote_set(session: Session, /, *, name: str, settings: Sequence[str], where: Where | None) -> None:
    """Set options of a remote; KEY= takes one away.

    KEY is url, partial, single_writer, or what its store needs.
    """
    from friday_store.remotes import parsed

    registry = session.registry(new=where == "global")
    found = _known(registry, name)
    values = parsed([each for each in settings if not each.endswith("=") or each.count("=") > 1])
    unset = [each[:-1] for each in settings if each.endswith("=") and each.count("=") == 1]
    registry.set_remote(name, values, unset=unset, where=where)
    _show(session, found, name)


@remote.command("rm", examples=["remote rm origin", "remote rm origin --json"])
@click.argument("name", shell_complete=remote_names)
@_where
@click.pass_obj
def remote_rm(session: Session, /, *, name: str, where: Where | None) -> None:
    """Forget a remote; nothing in it changes."""
    registry = session.registry(new=where == "global")
    found = _known(registry, name)
    registry.remove_remote(name, where=where)
    single(session, _REMOTES, found, text=lambda each: clean(f"removed {each['name']}"))


def _probed(session: Session, registry: ModelRegistry, name: str) -> tuple[list[str], Mapping[str, Any] | None]:
    """Probe a new remote; return lines that say how it is, and what is kept. What is wrong goes to stderr."""
    try:
        found = registry.probe_remote(name)
    except FridayStoreError as error:
        session.say("warning", f"{name} is added but was not reached: {error}")
        if error.hint:
            session.say("hint", error.hint)
        return [], None
    if found is None:
        return [], None
    if not found.readable:
        session.say("warning", f"{name} is added but was not reached: {found.reason}")
        return [], None
    shown = registry.remote(name)
    return probing.told(session, found, single_writer=shown.single_writer), shown.probe


def _show(session: Session, found: Mapping[str, str], name: str) -> None:
    shown = session.registry(new=True).remote(name)
    single(session, _SHOWN, {**_recorded(shown), **found, "url": shown.url}, text=_described, upright=True)


def _recorded(shown: Shown) -> dict[str, Any]:
    return {
        "name": shown.name,
        "url": shown.url,
        "partial": shown.partial,
        "single_writer": shown.single_writer,
        "options": {each.key: each.value for each in shown.options},
        "origins": {"url": shown.origin, **{each.key: each.origin for each in shown.options}},
        "probe": dict(shown.probe),
    }


def _described(record: Mapping[str, Any]) -> str:
    origins = record["origins"]
    lines = [("name", record["name"]), ("url", f"{record['url']} ({origins['url']})")]
    lines += [(word, "yes" if record[word] else "") for word in ("partial", "single_writer")]
    lines += [(key, f"{plain(value)} ({origins[key]})") for key, value in record["options"].items()]
    lines += [(f"probe: {fact}", plain(value)) for fact, value in record["probe"].items()]
    return "\n".join(pairs(lines))


def _remotes(registry: ModelRegistry) -> list[dict[str, str]]:
    return [{"name": name, "url": url} for name, url in registry.remotes().items()]


def _known(registry: ModelRegistry, name: str) -> dict[str, str]:
    from difflib import get_close_matches

    known = {each["name"]: each for each in _remotes(registry)}
    if name not in known:
        near = get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise Refusal(f"there is no remote {name!r}{meant}", 3, "friday-store remote ls")
    return known[name]
