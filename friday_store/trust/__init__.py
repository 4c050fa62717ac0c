"""Trust: which artifacts may run code here. It is this user's own, kept outside every repository, never synced.

Formats whose ``safety`` is ``data`` always load, ``typed`` ones if every type that they would make is on this user's
list. Any other version loads when one of these vouches for it:

- its digest is trusted;
- its manifest, or a later approval, is signed with this user's own key or one that this user trusts;
- it was registered in a repository that this user trusts, and is in such a one or in one that this user made. A
  version that came by pull or clone carries the id of the repository it came from, one that came by import the digest
  of the bundle, and that is what is asked: what a bundle says of its origin counts for nothing. But what bears the
  signature of a key that this user has revoked is refused there too.

A policy asks for more, of every format: so many trusted keys must have signed what comes from a repository, or from
anywhere (``*``), before it loads or a program reads what is attached to it. Nothing but signatures meets it. What came
by bundle is from the bundle, whatever that says, so that only a policy for anywhere covers it. Looking (records,
descriptions, explanations, the files that ``get`` writes) asks nobody, since who is to sign has to look first.

Who is trusted is never read from a repository, and nothing about a version is written anywhere for its sake.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from friday_store import signing
from friday_store.errors import InvalidValueError, UntrustedArtifactError
from friday_store.hookspecs import Safety
from friday_store.trust.identity import Identity
from friday_store.trust.ledger import Ledger, LedgerFile, Policy, Subject, TrustedKey
from friday_store.trust.provenance import Provenance, Provenances

__all__ = ["Identity", "Ledger", "Policy", "Provenance", "Provenances", "Subject", "TrustStore", "TrustedKey"]

ANYWHERE: Final = "*"
_DIGEST: Final = 64


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class TrustStore:
    """What this user trusts.

    Args:
        path: The file; None keeps it in memory.
        identity: This user, whose own signature counts; None: nobody's does by itself.
        clock: Returns the time now.
    """

    def __init__(
        self, path: Path | None, identity: Identity | None = None, clock: Callable[[], dt.datetime] = _now
    ) -> None:
        self._file = LedgerFile(path)
        self._identity = identity
        self._clock = clock

    def allows(self, of: Provenance) -> bool:
        """Whether a version in a format that can run code may load."""
        return self._why_not(of, "code", ()) is None

    def require(self, of: Provenance, safety: Safety, types: Callable[[], Iterable[str]] | None = None) -> None:
        """Refuse to go on with a version that could run a stranger's code, or that breaks a policy.

        Args:
            of: The version.
            safety: What its format can do.
            types: For ``typed``: returns the types that loading would make, without making them.

        Raises:
            UntrustedArtifactError: Nobody here vouched for it; the message says how to.
        """
        wanted = tuple(types()) if safety == "typed" and types is not None else ()
        why = self._why_not(of, "code" if safety == "typed" and types is None else safety, wanted)
        if why is None:
            return
        row = of.row
        raise UntrustedArtifactError(
            f"{row.model_name}:{row.model_version} ({row.model_id[:12]}) {why[0]}; it says that {row.author!r} made "
            f"it, {self.signature_of(of)}",
            model_id=row.model_id,
            origin=self._origin(of),
            signers=tuple(sorted(map(signing.fingerprint, of.author()))),
            hint=why[1],
        )

    def signature_of(self, of: Provenance) -> str:
        """Return in words who signed a version."""
        if not of.signed:
            return "unsigned"
        keys = of.author()
        shown = ", ".join(map(self.called, sorted(keys)))
        return f"signed with {shown}" if keys else "with a signature that is not valid"

    def called(self, public: bytes) -> str:
        """Return a key's fingerprint and what is known of it, in words."""
        shown = signing.fingerprint(public)
        if public == self._own():
            return f"{shown} (your own key)"
        key = self.ledger().keys.get(public)
        if key is None:
            return f"{shown}, a key that you do not know"
        state = "revoked" if key.revoked else "no longer trusted" if not key.counts(self._clock()) else "trusted"
        return f"{shown} ({key.name or 'without a name'}, {state})"

    def ledger(self) -> Ledger:
        """Return all that is trusted."""
        return self._file.read()

    def listed(self) -> dict[str, set[str]]:
        """Return the trusted digests and repositories."""
        ledger = self.ledger()
        return {"digests": set(ledger.digests), "repositories": set(ledger.repositories)}

    def add(self, subject: Subject, value: str) -> None:
        """Trust a version's digest, a repository's id or a type of typed formats; or know a repository as one's own."""
        self._file.change(lambda ledger: ledger.with_value(subject, value), lenient=True)

    def remove(self, subject: Subject, value: str) -> bool:
        """Stop trusting; whether it was trusted."""
        before, after = self._file.change(lambda ledger: ledger.without_value(subject, value))
        return before != after

    def asked_of(self, origin: str | None = None) -> dict[str, Policy]:
        """Return the policies that what comes from a repository has to meet, by its id or ``*``; None: all policies."""
        found = self.ledger().policies
        return {place: policy for place, policy in found.items() if origin in (None, place) or place == ANYWHERE}

    def unmet(self, of: Provenance) -> str | None:
        """Return which policy a version does not meet, whatever else is trusted; None if it meets all."""
        found = self._unmet(self.ledger(), of)
        return None if found is None else found[0]

    def add_key(self, public: bytes, name: str = "", until: dt.datetime | None = None) -> None:
        """Trust all that a key signs, from now on and until then.

        Raises:
            InvalidValueError: It was revoked: remove it first if that was a mistake.
        """

        def trusted(ledger: Ledger) -> Ledger:
            known = ledger.keys.get(public, TrustedKey())
            if known.revoked is not None:
                shown = signing.fingerprint(public)
                raise InvalidValueError(
                    f"{shown} was revoked on {known.revoked:%Y-%m-%d}, and stays so",
                    path="key",
                    hint=f"if that was a mistake: friday-store trust rm {shown}, then add it again",
                )
            return ledger.with_key(public, TrustedKey(name or known.name, until))

        self._file.change(trusted, lenient=True)

    def remove_key(self, public: bytes) -> bool:
        """Forget a key; whether it was known. What it signed is a stranger's then."""
        before, after = self._file.change(lambda ledger: ledger.with_key(public, None))
        return before != after

    def revoke_key(self, public: bytes) -> None:
        """Never again believe a key: what it signed is refused even in repositories that are trusted."""
        now = self._clock()

        def revoked(ledger: Ledger) -> Ledger:
            known = ledger.keys.get(public, TrustedKey())
            return ledger.with_key(public, TrustedKey(known.name, known.until, known.revoked or now))

        self._file.change(revoked)

    def set_policy(self, origin: str, policy: Policy | None) -> None:
        """Ask for signatures on what comes from a repository, or from anywhere (``*``); None asks no more."""
        if policy is not None and policy.threshold < 1:
            raise InvalidValueError("threshold: a number from 1", path="threshold")
        self._file.change(lambda ledger: ledger.with_policy(origin, policy))

    def _own(self) -> bytes | None:
        return None if self._identity is None else self._identity.public()

    def _counting(self, ledger: Ledger) -> frozenset[bytes]:
        """Return the keys whose signatures count now."""
        now, own = self._clock(), self._own()
        trusted = {public for public, key in ledger.keys.items() if key.counts(now)}
        revoked = {public for public, key in ledger.keys.items() if key.revoked is not None}
        return frozenset(trusted | ({own} - revoked if own is not None else set()))

    def _why_not(self, of: Provenance, safety: Safety, types: Iterable[str]) -> tuple[str, str] | None:
        """Return why a version may not load, and the command that would change that; None if it may."""
        ledger = self.ledger()
        unmet = self._unmet(ledger, of)
        if unmet is not None:
            return unmet
        model_id = of.row.model_id
        if safety == "data" or model_id in ledger.digests:
            return None
        lacking = sorted(set(types) - ledger.types)
        if safety == "typed" and not lacking:
            return None
        counting = self._counting(ledger)
        if of.author() & counting:
            return None
        gone = any(key.revoked is not None for public, key in ledger.keys.items() if public in of.author())
        if (not gone and _is_from_a_trusted_place(of, ledger)) or of.approvers() & counting:
            return None
        what = f"would make objects of {', '.join(lacking)}" if lacking else "can run code when it is loaded"
        return (
            f"is in the format {of.row.serializer!r}, which {what}, and comes from {self._place(of)}",
            f"friday-store trust add {model_id}",
        )

    def _unmet(self, ledger: Ledger, of: Provenance) -> tuple[str, str] | None:
        """Return which policy a version does not meet, and what would help; None if it meets all."""
        for origin in (*sorted(of.places), ANYWHERE):
            policy = ledger.policies.get(origin)
            if policy is None:
                continue
            counting = self._counting(ledger)
            counting &= policy.keys or counting
            signed = of.author() & counting
            if len(signed) < policy.threshold:
                signed |= of.approvers() & counting
            if len(signed) < policy.threshold:
                unmade = self._identity is not None and self._own() is None and not policy.keys
                where = "anywhere" if origin == ANYWHERE else origin
                what = f"is signed with {len(signed)} of the {policy.threshold} trusted keys that your policy asks of"
                lifted = f"(friday-store trust require {where} --keys 0 lifts it)"
                mine = unmade or self._own() in counting - signed
                enough = mine and len(signed) + 1 >= policy.threshold
                help_ = f"friday-store {'approve' if enough else 'trust show'} {of.row.model_id}"
                return f"{what} what comes from {where} {lifted}", help_
        return None

    def _origin(self, of: Provenance) -> str:
        known = self.ledger().repositories
        return of.row.origin if of.row.origin and of.row.origin not in known else of.repository

    def _place(self, of: Provenance) -> str:
        """Return what an origin is, and how all of it, or of its author's, would be trusted."""
        origin = self._origin(of)
        signer = f"; trust add --signer {of.row.model_id[:12]} all that its author signs" if of.author() else ""
        if origin == "files":
            return "an exported folder" + (f" ({signer.removeprefix('; ')})" if signer else "")
        what = "bundle" if len(origin) == _DIGEST else "repository"
        return f"{what} {origin}, which you have not trusted (trust add {origin} would trust all of it{signer})"


def _is_from_a_trusted_place(of: Provenance, ledger: Ledger) -> bool:
    """Whether a version was registered in a trusted repository; only logs that can be believed say where that was."""
    asked = {of.row.origin} if of.row.origin and of.repository in ledger.own else of.places
    return asked <= ledger.repositories | ledger.digests
