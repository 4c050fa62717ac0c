"""``best``: the version with the best value of a metric."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import metric_names, model_names
from friday_store.cli.output import single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, plain, short
from friday_store.cli.versions import VERSIONS, known_metrics, label

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry


@click.command(
    cls=Command,
    examples=[
        "best aapl_1d --metric auc",
        "best 'aapl_*' --metric auc -t AAPL --json",
        'best aapl_1d --metric auc --where "params.depth is not null"',
        "best aapl_1d --metric auc --max --tag-as best-auc --alias champion",
    ],
)
@click.argument("name", metavar="NAME|GLOB", shell_complete=model_names)
@click.option(
    "--metric",
    required=True,
    metavar="M",
    shell_complete=metric_names,
    help="The metric; what was observed last counts.",
)
@click.option("--max", "higher", flag_value="max", help="More is better; known for usual names such as auc.")
@click.option("--min", "higher", flag_value="min", help="Less is better; known for usual names such as rmse.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="T", help="Only versions with this tag; may be repeated.")
@click.option("--status", metavar="S", help="Only versions with this status.")
@click.option("--where", metavar="EXPR", help="Only versions that meet this condition; see: help search.")
@click.option("--tag-as", "tag", metavar="TAG", help="Give it this tag.")
@click.option("--alias", metavar="ALIAS", help="Move this alias of its model there.")
@click.pass_obj
def best(
    session: Session,
    /,
    *,
    name: str,
    metric: str,
    higher: str | None,
    tags: Sequence[str],
    status: str | None,
    where: str | None,
    tag: str | None,
    alias: str | None,
) -> None:
    """Find the best version.

    That is the one with the best value of a metric.

    What has no number for it is passed over, and what is deprecated or archived. Of equals the newest wins.
    """
    from friday_store.operations import ModelOperations

    registry = session.registry()
    wanted = {"name": name, "tags": list(tags), "status": status}
    more = _direction(registry, name, metric) if higher is None else higher == "max"
    found = ModelOperations(registry).find_best_model(wanted, metric, more, require=where)
    if tag is not None or alias is not None:
        with registry.transaction(f"best {metric} of {name}"):
            if tag is not None:
                registry.add_tag(found["model_id"], tag)
            if alias is not None:
                registry.set_alias(found["model_id"], alias)
        found = registry.get_model_metadata(found["model_id"])
    rest = "".join([f"; tagged {tag}" if tag else "", f"; @{alias} points there" if alias else ""])
    single(
        session,
        VERSIONS,
        found,
        text=lambda each: clean(
            f"{label(each)} ({short(each['model_id'])}) has the best {metric}: {plain(each['metrics'][metric])}{rest}"
        ),
    )


def _direction(registry: ModelRegistry, name: str, metric: str) -> bool:
    """Return whether more of a metric is better, by its name.

    Raises:
        Refusal: The name does not say, or the model has no such metric.
    """
    from friday_store.errors import InvalidValueError
    from friday_store.registry.ranking import higher_is_better

    try:
        return higher_is_better(metric)
    except InvalidValueError as error:
        if name in registry.model_names(name):
            known_metrics(
                name, [metric], {each for record in registry.get_model_versions(name) for each in record["metrics"]}
            )
        hint = shlex.join(["friday-store", "best", name, "--metric", metric, "--max"])
        raise Refusal(f"{error}; say --max or --min", 2, hint) from error
