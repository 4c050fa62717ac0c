"""What a run of log entries comes to: the state after them, whole or told from an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from friday_store import codec
from friday_store.errors import IntegrityError
from friday_store.log.entry import LogEntry, entry_path, of, opened, pack_name, side, whole
from friday_store.protection import Protection

CHECKPOINT_CAP: Final = 1 << 30


@dataclass
class State:
    """Refs and live packs after one entry: all of them, or where ``after`` is not 0 those that are news since then.

    Attributes:
        seq: The entry's number; 0 before the first.
        entry: Its digest; that of ``friday-store.json`` before the first.
        time: Its time.
        refs: Name to (digest, birth, origin).
        packs: Name to (size, birth), in the order in which they came.
        protection: What is protected.
        after: The number of the entry that this is told from; 0: from nothing.
        base: The digest of that entry; empty where ``after`` is 0.
        gone: Refs that were there then, and have been moved or removed since; none where ``after`` is 0.
        removed: Packs that were in use then, and are not any more; none where ``after`` is 0.
        reprotected: Whether an entry since then says what is protected; False where ``after`` is 0.
    """

    seq: int
    entry: bytes
    time: int = 0
    refs: dict[str, tuple[bytes, int, str]] = field(default_factory=dict)
    packs: dict[str, tuple[int, int]] = field(default_factory=dict)
    protection: Protection = field(default_factory=Protection)
    after: int = 0
    base: bytes = b""
    gone: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    reprotected: bool = False

    @property
    def weight(self) -> int:
        """How many facts it holds, which is what it takes to read or write it."""
        return len(self.refs) + len(self.packs) + len(self.gone) + len(self.removed)

    def apply(self, entry: LogEntry, digest: bytes) -> None:
        """Move on by one entry.

        Raises:
            IntegrityError: It does not follow this state.
        """
        if entry.seq != self.seq + 1 or entry.prev != self.entry:
            raise IntegrityError(f"log entry {entry.seq} does not follow entry {self.seq}", path=entry_path(entry.seq))
        for birth, (name, old, new) in entry.births():
            if not self._left(name, old):
                raise IntegrityError(f"log entry {entry.seq} moves {name} from where it was not")
            if new is not None:
                self.refs[name] = (new, birth, entry.origin)
        for name, size, birth in entry.packs_born():
            self.packs[name] = (size, birth)
        for name in entry.packs_removed:
            self._put_out(name)
        if entry.protection is not None:
            self._protect(entry.protection)
        self.seq, self.entry, self.time = entry.seq, digest, entry.time

    def join(self, later: State) -> None:
        """Move on by what ``later`` tells from the entry of this state; the same as to apply its entries.

        Raises:
            IntegrityError: It is not told from there.
        """
        if later.after != self.seq or (later.after and later.base != self.entry):
            raise IntegrityError(f"checkpoint {later.seq} is not told from entry {self.seq} of this log")
        for name in later.gone:
            before = self.refs.get(name)
            if not self._left(name, b"" if before is None else before[0]):
                raise IntegrityError(f"checkpoint {later.seq} moves {name}, which was not there")
        self.refs.update(later.refs)
        for name in later.removed:
            self._put_out(name)
        self.packs.update(later.packs)
        if later.reprotected or not later.after:
            self._protect(later.protection)
        self.seq, self.entry, self.time = later.seq, later.entry, later.time

    def _left(self, name: str, old: bytes | None) -> bool:
        """Take a ref from where it was, and return whether it can have been there."""
        known = self.refs.pop(name, None)
        if known is not None:
            return known[0] == old
        if old is not None and self.after:
            self.gone.add(name)
        return old is None or bool(self.after)

    def _put_out(self, name: str) -> None:
        if self.packs.pop(name, None) is None and self.after:
            self.removed.add(name)

    def _protect(self, protection: Protection) -> None:
        self.protection = protection
        self.reprotected = bool(self.after)

    def to_bytes(self) -> bytes:
        """Return the canonical bytes of a checkpoint: equal states give equal bytes."""
        fields: dict[str, Any] = {
            "kind": "checkpoint",
            "schema": 1,
            "seq": self.seq,
            "entry": self.entry,
            "time": self.time,
            "packs": [(name, *self.packs[name]) for name in self.packs],
            "refs": [(name, *self.refs[name]) for name in sorted(self.refs)],
        }
        if self.after:
            news = {"after": self.after, "base": self.base, "gone": sorted(self.gone), "removed": sorted(self.removed)}
            fields |= {"schema": 2, **news}
        if self.reprotected or self.protection:
            fields["protection"] = self.protection.to_raw()
        return codec.encode(fields)

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """Return the state in a checkpoint's bytes.

        Raises:
            IntegrityError: It is none.
        """
        raw = opened(data, "checkpoint", CHECKPOINT_CAP, schemas=(1, 2))
        try:
            return cls(
                whole(raw["seq"]),
                of(bytes, raw["entry"]),
                whole(raw["time"]),
                {of(str, n): (of(bytes, d), whole(b), of(str, o)) for n, d, b, o in raw["refs"]},
                {pack_name(name): (whole(size), whole(birth)) for name, size, birth in raw["packs"]},
                Protection.from_raw(raw["protection"]) if "protection" in raw else Protection(),
                **(_news(raw) if "after" in raw else {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"malformed checkpoint: {error}") from error


def _news(raw: Mapping[str, Any]) -> dict[str, Any]:
    after, base = whole(raw["after"]), side(raw["base"])
    if base is None or not 0 < after < raw["seq"]:
        raise ValueError("it is told from an entry that cannot be")
    return {
        "after": after,
        "base": base,
        "gone": {of(str, name) for name in raw["gone"]},
        "reprotected": "protection" in raw,
        "removed": {pack_name(name) for name in raw["removed"]},
    }
