"""What a push, pull, fetch or mirror did, as records, as text for people and as git's porcelain."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from friday_store.cli.output import Column, View, chosen, listing, single
from friday_store.cli.session import Refusal, Session
from friday_store.cli.text import clean, masked, short, size

if TYPE_CHECKING:
    from friday_store.errors import FridayStoreError
    from friday_store.hookspecs import RefUpdate, SyncReport

_T = TypeVar("_T")
PARTIAL: Final = 12
"""The exit code where some of it was done."""
_CONFLICT: Final = 4
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAMED: Final = 5
_DONE: Final = {"push": "sent", "pull": "fetched", "fetch": "fetched", "mirror": "sent", "import": "imported"}
REPORT: Final = View(
    fields=("remote", "direction", "dry_run", "refs", "objects", "size_bytes", "present", "behind"),
    columns=(
        Column("remote", "REMOTE"),
        Column("direction", "DIRECTION"),
        Column("objects", "OBJECTS"),
        Column("size_bytes", "SIZE", size),
    ),
    id="remote",
)
_MOVES: Final = View(
    fields=("flag", "ref", "old", "new", "summary"),
    columns=(Column("flag", ""), Column("ref", "REF"), Column("summary", "SUMMARY")),
    id="ref",
)


def recorded(report: SyncReport, remote: str, direction: str, *, dry_run: bool) -> dict[str, Any]:
    """Return a report as a record, with one of git's flags for each ref: moved ones, kept ones, rejected ones."""
    moves = [_moved(update, forced=update.ref in report.forced) for update in report.moved]
    moves += [{**_move(update), "flag": "=", "summary": "left as it is"} for update in report.kept]
    moves += [{**_move(update), "flag": "!", "summary": reason} for update, reason in report.rejected]
    return {
        "remote": masked(remote),
        "direction": direction,
        "dry_run": dry_run,
        "refs": moves,
        "objects": report.objects,
        "size_bytes": report.size,
        "present": report.present,
        "behind": report.behind,
    }


def _moved(update: RefUpdate, *, forced: bool) -> dict[str, Any]:
    """Return a move: ``+`` forced, ``*`` new, ``-`` removed, a blank for moved on."""
    old, new = short(update.old), short(update.new)
    if update.new is None:
        flag, summary = "-", f"removed {old}"
    elif forced:
        flag, summary = "+", f"{old}...{new} (forced)"
    elif update.old is None:
        flag, summary = "*", f"new {new}"
    else:
        flag, summary = " ", f"{old}..{new}"
    return {**_move(update), "flag": flag, "summary": summary}


def _move(update: RefUpdate) -> dict[str, Any]:
    return {"flag": "", "ref": update.ref, "old": update.old, "new": update.new, "summary": ""}


def told(session: Session, record: Mapping[str, Any], *, porcelain: bool, patterns: Sequence[str] = ()) -> None:
    """Write a report, and fail if a ref was left alone.

    Raises:
        Refusal: Some refs were rejected (code 12), or nothing but that happened (code 4).
    """
    moves: list[dict[str, Any]] = record["refs"]
    rejected = [each for each in moves if each["flag"] == "!"]
    if porcelain:
        lines = [_ported(each) for each in moves] + ([] if rejected else ["Done"])
        click.echo("".join(f"{line}\n" for line in lines), nl=False)
    elif chosen(session) in ("tsv", "ids"):
        listing(session, _MOVES, moves)
    else:
        single(session, REPORT, record, text=summary)
    if rejected:
        sys.stdout.flush()
        code = PARTIAL if any(each["flag"] in "*+- " for each in moves) else _CONFLICT
        raise Refusal(_complaint(moves, rejected), code, _way_out(session, record, rejected, patterns))


def mirrored(session: Session, records: Sequence[Mapping[str, Any]], failures: Mapping[str, FridayStoreError]) -> None:
    """Write the reports of several remotes, in TSV one line a ref with the remote first; fail if not all went well.

    Raises:
        Refusal: A remote failed, or a ref was rejected there (code 12).
    """
    if chosen(session) in ("tsv", "ids"):
        view = View(("remote", *_MOVES.fields), (Column("remote", "REMOTE"), *_MOVES.columns), "ref")
        listing(session, view, [{"remote": each["remote"], **move} for each in records for move in each["refs"]])
    else:
        listing(session, REPORT, records, text=lambda each: clean(f"{each['remote']}:") + "\n" + summary(each))
    partly(failures, len(records) + len(failures))
    for each in records:
        rejected = [move for move in each["refs"] if move["flag"] == "!"]
        if rejected:
            sys.stdout.flush()
            hint = again(session, "status", each["remote"], "--fetch")
            raise Refusal(f"{each['remote']}: {_complaint(each['refs'], rejected)}", PARTIAL, hint)


def each_of(names: Sequence[str], call: Callable[[str], _T]) -> tuple[dict[str, _T], dict[str, FridayStoreError]]:
    """Do the same with each remote, also when one fails; return what came of it, and what failed.

    Raises:
        FridayStoreError: All failed; it is that of the first.
    """
    from friday_store.errors import FridayStoreError

    done: dict[str, _T] = {}
    failures: dict[str, FridayStoreError] = {}
    for name in names:
        try:
            done[name] = call(name)
        except FridayStoreError as error:
            failures[name] = error
    if failures and not done:
        raise next(iter(failures.values()))
    return done, failures


def partly(failures: Mapping[str, FridayStoreError], total: int) -> None:
    """Fail if some of several remotes failed, after the others have been told about.

    Raises:
        Refusal: There is a failure.
    """
    for name, error in failures.items():
        sys.stdout.flush()
        raise Refusal(f"{len(failures)} of {total} remotes failed: {name}: {error}", PARTIAL, error.hint)


def summary(record: Mapping[str, Any]) -> str:
    """Return a report as people read it: a line for each ref, then what was copied."""
    moves = record["refs"]
    lines = [line(each) for each in moves]
    behind = record["behind"]
    if not (moves or record["objects"] or (behind and record["direction"] == "import")):
        lines.append("up to date")
    else:
        lines += _amount(record, sum(each["flag"] in "*+- " for each in moves))
    if behind and record["direction"] == "fetch":
        lines.append(f"a pull moves {counted(behind, 'ref')}")
    elif behind and record["direction"] == "import":
        lines.append(f"{counted(behind, 'ref')} left out: newer here, or about versions that are not here")
    elif behind:
        lines.append(f"{counted(behind, 'ref')} newer {'here' if record['direction'] == 'pull' else 'there'}")
    return "\n".join(lines)


def _amount(record: Mapping[str, Any], moved: int) -> list[str]:
    """Return a line that says how much was copied, and how many refs moved; none where nothing did."""
    objects, present = record["objects"], record["present"]
    would = "would be " if record["dry_run"] else ""
    parts = []
    if objects or present:
        copied = f"{counted(objects, 'object')} ({size(record['size_bytes'])}) {would}{_DONE[record['direction']]}"
        are = ("is", "are") if record["dry_run"] else ("was", "were")
        parts.append(copied + (f", {present} {are[present != 1]} there" if present else ""))
    if moved:
        parts.append(counted(moved, "ref") + ("" if parts else f" {would}moved"))
    return ["; ".join(parts)] if parts else []


def line(move: Mapping[str, Any]) -> str:
    """Return one ref as people read it; a note's digest is cut as all digests are."""
    words = [short(word) if _DIGEST.fullmatch(word) else word for word in str(move["ref"]).split("/")]
    return f" {move['flag']} {clean('/'.join(words))}  {clean(move['summary'])}"


def _ported(move: Mapping[str, Any]) -> str:
    """Return one ref as ``git push --porcelain`` does: what is removed comes from nowhere."""
    source = "" if move["flag"] == "-" else move["ref"]
    return f"{move['flag']}\t{source}:{move['ref']}\t{clean(move['summary'])}"


def _complaint(moves: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]) -> str:
    first = rejected[0]
    were = "was" if len(rejected) == 1 else "were"
    return f"{len(rejected)} of {counted(len(moves), 'ref')} {were} left alone: {first['ref']}: {first['summary']}"


def _way_out(
    session: Session, record: Mapping[str, Any], rejected: Sequence[Mapping[str, Any]], patterns: Sequence[str]
) -> str:
    """Return the command that settles what was rejected, or shows the other side of it where nothing can."""
    from friday_store.sync.merge import BOTH_MOVED, STALE

    reasons = {each["summary"] for each in rejected}
    remote, direction = record["remote"], record["direction"]
    if STALE in reasons:
        return again(session, "fetch", remote)
    moved = [each["ref"] for each in rejected if each["summary"] == BOTH_MOVED]
    if not moved and direction == "import":
        return again(session, "show", _version(rejected[0]["ref"]))
    if not moved:
        return again(session, "status", remote, "--fetch")
    globs = [labelled(ref) for ref in moved] if len(moved) <= _NAMED else ["*"]
    settled = [word for glob in globs for word in ("--theirs", glob)]
    return again(session, direction, remote, *patterns, *settled)


def _version(ref: str) -> str:
    """Return what a ref is about as one types it: a version, or a model."""
    from friday_store.refs import Ref

    parts = Ref.parse(ref)
    return f"{parts.model}:{parts.name}" if parts.space == "versions" else parts.model


def labelled(ref: str) -> str:
    """Return an alias's ref as ``MODEL@ALIAS``."""
    from friday_store.refs import Ref

    parts = Ref.parse(ref)
    return f"{parts.model}@{parts.name}"


def again(session: Session, *words: str) -> str:
    """Return a command line for the same registry."""
    where = ("-R", session.url) if session.url else ()
    return shlex.join(["friday-store", *where, *words])


def counted(number: int, what: str) -> str:
    """Return a number of things."""
    return f"{number} {what}{'' if number == 1 else 's'}"
