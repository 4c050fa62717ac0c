"""Models as files: bundles, which are verified and exact, and native files for people who leave."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from friday_store import serializer
from friday_store.errors import InvalidValueError, RepositoryError, StorageError
from friday_store.hookspecs import SyncReport
from friday_store.index import VersionRow
from friday_store.manifest import ATTACHMENTS, Manifest, Note
from friday_store.refs import Ref, check_name, quoted
from friday_store.registry import attachments
from friday_store.registry.exchange import Exchange, rules_of
from friday_store.registry.records import Record, records
from friday_store.repository import Transaction
from friday_store.storage.files import publish_file
from friday_store.sync import Source, Watcher, copy
from friday_store.sync.bundle import Bundle, read_bundle, write_bundle
from friday_store.sync.changes import refs_of
from friday_store.sync.closure import Closure

FILE: Final = "metadata.json"
ORIGIN: Final = "files"
_CAP: Final = 256 << 20


class Bundling(Exchange):
    """What leaves a registry as a file, and comes back from one."""

    def export_model(
        self,
        revision: str | Sequence[str],
        path: str | Path,
        *,
        format: Literal["bundle", "files"] = "bundle",  # noqa: A002 - the word of the command line
        progress: Watcher | None = None,
    ) -> SyncReport:
        """Write versions, with their labels, notes and lineage, to a file or folder that is not there yet.

        Args:
            revision: One or several revisions.
            path: A file for ``bundle``, which :meth:`import_model` reads back exactly; a folder for ``files``, which
                gets the model's native file and ``metadata.json``.
            format: Which of the two.
            progress: Told how far it is.

        Raises:
            ModelNotFoundError: Nothing answers to a revision.
            StorageError: The path is there, or cannot be written.
        """
        revisions = [revision] if isinstance(revision, str) else list(revision)
        rows = [self._row(each, None) for each in revisions]
        if not rows:
            raise InvalidValueError("name at least one version", path="revision")
        if format == "files":
            return self._export_files(rows, Path(path))
        if format != "bundle":
            raise InvalidValueError(f"format is 'bundle' or 'files', not {format!r}", path="format")
        refs = {str(ref): digest for row in rows for ref, digest in self._refs_of(row)}
        return self._export(Path(path), refs, {}, None, progress)

    def export_models(
        self,
        path: str | Path,
        patterns: Sequence[str] = ("*",),
        *,
        since: str | dt.datetime | Path | None = None,
        progress: Watcher | None = None,
    ) -> SyncReport:
        """Write all versions of some models to a bundle that is not there yet.

        Args:
            path: The file.
            patterns: Globs over model names.
            since: Only what came after a time (of the log; ISO text is UTC unless it says otherwise), or what another
                bundle lacks: its reader must have had that.
            progress: Told how far it is.

        Raises:
            InvalidValueError: Nothing matches, or nothing is new.
            StorageError: The path is there, or cannot be written.
        """
        now = {str(ref): digest for ref, digest in refs_of(self.repository.index, patterns)}
        base, presumed = self._base(since, now)
        refs = {name: digest for name, digest in now.items() if base.get(name) != digest}
        gone = {name: digest for name, digest in base.items() if name not in now}
        if not refs and not gone:
            what = "nothing is new" if since is not None else "no model matches"
            raise InvalidValueError(f"{what}, so there is nothing to export", path="patterns")
        return self._export(Path(path), refs, gone, presumed, progress)

    def import_model(self, path: str | Path, **options: Any) -> str:
        """Bring back what :meth:`export_model` wrote, and return the version's id; see :meth:`import_models`.

        Raises:
            InvalidValueError: The bundle holds several versions.
        """
        if "://" not in str(path) and Path(path).is_dir():
            return self._import_files(Path(path))
        found = read_bundle(path, options.get("storage_options"))
        versions = [digest for name, digest in found.refs.items() if name.startswith("versions/")]
        if len(versions) != 1:
            raise InvalidValueError(f"{path} holds {len(versions)} versions: use import_models", path="path")
        report = self._import(found, **options)
        if report.rejected:
            update, reason = report.rejected[0]
            raise InvalidValueError(f"{update.ref} of {path} was left alone: {reason}", path="path")
        return versions[0].hex()

    def import_models(
        self,
        path: str | Path,
        *,
        force: bool = False,
        ours: Sequence[str] = (),
        theirs: Sequence[str] = (),
        prune: bool = False,
        dry_run: bool = False,
        progress: Watcher | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> SyncReport:
        """Bring in the models of a bundle, as a pull would; importing one's own export changes nothing.

        Every object is verified before anything is visible, and nothing is run. What could run code loads only when
        its version, or the bundle (the origin that its record then shows), is trusted.

        Args:
            path: The file, or its fsspec URL.
            force: Aliases that are elsewhere here go where the bundle has them.
            ours: Globs over ``MODEL@ALIAS``: such aliases stay.
            theirs: Globs over ``MODEL@ALIAS``: such aliases go where the bundle has them.
            prune: Delete versions that were deleted since what an incremental bundle builds on.
            dry_run: Change nothing; the report is what a real run would say.
            progress: Told how far it is.
            storage_options: What fsspec's file system for the URL needs.

        Raises:
            RepositoryError: It is no bundle.
            IntegrityError: It is damaged, or builds on one that was not imported.
        """
        found = read_bundle(path, storage_options)
        return self._import(
            found, force=force, ours=ours, theirs=theirs, prune=prune, dry_run=dry_run, progress=progress
        )

    def _import(
        self,
        found: Bundle,
        *,
        force: bool = False,
        ours: Sequence[str] = (),
        theirs: Sequence[str] = (),
        prune: bool = False,
        dry_run: bool = False,
        progress: Watcher | None = None,
        storage_options: Mapping[str, Any] | None = None,  # noqa: ARG002 - used to open it
    ) -> SyncReport:
        if not self.repository.born and not dry_run:
            self.repository.create()
        report = copy(
            found.source,
            self.repository,
            found.changes(),
            rules=rules_of(("*",) if force else theirs, ours, prune=prune),
            dry_run=dry_run,
            watcher=progress,
            message=f"import {found.directory.name[:12]}",
        )
        return self._told(report, dry_run=dry_run)

    def _export(
        self,
        path: Path,
        refs: Mapping[str, bytes],
        gone: Mapping[str, bytes],
        presumed: set[bytes] | None,
        progress: Watcher | None,
    ) -> SyncReport:
        source = Source.of(self.repository, partial=bool(self._remotes().partial()))
        closure = Closure(self.repository.objects, None)
        closure.presume(presumed or set())
        with self.repository.objects.sections():
            for name, digest in refs.items():
                ref = Ref.parse(name)
                if ref.space == "versions":
                    closure.add_version(digest, ref)
                elif ref.space == "notes":
                    closure.add(digest)
            closure.settle()
        closure.check_whole(source.url, partial=source.partial)
        now = round(self.repository.settings.clock().timestamp() * 1_000_000)
        write_bundle(path, closure, source, refs, gone, time=now, watcher=progress)
        return SyncReport(objects=len(closure), size=closure.size)

    def _refs_of(self, row: VersionRow) -> Iterator[tuple[Ref, bytes]]:
        """Iterate over a version's ref and those of its tags, notes and aliases."""
        name, version, digest = row.model_name, row.model_version, bytes.fromhex(row.model_id)
        index = self.repository.index
        yield Ref("versions", name, version), digest
        for (tag,) in index.rows("SELECT tag FROM model_tags WHERE version_id = ? ORDER BY tag", (row.id,)):
            yield Ref("tags", name, str(tag), version), digest
        for (note,) in index.rows("SELECT digest FROM model_notes WHERE version_id = ? ORDER BY digest", (row.id,)):
            yield Ref("notes", name, version, str(note)), bytes.fromhex(note)
        for (alias,) in index.rows(
            "SELECT alias FROM model_aliases WHERE model_id = ? ORDER BY alias", (row.model_id,)
        ):
            yield Ref("aliases", name, str(alias)), digest

    def _base(
        self, since: str | dt.datetime | Path | None, now: Mapping[str, bytes]
    ) -> tuple[Mapping[str, bytes], set[bytes] | None]:
        """Return the refs that a reader has already, and the objects."""
        if since is None:
            return {}, None
        time = _time(since)
        if time is None:
            found = read_bundle(str(since))
            return {**found.refs}, set(found.directory.digests())
        self.repository.index.catch_up()
        log = self.repository.log
        then = {name: value[0] for name, value in log.state(log.at(time)).refs.items()}
        models = {Ref.parse(name).model for name in now}
        then = {name: digest for name, digest in then.items() if Ref.parse(name).model in models}
        closure = Closure(self.repository.objects, None)
        for name, digest in then.items():
            if name.startswith("versions/") and digest in self.repository.objects:
                closure.add_version(digest)
            elif name.startswith("notes/"):
                closure.add(digest)
        return then, closure.digests()

    def _export_files(self, rows: Sequence[VersionRow], folder: Path) -> SyncReport:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StorageError(f"{folder} is there already and is not an empty folder", hint="name another folder")
        size = 0
        for row in rows:
            place = folder if len(rows) == 1 else folder / f"{quoted(row.model_name)}-{row.model_version}"
            size += self._export_file(row, place)
        return SyncReport(objects=len(rows), size=size)

    def _export_file(self, row: VersionRow, folder: Path) -> int:
        """Write one version's native file and what is known about it."""
        manifest = self.repository.manifest(row)
        artifact = self.repository.artifact(manifest.artifact)
        suffix = self.plugins.serializer(artifact.serializer).suffix
        parts = self.repository.parts(artifact)
        name = f"{_safe(row.model_name)}-{row.model_version}{suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        blocks = serializer.to_file(self.plugins, artifact.serializer, artifact.format, parts)
        size = publish_file(folder / name, blocks)
        for attached in attachments.listed(manifest):
            file = folder / ATTACHMENTS / attached
            file.parent.mkdir(parents=True, exist_ok=True)
            size += publish_file(file, [attachments.read(self.repository, manifest, attached)])
        document = {
            **records(self.repository.index, [row])[0],
            "file": name,
            "format": artifact.serializer,
            "envelope": base64.b64encode(manifest.to_bytes()).decode(),
            "notes": [base64.b64encode(note.to_bytes()).decode() for note in self.repository.notes(row)],
        }
        text = json.dumps(document, indent=2, sort_keys=True, default=_plain, allow_nan=True)
        publish_file(folder / FILE, [text.encode(), b"\n"])
        return size

    def _import_files(self, folder: Path) -> str:
        """Register what :meth:`_export_file` wrote; bytes that are the same give the same version."""
        raw = _document(folder)
        manifest = Manifest.from_bytes(_decoded(raw["envelope"]))
        notes = [Note.from_bytes(_decoded(note)) for note in raw["notes"]]
        tags = [check_name(tag, "tag") for tag in _words(raw, "tags")]
        named = Path(str(raw["file"]))
        if named.name != str(raw["file"]) or not (folder / named).is_file() or (folder / named).is_symlink():
            raise RepositoryError(f"{folder / FILE} names {str(named)[:80]!r}, which is not a file beside it")
        transaction = self.repository.transaction(f"import {manifest.name}:{manifest.version}", origin=ORIGIN)
        try:
            found = serializer.dump(self.plugins, folder / named, str(raw["format"]))
            digest, artifact = transaction.put_model(found.serializer.name, found.serializer.format, found.parts)
            self._take_attachments(transaction, manifest, folder / ATTACHMENTS)
        except BaseException:
            transaction.discard()
            raise
        made = replace(manifest, artifact=digest, serializer=artifact.serializer, size=artifact.size)
        if made != manifest:  # another release wrote the file: nobody has signed what it is stored as here
            made = replace(made, signatures=())

        def record(running: Transaction) -> str:
            model_id = running.put_manifest(made)
            self._take_version(running, made, model_id)
            for note in notes:
                about = running.put_note(replace(note, about=model_id))
                ref = Ref("notes", made.name, made.version, about.hex())
                running.move(ref, self.repository.index.ref(ref), about)
            for tag in tags:
                ref = Ref("tags", made.name, tag, made.version)
                running.move(ref, self.repository.index.ref(ref), model_id)
            return model_id.hex()

        return transaction.run(record)

    def _take_attachments(self, transaction: Transaction, manifest: Manifest, folder: Path) -> None:
        """Store what was exported beside a model; it must be what the manifest names."""
        files = {name: folder / name for name in attachments.listed(manifest)}
        checked = attachments.checked(files)
        if any(path.is_symlink() or not path.is_file() for path in files.values()):
            raise RepositoryError(f"{folder} lacks a file that is attached to {manifest.name}:{manifest.version}")
        if attachments.put(transaction, self.plugins, checked) != manifest.facts.get(ATTACHMENTS, {}):
            raise RepositoryError(f"{folder} does not hold what is attached to {manifest.name}:{manifest.version}")

    def _take_version(self, running: Transaction, made: Manifest, model_id: bytes) -> None:
        ref = Ref("versions", made.name, made.version)
        there = self.repository.index.ref(ref)
        if there not in (None, model_id):
            raise InvalidValueError(f"{made.name}:{made.version} exists here with other content", path="path")
        running.move(ref, there, model_id)


def _time(since: str | dt.datetime | Path) -> dt.datetime | None:
    """Return the time that ``since`` says; None if it names a file."""
    if isinstance(since, dt.datetime):
        return since if since.tzinfo else since.replace(tzinfo=dt.UTC)
    if isinstance(since, Path):
        return None
    with contextlib.suppress(ValueError):
        time = dt.datetime.fromisoformat(since)
        return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
    return None


def _document(folder: Path) -> Record:
    path = folder / FILE
    try:
        if path.is_symlink() or path.stat().st_size > _CAP:
            raise RepositoryError(f"{path} is a link, or too large")
        raw = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RepositoryError(f"{folder} is not an exported model: it has no {FILE}") from error
    except (OSError, ValueError) as error:
        raise RepositoryError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict) or not {"file", "format", "envelope", "notes"} <= raw.keys():
        raise RepositoryError(f"{path} does not describe an exported model")
    if not isinstance(raw["notes"], list) or not isinstance(raw["envelope"], str):
        raise RepositoryError(f"{path} does not describe an exported model")
    return raw


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise RepositoryError(f"{FILE}: {str(text)[:20]!r} is not base64") from error


def _words(raw: Record, key: str) -> list[str]:
    found = raw.get(key, [])
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise RepositoryError(f"{FILE}: {key} is not a list of words")
    return found


def _safe(name: str) -> str:
    return name.rpartition("/")[2]


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in a record")
