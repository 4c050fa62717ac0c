"""What a repository remembers of another: where both were when they last met.

``remotes/<name>/state.json`` holds the remote's id and format file, the newest entry of its log that was seen, and for
each pattern that was pushed or pulled how far the two logs have been gone through. The log entries themselves say what
each side moved since, and which of those moves were copies from the other side, on which both agreed at that moment
(an entry's ``origin``). So the base of a three-way merge is found in the logs, in time that grows with what is new.

Losing the file costs a question: the next sync compares all refs, and asks lineage about aliases. Beside it lie
``refs.db``, the mirror of the remote's names, and ``kept``, what never changes at the remote.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from friday_store.errors import IntegrityError, StorageError
from friday_store.storage.files import alone, replace_private

FOLDER: Final = "remotes"
_FILE: Final = "state.json"
_PATTERNS: Final = 64

Mark = tuple[int, str]
"""A log entry: its number and its digest in hex."""


@dataclass
class Track:
    """The memory of one remote; :meth:`read` it, change it, :meth:`write` it.

    Attributes:
        folder: Where it is kept; None forgets it.
        id: The remote's id; empty before the first contact.
        format: The text of the remote's ``friday-store.json``.
        seen: The newest entry of the remote's log that was seen.
        pushed: For each pattern, the entry of our log up to which all moves were offered to the remote.
        pulled: For each pattern, the entry of the remote's log up to which all moves were considered here.
        pending: Refs that were left alone, with their base (hex; None for absent): they are looked at again.
    """

    folder: Path | None
    id: str = ""
    format: str = ""
    seen: Mark = (0, "")
    pushed: dict[str, Mark] = field(default_factory=dict)
    pulled: dict[str, Mark] = field(default_factory=dict)
    pending: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path | None) -> Track:
        """Return what is remembered in a folder; nothing where there is no file.

        Raises:
            IntegrityError: The file is damaged, or the folder is a symbolic link.
        """
        if folder is None:
            return cls(None)
        path = folder / _FILE
        if folder.is_symlink() or folder.parent.is_symlink() or path.is_symlink():
            raise IntegrityError(f"{path} is, or lies in, a symbolic link; it is not followed", path=str(path))
        try:
            raw = json.loads(path.read_bytes())
            return cls(
                folder,
                id=str(raw["id"]),
                format=str(raw["format"]),
                seen=_mark(raw["seen"]),
                pushed={str(pattern): _mark(mark) for pattern, mark in raw["pushed"].items()},
                pulled={str(pattern): _mark(mark) for pattern, mark in raw["pulled"].items()},
                pending={str(ref): None if base is None else str(base) for ref, base in raw["pending"].items()},
            )
        except (FileNotFoundError, NotADirectoryError):
            return cls(folder)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"{path} is damaged", path=str(path), hint=f"remove it: {path}") from error
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error

    @property
    def met(self) -> bool:
        """Whether anything was pushed or pulled."""
        return bool(self.pushed or self.pulled)

    def write(self) -> None:
        """Remember it, where there is a folder."""
        if self.folder is None:
            return
        document: dict[str, Any] = {
            "id": self.id,
            "format": self.format,
            "seen": self.seen,
            "pushed": self.pushed,
            "pulled": self.pulled,
            "pending": self.pending,
        }
        replace_private(self.folder / _FILE, json.dumps(document, indent=1, sort_keys=True).encode())

    def since(self, marks: dict[str, Mark], patterns: Sequence[str]) -> Mark | None:
        """Return from where on moves must be considered for some patterns; None when from the beginning."""
        found = []
        for pattern in patterns:
            known = [marks[each] for each in (pattern, "*") if each in marks]
            if not known:
                return None
            found.append(max(known))
        return min(found)

    def advance(self, marks: dict[str, Mark], patterns: Sequence[str], mark: Mark) -> None:
        """Remember that moves up to ``mark`` have been considered for some patterns."""
        if "*" in patterns:
            marks.clear()
            marks["*"] = mark
            return
        for pattern in patterns:
            marks.pop(pattern, None)
            marks[pattern] = mark
        for oldest in [pattern for pattern in marks if pattern != "*"][:-_PATTERNS]:
            del marks[oldest]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process of this machine syncs with this remote, and keep others waiting.

        Raises:
            StorageError: The lock cannot be had: no permission, or a symbolic link stands in its place.
        """
        if self.folder is None:
            yield
            return
        with alone(self.folder / "lock"):
            yield


def _mark(raw: Any) -> Mark:
    seq, digest = raw
    return int(seq), str(digest)
