"""Register a model, load it back by name, version, alias and digest."""

from __future__ import annotations

import tempfile

from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from friday_store import ModelRegistry


def main() -> None:
    """Register two versions, and load them in four ways."""
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    with tempfile.TemporaryDirectory() as folder, ModelRegistry(folder + "/models") as registry:
        first = registry.register_model(Ridge(alpha=1.0).fit(data, target), "diabetes", tags=["linear"])
        registry.register_model(
            Ridge(alpha=0.1).fit(data, target), "diabetes", metrics={"r2": 0.51}, aliases=["production"]
        )
        for revision in ("diabetes", "diabetes:1.0.0", "diabetes@production", first, "diabetes~1"):
            record = registry.get_model_metadata(revision)
            model = registry.load_model(revision)
            print(f"{revision[:24]:<24} {record['model_version']}  alpha {model.alpha}")


if __name__ == "__main__":
    main()
