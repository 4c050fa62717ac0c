"""``friday-store import-mlflow``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.output import Column, View, listing
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, size

if TYPE_CHECKING:
    from friday_store import ModelRegistry
    from friday_store_mlflow.migration import Report

_PARTIAL: Final = 12
_VIEW: Final = View(
    (
        "model_name", "model_version", "number", "outcome", "reason", "files", "size_bytes", "metrics", "aliases",
        "kept",
    ),
    (
        Column("model_name", "MODEL"),
        Column("model_version", "VERSION"),
        Column("number", "MLFLOW"),
        Column("outcome", "OUTCOME"),
        Column("files", "FILES"),
        Column("size_bytes", "SIZE", size),
        Column("aliases", "ALIASES"),
        Column("reason", "REASON"),
    ),
    "model_version",
)  # fmt: skip


def _pairs(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG001
    pairs = dict(text.rpartition("=")[::2] for text in given)
    if "" in pairs:
        raise click.BadParameter("is NAME_IN_MLFLOW=NAME_HERE")
    return pairs


@click.command(
    "import-mlflow",
    cls=Command,
    examples=["import-mlflow sqlite:///mlflow.db -n", "import-mlflow ./mlruns 'aapl_*' --map 'old name=new_name'"],
)
@click.argument("uri")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing; say exactly what would be done.")
@click.option("--tracking", metavar="URI", help="Where MLflow keeps the runs, if not beside the registry.")
@click.option("--map", "names", metavar="NAME=NEW", multiple=True, callback=_pairs, help="Another name for a model.")
@click.option("--force", is_flag=True, help="Aliases that both sides moved go where MLflow has them.")
@click.pass_obj
def import_mlflow(
    session: Session,
    /,
    *,
    uri: str,
    patterns: Sequence[str],
    dry_run: bool,
    tracking: str | None,
    names: Mapping[str, str],
    force: bool,
) -> None:
    """Import the models of an MLflow registry.

    URI is what MLflow calls the registry: a folder, sqlite:///FILE, or a server. Version N becomes 0.0.N, with the
    files of its folder, its tags, aliases, metrics and parameters. Importing again brings what is new there. Nothing
    is run; what was imported loads once you trust it.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.exceptions import MlflowException

    from friday_store_mlflow import migration

    registry = session.registry(new=True)
    try:
        report = migration.import_mlflow(
            uri, registry, patterns or ("*",), tracking_uri=tracking, names=names, force=force, dry_run=dry_run
        )
    except MlflowException as error:
        raise Refusal(f"MLflow cannot read {uri}: {error}", 7) from error
    rows = [{name: getattr(row, name) for name in _VIEW.fields} for row in report.rows]
    listing(session, _VIEW, [_plain(row) for row in rows if session.verbose or row["outcome"] != "present"], paged=True)
    _told(session, registry, report, dry_run=dry_run)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "aliases": list(row["aliases"]), "kept": list(row["kept"])}


def _told(session: Session, registry: ModelRegistry, report: Report, *, dry_run: bool) -> None:
    """Say on stderr what it comes to.

    Raises:
        Refusal: Something failed, or an alias stayed elsewhere.
    """
    counts = ", ".join(f"{report.count(what)} {what}" for what in ("new", "changed", "present", "failed"))
    total = size(sum(row.size_bytes for row in report.rows))
    session.say("note", clean(f"{'would be ' if dry_run else ''}{counts}; {total} of files"))
    kept = [f"{row.model_name}@{alias}" for row in report.rows for alias in row.kept]
    if kept:
        session.say("warning", f"{', '.join(kept)} moved here and in MLflow, and stay where they are here")
    if report.count("new") and not registry.trust.listed()["repositories"] & {report.origin} and not dry_run:
        session.say("note", "MLflow's formats can run code when they are loaded, so these load once you trust them")
        session.say("hint", session.again("trust", "add", report.origin).partition(" import-mlflow")[0])
    if not report.whole:
        failed = report.count("failed")
        what = f"{failed} of {len(report.rows)} versions could not be imported" if failed else "some aliases were kept"
        raise Refusal(what, _PARTIAL, session.again("--force") if kept else None)
