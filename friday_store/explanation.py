"""What loading a version would run, found without loading it: the classes and functions that its bytes name.

The list comes from reading a pickle's opcodes without carrying out any (:mod:`friday_store.comparison.pickles`). What
a name is called here (``usual``, ``unusual``, ``dangerous``) is advice for a reader and never decides anything: a
pickle can do harm through names that look usual, and a list of harmless modules is no gate. Trust decides.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from friday_store import serializer
from friday_store.comparison.arrays import dtype_of
from friday_store.comparison.pickles import Built, Global, Made, Pairs, UnreadableError, globals_in
from friday_store.errors import UntrustedArtifactError
from friday_store.hookspecs import Safety, Typed
from friday_store.manifest import Artifact
from friday_store.plugins import Plugins
from friday_store.trust import Provenance, TrustStore

Advice = Literal["usual", "unusual", "dangerous"]

_USUAL: Final = frozenset((
    "numpy", "scipy", "sklearn", "pandas", "joblib", "collections", "copyreg", "copy_reg", "datetime", "decimal",
    "fractions", "uuid", "pathlib", "zoneinfo", "xgboost", "lightgbm", "catboost", "statsmodels", "torch",
))  # fmt: skip
_USUAL_BUILTINS: Final = frozenset((
    "set", "frozenset", "list", "dict", "tuple", "bytearray", "bytes", "complex", "range", "slice", "object", "int",
    "float", "bool", "str", "type", "Ellipsis", "NotImplemented",
))  # fmt: skip
_DANGEROUS: Final = frozenset((
    "os", "posix", "nt", "subprocess", "sys", "builtins", "__builtin__", "importlib", "runpy", "socket", "shutil",
    "pty", "ctypes", "_ctypes", "multiprocessing", "webbrowser", "pickle", "_pickle", "dill", "cloudpickle", "operator",
    "_operator", "functools", "urllib", "http", "requests", "code", "codeop", "types", "marshal", "asyncio", "signal",
    "threading", "tempfile", "glob", "timeit", "pdb", "bdb", "cProfile", "profile", "trace", "inspect", "gc", "site",
    "pip", "ensurepip", "venv", "zipimport", "pkgutil", "pydoc", "platform", "smtplib", "ftplib", "telnetlib", "ssl",
    "io", "_io", "codecs", "_codecs", "commands", "popen2", "?",
))  # fmt: skip
_CODECS: Final = frozenset((Global("_codecs", "encode"), Global("codecs", "encode")))
_WRAPPER: Final = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_DTYPE: Final = Global("numpy", "dtype")
_DESCRIBED: Final = {"pickle5": "pickle", "joblib": "joblib"}


class Named(NamedTuple):
    """A class or function that a version names.

    Attributes:
        name: With its module.
        called: Whether loading would call it, as far as can be seen.
        advice: What it looks like; see the module.
    """

    name: str
    called: bool
    advice: Advice


@dataclass(frozen=True)
class Explanation:
    """What loading a version would do.

    Attributes:
        model_id: The version's id.
        serializer: Its format.
        safety: What that format can do.
        loads: Whether it would load here.
        why: Why it would not; empty if it would.
        signature: Who signed it, in words.
        names: What it names, the dangerous first.
        unread: Why there may be more than that; empty if all was read.
        types: For a format of class ``typed``: what it would make.
        scanner: What ``picklescan`` says, if it is installed and was asked; empty otherwise.
    """

    model_id: str
    serializer: str
    safety: Safety
    loads: bool
    why: str
    signature: str
    names: tuple[Named, ...] = ()
    unread: str = ""
    types: tuple[str, ...] = ()
    scanner: str = ""


def explain(
    plugins: Plugins,
    trust: TrustStore,
    of: Provenance,
    artifact: Artifact,
    parts: Mapping[str, memoryview],
    *,
    scan: bool = False,
) -> Explanation:
    """Return what loading a version would do; nothing of it is run.

    Args:
        plugins: Where formats come from.
        trust: What this user trusts.
        of: The version.
        artifact: Its artifact.
        parts: Its parts, verified.
        scan: Whether to ask ``picklescan`` too, if it is installed.

    Raises:
        PluginError: The format's plugin is not installed.
        SerializationError: The parts are not of that format.
    """
    form = plugins.serializer(artifact.serializer)
    form.check(parts)
    types = serializer.types(form, artifact.format, parts) if isinstance(form, Typed) else []
    why = ""
    try:
        trust.require(of, form.safety, (lambda: types) if isinstance(form, Typed) else None)
    except UntrustedArtifactError as error:
        why = f"{error}; to accept it: {error.hint}"
    described = _DESCRIBED.get(artifact.serializer)
    found, unread = dict[Global, bool](), ""
    if described is not None:
        among: dict[Global, bool] = {}
        found, unread = globals_in(parts[described], _arrays(among) if artifact.serializer == "joblib" else None)
        found = {name: found.get(name, False) or among.get(name, False) for name in (*found, *among)}
    elif form.safety == "code":
        unread = f"what the format {artifact.serializer!r} would run cannot be told without running it"
    return Explanation(
        model_id=of.row.model_id,
        serializer=artifact.serializer,
        safety=form.safety,
        loads=not why,
        why=why,
        signature=trust.signature_of(of),
        names=tuple(sorted(_named(found), key=lambda each: (_ORDER[each.advice], each.name))),
        unread=unread,
        types=tuple(sorted(set(types))),
        scanner=_scanned(parts[described]) if scan and described is not None else "",
    )


_ORDER: Final[Mapping[Advice, int]] = {"dangerous": 0, "unusual": 1, "usual": 2}


def advice(name: Global) -> Advice:
    """Return what a name looks like; see the module."""
    top = name.module.partition(".")[0]
    if name in _CODECS or (top in ("builtins", "__builtin__") and name.name in _USUAL_BUILTINS):
        return "usual"
    if top in _DANGEROUS:
        return "dangerous"
    return "usual" if top in _USUAL and "." not in name.name else "unusual"


def _named(found: Mapping[Global, bool]) -> Iterator[Named]:
    return (Named(str(name), called, advice(name)) for name, called in found.items())


def _arrays(among: dict[Global, bool]) -> Built:
    """Return what passes over the arrays that joblib writes between the opcodes.

    Args:
        among: Gets what the pickles name that stand there for arrays of objects.
    """

    def built(made: Made, stream: io.BytesIO) -> None:
        kind = made.args[0] if made.args and isinstance(made.args[0], Global) else made.by
        if kind != _WRAPPER or not isinstance(made.state, Pairs):
            return
        state = {key: value for key, value in made.state.items if isinstance(key, str)}
        dtype, shape = state.get("dtype"), state.get("shape")
        if isinstance(dtype, Made) and dtype.by == _DTYPE and str(dtype.args[:1])[2:3] == "O":
            found, unread = globals_in(stream, built)
            among.update({name: called or among.get(name, False) for name, called in found.items()})
            if unread:
                raise UnreadableError(unread)
            return
        size = dtype_of(dtype)
        if size is None or not isinstance(shape, tuple) or not all(type(one) is int and one >= 0 for one in shape):
            raise UnreadableError("an array of joblib's whose size is not plain")
        if state.get("numpy_array_alignment_bytes") is not None:
            stream.seek(int.from_bytes(stream.read(1), "little"), io.SEEK_CUR)
        stream.seek(math.prod(shape) * size.itemsize, io.SEEK_CUR)

    return built


def _scanned(data: memoryview) -> str:
    """Return what ``picklescan`` says of a pickle, as one sentence; it is advice like all else here."""
    try:
        from picklescan.scanner import scan_pickle_bytes  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return "picklescan is not installed (pip install picklescan)"
    result: Any = scan_pickle_bytes(io.BytesIO(data), "the model")
    if result.scan_err:
        return "picklescan could not read it"
    return f"picklescan counts {result.issues_count} dangerous and {result.suspicious_count} suspicious names"
