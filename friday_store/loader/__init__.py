"""Loading models by what they are for, with a cache by digest.

Each load looks at the log first, so an alias that moved is seen at once; as long as the log has not grown, the version
that a revision named the last time is the one it names now. The cache is keyed by the version's id. It keeps the shared
object for those who ask for it (``copy=False``), and for everybody else what the model is made of: a copy is made from
the stored bytes again, which are verified and mapped as private pages. So a copy is as it was registered, whatever
others did to the shared object, and arrays are copied page by page when they are written to. Measured against
``copy.deepcopy``: 39 against 11 µs for a ridge regression, 63 against 58 ms for a forest of 50 MB, 0.1 against 0.6 ms
for an array of 8 MB, 0.4 against 16 ms for 80 MB of layers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from friday_store.errors import InvalidValueError
from friday_store.index import VersionRow
from friday_store.loader import checks
from friday_store.loader.cache import Cache, Kept, Statistics
from friday_store.loader.checks import (
    EnvironmentMismatchError,
    EnvironmentMismatchWarning,
    ExpiredModelError,
    ExpiredModelWarning,
    InputMismatchError,
    Policy,
)
from friday_store.loader.choosing import Question, chosen
from friday_store.manifest import Artifact, Manifest
from friday_store.registry import ModelRegistry
from friday_store.registry.records import Record
from friday_store.serialization.compatibility import compared

__all__ = [
    "EnvironmentMismatchError",
    "EnvironmentMismatchWarning",
    "ExpiredModelError",
    "ExpiredModelWarning",
    "InputMismatchError",
    "ModelLoader",
    "Statistics",
    "load_model",
    "load_model_for_prediction",
]

CACHE_BYTES: Final = 2 << 30
_ANSWERS: Final = 2_000
_T = TypeVar("_T")


class _Recipe(NamedTuple):
    """What a model is made of, and the version that trust is asked about."""

    row: VersionRow
    manifest: Manifest
    artifact: Artifact


class ModelLoader:
    """Load models from a registry, each digest once; for use by many threads, and by processes forked from this one.

    Args:
        registry: Where from; None: the default registry.
        cache_size: How many versions to keep at most.
        cache_bytes: How many bytes of shared models to keep at most, as their records count them. A larger model is
            loaded and not kept.

    Raises:
        InvalidValueError: A bound is not a whole number from 0.
    """

    def __init__(
        self, registry: ModelRegistry | None = None, *, cache_size: int = 32, cache_bytes: int = CACHE_BYTES
    ) -> None:
        for name, bound in (("cache_size", cache_size), ("cache_bytes", cache_bytes)):
            if type(bound) is not int or bound < 0:
                raise InvalidValueError(f"{name}: a whole number from 0, not {bound!r}", path=name)
        self.registry = registry if registry is not None else ModelRegistry()
        self._cache = Cache(cache_size, cache_bytes)
        self._answers: tuple[Any, dict[Hashable, Any]] = (None, {})

    def load_model(self, revision: str, version: str | None = None, *, copy: bool = True) -> Any:
        """Return the model of a revision.

        Args:
            revision: The revision, or a model's name.
            version: The version, when a name was given.
            copy: Whether the model is to be the caller's own; the shared one must not be changed.

        Raises:
            FridayStoreError: As :meth:`ModelRegistry.load_model`. Whether it is trusted is asked before a model is
                made from bytes, not before one that is here is handed out again.
        """
        row = self._row(revision, version)
        return self._own(row) if copy else self._shared(row)

    def load_model_by_tags(
        self,
        tags: str | Iterable[str],
        require_all_tags: bool = True,  # noqa: FBT001, FBT002 - the seed's signature
        *,
        copy: bool = True,
    ) -> list[Any]:
        """Return the models of every version that has the tags, ordered by name and then newest first.

        Args:
            tags: A tag, or several.
            require_all_tags: Whether a version needs all the tags, or one of them.
            copy: As for :meth:`load_model`.

        Raises:
            InvalidValueError: No tag was given.
            FridayStoreError: One of them cannot be loaded; nothing is passed over.
        """
        wanted = [tags] if isinstance(tags, str) else list(tags)
        if not wanted:
            raise InvalidValueError("tags: name at least one", path="tags", hint="friday-store ls")
        records = self.registry.list_models(tags=wanted, require_all_tags=require_all_tags)
        return [self.load_model(record["model_id"], copy=copy) for record in records]

    def load_best_model(
        self,
        name: str,
        metric: str,
        higher_is_better: bool | None = None,  # noqa: FBT001 - the seed's signature
        *,
        copy: bool = True,
    ) -> Any:
        """Return the model of the version that is best by a metric; ``registry.record_of(model)`` says which it is.

        Args:
            name: The model's name, or a glob over names; the versions of all that match are compared.
            metric: The metric's name.
            higher_is_better: None: as is known for the usual names.
            copy: As for :meth:`load_model`.

        Raises:
            ModelNotFoundError: No version has the metric.
            InvalidValueError: Which way is better is not known for this metric.
        """
        best = self._answer(
            ("best", name, metric, higher_is_better),
            lambda: self.registry.best(name, metric, higher_is_better),
        )
        return self._own(best) if copy else self._shared(best)

    def load_model_for_prediction(
        self,
        symbol: str,
        timeframe: str,
        target_type: Any,
        forecast_horizon: int,
        model_type: Any = None,
        *,
        X: Any = None,  # noqa: N803 - scikit-learn's name
        policy: Policy = "warn",
        expired: Policy = "error",
        copy: bool = True,
    ) -> Any:
        """Return the model for one question about a market, by recorded fields, after checking that it can be used.

        Of each model that fits, the version behind ``production`` is asked for, else the highest. Of several, those
        behind ``production`` come first, and of these the best by the task's metric on its test rows: balanced
        accuracy for a direction, else the smallest RMSE. ``registry.record_of(model)`` says which it is.

        Args:
            symbol: Such as ``AAPL``.
            timeframe: Such as ``1d``.
            target_type: Such as ``next_close``, in any case.
            forecast_horizon: Bars ahead.
            model_type: A family, in any case; None takes the best.
            X: Input to check as :meth:`check_input` does; None checks none.
            policy: What to do when libraries here are not those that the model was made with.
            expired: What to do with a version whose ``expires_after`` is over.
            copy: As for :meth:`load_model`.

        Raises:
            ModelNotFoundError: No registered version fits; the message says what there is.
            InputMismatchError: The input does not fit.
            EnvironmentMismatchError: The environment does not fit, and the policy is ``error``.
            ExpiredModelError: The version has expired, unless ``expired`` says otherwise.
        """
        kind = None if model_type is None else str(model_type).lower()
        question = Question(symbol, timeframe, str(target_type).lower(), int(forecast_horizon), kind)
        record: Record = self._answer(question, lambda: chosen(self.registry, question))
        self.check(record["model_id"], X=X, policy=policy, expired=expired)
        return self.load_model(record["model_id"], copy=copy)

    def check(
        self,
        revision: str,
        *,
        X: Any = None,  # noqa: N803 - scikit-learn's name
        policy: Policy = "warn",
        expired: Policy = "error",
    ) -> None:
        """Refuse a version that cannot be used here and now, or warn of it, without loading it.

        Args:
            revision: The version.
            X: As for :meth:`load_model_for_prediction`, like the others.
            policy: What to do about other libraries.
            expired: What to do about an expiry.

        Raises:
            FridayStoreError: As :meth:`load_model_for_prediction`.
        """
        checks.check_policy(policy, "policy")
        checks.check_policy(expired, "expired")
        record = self._record(revision)
        checks.check_expiry(record, self.registry.repository.settings.clock(), expired)
        if policy != "ignore":
            key = "environment", record["model_id"]
            report = self._answer(key, lambda: compared(record, self.registry.plugins))
            checks.check_environment(record, report, policy)
        if X is not None:
            checks.check_input(record, X)

    def check_input(self, revision: str, X: Any) -> None:  # noqa: N803 - scikit-learn's name
        """Refuse input whose features are not those the version was trained on, by name, order and type.

        Args:
            revision: The version.
            X: A DataFrame, or a 2-D array, of which only width and type can be compared.

        Raises:
            InputMismatchError: It does not fit; the attributes say what is missing, extra, misplaced or of another
                type.
            InvalidValueError: Nothing was recorded about the input.
        """
        checks.check_input(self._record(revision), X)

    def warm(self, revisions: str | Iterable[str]) -> list[str]:
        """Load the shared models of some revisions now, and return their ids.

        Raises:
            FridayStoreError: One of them cannot be loaded.
        """
        rows = [self._row(revision, None) for revision in ([revisions] if isinstance(revisions, str) else revisions)]
        for row in rows:
            self._shared(row)
        return [row.model_id for row in rows]

    def statistics(self) -> Statistics:
        """Return what the cache did, and what it holds."""
        return self._cache.statistics()

    def clear(self) -> None:
        """Let go of every model and count from 0."""
        self._cache.clear()
        self._answers = (None, {})

    def _shared(self, row: VersionRow) -> Any:
        """Return the one object of a version; while one thread makes it, the others who want it wait."""
        kept = self._cache.find(row.model_id, whole=True)
        if kept is not None:
            return kept.model
        with self._cache.turn(row.model_id):
            kept = self._cache.find(row.model_id, whole=True)
            if kept is None:
                self._cache.count("misses")
                recipe = self._recipe(row)
                kept = Kept(recipe, self.registry.made(*recipe), row.size_bytes)
                self._cache.keep(row.model_id, kept)
        return kept.model

    def _own(self, row: VersionRow) -> Any:
        """Return an object of the caller's own."""
        kept = self._cache.find(row.model_id, whole=False)
        if kept is None:
            with self._cache.turn(row.model_id):
                kept = self._cache.find(row.model_id, whole=False)
                if kept is None:
                    self._cache.count("misses")
                    kept = Kept(self._recipe(row))
                    self._cache.keep(row.model_id, kept)
        self._cache.count("copies")
        return self.registry.made(*kept.recipe)

    def _recipe(self, row: VersionRow) -> _Recipe:
        repository = self.registry.repository
        row, manifest = repository.verified(row)
        return _Recipe(row, manifest, repository.artifact(manifest.artifact))

    def _row(self, revision: str, version: str | None) -> VersionRow:
        """Return the version that a revision names, from memory where the log alone decides it."""
        if version is None and _may_be_remote(revision):
            return self.registry.resolve(revision)
        return self._answer((revision, version), lambda: self._resolved(revision, version))

    def _resolved(self, revision: str, version: str | None) -> VersionRow:
        if version is not None:
            revision = self.registry.get_model_metadata(revision, version)["model_id"]
        return self.registry.resolve(revision)

    def _record(self, revision: str) -> Record:
        if _may_be_remote(revision):
            return self.registry.get_model_metadata(revision)
        found: Record = self._answer(("record", revision), lambda: self.registry.get_model_metadata(revision))
        return found

    def _answer(self, question: Hashable, find: Callable[[], _T]) -> _T:
        """Return what was found for a question while the log was as it is now, or find it."""
        index = self.registry.repository.index
        index.catch_up()
        state, answers = self._answers
        if state != index.state or len(answers) > _ANSWERS:
            state, answers = self._answers = index.state, {}
        if question not in answers:
            answers[question] = find()
        found: _T = answers[question]
        return found


def _may_be_remote(revision: str) -> bool:
    """Whether a revision may be ``REMOTE/MODEL``, about which the log of this registry says nothing."""
    return "/" in revision


@functools.cache
def _default_loader(url: str) -> ModelLoader:
    return ModelLoader(ModelRegistry(url))


def default_loader() -> ModelLoader:
    """Return the loader of the default registry, shared by the functions of this module."""
    from friday_store.registry.location import default_url

    return _default_loader(default_url())


def load_model(revision: str, version: str | None = None) -> Any:
    """Return a model from the default registry; see :meth:`ModelLoader.load_model`."""
    return default_loader().load_model(revision, version)


def load_model_for_prediction(
    symbol: str, timeframe: str, target_type: Any, forecast_horizon: int, model_type: Any = None, **options: Any
) -> Any:
    """Return a model from the default registry; see :meth:`ModelLoader.load_model_for_prediction`."""
    return default_loader().load_model_for_prediction(
        symbol, timeframe, target_type, forecast_horizon, model_type, **options
    )
