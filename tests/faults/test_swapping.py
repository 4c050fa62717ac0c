"""Files that are exchanged while models are loaded: what is interpreted is what was verified."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import FridayStoreError
from tests.faults import stored

COUNT = 24


def sealed(number: int) -> Any:
    """Return a model whose parts say of themselves that they belong together: mapped, compressed and small ones."""
    big = np.full(40_000, float(number))
    return {"number": number, "big": big, "text": [f"{number}"] * 5000}


def is_sealed(model: Any) -> bool:
    """Whether a model is one of those."""
    number = model["number"]
    return bool((model["big"] == number).all()) and model["text"] == [f"{number}"] * 5000


@pytest.fixture
def swapped(tmp_path: Path) -> Iterator[tuple[Path, threading.Event]]:
    """A registry whose packs, log entries and index are exchanged for each other's and for junk all the time."""
    root = tmp_path / "registry"
    with stored.opened(root, compression="none") as registry:
        for number in range(COUNT):
            registry.register_model(sealed(number), f"m{number}")
    sound = stored.copied(root, tmp_path / "sound")
    done, draw = threading.Event(), random.Random(7)
    names = [path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.suffix in ("", ".pack")]

    def swap() -> None:
        for turn in itertools.count():
            if done.is_set():
                return
            target, source = draw.choice(names), draw.choice(names)
            data = bytearray((sound / source).read_bytes())
            if turn % 3 == 0 and data:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            fresh = root / f".swap-{turn}"
            fresh.write_bytes(data)
            if target != Path("writers.lock"):
                fresh.replace(root / target)
            fresh.unlink(missing_ok=True)
            if turn % 2:
                shutil.copyfile(sound / target, fresh)
                fresh.replace(root / target)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield root, done
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("verify", ["changed", "always"])
def test_swapping_files_never_yields_an_unverified_model(swapped: tuple[Path, threading.Event], verify: str) -> None:
    """What a load returns is one of the models that were registered, under its own name, or it is refused."""
    root, _ = swapped
    good = refused = 0
    for attempt in range(120):
        number = attempt % COUNT
        try:
            with stored.opened(root, verify=verify) as registry:
                model = registry.load_model(f"m{number}")
        except FridayStoreError:
            refused += 1
            continue
        assert number == model["number"]
        assert is_sealed(model)
        good += 1
    assert (True, 120) == (good > 0, good + refused)


def test_a_file_that_others_can_write_is_copied_before_it_is_hashed(tmp_path: Path) -> None:
    """A mapping of it would show what they write later; so the model keeps what was verified, whatever they write."""
    with stored.opened(tmp_path / "r", compression="none") as registry:
        registry.register_model(np.arange(1 << 18, dtype="<f8"), "m")
        [pack] = [path for path in (tmp_path / "r" / "packs").iterdir() if path.stat().st_size > 1 << 20]
        for mode, kept in ((0o444, False), (0o664, True)):
            pack.chmod(mode)
            model = registry.load_model("m")
            pack.chmod(0o600)
            sound = pack.read_bytes()
            with pack.open("r+b") as file:
                file.write(b"\xff" * len(sound))
            same = bool((model == np.arange(1 << 18)).all())
            pack.write_bytes(sound)
            assert same or not kept


def test_a_foreign_owner_s_file_is_copied(tmp_path: Path) -> None:
    """So is a file that belongs to another user, whatever its mode."""
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    with stored.opened(tmp_path / "r", compression="none") as registry:
        registry.register_model(np.arange(1 << 18, dtype="<f8"), "m")
        [pack] = [path for path in (tmp_path / "r" / "packs").iterdir() if path.stat().st_size > 1 << 20]
        os.chown(pack, 65534, 65534)
        model = registry.load_model("m")
        pack.chmod(0o600)
        with pack.open("r+b") as file:
            file.write(b"\xff" * pack.stat().st_size)
        np.testing.assert_array_equal(np.arange(1 << 18), model)


FORMATS = {"pickle5": {"a": [1]}, "joblib": {"a": [1]}, "json": {"a": 1}, "numpy": np.arange(3), "file": b"bytes"}


@pytest.mark.parametrize("real", FORMATS)
def test_a_mislabelled_model_reaches_no_other_loader(tmp_path: Path, real: str) -> None:
    """S6: parts of one format under the name of another are refused by that other, or plain bytes; none falls back."""
    from friday_store import serializer
    from friday_store.plugins import Plugins

    plugins = Plugins(())
    made = {part.name: part.view() for part in serializer.dump(plugins, FORMATS[real], real).parts}
    loaded = []
    for form, _ in plugins.serializers():
        recording = _Recording(form)
        if form.name != real:
            with pytest.raises(FridayStoreError):
                serializer.load(_Only(recording), form.name, form.format, made)  # type: ignore[arg-type]
            loaded += recording.loads
    assert [] == loaded


class _Recording:
    """A format that notes that it was asked to load."""

    def __init__(self, form: Any) -> None:
        self._form = form
        self.loads: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._form, name)

    def load(self, parts: Any, format: int) -> Any:  # noqa: A002 - the protocol's word
        self.loads.append(self._form.name)
        return self._form.load(parts, format)


class _Only:
    """Plugins with this one format."""

    def __init__(self, form: Any) -> None:
        self.serializer = lambda _name: form


def test_damaged_parts_reach_no_loader(tmp_path: Path) -> None:
    """S6: a damaged model of any format is refused by its digest, before any format sees it."""
    for name, model in FORMATS.items():
        root = tmp_path / name
        with stored.opened(root, compression="none") as registry:
            registry.register_model(model, "m", serializer=name)
            [pack] = list((root / "packs").iterdir())
            artifact = registry.repository.artifact(bytes.fromhex(registry.get_model_metadata("m")["artifact"]))
            frames = [registry.repository.objects.find(chunk) for part in artifact.parts for chunk in part]
        assert frames[0] is not None
        frame = frames[0][0].frame(frames[0][1])
        data = bytearray(pack.read_bytes())
        data[frame.offset] ^= 1
        stored.overwrite(pack, bytes(data))
        with stored.opened(root) as registry, pytest.raises(FridayStoreError, match="does not match its digest"):
            registry.load_model("m")
