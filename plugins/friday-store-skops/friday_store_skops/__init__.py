"""``skops``: scikit-learn models without pickles. Safety: typed.

Parts, of format 1:

``schema``
    The ``schema.json`` of skops as canonical JSON: keys sorted, ids and member names replaced by their numbers in the
    order in which they are met, elements of sets sorted. skops itself writes addresses of memory there, so that two
    dumps of one model differ; here one model has one digest.
``member/N.SUFFIX``
    The other members of its archive, such as arrays in NumPy's ``.npy``, by those numbers. What lies between the fields
    of a record, as in the nodes of a tree, is zero: it is whatever was in memory before.

A model made of types that skops trusts and of :data:`friday_store_skops.types.TYPES`, a list in this package, loads
wherever it came from. One with other types loads where you made it or trust it, or where they are on your own list
(``friday-store trust``): :meth:`Skops.types` names them, and the core asks. No list is ever read from the model. A
``.skops`` file is taken apart only if its members are as large as they say, not more than 4 GiB, and not packed more
than 200 to 1.
"""

from __future__ import annotations

import functools
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from friday_store import Part, SerializationError, archive, hookimpl
from friday_store.digest import Buffer
from friday_store.hookspecs import Safety
from friday_store_skops.types import TYPES

__all__ = ["TYPES", "Skops", "register_serializers"]

_SCHEMA: Final = "schema"
_MEMBER: Final = re.compile(r"member/[0-9]{1,9}\.[a-z]{1,8}")
_FILE: Final = re.compile(r"[0-9]{1,20}\.([a-z]{1,8})")
_MOST_BYTES: Final = 4 << 30
_MOST_TIMES: Final = 200
_MOST_MEMBERS: Final = 1_000_000
_DEEPEST: Final = 400
_HEADER: Final = 1 << 17


class Skops:
    """See the module."""

    name = "skops"
    format = 1
    safety: Safety = "typed"
    deterministic = True
    suffix = ".skops"
    requires = ("skops>=0.13", "scikit-learn")

    def accepts(self, model: object) -> bool:  # noqa: ARG002 - when asked for: pickle5 is six times as fast
        return False

    def dump(self, model: Any) -> list[Part]:
        import skops.io
        from skops.io.exceptions import UnsupportedTypeException

        try:
            data = memoryview(skops.io.dumps(model))
        except (UnsupportedTypeException, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise SerializationError(f"skops cannot write the {type(model).__qualname__}: {error}") from error
        return _parts(archive.members(data, checked=False))  # skops has just written it, and packs nothing

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        import skops.io

        if format > self.format:
            raise SerializationError(f"skops parts of format {format}; this release reads {self.format}")
        data = b"".join(self.to_file(parts))
        return skops.io.loads(data, trusted=_untrusted(parts))

    def types(self, parts: Mapping[str, memoryview]) -> list[str]:
        """Return the types that the parts would make, beyond those that skops and this package trust."""
        return [name for name in _untrusted(parts) if name not in TYPES]

    def check(self, parts: Mapping[str, memoryview]) -> None:
        schema = _schema(parts.get(_SCHEMA, b""))
        named = {f"member/{name}" for name in _files(schema)}
        if {_SCHEMA, *named} != set(parts) or not all(map(_MEMBER.fullmatch, named)):
            raise SerializationError("these parts are not those of the format skops")

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return the class, the types that the model is made of, and the version of skops that wrote it."""
        schema = _schema(parts[_SCHEMA])
        types = sorted({f"{node['__module__']}.{node['__class__']}" for node in _nodes(schema) if "__class__" in node})
        made = [name for name in types if not name.startswith("builtins.")]
        return {
            "class": f"{schema['__module__']}.{schema['__class__']}",
            "types": made,
            "skops": schema["_skops_version"],
        }

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterator[archive.Block]:
        return archive.written({_file(name): data for name, data in parts.items()})

    def from_file(self, data: memoryview) -> list[Part]:
        parts = _parts(_members(data))
        self.check({part.name: part.view() for part in parts})
        return parts


@hookimpl
def register_serializers() -> list[Skops]:
    """Add the format."""
    return [Skops()]


def _members(data: memoryview) -> dict[str, bytes]:
    """Return what is in an archive, once it is known not to be larger than it may be."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            infos = opened.infolist()
            size, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
            if len(infos) > _MOST_MEMBERS or size > _MOST_BYTES or size > _MOST_TIMES * max(packed, 1):
                raise SerializationError(
                    f"the skops file would become {size} bytes in {len(infos)} members, from {packed}"
                )
            if len({info.filename for info in infos}) != len(infos):
                raise SerializationError("a member of the skops file stands twice in it")
            return {info.filename: opened.read(info) for info in infos}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise SerializationError(f"not a skops file: {error}") from error


def _parts(members: Mapping[str, Buffer]) -> list[Part]:
    """Return the parts of an archive, with canonical names."""
    schema = _schema(members.get("schema.json", b""))
    names: dict[str, str] = {}
    ids: dict[Any, int] = {}
    _sort_sets(schema)
    for number, node in enumerate(_nodes(schema)):
        if "__id__" in node:
            # two equal constants may be one object or two, as the interpreter likes: each counts for itself
            mark = ("constant", number) if node.get("__loader__") == "JsonNode" else node["__id__"]
            node["__id__"] = ids.setdefault(mark, len(ids))
        if isinstance(node.get("file"), str):
            node["file"] = names.setdefault(node["file"], _renamed(node["file"], len(names)))
    if set(names) != set(members) - {"schema.json"}:
        raise SerializationError("the members of the skops file are not those that its schema names")
    text = json.dumps(schema, sort_keys=True, separators=(",", ":")).encode()
    return [Part(_SCHEMA, text), *(Part(f"member/{ours}", _clean(members[theirs])) for theirs, ours in names.items())]


def _untrusted(parts: Mapping[str, memoryview]) -> tuple[str, ...]:
    """Return the types that skops itself does not trust, in the order in which it names them."""
    return _named_by(bytes(parts[_SCHEMA]), tuple(parts))


@functools.lru_cache(maxsize=4)  # the core asks for the types right before the load
def _named_by(schema: bytes, names: tuple[str, ...]) -> tuple[str, ...]:
    import skops.io

    hollow = {name: schema if name == _SCHEMA else b"" for name in names}  # what is in arrays makes no types
    data = b"".join(archive.written({_file(name): data for name, data in hollow.items()}))
    return tuple(skops.io.get_untrusted_types(data=data))


def _file(part: str) -> str:
    return "schema.json" if part == _SCHEMA else part.removeprefix("member/")


def _clean(member: Buffer) -> Buffer:
    """Return an array's file with zeros between the fields of its records; any other file as it is."""
    if bytes(member[:6]) != b"\x93NUMPY" or b"('', '|V" not in bytes(member[:4096]):
        return member
    import numpy as np

    clean = bytearray(member)
    file = io.BytesIO(clean[:_HEADER])
    try:
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        _, _, dtype = read(file)
        fields = [dtype.fields[name] for name in dtype.names or ()] if dtype.fields else []
        rows = np.frombuffer(clean, np.uint8, offset=file.tell()).reshape(-1, dtype.itemsize)
    except (ValueError, TypeError, KeyError, IndexError, SyntaxError, MemoryError) as error:
        raise SerializationError(f"an array of the skops file is damaged: {error}") from error
    ends = [0, *(start + inner.itemsize for inner, start, *_ in fields)]
    starts = [*(start for _, start, *_ in fields), dtype.itemsize]
    for end, start in zip(ends, starts, strict=True):  # NumPy's records have their fields in the order of their places
        rows[:, end:start] = 0
    return clean


def _renamed(name: str, number: int) -> str:
    found = _FILE.fullmatch(name)
    if found is None:
        raise SerializationError(f"the skops file has a member called {name[:40]!r}")
    return f"{number}.{found[1]}"


def _schema(data: Buffer) -> dict[str, Any]:
    try:
        schema = json.loads(bytes(data))
        if all(type(schema[key]) is str for key in ("__class__", "__module__", "__loader__", "_skops_version")):
            return dict(schema)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError("not a skops model: it has no schema") from error
    raise SerializationError("not a skops model: its schema does not say what it is")


def _nodes(value: Any) -> Iterable[dict[str, Any]]:
    """Yield every object of a schema, in an order that is the same for equal schemas."""
    waiting = [(value, 0)]
    while waiting:
        found, depth = waiting.pop()
        if depth > _DEEPEST:
            raise SerializationError("the schema of the skops model is nested too deeply")
        if isinstance(found, dict):
            yield found
            waiting.extend((inner, depth + 1) for _, inner in sorted(found.items(), reverse=True))
        elif isinstance(found, list):
            waiting.extend((inner, depth + 1) for inner in reversed(found))


def _files(schema: Mapping[str, Any]) -> set[str]:
    return {node["file"] for node in _nodes(schema) if isinstance(node.get("file"), str)}


def _sort_sets(schema: dict[str, Any]) -> None:
    """Put the elements of sets of constants in order, since a set has none."""
    for node in _nodes(schema):
        content = node.get("content")
        if node.get("__loader__") == "SetNode" and isinstance(content, list):
            content.sort(key=lambda each: str(each["content"]) if isinstance(each, dict) else "")
