"""Move from MLflow: import its registry with all that it says, and go on using MLflow's client on ours.

Needs the plugin ``friday-store-mlflow``; without it, it says so and does nothing.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path

from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from friday_store import ModelRegistry


def registered_in_mlflow(uri: str) -> None:
    """Train and register two versions, the way MLflow's users do."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    client.create_registered_model("diabetes", description="How fast it progresses")
    data, target = load_diabetes(return_X_y=True)
    for alpha in (1.0, 0.1):
        model = Ridge(alpha=alpha).fit(data, target)
        with mlflow.start_run() as run:
            mlflow.log_param("alpha", alpha)
            mlflow.log_metric("r2", model.score(data, target))
            logged = mlflow.sklearn.log_model(
                model, name="model", serialization_format="pickle", pip_requirements=["scikit-learn"]
            )
        client.create_model_version("diabetes", logged.model_uri, run.info.run_id)
    client.set_registered_model_alias("diabetes", "production", 2)


def main() -> None:
    """Import a registry twice, trust it, and load from it in both ways."""
    if importlib.util.find_spec("friday_store_mlflow") is None:
        print("SKIPPED: pip install friday-store-mlflow")
        return
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
    }
    import mlflow

    from friday_store_mlflow import import_mlflow

    with tempfile.TemporaryDirectory() as folder, ModelRegistry(Path(folder, "models")) as registry:
        theirs = Path(folder, "mlruns").as_uri()
        registered_in_mlflow(theirs)
        report = import_mlflow(theirs, registry)
        again = import_mlflow(theirs, registry)
        print(f"{report.count('new')} imported, {again.count('new')} on the second run")

        registry.trust.add("repositories", report.origin)  # it was ours: its pickles may be loaded
        record = registry.get_model_metadata("diabetes@production")
        print(
            record["model_version"], record["hyperparameters"], {k: round(v, 3) for k, v in record["metrics"].items()}
        )

        mlflow.set_registry_uri("friday://" + str(Path(folder, "models")))
        model = mlflow.sklearn.load_model("models:/diabetes@production")
        print("MLflow's client loads", model)


if __name__ == "__main__":
    main()
