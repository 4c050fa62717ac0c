"""The laws of names: every ref has one spelling, no two names share one, versions sort as text as they do by rule."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import semver
from hypothesis import assume, example, given
from hypothesis import strategies as st

from friday_store import refs
from friday_store.errors import FridayStoreError, InvalidNameError
from friday_store.refs import Ref
from friday_store.testing import model_names, versions

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
refs_of_all_kinds = st.one_of(
    st.builds(Ref, st.just("versions"), model_names(), versions()),
    st.builds(Ref, st.just("aliases"), model_names(), model_names()),
    st.builds(Ref, st.just("tags"), model_names(), model_names(), versions()),
    st.builds(Ref, st.just("notes"), model_names(), versions(), digests),
)
any_text = st.text(max_size=12) | st.text("ab/.@{}~^:%-_ \\\x00\n\u202e\u0301é0", max_size=12)


@given(refs_of_all_kinds)
def test_refs_round_trip(ref: Ref) -> None:
    """``str(Ref.parse(str(r))) == str(r)``, and the parts are the same."""
    text = str(ref)
    assert ref == Ref.parse(text)
    assert text == str(Ref.parse(text))
    assert text.isascii()
    assert text.isprintable()


@given(refs_of_all_kinds, refs_of_all_kinds)
def test_no_two_refs_have_one_spelling(one: Ref, other: Ref) -> None:
    """Quoting is injective."""
    assert (one == other) == (str(one) == str(other))


@given(any_text, any_text)
def test_quoting_is_injective(one: str, other: str) -> None:
    """No two texts are quoted alike, and a quoted text has no slash."""
    assert (one == other) == (refs.quoted(one) == refs.quoted(other))
    assert "/" not in refs.quoted(one)


@given(any_text)
@example("versions/a/1.0.0")
@example("versions/%61/1.0.0")
def test_what_is_parsed_is_spelled_so(text: str) -> None:
    """Text that is read as a ref is exactly what that ref is written as."""
    try:
        ref = Ref.parse(text)
    except InvalidNameError:
        return
    assert text == str(ref)


@given(any_text)
def test_names_that_are_accepted(text: str) -> None:
    """An accepted name is composed, visible, short, no path that goes up, and nothing that a revision means."""
    try:
        assert text == refs.check_name(text, "model name")
    except InvalidNameError:
        return
    assert text == unicodedata.normalize("NFC", text)
    assert text.isprintable()
    assert len(text.encode()) <= refs.LONGEST
    assert ".." not in text.split("/")
    assert not set(text) & set(' :~?*[\\"<>|')
    assert text in {reading.name for reading in refs.parse(text)}
    assert {text} == {reading.name for reading in refs.parse(f"{text}:1.0.0")}
    assert (text, "production") in {(reading.name, reading.label) for reading in refs.parse(f"{text}@production")}


@given(model_names(), versions(), model_names(), st.integers(0, 9))
def test_revisions_of_names_that_can_be(name: str, version: str, label: str, up: int) -> None:
    """Whatever a model, version and alias are called, the revision that names them has that reading."""
    (exact,) = refs.parse(f"{name}:{version}~{up}")
    assert (exact.name, exact.version, exact.up) == (name, version, up)
    readings = {(reading.name, reading.label) for reading in refs.parse(f"{name}@{label}")}
    assert (name, label) in readings


@given(any_text)
def test_revisions_raise_one_error(text: str) -> None:
    """Any text is read in some way, or refused by one error."""
    try:
        readings = refs.parse(text)
    except InvalidNameError:
        return
    assert readings
    for reading in readings:
        assert reading.text == text
        assert bool(reading.name) != bool(reading.prefix)


@given(versions(), versions())
def test_precedence_is_semver_s(one: str, other: str) -> None:
    """Text compares as the versions do."""
    left, right = refs.check_version(one), refs.check_version(other)
    keys = refs.precedence(left), refs.precedence(right)
    assert left.compare(right) == (keys[0] > keys[1]) - (keys[0] < keys[1])


@given(st.lists(versions(), max_size=12))
def test_sorting_is_semver_s(texts: list[str]) -> None:
    """A whole list sorts as text as it does by rule."""
    found = sorted(map(refs.check_version, texts), key=refs.precedence)
    assert all(one.compare(other) <= 0 for one, other in pairwise(found))


@given(versions(), st.sampled_from(["major", "minor", "patch"]))
def test_the_next_version_is_higher(version: str, part: str) -> None:
    """The version after another is above it, is a release without build, and can be stored."""
    try:
        found = refs.bumped(version, part)
    except FridayStoreError:
        numbers = refs.check_version(version)
        assert max(numbers.major, numbers.minor, numbers.patch) == 10**15 - 1
        return
    parsed = refs.check_version(found)
    assert parsed.compare(version) > 0
    assert (parsed.prerelease, parsed.build) == (None, None)


@given(versions(), st.sampled_from(["^", ">=", "<=", ">", "<", "==", "!="]), versions())
def test_ranges_are_semver_s(bound: str, operator: str, version: str) -> None:
    """A bound holds for what semver says it holds for."""
    low, found = semver.Version.parse(bound), refs.check_version(version)
    try:
        matches = refs.matcher(f"{operator}{bound}")
    except InvalidNameError:
        assume(operator == "^")
        return
    if found.prerelease and not low.prerelease:
        assert not matches(found)
    elif operator == "^":
        assert not matches(found) or found >= low
        assert not matches(found) or found.major == low.major or found.prerelease
    else:
        assert matches(found) == found.match(f"{operator}{bound}")
