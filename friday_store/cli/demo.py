"""``friday-store demo``: the main job on real prices, from raw bars to a model in production, and nothing made up.

Daily bars of five stocks (public domain, offline) become files of features computed from the past only; a random
forest and a ridge model are trained per symbol and target on two evenings, evaluated on days they have not seen
beside a naive forecast, and registered. Each evening ``production`` moves to the new version of a model if that beats
both the one there and the naive forecast on the same days, and stays if not; the best is loaded back and predicts, and
everything is pushed to a second registry.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from friday_store.cli.text import short
from friday_store.errors import InvalidValueError, RepositoryError

if TYPE_CHECKING:
    import pandas as pd

    from friday_store.market.promotion import Promotion
    from friday_store.market.results import ResultRow
    from friday_store.registry import ModelRegistry

Say = Callable[[str], None]

TARGETS: Final = ("price_direction", "volatility")
MODELS: Final = ("random_forest", "ridge")
HORIZON: Final = 1
TIMEFRAME: Final = "1d"
EARLIER: Final = 20
_SCORES: Final = {
    "price_direction": ("accuracy", "baseline_accuracy", True),
    "volatility": ("rmse", "baseline_rmse", False),
}


def run(folder: str, *, fast: bool = False, symbols: Sequence[str] = (), say: Say = print) -> None:
    """Run the demo and leave its registry in ``folder`` to be explored.

    Args:
        folder: A folder that does not exist yet or is empty.
        fast: Only AAPL and FB, and only the direction.
        symbols: Which symbols; all five when empty.
        say: Takes each line of the report.

    Raises:
        PluginError: The package with the prices is not installed.
        RepositoryError: The folder is in use.
        InvalidValueError: There is no such symbol.
    """
    from friday_store.market.demo_data import stocks
    from friday_store.registry import ModelRegistry, location

    started = time.perf_counter()
    place = Path(folder).absolute()
    if place.exists() and any(place.iterdir()):
        raise RepositoryError(f"{place} exists and is not empty", hint="friday-store demo ANOTHER_FOLDER")
    bars = stocks()
    chosen = list(symbols) or (["AAPL", "FB"] if fast else sorted(bars))
    if unknown := [symbol for symbol in chosen if symbol not in bars]:
        raise InvalidValueError(f"there is no symbol {unknown[0]!r}; there are {', '.join(sorted(bars))}")
    targets = TARGETS[:1] if fast else TARGETS
    location.identity().key()  # what cannot be signed is not trained either
    with ModelRegistry(place / ".friday") as registry:
        _title(say, "1. Prices to features")
        _prepare(place, {symbol: bars[symbol] for symbol in chosen}, say)
        _title(say, "2. Train on two evenings, and register")
        rows, decisions = _train(registry, place, {symbol: bars[symbol] for symbol in chosen}, targets, say)
        _title(say, "3. Is it any good?")
        _judge(rows, say)
        _title(say, "4. Into production goes what beats it and the naive forecast; the best is loaded back")
        _decide(decisions, say)
        _produce(registry, rows, place, say)
        _title(say, "5. History, storage, and a second registry")
        _look_back(registry, rows, say)
        _push(registry, place, say)
    say("")
    say(f"Done in {time.perf_counter() - started:.0f} s. The registry is yours to explore:")
    model = next(row.model_name for row in rows if row.model_name)
    shown = next((f"{each.model_name}@{each.alias}" for each in decisions if each.promoted or each.incumbent), model)
    command = "friday-store" if shutil.which("friday-store") else str(Path(sys.argv[0]).absolute())
    say(f"  cd {folder}")
    for rest in (
        "ls",
        f"show {shown}",
        f"log {model}",
        "log --all",
        "push backup --dry-run",
        "fsck",
    ):
        say(f"  {command} {rest}")


def _title(say: Say, text: str) -> None:
    say("")
    say(text)


def _prepare(place: Path, bars: dict[str, pd.DataFrame], say: Say) -> None:
    from friday_store.market.features import NOT_FEATURES, prepare_ohlcv, write_processed

    for symbol, raw in bars.items():
        features = prepare_ohlcv(raw)
        path = write_processed(features, place / "data" / "processed", symbol, TIMEFRAME)
        first, last = (f"{day:%Y-%m-%d}" for day in (features.index[0], features.index[-1]))
        width = sum(column not in NOT_FEATURES for column in features.columns)
        say(f"  {symbol:<5} {len(features):>5} days  {first} to {last}  {width} features  {path.relative_to(place)}")
    say("  Prices are adjusted for splits and dividends; every feature uses that day and the days before it.")


def _train(
    registry: ModelRegistry,
    place: Path,
    bars: dict[str, pd.DataFrame],
    targets: Sequence[str],
    say: Say,
) -> tuple[list[ResultRow], list[Promotion]]:
    """Train twice: on the data of some weeks ago, and on all of it; the second version has the first as parent.

    Returns:
        The rows of the second evening, and what was decided then about production.
    """
    from friday_store.market import MarketDataModelTrainer
    from friday_store.market.features import prepare_ohlcv, write_processed

    rows: list[ResultRow] = []
    decisions: list[Promotion] = []
    for evening, folder in ((f"{EARLIER} days ago", "data/earlier"), ("tonight", "data/processed")):
        if folder == "data/earlier":
            for symbol, raw in bars.items():
                write_processed(prepare_ohlcv(raw.iloc[:-EARLIER]), place / folder, symbol, TIMEFRAME)
        say(f"  {evening}:")
        trainer = MarketDataModelTrainer(place / folder, registry=registry, progress=lambda row: say(_line(row)))
        rows = list(trainer.train_models_for_all_symbols(
            list(bars), timeframes=[TIMEFRAME], target_types=targets, forecast_horizons=[HORIZON], model_types=MODELS
        ))  # fmt: skip
        decisions = [trainer.promote_if_better(str(row.model_name)) for row in rows if row.status == "trained"]
        number = sum(decision.promoted for decision in decisions)
        say(f"    promoted: {number} of {len(decisions)}")
    return rows, decisions


def _line(row: ResultRow) -> str:
    start = f"    {row.symbol:<5} {row.target_type:<16} {row.model_type:<14} {row.status:<8}"
    if row.status != "trained":
        return f"{start} {row.reason}"
    name, naive, _ = _SCORES[row.target_type]
    return f"{start} {row.seconds:5.1f} s   {name} {row.metrics[name]:.4f}   naive {row.metrics[naive]:.4f}"


def _judge(rows: Sequence[ResultRow], say: Say) -> None:
    for target in dict.fromkeys(row.target_type for row in rows):
        skills = [row.metrics["skill"] for row in rows if row.target_type == target and row.status == "trained"]
        known = [skill for skill in skills if not math.isnan(skill)]
        if known:
            mean = sum(known) / len(known)
            spread = f"from {min(known):+.3f} to {max(known):+.3f}"
            say(f"  {target:<16} skill over the naive forecast: mean {mean:+.3f}, {spread}")
    say("  Skill is the share of the naive forecast's error that a model takes away: 0 is no better, 1 is perfect.")
    say("  The direction of the next day is close to a coin toss, and these models do not change that: do not trade")
    say("  on it. How much prices move is easier, because calm and wild days come in runs.")


def _decide(decisions: Sequence[Promotion], say: Say) -> None:
    for decision in decisions:
        name = f"{decision.model_name}:{decision.candidate}"
        say(f"  {name:<47} {'promoted' if decision.promoted else 'not promoted'}: {decision.reason}")


def _produce(registry: ModelRegistry, rows: Sequence[ResultRow], place: Path, say: Say) -> None:
    """Load the best model of each question, one in production before others, and let it predict."""
    from friday_store.loader import ModelLoader

    loader = ModelLoader(registry)
    for symbol, target in dict.fromkeys((row.symbol, row.target_type) for row in rows if row.status == "trained"):
        began = time.perf_counter()
        model = loader.load_model_for_prediction(symbol, TIMEFRAME, target, HORIZON)
        took = (time.perf_counter() - began) * 1000
        record = registry.record_of(model)
        day, answer = _predicted(model, target, place, symbol)
        name = f"{record['model_name']}:{record['model_version']}"
        where = "in production" if "production" in record["aliases"] else "not in production"
        say(f"  {name:<47} {where}, loaded in {took:3.0f} ms   after {day}: {answer}")


def _predicted(model: Any, target: str, place: Path, symbol: str) -> tuple[str, str]:
    """Return the last day of the data and what the model says of the next."""
    from friday_store.market.data import load
    from friday_store.market.features import NOT_FEATURES

    data = load([place / "data" / "processed" / symbol / f"{symbol}_{TIMEFRAME}_processed.csv"])
    last = data.drop(columns=[column for column in NOT_FEATURES if column in data.columns]).iloc[[-1]]
    day = f"{data.index[-1]:%Y-%m-%d}"
    if target == "price_direction":
        return day, f"a rise with probability {model.predict_proba(last)[0, 1]:.2f}"
    return day, f"a move of about {100 * float(model.predict(last)[0]):.2f} %"


def _look_back(registry: ModelRegistry, rows: Sequence[ResultRow], say: Say) -> None:
    row = next(row for row in rows if row.model_name)
    say(f"  {row.model_name}:")
    for record in registry.get_model_versions(str(row.model_name)):
        labels = "".join(f" @{alias}" for alias in record["aliases"])
        parents = short(record["parents"]) or "none"
        rows_used = record["training_data"].get("rows", "?")
        say(f"    {record['model_version']}  {short(record['model_id'])}  parent {parents}  {rows_used} rows{labels}")
    records = registry.list_models()
    plain = sum(record["size_bytes"] for record in records)
    stored = sum(registry.repository.objects.live.values())
    saved = f"{1 - stored / plain:.0%} saved"
    say(f"  {len(records)} versions: {_mib(plain)} as plain pickles, {_mib(stored)} stored ({saved})")


def _push(registry: ModelRegistry, place: Path, say: Say) -> None:
    registry.add_remote("backup", str(place / "backup"))
    report = registry.push("backup")
    say(f"  pushed to {place.name}/backup: {len(report.moved)} refs, {report.objects} objects, {_mib(report.size)}")
    again = registry.push("backup")
    say(f"  pushed again: {again.objects} objects, nothing to send")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
