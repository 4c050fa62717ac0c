"""The laws of everything that is hashed: one value, one spelling; damage is refused or changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from friday_store import codec
from friday_store.digest import digest_of
from friday_store.errors import FridayStoreError, IntegrityError
from friday_store.index import mirror
from friday_store.log import LogEntry, State
from friday_store.manifest import Artifact, Manifest, Note, PartEntry
from friday_store.testing import model_names, plain_values, versions

maps = st.dictionaries(st.text(max_size=6), plain_values(), max_size=5)
digests = st.binary(min_size=32, max_size=32)
times = st.integers(-62_135_596_800 * 10**6, 253_402_300_799 * 10**6)
words = st.text(max_size=8)
numbers = st.integers(-(1 << 40), 1 << 40) | st.floats(allow_nan=False)
metrics = st.dictionaries(words, numbers, max_size=3)
parts = st.builds(
    lambda name, digests, whole: PartEntry(name, len(digests) * 7, b"".join(digests), whole),
    words,
    st.lists(digests, max_size=3),
    st.none() | digests,
)
artifacts = st.builds(
    Artifact, words, st.integers(0, 9), st.lists(parts, max_size=3, unique_by=lambda part: part.name).map(tuple)
)
manifests = st.builds(
    Manifest,
    name=model_names(),
    version=versions(),
    artifact=digests,
    serializer=words,
    size=st.integers(0, (1 << 63) - 1),
    parents=st.lists(digests, max_size=3).map(tuple),
    time=times,
    author=words,
    description=words,
    type=words,
    tags=st.lists(words, max_size=3).map(tuple),
    facts=st.builds(lambda facts, found: facts | {"metrics": found}, maps, metrics),
    signatures=st.lists(maps, max_size=2).map(tuple),
)
notes = st.one_of(
    st.builds(Note, digests, st.sampled_from(["status", "approval", ""]), maps, words, times),
    st.builds(
        Note,
        digests,
        st.just("metrics"),
        st.builds(lambda found, step: {"metrics": found, "step": step}, metrics, st.none() | st.integers(-9, 9)),
        words,
        times,
    ),
    st.builds(Note, digests, st.just("metadata"), st.builds(lambda found: {"changes": found}, maps), words, times),
)
values = artifacts | manifests | notes
packs = st.lists(st.tuples(digests.map(bytes.hex), st.integers(0, 1 << 40)), max_size=3, unique_by=lambda pack: pack[0])
entries = st.builds(
    LogEntry,
    seq=st.integers(1, 1 << 30),
    prev=digests,
    id=st.binary(min_size=16, max_size=16),
    time=st.integers(0, 1 << 60),
    actor=words,
    message=words,
    packs_added=packs.map(tuple),
    packs_removed=packs.map(lambda found: tuple(name for name, _ in found)),
    refs=st.lists(st.tuples(words, st.none() | digests, st.none() | digests), max_size=3).map(tuple),
    origin=words,
)


@given(maps)
def test_what_is_encoded_is_decoded(value: dict[str, Any]) -> None:
    """``decode(encode(x)) == x``, whatever order the keys were in."""
    value = value | {"kind": "x"}
    data = codec.encode(value)
    assert value == codec.decode(data, "x")
    assert data == codec.encode(dict(reversed(value.items())))


def loose() -> st.SearchStrategy[Any]:
    """Return values as any MessagePack writer might send them."""
    scalars = st.none() | st.booleans() | st.integers(-9, 300) | st.floats(width=32) | words | st.binary(max_size=4)
    return st.recursive(
        scalars
        | st.builds(msgpack.Timestamp, st.integers(0, 9))
        | st.builds(msgpack.ExtType, st.integers(0, 9), st.binary(max_size=3)),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(words | st.binary(max_size=2) | st.integers(-9, 9), inner, max_size=3)
        ),
        max_leaves=6,
    )


@given(st.dictionaries(words, loose(), max_size=4), st.booleans())
def test_what_is_accepted_has_one_spelling(value: dict[str, Any], single: bool) -> None:
    """``encode(decode(b)) == b`` for every ``b`` that is accepted, and what is accepted is plain data."""
    data = msgpack.packb(value | {"kind": "x"}, use_single_float=single)
    try:
        found = codec.decode(data, "x")
    except IntegrityError:
        return
    assert data == codec.encode(found)
    codec.normalise(found, "x")


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> tuple[bytes, bytes]:
    """Draw some bytes, and the same after a few changes."""
    data = draw(whole)
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(changed) - 1, 0)))
        kind = draw(st.sampled_from(["set", "insert", "remove", "cut", "repeat"]))
        if kind == "set" and changed:
            changed[place] = draw(st.integers(0, 255))
        elif kind == "insert":
            changed.insert(place, draw(st.integers(0, 255)))
        elif kind == "remove":
            del changed[place : place + draw(st.integers(1, 9))]
        elif kind == "cut":
            del changed[place:]
        else:
            changed[place:place] = changed[place : place + draw(st.integers(1, 9))]
    return data, bytes(changed)


@given(damaged(maps.map(lambda value: codec.encode(value | {"kind": "x"}))))
def test_changed_bytes_are_refused_or_another_value(pair: tuple[bytes, bytes]) -> None:
    """Changed bytes are refused, or are the only spelling of something else; nothing reads as what it was."""
    data, changed = pair
    try:
        found = codec.decode(changed, "x")
    except IntegrityError:
        return
    assert changed == codec.encode(found)
    assert (changed == data) == (codec.encode(codec.decode(data, "x")) == codec.encode(found))


@given(values)
def test_values_round_trip(value: Artifact | Manifest | Note) -> None:
    """Artifact, manifest and note come back from their bytes, and their bytes from them."""
    data = value.to_bytes()
    found = type(value).from_bytes(data)
    assert value == found
    assert data == found.to_bytes()
    assert hash(value) == hash(found)


@given(values, st.dictionaries(st.text(min_size=1, max_size=4).map("x-{}".format), plain_values(), max_size=3))
def test_unknown_keys_survive(value: Artifact | Manifest | Note, extra: dict[str, Any]) -> None:
    """What a later release adds is kept, and changes nothing that this one reads."""
    later = replace(value, extra=extra)
    found = type(value).from_bytes(later.to_bytes())
    assert extra == found.extra
    assert later.to_bytes() == found.to_bytes()
    assert value == replace(found, extra={})
    if isinstance(value, Manifest):
        around = Manifest.from_bytes(replace(value, around=extra).to_bytes())
        assert extra == around.around
        assert value.payload() == around.payload()


@given(damaged(values.map(lambda value: value.to_bytes())))
def test_damaged_values_raise_one_error(pair: tuple[bytes, bytes]) -> None:
    """Whatever bytes are read as a value, they are one, to the bit, that the index can hold, or IntegrityError."""
    _, changed = pair
    for kind in (Artifact, Manifest, Note):
        try:
            found = kind.from_bytes(changed)
        except IntegrityError:
            continue
        assert changed == found.to_bytes()
        if isinstance(found, Manifest):
            folded = mirror.fold(found, [])
            mirror.row(1, bytes(32), "", found, folded)
            mirror.metric_rows(1, folded)
        elif isinstance(found, Note):
            mirror.fold(Manifest("m", "1.0.0", bytes(32), "json", 1, (), 0, ""), [(bytes(32), found)])


@given(manifests, st.lists(st.tuples(digests, notes), max_size=5, unique_by=lambda item: item[0]), st.randoms())
def test_folding_does_not_depend_on_the_order(manifest: Manifest, given_notes: list[Any], source: Any) -> None:
    """Notes that come in another order give the same state, and the state fits its columns."""
    shuffled = list(given_notes)
    source.shuffle(shuffled)
    folded = mirror.fold(manifest, given_notes)
    assert folded == mirror.fold(manifest, shuffled)
    assert folded.details == mirror.loaded(mirror.dumped(folded.details))
    assert mirror.row(1, bytes(32), "", manifest, folded)[-1] == mirror.dumped(folded.details)
    assert all(
        value is None or math.isfinite(value) or math.isinf(value) for *_, value, _, _ in mirror.metric_rows(1, folded)
    )


@given(maps)
@example({"$float": "nan"})
@example({"a": {"$bytes": "AA=="}})
def test_details_survive_their_column(details: dict[str, Any]) -> None:
    """Facts come back from the database as they were, whatever their keys."""
    assert details == mirror.loaded(mirror.dumped(details))


@given(entries)
def test_entries_round_trip(entry: LogEntry) -> None:
    """A log entry comes back from its bytes, and its bytes from it."""
    found = LogEntry.from_bytes(entry.to_bytes())
    assert entry == found
    assert entry.to_bytes() == found.to_bytes()
    assert digest_of(entry.to_bytes()) == found.digest


@given(damaged(entries.map(LogEntry.to_bytes)))
def test_damaged_entries_raise_one_error(pair: tuple[bytes, bytes]) -> None:
    """Whatever bytes are read as an entry, they are one, to the bit, or IntegrityError."""
    try:
        found = LogEntry.from_bytes(pair[1])
    except IntegrityError:
        return
    assert pair[1] == found.to_bytes()


@given(
    st.dictionaries(words, st.tuples(digests, st.integers(0, 1 << 60), words), max_size=5),
    st.dictionaries(digests.map(bytes.hex), st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 60)), max_size=5),
    st.integers(0, 1 << 40),
)
def test_states_round_trip(refs: dict[str, Any], packs: dict[str, Any], seq: int) -> None:
    """A state comes back from a checkpoint's bytes, and equal states have equal bytes."""
    state = State(seq, bytes(32), 5, refs, packs)
    found = State.from_bytes(state.to_bytes())
    assert state == found
    assert list(state.packs) == list(found.packs)
    assert state.to_bytes() == State(seq, bytes(32), 5, dict(reversed(refs.items())), packs).to_bytes()


user_values = st.recursive(
    plain_values(leaves=3)
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.uuids()
    | st.sets(st.integers())
    | st.floats(allow_nan=True),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(words | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(user_values)
def test_normalising_once_is_enough(value: Any) -> None:
    """What is normalised is plain data that can be encoded, and normalising it again changes nothing."""
    try:
        once = codec.normalise({"v": value}, "m")
    except FridayStoreError:
        return
    assert repr(once) == repr(codec.normalise(once, "m"))
    assert isinstance(once, dict)
    assert repr(codec.decode(codec.encode({**once, "kind": "x"}), "x")["v"]) == repr(sorted_keys(once["v"]))


def sorted_keys(value: Any) -> Any:
    """Return a value with the keys of its maps sorted, as they are read back."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(item) for item in value] if isinstance(value, list) else value


@given(st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=1), max_leaves=70))
def test_depth_is_bounded(value: Any) -> None:
    """What is nested too deeply to store is refused when it is given, never when it is read."""
    found = codec.normalise({"v": value}, "m")
    assert isinstance(found, dict)
    assert {**found, "kind": "x"} == codec.decode(codec.encode({**found, "kind": "x"}), "x")


def test_too_deep() -> None:
    """Sixty-four levels are the most."""
    value: Any = None
    for _ in range(70):
        value = [value]
    with pytest.raises(FridayStoreError):
        codec.normalise(value, "m")
