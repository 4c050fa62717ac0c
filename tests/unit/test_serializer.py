"""What writing and reading a model promise, whatever its format does."""

from __future__ import annotations

import importlib.metadata
import itertools
import pickle
import re
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from friday_store import default_plugins, serializer
from friday_store.default_plugins.formats import File, Joblib, Json, Numpy
from friday_store.default_plugins.pickle5 import Pickle5
from friday_store.errors import FridayStoreError, GateError, PluginError, SerializationError
from friday_store.hookspecs import Part, Serializer, hookimpl
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.testing import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

BUILT_IN = list(default_plugins.register_serializers())
SAMPLES: dict[str, Any] = {
    "file": b"\x80\x05any bytes.",
    "joblib": {"a": 1},
    "json": {"a": 1},
    "numpy": np.arange(4.0),
    "pickle5": {"a": 1},
}


class Odd(Json):
    """A format that behaves as it is told."""

    name = "odd"

    def __init__(self, **doings: Callable[..., Any]) -> None:
        self.doings = doings

    def dump(self, model: Any) -> Any:
        """Do as told."""
        return self.doings["dump"](model) if "dump" in self.doings else [Part("json", b"1")]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        """Do as told."""
        return self.doings["load"](parts) if "load" in self.doings else 1

    def check(self, parts: Mapping[str, memoryview]) -> None:
        """Do as told."""
        if "check" in self.doings:
            self.doings["check"](parts)


def odd(**doings: Callable[..., Any]) -> Plugins:
    """Return plugins with one odd format."""
    return Plugins((), extra={"odd": SimpleNamespace(register_serializers=hookimpl(lambda: [Odd(**doings)]))})


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises."""

    def fail(*_: object) -> Any:
        raise error

    return fail


def late(_: Any) -> Iterable[Part]:
    """Yield one part, then fail."""
    yield Part("one", b"1")
    raise KeyError("two")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"a": 1}, "pickle5"), (np.arange(3), "numpy"), ({"w": np.arange(3)}, "numpy"), ({}, "pickle5"),
        (None, "pickle5"), ({"": np.arange(3)}, "pickle5"), ({1: np.arange(3)}, "pickle5"), ("text", "pickle5"),
        (np.array([object()]), "pickle5"), (np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]), "pickle5"),
        (np.float64(1), "pickle5"), (np.ma.array([1, 2], mask=[True, False]), "pickle5"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "pickle5"),
    ],
)  # fmt: skip
def test_the_model_decides(model: Any, expected: str) -> None:
    """Without a name the first format that keeps all of the model is taken; pickle takes the rest."""
    found = serializer.dump(Plugins(()), model)
    assert expected == found.serializer.name
    again = serializer.load(Plugins(()), expected, 1, parts_of(found.parts))
    assert type(model) is type(again)
    assert pickle.dumps(model) == pickle.dumps(again) or repr(model) == repr(again)


def test_a_path_is_stored_as_the_file(tmp_path: Path) -> None:
    """A path means the file that it names, byte for byte."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"\x00\x01")
    found = serializer.dump(Plugins(()), path)
    (part,) = found.parts
    assert (found.serializer.name, bytes(part.view()), part.opaque) == ("file", b"\x00\x01", True)
    with pytest.raises(SerializationError, match="missing"):
        serializer.dump(Plugins(()), tmp_path / "missing")
    with pytest.raises(SerializationError, match="cannot read"):
        serializer.dump(Plugins(()), tmp_path)


def test_the_name_decides() -> None:
    """A format that is asked for is used, or refuses; there is no fallback to another."""
    assert serializer.dump(Plugins(()), {"a": 1}, "json").serializer.name == "json"
    with pytest.raises(SerializationError):
        serializer.dump(Plugins(()), {"a": object()}, "json")
    with pytest.raises(PluginError):
        serializer.dump(Plugins(()), {"a": 1}, "skops")


@pytest.mark.parametrize(
    "doing",
    [
        raising(ZeroDivisionError("mine")), late, lambda _: None, lambda _: [b"no part"], lambda _: [Part("p", "text")],  # type: ignore[arg-type]
        lambda _: [Part(1, b"x")], lambda _: [Part("p", b"1"), Part("p", b"2")],  # type: ignore[arg-type]
        lambda _: [Part("p", memoryview(b"12345678")[::2])],
    ],
)  # fmt: skip
def test_a_format_that_fails_to_write(tmp_path: Path, doing: Callable[..., Any]) -> None:
    """Whatever a format does wrong while it writes is one kind of error, and nothing is registered."""
    with ModelRegistry(tmp_path / "r", plugins=odd(dump=doing)) as registry:
        with pytest.raises(SerializationError):
            registry.register_model([1], "m", serializer="odd")
        assert registry.list_models() == []
        assert registry.register_model([1], "m")


@pytest.mark.parametrize("what", ["check", "load"])
def test_a_format_that_fails_to_read(what: str) -> None:
    """Whatever a format raises while it checks or loads is one kind of error; the package's own go through."""
    parts = {"json": memoryview(b"1")}
    with pytest.raises(SerializationError, match="ZeroDivisionError: mine"):
        serializer.load(odd(**{what: raising(ZeroDivisionError("mine"))}), "odd", 1, parts)
    with pytest.raises(GateError):
        serializer.load(odd(**{what: raising(GateError("no", plugin="p"))}), "odd", 1, parts)
    with pytest.raises(KeyboardInterrupt):
        serializer.load(odd(**{what: raising(KeyboardInterrupt())}), "odd", 1, parts)


def test_a_newer_format_is_not_touched() -> None:
    """Parts of a newer format version reach neither check nor load."""
    plugins = odd(check=raising(AssertionError("touched")), load=raising(AssertionError("touched")))
    with pytest.raises(SerializationError, match="format 2"):
        serializer.load(plugins, "odd", 2, {})


@pytest.mark.parametrize(("written", "read"), list(itertools.permutations(BUILT_IN, 2)), ids=lambda found: found.name)
def test_parts_reach_no_other_loader(written: Serializer, read: Serializer) -> None:
    """Parts that are labelled as another format are refused by it, before anything interprets them."""
    parts = parts_of(written.dump(SAMPLES[written.name]))
    with pytest.raises(SerializationError):
        serializer.load(Plugins(()), read.name, 1, parts)


class Holder:
    """Something with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@pytest.mark.parametrize("chosen", [Pickle5(), Joblib()], ids=lambda found: found.name)
@pytest.mark.parametrize(
    ("model", "where"),
    [
        (Holder(model=Holder(lock=threading.Lock())), "model.model.lock"),
        (Holder(callbacks=[1, lambda: 0]), "model.callbacks[1]"),
        ({"a": {"b": Holder(x=(1, threading.Lock()))}}, "model['a']['b'].x[1]"),
    ],
)
def test_names_the_attribute_that_cannot_be_pickled(chosen: Serializer, model: Any, where: str) -> None:
    """The message has the path of the innermost attribute at fault."""
    with pytest.raises(SerializationError) as caught:
        list(chosen.dump(model))
    assert f"attribute {where} " in str(caught.value)


def test_a_loop_is_not_walked_for_ever() -> None:
    """A model that holds itself and something unpicklable is named too."""
    model = Holder(lock=threading.Lock())
    model.myself = model  # type: ignore[attr-defined]
    with pytest.raises(SerializationError, match="lock"):
        Pickle5().dump(model)


@pytest.mark.parametrize("size", [10, 8191, 8192, 100_000])
@pytest.mark.parametrize("writeable", [True, False])
def test_pickle_exports_load_with_plain_pickle(size: int, writeable: bool) -> None:
    """The native file is one ordinary pickle that needs nothing of this package, whatever lay out of band."""
    array = np.random.default_rng(5).standard_normal(size)
    array.flags.writeable = writeable
    model = {"one": array, "same": array, "other": np.asfortranarray(np.ones((300, 40))), "text": "x" * 100_000}
    parts = parts_of(Pickle5().dump(model))
    assert (size >= 8192) == ("buffer/1" in parts)
    found = pickle.loads(b"".join(Pickle5().to_file(parts)))
    assert found["one"].tobytes() == array.tobytes()
    assert found["one"] is found["same"]
    assert writeable == found["one"].flags.writeable
    assert found["other"].flags.f_contiguous
    assert found["text"] == model["text"]


def test_pickle_keeps_big_buffers_out_of_band() -> None:
    """Buffers of 64 KiB and more are parts of their own and are not copied to be written."""
    array = np.zeros(1 << 16)
    skeleton, buffer = Pickle5().dump({"a": array, "small": np.zeros(10)})
    assert len(skeleton.view()) < 1000
    assert np.shares_memory(array, np.frombuffer(buffer.view()))


def test_numpy_loads_views() -> None:
    """An array that is loaded is a view of its part."""
    parts = parts_of(Numpy().dump(np.arange(1000)))
    found = Numpy().load(parts, 1)
    assert np.shares_memory(found, np.frombuffer(parts["array/0"]))
    assert found.flags.writeable


@pytest.mark.parametrize(
    "head",
    [
        b"[]", b"{}", b"nonsense", b"[1]", b'[{"name": "", "dtype": "<f8", "shape": [4]}]',
        b'[{"name": "", "dtype": "|O", "shape": [4], "order": "C"}]',
        b'[{"name": "", "dtype": "<f8", "shape": [-4, -1], "order": "C"}]',
        b'[{"name": "", "dtype": "<f8", "shape": [5], "order": "C"}]',
        b'[{"name": "", "dtype": "<f8", "shape": [4], "order": "X"}]',
        b'[{"name": "", "dtype": "<f8", "shape": ["x"], "order": "C"}]',
        b'[{"name": "", "dtype": "nonsense", "shape": [4], "order": "C"}]',
        b'[{"name": "", "dtype": 7, "shape": [4], "order": "C"}]',
        b'[{"name": "", "dtype": "<f8", "shape": [1e400], "order": "C"}]',
        b"[" * 100_000,
    ],
    ids=lambda head: head[:60].decode(),
)  # fmt: skip
def test_numpy_refuses_impossible_descriptions(head: bytes) -> None:
    """A description that does not fit its array is refused, above all one with objects in it."""
    parts = {"arrays": memoryview(head), "array/0": memoryview(bytes(32))}
    with pytest.raises(SerializationError):
        serializer.load(Plugins(()), "numpy", 1, parts)


def test_numpy_files_hold_no_pickles(tmp_path: Path) -> None:
    """An npz file with a pickle inside is refused, and nothing in it runs."""
    path, marker = tmp_path / "evil.npy", tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return marker.touch, ()

    np.save(path, np.array([Evil()]), allow_pickle=True)
    with pytest.raises(SerializationError):
        Numpy().from_file(memoryview(path.read_bytes()))
    assert not marker.exists()


@pytest.mark.parametrize(
    "model",
    [(1, 2), {1: 2}, [float("nan"), (1, 2)], ["NaN", (1,)], object(), "\ud800", {"a": {None: 1}}, b"bytes", {1, 2}],
)
def test_json_refuses_what_it_would_change(model: Any) -> None:
    """What JSON would give back as something else is refused, also next to NaN."""
    with pytest.raises(SerializationError):
        Json().dump(model)


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    """A file of no bytes can be stored too."""
    (tmp_path / "empty").touch()
    assert [bytes(part.view()) for part in File().dump(tmp_path / "empty")] == [b""]


def test_every_refusal_is_the_package_s_own() -> None:
    """A serialization error is what every caller of this package catches, and a TypeError."""
    assert issubclass(SerializationError, FridayStoreError)
    assert issubclass(SerializationError, TypeError)


def test_a_serialized_model_is_registered_without_being_loaded(estimator: Any, registry: ModelRegistry) -> None:
    """What another process made has the bytes and facts of the model itself, and is never unpickled to be stored."""
    sent = pickle.loads(pickle.dumps(serializer.serialized(registry.plugins, estimator)))
    whole = registry.get_model_metadata(registry.register_model(estimator, "whole"))
    apart = registry.get_model_metadata(registry.register_model(sent, "apart", input_example=np.zeros((1, 3))))
    for name in ("artifact", "model_type", "hyperparameters", "dependencies", "environment", "serializer"):
        assert whole[name] == apart[name], name
    assert {**whole["input_schema"], "dtypes": {"*": "float64"}} == apart["input_schema"]
    np.testing.assert_array_equal(estimator.coef_, registry.load_model("apart").coef_)
    for wrong, problem in (
        (replace(sent, version=9), "pickle5 9 already"),
        (replace(sent, parts=(Part("pickle", b"cos\nsystem\n"),)), "not a pickle"),
    ):
        with pytest.raises(SerializationError, match=problem):
            registry.register_model(wrong, "apart")
    with pytest.raises(SerializationError, match="cannot become joblib"):
        registry.register_model(sent, "apart", serializer="joblib")


@pytest.mark.parametrize(
    ("installed", "refused"), [("1.5.3", True), ("1.6", False), ("1.6.0", False), ("2.0rc1", False)]
)
def test_a_library_with_known_holes_does_not_load(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch, installed: str, refused: bool
) -> None:
    """S22: what is older than its format requires is refused by name, with the command that installs a newer one."""
    registry.register_model({"a": 1}, "m", serializer="joblib")
    real = importlib.metadata.version
    monkeypatch.setattr(serializer, "_outdated", serializer._outdated.__wrapped__)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: installed if name == "joblib" else real(name))
    if not refused:
        assert {"a": 1} == registry.load_model("m")
        return
    with pytest.raises(PluginError, match=r"needs joblib>=1.6, and 1.5.3 is installed") as caught:
        registry.load_model("m")
    assert "pip install --upgrade 'joblib>=1.6'" == caught.value.hint


def test_the_floors_stand_in_the_package_too() -> None:
    """S22: the package itself asks for libraries without the holes that are known."""
    asked = {re.split(r"[^a-z0-9-]", line)[0]: line for line in importlib.metadata.requires("friday-store") or ()}
    for name, floor in (("joblib", (1, 6)), ("msgpack", (1, 0)), ("cryptography", (44,))):
        found = re.search(r">=([0-9.]+)", asked[name])
        assert found is not None
        assert tuple(map(int, found[1].split("."))) >= floor
