"""``lightgbm``: boosters and their scikit-learn estimators, as LightGBM's own text. Safety: data.

Parts, of format 1:

``estimator``
    UTF-8 JSON: ``class``, ``best_iteration``, and of an estimator ``params`` and ``fitted`` (what its fit found out:
    numbers of features and classes, the classes themselves with their dtype, weights, objective).
``model/0``, ``model/1`` …
    The text of ``Booster.model_to_string``, cut before its first tree, after trees that make 64 KiB or more together,
    and behind the last. Trees that were added later leave the earlier parts as they are.

The native file is the text, which ``Booster(model_file=…)`` reads; it says nothing of an estimator, so a file comes
back as a ``Booster``.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from friday_store import Part, SerializationError, hookimpl
from friday_store.hookspecs import Safety

_ESTIMATORS: Final = ("LGBMClassifier", "LGBMRegressor", "LGBMRanker")
_FITTED: Final = (
    "_n_features", "_n_features_in", "_n_classes", "_objective", "_best_iteration", "_fitted_with_feature_names",
    "_class_weight",
)  # fmt: skip
_OPENED: Final = "/proc/self/fd"
_TOGETHER: Final = 64 << 10
_CLASSES: Final = "biufUO"


class Lightgbm:
    """See the module."""

    name = "lightgbm"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ".txt"
    requires = ("lightgbm>=4.3",)

    def accepts(self, model: object) -> bool:
        kind = type(model)
        return kind.__module__.partition(".")[0] == "lightgbm" and kind.__name__ in ("Booster", *_ESTIMATORS)

    def dump(self, model: Any) -> list[Part]:
        if not self.accepts(model):
            raise SerializationError(f"a {type(model).__qualname__} is neither a Booster nor an estimator of LightGBM")
        booster, said = (model, {}) if type(model).__name__ == "Booster" else _taken_apart(model)
        head = {"class": type(model).__name__, "best_iteration": int(booster.best_iteration), **said}
        text = _text(booster)
        return [Part("estimator", json.dumps(head, sort_keys=True).encode()), *_parts(memoryview(text))]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        import lightgbm

        if format > self.format:
            raise SerializationError(f"lightgbm parts of format {format}; this release reads {self.format}")
        head = _head(parts)
        booster = lightgbm.Booster(model_str=b"".join(_ordered(parts)).decode())
        booster.best_iteration = head["best_iteration"]
        if head["class"] == "Booster":
            return booster
        return _put_together(getattr(lightgbm, head["class"]), head, booster)

    def check(self, parts: Mapping[str, memoryview]) -> None:
        _head(parts)
        list(_cuts(b"".join(_ordered(parts))))

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return the class, the objective, and how many trees, features and classes there are."""
        lines = bytes(parts["model/0"]).decode(errors="replace").splitlines()
        said = dict(line.split("=", 1) for line in lines if "=" in line)
        return {
            "class": _head(parts)["class"],
            "objective": said.get("objective", ""),
            "trees": len(said.get("tree_sizes", "").split()),
            "features": len(said.get("feature_names", "").split()),
            "classes": said.get("num_class", ""),
        }

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        return _ordered(parts)

    def from_file(self, data: memoryview) -> list[Part]:
        head = {"class": "Booster", "best_iteration": -1}
        return [Part("estimator", json.dumps(head, sort_keys=True).encode()), *_parts(data)]


@hookimpl
def register_serializers() -> list[Lightgbm]:
    """Add the format."""
    return [Lightgbm()]


def _text(booster: Any) -> bytes:
    """Return the model's text.

    Asked for a string of over 1 MiB, LightGBM makes it twice, to know its size; a file it writes once. So it is given
    one in memory, where the system has such.
    """
    if not hasattr(os, "memfd_create") or not Path(_OPENED).is_dir():
        return bytes(booster.model_to_string(num_iteration=-1).encode())
    handle = os.memfd_create("lightgbm")
    try:
        booster.save_model(f"{_OPENED}/{handle}", num_iteration=-1)
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _taken_apart(model: Any) -> tuple[Any, dict[str, Any]]:
    """Return an estimator's booster and what else it is."""
    from sklearn.exceptions import NotFittedError

    try:
        booster = model.booster_
    except NotFittedError as error:
        raise SerializationError(f"the {type(model).__name__} is not fitted, so there is nothing to store") from error
    params = {name: _plain(name, value) for name, value in model.get_params(deep=False).items()}
    fitted = {name: _plain(name, getattr(model, name, None)) for name in _FITTED}
    classes = getattr(model, "_classes", None)
    if classes is not None:
        fitted["classes"] = {"dtype": classes.dtype.str, "values": classes.tolist()}
        if not _are_classes(fitted["classes"]):
            raise SerializationError(f"the classes are of the dtype {classes.dtype}, which this format cannot hold")
    return booster, {"params": params, "fitted": fitted}


def _put_together(kind: Any, head: Mapping[str, Any], booster: Any) -> Any:
    """Return the estimator; what the library keeps of a fit has no public way in, so it is set as a fit would."""
    import numpy as np
    from sklearn.preprocessing import LabelEncoder

    model, fitted = kind(**head["params"]), head["fitted"]
    for name in _FITTED:
        setattr(model, name, fitted[name])
    model._Booster, model._evals_result, model._best_score, model.fitted_ = booster, {}, {}, True  # noqa: SLF001
    if "classes" in fitted:
        classes = np.array(fitted["classes"]["values"], dtype=np.dtype(fitted["classes"]["dtype"]))
        encoder = LabelEncoder()
        encoder.classes_ = classes
        model._classes, model._le = classes, encoder  # noqa: SLF001
        model._class_map = dict(zip(classes, range(len(classes)), strict=True))  # noqa: SLF001
    return model


def _plain(name: str, value: Any) -> Any:
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    try:
        if json.loads(json.dumps(value)) == value:
            return value
    except (TypeError, ValueError):
        pass
    raise SerializationError(
        f"{name!r} is a {type(value).__qualname__}, which LightGBM's format cannot hold",
        hint="store the model as pickle5, which can hold code",
    )


def _parts(text: memoryview) -> list[Part]:
    edges = [0, *_cuts(bytes(text)), len(text)]
    return [Part(f"model/{number}", text[start:end]) for number, (start, end) in enumerate(itertools.pairwise(edges))]


def _cuts(text: bytes) -> Iterator[int]:
    """Yield where to cut: at the first tree, behind 64 KiB of trees and more, and behind the last.

    Raises:
        SerializationError: The text is not a whole model of LightGBM: its trees must have the sizes that it says.
    """
    start = text.find(b"\nTree=0\n") + 1
    _require(text.startswith(b"tree\n") and text.endswith(b"\n"))
    head = text[: start or text.find(b"end of trees")].decode(errors="replace").splitlines()
    sizes = next((line.partition("=")[2].split() for line in head if line.startswith("tree_sizes=")), [])
    _require(all(size.isascii() and size.isdigit() for size in sizes) and bool(start) == bool(sizes))
    _require(not sizes or text[:start].endswith(b"\n\n"))
    last = at = start
    if sizes:
        yield at
    for number, size in enumerate(sizes):
        _require(text.startswith(f"Tree={number}\n".encode(), at))
        at += int(size)
        if at - last >= _TOGETHER and number + 1 < len(sizes):
            last = at
            yield at
    if sizes:
        yield at
    tail = text[at:] if sizes else text
    _require(tail.startswith(b"end of trees") or (not sizes and b"\nend of trees" in tail))
    _require((b"\nparameters:" in tail) == (b"\nend of parameters\n" in tail))
    _require(b"\nend of parameters\n" not in tail or b"\npandas_categorical:" in tail)


def _require(sound: bool) -> None:  # noqa: FBT001 - the outcome of a check
    if not sound:
        raise SerializationError("these parts are not a whole model of LightGBM, as text")


def _ordered(parts: Mapping[str, memoryview]) -> list[memoryview]:
    names = [f"model/{number}" for number in range(len(parts) - 1)]
    _require(bool(names) and {"estimator", *names} == set(parts))
    return [parts[name] for name in names]


def _head(parts: Mapping[str, memoryview]) -> dict[str, Any]:
    try:
        head = json.loads(bytes(parts["estimator"]))
        sound = head["class"] == "Booster" or (
            head["class"] in _ESTIMATORS
            and isinstance(head["params"], dict)
            and set(_FITTED) <= set(head["fitted"])
            and _are_classes(head["fitted"].get("classes"))
        )
        _require(sound and type(head["best_iteration"]) is int)
    except (KeyError, ValueError, TypeError) as error:
        raise SerializationError("these parts are not those of the format lightgbm") from error
    return dict(head)


def _are_classes(found: Any) -> bool:
    """Whether classes are described by a harmless dtype and plain values."""
    if found is None:
        return True
    return found["dtype"][1:2] in _CLASSES and all(type(each) in (str, bool, int, float) for each in found["values"])
