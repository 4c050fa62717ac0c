"""``xgboost``: boosters and their scikit-learn estimators, as XGBoost's own UBJSON. Safety: data.

Parts ``model/0``, ``model/1`` …, of format 1: the document that ``Booster.save_raw("ubj")`` gives, cut before its first
tree, after trees that make 64 KiB or more together, and behind the last. Trees that were added later leave the earlier
parts as they are. The native file is the parts one after the other, which every XGBoost since 1.6 reads.

An estimator's class and parameters stand in the booster's attribute ``friday_store``, as JSON, beside
``scikit_learn``, in which XGBoost itself keeps the kind of an estimator. A file that has only the latter comes back as
an estimator of that kind with default parameters; a file that has neither, as a ``Booster``.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from friday_store import Part, SerializationError, hookimpl
from friday_store.hookspecs import Safety
from friday_store_xgboost.ubj import Document

_ESTIMATORS: Final = ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")
_KINDS: Final = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}
_OURS: Final = "friday_store"
_THEIRS: Final = "scikit_learn"
_TOGETHER: Final = 64 << 10
_BOOSTER: Final = ("learner", "gradient_booster")


class Xgboost:
    """See the module."""

    name = "xgboost"
    format = 1
    safety: Safety = "data"
    deterministic = True
    suffix = ".ubj"
    requires = ("xgboost>=2.1",)

    def accepts(self, model: object) -> bool:
        kind = type(model)
        return kind.__module__.partition(".")[0] == "xgboost" and kind.__name__ in ("Booster", *_ESTIMATORS)

    def dump(self, model: Any) -> list[Part]:
        if not self.accepts(model):
            raise SerializationError(f"a {type(model).__qualname__} is neither a Booster nor an estimator of XGBoost")
        data = _raw(model)
        document = Document(data, whole=False)  # XGBoost has just made it
        return _parts(document, memoryview(data))

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        import xgboost

        if format > self.format:
            raise SerializationError(f"xgboost parts of format {format}; this release reads {self.format}")
        data = bytearray().join(_ordered(parts))
        name, params = _estimator(_document(data, whole=False))
        if name is None:
            return xgboost.Booster(model_file=data)
        made = getattr(xgboost, name)(**params)
        made.load_model(data)
        for attribute in (_OURS, _THEIRS):
            made.get_booster().set_attr(**{attribute: None})
        for param, value in params.items():  # loading sets some of them, and set_params would tell the booster
            setattr(made, param, value)
        return made

    def check(self, parts: Mapping[str, memoryview]) -> None:
        parts_in_order = _ordered(parts)
        _estimator(_document(parts_in_order[0] if len(parts_in_order) > 1 else b"".join(parts_in_order), whole=False))
        if bytes(parts_in_order[-1][-1:]) != b"}":
            raise SerializationError("these parts are not a whole model of XGBoost")

    def describe(self, parts: Mapping[str, memoryview]) -> dict[str, Any]:
        """Return the booster's kind, its objective, and how many trees and features it has."""
        document = _document(_without_trees(_ordered(parts)), whole=False)
        name, _ = _estimator(document)
        places = {
            "booster": (*_BOOSTER, "name"),
            "objective": ("learner", "objective", "name"),
            "trees": (*_BOOSTER, "model", "gbtree_model_param", "num_trees"),
            "features": ("learner", "learner_model_param", "num_feature"),
        }
        found = {what: document.plain(document.find(*path)) for what, path in places.items()}
        return {"class": name or "Booster", **{what: value for what, value in found.items() if value is not None}}

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        return _ordered(parts)

    def from_file(self, data: memoryview) -> list[Part]:
        if bytes(data[:2]) == b'{"':  # the same document as JSON, which XGBoost writes too
            import xgboost

            try:
                return self.dump(xgboost.Booster(model_file=bytearray(data)))
            except xgboost.core.XGBoostError as error:
                raise SerializationError(f"not a model of XGBoost: {str(error).splitlines()[0]}") from error
        document = _document(data)
        self.check({"model/0": data})
        return _parts(document, data)


@hookimpl
def register_serializers() -> list[Xgboost]:
    """Add the format."""
    return [Xgboost()]


def _raw(model: Any) -> bytearray:
    """Return a model's document, with what an estimator is in its attributes; the model stays as it is."""
    from sklearn.exceptions import NotFittedError

    if type(model).__name__ == "Booster":
        plain: bytearray = model.save_raw("ubj")
        return plain
    try:
        booster = model.get_booster()
    except NotFittedError as error:
        raise SerializationError(f"the {type(model).__name__} is not fitted, so there is nothing to store") from error
    params = {name: _plain(name, value) for name, value in model.get_params(deep=False).items()}
    ours = json.dumps({"class": type(model).__name__, "params": params}, sort_keys=True)
    kind = next((kind for kind, name in _KINDS.items() if name[3:] in type(model).__name__), "regressor")
    booster.set_attr(**{_OURS: ours, _THEIRS: json.dumps({"_estimator_type": kind})})
    try:
        marked: bytearray = booster.save_raw("ubj")
    finally:
        booster.set_attr(**{_OURS: None, _THEIRS: None})
    return marked


def _plain(name: str, value: Any) -> Any:
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    try:
        if json.loads(json.dumps(value)) == value or value != value:  # noqa: PLR0124 - NaN is XGBoost's "missing"
            return value
    except (TypeError, ValueError):
        pass
    raise SerializationError(
        f"the parameter {name!r} is a {type(value).__qualname__}, which XGBoost's format cannot hold",
        hint=f"set it to None after the fit, model.set_params({name}=None), or store the model as pickle5",
    )


def _parts(document: Document, data: memoryview) -> list[Part]:
    edges = [0, *_cuts(document), len(data)]
    return [Part(f"model/{number}", data[start:end]) for number, (start, end) in enumerate(itertools.pairwise(edges))]


def _cuts(document: Document) -> Iterator[int]:
    """Yield where to cut: at the first tree, behind 64 KiB of trees and more, and behind the last."""
    booster = document.find(*_BOOSTER)
    of_dart = booster is not None and next(document.entries(booster), ("", 0))[0] == "gbtree"  # keys are sorted
    trees = document.find(*_BOOSTER, *(("gbtree",) if of_dart else ()), "model", "trees")
    if trees is None:
        return
    last = end = None
    for start, end in document.items(trees):
        if last is None:
            last = start
            yield start
        if end - last >= _TOGETHER:
            last = end
            yield end
    if end is not None and end != last:
        yield end


def _without_trees(parts: list[memoryview]) -> bytes:
    """Return the document with an empty list of trees, made of the parts before and behind them."""
    head, tail = parts[0], parts[-1]
    counted = len(parts) > 1 and bytes(head[-10:-8]) == b"#L"
    return bytes(head[:-8]) + bytes(8) + bytes(tail) if counted else b"".join(parts)


def _ordered(parts: Mapping[str, memoryview]) -> list[memoryview]:
    names = [f"model/{number}" for number in range(len(parts))]
    if not names or set(names) != set(parts):
        raise SerializationError("these parts are not those of the format xgboost")
    return [parts[name] for name in names]


def _document(data: bytes | bytearray | memoryview, *, whole: bool = True) -> Document:
    if bytes(data[:1]) != b"{":
        raise SerializationError("not a model of XGBoost: it does not begin as one")
    try:
        return Document(data, whole=whole)
    except ValueError as error:
        raise SerializationError(f"not a model of XGBoost: {error}") from error


def _estimator(document: Document) -> tuple[str | None, dict[str, Any]]:
    """Return class and parameters of the estimator that a document was; None for a booster."""
    try:
        attributes = document.find("learner", "attributes")
        said = {} if attributes is None else {name: document.plain(at) for name, at in document.entries(attributes)}
    except (ValueError, IndexError, struct.error) as error:
        raise SerializationError(f"not a model of XGBoost: {error}") from error
    if attributes is None:
        raise SerializationError("this is UBJSON, but not a model of XGBoost")
    ours, theirs = said.get(_OURS), said.get(_THEIRS)
    try:
        if ours is not None:
            raw = json.loads(ours)
            name, params = raw["class"], dict(raw["params"])
        elif theirs is not None:
            name, params = _KINDS[json.loads(theirs)["_estimator_type"]], {}
        else:
            return None, {}
    except (KeyError, ValueError, TypeError) as error:
        raise SerializationError("the model does not say what estimator it was") from error
    if name not in _ESTIMATORS:
        raise SerializationError(f"the model says that it was a {name!r}, which is no estimator of XGBoost")
    return name, params
