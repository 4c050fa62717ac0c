"""From a model to its parts and back, over the serializer plugins. Knows no store.

Writing picks the format that was asked for, or the first that accepts the model. Reading never guesses and never
falls back: the recorded format's plugin reads the parts, after it has checked that they are of that format.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from friday_store.errors import FridayStoreError, SerializationError
from friday_store.hookspecs import Part, Serializer
from friday_store.plugins import Plugins

FILE: Final = "file"


class Dumped(NamedTuple):
    """A model as parts, and the format that they are in."""

    serializer: Serializer
    parts: Iterable[Part]


def dump(plugins: Plugins, model: Any, name: str | None = None) -> Dumped:
    """Return the parts of a model.

    Args:
        plugins: Where formats come from.
        model: Any object; a :class:`~pathlib.Path` is the file that it names, which is never loaded.
        name: The format, of the model or of the file; None lets the model decide, and takes a file as opaque.

    Raises:
        PluginError: No such format is installed.
        SerializationError: The model cannot be written in it; the message names the attribute at fault.
    """
    serializer = plugins.serializer_for(model) if name is None else plugins.serializer(name)
    with _mapped(serializer, model):
        if isinstance(model, Path) and serializer.name != FILE:
            [whole] = plugins.serializer(FILE).dump(model)
            parts = serializer.from_file(memoryview(whole.data))
        else:
            parts = serializer.dump(model)
        return Dumped(serializer, _checked(serializer, model, parts))


def _checked(serializer: Serializer, model: Any, parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts; a format may make them one at a time, and fail at any of them."""
    names: set[str] = set()
    with _mapped(serializer, model):
        for part in parts:
            memoryview(part.data)
            if not isinstance(part.name, str) or part.name in names:
                raise SerializationError(f"the format {serializer.name!r} wrote two parts called {part.name!r}")
            names.add(part.name)
            yield part


@contextlib.contextmanager
def _mapped(serializer: Serializer, model: Any) -> Iterator[None]:
    try:
        yield
    except FridayStoreError:
        raise
    except Exception as error:
        raise SerializationError(
            f"the format {serializer.name!r} cannot write a {type(model).__qualname__}: {type(error).__name__}: {error}"
        ) from error


def load(plugins: Plugins, name: str, version: int, parts: Mapping[str, memoryview]) -> Any:
    """Return the model that verified parts make.

    Args:
        plugins: Where formats come from.
        name: The recorded format.
        version: The recorded version of it.
        parts: The parts by name.

    Raises:
        PluginError: No such format is installed.
        SerializationError: The parts are not of that format, or what made them is missing here.
    """
    serializer = plugins.serializer(name)
    if version > serializer.format:
        raise SerializationError(
            f"the model is in {name} format {version}, and the installed plugin reads up to {serializer.format}",
            hint=f"pip install --upgrade friday-store-{name}",
        )
    try:
        serializer.check(parts)
        return serializer.load(parts, version)
    except FridayStoreError:
        raise
    except Exception as error:
        raise SerializationError(
            f"the model's {name} parts are whole, and loading them failed: {type(error).__name__}: {error}",
            hint="compare the recorded dependencies with what is installed: friday-store show --env",
        ) from error
