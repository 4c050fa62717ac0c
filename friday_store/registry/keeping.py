"""Keeping: which versions stay, by rule, and when the bytes of those that do not are erased."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from friday_store.errors import InvalidValueError
from friday_store.registry import history
from friday_store.registry.exchange import Exchange
from friday_store.repository import Transaction

if TYPE_CHECKING:
    from friday_store.maintenance.gc import GcReport
    from friday_store.registry.retention import Fate

_UNITS: Final[Mapping[str, int]] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


class Keeping(Exchange):
    """What lets go of versions and of bytes."""

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
        """
        from friday_store.registry import retention

        rule = retention.Rule.of(keep_last, keep_best, keep_tags, higher_is_better)

        def plan(transaction: Transaction) -> list[Fate]:
            fates, rows = retention.judged(self.repository, pattern, rule)
            if not dry_run:
                history.forget(self.repository, transaction, rows, force=False)
            return fates

        if dry_run:
            return retention.judged(self.repository, pattern, rule)[0]
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
