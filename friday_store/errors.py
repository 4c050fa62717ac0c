"""The errors of friday-store: one root, one class per thing a caller can do about it.

::

    FridayStoreError
    ├── ModelNotFoundError      (KeyError)         no such model, version, alias, tag or object
    │   └── AmbiguousRevisionError                 more than one thing answers to the text
    ├── InvalidNameError        (ValueError)       a name, version, tag or revision that cannot be
    ├── InvalidValueError       (ValueError)       an argument or metadata value that cannot be stored
    │   └── QueryError                             a query that says nothing; where, and what was meant
    ├── VersionExistsError      (ValueError)       that version exists with other content
    ├── ConflictError           (RuntimeError)     somebody else moved a ref, or it is in use
    │   └── ProtectedError                         the repository protects what this would move or remove
    ├── IntegrityError          (ValueError)       stored bytes are not what was written
    ├── UntrustedArtifactError  (PermissionError)  loading would run code that nobody here vouched for
    ├── StorageError            (OSError)          the store could not be read or written
    ├── RepositoryError         (ValueError)       not a repository, or one of a newer format
    ├── SerializationError      (TypeError)        a model that cannot be written or read as a format
    ├── PluginError             (ImportError)      a plugin is missing, failed, or shadows another
    └── GateError               (PermissionError)  a plugin refused the change

Every error carries ``hint``: what to do next, where possible a command that runs, and its own data as
attributes. ``exit_code`` is what the command line returns for it.
"""

from __future__ import annotations

from typing import ClassVar


class FridayStoreError(Exception):
    """Something that friday-store refuses or cannot do.

    Args:
        message: What happened, to which thing.
        hint: What to do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by state, so that an error crosses a process boundary with its attributes."""
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[FridayStoreError], args: tuple[object, ...], state: dict[str, object]) -> FridayStoreError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ModelNotFoundError(FridayStoreError, KeyError):
    """No model, version, alias, tag or object answers to this revision."""

    exit_code = 3


class AmbiguousRevisionError(ModelNotFoundError):
    """More than one version answers to this revision.

    Attributes:
        candidates: Every reading of the text, as revisions that are not ambiguous.
    """

    def __init__(self, message: str, *, candidates: list[str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class InvalidNameError(FridayStoreError, ValueError):
    """A name, version, tag, alias or revision that can never be valid."""

    exit_code = 2


class InvalidValueError(FridayStoreError, ValueError):
    """A value that cannot be stored.

    Attributes:
        path: Where in the arguments it stands, such as ``metadata.hyper['cb']``.
    """

    exit_code = 2

    def __init__(self, message: str, *, path: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class QueryError(InvalidValueError):
    """A query, or an order, that cannot be understood.

    Attributes:
        text: All of it.
        column: Where it went wrong, from 1.
    """

    def __init__(self, message: str, *, text: str, column: int, hint: str | None = None) -> None:
        super().__init__(message, path="where", hint=hint)
        self.text = text
        self.column = column

    def __str__(self) -> str:
        return "\n".join([self.message, *self.pointed()])

    def pointed(self) -> list[str]:
        """Return the text around the place, and a mark below it."""
        start = max(0, self.column - 61)
        shown = self.text[start : start + 100]
        return [f"  {shown}", "  " + " " * (self.column - 1 - start) + "^"] if self.text else []


class VersionExistsError(FridayStoreError, ValueError):
    """The version exists with other content; versions never change."""

    exit_code = 4


class ConflictError(FridayStoreError, RuntimeError):
    """A ref is not where this change expected it, or objects that it relied on have been collected.

    Attributes:
        ref: The name of the ref.
        again: Whether nothing stands in the way of making the same change again, from its beginning.
    """

    exit_code = 4

    def __init__(self, message: str, *, ref: str = "", again: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.ref = ref
        self.again = again


class ProtectedError(ConflictError):
    """The repository protects what this would move, remove or erase; see :mod:`friday_store.protection`."""


class IntegrityError(FridayStoreError, ValueError):
    """Stored bytes are damaged: they are not the bytes that were written.

    Attributes:
        path: The file, relative to the repository.
    """

    exit_code = 5

    def __init__(self, message: str, *, path: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint or "friday-store fsck")
        self.path = path


class UntrustedArtifactError(FridayStoreError, PermissionError):
    """Loading this version could run code, and nobody here has vouched for it.

    Attributes:
        model_id: The version's digest.
        origin: The id of the repository that it came from.
        signers: The fingerprints of the keys whose signatures on it are valid.
    """

    exit_code = 6

    def __init__(
        self, message: str, *, model_id: str, origin: str, signers: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.model_id = model_id
        self.origin = origin
        self.signers = signers


class StorageError(FridayStoreError, OSError):
    """The store could not be read or written: permissions, space, network, or an unsuitable server."""

    exit_code = 7


class RepositoryError(FridayStoreError, ValueError):
    """There is no repository at this place, or one of a format that this release does not know."""

    exit_code = 8


class SerializationError(FridayStoreError, TypeError):
    """The model cannot be written in this format, or the stored parts are not of it."""

    exit_code = 2


class PluginError(FridayStoreError, ImportError):
    """A plugin is missing, failed, or uses a name that is taken."""

    exit_code = 10


class GateError(FridayStoreError, PermissionError):
    """A plugin refused the change.

    Attributes:
        plugin: The plugin's name.
    """

    exit_code = 11

    def __init__(self, message: str, *, plugin: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.plugin = plugin
