"""friday-store's errors as MLflow's, so that its clients see the codes that they know; and what it does not have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from friday_store import errors

_CODES: Final = (
    (errors.ModelNotFoundError, codes.RESOURCE_DOES_NOT_EXIST),
    (errors.VersionExistsError, codes.RESOURCE_ALREADY_EXISTS),
    (errors.ConflictError, codes.RESOURCE_CONFLICT),
    (errors.UntrustedArtifactError, codes.PERMISSION_DENIED),
    (errors.GateError, codes.PERMISSION_DENIED),
    (errors.StorageError, codes.TEMPORARILY_UNAVAILABLE),
    (errors.IntegrityError, codes.DATA_LOSS),
    (errors.InvalidNameError, codes.INVALID_PARAMETER_VALUE),
    (errors.InvalidValueError, codes.INVALID_PARAMETER_VALUE),
    (errors.SerializationError, codes.INVALID_PARAMETER_VALUE),
)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise what friday-store refuses as an :class:`MlflowException` with its message, its hint and a fitting code."""
    try:
        yield
    except errors.FridayStoreError as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), codes.INTERNAL_ERROR)
        hint = f" ({error.hint})" if error.hint else ""
        raise MlflowException(f"{error}{hint}", code) from error


def refuse(what: str, instead: str) -> NoReturn:
    """Say that something has no counterpart in friday-store, and what there is.

    Raises:
        MlflowException: Always.
    """
    raise MlflowException(f"friday-store has no {what}: {instead}", codes.NOT_IMPLEMENTED)


def refusing(what: str, instead: str) -> Callable[..., Any]:
    """Return a method that only says so."""

    def method(self: object, *_: object, **__: object) -> NoReturn:  # noqa: ARG001 - any method's signature
        refuse(what, instead)

    return method


def missing(message: str) -> MlflowException:
    """Return MLflow's error for what is not there."""
    return MlflowException(message, codes.RESOURCE_DOES_NOT_EXIST)


def invalid(message: str) -> MlflowException:
    """Return MLflow's error for an argument that cannot be."""
    return MlflowException(message, codes.INVALID_PARAMETER_VALUE)
