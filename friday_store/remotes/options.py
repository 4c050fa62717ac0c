"""Options as text and as tables: ``client_kwargs.region_name=eu-west-1``, and where their values stand.

A value on the command line or in the environment is the switch, number, object or list that it is as JSON, else the
text that it is; a number under a name that looks secret stays text, since a password of digits is text. ``env:NAME``
and ``file:PATH`` stand for what that variable or file holds, which is looked up when a store is opened and never kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from friday_store.errors import InvalidValueError
from friday_store.remotes.secrecy import INDIRECTION, secret_name

_KEY: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LARGEST: Final = 1 << 20

Way = tuple[str, ...]


def parsed(pairs: Sequence[str]) -> dict[str, Any]:
    """Return ``key=value`` texts as a table; dots in a key make tables inside it.

    Raises:
        InvalidValueError: A text has no ``=``, or a key that cannot be, or one that is inside another. The value is
            not named, since it may be secret.
    """
    table: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not _KEY.fullmatch(key):
            named = repr(key) if equals else "one of them"
            raise InvalidValueError(
                f"options are key=value, with letters, digits, '_', '-' and '.' in the key; {named} is not",
                path="options",
                hint="-o endpoint_url=https://objects.example.com -o client_kwargs.region_name=eu-west-1",
            )
        path = tuple(key.split("."))
        put(table, path, value_of(path, text))
    return table


def value_of(path: Sequence[str], text: str) -> Any:
    """Return what a text means as the value of an option."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict | list):
        return text if _holed(value) else value
    if isinstance(value, bool):
        return value
    number = isinstance(value, int | float) and not any(secret_name(name) for name in path)
    return value if number and abs(value) < 1 << 63 else text


def put(table: MutableMapping[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value in a table of tables.

    Raises:
        InvalidValueError: Something on the way is no table.
    """
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, MutableMapping):
            raise InvalidValueError(f"option {'.'.join(path)!r} is inside one that is no table", path="options")
    table[path[-1]] = value


def drop(table: MutableMapping[str, Any], path: Sequence[str]) -> bool:
    """Remove a value from a table of tables, with the tables that it leaves empty; whether it was there."""
    head, rest = path[0], path[1:]
    if head not in table:
        return False
    if not rest:
        del table[head]
        return True
    below = table[head]
    if not isinstance(below, MutableMapping) or not drop(below, rest):
        return False
    if not below:
        del table[head]
    return True


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables as one; ``above`` shadows value by value, tables inside are merged likewise."""
    table = dict(below)
    for name, value in above.items():
        under = table.get(name)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        table[name] = merged(under, value) if both else value  # type: ignore[arg-type]
    return table


def leaves(table: Mapping[str, Any], path: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Yield every value that is no table, with the names on the way to it; an empty table is a value."""
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def resolved(value: Any, path: Way, *, remote: str, root: Path | None, environment: Mapping[str, str]) -> Any:
    """Return a value with ``env:`` and ``file:`` replaced by what they stand for, at any depth.

    What a variable or file holds is text without a last newline, or a table if it is a JSON object, as the key file
    of a service account is.

    Args:
        value: The value.
        path: The names on the way to it, for messages.
        remote: Whose option it is, for messages.
        root: What relative paths are relative to; None: the current folder.
        environment: The variables.

    Raises:
        InvalidValueError: There is no such variable or file, or the file is not a text of at most 1 MiB.
    """
    if isinstance(value, Mapping):
        return {
            name: resolved(item, (*path, name), remote=remote, root=root, environment=environment)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [resolved(item, path, remote=remote, root=root, environment=environment) for item in value]
    if not isinstance(value, str) or not INDIRECTION.fullmatch(value):
        return value
    kind, _, name = value.partition(":")
    what = f"option {'.'.join(path)!r} of {remote}"
    text = _variable(name, environment, what) if kind == "env" else _content(name, root, what)
    if text.lstrip().startswith("{"):
        return value_of(path, text)
    return text


def _variable(name: str, environment: Mapping[str, str], what: str) -> str:
    if name not in environment:
        raise InvalidValueError(
            f"{what} is in the variable {name}, which is not set", path="options", hint=f"export {name}=..."
        )
    return environment[name]


def _content(name: str, root: Path | None, what: str) -> str:
    path = (root or Path()) / Path(name).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise InvalidValueError(f"{what} is in {path}, which has more than 1 MiB", path="options")
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidValueError(f"{what} is in {path}, which is not text", path="options") from None
    except OSError as error:
        raise InvalidValueError(
            f"{what} is in {path}, which cannot be read: {error.strerror}", path="options", hint=f"ls -l {path}"
        ) from error


def _holed(value: Any) -> bool:
    """Whether a null stands somewhere, which TOML does not have."""
    if isinstance(value, dict):
        return any(_holed(item) for item in value.values())
    return value is None or (isinstance(value, list) and any(_holed(item) for item in value))


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)
