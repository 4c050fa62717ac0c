"""What errors promise to those who catch them."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import pytest

from friday_store import errors
from friday_store.errors import (
    AmbiguousRevisionError,
    ConflictError,
    FridayStoreError,
    GateError,
    IntegrityError,
    InvalidNameError,
    InvalidValueError,
    ModelNotFoundError,
    PluginError,
    ProtectedError,
    QueryError,
    RepositoryError,
    SerializationError,
    StorageError,
    UntrustedArtifactError,
    VersionExistsError,
)

BUILTINS: dict[type[FridayStoreError], type[Exception]] = {
    ModelNotFoundError: KeyError,
    AmbiguousRevisionError: KeyError,
    InvalidNameError: ValueError,
    InvalidValueError: ValueError,
    QueryError: ValueError,
    VersionExistsError: ValueError,
    ConflictError: RuntimeError,
    ProtectedError: RuntimeError,
    IntegrityError: ValueError,
    UntrustedArtifactError: PermissionError,
    StorageError: OSError,
    RepositoryError: ValueError,
    SerializationError: TypeError,
    PluginError: ImportError,
    GateError: PermissionError,
}
DATA: dict[type[FridayStoreError], dict[str, Any]] = {
    AmbiguousRevisionError: {"candidates": ["a:1.0.0", "b:1.0.0"]},
    InvalidValueError: {"path": "metadata['x']"},
    QueryError: {"text": "nmae = 'x'", "column": 1},
    ConflictError: {"ref": "aliases/m/production"},
    ProtectedError: {"ref": "aliases/m/production"},
    IntegrityError: {"path": "packs/x.pack"},
    UntrustedArtifactError: {"model_id": "ab" * 32, "origin": "elsewhere"},
    GateError: {"plugin": "policy"},
}


def made(kind: type[FridayStoreError]) -> FridayStoreError:
    """Return an error with all its data."""
    return kind("what happened", hint="what to do", **DATA.get(kind, {}))


def test_the_tree_is_complete() -> None:
    """Every class of the module is in the table above, and drawn in the module's docstring."""
    classes = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FridayStoreError)
    }
    assert classes == {FridayStoreError, *BUILTINS}
    for kind in classes:
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", BUILTINS, ids=lambda kind: kind.__name__)
def test_is_the_builtin_that_a_caller_expects(kind: type[FridayStoreError]) -> None:
    """Who knows only Python's own exceptions can catch it."""
    with pytest.raises(BUILTINS[kind]):
        raise made(kind)


@pytest.mark.parametrize("kind", [FridayStoreError, *BUILTINS], ids=lambda kind: kind.__name__)
def test_says_what_happened_and_what_to_do(kind: type[FridayStoreError]) -> None:
    """Its text is the message alone, also where Python's own class would quote or number it."""
    error = made(kind)
    assert str(error).splitlines()[0] == "what happened"
    assert error.message == "what happened"
    assert error.hint == "what to do"
    for name, value in DATA.get(kind, {}).items():
        assert value == getattr(error, name)


@pytest.mark.parametrize("kind", [FridayStoreError, *BUILTINS], ids=lambda kind: kind.__name__)
def test_crosses_a_process_boundary(kind: type[FridayStoreError]) -> None:
    """Pickling keeps class, text and data."""
    error = made(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(error) is type(again)
    assert str(error) == str(again)
    assert vars(error) == vars(again)


def test_the_hint_of_damage_is_to_look_for_more() -> None:
    """Damage leads to fsck unless something better is known."""
    assert IntegrityError("damaged").hint == "friday-store fsck"


def test_exit_codes() -> None:
    """Success is 0 and Python's own failure 1, so every error that can be told apart has a code from 2 on."""
    codes = {kind.__name__: kind.exit_code for kind in BUILTINS}
    assert all(2 <= code <= 20 for code in codes.values())
    assert codes["AmbiguousRevisionError"] == codes["ModelNotFoundError"]


def test_the_docstring_draws_a_tree() -> None:
    """The picture has one line per class, none of them twice."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if "── " in line]
    assert len(lines) == len(BUILTINS)
    assert all(one != other for one, other in pairwise(sorted(lines)))
