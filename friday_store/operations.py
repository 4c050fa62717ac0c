"""Operations over many versions: comparing, looking into models, and finding the best."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from friday_store import comparison, refs
from friday_store.comparison import Comparison, ModelDiff
from friday_store.errors import InvalidNameError, InvalidValueError
from friday_store.registry import ModelRegistry
from friday_store.registry.records import Record, records

_EXAMPLE: Final = "input_example"


class ModelOperations(ModelRegistry):
    """A registry that also compares versions and finds the best.

    Args:
        url: Where the registry is, or an open registry, whose parts are then shared: what is done through one is
            done through the other.
        options: The other arguments of :class:`ModelRegistry`; none beside an open registry.

    Raises:
        InvalidValueError: Options were given beside an open registry.
        FridayStoreError: As :class:`ModelRegistry`.
    """

    def __init__(self, url: str | Path | ModelRegistry | None = None, **options: Any) -> None:
        if not isinstance(url, ModelRegistry):
            super().__init__(url, **options)
        elif options:
            raise InvalidValueError(f"an open registry has its own {', '.join(options)}", path="url")
        else:
            self.__dict__ = url.__dict__  # one state, so that an open transaction is the same one too

    def compare_models(
        self, a: str, b: str, *more: str, metrics: Collection[str] | None = None, only_differences: bool = False
    ) -> Comparison:
        """Return versions side by side; the first is what the others are measured against.

        Args:
            a: A revision; or a model's name, when versions of it follow.
            b: A revision, or a version.
            more: Further ones.
            metrics: Which metrics to show; None shows all.
            only_differences: Leave out what is the same in all of them.

        Raises:
            ModelNotFoundError: Nothing answers to one of them.
        """
        rows = [self.resolve(revision) for revision in revisions(a, b, *more)]
        found = records(self.repository.index, rows)
        return comparison.compare(found, metrics=metrics, only_differences=only_differences)

    def diff_models(self, a: str, b: str, *more: str, load: bool = False, sample: Any = None) -> ModelDiff:
        """Return what differs inside two stored models, reading only the parts that differ and running nothing.

        Args:
            a: The older version, as a revision; or a model's name, when two versions of it follow.
            b: The newer version.
            more: The second version, where ``a`` is a name.
            load: Also load both, as :meth:`load_model` does, and compare trees, coefficients and predictions.
            sample: Rows to predict when they are loaded; None takes ``metadata["input_example"]`` of the newer
                version if it has one: a list of rows, or columns by name.

        Raises:
            ModelNotFoundError: Nothing answers to one of them.
            IntegrityError: Stored bytes are damaged.
            UntrustedArtifactError: ``load``, and one of them came from elsewhere and could run code.
            InvalidValueError: A model cannot predict the sample.
        """
        old, new = (self.resolve(revision) for revision in _two(revisions(a, b, *more)))
        before, after = records(self.repository.index, [old, new])
        found = comparison.diff(self.repository, old, new, comparison.steps(before, after))
        if not load:
            return found
        given = _sample(after) if sample is None else sample
        models = self.load_model(old.model_id), self.load_model(new.model_id)
        behaviour = comparison.behaviour(*models, given)
        return replace(found, behaviour=behaviour, trees=behaviour.trees or found.trees)

    def find_best_model(
        self,
        name_or_filter: str | Mapping[str, Any] | None,
        metric: str,
        higher_is_better: bool | None = None,  # noqa: FBT001 - the seed's signature
        *,
        require: str | Mapping[str, Any] | None = None,
    ) -> Record:
        """Return the record of the version with the best value of a metric, as last observed.

        What has no number for it is passed over, and what is deprecated or archived; of equals the newest wins.

        Args:
            name_or_filter: A model's name, a glob over names, a mapping as for ``require``, or None for all models.
            metric: The metric's name.
            higher_is_better: None: known for usual names, such as ``rmse`` and ``val_accuracy``.
            require: What it must have: a condition in the query language, such as ``tag = 'AAPL' and size < 1e6``, or
                a mapping of ``name``, ``tags``, ``status``, ``model_type``.

        Raises:
            InvalidValueError: Whether more is better is not known and was not said, or a condition cannot be.
            ModelNotFoundError: No version that passes has a number for the metric.
        """
        row = self.best(name_or_filter, metric, higher_is_better, require)
        return records(self.repository.index, [row])[0]


def revisions(first: str, *rest: str) -> list[str]:
    """Return revisions as given, or those of one model where a name is followed by versions alone."""
    if len(rest) > 1 and not set(":@~") & set(first) and all(_is_version(each) for each in rest):
        return [f"{first}:{version}" for version in rest]
    return [first, *rest]


def _is_version(text: str) -> bool:
    try:
        refs.check_version(text)
    except InvalidNameError:
        return False
    return True


def _two(found: list[str]) -> list[str]:
    if len(found) != 2:
        raise InvalidValueError(f"a diff is of two versions, not of {len(found)}", path="versions")
    return found


def _sample(record: Record) -> Any:
    """Return the rows that were recorded with a version; None if there are none."""
    example = record["metadata"].get(_EXAMPLE)
    if isinstance(example, Mapping) and example:
        import pandas as pd

        features = record["input_schema"].get("features") or ()
        order = features if set(features) == set(example) else example  # stored maps are sorted by key
        return pd.DataFrame({name: example[name] for name in order})
    if isinstance(example, list) and example:
        import numpy as np

        return np.asarray(example)
    return None
