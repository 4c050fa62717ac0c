"""What a probe of a store found, as checks for ``doctor`` and as lines for ``init`` and ``remote add``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from friday_store.cli.session import Session
from friday_store.cli.text import clean

if TYPE_CHECKING:
    from friday_store.storage.probe import Probe

SKEW: Final = 5.0
"""Seconds between the store's clock and this one from which the times of versions and logs mislead."""


def checks(found: Probe, *, single_writer: bool) -> Iterator[tuple[str, str, str]]:
    """Yield what was found as check, state (``ok``, ``note``, ``warning`` or ``fail``) and detail.

    Args:
        found: What a probe found.
        single_writer: Whether the user vouches for being the only writer.
    """
    if not found.readable:
        yield "read", "fail", found.reason or "it cannot be read"
        return
    yield "read", "ok", "it can be read"
    if not found.writable:
        yield "write", "note", found.reason or "it cannot be written"
        return
    yield "write", "ok", "it can be written"
    if found.exclusive is None:
        yield "exclusive", "warning", found.reason or "whether it tells two writers apart could not be tried"
    elif found.exclusive:
        yield "exclusive", "ok", "a file can be created once, and once only"
    elif single_writer:
        yield "exclusive", "note", "it lets two writers create one file; you vouch that there is only one"
    else:
        yield "exclusive", "warning", "it lets two writers create one file, so it is not written to"
    if found.clock is not None:
        yield "clock", "warning" if abs(found.clock) > SKEW else "ok", f"its clock {_apart(found.clock)}"


def _apart(seconds: float) -> str:
    if abs(seconds) <= 1:
        return "agrees with this one to a second"
    return f"is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this one"


def told(session: Session, found: Probe, *, single_writer: bool) -> list[str]:
    """Say on stderr what is wrong, and return at most one line that says what is right."""
    seen = list(checks(found, single_writer=single_writer))
    for _, state, detail in seen:
        if state != "ok":
            session.say("note" if state == "note" else "warning", detail)
    fine = [detail for _, state, detail in seen if state == "ok"]
    return [clean("; ".join(fine))] if fine else []
