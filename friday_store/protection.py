"""Protection: the names in a repository that do not move by accident, and a mode in which nothing is ever taken away.

It is a fact of one repository, kept in its log: an entry with a ``protection`` key sets all of it anew, and every
entry after that one is made under it, whoever makes it and from wherever. So it needs no server, it comes back with
the log, and who switched it off stands there. It is not copied by a push, pull or clone, as git's protected branches
are not: a clone may try what it likes, and the shared repository says no.

As a map, in an entry or a checkpoint::

    {aliases: [globs over MODEL@ALIAS, sorted], append_only: true or false}

A protected alias is not made, moved or removed, but by an entry that says ``override: true``. In an append-only
repository no version, tag or note is removed and no byte is erased, by no entry at all.

This holds for every program that keeps to the format. Who can write the files of a repository can also write a log by
hand: such an entry is found by :mod:`friday_store.maintenance.history`, which replays the log under this rule.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from friday_store.errors import InvalidNameError, ProtectedError
from friday_store.refs import Move, Ref

PROTECTED: Final = "it is protected"
APPEND_ONLY: Final = "the repository is append-only"
_LONGEST: Final = 500


@dataclass(frozen=True)
class Protection:
    """What is protected; ``Protection.from_raw(each.to_raw()) == each``, unknown keys included.

    Attributes:
        aliases: Globs over ``MODEL@ALIAS``, sorted.
        append_only: Whether nothing is ever taken away.
    """

    aliases: tuple[str, ...] = ()
    append_only: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __bool__(self) -> bool:
        """Whether anything is protected."""
        return bool(self.aliases or self.append_only or self.extra)

    def to_raw(self) -> dict[str, Any]:
        """Return it as a plain map."""
        return {**self.extra, "aliases": list(self.aliases), "append_only": self.append_only}

    @classmethod
    def from_raw(cls, raw: Any) -> Protection:
        """Return what a map says.

        Raises:
            TypeError: It says nothing, or not in its only form; so do ValueError and KeyError.
        """
        if not isinstance(raw, dict):
            raise TypeError("expected a map of what is protected")
        rest = dict(raw)
        aliases, append_only = rest.pop("aliases"), rest.pop("append_only")
        if type(append_only) is not bool or not isinstance(aliases, list):
            raise TypeError("expected globs, and whether it is append-only")
        if aliases != sorted({glob(each) for each in aliases}):
            raise ValueError("the globs of what is protected are not sorted")
        return cls(tuple(aliases), append_only, rest)

    def with_aliases(self, globs: Iterable[str]) -> Protection:
        """Return it with more globs."""
        return replace(self, aliases=tuple(sorted({*self.aliases, *map(glob, globs)})))

    def without_aliases(self, globs: Iterable[str]) -> Protection:
        """Return it with fewer globs; one that is not there changes nothing."""
        gone = {glob(each) for each in globs}
        return replace(self, aliases=tuple(each for each in self.aliases if each not in gone))

    def covers(self, model: str, alias: str) -> bool:
        """Whether an alias is protected."""
        return any(fnmatch.fnmatchcase(f"{model}@{alias}", each) for each in self.aliases)

    def permit(self, moves: Iterable[Move], where: str, overridden: Collection[str] | None = ()) -> bool:
        """Return whether moves override what is protected.

        Args:
            moves: What one entry moves.
            where: The repository, for messages.
            overridden: The refs that may move although they are protected; None: all.

        Raises:
            ProtectedError: One may not, or something would be taken away from an append-only repository.
        """
        listed = list(moves) if self else []
        if (name := self.forbidden(listed)) is not None:
            raise append_only(where, f"this would remove {name}", name)
        guarded = self.guarded(listed)
        if overridden is not None and (name := next((each for each in guarded if each not in overridden), None)):
            ref = Ref.parse(name)
            raise ProtectedError(
                f"{ref.model}@{ref.name} is protected: it is not made, moved or removed by accident",
                ref=name,
                hint=f"if that is meant: friday-store alias --override {ref.model}@{ref.name} REV",
            )
        return bool(guarded)

    def guarded(self, moves: Iterable[Move]) -> list[str]:
        """Return the refs of those of some moves that need an override."""
        labels = (name for name, _, _ in moves if self.aliases and name.startswith("aliases/"))
        return [name for name in labels if self.covers((ref := Ref.parse(name)).model, ref.name)]

    def forbidden(self, moves: Iterable[Move]) -> str | None:
        """Return the first of some moves that nothing permits; None where there is none."""
        taken = (name for name, old, _ in moves if old is not None and not name.startswith("aliases/"))
        return next(taken, None) if self.append_only else None

    def reason(self, move: Move) -> str | None:
        """Return why a move is refused; None if it is not."""
        if self.forbidden([move]):
            return APPEND_ONLY
        return PROTECTED if self.guarded([move]) else None


def append_only(where: str, what: str, ref: str = "") -> ProtectedError:
    """Return the error for what an append-only repository does not do."""
    return ProtectedError(
        f"{where} is append-only, and {what}",
        ref=ref,
        hint="friday-store protect says since when; friday-store protect rm --append-only ends it, on record",
    )


def glob(text: object) -> str:
    """Return a glob over ``MODEL@ALIAS``; an alias alone stands for that of every model.

    Raises:
        InvalidNameError: It can match no alias.
    """
    if not isinstance(text, str) or not text or not text.isprintable() or len(text) > _LONGEST or " " in text:
        raise InvalidNameError(f"{str(text)[:80]!r} names no aliases; production, aapl_1d@production and 'aapl_*@*' do")
    return text if "@" in text else f"*@{text}"
