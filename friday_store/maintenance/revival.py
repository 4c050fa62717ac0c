"""Bringing back what was deleted: from the packs in use, and from those that are out of use and not swept yet.

A pack that went out of use never comes back itself: a sweeper may be about to delete it. What is needed of it is
copied to a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from friday_store.errors import ModelNotFoundError
from friday_store.manifest import Artifact, Manifest
from friday_store.objects import Kind, ObjectStore
from friday_store.objects.pack import FOLDER
from friday_store.refs import Move, Ref
from friday_store.repository import Repository, Transaction
from friday_store.sync import Journal
from friday_store.sync.closure import Closure
from friday_store.sync.sending import Sending

_PACK: Final = ".pack"


def revive(repository: Repository, moves: Iterable[Move], message: str, origin: str, *, partial: bool) -> Transaction:
    """Return a transaction that has all that refs need which come back, but does not move them yet.

    Args:
        repository: Whose.
        moves: The deletions to undo.
        message: Why, for the log.
        origin: Where the versions came from.
        partial: Whether the data of models may be missing, since a remote has it.

    Raises:
        ModelNotFoundError: Objects have been collected and swept.
        IntegrityError: One is damaged.
    """
    since = repository.index.state.seq
    source = _everything(repository)
    closure = Closure(source, repository.objects)
    wanted = [(Ref.parse(name), digest) for name, digest, _ in moves if digest is not None]
    with source.sections():
        for ref, digest in wanted:
            if ref.space == "versions":
                if source.find(digest) is None:
                    raise gone(ref)
                closure.add_version(digest, ref)
            elif ref.space == "notes":
                closure.add(digest)
        closure.settle()
    if closure.absent and not partial:
        raise gone(next(ref for ref, _ in wanted if ref.space == "versions"))
    transaction = repository.transaction(message, origin=origin, since=since)
    if len(closure):
        for name, size in Sending(closure, source, repository, Journal(None, repository.id), None).run():
            transaction.adopt(name, size)
    transaction.rely(closure.relied)
    return transaction


def restorable(repository: Repository, deleted: Mapping[str, Sequence[Move]], *, partial: bool) -> set[str]:
    """Return the deleted versions that can come back.

    Args:
        repository: Whose.
        deleted: The deletions to undo for each.
        partial: Whether the data of models may be missing, since a remote has it.

    Raises:
        IntegrityError: What one needs is damaged.
    """
    source = _everything(repository)
    with source.sections():
        return {version for version, moves in deleted.items() if _is_left(source, moves, partial=partial)}


def _is_left(source: ObjectStore, moves: Sequence[Move], *, partial: bool) -> bool:
    for name, digest, _ in moves:
        space = Ref.parse(name).space
        if digest is None or space not in ("versions", "notes"):
            continue
        if source.find(digest) is None and (space == "versions" or not partial):
            return False
        if space == "versions" and not partial:
            manifest = Manifest.from_bytes(bytes(source.read(digest, Kind.ENVELOPE)))
            if not all(_is_whole(source, artifact) for artifact in manifest.artifacts):
                return False
    return True


def _is_whole(source: ObjectStore, digest: bytes) -> bool:
    if source.find(digest) is None:
        return False
    artifact = Artifact.from_bytes(bytes(source.read(digest, Kind.ARTIFACT)))
    chunks = {chunk for part in artifact.parts for chunk in part}
    return len(source.known(chunks)) == len(chunks)


def _everything(repository: Repository) -> ObjectStore:
    """Return the objects of all packs that are there, in use or not; what is in use is preferred."""
    storage = getattr(repository.storage, "far", repository.storage)
    live = dict(repository.objects.live)
    found = {entry.name.removesuffix(_PACK): entry.size for entry in storage.list(FOLDER) if not entry.folder}
    store = ObjectStore(storage)
    store.use({**{name: size for name, size in found.items() if name not in live}, **live})
    return store


def gone(ref: Ref) -> ModelNotFoundError:
    """Return the error that a deleted version cannot come back."""
    return ModelNotFoundError(
        f"{ref.model}:{ref.name} was deleted, and garbage collection has erased its bytes since",
        hint=f"if a remote still has it: friday-store pull REMOTE {ref.model}",
    )
