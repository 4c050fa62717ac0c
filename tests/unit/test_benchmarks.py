"""What the README says was measured is what the results file says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import page
from tests.benchmarks.bars import BARS, GROUPS, SIDES
from tests.benchmarks.plots import Group, drawn
from tests.benchmarks.report import Results, as_json, rows
from tests.benchmarks.worker import MODULES

README = (page.ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def found() -> dict[str, Any]:
    """Return what a run of two workloads and three sides would have found."""
    measures = {
        "small": {"ours": {"register": 0.003, "load": 0.001}, "mlflow": {"register": 0.09}, "joblib": {"load": 0.01}},
        "big": {"ours": {"share": 0.0511}, "mlflow": {"share": 1.0}},
    }
    results = Results(
        rounds={workload: {side: [each] for side, each in sides.items()} for workload, sides in measures.items()},
        about={side: {"durability": "some", "versions": {side: "1.0"}} for side in ("ours", "mlflow", "joblib")},
        errors={"dvc": "dvc is not installed"},
    )
    where = dict.fromkeys(("date", "system", "processor", "memory", "load", "file system"), "x")
    made: dict[str, Any] = json.loads(json.dumps(as_json(results, rows(results, results.about), where, quick=False)))
    return made


def test_the_readme_says_what_was_measured() -> None:
    """Tables, bars and versions in the README are those that the results file gives, and nothing else stands there."""
    before, begun, rest = README.partition(page.BEGIN)
    inside, ended, after = rest.partition(page.END)
    assert page.block(page.contents()) == begun + inside + ended
    assert page.BEGIN not in before + after


def test_the_plots_show_what_was_measured() -> None:
    """The plots are those that the results file gives, and the README shows each of them."""
    contents = page.contents()
    made = page.plots(contents) if contents else {}
    assert {*made} == {path.name for path in page.FOLDER.glob("*.svg")}
    for name, svg in made.items():
        assert svg == (page.FOLDER / name).read_text(encoding="utf-8")
        assert f"(tests/benchmarks/results/{name})" in README


def test_the_block_of_a_run(found: dict[str, Any]) -> None:
    """It has a column for each side that was measured, absolute values, and for each bar whether it was met."""
    text = page.block(found)
    assert "| register one small pipeline | 3.00 ms |  | 90.00 ms |" in text
    assert "| new bytes of that second version | 5.11 % |  | 100.00 % |" in text
    assert "| small: register | MLflow | at most 0.05 x | 0.0333 | met |" in text
    assert "| big: share |  | at most 5.50 % | 5.11 % | met |" in text
    assert "- left out: dvc: dvc is not installed" in text
    assert "git" not in text.partition("The bars")[0].replace("git-lfs", "")


def test_figures_are_written_where_they_belong(found: dict[str, Any], tmp_path: Path) -> None:
    """Writing the figures changes what stands between the marks, and writing them again changes nothing."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        page.publish(found, readme, tmp_path)
        assert f"before\n{page.block(found)}\nafter\n" == readme.read_text(encoding="utf-8")
    assert {*page.PLOTS} == {path.name for path in tmp_path.glob("*.svg")}


def test_bars_name_what_is_run() -> None:
    """Every bar is of a workload that a group runs, and against a side that takes part in it."""
    run = {workload for workloads in GROUPS.values() for workload in workloads}
    assert run == {*SIDES}
    assert {side for sides in SIDES.values() for side in sides} == {*MODULES}
    for bar in BARS:
        assert bar.workload in run
        assert not bar.side or bar.side in SIDES[bar.workload]


def test_a_plot_is_sound_and_says_everything() -> None:
    """A figure is well-formed SVG whatever the names are; longer bars are larger values."""
    svg = drawn("A < B", [Group("x & y", {"us": 0.01, "<them>": 3.0}, {"us": "10 ms", "<them>": "3 s"})], own="us")
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    assert {"A < B", "x & y", "us", "<them>", "10 ms", "3 s"} <= {each.text for each in root.iter() if each.text}
    ours, theirs = [float(each.attrib["width"]) for each in root.iter(f"{space}rect")][1:]
    assert 0 < ours < theirs
    assert drawn("empty", [], own="us").startswith("<svg")
