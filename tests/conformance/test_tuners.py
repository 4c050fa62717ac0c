"""Every built-in search keeps what every search promises."""

from __future__ import annotations

import pytest

from friday_store import default_plugins
from friday_store.testing import TunerTests


@pytest.fixture(params=default_plugins.register_tuners(), ids=lambda tuner: tuner.name, autouse=True)
def tuner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put each search in its turn under test."""
    monkeypatch.setattr(TestBuiltIn, "tuner", request.param, raising=False)


class TestBuiltIn(TunerTests):
    """The searches that the market trainer has from birth."""
