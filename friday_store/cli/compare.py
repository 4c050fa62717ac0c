"""``compare`` and ``diff``: versions side by side, and what differs inside their models."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import revisions
from friday_store.cli.output import Column, View, chosen, listing, single, text
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean

if TYPE_CHECKING:
    from friday_store.comparison import Comparison, ModelDiff
    from friday_store.registry import ModelRegistry

_UNBOUNDED: Final = 100_000
_SECTIONS: Final = (
    "version", "metrics", "parameters", "steps", "features", "schema", "data", "importance", "dependencies",
    "environment", "evaluation", "metadata", "size", "time",
)  # fmt: skip
_MODEL: Final = "model"
_INCIDENTAL: Final = frozenset(
    (("version", "artifact"), ("version", "status"), ("version", "aliases"), ("version", "author"))
)
"""Facts that are not what a version is; the artifact, because what differs in it is told by itself."""
_COMPARED: Final = View(
    fields=("versions", "model_ids", "features_added", "features_removed", "time_between", "only_differences", "rows"),
    columns=(Column("versions", "VERSIONS"),),
    id="model_ids",
)
_ROWS: Final = ("section", "name", "values", "differences", "percents", "same")
_DIFFED: Final = View(
    fields=("before", "after", "record", "model"),
    columns=(Column("before", "BEFORE"), Column("after", "AFTER")),
    id="after",
)
_CHANGES: Final = View(
    fields=("kind", "where", "state", "before", "after", "difference"),
    columns=(
        Column("kind", "KIND"),
        Column("where", "WHERE"),
        Column("state", "STATE"),
        Column("before", "BEFORE"),
        Column("after", "AFTER"),
        Column("difference", "DIFFERENCE"),
    ),
    id="where",
)


@click.command(
    cls=Command,
    examples=[
        "compare aapl_1d:1.0.0 aapl_1d",
        "compare aapl_1d 1.0.0 1.1.0 --metric auc --differences",
        "compare aapl_1d@production --json",
    ],
)
@click.argument("revisions", metavar="REV...", nargs=-1, required=True, shell_complete=revisions)
@click.option("-d", "--differences", is_flag=True, help="Only what differs.")
@click.option("--metric", "metrics", multiple=True, metavar="M", help="Of the metrics only this; may be repeated.")
@click.option("--only", metavar="S,S", help=f"Only these sections: {', '.join(_SECTIONS)}.")
@click.option("--baseline", metavar="REV", shell_complete=revisions, help="What the others are measured against.")
@click.pass_obj
def compare(
    session: Session,
    /,
    *,
    revisions: Sequence[str],
    differences: bool,
    metrics: Sequence[str],
    only: str | None,
    baseline: str | None,
) -> None:
    """Put versions side by side.

    What is recorded of them is compared, and no model is read; diff looks inside. The first is what the others are
    measured against. A single REV is compared with its parent; a NAME may be followed by versions alone.

    JSON is one object; the other formats have one record for each fact.
    """
    from friday_store.operations import ModelOperations

    operations = ModelOperations(session.registry())
    sections = _sections(only, _SECTIONS)
    asked = _asked(operations, ([baseline] if baseline is not None else []) + list(revisions))
    found = operations.compare_models(*asked, metrics=metrics or None, only_differences=differences)
    found = found.only(sections) if sections else found
    kind = chosen(session)
    if kind == "json":
        single(session, _COMPARED, found.as_dict())
    elif kind == "human" and not session.fields:
        text(session, _bold(found.to_text(_width(session))), paged=True)
    else:
        listing(session, _rows_view(found), _rows(found), paged=True)


def _bold(shown: str) -> str:
    """Return text whose titles and captions, which are not indented, are bold."""
    return "\n".join(click.style(line, bold=True) if line[:1].strip() else line for line in shown.splitlines())


def _asked(registry: ModelRegistry, revisions: list[str]) -> list[str]:
    """Return the revisions; before a single one its first parent.

    Raises:
        Refusal: It has none.
    """
    if len(revisions) > 1:
        return revisions
    record = registry.get_model_metadata(revisions[0])
    if not record["parents"]:
        raise Refusal(
            f"{revisions[0]} has no parent; say what it is to be compared with", 2, f"friday-store ls {record['name']}"
        )
    return [record["parents"][0], record["model_id"]]


def _sections(only: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the sections that were asked for; none for all."""
    wanted = tuple(word.strip() for word in (only or "").split(",") if word.strip())
    unknown = [word for word in wanted if word not in known]
    if unknown:
        raise click.UsageError(f"there is no section {unknown[0]!r}; there are: {', '.join(known)}")
    return wanted


def _width(session: Session) -> int:
    bounded = sys.stdout.isatty() and not session.no_truncate
    return shutil.get_terminal_size().columns if bounded else _UNBOUNDED


def _rows(found: Comparison) -> list[dict[str, Any]]:
    """Return a record for each fact, with what each version says under its name."""
    return [
        {
            "section": row.section,
            "name": row.name,
            "values": dict(zip(found.versions, row.sides, strict=True)),
            "differences": dict(zip(found.versions[1:], row.differences, strict=True)),
            "percents": dict(zip(found.versions[1:], row.percents, strict=True)),
            "same": row.same,
        }
        for row in found.rows
    ]


def _rows_view(found: Comparison) -> View:
    values = [Column(f"values.{version}", clean(version)) for version in found.versions]
    pair = len(found.versions) == 2
    measures = [(f"differences.{found.versions[1]}", "DIFFERENCE"), (f"percents.{found.versions[1]}", "PERCENT")]
    columns = [Column("section", "SECTION"), Column("name", "NAME"), *values]
    return View(_ROWS, (*columns, *(Column(*measure) for measure in measures if pair)), "name")


@click.command(
    cls=Command,
    examples=[
        "diff aapl_1d:1.0.0 aapl_1d",
        "diff aapl_1d --stat",
        "diff aapl_1d 1.0.0 1.1.0 --only metrics,model --json",
        "diff aapl_1d:1.1.0 aapl_1d --exit-code",
        "diff aapl_1d --unified",
    ],
)
@click.argument("revisions", metavar="A [B]", nargs=-1, required=True, shell_complete=revisions)
@click.option("--stat", is_flag=True, help="One line: how much of the stored model is new.")
@click.option("--only", metavar="S,S", help=f"Only these: {_MODEL}, or sections as of compare.")
@click.option("-u", "--unified", is_flag=True, help="What is recorded, line by line, as diff -u writes it.")
@click.option("--load", is_flag=True, help="Load both too: trees, coefficients, predictions on the recorded sample.")
@click.option("--sample", type=click.Path(path_type=Path), metavar="CSV", help="Rows to predict with both; loads them.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@click.pass_obj
def diff(
    session: Session,
    /,
    *,
    revisions: Sequence[str],
    stat: bool,
    only: str | None,
    unified: bool,
    load: bool,
    sample: Path | None,
    exit_code: bool,
) -> None:
    """Show what changed in a model.

    What is recorded of two versions comes first, then their stored models, of which only what differs is read, and
    nothing is run unless --load or --sample is there. A alone is compared with its parent.

    JSON is one object; the other formats have one record for each change.
    """
    from friday_store.operations import ModelOperations
    from friday_store.operations import revisions as versions_of

    operations = ModelOperations(session.registry())
    sections = _sections(only, (_MODEL, *_SECTIONS))
    asked = versions_of(*_asked(operations, list(revisions)))
    if len(asked) != 2:
        raise click.UsageError(f"a diff is of two versions, not of {len(asked)}; compare takes more")
    if unified:
        differs = _unified(session, operations, *asked)
    else:
        facts = operations.compare_models(*asked, only_differences=True)
        facts = facts.only(sections) if sections else facts.without("size", "time")
        rows = None if sample is None else _table(sample)
        model = None
        if not sections or _MODEL in sections:
            model = operations.diff_models(*asked, load=load or rows is not None, sample=rows)
        _written(session, facts, model, stat=stat)
        if model is not None and model.behaviour is not None and model.behaviour.predictions is None:
            session.say("note", "no predictions were compared: neither --sample nor the versions give rows for both")
        differs = bool(model) or any((row.section, row.name) not in _INCIDENTAL for row in facts.rows)
    if exit_code and differs:
        raise click.exceptions.Exit(1)


def _written(session: Session, facts: Comparison, model: ModelDiff | None, *, stat: bool) -> None:
    kind = chosen(session)
    if kind == "json":
        whole = {
            "before": facts.versions[0],
            "after": facts.versions[1],
            "record": facts.as_dict(),
            "model": None if model is None else model.as_dict(),
        }
        single(session, _DIFFED, whole)
    elif kind == "human" and not session.fields:
        told = _told(facts, model, _width(session), stat=stat)
        text(session, told if stat else _bold(told), paged=True)
    else:
        listing(session, _CHANGES, _changes(facts, model), paged=True)


def _told(facts: Comparison, model: ModelDiff | None, width: int, *, stat: bool) -> str:
    if stat:
        counts = Counter(row.section for row in facts.rows)
        recorded = ", ".join(f"{count} of {section}" for section, count in counts.items()) or "nothing"
        return "\n".join([*([] if model is None else [model.summary()]), f"recorded facts that differ: {recorded}"])
    told = [facts.to_text(width)] if facts.rows or model is None else []
    return "\n\n".join(told if model is None else [*told, model.to_text(width, parameters=not told)])


def _changes(facts: Comparison, model: ModelDiff | None) -> Iterator[Mapping[str, Any]]:
    """Yield a record for each fact, part and place that differs."""
    for row in facts.rows:
        sides = dict(zip(("before", "after"), row.sides, strict=True))
        yield {"kind": row.section, "where": row.name, "state": _state(*row.sides), **sides,
               "difference": row.differences[0]}  # fmt: skip
    if model is None:
        return
    trees = model.trees
    if trees is not None:
        state = "same" if trees.same == trees.before == trees.after else "changed"
        yield {"kind": "trees", "where": "trees", "state": state, "before": trees.before, "after": trees.after,
               "difference": trees.after - trees.before}  # fmt: skip
    for each in model.coefficients or ():
        yield {"kind": "coefficient", "where": each.name, "state": _state(each.before, each.after),
               "before": each.before, "after": each.after, "difference": each.difference}  # fmt: skip
    for part in model.parts:
        if part.state != "same":
            most = None if part.numbers is None else part.numbers.max_difference
            yield {"kind": "part", "where": part.path or part.name, "state": part.state, "before": part.size_before,
                   "after": part.size_after, "difference": most}  # fmt: skip
    told = {part.path for part in model.parts}
    for value in (value for value in model.contents if value.path not in told):
        most = None if value.numbers is None else value.numbers.max_difference
        yield {"kind": "value", "where": value.path, "state": value.state, "before": value.before,
               "after": value.after, "difference": most}  # fmt: skip


def _state(before: Any, after: Any) -> str:
    return "added" if before is None else "removed" if after is None else "changed"


def _unified(session: Session, operations: ModelRegistry, one: str, other: str) -> bool:
    from friday_store.versioning import ModelVersioning

    found = ModelVersioning(operations).record_diff(one, other)
    if found:
        text(session, "\n".join(map(_painted, found.text.splitlines())), paged=True)
    return bool(found)


def _painted(line: str) -> str:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    bold = line.startswith(("+++ ", "--- "))
    return click.style(clean(line), fg=None if bold else colours.get(line[:1]), bold=bold or None)


def _table(path: Path) -> Any:
    """Return the rows of a CSV file, for both models to predict."""
    import pandas as pd

    try:
        return pd.read_csv(path)
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror}", 3) from error
    except ValueError as error:
        raise Refusal(f"{path} is no table in CSV: {error}", 2) from error
