"""Exchange with other registries: push, pull, fetch, clone, mirror, and how far apart two are."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

from friday_store.errors import (
    AmbiguousRevisionError,
    FridayStoreError,
    InvalidValueError,
    ModelNotFoundError,
    RepositoryError,
)
from friday_store.hookspecs import SyncReport
from friday_store.index import Index, VersionRow
from friday_store.maintenance import Problem
from friday_store.maintenance.history import History, verified
from friday_store.maintenance.repair import Repaired, Sources, repair
from friday_store.refs import Ref
from friday_store.registry import location
from friday_store.registry.meeting import Meeting
from friday_store.registry.sharing import Sharing
from friday_store.remotes import Remote, fitting, shown_urls
from friday_store.repository import Repository, Tracked
from friday_store.storage import open_storage
from friday_store.sync import Plan, Progress, Rules, Watcher
from friday_store.sync.track import Track

__all__ = ["Exchange", "Progress", "RefStatus"]

_LOGGER: Final = logging.getLogger(__name__)


class RefStatus(NamedTuple):
    """One ref that two registries have differently.

    Attributes:
        remote: The remote's name.
        ref: The ref.
        state: ``ahead`` when a push would move it, ``behind`` when a pull would, ``conflict`` when neither may.
        here: What it names here (hex), or None.
        there: What it names there, as last seen.
        reason: Why it is a conflict.
    """

    remote: str
    ref: str
    state: Literal["ahead", "behind", "conflict"]
    here: str | None
    there: str | None
    reason: str = ""


class Exchange(Sharing):
    """What a registry does together with others."""

    @classmethod
    def clone(
        cls,
        url: str | Path,
        folder: str | Path,
        *,
        patterns: Sequence[str] = ("*",),
        metadata_only: bool = False,
        remote_options: Mapping[str, Any] | None = None,
        progress: Watcher | None = None,
        **options: Any,
    ) -> Self:
        """Copy a registry into a new one at ``folder``/.friday, with the source as its remote ``origin``.

        A clone that was interrupted is gone on with when it is asked for again.

        Args:
            url: Where the source is.
            folder: Where to; must be empty or not there yet.
            patterns: Globs over model names.
            metadata_only: Leave the models' own bytes there; loading fetches what it needs, and keeps it.
            remote_options: What fsspec's file system for the URL needs; secrets go to the clone's private file.
            progress: Told how far it is.
            options: Arguments of :class:`ModelRegistry`.

        Raises:
            RepositoryError: There is no registry at ``url``, or something else at ``folder``.
        """
        target = Path(folder)
        made = cls(target / location.FOLDER, **options)
        if not _is_unfinished(made, str(url)) and target.exists() and any(target.iterdir()):
            raise RepositoryError(
                f"{target} exists and is not empty", hint=f"friday-store clone {shown_urls(str(url))} ANOTHER_FOLDER"
            )
        remote = location.remotes(None).direct(location.inside(url), remote_options)
        with Meeting(made.repository, remote) as meeting:
            if not meeting.there.born:
                raise RepositoryError(
                    f"there is no registry at {remote.place}", hint=f"friday-store init {remote.place}"
                )
        made.repository.create()
        if "origin" not in made.remotes():
            made.add_remote(
                "origin", location.inside(url), remote_options, where=fitting(url, remote_options), probe=False
            )
        if metadata_only:
            made.set_remote("origin", {"partial": True})
        made.pull("origin", patterns, progress=progress)
        return made

    def push(
        self,
        remote: str = "origin",
        patterns: Sequence[str] = ("*",),
        *,
        tags: bool = False,
        force: bool = False,
        force_with_lease: bool = False,
        ours: Sequence[str] = (),
        theirs: Sequence[str] = (),
        prune: bool = False,
        dry_run: bool = False,
        progress: Watcher | None = None,
        remote_options: Mapping[str, Any] | None = None,
    ) -> SyncReport:
        """Copy what a remote lacks to it: missing objects first, then all refs in one log entry.

        Args:
            remote: A remote's name, or a path or URL.
            patterns: Globs over model names.
            tags: Besides, the tags, notes and aliases of all models whose versions the remote has.
            force: Aliases that moved on both sides go where they are here.
            force_with_lease: The same, but only where the remote still has them as it was last seen.
            ours: Globs over ``MODEL@ALIAS``: such aliases go where they are here.
            theirs: Globs over ``MODEL@ALIAS``: such aliases stay where they are there, and the next pull follows.
            prune: Delete versions there that were deleted here since both were in step.
            dry_run: Change nothing; the report is what a real run would say.
            progress: Told how far it is.
            remote_options: What fsspec's file system needs, for this time.

        Raises:
            ConflictError: The remote's refs kept changing.
            StorageError: The remote cannot be reached, or cannot be written safely.
        """
        with self._meeting(remote, remote_options) as meeting:
            rules = rules_of(("*",) if force else ours, theirs, prune=prune)
            if force_with_lease:
                rules = Rules(rules.force, rules.keep, _seen(meeting), rules.prune)
            report = meeting.push(patterns, labels=tags, rules=rules, dry_run=dry_run, watcher=progress)
            return self._told(report, dry_run=dry_run)

    def pull(
        self,
        remote: str = "origin",
        patterns: Sequence[str] = ("*",),
        *,
        force: bool = False,
        ours: Sequence[str] = (),
        theirs: Sequence[str] = (),
        prune: bool = False,
        metadata_only: bool | None = None,
        dry_run: bool = False,
        progress: Watcher | None = None,
        remote_options: Mapping[str, Any] | None = None,
    ) -> SyncReport:
        """Copy what is new in a remote here; see :meth:`push`.

        Args:
            remote: A remote's name, or a path or URL.
            patterns: Globs over model names.
            force: Aliases that moved on both sides go where they are there.
            ours: Globs over ``MODEL@ALIAS``: such aliases stay where they are here, and the next push moves them there.
            theirs: Globs over ``MODEL@ALIAS``: such aliases go where they are there.
            prune: Delete versions here that were deleted there since both were in step.
            metadata_only: Leave the models' own bytes there; None: as the remote was cloned.
            dry_run: Change nothing; the report is what a real run would say.
            progress: Told how far it is.
            remote_options: What fsspec's file system needs, for this time.
        """
        with self._meeting(remote, remote_options) as meeting:
            rules = rules_of(("*",) if force else theirs, ours, prune=prune)
            data = not (meeting.remote.partial if metadata_only is None else metadata_only)
            if metadata_only and not meeting.remote.partial and not dry_run:
                self._leave_data(meeting.remote)
            report = meeting.pull(patterns, rules=rules, data=data, dry_run=dry_run, watcher=progress)
            return self._told(report, dry_run=dry_run)

    def fetch(
        self,
        remote: str = "origin",
        patterns: Sequence[str] = ("*",),
        *,
        metadata_only: bool = False,
        dry_run: bool = False,
        progress: Watcher | None = None,
        remote_options: Mapping[str, Any] | None = None,
    ) -> SyncReport:
        """Copy the objects of a remote's models here and move no name; ``REMOTE/MODEL@ALIAS`` addresses them then.

        In a registry that was cloned without the models' data, it brings that of the models that match.
        """
        with self._meeting(remote, remote_options) as meeting:
            return meeting.fetch(patterns, data=not metadata_only, dry_run=dry_run, watcher=progress)

    def mirror(
        self,
        remotes: Sequence[str],
        *,
        dry_run: bool = False,
        progress: Watcher | None = None,
    ) -> dict[str, SyncReport]:
        """Make remotes what this registry is: whatever they have besides is deleted there; return what was done.

        Raises:
            FridayStoreError: That of the first remote that failed, after all were tried.
        """
        reports, failures = {}, []
        for remote in remotes:
            try:
                with self._meeting(remote, None) as meeting:
                    report = meeting.push(rules=Rules(whole=True), dry_run=dry_run, watcher=progress)
                    reports[remote] = self._told(report, dry_run=dry_run)
            except FridayStoreError as error:
                failures.append(error)
        if failures:
            for more in failures[1:]:
                failures[0].add_note(str(more))
            raise failures[0]
        return reports

    def repair(self, remotes: Sequence[str] = ()) -> list[Repaired]:
        """Mend what :meth:`fsck` complains about, as far as that is possible; return what was done.

        Damaged files are moved to the folder ``damaged``, never deleted. Lost and damaged objects come back from the
        remotes, verified.

        Args:
            remotes: Names or URLs, the preferred first.

        Raises:
            IntegrityError: The log itself is damaged: nothing else has it.
        """
        with contextlib.ExitStack() as opened:
            meetings = [opened.enter_context(self._meeting(name, None)) for name in remotes]
            for meeting in meetings:
                meeting.there.index.catch_up()
            stores = [(name, meeting.there.objects) for name, meeting in zip(remotes, meetings, strict=True)]
            return list(repair(self.repository, Sources(stores)))

    def fsck(self, *, quick: bool = False, remote: str | None = None) -> list[Problem]:
        """Return everything that is wrong with what is stored; see :mod:`friday_store.maintenance`.

        Args:
            quick: Do not read the packs' data.
            remote: Check what a remote stores instead, by name or URL.
        """
        if remote is None:
            return super().fsck(quick=quick)
        with self._meeting(remote, None) as meeting:
            return meeting.check(quick=quick)

    def verify_log(
        self,
        remote: str | None = None,
        *,
        accept: bool = False,
        remote_options: Mapping[str, Any] | None = None,
    ) -> History:
        """Check a log, its checkpoints and the signatures, and that it begins with what this user saw of it before.

        What is found in order is remembered for this user, outside every registry, to be compared with the next time;
        see :mod:`friday_store.maintenance.history`.

        Args:
            remote: Check a remote's log instead, by name or URL, as it is there now.
            accept: Take another history than was seen for the one to compare with from now on.
            remote_options: What fsspec's file system needs for that, for this time.

        Raises:
            RepositoryError: There is no registry.
        """
        repository = self.repository
        if remote is not None:
            found = self._remotes().resolve(remote, remote_options)
            storage = open_storage(location.inside(found.url), found.options)
            repository = Repository(storage, self.repository.settings, tracked=Tracked())
        if not repository.born:
            raise RepositoryError(f"there is no registry at {repository.storage.url}")
        return verified(repository, location.witness(), accept=accept)

    def status(
        self, remote: str | None = None, patterns: Sequence[str] = ("*",), *, refresh: bool = False
    ) -> list[RefStatus]:
        """Return the refs that this registry and its remotes have differently.

        Args:
            remote: One remote; None: all that were ever reached.
            patterns: Globs over model names.
            refresh: Ask the remotes; otherwise nothing is asked, and what was last seen counts.

        Raises:
            ModelNotFoundError: The remote has never been reached.
        """
        names: Iterable[str] = [remote] if remote is not None else self._met(refresh=refresh)
        found: list[RefStatus] = []
        for name in names:
            with self._meeting(name, None, offline=not refresh) as meeting:
                if refresh:
                    meeting.look()
                found += _status(name, *meeting.compared(patterns))
        return found

    def remote_id(self, remote: str) -> str:
        """Return the id of a remote's repository, as it was last seen, or by asking it now."""
        root = self.repository.storage.root
        known = "" if root is None else Track.read(root / "remotes" / remote).id
        if known:
            return known
        with self._meeting(remote, None) as meeting:
            if not meeting.there.born:
                raise ModelNotFoundError(f"there is no registry at remote {remote!r} yet")
            return meeting.there.id

    def _leave_data(self, remote: Remote) -> None:
        """Note that the data of models stays at a remote until it is needed."""
        if remote.name is None:
            raise InvalidValueError(
                "only a remote with a name can keep the models' data until it is needed",
                path="metadata_only",
                hint=f"friday-store remote add origin {remote.place}",
            )
        self.set_remote(remote.name, {"partial": True})

    def _fetch_missing(self, chunks: list[bytes]) -> bool:
        """Bring chunks of a model that are missing or damaged here from a remote, and keep them.

        Returns:
            Whether a remote had all of them.

        Raises:
            FridayStoreError: They were left at a remote on purpose, and it cannot be asked.
        """
        left = self._remotes().partial()
        failures: list[FridayStoreError] = []
        for name in [*left, *(other for other in sorted(self.remotes()) if other not in left)]:
            try:
                with self._meeting(name, None) as meeting:
                    size = meeting.fetch_objects(chunks)
            except FridayStoreError as error:
                failures.append(error)
                continue
            level = logging.INFO if name in left else logging.WARNING
            what = "fetched what was left at" if name in left else "what was damaged or missing here came from"
            _LOGGER.log(level, "%s remote %s: chunks %d, bytes %d", what, name, len(chunks), size)
            return True
        if left and failures:
            raise failures[0]
        return False

    def _row(self, revision: str, version: str | None) -> VersionRow:
        remote, _, rest = revision.partition("/")
        if version is not None or not rest or remote not in self.remotes():
            return super()._row(revision, version)
        try:
            here: VersionRow | None = super()._row(revision, version)
        except ModelNotFoundError:
            here = None
        there = self._row_there(remote, rest)
        if here is not None and here.model_id != there.model_id:
            raise AmbiguousRevisionError(
                f"{revision!r} is a version here and one of remote {remote!r}",
                candidates=[here.model_id, there.model_id],
            )
        return here or there

    def _row_there(self, remote: str, revision: str) -> VersionRow:
        """Return a version of a remote, as it was last seen; its objects come here when they are not here yet."""
        with self._meeting(remote, None, offline=True) as meeting:
            found = meeting.there.resolve(revision)
            known = self.repository.version(found.model_name, found.model_version)
            if known is not None and known.model_id == found.model_id:
                return known
            origin = found.origin or meeting.there.id
        digest = bytes.fromhex(found.model_id)
        if digest not in self.repository.objects or self._lacks_model(digest):
            with self._meeting(remote, None) as meeting:
                meeting.fetch_versions([digest])
        return self.repository.index.row(digest, found.id, origin)

    def _lacks_model(self, digest: bytes) -> bool:
        manifest = self.repository.index.manifest(digest)
        if manifest.artifact not in self.repository.objects:
            return True
        return bool(self.repository.missing(self.repository.artifact(manifest.artifact)))

    def _met(self, *, refresh: bool) -> list[str]:
        root = self.repository.storage.root
        if refresh or root is None:
            return sorted(self.remotes())
        return [name for name in sorted(self.remotes()) if Track.read(root / "remotes" / name).id]

    def _meeting(self, remote: str, options: Mapping[str, Any] | None, *, offline: bool = False) -> Meeting:
        known = self._remotes()
        resolved, partial = known.resolve(remote, options), bool(known.partial())
        return Meeting(self.repository, resolved, partial=partial, offline=offline, guard=known.check_writable)

    def _told(self, report: SyncReport, *, dry_run: bool) -> SyncReport:
        if not dry_run:
            self.plugins.notify("after_sync", report=report)
        return report


def rules_of(force: Sequence[str], keep: Sequence[str], *, prune: bool) -> Rules:
    """Return the rules of a copy; see :class:`~friday_store.sync.Rules`.

    Raises:
        InvalidValueError: One glob was given where a list of them belongs.
    """
    if isinstance(force, str) or isinstance(keep, str):
        raise InvalidValueError("ours and theirs are lists of globs over MODEL@ALIAS", path="ours")
    return Rules(force=tuple(force), keep=tuple(keep), prune=prune)


def _seen(meeting: Meeting) -> Any:
    """Return where the remote had its aliases when it was last looked at, before this time."""
    track = meeting.track
    if not track.id:
        return lambda _ref: None
    with Meeting(meeting.here, meeting.remote, offline=True) as before:
        aliases = _aliases(before.there.index)
    return lambda ref: aliases.get(str(ref))


def _aliases(index: Index) -> dict[str, bytes]:
    sql = "SELECT model_name, alias, model_id FROM model_aliases"
    return {str(Ref("aliases", model, alias)): bytes.fromhex(digest) for model, alias, digest in index.rows(sql)}


def _status(remote: str, push: Plan, pull: Plan) -> list[RefStatus]:
    ahead = [RefStatus(remote, name, "ahead", _hex(new), _hex(old)) for name, old, new in push.moves]
    behind = [RefStatus(remote, name, "behind", _hex(old), _hex(new)) for name, old, new in pull.moves]
    found = {
        name: RefStatus(remote, name, "conflict", _hex(here), _hex(there), reason)
        for name, here, there, reason in (
            *((name, old, new, reason) for name, old, new, reason in pull.rejected),
            *((name, new, old, reason) for name, old, new, reason in push.rejected),
        )
    }
    return sorted([*ahead, *behind, *found.values()], key=lambda each: each.ref)


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()


def _is_unfinished(made: Exchange, url: str) -> bool:
    """Whether an earlier clone of the same registry made this one and did not come to its end."""
    if not made.repository.born or made.repository.log.last() > 1:
        return False
    origin = made.remotes().get("origin")
    return origin is None or made._remotes().resolve("origin").place in (url, location.inside(url))  # noqa: SLF001
