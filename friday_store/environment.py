"""What a model needs and expects, captured without being asked: libraries in use, Python, platform, input schema.

The libraries are those whose classes the model is made of (its own class, its parameters' and its attributes'),
with what those distributions require and have imported; not everything that happens to be installed.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

_BESIDES: Final = {"sklearn": ("numpy", "scipy", "joblib"), "pandas": ("numpy",), "scipy": ("numpy",)}
_MOST: Final = 2000


def said(model: object) -> dict[str, Any]:
    """Return what is captured of a model, by section: all that the functions of this module say of it."""
    return {
        "hyperparameters": parameters(model),
        "pipeline_steps": pipeline_steps(model),
        "dependencies": dependencies(model),
        "environment": captured(),
        "input_schema": input_schema(model),
    }


def dependencies(model: object) -> dict[str, str]:
    """Return the distributions that the model's classes come from, with their installed versions."""
    roots: set[str] = set()
    for value in _reached(model):
        module = type(value).__module__ if not isinstance(value, type) else value.__module__
        roots.add(module.partition(".")[0])
    for root in list(roots):
        roots.update(name for name in _BESIDES.get(root, ()) if name in sys.modules)
    found = (_distribution(root) for root in sorted(roots))
    return dict(sorted(item for item in found if item is not None))


def _reached(model: object) -> Iterator[object]:
    """The model, its parameters and attributes, and theirs, to a depth of four and at most 2,000 values."""
    seen: set[int] = set()
    layer: list[object] = [model]
    for _ in range(4):
        following: list[object] = []
        for value in layer:
            if id(value) in seen or isinstance(value, str | bytes | int | float | None):
                continue
            seen.add(id(value))
            if len(seen) > _MOST:
                return
            yield value
            if isinstance(value, dict):
                following += list(value.values())[:50]
            elif isinstance(value, list | tuple | set):
                following += list(value)[:50]
            elif hasattr(value, "__dict__") and not isinstance(value, type):
                following += list(vars(value).values())
        layer = following


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return {name: list(found) for name, found in importlib.metadata.packages_distributions().items()}


@functools.cache
def _distribution(root: str) -> tuple[str, str] | None:
    if root in sys.stdlib_module_names or root in ("__main__", "__mp_main__"):
        return None
    name = _KNOWN.get(root) or next(iter(_distributions().get(root, [])), None)
    if name is None:
        return None
    try:
        return name, importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def distribution_of(root: str) -> str:
    """Return the distribution that a top-level module comes from; the module's name where that is not known."""
    return _KNOWN.get(root) or next(iter(_distributions().get(root, [])), root)


def modules_of(distribution: str) -> list[str]:
    """Return the top-level modules that an installed distribution brings; none if it is not installed."""
    name = _canonical(distribution)
    return sorted(root for root, found in _distributions().items() if name in map(_canonical, found))


def same_distribution(one: str, other: str) -> bool:
    """Whether two spellings are the name of one distribution."""
    return _canonical(one) == _canonical(other)


def _canonical(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


_KNOWN: Final = {"sklearn": "scikit-learn", "numpy": "numpy", "scipy": "scipy", "pandas": "pandas", "joblib": "joblib"}


@functools.cache
def _machine() -> tuple[tuple[str, str], ...]:
    return (
        ("implementation", platform.python_implementation()),
        ("machine", platform.machine()),
        ("platform", platform.system()),
        ("python", platform.python_version()),
    )


def captured() -> dict[str, str]:
    """Return Python's version and implementation, and the platform."""
    return dict(_machine())


def input_schema(model: object, example: Any = None) -> dict[str, Any]:
    """Return what the model says about its input, and what an example of it shows.

    Returns:
        ``features`` (names in order), ``n_features``, ``dtypes`` (by name), ``classes``; only what is known.
    """
    schema: dict[str, Any] = {}
    names = _attribute(model, "feature_names_in_")
    if isinstance(names, Iterable) and not isinstance(names, str):
        schema["features"] = [str(name) for name in names]
    count = _attribute(model, "n_features_in_")
    if hasattr(count, "__index__"):
        schema["n_features"] = int(count)
    classes = _attribute(model, "classes_")
    if classes is not None and hasattr(classes, "tolist") and getattr(classes, "size", 0) <= 1000:
        schema["classes"] = classes.tolist()
    if example is not None:
        schema |= _shown(example)
    return schema


def _attribute(model: object, name: str) -> Any:
    try:
        return getattr(model, name, None)
    except Exception:  # noqa: BLE001 - a property of a stranger's class may raise anything; then it says nothing
        return None


def _shown(example: Any) -> dict[str, Any]:
    dtypes = getattr(example, "dtypes", None)
    if dtypes is not None and hasattr(dtypes, "items"):
        pairs = {str(name): str(dtype) for name, dtype in dtypes.items()}
        return {"features": list(pairs), "n_features": len(pairs), "dtypes": pairs}
    shape, dtype = getattr(example, "shape", None), getattr(example, "dtype", None)
    if shape is not None and len(shape) == 2:
        return {"n_features": int(shape[1]), "dtypes": {"*": str(dtype)}}
    return {}


def parameters(model: object) -> dict[str, Any]:
    """Return the estimator's parameters as plain data: nested estimators by class, their own by ``a__b``."""
    getter = _attribute(model, "get_params")
    if not callable(getter) or isinstance(model, type):
        return {}
    try:
        found = getter(deep=True)
    except Exception:  # noqa: BLE001 - a stranger's get_params may raise anything; then nothing is captured
        return {}
    return {str(name): _plain(value) for name, value in found.items()}


def attributes(made: object) -> dict[str, Any]:
    """Return what an object says of itself as plain data: its parameters if it is an estimator, else its attributes."""
    fields = dataclasses.fields(made) if dataclasses.is_dataclass(made) and not isinstance(made, type) else ()
    names = {*getattr(made, "__dict__", {}), *(field.name for field in fields)}
    return parameters(made) or {name: _plain(getattr(made, name, None)) for name in sorted(names)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:100]]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in list(value.items())[:100]}
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    if hasattr(value, "get_params") or repr(value) == object.__repr__(value):  # an address says nothing elsewhere
        return f"{type(value).__module__}.{type(value).__qualname__}"
    name = getattr(value, "__qualname__", None)
    return f"{getattr(value, '__module__', '')}.{name}" if name else repr(value)[:200]


def pipeline_steps(model: object) -> list[dict[str, str]]:
    """Return the steps of a scikit-learn pipeline: name and class."""
    steps = _attribute(model, "steps")
    if not isinstance(steps, list) or not all(isinstance(step, tuple) and len(step) == 2 for step in steps):
        return []
    return [{"name": str(name), "class": f"{type(s).__module__}.{type(s).__qualname__}"} for name, s in steps]
