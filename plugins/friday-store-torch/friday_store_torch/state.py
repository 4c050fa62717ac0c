"""The format ``torch``: tensors in plain containers, as data. The package's docstring has the layout."""

from __future__ import annotations

import io
import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from friday_store import Part, SerializationError
from friday_store.hookspecs import Safety
from friday_store_torch import tensors
from friday_store_torch.tensors import Head

_SHOWN: Final = 500
_ARCHIVE: Final = b"PK\x03\x04"
_PLAIN: Final = (str, int, bool, type(None))
_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Torch:
    """State dictionaries, checkpoints, tensors: see the package."""

    name = "torch"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ".pt"
    requires = tensors.REQUIRES

    def accepts(self, model: object) -> bool:
        found = _Search()
        return found.storable(model) and found.tensors > 0

    def dump(self, model: Any) -> list[Part]:
        writer = _Writer()
        tree = writer.tree(model, "model")
        if not writer.parts:
            raise SerializationError("there is no tensor in it")
        text = json.dumps({"tree": tree, "tensors": writer.heads}, separators=(",", ":"), allow_nan=False)
        return [Part("tree", text.encode()), *writer.parts]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        if format > self.format:
            raise SerializationError(f"torch parts of format {format}; this release reads {self.format}")
        tree, heads = _read(parts)
        made = [tensors.made(head, parts[f"tensor/{number}"]) for number, (_, head) in enumerate(heads)]
        try:
            return _value(tree, made)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise SerializationError(f"the tree of these torch parts is not one: {error}") from error

    def check(self, parts: Mapping[str, memoryview]) -> None:
        _, heads = _read(parts)
        if set(parts) != {"tree", *(f"tensor/{number}" for number in range(len(heads)))}:
            raise SerializationError("these parts are not those of the format torch")
        for number, (name, head) in enumerate(heads):
            if len(parts[f"tensor/{number}"]) != head.size:
                raise SerializationError(f"tensor {name} does not fit its description")

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return dtype and shape of the first 500 tensors by path, how many there are, and how many elements."""
        _, heads = _read(parts)
        shown = {name: f"{head.dtype}{list(head.shape)}" for name, head in heads[:_SHOWN]}
        return {"tensors": shown, "count": len(heads), "elements": sum(math.prod(head.shape) for _, head in heads)}

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        import torch

        target = io.BytesIO()
        torch.save(self.load(parts, self.format), target)
        return [target.getbuffer()]

    def from_file(self, data: memoryview) -> list[Part]:
        import pickle

        import torch

        if bytes(data[:4]) != _ARCHIVE:
            raise SerializationError("not an archive of torch.save, as PyTorch writes it since 1.6")
        try:
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
            raise SerializationError(
                f"not a file of torch.save with tensors and plain values alone: {str(error).partition(chr(10))[0]}",
                hint="a whole module runs code when it is loaded: its format is torch-module",
            ) from error
        return self.dump(found)


class _Search:
    """Whether a value can be stored, as fast as one can tell, and without importing anything."""

    def __init__(self) -> None:
        self.tensors = 0

    def storable(self, value: object, depth: int = 0) -> bool:
        if tensors.is_tensor(value):
            self.tensors += 1
            return True
        kind = type(value)
        if kind in (dict, OrderedDict):
            assert isinstance(value, dict)
            return depth < 32 and all(
                type(key) in _PLAIN and self.storable(item, depth + 1) for key, item in value.items()
            )
        if kind in (list, tuple):
            assert isinstance(value, list | tuple)
            return depth < 32 and all(self.storable(item, depth + 1) for item in value)
        return kind in _PLAIN or kind is float


class _Writer:
    """Collects the tensors of a tree; one that stands in two places once."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.heads: list[dict[str, Any]] = []
        self._known: dict[Any, int] = {}

    def tree(self, value: Any, path: str) -> Any:
        kind = type(value)
        if tensors.is_tensor(value):
            return {"tensor": self._number(value, path)}
        if kind in _PLAIN:
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if kind in (list, tuple):
            return {kind.__name__: [self.tree(item, f"{path}[{n}]") for n, item in enumerate(value)]}
        if kind in (dict, OrderedDict):
            pairs = [[self._key(key, path), self.tree(item, f"{path}[{key!r}]")] for key, item in value.items()]
            return {"dict" if kind is dict else "ordered": pairs}
        raise SerializationError(
            f"{path} is a {kind.__module__}.{kind.__qualname__}; the format torch stores tensors and plain values",
            hint="store module.state_dict(), or the whole module with the format torch-module",
        )

    def _key(self, key: Any, path: str) -> Any:
        if type(key) not in _PLAIN:
            raise SerializationError(f"{path} has the key {key!r}, which is neither text nor a whole number")
        return key

    def _number(self, tensor: Any, path: str) -> int:
        head, data = tensors.flat(tensor, path)
        identity = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), tensor.device)
        known = self._known.get(identity) if tensor.numel() else None
        if known is not None:
            return known
        number = self._known[identity] = len(self.parts)
        self.heads.append({"name": path.removeprefix("model"), "dtype": head.dtype, "shape": head.shape})
        self.parts.append(Part(f"tensor/{number}", data))
        return number


def _value(tree: Any, made: list[Any]) -> Any:
    if not isinstance(tree, dict):
        if type(tree) in (*_PLAIN, float):
            return tree
        raise ValueError("a value that is none")
    [(kind, inner)] = tree.items()
    if kind == "tensor":
        return made[range(len(made))[inner]]
    if kind == "float":
        return _FLOATS[inner]
    if kind in ("list", "tuple"):
        items = [_value(item, made) for item in inner]
        return items if kind == "list" else tuple(items)
    pairs = [(key, _value(item, made)) for key, item in inner]
    return {"dict": dict, "ordered": OrderedDict}[kind](pairs)


def _read(parts: Mapping[str, memoryview]) -> tuple[Any, list[tuple[str, Head]]]:
    try:
        raw = json.loads(bytes(parts["tree"]))
        return raw["tree"], [(str(each["name"]), Head.of_record(each)) for each in raw["tensors"]]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError("these parts are not those of the format torch") from error
