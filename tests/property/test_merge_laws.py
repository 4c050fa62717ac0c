"""The laws of the three-way rule, over every combination of what both sides and their last agreement can be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from friday_store.sync.merge import UNKNOWN, Base, Change, Verdict, judged
from friday_store.sync.track import Mark, Track

A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))
VALUES: Final = (None, A, B, C)
BASES: Final[tuple[Base, ...]] = (UNKNOWN, *VALUES)
VERSION: Final = "versions/m/1.0.0"
ALIAS: Final = "aliases/m/production"
TAG: Final = "tags/m/t/1.0.0"
NOTE: Final = f"notes/m/1.0.0/{A.hex()}"
NAMES: Final = (VERSION, ALIAS, TAG, NOTE)
WRITES: Final = {Verdict.NEW, Verdict.FORWARD, Verdict.REMOVE}

Side = bytes | None


def cases(*names: str) -> Iterator[tuple[str, Side, Side, Base]]:
    """Iterate over every name, value at the source, value at the target, and base."""
    yield from product(names, VALUES, VALUES, BASES)


def after(name: str, new: Side, there: Side, base: Base) -> Side:
    """Return where the target has a ref after its verdict was carried out."""
    verdict = judged(Change(name, new, base), there)
    return new if verdict in WRITES else there


@pytest.mark.parametrize("name", NAMES)
def test_what_is_equal_stays(name: str) -> None:
    """Both sides agree exactly when the verdict is that they do, whatever the base was."""
    for _, new, there, base in cases(name):
        assert (new == there) == (judged(Change(name, new, base), there) is Verdict.SAME)


def test_no_verdict_writes_over_a_version() -> None:
    """A version is written where there is none, or removed; it is never moved, and lineage is never asked."""
    for name, new, there, base in cases(VERSION):
        verdict = judged(Change(name, new, base), there)
        assert verdict not in (Verdict.FORWARD, Verdict.ASK)
        assert verdict is not Verdict.NEW or there is None
        if new is not None and there is not None and new != there:
            assert verdict is Verdict.CONFLICT


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_was_not_moved_by_the_target(name: str) -> None:
    """A target that moved a ref since the base is never overruled: only what is absent or at the base is written."""
    for _, new, there, base in cases(name):
        if judged(Change(name, new, base), there) in WRITES:
            assert there is None or there == base


@pytest.mark.parametrize("name", NAMES)
def test_only_what_is_at_the_base_is_removed(name: str) -> None:
    """A removal reaches the target exactly when the target still has what both had."""
    for _, new, there, base in cases(name):
        removed = judged(Change(name, new, base), there) is Verdict.REMOVE
        assert removed == (new is None and there is not None and there == base)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_that_did_not_move_wins_nothing_and_disputes_nothing(name: str) -> None:
    """Who still has what both had follows the other side, except that a version's content is disputed for ever."""
    for _, new, there, base in cases(name):
        if new == base and new != there and not (name == VERSION and new is not None and there is not None):
            expected = Verdict.BEHIND if name == ALIAS or new is None or there is None else Verdict.CONFLICT
            assert expected is judged(Change(name, new, base), there)


def test_forward_one_way_is_behind_the_other_way() -> None:
    """For an alias with a known base one side's step ahead is the other's step behind, and both never go ahead."""
    for name, new, there, base in cases(ALIAS):
        ways = judged(Change(name, new, base), there), judged(Change(name, there, base), new)
        if base is not UNKNOWN:
            assert (ways[0] in WRITES) == (ways[1] is Verdict.BEHIND)
            assert (ways[0] is Verdict.CONFLICT) == (ways[1] is Verdict.CONFLICT)
            if new is not None and there is not None:
                assert (ways[0] is Verdict.FORWARD) == (ways[1] is Verdict.BEHIND)
        assert ways != (Verdict.FORWARD, Verdict.FORWARD)
        assert (ways[0] is Verdict.ASK) == (ways[1] is Verdict.ASK)


def test_an_alias_is_disputed_exactly_when_both_moved_it() -> None:
    """The verdict is a conflict if both are elsewhere than at the base and not at the same place, and only then."""
    for name, new, there, base in cases(ALIAS):
        if base is not UNKNOWN:
            both = len({new, there, base}) == 3
            assert both == (judged(Change(name, new, base), there) is Verdict.CONFLICT)


@pytest.mark.parametrize("name", NAMES)
def test_a_push_and_a_pull_make_both_equal(name: str) -> None:
    """One exchange in each direction, in either order, ends in agreement, or in a conflict that both sides see."""
    for _, mine, theirs, base in cases(name):
        for first, second in ((mine, theirs), (theirs, mine)):
            pushed = after(name, first, second, base)
            pulled = after(name, pushed, first, base)
            verdicts = {judged(Change(name, pulled, base), pushed), judged(Change(name, pushed, base), pulled)}
            assert pulled == pushed or verdicts <= {Verdict.CONFLICT, Verdict.ASK}, (first, second, base)


@pytest.mark.parametrize("name", NAMES)
def test_repositories_that_have_not_met_remove_nothing(name: str) -> None:
    """Without a base nothing is removed, and what one side lacks is new there."""
    for new, there in product(VALUES, VALUES):
        verdict = judged(Change(name, new, UNKNOWN), there)
        assert verdict is not Verdict.REMOVE
        if there is None and new is not None:
            assert verdict is Verdict.NEW


MARKS = st.tuples(st.integers(1, 99), st.just(A.hex()))
PATTERNS = st.sampled_from(["*", "a*", "b", "c?"])


@given(st.lists(st.tuples(st.lists(PATTERNS, min_size=1, max_size=3, unique=True), MARKS), max_size=8), PATTERNS)
def test_a_mark_never_claims_more_than_was_considered(steps: list[tuple[list[str], Mark]], asked: str) -> None:
    """What is skipped for a pattern was considered for that pattern or for all; what was, is not considered again."""
    track, seq = Track(None), 0
    considered: dict[str, int] = {}
    for patterns, (more, digest) in steps:
        seq += more
        track.advance(track.pushed, patterns, (seq, digest))
        for pattern in patterns:
            considered[pattern] = seq
    known = [considered[pattern] for pattern in (asked, "*") if pattern in considered]
    found = track.since(track.pushed, [asked])
    assert (max(known) if known else None) == (found[0] if found else None)
