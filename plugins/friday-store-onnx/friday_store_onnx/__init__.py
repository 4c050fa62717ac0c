"""``onnx``: ONNX models, with a part for each big tensor. Safety: data.

Parts, of format 1:

``model``
    The ``ModelProto`` as canonical protobuf (fields in order, maps sorted), in which every initializer of 4 KiB and
    more has an empty ``raw_data``.
``tensor/N``
    The raw bytes of the N-th of those, in the order of the graph: row-major, little-endian, as in ``raw_data``.

Tensors of the graph of the model itself are put aside, not those inside nested graphs. The native file is one ``.onnx``
file. A model whose tensors stand in other files is refused: such a file would name paths on somebody's disk;
:func:`inlined` reads one that is yours, with its tensors. Asked for by name, the format takes fitted scikit-learn
estimators too and converts them with skl2onnx (:func:`converted`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from friday_store import Part, SerializationError, hookimpl
from friday_store.hookspecs import Safety
from friday_store_onnx import wire

_APART: Final = 4096
_MOST: Final = (1 << 31) - 1
_EXTERNAL: Final = 1
_SHOWN: Final = 300
_GRAPH: Final = "model"


class Onnx:
    """See the module."""

    name = "onnx"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ".onnx"
    requires = ("onnx>=1.17",)

    def accepts(self, model: object) -> bool:
        kind = type(model)
        return kind.__name__ == "ModelProto" and kind.__module__.partition(".")[0] == "onnx"

    def dump(self, model: Any) -> list[Part]:
        if not self.accepts(model):
            model = converted(model)
        _refuse_external(model)
        slim = type(model)()
        slim.CopyFrom(model)
        data = []
        for tensor in _big(slim):
            data.append(tensor.raw_data)
            tensor.raw_data = b""
        parts = [Part(f"tensor/{number}", raw) for number, raw in enumerate(data)]
        return [Part("model", slim.SerializeToString(deterministic=True)), *parts]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        if format > self.format:
            raise SerializationError(f"onnx parts of format {format}; this release reads {self.format}")
        model = _parsed(parts[_GRAPH])
        _refuse_external(model)
        emptied = _emptied(model)
        if set(parts) != {_GRAPH, *(f"tensor/{number}" for number in range(len(emptied)))}:
            raise SerializationError("these parts are not those of one ONNX model")
        for number, tensor in enumerate(emptied):
            tensor.raw_data = bytes(parts[f"tensor/{number}"])
            _require_size(tensor)
        return model

    def check(self, parts: Mapping[str, memoryview]) -> None:
        head = bytes(parts[_GRAPH][:1]) if _GRAPH in parts else b""
        if head != b"\x08" or set(parts) != {_GRAPH, *(f"tensor/{number}" for number in range(len(parts) - 1))}:
            raise SerializationError("these parts are not those of one ONNX model")

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return versions, operators, inputs, outputs and the first 300 tensors, with dtypes and shapes."""
        try:
            return wire.describe(parts[_GRAPH], _SHOWN)
        except (ValueError, RecursionError) as error:
            raise SerializationError(f"not an ONNX model: {error}") from error

    def to_file(self, parts: Mapping[str, memoryview]) -> list[bytes]:
        model = self.load(parts, self.format)
        return [model.SerializeToString(deterministic=True)]

    def from_file(self, data: memoryview) -> list[Part]:
        if len(data) > _MOST or bytes(data[:1]) != b"\x08":
            raise SerializationError("not an ONNX file of one piece")
        model = _parsed(data)
        _refuse_external(model)
        for tensor in model.graph.initializer:
            _require_size(tensor)
        return self.dump(model)


@hookimpl
def register_serializers() -> list[Onnx]:
    """Add the format."""
    return [Onnx()]


def inlined(path: str | Path) -> Any:
    """Return the model of a file whose tensors stand in other files beside it, with the tensors in it.

    Raises:
        SerializationError: The file, or one that it names, is missing or damaged, or all of it is over 2 GiB.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=True)
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise SerializationError(f"cannot read {path} with its tensors: {error}") from error
    if model.ByteSize() > _MOST:
        raise SerializationError(f"{path} is over 2 GiB with its tensors, more than one ONNX model can hold")
    return model


def converted(model: Any, sample: Any = None) -> Any:
    """Return a fitted scikit-learn estimator as an ONNX model, by skl2onnx.

    Args:
        model: The estimator or pipeline.
        sample: Some rows of its input, an array or a frame, by which types and names of the inputs are known; None:
            one input ``X`` of float32, as wide as the estimator was fitted.

    Raises:
        SerializationError: It is no estimator, is not fitted, or skl2onnx cannot convert it.
    """
    width = getattr(model, "n_features_in_", None)
    if not hasattr(model, "get_params") or (width is None and sample is None):
        raise SerializationError(
            f"a {type(model).__qualname__} is neither an ONNX model nor a fitted estimator of scikit-learn"
        )
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    inputs = {"X": sample} if sample is not None else {"initial_types": [("X", FloatTensorType([None, width]))]}
    try:
        return skl2onnx.to_onnx(model, name=type(model).__name__, **inputs)
    except Exception as error:
        raise SerializationError(f"skl2onnx cannot convert the {type(model).__qualname__}: {error}") from error


def _big(model: Any) -> Iterator[Any]:
    return (tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= _APART)


def _emptied(model: Any) -> list[Any]:
    return [each for each in model.graph.initializer if not each.raw_data and each.dims and not _others(each)]


def _others(tensor: Any) -> bool:
    """Whether a tensor keeps its elements elsewhere than in ``raw_data``, or has none."""
    fields = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
    return any(len(getattr(tensor, field)) for field in fields) or 0 in tensor.dims


def _require_size(tensor: Any) -> None:
    """Refuse a tensor whose raw data, if that is where its elements are, are not as long as its shape and type say."""
    import onnx

    if _others(tensor):
        return
    try:
        item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError as error:
        raise SerializationError(f"tensor {tensor.name!r} is of an unknown type {tensor.data_type}") from error
    elements = 1
    for size in tensor.dims:
        elements *= size
    bits = {onnx.TensorProto.UINT4: 4, onnx.TensorProto.INT4: 4}.get(tensor.data_type, 8 * item.itemsize)
    if min(tensor.dims, default=0) < 0 or -(-elements * bits // 8) != len(tensor.raw_data):
        raise SerializationError(f"tensor {tensor.name!r} does not fit its description")


def _parsed(data: memoryview) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(bytes(data))
    except DecodeError as error:
        raise SerializationError(f"not an ONNX model: {error}") from error
    if not model.ir_version or not model.graph.node or not model.opset_import:
        raise SerializationError("not a whole ONNX model: it has no version, no operators, or no operator set")
    return model


def _refuse_external(model: Any) -> None:
    """Refuse tensors in other files, wherever in the model they are."""
    for tensor in _tensors(model.graph):
        if tensor.data_location == _EXTERNAL or tensor.external_data:
            raise SerializationError(
                f"tensor {tensor.name!r} stands in another file, and a version is one whole",
                hint="friday_store_onnx.inlined(path) reads a model with its tensors",
            )


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _tensors(inner)
