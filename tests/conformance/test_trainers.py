"""Every built-in family of estimators keeps what every family promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from friday_store import default_plugins
from friday_store.testing import TrainerTests

if TYPE_CHECKING:
    from friday_store.hookspecs import Task


@pytest.fixture(params=default_plugins.register_trainers(), ids=lambda family: family.name, autouse=True)
def family(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put each family in its turn under test."""
    monkeypatch.setattr(TestBuiltIn, "trainer", request.param, raising=False)


class TestBuiltIn(TrainerTests):
    """The families that the market trainer has from birth."""

    def params(self, task: Task) -> dict[str, Any]:
        """Return as few trees as still learn."""
        few = {
            "RANDOM_FOREST": "n_estimators",
            "GRADIENT_BOOSTING": "n_estimators",
            "HIST_GRADIENT_BOOSTING": "max_iter",
        }
        return {few[self.trainer.name]: 8} if self.trainer.name in few else {}
