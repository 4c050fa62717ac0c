"""Versions that MLflow did not make, as model folders that it can load.

Such a folder is made when it is asked for: the format's own native file, a ``requirements.txt`` of the libraries that
were recorded, and an ``MLmodel`` with the flavour ``python_function``, whose loader is this module; a scikit-learn
model in a pickle has the flavour ``sklearn`` too, so that ``mlflow.sklearn.load_model`` gives it back as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from friday_store_mlflow.folder import DESCRIPTION

OWN: Final = "friday_store"
REQUIREMENTS: Final = "requirements.txt"


def file_name(suffix: str) -> str:
    """Return what the native file is called."""
    return f"model{suffix}"


def written(record: Mapping[str, Any], file: str) -> dict[str, bytes]:
    """Return the files beside the native one.

    Args:
        record: The version's record.
        file: The native file's name.
    """
    environment = record.get("environment", {})
    flavors: dict[str, Any] = {
        "python_function": {"loader_module": __name__, "python_version": environment.get("python", "")},
        OWN: {"format": record["serializer"], "file": file, "model_id": record["model_id"]},
    }
    libraries = record["dependencies"]
    if record["serializer"] == "pickle5" and "scikit-learn" in libraries:
        flavors["sklearn"] = {
            "pickled_model": file,
            "serialization_format": "pickle",
            "sklearn_version": libraries["scikit-learn"],
            "code": None,
        }
    document = {"flavors": flavors, "utc_time_created": record["created_at"].replace(tzinfo=None).isoformat(" ")}
    needed = "".join(f"{name}=={version}\n" for name, version in sorted(libraries.items()))
    # JSON is YAML, and every reader of MLmodel reads it
    return {DESCRIPTION: json.dumps(document, indent=2).encode() + b"\n", REQUIREMENTS: needed.encode()}


def _load_pyfunc(path: str) -> Any:
    """Return the model in a folder that :func:`written` describes; MLflow's ``python_function`` calls it.

    It left the registry only because its user trusts it, and MLflow's own flavours load without asking.
    """
    import yaml
    from mlflow.exceptions import MlflowException

    from friday_store.serialization import ModelSerializer

    said = yaml.safe_load(Path(path, DESCRIPTION).read_bytes())["flavors"][OWN]
    model = ModelSerializer().deserialize(Path(path, said["file"]), trusted=True, format=said["format"])
    if not callable(getattr(model, "predict", None)):
        raise MlflowException(
            f"the model is a {type(model).__qualname__}, which has no predict method; friday_store.load_model gives it"
        )
    return model
