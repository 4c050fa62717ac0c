"""The format ``keras`` keeps what every format promises, and is read and written by Keras."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from friday_store import ModelRegistry, SerializationError
from friday_store.plugins import Plugins
from friday_store.testing import SerializerTests
from friday_store_keras import Keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, since NumPy 2
ROWS = np.linspace(-1, 1, 60, dtype="float32").reshape(5, 12)


def network(*, trained: bool = True, dropout: float = 0.2) -> Any:
    """Return a compiled network of a few layers, one of them used twice, trained for a step or two."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((12,), name="rows")
    normed = keras.layers.Normalization(mean=0.1, variance=2.0)(inputs)
    shared = keras.layers.Dense(12, activation="relu", name="shared")
    found = keras.layers.BatchNormalization()(shared(shared(normed)))
    found = keras.layers.Dropout(dropout)(keras.layers.Dense(24, activation="gelu")(found))
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(found))
    if trained:
        model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
        model.fit(ROWS, np.ones((5, 2), "float32"), epochs=2, verbose=0)
    return model


@keras.saving.register_keras_serializable(package="tests")
class Doubled(keras.layers.Layer):  # type: ignore[misc]
    """A layer of one's own."""

    def call(self, values: Any) -> Any:
        """Double."""
        return values * 2


class Stray(keras.layers.Layer):  # type: ignore[misc]
    """A layer that nobody registered."""

    def call(self, values: Any) -> Any:
        """Change nothing."""
        return values


def of(*layers: Any) -> Any:
    """Return a small model of some layers."""
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((12,)), *layers, keras.layers.Dense(2, name="end")])


@pytest.fixture(scope="module")
def trained() -> Any:
    """A network for tests that change nothing in it; training one takes longer than most of them."""
    return network()


class TestFunctional(SerializerTests):
    """A compiled, trained, functional model: predictions, the state of its optimizer, and what training does next."""

    serializer = Keras()
    frameworks = ("keras", "torch", "h5py")
    shares = 0.4

    @pytest.fixture
    def model(self, trained: Any) -> Any:
        """Trained a little."""
        return trained

    def predict(self, model: Any) -> Any:
        """Predictions, optimizer and names."""
        state = [np.asarray(keras.ops.convert_to_numpy(each)).copy() for each in model.optimizer.variables]
        return model.predict(ROWS, verbose=0), state, [layer.name for layer in model.layers]

    def changed(self, model: Any) -> Any:
        """Another last layer, by hand."""
        model.get_layer("last").set_weights([weight + 1 for weight in model.get_layer("last").get_weights()])
        return model


def parts_of(model: Any) -> dict[str, memoryview]:
    """Return a model's parts, as a load gets them."""
    return {part.name: memoryview(bytearray(part.view())) for part in Keras().dump(model)}


def saved(model: Any, folder: Path) -> bytes:
    """Return the file that Keras writes."""
    model.save(folder / "theirs.keras")
    return (folder / "theirs.keras").read_bytes()


def test_a_file_of_keras_gives_the_parts_that_the_model_gives(trained: Any, tmp_path: Path) -> None:
    """Keras's own file and the model in memory are the same parts, bit for bit; so they are stored once."""
    model = trained
    theirs = {part.name: bytes(part.view()) for part in Keras().from_file(memoryview(saved(model, tmp_path)))}
    assert theirs == {name: bytes(data) for name, data in parts_of(model).items()}
    assert {"weight/layers/dense/vars/0", "weight/optimizer/vars/1"} <= set(theirs)


@pytest.mark.parametrize("half", [False, True])
def test_keras_reads_our_file(trained: Any, tmp_path: Path, half: bool) -> None:
    """What ``get`` writes is loaded by ``keras.saving.load_model``, and predicts the same."""
    model = of(keras.layers.Dense(3, dtype="bfloat16")) if half else trained
    (tmp_path / "ours.keras").write_bytes(b"".join(Keras().to_file(parts_of(model))))
    found = keras.saving.load_model(tmp_path / "ours.keras")
    np.testing.assert_array_equal(model.predict(ROWS, verbose=0), found.predict(ROWS, verbose=0))


def test_training_goes_on_where_it_stopped() -> None:
    """A compiled model comes back compiled: one more step does what it does to the model, but for rounding."""
    model = network(dropout=0.0)  # Keras keeps no random state
    found = Keras().load(parts_of(model), 1)
    for each in (model, found):
        keras.utils.set_random_seed(9)
        each.fit(ROWS, np.ones((5, 2), "float32"), epochs=1, verbose=0)
    np.testing.assert_allclose(model.predict(ROWS, verbose=0), found.predict(ROWS, verbose=0), rtol=1e-5)


def test_layers_of_other_kinds() -> None:
    """A model that was never compiled, with a recurrent layer, one of one's own and one in half precision."""
    half = keras.layers.Dense(6, dtype="bfloat16")
    model = of(keras.layers.Reshape((4, 3)), half, keras.layers.GRU(5, name="gru"), Doubled(name="two"))
    found = Keras().load(parts_of(model), 1)
    np.testing.assert_array_equal(model.predict(ROWS, verbose=0), found.predict(ROWS, verbose=0))
    assert ["bfloat16"] * 2 == [str(weight.dtype) for weight in found.layers[1].weights]


def test_compiled_and_not_trained() -> None:
    """A model whose optimizer has no state yet loads without a warning."""
    model = network(trained=False)
    model.compile(optimizer="sgd", loss="mse")
    found = Keras().load(parts_of(model), 1)
    np.testing.assert_array_equal(model.predict(ROWS, verbose=0), found.predict(ROWS, verbose=0))


def test_a_layer_in_two_places_stays_one(trained: Any) -> None:
    """A shared layer is stored once and comes back as one."""
    found = Keras().load(parts_of(trained), 1)
    before = found.predict(ROWS, verbose=0)
    assert 1 == len([layer for layer in found.layers if layer.name == "shared"])
    assert 2 == len(found.get_layer("shared")._inbound_nodes)
    found.get_layer("shared").set_weights([weight * 3 for weight in found.get_layer("shared").get_weights()])
    assert not np.array_equal(before, found.predict(ROWS, verbose=0))


def test_describes_layers_weights_and_what_is_not_keras(trained: Any) -> None:
    """What ``show`` says: class, optimizer, weights, and the objects that have to be imported."""
    described = Keras().describe(parts_of(trained))
    assert {"class": "Functional", "optimizer": "Adam", "layers": 7}.items() <= described.items()
    assert "float32[12, 12]" == described["weights"]["layers/dense/vars/0"]
    assert "custom" not in described
    [name] = Keras().describe(parts_of(of(Doubled())))["custom"]
    assert name.endswith("Doubled")


def test_what_would_not_come_back_is_refused_by_name() -> None:
    """A lambda, a class that nobody registered, and a model without weights: the message names what is at fault."""
    with pytest.raises(SerializationError, match="odd holds a lambda"):
        Keras().dump(of(keras.layers.Lambda(lambda values: values * 2, name="odd")))
    with pytest.raises(SerializationError, match="Stray is not Keras's own"):
        Keras().dump(of(Stray()))
    with pytest.raises(SerializationError, match="not built"):
        Keras().dump(keras.Sequential([keras.layers.Dense(2)]))


def test_files_of_a_layer_are_refused() -> None:
    """A vocabulary is no weight: the layer that keeps it is named."""

    @keras.saving.register_keras_serializable(package="tests")
    class Words(Doubled):
        def save_assets(self, folder: str) -> None:
            (Path(folder) / "words.txt").write_text("a b")

    with pytest.raises(SerializationError, match="layers/words"):
        Keras().dump(of(Words()))


def test_a_lambda_in_a_configuration_is_never_made(tmp_path: Path) -> None:
    """A file or parts with the bytecode of a lambda are refused before Keras sees them."""
    model = of(keras.layers.Lambda(lambda values: values * 2, name="odd", output_shape=(12,)))
    file = saved(model, tmp_path)
    with pytest.raises(SerializationError, match="lambda"):
        Keras().from_file(memoryview(file))
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        config = memoryview(archive.read("config.json"))
    with pytest.raises(SerializationError, match="lambda"):
        Keras().load(parts_of(of()) | {"config": config}, 1)


def test_an_unknown_class_names_what_to_import() -> None:
    """A class that is not registered in this process is not looked for in modules: the message says what to import."""
    parts = parts_of(of(Doubled(name="two")))
    config = bytes(parts["config"]).replace(b"tests>Doubled", b"tests>Gone")
    with pytest.raises(SerializationError) as refused:
        Keras().load(parts | {"config": memoryview(config)}, 1)
    assert "Doubled" in str(refused.value.hint)


def test_weights_of_another_model_are_refused(trained: Any) -> None:
    """A weight that the configuration has no place for, or one too few, is an error and not left out."""
    parts = parts_of(trained)
    other = parts_of(of())
    mixed = parts | {"config": other["config"]}
    with pytest.raises(SerializationError, match="not those of this model"):
        Keras().load(mixed, 1)
    head = json.loads(bytes(parts["weights"]))
    head["weights"] = [each for each in head["weights"] if each["path"] != "optimizer/vars/1"]
    fewer = {name: data for name, data in parts.items() if name != "weight/optimizer/vars/1"}
    fewer["weights"] = memoryview(json.dumps(head).encode())
    Keras().check(fewer)
    with pytest.raises(SerializationError, match="not those of this model"):
        Keras().load(fewer, 1)


@pytest.mark.parametrize("how", ["compressed", "virtual", "external", "soft link", "huge"])
def test_files_that_keras_does_not_write(tmp_path: Path, how: str) -> None:
    """Weights that are inflated, lie in another file, or are said to be larger than the file are refused."""
    file = saved(of(), tmp_path)
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    inner = io.BytesIO(members["model.weights.h5"])
    with h5py.File(inner, "a") as weights:
        if how == "compressed":
            weights.create_dataset("big", (1 << 20,), compression="gzip", data=np.zeros(1 << 20))
        elif how == "huge":
            weights.create_dataset("big", (1 << 40,), "float32")
        elif how == "soft link":
            weights["again"] = h5py.SoftLink("/layers")
        elif how == "external":
            weights.create_dataset("far", (4,), "uint8", external=[("/etc/hostname", 0, 4)])
        else:
            layout = h5py.VirtualLayout((4,), "float32")
            layout[:] = h5py.VirtualSource(str(tmp_path / "x.h5"), "x", (4,))
            weights.create_virtual_dataset("far", layout)
    members["model.weights.h5"] = inner.getvalue()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(SerializationError, match=r"not stored in it|a link"):
        Keras().from_file(target.getbuffer())


def test_a_deflated_archive_is_refused(tmp_path: Path) -> None:
    """A zip whose members are compressed is not inflated to see what is in it."""
    source = zipfile.ZipFile(io.BytesIO(saved(of(), tmp_path)))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    with pytest.raises(SerializationError, match="compressed"):
        Keras().from_file(target.getbuffer())


def test_the_plugin_of_pytorch_leaves_keras_models_alone(tmp_path: Path) -> None:
    """On the back end of PyTorch a model of Keras is a module too; where both plugins are, it goes to this format."""
    torch_format = pytest.importorskip("friday_store_torch").TorchModule()
    model = of()
    assert [True, False] == [form.accepts(model) for form in (Keras(), torch_format)]
    with ModelRegistry(tmp_path, plugins=Plugins(["keras", "torch"])) as registry:
        registry.register_model(model, "net")
        assert "keras" == registry.get_model_metadata("net")["serializer"]
