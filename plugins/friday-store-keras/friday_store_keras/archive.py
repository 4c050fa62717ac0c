"""The ``.keras`` file of Keras 3, made and taken apart without Keras: a zip of two JSON files and one of HDF5."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from friday_store import Part, SerializationError
from friday_store.archive import Block, members, written
from friday_store_keras import layout

_CONFIG: Final = "config.json"
_METADATA: Final = "metadata.json"
_WEIGHTS: Final = "model.weights.h5"
_DATE: Final = "1980-01-01@00:00:00"  # the file says when, and the same model must give the same file


def write(parts: Mapping[str, memoryview]) -> Iterator[Block]:
    """Return the file of a model's parts, as blocks."""
    header = layout.read_header(parts)
    metadata = json.dumps({"keras_version": header.keras, "date_saved": _DATE}).encode()
    return written({_METADATA: metadata, _CONFIG: parts["config"], _WEIGHTS: _hdf5(header, parts)})


def read(data: memoryview) -> list[Part]:
    """Return the parts of a file.

    Raises:
        SerializationError: It is not one that Keras 3 writes, or it holds what this format does not store.
    """
    found = members(data)
    try:
        metadata = json.loads(bytes(found[_METADATA]))
        config = layout.read_config({"config": found[_CONFIG]})
        version = str(metadata["keras_version"])
        weights = found[_WEIGHTS]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError(f"not a .keras file of Keras 3: {error}") from error
    others = sorted(set(found) - {_METADATA, _CONFIG, _WEIGHTS})
    if others:
        raise SerializationError(f"the .keras file has {others[0]!r} in it, and this format stores no assets")
    return layout.parts_of(config, version, _arrays(weights))


def _hdf5(header: layout.Header, parts: Mapping[str, memoryview]) -> memoryview:
    import h5py

    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        for weight in header.weights:
            dataset = file.create_dataset(weight.path, data=layout.array(weight, parts[weight.part]))
            if weight.dtype == "bfloat16":
                dataset.attrs["dtype"] = "bfloat16"
    return target.getbuffer()


def _arrays(data: memoryview) -> dict[str, Any]:
    """Return every dataset of an HDF5 file; none may be larger than the file, or lie elsewhere."""
    import h5py

    found: dict[str, Any] = {}
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _gather(h5py, file, "", len(data), found)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise SerializationError(f"the weights of the .keras file are damaged: {error}") from error
    return found


def _gather(h5py: Any, group: Any, path: str, left: int, found: dict[str, Any]) -> int:
    """Put the datasets below a group into ``found``, and return how many bytes others may still have."""
    for name in group:
        inner = f"{path}/{name}" if path else name
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise SerializationError(f"the weights of the .keras file have a link in place of {inner}")
        item = group[name]
        if isinstance(item, h5py.Group):
            if len(inner) > 4096:
                raise SerializationError("the weights of the .keras file are nested too deeply")
            left = _gather(h5py, item, inner, left, found)
            continue
        plain = item.chunks is None and not item.is_virtual and not item.external
        left -= item.nbytes
        if not plain or left < 0:
            raise SerializationError(f"the weight {inner} of the .keras file is not stored in it as it is")
        found[inner] = _extended(item[()]) if item.attrs.get("dtype") == "bfloat16" else item[()]
    return left


def _extended(values: Any) -> Any:
    import ml_dtypes
    import numpy as np

    if values.dtype.itemsize == 2 and values.dtype.kind == "V":
        return values.view(ml_dtypes.bfloat16)
    return np.asarray(values, dtype=ml_dtypes.bfloat16)
