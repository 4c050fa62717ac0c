"""Whether a new version is better than the one in production, decided on rows that neither has seen, and on record."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from friday_store.errors import InvalidValueError
from friday_store.market.data import load, tidy
from friday_store.market.holdout import HoldOut, market_of, recorded_data
from friday_store.registry.ranking import higher_is_better

if TYPE_CHECKING:
    from collections.abc import Mapping

    from friday_store.registry import ModelRegistry

SAME: Final = "same hold-out"
MIN_ROWS: Final = 20
USUAL: Final = {"classification": "balanced_accuracy", "regression": "rmse"}
"""The metric of each task that decides when none is named."""


@dataclass(frozen=True)
class Promotion:
    """A decision about one version.

    Attributes:
        promoted: Whether the alias was moved to the candidate.
        reason: Why, or why not, with the numbers.
        model_name: The model.
        alias: Which alias it is about.
        metric: By which metric.
        candidate: The version that was looked at.
        incumbent: The version that had the alias; None if none had.
        scores: The metric of ``candidate``, of ``incumbent`` if there is one, and of ``naive``, all on the same rows.
        rows: How many rows those were.
        first: The time of the first of them; empty if there was none.
        last: The time of the last.
    """

    promoted: bool
    reason: str
    model_name: str
    alias: str
    metric: str
    candidate: str
    incumbent: str | None
    scores: Mapping[str, float]
    rows: int
    first: str
    last: str

    def as_record(self) -> dict[str, Any]:
        """Return the decision as plain values."""
        return asdict(self)


def promote_if_better(
    registry: ModelRegistry,
    model_name: str,
    metric: str | None = None,
    *,
    on: str | Path | pd.DataFrame = SAME,
    directory: Path | None = None,
    candidate: str | None = None,
    alias: str = "production",
    min_rows: int = MIN_ROWS,
) -> Promotion:
    """Move an alias to a new version if it beats both the version that has it and the naive forecast.

    All are scored on the same rows: from where no label of either training part reaches to the end of the data.
    A tie is no win. The decision stands in the candidate's record, under ``evaluation.promotion``, and is one entry of
    the log with the move of the alias; if somebody else moves the alias meanwhile, nothing is written.

    Args:
        registry: Where the model is.
        model_name: The model's name.
        metric: By what; None is balanced accuracy for a direction, else the RMSE.
        on: ``"same hold-out"`` finds the candidate's data again by the files and the digest that its record has; or
            the processed data themselves, as a frame or a file.
        directory: The directory of processed data, for the former.
        candidate: A revision; None is the version that was registered last.
        alias: Which alias.
        min_rows: Fewest rows to decide on; with fewer the alias stays where it is.

    Raises:
        InvalidValueError: The metric is none of those of the task, the data cannot be found or used, or the version
            is no model of market data.
        ModelNotFoundError: There is no such model.
        UntrustedArtifactError: One of the two came from elsewhere and could run code.
        ConflictError: Somebody else moved the alias meanwhile.
    """
    new = registry.get_model_metadata(candidate or f"{model_name}@latest")
    if new["model_name"] != model_name:
        raise InvalidValueError(f"{candidate} is a version of {new['model_name']}, not of {model_name}")
    metric = metric or USUAL[market_of(new)["task"]]
    higher = higher_is_better(metric)
    old = next((each for each in registry.get_model_versions(model_name) if alias in each["aliases"]), None)
    contest = {"candidate": new} if old is None else {"candidate": new, "incumbent": old}
    holdout = HoldOut.of(_data(new, on, directory), list(contest.values()), registry.plugins)
    enough = len(holdout) >= min_rows
    scores, undefined = _scores(registry, holdout, contest, metric) if enough else ({}, "")
    promoted, reason = _verdict(scores, metric, len(holdout), min_rows, undefined, higher=higher)
    same = old is not None and old["model_id"] == new["model_id"]
    decision = Promotion(
        promoted=promoted and not same,
        reason=f"it has the alias {alias} already" if same else reason,
        model_name=model_name,
        alias=alias,
        metric=metric,
        candidate=new["model_version"],
        incumbent=None if old is None else old["model_version"],
        scores=scores,
        rows=len(holdout),
        first=holdout.truth.index[0].isoformat() if len(holdout) else "",
        last=holdout.truth.index[-1].isoformat() if len(holdout) else "",
    )
    if same:
        return decision
    message = f"{'promote' if decision.promoted else 'do not promote'} {model_name}:{new['model_version']} to {alias}"
    with registry.transaction(message):
        registry.record_facts(new["model_id"], "evaluation", {"promotion": decision.as_record()})
        if decision.promoted:
            registry.set_alias(new["model_id"], alias, expected="" if old is None else old["model_id"])
    return decision


def _data(record: Mapping[str, Any], on: str | Path | pd.DataFrame, directory: Path | None) -> pd.DataFrame:
    if isinstance(on, pd.DataFrame):
        return tidy(on)
    if isinstance(on, Path):
        return load(on)
    if on != SAME:
        raise InvalidValueError(f"on: {SAME!r}, or processed data as a frame or a Path, not {on!r}", path="on")
    if directory is None:
        raise InvalidValueError(
            "where the processed data are is not known", hint="pass directory=, or the data themselves as on="
        )
    return recorded_data(record, directory)


def _scores(
    registry: ModelRegistry, holdout: HoldOut, contest: Mapping[str, Mapping[str, Any]], metric: str
) -> tuple[dict[str, float], str]:
    """Return the metric of each model and of the naive forecast, and why one of them is not defined."""
    said = {who: holdout.forecast(registry.load_model(each["model_id"]), each) for who, each in contest.items()}
    found = {who: holdout.scores(each) for who, each in {**said, "naive": holdout.naive()}.items()}
    known = found["candidate"].metrics
    if metric not in known:
        raise InvalidValueError(f"there is no metric {metric!r}; there are {', '.join(known)}", path="metric")
    why = [each.undefined[metric] for each in found.values() if metric in each.undefined]
    return {who: float(each.metrics[metric]) for who, each in found.items()}, next(iter(why), "")


def _verdict(
    scores: Mapping[str, float], metric: str, rows: int, min_rows: int, undefined: str, *, higher: bool
) -> tuple[bool, str]:
    """Return whether the candidate beats all others, and why."""
    if not scores:
        return False, f"{rows} rows that no model has seen, fewer than the {min_rows} needed"
    if any(math.isnan(value) for value in scores.values()):
        return False, f"{metric} is not defined on these {rows} rows: {undefined or 'a score is not a number'}"
    own = scores["candidate"]
    others = {who: value for who, value in scores.items() if who != "candidate"}
    won = {who: (own > value if higher else own < value) for who, value in others.items()}
    told = ", ".join(f"{who} {value:.6g}" for who, value in others.items())
    lost = [who for who in others if not won[who]]
    verdict = f"does not beat {' and '.join(lost)}" if lost else "beats all"
    return not lost, f"{metric} {own:.6g} {verdict} on the same {rows} rows ({told})"
