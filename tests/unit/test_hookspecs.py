"""What the seam for plugins promises: these hooks, with these arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from friday_store import default_plugins, hookspecs
from friday_store.hookspecs import Part, RefUpdate, Serializer, SyncReport, Target, Trainer, Tuner
from friday_store.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable

HOOKS = {
    "register_serializers": (),
    "register_trainers": (),
    "register_targets": (),
    "register_tuners": (),
    "register_commands": ("group",),
    "before_register": ("draft",),
    "after_commit": ("entry",),
    "before_ref_update": ("update",),
    "after_sync": ("report",),
}


def specified() -> dict[str, Callable[..., object]]:
    """Return the hooks that the module specifies."""
    return {name: value for name, value in vars(hookspecs).items() if hasattr(value, "friday_store_spec")}


def test_the_hooks_and_their_arguments() -> None:
    """A hook that is added, removed or gets another argument is noticed: plugins depend on all of it."""
    assert {name: tuple(inspect.signature(hook).parameters) for name, hook in specified().items()} == HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_described(name: str) -> None:
    """A hook's docstring is its contract."""
    assert inspect.getdoc(specified()[name])


@pytest.mark.parametrize("serializer", default_plugins.register_serializers(), ids=lambda found: found.name)
def test_built_in_formats_are_serializers(serializer: Serializer) -> None:
    """What comes with the package keeps to the same protocol as anyone's."""
    assert isinstance(serializer, Serializer)


def test_the_built_in_formats() -> None:
    """The names that stand in stored artifacts, with their safety: none of them may change."""
    expected = {
        "pickle5": ("code", ".pkl"),
        "joblib": ("code", ".joblib"),
        "numpy": ("data", ".npz"),
        "json": ("data", ".json"),
        "file": ("data", ""),
    }
    assert expected == {s.name: (s.safety, s.suffix) for s in default_plugins.register_serializers()}


def test_the_built_in_trainers_are_trainers() -> None:
    """So do the families of estimators."""
    for trainer in Plugins(()).trainers().values():
        assert isinstance(trainer, Trainer)


def test_the_built_in_targets_are_targets() -> None:
    """And so does what can be predicted."""
    targets = Plugins(()).targets()
    assert ["next_close", "price_direction", "return", "volatility"] == list(targets)
    assert all(isinstance(target, Target) for target in targets.values())


def test_the_built_in_tuners_are_tuners() -> None:
    """And the ways to search for parameters."""
    tuners = Plugins(()).tuners()
    assert ["grid", "random", "halving"] == list(tuners)
    assert all(isinstance(tuner, Tuner) for tuner in tuners.values())


def test_values_that_cross_the_seam() -> None:
    """What plugins are given and give back has these fields."""
    assert Part._fields == ("name", "data", "opaque")
    assert Part("p", b"x").opaque is False
    assert RefUpdate("versions/m/1.0.0", None, "ab").new == "ab"
    assert SyncReport().moved == ()
