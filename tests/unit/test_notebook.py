"""What a notebook shows: pages in themselves, escaped, bounded, drawn by a real browser without a request."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from friday_store import ModelOperations, ModelRegistry
from friday_store.plugins import Plugins
from friday_store.registry import notebook

NASTY: Final = "<img src=x onerror=alert(1)>\"'&\u202e\x1b[31m"
VOID: Final = frozenset({"img", "br", "hr", "input"})


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[ModelRegistry]:
    """A registry of three models, one of them described and measured by somebody hostile."""
    with ModelRegistry(tmp_path / "shop", plugins=Plugins(())) as registry:
        for number, loss in enumerate((0.9, 0.5, 0.7, 0.2)):
            registry.register_model(
                {"n": number}, "churn", metrics={"loss": loss}, tags=["weekly"], hyperparameters={"depth": number}
            )
        registry.set_alias("churn:1.0.2", "production")
        registry.register_model(
            {"bad": 1},
            "hostile",
            description=NASTY,
            metrics={NASTY: 1.0, "n": float("nan")},
            hyperparameters={NASTY: NASTY},
            metadata={"note": [NASTY, {"deep": NASTY}]},
        )
        registry.register_model({"both": 1}, "ensemble", parents=["churn:1.0.3", "hostile:1.0.0"])
        yield registry


def shown(registry: ModelRegistry) -> dict[str, str]:
    """Return everything that has a page in a notebook."""
    made: dict[str, Any] = {
        "registry": registry,
        "version": registry.get_model_metadata("hostile"),
        "comparison": ModelOperations(registry).compare_models("churn:1.0.0", "hostile:1.0.0"),
        "diff": ModelOperations(registry).diff_models("churn:1.0.0", "hostile:1.0.0"),
        "lineage": registry.lineage("ensemble"),
    }
    return {name: each._repr_html_() for name, each in made.items()}


class _Tags(HTMLParser):
    """What is markup in a text, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def close(self) -> None:
        super().close()
        assert [] == self._open


@pytest.mark.parametrize("what", ["registry", "version", "comparison", "diff", "lineage"])
def test_nothing_of_a_user_s_is_markup(shop: ModelRegistry, what: str) -> None:
    """Every text is escaped, every element closed; there is no script, no address and no event, whoever wrote what."""
    page = shown(shop)[what]
    tags = _Tags()
    tags.feed(page)
    tags.close()
    assert tags.names.isdisjoint({"img", "script", "style", "link", "iframe", "a", "object", "foreignobject"})
    assert not {name for name in tags.attributes if name.startswith("on") or name in ("href", "src", "xlink:href")}
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_registry_says_what_is_in_it(shop: ModelRegistry, tmp_path: Path) -> None:
    """A row for each model with its names and its metric over the versions; an empty one says how to begin."""
    page = shop._repr_html_()
    assert "3 models, 6 versions" in page
    assert "@production 1.0.2" in page
    assert "loss 0.2" in page
    assert 2 == page.count("<svg ")  # ensemble has no metric
    empty = ModelRegistry(tmp_path / "empty", plugins=Plugins(()))
    assert "0 models, 0 versions" in empty._repr_html_()
    assert not (tmp_path / "empty").exists()


def test_a_version_says_what_is_known_of_it(shop: ModelRegistry) -> None:
    """A record is a dict as any other, and shows names, metrics and parameters."""
    record = shop.get_model_metadata("churn@production")
    page = record._repr_html_()  # type: ignore[attr-defined]
    for text in ("churn:1.0.2", "@production", "weekly", "loss", "0.7", "depth"):
        assert text in page
    assert dict(record) == record == copy.deepcopy(record) == pickle.loads(pickle.dumps(record))
    assert json.loads(json.dumps(record["metrics"])) == {"loss": 0.7}


def test_what_is_shown_is_bounded(tmp_path: Path) -> None:
    """Neither many models nor a long text make a page that a browser chokes on."""
    with ModelRegistry(tmp_path / "many", plugins=Plugins(())) as registry:
        with registry.transaction("many"):
            for number in range(60):
                registry.register_model({"n": number}, f"model-{number}", description="x" * 100_000)
        page = registry._repr_html_()
        assert notebook.MOST_MODELS == page.count("<tr>") - 1
        assert "and 40 models more" in page
        assert len(registry.get_model_metadata("model-1")._repr_html_()) < 20_000  # type: ignore[attr-defined]


@pytest.mark.parametrize("values", [[], [float("nan")]], ids=str)
def test_a_sparkline_of_nothing_is_nothing(values: list[float]) -> None:
    """Where no value is finite nothing is drawn."""
    assert "" == notebook.sparkline(values)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [-1e308, 1e308], [0.0, float("inf"), 1.0]], ids=str)
def test_a_sparkline_stays_in_its_box(values: list[float]) -> None:
    """Whatever the values, every point is inside the picture."""
    drawn = notebook.sparkline(values)
    points = [float(number) for number in re.findall(r"-?\d+\.\d", drawn.partition("<polyline")[2])]
    assert all(0 <= point <= 120 for point in points)
    assert drawn.endswith("</svg>")


def test_a_browser_draws_all_of_it(shop: ModelRegistry, tmp_path: Path, browser: Any) -> None:
    """A real browser shows the pages without a request, without a message, and runs nothing."""
    path = tmp_path / "page.html"
    path.write_text('<!doctype html><meta charset="utf-8"><title>shown</title>' + "<hr>".join(shown(shop).values()))
    page = browser.new_page(viewport={"width": 1000, "height": 1400})
    told: list[Any] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert ([], [path.as_uri()]) == (told, asked)
    assert 3 == page.locator("svg").count()
    assert page.locator("svg").first.bounding_box()["width"] == 120
    assert page.locator("details[open]").count() >= 2
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 10_000
