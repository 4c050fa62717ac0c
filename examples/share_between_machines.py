"""Push to a registry that others can reach, clone it, and decide whom to trust."""

from __future__ import annotations

import tempfile

from friday_store import ModelRegistry, UntrustedArtifactError


def main() -> None:
    """Push from one registry, clone on "another machine", and load there."""
    with tempfile.TemporaryDirectory() as folder:
        mine = ModelRegistry(folder + "/mine")
        mine.register_model({"weights": [1.0, 2.0]}, "tiny", aliases=["production"])
        report = mine.push(folder + "/shared")
        print(f"pushed {report.objects} objects, {len(report.moved)} refs")

        other = ModelRegistry.clone(folder + "/shared", folder + "/laptop")
        try:
            other.load_model("tiny@production")
        except UntrustedArtifactError as error:
            print("refused: it came from repository", error.origin[:8])
            other.trust.add("repositories", error.origin)
        print("loaded", other.load_model("tiny@production"))


if __name__ == "__main__":
    main()
