"""The plugin in ``examples/`` keeps what every format promises; this file is what a plugin's test looks like."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from friday_store.testing import SerializerTests

SPEC = importlib.util.spec_from_file_location(
    "plugin_rules", Path(__file__).parents[2] / "examples" / "plugin_rules.py"
)
assert SPEC is not None
assert SPEC.loader is not None
plugin_rules = sys.modules["plugin_rules"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(plugin_rules)


class TestRules(SerializerTests):
    """Rules as lines, which a reader cannot tell to be all there."""

    serializer = plugin_rules.RulesFormat()
    mistaken = ("file",)
    shows_truncation = False

    @pytest.fixture
    def model(self) -> Any:
        """Return two rules."""
        return plugin_rules.Rules(["close > open", "volume > 1e6"])

    def predict(self, model: Any) -> list[str]:
        """Return the rules."""
        return list(model)
