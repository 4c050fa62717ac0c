"""A policy plugin: ``production`` moves only to versions that are good enough, and that somebody stands for who may.

Installed under the entry-point group ``friday_store`` it holds for every change that this machine makes, pulls among
them. Another machine needs it too.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from friday_store import GateError, ModelRegistry, hookimpl
from friday_store.hookspecs import RefUpdate
from friday_store.plugins import Plugins

METRIC: Final = "accuracy"
LEAST: Final = 0.55
MAY: Final = {"ann@lab"}


def signers(version: Mapping[str, Any]) -> set[str]:
    """Return who stands for a version: its author, as the record says. The one place to ask for more."""
    return {version["author"]}


@hookimpl
def before_ref_update(update: RefUpdate) -> None:
    """Refuse ``production`` unless the metric and the signature hold."""
    version = update.look()
    if version is None or not (update.ref.startswith("aliases/") and update.ref.endswith("/production")):
        return
    name = f"{version['model_name']}:{version['model_version']}"
    if not version["metrics"].get(METRIC, 0.0) >= LEAST:
        raise GateError(f"{name} is not for production: {METRIC} is not known to be {LEAST} or more", plugin="policy")
    if not signers(version) & MAY:
        raise GateError(f"{name} is not for production: none of {', '.join(sorted(MAY))} signed it", plugin="policy")


def main() -> None:
    """Try to promote three versions, of which the last may be."""
    plugins = Plugins((), extra={"policy": sys.modules[__name__]})
    with tempfile.TemporaryDirectory() as folder:
        for actor, accuracy in (("ann@lab", 0.51), ("bob@home", 0.60), ("ann@lab", 0.57)):
            with ModelRegistry(folder + "/models", plugins=plugins, actor=actor) as registry:
                registry.register_model({"threshold": accuracy}, "signal", metrics={METRIC: accuracy})
                try:
                    registry.promote("signal")
                except GateError as error:
                    print("refused:", error)
        print("production is", registry.get_model_metadata("signal@production")["model_version"])


if __name__ == "__main__":
    main()
