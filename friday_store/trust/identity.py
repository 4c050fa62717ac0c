"""This user's identity: one Ed25519 key, made when it is first needed, kept outside every repository.

The file is JSON, ``{"ed25519": base64 of the 32 secret bytes, "public": the public key as OpenSSH writes it}``, with
mode 0600 in a folder of this user's. It has no passphrase: whoever can read it can sign as this user, as with a
private key for ssh that has none.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from friday_store import signing
from friday_store.errors import ConflictError, InvalidValueError, StorageError
from friday_store.manifest import Manifest
from friday_store.storage.files import alone, replace_private

FILE: Final = "identity.json"
_CAP: Final = 4096


class Identity:
    """The key of this user.

    Args:
        path: The file; None keeps a key in memory, for as long as this object lives.
        name: What others are told that this key is called.
    """

    def __init__(self, path: Path | None, name: str = "") -> None:
        self.path = path
        self.name = name
        self._key: signing.PrivateKey | None = None
        self._public: bytes | None = None
        self._lock = threading.Lock()

    def public(self) -> bytes | None:
        """Return the public key; None if there is no identity yet.

        Raises:
            InvalidValueError: The file is damaged, or others can read it.
        """
        if self._public is None:
            found = self._read()
            self._public = None if found is None else found[1]
        return self._public

    def key(self) -> signing.PrivateKey:
        """Return the key, made now if there is none.

        Where it cannot be kept it ends with this process, and a warning says so.
        """
        with self._lock:
            if self._key is None:
                key, said = self._found_or_made()
                if key.public != said:
                    raise InvalidValueError(f"{self.path} names another key than it holds", path="identity")
                self._key, self._public = key, said
            return self._key

    def signed(self, manifest: Manifest) -> tuple[Manifest, bytes]:
        """Return a manifest with this user's signature, and the bytes of its envelope."""
        return manifest.signed(partial(self.key().sign, signing.MANIFEST))

    def exported(self) -> bytes:
        """Return the file's bytes, for another machine of this user's: they are secret."""
        return _text(self.key())

    def take(self, data: bytes, *, replace: bool = False) -> bytes | None:
        """Become what :meth:`exported` gave elsewhere; return the public key that this user had until now, if another.

        Raises:
            InvalidValueError: It is no identity.
            ConflictError: There is another one here, and it is not to be replaced.
            StorageError: It cannot be kept.
        """
        key, public = _parsed(data, "this file")
        with self._lock, self._alone():
            before = self._read()
            if before is not None and before[1] != public and not replace:
                raise ConflictError(
                    f"there is an identity here already: {signing.fingerprint(before[1])}",
                    hint="friday-store identity import --replace FILE keeps trusting what it signed",
                )
            self._write(key)
            self._key, self._public = key, public
        return None if before is None or before[1] == public else before[1]

    def _found_or_made(self) -> tuple[signing.PrivateKey, bytes]:
        found = self._read()
        if found is not None:
            return found
        made = signing.PrivateKey.generate()
        try:
            with self._alone():
                found = self._read()
                if found is not None:
                    return found
                self._write(made)
        except OSError as error:
            warnings.warn(
                f"your identity cannot be kept in {self.path}: what is signed now is a stranger's to the next process "
                f"({error})",
                stacklevel=4,
            )
        return made, made.public

    def _read(self) -> tuple[signing.PrivateKey, bytes] | None:
        if self.path is None:
            return None if self._key is None else (self._key, self._key.public)
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if not self.path.parent.exists() or isinstance(error, NotADirectoryError):
                return None
            raise StorageError(f"cannot read your identity, {self.path}: {error.strerror}") from error
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidValueError(
                    f"{self.path} can be read by others, so its key is not used", path="identity",
                    hint=f"if nobody has: chmod 600 {self.path}",
                )  # fmt: skip
            return _parsed(file.read(_CAP), str(self.path))

    def _write(self, key: signing.PrivateKey) -> None:
        if self.path is not None:
            replace_private(self.path, _text(key))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self.path is None:
            yield
            return
        with alone(self.path.with_suffix(".lock")):
            yield


def _text(key: signing.PrivateKey) -> bytes:
    document = {"ed25519": base64.b64encode(key.seed).decode(), "public": signing.written(key.public)}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _parsed(data: bytes, where: str) -> tuple[signing.PrivateKey, bytes]:
    try:
        raw: Any = json.loads(data)
        key = signing.PrivateKey(base64.b64decode(raw["ed25519"], validate=True))
        return key, signing.parsed(raw["public"])[0]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise InvalidValueError(
            f"{where} is no identity, or is damaged", path="identity", hint="look at it; nothing was changed"
        ) from error
