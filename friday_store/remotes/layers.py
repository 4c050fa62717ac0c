"""Where a remote's settings come from: three files, the environment, and what was said for this one time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from friday_store.errors import InvalidValueError
from friday_store.remotes.options import Way, leaves, merged, put, value_of
from friday_store.remotes.remote import Layer, Where
from friday_store.repository.config import FILE, LOCAL, read_remotes

Table: TypeAlias = dict[str, Any]
"""A remote as it stands in a file: ``url``, ``partial``, ``single_writer``, the tables ``options`` and ``probe``."""

DIRECT: Final = "registry"
FILES: Final[tuple[Where, ...]] = ("global", "repository", "local")
SWITCHES: Final = frozenset({"partial", "single_writer"})
OWN: Final = SWITCHES | {"url"}
_VARIABLE: Final = "FRIDAY_STORE_REMOTE_"
_INNER: Final = "_kwargs_"


class Layers:
    """The layers of every remote, read anew each time.

    Args:
        root: The local repository's folder; None: there is none, and so only the user's file.
        user: The user's own ``config.toml``; None: there is none.
        environment: The variables.
    """

    def __init__(self, root: Path | None, user: Path | None, environment: Mapping[str, str]) -> None:
        self.root = root
        self.user = user
        self.environment = environment

    def path(self, where: Where) -> Path:
        """Return the file that is called so.

        Raises:
            InvalidValueError: There is none: the repository is a URL, or the user has no folder.
        """
        if where not in FILES:
            raise InvalidValueError(f"where is 'repository', 'local' or 'global', not {where!r}", path="where")
        if where == "global":
            if self.user is None:
                raise InvalidValueError("this user has no folder for a configuration", path="where")
            return self.user
        if self.root is None:
            raise InvalidValueError(
                "remotes belong to a local repository; this one is a URL",
                path="remote",
                hint="friday-store remote add --global NAME URL",
            )
        return self.root / (LOCAL if where == "local" else FILE)

    def file(self, where: Where) -> dict[str, Table]:
        """Return the remotes in one file, by name; none where there is no such file."""
        missing = where in FILES and (self.user if where == "global" else self.root) is None
        return {} if missing else read_remotes(self.path(where))

    def names(self) -> list[str]:
        """Return the names in the files, sorted."""
        return sorted({name for where in FILES for name in self.file(where)} - {DIRECT})

    def of(self, name: str, said: Mapping[str, Any] | None = None) -> dict[Layer, Table]:
        """Return a remote's layers that say something, the lowest first.

        Args:
            name: Its name.
            said: Options for this one time, as tables; ``url``, ``partial`` and ``single_writer`` among them.
        """
        found: dict[Layer, Table] = {where: self.file(where).get(name, {}) for where in FILES}
        found["environment"] = self._environment(name, united(found))
        found["option"] = divided(said or {})
        return {layer: table for layer, table in found.items() if table}

    def _environment(self, name: str, below: Table) -> Table:
        """Return what the variables say; one that two names could claim belongs to the longer name."""
        prefix = f"{_VARIABLE}{spelled(name)}_"
        others = [f"{_VARIABLE}{spelled(other)}_" for other in (*self.names(), DIRECT)]
        longer = tuple(other for other in others if other != prefix and other.startswith(prefix))
        known = {spelled(".".join(way)): way for way in _ways(below.get("options", {}))}
        values: Table = {}
        for variable, text in sorted(self.environment.items()):
            if text and variable.startswith(prefix) and not variable.startswith(longer or ("\0",)):
                rest = variable.removeprefix(prefix)
                way = known.get(rest) or _guessed(rest)
                put(values, way, text if way == ("url",) else value_of(way, text))
        return divided(values)


def spelled(name: str) -> str:
    """Return a name, of a remote or an option, as it stands in a variable's name."""
    return name.upper().replace("-", "_").replace(".", "_")


def united(layers: Mapping[Layer, Table]) -> Table:
    """Return all layers as one table, the later shadowing the earlier."""
    whole: Table = {}
    for table in layers.values():
        whole = merged(whole, table)
    return whole


def origin(layers: Mapping[Layer, Table], way: Way) -> Layer:
    """Return the last layer in which a value stands."""
    return [layer for layer, table in layers.items() if way in dict(leaves(table))][-1]


def moved(layers: Mapping[Layer, Table]) -> bool:
    """Whether another place is meant than the files say, about which a probe kept there says nothing."""
    said = [table for layer, table in layers.items() if layer in ("environment", "option")]
    ways = [way for table in said for way, _ in leaves(table)]
    return any("url" in way[-1].lower() or "endpoint" in way[-1].lower() for way in ways)


def divided(values: Mapping[str, Any]) -> Table:
    """Return settings, as they are said on one level, as a remote's table.

    Raises:
        InvalidValueError: A setting of ours has a value that cannot be.
    """
    table: Table = {name: value for name, value in values.items() if name in OWN}
    for name, value in table.items():
        if name in SWITCHES and not isinstance(value, bool):
            raise InvalidValueError(f"{name} is true or false", path=name, hint=f"{name}=true")
    if "url" in table:
        table["url"] = str(table["url"])
    options = {name: value for name, value in values.items() if name not in OWN}
    return {**table, "options": options} if options else table


def _ways(table: Mapping[str, Any], way: Way = ()) -> Iterator[Way]:
    """Yield the names on the way to every value and to every table."""
    for name, value in table.items():
        yield (*way, name)
        if isinstance(value, Mapping):
            yield from _ways(value, (*way, name))


def _guessed(rest: str) -> Way:
    """Return the option that is meant by ``CLIENT_KWARGS_REGION_NAME``, when no file has it."""
    name = rest.lower()
    outer, inner, last = name.partition(_INNER)
    return (outer + _INNER[:-1], last) if inner and last else (name,)
