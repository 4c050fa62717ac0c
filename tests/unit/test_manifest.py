"""What artifact, manifest and note promise: their bytes are the format, and nothing impossible is believed."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from friday_store import codec
from friday_store.digest import digest_of
from friday_store.errors import IntegrityError, InvalidNameError, InvalidValueError
from friday_store.manifest import Artifact, Manifest, Note, PartEntry

ONE, TWO = digest_of(b"one"), digest_of(b"two")
ARTIFACT = Artifact(
    "pickle5", 1, (PartEntry("pickle", 10, ONE), PartEntry("buffer/0", 2 << 20, ONE + TWO), PartEntry("none", 0, b""))
)
MANIFEST = Manifest(
    name="AAPL/1d",
    version="1.4.0-rc.1",
    artifact=ONE,
    serializer="pickle5",
    size=10,
    parents=(TWO,),
    time=1_777_000_000_000_000,
    author="ann@desk",
    description="Ångström",
    type="Ridge",
    tags=("AAPL", "1d"),
    facts={"metrics": {"rmse": 0.5, "n": 3}, "metadata": {"a": [1, None, b"\x00"]}},
)
NOTE = Note(ONE, "metrics", {"metrics": {"rmse": 0.25}, "step": 3, "time": 5}, "bob", 7)
VALUES = (ARTIFACT, MANIFEST, NOTE, replace(ARTIFACT, parts=()), replace(MANIFEST, facts={}, parents=(), tags=()))


def changed(value: Artifact | Manifest | Note, **fields: Any) -> bytes:
    """Return the bytes of a value with some fields replaced, or left out where the new one is ``...``."""
    if isinstance(value, Manifest):
        payload = codec.decode(value.payload(), "manifest") | fields
        whole = codec.decode(value.to_bytes(), "envelope")
        return codec.encode(whole | {"payload": codec.encode(given(payload))})
    return codec.encode(given(codec.decode(value.to_bytes(), value.KIND) | fields))


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are not left out."""
    return {name: value for name, value in fields.items() if value is not ...}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_round_trip(value: Artifact | Manifest | Note) -> None:
    """A value comes back from its bytes, and its bytes from it, from any buffer."""
    data = value.to_bytes()
    assert value == type(value).from_bytes(data)
    assert value == type(value).from_bytes(memoryview(data))
    assert data == type(value).from_bytes(data).to_bytes()


def test_the_bytes_of_a_note() -> None:
    """The format is pinned: these bytes must be read and written for ever."""
    note = Note(bytes(32), "status", {"status": "staging"}, "bob", 7)
    expected = codec.encode(
        {
            "about": bytes(32),
            "author": "bob",
            "body": {"status": "staging"},
            "kind": "note",
            "schema": 1,
            "time": 7,
            "type": "status",
        }
    )
    assert expected == note.to_bytes()
    assert digest_of(note.to_bytes()).hex() == "55a189bba437298fd768f74c32f8dcce4fe4dad172fcb302c59be14e5fa377b5"


def test_the_bytes_of_an_artifact_and_a_manifest() -> None:
    """The format is pinned: the digests of these values must stay what they are for ever."""
    assert digest_of(ARTIFACT.to_bytes()).hex() == "cf21d8eeb19e13d56f301953d289372125222a8dd7c610b932dc4a5c33d8ab85"
    assert digest_of(MANIFEST.to_bytes()).hex() == "685576081adfae013f08786aa2d3a02c9cdac9e6daf15c570a3905f51f3d1952"


def test_the_artifact_knows_nothing_of_the_version() -> None:
    """Equal parts are one artifact whatever is said about them, so its digest is the model's."""
    assert ARTIFACT.to_bytes() == replace(ARTIFACT, extra={}).to_bytes()
    assert ARTIFACT.size == 10 + (2 << 20)
    assert list(ARTIFACT.parts[1]) == [ONE, TWO]
    assert "name" not in codec.decode(ARTIFACT.to_bytes(), "artifact")


def test_values_are_frozen() -> None:
    """Nobody changes a value that has been hashed."""
    for value in VALUES:
        with pytest.raises(FrozenInstanceError):
            value.extra = {}  # type: ignore[misc]


@pytest.mark.parametrize("value", [ARTIFACT, MANIFEST, NOTE], ids=lambda value: type(value).__name__)
def test_unknown_keys_are_kept(value: Artifact | Manifest | Note) -> None:
    """What a newer release wrote is read, and written back as it was."""
    data = changed(value, zz_new={"a": [1, 2]}, aa_new=None)
    found = type(value).from_bytes(data)
    assert found.extra == {"zz_new": {"a": [1, 2]}, "aa_new": None}
    assert data == found.to_bytes()


def test_what_stands_around_a_manifest_is_kept() -> None:
    """Signatures and unknown keys of the envelope survive; the payload that is signed stays the same."""
    whole = codec.decode(MANIFEST.to_bytes(), "envelope")
    data = codec.encode(whole | {"signatures": [{"keyid": "k", "sig": b"s"}], "later": 1})
    found = Manifest.from_bytes(data)
    assert found.signatures == ({"keyid": "k", "sig": b"s"},)
    assert data == found.to_bytes()
    assert MANIFEST.payload() == found.payload()


@pytest.mark.parametrize("value", [ARTIFACT, MANIFEST, NOTE], ids=lambda value: type(value).__name__)
def test_every_field_is_needed_and_has_its_type(value: Artifact | Manifest | Note) -> None:
    """A field that is missing, nil or of another type is refused."""
    names = codec.decode(value.payload() if isinstance(value, Manifest) else value.to_bytes(), _kind(value))
    for name in names:
        for wrong in (..., None, 1.5, {"a": 1} if name not in ("body", "facts") else 1):
            with pytest.raises(IntegrityError):
                type(value).from_bytes(changed(value, **{name: wrong}))


def _kind(value: Artifact | Manifest | Note) -> str:
    return "manifest" if isinstance(value, Manifest) else value.KIND


@pytest.mark.parametrize(
    "part",
    [
        {"name": "p", "size": 1, "chunks": b""},
        {"name": "p", "size": 0, "chunks": ONE},
        {"name": "p", "size": -1, "chunks": ONE},
        {"name": "p", "size": 1, "chunks": ONE[:-1]},
        {"name": "p", "size": 1, "chunks": ONE, "digest": b"short"},
        {"name": "p", "size": 1, "chunks": ONE, "digest": None},
        {"name": "p", "size": 1, "chunks": ONE, "more": 1},
        {"name": "p", "size": True, "chunks": ONE},
        {"name": b"p", "size": 1, "chunks": ONE},
        {"size": 1, "chunks": ONE},
        ["p", 1, ONE],
        None,
    ],
    ids=repr,
)
def test_parts_that_do_not_add_up(part: Any) -> None:
    """A part whose size, chunks or digest cannot be is refused."""
    with pytest.raises(IntegrityError):
        Artifact.from_bytes(changed(ARTIFACT, parts=[part]))


def test_a_part_is_named_once() -> None:
    """Two parts of one name are refused: nobody could say which is meant."""
    part = {"name": "p", "size": 1, "chunks": ONE}
    with pytest.raises(IntegrityError, match="twice"):
        Artifact.from_bytes(changed(ARTIFACT, parts=[part, part]))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../../evil"}, {"name": ""}, {"version": "1.0"}, {"version": "1.0.0\n"}, {"artifact": ONE[:-1]},
        {"parents": [ONE, b""]}, {"parents": ["x"]}, {"tags": [1]}, {"size": -1}, {"size": 1 << 63}, {"time": 1 << 63},
        {"time": -(1 << 62)}, {"facts": {"metrics": [1]}}, {"facts": {"metrics": {"a": "x"}}}, {"schema": 2},
        {"facts": {"metrics": {"a": True}}}, {"facts": {"metrics": None}}, {"kind": "note"},
    ],
    ids=repr,
)  # fmt: skip
def test_manifests_that_cannot_be(fields: dict[str, Any]) -> None:
    """A manifest that no index could hold is damage, whoever made it."""
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(changed(MANIFEST, **fields))


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": {"a": "x"}}, {"metrics": {"a": None}}, {"metrics": 1}, {"metrics": {}, "step": 1.5},
        {"metrics": {}, "step": "x"}, {"metrics": {}, "step": 1 << 63}, {"metrics": {}, "time": "x"},
        {"metrics": {}, "time": 1 << 63},
    ],
    ids=repr,
)  # fmt: skip
def test_observations_that_cannot_be(body: dict[str, Any]) -> None:
    """A note about metrics has numbers by name, a step and a time that can be."""
    with pytest.raises(IntegrityError):
        Note.from_bytes(changed(NOTE, body=body))


def test_notes_of_unknown_types_are_kept() -> None:
    """A type that a later release made up is no damage."""
    note = Note(ONE, "approval", {"metrics": "anything"}, "bob", 7)
    assert note == Note.from_bytes(note.to_bytes())
    with pytest.raises(IntegrityError):
        Note.from_bytes(changed(replace(NOTE, type="metadata", body={}), body={"changes": [1]}))


def test_what_could_not_be_read_cannot_be_made() -> None:
    """An impossible value is refused where it is made, before anything is written."""
    impossible: list[dict[str, Any]] = [{"size": -1}, {"time": 1 << 63}, {"facts": {"metrics": {"a": "b"}}}]
    for fields in impossible:
        with pytest.raises(InvalidValueError):
            replace(MANIFEST, **fields)
    with pytest.raises(InvalidNameError):
        replace(MANIFEST, name="a b")
    with pytest.raises(InvalidValueError, match="step"):
        replace(NOTE, body={"metrics": {}, "step": "x"})


def test_odd_numbers_are_numbers() -> None:
    """NaN and infinity are kept in metrics."""
    facts = {"metrics": {"nan": math.nan, "inf": math.inf}}
    found = Manifest.from_bytes(replace(MANIFEST, facts=facts).to_bytes()).facts["metrics"]
    assert math.isnan(found["nan"])
    assert found["inf"] == math.inf
