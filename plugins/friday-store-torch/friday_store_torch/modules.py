"""The format ``torch-module``: whatever ``torch.save`` takes, a part for each storage. The package has the layout.

What ``torch.save`` asks a storage has no public name; the tests compare with what it writes.
"""

# ruff: noqa: SLF001

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from friday_store import Part, SerializationError, archive
from friday_store.archive import Block
from friday_store.hookspecs import Safety
from friday_store_torch import tensors

_PICKLE: Final = "data.pkl"
_STORAGE: Final = re.compile(r"data/[0-9]{1,9}")
_PROTOCOL: Final = 2
_FAILURES: Final = (pickle.PickleError, TypeError, AttributeError, ValueError, RecursionError, RuntimeError)


class TorchModule:
    """Whole modules, with their classes: see the package."""

    name = "torch-module"
    format = 1
    safety: Safety = "code"
    deterministic = True
    suffix = ".pt"
    requires = tensors.REQUIRES

    def accepts(self, model: object) -> bool:
        kinds = [(kind.__module__, kind.__name__) for kind in type(model).__mro__]
        return ("torch.nn.modules.module", "Module") in kinds and ("keras.src.layers.layer", "Layer") not in kinds

    def dump(self, model: Any) -> list[Part]:
        target = io.BytesIO()
        try:
            pickler = _pickler(target)
            pickler.dump(model)
        except _FAILURES as error:
            raise SerializationError(
                f"the {type(model).__qualname__} cannot be pickled: {error}",
                hint="store module.state_dict() with the format torch, which needs no class",
            ) from error
        return [Part(_PICKLE, target.getbuffer()), *pickler.parts]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        if format > self.format:
            raise SerializationError(f"torch-module parts of format {format}; this release reads {self.format}")
        return _unpickler(parts).load()

    def check(self, parts: Mapping[str, memoryview]) -> None:
        head = bytes(parts[_PICKLE][:2]) if _PICKLE in parts else b""
        named = all(name == _PICKLE or _STORAGE.fullmatch(name) for name in parts)
        if head != bytes([0x80, _PROTOCOL]) or bytes(parts[_PICKLE][-1:]) != b"." or not named:
            raise SerializationError("these parts are not those of the format torch-module")

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterator[Block]:
        said = {"byteorder": b"little", "version": b"3\n", ".format_version": b"1"}
        members: dict[str, Block] = {**parts, **said}
        return archive.written({f"archive/{name}": data for name, data in members.items()})

    def from_file(self, data: memoryview) -> list[Part]:
        found = archive.members(data, checked=False)  # torch.save can be told to leave checksums out
        members = {name.partition("/")[2]: member for name, member in found.items()}
        order = members.get("byteorder", b"little")
        if bytes(order) != b"little":
            raise SerializationError(f"the archive of torch.save is {bytes(order[:9])!r}-endian")
        wanted = {name: found for name, found in members.items() if name == _PICKLE or _STORAGE.fullmatch(name)}
        self.check(wanted)
        return [Part(name, found) for name, found in wanted.items()]


def _pickler(target: io.BytesIO) -> Any:
    """Return a pickler that puts storages aside, as the one inside ``torch.save`` does."""
    import torch

    class Pickler(pickle.Pickler):
        def __init__(self) -> None:
            super().__init__(target, protocol=_PROTOCOL)
            self.parts: list[Part] = []
            self._known: dict[int, tuple[str, Any]] = {}

        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, torch.storage.TypedStorage):
                inner: Any = value
                kind, elements = getattr(torch, inner._pickle_storage_type()), inner._size()
                storage = inner._untyped_storage
            elif isinstance(value, torch.UntypedStorage):
                kind, elements, storage = torch.UntypedStorage, value.nbytes(), value
            else:
                return None
            return "storage", kind, self._key(storage), "cpu", elements

        def _key(self, storage: Any) -> str:
            if storage._cdata not in self._known:
                key = str(len(self.parts))
                near = storage.cpu()
                self._known[storage._cdata] = key, near  # held, so that its key is not used again
                whole = torch.empty(0, dtype=torch.uint8).set_(near)
                self.parts.append(Part(f"data/{key}", memoryview(whole.numpy().data)))
            return self._known[storage._cdata][0]

    return Pickler()


def _unpickler(parts: Mapping[str, memoryview]) -> Any:
    """Return an unpickler whose storages are views of the parts."""
    import torch
    import torch.serialization

    class Unpickler(pickle.Unpickler):
        def __init__(self) -> None:
            super().__init__(io.BytesIO(parts[_PICKLE]))
            self._made: dict[str, Any] = {}

        def find_class(self, module: str, name: str, /) -> Any:
            if module == "torch" and name.endswith("Storage") and name != "UntypedStorage":
                named: Any = torch.serialization.StorageType  # the classes themselves are deprecated, and say so
                return named(name)
            return super().find_class(module, name)

        def persistent_load(self, identity: Any) -> Any:
            word, kind, key, _location, elements = identity
            if word != "storage":
                raise pickle.UnpicklingError(f"a persistent id of the kind {word!r}")
            if key not in self._made:
                self._made[key] = tensors.raw(parts[f"data/{key}"]).untyped_storage()
            storage = self._made[key]
            dtype = torch.uint8 if kind is torch.UntypedStorage else kind.dtype
            if elements * dtype.itemsize > storage.nbytes():
                raise pickle.UnpicklingError(f"storage {key} is shorter than its pickle says")
            typed: Any = torch.storage.TypedStorage
            return typed(wrap_storage=storage, dtype=dtype, _internal=True)

    return Unpickler()
