"""S17: whatever bytes a decoder is given, it refuses them with one kind of error, soon, and in little memory."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from friday_store import codec
from friday_store.errors import FridayStoreError, IntegrityError, InvalidValueError
from friday_store.manifest import ARTIFACT_CAP, MANIFEST_CAP, NOTE_CAP
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

NAMES = (
    "codec", "manifest", "artifact", "note", "approval", "entry", "state", "checkpoint", "pack", "bundle", "format",
    "pickle", "outline", "globals", "numpy", "npz", "json", "config", "remotes", "trust", "identity", "track", "ref",
    "key",
)  # fmt: skip
ROOT = Path(__file__).parents[2]
MEMORY = 512
SECONDS = 1.0


def fuzzed(*arguments: str, timeout: float = 250) -> dict[str, Any]:
    """Run the fuzzer in a process of its own and return what it measured."""
    command = [sys.executable, "-m", "tests.fuzz.run", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def test_every_target_is_named() -> None:
    """The list here is that of the targets."""
    from tests.fuzz.targets import targets

    assert set(NAMES) == set(targets())
    for target in targets().values():
        for seed in target.seeds:
            target.decode(seed) if seed else None


@pytest.mark.parametrize("name", NAMES)
def test_mutated_inputs(name: str) -> None:
    """Five hundred changed inputs raise nothing but refusals, each within a second, in less than 512 MiB."""
    found = fuzzed(name, "--count", "500")
    assert found["slowest"] < SECONDS
    assert found["memory"] < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_mutated_inputs(name: str) -> None:
    """So do a hundred thousand in all."""
    found = fuzzed(name, "--count", "4200", "--seed", "11", timeout=3000)
    assert found["slowest"] < SECONDS
    assert found["memory"] < MEMORY


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_inputs_that_reach_new_code(name: str) -> None:
    """So do the inputs that atheris finds in two minutes, where it is installed."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed")
    command = [sys.executable, "-m", "tests.fuzz.run", name, "--atheris", "120"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


BOMBS = {
    "maps": lambda size: b"\xdd" + size.to_bytes(4, "big") + b"\x80" * size,
    "lists": lambda size: b"\xdd" + size.to_bytes(4, "big") + b"\x90" * size,
    "numbers": lambda size: b"\xdd" + size.to_bytes(4, "big") + b"\xc0" * size,
    "deep": lambda size: b"\x91" * size + b"\xc0",
    "keys": lambda size: b"\xdf" + (size // 9).to_bytes(4, "big")
    + b"".join(b"\xa6" + b"%06x\xc0" % number for number in range(min(size // 9, 1_200_000))),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize(
    ("kind", "cap"), [("envelope", MANIFEST_CAP), ("artifact", ARTIFACT_CAP >> 3), ("note", NOTE_CAP)]
)
def test_small_bytes_that_become_much_memory(bomb: str, kind: str, cap: int) -> None:
    """As many values as fit under the cap of a kind are refused in a second and in 512 MiB; a byte can become 64."""
    script = f"""if True:
        import time
        from friday_store import codec
        from friday_store.errors import IntegrityError
        from tests.fuzz.run import peak
        from tests.fuzz.test_fuzz import BOMBS
        data = BOMBS[{bomb!r}]({cap - 16})
        head = b"\\x82\\xa4kind" + bytes([0xa0 + len({kind!r})]) + {kind!r}.encode() + b"\\xa1x"
        began = time.process_time()
        try:
            codec.decode(head + data, {kind!r}, cap={cap})
        except IntegrityError:
            pass
        else:
            raise SystemExit("it was accepted")
        print(time.process_time() - began, peak())
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, memory = done.stdout.split()
    assert float(seconds) < SECONDS
    assert int(memory) < MEMORY


def test_what_could_not_be_read_is_not_written(registry: ModelRegistry) -> None:
    """Metadata of more values than are read back is refused when it is written, and nothing is written."""
    for huge in ({"a": [None] * 4_000_000}, {"a": "x" * (MANIFEST_CAP + 1)}):
        with pytest.raises(InvalidValueError, match="data, not metadata"):
            registry.register_model({"a": 1}, "m", metadata=huge)
    assert [] == registry.list_models()
    registry.register_model({"a": 1}, "m", metadata={"a": [0.5] * 500_000})
    assert 500_000 == len(registry.get_model_metadata("m")["metadata"]["a"])


def test_many_values_are_read() -> None:
    """What a large registry writes is far from the bound: a hundred thousand moves in one entry."""
    moves = [[f"versions/model-{number}/1.0.0", None, bytes(32)] for number in range(100_000)]
    data = codec.encode({"kind": "entry", "refs": moves})
    assert len(moves) == len(codec.decode(data, "entry", cap=1 << 30)["refs"])
    assert msgpack.unpackb(data)["refs"][0] == moves[0]
    with pytest.raises(IntegrityError):
        codec.decode(data, "entry", cap=1000)


def test_an_archive_that_inflates_is_refused() -> None:
    """A file that would become very much larger than it is is refused before it does."""
    held = io.BytesIO()
    np.savez_compressed(held, a=np.zeros(40_000_000))
    form = Plugins(()).serializer("numpy")
    with pytest.raises(FridayStoreError, match="would become"):
        list(form.from_file(memoryview(held.getvalue())))
    small = io.BytesIO()
    np.savez_compressed(small, a=np.zeros(1_000_000))
    assert 2 == len(list(form.from_file(memoryview(small.getvalue()))))
