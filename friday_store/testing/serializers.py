"""What every model format promises, as tests."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

import pytest

from friday_store import default_plugins, environment, serializer
from friday_store.errors import SerializationError
from friday_store.hookspecs import Describing, Part, Requiring, Serializer
from friday_store.objects.pack import BLOCK
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry
from friday_store.testing import journey

_STRANGERS: Final[tuple[Any, ...]] = (None, 0, "text", b"bytes", [], {}, object(), object, print, ValueError("x"))


def parts_of(dumped: Iterable[Part], *, writable: bool = True) -> dict[str, memoryview]:
    """Return parts as a load gets them: verified copies by name, writable unless told otherwise."""
    kind = bytearray if writable else bytes
    return {part.name: memoryview(kind(part.view())) for part in dumped}


class SerializerTests:
    """Subclass it, set ``serializer``, and give the fixture ``model``; what a model is good for is ``predict``.

    Attributes:
        serializer: The format under test; an instance that can be pickled, if ``frameworks`` are named.
        frameworks: The top-level modules, such as ``("torch",)``, that only writing and loading a model may import.
            The fixture may import them, and so may the test module. None, as it is by default: those of the
            distribution that the format requires first.
        chosen: Whether a model goes to this format when none is asked for.
        mistaken: Formats whose native files are files of this one too, told apart by nothing, such as a joblib file
            without arrays, which is a pickle.
        shares: The share of a model's bytes, 0 to 1, that its :meth:`changed` version must have in common with it.
        shows_truncation: Whether parts that were cut short cannot be taken for whole ones. False for a format
            that keeps bytes as they are; what is cut short may then load as something else, and nothing worse.
        has_file: Whether the format has a native single file.
    """

    serializer: Serializer
    frameworks: ClassVar[Sequence[str] | None] = None
    chosen: ClassVar[bool] = True
    mistaken: ClassVar[Collection[str]] = ()
    shares: ClassVar[float] = 0.5
    shows_truncation: ClassVar[bool] = True
    has_file: ClassVar[bool] = True

    @pytest.fixture
    def model(self) -> Any:
        """Return a model that the format can write."""
        raise NotImplementedError("give a fixture called 'model'")

    def predict(self, model: Any) -> Any:
        """Return what two equal models have in common: predictions, for most. By default the model itself."""
        return model

    def unwritable(self) -> Any:
        """Return something that the format cannot write; None if there is no such thing."""
        return threading.Lock()

    def changed(self, model: Any) -> Any:  # noqa: ARG002 - for those who have one
        """Return a model like this one with a part of it trained on; None, by default, if there is no such thing.

        It is given a model of its own, and may change it in place.
        """
        return None

    def older(self) -> Mapping[int, Mapping[str, bytes]]:
        """Return the parts of a model in each layout before the current one, as its release wrote them.

        Needed as soon as ``format`` is above 1: keep them as files beside the test. The model has to predict as that
        of the fixture does.
        """
        return {}

    def framework_modules(self) -> Sequence[str]:
        """Return the top-level modules that only writing and loading may import."""
        if self.frameworks is not None:
            return self.frameworks
        needed = self.serializer.requires if isinstance(self.serializer, Requiring) else ()
        return environment.modules_of(serializer.distribution(needed[0])) if needed else ()

    @pytest.fixture(autouse=True)
    def own_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep trust and caches of the tests apart from those of whoever runs them."""
        monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "home"))

    @pytest.fixture
    def plugins(self) -> Plugins:
        """Return the built-in formats and this one."""
        return journey.own_plugins(self.serializer)

    def load(self, plugins: Plugins, parts: Mapping[str, memoryview]) -> Any:
        """Load as the registry does: magic bytes first, and one kind of error."""
        return serializer.load(plugins, self.serializer.name, self.serializer.format, parts)

    def test_describes_itself(self) -> None:
        """A format has a lower-case name, a version from 1, and one of three safety classes."""
        assert isinstance(self.serializer, Serializer)
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.serializer.name)
        assert self.serializer.format >= 1
        assert self.serializer.safety in ("data", "typed", "code")
        assert isinstance(self.serializer.deterministic, bool)
        assert re.fullmatch(r"(\.[a-z0-9]+)?", self.serializer.suffix)

    def test_requires_what_is_installed(self) -> None:
        """What a format says it requires is what pip understands, and is installed where its tests run."""
        if isinstance(self.serializer, Requiring):
            assert not isinstance(self.serializer.requires, str)
            assert serializer.missing(self.serializer) == []
        assert not self.framework_modules() or isinstance(self.serializer, Requiring), "say what to install: requires"

    def test_is_found_by_its_name(self, plugins: Plugins) -> None:
        """The format is the one that its recorded name leads to."""
        assert type(self.serializer) is type(plugins.serializer(self.serializer.name))

    @pytest.mark.parametrize("stranger", _STRANGERS, ids=lambda stranger: type(stranger).__name__)
    def test_accepts_answers_for_any_object(self, stranger: object) -> None:
        """``accepts`` says yes or no to anything, and never raises."""
        assert isinstance(self.serializer.accepts(stranger), bool)

    def test_takes_its_models(self, model: Any, plugins: Plugins) -> None:
        """A model goes to the format that is for it when none is asked for, and no format takes strangers' models."""
        if self.chosen:
            assert self.serializer.name == plugins.serializer_for(model).name
        assert plugins.serializer_for(Path("model")).name == "file"

    def test_parts_are_named_and_contiguous(self, model: Any) -> None:
        """Part names are unique printable ASCII that no path can escape by, and the data is one run of bytes."""
        parts = list(self.serializer.dump(model))
        names = [part.name for part in parts]
        assert len(names) == len(set(names))
        for part in parts:
            assert re.fullmatch(r"[!-.0-~][!-~]*", part.name)
            assert ".." not in part.name
            assert all(block.contiguous for block in part.blocks())

    @pytest.mark.parametrize("writable", [True, False])
    def test_round_trip(self, model: Any, plugins: Plugins, writable: bool) -> None:  # noqa: FBT001 - a parameter
        """What was dumped loads as a model that predicts the same, from writable and from read-only buffers."""
        parts = parts_of(self.serializer.dump(model), writable=writable)
        assert_alike(self.predict(model), self.predict(self.load(plugins, parts)))

    def test_loading_leaves_the_parts_alone(self, model: Any, plugins: Plugins) -> None:
        """Checking, loading and exporting read the parts and change nothing in them."""
        parts = parts_of(self.serializer.dump(model))
        before = {name: bytes(data) for name, data in parts.items()}
        self.load(plugins, parts)
        if self.has_file:
            b"".join(self.serializer.to_file(parts))
        assert before == {name: bytes(data) for name, data in parts.items()}

    def test_file_round_trip(self, model: Any, plugins: Plugins) -> None:
        """The native file gives parts that load as a model that predicts the same."""
        if self.has_file:
            file = b"".join(self.serializer.to_file(parts_of(self.serializer.dump(model))))
            parts = parts_of(self.serializer.from_file(memoryview(file)))
            assert_alike(self.predict(model), self.predict(self.load(plugins, parts)))

    def test_deterministic_if_it_says_so(self, model: Any) -> None:
        """A format that calls itself deterministic writes one model twice as the same parts."""
        if self.serializer.deterministic:
            first, second = parts_of(self.serializer.dump(model)), parts_of(self.serializer.dump(model))
            assert list(first) == list(second)
            assert first == second

    @pytest.mark.parametrize("other", default_plugins.register_serializers(), ids=lambda other: other.name)
    def test_refuses_the_parts_of_other_formats(self, other: Serializer) -> None:
        """Parts of another built-in format are refused before anything interprets them."""
        if other.name != self.serializer.name:
            parts = parts_of(other.dump(_SAMPLES[other.name]()))
            with pytest.raises(SerializationError):
                self.serializer.check(parts)

    @pytest.mark.parametrize("other", default_plugins.register_serializers(), ids=lambda other: other.name)
    def test_refuses_the_files_of_other_formats(self, plugins: Plugins, other: Serializer) -> None:
        """A file of another format, labelled as this one, is refused when it is read or when it is loaded."""
        if self.has_file and other.name not in (self.serializer.name, *self.mistaken):
            file = b"".join(other.to_file(parts_of(other.dump(_SAMPLES[other.name]()))))
            with pytest.raises(SerializationError):
                self.load(plugins, parts_of(self.serializer.from_file(memoryview(file))))

    def test_refuses_no_parts(self) -> None:
        """Nothing at all is not a model."""
        with pytest.raises(SerializationError):
            self.serializer.check({})

    def test_refuses_a_newer_format(self, model: Any) -> None:
        """Parts of a newer layout are refused, and not read as if they were old."""
        parts = parts_of(self.serializer.dump(model))
        with pytest.raises(SerializationError):
            self.serializer.load(parts, self.serializer.format + 1)

    def test_reads_older_layouts(self, model: Any, plugins: Plugins) -> None:
        """A model in every layout that was ever released loads."""
        older = self.older()
        assert set(range(1, self.serializer.format)) <= set(older), "give the parts of every layout: older()"
        for number, parts in older.items():
            held = {name: memoryview(bytearray(data)) for name, data in parts.items()}
            loaded = serializer.load(plugins, self.serializer.name, number, held)
            assert_alike(self.predict(model), self.predict(loaded))

    def test_describes_without_loading(self, model: Any) -> None:
        """What a format says of a model is small and plain, the same each time, and changes nothing."""
        parts = parts_of(self.serializer.dump(model))
        before = {name: bytes(data) for name, data in parts.items()}
        first, second = (serializer.contents(self.serializer, self.serializer.format, parts) for _ in range(2))
        assert first == second
        assert bool(first) == isinstance(self.serializer, Describing)
        assert before == {name: bytes(data) for name, data in parts.items()}

    def test_travels(self, model: Any, plugins: Plugins, tmp_path: Path) -> None:
        """A model that is registered, pushed and pulled by somebody else predicts the same in a fresh process.

        A format of class code is refused there until it is trusted; one that is data loads without a word.
        """
        expected = self.predict(model)
        with ModelRegistry(tmp_path / "mine", plugins=plugins) as registry:
            registry.register_model(model, journey.NAME, serializer=self.serializer.name)
            assert_alike(expected, self.predict(registry.load_model(journey.NAME)))
            registry.push(str(tmp_path / "shared"))
        there = journey.arrived(self, tmp_path / "shared", tmp_path / "somebody")
        assert_alike(expected, there.predicted)
        if self.serializer.safety != "typed":  # what is typed loads where its types are on the list
            assert (self.serializer.safety == "code") == there.refused

    def test_without_the_framework(self, model: Any, tmp_path: Path) -> None:
        """Where the framework is missing the plugin is imported, a model is checked and described; loading it names
        the package to install. So neither the plugin nor ``accepts``, ``check`` or ``describe`` imports it.
        """  # noqa: D205 - one promise
        blocked = self.framework_modules()
        if not blocked:
            pytest.skip("the format requires nothing")
        parts = parts_of(self.serializer.dump(model))
        found = journey.bare(self.serializer, blocked, parts, tmp_path / "bare")
        assert found.asked == []
        assert serializer.contents(self.serializer, self.serializer.format, parts) == found.contents
        assert found.kind == "PluginError", found.message
        assert isinstance(self.serializer, Requiring)
        named = (*self.serializer.requires, *map(environment.distribution_of, blocked))
        assert any(found.hint in (f"pip install {each}", f"pip install '{each}'") for each in named), found.hint

    def test_versions_share_what_did_not_change(self, model: Any, plugins: Plugins, tmp_path: Path) -> None:
        """Two versions of a model share the chunks of what did not change."""
        with ModelRegistry(tmp_path / "mine", plugins=plugins) as registry:
            registry.register_model(model, journey.NAME, serializer=self.serializer.name)
            other = self.changed(registry.load_model(journey.NAME))
            if other is None:
                pytest.skip("changed() gives no other model")
            registry.register_model(other, journey.NAME, serializer=self.serializer.name)
            before, after = (_chunks(registry, version) for version in (f"{journey.NAME}~1", journey.NAME))
            assert before.keys() != after.keys(), "the changed model is the same"
            shared = sum(size for digest, size in after.items() if digest in before)
            assert shared >= self.shares * sum(after.values())

    @pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
    def test_truncated_parts(self, model: Any, plugins: Plugins, kept: float) -> None:
        """A part that was cut short is refused with one kind of error, whichever part it is."""
        parts = parts_of(self.serializer.dump(model))
        for name, data in parts.items():
            short = min(int(len(data) * kept), len(data) - 1)
            if short >= 0:
                self._refused(plugins, parts | {name: memoryview(bytearray(data[:short]))})

    def test_missing_parts(self, model: Any, plugins: Plugins) -> None:
        """A model with a part missing is refused, whichever part it is."""
        parts = parts_of(self.serializer.dump(model))
        for missing in parts:
            with pytest.raises(SerializationError):
                self.load(plugins, {name: data for name, data in parts.items() if name != missing})

    @pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
    def test_truncated_file(self, model: Any, plugins: Plugins, kept: float) -> None:
        """A native file that was cut short is refused when it is read or when it is loaded, with one kind of error."""
        if self.has_file:
            file = b"".join(self.serializer.to_file(parts_of(self.serializer.dump(model))))
            short = memoryview(file)[: min(int(len(file) * kept), len(file) - 1)]
            try:
                parts = parts_of(self.serializer.from_file(short))
            except SerializationError:
                return
            self._refused(plugins, parts)

    def test_says_what_it_cannot_write(self) -> None:
        """What cannot be written is refused with a :class:`SerializationError`, before anything is stored."""
        thing = self.unwritable()
        if thing is not None:
            with pytest.raises(SerializationError):
                list(self.serializer.dump(thing))

    def test_uses_no_network(self, model: Any, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
        """Writing and reading a model opens no connection."""

        def refuse(*_: object) -> NoReturn:
            raise AssertionError("a format opened a connection")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        self.load(plugins, parts_of(self.serializer.dump(model)))

    def _refused(self, plugins: Plugins, parts: Mapping[str, memoryview]) -> None:
        try:
            self.load(plugins, parts)
        except SerializationError:
            return
        assert not self.shows_truncation, "a part that was cut short was loaded as if it were whole"


def _chunks(registry: ModelRegistry, revision: str) -> dict[bytes, int]:
    """Return the chunks of a version, with their sizes."""
    artifact = registry.repository.artifact(bytes.fromhex(registry.get_model_metadata(revision)["artifact"]))
    found: dict[bytes, int] = {}
    for part in artifact.parts:
        left = part.size
        for digest in part:
            found[digest] = min(left, BLOCK)
            left -= BLOCK
    return found


def assert_alike(expected: Any, actual: Any) -> None:
    """Fail unless two models or predictions are equal: arrays by their bits, other objects by their attributes."""
    assert type(expected) is type(actual)
    if hasattr(expected, "tobytes") and hasattr(expected, "dtype"):
        assert (expected.dtype, expected.shape) == (actual.dtype, actual.shape)
        assert expected.tobytes() == actual.tobytes()
    elif isinstance(expected, dict):
        assert list(expected) == list(actual)
        for key, value in expected.items():
            assert_alike(value, actual[key])
    elif isinstance(expected, list | tuple):
        assert len(expected) == len(actual)
        for one, other in zip(expected, actual, strict=True):
            assert_alike(one, other)
    elif getattr(type(expected), "__eq__", None) is object.__eq__ and hasattr(expected, "__dict__"):
        assert_alike(vars(expected), vars(actual))
    else:
        assert expected == actual or (expected != expected and actual != actual)  # noqa: PLR0124 - NaN equals nothing


def _array() -> Any:
    import numpy as np

    return np.arange(4.0)


_SAMPLES: Final[Mapping[str, Callable[[], Any]]] = {
    "file": lambda: b"\x80\x05any bytes.",
    "joblib": lambda: {"a": 1},
    "json": lambda: {"a": 1},
    "numpy": _array,
    "pickle5": lambda: {"a": 1},
}
