"""What is refused about remotes, and what to do instead; no secret gets into a message or a hint."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from friday_store.errors import InvalidValueError, StorageError
from friday_store.remotes.layers import SWITCHES
from friday_store.remotes.options import Way, leaves
from friday_store.remotes.remote import Remote
from friday_store.remotes.secrecy import misplaced, secret, shown_urls, with_credentials

if TYPE_CHECKING:
    from friday_store.storage.probe import Probe


def secrets(name: str, table: Mapping[str, Any], path: Path, *, added: bool) -> None:
    """Refuse to write secrets into a file that others may read.

    Args:
        name: The remote.
        table: What would be written.
        path: The file.
        added: Whether the remote is new, for the hint.

    Raises:
        InvalidValueError: There are some; the hint is the command with ``--local``, dots in the place of secrets.
    """
    options = list(leaves(table.get("options", {})))
    found = [".".join(way) for way, value in options if secret(way, value)]
    url = str(table.get("url", ""))
    if with_credentials(url):
        what = f"the URL of remote {name!r} holds a user, a password or a signature"
    elif found:
        what = f"{', '.join(found)} of remote {name!r} {'is' if len(found) == 1 else 'are'} secret"
    else:
        return
    said = [*(((switch,), table[switch]) for switch in sorted(SWITCHES & table.keys())), *options]
    if added:
        words = ["remote", "add", "--local", name, shown_urls(url), *_options(said)]
    else:
        words = ["remote", "set", "--local", name, *([f"url={shown_urls(url)}"] if url else []), *map(_said, said)]
    raise InvalidValueError(
        f"{what}, and {path} is not for secrets; --local keeps them in a file that only you can read, and "
        "env:VARIABLE or file:PATH says where one stands",
        path="options" if found else "url",
        hint=shlex.join(["friday-store", *words]),
    )


def malformed(url: str) -> None:
    """Refuse a URL that other libraries would take apart in another way than it was meant, or not at all.

    Raises:
        InvalidValueError: It is none, or its password has a slash, so that the password would be taken for a host.
    """
    if "://" not in url:
        return
    try:
        urlsplit(url)
    except ValueError as error:
        raise InvalidValueError(f"{shown_urls(url)!r} is no URL: {error}", path="url") from None
    if misplaced(url):
        raise InvalidValueError(
            f"the password in the URL of {shown_urls(url)} has a slash, which would end the name of the host",
            path="url",
            hint="write %2F for it, or give the password as an option, such as secret=env:VARIABLE",
        )


def unsafe(remote: Remote, found: Probe | None) -> None:
    """Refuse to write to a place that cannot be written, or not safely.

    Raises:
        StorageError: So it is; ``found`` is what a probe said, None if there is nothing there yet.
    """
    if found is None or found.exclusive:
        return
    named = f"remote {remote.name!r}" if remote.name else "the store"
    why = remote.clean(found.reason)
    if not found.readable:
        again = f"friday-store remote show {remote.name}" if remote.name else "friday-store doctor"
        raise StorageError(f"{named} at {remote.place} cannot be reached: {why}", hint=again)
    if not found.writable:
        raise StorageError(
            f"{named} at {remote.place} cannot be written: {why}",
            hint="reading works; to write, use credentials that may, or another place",
        )
    if found.exclusive is None:
        raise StorageError(
            f"it could not be found out whether {named} at {remote.place} tells two writers apart: {why}",
            hint="run the command again",
        )
    words = ["remote", "set", remote.name, "single_writer=true"] if remote.name else ["init", "--single-writer"]
    if not remote.name:
        words += [remote.place, *_options(list(leaves(remote.options)))]
    raise StorageError(
        f"{named} at {remote.place} lets two writers create one file, so two pushes at once could undo each other; "
        "it can be read, and written only if you vouch that nobody else writes there",
        hint=shlex.join(["friday-store", *words]),
    )


def _options(said: Sequence[tuple[Way, Any]]) -> list[str]:
    return [word for each in said for word in ("-o", _said(each))]


def _said(option: tuple[Way, Any]) -> str:
    """Return an option as one types it, with dots in the place of a secret."""
    way, value = option
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"{'.'.join(way)}={'...' if secret(way, value) else text}"
