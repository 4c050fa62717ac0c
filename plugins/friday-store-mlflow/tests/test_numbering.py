"""What numbers promise: each release has its own, in the order of the versions, and back."""

from __future__ import annotations

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from friday_store.errors import InvalidNameError
from friday_store_mlflow.numbering import number_of, version_of

numbers = st.integers(0, 10**25 - 1)


@given(numbers)
def test_every_number_is_a_version_and_back(number: int) -> None:
    """From a number to its version and back gives the number."""
    assert number == number_of(version_of(number))


@given(numbers, numbers)
def test_numbers_keep_the_order_of_versions(one: int, other: int) -> None:
    """A higher number is a higher version."""
    assert (one < other) == (semver.Version.parse(version_of(one)) < semver.Version.parse(version_of(other)))


@pytest.mark.parametrize(("number", "version"), [(0, "0.0.0"), (7, "0.0.7"), (100_000, "0.1.0"), (10**10, "1.0.0")])
def test_known_numbers(number: int, version: str) -> None:
    """MLflow's 7 is 0.0.7, and what friday-store calls 1.0.0 is above all that came from MLflow."""
    assert (number, version) == (number_of(version), version_of(number))


@pytest.mark.parametrize("version", ["1.0.0-rc.1", "1.0.0+build", "1.100000.0", "1.0.100000"])
def test_what_has_no_number(version: str) -> None:
    """Pre-releases, builds and digits that do not fit have no number."""
    assert number_of(version) is None


@pytest.mark.parametrize("number", [-1, 10**25])
def test_impossible_numbers_are_refused(number: int) -> None:
    """A number that no version has is refused."""
    with pytest.raises(InvalidNameError):
        version_of(number)
