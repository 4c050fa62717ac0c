"""Where a version comes from, as far as that can be proved: its digest, the repositories, and who signed it.

Signatures are checked when they are asked for, against the manifest and notes that were read by digest. What the
index says counts for the origin alone, and that only ever takes trust away: see :meth:`TrustStore.allows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from friday_store import codec, signing
from friday_store.errors import IntegrityError
from friday_store.index import VersionRow
from friday_store.manifest import Manifest, Note
from friday_store.repository import Repository

APPROVAL: Final = "approval"
_CAP: Final = 1 << 20
_KEPT: Final = 10_000


@dataclass(frozen=True)
class Provenance:
    """One version, and whose word there is for it.

    Attributes:
        row: The version; its id is the digest of the manifest that was read.
        repository: The id of the repository in which it is.
        signed: Whether the manifest bears any signature, valid or not.
        author: Returns the keys whose signatures on the manifest are valid.
        approvers: Returns the keys that approved it later.
    """

    row: VersionRow
    repository: str
    signed: bool
    author: Callable[[], frozenset[bytes]]
    approvers: Callable[[], frozenset[bytes]]

    @property
    def places(self) -> frozenset[str]:
        """The repository in which it is, and the one where it was registered, as the log at hand says."""
        return frozenset((self.repository, self.row.origin or self.repository))


class Provenances:
    """Makes :class:`Provenance` for the versions of one repository, and checks each manifest's signatures once.

    Args:
        repository: The repository.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._authors: dict[str, frozenset[bytes]] = {}
        self._own = frozenset[bytes]()

    def made_here(self, model_id: str, public: bytes) -> None:
        """Note that this process has just signed a version, so that it need not be checked."""
        if public not in self._own:
            self._own = frozenset((public,))
        self._keep(model_id, self._own)

    def of(self, row: VersionRow, manifest: Manifest) -> Provenance:
        """Return the provenance of a version.

        Args:
            row: The version, as :meth:`Repository.verified` gave it.
            manifest: Its manifest, read by that digest.
        """
        return Provenance(
            row,
            self._repository.id,
            bool(manifest.signatures),
            partial(self._author, row.model_id, manifest),
            partial(self._approvers, row),
        )

    def _author(self, model_id: str, manifest: Manifest) -> frozenset[bytes]:
        found = self._authors.get(model_id)
        if found is None:
            found = signing.signers(signing.MANIFEST, manifest.payload(), manifest.signatures)
            self._keep(model_id, found)
        return found

    def _keep(self, model_id: str, keys: frozenset[bytes]) -> None:
        if len(self._authors) >= _KEPT:
            self._authors.clear()
        self._authors[model_id] = keys

    def _approvers(self, row: VersionRow) -> frozenset[bytes]:
        return approvers(bytes.fromhex(row.model_id), self._repository.notes(row))


def approval(about: bytes, manifest: Manifest, comment: str, time: int) -> bytes:
    """Return the payload of an approval."""
    return codec.encode(
        {"kind": APPROVAL, "schema": 1, "about": about, "name": manifest.name, "version": manifest.version}
        | {"comment": comment, "time": time}
    )


def approval_body(payload: bytes, signature: signing.Signature) -> Mapping[str, Any]:
    """Return the body of the note that carries an approval."""
    return {"payload": payload, "signatures": [signature]}


def approvers(about: bytes, notes: Iterable[Note]) -> frozenset[bytes]:
    """Return the keys that approved a version; approvals of others, and malformed ones, count for nothing."""
    found: frozenset[bytes] = frozenset()
    for note in notes:
        if note.type == APPROVAL and note.about == about:
            found |= _approved(about, note.body)
    return found


def _approved(about: bytes, body: Mapping[str, Any]) -> frozenset[bytes]:
    payload, signatures = body.get("payload"), body.get("signatures")
    if type(payload) is not bytes or type(signatures) is not list:
        return frozenset()
    try:
        said = codec.decode(payload, APPROVAL, cap=_CAP)
    except IntegrityError:
        return frozenset()
    if said.get("schema") != 1 or said.get("about") != about:
        return frozenset()
    return signing.signers(signing.APPROVAL, payload, signatures)
