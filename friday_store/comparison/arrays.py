"""Arrays as stored: what is known of one without loading a model, and how much two of them differ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from friday_store.comparison.pickles import Buffer, Global, Made, Pairs

if TYPE_CHECKING:
    import numpy as np

_FRAMES: Final = frozenset((Global("numpy._core.numeric", "_frombuffer"), Global("numpy.core.numeric", "_frombuffer")))
REBUILDS: Final = frozenset(
    (Global("numpy._core.multiarray", "_reconstruct"), Global("numpy.core.multiarray", "_reconstruct"))
)
_SCALARS: Final = frozenset((Global("numpy._core.multiarray", "scalar"), Global("numpy.core.multiarray", "scalar")))
_DTYPE: Final = Global("numpy", "dtype")
_CODE: Final = re.compile(r"[<>|=]?[biufcSUVMm][0-9]{1,9}(?:\[[0-9a-zA-Z]{1,9}\])?")
_PIECE: Final = 4 << 20


@dataclass(frozen=True)
class Array:
    """What a stored model says about one of its arrays.

    Attributes:
        dtype: numpy's, without objects.
        shape: Its shape.
        order: ``C`` or ``F``.
        data: Its bytes where they stand in the description itself, else the buffer that has them.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: str
    data: bytes | Buffer

    @property
    def comparable(self) -> tuple[Any, ...]:
        """What two arrays must have in common for their elements to stand at the same places."""
        return self.dtype, self.shape, self.order

    @property
    def kind(self) -> str:
        """The dtype as text; a structured one by the number of its fields."""
        return f"records of {len(self.dtype.names)}" if self.dtype.names else self.dtype.name


@dataclass(frozen=True)
class Numbers:
    """How much two arrays of one shape differ.

    Attributes:
        elements: How many there are.
        changed: How many differ in any bit that counts; NaN equals NaN, and the padding of records does not count.
        max_difference: The largest absolute difference; None where numbers cannot be subtracted.
        mean_difference: The mean over all elements, those that are equal included; infinities and NaN left out.
    """

    elements: int
    changed: int
    max_difference: float | None
    mean_difference: float | None

    @property
    def share_changed(self) -> float:
        """Which part of the elements differs, from 0 to 1."""
        return self.changed / self.elements if self.elements else 0.0


def array_of(value: Any) -> Array | None:
    """Return the array that a node of a pickle's tree would make; None if it is none, or of objects."""
    if not isinstance(value, Made) or not isinstance(value.by, Global):
        return None
    if value.by in _FRAMES and len(value.args) == 4:
        data, dtype, shape, order = value.args
    elif value.by in REBUILDS and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, dtype, fortran, data = value.state
        order = "F" if fortran else "C"
    else:
        return None
    found = dtype_of(dtype)
    if found is None or not isinstance(data, bytes | bytearray | Buffer) or order not in ("C", "F"):
        return None
    return array(found, shape, order, data if isinstance(data, Buffer) else bytes(data))


def array(dtype: np.dtype[Any], shape: Any, order: str, data: bytes | Buffer) -> Array | None:
    """Return the description of an array if it holds together."""
    if not isinstance(shape, tuple | list) or not all(type(size) is int and size >= 0 for size in shape):
        return None
    fits = isinstance(data, Buffer) or math.prod(shape) * dtype.itemsize == len(data)
    return Array(dtype, tuple(shape), order, data) if fits and dtype.itemsize else None


def scalar_of(value: Any) -> Any:
    """Return the number that a numpy scalar in a pickle's tree holds; None if it is none."""
    if (
        not isinstance(value, Made)
        or not isinstance(value.by, Global)
        or value.by not in _SCALARS
        or len(value.args) != 2
    ):
        return None
    dtype, data = dtype_of(value.args[0]), value.args[1]
    if dtype is None or dtype.names or not isinstance(data, bytes) or len(data) != dtype.itemsize or not data:
        return None
    import numpy as np

    return np.frombuffer(data, dtype)[0].item()


def dtype_of(value: Any) -> np.dtype[Any] | None:
    """Return the dtype that a node of a pickle's tree would make, without objects inside; None if it is none."""
    if not isinstance(value, Made) or value.by != _DTYPE or not value.args or not isinstance(value.args[0], str):
        return None
    state = value.state if isinstance(value.state, tuple) and len(value.state) >= 7 else (3, "|", *[None] * 5)
    try:
        found = _fields(state) if state[3] else plain_dtype(value.args[0], state[1])
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, RecursionError):  # a stranger's description
        return None
    return None if found is None or found.hasobject else found


def plain_dtype(code: str, order: Any = None) -> np.dtype[Any] | None:
    """Return the dtype of a code as numpy writes it; None for any other text, which numpy might evaluate."""
    import numpy as np

    if not _CODE.fullmatch(code):
        return None
    dtype = np.dtype(code)
    return dtype.newbyteorder(order) if order in ("<", ">") else dtype


def _fields(state: tuple[Any, ...]) -> np.dtype[Any] | None:
    import numpy as np

    names, fields, size = state[3], state[4], state[5]
    places: Mapping[str, Any] = dict(fields.items) if isinstance(fields, Pairs) else {}
    formats = [dtype_of(places[name][0]) for name in names]
    if any(each is None for each in formats):
        return None
    offsets = [places[name][1] for name in names]
    spec: Any = {"names": list(names), "formats": formats, "offsets": offsets, "itemsize": size}
    made: np.dtype[Any] = np.dtype(spec)
    return made


class Tally:
    """Adds up how much arrays differ, piece by piece."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._changed = 0
        self._most: float | None = None
        self._sum = 0.0

    def add(self, before: bytes | memoryview, after: bytes | memoryview) -> None:
        """Add the same stretch of both arrays, in whole elements."""
        import numpy as np

        step = max(_PIECE // self._dtype.itemsize, 1) * self._dtype.itemsize
        for at in range(0, len(before), step):
            old = np.frombuffer(before[at : at + step], self._dtype)
            new = np.frombuffer(after[at : at + step], self._dtype)
            changed = np.zeros(len(old), dtype=bool)
            for one, other in _columns(old, new):
                differs = _differs(one, other)
                changed |= differs.reshape(len(old), -1).any(axis=1)
                self._measure(one[differs], other[differs])
            self._changed += int(changed.sum())

    def _measure(self, old: Any, new: Any) -> None:
        import numpy as np

        if old.dtype.kind not in "biufc":
            return
        wide = np.complex128 if old.dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            gaps = np.abs(new.astype(wide) - old.astype(wide))
        gaps = gaps[np.isfinite(gaps)]
        self._most = max(self._most or 0.0, float(gaps.max()) if len(gaps) else 0.0)
        self._sum += float(gaps.sum())

    def numbers(self, elements: int) -> Numbers:
        """Return the result over an array of so many elements."""
        if self._most is None and self._changed:
            return Numbers(elements, self._changed, None, None)
        return Numbers(elements, self._changed, self._most or 0.0, self._sum / elements if elements else 0.0)


def _columns(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the plain columns of two arrays: the fields of records, down to the innermost."""
    if old.dtype.names:
        for name in old.dtype.names:
            yield from _columns(old[name], new[name])
    else:
        yield old, new


def _differs(old: Any, new: Any) -> Any:
    import numpy as np

    differs = old != new
    if old.dtype.kind in "fc":
        differs &= ~(np.isnan(old) & np.isnan(new))
    elif old.dtype.kind in "mM":
        differs &= ~(np.isnat(old) & np.isnat(new))
    elif old.dtype.kind == "V":
        differs = np.array([one.tobytes() != other.tobytes() for one, other in zip(old, new, strict=True)], dtype=bool)
    return differs


def numbers(before: Array, after: Array) -> Numbers | None:
    """Return how much two arrays differ whose bytes are both at hand; None if their elements do not match up."""
    if before.comparable != after.comparable or not isinstance(before.data, bytes) or not isinstance(after.data, bytes):
        return None
    tally = Tally(before.dtype)
    tally.add(before.data, after.data)
    return tally.numbers(math.prod(before.shape))
