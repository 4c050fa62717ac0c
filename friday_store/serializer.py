"""From a model to its parts and back, over the serializer plugins. Knows no store.

Writing picks the format that was asked for, or the first that accepts the model. Reading never guesses and never
falls back: the recorded format's plugin reads the parts, after it has checked that they are of that format. Parts of
an older layout are first brought into the current one by a format that can (:class:`~hookspecs.Migrating`).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from friday_store import codec, environment
from friday_store.errors import FridayStoreError, InvalidValueError, PluginError, SerializationError
from friday_store.hookspecs import Describing, Migrating, Part, Requiring, Serializer, Typed
from friday_store.plugins import Plugins

FILE: Final = "file"
_CONTENTS_CAP: Final = 64 << 10


class Dumped(NamedTuple):
    """A model as parts, and the format that they are in.

    Attributes:
        serializer: The format.
        parts: Its parts; to be read once.
        listed: The same parts if the format gave all of them at once as buffers, so that they can be read again.
    """

    serializer: Serializer
    parts: Iterable[Part]
    listed: Sequence[Part] | None = None


@dataclass(frozen=True)
class Serialized:
    """A model as its parts, with what it says of itself: one process makes it, another registers it without loading.

    It can be pickled, whatever the model is made of.

    Attributes:
        type: The name of the model's class.
        format: The name of the format.
        version: The version of its layout.
        parts: In order; their data are bytes.
        facts: As :func:`friday_store.environment.said`.
    """

    type: str
    format: str
    version: int
    parts: tuple[Part, ...]
    facts: Mapping[str, Any]

    def views(self) -> dict[str, memoryview]:
        """Return the parts by name, as formats read them."""
        return {part.name: part.view() for part in self.parts}


def serialized(plugins: Plugins, model: Any, name: str | None = None) -> Serialized:
    """Return a model as its parts, with what it says of itself; see :func:`dump` for arguments and errors."""
    dumped = dump(plugins, model, name)
    parts = tuple(Part(part.name, b"".join(part.blocks()), part.opaque) for part in dumped.parts)
    form = dumped.serializer
    return Serialized(type(model).__name__, form.name, form.format, parts, environment.said(model))


def chosen(plugins: Plugins, model: object, name: str | None = None) -> Serializer:
    """Return the format that :func:`dump` would use.

    Raises:
        PluginError: No such format is installed.
        SerializationError: The model is serialized already, in another format.
    """
    if isinstance(model, Serialized):
        serializer = plugins.serializer(model.format)
        if name not in (None, model.format) or model.version != serializer.format:
            raise SerializationError(
                f"this {model.type} is in {model.format} {model.version} already, and cannot become "
                f"{name or model.format} {plugins.serializer(name or model.format).format}",
                hint="serialize it with the release and the format that are to register it",
            )
        return serializer
    return plugins.serializer_for(model) if name is None else plugins.serializer(name)


def dump(plugins: Plugins, model: Any, name: str | None = None) -> Dumped:
    """Return the parts of a model.

    Args:
        plugins: Where formats come from.
        model: Any object; a :class:`~pathlib.Path` is the file that it names, which is never loaded, and a
            :class:`Serialized` the model that it was made of.
        name: The format, of the model or of the file; None lets the model decide, and takes a file as opaque.

    Raises:
        PluginError: No such format is installed, or its framework is missing.
        SerializationError: The model cannot be written in it; the message names the attribute at fault.
    """
    serializer = chosen(plugins, model, name)
    doing = f"the format {serializer.name!r} cannot write a {type(model).__qualname__}"
    with _named(serializer, doing):
        if isinstance(model, Serialized):
            serializer.check(model.views())
            return Dumped(serializer, model.parts, model.parts)
        if isinstance(model, Path) and serializer.name != FILE:
            [whole] = plugins.serializer(FILE).dump(model)
            parts = serializer.from_file(whole.view())
        else:
            parts = serializer.dump(model)
        listed = parts if isinstance(parts, list | tuple) and not any(_is_stream(part) for part in parts) else None
        return Dumped(serializer, _checked(serializer, doing, parts), listed)


def _is_stream(part: Any) -> bool:
    return not isinstance(part, Part) or part.streamed


def _checked(serializer: Serializer, doing: str, parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts; a format may make them one at a time, and fail at any of them, or in the middle of one."""
    names: set[str] = set()
    with _named(serializer, doing):
        for part in parts:
            if not isinstance(part, Part) or not isinstance(part.name, str):
                raise SerializationError(f"the format {serializer.name!r} wrote something that is no part")
            if part.name in names:
                raise SerializationError(f"the format {serializer.name!r} wrote two parts called {part.name!r}")
            names.add(part.name)
            yield part._replace(data=_flowing(serializer, doing, part)) if part.streamed else part


def _flowing(serializer: Serializer, doing: str, part: Part) -> Iterator[memoryview]:
    with _named(serializer, doing):
        yield from part.blocks()


def load(plugins: Plugins, name: str, version: int, parts: Mapping[str, memoryview]) -> Any:
    """Return the model that verified parts make.

    Args:
        plugins: Where formats come from.
        name: The recorded format.
        version: The recorded version of it.
        parts: The parts by name.

    Raises:
        PluginError: No such format is installed, or what the model is made of is not, or is too old to be safe.
        SerializationError: The parts are not of that format.
    """
    serializer = plugins.serializer(name)
    _require_floors(serializer)
    with _named(serializer, f"the model's {name} parts are whole, and loading them failed", _COMPARE):
        return serializer.load(*_current(serializer, version, parts))


def types(serializer: Typed, version: int, parts: Mapping[str, memoryview]) -> list[str]:
    """Return the types that a format of class ``typed`` would make of verified parts, without making any.

    Raises:
        SerializationError: The parts are not of that format.
    """
    assert isinstance(serializer, Serializer)
    with _named(serializer, f"the format {serializer.name!r} cannot say which types the model's parts hold"):
        return [str(each) for each in serializer.types(_current(serializer, version, parts)[0])]


def to_file(plugins: Plugins, name: str, version: int, parts: Mapping[str, memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the blocks of the native single file that verified parts make; nothing is loaded.

    Raises:
        PluginError: No such format is installed.
        SerializationError: The parts are not of that format, or make no single file.
    """
    serializer = plugins.serializer(name)
    with _named(serializer, f"the model's {name} parts are whole, and making one file of them failed", _COMPARE):
        yield from serializer.to_file(_current(serializer, version, parts)[0])


def contents(serializer: Serializer, version: int, parts: Mapping[str, memoryview]) -> dict[str, Any]:
    """Return what a format says is inside a model, as plain data, without loading it; empty if it says nothing.

    Args:
        serializer: The format.
        version: The recorded version of it.
        parts: Verified parts.

    Raises:
        SerializationError: The parts are not of that format, or what the format says is not small and plain.
    """
    if not isinstance(serializer, Describing):
        return {}
    with _named(serializer, f"the format {serializer.name!r} cannot say what the model's parts hold"):
        said = serializer.describe(_current(serializer, version, parts)[0])
        try:
            found = codec.normalise_map(said, "contents")
        except InvalidValueError as error:
            raise SerializationError(f"the format {serializer.name!r} describes a model: {error}") from error
    if len(codec.encode(found)) > _CONTENTS_CAP:
        raise SerializationError(f"the format {serializer.name!r} describes a model at more length than 64 KiB")
    return found


def missing(serializer: Serializer) -> list[str]:
    """Return which of the distributions that a format requires are not installed, as they are required."""
    return [wanted for wanted in _required(serializer) if _version(wanted) is None]


def requirements(serializer: Serializer) -> dict[str, str]:
    """Return the distributions that a format requires, with the versions that are installed."""
    found = ((distribution(wanted), _version(wanted)) for wanted in _required(serializer))
    return {name: version for name, version in found if version is not None}


def _require_floors(serializer: Serializer) -> None:
    """Refuse to load with a library that is older than its format requires: older ones have known holes.

    Raises:
        PluginError: One is.
    """
    for wanted in _required(serializer):
        installed = _outdated(wanted)
        if installed is not None:
            raise PluginError(
                f"the format {serializer.name!r} needs {wanted}, and {installed} is installed",
                hint=f"pip install --upgrade '{wanted}'",
            )


@functools.cache
def _outdated(wanted: str) -> str | None:
    """Return the installed version of what is required, if it is older than that."""
    floor, installed = re.search(r">=\s*([0-9.]+)", wanted), _version(wanted)
    old = floor is not None and installed is not None and _release(installed) < _release(floor[1])
    return installed if old else None


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version's release, without zeros at the end."""
    numbers = re.match(r"(?:\d+!)?((?:\d+\.)*\d+)", version)
    found = [int(number) for number in numbers[1].split(".")] if numbers is not None else []
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def _required(serializer: Serializer) -> Sequence[str]:
    return serializer.requires if isinstance(serializer, Requiring) else ()


def distribution(wanted: str) -> str:
    """Return the name in a requirement such as ``torch>=2.10``."""
    return re.split(r"[^A-Za-z0-9._-]", wanted.strip(), maxsplit=1)[0]


def _version(wanted: str) -> str | None:
    try:
        return importlib.metadata.version(distribution(wanted))
    except importlib.metadata.PackageNotFoundError:
        return None


def _current(
    serializer: Serializer, version: int, parts: Mapping[str, memoryview]
) -> tuple[Mapping[str, memoryview], int]:
    """Return checked parts and their layout: the current one, where the format rewrites older ones."""
    if version > serializer.format:
        raise SerializationError(
            f"the model is in {serializer.name} format {version}, and the installed plugin reads up to "
            f"{serializer.format}",
            hint=f"pip install --upgrade friday-store-{serializer.name}",
        )
    if version < serializer.format and isinstance(serializer, Migrating):
        parts, version = serializer.migrate(parts, version), serializer.format
    serializer.check(parts)
    return parts, version


_COMPARE: Final = "compare the recorded dependencies with what is installed: friday-store show --env"


@contextlib.contextmanager
def _named(serializer: Serializer, doing: str, hint: str | None = None) -> Iterator[None]:
    """Turn whatever a format raises into one kind of error, and a missing framework into what installs it."""
    try:
        yield
    except FridayStoreError:
        raise
    except ImportError as error:
        lacking = missing(serializer) or _absent(serializer, error)
        if not lacking:
            raise SerializationError(f"{doing}: {type(error).__name__}: {error}", hint=hint) from error
        named = " and ".join(distribution(each) for each in lacking)
        raise PluginError(
            f"the format {serializer.name!r} needs {named} for this, not installed here: {error}",
            hint=f"pip install {' '.join(repr(each) if distribution(each) != each else each for each in lacking)}",
        ) from error
    except Exception as error:
        raise SerializationError(f"{doing}: {type(error).__name__}: {error}", hint=hint) from error


def _absent(serializer: Serializer, error: ImportError) -> list[str]:
    """Return what to install for a module that was not found: as the format requires it, if it does."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return []
    named = environment.distribution_of(error.name.partition(".")[0])
    same = (each for each in _required(serializer) if environment.same_distribution(distribution(each), named))
    return [next(same, named)]
