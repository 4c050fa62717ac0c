"""What the log remembers: where an alias was before, what was deleted and how it comes back, metrics over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from friday_store.errors import ConflictError, ModelNotFoundError
from friday_store.index import Index, VersionRow
from friday_store.log import LogEntry
from friday_store.refs import Move, Ref
from friday_store.repository import Repository, Transaction

if TYPE_CHECKING:
    import pandas as pd

ROLLBACK: Final = "rollback"
_TRIES: Final = 5


def metric(index: Index, row: VersionRow, name: str) -> pd.DataFrame:
    """Return the observations of a metric, oldest first."""
    import pandas as pd

    sql = "SELECT time, step, value FROM model_metrics WHERE version_id = ? AND name = ? ORDER BY position"
    found = index.rows(sql, (row.id, name))
    return pd.DataFrame(
        {
            "time": pd.to_datetime(pd.Series([time for time, _, _ in found], dtype="int64"), unit="us", utc=True),
            "step": pd.array([step for _, step, _ in found], dtype="Int64"),
            "value": [math.nan if value is None else float(value) for _, _, value in found],
        }
    ).astype({"value": "float64"})


def before(repository: Repository, ref: Ref) -> bytes:
    """Return where a ref pointed before its last move that was not undone.

    Raises:
        ModelNotFoundError: It never moved, there was nothing before, or what was there has been deleted.
    """
    undone, name = 0, str(ref)
    for entry in repository.entries():
        for moved, old, _ in entry.refs:
            if moved != name:
                continue
            if entry.message.startswith(ROLLBACK + " "):
                undone += 1
            elif undone:
                undone -= 1
            elif old is None:
                raise ModelNotFoundError(
                    f"{ref.model}@{ref.name} did not point anywhere before its first version, and is there now",
                    hint=f"friday-store history {ref.model}@{ref.name}",
                )
            else:
                return _still_here(repository, ref, old)
    raise ModelNotFoundError(f"model {ref.model!r} has no alias {ref.name!r}", hint=f"friday-store alias {ref.model}")


def _still_here(repository: Repository, ref: Ref, digest: bytes) -> bytes:
    if repository.index.versions("m.model_id = ?", (digest.hex(),)):
        return digest
    if digest not in repository.objects:
        raise ModelNotFoundError(
            f"{ref.model}@{ref.name} was version {digest.hex()[:12]} before, which was deleted and is erased since"
        )
    version = repository.index.manifest(digest).version
    raise ModelNotFoundError(
        f"{ref.model}@{ref.name} was {version} before, which was deleted",
        hint=f"friday-store restore {ref.model}:{version}",
    )


def forget(repository: Repository, transaction: Transaction, rows: Sequence[VersionRow], *, force: bool) -> list[str]:
    """Plan to remove every ref of some versions, and return their ids."""
    for row in rows:
        digest = bytes.fromhex(row.model_id)
        aliases = repository.index.rows(
            "SELECT alias FROM model_aliases WHERE model_id = ? ORDER BY alias", (row.model_id,)
        )
        if aliases and not force:
            names = ", ".join(f"@{alias}" for (alias,) in aliases)
            raise ConflictError(
                f"{row.model_name}:{row.model_version} is what {names} points at",
                ref=str(Ref("aliases", row.model_name, str(aliases[0][0]))),
                hint=f"move the alias first, or: friday-store rm --force {row.model_name}:{row.model_version}",
            )
        for (alias,) in aliases:
            transaction.move(Ref("aliases", row.model_name, str(alias)), digest, None)
        for (tag,) in repository.index.rows("SELECT tag FROM model_tags WHERE version_id = ? ORDER BY tag", (row.id,)):
            transaction.move(Ref("tags", row.model_name, str(tag), row.model_version), digest, None)
        for (note,) in repository.index.rows(
            "SELECT digest FROM model_notes WHERE version_id = ? ORDER BY time, digest", (row.id,)
        ):
            transaction.move(Ref("notes", row.model_name, row.model_version, str(note)), bytes.fromhex(note), None)
        transaction.move(Ref("versions", row.model_name, row.model_version), digest, None)
    transaction.permit()
    return [row.model_id for row in rows]


def deleted(repository: Repository, name: str, version: str | None = None) -> dict[str, tuple[LogEntry, bytes]]:
    """Return the versions of a model that are not there any more: by which entry they went last, and what they were.

    Args:
        repository: Where.
        name: The model's name.
        version: Look for one version; None for all.
    """
    return _lost(repository, repository.entries(), name, version)


def deleted_names(repository: Repository, pattern: str = "*") -> list[str]:
    """Return the models of which a version was deleted and is not there again, by a glob."""
    gone = {
        (ref.model, ref.name)
        for entry in repository.entries()
        for moved, _, new in entry.refs
        if new is None and (ref := Ref.parse(moved)).space == "versions" and fnmatchcase(ref.model, pattern)
    }
    return sorted({name for name, version in gone if repository.version(name, version) is None})


def _lost(
    repository: Repository, entries: Sequence[LogEntry], name: str, version: str | None
) -> dict[str, tuple[LogEntry, bytes]]:
    lost: dict[str, tuple[LogEntry, bytes]] = {}
    for entry in entries:
        for moved, old, new in entry.refs:
            ref = Ref.parse(moved)
            if ref.space == "versions" and ref.model == name and version in (None, ref.name) and new is None and old:
                lost.setdefault(ref.name, (entry, old))
    return {v: item for v, item in lost.items() if repository.version(name, v) is None}


def restore(
    repository: Repository, name: str, version: str | None, *, partial: bool = False, dry_run: bool = False
) -> list[str]:
    """Bring back what was deleted last of each version, each in a transaction that keeps where it came from.

    An alias comes back if it is nowhere else, and is not protected. Of several versions, those whose bytes have been
    erased are passed over; :func:`deleted` names them afterwards.

    Args:
        repository: Where.
        name: The model's name.
        version: One version; None for all.
        partial: Whether the data of models may be missing.
        dry_run: Change nothing; return what would come back.

    Raises:
        ModelNotFoundError: Nothing of that name was deleted, or all its bytes have been erased since.
        IntegrityError: What was deleted is damaged.
    """
    from friday_store.maintenance.revival import gone, restorable

    entries = repository.entries()
    found = _lost(repository, entries, name, version)
    if not found:
        what = f"{name}:{version}" if version else name
        raise ModelNotFoundError(f"nothing called {what!r} was deleted here", hint="friday-store ls")
    moves_of = {each: _moves_of(entry, name, each) for each, (entry, _) in found.items()}
    if len(found) > 1 or dry_run:
        there = restorable(repository, moves_of, partial=partial)
        found = {each: item for each, item in found.items() if each in there or not there}
    if dry_run:
        if not found.keys() & there:
            raise gone(Ref("versions", name, next(iter(found))))
        return sorted(digest.hex() for _, digest in found.values())
    restored: list[str] = []
    by_origin: dict[str, list[Move]] = {}
    for each, (entry, digest) in found.items():
        by_origin.setdefault(_origin(entries, name, each, entry.seq), []).extend(moves_of[each])
        restored.append(digest.hex())
    for origin, moves in by_origin.items():
        message = f"restore {name}" + (f":{version}" if version else "")
        _brought_back(repository, moves, message, origin, partial=partial)
    return sorted(restored)


def _brought_back(repository: Repository, moves: Sequence[Move], message: str, origin: str, *, partial: bool) -> None:
    from friday_store.maintenance.revival import revive

    for left in reversed(range(_TRIES)):
        try:
            revive(repository, moves, message, origin, partial=partial).run(lambda running: _back(running, moves))
        except ConflictError as error:
            if not (error.again and left):
                raise
        else:
            return


def _back(transaction: Transaction, moves: Sequence[Move]) -> None:
    for moved, old, _ in moves:
        ref = Ref.parse(moved)
        if ref.space != "aliases" or (transaction.planned(ref) is None and not transaction.protects(ref)):
            transaction.move(ref, transaction.planned(ref), old)


def _moves_of(entry: LogEntry, name: str, version: str) -> list[Move]:
    """Return the moves of a deletion that belong to one version."""
    digest = next(old for moved, old, _ in entry.refs if moved == str(Ref("versions", name, version)))
    found: list[Move] = []
    for move in entry.refs:
        ref = Ref.parse(move[0])
        leaf = {"versions": ref.name, "notes": ref.name, "tags": ref.leaf}.get(ref.space)
        if (
            ref.model == name
            and move[2] is None
            and (leaf == version or (ref.space == "aliases" and move[1] == digest))
        ):
            found.append(move)
    return found


def _origin(entries: Sequence[LogEntry], name: str, version: str, before_seq: int) -> str:
    """Return the origin of the entry that made a version's ref before it was deleted."""
    ref = str(Ref("versions", name, version))
    for entry in entries:
        if entry.seq < before_seq and any(moved == ref and new for moved, _, new in entry.refs):
            return entry.origin
    return ""
