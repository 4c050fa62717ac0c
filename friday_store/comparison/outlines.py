"""What stands in a stored model, by path: its values and its arrays, found without running anything.

A path reads as one would write it in Python: ``alpha``, ``estimators_[3].tree_.values``. What a call would make is
followed into its state, ``(0)`` is its first argument, and ``.__class__`` names what would be made. A list of named
things, such as a pipeline's steps, is gone through by their names: ``steps['ridge'].coef_``; and a list or an array of
texts is one value. So what was put in front of something does not make it another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from friday_store.comparison.arrays import REBUILDS, Array, array, array_of, dtype_of, plain_dtype, scalar_of
from friday_store.comparison.pickles import Buffer, Global, Made, Pairs, UnreadableError, read
from friday_store.digest import digest_of
from friday_store.manifest import Artifact

_MOST: Final = 500_000
_LONGEST: Final = 1000
_NEW: Final = frozenset(
    (Global("copyreg", "_reconstructor"), Global("copyreg", "__newobj__"), Global("copy_reg", "_reconstructor"))
)


@dataclass
class Outline:
    """What is known of a stored model.

    Attributes:
        values: Plain values by path; classes as text, lists of texts and the names in a list of named things as lists.
        arrays: Arrays by path.
        above: For each path, that of what holds it.
        parts: The path and the array of each part that is one.
    """

    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    above: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[str, Array]] = field(default_factory=dict)


def described_in(artifact: Artifact) -> str | None:
    """Return the name of the part that describes the others; None where the format is not known here."""
    name = _DESCRIBED.get(artifact.serializer, (None, None))[0]
    return name if name is not None and any(part.name == name for part in artifact.parts) else None


def outline(artifact: Artifact, data: memoryview) -> Outline:
    """Return what a model's describing part says; empty where it cannot be read.

    Args:
        artifact: The model's artifact.
        data: The part that :func:`described_in` names.
    """
    reader = _DESCRIBED[artifact.serializer][1]
    found = Outline()
    try:
        for path, above, value in reader(data):
            if len(found.above) >= _MOST:
                return Outline()
            found.above[path] = above
            if isinstance(value, Array):
                found.arrays[path] = value
            elif not isinstance(value, _Holder):
                found.values[path] = value
    except (UnreadableError, ValueError, RecursionError):
        return Outline()
    sizes = {part.name: part.size for part in artifact.parts}
    for path, value in found.arrays.items():
        if isinstance(value.data, Buffer):
            name = f"{_BUFFERS[artifact.serializer]}{value.data.number}"
            if math.prod(value.shape) * value.dtype.itemsize == sizes.get(name):
                found.parts.setdefault(name, (path, value))
    return found


_NODES: Final = (Made, Pairs, list, tuple)


class _Holder:
    """Something that stands at a path and has no value of its own."""


_HOLDER: Final = _Holder()
_Found = tuple[str, str, Any]


def _pickled(data: memoryview) -> Iterator[_Found]:
    """Walk a pickle's tree, each object once: at the first path that leads to it."""
    seen: set[int] = set()
    waiting: list[tuple[str, str, Any]] = [("", "", read(data))]
    while waiting:
        path, above, value = waiting.pop()
        number = scalar_of(value)
        known = array_of(value)
        texts = _texts(value)
        if number is not None or isinstance(value, Global) or not isinstance(value, _NODES):
            yield path, above, _shown(value if number is None else number)
        elif known is not None or texts is not None:
            yield path, above, texts if known is None else known
        elif isinstance(value, Buffer) or id(value) in seen:
            yield path, above, _HOLDER
        else:
            seen.add(id(value))
            yield path, above, _names(value) or _HOLDER
            below = list(_below(path, value))
            waiting += [(name, path, item) for name, item in reversed(below)]


def _texts(value: Any) -> list[str] | None:
    """Return a list or an array of texts; None for anything else."""
    if isinstance(value, Made) and isinstance(value.by, Global) and value.by in REBUILDS:
        value = value.state[4] if isinstance(value.state, tuple) and len(value.state) == 5 else None
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return [str(_shown(item)) for item in value]
    return None


def _names(value: Any) -> list[str]:
    """Return the names in a list of tuples that begin with a name each, as a pipeline's steps do; empty for others."""
    if not isinstance(value, list) or not all(isinstance(item, tuple) and len(item) in (2, 3) for item in value):
        return []
    names = [item[0] for item in value]
    return names if all(isinstance(name, str) for name in names) and len(set(names)) == len(names) else []


def _below(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    names = _names(value)
    if names:
        told = (item[1] if len(item) == 2 else item for item in value)
        yield from ((f"{path}[{name!r}]", item) for name, item in zip(names, told, strict=True))
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{place}]", item) for place, item in enumerate(value))
    elif isinstance(value, Pairs):
        yield from ((f"{path}[{_key(key)}]", item) for key, item in value.items)
    elif isinstance(value, Made):
        yield from _of_object(path, value)


def _of_object(path: str, value: Made) -> Iterator[tuple[str, Any]]:
    kind, args = value.by, value.args
    if isinstance(kind, Global) and kind in _NEW and args:
        kind, args = args[0], ()
    dot = f"{path}." if path else ""
    yield f"{dot}__class__", kind
    dtype = dtype_of(value)
    if dtype is not None:
        yield f"{dot}dtype", str(dtype)
        return
    yield from ((f"{path}({place})", item) for place, item in enumerate(args))
    state = value.state
    if isinstance(state, tuple) and len(state) == 2 and all(one is None or isinstance(one, Pairs) for one in state):
        state = Pairs([pair for one in state if one is not None for pair in one.items])
    if isinstance(state, Pairs):
        yield from (
            (f"{dot}{key}" if isinstance(key, str) else f"{path}[{_key(key)}]", item) for key, item in state.items
        )
    elif state is not None:
        yield f"{dot}__state__", state
    yield from ((f"{path}[{place}]", item) for place, item in enumerate(value.items))
    yield from ((f"{path}[{_key(key)}]", item) for key, item in value.pairs)


def _key(key: Any) -> str:
    return repr(key)[:80] if isinstance(key, str | int | float | bool | None) else str(_shown(key))


def _shown(value: Any) -> Any:
    """Return a leaf as plain data; bytes by their number, since they say nothing to a reader."""
    if isinstance(value, Global):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes {_told_apart(bytes(value))}"
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}… {_told_apart(value.encode(errors='surrogatepass'))}"
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)[:_LONGEST]


def _told_apart(data: bytes) -> str:
    return digest_of(data).hex()[:12]


def _named_arrays(data: memoryview) -> Iterator[_Found]:
    """Read the description of the format ``numpy``: a JSON list of name, dtype, shape and order."""
    yield "", "", _HOLDER
    for number, head in enumerate(json.loads(bytes(data))):
        try:
            dtype, shape = plain_dtype(head["dtype"]), head["shape"]
            known = None if dtype is None else array(dtype, shape, str(head["order"]), Buffer(number))
            name = str(head["name"])
        except (TypeError, KeyError) as error:
            raise UnreadableError("an array without a description") from error
        yield name or "array", "", known or _HOLDER


def _json(data: memoryview) -> Iterator[_Found]:
    waiting: list[tuple[str, str, Any]] = [("", "", json.loads(bytes(data)))]
    while waiting:
        path, above, value = waiting.pop()
        if isinstance(value, dict):
            yield path, above, _HOLDER
            waiting += [(f"{path}.{key}" if path else key, path, value[key]) for key in reversed(value)]
        elif (texts := _texts(value)) is not None:
            yield path, above, texts
        elif isinstance(value, list):
            yield path, above, _HOLDER
            waiting += [(f"{path}[{n}]", path, value[n]) for n in reversed(range(len(value)))]
        else:
            yield path, above, _shown(value)


_DESCRIBED: Final[Mapping[str, tuple[str, Callable[[memoryview], Iterator[_Found]]]]] = {
    "pickle5": ("pickle", _pickled),
    "numpy": ("arrays", _named_arrays),
    "json": ("json", _json),
}
_BUFFERS: Final = {"pickle5": "buffer/", "numpy": "array/"}
