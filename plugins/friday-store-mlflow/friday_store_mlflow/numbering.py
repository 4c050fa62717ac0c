"""Versions as MLflow counts them: one whole number for each release, in the same order.

MLflow's version N is ``0.0.N`` here, and MAJOR.MINOR.PATCH is ``(MAJOR * 100000 + MINOR) * 100000 + PATCH`` there.
The two are inverse, and they keep order, so that "the highest number" and "the highest version" are one thing for every
client; and the next patch of ``0.0.7``, which friday-store picks by itself, is MLflow's next number. A pre-release, a
version with build metadata, and one whose minor or patch has more than five digits have no number.
"""

from __future__ import annotations

from typing import Final

from friday_store import refs
from friday_store.errors import InvalidNameError

_BASE: Final = 100_000
_MOST: Final = 10**15


def version_of(number: int) -> str:
    """Return the semantic version that is an MLflow version's counterpart.

    Raises:
        InvalidNameError: The number is negative, or has too many digits.
    """
    if number < 0 or number // _BASE**2 >= _MOST:
        raise InvalidNameError(f"{number} is not the number of a version")
    rest, patch = divmod(number, _BASE)
    major, minor = divmod(rest, _BASE)
    return f"{major}.{minor}.{patch}"


def number_of(version: str) -> int | None:
    """Return the number of a semantic version; None if it has none."""
    parsed = refs.check_version(version)
    if parsed.prerelease is not None or parsed.build is not None or max(parsed.minor, parsed.patch) >= _BASE:
        return None
    return (parsed.major * _BASE + parsed.minor) * _BASE + parsed.patch
