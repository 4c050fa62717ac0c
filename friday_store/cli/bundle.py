"""``export`` and ``import``: models out of a registry as one file, or as their own files, and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from friday_store.cli import report as reports
from friday_store.cli.command import Command
from friday_store.cli.completing import revisions
from friday_store.cli.exchange import exchange, needing, ported, rehearsing, settling, watching
from friday_store.cli.output import Column, View, single
from friday_store.cli.progress import Kind, Watch
from friday_store.cli.session import WILD, Refusal, Session
from friday_store.cli.text import clean, size

if TYPE_CHECKING:
    from friday_store.hookspecs import SyncReport
    from friday_store.index import VersionRow
    from friday_store.registry import ModelRegistry

_DOCUMENT: Final = "metadata.json"
ORIGIN: Final = "files"
"""Where the log says that an exported folder came from."""
_EXPORTED: Final = View(
    fields=("path", "format", "id", "objects", "size_bytes", "models", "versions", "refs", "gone"),
    columns=(
        Column("path", "PATH"),
        Column("models", "MODELS"),
        Column("versions", "VERSIONS"),
        Column("objects", "OBJECTS"),
        Column("size_bytes", "SIZE", size),
    ),
    id="path",
)


def _here(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:  # noqa: ARG001 - click's
    """Refuse a URL as the place to write to."""
    if value is not None and "://" in value:
        raise click.BadParameter(f"{value!r} is not here; write a file and copy it there, or push to a registry there")
    return None if value is None else Path(value)


@click.command(
    cls=Command,
    copies=True,
    examples=[
        "export aapl_1d@production -o best.friday",
        "export --all -o nightly.friday",
        "export 'aapl_*' --since 2026-05-01 -o new.friday",
        "export --all --since team.friday -o rest.friday --json",
        "export aapl_1d:1.0.0 --to handover",
    ],
)
@click.argument("chosen", metavar="[REV|GLOB]...", nargs=-1, shell_complete=revisions)
@click.option("--all", "everything", is_flag=True, help="Every version of every model.")
@click.option("-o", "--output", metavar="FILE", callback=_here, help="The file to write.")
@click.option("--to", "folder", metavar="DIR", callback=_here, help="Instead, each model's own file in a folder.")
@click.option(
    "--since", metavar="TIME|FILE", help="Only what came after a time, or what an earlier export lacks; not for REV."
)
@watching
@click.pass_obj
def export(
    session: Session,
    /,
    *,
    chosen: Sequence[str],
    everything: bool,
    output: Path | None,
    folder: Path | None,
    since: str | None,
    kind: Kind,
) -> None:
    """Write models to one file.

    A REV such as aapl_1d@production is one version, and a plain name the highest; a GLOB such as 'aapl_*' is every
    version of the models that match. Tags, notes, aliases and the history go with them, and import checks every byte.
    --to writes what other programs read: the model's native file, with metadata.json beside it.
    """
    globs = ["*"] if everything else [each for each in chosen if not WILD.isdisjoint(each)]
    _check_options(chosen, globs, output, folder, since, everything=everything)
    registry = session.registry()
    target = output or folder
    assert target is not None
    _check_globs(session, registry, globs)
    _check_target(session, target, folder=folder is not None)
    if folder is not None:
        ids = [record["model_id"] for glob in globs for record in registry.list_models(glob)]
        rows = [registry.resolve(each) for each in dict.fromkeys(ids or chosen)]
        report = registry.export_model([row.model_id for row in rows], folder, format="files")
        record = _of_folder(report, folder, rows)
    else:
        with Watch(session, kind, "export") as watch:
            if globs:
                report = registry.export_models(target, globs, since=_since(since), progress=watch)
            else:
                report = registry.export_model(chosen, target, progress=watch)
        record = _of_file(report, target)
    single(session, _EXPORTED, record, text=_told)


def _check_options(
    chosen: Sequence[str],
    globs: Sequence[str],
    output: Path | None,
    folder: Path | None,
    since: str | None,
    *,
    everything: bool,
) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: They do not.
    """
    if bool(chosen) == everything:
        raise click.UsageError("say which: revisions such as aapl_1d@production, globs such as 'aapl_*', or --all")
    if (output is None) == (folder is None):
        raise click.UsageError("say where to: -o FILE for one file, or --to DIR for each model's own file")
    if globs and not everything and len(globs) < len(chosen):
        raise click.UsageError("a glob is every version, a revision is one: export them to two files")
    if since is not None and (folder is not None or not globs):
        raise click.UsageError("--since goes with --all or a glob, and with -o FILE")


def _check_target(session: Session, target: Path, *, folder: bool) -> None:
    """Refuse a file or a full folder that is in the way, with a name that is free.

    Raises:
        Refusal: It is there.
    """
    if not target.exists() or (folder and target.is_dir() and not any(target.iterdir())):
        return
    free = next(each for number in range(2, 1 << 20) if not (each := _numbered(target, number)).exists())
    what = "is there, and is not an empty folder" if folder else "exists"
    raise Refusal(f"{target} {what}", 4, session.again(instead={str(target): str(free)}))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _since(text: str | None) -> str | Path | None:
    """Return a time as it is, and a file as a path.

    Raises:
        Refusal: It is neither.
    """
    if text is None:
        return None
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        if "://" not in text and not Path(text).is_file():
            raise Refusal(f"{text!r} is neither a time such as 2026-05-01 nor a file that is there", 3) from None
    return text


def _check_globs(session: Session, registry: ModelRegistry, globs: Sequence[str]) -> None:
    """Warn of a glob that no model matches.

    Raises:
        Refusal: None of them has a model.
    """
    empty = [glob for glob in globs if not registry.model_names(glob)]
    if globs and len(empty) == len(globs):
        raise Refusal(f"there is no model to export: nothing matches {', '.join(globs)}", 3, "friday-store ls")
    for glob in empty:
        session.say("warning", f"no model matches {glob!r}")


def _of_folder(report: SyncReport, folder: Path, rows: Sequence[VersionRow]) -> dict[str, Any]:
    from friday_store.refs import Ref

    return {
        "path": str(folder),
        "format": "files",
        "id": None,
        "objects": report.objects,
        "size_bytes": report.size,
        "models": len({row.model_name for row in rows}),
        "versions": len(rows),
        "refs": [
            {"ref": str(Ref("versions", row.model_name, row.model_version)), "digest": row.model_id} for row in rows
        ],
        "gone": [],
    }


def _of_file(report: SyncReport, path: Path) -> dict[str, Any]:
    """Return what was written, as it is read back from the file."""
    from friday_store.refs import Ref
    from friday_store.sync.bundle import read_bundle

    found = read_bundle(path)
    refs = [Ref.parse(name) for name in found.refs]
    return {
        "path": str(path),
        "format": "bundle",
        "id": found.directory.name,
        "objects": report.objects,
        "size_bytes": path.stat().st_size,
        "models": len({ref.model for ref in refs}),
        "versions": sum(ref.space == "versions" for ref in refs),
        "refs": [{"ref": name, "digest": digest.hex()} for name, digest in found.refs.items()],
        "gone": [{"ref": name, "digest": digest.hex()} for name, digest in found.gone.items()],
    }


def _told(record: Mapping[str, Any]) -> str:
    what = f"{reports.counted(record['versions'], 'version')} of {reports.counted(record['models'], 'model')}"
    parts = [f"wrote {record['path']} ({size(record['size_bytes'])}): {what}"]
    if record["format"] == "bundle":
        parts += [reports.counted(record["objects"], "object"), reports.counted(len(record["refs"]), "ref")]
    parts += [f"{reports.counted(len(record['gone']), 'ref')} gone"] if record["gone"] else []
    return clean(", ".join(parts))


@click.command(
    "import",
    cls=Command,
    copies=True,
    examples=["import team.friday -n", "import team.friday", "import team.friday --theirs '*@production' --json"],
)
@click.argument("source", metavar="FILE|URL|DIR")
@rehearsing
@settling
@ported
@watching
@needing
@click.pass_obj
def import_(session: Session, /, *, source: str, **rest: Any) -> None:
    """Bring in models from a file.

    A FILE or URL is what export -o wrote, and comes in as a pull would: an alias that is elsewhere here is left alone
    until --ours, --theirs or --force settles it. A DIR is what export --to wrote. Every byte is verified, and nothing
    is run: what could run code loads once you trust it.
    """
    from friday_store.errors import RepositoryError

    registry = session.registry(new=True)
    folders = _folders(session, source)
    if "://" not in source and not Path(source).exists():
        raise Refusal(f"there is no file {source!r}", 3)
    if folders and (rest["options"] or any(rest[each] for each in ("dry_run", "force", "ours", "theirs", "prune"))):
        raise click.UsageError("what export --to wrote comes in as new versions: only --porcelain goes with it")
    born = registry.repository.born

    def bring(source: str, _: Sequence[str], **rules: Any) -> SyncReport:
        if folders:
            return _registered(registry, folders)
        try:
            return registry.import_models(source, storage_options=rules.pop("remote_options"), **rules)
        except RepositoryError as error:
            if "://" in source:
                raise
            hint = reports.again(session, "register", source, "-n", Path(source).stem)
            raise Refusal(f"{source} was not written by export: {error}", error.exit_code, hint) from error

    def after(report: SyncReport) -> None:
        if not born:
            session.say("note", f"this made a new registry at {registry.url}")
        _vouched(session, registry, report)

    exchange(session, "import", bring, source, (), after=after, **rest)


def _folders(session: Session, source: str) -> list[Path]:
    """Return the exported folders that are meant: the one named, or those in it; none for a file or URL.

    Raises:
        Refusal: It is another folder.
    """
    folder = Path(source)
    if "://" in source or not folder.is_dir():
        return []
    if (folder / _DOCUMENT).is_file():
        return [folder]
    if any((folder / name).is_file() for name in ("friday-store.json", ".friday/friday-store.json")):
        raise Refusal(f"{source} is a registry: pull from it", 8, reports.again(session, "pull", source))
    found = sorted(each.parent for each in folder.glob(f"*/{_DOCUMENT}"))
    if not found:
        raise Refusal(f"{source} has no {_DOCUMENT}: no export --to wrote it", 8)
    return found


def _registered(registry: ModelRegistry, folders: Sequence[Path]) -> SyncReport:
    """Import exported folders, each as a transaction of its own; return what they changed, as the log has it.

    Raises:
        Refusal: One failed after others had come in.
    """
    from friday_store.errors import FridayStoreError
    from friday_store.hookspecs import RefUpdates, SyncReport

    log = registry.repository.log
    before = log.last()
    for number, folder in enumerate(folders):
        try:
            registry.import_model(folder)
        except FridayStoreError as error:
            if not number:
                raise
            came = f"{number} of {len(folders)} models came in, then {folder} failed"
            raise Refusal(f"{came}: {error}", reports.PARTIAL, error.hint) from error
    entries = []
    for number in range(before + 1, log.last() + 1):
        found = log.read(number)
        if found is not None and found[0].origin == ORIGIN:
            entries.append(found[0])
    packs = [pack for entry in entries for pack in entry.packs_added]
    objects = sum(len(registry.repository.objects.directory(name)) for name, _ in packs)
    moves = [move for entry in entries for move in entry.refs]
    return SyncReport(moved=RefUpdates(moves), objects=objects, size=sum(size for _, size in packs))


def _vouched(session: Session, registry: ModelRegistry, report: SyncReport) -> None:
    """Where something came that could run code and that nobody here vouched for, say the command that would."""
    came = (update.new for update in report.moved if update.ref.startswith("versions/") and update.new)
    rows = (row for each in came for row in registry.repository.index.versions("m.model_id = ?", (each,)))
    for row in rows:
        if _runs_code(registry, row) and not registry.trust.allows(registry.provenance(row.model_id)):
            name = f"{row.model_name}:{row.model_version}"
            what = "which can run code when it is loaded, so it is not loaded until you trust where it comes from"
            session.say("note", f"{name} is in the format {row.serializer!r}, {what}")
            session.say("hint", reports.again(session, "trust", "add", name if row.origin == ORIGIN else row.origin))
            return


def _runs_code(registry: ModelRegistry, row: VersionRow) -> bool:
    """Whether a version is in a format that can run code, or in one that is not known here."""
    from friday_store.errors import PluginError

    try:
        return registry.plugins.serializer(row.serializer).safety != "data"
    except PluginError:
        return True
