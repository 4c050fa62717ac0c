"""The format ``keras``: a configuration, and a part for each weight. The package has the layout.

Which weights a model has, the state of its optimizer among them, is found by the walk that Keras's own files are
written with. It has no public name; the tests compare with what Keras writes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

from friday_store import Part, SerializationError
from friday_store.archive import Block
from friday_store.hookspecs import Safety
from friday_store_keras import archive, layout

_SHOWN: Final = 500
_FAILURES: Final = (
    TypeError, ValueError, KeyError, AttributeError, IndexError, RuntimeError, AssertionError, RecursionError,
)  # fmt: skip
_OF_NUMPY: Final = "__array__ implementation"  # Keras reads its variables as NumPy 1 had it
_NOTHING_FOR_THE_OPTIMIZER: Final = "Skipping variable loading for optimizer"


class Keras:
    """Models of Keras 3: see the package."""

    name = "keras"
    format = 1
    safety: Safety = "code"
    deterministic = True
    suffix = ".keras"
    requires = ("keras>=3.8", "h5py>=3.11")

    def accepts(self, model: object) -> bool:
        return any(
            (kind.__module__, kind.__name__) == ("keras.src.models.model", "Model") for kind in type(model).__mro__
        )

    def dump(self, model: Any) -> list[Part]:
        if not self.accepts(model):
            raise SerializationError(f"a {type(model).__qualname__} is not a model of Keras 3")
        unbuilt = next((each.name for each in (model, *model.layers) if not each.built), None)
        if unbuilt is not None:
            raise SerializationError(
                f"{unbuilt!r} is not built, so it has no weights yet",
                hint="call the model on some data first, or model.build(shape)",
            )
        import keras

        config = _config(model)
        lost = [name for name, registered in layout.custom(config).items() if not registered]
        if lost:
            raise SerializationError(
                f"{', '.join(sorted(lost))} is not Keras's own, and not registered with it, so it would not come back",
                hint="decorate it with @keras.saving.register_keras_serializable(package=…)",
            )
        return layout.parts_of(config, keras.__version__, _state(model))

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        if format > self.format:
            raise SerializationError(f"keras parts of format {format}; this release reads {self.format}")
        config, header = layout.read_config(parts), layout.read_header(parts)
        _refuse_lambdas(config)
        arrays = {weight.path: layout.array(weight, parts[weight.part]) for weight in header.weights}
        model = _model(config)
        try:
            _restore(model, arrays)
        except (*_FAILURES, UserWarning) as error:
            raise SerializationError(f"the weights are not those of this model: {_first(error)}") from error
        return model

    def check(self, parts: Mapping[str, memoryview]) -> None:
        layout.read_config(parts)
        header = layout.read_header(parts)
        if set(parts) != {"config", "weights", *(weight.part for weight in header.weights)}:
            raise SerializationError("these parts are not those of the format keras")
        for weight in header.weights:
            if len(parts[weight.part]) != weight.size:
                raise SerializationError(f"the weight {weight.path} does not fit its description")

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return class, name, layers, optimizer, what is not Keras's own, and the first 500 weights by path."""
        config, header = layout.read_config(parts), layout.read_header(parts)
        layers = config["config"].get("layers")
        optimizer = (config.get("compile_config") or {}).get("optimizer")
        shown = {each.path: f"{each.dtype}{list(each.shape)}" for each in header.weights[:_SHOWN]}
        found = {
            "class": config["class_name"],
            "name": config["config"].get("name"),
            "keras": header.keras,
            "layers": len(layers) if isinstance(layers, list) else None,
            "optimizer": optimizer.get("class_name") if isinstance(optimizer, Mapping) else optimizer,
            "custom": sorted(layout.custom(config))[:_SHOWN] or None,
            "weights": shown,
            "count": len(header.weights),
            "elements": sum(math.prod(each.shape) for each in header.weights),
        }
        return {name: value for name, value in found.items() if value is not None}

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterator[Block]:
        return archive.write(parts)

    def from_file(self, data: memoryview) -> list[Part]:
        parts = archive.read(data)
        _refuse_lambdas(layout.read_config({part.name: part.view() for part in parts[:1]}))
        return parts


def _config(model: Any) -> dict[str, Any]:
    import keras
    from keras.src.saving import serialization_lib

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")  # refused below
        warnings.filterwarnings("ignore", _OF_NUMPY, DeprecationWarning)
        try:
            with serialization_lib.ObjectSharingScope():
                config: dict[str, Any] = keras.saving.serialize_keras_object(model)
        except (*_FAILURES, NotImplementedError) as error:
            raise SerializationError(f"the model {model.name!r} has no configuration: {_first(error)}") from error
    _refuse_lambdas(config)
    return config


def _refuse_lambdas(config: Mapping[str, Any]) -> None:
    holder = layout.named_lambda(config)
    if holder is not None:
        raise SerializationError(
            f"{holder} holds a lambda, which a configuration keeps as bytecode of one Python version",
            hint="write it as a function or a layer that is registered with Keras",
        )


def _state(model: Any) -> dict[str, Any]:
    """Return every variable of a model, its optimizer and its metrics, by path, where it lies if it lies near."""
    from keras.src.saving import saving_lib

    class Store(saving_lib.NpzIOStore):  # type: ignore[misc]
        """Variables by path."""

        def __init__(self) -> None:
            self.contents: dict[str, dict[str, Any]] = {}

        def make(self, path: str, metadata: object = None) -> dict[str, Any]:  # noqa: ARG002 - Keras's
            return self.contents.setdefault(path, {})

    class Assets(saving_lib.DiskIOStore):  # type: ignore[misc]
        """Refuses a layer that has files."""

        def __init__(self) -> None:
            """Make nothing on the disk."""

        def make(self, path: str) -> str:
            raise SerializationError(f"the layer at {path} keeps files beside its weights, which is not stored")

    store = Store()
    saving_lib._save_state(model, store, Assets(), inner_path="", visited_saveables=set())  # noqa: SLF001
    return {
        f"{path}/vars/{key}" if path else f"vars/{key}": _array(value)
        for path, variables in store.contents.items()
        for key, value in variables.items()
    }


def _array(value: Any) -> Any:
    """Return a variable as an array of NumPy: of PyTorch, a view of it if it is on the CPU."""
    import keras

    inner = getattr(value, "value", value)
    if not hasattr(inner, "detach"):
        return keras.ops.convert_to_numpy(inner)
    near = inner.detach().cpu()
    if str(near.dtype) != "torch.bfloat16":
        return near.numpy()
    import ml_dtypes
    import torch

    return near.contiguous().view(torch.uint16).numpy().view(ml_dtypes.bfloat16)


def _model(config: dict[str, Any]) -> Any:
    """Make a model, with weights as Keras initialises them."""
    import keras
    from keras.src.saving import serialization_lib

    try:
        with serialization_lib.ObjectSharingScope():
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except (*_FAILURES, ImportError) as error:
        missing = ", ".join(sorted(layout.custom(config)))
        raise SerializationError(
            f"Keras {keras.__version__} does not make a model of this configuration: {_first(error)}",
            hint=f"import the module that registers {missing}" if missing else None,
        ) from error
    if not isinstance(model, keras.Model):
        raise SerializationError(f"the configuration is that of a {type(model).__qualname__}, which is no model")
    return model


def _restore(model: Any, arrays: Mapping[str, Any]) -> None:
    """Assign every array to the variable at its path."""
    from keras.src.saving import saving_lib

    groups: dict[str, dict[str, Any]] = {}
    for path, array in arrays.items():
        group, _, key = path.rpartition("/")
        groups.setdefault(group, {})[key] = array

    class Store(saving_lib.NpzIOStore):  # type: ignore[misc]
        """Arrays by path."""

        def __init__(self) -> None:
            self.asked: set[str] = set()

        def get(self, path: str) -> dict[str, Any]:
            group = f"{path}/vars" if path else "vars"
            self.asked.add(group)
            return groups.get(group, {})

        def has_path(self, path: str) -> bool:
            return any(group.startswith(f"{path}/") for group in groups)

    store = Store()
    trained = any(group.startswith("optimizer/") for group in groups)
    with warnings.catch_warnings():
        warnings.filterwarnings("error" if trained else "ignore", _NOTHING_FOR_THE_OPTIMIZER)
        saving_lib._load_state(model, store, None, inner_path="", visited_saveables=set())  # noqa: SLF001
    if set(groups) - store.asked:
        raise ValueError(f"the model has nothing at {min(set(groups) - store.asked)}")


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
