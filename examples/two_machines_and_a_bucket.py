"""Two people, two machines, one bucket: push, clone, decide whom to trust, work on, and follow each other.

With no argument the bucket is a folder. A real one is its URL, and then its options as KEY=VALUE::

    python two_machines_and_a_bucket.py s3://models/team endpoint_url=https://s3.example.org
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from friday_store import ModelRegistry, UntrustedArtifactError
from friday_store.remotes import parsed
from friday_store.trust import Identity, TrustStore


def somebody(home: Path, name: str) -> dict[str, Any]:
    """Return what makes a registry somebody's: a key of their own, and whom they trust; a machine has both for one."""
    identity = Identity(home / "identity.json", name)
    return {"identity": identity, "trust": TrustStore(home / "trust.json", identity), "actor": name}


def main(bucket: str, options: dict[str, Any]) -> None:
    """Let Ann register and push, and Bob clone, refuse, trust, improve and push; then let Ann follow."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        url = bucket or str(place / "bucket")
        ann = ModelRegistry(place / "ann", **somebody(place / "her-keys", "ann"))
        ann.add_remote("origin", url, options, where="local")  # secrets stay in a private file
        ann.register_model({"weights": [1.0, 2.0]}, "tiny", metrics={"rmse": 0.9}, aliases=["production"])
        report = ann.push()
        print(f"ann pushed {report.objects} objects, {len(report.moved)} names")

        bob = ModelRegistry.clone(url, place / "bob", remote_options=options, **somebody(place / "keys", "bob"))
        try:
            bob.load_model("tiny@production")
        except UntrustedArtifactError as error:
            print(f"bob: refused, since ann's key {error.signers[0][:15]}… is a stranger's")
            bob.trust.add_key(next(iter(bob.provenance("tiny").author())), "ann")
        print("bob loads", bob.load_model("tiny@production"))
        bob.register_model({"weights": [1.5, 2.0]}, "tiny", metrics={"rmse": 0.7})
        bob.promote("tiny:1.0.1")
        print(f"bob pushed {bob.push(remote_options=options).objects} objects")

        ann.pull()
        moves = [f"{row.ref} {row.state}" for row in ann.status(refresh=True)]
        print("ann has", ann.get_latest_version("tiny"), "in production:", ann.resolve("tiny@production").model_version)
        print("between ann and the bucket:", ", ".join(moves) or "nothing")


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "", parsed(sys.argv[2:]))
