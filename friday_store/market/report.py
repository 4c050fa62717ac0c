"""One HTML file about the market models of a registry: a leaderboard, and plots of the best at each question.

The file stands alone: styles and plots are inside it, it has no script, and its own policy forbids every request.
Every text that comes from a record is escaped, and plots are images, so that nothing in them is part of the page.
Scores are the recorded ones; forecasts are made anew, on the rows that the model has not seen.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from friday_store.errors import FridayStoreError
from friday_store.market import plots
from friday_store.market.files import write_whole
from friday_store.market.holdout import HoldOut, recorded_data
from friday_store.market.leaderboard import QUESTION, fold_skills, leaderboard
from friday_store.market.targets import unit_of

if TYPE_CHECKING:
    import pandas as pd

    from friday_store.market.holdout import Floats
    from friday_store.market.results import Results
    from friday_store.registry import ModelRegistry

    Row = Mapping[str, Any]
    Read = Callable[[Row], pd.DataFrame]

_STYLE: Final = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 76rem; background: #fff; color: #1f2933;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
a { color: #1d4ed8; }
.soft { color: #52606d; font-size: .875rem; }
.wide { overflow-x: auto; margin: .75rem 0; border: 1px solid #e4e7eb; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .8125rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #eef1f4; }
tr:last-child td { border-bottom: 0; }
th { color: #52606d; font-weight: 600; background: #f7f9fb; }
td.reason { white-space: normal; min-width: 14rem; overflow-wrap: anywhere; }
.number { text-align: right; }
.good { color: #15803d; font-weight: 600; }
.bad { color: #b42318; }
@media (max-width: 40rem) {
  .minor { display: none; }
  th, td { padding: .35rem .4rem; }
  td.reason { min-width: 9rem; }
}
section { margin-top: 1.5rem; padding-top: 1.25rem; border-top: 1px solid #e4e7eb; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
.plots img { width: 100%; max-width: 27rem; height: auto; }
"""
_SKILL: Final = (
    "Skill is the part of the naive forecast's error that a model takes away, on rows that it had not seen: 1 is "
    "perfect, 0 is as good as naive. It is of the squared error, or for a direction of the balanced accuracy. "
    "The best of several is partly the luckiest; the folds tell how steady it is (mean ± standard deviation)."
)
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_NONE: Final = "&ndash;"
_NUMBERS: Final = ("skill", "score", "naive", "skill in folds", "tried", "rows", "jobs")
_MINOR: Final = ("version", "metric", "rows", "tried", "rank")


def write_report(
    registry: ModelRegistry,
    path: Path | str,
    directory: Path,
    *,
    results: Results | None = None,
    title: str = "Market models",
    **question: Any,
) -> Path:
    """Write the report, whole or not at all, in place of a file that is there, and return its path.

    Args:
        registry: Where the models are.
        path: The file.
        directory: The directory of processed data, for the plots; a model whose data are not there any more has none,
            and the report says why.
        results: A run of which to list what was not trained.
        title: The page's.
        **question: ``symbol``, ``timeframe``, ``target_type``, ``forecast_horizon``: only these, as for
            :func:`.leaderboard.leaderboard`.

    Raises:
        PluginError: matplotlib is not installed.
        StorageError: The file cannot be written.
    """
    plots.available()
    board = leaderboard(registry, **question)
    groups = [rows for _, rows in board.groupby(list(QUESTION), sort=False)]
    made = registry.repository.settings.clock().strftime("%Y-%m-%d %H:%M UTC")
    read = _reader(directory)
    better = sum(rows["skill"].max() > 0 for rows in groups)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=soft>{len(board)} models for {len(groups)} questions, as of {escape(made)}</p>",
        f"<p>At {better} of {len(groups)} questions the best model had more skill than the naive forecast.</p>",
        f"<p class=soft>{_SKILL}</p>",
        _board(groups),
        *([_untrained(results)] if results is not None else []),
        *(_section(registry, read, rows, place) for place, rows in enumerate(groups, 1)),
    ]
    write_whole(Path(path), _page(title, "\n".join(parts)).encode())
    return Path(path)


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta http-equiv=Content-Security-Policy content="{_POLICY}">
<title>{escape(title)}</title>
<link rel=icon href="data:,">
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _board(groups: Sequence[pd.DataFrame]) -> str:
    """Return the best model of each question, with a link to its section."""
    rows = []
    for place, group in enumerate(groups, 1):
        best = group.iloc[0]
        rows.append(
            {
                "question": f"<a href='#q{place}'>{escape(_question(best))}</a>",
                "skill": _skill(best["skill"]),
                "best": escape(best["model_type"]),
                "version": escape(best["model_version"]),
                "metric": escape(best["metric"]),
                "score": _number(best["score"]),
                "naive": _number(best["naive"]),
                "rows": str(best["test_rows"]),
                "production": ", ".join(map(escape, group.loc[group["production"], "model_type"])) or _NONE,
            }
        )
    return _table(rows) if rows else "<p>No market model is registered.</p>"


def _reader(directory: Path) -> Read:
    """Return what finds the data of a record again, and reads those of one symbol once for all questions about it."""
    last: dict[str, pd.DataFrame] = {}

    def read(record: Row) -> pd.DataFrame:
        digest = str(record["training_data"].get("digest"))
        if digest not in last:
            found = recorded_data(record, directory)
            last.clear()
            last[digest] = found
        return last[digest]

    return read


def _section(registry: ModelRegistry, read: Read, rows: pd.DataFrame, place: int) -> str:
    best = rows.iloc[0]
    record = registry.get_model_metadata(best["model_id"])
    unit = unit_of(best["target_type"], registry.plugins)
    meant = f"{best['target_type']} is {unit}. " if unit else ""
    about = (
        f"{meant}Best: {best['model_name']}:{best['model_version']}, {best['metric']} {_number(best['score'])} against "
        f"{_number(best['naive'])} of the naive forecast ({record['evaluation'].get('baseline', '')}), "
        f"on {best['test_rows']} rows from {best['test_first'][:10]} to {best['test_last'][:10]}."
    )
    decision = record["evaluation"].get("promotion")
    told = f"<p>Promotion to {escape(decision['alias'])}: {escape(decision['reason'])}.</p>" if decision else ""
    listed = [
        {
            "rank": str(row["rank"]),
            "model": escape(row["model_type"]),
            "skill": _skill(row["skill"]),
            "version": escape(row["model_version"]),
            "score": _number(row["score"]),
            "naive": _number(row["naive"]),
            "skill in folds": _NONE if math.isnan(row["fold_skill"]) else _spread(row),
            "tried": str(row["tried"]),
            "production": "yes" if row["production"] else "",
        }
        for row in rows.to_dict("records")
    ]
    return (
        f"<section id=q{place}><h2>{escape(_question(best))}</h2><p class=soft>{escape(about)}</p>{told}"
        f"{_table(listed)}{_plots(registry, read, record, best)}</section>"
    )


def _plots(registry: ModelRegistry, read: Read, record: Row, best: pd.Series[Any]) -> str:
    """Return the plots of one model; a model or data that cannot be had are said to be so."""
    pictures: list[tuple[str, str]] = []
    problem = ""
    try:
        holdout = HoldOut.of(read(record), [record], registry.plugins)
        said = holdout.forecast(registry.load_model(record["model_id"]), record)
        actual = holdout.truth.to_numpy(dtype="float64")
    except FridayStoreError as error:
        problem = f"<p class=bad>No plot of its forecasts: {escape(str(error))}</p>"
    else:
        if holdout.is_direction:
            pictures.append(("Calibration", plots.calibration(actual, said, float(actual.mean()))))
        else:
            pictures.append(("Forecasts against truth", _truth(holdout, actual, said)))
    if skills := fold_skills(record):
        pictures.append(("Fold scores", plots.folds(skills, best["skill"])))
    if record["feature_importance"]:
        pictures.append(("Feature importance", plots.importance(record["feature_importance"])))
    images = "".join(f'<img alt="{escape(name)}" src="{_embedded(svg)}">' for name, svg in pictures)
    return f"{problem}<div class=plots>{images}</div>"


def _truth(holdout: HoldOut, actual: Floats, said: Floats) -> str:
    """Return the plot of a regression; of a price, that of the change, for near it any forecast looks good."""
    target, close = str(holdout.samples.target), holdout.samples.close
    if close is None:
        return plots.truth(actual, said, target)
    return plots.truth(actual / close[holdout.rows] - 1, said / close[holdout.rows] - 1, f"return to the {target}")


def _untrained(results: Results) -> str:
    """Return how a run ended, and for which data there is no model and why."""
    groups = Counter(
        (f"{row.symbol} {row.timeframe}", row.status, row.reason) for row in results if row.model_id is None
    )
    rows = [
        {"data": escape(data), "status": escape(status), "jobs": str(count), "reason": escape(reason)}
        for (data, status, reason), count in groups.items()
    ]
    told = f"<h2>The run</h2><p>{escape(repr(results)[len('<Results: ') : -1])}</p>"
    return f"<section>{told}{_table(rows) if rows else ''}</section>"


def _spread(row: Mapping[Any, Any]) -> str:
    return f"{row['fold_skill']:+.3f} ± {row['fold_skill_std']:.2g}"


def _question(row: Row | pd.Series[Any]) -> str:
    bars = "1 bar" if row["forecast_horizon"] == 1 else f"{row['forecast_horizon']} bars"
    return f"{row['symbol']} {row['timeframe']} {row['target_type']}, {bars} ahead"


def _table(rows: Iterable[Mapping[str, str]]) -> str:
    """Return rows of cells that are HTML already as a table that scrolls by itself when it is too wide."""
    listed = list(rows)

    def kind(name: str) -> str:
        classes = {"number": name in _NUMBERS, "minor": name in _MINOR, "reason": name == "reason"}
        return f' class="{" ".join(each for each, fits in classes.items() if fits)}"' if any(classes.values()) else ""

    head = "".join(f"<th{kind(name)}>{name}</th>" for name in listed[0])
    body = "".join(
        "<tr>" + "".join(f"<td{kind(name)}>{cell}</td>" for name, cell in row.items()) + "</tr>" for row in listed
    )
    return f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _skill(value: float) -> str:
    return f"<span class={'good' if value > 0 else 'bad'}>{value:+.3f}</span>" if math.isfinite(value) else _NONE


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else _NONE


def _embedded(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
