"""What this user trusts, as one value, and the file that keeps it.

The file is JSON with mode 0600. ``digests`` and ``repositories`` are always there, the others when they say
something::

    {"digests": [model id, ..],           versions
     "repositories": [id, ..],            whose versions load all, signed or not
     "own": [id, ..],                     repositories that this user made: their logs are believed about origins
     "keys": {hex of a public key: {"name": text, "until"*: ISO time, "revoked"*: ISO time}},
     "types": ["module.name", ..],        what formats of class "typed" may make
     "policies": {id of a repository, or "*": {"threshold": number, "keys": [hex, ..]}}}
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from friday_store.errors import InvalidValueError
from friday_store.signing import PUBLIC
from friday_store.storage.files import alone, replace_private

Subject = Literal["digests", "repositories", "types", "own"]
SETS: Final[tuple[Subject, ...]] = ("digests", "repositories", "types", "own")
_NEEDED: Final = ("digests", "repositories")


@dataclass(frozen=True)
class TrustedKey:
    """A key that this user knows.

    Attributes:
        name: What this user calls it.
        until: When trust in it ends; None: never.
        revoked: When this user revoked it; None: it counts.
    """

    name: str = ""
    until: dt.datetime | None = None
    revoked: dt.datetime | None = None

    def counts(self, now: dt.datetime) -> bool:
        """Whether a signature of this key says anything now."""
        return self.revoked is None and (self.until is None or now < self.until)


@dataclass(frozen=True)
class Policy:
    """What versions of a repository need before they load, or their attachments are read, whatever their format.

    Attributes:
        threshold: How many different trusted keys must have signed: the author's, and those of approvals.
        keys: Which keys count; empty: every one that this user trusts.
    """

    threshold: int = 1
    keys: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Ledger:
    """All that this user trusts; see the module."""

    digests: frozenset[str] = frozenset()
    repositories: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    keys: Mapping[bytes, TrustedKey] = field(default_factory=lambda: MappingProxyType({}))
    policies: Mapping[str, Policy] = field(default_factory=lambda: MappingProxyType({}))

    def with_value(self, subject: Subject, value: str) -> Ledger:
        """Return it with one value more in one of the sets."""
        return replace(self, **{subject: getattr(self, subject) | {value}})

    def without_value(self, subject: Subject, value: str) -> Ledger:
        """Return it without that."""
        return replace(self, **{subject: getattr(self, subject) - {value}})

    def with_key(self, public: bytes, key: TrustedKey | None) -> Ledger:
        """Return it with what is now known of a key; None forgets it."""
        others = {each: known for each, known in self.keys.items() if each != public}
        return replace(self, keys=others if key is None else {**others, public: key})

    def with_policy(self, origin: str, policy: Policy | None) -> Ledger:
        """Return it with a repository's policy; None takes it away."""
        others = {each: known for each, known in self.policies.items() if each != origin}
        return replace(self, policies=others if policy is None else {**others, origin: policy})

    def to_json(self) -> dict[str, Any]:
        """Return the document."""
        keys = {
            public.hex(): {"name": key.name}
            | ({} if key.until is None else {"until": key.until.isoformat()})
            | ({} if key.revoked is None else {"revoked": key.revoked.isoformat()})
            for public, key in self.keys.items()
        }
        policies = {
            origin: {"threshold": policy.threshold, "keys": sorted(key.hex() for key in policy.keys)}
            for origin, policy in self.policies.items()
        }
        document: dict[str, Any] = {subject: sorted(getattr(self, subject)) for subject in SETS}
        document |= {"keys": keys, "policies": policies}
        return {name: value for name, value in document.items() if value or name in _NEEDED}

    @classmethod
    def from_json(cls, raw: Any) -> Ledger:
        """Return what a document says.

        Raises:
            ValueError: It is none; so do KeyError, TypeError and AttributeError.
        """
        digests, repositories, types, own = (
            frozenset(map(_text, raw[subject] if subject in _NEEDED else raw.get(subject, ()))) for subject in SETS
        )
        keys = {
            _public(public): TrustedKey(_text(key["name"]), _time(key.get("until")), _time(key.get("revoked")))
            for public, key in raw.get("keys", {}).items()
        }
        policies = {
            _text(origin): Policy(_threshold(policy["threshold"]), frozenset(map(_public, policy["keys"])))
            for origin, policy in raw.get("policies", {}).items()
        }
        return cls(digests, repositories, types, own, keys, policies)


class LedgerFile:
    """The file; read anew when it has changed.

    Args:
        path: The file; None keeps the ledger in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._held: Ledger | None = None if path is not None else Ledger()
        self._known: tuple[tuple[int, ...], Ledger] | None = None

    def read(self) -> Ledger:
        """Return what is trusted now.

        Raises:
            InvalidValueError: The file is damaged; nothing in it counts then.
        """
        return self._held if self._held is not None else self._stored()

    def change(self, made: Callable[[Ledger], Ledger], *, lenient: bool = False) -> tuple[Ledger, Ledger]:
        """Put another value in the place of this one, while no other process does; return both.

        Args:
            made: Returns the new value.
            lenient: Where the file cannot be written, keep it for this process, with a warning.

        Raises:
            StorageError: It cannot be written.
        """
        try:
            with self._locked():
                before = self.read()
                after = made(before)
                self._write(after)
                return before, after
        except OSError as error:
            if not lenient:
                raise
            warnings.warn(f"trust cannot be kept in {self.path}: it ends with this process ({error})", stacklevel=3)
            before = self.read()
            self._held = made(before)
            return before, self._held

    def _stored(self) -> Ledger:
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                if self._known is None or self._known[0] != identity:
                    self._known = identity, Ledger.from_json(json.loads(file.read()))
                return self._known[1]
        except (FileNotFoundError, NotADirectoryError):
            return Ledger()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidValueError(
                f"{self.path} is damaged, so nothing in it is trusted",
                hint=f"look at it, then remove it: {self.path}",
            ) from error

    def _write(self, ledger: Ledger) -> None:
        if self.path is None or self._held is not None:
            self._held = ledger
            return
        replace_private(self.path, json.dumps(ledger.to_json(), indent=1, sort_keys=True).encode())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self.path is None or self._held is not None:
            yield
            return
        with alone(self.path.with_suffix(".lock")):
            yield


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("expected text")
    return value


def _public(value: Any) -> bytes:
    public = bytes.fromhex(_text(value))
    if len(public) != PUBLIC:
        raise ValueError("expected a public key")
    return public


def _time(value: Any) -> dt.datetime | None:
    if value is None:
        return None
    time = dt.datetime.fromisoformat(_text(value))
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _threshold(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("expected a number from 1")
    return value
