"""Reading a pickle without running it: its opcodes build a tree of plain values, and nothing is ever called.

Where a pickle would call something, the tree has a :class:`Made` that says what with which arguments; where it would
take an out-of-band buffer, a :class:`Buffer` with its number. So what stands in a stranger's model can be looked at as
safely as any data. What cannot be read so (persistent ids, extension codes, a broken stream) raises
:class:`UnreadableError`, and the caller goes on with bytes alone.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MOST_BYTES: Final = 64 << 20
_BREAKS: Final = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, Warning)


class UnreadableError(ValueError):
    """This pickle says nothing to those who do not run it."""


class Global(NamedTuple):
    """A class or function, by name alone."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


COMPUTED: Final = Global("?", "computed")
"""Stands for what has no name in the pickle itself, because the pickle would compute it."""


class Buffer(NamedTuple):
    """An out-of-band buffer, by its number."""

    number: int


@dataclass(eq=False)
class Made:
    """What a pickle would make by a call.

    Attributes:
        by: What would be called.
        args: With which arguments.
        state: What would be given to ``__setstate__``, or into its ``__dict__``.
        items: What would be appended.
        pairs: What would be set by key.
    """

    by: Any
    args: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)


Built = Callable[[Made, io.BytesIO], None]


@dataclass(eq=False)
class Pairs:
    """A dict, whose keys need not be hashable before they are made."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


class _Reader:
    """A pickle's machine that calls nothing.

    Args:
        built: Called with what a ``BUILD`` has just given its state to, and the stream after that opcode, for formats
            that put bytes of their own there.

    Attributes:
        found: Every class and function that was named so far, also where nothing came of it; whether it is called.
    """

    def __init__(self, built: Built | None = None) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.buffers = 0
        self.found: dict[Global, bool] = {}
        self._built = built
        self._stream = io.BytesIO()

    def read(self, stream: io.BytesIO) -> Any:
        self._stream = stream
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name in _CONSTANTS:
                self.stack.append(argument)
            elif name in _FIXED:
                self.stack.append(_FIXED[name]())
            elif name in _MEMOIZES:
                self.memo[len(self.memo) if argument is None else int(argument)] = self.stack[-1]
            elif name in _RECALLS:
                self.stack.append(self.memo[int(argument or 0)])
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in _NOTHING:
                raise UnreadableError(f"the opcode {name} needs what is not in the pickle")
        if len(self.stack) != 1 or self.marks:
            raise UnreadableError("the pickle ends with something left over")
        return self.stack[0]

    def push(self, value: Any) -> None:
        """Push onto what is the stack now: making ``value`` may just have changed which list that is."""
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        found, self.stack = self.stack, self.marks.pop()
        return found

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.drop()

    def drop(self) -> None:
        self.since_mark()

    def tuple_of(self, count: int) -> None:
        self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]

    def named(self, argument: Any) -> None:
        if argument is None:
            name, module = self.stack.pop(), self.stack.pop()
        else:
            module, _, name = str(argument).partition(" ")
        known = isinstance(module, str) and isinstance(name, str)
        self.stack.append(Global(module, name) if known else COMPUTED)
        self.found.setdefault(self.stack[-1], False)

    def called(self, by: Any) -> Any:
        self.found[by if isinstance(by, Global) else COMPUTED] = True
        return by

    def call(self, _: Any) -> None:
        args, by = self.stack.pop(), self.called(self.stack.pop())
        self.push(Made(by, _arguments(args)))

    def call_with_names(self, _: Any) -> None:
        names, args, by = self.stack.pop(), self.stack.pop(), self.called(self.stack.pop())
        self.stack.append(Made(by, (*_arguments(args), names)))

    def call_marked(self, argument: Any) -> None:
        found = self.since_mark()
        module, _, name = str(argument or "").partition(" ")
        by = self.called(Global(module, name) if argument else found.pop(0))
        self.stack.append(Made(by, tuple(found)))

    def build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Made):
            raise UnreadableError("state for what has none")
        target.state = state
        if self._built is not None:
            self._built(target, self._stream)

    def append(self, found: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(found)
        elif isinstance(target, Made):
            target.items.extend(found)
        else:
            raise UnreadableError("items for what holds none")

    def set_items(self, found: list[Any]) -> None:
        target = self.stack[-1]
        pairs = list(zip(found[::2], found[1::2], strict=True))
        if isinstance(target, Pairs):
            target.items.extend(pairs)
        elif isinstance(target, Made):
            target.pairs.extend(pairs)
        else:
            raise UnreadableError("keys for what holds none")

    def buffer(self, _: Any) -> None:
        self.stack.append(Buffer(self.buffers))
        self.buffers += 1

    def last(self, count: int) -> list[Any]:
        found = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return found


_CONSTANTS: Final = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip
_NOTHING: Final = frozenset(("PROTO", "FRAME", "STOP", "READONLY_BUFFER"))
_MEMOIZES: Final = frozenset(("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"))
_RECALLS: Final = frozenset(("GET", "BINGET", "LONG_BINGET"))
_FIXED: Final[Mapping[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": Pairs,
    "EMPTY_SET": lambda: Made(Global("builtins", "set"), ()),
}
_ACTIONS: Final[Mapping[str, Callable[[_Reader, Any], None]]] = {
    "MARK": _Reader.mark,
    "POP": _Reader.pop,
    "POP_MARK": lambda reader, _: reader.drop(),
    "DUP": lambda reader, _: reader.push(reader.stack[-1]),
    "TUPLE": lambda reader, _: reader.push(tuple(reader.since_mark())),
    "TUPLE1": lambda reader, _: reader.tuple_of(1),
    "TUPLE2": lambda reader, _: reader.tuple_of(2),
    "TUPLE3": lambda reader, _: reader.tuple_of(3),
    "LIST": lambda reader, _: reader.push(reader.since_mark()),
    "DICT": lambda reader, _: _dict(reader, reader.since_mark()),
    "FROZENSET": lambda reader, _: _frozen(reader, reader.since_mark()),
    "APPEND": lambda reader, _: reader.append(reader.last(1)),
    "APPENDS": lambda reader, _: reader.append(reader.since_mark()),
    "ADDITEMS": lambda reader, _: reader.append(reader.since_mark()),
    "SETITEM": lambda reader, _: reader.set_items(reader.last(2)),
    "SETITEMS": lambda reader, _: reader.set_items(reader.since_mark()),
    "GLOBAL": _Reader.named,
    "STACK_GLOBAL": _Reader.named,
    "REDUCE": _Reader.call,
    "NEWOBJ": _Reader.call,
    "NEWOBJ_EX": _Reader.call_with_names,
    "INST": _Reader.call_marked,
    "OBJ": _Reader.call_marked,
    "BUILD": _Reader.build,
    "NEXT_BUFFER": _Reader.buffer,
}


def _arguments(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or isinstance(value, Global | Buffer):
        raise UnreadableError("a call without arguments")
    return value


def _dict(reader: _Reader, found: list[Any]) -> None:
    reader.push(Pairs(list(zip(found[::2], found[1::2], strict=True))))


def _frozen(reader: _Reader, found: list[Any]) -> None:
    reader.push(Made(Global("builtins", "frozenset"), (), items=found))


def read(data: bytes | memoryview) -> Any:
    """Return what a pickle says, as a tree of plain values, :class:`Made`, :class:`Pairs` and :class:`Buffer`.

    Values that stand in several places are one object. The tree may have cycles.

    Args:
        data: The pickle, of any protocol; buffers of protocol 5 stay outside.

    Raises:
        UnreadableError: It is larger than 64 MiB, broken, or needs something from outside.
    """
    if len(data) > MOST_BYTES:
        raise UnreadableError("the pickle is too large to be looked at")
    try:
        return _Reader().read(io.BytesIO(data))
    except UnreadableError:
        raise
    except _BREAKS as error:
        raise UnreadableError(f"the pickle is broken: {error}") from error


def globals_in(data: bytes | memoryview | io.BytesIO, built: Built | None = None) -> tuple[dict[Global, bool], str]:
    """Return every class and function that a pickle names, whether it would be called, and why the rest is not known.

    What stands before a break counts too, since it would have run by then. The reason is empty if all was read.

    Args:
        data: The pickle; of a stream, what comes next in it.
        built: See :class:`_Reader`.
    """
    if not isinstance(data, io.BytesIO):
        if len(data) > MOST_BYTES:
            return {}, "it is too large to be looked at"
        data = io.BytesIO(data)
    reader = _Reader(built)
    try:
        reader.read(data)
    except UnreadableError as error:
        return reader.found, str(error)
    except _BREAKS as error:
        return reader.found, f"it is broken: {error}"
    return reader.found, ""
