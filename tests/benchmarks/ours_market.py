"""A night of market models: what training them through friday_store costs beside a bare loop of ``fit``.

The bare loop is joblib over the same estimators, on features and labels that were made before: it reads nothing, scores
nothing, keeps nothing. Ours reads the files, makes features and labels, splits, fits, scores, serializes and registers.
Both are measured by the wall and in processor time, of this process and of the workers: on a machine that others use
the wall tells of them, 1.14 to 1.58 in three rounds of which the processor time said 1.08, 1.08 and 1.17. On idle cores
both say the same: 1.076 and 1.072.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from joblib import Parallel, delayed

from friday_store import MarketDataModelTrainer, ModelRegistry
from friday_store.default_plugins.estimators import builtin_trainers
from friday_store.market.data import load
from friday_store.market.demo_data import stocks
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.market.price import ReturnToPrice
from friday_store.market.samples import Samples
from friday_store.market.splitting import hold_out
from tests.benchmarks.measure import processor_seconds, settle, timed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.benchmarks.rounds import Measures, Round
    from tests.benchmarks.workloads import Setting

TARGETS: Final = ("price_direction", "volatility", "next_close")
HORIZONS: Final = (1, 5, 10)
MODELS: Final = ("ridge", "random_forest", "gradient_boosting", "hist_gradient_boosting")
WORKERS: Final = 2
_TINY: Final = """
import sys
from friday_store import MarketDataModelTrainer, ModelRegistry
data, registry, models, *symbols = sys.argv[1:]
with ModelRegistry(registry) as opened:
    trainer = MarketDataModelTrainer(data, registry=opened, min_rows=20)
    rows = trainer.train_models_for_all_symbols(
        symbols, "1d", ["return", "volatility"], list(range(1, int(models) // 2 + 1)), ["linear"]
    )
print(len(rows.with_status("trained")))
"""


class Timed(ModelRegistry):
    """A registry that adds up how long it registers."""

    spent = 0.0

    def register_models(self, models: Iterable[Mapping[str, Any]]) -> list[str]:
        """Register, and count the time."""
        start = time.perf_counter()
        ids = super().register_models(models)
        self.spent += time.perf_counter() - start
        return ids


def market(setting: Setting) -> Round:
    """Train 5 symbols x 3 targets x 3 horizons x 4 families, through friday_store and in a bare loop, in turn."""
    data = setting.folder("data")
    for symbol, bars in stocks().items():
        write_processed(prepare_ohlcv(bars), data, symbol, "1d")
    horizons = HORIZONS[:1] if setting.quick else HORIZONS
    fits = list(_fits(data, horizons))

    def measure(number: int) -> Measures:
        found: Measures = {}
        for side in (_bare, _ours) if number % 2 else (_ours, _bare):
            settle()
            found |= side(setting.folder(f"registry-{number}"), data, horizons, fits)
        return found

    return measure


def _fits(data: Path, horizons: tuple[int, ...]) -> Iterable[tuple[Any, Any, Any]]:
    """Iterate over an estimator, features and labels of each job that has enough rows."""
    families = {family.name.lower(): family for family in builtin_trainers()}
    for path in sorted(data.rglob("*.csv")):
        frame = load(path)
        for target, horizon, kind in itertools.product(TARGETS, horizons, MODELS):
            samples = Samples.of_data(frame, target, horizon)
            if len(samples) < 200:
                continue
            train, _ = hold_out(samples.features, 0.2, samples.gap)
            estimator = families[kind].estimator(samples.task, seed=42, params={})
            if samples.definition.of_price:
                estimator = ReturnToPrice(estimator)
            yield estimator, samples.features.iloc[train], samples.labels.iloc[train]


def _bare(registry: Path, data: Path, horizons: tuple[int, ...], fits: list[Any]) -> Measures:
    calls = [delayed(estimator.fit)(features, y) for estimator, features, y in fits]
    before = processor_seconds()
    seconds, fitted = timed(Parallel(n_jobs=WORKERS), calls)
    used = processor_seconds() - before
    assert len(fitted) == len(fits)
    return {"bare loop of fit": seconds, "CPU of the bare loop": used}


def _ours(registry: Path, data: Path, horizons: tuple[int, ...], fits: list[Any]) -> Measures:
    with Timed(registry) as opened:
        trainer = MarketDataModelTrainer(data, registry=opened, n_jobs=WORKERS)
        before = processor_seconds()
        seconds, rows = timed(
            lambda: trainer.train_models_for_all_symbols(
                None, "1d", target_types=TARGETS, forecast_horizons=horizons, model_types=MODELS
            )
        )
        used = processor_seconds() - before
        asked = 5 * len(TARGETS) * len(horizons) * len(MODELS)
        lost = asked - len(rows) + len(fits) - len(opened.list_models()) + len(rows.with_status("failed"))
        training = sum(row.seconds for row in rows)
    shares = {"registering, of the training": opened.spent / training, "lost": float(lost)}
    return {"train and register": seconds, "CPU of all of it": used, **shares}


def tiny(setting: Setting) -> Round:
    """Train tiny models and register them from two processes in one registry: 5,000 of them."""
    symbols, models = (2, 20) if setting.quick else (25, 100)
    data = setting.folder("data")
    names = [[f"{side}{place}" for place in range(symbols)] for side in ("A", "B")]
    for place, symbol in enumerate(name for side in names for name in side):
        bars = stocks()["AAPL"].iloc[place * 50 : place * 50 + 250]
        write_processed(prepare_ohlcv(bars), data, symbol, "1d")

    def measure(number: int) -> Measures:
        place = setting.folder(f"registry-{number}")
        settle()
        seconds, trained = timed(_from_two, data, place, models, names)
        with ModelRegistry(place) as registry:
            there = len(registry.list_models())
            assert registry.fsck() == []
        expected = 2 * symbols * models
        return {"rate": expected / seconds, "lost": float(abs(expected - there) + abs(expected - trained))}

    return measure


def _from_two(data: Path, registry: Path, models: int, names: list[list[str]]) -> int:
    """Train in two processes at a time, and return how many models they say they trained."""
    command = [sys.executable, "-c", _TINY, str(data), str(registry), str(models)]
    started = [subprocess.Popen([*command, *side], stdout=subprocess.PIPE, text=True) for side in names]
    return sum(int(each.communicate()[0]) for each in started)


WORKLOADS: Final = {"market": market, "market-tiny": tiny}
