"""The laws of packs: what is put in comes out, wherever the pack is, whatever else is in it."""

from __future__ import annotations

import contextlib
import tempfile
import uuid

from hypothesis import given
from hypothesis import strategies as st

from friday_store.digest import digest_of
from friday_store.errors import FridayStoreError, IntegrityError, ModelNotFoundError
from friday_store.hookspecs import Part
from friday_store.manifest import Artifact
from friday_store.objects import Kind, ObjectStore
from friday_store.objects.chunking import framed
from friday_store.objects.pack import BIG, BLOCK, Codec, Frame
from friday_store.storage import open_storage

sizes = st.sampled_from(
    [0, 1, 63, 64, 65, 511, 512, BIG - 1, BIG, BIG + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 17]
)


@st.composite
def blobs(draw: st.DrawFn) -> bytes:
    """Draw bytes of a telling size: noise, repetition, or a mixture of both."""
    size, seed = draw(sizes), draw(st.integers(0, 5))
    noise = b"".join(
        digest_of(bytes([seed, number % 256, number // 256])) for number in range(min(size, BIG) // 32 + 1)
    )
    kind = draw(st.sampled_from(["noise", "zeros", "mixed"]))
    data = {"noise": noise * (size // len(noise) + 1), "zeros": bytes(size), "mixed": noise[: size // 3] + bytes(size)}
    return data[kind][:size]


models = st.dictionaries(st.text(max_size=6), st.tuples(blobs(), st.booleans()), max_size=4)


@given(st.lists(models, min_size=1, max_size=3), st.sampled_from(["auto", "none"]), st.booleans())
def test_models_round_trip(given_models: list[dict[str, tuple[bytes, bool]]], compression: str, local: bool) -> None:
    """Every model of a store comes back, from the writer and from a new reader, and nothing is stored twice."""
    with tempfile.TemporaryDirectory() as folder:
        url = folder if local else f"memory://{uuid.uuid4()}"
        store = ObjectStore(open_storage(url), compression=compression)  # type: ignore[arg-type]
        artifacts: list[Artifact] = []
        for model in given_models:
            with store.batch() as batch:
                parts = [Part(name, data, opaque=opaque) for name, (data, opaque) in model.items()]
                digest, artifact = batch.put_model("test", 1, parts)
                directory = batch.finish()
            if directory is not None:
                store.add(directory)
            artifacts.append(artifact)
            assert artifact == Artifact.from_bytes(bytes(store.read(digest, Kind.ARTIFACT)))
        reader = ObjectStore(open_storage(url))
        reader.use(store.live)
        for each in (store, reader):
            for artifact, model in zip(artifacts, given_models, strict=True):
                found = {name: bytes(data) for name, data in each.parts(artifact).items()}
                assert {name: data for name, (data, _) in model.items()} == found
        stored = [frame.digest for name in store.live for frame in store.directory(name)]
        assert len(stored) == len(set(stored))


@given(st.dictionaries(st.binary(max_size=40), st.sampled_from([Kind.NOTE, Kind.ENVELOPE, Kind.ARTIFACT]), max_size=30))
def test_lookups(objects: dict[bytes, Kind]) -> None:
    """Objects are found by digest and by prefix, and what is not there is not found."""
    store = ObjectStore(open_storage(f"memory://{uuid.uuid4()}"))
    with store.batch() as batch:
        digests = {batch.put(kind, data): (kind, data) for data, kind in objects.items()}
        directory = batch.finish()
    assert (directory is None) == (not objects)
    if directory is not None:
        store.add(directory)
        assert sorted(digests) == [directory.digest(place) for place in range(len(directory))]
        starts = [frame.offset for frame in directory]
        assert starts == sorted(starts)
    for digest, (kind, data) in digests.items():
        assert data == bytes(store.read(digest, kind))
        assert digest.hex() in store.prefixed(digest.hex()[:8], kind)
        near = digest[:-1] + bytes([digest[-1] ^ 1])
        assert near not in store
        try:
            store.read(near, kind)
        except ModelNotFoundError:
            continue
        raise AssertionError("found what was never put")


@given(blobs(), st.booleans(), st.integers(0, 10**9), st.integers(1, 255))
def test_frames_notice_damage(data: bytes, compress: bool, place: int, change: int) -> None:
    """An object decodes to what it was; a changed byte is refused, or was one that decoding does not look at."""
    frame, stored = framed(Kind.CHUNK, data, compress=compress)
    assert data == bytes(frame.decoded(stored))
    changed = bytearray(stored)
    if changed:
        changed[place % len(changed)] ^= change
        try:
            found = bytes(frame.decoded(bytes(changed)))
        except IntegrityError:
            return
        raise AssertionError(f"a changed byte was believed: {found[:20]!r}")


@given(st.binary(max_size=200), st.integers(0, 500), st.binary(min_size=16, max_size=16))
def test_foreign_frames_raise_one_error(stored: bytes, size: int, check: bytes) -> None:
    """Bytes that claim to be compressed are decoded or refused, and write no further than they may."""
    frame = Frame(digest_of(stored), Kind.NOTE, Codec.ZSTD, 0, len(stored), size, digest_of(stored)[:16])
    for each in (frame, frame._replace(check=check)):
        try:
            each.decoded(stored)
        except FridayStoreError:
            continue
        raise AssertionError("foreign bytes were believed")
    target = bytearray(size + 8)
    with contextlib.suppress(IntegrityError):
        frame.inflate_into(stored, memoryview(target)[:size])
    assert target[size:] == bytes(8)
