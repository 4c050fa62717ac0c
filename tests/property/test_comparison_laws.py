"""The laws of comparing: nothing differs from itself, turning round mirrors, lineage is the parents, bytes add up."""

from __future__ import annotations

import datetime as dt
import math
import pickle
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from friday_store import Comparison, ModelOperations
from friday_store.comparison import coefficients, compare, outlines, pickles
from friday_store.comparison.arrays import array_of, dtype_of, scalar_of
from friday_store.comparison.versions import same
from friday_store.index.mirror import SECTIONS
from friday_store.lineage import Edge
from friday_store.manifest import Artifact, PartEntry
from friday_store.plugins import Plugins
from friday_store.testing import plain_values

BLOCK = 1 << 20
numbers = st.floats() | st.integers(-(10**6), 10**6)
sections = st.dictionaries(st.sampled_from("abcd"), plain_values(nan=True, leaves=4), max_size=3)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what a registry may say of a version."""
    made: dict[str, Any] = {section: draw(sections) for section in SECTIONS}
    made["metrics"] = draw(st.dictionaries(st.sampled_from(["rmse", "r2", "x"]), numbers, max_size=3))
    made["pipeline_steps"] = draw(st.just([]) | st.just([{"name": "s", "class": "c"}]))
    made["input_schema"] = {"features": draw(st.lists(st.sampled_from("abcd"), unique=True))}
    created = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=draw(st.integers(0, 10**6)))
    own: dict[str, Any] = {
        "model_name": "m",
        "model_version": "1.0.0",
        "model_id": draw(st.sampled_from(["1", "2"])) * 64,
    }
    own |= {"model_type": draw(st.sampled_from(["Ridge", "Lasso"])), "status": "active", "description": ""}
    own |= {"author": "me", "serializer": "json", "artifact": "0" * 64, "tags": draw(st.lists(st.sampled_from("ab")))}
    return {**made, **own, "aliases": [], "size_bytes": draw(st.integers(0, 10**9)), "created_at": created}


def forms(found: Comparison) -> tuple[Any, ...]:
    """Return every form of a comparison, which must be possible."""
    return found.to_text(), found.to_json(), found._repr_html_(), len(found.to_frame())


@given(records())
def test_nothing_differs_from_itself(record: dict[str, Any]) -> None:
    """A version beside itself shows nothing, whatever is recorded of it."""
    found = compare([record, record])
    assert not found
    assert () == found.differing().rows
    assert ((), ()) == (found.features_added, found.features_removed)
    assert dt.timedelta(0) == found.time_between


@given(records(), records())
def test_turning_round_mirrors(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Values and differences turn round, and so do added and removed features; every form can be made."""
    there, back = compare([one, other]), compare([other, one])
    assert (there.features_added, there.features_removed) == (back.features_removed, back.features_added)
    assert there.time_between == -back.time_between
    mirrored = {(row.section, row.name): row for row in back.rows}
    assert len(mirrored) == len(there.rows)
    for row in there.rows:
        twin = mirrored[row.section, row.name]
        assert row.same == twin.same
        assert same(list(row.sides), list(twin.sides[::-1]))
        (ahead,), (behind,) = row.differences, twin.differences
        assert ahead == (None if behind is None else -behind)
        (percent,) = row.percents
        assert percent is None or math.isfinite(percent)
    assert forms(there)[3] == 2 * len(there.rows)


@settings(max_examples=15)
@given(st.data())
def test_lineage_is_exactly_the_parents(data: st.DataObject) -> None:
    """Of any history, edges are the parents of what is reached, and ancestors and descendants are each other's."""
    count = data.draw(st.integers(2, 7))
    with (
        tempfile.TemporaryDirectory() as folder,
        ModelOperations(Path(folder) / "r", plugins=Plugins(())) as operations,
    ):
        ids: list[str] = []
        parents: dict[str, list[str]] = {}
        for number in range(count):
            chosen = data.draw(st.lists(st.sampled_from([*ids, "f" * 64]), unique=True, max_size=3))
            ids.append(operations.register_model({"n": number}, f"m{number}", parents=chosen, serializer="json"))
            parents[ids[-1]] = chosen
        above = {each: reached(each, parents) for each in ids}
        for each in ids:
            found = operations.lineage(each)
            expected = {Edge(child, parent) for child in above[each] for parent in parents.get(child, ())}
            assert expected == set(found.edges)
            assert len(expected) == len(found.edges)
            assert above[each] == {node.model_id for node in found.nodes}
            below = operations.lineage(each, "descendants")
            assert {other for other in ids if each in above[other]} == {node.model_id for node in below.nodes}
        one, other = data.draw(st.sampled_from(ids)), data.draw(st.sampled_from(ids))
        nearest = operations.common_ancestor(one, other)
        both = above[one] & above[other]
        assert (nearest is None) == (not both)
        if nearest is not None:
            assert nearest.model_id in both
            assert not any(nearest.model_id in reached(each, parents) - {each} for each in both)


def reached(start: str, parents: dict[str, list[str]]) -> set[str]:
    """Return what a walk along parents reaches, the start included."""
    found, waiting = {start}, [start]
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


models = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1
)


@settings(max_examples=15)
@given(models, models, st.integers(0, 2**17 - 1))
def test_shared_and_changed_bytes_add_up(before: dict[str, list[int]], after: dict[str, list[int]], cut: int) -> None:
    """Of every part they are its size, and shared is what chunks of the other model say."""
    old, new = (made(side, cut) for side in (before, after))
    with (
        tempfile.TemporaryDirectory() as folder,
        ModelOperations(Path(folder) / "r", plugins=Plugins(())) as operations,
    ):
        ids = [operations.register_model(model, "m", serializer="numpy") for model in (old, new)]
        found = operations.diff_models(*ids)
    chunks = [{bytes(piece) for array in side.values() for piece in blocks(array)} for side in (old, new)]
    for part in found.parts:
        assert (part.size_after if part.size_after is not None else part.size_before) == part.shared + part.changed
        if part.path:
            side, there = (old, chunks[1]) if part.state == "removed" else (new, chunks[0])
            assert sum(len(piece) for piece in blocks(side[part.path]) if bytes(piece) in there) == part.shared
    assert found.size_after == found.shared + found.changed
    assert found.identical == (list(before.items()) == list(after.items()))
    for part in found.parts:
        if part.numbers is not None:
            one, other = old[part.path], new[part.path]
            assert np.count_nonzero(one != other) == part.numbers.changed
            assert np.abs(one - other).max() == part.numbers.max_difference


def made(side: dict[str, list[int]], cut: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return arrays of whole blocks of one number each, and a rest."""
    return {
        name: np.concatenate([*(np.full(BLOCK // 8, float(number)) for number in numbers), np.full(cut, 9.0)])
        for name, numbers in side.items()
    }


def blocks(array: np.ndarray[Any, Any]) -> list[memoryview]:
    """Return an array's bytes in blocks, as they are stored."""
    data = memoryview(array.tobytes())
    return [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]


linear = SimpleNamespace(coef_=np.arange(2.0), intercept_=np.ones(1), feature_names_in_=np.array(["a", "b"], dtype="O"))
sound = pickle.dumps(
    {
        "steps": [("scale", SimpleNamespace()), ("linear", linear)],
        "a": np.arange(6.0),
        "b": [np.float32(1), {"c": (1, "x")}],
        "d": np.zeros(2, dtype=[("x", "i4"), ("y", "f8")]),
    },
    protocol=5,
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(sound) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_pickle_breaks_the_reader(changes: list[tuple[int, int]]) -> None:
    """Whatever bytes a stranger stored, they are read or refused with one error, and the outline is made or empty."""
    broken = bytearray(sound)
    for place, value in changes:
        broken[place] = value
    try:
        tree = pickles.read(bytes(broken))
    except pickles.UnreadableError:
        tree = None
    for reader in (array_of, dtype_of, scalar_of):
        reader(tree)
    artifact = Artifact("pickle5", 1, (PartEntry("pickle", len(broken), bytes(32)),))
    found, intact = (outlines.outline(artifact, memoryview(bytes(data))) for data in (broken, sound))
    assert set(found.values) | set(found.arrays) <= set(found.above)
    assert () == coefficients.stored(intact, intact)
    coefficients.stored(intact, found)
