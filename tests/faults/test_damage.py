"""Damage to stored files: found, never interpreted, never spread."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import time
from pathlib import Path

import pytest

from friday_store import FridayStoreError, IntegrityError
from friday_store.digest import digest_of
from friday_store.log import LogEntry, entry_path
from friday_store.objects.pack import TRAILER
from tests.faults import stored
from tests.faults.stored import Truth

_KINDS = ("data", "metadata", "directory", "trailer", "log", "checkpoint", "format", "index", "index")


def _chosen(source: random.Random, files: dict[str, list[Path]]) -> tuple[str, Path, int]:
    """Return a kind of place, a file, and a byte of it."""
    kind = source.choice(_KINDS)
    path = source.choice(files[kind if kind in files else "pack"])
    size = path.stat().st_size
    if kind in files:
        return kind, path, source.randrange(size)
    tail = path.read_bytes()[-TRAILER.size :]
    (length,) = struct.unpack("<Q", tail[:8])
    directory = size - TRAILER.size - length
    ranges = {
        "data": (0, directory),
        "metadata": (max(0, directory - 2000), directory),
        "directory": (directory, directory + length),
        "trailer": (size - TRAILER.size, size),
    }
    return kind, path, source.randrange(*ranges[kind])


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_every_flipped_bit_is_reported_and_none_is_loaded(varied: tuple[Path, Truth], count: int) -> None:
    """I1: fsck reports every single-bit change of a stored file, and no load returns anything but the original."""
    root, truth = varied
    source = random.Random(f"I1 {count}")
    files = stored.files(root)
    silent, wrong = [], []
    for number in range(count):
        kind, path, place = _chosen(source, files)
        sound = path.read_bytes()
        index = {name: (root / name).read_bytes() for name in ("index.db",)}
        flipped = bytearray(sound)
        flipped[place] ^= 1 << source.randrange(8)
        stored.overwrite(path, bytes(flipped))
        flip = f"flip {number}: {kind} {path.name} byte {place}"
        exact = dict(source.sample(sorted(truth.loads.items()), 12))
        wrong += [f"{flip}: {revision}" for revision in stored.wrong_loads(root, exact)]
        if kind != "index":
            if not stored.problems(root):
                silent.append(flip)
        elif not stored.problems(root):
            with stored.opened(root) as registry:
                if list(registry.repository.index.dump()) != truth.dump:
                    silent.append(flip)
        stored.overwrite(path, sound)
        stored.forget_index(root)
        for name, data in index.items():
            (root / name).write_bytes(sound if path.name == name else data)
    assert silent == []
    assert wrong == []
    assert stored.problems(root) == []


def _variants(sound: bytes) -> dict[str, bytes]:
    """Return the lengths that a file may be left with."""
    cuts = {length: sound[:length] for length in (0, 1, len(sound) // 2, len(sound) - 1)}
    return {**{f"cut to {length}": data for length, data in cuts.items()}, "extended by 1": sound + b"\0"}


def _some(paths: list[Path], most: int) -> list[Path]:
    """Return the first, the last, and some between."""
    step = max(1, len(paths) // most)
    return list(dict.fromkeys([*paths[::step], paths[-1]]))


@pytest.mark.parametrize("most", [6, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_every_file_of_another_length_is_reported(varied: tuple[Path, Truth], most: int) -> None:
    """I3: fsck reports every stored file that was cut or extended, and no load returns anything but the original."""
    root, truth = varied
    silent, wrong = [], []
    files = stored.files(root)
    exact = dict(sorted(truth.loads.items())[::4])
    for kind in ("format", "log", "checkpoint", "pack"):
        for path in _some(files[kind], most):
            sound = path.read_bytes()
            for what, data in _variants(sound).items():
                stored.overwrite(path, data)
                case = f"{kind} {path.name} {what}"
                if not stored.problems(root):
                    silent.append(case)
                wrong += [f"{case}: {revision}" for revision in stored.wrong_loads(root, exact)]
            stored.overwrite(path, sound)
    assert silent == []
    assert wrong == []
    stored.forget_index(root)
    assert stored.problems(root) == []


def test_a_lost_pack_takes_no_others_with_it(varied: tuple[Path, Truth], tmp_path: Path) -> None:
    """I3: a pack that is cut short takes its own versions with it and no others, with or without an index."""
    root, truth = varied
    with stored.opened(root) as registry:
        records = registry.list_models()
        objects = registry.repository.objects
        held = {name: {frame.digest for frame in objects.directory(name)} for name in objects.live}
    lost_versions = 0
    for number, (name, digests) in enumerate(held.items()):
        copy = stored.copied(root, tmp_path / f"copy{number}")
        path = copy / "packs" / f"{name}.pack"
        stored.overwrite(path, path.read_bytes()[:-1])
        lost = {
            record["model_id"]
            for record in records
            if {bytes.fromhex(record["model_id"]), bytes.fromhex(record["artifact"])} & digests
        }
        lost_versions += len(lost)
        for index in ("there", "gone", "remade"):
            if index == "gone":
                stored.forget_index(copy)
            with stored.opened(copy) as registry:
                assert {record["model_id"] for record in registry.list_models()} == {r["model_id"] for r in records}
                for record in records:
                    revision = record["model_id"]
                    if revision in lost:
                        with pytest.raises(IntegrityError):
                            registry.load_model(revision)
                    else:
                        assert stored.fingerprint(registry.load_model(revision)) == truth.loads[revision]
                assert any(problem.path.endswith(path.name) for problem in registry.fsck())
        with stored.opened(copy) as registry:
            for again in range(18):
                registry.register_model({"again": again}, "rules")
            assert registry.load_model("rules") == {"again": 17}
            assert registry.get_latest_version("rules") == "1.0.34"
    assert lost_versions >= len(records)


def test_pulling_does_not_spread_damage(varied: tuple[Path, Truth], tmp_path: Path) -> None:
    """I3: what is pulled from a damaged registry is whole or refused; a good copy is not harmed by a damaged one.

    That a pull also mends the damaged side is promised later; today it must neither crash nor make things worse.
    """
    root, truth = varied
    good = stored.copied(root, tmp_path / "good")
    random_ = random.Random("pull")
    for number, path in enumerate([*stored.files(root)["pack"], *_some(stored.files(root)["log"], 3)]):
        sound = path.read_bytes()
        for data in (sound[: len(sound) // 2], bytes(byte ^ (random_.random() < 0.01) for byte in sound)):
            stored.overwrite(path, data)
            with stored.opened(tmp_path / f"target{number}{len(data) == len(sound)}") as target:
                with contextlib.suppress(FridayStoreError):
                    target.pull(str(root))
                assert target.fsck() == []
            with stored.opened(root) as damaged, contextlib.suppress(FridayStoreError):
                damaged.pull(str(good))
            assert stored.wrong_loads(root, dict(sorted(truth.loads.items())[::5])) == []
        stored.overwrite(path, sound)
    assert stored.problems(good) == []


def _poison(marker: Path, size: int) -> bytes:
    """Return a pickle of ``size`` bytes that makes a folder when it is loaded."""
    command = f"cposix\nmkdir\n(V{marker}\ntR".encode()
    body = b"\x80\x05" + command + b"."
    return body + b"\0" * (size - len(body) - 1) + b"."


def test_poisoned_data_is_never_interpreted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S8: 100 packs changed in place with size and time kept are refused, though they were verified before."""
    source = tmp_path / "source"
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "home0"))
    with stored.opened(source, compression="none") as registry:
        registry.register_model([f"number {number}" for number in range(8000)], "mapped")
        registry.register_model(["short"] * 30 + list(range(100)), "read")
        places = {}
        for name in ("mapped", "read"):
            artifact = registry.repository.artifact(bytes.fromhex(registry.get_model_metadata(name)["artifact"]))
            found = registry.repository.objects.find(next(iter(artifact.parts[0])))
            assert found is not None
            places[name] = (found[0].name, found[0].frame(found[1]))
        assert places["mapped"][1].size > 100_000
    registries = []
    for number in range(50):
        monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / f"home{number}"))
        registries.append(stored.opened(stored.copied(source, tmp_path / f"copy{number}")))
    time.sleep(2.1)
    for registry in registries:
        assert len(registry.load_model("mapped")) == 8000
        assert len(registry.load_model("read")) == 130
    remembered = list(tmp_path.glob("home*/cache/verified/*"))
    assert len(remembered) >= 50
    refused = 0
    for number, registry in enumerate(registries):
        marker = tmp_path / f"marker{number}"
        for name, (pack, frame) in places.items():
            path = Path(registry.url) / "packs" / f"{pack}.pack"
            before = path.stat()
            path.chmod(0o600)
            with path.open("r+b") as file:
                file.seek(frame.offset)
                file.write(_poison(marker, frame.size))
            path.chmod(0o444)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
            monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / f"home{number}"))
            for opened in (registry, stored.opened(Path(registry.url))):
                with pytest.raises(IntegrityError):
                    opened.load_model(name)
            refused += 1
        assert not marker.exists()
    assert refused == 100


def _rewritten(root: Path, seq: int) -> None:
    """Change the message of a log entry and give it the checksum that fits."""
    path = root / entry_path(seq)
    entry = LogEntry.from_bytes(path.read_bytes()[:-32])
    body = LogEntry(**{**{name: getattr(entry, name) for name in LogEntry.__dataclass_fields__}, "message": "forged"})
    data = body.to_bytes()
    stored.overwrite(path, data + digest_of(data))


@pytest.mark.parametrize("seq", [1, 2, 20, 100, 255, 256, -1])
def test_rewritten_history_is_noticed(varied: tuple[Path, Truth], seq: int) -> None:
    """Laws 2 and 3: an entry that was replaced by a well-formed other one is reported: the chain does not fit."""
    root, _ = varied
    last = len(stored.files(root)["log"])
    _rewritten(root, seq if seq > 0 else last)
    assert stored.problems(root) != []


def test_a_remote_that_was_rolled_back_is_noticed(tmp_path: Path) -> None:
    """Threat model: a remote whose history is older or other than at the last sync is refused."""
    remote = tmp_path / "remote"
    with stored.opened(remote) as registry:
        registry.register_model({"number": 1}, "m")
    before = stored.copied(remote, tmp_path / "before")
    with stored.opened(remote) as registry:
        registry.register_model({"number": 2}, "m")
    with stored.opened(tmp_path / "here") as here:
        here.add_remote("origin", remote)
        here.pull()
        remote.rename(tmp_path / "away")
        before.rename(remote)
        with pytest.raises(IntegrityError, match="rolled back"):
            here.pull()
        with stored.opened(remote) as registry:
            registry.register_model({"number": 3}, "m")
        with pytest.raises(IntegrityError, match="history was changed"):
            here.push()
        assert here.load_model("m") == {"number": 2}
        assert here.fsck() == []
