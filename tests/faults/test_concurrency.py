"""Many processes at once: nobody loses, nobody sees half of anything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults import stored
from tests.faults.crew import Crew, said
from tests.faults.worker import content


@pytest.mark.parametrize("each", [10, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_eight_writers_of_one_name(crew: Crew, tmp_path: Path, each: int) -> None:
    """C1: eight processes register to one name: every version is there once, and the parents are one line."""
    root = tmp_path / "registry"
    words = [tmp_path / f"said{number}" for number in range(8)]
    writers = [
        crew.start("register", path, root=root, name="m", first=number * 1000, count=each)
        for number, path in enumerate(words)
    ]
    assert [crew.wait(writer) for writer in writers] == [0] * 8, [said(path)[-1] for path in words]
    acknowledged = {number: digest for path in words for _, number, digest in said(path)[1:]}
    assert len(acknowledged) == len(set(acknowledged.values())) == 8 * each
    with stored.opened(root) as registry:
        records = registry.get_model_versions("m")
        assert {record["model_id"] for record in records} == set(acknowledged.values())
        assert sorted(record["model_version"] for record in records) == sorted(f"1.0.{n}" for n in range(8 * each))
        parents = [record["parents"] for record in reversed(records)]
        ids = [record["model_id"] for record in reversed(records)]
        assert parents == [[], *([one] for one in ids[:-1])]
        for number, digest in acknowledged.items():
            assert registry.load_model(digest) == content(number)
        assert registry.fsck() == []
    assert stored.temporaries(root) == []


def test_sixteen_writers_of_one_content(crew: Crew, tmp_path: Path) -> None:
    """C4: sixteen processes register the same 5 MB at once: all succeed, one set of chunks is stored, no litter."""
    root, file, go = tmp_path / "registry", tmp_path / "file", tmp_path / "go"
    file.write_bytes(b"".join(bytes([number]) * 3 + number.to_bytes(5, "little") * 209_715 for number in range(5)))
    with stored.opened(root) as registry:
        registry.register_model({"first": 1}, "other")
    words = [tmp_path / f"said{number}" for number in range(16)]
    writers = [
        crew.start("register_file", path, root=root, name=f"m{number}", path=file, go=go)
        for number, path in enumerate(words)
    ]
    while not all(said(path) for path in words):
        time.sleep(0.01)
    go.touch()
    assert [crew.wait(writer) for writer in writers] == [0] * 16, [said(path)[-1] for path in words]
    with stored.opened(root) as registry:
        records = registry.list_models("m*")
        assert len({record["model_id"] for record in records}) == 16
        (artifact,) = {record["artifact"] for record in records}
        chunks = {chunk for part in registry.repository.artifact(bytes.fromhex(artifact)).parts for chunk in part}
        objects = registry.repository.objects
        held = [frame.digest for name in objects.live for frame in objects.directory(name) if frame.digest in chunks]
        assert len(held) == len(chunks)
        assert bytes(registry.load_model("m7")) == file.read_bytes()
        assert registry.fsck() == []
    assert stored.temporaries(root) == []


@pytest.mark.parametrize("each", [40, pytest.param(250, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_readers_among_writers(crew: Crew, tmp_path: Path, each: int) -> None:
    """C7: while two processes register and packs are merged, every read by label gives a whole committed version."""
    root, stop = tmp_path / "registry", tmp_path / "stop"
    with stored.opened(root) as registry:
        registry.register_model(content(0), "m", tags=["t"])
    readers = [(tmp_path / f"read{number}") for number in range(4)]
    running = [crew.start("read", path, root=root, name="m", label="t", stop=stop) for path in readers]
    words = [tmp_path / f"said{number}" for number in range(2)]
    writers = [
        crew.start("register", path, root=root, name="m", first=(number + 1) * 1000, count=each, tag="t")
        for number, path in enumerate(words)
    ]
    assert [crew.wait(writer) for writer in writers] == [0, 0], [said(path)[-1] for path in words]
    stop.touch()
    assert [crew.wait(reader) for reader in running] == [0] * 4, [said(path)[-1] for path in readers]
    committed = {0} | {number for path in words for _, number, _ in said(path)[1:]}
    reads = [line for path in readers for line in said(path)[1:]]
    assert len(reads) > 4 * 10
    assert all(whole and number in committed for _, number, whole in reads)
    with stored.opened(root) as registry:
        assert len(registry.repository.objects.live) < 2 * each
        assert any("merge" in entry.message for entry in registry.repository.entries())
        assert registry.fsck() == []
