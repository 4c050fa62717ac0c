"""What digests promise: one algorithm, one spelling."""

from __future__ import annotations

import pytest

from friday_store import digest
from friday_store.errors import InvalidNameError

# The first lines of BLAKE3's own test vectors: the hash of bytes 0, 1, 2 … 250, 0, 1 … of some lengths.
VECTORS = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
}


@pytest.mark.parametrize("length", VECTORS)
def test_is_blake3(length: int) -> None:
    """The digest is BLAKE3's, as its authors publish it, of any buffer."""
    data = bytes(number % 251 for number in range(length))
    for buffer in (data, bytearray(data), memoryview(data)):
        assert VECTORS[length] == digest.digest_of(buffer).hex()


def test_of_blocks_is_of_the_whole() -> None:
    """Where the blocks are cut does not matter."""
    assert digest.digest_of(b"one two three") == digest.digest_all([b"one ", memoryview(b"two"), b"", b" three"])


def test_hex_round_trip() -> None:
    """A digest comes back from its text."""
    found = digest.digest_of(b"x")
    assert found == digest.from_hex(found.hex())
    assert digest.short(found.hex()) == found.hex()[:12]


@pytest.mark.parametrize(
    "text",
    [
        "", "abc", "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "A" * 64,
        "blake3:" + "a" * 57, "sha256:" + "a" * 64, "a" * 63, "a" * 65, "g" * 64, " " + "a" * 63, "a" * 63 + "\n",
        "٣" * 64, "a" * 100_000,
    ],
)  # fmt: skip
def test_refuses_every_other_spelling(text: str) -> None:
    """MD5, SHA-1, short, upper-case, prefixed, unknown and empty ids are refused, and the message stays short."""
    with pytest.raises(InvalidNameError) as caught:
        digest.from_hex(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a" * 7, False), ("a" * 8, True), ("0123456789abcdef", True), ("a" * 64, True), ("a" * 65, False)]
    + [(text, False) for text in ("", "A" * 8, "g" * 8, "٣" * 8, "aaaa aaaa", "aaaaaaa\n")],
)
def test_prefixes_have_eight_to_sixty_four_hex_characters(text: str, expected: bool) -> None:
    """Anything shorter than eight is never read as a digest."""
    assert expected is digest.is_prefix(text)
