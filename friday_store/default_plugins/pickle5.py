"""``pickle5``: Python's pickle with big buffers out of band, the default for Python objects. Safety: code.

Parts: ``pickle`` (protocol 5, with every buffer below 64 KiB inside) and ``buffer/0``, ``buffer/1`` … in the order
in which the pickle asks for them (PEP 574). Out-of-band buffers are hashed and written where they lie, and load
as views. The native file is one ordinary pickle, made from the parts by their opcodes, without loading anything.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from friday_store.errors import SerializationError
from friday_store.hookspecs import Part, Safety

_OUT_OF_BAND: Final = 64 << 10
_DEPTH: Final = 8
FAILURES: Final = (pickle.PickleError, TypeError, AttributeError, ValueError, RecursionError, ImportError, OSError)


class Pickle5:
    """See the module."""

    name = "pickle5"
    format = 1
    safety: Safety = "code"
    deterministic = True
    suffix = ".pkl"

    def accepts(self, model: object) -> bool:  # noqa: ARG002 - anything; pickling itself will tell
        return True

    def dump(self, model: Any) -> list[Part]:
        buffers: list[Part] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            try:
                raw = buffer.raw()
            except BufferError:
                return True
            if raw.nbytes < _OUT_OF_BAND:
                return True
            buffers.append(Part(f"buffer/{len(buffers)}", raw))
            return False

        try:
            skeleton = pickle.dumps(model, protocol=5, buffer_callback=keep)
        except FAILURES as error:
            where, why = culprit(model, error)
            raise SerializationError(
                f"{where} cannot be pickled: {why}",
                hint="remove or replace that attribute, or define __getstate__ to leave it out",
            ) from error
        return [Part("pickle", skeleton), *buffers]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        if format > self.format:
            raise SerializationError(f"pickle5 parts of format {format}; this release reads {self.format}")
        return pickle.loads(parts["pickle"], buffers=_buffers(parts))

    def check(self, parts: Mapping[str, memoryview]) -> None:
        head = bytes(parts["pickle"][:2]) if "pickle" in parts else b""
        if len(head) < 2 or head[0] != 0x80 or not 2 <= head[1] <= 5 or bytes(parts["pickle"][-1:]) != b".":
            raise SerializationError("these parts are not a pickle")

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterator[bytes | memoryview]:
        """Put the buffers back in band: frames go, since they would need new lengths, and carry no meaning."""
        if len(parts) == 1:
            yield parts["pickle"]
            return
        skeleton, start, buffers = parts["pickle"], 0, _buffers(parts)
        stream = iter(pickletools.genops(bytes(skeleton)))
        pending: memoryview | None = None
        for opcode, _, at in stream:
            assert at is not None
            if pending is not None:
                read_only = opcode.name == "READONLY_BUFFER"
                yield (b"\x8e" if read_only else b"\x96") + struct.pack("<Q", len(pending))
                yield pending
                pending = None
                if read_only:
                    start = at + 1
                    continue
            if opcode.name == "FRAME":
                yield skeleton[start:at]
                start = at + 9
            elif opcode.name == "NEXT_BUFFER":
                yield skeleton[start:at]
                start, pending = at + 1, next(buffers)
        yield skeleton[start:]

    def from_file(self, data: memoryview) -> Iterable[Part]:
        self.check({"pickle": data})
        return [Part("pickle", data)]


def _buffers(parts: Mapping[str, memoryview]) -> Iterator[memoryview]:
    return (parts[f"buffer/{number}"] for number in range(len(parts) - 1))


def culprit(model: Any, error: BaseException) -> tuple[str, str]:
    """Return the path of the innermost attribute that cannot be pickled, and why.

    Args:
        model: What could not be pickled.
        error: What pickling it raised.
    """
    where, why, seen = "the model", str(error), {id(model)}
    path = "model"
    for _ in range(_DEPTH):
        for name, value in _children(model):
            if id(value) in seen:
                continue
            seen.add(id(value))
            try:
                pickle.dumps(value, protocol=5, buffer_callback=lambda _: False)
            except FAILURES as inner:
                path, model, where, why = f"{path}{name}", value, f"attribute {path}{name}", str(inner)
                break
        else:
            break
    return where, why


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{place}]", item) for place, item in enumerate(value))
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        yield from ((f".{name}", item) for name, item in vars(value).items())
