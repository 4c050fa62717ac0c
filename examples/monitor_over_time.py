"""Watch a model in production: log what is observed, see it drift, roll back, and draw all of it.

Needs matplotlib: ``pip install 'friday-store[plot]'``. Writes monitor.png to the folder that is given, or to the
current one. The world here changes on a day that the example chooses: the prices are invented, the work is not.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import dates
from matplotlib.figure import Figure
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error

from friday_store import ModelRegistry, ModelVersioning

START = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
DAYS, CHANGE, WINDOW, BOUND = 60, 30, 5, 1.5
"""Days watched; the day on which the world changes; days averaged; how many times the first error is too much."""


def world(day: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return features and outcomes of a day."""
    data = draw.normal(size=(200, 3))
    slope = np.array([1.0, -2.0, 0.5]) if day < CHANGE else np.array([1.0, -0.5, 0.5])
    return data, data @ slope + draw.normal(scale=0.3, size=200)


def watch(registry: ModelRegistry) -> list[tuple[dt.datetime, str]]:
    """Serve whatever is in production for some weeks, and act when its error grows; return what was done, and when."""
    draw = np.random.default_rng(7)
    done = []
    for day in range(DAYS):
        now = START + dt.timedelta(days=day)
        name = f"demand:{registry.resolve('demand@production').model_version}"
        data, outcome = world(day, draw)
        error = root_mean_squared_error(outcome, registry.load_model(name).predict(data))
        registry.log_metrics(name, {"live_rmse": error}, time=now)
        seen = registry.get_metric_history(name, "live_rmse")["value"]
        if seen.tail(WINDOW).mean() > BOUND * registry.get_model_metadata(name)["metrics"]["rmse"]:
            registry.set_model_status(name, "deprecated", f"drifted by {now:%Y-%m-%d}")
            fitted = Ridge().fit(data, outcome)
            metrics = {"rmse": root_mean_squared_error(outcome, fitted.predict(data))}
            registry.register_model(fitted, "demand", metrics=metrics, aliases=["production"])
            done.append((now, f"{name} drifted; trained anew"))
    return done


def draw(registry: ModelRegistry, done: list[tuple[dt.datetime, str]]) -> Figure:
    """Draw the error of each version that was in production, and when something was done about it."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for version in ModelVersioning(registry).get_version_history("demand"):
        label = str(version["model_version"])
        history = registry.get_metric_history(f"demand:{label}", "live_rmse")
        axes.plot(history["time"], history["value"], marker=".", label=label)
    for time, what in done:
        at = dates.date2num(time)
        axes.axvline(at, color="#8c8c8c", linestyle=":")
        axes.annotate(f"{what} ", (at, axes.get_ylim()[1]), ha="right", va="top", fontsize=8)
    axes.set_title("demand: error of what was in production", loc="left", fontsize=11, fontweight="bold")
    axes.set_ylabel("live RMSE")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="version")
    return figure


def main(folder: Path) -> None:
    """Register a model, watch it, and draw what happened."""
    with tempfile.TemporaryDirectory() as place, ModelRegistry(Path(place) / "models") as registry:
        data, outcome = world(0, np.random.default_rng(0))
        model = Ridge().fit(data, outcome)
        metrics = {"rmse": root_mean_squared_error(outcome, model.predict(data))}
        registry.register_model(model, "demand", metrics=metrics, aliases=["production"])
        done = watch(registry)
        for time, what in done:
            print(f"{time:%Y-%m-%d} {what}")
        for move in ModelVersioning(registry).alias_history("demand", "production"):
            print(f"production: {move['model_version']} by {move['message']}")
        draw(registry, done).savefig(folder / "monitor.png", dpi=110)
        print(f"wrote {folder / 'monitor.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path.cwd())
