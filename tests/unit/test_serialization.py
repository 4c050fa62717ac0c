"""Models as files and bytes: what is written comes back, what could run code does not, and looking loads nothing."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import joblib
import numpy as np
import pytest

from friday_store import (
    CompatibilityReport,
    FridayStoreError,
    InvalidValueError,
    ModelRegistry,
    ModelSerializer,
    Part,
    PluginError,
    SerializationError,
    StorageError,
    UntrustedArtifactError,
)
from friday_store.default_plugins.formats import File
from friday_store.digest import digest_of
from friday_store.plugins import Plugins
from friday_store.serialization import detect

# Whole files of safetensors 0.8 and onnx 1.23, the first bytes of files of xgboost 3.2 and lightgbm 4.7.
SAFETENSORS: Final = bytes.fromhex(
    "38000000000000007b2277223a7b226474797065223a22463634222c227368617065223a5b335d2c22646174615f6f666673"
    "657473223a5b302c32345d7d7d200000000000000000000000000000f03f0000000000000040"
)
ONNX: Final = bytes.fromhex(
    "080e1201743a350a0e0a01780a017812017922034164641201675a0f0a0178120a0a08080112040a020801620f0a0179120a"
    "0a08080112040a0208014202101c"
)
UBJSON: Final = bytes.fromhex("7b4c00000000000000076c6561726e65727b4c0000000000")
LIGHTGBM: Final = b"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\n"
XGBOOST: Final = b'{"learner":{"attributes":{},"feature_names":[]}}'


class Bomb:
    """A model that leaves a mark when it is unpickled."""

    fuse: ClassVar[list[str]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return _explode, ("boom",)


def _explode(word: str) -> Bomb:
    Bomb.fuse.append(word)
    return Bomb()


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    """Return what a function writes to a file."""
    target = io.BytesIO()
    write(target)
    return target.getvalue()


def zipped(*names: str) -> bytes:
    """Return an archive of members of a few bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")
    return target.getvalue()


ARRAY: Final = np.arange(6.0)
FILES: Final[Mapping[str, tuple[str, bytes]]] = {
    "npy": ("numpy", written(lambda file: np.save(file, ARRAY))),
    "npz": ("numpy", written(lambda file: np.savez(file, a=ARRAY, b=ARRAY))),
    "npz compressed": ("numpy", written(lambda file: np.savez_compressed(file, a=ARRAY))),
    "joblib": ("joblib", written(lambda file: joblib.dump({"w": ARRAY}, file))),
    "joblib without arrays": ("pickle5", written(lambda file: joblib.dump({"w": 1}, file))),
    "joblib compressed": ("file", written(lambda file: joblib.dump({"w": ARRAY}, file, compress=3))),
    "pickle 5": ("pickle5", pickle.dumps({"w": ARRAY}, 5)),
    "pickle 2": ("pickle5", pickle.dumps({"w": 1}, 2)),
    "pickle 0": ("file", pickle.dumps({"w": 1}, 0)),
    "pickle cut short": ("file", pickle.dumps({"w": 1}, 5)[:-1]),
    "skops": ("skops", zipped("schema.json", "1234.npy")),
    "torch": ("torch", zipped("model/data.pkl", "model/version")),
    "another zip": ("file", zipped("a.txt", "b.npy")),
    "an empty zip": ("file", zipped()),
    "zip cut short": ("file", zipped("a.npy", "b.npy")[:-30]),
    "safetensors": ("safetensors", SAFETENSORS),
    "safetensors cut short": ("file", SAFETENSORS[:40]),
    "xgboost json": ("xgboost", XGBOOST),
    "xgboost ubjson": ("xgboost", UBJSON),
    "xgboost binary": ("xgboost", b"binf" + bytes(20)),
    "lightgbm": ("lightgbm", LIGHTGBM),
    "onnx": ("onnx", ONNX),
    "onnx cut short": ("file", ONNX[:-1]),
    "onnx and more": ("file", ONNX + b"\x00"),
    "json object": ("json", b' {"a": [1, 2]}\n'),
    "json array": ("json", b"[1, 2]"),
    "not json": ("file", b"{a: 1}"),
    "text": ("file", b"hello"),
    "nothing": ("file", b""),
    "one byte": ("file", b"\x80"),
    "zeros": ("file", bytes(4096)),
}


@pytest.fixture
def models() -> ModelSerializer:
    """A serializer with the built-in formats alone."""
    return ModelSerializer(Plugins(()))


@pytest.mark.parametrize("kind", FILES)
def test_a_format_is_told_by_its_bytes(kind: str, tmp_path: Path, models: ModelSerializer) -> None:
    """Each format is known by its signature whatever the file is called, and what is none of them is a file."""
    wanted, data = FILES[kind]
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    assert wanted == models.detect(path)
    assert wanted == detect(memoryview(data))


def test_detection_reads_any_bytes() -> None:
    """Whatever the bytes are, the answer is the name of a format; damage of any file here raises nothing."""
    known = {name for name, _ in FILES.values()}
    for _, data in FILES.values():
        for place in range(min(len(data), 120)):
            assert detect(memoryview(data[:place] + b"\xff" + data[place + 1 :])) in known


@pytest.mark.parametrize(
    ("model", "format"),
    [({"a": ("b", 1)}, None), (ARRAY, None), ({"x": ARRAY, "y": ARRAY}, None), ({"a": [1.5]}, "json"),
     ({"w": ARRAY.tolist()}, "joblib"), (b"any bytes", "file")],
    ids=["pickle", "array", "arrays", "json", "joblib", "file"],
)  # fmt: skip
def test_what_is_written_comes_back(models: ModelSerializer, tmp_path: Path, model: Any, format: str | None) -> None:  # noqa: A002
    """A file and the same bytes in memory give an equal model; nothing else is left beside the file."""
    path = models.serialize(model, tmp_path / "model", format)
    assert path.read_bytes() == models.to_bytes(model, format)
    assert ["model"] == [each.name for each in tmp_path.iterdir() if each.name != "home"]
    assert repr(model) == repr(models.deserialize(path, trusted=True, format=format))
    assert repr(model) == repr(models.from_bytes(path.read_bytes(), trusted=True, format=format))


def test_a_pickle_is_the_native_file(models: ModelSerializer, tmp_path: Path, estimator: Any) -> None:
    """The file needs nothing of this package: pickle itself reads it, whatever arrays it holds."""
    big = {"model": estimator, "weights": np.arange(100_000.0)}
    found = pickle.loads(models.serialize(big, tmp_path / "m.pkl").read_bytes())
    assert np.array_equal(big["weights"], found["weights"])
    assert np.array_equal(estimator.coef_, found["model"].coef_)


def test_a_file_is_replaced_whole_or_not_at_all(models: ModelSerializer, tmp_path: Path) -> None:
    """A model that cannot be written leaves the old file as it was, and no draft."""
    path = models.serialize({"a": 1}, tmp_path / "m")
    before = path.read_bytes()
    with pytest.raises(SerializationError, match="pickle"):
        models.serialize({"a": lambda: 1}, path)
    with pytest.raises(StorageError, match="cannot write"):
        models.serialize({"a": 1}, tmp_path / "no" / "folder" / "m")
    with pytest.raises(StorageError, match="cannot write"):
        models.serialize({"a": 1}, tmp_path)
    assert before == path.read_bytes()
    assert ["m"] == [each.name for each in tmp_path.iterdir() if each.name != "home"]


@pytest.mark.parametrize("format", ["pickle5", "joblib"])
def test_nothing_runs_unless_it_is_trusted(models: ModelSerializer, tmp_path: Path, format: str) -> None:  # noqa: A002
    """A file that could run code is refused before a byte is interpreted, also when another one is trusted."""
    path = models.serialize(Bomb(), tmp_path / "bomb", format)
    digest = digest_of(path.read_bytes()).hex()
    Bomb.fuse.clear()
    looks: list[Callable[[], object]] = [
        lambda: models.get_model_info(path),
        lambda: models.is_compatible(path),
        lambda: models.compute_model_hash(path),
        lambda: models.detect(path),
    ]
    for look in looks:
        look()
    others: list[Any] = [None, False, [], {"ab" * 32}, digest]  # a text is no list of digests
    for trusted in others:
        with pytest.raises(UntrustedArtifactError, match="nothing was run") as got:
            models.deserialize(path, trusted=trusted)
        assert digest == got.value.model_id
        assert digest in str(got.value.hint)
        with pytest.raises(UntrustedArtifactError):
            models.from_bytes(path.read_bytes(), trusted=trusted)
    assert [] == Bomb.fuse
    assert isinstance(models.deserialize(path, trusted={digest}), Bomb)
    assert ["boom"] == Bomb.fuse


def test_data_loads_without_trust(models: ModelSerializer, tmp_path: Path) -> None:
    """Arrays, JSON and opaque files need no trust."""
    assert np.array_equal(ARRAY, models.deserialize(models.serialize(ARRAY, tmp_path / "a")))
    assert {"a": 1} == models.from_bytes(b'{"a": 1}')
    assert b"hello" == models.from_bytes(b"hello")


def test_a_named_format_is_checked(models: ModelSerializer) -> None:
    """A format that is named is used, and refuses bytes of another; there is no other try."""
    with pytest.raises(SerializationError):
        models.from_bytes(b"hello", format="json")
    with pytest.raises(SerializationError):
        models.from_bytes(b"hello", format="pickle5", trusted=True)
    with pytest.raises(PluginError, match="safetensors") as got:
        models.from_bytes(SAFETENSORS)
    assert "pip install" in str(got.value.hint)


def test_the_hash_is_that_of_a_registration(models: ModelSerializer, registry: ModelRegistry, tmp_path: Path) -> None:
    """Of a model or a file, it is the artifact that a registry records, and so is the size."""
    kinds: list[tuple[Any, str | None]] = [
        ({"a": (1, 2)}, None), (np.arange(400_000.0), None), ({"w": np.ones(300_000), "b": ARRAY}, None),
        ({"m": [np.ones(9_000)], "n": 1}, None), ({"a": 1}, "json"), ({"w": ARRAY.tolist()}, "joblib"),
    ]  # fmt: skip
    for model, form in kinds:
        record = registry.get_model_metadata(registry.register_model(model, "m", serializer=form))
        assert record["artifact"] == models.compute_model_hash(model, form)
        assert record["size_bytes"] == models.get_serialized_size(model, form)
        assert record["artifact"] == models.compute_model_hash(model, form)
    for kind in ("npz compressed", "joblib", "pickle 2", "safetensors", "json array", "nothing"):
        path = tmp_path / "given"
        path.write_bytes(FILES[kind][1])
        found = models.detect(path)
        form = found if models.reader(found) else "file"
        record = registry.get_model_metadata(registry.register_model_from_file(path, "f", format=form))
        assert record["artifact"] == models.compute_model_hash(path) == models.compute_model_hash(str(path))


class Stream(File):
    """A format that makes a hundred parts, one at a time."""

    name = "stream"

    def dump(self, model: Any) -> Iterable[Part]:  # type: ignore[override]
        """Yield parts of 1 MiB."""
        for number in range(100):
            yield Part(f"p/{number}", bytes(1 << 20))


def test_the_size_is_counted_without_holding_the_parts() -> None:
    """A format that makes its parts one at a time never has two of them in memory."""
    stream = Stream()
    plugins = Plugins(())
    plugins._serializers[stream.name] = stream
    tracemalloc.start()
    try:
        size = ModelSerializer(plugins).get_serialized_size("anything", "stream")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 100 << 20 == size
    assert peak < 8 << 20


def test_information_about_a_file(models: ModelSerializer, tmp_path: Path) -> None:
    """Format, safety, sizes and digests are told; of a format without plugin, what the file itself says."""
    path = models.serialize({"a": ARRAY, "b": ARRAY}, tmp_path / "m.npz")
    found = models.get_model_info(path)
    size = path.stat().st_size
    assert ("numpy", True, "data", size) == tuple(found[k] for k in ("format", "installed", "safety", "size_bytes"))
    assert ["arrays", "array/0", "array/1"] == [part["name"] for part in found["parts"]]
    assert [48, 48] == [part["size"] for part in found["parts"][1:]]
    assert digest_of(path.read_bytes()).hex() == found["digest"]
    assert models.compute_model_hash(path) == found["model_hash"]
    path.write_bytes(SAFETENSORS)
    found = models.get_model_info(str(path))
    assert ("safetensors", False, None) == tuple(found[key] for key in ("format", "installed", "safety"))
    assert [{"name": "file", "size": len(SAFETENSORS)}] == found["parts"]
    for wrong in (tmp_path / "none", tmp_path, "\x00"):
        with pytest.raises(StorageError):
            models.get_model_info(wrong)


def test_looking_imports_no_framework(tmp_path: Path) -> None:
    """A file is looked at without scikit-learn, joblib or pandas being imported; so nothing of it was made."""
    path = tmp_path / "m"
    path.write_bytes(FILES["joblib"][1])
    code = (
        "import sys; from friday_store import ModelSerializer; from friday_store.plugins import Plugins\n"
        f"s = ModelSerializer(Plugins(())); i = s.get_model_info({str(path)!r}); r = s.is_compatible({str(path)!r})\n"
        "assert i['format'] == 'joblib' and r, (i, r)\n"
        "assert not {'sklearn', 'joblib', 'pandas', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONWARNINGS": "error"})


def record(**changes: Any) -> dict[str, Any]:
    """Return what is looked at of a record."""
    return {"serializer": "pickle5", "dependencies": {}, "environment": {}, **changes}


def version(major: int = 0, minor: int = 0, patch: int = 0) -> str:
    """Return numpy's version, moved by some releases."""
    parts = [int(part) for part in np.__version__.split(".")[:3]]
    return ".".join(str(part + step) for part, step in zip(parts, (major, minor, patch), strict=True))


@pytest.mark.parametrize(
    ("recorded", "level", "fits"),
    [
        (version(), None, True),
        (version(patch=1), "patch", True),
        (version(minor=-1), "minor", True),
        (version(minor=1), "minor", False),
        (version(major=1), "major", False),
        (version(major=-1), "major", False),
    ],
)
def test_recorded_versions_are_compared(models: ModelSerializer, recorded: str, level: str | None, fits: bool) -> None:
    """The same and a newer minor release fit; an older one than recorded, and another major one, do not."""
    report = models.is_compatible(record(dependencies={"numpy": recorded}))
    assert ([level] if level else []) == [each.level for each in report.differences]
    assert fits == bool(report) == report.compatible
    assert (level not in (None, "patch")) == bool(report.notable)
    assert fits == (report.hint is None)


def test_what_cannot_be_here_is_said(models: ModelSerializer) -> None:
    """A library that is missing, a format without plugin and another Python are problems, each with a way out."""
    report = models.is_compatible(record(dependencies={"gone-library": "1.0"}))
    assert ("gone-library 1.0 was recorded, none is installed",) == report.problems
    assert "pip install 'gone-library==1.0'" == report.hint
    report = models.is_compatible(record(serializer="safetensors"))
    assert (False, None) == (report.compatible, report.safety)
    assert "friday-store-safetensors" in str(report.hint)
    report = models.is_compatible(record(environment={"python": "2.7.18"}))
    assert ["major"] == [each.level for each in report.differences]
    assert "use Python 2.7.18" == report.hint


def test_compatibility_of_what_was_registered_here(
    models: ModelSerializer, registry: ModelRegistry, estimator: Any, tmp_path: Path
) -> None:
    """What was registered a moment ago fits; so does a file whose format is installed; one that is not does not."""
    record = registry.get_model_metadata(registry.register_model(estimator, "m"))
    assert {"scikit-learn", "numpy"} <= set(record["dependencies"])
    assert CompatibilityReport("pickle5", "code") == models.is_compatible(record)
    path = models.serialize(estimator, tmp_path / "m")
    assert CompatibilityReport("pickle5", "code") == models.is_compatible(path)
    path.write_bytes(ONNX)
    assert not models.is_compatible(path)


def test_every_refusal_is_one_kind_of_error(models: ModelSerializer, tmp_path: Path) -> None:
    """Whatever is wrong with a file or a model, the caller catches one class."""
    (tmp_path / "bad").write_bytes(pickle.dumps(Bomb())[:-5] + b"garbage.")
    for wrong in (
        lambda: models.deserialize(tmp_path / "bad", trusted=True),
        lambda: models.deserialize(tmp_path / "none"),
        lambda: models.serialize({1, 2}, tmp_path / "m", "json"),
        lambda: models.serialize({1, 2}, tmp_path / "m", "nonsense"),
    ):
        with pytest.raises(FridayStoreError) as got:
            wrong()
        assert not isinstance(got.value, InvalidValueError)
