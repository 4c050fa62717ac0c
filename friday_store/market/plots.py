"""Plots of one model's hold-out, as SVG text; the only place for matplotlib.

Nothing is drawn through pyplot, so no state of the caller's is touched. Texts are drawn as they are, without mathtext,
and the same model gives the same bytes.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from friday_store.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

INK: Final = "#1f2933"
SOFT: Final = "#9aa5b1"
MODEL: Final = "#1d4ed8"
NAIVE: Final = "#c2410c"
BINS: Final = 8
MOST_BARS: Final = 12
MOST_VECTORS: Final = 1500
_STYLE: Final[Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "friday-store",
    "legend.frameon": False,
    "figure.dpi": 100,
}


def available() -> None:
    """Refuse when matplotlib is not installed.

    Raises:
        PluginError: It is not.
    """
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise PluginError("a report needs matplotlib", hint="pip install 'friday-store[plot]'") from error


def truth(actual: Floats, said: Floats, target: str) -> str:
    """Return the forecasts of a regression against what came, with the line on which a perfect one would lie."""
    with _style():
        figure, axes = _axes(3.6, 3.2)
        low, high = float(min(actual.min(), said.min())), float(max(actual.max(), said.max()))
        axes.plot([low, high], [low, high], color=SOFT, linewidth=1)
        many = len(actual) > MOST_VECTORS
        axes.scatter(said, actual, s=9, color=MODEL, alpha=0.45, linewidths=0, rasterized=many)
        axes.set(title="Forecast and what came", xlabel=f"forecast {target}", ylabel=f"actual {target}")
        return _svg(figure)


def calibration(actual: Floats, said: Floats, base_rate: float) -> str:
    """Return how often a rise came when a probability was said, in bins of equal size; dots are as large as bins."""
    with _style():
        figure, axes = _axes(3.6, 3.2)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
        axes.axhline(base_rate, color=NAIVE, linewidth=1, linestyle="--")
        places = np.array_split(np.argsort(said, kind="stable"), min(BINS, len(said)))
        x = [float(said[place].mean()) for place in places]
        y = [float(actual[place].mean()) for place in places]
        errors = [1.96 * (rate * (1 - rate) / len(place)) ** 0.5 for rate, place in zip(y, places, strict=True)]
        axes.errorbar(x, y, yerr=errors, fmt="o-", color=MODEL, markersize=4, linewidth=1.2, elinewidth=0.8)
        axes.text(0.99, base_rate + 0.015, "base rate", color=NAIVE, ha="right", fontsize=8)
        axes.set(title="Calibration, with 95 % bars", xlabel="said probability of a rise", ylabel="share of rises")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        return _svg(figure)


def folds(skills: Sequence[float], holdout: float) -> str:
    """Return the skill of each walk-forward fold over the naive forecast of its own rows, and that of the hold-out.

    Bars stand on zero, which is the naive forecast; a fold whose skill is not defined has none.
    """
    with _style():
        figure, axes = _axes(3.6, 3.2)
        places = range(1, len(skills) + 1)
        colours = [MODEL if skill >= 0 else NAIVE for skill in skills]
        axes.bar(places, np.nan_to_num(np.asarray(skills)), color=colours, alpha=0.75, width=0.6)
        axes.axhline(0, color=NAIVE, linewidth=1, label="naive")
        known = [0.0, *(value for value in (*skills, holdout) if np.isfinite(value))]
        if np.isfinite(holdout):
            axes.axhline(holdout, color=INK, linewidth=1, linestyle="--", label="hold-out")
        room = (max(known) - min(known)) or 1.0
        axes.set(title="Skill by fold, each over its own naive", xlabel="walk-forward fold, oldest first")
        axes.set(ylabel="skill (0: as good as naive)", xticks=places)
        axes.set(ylim=(min(known) - 0.15 * room, max(known) + 0.3 * room))
        axes.legend(fontsize=8, loc="upper right", ncols=2)
        return _svg(figure)


def importance(weights: Mapping[str, float]) -> str:
    """Return the features of the largest weight, by size; weights below zero point to the left.

    Weights that are shares of one whole are impurity importances of trees, others coefficients of scaled features.
    """
    shares = min(weights.values()) >= 0 and abs(sum(weights.values()) - 1) < 1e-6
    largest = sorted(weights.items(), key=lambda item: abs(item[1]), reverse=True)[:MOST_BARS][::-1]
    with _style():
        figure, axes = _axes(3.6, 3.2)
        colours = [MODEL if weight >= 0 else NAIVE for _, weight in largest]
        axes.barh([_short(name) for name, _ in largest], [weight for _, weight in largest], color=colours, alpha=0.8)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.tick_params(axis="y", labelsize=8, length=0)
        meaning = "share of the impurity taken away" if shares else "coefficient, features standardised"
        axes.set(title="What it looks at", xlabel=meaning)
        return _svg(figure)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"


def _style() -> AbstractContextManager[None]:
    available()
    from matplotlib import rc_context

    return rc_context(_STYLE)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Any) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", dpi=150, metadata={"Date": None, "Creator": None}, transparent=True)
    return written.getvalue()
