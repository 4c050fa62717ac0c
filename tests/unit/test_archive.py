"""What archives of stored members promise: no byte is copied or inflated, and nobody's reader is surprised."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from friday_store import archive
from friday_store.errors import SerializationError

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\\/"), min_size=1, max_size=20)


def made(members: dict[str, bytes]) -> bytes:
    """Return an archive's bytes."""
    return b"".join(archive.written(members))


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=5))
def test_round_trip(members: dict[str, bytes]) -> None:
    """Members come back in order, as Python's own reader finds them too; equal ones give equal bytes."""
    data = made(members)
    found = archive.members(memoryview(data))
    assert list(members.items()) == [(name, bytes(member)) for name, member in found.items()]
    with zipfile.ZipFile(io.BytesIO(data)) as theirs:
        assert theirs.testzip() is None
        assert list(members) == theirs.namelist()
        assert all(not info.flag_bits & 8 for info in theirs.infolist())  # sizes stand in front, for streaming readers
    assert data == made(dict(members))


def test_bytes_stay_where_they_are() -> None:
    """A big member is neither copied when it is written nor when it is read."""
    big = memoryview(bytearray(1 << 20))
    assert any(np.shares_memory(np.asarray(block), np.asarray(big)) for block in archive.written({"big": big}))
    data = memoryview(bytearray(made({"small": b"x", "big": bytes(big)})))
    assert np.shares_memory(np.asarray(archive.members(data)["big"]), np.asarray(data))


def test_folders_are_left_out() -> None:
    """What other programs write for a folder is no member."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as theirs:
        theirs.writestr("folder/", b"")
        theirs.writestr("folder/x", b"1")
    assert {"folder/x": b"1"} == {name: bytes(data) for name, data in archive.members(target.getbuffer()).items()}


def test_what_could_grow_is_refused() -> None:
    """A compressed member is not inflated to see what is in it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as theirs:
        theirs.writestr("bomb", bytes(1 << 20))
    with pytest.raises(SerializationError, match="'bomb' is compressed"):
        archive.members(target.getbuffer())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_of_one_name_are_refused() -> None:
    """No reader can know which one is meant."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as theirs:
        theirs.writestr("x", b"1")
        theirs.writestr("x", b"2")
    with pytest.raises(SerializationError, match="two members"):
        archive.members(target.getbuffer())


def test_every_damage_is_one_kind_of_error() -> None:
    """Cut anywhere, or with any one byte changed, the file gives its members as they were or is refused."""
    members = {"a": b"one", "b/c": bytes(range(100))}
    whole = made(members)
    damaged = [whole[:end] for end in range(len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(len(whole))]
    for data in damaged:
        try:
            found = archive.members(memoryview(data))
        except SerializationError:
            continue
        assert {bytes(member) for member in found.values()} <= set(members.values())


def test_a_checksum_that_says_nothing_can_be_passed_over() -> None:
    """PyTorch can be told to write none; what is cut short is refused all the same."""
    data = bytearray(made({"a": b"one"}))
    at = data.index(b"one")
    data[at : at + 3] = b"two"
    assert b"two" == bytes(archive.members(memoryview(data), checked=False)["a"])
    with pytest.raises(SerializationError, match="damaged"):
        archive.members(memoryview(data))
    with pytest.raises(SerializationError):
        archive.members(memoryview(data)[:-1], checked=False)
