"""A policy plugin: ``production`` moves only to versions that are good enough and signed by somebody who may.

Installed under the entry-point group ``friday_store`` it holds for every change that this machine makes, pulls among
them. Another machine needs it too.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Final

from friday_store import GateError, ModelRegistry, hookimpl, signing
from friday_store.hookspecs import RefUpdate
from friday_store.plugins import Plugins
from friday_store.trust.identity import Identity

METRIC: Final = "accuracy"
LEAST: Final = 0.55
MAY: set[bytes] = set()  # public keys, as signing.parsed reads what `friday-store identity` shows


@hookimpl
def before_ref_update(update: RefUpdate) -> None:
    """Refuse ``production`` unless the metric and the signature hold."""
    version = update.look()
    if version is None or not (update.ref.startswith("aliases/") and update.ref.endswith("/production")):
        return
    name = f"{version['model_name']}:{version['model_version']}"
    if not version["metrics"].get(METRIC, 0.0) >= LEAST:
        raise GateError(f"{name} is not for production: {METRIC} is not known to be {LEAST} or more", plugin="policy")
    if not MAY & signing.signers(signing.MANIFEST, version["payload"], version["signatures"]):
        raise GateError(f"{name} is not for production: nobody who may has signed it", plugin="policy")


def main() -> None:
    """Try to promote three versions by two people, of which the last may be."""
    plugins = Plugins((), extra={"policy": sys.modules[__name__]})
    ann, bob = Identity(None, "ann"), Identity(None, "bob")
    MAY.add(ann.key().public)
    with tempfile.TemporaryDirectory() as folder:
        for identity, accuracy in ((ann, 0.51), (bob, 0.60), (ann, 0.57)):
            with ModelRegistry(folder + "/models", plugins=plugins, identity=identity) as registry:
                registry.register_model({"threshold": accuracy}, "signal", metrics={METRIC: accuracy})
                try:
                    registry.promote("signal")
                except GateError as error:
                    print("refused:", error)
        print("production is", registry.get_model_metadata("signal@production")["model_version"])


if __name__ == "__main__":
    main()
