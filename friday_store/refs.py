"""Names: what a model, version, alias and tag may be called, refs, and the text that people type for a version.

A **ref** is a name for a digest, in one of four namespaces. Model names and tags may hold ``/``, so their
parts are percent-quoted in the ref; a ref is never a path::

    versions/<model>/<semver>          create-only
    aliases/<model>/<alias>            one version; moves
    tags/<model>/<tag>/<semver>        many versions per tag
    notes/<model>/<semver>/<digest>    grow-only

A **revision** is ``NAME``, ``NAME:1.4.0``, ``NAME:^1.4``, ``NAME@alias``, a digest or its prefix, each followed
by any number of ``~N`` (N-th ancestor) and at most one ``@{TIME}`` (as of then); and ``REMOTE/`` may stand
before it. Names may hold ``@`` and ``/`` too, so a text can have several readings: :func:`parse` returns them
all, and the repository keeps those that name something.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote

import semver

from friday_store import digest as digests
from friday_store.errors import InvalidNameError

LONGEST: Final = 200
MOST_FILES: Final = 10_000
RESERVED: Final = frozenset({"latest", "greatest"})
_FORBIDDEN: Final = frozenset(':~?*[\\"<>|')
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})
_SAFE: Final = "@+^=!$&'(),;"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+=-]{0,62}(?:[.][A-Za-z0-9_+=-]{1,64})?")
_SUFFIX: Final = re.compile(r"(?:~(?P<up>\d*)|@\{(?P<time>[^{}]*)\})\Z")
_BIG: Final = 10**15

Namespace = Literal["versions", "aliases", "tags", "notes"]
Move = tuple[str, bytes | None, bytes | None]
"""A ref's name, and the digests that it names before and after; None for absent."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A ref's name in its parts; ``str(Ref.parse(text)) == text`` for every ref that parses.

    Attributes:
        space: The namespace.
        model: The model's name.
        name: The version for ``versions`` and ``notes``, the alias, or the tag.
        leaf: The version for ``tags``, the note's digest in hex for ``notes``, else empty.
    """

    space: Namespace
    model: str
    name: str
    leaf: str = ""

    def __str__(self) -> str:
        parts = [self.space, quoted(self.model), quoted(self.name)]
        return "/".join([*parts, self.leaf] if self.leaf else parts)

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Return the parts of a ref's name, checked as strictly as where names are made.

        Raises:
            InvalidNameError: It is not a ref.
        """
        space, *rest = text.split("/")
        if space not in ("versions", "aliases", "tags", "notes") or len(rest) != (
            3 if space in ("tags", "notes") else 2
        ):
            raise InvalidNameError(f"{text[:200]!r} is not a ref")
        ref = cls(space, unquote(rest[0]), unquote(rest[1]), rest[2] if rest[2:] else "")  # type: ignore[arg-type]
        ref.check()
        if str(ref) != text:
            raise InvalidNameError(f"{text[:200]!r} is not a ref in its only spelling")
        return ref

    def check(self) -> None:
        """Refuse a ref with a part that could not have been made here.

        Raises:
            InvalidNameError: It names the part.
        """
        check_name(self.model, "model name")
        if self.space in ("versions", "notes"):
            check_version(self.name)
        else:
            check_name(self.name, "alias" if self.space == "aliases" else "tag")
        if self.space == "tags":
            check_version(self.leaf)
        elif self.space == "notes":
            digests.from_hex(self.leaf)


def quoted(text: str) -> str:
    """Return ``text`` as one part of a ref."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe=_SAFE)


def check_name(text: object, what: str) -> str:
    """Return ``text`` if it can name a model, an alias or a tag.

    Args:
        text: The name.
        what: ``model name``, ``alias`` or ``tag``, for the message; the last two may not be reserved words.

    Raises:
        InvalidNameError: The message says what is wrong with it.
    """
    if not isinstance(text, str):
        raise InvalidNameError(f"a {what} must be text, not {type(text).__name__}")
    if what != "model name" and text in RESERVED:
        raise InvalidNameError(f"{text!r} cannot be a {what}: it always means a version of its own")
    if _PLAIN.fullmatch(text) and not text.endswith(".lock") and len(text) != 64:
        return text
    problem = _problem(text)
    if problem:
        raise InvalidNameError(f"{text[:80]!r} cannot be a {what}: {problem}")
    return text


def check_files(names: Collection[object], what: str) -> None:
    """Refuse names of files unless each is one that can name a model, and none is also a folder of another.

    So no name leads out of the folder that the files are written to, and each can be written beside the others.

    Raises:
        InvalidNameError: The message says which, and what is wrong with it.
    """
    if len(names) > MOST_FILES:
        raise InvalidNameError(f"{len(names)} files are more than {MOST_FILES}")
    for name in names:
        checked = check_name(name, what)
        at = checked.find("/")
        while at >= 0:
            if checked[:at] in names:
                raise InvalidNameError(f"{checked[:at]!r} cannot be a {what}: it is a folder of {checked!r}")
            at = checked.find("/", at + 1)


def _problem(text: str) -> str | None:  # noqa: PLR0911 - one line per rule
    if not text:
        return "it is empty"
    if any(unicodedata.category(char) in _UNSEEN for char in text):
        return "it holds a space, a control character or an invisible one"
    if len(text.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    if unicodedata.normalize("NFC", text) != text:
        return "it is not in Unicode's composed form (NFC), so its twin would look the same"
    if bad := sorted(_FORBIDDEN.intersection(text)):
        return f"it holds {bad[0]!r}"
    if text == "@" or "@{" in text or ".." in text or text[0] == "-" or text[-1] == ".":
        return "it is '@', holds '@{' or '..', starts with '-' or ends with '.'"
    if any(not part or part[0] == "." or part.endswith(".lock") for part in text.split("/")):
        return "a part between slashes is empty, starts with '.' or ends with '.lock'"
    if len(text) == 64 and digests.is_prefix(text):
        return "it looks like a digest"
    return None


def check_version(text: object) -> semver.Version:
    """Return the parsed semantic version.

    Raises:
        InvalidNameError: It is not MAJOR.MINOR.PATCH, with optional pre-release and build.
    """
    if not isinstance(text, str) or len(text) > 100 or not text.isascii():
        raise InvalidNameError(f"{str(text)[:80]!r} is not a version; versions look like 1.4.0 or 2.0.0-rc.1")
    return _parsed(text)


@functools.lru_cache(maxsize=1 << 14)  # a registration asks about its version a dozen times
def _parsed(text: str) -> semver.Version:
    try:
        version = semver.Version.parse(text)
    except ValueError as error:
        raise InvalidNameError(f"{text!r} is not a version; versions look like 1.4.0 or 2.0.0-rc.1") from error
    if max(version.major, version.minor, version.patch) >= _BIG:
        raise InvalidNameError(f"{text!r} has a number of more than 15 digits")
    return version


def precedence(version: semver.Version) -> str:
    """Return text that sorts, byte by byte, as the versions do by semver precedence.

    Numbers have 15 digits. A release ends in ``~``; a pre-release in ``!`` and its identifiers, numeric ones
    (``0``, their length, their digits) before others (``1``), each closed by a blank, which sorts first.
    """
    core = f"{version.major:015d}.{version.minor:015d}.{version.patch:015d}"
    if version.prerelease is None:
        return core + "~"
    parts = version.prerelease.split(".")
    return core + "!" + "".join(f"0{len(p):03d}{p} " if p.isdigit() else f"1{p} " for p in parts)


def bumped(version: str | None, part: str) -> str:
    """Return the version after ``version``; the first is 1.0.0.

    Args:
        version: The highest version that exists; None when there is none.
        part: ``major``, ``minor`` or ``patch``; a pre-release that leads up to such a release moves to it.

    Raises:
        InvalidNameError: It is no such part, or the number after it has too many digits.
    """
    if version is None:
        return "1.0.0"
    if part not in ("major", "minor", "patch"):
        raise InvalidNameError(f"{part!r} is not a part of a version: major, minor or patch are")
    return str(check_version(str(semver.Version.parse(version).next_version(part))))


@dataclass(frozen=True)
class Revision:
    """One reading of what a user typed for a version.

    Attributes:
        text: The whole as typed, for messages.
        name: The model's name; empty when ``prefix`` is set.
        version: An exact version, or None.
        range: A range such as ``^1.4`` or ``>=1,<2``, or None.
        label: An alias, a tag, ``latest`` or ``greatest``, or None.
        prefix: A digest or a prefix of one, or None.
        up: How many ancestors to go up.
        time: As of when, or None for now.
    """

    text: str
    name: str = ""
    version: str | None = None
    range: str | None = None
    label: str | None = None
    prefix: str | None = None
    up: int = 0
    time: dt.datetime | None = None


def parse(text: str) -> tuple[Revision, ...]:
    """Return every possible reading of a revision, the likeliest first.

    Raises:
        InvalidNameError: No reading is possible.
    """
    base, up, time = _suffixes(text)
    found: list[Revision] = []
    if ":" in base:
        name, _, chosen = base.partition(":")
        found.append(_selected(text, name, chosen, up, time))
    else:
        cuts = [place for place, char in enumerate(base) if char == "@"]
        readings = [Revision(text, name=base, up=up, time=time)]
        readings += [Revision(text, name=base[:at], label=base[at + 1 :], up=up, time=time) for at in cuts]
        found = [reading for reading in readings if _named(reading)]
        if digests.is_prefix(base):
            found.append(Revision(text, prefix=base, up=up, time=time))
    if not found:
        problem = _problem(base.partition("@")[0]) or "it is no name, NAME:VERSION, NAME@ALIAS or digest"
        raise InvalidNameError(f"{text[:80]!r} is not a revision: {problem}", hint="friday-store help revisions")
    return tuple(found)


def _named(reading: Revision) -> bool:
    label = reading.label
    return _problem(reading.name) is None and (label is None or label in RESERVED or _problem(label) is None)


def _selected(text: str, name: str, chosen: str, up: int, time: dt.datetime | None) -> Revision:
    check_name(name, "model name")
    if chosen[:1].isdigit() and "," not in chosen:
        return Revision(text, name=name, version=str(check_version(chosen)), up=up, time=time)
    matcher(chosen)
    return Revision(text, name=name, range=chosen, up=up, time=time)


def _suffixes(text: str) -> tuple[str, int, dt.datetime | None]:
    base, up, time = text, 0, None
    while match := _SUFFIX.search(base):
        base = base[: match.start()]
        if match["time"] is not None:
            if time is not None:
                raise InvalidNameError(f"{text[:80]!r} has two times")
            time = moment(match["time"])
        else:
            steps = match["up"] or "1"
            if len(steps) > 9:
                raise InvalidNameError(f"{text[:80]!r} goes up too far")
            up += int(steps)
    return base, up, time


def moment(text: str) -> dt.datetime:
    """Return the time in ISO 8601 form, read as UTC when it names no zone.

    Raises:
        InvalidNameError: It is not a date or time.
    """
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidNameError(
            f"{text[:80]!r} is not a time; times look like 2026-05-01 or 2026-05-01T12:00"
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Matcher:
    """A version range: every (operator, version) must hold."""

    bounds: tuple[tuple[str, semver.Version], ...]
    pre: bool

    def __call__(self, version: semver.Version) -> bool:
        """Whether ``version`` lies in the range; pre-releases only if the range names one."""
        return (self.pre or version.prerelease is None) and all(
            version.match(f"{operator}{bound}") for operator, bound in self.bounds
        )


def matcher(text: str) -> Matcher:
    """Return the range written as ``^1.4`` (up to the next major) or ``>=1,<2`` (all must hold).

    Raises:
        InvalidNameError: It is no range.
    """
    bounds: list[tuple[str, semver.Version]] = []
    for part in text.split(","):
        match = re.fullmatch(
            r"(\^|>=|<=|>|<|==|!=|=)\s*(\d{1,15}(?:\.\d{1,15}){0,2})((?:-|\+)[0-9A-Za-z.+-]+)?", part.strip()
        )
        if match is None:
            raise InvalidNameError(f"{text[:80]!r} is not a version or a range such as ^1.4 or >=1,<2")
        operator, core, tail = match.groups()
        version = check_version(".".join([*core.split("."), "0", "0"][:3]) + (tail or ""))
        if operator == "^":
            bounds += [(">=", version), ("<", _ceiling(version))]
        else:
            bounds.append(("==" if operator == "=" else operator, version))
    return Matcher(tuple(bounds), pre=any(bound.prerelease for _, bound in bounds))


def _ceiling(version: semver.Version) -> semver.Version:
    """Return the first version that ``^version`` leaves out: the leftmost non-zero number plus one."""
    if version.major:
        return version.bump_major()
    return version.bump_minor() if version.minor else version.bump_patch()
