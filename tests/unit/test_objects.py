"""What packs promise: objects come back as they went in, are verified, and are stored once."""

from __future__ import annotations

import os
import stat
import struct
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zstandard

from friday_store import codec
from friday_store.digest import digest_of
from friday_store.errors import IntegrityError, ModelNotFoundError, SerializationError
from friday_store.hookspecs import Part
from friday_store.objects import Kind, Memo, ObjectStore
from friday_store.objects.chunking import cut, framed, frames
from friday_store.objects.pack import BIG, BLOCK, HEADER, LINE, PAGE, TRAILER, Codec, Directory, Frame, read_directory
from friday_store.storage import open_storage
from friday_store.storage.local import LocalStorage

if TYPE_CHECKING:
    from friday_store.manifest import Artifact
    from friday_store.objects import Compression
    from friday_store.storage import Storage

RANDOM = np.random.default_rng(11)
NOISE = RANDOM.bytes(3 * BLOCK + 12_345)
TEXT = b"the same words again and again, and " * 40_000


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """Return a folder."""
    return LocalStorage(tmp_path / "store")


@pytest.fixture
def store(storage: LocalStorage) -> ObjectStore:
    """Return an empty object store without a memory."""
    return ObjectStore(storage)


def parts_of(**data: bytes) -> list[Part]:
    """Return parts by name."""
    return [Part(name, value) for name, value in data.items()]


def put(store: ObjectStore, parts: list[Part]) -> Artifact:
    """Store a model, put its pack in use, and return the artifact."""
    with store.batch() as batch:
        _, artifact = batch.put_model("test", 1, parts)
        directory = batch.finish()
    if directory is not None:
        store.add(directory)
    return artifact


def pack_path(storage: LocalStorage) -> Path:
    """Return the only pack."""
    (found,) = (storage.root / "packs").iterdir()
    return found


def overwrite(path: Path, data: bytes) -> None:
    """Write into a read-only file, in place."""
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


def flip(path: Path, place: int, *, keep_times: bool = True) -> None:
    """Change one bit of a file in place, and set its modification time back."""
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(place)
        old = file.read(1)[0]
        file.seek(place)
        file.write(bytes([old ^ 4]))
    path.chmod(stat.S_IMODE(before.st_mode))
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size


MODELS = {
    "small": parts_of(pickle=b"\x80\x05small."),
    "empty part": parts_of(a=b"", b=b"x", c=b""),
    "no parts": [],
    "noise": parts_of(a=NOISE),
    "text": parts_of(a=TEXT),
    "all kinds": parts_of(a=NOISE[:BIG], b=TEXT, c=b"", d=NOISE[: BIG - 1], e=NOISE[5 : BLOCK + 6], f=b"tail"),
    "exactly a block": parts_of(a=NOISE[:BLOCK]),
    "the same twice": parts_of(a=NOISE[: 2 * BLOCK], b=NOISE[: 2 * BLOCK], c=NOISE[:BLOCK] * 2),
    "zeros": parts_of(a=bytes(5 * BLOCK)),
}


@pytest.mark.parametrize("compression", ["auto", "none"])
@pytest.mark.parametrize("place", ["local", "memory"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(tmp_path: Path, name: str, place: str, compression: Compression) -> None:
    """Parts of every size and kind come back byte for byte, from a folder and from elsewhere, by whoever reads."""
    url = str(tmp_path / "s") if place == "local" else f"memory://{uuid.uuid4()}/s"
    store = ObjectStore(open_storage(url), compression=compression)
    artifact = put(store, MODELS[name])
    reader = ObjectStore(open_storage(url))
    reader.use(store.live)
    for each in (store, reader):
        found = each.parts(artifact)
        assert [(part.name, bytes(part.view())) for part in MODELS[name]] == [(n, bytes(d)) for n, d in found.items()]
        assert not any(view.readonly for view in found.values())
    expected = [
        digest_of(part.view()[at : at + BLOCK]) for part in MODELS[name] for at in range(0, len(part.view()), BLOCK)
    ]
    assert expected == [digest for entry in artifact.parts for digest in entry]


def test_where_objects_stand(storage: LocalStorage, store: ObjectStore) -> None:
    """Big raw chunks start at pages, others at lines, the gaps are zero, and metadata is one run at the end."""
    with store.batch() as batch:
        batch.put(Kind.NOTE, b"a note")
        batch.put_model("test", 1, parts_of(a=b"small", b=NOISE[:BIG], c=b"more", d=TEXT, e=NOISE[BIG:]))
        batch.put(Kind.ENVELOPE, b"an envelope")
        directory = batch.finish()
    assert directory is not None
    data = pack_path(storage).read_bytes()
    at = len(HEADER)
    assert data.startswith(HEADER)
    assert data[8:16] == struct.pack("<II", 1, 0)
    for frame in directory:
        big = frame.codec is Codec.RAW and frame.size >= BIG
        if frame.kind is Kind.CHUNK:
            assert frame.offset % (PAGE if big else LINE) == 0
            assert frame.offset + frame.stored <= directory.data
        else:
            assert frame.offset >= directory.data
            assert frame.offset == at
        assert data[at : frame.offset] == bytes(frame.offset - at)
        at = frame.offset + frame.stored
    assert at == directory.start
    length, digest, end = TRAILER.unpack(data[-TRAILER.size :])
    encoded = data[directory.start : directory.start + length]
    assert (digest, end) == (digest_of(encoded), b"KCAPDIRF")
    assert directory.start + length + TRAILER.size == len(data) == directory.size
    assert directory.name == digest.hex()
    raw = codec.decode(encoded, "directory")
    assert raw["digests"] == b"".join(sorted(frame.digest for frame in directory))
    assert [Kind.CHUNK, Kind.ARTIFACT, Kind.ENVELOPE, Kind.NOTE] == sorted({frame.kind for frame in directory})


def test_a_second_reader_of_the_format(storage: LocalStorage, store: ObjectStore) -> None:
    """The module's description is enough to read a pack: every object, from its columns alone."""
    put(store, parts_of(a=TEXT, b=NOISE))
    data = pack_path(storage).read_bytes()
    (length,) = struct.unpack_from("<Q", data, len(data) - 48)
    raw = codec.decode(data[-48 - length : -48], "directory")
    for place in range(raw["count"]):
        offset, stored, size = (
            struct.unpack_from("<Q", raw[column], 8 * place)[0] for column in ("offsets", "stored", "sizes")
        )
        body = data[offset : offset + stored]
        if raw["codecs"][place] == 1:
            assert raw["checks"][16 * place : 16 * place + 16] == digest_of(body)[:16]
            body = zstandard.ZstdDecompressor().decompress(body)
        assert len(body) == size
        assert raw["digests"][32 * place : 32 * place + 32] == digest_of(body)


def test_equal_packs_have_different_names(tmp_path: Path) -> None:
    """The directory holds a nonce, so the name of a removed pack never comes back."""
    stores = [ObjectStore(LocalStorage(tmp_path / name)) for name in "ab"]
    for store in stores:
        put(store, parts_of(a=b"x"))
    assert set(stores[0].live).isdisjoint(stores[1].live)


def test_what_is_there_is_not_stored_again(storage: LocalStorage, store: ObjectStore) -> None:
    """Chunks and artifacts that a pack has are relied on, and a second copy of a model makes no pack at all."""
    first = put(store, parts_of(a=NOISE[: 2 * BLOCK], b=TEXT))
    with store.batch() as batch:
        digest, again = batch.put_model("test", 1, parts_of(a=NOISE[: 2 * BLOCK], b=TEXT))
        assert batch.finish() is None
        assert {*first.parts[0], *first.parts[1], digest} == batch.relied
    assert first == again
    changed = put(store, parts_of(a=NOISE[:BLOCK] + b"!" + NOISE[BLOCK + 1 : 2 * BLOCK], b=TEXT))
    newest = list(store.live)[-1]
    assert len(store.directory(newest)) == 2
    assert bytes(store.parts(changed)["a"])[BLOCK : BLOCK + 1] == b"!"
    assert len(store.live) == 2


def test_what_stands_twice_in_one_batch_is_stored_once(store: ObjectStore) -> None:
    """Equal blocks of one model, also while they are in flight on several threads, are one object."""
    put(store, parts_of(a=bytes(40 * BLOCK), b=NOISE[:BLOCK] * 8))
    (name,) = store.live
    assert len(store.directory(name)) == 3


def test_nothing_is_kept_of_a_batch_that_fails(storage: LocalStorage, store: ObjectStore) -> None:
    """A batch that raises leaves neither a pack nor a temporary file."""
    with pytest.raises(RuntimeError), store.batch() as batch:  # noqa: PT012 - one story
        batch.put_model("test", 1, parts_of(a=NOISE))
        raise RuntimeError
    assert storage.list("packs") == []
    assert storage.strays() == []


def test_finding_objects(storage: LocalStorage, store: ObjectStore) -> None:
    """Objects are found by digest in any pack, and by prefix among those of a kind; what is not there is not found."""
    digests = []
    for number in range(30):
        with store.batch() as batch:
            digests += [batch.put(Kind.NOTE, f"note {number} {place}".encode()) for place in range(7)]
            directory = batch.finish()
        assert directory is not None
        store.add(directory)
    for digest in digests:
        assert digest in store
        assert store.prefixed(digest.hex()[:12], Kind.NOTE) == [digest.hex()]
        assert store.prefixed(digest.hex()[:12], Kind.ARTIFACT) == []
    for missing in (bytes(32), b"\xff" * 32, digest_of(b"missing")):
        assert missing not in store
    assert store.prefixed("abc", Kind.NOTE) == []
    with pytest.raises(ModelNotFoundError):
        store.read(bytes(32), Kind.NOTE)
    with pytest.raises(IntegrityError, match="not a envelope"):
        store.read(digests[0], Kind.ENVELOPE)


def test_reading_many_small_objects_at_once(store: ObjectStore) -> None:
    """Within ``sections`` whole metadata sections are read, and the objects are the same."""
    with store.batch() as batch:
        digests = [batch.put(Kind.NOTE, b"n" * number) for number in range(2000)]
        batch.put_model("test", 1, parts_of(a=TEXT))
        directory = batch.finish()
    assert directory is not None
    store.add(directory)
    with store.sections():
        inside = [bytes(store.read(digest, Kind.NOTE)) for digest in digests]
    assert [b"n" * number for number in range(2000)] == inside
    assert inside == [bytes(store.read(digest, Kind.NOTE)) for digest in digests]


def test_sections_and_other_threads(store: ObjectStore) -> None:
    """A thread that reads while another begins and ends reading sections is not disturbed."""
    with store.batch() as batch:
        digest = batch.put(Kind.NOTE, b"note")
        directory = batch.finish()
    assert directory is not None
    store.add(directory)
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert bytes(store.read(digest, Kind.NOTE)) == b"note"
        except BaseException as error:  # noqa: BLE001 - carried to the test's thread
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(3000):
        with store.sections():
            pass
    done.set()
    thread.join()
    assert failures == []


@pytest.mark.parametrize(
    ("data", "compressed"),
    [
        (TEXT, True), (NOISE, False), (b"a" * 511, False), (b"a" * 512, True), (NOISE[:1000], False), (b"", False),
        (bytes(10 * BLOCK), True), (NOISE[:BLOCK] + bytes(BLOCK), True),
    ],
    ids=["text", "noise", "tiny", "small text", "small noise", "empty", "zeros", "half zeros"],
)  # fmt: skip
def test_the_rule_for_compressing(data: bytes, compressed: bool) -> None:
    """What saves 15 % or more is compressed, what does not stays raw, and ``none`` keeps everything raw."""
    for mode, expected in (("auto", compressed), ("none", False)):
        pieces = [piece for _, pieces in cut([Part("p", data)], mode) for piece in pieces]  # type: ignore[arg-type]
        made = [new for _, new, _ in frames(iter(pieces), lambda _: False)]
        codecs = {frame.codec for frame in made if isinstance(frame, Frame)}
        assert (Codec.ZSTD in codecs) == expected
        assert sum(piece.data.nbytes for piece in pieces) == len(data)
        for frame in made:
            assert isinstance(frame, Frame)
            assert frame.stored <= 0.85 * frame.size or frame.codec is Codec.RAW


def test_parts_must_be_contiguous(store: ObjectStore) -> None:
    """A strided buffer is refused, and a buffer of any contiguous kind is taken."""
    with pytest.raises(SerializationError, match="contiguous"), store.batch() as batch:
        batch.put_model("test", 1, [Part("p", memoryview(b"12345678")[::2])])
    array = np.arange(12.0).reshape(3, 4)
    artifact = put(store, [Part("p", array.data), Part("q", bytearray(b"q"))])
    assert bytes(store.parts(artifact)["p"]) == array.tobytes()


def test_opaque_parts_have_a_digest_of_the_whole(store: ObjectStore) -> None:
    """The digest of an opaque file is recorded, so that an export can be checked with ``b3sum``."""
    artifact = put(store, [Part("f", NOISE, opaque=True), Part("g", NOISE)])
    assert [part.digest for part in artifact.parts] == [digest_of(NOISE), None]


def test_big_raw_parts_are_views(storage: LocalStorage, store: ObjectStore) -> None:
    """A part that stands raw in one run is a view of the mapped pack, at a page."""
    found = store.parts(put(store, parts_of(a=NOISE)))["a"]
    mapped = np.frombuffer(found, np.uint8)
    assert mapped.ctypes.data % PAGE == 0
    maps = Path("/proc/self/maps")
    assert not maps.exists() or pack_path(storage).name in maps.read_text()


@pytest.mark.parametrize("data", [NOISE, TEXT, b"small"], ids=["mapped", "inflated", "small"])
def test_a_loaded_model_may_be_changed(storage: LocalStorage, store: ObjectStore, data: bytes) -> None:
    """Loaded buffers are the caller's own: writing to them changes neither the file nor what others load."""
    artifact = put(store, parts_of(a=data))
    before = pack_path(storage).read_bytes()
    first, second = store.parts(artifact)["a"], store.parts(artifact)["a"]
    np.frombuffer(first, np.uint8)[:] = 0
    assert before == pack_path(storage).read_bytes()
    assert data == bytes(second)
    assert data == bytes(store.parts(artifact)["a"])
    assert bytes(first) == bytes(len(data))


@pytest.mark.parametrize("data", [NOISE, TEXT, b"small"], ids=["mapped", "inflated", "small"])
@pytest.mark.parametrize("verify", ["always", "changed"])
def test_a_changed_file_is_refused(tmp_path: Path, storage: LocalStorage, data: bytes, verify: str) -> None:
    """One bit that changed is noticed before any part is returned, with size and modification time as they were."""
    memo = Memo(tmp_path / "memo") if verify == "changed" else None
    store = ObjectStore(storage, memo=memo)
    artifact = put(store, parts_of(a=data))
    assert bytes(store.parts(artifact)["a"]) == data
    (name,) = store.live
    frame = next(frame for frame in store.directory(name) if frame.kind is Kind.CHUNK)
    flip(pack_path(storage), frame.offset + frame.stored // 2)
    for reader in (store, ObjectStore(storage, memo=memo)):
        reader.use(store.live)
        with pytest.raises(IntegrityError):
            reader.parts(artifact)


def settled(path: Path) -> None:
    """Wait until a file has been at rest for longer than the memory asks for."""
    while time.time_ns() - path.stat().st_ctime_ns < 200_000_000:
        time.sleep(0.01)


def test_what_was_verified_is_remembered_until_the_file_changes(tmp_path: Path, storage: LocalStorage) -> None:
    """A file at rest is hashed once; after any change it is hashed again, though size and times were set back."""
    artifact = put(ObjectStore(storage), parts_of(a=NOISE))
    path, folder = pack_path(storage), tmp_path / "memo"
    directory = read_directory(storage, path.name.removesuffix(".pack"), path.stat().st_size)

    def verified() -> bool:
        return any(Memo(folder).verified(directory.name, directory.count, path.stat()))

    def load() -> bytes:
        store = ObjectStore(storage, memo=Memo(folder))
        store.use({directory.name: directory.size})
        return bytes(store.parts(artifact)["a"])

    load()
    assert not verified()
    settled(path)
    load()
    assert verified()
    (remembered,) = folder.iterdir()
    good = remembered.read_bytes()
    for bad in (good[:-1], good + b"\x00", good[:30] + b"\x01" + good[31:], b"", bytes(len(good))):
        remembered.write_bytes(bad)
        assert not verified()
    remembered.write_bytes(good)
    remembered.chmod(0o666)
    assert not verified()
    remembered.chmod(0o600)
    assert verified()
    path.chmod(0o666)
    assert not verified()
    path.chmod(0o444)
    remembered.write_bytes(good)
    assert not verified()
    assert load() == NOISE
    frame = next(frame for frame in directory if frame.kind is Kind.CHUNK)
    flip(path, frame.offset)
    with pytest.raises(IntegrityError):
        load()


def test_the_memory_belongs_to_one_file(tmp_path: Path, storage: LocalStorage) -> None:
    """A file that was put in the place of another is not taken for it."""
    artifact = put(ObjectStore(storage), parts_of(a=NOISE))
    path, memo = pack_path(storage), Memo(None)
    size, name = path.stat().st_size, path.name.removesuffix(".pack")
    settled(path)
    store = ObjectStore(storage, memo=memo)
    store.use({name: size})
    store.parts(artifact)
    count = store.directory(name).count
    assert any(memo.verified(name, count, path.stat()))
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert not any(memo.verified(name, count, path.stat()))
    assert not any(memo.verified(name, count, tmp_path.stat()))


@pytest.mark.parametrize("size", [0, 1, 0.5, -1])
def test_a_truncated_pack_is_damage(storage: LocalStorage, store: ObjectStore, size: float) -> None:
    """A pack of another size than was written is refused, with its path."""
    artifact = put(store, parts_of(a=NOISE, b=b"small"))
    path = pack_path(storage)
    data = path.read_bytes()
    overwrite(path, data[: int(size * len(data)) if isinstance(size, float) else size])
    reader = ObjectStore(storage)
    reader.use(store.live)
    with pytest.raises(IntegrityError) as caught:
        reader.parts(artifact)
    assert caught.value.path.endswith(".pack")
    overwrite(path, data + b"\x00")
    with pytest.raises(IntegrityError):
        reader.parts(artifact)


def test_a_missing_pack_is_damage(storage: LocalStorage, store: ObjectStore) -> None:
    """A pack that is gone is named."""
    artifact = put(store, parts_of(a=NOISE))
    storage.delete([f"packs/{next(iter(store.live))}.pack"])
    reader = ObjectStore(storage)
    reader.use(store.live)
    for each in (store, reader):
        with pytest.raises(IntegrityError, match="missing"):
            each.parts(artifact)


def looked_at(store: ObjectStore, name: str, digest: bytes, artifact: Artifact) -> None:
    """Read everything that a pack holds."""
    store.read(digest, Kind.ARTIFACT)
    store.parts(artifact)
    for frame in store.directory(name):
        frame.decoded(store.stored(name, frame) or b"")


def test_every_flipped_bit_is_noticed(storage: LocalStorage, store: ObjectStore) -> None:
    """Any bit of a small pack but those of its header and gaps is noticed by who looks at all of it."""
    artifact = put(store, parts_of(a=b"chunk one", b=b"chunk two, longer" * 60))
    (name,) = store.live
    path = pack_path(storage)
    data = path.read_bytes()
    covered = {at for frame in store.directory(name) for at in range(frame.offset, frame.offset + frame.stored)}
    covered |= set(range(store.directory(name).start, len(data)))
    artifact_digest = digest_of(artifact.to_bytes())
    for place in sorted(covered):
        overwrite(path, data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])
        reader = ObjectStore(storage)
        reader.use({name: len(data)})
        with pytest.raises(IntegrityError):
            looked_at(reader, name, artifact_digest, artifact)


def rebuilt(storage: Storage, **columns: Any) -> Directory:
    """Return the directory of the only pack with some columns replaced, as somebody with bad intentions would."""
    (entry,) = storage.list("packs")
    data = storage.read(f"packs/{entry.name}") or b""
    (length,) = struct.unpack_from("<Q", data, len(data) - TRAILER.size)
    start = len(data) - TRAILER.size - length
    raw = codec.decode(data[start : start + length], "directory")
    return Directory(codec.encode(raw | columns), start)


@pytest.mark.parametrize(
    "columns",
    [
        {"kinds": b"\x07"}, {"codecs": b"\x02"}, {"offsets": struct.pack("<Q", 0)},
        {"offsets": struct.pack("<Q", 1 << 63)},
        {"stored": struct.pack("<Q", 1 << 40)}, {"sizes": struct.pack("<Q", 1 << 40)}, {"sizes": struct.pack("<Q", 3)},
        {"codecs": b"\x01", "sizes": struct.pack("<Q", 1 << 40)}, {"codecs": b"\x01", "sizes": struct.pack("<Q", 1)},
        {"kinds": b"\x01"}, {"count": 2}, {"count": -1}, {"count": "1"}, {"count": 1 << 40}, {"data": 1 << 40},
        {"data": None}, {"digests": b""}, {"checks": b"x"}, {"schema": 2}, {"offsets": [0]},
    ],
    ids=repr,
)  # fmt: skip
def test_directories_that_cannot_be(columns: dict[str, Any]) -> None:
    """A directory whose columns do not fit, or whose entry points out of its section, is refused."""
    storage = open_storage(f"memory://{uuid.uuid4()}/s")
    with ObjectStore(storage).writer() as writer:
        writer.add(*framed(Kind.CHUNK, b"a chunk", compress=False))
        writer.finish()
    assert rebuilt(storage).frame(0).size == 7
    with pytest.raises(IntegrityError):
        rebuilt(storage, **columns).frame(0)


@pytest.mark.parametrize("claimed", [99, 101, 1 << 40, 1 << 62])
def test_a_frame_that_would_inflate_to_another_size(claimed: int) -> None:
    """Memory is taken for the size that the directory states, whatever a compressed frame claims of itself."""
    header = b"\x28\xb5\x2f\xfd\xe0" + claimed.to_bytes(8, "little")
    bomb = header + b"\x01\x00\x00"
    frame = Frame(digest_of(bytes(100)), Kind.NOTE, Codec.ZSTD, 0, len(bomb), 100, digest_of(bomb)[:16])
    with pytest.raises(IntegrityError):
        frame.decoded(bomb)
    with pytest.raises(IntegrityError):
        frame.inflate_into(bomb, memoryview(bytearray(100)))


@pytest.mark.parametrize("kind", [Kind.CHUNK, Kind.NOTE])
def test_frames_check_what_they_decode(kind: Kind) -> None:
    """A frame gives its bytes back, and refuses every other: cut short, changed, or of another frame."""
    for data, compress in ((TEXT[:5000], True), (NOISE[:5000], False)):
        frame, stored = framed(kind, data, compress=compress)
        assert data == bytes(frame.decoded(stored))
        raw = bytes(stored)
        for bad in (raw[:-1], raw + b"\x00", b"", bytes([raw[0] ^ 1]) + raw[1:], raw[:-1] + bytes([raw[-1] ^ 1])):
            with pytest.raises(IntegrityError):
                frame.decoded(bad)
        with pytest.raises(IntegrityError):
            frame._replace(digest=bytes(32)).decoded(stored)
        with pytest.raises(IntegrityError):
            frame._replace(size=frame.size + 1, stored=len(stored)).inflate_into(
                stored, memoryview(bytearray(frame.size + 1))
            )


def test_artifacts_that_do_not_fit_their_chunks(store: ObjectStore) -> None:
    """A part whose chunks add up to another size, or are not chunks, or are nowhere, is refused."""
    artifact = put(store, parts_of(a=b"chunk"))
    (part,) = artifact.parts
    own = digest_of(artifact.to_bytes())
    for wrong in (
        replace(part, size=6),
        replace(part, chunks=digest_of(b"missing")),
        replace(part, chunks=own, size=len(artifact.to_bytes())),
        replace(part, chunks=part.chunks * 2),
    ):
        with pytest.raises(IntegrityError):
            store.parts(replace(artifact, parts=(wrong,)))


def test_crowds_are_merged_by_size(store: ObjectStore) -> None:
    """Sixteen packs of one size class are a crowd; a few, or big ones, are left alone."""
    store.use({f"{number:064x}": 5000 for number in range(15)})
    assert store.crowded() == []
    store.use({f"{number:064x}": 5000 for number in range(16)} | {"f" * 64: 1 << 21})
    assert len(store.crowded()) == 16
    store.use({f"{number:064x}": 64 << 20 for number in range(40)})
    assert store.crowded() == []


def test_a_lost_reply_to_a_pack_is_no_failure(storage: LocalStorage) -> None:
    """A pack that is there with the right size was written, though the store said that it exists."""

    class Deaf:
        """A spool that publishes and then says that it did not."""

        def __init__(self, folder: str) -> None:
            self.inner = storage.spool(folder)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def __exit__(self, *exc: object) -> None:
            self.inner.__exit__(None, None, None)

        def publish(self, name: str) -> bool:
            return not self.inner.publish(name)

    class Wrapped:
        """A storage with such spools."""

        root, url = None, "wrapped"

        def __getattr__(self, name: str) -> Any:
            return getattr(storage, name)

        def spool(self, folder: str) -> Deaf:
            return Deaf(folder)

    store = ObjectStore(Wrapped())
    artifact = put(store, parts_of(a=b"x"))
    assert bytes(store.parts(artifact)["a"]) == b"x"
