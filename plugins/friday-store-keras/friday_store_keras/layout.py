"""The parts ``config`` and ``weights``: what they say, and how they are written. The package has the layout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from friday_store import Part, SerializationError

_SIZES: Final = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "uint16": 2, "int16": 2, "float16": 2,
    "bfloat16": 2, "uint32": 4, "int32": 4, "float32": 4, "uint64": 8, "int64": 8, "float64": 8, "complex64": 8,
    "complex128": 16,
}  # fmt: skip
_EXTENDED: Final = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
_SHARED: Final = "shared_object_id"
_KERAS: Final = ("keras", "builtins")
_DEEPEST: Final = 200


class Weight(NamedTuple):
    """One weight as it is recorded."""

    path: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def part(self) -> str:
        """The name of its part."""
        return "weight/" + quote(self.path, safe="/").replace(".", "%2E")

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * _SIZES[self.dtype]


class Header(NamedTuple):
    """What the part ``weights`` says."""

    keras: str
    weights: list[Weight]


def parts_of(config: Mapping[str, Any], keras: str, arrays: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a configuration and of arrays by their paths.

    Raises:
        SerializationError: A weight is not an array of numbers.
    """
    weights, data = [], []
    for path in sorted(arrays):
        weight, view = _flat(path, arrays[path])
        weights.append(weight)
        data.append(Part(weight.part, view))
    head = {"keras": keras, "weights": [each._asdict() for each in weights]}
    return [Part("config", _packed(_numbered(config))), Part("weights", _packed(head)), *data]


def array(weight: Weight, data: memoryview) -> Any:
    """Return a weight as a NumPy array: a view, or a copy if the bytes must not be written."""
    import numpy as np

    if weight.dtype in _EXTENDED:
        import ml_dtypes

        dtype: Any = np.dtype(getattr(ml_dtypes, weight.dtype))
    else:
        dtype = np.dtype(weight.dtype)
    return np.frombuffer(bytearray(data) if data.readonly else data, dtype).reshape(weight.shape)


def read_config(parts: Mapping[str, memoryview]) -> dict[str, Any]:
    """Return what the part ``config`` says.

    Raises:
        SerializationError: It is not the configuration of an object of Keras.
    """
    try:
        config: dict[str, Any] = json.loads(bytes(parts["config"]))
        if type(config["class_name"]) is str and isinstance(config["config"], dict):
            return config
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError("these parts are not those of the format keras") from error
    raise SerializationError("these parts are not those of the format keras")


def read_header(parts: Mapping[str, memoryview]) -> Header:
    """Return what the part ``weights`` says.

    Raises:
        SerializationError: It does not list weights.
    """
    try:
        raw = json.loads(bytes(parts["weights"]))
        found = [_weight(each) for each in raw["weights"]]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError("these parts are not those of the format keras") from error
    if len({each.path for each in found}) != len(found):
        raise SerializationError("two weights have one path")
    return Header(str(raw["keras"]), found)


def objects(config: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping in a configuration that describes an object, the outermost first."""
    if depth > _DEEPEST:
        raise SerializationError("the configuration is nested too deeply")
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from objects(value, depth + 1)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from objects(value, depth + 1)


def named_lambda(config: Mapping[str, Any]) -> str | None:
    """Return the name of a layer that holds a lambda; None if there is none."""
    holder = "the model"
    for each in objects(config):
        inner = each.get("config")
        if isinstance(inner, Mapping) and "trainable" in inner and type(inner.get("name")) is str:
            holder = inner["name"]
        if each["class_name"] == "__lambda__":
            return holder
    return None


def custom(config: Mapping[str, Any]) -> dict[str, bool]:
    """Return which objects are not Keras's own, and whether each is registered with Keras under a name."""
    found: dict[str, bool] = {}
    for each in objects(config):
        kind = each.get("config") if each["class_name"] == "function" else each["class_name"]
        module, registered = each.get("module"), each.get("registered_name")
        ours = str(module).partition(".")[0] not in _KERAS and "module" in each
        if ours or (registered is not None and ">" in str(registered)):
            found[f"{module}.{kind}" if module else str(registered)] = ">" in str(registered)
    return found


def _flat(path: str, value: Any) -> tuple[Weight, memoryview]:
    import numpy as np

    plain: Any = np.asarray(value)
    if plain.dtype.name not in _SIZES:
        raise SerializationError(f"the weight {path} is of {plain.dtype}, which is no array of numbers")
    if plain.dtype.byteorder == ">":
        plain = plain.astype(plain.dtype.newbyteorder("<"))
    shape = tuple(int(size) for size in plain.shape)
    run: Any = np.ascontiguousarray(plain).reshape(-1).view(np.uint8)
    return Weight(path, plain.dtype.name, shape), memoryview(run)


def _weight(record: Any) -> Weight:
    path, dtype, shape = record["path"], record["dtype"], record["shape"]
    sound = isinstance(shape, list) and all(type(size) is int and 0 <= size < 1 << 48 for size in shape)
    if type(path) is not str or dtype not in _SIZES or not sound:
        raise ValueError("a weight is described by a path, a known dtype and a shape")
    return Weight(path, dtype, tuple(shape))


def _numbered(config: Mapping[str, Any]) -> Any:
    """Return the configuration with shared objects numbered from 0 in the order in which they are met."""
    numbers: dict[Any, int] = {}

    def copied(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: numbers.setdefault(item, len(numbers)) if key == _SHARED else copied(item)
                for key, item in value.items()
            }
        return [copied(item) for item in value] if isinstance(value, list | tuple) else value

    return copied(config)


def _packed(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
