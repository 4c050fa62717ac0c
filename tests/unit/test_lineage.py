"""Where versions came from, and what came of them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from friday_store import InvalidValueError, ModelOperations
from friday_store.lineage import Edge
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

DATA = "d" * 64
STRANGE = "e" * 64


@pytest.fixture
def operations(engine: str, registry: ModelRegistry) -> ModelOperations:
    """Return an ensemble of two models, one of which was trained on data with a digest, and a model made from it."""
    made = ModelOperations(registry)
    made.register_model({"v": 1}, "a", parents=[DATA], training_data={"digest": DATA})
    made.register_model({"v": 2}, "a")
    made.register_model({"v": 1}, "b", parents=[STRANGE])
    made.register_model({"v": 1}, "ensemble", parents=["a:1.0.1", "b"])
    made.register_model({"v": 2}, "tuned", parents=["ensemble"])
    return made


def ids(operations: ModelOperations, *revisions: str) -> list[str]:
    """Return the ids of revisions."""
    return [operations.resolve(revision).model_id for revision in revisions]


def labels(found: Any) -> list[str]:
    """Return the labels of a lineage's nodes."""
    return [node.label for node in found.nodes]


def test_ancestors_across_models(operations: ModelOperations) -> None:
    """Components, fine-tune bases and data are all parents, nearest first, each said for what it is."""
    found = operations.lineage("tuned")
    expected = ["tuned:1.0.0", "ensemble:1.0.0", "a:1.0.1", "b:1.0.0", "a:1.0.0", f"unknown {'e' * 12}"]
    assert [*expected, f"data {'d' * 12}"] == labels(found)
    assert {"version", "data", "unknown"} == {node.kind for node in found.nodes}


def test_descendants(operations: ModelOperations) -> None:
    """What came of a version, and of what came of it."""
    assert ["a:1.0.0", "a:1.0.1", "ensemble:1.0.0", "tuned:1.0.0"] == labels(
        operations.lineage("a:1.0.0", "descendants")
    )
    assert ["tuned:1.0.0"] == labels(operations.lineage("tuned", "descendants"))


def test_both_and_depth(operations: ModelOperations) -> None:
    """Both directions are one answer, and a depth ends each of them."""
    found = operations.lineage("ensemble", "both", 1)
    assert ["ensemble:1.0.0", "a:1.0.1", "b:1.0.0", "tuned:1.0.0"] == labels(found)
    ensemble, a, b, tuned = ids(operations, "ensemble", "a", "b", "tuned")
    assert (Edge(ensemble, a), Edge(ensemble, b), Edge(tuned, ensemble)) == found.edges
    assert ["ensemble:1.0.0"] == labels(operations.lineage("ensemble", depth=0))
    with pytest.raises(InvalidValueError, match="sideways"):
        operations.lineage("ensemble", "sideways")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="depth"):
        operations.lineage("ensemble", depth=-1)


def test_a_deleted_parent_is_named_and_followed(operations: ModelOperations) -> None:
    """What was deleted is shown as such with its digest, and the line goes on behind it."""
    (gone,) = ids(operations, "a:1.0.1")
    operations.delete_model("a", "1.0.1")
    found = operations.lineage("tuned")
    assert f"a:1.0.1 (deleted, {gone[:12]})" in labels(found)
    assert "a:1.0.0" in labels(found)
    assert f"data {'d' * 12}" in labels(found)


def test_common_ancestor(operations: ModelOperations) -> None:
    """The nearest one counts, which may be one of the two, and unrelated versions have none."""
    operations.register_model({"v": 9}, "side", parents=["a:1.0.0"])
    nearest = operations.common_ancestor("tuned", "side")
    assert nearest is not None
    assert "a:1.0.0" == nearest.label
    same = operations.common_ancestor("tuned", "ensemble")
    assert same is not None
    assert "ensemble:1.0.0" == same.label
    operations.register_model({"v": 8}, "fork", parents=["a:1.0.1"])
    operations.delete_model("a", "1.0.1")
    gone = operations.common_ancestor("tuned", "fork")
    assert gone is not None
    assert ("a", "1.0.1", "deleted") == (gone.name, gone.version, gone.kind)
    assert operations.common_ancestor("b", "side") is None


def test_common_ancestor_of_several(operations: ModelOperations) -> None:
    """Of two that are equally near, the one that was registered last is given."""
    for name in ("x", "y"):
        operations.register_model({"v": name}, name, parents=["a:1.0.1", "b"])
    found = operations.common_ancestor("x", "y")
    assert found is not None
    assert "b:1.0.0" == found.label


def test_the_tree(operations: ModelOperations) -> None:
    """A model's own line goes straight down, others branch off, and nothing is drawn twice."""
    operations.register_model({"v": 3}, "ensemble", parents=["ensemble:1.0.0", "a:1.0.1"])
    expected = """\
● ensemble:1.0.1
├─● a:1.0.1
│ ● a:1.0.0
│ └─◇ data dddddddddddd
● ensemble:1.0.0
├─● a:1.0.1 (see above)
└─● b:1.0.0
  └─◇ unknown eeeeeeeeeeee"""
    assert expected == operations.lineage("ensemble").to_text()
    both = operations.lineage("b", "both").to_text()
    assert ["ancestors:", "● b:1.0.0", "└─◇ unknown eeeeeeeeeeee", "descendants:"] == both.splitlines()[:4]


def test_dot_mermaid_and_json(operations: ModelOperations) -> None:
    """Each form holds every node and every edge."""
    found = operations.lineage("tuned")
    dot, mermaid, read = found.to_dot(), found.to_mermaid(), json.loads(found.to_json())
    assert len(found.edges) == dot.count("->") == mermaid.count("-->") == len(read["edges"])
    assert len(found) == len(re.findall(r"label=", dot)) == len(re.findall(r"n\d+\[", mermaid)) == len(read["nodes"])
    assert found.edges == tuple(Edge(**edge) for edge in read["edges"])
    assert ids(operations, "a", "b") == next(node["parents"] for node in read["nodes"] if node["name"] == "ensemble")


def test_odd_names_are_escaped(registry: ModelRegistry, small_model: dict[str, Any]) -> None:
    """A name that is markup elsewhere is none in HTML or mermaid."""
    name = "a&b(c);d'e"
    registry.register_model(small_model, name)
    found = ModelOperations(registry).lineage(name)
    for page in (found._repr_html_(), operations_page(registry, small_model, name)):
        assert "a&amp;b(c);d" in page
        assert "<script" not in page
        ET.fromstring(page)
    assert '["a#38;b(c)#59;d#39;e:1.0.0"]' in found.to_mermaid()


def operations_page(registry: ModelRegistry, model: dict[str, Any], name: str) -> str:
    """Return the page of a lineage that is too long to be drawn."""
    registry.register_models({"model": {**model, "n": number}, "model_name": name} for number in range(200))
    return ModelOperations(registry).lineage(name)._repr_html_()


def test_the_drawing(operations: ModelOperations) -> None:
    """Every node is a box and every edge a line that leads down, whatever the direction."""
    for direction in ("ancestors", "descendants", "both"):
        found = operations.lineage("a:1.0.1", direction)
        tree = ET.fromstring(found._repr_html_())
        named: dict[str, list[ET.Element]] = {"text": [], "line": []}
        for element in tree.iter():
            named.setdefault(element.tag.rpartition("}")[2], []).append(element)
        assert sorted(node.label for node in found.nodes) == sorted(str(t.text)[2:] for t in named["text"])
        assert len(found.edges) == len(named["line"])
        assert all(float(line.attrib["y1"]) < float(line.attrib["y2"]) for line in named["line"])


def test_ten_thousand_ancestors(tmp_path: Path) -> None:
    """A history of ten thousand versions is one answer in every form, without deep recursion or indentation."""
    with ModelOperations(tmp_path / "deep", plugins=Plugins(())) as operations:
        operations.register_models(
            {"model": {}, "model_name": "m", "model_version": f"1.0.{number}", "serializer": "json"}
            for number in range(10_000)
        )
        found = operations.lineage("m")
        assert 10_000 == len(found)
        assert 9_999 == len(found.edges)
        lines = found.to_text(limit=None).splitlines()
        assert (10_000, "● m:1.0.0") == (len(lines), lines[-1])
        assert max(map(len, lines)) < 20
        assert 1001 == len(found.to_text().splitlines())
        assert 10_000 == len(operations.lineage("m:1.0.0", "descendants"))
        assert 11 == len(operations.lineage("m", depth=10))
        assert found.to_dot().count("->") == 9_999
