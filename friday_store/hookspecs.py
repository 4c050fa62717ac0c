"""What a plugin can implement, and the values that cross the seam.

A plugin author imports ``from friday_store import hookimpl`` and the value types named here, and registers
the module under the entry-point group ``friday_store``. Built-in formats and trainers come in through the
same hooks. Hooks return values and keep no state; each is called once per :class:`~friday_store.plugins.Plugins`
(the ``register_*`` hooks) or once per event (the others).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, overload, runtime_checkable

import pluggy

from friday_store.digest import Buffer
from friday_store.errors import SerializationError

if TYPE_CHECKING:
    import click
    import pandas as pd

hookspec = pluggy.HookspecMarker("friday_store")
hookimpl = pluggy.HookimplMarker("friday_store")

Safety = Literal["data", "typed", "code"]
Task = Literal["regression", "classification"]
Folds = Sequence[tuple[Any, Any]]
"""Numbers of the rows to train on and to score on, as arrays."""


class Part(NamedTuple):
    """One named piece of a serialized model.

    Attributes:
        name: Unique within the model; printable ASCII without ``/``-leading or ``..``.
        data: The bytes: any contiguous buffer; or, for a part that may be larger than memory, an iterable of such
            buffers, read once, in order. How a stream is divided does not matter: its chunks, and so its digest,
            are those of the same bytes in one buffer. A buffer is hashed and written where it lies, on other
            threads, so it must not change until the registration returns; a block of a stream is let go of once
            it is written, and must not be used again for the next.
        opaque: Whether this is a file as somebody made it, whose own digest is then recorded too, so that
            ``b3sum`` can check an export.
    """

    name: str
    data: Buffer | Iterable[Buffer]
    opaque: bool = False

    @property
    def streamed(self) -> bool:
        """Whether ``data`` is an iterable of buffers and not one buffer."""
        try:
            memoryview(self.data)  # type: ignore[arg-type]
        except TypeError:
            return True
        return False

    def blocks(self) -> Iterator[memoryview]:
        """Yield the part's bytes in order, as flat views; a stream can be asked for them once.

        Raises:
            SerializationError: ``data`` is neither a contiguous buffer nor an iterable of them.
        """
        data: Any = self.data
        if not self.streamed:
            yield self._flat(data)
        elif isinstance(data, Iterable) and not isinstance(data, str):
            yield from map(self._flat, data)
        else:
            raise SerializationError(f"part {self.name!r} has {type(data).__qualname__} where bytes are expected")

    def view(self) -> memoryview:
        """Return the part's bytes as one view; a stream is put together in memory for it."""
        found = list(self.blocks())
        return found[0] if len(found) == 1 else memoryview(b"".join(found))

    def _flat(self, block: Any) -> memoryview:
        try:
            return memoryview(block).cast("B")
        except TypeError as error:
            what = "is not contiguous" if isinstance(block, memoryview) else f"holds {type(block).__qualname__}"
            raise SerializationError(f"part {self.name!r} {what}, where contiguous bytes are expected") from error


@runtime_checkable
class Serializer(Protocol):
    """A model format: how a kind of model becomes named parts, and comes back from them.

    What every format promises; :class:`friday_store.testing.SerializerTests` checks it:

    * *Round trip.* ``load({p.name: p.view() for p in dump(m)}, format)`` gives a model that predicts as ``m`` does,
      also in another process on another machine of the same kind. Neither ``dump`` nor ``load`` changes what it reads.
    * *Nothing is imported before it must be.* Importing the plugin, ``accepts``, ``check``, ``describe``, and
      ``from_file`` where the format allows it, do not import the framework. ``accepts`` looks at the type's module.
    * *Reading never guesses.* Parts reach ``load`` only under the recorded name of the format, and after ``check``
      and the digests have let them through. Parts that are cut short, or of another format, raise
      :class:`SerializationError`; nothing is interpreted by code of another format.
    * *Older stores load.* ``load`` reads every ``format`` from 1 up to its own (or the format has
      :meth:`Migrating.migrate`), and refuses a newer one. A change of layout needs a new number; a number that was
      released means one layout for ever. ``name`` never changes.
    * *Equal models give equal bytes* where ``deterministic`` is true: ``dump`` of the same model in the same
      environment twice gives the same parts in the same order. So no times, addresses, random ids or set orders.
    * *Structure decides.* What can change by itself is a part of its own (a layer, a tree, a table), under a name
      that stays; two versions share the chunks of parts that did not change. Big numeric buffers are parts
      themselves, uncompressed, so that they load as views of the mapped store: no copy.
    * *Memory.* ``dump`` may be a generator, and parts may be streams: what was yielded is let go of, so that models
      larger than memory can be written. Buffers that ``load`` is given are private to the model and writable: it may
      keep views of them. Pages that it changes are its own.
    * *Safety is stated, not hoped for.* ``data``: loading runs no code that the bytes choose, whatever they are;
      ``typed``: it makes objects only of types on a list that is never read from the bytes; ``code``: anything else,
      and what a plugin does not know. No format falls back to another loader.
    * *Failures are named.* What cannot be written raises :class:`SerializationError` that names the attribute at
      fault. A missing framework may simply raise ``ImportError``: with :class:`Requiring` the core turns it into a
      :class:`PluginError` whose hint installs it. No network, no files besides those that were given.

    What a format may have besides, each a small protocol of its own: :class:`Requiring` (what to install),
    :class:`Describing` (what is inside, without loading), :class:`Migrating` (older layouts rewritten), :class:`Typed`
    (what loading would make).

    Attributes:
        name: Lower-case identifier recorded in every artifact, such as ``pickle5``.
        format: The version of the layout that ``dump`` writes, from 1.
        safety: ``data``, ``typed`` or ``code``, as above.
        deterministic: Whether equal models give equal bytes.
        suffix: File suffix of the native single file, such as ``.pkl``; empty when there is none of its own.
    """

    name: str
    format: int
    safety: Safety
    deterministic: bool
    suffix: str

    def accepts(self, model: object) -> bool:
        """Whether this format is the natural one for ``model``; called only when none was asked for.

        Answers for any object at all, fast, without importing anything and without raising.
        """

    def dump(self, model: Any) -> Iterable[Part]:
        """Write ``model`` as parts, in the order in which ``load`` reads them.

        Raises:
            SerializationError: The model cannot be written; the message names the attribute at fault.
        """

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        """Make the model from its parts.

        The buffers are private and writable: a model may keep views of them instead of copies.

        Raises:
            SerializationError: The parts do not make a model, or are of a newer format.
        """

    def check(self, parts: Mapping[str, memoryview]) -> None:
        """Refuse parts that are not of this format, by magic bytes, before anything interprets them.

        Raises:
            SerializationError: The parts are of another format.
        """

    def to_file(self, parts: Mapping[str, memoryview]) -> Iterable[bytes | memoryview]:
        """Return the native single file, without loading the model: the blocks to write one after the other.

        Raises:
            SerializationError: The format has no single file, or these parts make none.
        """

    def from_file(self, data: memoryview) -> Iterable[Part]:
        """Return the parts of a native single file, without loading the model.

        Raises:
            SerializationError: The file is of another format, or damaged.
        """


@runtime_checkable
class Requiring(Protocol):
    """A format that needs something installed.

    Attributes:
        requires: What ``pip install`` would be given, the framework first, such as ``("torch>=2.10", "numpy")``.
            The installed versions are recorded with every version of a model. Empty for none.
    """

    requires: Sequence[str]


@runtime_checkable
class Describing(Protocol):
    """A format that can say what is inside a model without loading it."""

    def describe(self, parts: Mapping[str, memoryview]) -> Mapping[str, Any]:
        """Return a small mapping of plain values: names, shapes, dtypes, operators, versions of the framework.

        Reads headers and not weights, imports no framework, and runs nothing that the bytes choose. What it returns
        is recorded with the version if ``dump`` gave its parts as a list, and is shown by ``show``; 64 KiB at most.
        The layout is the current one, already checked.

        Raises:
            SerializationError: The parts say nothing that can be understood.
        """


@runtime_checkable
class Migrating(Protocol):
    """A format whose older layouts are rewritten, so that its other methods know the current one only."""

    def migrate(self, parts: Mapping[str, memoryview], format: int) -> Mapping[str, memoryview]:  # noqa: A002
        """Return the parts of an older layout in the current one; nothing in the store changes.

        Args:
            parts: As stored; buffers that stay as they are should be passed on, not copied.
            format: The layout that they are in, from 1 and below ``format`` of the serializer.

        Raises:
            SerializationError: The parts are not of that layout.
        """


@runtime_checkable
class Typed(Protocol):
    """A format of class ``typed`` that says which types a load would make, and makes no other."""

    def types(self, parts: Mapping[str, memoryview]) -> Iterable[str]:
        """Return the full names of the types that loading these parts would make, without making any.

        The core then calls ``load`` only if every one of them is on the user's own list, or the version is trusted as
        code is; so ``load`` may allow what this returned. A format of this class without it is treated as code.
        """


@runtime_checkable
class Trainer(Protocol):
    """A family of estimators for the market trainer.

    What every family promises; :class:`friday_store.testing.TrainerTests` checks it:

    * *New each time.* ``estimator`` returns an unfitted object with scikit-learn's ``fit``, ``predict``,
      ``get_params`` and ``set_params``; for a classification also ``predict_proba``. Nothing is shared between two.
    * *Repeatable.* Equal task, seed, parameters and data give a model that predicts the same, bit for bit. So the
      seed reaches every generator, and the family starts no threads or processes whose order matters.
    * *Refuses by name.* A task that it does not do, or a parameter that is none, is an
      :class:`~friday_store.errors.InvalidValueError`.
    * *A search space can be searched.* Its names are parameters, and ``estimator`` takes each of its values.
    * *Storable.* A fitted model can be registered; data are never changed; importing the plugin imports no framework.

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


@runtime_checkable
class Wide(Protocol):
    """A family that also has a space too large to try whole."""

    def wide_space(self, task: Task) -> Mapping[str, Sequence[Any]]:
        """Return the values of each parameter for a tuner that chooses among them; empty where there is none."""


@runtime_checkable
class Target(Protocol):
    """What a market model predicts; :class:`friday_store.testing.TargetTests` checks it.

    Laws: the label of a bar depends on that bar, those before it and the ``reach(horizon)`` bars after it, and on
    nothing else; a bar whose future is not known has none. The trainer leaves ``reach(horizon)`` rows between what it
    trains on and what it tests on, so a reach that is too short is a leak.

    Attributes:
        name: Lower-case identifier, such as ``volatility``; it is how users ask for the target.
        task: ``regression``, or ``classification`` into 0 and 1.
        baseline: What the naive forecast is, in words. For a classification that is always the majority class and the
            base rate of the training part.
        of_price: Whether labels are prices. Then the model is trained on the return from the close to the label, and
            its forecast is turned back into a price.

    A target may have a ``unit`` besides: what a label is, in words, which reports show.
    """

    name: str
    task: Task
    baseline: str
    of_price: bool

    def labels(self, bars: pd.DataFrame, horizon: int) -> pd.Series[Any]:
        """Return the label of each bar, NaN where its future is not known.

        Args:
            bars: Lower-case columns, ``close`` among them and positive, one row for each bar in order of time.
            horizon: How many bars ahead, from 1.
        """

    def reach(self, horizon: int) -> int:
        """Return how many bars after its own a label may use; at least 1."""

    def naive(self, y: Any, horizon: int, close: Any) -> Any:
        """Return the naive forecast of each row of one symbol; only for a regression.

        Args:
            y: Labels in order of time, as an array. Row ``t`` may use those up to ``t - reach(horizon)``.
            horizon: As for ``labels``.
            close: The close of each row where ``of_price``, else None.
        """


class Trial(NamedTuple):
    """One set of parameters that a search tried.

    Attributes:
        params: The parameters, by the names of the search space.
        scores: What each fold gave, the higher the better.
        complete: Whether every fold was trained on all of its rows; only such a trial can be the best.
    """

    params: Mapping[str, Any]
    scores: Sequence[float]
    complete: bool = True


@dataclass(frozen=True, eq=False)
class Search:
    """What a tuner is asked to find: the parameters with the highest mean score over the folds.

    Attributes:
        estimator: Unfitted; to be cloned and given parameters by ``set_params``.
        space: The values to try for each parameter.
        features: The training rows, oldest first.
        labels: Their labels.
        folds: For each fold the numbers of the rows to train on and of the rows to score on, each ascending and so
            oldest first. They go forward in time and are purged: a tuner must use them as they are, or train on a part
            of a fold's training rows, never on others.
        scoring: ``scoring(fitted, features, labels)`` is the score of a fold, the higher the better.
        seed: For whatever the tuner draws; equal searches give equal trials.
        trials: How many candidates to try, where the tuner chooses them.
    """

    estimator: Any
    space: Mapping[str, Sequence[Any]]
    features: pd.DataFrame
    labels: pd.Series[Any]
    folds: Folds
    scoring: Any
    seed: int
    trials: int


@runtime_checkable
class Tuner(Protocol):
    """A search for parameters, for the market trainer; :class:`friday_store.testing.TunerTests` checks it.

    Attributes:
        name: Lower-case word by which users ask for it, such as ``optuna``.
    """

    name: str

    def search(self, search: Search) -> Iterable[Trial]:
        """Return everything that was tried, in order; of equal means the first is the best."""


@runtime_checkable
class Choosing(Protocol):
    """A tuner that chooses its candidates and tries no more of them than :attr:`Search.trials`.

    Attributes:
        chooses: Whether it does. Then it is given a family's :class:`Wide` space, if there is one.
    """

    chooses: bool


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
    """One ref about to move.

    Attributes:
        ref: Its full name, such as ``aliases/aapl/production``.
        old: The digest (hex) before; None for absent.
        new: The digest (hex) after; None when it is removed.
        look: For a gate: returns what is known of the version that a version, alias or tag will name, read when it is
            called; None for a note, or a removal. Its keys are ``model_id``, ``model_name``, ``model_version``,
            ``model_type``, ``description``, ``author``, the sections of facts as they are before
            this change (``metrics`` with their newest values), and what was signed: ``payload`` and ``signatures``.
    """

    ref: str
    old: str | None
    new: str | None
    look: Callable[[], Mapping[str, Any] | None] = field(default=lambda: None, compare=False, repr=False)


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
def register_targets() -> Iterable[Target]:  # type: ignore[empty-body]
    """Return what this plugin makes it possible to predict."""


@hookspec
def register_tuners() -> Iterable[Tuner]:  # type: ignore[empty-body]
    """Return the searches for parameters that this plugin adds to the market trainer."""


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
