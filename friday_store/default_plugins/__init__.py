"""What friday-store brings itself, through the hooks that every plugin uses.

Only formats are imported with it; the rest, which few commands need, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from friday_store.default_plugins.formats import File, Joblib, Json, Numpy
from friday_store.default_plugins.pickle5 import Pickle5
from friday_store.hookspecs import Serializer, Target, Trainer, Tuner, hookimpl


@hookimpl
def register_serializers() -> Iterable[Serializer]:
    """Return the built-in formats: what is most particular about a model first, pickle last."""
    return (File(), Numpy(), Json(), Joblib(), Pickle5())


@hookimpl
def register_trainers() -> Iterable[Trainer]:
    """Return the built-in families of estimators."""
    from friday_store.default_plugins.estimators import builtin_trainers

    return builtin_trainers()


@hookimpl
def register_targets() -> Iterable[Target]:
    """Return the built-in targets."""
    from friday_store.default_plugins.targets import builtin_targets

    return builtin_targets()


@hookimpl
def register_tuners() -> Iterable[Tuner]:
    """Return the built-in searches for parameters."""
    from friday_store.default_plugins.tuners import builtin_tuners

    return builtin_tuners()
