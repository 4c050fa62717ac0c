"""What the contract of formats promises beyond writing and reading: streams, layouts, contents, what to install."""

from __future__ import annotations

import json
import mmap
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from friday_store import ModelRegistry, ModelSerializer, PluginError, SerializationError, hookimpl, serializer
from friday_store.default_plugins.formats import Json
from friday_store.hookspecs import Describing, Migrating, Part, Requiring, Serializer
from friday_store.objects.chunking import Tally, cut
from friday_store.objects.pack import BLOCK
from friday_store.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class Words(Json):
    """A format in layout 2, of which layout 1 joined the words with commas; it can say what is inside."""

    name = "words"
    format = 2
    requires = ("numpy>=2", "pluggy")

    def accepts(self, model: object) -> bool:
        """Take lists of words."""
        return isinstance(model, list)

    def dump(self, model: Any) -> list[Part]:
        """Write them as JSON."""
        return [Part("json", json.dumps(model).encode())]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        """Read the current layout only."""
        assert format == 2
        return json.loads(bytes(parts["json"]))

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return how many words there are."""
        return {"words": len(json.loads(bytes(parts["json"])))}

    def migrate(self, parts: Mapping[str, memoryview], format: int) -> dict[str, memoryview]:  # noqa: A002
        """Read the older layout."""
        assert format == 1
        if "text" not in parts:
            raise SerializationError("these parts are not words joined with commas")
        return {"json": memoryview(json.dumps(bytes(parts["text"]).decode().split(",")).encode())}


class OldWords(Json):
    """The release before, which wrote layout 1."""

    name = "words"

    def accepts(self, model: object) -> bool:
        """Take lists of words."""
        return isinstance(model, list)

    def dump(self, model: Any) -> list[Part]:
        """Join the words."""
        return [Part("text", ",".join(model).encode())]

    def check(self, parts: Mapping[str, memoryview]) -> None:
        """Take anything."""


def plugins(form: Serializer) -> Plugins:
    """Return plugins with one format of somebody else's."""
    return Plugins((), extra={"mine": SimpleNamespace(register_serializers=hookimpl(lambda: [form]))})


def tallied(parts: list[Part], compression: Any = "auto") -> list[Any]:
    """Return what an artifact would record of the parts."""
    entries = []
    for part, pieces in cut(parts, compression):
        tally = Tally(part)
        for piece in tally.counted(pieces):
            tally.add(blake3(piece.data).digest())
        entries.append(tally.entry())
    return entries


@given(st.lists(st.integers(0, 3 * BLOCK), max_size=8), st.booleans())
def test_how_a_stream_is_divided_does_not_matter(sizes: list[int], opaque: bool) -> None:
    """A stream gives the chunks, sizes and digests of the same bytes in one buffer, whatever its blocks are."""
    data = np.random.default_rng(len(sizes)).bytes(min(sum(sizes), 5 * BLOCK))
    blocks, at = [], 0
    for size in sizes:
        blocks.append(memoryview(data)[at : at + size])
        at += size
    assert tallied([Part("p", data, opaque)]) == tallied([Part("p", iter(blocks), opaque)])


def test_a_part_larger_than_memory(tmp_path: Path) -> None:
    """While a stream is written few of its blocks are alive, and it comes back byte for byte as one view."""
    alive, most, blocks = set(), 0, 200

    class Block(bytearray):
        """A block that says when it is gone; views of it keep it."""

        def __del__(self) -> None:
            alive.discard(id(self))

    def stream() -> Iterator[memoryview]:
        nonlocal most
        for number in range(blocks):
            block = Block(np.random.default_rng(number).bytes(BLOCK))
            alive.add(id(block))
            most = max(most, len(alive))
            yield memoryview(block)
            del block

    class Big(Words):
        def dump(self, model: Any) -> Any:
            yield Part("json", stream())

    with ModelRegistry(tmp_path / "r", plugins=plugins(Big())) as registry:
        model_id = registry.register_model(["x"], "big")
        record = registry.get_model_metadata(model_id)
        assert blocks * BLOCK == record["size_bytes"]
        artifact = registry.repository.artifact(bytes.fromhex(record["artifact"]))
        (view,) = registry.repository.parts(artifact).values()
        assert isinstance(view.obj, mmap.mmap)
        assert np.random.default_rng(150).bytes(BLOCK) == view[150 * BLOCK : 151 * BLOCK]
    assert most <= 80


@pytest.mark.parametrize(
    "data",
    [
        "text", 5, None, ["text"], [1], [memoryview(b"1234")[::2]], memoryview(b"1234")[::2],
        (block for block in [b"1", None]), (1 / 0 for _ in "x"),
    ],
    ids=lambda data: type(data).__name__,
)  # fmt: skip
def test_a_stream_of_something_else_is_refused(tmp_path: Path, data: Any) -> None:
    """A part that is no bytes, or fails in the middle, is one kind of error that names it; nothing is registered."""

    class Odd(Words):
        def dump(self, model: Any) -> Any:
            return [Part("json", b"[]"), Part("odd", data)]

    with ModelRegistry(tmp_path / "r", plugins=plugins(Odd())) as registry:
        with pytest.raises(SerializationError, match=r"odd|words"):
            registry.register_model(["x"], "m")
        assert [] == registry.list_models()


def test_a_streamed_model_as_a_file(tmp_path: Path) -> None:
    """A format that streams can be hashed, measured and written as a file without a registry."""

    class Streamed(Words):
        def dump(self, model: Any) -> Any:
            yield Part("json", (bytes([byte]) for byte in json.dumps(model).encode()))

    known, plain = ModelSerializer(plugins(Streamed())), ModelSerializer(plugins(Words()))
    assert plain.compute_model_hash(["a", "b"]) == known.compute_model_hash(["a", "b"])
    assert 10 == known.get_serialized_size(["a", "b"])
    assert b'["a", "b"]' == known.serialize(["a", "b"], tmp_path / "words.json").read_bytes()


def test_older_layouts_load(tmp_path: Path) -> None:
    """What an older release of a format wrote loads, describes itself and becomes a file with the newer one."""
    with ModelRegistry(tmp_path / "r", plugins=plugins(OldWords())) as registry:
        registry.register_model(["a", "b"], "m")
        assert {} == registry.describe("m")
    with ModelRegistry(tmp_path / "r", plugins=plugins(Words())) as registry:
        assert ["a", "b"] == registry.load_model("m")
        assert {"words": 2} == registry.describe("m")
        registry.export_model("m", tmp_path / "out", format="files")
        assert b'["a", "b"]' == (tmp_path / "out" / "m-1.0.0.json").read_bytes()
        registry.register_model(["a", "b", "c"], "m")
        assert ["a", "b", "c"] == registry.load_model("m")
    with ModelRegistry(tmp_path / "r", plugins=plugins(OldWords())) as registry:
        with pytest.raises(SerializationError, match="format 2") as caught:
            registry.load_model("m")
        assert "pip install --upgrade friday-store-words" == caught.value.hint


def test_parts_that_are_not_of_the_older_layout(tmp_path: Path) -> None:
    """A migration refuses what it cannot read, as ``check`` does."""
    with pytest.raises(SerializationError, match="commas"):
        serializer.load(plugins(Words()), "words", 1, {"json": memoryview(b"[]")})


def test_what_is_inside_is_recorded(tmp_path: Path) -> None:
    """What a format says of a model stands in its record, and nothing is loaded to show it."""
    with ModelRegistry(tmp_path / "r", plugins=plugins(Words())) as registry:
        registry.register_model(["a", "b"], "m")
        registry.register_model({"w": np.zeros((2, 3), "<f4")}, "arrays")
    with ModelRegistry(tmp_path / "r", plugins=Plugins(())) as registry:
        assert {"words": 2} == registry.get_model_metadata("m")["contents"] == registry.describe("m")
        assert {"arrays": {"w": "<f4[2, 3]"}, "count": 1} == registry.get_model_metadata("arrays")["contents"]


def test_a_stream_is_described_when_asked(tmp_path: Path) -> None:
    """Parts that are made one after the other are gone once written; they are described from the store."""

    class Lazy(Words):
        def dump(self, model: Any) -> Any:
            yield from super().dump(model)

    with ModelRegistry(tmp_path / "r", plugins=plugins(Lazy())) as registry:
        registry.register_model(["a"], "m")
        assert {} == registry.get_model_metadata("m")["contents"]
        assert {"words": 1} == registry.describe("m")


@pytest.mark.parametrize(
    "said", [lambda _: 1 / 0, lambda _: 5, lambda _: {"x": object()}, lambda _: {"x": "y" * 70_000}]
)
def test_a_description_that_fails(tmp_path: Path, said: Callable[[Any], Any]) -> None:
    """A format that cannot describe a model is reported, and the model is registered and loads all the same."""

    class Odd(Words):
        def describe(self, parts: Mapping[str, memoryview]) -> Any:
            return said(parts)

    installed = plugins(Odd())
    with ModelRegistry(tmp_path / "r", plugins=installed) as registry:
        registry.register_model(["a"], "m")
        assert ["a"] == registry.load_model("m")
        with pytest.raises(SerializationError, match="words"):
            registry.describe("m")
    (report,) = installed.reports
    assert 1 == len(report.errors)


def test_what_a_format_requires_is_recorded(tmp_path: Path) -> None:
    """The installed versions of what a format requires are among the dependencies of a version."""
    with ModelRegistry(tmp_path / "r", plugins=plugins(Words())) as registry:
        record = registry.get_model_metadata(registry.register_model(["a"], "m"))
    assert {"numpy": np.__version__} == {name: record["dependencies"][name] for name in ("numpy",)}
    assert {"numpy", "pluggy"} == set(record["dependencies"])


@pytest.mark.parametrize(
    ("requires", "error", "hint"),
    [
        (("no-such-framework>=2",), ModuleNotFoundError("no module", name="no_such"), "'no-such-framework>=2'"),
        (("no-such-framework", "numpy"), ImportError("cannot import"), "no-such-framework"),
        (("numpy",), ModuleNotFoundError("no module", name="numpy"), "numpy"),
        ((), ModuleNotFoundError("no module", name="sklearn.tree"), "scikit-learn"),
        ((), ModuleNotFoundError("no module", name="lib.part"), "lib"),
    ],
)
@pytest.mark.parametrize("doing", ["dump", "load", "to_file"])
def test_a_missing_framework_names_what_to_install(
    requires: tuple[str, ...], error: ImportError, hint: str, doing: str
) -> None:
    """Whatever cannot be imported while a model is written or read, the error says how to install it."""

    def fail(*_: Any) -> Any:
        raise error

    form = Words()
    form.requires = requires  # type: ignore[assignment]
    setattr(form, doing, fail)
    parts = {"json": memoryview(b"[]")}
    doings: dict[str, Callable[[], Any]] = {
        "dump": lambda: list(serializer.dump(plugins(form), [], "words").parts),
        "load": lambda: serializer.load(plugins(form), "words", 2, parts),
        "to_file": lambda: list(serializer.to_file(plugins(form), "words", 2, parts)),
    }
    with pytest.raises(PluginError, match="words") as caught:
        doings[doing]()
    assert f"pip install {hint}" == caught.value.hint


def test_another_release_of_a_library_is_no_missing_one() -> None:
    """An import that fails although what is required is there is not answered with installing it."""

    def fail(*_: Any) -> Any:
        raise ImportError("cannot import name 'x' from 'numpy'", name="numpy")

    form = Words()
    setattr(form, "load", fail)  # noqa: B010 - mypy knows better what a method is
    with pytest.raises(SerializationError, match="cannot import name 'x'") as caught:
        serializer.load(plugins(form), "words", 2, {"json": memoryview(b"[]")})
    assert "--env" in str(caught.value.hint)


def test_compatibility_knows_what_is_missing() -> None:
    """Whether a model can load here is said without loading it: what its format requires is looked up."""
    form = Words()
    form.requires = ("no-such-framework>=2",)  # type: ignore[assignment]
    found = ModelSerializer(plugins(form)).is_compatible({"serializer": "words"})
    assert ("words needs no-such-framework>=2, not installed here",) == found.problems
    assert "pip install 'no-such-framework>=2'" == found.hint


def test_the_smaller_protocols() -> None:
    """What a format may have besides is told by its methods alone, and no format needs it."""
    assert all(isinstance(Words(), each) for each in (Serializer, Requiring, Describing, Migrating))
    assert not any(isinstance(OldWords(), each) for each in (Requiring, Describing, Migrating))
