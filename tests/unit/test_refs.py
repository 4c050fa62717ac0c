"""What names, versions, refs and revisions promise."""

from __future__ import annotations

import datetime as dt
import itertools
import unicodedata

import pytest
import semver

from friday_store import refs
from friday_store.errors import InvalidNameError
from friday_store.refs import Ref, Revision

UTC = dt.UTC
DIGEST = "0123456789abcdef" * 4

# What git's own test of check-ref-format (t1402) refuses and accepts, without its rewriting options.
GIT_INVALID = [
    "", "/", "refs///heads/foo", "heads/foo/", "/heads/foo", "///heads/foo", "./foo", "./foo/bar", "foo/./bar",
    "foo/bar/.", ".refs/foo", "refs/heads/foo.", "heads/foo..bar", "heads/foo?bar", "heads/foo.lock",
    "heads///foo.lock", "foo.lock/bar", "foo.lock///bar", "heads/v@{ation", "heads/foo\\bar", "heads/foo\t",
    "heads/foo\x7f", "heads/*foo/bar", "heads/foo*/bar", "heads/f*o/bar", "heads/f*o*/bar", "heads/foo*/bar*",
    "foo/*", "*/foo", "foo/*/bar", "*", "foo/*/*", "*/foo/*", "*/*/foo", "/foo", "@", "@{-1}", "-naster", "foo/bar/",
    "//", "foo//bar", "a~b", "a^b:c", "a:b", "a[b", "a b", "..", ".", "a/..", "a/.b", ".lock", "a.lock",
]  # fmt: skip
GIT_VALID = [
    "foo", "foo/bar", "foo/bar/baz", "foo./bar", "heads/foo@bar", "heads/fuß", "refs/heads/foo", "heads/foo",
    "heads/foo-bar", "heads/foo_bar", "a", "a/b", "master", "HEAD", "foo-", "a-b/c-d", "v1.0", "a.b.c", "a@b", "@a",
    "a@", "foo.locked", "lock", "a{b", "a}b", "a@b@c", "x/y/z/w", "1", "0/0",
]  # fmt: skip
OWN_INVALID = [
    "a\x00b", "a\rb", "a\nb", "a\n", "\x1b[31m", "a\x85b", "../../evil", "a/../b", "....", "model.lock", "x@{1}",
    "-rf", "--help", "a" * 201, "a" * 300, "a." + "b" * 300, "é" * 101, "ab" * 32, "0" * 64, DIGEST, "a.", "a ", " a",
    "a\u00a0b", "a\u3000b", "a:b", "C:\\x", "a<b", "a>b", 'a"b', "a|b", "\u202egpj", "a\u200bb", "a\u200db", "\ufeffa",
    "a\u2028b", "e\u0301", "\u212b", "\ud800", "\ue000", "a\u0378", "~", "?", "[a]", "a//b", "a/", "/a", "\\\\host\\x",
]  # fmt: skip
OWN_VALID = [
    "CON", "nul", "aux.txt", "latest", "greatest", "deadbeef", "a" * 200, "é" * 100, "é", "A", "a", "a/b", "a%2Fb",
    "a%b", "%", "漢字", "Ω", "1.0.0", "AAPL_1d", "BRK.B", "^GSPC", "EURUSD=X", "a+b", "a@b", "a,b", "a;b", "a'b",
    "$HOME", "$(x)", "`x`", "#1", "!", "a&b", "(a)", "🙂",
]  # fmt: skip


@pytest.mark.parametrize("text", [*GIT_INVALID, *OWN_INVALID], ids=ascii)
def test_names_that_cannot_be(text: str) -> None:
    """What git refuses, and what looks like something else or nothing, is refused with a short reason."""
    with pytest.raises(InvalidNameError) as caught:
        refs.check_name(text, "model name")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
    with pytest.raises(InvalidNameError):
        Ref.parse(f"versions/{refs.quoted(text.encode('utf-8', 'replace').decode())}/1.0.0")


@pytest.mark.parametrize("text", [*GIT_VALID, *OWN_VALID], ids=ascii)
def test_names_that_can_be(text: str) -> None:
    """What git accepts is accepted, and comes back from its ref unchanged."""
    assert text == refs.check_name(text, "model name")
    ref = Ref("versions", text, "1.0.0")
    assert ref == Ref.parse(str(ref))
    assert str(ref).isascii()
    assert len(str(ref).split("/")) == 3


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"], object()])
def test_names_are_text(value: object) -> None:
    """Anything but text is refused by the same error."""
    with pytest.raises(InvalidNameError):
        refs.check_name(value, "tag")
    with pytest.raises(InvalidNameError):
        refs.check_version(value)


def test_no_two_names_have_one_ref() -> None:
    """Quoting is injective: case twins, slashes and percent signs included, also on a disk that folds case."""
    names = {*GIT_VALID, *OWN_VALID}
    assert len(names) == len({refs.quoted(name) for name in names})
    assert refs.quoted("a/b") == "a%2Fb"
    assert refs.quoted("a%2Fb") == "a%252Fb"


def test_a_decomposed_twin_is_refused() -> None:
    """Of two names that look the same, one can exist."""
    for text in ("é", "Å", "ñandú"):
        assert refs.check_name(unicodedata.normalize("NFC", text), "tag")
        with pytest.raises(InvalidNameError, match="NFC"):
            refs.check_name(unicodedata.normalize("NFD", text), "tag")


@pytest.mark.parametrize("what", ["alias", "tag"])
@pytest.mark.parametrize("word", ["latest", "greatest"])
def test_reserved_words(what: str, word: str) -> None:
    """Words with a meaning of their own are no tags or aliases; a model can have that name."""
    with pytest.raises(InvalidNameError):
        refs.check_name(word, what)
    assert word == refs.check_name(word, "model name")
    with pytest.raises(InvalidNameError):
        Ref.parse(f"aliases/m/{word}")


@pytest.mark.parametrize(
    "ref",
    [
        Ref("versions", "m", "1.0.0-rc.1+build.5"),
        Ref("aliases", "a/b", "production"),
        Ref("tags", "m", "team/x", "1.0.0"),
        Ref("notes", "m", "1.0.0", DIGEST),
    ],
)
def test_refs_come_back_from_their_text(ref: Ref) -> None:
    """Every ref that can be made is read back as it was."""
    assert ref == Ref.parse(str(ref))


@pytest.mark.parametrize(
    "text",
    [
        "", "versions", "versions/m", "versions/m/1.0", "versions/m/1.0.0/x", "versions//1.0.0", "heads/m/1.0.0",
        "tags/m/t", "tags/m/t/v1", "tags/m/t/1.0.0/x", "tags/m/latest/1.0.0", "notes/m/1.0.0/abc", "notes/m/1.0.0/",
        f"notes/m/1.0.0/{DIGEST.upper()}", "aliases/m/", "aliases/m/a b", "versions/a%2/1.0.0", "versions/%61/1.0.0",
        "versions/a%2fb/1.0.0", "versions/%FF/1.0.0", "versions/../1.0.0", "versions/m/01.0.0", "Versions/m/1.0.0",
        "versions/a%00/1.0.0", "aliases/m/%2e%2e", "versions/é/1.0.0",
    ],
)  # fmt: skip
def test_refs_have_one_spelling(text: str) -> None:
    """A ref that this package would not write is refused, wherever it came from."""
    with pytest.raises(InvalidNameError):
        Ref.parse(text)


# In the order of semver.org's own example, and a few steps beyond it.
ORDERED = [
    "0.0.0-0", "0.0.0", "0.0.1", "0.1.0", "0.9.9", "1.0.0-0", "1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0--",
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.1.0", "1.0.0-alpha.beta", "1.0.0-alpha-", "1.0.0-alpha0", "1.0.0-beta",
    "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-a", "1.0.1", "1.0.9", "1.0.10", "1.9.0", "1.10.0",
    "2.0.0", "9.0.0", "10.0.0", "999999999999999.0.0",
]  # fmt: skip


def test_versions_sort_as_semver_says() -> None:
    """Precedence as text orders every pair as the semver library compares them, so 10.0.0 is above 9.0.0."""
    for one, other in itertools.product(ORDERED, repeat=2):
        left, right = refs.check_version(one), refs.check_version(other)
        expected = left.compare(right)
        found = (refs.precedence(left) > refs.precedence(right)) - (refs.precedence(left) < refs.precedence(right))
        assert expected == found, (one, other)
    assert sorted(ORDERED, key=lambda text: refs.precedence(refs.check_version(text))) == ORDERED


def test_builds_do_not_count() -> None:
    """Build metadata is a part of the version and not of its precedence."""
    plain, built = refs.check_version("1.0.0-rc.1"), refs.check_version("1.0.0-rc.1+b.7")
    assert refs.precedence(plain) == refs.precedence(built)
    assert plain.compare(built) == 0


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.00.0", "1.0.0-", "1.0.0+", "1.0.0-01", "1.0.0-a..b", "1.0.0 ",
        "1.0.0\n", " 1.0.0", "1.0.0-ä", "\u0661.\u0660.\u0660", "1.0.0/..", "1.0.0-" + "a" * 100,
        "1000000000000000.0.0", "-1.0.0", "1.0.0+a+b", "latest", "1.0.0\x00",
    ],
    ids=ascii,
)  # fmt: skip
def test_versions_that_cannot_be(text: str) -> None:
    """What is not exactly a semantic version is refused."""
    with pytest.raises(InvalidNameError):
        refs.check_version(text)


@pytest.mark.parametrize(
    ("version", "part", "expected"),
    [
        (None, "patch", "1.0.0"), (None, "major", "1.0.0"), ("1.2.3", "patch", "1.2.4"), ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "major", "2.0.0"), ("0.9.9", "patch", "0.9.10"), ("2.0.0-rc.1", "patch", "2.0.0"),
        ("2.0.0-rc.1", "major", "2.0.0"), ("2.1.1-rc.1", "minor", "2.2.0"), ("1.0.0+build", "patch", "1.0.1"),
        ("1.0.0-rc.1+build", "patch", "1.0.0"), ("9.9.9", "patch", "9.9.10"),
    ],
)  # fmt: skip
def test_the_next_version(version: str | None, part: str, expected: str) -> None:
    """The version after another is higher, has no tail, and is its own release if it was a pre-release."""
    assert expected == refs.bumped(version, part)
    if version is not None:
        assert semver.Version.parse(expected) > semver.Version.parse(version)


def test_there_is_no_version_after_the_last() -> None:
    """A number that would grow past fifteen digits is refused, and not written where nobody could read it."""
    with pytest.raises(InvalidNameError, match="15 digits"):
        refs.bumped("1.0.999999999999999", "patch")
    with pytest.raises(InvalidNameError):
        refs.bumped("1.0.0", "build")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m", [Revision("m", name="m")]),
        ("a/b", [Revision("a/b", name="a/b")]),
        ("m:1.4.0", [Revision("m:1.4.0", name="m", version="1.4.0")]),
        ("m:2.0.0-rc.1+b", [Revision("m:2.0.0-rc.1+b", name="m", version="2.0.0-rc.1+b")]),
        ("m:^1.4", [Revision("m:^1.4", name="m", range="^1.4")]),
        ("m:>=1,<2", [Revision("m:>=1,<2", name="m", range=">=1,<2")]),
        ("m@prod", [Revision("m@prod", name="m@prod"), Revision("m@prod", name="m", label="prod")]),
        ("m@latest", [Revision("m@latest", name="m@latest"), Revision("m@latest", name="m", label="latest")]),
        ("m~", [Revision("m~", name="m", up=1)]),
        ("m~2", [Revision("m~2", name="m", up=2)]),
        ("m~1~2~", [Revision("m~1~2~", name="m", up=4)]),
        ("m@{2026-05-01}", [Revision("m@{2026-05-01}", name="m", time=dt.datetime(2026, 5, 1, tzinfo=UTC))]),
        (
            "m:1.0.0@{2026-05-01T12:00+02:00}~3",
            [
                Revision(
                    "m:1.0.0@{2026-05-01T12:00+02:00}~3", name="m", version="1.0.0", up=3,
                    time=dt.datetime(2026, 5, 1, 10, tzinfo=UTC),
                )
            ],
        ),
        ("deadbeef", [Revision("deadbeef", name="deadbeef"), Revision("deadbeef", prefix="deadbeef")]),
        (DIGEST, [Revision(DIGEST, prefix=DIGEST)]),
        ("deadbee", [Revision("deadbee", name="deadbee")]),
        (
            "a@b@c",
            [
                Revision("a@b@c", name="a@b@c"),
                Revision("a@b@c", name="a", label="b@c"),
                Revision("a@b@c", name="a@b", label="c"),
            ],
        ),
    ],
)  # fmt: skip
def test_every_reading_of_a_revision(text: str, expected: list[Revision]) -> None:
    """A revision is read in every way that it can be, and in no other."""
    assert expected == list(refs.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "m:", ":1.0.0", "m:1", "m:1.0", "m:v1.0.0", "m:~1", "m:1.0.0:2.0.0", "@", "~1", "m~x",
        "m:>=1,", "m@{2026-13-01}", "m@{}", "m@{yesterday}", "m@{2026-05-01}@{2026-05-02}", "m~9999999999", "m:^",
        "m:>=", "m:*", "m:1.x", "a b", "a..b", "../m", "-m", "m\x00", "m\n", "m:1.0.0\n", "m:>=1;drop", "m:^1.4 || ^2",
    ],
    ids=ascii,
)  # fmt: skip
def test_revisions_that_cannot_be(text: str) -> None:
    """What has no reading is refused, with a hint where the grammar is explained."""
    with pytest.raises(InvalidNameError) as caught:
        refs.parse(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("^1.4", ["1.4.0", "1.99.0"], ["1.3.9", "2.0.0", "1.5.0-rc.1", "2.0.0-rc.1"]),
        ("^0.3", ["0.3.0", "0.3.9"], ["0.2.9", "0.4.0", "1.0.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.2", "0.0.4"]),
        (">=1,<2", ["1.0.0", "1.9.9"], ["0.9.9", "2.0.0", "2.0.0-rc.1"]),
        (">1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<=1.2", ["1.2.0"], ["1.2.1"]),
        ("==1.2.3", ["1.2.3", "1.2.3+b"], ["1.2.4"]),
        ("=1.2.3", ["1.2.3"], ["1.2.4"]),
        (">=1, !=1.5.0, <2", ["1.4.0"], ["1.5.0"]),
        (">=2.0.0-rc.1", ["2.0.0-rc.1", "2.0.0-rc.2", "2.0.0"], ["2.0.0-beta", "1.9.9"]),
        (">= 1", ["1.0.0"], ["0.9.0"]),
    ],
)
def test_ranges(text: str, inside: list[str], outside: list[str]) -> None:
    """A range takes in what it says, and pre-releases only if it names one."""
    matches = refs.matcher(text)
    assert [(version, True) for version in inside] == [(v, matches(refs.check_version(v))) for v in inside]
    assert [(version, False) for version in outside] == [(v, matches(refs.check_version(v))) for v in outside]


def test_times_without_a_zone_are_utc() -> None:
    """A time means the same everywhere."""
    assert refs.moment("2026-05-01T12:00") == dt.datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert refs.moment("2026-05-01T12:00+02:00") == dt.datetime(2026, 5, 1, 10, tzinfo=UTC)
