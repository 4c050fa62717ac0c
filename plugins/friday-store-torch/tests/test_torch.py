"""The formats ``torch`` and ``torch-module`` keep what every format promises, and are read and written by PyTorch."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import pytest
import torch

from friday_store import ModelRegistry, SerializationError
from friday_store.plugins import Plugins
from friday_store.testing import SerializerTests
from friday_store_torch import Torch, TorchModule


def network() -> torch.nn.Module:
    """Return a network whose first and last layer share their weights."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Linear(20, 20), torch.nn.BatchNorm1d(20), torch.nn.ReLU(), torch.nn.Linear(20, 20)
    )
    model[3].weight = model[0].weight
    return model.eval()


SAMPLE = torch.linspace(-1, 1, 60).reshape(3, 20)


class TestState(SerializerTests):
    """A checkpoint: a network's state beside an optimizer's."""

    serializer = Torch()

    @pytest.fixture
    def model(self) -> Any:
        """What people save between two evenings."""
        model = network().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        model(SAMPLE).sum().backward()
        optimizer.step()
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": 3,
            "best": float("-inf"),
            "half": torch.ones(3, dtype=torch.bfloat16),
            "empty": torch.zeros(0, 4),
            "betas": (0.9, None, "x", [True]),
        }

    def predict(self, model: Any) -> Any:
        """Compare containers by type, and tensors by bits."""
        if isinstance(model, torch.Tensor):
            return str(model.dtype), tuple(model.shape), model.reshape(-1).view(torch.uint8).tolist()
        if isinstance(model, dict):
            return type(model).__name__, [(key, self.predict(value)) for key, value in model.items()]
        if isinstance(model, list | tuple):
            return type(model).__name__, [self.predict(value) for value in model]
        return model

    def changed(self, model: Any) -> Any:
        """Another bias."""
        model["model"]["3.bias"] += 1
        return model


class TestModule(SerializerTests):
    """A whole network."""

    serializer = TorchModule()

    @pytest.fixture
    def model(self) -> torch.nn.Module:
        """A network."""
        return network()

    def predict(self, model: Any) -> Any:
        """Run it."""
        return model(SAMPLE).detach().numpy()

    def changed(self, model: Any) -> torch.nn.Module:
        """Another bias."""
        with torch.no_grad():
            model[3].bias += 1
        found: torch.nn.Module = model
        return found


def parts_of(form: Any, model: Any) -> dict[str, memoryview]:
    """Return a model's parts, as a load gets them."""
    return {part.name: memoryview(bytearray(part.view())) for part in form.dump(model)}


@pytest.mark.parametrize("form", [Torch(), TorchModule()], ids=lambda form: form.name)
def test_pytorch_reads_our_file_and_we_read_its(form: Any) -> None:
    """``get`` writes what ``torch.load`` reads, and what ``torch.save`` wrote is registered."""
    model = network()
    saved = model.state_dict() if form.name == "torch" else model
    file = io.BytesIO(b"".join(form.to_file(parts_of(form, saved))))
    theirs = torch.load(file, weights_only=form.name == "torch")
    target = io.BytesIO()
    torch.save(saved, target)
    parts = {part.name: memoryview(bytearray(part.view())) for part in form.from_file(target.getbuffer())}
    form.check(parts)
    for found in (theirs, form.load(parts, 1)):
        again = network()
        if form.name == "torch":
            again.load_state_dict(found)
        else:
            again = found
        assert torch.equal(model(SAMPLE), again(SAMPLE))


def test_a_module_in_a_file_is_not_taken_for_its_state() -> None:
    """A file that would run code is refused by the format ``torch``, which says which format it is."""
    target = io.BytesIO()
    torch.save(network(), target)
    with pytest.raises(SerializationError) as refused:
        Torch().from_file(target.getbuffer())
    assert "torch-module" in str(refused.value.hint)


class Bomb:
    """Pickles as a call."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('boom')",)


def test_no_bytes_make_the_state_format_run_code() -> None:
    """A pickle, inside a file or in place of the tree, is never unpickled."""
    target = io.BytesIO()
    torch.save({"w": torch.ones(2), "x": Bomb()}, target)
    with pytest.raises(SerializationError):
        Torch().from_file(target.getbuffer())
    parts = parts_of(Torch(), {"w": torch.ones(2)}) | {"tree": memoryview(pickle.dumps(Bomb()))}
    with pytest.raises(SerializationError):
        Torch().check(parts)


@pytest.mark.parametrize("form", [Torch(), TorchModule()], ids=lambda form: form.name)
def test_loading_copies_nothing_and_ties_stay(form: Any) -> None:
    """Tensors are views of the buffers, and one tensor in two places stays one."""
    saved = network() if form.name == "torch-module" else network().state_dict()
    parts = parts_of(form, saved)
    found = form.load(parts, 1)
    state = found.state_dict() if form.name == "torch-module" else found
    assert state["0.weight"].data_ptr() == state["3.weight"].data_ptr()
    before = [bytes(part) for part in parts.values()]
    with torch.no_grad():
        state["0.weight"][0, 0] = 12345.0
    assert 1 == sum(was != bytes(part) for was, part in zip(before, parts.values(), strict=True))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"w": torch.ones(2), "deep": [{"x": object()}]}, "model['deep'][0]['x']"),
        ({"w": torch.ones(2).to_sparse()}, "model['w']"),
        ({"w": torch.ones(2, device="meta")}, "model['w']"),
        ({(1, 2): torch.ones(2)}, "(1, 2)"),
        ({"a": 1}, "no tensor"),
    ],
    ids=["object", "sparse", "meta", "key", "nothing"],
)
def test_what_the_state_format_cannot_hold(wrong: Any, named: str) -> None:
    """What is refused is named by its path, before anything is written."""
    with pytest.raises(SerializationError) as refused:
        Torch().dump(wrong)
    assert named in str(refused.value)


def test_each_format_accepts_its_own() -> None:
    """State goes to ``torch``, modules to ``torch-module``, and neither wants what has no tensor in it."""
    model = network()
    assert [True, False] == [form.accepts(model.state_dict()) for form in (Torch(), TorchModule())]
    assert [False, True] == [form.accepts(model) for form in (Torch(), TorchModule())]
    assert [False, False] == [form.accepts(OrderedDict(a=1)) for form in (Torch(), TorchModule())]


def test_versions_share_what_did_not_change(tmp_path: Any) -> None:
    """With one of four layers changed, the second version adds that layer and little else."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(256, 256) for _ in range(4)]
    model = torch.nn.Sequential(*layers)
    registry = ModelRegistry(tmp_path, plugins=Plugins(["torch"]))
    registry.register_model(model, "net")
    one = sum(file.stat().st_size for file in tmp_path.rglob("*.pack"))
    with torch.no_grad():
        layers[2].weight += 1
    registry.register_model(model, "net")
    two = sum(file.stat().st_size for file in tmp_path.rglob("*.pack"))
    assert two - one < 0.3 * one
    assert torch.equal(layers[2].weight, registry.load_model("net")[2].weight)
