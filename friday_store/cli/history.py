"""``history`` and ``metrics``: how a model's versions, aliases, statuses and metrics came to be what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.alias import moving
from friday_store.cli.command import Command
from friday_store.cli.completing import alias_names, metric_names, revisions
from friday_store.cli.output import Column, View, chosen, listing, pairs, text
from friday_store.cli.record import facts
from friday_store.cli.session import Refusal, Session
from friday_store.cli.sparkline import sparkline
from friday_store.cli.text import ago, clean, lasting, plain
from friday_store.cli.versions import FIELDS, changed_one, known_metrics

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry
    from friday_store.versioning import ModelVersioning

_BORN: Final = "active"
_STEPS: Final = View(
    fields=(*FIELDS, "previous", "since_previous", "metric_changes"),
    columns=(
        Column("model_version", "VERSION"),
        Column("created_at", "CREATED"),
        Column("since_previous", "AFTER", lasting),
        Column("status", "STATUS"),
        Column("aliases", "ALIASES"),
        Column("metrics", "METRICS"),
    ),
    id="model_id",
)
_MOVES: Final = View(
    fields=("since", "until", "model_version", "model_id", "actor", "message", "seq"),
    columns=(
        Column("since", "SINCE"),
        Column("until", "UNTIL"),
        Column("model_version", "VERSION"),
        Column("actor", "ACTOR"),
        Column("message", "MESSAGE"),
    ),
    id="model_id",
)
_STATUSES: Final = View(
    fields=("time", "model_version", "status", "author", "reason", "model_id"),
    columns=(
        Column("time", "TIME"),
        Column("model_version", "VERSION"),
        Column("status", "STATUS"),
        Column("author", "AUTHOR"),
        Column("reason", "REASON"),
    ),
    id="model_id",
)
_OBSERVATIONS: Final = View(
    fields=("model_version", "model_id", "metric", "time", "step", "value"),
    columns=(
        Column("model_version", "VERSION"),
        Column("metric", "METRIC"),
        Column("time", "TIME"),
        Column("step", "STEP"),
        Column("value", "VALUE"),
    ),
    id="model_id",
)


@click.command(
    cls=Command,
    examples=[
        "history aapl_1d",
        "history aapl_1d --metric auc --plot",
        "history aapl_1d@production",
        "history aapl_1d@production --at 2099-01-01 --json",
        "history aapl_1d --status",
    ],
)
@click.argument("name", metavar="NAME[@ALIAS]", shell_complete=alias_names)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="M",
    shell_complete=metric_names,
    help="Only this metric; may be repeated.",
)
@click.option("--plot", is_flag=True, help="Draw each metric over the versions.")
@click.option("--status", "statuses", is_flag=True, help="Who gave which version which status, when and why.")
@click.option("--at", metavar="TIME", help="Where the alias pointed then, such as 2026-05-01T12:00, in UTC.")
@click.option("-n", "limit", type=click.IntRange(1), metavar="N", help="Only the last N.")
@click.pass_obj
def history(
    session: Session,
    /,
    *,
    name: str,
    metrics: Sequence[str],
    plot: bool,
    statuses: bool,
    at: str | None,
    limit: int | None,
) -> None:
    """Show a model's versions over time.

    \b
    NAME         its versions: when each was registered, and how its metrics changed since the one before
    NAME@ALIAS   where the alias has pointed: since when, until when, and who moved it
    """  # noqa: D301 - click's mark for lines that stay as they are
    from friday_store.versioning import ModelVersioning

    registry = session.registry()
    versioning = ModelVersioning(registry)
    if name not in registry.model_names(name) and "@" in name:
        if plot or metrics or statuses:
            raise click.UsageError("--plot, --metric and --status are about a model, not an alias")
        _of_alias(session, versioning, *moving(registry, name), at=at, limit=limit)
    elif at is not None:
        raise click.UsageError(f"--at is about an alias, such as {name}@production")
    elif statuses:
        listing(session, _STATUSES, _last(versioning.get_status_history(name), limit), paged=True)
    else:
        _of_versions(session, versioning, name, metrics, limit, plot=plot)


def _of_versions(
    session: Session, versioning: ModelVersioning, name: str, metrics: Sequence[str], limit: int | None, *, plot: bool
) -> None:
    found = _last(versioning.get_version_history(name), limit)
    known = list(dict.fromkeys(metric for record in found for metric in record["metrics"]))
    wanted = known_metrics(name, metrics, known) or known
    if plot and session.format in ("", "human"):
        series = {
            metric: [(record["model_version"], record["metrics"].get(metric)) for record in found] for metric in wanted
        }
        text(session, _drawn(series) or f"{clean(name)} has no metrics")
        return
    for record in found:
        since = record["since_previous"]
        record["since_previous"] = None if since is None else since.total_seconds()
    listing(session, _with_changes(found, wanted) if chosen(session) == "human" else _STEPS, found, paged=True)


def _with_changes(found: Sequence[dict[str, Any]], wanted: Sequence[str]) -> View:
    """Return the view for people: a column for each metric, and none that says nothing."""
    for record in found:
        record["shown"] = {metric: _shown(record, metric) for metric in wanted}
    version, created, after, status, aliases, _ = _STEPS.columns
    columns = [version, replace(created, show=ago), after]
    columns += [status] if any(record["status"] != _BORN for record in found) else []
    columns += [aliases] if any(record["aliases"] for record in found) else []
    return replace(_STEPS, columns=(*columns, *(Column(f"shown.{metric}", clean(metric)) for metric in wanted)))


def _shown(record: Mapping[str, Any], metric: str) -> str:
    """Return the value of a metric, and how far it is from the version before."""
    if metric not in record["metrics"]:
        return ""
    change = record["metric_changes"].get(metric, {})
    percent, gap = change.get("percent"), change.get("difference")
    if percent is not None:
        more = f" ({percent:+.1f} %)" if abs(percent) >= 1 else f" ({percent:+.2g} %)"
    else:
        more = f" ({gap:+.6g})" if gap is not None else ""
    return f"{plain(record['metrics'][metric])}{more}"


def _of_alias(
    session: Session, versioning: ModelVersioning, model: str, alias: str, *, at: str | None, limit: int | None
) -> None:
    if at is None:
        listing(session, _MOVES, _last(versioning.alias_history(model, alias), limit), paged=True)
        return
    from friday_store.refs import moment

    time = moment(at)
    found = versioning.alias_at(model, alias, time)
    if found is None:
        raise Refusal(f"{model}@{alias} pointed nowhere at {plain(time)}", 3, f"friday-store history {model}@{alias}")
    listing(session, _MOVES, [found])


@click.command(
    cls=Command,
    examples=[
        "metrics aapl_1d",
        "metrics aapl_1d:1.0.0 auc",
        "metrics aapl_1d auc --plot",
        "metrics aapl_1d@production --log auc=0.59 --step 3",
    ],
)
@click.argument("revision", metavar="NAME|REV", shell_complete=revisions)
@click.argument("names", metavar="[METRIC]...", nargs=-1, shell_complete=metric_names)
@click.option("--plot", is_flag=True, help="Draw the observations of each version.")
@click.option("-n", "limit", type=click.IntRange(1), metavar="N", help="Only the last N observations.")
@click.option("--log", "observed", multiple=True, metavar="K=V", callback=facts, help="Add one; may be repeated.")
@click.option("--step", type=int, metavar="N", help="Which step of a run they belong to.")
@click.pass_obj
def metrics(
    session: Session,
    /,
    *,
    revision: str,
    names: Sequence[str],
    plot: bool,
    limit: int | None,
    observed: dict[str, Any],
    step: int | None,
) -> None:
    """Show or log metrics.

    Observations come oldest first: of all versions of a NAME, else of the version. --log says what was observed of the
    version now; what was said before stays.
    """
    registry = session.registry()
    if observed:
        if names or plot or limit is not None:
            raise click.UsageError("--log adds observations; to see them leave it out")
        record = registry.log_metrics(revision, observed, step=step)
        changed_one(session, record, "logged", f": {plain(observed)}")
        return
    if step is not None:
        raise click.UsageError("--step goes with --log")
    found = _last(_observations(registry, revision, names), limit)
    if plot and session.format in ("", "human"):
        series: dict[str, list[tuple[str, float | None]]] = {}
        for each in found:
            place = "" if each["step"] is None else f"step {each['step']}"
            series.setdefault(f"{each['model_version']} {each['metric']}", []).append((place, each["value"]))
        text(session, _drawn(series) or f"{clean(revision)} has no metrics")
        return
    listing(session, _OBSERVATIONS, found, paged=True)


def _observations(registry: ModelRegistry, revision: str, names: Sequence[str]) -> list[dict[str, Any]]:
    from friday_store.versioning import ModelVersioning

    whole = revision in registry.model_names(revision)
    record = None if whole else registry.get_model_metadata(revision)
    model = revision if record is None else record["model_name"]
    found = [
        each
        for each in ModelVersioning(registry).metric_observations(model)
        if record is None or each["model_id"] == record["model_id"]
    ]
    wanted = known_metrics(revision, names, list(dict.fromkeys(each["metric"] for each in found)))
    for each in found:
        each["value"] = math.nan if each["value"] is None else each["value"]
    return [each for each in found if not wanted or each["metric"] in wanted]


def _drawn(series: Mapping[str, Sequence[tuple[str, float | None]]]) -> str:
    """Return a line of blocks for each series of named values, with its ends and extremes."""
    lines = []
    for name, points in series.items():
        finite = [(value, place) for place, value in points if value is not None and math.isfinite(value)]
        if not finite:
            lines.append((name, "no numbers"))
            continue
        (low, lowest), (high, highest) = min(finite, key=_value), max(finite, key=_value)
        drawn = sparkline([value for _, value in points])
        ends = f"{finite[0][0]:.6g} → {finite[-1][0]:.6g}"
        places = [f"({place})" if place else "" for place in (lowest, highest)]
        extremes = f"lowest {low:.6g} {places[0]}".rstrip() + f", highest {high:.6g} {places[1]}".rstrip()
        lines.append((name, f"{drawn}  {ends}" + (f"   {extremes}" if low < high else "")))
    return "\n".join(pairs(lines))


def _value(point: tuple[float, str]) -> float:
    return point[0]


def _last(found: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    return found if limit is None else found[-limit:]
