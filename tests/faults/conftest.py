"""What the fault tests share: a registry to damage, and a crew of processes to kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import stored
from tests.faults.crew import Crew
from tests.faults.stored import Truth


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A registry with something of everything, and what it answers; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("pristine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRIDAY_STORE_HOME", str(folder / "home"))
        stored.build(folder / "registry", folder)
        return folder / "registry", stored.truth(folder / "registry")


@pytest.fixture
def varied(pristine: tuple[Path, Truth], tmp_path: Path) -> tuple[Path, Truth]:
    """A copy of that registry, to be damaged."""
    return stored.copied(pristine[0], tmp_path / "varied"), pristine[1]


@pytest.fixture(scope="session")
def _crew() -> Iterator[Crew]:
    with Crew() as crew:
        yield crew


@pytest.fixture
def crew(_crew: Crew, home: Path) -> Iterator[Crew]:
    """Processes that can be started in a few milliseconds and killed; none outlives its test."""
    _crew.home = home
    yield _crew
    _crew.dismiss()
