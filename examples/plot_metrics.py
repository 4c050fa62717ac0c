"""Draw what a registry knows: metrics over versions and over time, versions side by side, what changed in a model.

Needs matplotlib: ``pip install 'friday-store[plot]'``. Writes history.png, comparison.png and diff.png to the folder
that is given, or to the current one.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import dates, patches
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from friday_store import ModelOperations, ModelVersioning

BLUE, ORANGE, GREY = "#0b62a4", "#d1600a", "#8c8c8c"
ALPHAS = (0.1, 1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


def fill(operations: ModelOperations) -> None:
    """Register a ridge regression for each alpha, and log invented observations of two of them in production."""
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    train, test, train_target, test_target = train_test_split(data, target, random_state=4)
    for alpha in ALPHAS:
        model = Pipeline([("scale", StandardScaler()), ("ridge", Ridge(alpha=alpha))]).fit(train, train_target)
        predicted = model.predict(test)
        metrics = {"r2": r2_score(test_target, predicted), "rmse": root_mean_squared_error(test_target, predicted)}
        sample = {name: test[name].tolist() for name in test}
        operations.register_model(model, "diabetes", metrics=metrics, metadata={"input_example": sample})
    draw = np.random.default_rng(0)
    for version, day, drift in (("1.0.1", 0, 0.35), ("1.0.4", 20, 0.05)):
        operations.promote(f"diabetes:{version}")
        start = operations.get_latest_metrics(f"diabetes:{version}")["rmse"]
        for passed in range(20):
            time = dt.datetime(2026, 10, 1, tzinfo=dt.UTC) + dt.timedelta(days=day + passed)
            observed = {"live_rmse": start + drift * passed + draw.normal(scale=0.6)}
            operations.log_metrics(f"diabetes:{version}", observed, time=time)


def titled(axes: Axes, title: str, label: str) -> None:
    """Give a plot its title, the label of its numbers, and no more lines than it needs."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)


def draw_history(versioning: ModelVersioning) -> Figure:
    """Draw a metric over the versions, with the best marked, and what was observed of those in production."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    offline = versioning.get_metric_history("diabetes", "rmse")
    best = offline.nsmallest(1, "value").iloc[0]
    left.plot(offline["model_version"], offline["value"], "o-", color=BLUE)
    left.plot(best["model_version"], best["value"], "o", markersize=11, color=ORANGE)
    place = best["model_version"], best["value"]
    left.annotate(f"best: {best['value']:.2f}", place, (0, 14), textcoords="offset points", ha="center", color=ORANGE)
    left.margins(y=0.15)
    left.set_xlabel("version")
    titled(left, "On the test rows, by version", "RMSE")
    live = versioning.get_metric_history("diabetes", "live_rmse")
    for (version, rows), colour in zip(live.groupby("model_version"), (GREY, BLUE), strict=True):
        right.plot(rows["time"], rows["value"], ".-", color=colour)
        last = rows.iloc[-1]
        right.annotate(f" {version}", (last["time"], last["value"]), color=colour, va="center", fontweight="bold")
    right.margins(x=0.12)
    right.xaxis.set_major_locator(dates.WeekdayLocator(byweekday=0))
    right.xaxis.set_major_formatter(dates.DateFormatter("%d %b"))
    titled(right, "In production, by day", "")
    return figure


def draw_comparison(operations: ModelOperations) -> Figure:
    """Draw how far the metrics of each version are from the first, in percent."""
    versions = [f"diabetes:1.0.{place}" for place in range(len(ALPHAS))]
    facts = operations.compare_models(*versions, metrics=["rmse", "r2"]).to_frame()
    metrics = facts[(facts["section"] == "metrics") & facts["percent"].notna()]
    table = metrics.pivot_table(index="model_version", columns="name", values="percent", sort=False)
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, name, better in zip(figure.subplots(1, 2), ("rmse", "r2"), (-1, 1), strict=True):
        colours = [BLUE if better * value > 0 else ORANGE for value in table[name]]
        bars = axes.bar([version.rpartition(":")[2] for version in table.index], table[name], color=colours)
        axes.bar_label(bars, fmt="%+.1f %%", padding=3, fontsize=9)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.margins(y=0.18)
        axes.set_xlabel("version")
        titled(axes, f"{name} against version 1.0.0", "change in %")
    legend = [patches.Patch(color=BLUE, label="better"), patches.Patch(color=ORANGE, label="worse")]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False)
    return figure


def draw_diff(operations: ModelOperations) -> Figure:
    """Draw the coefficients of two versions, and how far their predictions on the recorded sample are apart."""
    found = operations.diff_models("diabetes", "1.0.1", "1.0.4", load=True)
    assert found.coefficients is not None
    assert found.behaviour is not None
    assert found.behaviour.predictions is not None
    named = [each for each in found.coefficients if each.before is not None and each.after is not None]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    rows = sorted((each.before, each.after, each.name) for each in named if each.name != "(intercept)")
    before, after, names = zip(*rows, strict=True)
    left.hlines(names, before, after, color=GREY, linewidth=1.5)
    left.plot(before, names, "o", color=GREY, label="1.0.1 (alpha 1)")
    left.plot(after, names, "o", color=BLUE, label="1.0.4 (alpha 100)")
    left.axvline(0, color="black", linewidth=0.8)
    left.legend(frameon=False, loc="lower right")
    left.set_xlabel("coefficient")
    titled(left, "Coefficients, by feature", "")
    predictions = found.behaviour.predictions
    spread = dict(predictions.quantiles)
    shown = {"med": spread[0.5], "q1": spread[0.25], "q3": spread[0.75], "whislo": spread[0.05], "whishi": spread[0.95]}
    right.bxp(
        [{**shown, "label": ""}],
        showfliers=False,
        widths=0.4,
        patch_artist=True,
        boxprops={"facecolor": "#cfe1f2", "edgecolor": BLUE},
        medianprops={"color": ORANGE, "linewidth": 2},
        whiskerprops={"color": BLUE},
        capprops={"color": BLUE},
    )
    right.axhline(0, color="black", linewidth=0.8)
    right.set_xlabel("box: half of the rows; whiskers: 90 %")
    titled(right, f"How far predictions on {predictions.rows} rows move", "1.0.4 minus 1.0.1")
    return figure


def main() -> None:
    """Fill a registry and draw it."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    with tempfile.TemporaryDirectory() as folder, ModelOperations(Path(folder) / "models") as operations:
        fill(operations)
        figures = {
            "history": draw_history(ModelVersioning(operations)),
            "comparison": draw_comparison(operations),
            "diff": draw_diff(operations),
        }
    for name, figure in figures.items():
        figure.savefig(target / f"{name}.png", dpi=120)
        print("wrote", target / f"{name}.png")


if __name__ == "__main__":
    main()
