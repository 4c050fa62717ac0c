"""What a notebook shows of a registry and of a version: HTML in itself, with drawings in SVG and no script.

Every text of a user's is escaped, and what cannot be seen is spelled out, so that a name or a description is never
markup. Nothing is loaded, and how much is shown is bounded, whatever the registry holds.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from friday_store.comparison.table import shown, size
from friday_store.index import Index

MOST_MODELS: Final = 20
"""Models that a registry's table has at the most."""
MOST_POINTS: Final = 100
"""Versions, the newest, whose metric is drawn."""
_LONGEST: Final = 300
_WIDE, _HIGH, _EDGE = 120, 24, 3
_CELL: Final = "text-align:left;vertical-align:middle;padding:2px 10px 2px 0"
_PILL: Final = "border:1px solid #8888;border-radius:8px;padding:0 6px;margin-right:4px;white-space:nowrap"
_LATEST: Final = (
    "SELECT x.name, x.value FROM (SELECT id FROM model_metadata WHERE model_name = ? ORDER BY id DESC LIMIT ?) m "
    "JOIN model_metrics x ON x.version_id = m.id AND x.latest = 1 WHERE x.value IS NOT NULL ORDER BY m.id"
)
_SECTIONS: Final = (
    "metrics", "hyperparameters", "training_data", "evaluation", "feature_importance", "metadata", "input_schema",
    "contents", "dependencies", "environment",
)  # fmt: skip
_OPEN: Final = ("metrics", "hyperparameters")


def registry(index: Index, place: str, summaries: Sequence[Mapping[str, Any]]) -> str:
    """Return a registry's models as a table, each with its most observed metric over the versions.

    Args:
        index: Where the metrics are.
        place: The registry's URL, without secrets.
        summaries: One for each model; see :meth:`~friday_store.registry.ModelRegistry.list_summaries`.
    """
    versions = sum(each["versions"] for each in summaries)
    title = f"{place}: {_counted(len(summaries), 'model')}, {_counted(versions, 'version')}"
    if not summaries:
        return _whole(title, "<p>register_model puts the first one in.</p>")
    heads = ("model", "highest", "", "metric", "versions", "aliases", "tags", "size", "updated")
    rows = "".join(_row(index, each) for each in summaries[:MOST_MODELS])
    more = len(summaries) - MOST_MODELS
    rest = f"<p>and {_counted(more, 'model')} more: list_models(as_frame=True)</p>" if more > 0 else ""
    return _whole(title, f"{_table(heads, rows)}{rest}")


def version(record: Mapping[str, Any]) -> str:
    """Return a version's record: what it is, its names, and each section in a fold."""
    title = f"{record['model_name']}:{record['model_version']}"
    pills = [str(record["status"]), *(f"@{alias}" for alias in record["aliases"]), *record["tags"]]
    names = "".join(f'<span style="{_PILL}">{_text(pill)}</span>' for pill in pills)
    told = f"<p>{_text(record['description'])}</p>" if record["description"] else ""
    facts = {
        "id": record["model_id"],
        "type": record["model_type"],
        "format": record["serializer"],
        "size": size(record["size_bytes"]),
        "author": record["author"],
        "created": record["created_at"],
        "parents": [str(parent)[:12] for parent in record["parents"]],
    }
    folds = [_fold("about", facts, unfolded=True)]
    folds += [_fold(name, record[name], unfolded=name in _OPEN) for name in _SECTIONS if record.get(name)]
    return _whole(title, f"<p>{names}</p>{told}{''.join(folds)}")


def sparkline(values: Sequence[float]) -> str:
    """Return a line through some values as SVG, with a dot at the last; nothing for none that is finite."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    step = (_WIDE - 2 * _EDGE) / max(len(finite) - 1, 1)
    points = [
        (_EDGE + place * step, _HIGH - _EDGE - (value - low) / span * (_HIGH - 2 * _EDGE))
        for place, value in enumerate(finite)
    ]
    x, y = points[-1]
    line = " ".join(f"{each[0]:.1f},{each[1]:.1f}" for each in points)
    told = f"<title>{_text(f'{low:.6g} to {high:.6g}, now {finite[-1]:.6g}')}</title>"
    drawn = f'<polyline points="{line}" fill="none" stroke="#4477aa" stroke-width="1.5"/>' if len(points) > 1 else ""
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#4477aa"/>'
    place = f'width="{_WIDE}" height="{_HIGH}" viewBox="0 0 {_WIDE} {_HIGH}" role="img"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {place}>{told}{drawn}{dot}</svg>'


def _row(index: Index, summary: Mapping[str, Any]) -> str:
    observed: dict[str, list[float]] = {}
    for name, value in index.rows(_LATEST, (summary["model_name"], MOST_POINTS)):
        observed.setdefault(str(name), []).append(float(value))
    metric = min(observed, key=lambda name: (-len(observed[name]), name), default="")
    aliases = [f"@{alias} {version}" for alias, version in summary["aliases"].items()]
    drawn = sparkline(observed[metric]) if metric else ""
    cells = [
        summary["model_name"], summary["model_version"], f"{metric} {observed[metric][-1]:.6g}" if metric else "",
        summary["versions"], aliases, summary["tags"], size(summary["size_bytes"]), summary["updated_at"],
    ]  # fmt: skip
    fixed = f"{_CELL};white-space:nowrap"
    styles = [fixed if place in (0, 1, 6, 7) else _CELL for place in range(len(cells))]
    written = [f'<td style="{style}">{_text(cell)}</td>' for cell, style in zip(cells, styles, strict=True)]
    return f'<tr>{"".join(written[:2])}<td style="{_CELL}">{drawn}</td>{"".join(written[2:])}</tr>'


def _fold(caption: str, section: Any, *, unfolded: bool) -> str:
    """Return a section that is folded away, as a table of its keys; as text where it has none."""
    if isinstance(section, Mapping):
        rows = "".join(
            f'<tr><th style="{_CELL}">{_text(key)}</th><td style="{_CELL}">{_text(value)}</td></tr>'
            for key, value in section.items()
            if value not in (None, "", [])
        )
        body = f"<table><tbody>{rows}</tbody></table>"
    else:
        body = f"<p>{_text(section)}</p>"
    return f"<details{' open' if unfolded else ''}><summary>{_text(caption)}</summary>{body}</details>"


def _table(heads: Iterable[str], rows: str) -> str:
    head = "".join(f'<th style="{_CELL}">{_text(each)}</th>' for each in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _whole(title: str, body: str) -> str:
    return f'<div style="overflow-x:auto"><p><b>{_text(title)}</b></p>{body}</div>'


def _text(value: Any) -> str:
    """Return a value as escaped text of a bounded length."""
    text = shown(value)
    return html.escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
