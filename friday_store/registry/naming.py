"""Naming: tags and aliases that move, and names that are forgotten and come back."""

from __future__ import annotations

from friday_store import refs
from friday_store.errors import ConflictError, ModelNotFoundError
from friday_store.index import VersionRow
from friday_store.refs import Ref
from friday_store.registry import history, location
from friday_store.registry.access import Access
from friday_store.repository import Transaction


def _require(transaction: Transaction, row: VersionRow) -> None:
    """Refuse to label a version that is deleted at this moment.

    Raises:
        ModelNotFoundError: It is not there.
    """
    if transaction.planned(Ref("versions", row.model_name, row.model_version)) != bytes.fromhex(row.model_id):
        raise ModelNotFoundError(f"{row.model_name}:{row.model_version} was deleted meanwhile")


class Naming(Access):
    """What moves refs and adds no object."""

    def add_tag(self, revision: str, tag: str) -> None:
        """Give a version a tag; nothing happens if it has it."""
        self._move_tag(revision, refs.check_name(tag, "tag"), on=True)

    def remove_tag(self, revision: str, tag: str) -> None:
        """Take a tag from a version; nothing happens if it does not have it."""
        self._move_tag(revision, refs.check_name(tag, "tag"), on=False)

    def _move_tag(self, revision: str, tag: str, *, on: bool) -> None:
        row = self._row(revision, None)
        ref, target = Ref("tags", row.model_name, tag, row.model_version), bytes.fromhex(row.model_id)
        word = "tag" if on else "untag"

        def plan(transaction: Transaction) -> None:
            if on:
                _require(transaction, row)
            transaction.move(ref, transaction.planned(ref), target if on else None)

        self._do(plan, f"{word} {row.model_name}:{row.model_version} {tag}")

    def set_alias(self, revision: str, alias: str, *, expected: str | None = None, override: bool = False) -> None:
        """Point an alias at a version of its model, moving it if it is elsewhere.

        Args:
            revision: The version.
            alias: The alias.
            expected: The id that it must point at now, empty for none; None moves it from wherever it is.
            override: Move it even if it is protected; the log says so then.

        Raises:
            ConflictError: It points elsewhere than ``expected``.
            ProtectedError: It is protected.
            ModelNotFoundError: There is no such version, or it is deleted at this moment.
        """
        row = self._row(revision, None)
        ref, target = Ref("aliases", row.model_name, refs.check_name(alias, "alias")), bytes.fromhex(row.model_id)

        def plan(transaction: Transaction) -> None:
            _require(transaction, row)
            old = transaction.planned(ref)
            if expected is not None and (old.hex() if old else "") != expected:
                here, there = old.hex()[:12] if old else "nothing", expected[:12] or "nothing"
                raise ConflictError(f"{row.model_name}@{alias} points at {here}, not at {there}", ref=str(ref))
            (transaction.move_anyway if override else transaction.move)(ref, old, target)

        self._do(plan, f"alias {row.model_name}@{alias} -> {row.model_version}")

    def delete_alias(self, model_name: str, alias: str, *, override: bool = False) -> None:
        """Remove an alias; ``override`` even if it is protected.

        Raises:
            ModelNotFoundError: There is none of this name.
            ProtectedError: It is protected.
        """
        ref = Ref("aliases", refs.check_name(model_name, "model name"), refs.check_name(alias, "alias"))

        def plan(transaction: Transaction) -> None:
            old = transaction.planned(ref)
            if old is None:
                raise ModelNotFoundError(
                    f"model {model_name!r} has no alias {alias!r}", hint=f"friday-store alias {model_name}"
                )
            (transaction.move_anyway if override else transaction.move)(ref, old, None)

        self._do(plan, f"delete alias {model_name}@{alias}")

    def promote(self, revision: str, alias: str = "production", *, override: bool = False) -> None:
        """Point an alias, ``production`` unless named, at a version; see :meth:`set_alias`."""
        self.set_alias(revision, alias, override=override)

    def rollback(self, model_name: str, alias: str = "production", *, override: bool = False) -> str:
        """Move an alias back to where it pointed before its last move, and return that version's id.

        Rolling back twice goes two moves back; ``override`` moves it even if it is protected.

        Raises:
            ModelNotFoundError: There is no such alias, nothing before, or that version was deleted.
            ProtectedError: It is protected.
        """
        ref = Ref("aliases", refs.check_name(model_name, "model name"), refs.check_name(alias, "alias"))

        def plan(transaction: Transaction) -> str:
            old, target = transaction.planned(ref), history.before(self.repository, ref)
            (transaction.move_anyway if override else transaction.move)(ref, old, target)
            return target.hex()

        return self._do(plan, f"{history.ROLLBACK} {model_name}@{alias}")

    def delete_model(self, model_name: str, version: str | None = None, *, force: bool = False) -> list[str]:
        """Forget a version, or a whole model, and return the ids; nothing is erased until :meth:`ModelRegistry.gc`.

        Args:
            model_name: The model's name.
            version: One version; None deletes all.
            force: Also delete what an alias points at, and the alias with it.

        Raises:
            ModelNotFoundError: There is no such model or version.
            ConflictError: An alias points at it.
            ProtectedError: That alias is protected, or the repository is append-only.
        """
        first = self._row(model_name, version)
        condition = "m.model_name = ?" if version is None else "m.model_name = ? AND m.model_version = ?"
        values = (first.model_name,) if version is None else (first.model_name, first.model_version)

        def plan(transaction: Transaction) -> list[str]:
            rows = self.repository.index.versions(condition, values, "ORDER BY m.id")
            return history.forget(self.repository, transaction, rows, force=force)

        return self._do(plan, f"delete {model_name}" + (f":{version}" if version else ""))

    def restore_model(self, model_name: str, version: str | None = None, *, dry_run: bool = False) -> list[str]:
        """Bring back a deleted version, or all deleted versions of a model, with their tags, and return the ids.

        Of all versions, those whose bytes garbage collection has erased are passed over, if any other is left.

        Args:
            model_name: The model's name.
            version: One version; None for all that were deleted.
            dry_run: Change nothing; return what would come back.

        Raises:
            ModelNotFoundError: Nothing of that name was deleted, or garbage collection has erased its bytes since.
        """
        refs.check_name(model_name, "model name")
        partial = bool(location.remotes(self.repository.storage.root).partial())
        return history.restore(self.repository, model_name, version, partial=partial, dry_run=dry_run)
