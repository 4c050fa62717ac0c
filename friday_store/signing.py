"""Signatures: Ed25519 over DSSE's encoding, and how public keys are written down. Pure functions; no files.

What is signed is never the payload alone but DSSE's pre-authentication encoding of its type and its bytes
(https://github.com/secure-systems-lab/dsse/blob/master/protocol.md), so that no signature of one kind of thing can
be taken for one of another::

    "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload         LEN in decimal digits, SP one space

A signature is a map ``{keyid: the public key, 32 bytes, sig: 64 bytes}``. An Ed25519 public key is as short as a
fingerprint, so it is its own name, and every signature can be checked without asking who made it. People see and type
keys as OpenSSH writes them (``ssh-ed25519 AAAA… name``, RFC 8709), with OpenSSH's fingerprints (``SHA256:…``), so
that ``ssh-keygen -lf`` shows the same.

A signature says who, never that what was signed is any good. ``cryptography`` is imported by the first signature of
a process (10 ms); making one takes 0.05 ms, checking one 0.16. ``securesystemslib`` checks the same signatures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import struct
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from friday_store.errors import InvalidValueError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MANIFEST: Final = "application/vnd.friday-store.manifest"
APPROVAL: Final = "application/vnd.friday-store.approval"
PUBLIC: Final = 32
SEED: Final = 32
_SIGNATURE: Final = 64
_ALGORITHM: Final = b"ssh-ed25519"
_MOST: Final = 16

Signature = Mapping[str, Any]


def pae(kind: str, payload: bytes) -> bytes:
    """Return what is signed for a payload of a kind."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


class PrivateKey:
    """An Ed25519 key that signs; equal payloads get equal signatures.

    Args:
        seed: Its 32 secret bytes.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED:
            raise InvalidValueError(f"a private key has {SEED} bytes, not {len(seed)}", path="seed")
        self.seed = seed

    def __repr__(self) -> str:
        return f"PrivateKey({fingerprint(self.public)})"

    @classmethod
    def generate(cls) -> PrivateKey:
        """Return a new key."""
        return cls(secrets.token_bytes(SEED))

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> bytes:
        """The public key's 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, kind: str, payload: bytes) -> Signature:
        """Return this key's signature over a payload of a kind."""
        return {"keyid": self.public, "sig": self._key.sign(pae(kind, payload))}


def signers(kind: str, payload: bytes, signatures: Iterable[Any]) -> frozenset[bytes]:
    """Return the public keys whose signatures over a payload are valid; whatever is not one counts for nothing.

    Only the first 16 signatures are looked at, so that nobody can make this take long.
    """
    signed = None
    found: set[bytes] = set()
    for _, signature in zip(range(_MOST), signatures, strict=False):
        key, sig = (signature.get("keyid"), signature.get("sig")) if isinstance(signature, Mapping) else (None, None)
        if type(key) is not bytes or type(sig) is not bytes or len(key) != PUBLIC or len(sig) != _SIGNATURE:
            continue
        signed = signed if signed is not None else pae(kind, payload)
        if key not in found and _is_valid(key, sig, signed):
            found.add(key)
    return frozenset(found)


def _is_valid(key: bytes, sig: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(sig, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(public: bytes) -> str:
    """Return a public key's fingerprint as OpenSSH shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(_wire(public)).digest()).decode().rstrip("=")


def written(public: bytes, name: str = "") -> str:
    """Return a public key as OpenSSH writes it, with a name behind it."""
    return f"ssh-ed25519 {base64.b64encode(_wire(public)).decode()} {name}".rstrip()


def parsed(text: str) -> tuple[bytes, str]:
    """Return the public key that a text says, and the name behind it: what :func:`written` gives, or its middle.

    Raises:
        InvalidValueError: It is not an Ed25519 public key.
    """
    words = text.split()
    if words and words[0] == _ALGORITHM.decode():
        del words[0]
    try:
        wire = base64.b64decode(words[0], validate=True)
    except (IndexError, ValueError, binascii.Error):
        wire = b""
    public = wire[-PUBLIC:]
    if len(public) != PUBLIC or wire != _wire(public):
        raise InvalidValueError(
            f"{text[:100]!r} is no Ed25519 public key",
            path="key",
            hint="paste the line that friday-store identity shows",
        )
    return public, " ".join(words[1:])


def _wire(public: bytes) -> bytes:
    return struct.pack(">I", len(_ALGORITHM)) + _ALGORITHM + struct.pack(">I", len(public)) + public
