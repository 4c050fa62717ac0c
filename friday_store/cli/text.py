"""Values as text for people and for TSV: cleaned of what could move a cursor or turn a line round."""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")
_STEPS: Final = ((60, 1, "second"), (3600, 60, "minute"), (86_400, 3600, "hour"), (86_400 * 60, 86_400, "day"))
_MONTH: Final = 86_400 * 30


def clean(text: str) -> str:
    r"""Return text with every control, bidi and other invisible character spelled out, such as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(_spelled(char) if unicodedata.category(char) in _UNSEEN else char for char in text)


def _spelled(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def masked(text: str) -> str:
    """Return text with every URL in it without user, password, query and fragment."""
    if "://" not in text:
        return text
    from friday_store.remotes.secrecy import shown_urls

    return shown_urls(text)


def flat(value: Any) -> str:
    """Return a value for a machine's table: whole digests, bytes as numbers, ISO times."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Mapping):
        return ",".join(f"{key}={flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ",".join(flat(item) for item in value)
    return str(value)


def plain(value: Any) -> str:
    """Return a value for people: six digits of a number, times to the minute."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return flat(value)


def short(value: Any) -> str:
    """Return the part of a digest, or of each of several, that is shown to people."""
    from friday_store.digest import SHOWN

    if isinstance(value, list | tuple):
        return ", ".join(short(item) for item in value)
    return str(value or "")[:SHOWN]


def size(value: Any) -> str:
    """Return a number of bytes in binary units."""
    if value is None or value < 1024:
        return "" if value is None else f"{value} B"
    power = min(int(math.log2(value)) // 10, len(_UNITS))
    return f"{value / 1024**power:.1f} {_UNITS[power - 1]}"


def ago(value: Any) -> str:
    """Return how long ago a time was."""
    if value is None:
        return ""
    passed = (dt.datetime.now(dt.UTC) - value).total_seconds()
    if passed < 2:
        return "just now"
    for below, unit, name in _STEPS:
        if passed < below:
            return _counted(int(passed // unit), name)
    months = int(passed // _MONTH)
    return _counted(months, "month") if months < 24 else _counted(months // 12, "year")


def lasting(seconds: Any) -> str:
    """Return how long something took, in three digits; nothing for None."""
    if seconds is None:
        return ""
    for unit, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'} ago"
