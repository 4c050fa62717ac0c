"""What signatures promise: whose they are, over exactly these bytes, of exactly this kind, and nothing more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey
from securesystemslib.signer._signature import Signature

from friday_store import codec, signing
from friday_store.errors import InvalidValueError
from friday_store.manifest import Manifest
from friday_store.signing import APPROVAL, MANIFEST, PrivateKey, fingerprint, pae, parsed, signers, written
from friday_store.trust import Identity

KEY = PrivateKey(bytes(range(32)))
OTHER = PrivateKey(bytes(32))


def test_what_is_signed_is_dsse() -> None:
    """The encoding is that of DSSE's protocol page, whose example this is."""
    assert b"DSSEv1 29 http://example.com/HelloWorld 11 hello world" == pae(
        "http://example.com/HelloWorld", b"hello world"
    )


def test_a_known_key() -> None:
    """The key and the signature of RFC 8032's first test are what they should be: an empty message, signed as such."""
    key = PrivateKey(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" == key.public.hex()


@given(payload=st.binary(max_size=200))
def test_signing_is_deterministic_and_verifies(payload: bytes) -> None:
    """Equal payloads get equal signatures, so that a version has one id; each names its key."""
    signature = KEY.sign(MANIFEST, payload)
    assert signature == KEY.sign(MANIFEST, payload)
    assert frozenset((KEY.public,)) == signers(MANIFEST, payload, [signature])


def test_every_changed_byte_is_seen() -> None:
    """S16: whichever byte of a manifest's payload or of its signature is flipped, the signature counts for nothing."""
    manifest = Manifest("m", "1.0.0", bytes(32), "pickle5", 7, (), 1, "me", facts={"metrics": {"a": 0.5}})
    payload = manifest.payload()
    signature = KEY.sign(MANIFEST, payload)
    for place in range(len(payload)):
        changed = bytearray(payload)
        changed[place] ^= 1
        assert not signers(MANIFEST, bytes(changed), [signature])
    for name in ("keyid", "sig"):
        for place in range(len(signature[name])):
            changed = bytearray(signature[name])
            changed[place] ^= 1
            assert not signers(MANIFEST, payload, [{**signature, name: bytes(changed)}])


def test_a_signature_is_of_one_kind() -> None:
    """S16: an approval's signature is none on a manifest, nor the other way round."""
    signature = KEY.sign(MANIFEST, b"payload")
    assert not signers(APPROVAL, b"payload", [signature])
    assert not signers(MANIFEST, b"payload", [KEY.sign(APPROVAL, b"payload")])


JUNK: list[list[Any]] = [
    [None], [1], ["text"], [{}], [[]], [{"keyid": KEY.public}], [{"sig": bytes(64)}],
    [{"keyid": "a" * 32, "sig": bytes(64)}], [{"keyid": KEY.public, "sig": bytes(63)}],
    [{"keyid": bytes(31), "sig": bytes(64)}], [{"keyid": bytes(32), "sig": bytes(64)}],
    [{"keyid": b"\xff" * 32, "sig": b"\xff" * 64}],
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_what_is_no_signature_counts_for_nothing(junk: list[Any]) -> None:
    """Malformed signatures are passed over, and one that is valid beside them still counts."""
    assert not signers(MANIFEST, b"payload", junk)
    assert frozenset((KEY.public,)) == signers(MANIFEST, b"payload", [*junk, KEY.sign(MANIFEST, b"payload")])


def test_many_signatures_take_no_time() -> None:
    """Only the first sixteen are looked at; the same key twice is one key."""
    good = KEY.sign(MANIFEST, b"payload")
    assert not signers(MANIFEST, b"payload", [OTHER.sign(MANIFEST, b"another")] * 16 + [good])
    assert frozenset((KEY.public,)) == signers(MANIFEST, b"payload", [good] * 5)


@given(seed=st.binary(min_size=32, max_size=32), name=st.text("abc @-", max_size=20))
def test_keys_are_written_as_ssh_writes_them(seed: bytes, name: str) -> None:
    """What is written is read back, with or without the algorithm before it and the name behind it."""
    public = PrivateKey(seed).public
    line = written(public, name)
    assert (public, " ".join(name.split())) == parsed(line)
    assert (public, "") == parsed(line.split()[1])


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_ssh_shows_the_same_fingerprint(tmp_path: Path) -> None:
    """``ssh-keygen -lf`` shows what is shown here."""
    (tmp_path / "key.pub").write_text(written(KEY.public, "me@here") + "\n")
    shown = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True)
    assert f"256 {fingerprint(KEY.public)} me@here (ED25519)" == shown.stdout.strip()


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519", "ssh-rsa AAAA", "AAAA", "!", written(KEY.public)[:-4], "SHA256:abc"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """Only a whole Ed25519 public key is one."""
    with pytest.raises(InvalidValueError, match="no Ed25519 public key"):
        parsed(text)


def test_a_private_key_is_not_shown() -> None:
    """The seed stands in no representation."""
    assert KEY.seed.hex() not in repr(KEY)
    assert repr(KEY) == f"PrivateKey({fingerprint(KEY.public)})"
    with pytest.raises(InvalidValueError):
        PrivateKey(b"short")


def test_others_verify_what_is_signed() -> None:
    """securesystemslib, the library of TUF, accepts our envelopes as DSSE, and refuses them when they are changed."""
    manifest, _ = Identity(None).signed(Manifest("m", "1.0.0", bytes(32), "pickle5", 7, (), 1, "me"))
    [signature] = manifest.signatures
    keyid = signature["keyid"].hex()
    key = SSlibKey(keyid, "ed25519", "ed25519", {"public": keyid})
    found = {keyid: Signature(keyid, signature["sig"].hex())}
    envelope = Envelope(manifest.payload(), MANIFEST, found)
    assert {keyid} == set(envelope.verify([key], 1))
    for wrong in (
        Envelope(manifest.payload() + b"x", MANIFEST, found),
        Envelope(manifest.payload(), APPROVAL, found),
    ):
        with pytest.raises(VerificationError):
            wrong.verify([key], 1)


def test_it_needs_no_network() -> None:
    """S16: keys are made, and signatures made and checked, in a process that has no network."""
    script = """if True:
        from friday_store import signing
        key = signing.PrivateKey.generate()
        assert signing.signers(signing.MANIFEST, b"x", [key.sign(signing.MANIFEST, b"x")]) == {key.public}
    """
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare is not allowed here")
    subprocess.run(["unshare", "-rn", sys.executable, "-c", script], check=True)


def test_signing_is_imported_when_it_is_needed() -> None:
    """Neither the package nor its registry imports the cryptography before something is signed or checked."""
    script = "import sys, friday_store.registry; assert not any(m.startswith('cryptography') for m in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_payload_is_canonical() -> None:
    """A signed manifest reads back equal, bytes and signatures, and its envelope is what ``signed`` returned."""
    made, envelope = Identity(None).signed(Manifest("m", "1.0.0", bytes(32), "pickle5", 7, (), 1, "me"))
    again = Manifest.from_bytes(envelope)
    assert (made, envelope, envelope) == (again, again.to_bytes(), made.to_bytes())
    assert signers(MANIFEST, again.payload(), again.signatures)
    assert made.payload() == codec.decode(envelope, "envelope")["payload"]
    assert signing.PUBLIC == len(made.signatures[0]["keyid"])
