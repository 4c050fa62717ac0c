"""``ls``, ``show`` and ``log``: what is in a registry. None of them loads a model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli.command import Command
from friday_store.cli.completing import model_names, revisions
from friday_store.cli.output import Column, View, chosen, listing, pairs, single
from friday_store.cli.session import WILD, Session
from friday_store.cli.text import ago, clean, plain, short, size
from friday_store.cli.versions import FIELDS, VERSIONS, label, named, parents

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

_MODELS: Final = View(
    fields=(
        "model_name", "model_version", "model_id", "versions", "aliases", "tags", "size_bytes", "created_at",
        "updated_at",
    ),
    columns=(
        Column("model_name", "NAME", whole=True),
        Column("model_version", "HIGHEST"),
        Column("versions", "VERSIONS"),
        Column("aliases", "ALIASES"),
        Column("tags", "TAGS"),
        Column("updated_at", "UPDATED", ago),
    ),
    id="model_name",
)  # fmt: skip
_TOUCHED: Final = 3


def _touched(moves: Sequence[Mapping[str, str | None]]) -> str:
    """Return the names that an entry moved, as one types them: the first three, and how many more; ``-`` is removed."""
    from friday_store.refs import Ref

    shown = []
    for move in moves[:_TOUCHED]:
        ref = Ref.parse(str(move["ref"]))
        mark = {"aliases": "@", "tags": "@"}.get(ref.space, ":")
        note = " note" if ref.space == "notes" else ""
        shown.append(f"{'' if move['new'] else '-'}{ref.model}{mark}{ref.name}{note}")
    shown = list(dict.fromkeys(shown))
    return ", ".join(shown) + (f" and {len(moves) - _TOUCHED} more" if len(moves) > _TOUCHED else "")


_ENTRIES: Final = View(
    fields=(
        "seq",
        "time",
        "actor",
        "message",
        "refs",
        "packs_added",
        "packs_removed",
        "origin",
        "digest",
        "protection",
        "override",
    ),
    columns=(
        Column("seq", "SEQ"),
        Column("time", "TIME"),
        Column("actor", "ACTOR"),
        Column("message", "MESSAGE"),
        Column("refs", "REFS", _touched, _touched),
        Column("override", "OVERRIDE", lambda override: "override" if override else ""),
    ),
    id="seq",
)
_SORTS: Final = ("model_name", "model_version", "versions", "size_bytes", "created_at", "updated_at")
_HISTORY: Final = View(
    fields=FIELDS,
    columns=(
        Column("model_id", "ID", short),
        Column("model_name", "NAME"),
        Column("model_version", "VERSION"),
        Column("created_at", "TIME"),
        Column("author", "AUTHOR"),
        Column("parents", "PARENTS", short),
        Column("description", "DESCRIPTION"),
    ),
    id="model_id",
)


@click.command(
    cls=Command,
    examples=[
        "ls",
        "ls 'aapl_*' --sort -updated_at",
        "ls aapl_1d",
        "ls --versions --sort -metrics.auc -n 5 --json",
        'ls --where "metrics.auc > 0.6"',
    ],
)
@click.argument("glob", required=False, shell_complete=model_names)
@click.option("--versions", is_flag=True, help="One row for each version, not for each model.")
@click.option("--sort", metavar="KEY", help="A field, or metrics.NAME of versions; -KEY turns it round.")
@click.option("-n", "limit", type=click.IntRange(0), metavar="N", help="At most N rows.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="T", help="Only versions with this tag; may be repeated.")
@click.option("--where", metavar="EXPR", help="Only versions that meet this condition; see: help search.")
@click.pass_obj
def ls(
    session: Session,
    /,
    *,
    glob: str | None,
    versions: bool,
    sort: str | None,
    limit: int | None,
    tags: Sequence[str],
    where: str | None,
) -> None:
    """List models, or the versions of one.

    A GLOB such as 'aapl_*' chooses models by name; the plain name of a model lists its versions.
    """
    registry = session.registry()
    if glob is not None and WILD.isdisjoint(glob):
        registry.get_latest_version(glob)
        versions = True
    if versions:
        order = sort.replace("model_", "", 1) if sort and sort.lstrip("-") in ("model_name", "model_version") else sort
        found = registry.list_models(glob, tags=tags, where=where, order_by=order, limit=limit)
        listing(session, VERSIONS, found, paged=True)
        return
    found = registry.list_summaries(glob, tags=tags, where=where)
    if sort is not None:
        if sort.lstrip("-") not in _SORTS:
            raise click.UsageError(f"models sort by {', '.join(_SORTS)}, not {sort!r}; --versions sort by more")
        key = sort.lstrip("-")
        found.sort(key=lambda row: row["precedence"] if key == "model_version" else row[key], reverse=sort[0] == "-")
    listing(session, _MODELS, found[:limit], paged=True)
    if not found and glob is None and not tags and where is None and chosen(session) == "human":
        session.say("note", "there are no models yet")
        session.say("hint", "friday-store register FILE -n NAME")


@click.command(cls=Command, examples=["show aapl_1d", "show aapl_1d@production --files", "show aapl_1d:1.0.0 --json"])
@click.argument("revision", shell_complete=revisions)
@click.option("--env", "environment", is_flag=True, help="Also libraries, Python and platform.")
@click.option("--files", is_flag=True, help="Also the parts that the model is stored in.")
@click.pass_obj
def show(session: Session, /, *, revision: str, environment: bool, files: bool) -> None:
    """Show a version.

    It shows all that is known of it: what was recorded when it was registered, and what was said about it since.
    """
    registry = session.registry()
    row = named(registry, revision)
    record: dict[str, Any] = dict(registry.get_model_metadata(revision))
    of = registry.provenance(revision)
    record["trusted"], record["signature"] = registry.trust.allows(of), registry.trust.signature_of(of)
    fields: tuple[str, ...] = (*FIELDS, "trusted", "signature")
    if files:
        artifact = registry.repository.artifact(bytes.fromhex(row.artifact))
        record["files"] = [
            {
                "name": part.name,
                "size_bytes": part.size,
                "chunks": len(list(part)),
                "blake3": (part.digest or b"").hex(),
            }
            for part in artifact.parts
        ]
        fields = (*fields, "files")
    view = View(fields, tuple(Column(field, field.upper()) for field in fields), "model_id")
    above = ", ".join(parents(registry, record))
    single(
        session,
        view,
        record,
        text=lambda found: _described(found, above, environment=environment),
        upright=True,
        paged=True,
    )


def _described(record: Mapping[str, Any], above: str, *, environment: bool) -> str:
    lines = [click.style(clean(label(record)), bold=True) + f"  {short(record['model_id'])}"]
    lines += pairs(
        [
            *((name, plain(record[name])) for name in ("description", "status", "aliases", "tags")),
            ("type", str(record["model_type"])),
            ("format", str(record["serializer"])),
            ("size", size(record["size_bytes"])),
            ("author", str(record["author"])),
            ("created", f"{plain(record['created_at'])} ({ago(record['created_at'])})"),
            ("parents", above),
            ("signature", str(record["signature"])),
            ("trusted", plain(record["trusted"])),
            ("id", str(record["model_id"])),
            ("artifact", str(record["artifact"])),
            ("origin", str(record["origin"])),
        ]
    )
    sections = ["metrics", "hyperparameters", "training_data", "evaluation", "feature_importance", "metadata"]
    sections += ["input_schema", "contents", *(["dependencies", "environment"] if environment else [])]
    for name in sections:
        if record[name]:
            lines += ["", click.style(name, bold=True), *pairs(_items(record[name]), "  ")]
    if record["attachments"]:
        attached = [(name, size(count)) for name, count in record["attachments"]["files"].items()]
        lines += ["", click.style("attachments", bold=True), *pairs(attached, "  ")]
    for part in record.get("files", []):
        lines += ["", click.style(clean(part["name"]), bold=True)]
        lines += pairs(
            [("size", size(part["size_bytes"])), ("chunks", str(part["chunks"])), ("blake3", part["blake3"])]
        )
    return "\n".join(lines)


def _items(section: Any) -> list[tuple[str, str]]:
    return [(str(key), plain(value)) for key, value in section.items()] if isinstance(section, Mapping) else []


@click.command(
    cls=Command, examples=["log", "log aapl_1d --oneline", "log aapl_1d@production -n 3", "log --all --json"]
)
@click.argument("target", metavar="[NAME|REV]", required=False, shell_complete=revisions)
@click.option("-n", "limit", type=click.IntRange(0), metavar="N", help="At most N.")
@click.option("--oneline", is_flag=True, help="One line each.")
@click.option("--all", "everything", is_flag=True, help="The repository's transactions: who changed what, and when.")
@click.pass_obj
def log(session: Session, /, *, target: str | None, limit: int | None, oneline: bool, everything: bool) -> None:
    """Show history, newest first.

    A NAME shows the versions of a model, another revision that version and its ancestors, nothing all versions.
    """
    registry = session.registry()
    if everything:
        told = _entry_line if oneline else None
        listing(session, _ENTRIES, itertools.islice(_entries(registry, target), limit), text=told, paged=True)
        return
    found = _history(registry, target)[:limit]
    text = _line if oneline else lambda record: _paragraph(registry, record)
    listing(session, _HISTORY, found, text=text, paged=True)


def _history(registry: ModelRegistry, target: str | None) -> list[dict[str, Any]]:
    if target is None or target in registry.model_names(target):
        return registry.list_models(target, order_by="-created_at")
    found: dict[str, dict[str, Any]] = {}
    waiting = [named(registry, target).model_id]
    while waiting:
        rows = registry.repository.index.versions("m.model_id = ?", (waiting.pop(0),))
        if rows and rows[0].model_id not in found:
            record = found[rows[0].model_id] = registry.get_model_metadata(rows[0].model_id)
            waiting += record["parents"]
    return sorted(found.values(), key=lambda record: record["created_at"], reverse=True)


def _entry_line(entry: Mapping[str, Any]) -> str:
    head = click.style(str(entry["seq"]), fg="yellow")
    return f"{head} {clean(plain(entry['time']))} {clean(entry['actor'])}: {clean(entry['message'])}"


def _line(record: Mapping[str, Any]) -> str:
    names = [f"@{alias}" for alias in record["aliases"]] + [f"tag: {tag}" for tag in record["tags"]]
    rest = " ".join(filter(None, [f"({', '.join(names)})" if names else "", " ".join(record["description"].split())]))
    identity = click.style(short(record["model_id"]), fg="yellow")
    return f"{identity} {click.style(clean(label(record)), bold=True)} {clean(rest)}".rstrip()


def _paragraph(registry: ModelRegistry, record: Mapping[str, Any]) -> str:
    lines = pairs(
        [
            ("author", str(record["author"])),
            ("date", f"{plain(record['created_at'])} ({ago(record['created_at'])})"),
            ("parents", ", ".join(parents(registry, record))),
            ("status", str(record["status"])),
            ("metrics", plain(record["metrics"])),
        ],
        "  ",
    )
    return "\n".join([_line(record), *lines, ""])


def _entries(registry: ModelRegistry, model: str | None) -> Iterator[dict[str, Any]]:
    from friday_store.refs import Ref
    from friday_store.registry.records import moment

    if model is not None:
        registry.get_latest_version(model)
    registry.repository.index.catch_up()
    for entry in registry.repository.log.backwards(registry.repository.index.seq):
        if model is None or any(Ref.parse(name).model == model for name, _, _ in entry.refs):
            yield {
                "seq": entry.seq,
                "time": moment(entry.time),
                "actor": entry.actor,
                "message": entry.message,
                "refs": [_move(move) for move in entry.refs],
                "packs_added": [name for name, _ in entry.packs_added],
                "packs_removed": list(entry.packs_removed),
                "origin": entry.origin,
                "digest": entry.digest.hex(),
                "protection": None if entry.protection is None else entry.protection.to_raw(),
                "override": entry.override,
            }


def _move(move: tuple[str, bytes | None, bytes | None]) -> dict[str, str | None]:
    name, old, new = move
    return {"ref": name, "old": old.hex() if old else None, "new": new.hex() if new else None}
