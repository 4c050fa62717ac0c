"""What a model goes through on its way to somebody else, in processes of their own; see :class:`SerializerTests`.

:func:`answer` is what such a process runs: it answers one question about the pickled arguments in a file, with a
pickle on standard output.

``arrive``
    Another user's process: pulls what was pushed, loads it, and says what it predicts. The test module is imported
    anew, since classes of models may be defined in it.
``bare``
    A process in which the framework cannot be imported: looks at the model in every way that needs none, tries to
    load it, and says what was asked for and what was said.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Final, NamedTuple

from friday_store import default_plugins, serializer
from friday_store.errors import FridayStoreError, UntrustedArtifactError
from friday_store.hookspecs import Part, Serializer
from friday_store.plugins import Plugins

NAME: Final = "journey"
_PATIENCE: Final = 240
_STRANGERS: Final[tuple[Any, ...]] = (None, 0, "text", {}, object())


class Arrived(NamedTuple):
    """What became of a model at another user's.

    Attributes:
        refused: Whether it was refused until it was trusted.
        predicted: What ``predict`` of the suite returned for it.
    """

    refused: bool
    predicted: Any


class Bare(NamedTuple):
    """What a format did where its framework is missing.

    Attributes:
        asked: The modules of the framework that were imported, or tried, before the model was loaded.
        contents: What was said of the model without loading it.
        message: The error's text when it was loaded.
        hint: The error's hint.
        kind: The error's class.
    """

    asked: list[str]
    contents: dict[str, Any]
    message: str
    hint: str | None
    kind: str


class Blocked(importlib.abc.MetaPathFinder):
    """Makes some modules impossible to import, and notes who asks for them.

    Attributes:
        asked: The modules that were asked for so far.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._roots = frozenset(roots)

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002 - Python's
        if fullname.partition(".")[0] in self._roots:
            self.asked.append(fullname)
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def own_plugins(form: Serializer) -> Plugins:
    """Return the built-in formats and one more, if it is none of them."""
    from types import SimpleNamespace

    from friday_store.hookspecs import hookimpl

    if form.name in {built_in.name for built_in in default_plugins.register_serializers()}:
        return Plugins(())
    return Plugins((), extra={form.name: SimpleNamespace(register_serializers=hookimpl(lambda: [form]))})


def arrived(suite: object, remote: Path, folder: Path) -> Arrived:
    """Pull and load, as another user in a fresh process, what was pushed to ``remote``.

    Args:
        suite: A :class:`SerializerTests`, whose module and class are found again by file and name.
        remote: The registry to pull from.
        folder: Where the other user's registry and home will be.
    """
    kind = type(suite)
    given = (kind.__module__, inspect.getfile(kind), kind.__qualname__, str(remote), str(folder / "laptop"))
    found = _asked("arrive", given, folder)
    assert isinstance(found, Arrived)
    return found


def bare(form: Serializer, frameworks: Sequence[str], parts: Mapping[str, memoryview], folder: Path) -> Bare:
    """Look at a model, and try to load it, in a fresh process that has no framework.

    Args:
        form: The format; pickled by its class, so that the plugin is imported over there.
        frameworks: The top-level modules that cannot be imported.
        parts: The parts of a model.
        folder: Where the arguments are left.
    """
    given = (list(frameworks), pickle.dumps(form), {name: bytes(data) for name, data in parts.items()})
    found = _asked("bare", given, folder)
    assert isinstance(found, Bare)
    return found


def _asked(question: str, given: Any, folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{question}.pickle"
    file.write_bytes(pickle.dumps(given))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRIDAY_STORE_")}
    environment["FRIDAY_STORE_HOME"] = str(folder / "home")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", f"from {__name__} import answer; answer()", question, str(file)]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=_PATIENCE, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return pickle.loads(done.stdout)


def _arrive(module: str, file: str, qualname: str, remote: str, folder: str) -> Arrived:
    from friday_store.registry import ModelRegistry

    suite = reduce(getattr, qualname.split("."), _imported(module, file))()
    with ModelRegistry(folder, plugins=own_plugins(suite.serializer)) as registry:
        registry.pull(remote)
        refused = False
        try:
            model = registry.load_model(NAME)
        except UntrustedArtifactError as error:
            refused = True
            registry.trust.add("digests", error.model_id)
            model = registry.load_model(NAME)
        return Arrived(refused, suite.predict(model))


def _imported(module: str, file: str) -> Any:
    """Import a test module from its file under the name that it had, which pickles of its classes know."""
    if module in sys.modules:
        return sys.modules[module]
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[module] = found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _bare(frameworks: Sequence[str], pickled: bytes, parts: Mapping[str, bytes]) -> Bare:
    blocked = Blocked(frameworks)
    sys.meta_path.insert(0, blocked)
    form: Serializer = pickle.loads(pickled)
    held = {name: memoryview(bytearray(data)) for name, data in parts.items()}
    for stranger in (*_STRANGERS, form, Part):
        form.accepts(stranger)
    form.check(held)
    contents = serializer.contents(form, form.format, held)
    asked = list(blocked.asked)
    try:
        serializer.load(own_plugins(form), form.name, form.format, held)
    except FridayStoreError as error:
        return Bare(asked, contents, error.message, error.hint, type(error).__name__)
    return Bare(asked, contents, "", None, "")


_ANSWERS: Final[Mapping[str, Callable[..., Any]]] = {"arrive": _arrive, "bare": _bare}


def answer() -> None:
    """Answer the question that the first argument names, about what is in the file that the second one names."""
    question, file = sys.argv[1:]
    found = _ANSWERS[question](*pickle.loads(Path(file).read_bytes()))
    sys.stdout.buffer.write(pickle.dumps(found, protocol=5))  # older ones swap the bytes of big-endian arrays
