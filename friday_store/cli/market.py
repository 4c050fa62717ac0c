"""``train`` and ``predict``: models of market data, from files of bars to the registry, and from there to forecasts."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import revisions
from friday_store.cli.output import Column, View, chosen, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, plain

if TYPE_CHECKING:
    from friday_store.market import MarketDataModelTrainer
    from friday_store.market.results import ResultRow, Results

_QUESTION: Final = ("symbol", "timeframe", "target_type", "forecast_horizon")
_ROWS: Final = View(
    fields=(
        *_QUESTION, "model_type", "status", "reason", "seconds", "metrics", "model_name", "model_version", "model_id",
    ),
    columns=(
        Column("symbol", "SYMBOL"),
        Column("timeframe", "TIME"),
        Column("target_type", "TARGET"),
        Column("forecast_horizon", "AHEAD"),
        Column("model_type", "MODEL"),
        Column("status", "STATUS"),
        Column("seconds", "SECONDS", lambda value: f"{value:.1f}"),
        Column("metrics.skill", "SKILL", lambda value: "" if value is None else f"{value:+.3f}"),
        Column("model_version", "VERSION"),
        Column("reason", "REASON"),
    ),
    id="model_id",
)  # fmt: skip
_FORECAST: Final = View(
    fields=(
        "as_of", "prediction", "unit", "probability", "in_training", *_QUESTION, "model_name", "model_version",
        "model_id", "rows", "left_out", "path",
    ),
    columns=(
        Column("as_of", "AS OF"),
        Column("prediction", "PREDICTION"),
        Column("probability", "PROBABILITY"),
        Column("target_type", "TARGET"),
        Column("forecast_horizon", "AHEAD"),
        Column("model_name", "NAME"),
        Column("model_version", "VERSION"),
        Column("path", "PATH"),
    ),
    id="model_id",
)  # fmt: skip


@click.command(
    cls=Command,
    examples=[
        "train --symbol ACME --target return --horizon 1 --model ridge",
        "train --data data/processed --target volatility --horizon 1 --horizon 5 --model ridge --model linear -j 2",
    ],
)
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path("data/processed"), show_default=True, metavar="DIR",
    help="Where the processed files are.",
)  # fmt: skip
@click.option("--symbol", "symbols", multiple=True, metavar="S", help="A symbol; may be repeated. Default: all.")
@click.option("--timeframe", "timeframes", multiple=True, metavar="T", help="Such as 1d; default: all with a file.")
@click.option("--target", "targets", multiple=True, metavar="T", help="Such as price_direction; may be repeated.")
@click.option("--horizon", "horizons", multiple=True, type=int, metavar="N", help="Bars ahead; may be repeated.")
@click.option("--model", "models", multiple=True, metavar="M", help="Such as random_forest; may be repeated.")
@click.option("--tune", default="none", metavar="HOW", help="none, grid, random, halving, or a plugin's tuner.")
@click.option("--walk-forward", type=int, metavar="N", help="Evaluate over N folds besides the hold-out.")
@click.option("-j", "--jobs", type=int, metavar="N", help="Processes; -1 for one on each core.")
@click.option("--test-size", type=float, default=0.2, show_default=True, metavar="F", help="Share of rows to test on.")
@click.option("--seed", type=int, default=42, show_default=True, metavar="N", help="Seed of every estimator.")
@click.option("--budget", type=float, metavar="SECONDS", help="Begin nothing after that time.")
@click.option("--again", is_flag=True, help="Also train what is registered already.")
@click.option("--promote", is_flag=True, help="Move production to what is better on the same rows.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Then keep N versions of each, and the best one.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write an HTML report.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    *,
    data: Path,
    symbols: Sequence[str],
    timeframes: Sequence[str],
    targets: Sequence[str],
    horizons: Sequence[int],
    models: Sequence[str],
    tune: str,
    walk_forward: int | None,
    jobs: int | None,
    test_size: float,
    seed: int,
    budget: float | None,
    again: bool,
    promote: bool,
    keep: int | None,
    report: Path | None,
) -> None:
    """Train models on market data.

    Every combination is a row: trained, skipped or failed, and why. What is registered already, from the same data in
    the same way, is skipped. Ctrl-C keeps every model that is finished. With -v each row is told as it comes.
    """
    from friday_store.market import MarketDataModelTrainer

    session = ctx.ensure_object(Session)
    registry = session.registry(new=True)
    if report is not None:
        from friday_store.market import plots

        plots.available()
    trainer = MarketDataModelTrainer(
        data,
        registry=registry,
        n_jobs=jobs,
        test_size=test_size,
        random_state=seed,
        progress=_teller(session),
        walk_forward=walk_forward,
    )
    missing = _without_data(trainer, data, symbols, timeframes)
    if not registry.repository.born:
        session.say("note", f"this makes a new registry at {registry.url}")
    try:
        results = trainer.train_models_for_all_symbols(
            symbols or None,
            timeframes or None,
            targets or None,
            horizons or None,
            models or None,
            tune,
            resume=not again,
            time_budget=budget,
        )
    except KeyboardInterrupt:
        session.say("stopped", "every model that was finished is registered; the same command goes on with the rest")
        raise
    if promote:
        _promote(session, trainer, results)
    if keep is not None:
        gone = sum(not fate.kept for fate in trainer.prune(keep))
        session.say("deleted", f"{gone} old versions; friday-store restore brings them back")
    if report is not None:
        trainer.write_report(report, results=results)
        session.say("report", str(report))
    _show(session, results)
    if missing:
        session.say("warning", f"there is no file of {', '.join(missing)} in {data}")
    if failed := results.with_status("failed"):
        ctx.exit(12 if len(failed) < len(results) else 1)
    ctx.exit(12 if missing else 0)


def _without_data(
    trainer: MarketDataModelTrainer, data: Path, symbols: Sequence[str], timeframes: Sequence[str]
) -> list[str]:
    """Return the symbols that were asked for and have no file.

    Raises:
        Refusal: There is no folder, or no file at all of what was asked for.
    """
    from friday_store.market.data import check_timeframe

    if not data.is_dir():
        raise Refusal(f"there is no folder {str(data)!r}", 3, "friday-store data prepare --help")
    there = trainer.discover_processed_data()
    if not there:
        wanted = "SYMBOL_TIMEFRAME_*.csv or .parquet"
        raise Refusal(f"no file in {str(data)!r} is called {wanted}", 3, "friday-store data prepare --help")
    missing = [symbol for symbol in symbols if symbol not in there]
    if missing and len(missing) == len(symbols):
        near = get_close_matches(missing[0], there, 1)
        more = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(there)[:20])}"
        again = ["friday-store", "train", "--data", str(data), "--symbol", near[0] if near else min(there)]
        raise Refusal(f"there is no file of {missing[0]!r} in {str(data)!r}; {more}", 3, shlex.join(again))
    asked = [check_timeframe(name) for name in timeframes]
    frames = {frame for symbol in symbols or there for frame in there.get(symbol, ())}
    if asked and frames.isdisjoint(asked):
        more = f"there are {', '.join(sorted(frames))}"
        again = ["friday-store", "train", "--data", str(data), "--timeframe", min(frames)]
        raise Refusal(f"there is no file of {', '.join(timeframes)} in {str(data)!r}; {more}", 3, shlex.join(again))
    return missing


def _promote(session: Session, trainer: MarketDataModelTrainer, results: Results) -> None:
    """Decide about what was trained, and about what an earlier run that was broken off had no time to decide about."""
    for row in results:
        waits = row.status == "trained" or (row.model_id is not None and not _is_decided(session, row.model_id))
        if waits:
            decision = trainer.promote_if_better(str(row.model_name), candidate=row.model_id)
            session.say("promoted" if decision.promoted else "kept", f"{row.model_name}: {decision.reason}")


def _is_decided(session: Session, model_id: str) -> bool:
    return "promotion" in session.registry().get_model_metadata(model_id)["evaluation"]


def _teller(session: Session) -> Any:
    """Return what tells people on a terminal of each row; with ``-v`` the trainer's log does."""

    def tell(row: ResultRow) -> None:
        what = f"{row.symbol} {row.timeframe} {row.target_type} {row.forecast_horizon} {row.model_type}"
        session.say(row.status, f"{what} {row.reason or f'in {row.seconds:.1f} s'}")

    return tell if sys.stderr.isatty() and not session.verbose else None


def _show(session: Session, results: Results) -> None:
    rows = [{name: getattr(row, name) for name in _ROWS.fields} for row in results]
    if chosen(session) == "ids":
        rows = [row for row in rows if row["model_id"] is not None]
    listing(session, _ROWS, rows)


@click.command(
    cls=Command,
    examples=[
        "predict -R market ACME_1d_return_1_ridge acme.csv",
        "predict -R market ACME_1d_return_1_ridge:1.0.0 acme.csv -o forecasts.csv --json",
    ],
)
@click.argument("revision", metavar="REV", shell_complete=revisions)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="All rows, as .csv or .parquet.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def predict(session: Session, /, *, revision: str, data: Path, output: Path | None, force: bool) -> None:
    """Say what one forecasts.

    DATA is a CSV or Parquet file of raw bars, or of bars with the features that the model was trained on. Shown is the
    forecast from the newest bar. A model that could run code is used only if you made it or trust it.
    """
    from friday_store.market.prediction import predict as predicted
    from friday_store.market.targets import unit_of

    if output is not None and output.suffix.lower() not in (".csv", ".parquet"):
        raise click.BadParameter("forecasts are written as .csv or .parquet", param_hint="--output")
    if output is not None and output.exists() and not force:
        again = ["friday-store", "predict", "--force", revision, str(data), "-o", str(output)]
        raise Refusal(f"{output} exists", 4, shlex.join(again))
    found = predicted(session.registry(), revision, data)
    if output is not None:
        found.write(output)
    record = {
        **dict.fromkeys(_FORECAST.fields),
        **found.latest,
        "unit": unit_of(found.latest["target_type"], session.registry().plugins),
        "rows": len(found.frame),
        "left_out": found.left_out,
        "path": None if output is None else str(output),
    }
    single(session, _FORECAST, record, text=_told)


def _told(record: Any) -> str:
    if record["probability"] is not None:
        what = f"a rise with probability {record['probability']:.3f}"
    else:
        what = f"{record['target_type']} {plain(record['prediction'])}"
    bars = "bar" if record["forecast_horizon"] == 1 else "bars"
    when = f"as of {record['as_of']}, {record['forecast_horizon']} {bars} ahead"
    by = f"({record['model_name']}:{record['model_version']})"
    lines = [f"{record['symbol']} {record['timeframe']}, {when}: {what} {by}"]
    if record["unit"] and record["probability"] is None:
        lines.append(f"{record['target_type']} is {record['unit']}")
    if record["path"]:
        lines.append(f"wrote {record['rows']} forecasts to {record['path']}")
    return "\n".join(map(clean, lines))
