"""Where the values of a UBJSON document begin and end, without making them: enough to cut XGBoost's model at its trees.

https://ubjson.org/type-reference/; of the containers, those that XGBoost writes: objects without a count, arrays with a
count, and arrays of one type with a count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

_NUMBERS: Final = {
    ord(mark): struct.Struct(f">{code}")
    for mark, code in {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}.items()
}
_CONSTANTS: Final = {ord("T"): True, ord("F"): False, ord("Z"): None, ord("N"): None}
_SIZES: Final = {**{mark: 1 + kind.size for mark, kind in _NUMBERS.items()}, **dict.fromkeys(_CONSTANTS, 1)}
_WHOLE: Final = frozenset(b"iUIlL")
_TEXT: Final = ord("S")
_OBJECT: Final = ord("{")
_CLOSE: Final = ord("}")
_ARRAY: Final = ord("[")
_TYPED: Final = ord("$")
_LONG_MARK: Final = ord("L")
_LONG: Final = struct.Struct(">q")
_DEEPEST: Final = 64


class Document:
    """A document.

    Args:
        data: Its bytes.
        whole: Whether to go through all of it at once, to know that it is sound.

    Raises:
        ValueError: It is not UBJSON, or is cut short or has something behind it; also from the methods, where they come
            upon a value of another kind than they are for.
    """

    def __init__(self, data: bytes | bytearray | memoryview, *, whole: bool = True) -> None:
        self._data = memoryview(data)
        if whole:
            try:
                end = self.end(0)
            except (IndexError, struct.error) as error:
                raise ValueError("the document is cut short") from error
            if end != len(self._data):
                raise ValueError("the document is cut short, or has something behind it")

    def end(self, at: int, depth: int = 0) -> int:
        """Return where the value that begins at ``at`` ends."""
        mark = self._data[at]
        if mark in _SIZES:
            return at + _SIZES[mark]
        if mark == _TEXT:
            return self._behind(at + 1)
        if depth > _DEEPEST:
            raise ValueError("the document is nested too deeply")
        if mark == _OBJECT:
            return self._object_end(at + 1, depth)
        if mark == _ARRAY:
            kind, count, at = self._array(at)
            if kind is not None:
                return at + count * kind.size
            for _ in range(count):
                at = self.end(at, depth + 1)
            return at
        raise ValueError(f"an unknown mark at {at}")

    def _object_end(self, at: int, depth: int) -> int:
        """Return where an object ends of which the keys begin at ``at``: trees are mostly arrays of one type."""
        data, longest = self._data, len(self._data)
        while data[at] != _CLOSE:
            at = self._behind(at)
            if data[at] == _ARRAY and data[at + 1] == _TYPED and data[at + 4] == _LONG_MARK:
                kind, count = _NUMBERS.get(data[at + 2]), _LONG.unpack_from(data, at + 5)[0]
                if kind is None or not 0 <= count <= longest:
                    raise ValueError(f"an array of an unknown type or size at {at}")
                at += 13 + count * kind.size
            else:
                at = self.end(at, depth + 1)
        return at + 1

    def entries(self, at: int) -> Iterator[tuple[str, int]]:
        """Yield each key of the object at ``at``, with the place of its value; what comes later is not looked at."""
        if self._data[at] != _OBJECT:
            raise ValueError(f"an object was expected at {at}")
        at += 1
        while self._data[at] != _CLOSE:
            start = self._behind(at)
            yield self._text(at), start
            at = self.end(start)

    def items(self, at: int) -> Iterator[tuple[int, int]]:
        """Yield the first and the last place of each item of the array at ``at``, which must not be of one type."""
        kind, count, at = self._array(at)
        if kind is not None:
            raise ValueError(f"an array of objects was expected at {at}")
        for _ in range(count):
            start, at = at, self.end(at)
            yield start, at

    def find(self, *path: str) -> int | None:
        """Return where the value under some keys begins; None if it is not there."""
        at = 0
        for key in path:
            if self._data[at] != _OBJECT:
                return None
            found = next((start for name, start in self.entries(at) if name == key), None)
            if found is None:
                return None
            at = found
        return at

    def plain(self, at: int | None) -> Any:
        """Return the number, text or constant at ``at``; None for no place, or for a container."""
        mark = self._data[at] if at is not None else _ARRAY
        if at is None or mark in (_OBJECT, _ARRAY):
            return None
        if mark == _TEXT:
            return self._text(at + 1)
        return _CONSTANTS[mark] if mark in _CONSTANTS else _NUMBERS[mark].unpack_from(self._data, at + 1)[0]

    def _array(self, at: int) -> tuple[struct.Struct | None, int, int]:
        """Return the type of an array's items, if they are of one, how many there are, and where they begin."""
        if self._data[at] != _ARRAY:
            raise ValueError(f"an array was expected at {at}")
        at, kind = at + 1, None
        if self._data[at] == _TYPED:
            kind, at = _NUMBERS.get(self._data[at + 1]), at + 2
            if kind is None:
                raise ValueError(f"an array of an unknown type at {at}")
        if self._data[at] != ord("#"):
            raise ValueError(f"an array without a count at {at}")
        count, at = self._whole(at + 1)
        return kind, count, at

    def _text(self, at: int) -> str:
        size, start = self._whole(at)
        return bytes(self._data[start : start + size]).decode()

    def _behind(self, at: int) -> int:
        """Return where the text without a mark, of which the length stands at ``at``, ends."""
        if self._data[at] == _LONG_MARK:  # as XGBoost always writes it
            size, start = _LONG.unpack_from(self._data, at + 1)[0], at + 9
        else:
            size, start = self._whole(at)
        if not 0 <= size <= len(self._data) - start:
            raise ValueError("the document is cut short")
        return int(start + size)

    def _whole(self, at: int) -> tuple[int, int]:
        mark = self._data[at]
        if mark not in _WHOLE:
            raise ValueError(f"a whole number was expected at {at}")
        number = int(_NUMBERS[mark].unpack_from(self._data, at + 1)[0])
        if not 0 <= number <= len(self._data):
            raise ValueError(f"a size that does not fit in the document, at {at}")
        return number, at + 1 + _NUMBERS[mark].size
