"""Checks before a prediction: the input's features, the environment against the recorded one, and an expiry.

Each says what is wrong, with what the record says beside what there is, and what to do. None loads a model.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from friday_store.errors import FridayStoreError, InvalidValueError
from friday_store.serialization import CompatibilityReport

Policy = Literal["warn", "error", "ignore"]
_POLICIES: Final = ("warn", "error", "ignore")
_EXPIRY: Final = "expires_after"
_NAMED: Final = 10


class InputMismatchError(InvalidValueError):
    """The input is not of the form that the model was trained on.

    Attributes:
        missing: Features that the model needs and the input lacks.
        extra: Columns of the input that the model does not know.
        misplaced: Features that stand elsewhere than the model expects them.
        dtypes: Feature to the recorded type and the input's, where the one does not become the other.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: Sequence[str] = (),
        extra: Sequence[str] = (),
        misplaced: Sequence[str] = (),
        dtypes: Mapping[str, tuple[str, str]] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, path="X", hint=hint)
        self.missing = tuple(missing)
        self.extra = tuple(extra)
        self.misplaced = tuple(misplaced)
        self.dtypes = dict(dtypes or {})


class EnvironmentMismatchError(FridayStoreError, RuntimeError):
    """The libraries here are not those that the model was made with.

    Attributes:
        report: Every difference.
    """

    def __init__(self, message: str, *, report: CompatibilityReport, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class ExpiredModelError(FridayStoreError, RuntimeError):
    """The version was to be used until a time that has passed.

    Attributes:
        expired: When, with its time zone.
    """

    def __init__(self, message: str, *, expired: dt.datetime, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.expired = expired


class EnvironmentMismatchWarning(UserWarning):
    """The libraries here are not those that the model was made with, and it was loaded all the same."""


class ExpiredModelWarning(UserWarning):
    """The version was to be used until a time that has passed, and it was loaded all the same."""


def check_policy(policy: str, name: str) -> None:
    """Refuse a word that is no policy.

    Raises:
        InvalidValueError: It is neither ``warn``, ``error`` nor ``ignore``.
    """
    if policy not in _POLICIES:
        raise InvalidValueError(f"{name}: {policy!r} is none of {', '.join(_POLICIES)}", path=name)


def check_input(record: Mapping[str, Any], data: Any) -> None:
    """Refuse input that is not of the form that the record says the model was trained on.

    A type fits when its values become those of the recorded type without changing their kind, as every integer
    becomes a float.

    Args:
        record: A version's record.
        data: A DataFrame, or a 2-D array, of which only width and type can be compared.

    Raises:
        InputMismatchError: It is not; the attributes say how.
        InvalidValueError: Nothing was recorded about the input, or it has no columns.
    """
    schema, name = record["input_schema"], f"{record['model_name']}:{record['model_version']}"
    if not schema.get("features") and not schema.get("n_features"):
        raise InvalidValueError(
            f"nothing is recorded about the input of {name}",
            path="X",
            hint="give input_example= when it is registered",
        )
    columns = getattr(data, "columns", None)
    if columns is None:
        _check_width(schema, name, data)
    elif schema.get("features"):
        _check_columns(schema, name, [str(column) for column in columns], _types(data))
    else:
        _check_width(schema, name, data)


def _check_columns(schema: Mapping[str, Any], name: str, given: list[str], types: Mapping[str, Any]) -> None:
    wanted = [str(feature) for feature in schema["features"]]
    missing = [feature for feature in wanted if feature not in given]
    extra = [column for column in given if column not in wanted]
    common = [feature for feature in wanted if feature in given]
    ordered = [column for column in given if column in wanted]
    misplaced = [feature for feature, column in zip(common, ordered, strict=False) if feature != column]
    if len(set(given)) != len(given):
        extra += sorted({column for column in given if given.count(column) > 1})
    dtypes = _unfitting(schema.get("dtypes", {}), types)
    problems = [
        f"{what} {_listed(found)}"
        for what, found in (("missing", missing), ("not known", extra), ("in another order", misplaced))
        if found
    ]
    problems += [f"{feature} is {there}, not {recorded}" for feature, (recorded, there) in dtypes.items()]
    if problems:
        hint = "pass the columns in the recorded order: X[record['input_schema']['features']]"
        raise InputMismatchError(
            f"the input does not fit {name}: {'; '.join(problems)}",
            missing=missing,
            extra=extra,
            misplaced=misplaced,
            dtypes=dtypes,
            hint=hint if not missing else f"compute the missing features: friday-store show {name}",
        )


def _check_width(schema: Mapping[str, Any], name: str, data: Any) -> None:
    shape = getattr(data, "shape", None)
    if shape is None or len(shape) != 2:
        raise InvalidValueError(
            f"the input of {name} is a DataFrame or a 2-D array, not {type(data).__name__}"
            + ("" if shape is None else f" of {len(shape)} dimensions"),
            path="X",
        )
    wanted = schema.get("n_features") or len(schema["features"])
    recorded, there = schema.get("dtypes", {}).get("*"), getattr(data, "dtype", None)
    dtypes = _unfitting({"*": recorded}, {"*": there}) if recorded and there is not None else {}
    problems = [f"{shape[1]} columns, not {wanted}"] if shape[1] != wanted else []
    problems += [f"values are {here}, not {before}" for before, here in dtypes.values()]
    if problems:
        names = _listed(schema["features"]) if schema.get("features") else f"{wanted} columns"
        raise InputMismatchError(
            f"the input does not fit {name}: {'; '.join(problems)}", dtypes=dtypes, hint=f"it takes {names}"
        )


def _types(data: Any) -> dict[str, Any]:
    dtypes: Any = getattr(data, "dtypes", None)
    return {str(name): dtype for name, dtype in dtypes.items()} if hasattr(dtypes, "items") else {}


def _unfitting(recorded: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    both = {name: (str(recorded[name]), there[name]) for name in recorded if name in there}
    return {name: (before, str(now)) for name, (before, now) in both.items() if not _fits(before, now)}


def _fits(recorded: str, dtype: Any) -> bool:
    import numpy as np

    if recorded == str(dtype):
        return True
    try:
        return bool(np.can_cast(np.dtype(str(dtype)), np.dtype(recorded), "same_kind"))
    except TypeError:  # a type of pandas, which nothing but itself fits
        return False


def check_environment(record: Mapping[str, Any], report: CompatibilityReport, policy: Policy) -> None:
    """Refuse libraries and a Python that are not those recorded, or warn of them; a patch release is no difference.

    Args:
        record: A version's record.
        report: How it fits what is installed here.
        policy: What to do about differences.

    Raises:
        EnvironmentMismatchError: There are some, and the policy is ``error``.
    """
    if report.notable and policy != "ignore":
        pins = " ".join(f"'{each.name}=={each.recorded}'" for each in report.notable if each.name != "python")
        message = (
            f"{record['model_name']}:{record['model_version']} was made in another environment: "
            f"{'; '.join(str(difference) for difference in report.notable)}"
        )
        hint = f"pip install {pins}" if pins else f"use Python {record['environment']['python']}"
        if policy == "error":
            raise EnvironmentMismatchError(message, report=report, hint=hint)
        warnings.warn(f"{message} ({hint})", EnvironmentMismatchWarning, stacklevel=3)


def expiry(record: Mapping[str, Any]) -> dt.datetime | None:
    """Return until when a version is to be used: ``expires_after`` in its metadata; None if that was not said.

    A number is seconds after the version was made (a ``timedelta`` is recorded so); text is a time in ISO 8601, in UTC
    unless it says otherwise.

    Raises:
        InvalidValueError: It is something else.
    """
    value = record["metadata"].get(_EXPIRY)
    if value is None:
        return None
    try:
        if isinstance(value, str):
            moment = dt.datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        created: dt.datetime = record["created_at"]
        return created + dt.timedelta(seconds=value)
    except (ValueError, TypeError, OverflowError) as error:
        name = f"{record['model_name']}:{record['model_version']}"
        raise InvalidValueError(
            f"metadata.{_EXPIRY} of {name}: expected seconds or an ISO 8601 time, not {value!r}",
            path=f"metadata.{_EXPIRY}",
            hint=f"registry.update_model_metadata({name!r}, {{'{_EXPIRY}': '2030-01-01'}})",
        ) from error


def check_expiry(record: Mapping[str, Any], now: dt.datetime, policy: Policy) -> None:
    """Refuse a version whose time is over, or warn of it.

    Raises:
        ExpiredModelError: It is over, and the policy is ``error``.
        InvalidValueError: What was recorded cannot be understood, unless the policy is ``ignore``.
    """
    if policy == "ignore":
        return
    until = expiry(record)
    if until is None or now < until:
        return
    name = f"{record['model_name']}:{record['model_version']}"
    message = f"{name} expired on {until.isoformat(timespec='seconds')}"
    hint = f"train it anew, or extend it: registry.update_model_metadata({name!r}, {{'{_EXPIRY}': TIME}})"
    if policy == "error":
        raise ExpiredModelError(message, expired=until, hint=hint)
    warnings.warn(f"{message}; {hint}", ExpiredModelWarning, stacklevel=3)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
