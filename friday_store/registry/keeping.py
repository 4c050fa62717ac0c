"""Keeping: which versions stay, by rule, and when the bytes of those that do not are erased."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from friday_store.errors import InvalidValueError, ModelNotFoundError
from friday_store.protection import Protection, append_only, glob
from friday_store.registry import history
from friday_store.registry.exchange import Exchange
from friday_store.repository import Transaction

if TYPE_CHECKING:
    from friday_store.maintenance.gc import GcReport
    from friday_store.registry.retention import Fate

_UNITS: Final[Mapping[str, int]] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


class Keeping(Exchange):
    """What lets go of versions and of bytes, and what keeps them."""

    def protection(self) -> Protection:
        """Return what is protected; see :mod:`friday_store.protection`."""
        return self.repository.index.state.protection if self.repository.born else Protection()

    def protect(self, *aliases: str, append_only: bool = False) -> Protection:
        """Keep aliases from being made, moved or removed without an override; return all that is protected then.

        It holds in this repository, for everybody who writes to it, by a push too.

        Args:
            aliases: Globs over ``MODEL@ALIAS``; an alias alone stands for that of every model.
            append_only: Also let nobody remove a version, a tag or a note, or erase a byte.

        Raises:
            InvalidNameError: A glob can match no alias.
        """
        what = [*map(glob, aliases), *(["append-only"] if append_only else [])]
        return self._protected(
            f"protect {', '.join(what)}",
            lambda now: replace(now.with_aliases(aliases), append_only=now.append_only or append_only),
        )

    def unprotect(self, *aliases: str, append_only: bool = False) -> Protection:
        """End what :meth:`protect` began, on record; return what is still protected.

        Raises:
            ModelNotFoundError: That is not protected.
        """

        def change(now: Protection) -> Protection:
            if missing := [each for each in aliases if glob(each) not in now.aliases]:
                raise ModelNotFoundError(f"{missing[0]!r} is not protected by itself", hint="friday-store protect")
            if append_only and not now.append_only:
                raise ModelNotFoundError(f"{self.url} is not append-only", hint="friday-store protect")
            return replace(now.without_aliases(aliases), append_only=now.append_only and not append_only)

        what = [*map(glob, aliases), *(["append-only"] if append_only else [])]
        return self._protected(f"unprotect {', '.join(what)}", change)

    def _protected(self, message: str, change: Callable[[Protection], Protection]) -> Protection:
        def plan(transaction: Transaction) -> Protection:
            made = change(self.protection())
            transaction.protect(made)
            return made

        if self._open is not None:
            raise InvalidValueError("what is protected changes by an entry of its own", path="transaction")
        return self.repository.transaction(message).run(plan)

    def gc(
        self,
        *,
        grace: float | str | dt.timedelta = "14d",
        dry_run: bool = False,
        remote: str | None = None,
        remote_options: Mapping[str, Any] | None = None,
    ) -> GcReport:
        """Erase what no name has reached for a time; see :mod:`friday_store.maintenance.gc`.

        What was deleted within the grace stays as it is; what was deleted before goes out of use, and its bytes are
        erased by a later run, once it has been out of use for the grace. Until then ``restore_model`` brings it back.
        Others may register, push and pull meanwhile.

        Args:
            grace: The time: seconds, a timedelta, or a text such as ``14d``, ``12h`` or ``0``. With 0, everything that
                is not needed now is erased now; who reads an old version at that moment may have to begin again.
            dry_run: Change nothing; the report says to the byte what a real run would do now.
            remote: Collect there instead, by name or URL.
            remote_options: What fsspec's file system needs for that, for this time.

        Raises:
            StorageError: The store lets two writers create one file, so that this would not be safe.
            IntegrityError: Something that is needed is missing or damaged.
            ConflictError: Others changed too much meanwhile.
            ProtectedError: The repository is append-only.
        """
        from friday_store.maintenance.gc import gc

        seconds = seconds_of(grace)
        if remote is None:
            return gc(self.repository, grace=seconds, dry_run=dry_run)
        with self._meeting(remote, remote_options) as meeting:
            return meeting.collect(seconds, dry_run=dry_run)

    def prune(
        self,
        pattern: str,
        *,
        keep_last: int = 0,
        keep_best: tuple[str, int] | Sequence[tuple[str, int]] = (),
        keep_tags: Sequence[str] = (),
        higher_is_better: bool | None = None,
        dry_run: bool = False,
    ) -> list[Fate]:
        """Delete the versions of models that no rule keeps, as one transaction; say of each what became of it and why.

        Each model is judged by itself. A version is kept if any rule keeps it; what an alias names is always kept, and
        so are the parents of what is kept: not the version of the same name that came right before, though, which is
        the parent of every version unless another is named. Parents stay described in the lineage in any case.
        ``restore_model`` brings back what was deleted, and :meth:`gc` erases it later.

        Args:
            pattern: A model's name, or a glob.
            keep_last: How many versions to keep of those registered last.
            keep_best: A metric and how many versions to keep of those with the best newest value of it; or several.
            keep_tags: Versions with one of these tags are kept.
            higher_is_better: Whether more of the metrics is better; None decides by the metric's usual name.
            dry_run: Change nothing.

        Raises:
            ModelNotFoundError: No model answers to the pattern.
            InvalidValueError: There is no rule, a number is negative, or a metric's direction is not known.
            ProtectedError: The repository is append-only.
        """
        from friday_store.registry import retention

        rule = retention.Rule.of(keep_last, keep_best, keep_tags, higher_is_better)

        def plan(transaction: Transaction) -> list[Fate]:
            fates, rows = retention.judged(self.repository, pattern, rule)
            if not dry_run:
                history.forget(self.repository, transaction, rows, force=False)
            return fates

        if dry_run:
            fates, rows = retention.judged(self.repository, pattern, rule)
            if rows and self.protection().append_only:
                raise append_only(self.url, f"this would remove {rows[0].model_name}:{rows[0].model_version}")
            return fates
        return self._do(plan, f"prune {pattern}")


def seconds_of(grace: float | str | dt.timedelta) -> float:
    """Return a time in seconds.

    Raises:
        InvalidValueError: It is none, or negative.
    """
    seconds: float | None = None
    if isinstance(grace, dt.timedelta):
        seconds = grace.total_seconds()
    elif isinstance(grace, str):
        found = _DURATION.fullmatch(grace.strip().lower())
        seconds = None if found is None else float(found[1]) * _UNITS[found[2]]
    elif not isinstance(grace, bool):
        seconds = float(grace)
    if seconds is None or not 0 <= seconds < 1e10:
        raise InvalidValueError(
            f"grace: {grace!r} is no time; it is seconds, or a text such as 14d, 12h, 30m or 0", path="grace"
        )
    return seconds
