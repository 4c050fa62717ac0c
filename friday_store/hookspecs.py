"""What a plugin can implement, and the values that cross the seam.

A plugin author imports ``from friday_store import hookimpl`` and the value types named here, and registers
the module under the entry-point group ``friday_store``. Built-in formats and trainers come in through the
same hooks. Hooks return values and keep no state; each is called once per :class:`~friday_store.plugins.Plugins`
(the ``register_*`` hooks) or once per event (the others).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, overload, runtime_checkable

import pluggy

if TYPE_CHECKING:
    import click

hookspec = pluggy.HookspecMarker("friday_store")
hookimpl = pluggy.HookimplMarker("friday_store")

Safety = Literal["data", "typed", "code"]
Task = Literal["regression", "classification"]


class Part(NamedTuple):
    """One named piece of a serialized model.

    Attributes:
        name: Unique within the model; printable ASCII without ``/``-leading or ``..``.
        data: The bytes: any contiguous buffer. It is hashed and written as it is and never copied, so it must
            not change until the registration returns.
        opaque: Whether this is a file as somebody made it, whose own digest is then recorded too, so that
            ``b3sum`` can check an export.
    """

    name: str
    data: bytes | bytearray | memoryview
    opaque: bool = False


@runtime_checkable
class Serializer(Protocol):
    """A model format.

    Laws: ``load({p.name: p.data for p in dump(m)}, format)`` gives a model that predicts as ``m`` does; ``dump`` of
    the same model in the same environment gives the same parts where ``deterministic`` is true; ``load`` reads
    every ``format`` up to its own, and raises for a newer one; ``check`` needs no import of the framework.

    Attributes:
        name: Lower-case identifier recorded in every artifact, such as ``pickle5``.
        format: The version of the layout that ``dump`` writes, from 1.
        safety: ``data`` when loading cannot run code, ``typed`` when it makes only listed types, else ``code``.
        deterministic: Whether equal models give equal bytes.
        suffix: File suffix of the native single file, such as ``.pkl``.
    """

    name: str
    format: int
    safety: Safety
    deterministic: bool
    suffix: str

    def accepts(self, model: object) -> bool:
        """Whether this format is the natural one for ``model``; called only when none was asked for."""

    def dump(self, model: Any) -> Iterable[Part]:
        """Write ``model`` as parts, in the order in which ``load`` reads them.

        Raises:
            SerializationError: The model cannot be written; the message names the attribute at fault.
        """

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        """Make the model from its parts.

        The buffers are private and writable: a model may keep views of them instead of copies.
        """

    def check(self, parts: Mapping[str, memoryview]) -> None:
        """Refuse parts that are not of this format, by magic bytes, before anything interprets them.

        Raises:
            SerializationError: The parts are of another format.
        """

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterable[bytes | memoryview]:
        """Return the native single file, without loading the model: the blocks to write one after the other."""

    def from_file(self, data: memoryview) -> Iterable[Part]:
        """Return the parts of a native single file, without loading the model."""


@runtime_checkable
class Trainer(Protocol):
    """A family of estimators for the market trainer.

    Attributes:
        name: Upper-case identifier, such as ``RANDOM_FOREST``.
        tasks: Which tasks the family can do.
    """

    name: str
    tasks: Sequence[Task]

    def estimator(self, task: Task, *, seed: int, params: Mapping[str, Any]) -> Any:
        """Return a new, unfitted scikit-learn estimator; equal arguments give equal models after ``fit``."""

    def search_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return the values to try for each parameter; an empty mapping when there is nothing to tune."""


@dataclass
class Draft:
    """A version about to be registered, as ``before_register`` sees it.

    Attributes:
        name: The model's name.
        version: The requested version; None when it is decided in the transaction.
        model: The object, or None when stored bytes were given.
        facts: What will be recorded. A plugin may add keys under ``facts["metadata"]``.
    """

    name: str
    version: str | None
    model: Any
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One ref about to move: its full name, and the digests (hex) before and after; None for absent."""

    ref: str
    old: str | None
    new: str | None


class RefUpdates(Sequence[RefUpdate]):
    """Many updates, each made when it is asked for: a sync may move hundreds of thousands of refs.

    Args:
        moves: Name, digest before and digest after, of each.
    """

    def __init__(self, moves: Sequence[tuple[str, bytes | None, bytes | None]] = ()) -> None:
        self._moves = moves

    def __len__(self) -> int:
        return len(self._moves)

    @overload
    def __getitem__(self, place: int) -> RefUpdate: ...
    @overload
    def __getitem__(self, place: slice) -> RefUpdates: ...
    def __getitem__(self, place: int | slice) -> RefUpdate | RefUpdates:
        if isinstance(place, slice):
            return RefUpdates(self._moves[place])
        name, old, new = self._moves[place]
        return RefUpdate(name, old.hex() if old else None, new.hex() if new else None)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    def __hash__(self) -> int:
        return hash(tuple(self._moves))

    def __repr__(self) -> str:
        return repr(tuple(self))


@dataclass(frozen=True)
class Committed:
    """One transaction that is now in the log: its number, who, why, and the refs it moved."""

    seq: int
    actor: str
    message: str
    refs: tuple[RefUpdate, ...]


@dataclass(frozen=True)
class SyncReport:
    """What one copy between repositories did; sizes in bytes as stored.

    Attributes:
        moved: The refs that were created, moved or removed at the target.
        rejected: Refs left alone, with the reason.
        objects: Objects sent.
        size: Bytes sent.
        present: Objects that were already there.
        forced: The moved refs that the target had moved elsewhere.
        kept: Aliases that both sides moved and that stayed, as the caller wanted.
        behind: How many refs the other side is ahead with.
    """

    moved: Sequence[RefUpdate] = ()
    rejected: tuple[tuple[RefUpdate, str], ...] = ()
    objects: int = 0
    size: int = 0
    present: int = 0
    forced: frozenset[str] = frozenset()
    kept: tuple[RefUpdate, ...] = ()
    behind: int = 0


@hookspec
def register_serializers() -> Iterable[Serializer]:  # type: ignore[empty-body]
    """Return the model formats that this plugin adds."""


@hookspec
def register_trainers() -> Iterable[Trainer]:  # type: ignore[empty-body]
    """Return the families of estimators that this plugin adds to the market trainer."""


@hookspec
def register_commands(group: click.Group) -> None:
    """Add commands to the command line's root group."""


@hookspec
def before_register(draft: Draft) -> None:
    """Check or complete a version before anything is written; raise :class:`GateError` to refuse it."""


@hookspec
def after_commit(entry: Committed) -> None:
    """Learn of a transaction of this process once it is in the log; nothing can undo it."""


@hookspec
def before_ref_update(update: RefUpdate) -> None:
    """Check one move of a ref before the transaction is written; raise :class:`GateError` to refuse it all."""


@hookspec
def after_sync(report: SyncReport) -> None:
    """Learn what a push, pull or clone of this process did."""
