"""Which refs may differ between two repositories, and where both last had them.

Found in the logs: what the source moved since the last sync. Where a move was itself a copy from the other side, both
agreed at that moment. Repositories that have not met are compared as a whole.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from friday_store.errors import IntegrityError
from friday_store.index import Index
from friday_store.log import Log
from friday_store.refs import Ref
from friday_store.repository import Repository
from friday_store.sync.merge import UNKNOWN, Base, Change
from friday_store.sync.track import Mark

_VERSIONS: Final = "SELECT model_name, model_version, '', model_id, id FROM model_metadata WHERE id > ? ORDER BY id"
_TAGS: Final = """
SELECT m.model_name, t.tag, m.model_version, m.model_id, t.version_id, t.tag
FROM model_tags t JOIN model_metadata m ON m.id = t.version_id
WHERE (t.version_id, t.tag) > (?, ?) ORDER BY t.version_id, t.tag
"""
_NOTES: Final = """
SELECT m.model_name, m.model_version, n.digest, n.digest, n.version_id, n.time, n.digest
FROM model_notes n JOIN model_metadata m ON m.id = n.version_id
WHERE (n.version_id, n.time, n.digest) > (?, ?, ?) ORDER BY n.version_id, n.time, n.digest
"""
_ALIASES: Final = """
SELECT model_name, alias, '', model_id, model_name, alias
FROM model_aliases WHERE (model_name, alias) > (?, ?) ORDER BY model_name, alias
"""
_SPACES: Final[Mapping[str, tuple[str, tuple[Any, ...]]]] = {
    "versions": (_VERSIONS, (-1,)),
    "tags": (_TAGS, (-1, "")),
    "notes": (_NOTES, (-1, -(1 << 63), "")),
    "aliases": (_ALIASES, ("", "")),
}


def refs_of(index: Index, patterns: Sequence[str] = ("*",)) -> Iterator[tuple[Ref, bytes]]:
    """Iterate over the refs of the models whose names match a glob, with their digests; versions come first."""
    for space, (sql, start) in _SPACES.items():
        for model, name, leaf, digest, *_ in index.pages(sql, start):
            if matches(model, patterns):
                yield Ref(space, model, name, leaf), bytes.fromhex(digest)  # type: ignore[arg-type]


def matches(model: str, patterns: Sequence[str]) -> bool:
    """Whether a model's name matches a glob."""
    return "*" in patterns or any(fnmatch.fnmatchcase(model, pattern) for pattern in patterns)


def packed(base: Base) -> str | None:
    """Return a base as it is remembered: hex, empty when it is unknown, None when the ref was absent."""
    return "" if base is UNKNOWN else None if base is None else base.hex()


def unpacked(text: str | None) -> Base:
    """Return a base from what is remembered."""
    return UNKNOWN if text == "" else None if text is None else bytes.fromhex(text)


def bases(log: Log, mark: Mark | None, last: int, other: str) -> dict[str, Base]:
    """Return the refs that one side moved by itself after a log entry, with the value on which both last agreed.

    Args:
        log: The log of that side.
        mark: The entry; None for the beginning, where nothing is known to be agreed on.
        last: The number of the newest entry to look at.
        other: The id of the other side: who copied from it agreed with it.

    Raises:
        IntegrityError: The log is broken, or it is another one than at ``mark``.
    """
    found: dict[str, Base] = {}
    own: set[str] = set()
    seq, digest = _start(log, mark)
    for entry, _ in log.after(seq, digest, last):
        for name, old, new in entry.refs:
            if entry.origin == other:
                found[name] = new
                own.discard(name)
            else:
                found.setdefault(name, UNKNOWN if mark is None else old)
                own.add(name)
    return {name: found[name] for name in found if name in own}


def _start(log: Log, mark: Mark | None) -> tuple[int, bytes]:
    return (0, log.root) if mark is None else (mark[0], bytes.fromhex(mark[1]))


def since(repository: Repository, mark: Mark | None) -> Mark | None:
    """Return a remembered entry if the log still has it: a log restored from a backup may not."""
    if mark is None or mark[0] == 0:
        return None
    try:
        found = repository.log.digest(mark[0])
    except IntegrityError:
        return None
    return mark if found is not None and found.hex() == mark[1] else None


def changed(
    source: Repository,
    target: Repository,
    mark: Mark | None,
    pending: Mapping[str, str | None],
    patterns: Sequence[str],
    *,
    met: bool,
) -> Mapping[str, Change]:
    """Return the refs of the source that may differ at the target.

    Args:
        source: Where from.
        target: Where to.
        mark: The source's log entry up to which all was considered before; None when nothing was.
        pending: Refs that were left alone before, with their base.
        patterns: Globs over model names.
        met: Whether the two have exchanged anything before, so that the log tells what they agreed on.
    """
    if mark is None and not met:
        return Every(source.index, patterns)
    found = bases(source.log, mark, source.index.seq, target.id)
    for name, base in pending.items():
        found[name] = unpacked(base)
    return {
        name: Change(name, source.index.ref(ref), base)
        for name, base in found.items()
        if matches((ref := Ref.parse(name)).model, patterns)
    }


class Every(Mapping[str, Change]):
    """All refs of a repository that has not met the other; made anew for each question, since they may be very many.

    Args:
        index: Its index.
        patterns: Globs over model names.
    """

    def __init__(self, index: Index, patterns: Sequence[str]) -> None:
        self._index = index
        self._patterns = patterns

    def __iter__(self) -> Iterator[str]:
        return (str(ref) for ref, _ in refs_of(self._index, self._patterns))

    def __len__(self) -> int:
        tables = ("model_metadata", "model_tags", "model_notes", "model_aliases")
        return sum(int(self._index.rows(f"SELECT count(*) FROM {table}")[0][0]) for table in tables)  # noqa: S608

    def __getitem__(self, name: str) -> Change:
        ref = Ref.parse(name)
        digest = self._index.ref(ref) if matches(ref.model, self._patterns) else None
        if digest is None:
            raise KeyError(name)
        return Change(name, digest, UNKNOWN)

    def changes(self) -> Iterator[Change]:
        """Iterate over the changes."""
        return (Change(str(ref), digest, UNKNOWN) for ref, digest in refs_of(self._index, self._patterns))


def each(changes: Mapping[str, Change]) -> Iterable[Change]:
    """Return the changes in a mapping, without making one question of each."""
    return changes.changes() if isinstance(changes, Every) else changes.values()


def agreed(
    changes: Mapping[str, Change], source: Repository, target: Repository, mark: Mark | None
) -> Mapping[str, Change]:
    """Correct the bases of aliases by the target's log, where it shows another agreement that fits; find unknown ones.

    Args:
        changes: What the source moved.
        source: Where from.
        target: Where to.
        mark: The target's entry up to which all was considered before; None for the beginning.
    """
    if isinstance(changes, Every):
        return changes
    unknown = {name for name, change in changes.items() if change.base is UNKNOWN}
    open_questions = {
        name: there
        for name, change in changes.items()
        if name.startswith("aliases/")
        and name not in unknown
        and (there := target.index.ref(Ref.parse(name))) not in (change.new, change.base)
    }
    if not open_questions and not unknown:
        return changes
    copied: dict[str, bytes | None] = {}
    first = 0 if mark is None else mark[0]
    whole = bool(unknown) and target.storage.root is not None  # afar, each entry is a question
    seq, digest = _start(target.log, None if whole else mark)
    for entry, _ in target.log.after(seq, digest, target.index.seq):
        if entry.origin == source.id:
            late = entry.seq > first
            copied.update(
                (ref, new) for ref, _, new in entry.refs if ref in unknown or (late and ref in open_questions)
            )
    fitting = {
        name: new for name, new in copied.items() if name in unknown or new in (open_questions[name], changes[name].new)
    }
    return {name: each._replace(base=fitting[name]) if name in fitting else each for name, each in changes.items()}


def everything(source: Repository, target: Repository, patterns: Iterable[str] = ("*",)) -> dict[str, Change]:
    """Return all refs of both sides, for a target that is to become what the source is."""
    chosen = tuple(patterns)
    found = {str(ref): Change(str(ref), digest, UNKNOWN) for ref, digest in refs_of(source.index, chosen)}
    if target.born:
        for ref, digest in refs_of(target.index, chosen):
            found.setdefault(str(ref), Change(str(ref), None, digest))
    return found
