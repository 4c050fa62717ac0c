"""Every built-in target keeps what every target promises."""

from __future__ import annotations

import pytest

from friday_store import default_plugins
from friday_store.testing import TargetTests


@pytest.fixture(params=default_plugins.register_targets(), ids=lambda target: target.name, autouse=True)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put each target in its turn under test."""
    monkeypatch.setattr(TestBuiltIn, "target", request.param, raising=False)


class TestBuiltIn(TargetTests):
    """What the market trainer predicts from birth."""
