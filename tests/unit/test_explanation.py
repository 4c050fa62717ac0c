"""What explaining promises: the names that loading would use, found without running any of them."""

from __future__ import annotations

import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry
from friday_store.comparison.pickles import COMPUTED, Global, globals_in
from friday_store.explanation import advice
from friday_store.plugins import Plugins
from friday_store.trust import Identity


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.called = function, args

    def __reduce__(self) -> Any:
        return self.called


def test_an_estimator_names_the_usual(registry: ModelRegistry, estimator: Any) -> None:
    """A scikit-learn model of one's own names what it is made of, all of it usual, and loads."""
    for name, form in (("a", "pickle5"), ("b", "joblib")):
        registry.register_model(estimator, name, serializer=form)
        found = registry.explain(name)
        assert (True, "", "", "code") == (found.loads, found.why, found.unread, found.safety)
        assert "sklearn.linear_model._ridge.Ridge" in {each.name for each in found.names if each.called}
        assert {"usual"} == {each.advice for each in found.names}


@pytest.mark.parametrize("form", ["pickle5", "joblib"])
def test_what_would_run_is_shown_and_not_run(tmp_path: Path, form: str) -> None:
    """A stranger's call is named, marked, and not made; the reason why it does not load names the way to accept it."""
    marker = tmp_path / "ran"
    with ModelRegistry(tmp_path / "a", plugins=Plugins(()), identity=Identity(None)) as theirs:
        theirs.register_model([np.arange(3.0), Call(os.mkdir, str(marker))], "m", serializer=form)
        theirs.register_model(
            {"o": np.array([1, Call(os.mkdir, str(marker))], dtype=object)}, "hidden", serializer=form
        )
    marker.rmdir() if marker.exists() else None
    with ModelRegistry(tmp_path / "a", plugins=Plugins(())) as mine:
        for name in ("m", "hidden"):
            found = mine.explain(name, scan=True)
            assert ("posix.mkdir", True, "dangerous") == found.names[0]
            assert not found.loads
            assert f"friday-store trust add {found.model_id}" in found.why
            assert "picklescan" in found.scanner
    assert not marker.exists()


def test_data_names_nothing(registry: ModelRegistry) -> None:
    """A format that runs no code has nothing to name."""
    registry.register_model(np.arange(3), "m")
    found = registry.explain("m")
    assert ("data", (), "", True) == (found.safety, found.names, found.unread, found.loads)


NAMED = pickle.dumps(Call(os.getpid), protocol=5)


def test_every_protocol_is_read() -> None:
    """A call is found whichever protocol wrote it."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert ({Global("posix", "getpid"): True}, "") == globals_in(pickle.dumps(Call(os.getpid), protocol=protocol))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x80\x05" + b"cposix\ngetpid\n)R0" + b"\xffjunk", {Global("posix", "getpid"): True}),
        (b"cposix\ngetpid\n)R0", {Global("posix", "getpid"): True}),
        (b"(S'x'\niposix\nsystem\n0N.", {Global("posix", "system"): True}),
        (b"cbuiltins\neval\n0N.", {Global("builtins", "eval"): False}),
        (b"\x80\x04\x8c\x05posix\x94\x8c\x06getpid\x94\x93)R.", {Global("posix", "getpid"): True}),
        (b"\x80\x04\x8c\x05posix0\x8c\x05posix\x8c\x06getpid\x93)R.", {Global("posix", "getpid"): True}),
        (b"\x80\x04]\x8c\x06getpid\x93)R.", {COMPUTED: True}),
        (b"\x80\x04K\x01)R.", {COMPUTED: True}),
    ],
    ids=range(8),
)
def test_hiding_places(data: bytes, found: dict[Global, bool]) -> None:
    """What runs before a break, what is thrown away, and what is put together in odd ways is found all the same."""
    assert found == globals_in(data)[0]


def test_what_is_not_read_is_said() -> None:
    """A pickle that needs more than itself, is cut, or is too large has a reason why there may be more."""
    assert globals_in(b"Pexternal\n.")[1]
    assert globals_in(NAMED[:-1])[1]
    assert globals_in(b"")[1]
    assert ({}, "it is too large to be looked at") == globals_in(memoryview(bytes((64 << 20) + 1)))


def test_the_names_are_those_that_unpickling_asks_for(estimator: Any) -> None:
    """The names are exactly those that Python's own unpickler looks up."""
    asked = set()

    class Asking(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            asked.add(Global(module, name))
            return super().find_class(module, name)

    data = pickletools.optimize(pickle.dumps({"m": estimator, "s": {1}, "b": bytearray(3)}, protocol=5))
    import io

    Asking(io.BytesIO(data)).load()
    assert asked <= globals_in(data)[0].keys() <= asked | {Global("builtins", "set")}


def test_advice() -> None:
    """Advice is by name alone: code runners are dangerous, well-known libraries usual, anything else unusual."""
    for name, said in (
        ("builtins.eval", "dangerous"), ("builtins.set", "usual"), ("os.system", "dangerous"),
        ("mine.Model", "unusual"),
        ("numpy.core.multiarray.scalar", "usual"), ("_codecs.encode", "usual"), ("functools.partial", "dangerous"),
        ("operator.attrgetter", "dangerous"),
    ):  # fmt: skip
        module, _, leaf = name.rpartition(".")
        assert said == advice(Global(module, leaf)), name
    assert advice(Global("numpy", "f2py.crackfortran.getlincoef")) == "unusual"
