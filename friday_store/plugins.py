"""Plugins: found by their metadata, imported when first needed, and kept from taking the core down.

Built-in formats and trainers come in through the same hooks as anyone's. An external plugin that fails to
import, raises, does not answer in time, returns something else than the hook says, misspells a hook or uses a
name that is taken is left out, and :attr:`Plugins.reports` says so by name. One exception: a failure in
``before_register`` or ``before_ref_update`` refuses the change, because a policy gate that breaks must not open.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pluggy

from friday_store import default_plugins, hookspecs
from friday_store.errors import GateError, PluginError
from friday_store.hookspecs import Serializer, Target, Trainer, Tuner

GROUP: Final = "friday_store"
BUILT_IN: Final = "friday-store"
_DEADLINE: Final = 10.0
_LOGGER: Final = logging.getLogger(__name__)
_GATES: Final = ("before_register", "before_ref_update")
_T = TypeVar("_T")


@dataclass
class PluginReport:
    """What became of one plugin.

    Attributes:
        name: Its entry point's name.
        package: The distribution it comes from.
        version: That distribution's version.
        hooks: The hooks it implements.
        errors: What went wrong, in words.
    """

    name: str
    package: str
    version: str
    hooks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Plugins:
    """The plugins of one process or one registry.

    Args:
        only: Names of external plugins to load; None loads all that are installed, an empty sequence none.
        extra: Modules or objects with hook implementations, by name, besides the installed ones.
        deadline: Seconds that a plugin has to import or to answer a hook.
    """

    def __init__(
        self,
        only: Sequence[str] | None = None,
        *,
        extra: Mapping[str, object] | None = None,
        deadline: float = _DEADLINE,
    ) -> None:
        self._only = only
        self._extra = dict(extra or {})
        self._deadline = deadline
        self._manager: pluggy.PluginManager | None = None
        self._reports: dict[str, PluginReport] = {}
        self._serializers: dict[str, Serializer] = {s.name: s for s in default_plugins.register_serializers()}
        self._owners: dict[str, str] = dict.fromkeys(self._serializers, BUILT_IN)
        self._named: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()

    @property
    def reports(self) -> list[PluginReport]:
        """What became of each external plugin, by name."""
        self._load()
        return [self._reports[name] for name in sorted(self._reports)]

    def serializer(self, name: str) -> Serializer:
        """Return a format by its recorded name; external plugins are imported only if it is not built in.

        Raises:
            PluginError: Nothing installed provides it.
        """
        found = self._serializers.get(name)
        if found is None:
            self._load()
            found = self._serializers.get(name)
        if found is None:
            known = ", ".join(sorted(self._serializers))
            raise PluginError(
                f"no installed plugin reads the format {name!r} (there are: {known})",
                hint=f"pip install friday-store-{name}",
            )
        return found

    def serializers(self) -> list[tuple[Serializer, str]]:
        """Return every format with the plugin that provides it: externals first, then the built-in ones."""
        self._load()
        found = [(serializer, self._owners[name]) for name, serializer in self._serializers.items()]
        return sorted(found, key=lambda item: item[1] == BUILT_IN)

    def serializer_for(self, model: object) -> Serializer:
        """Return the first format that accepts the model; pickle, built in, accepts everything."""
        for serializer, owner in self.serializers():
            if owner == BUILT_IN:
                if serializer.accepts(model):
                    return serializer
            elif self._ask(owner, lambda chosen=serializer: chosen.accepts(model)) is True:  # type: ignore[misc]
                return serializer
        raise PluginError(f"no format accepts an object of type {type(model).__qualname__}")

    def trainers(self) -> dict[str, Trainer]:
        """Return every family of estimators by its name."""
        return self._registered("trainer", Trainer)

    def trainer(self, name: str) -> Trainer:
        """Return a family of estimators.

        Raises:
            PluginError: Nothing installed provides it.
        """
        return self._one("trains", name, self.trainers())

    def targets(self) -> dict[str, Target]:
        """Return everything that market models can predict by its name."""
        return self._registered("target", Target)

    def target(self, name: str) -> Target:
        """Return what market models can predict.

        Raises:
            PluginError: Nothing installed provides it.
        """
        return self._one("predicts", name, self.targets())

    def tuners(self) -> dict[str, Tuner]:
        """Return every search for parameters by its name."""
        return self._registered("tuner", Tuner)

    def tuner(self, name: str) -> Tuner:
        """Return a search for parameters.

        Raises:
            PluginError: Nothing installed provides it.
        """
        return self._one("tunes by", name, self.tuners())

    def _registered(self, word: str, protocol: Any) -> dict[str, Any]:
        """Return what the hook ``register_<word>s`` gives, by its name; built-in ones first, and none shadows another.

        Args:
            word: What it is.
            protocol: What it must be.
        """
        hook = f"register_{word}s"
        with self._lock:
            if word not in self._named:
                self._load()
                found: dict[str, Any] = {}
                for owner, answer in [(BUILT_IN, getattr(default_plugins, hook)()), *self._answers(hook)]:
                    self._add_named(found, owner, answer, protocol)
                self._named[word] = found
            return dict(self._named[word])

    def _one(self, verb: str, name: str, there: Mapping[str, _T]) -> _T:
        if name not in there:
            raise PluginError(f"no installed plugin {verb} {name!r} (there are: {', '.join(sorted(there))})")
        return there[name]

    def listens(self, hook: str) -> bool:
        """Whether any external plugin implements a hook."""
        self._load()
        assert self._manager is not None
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call an event's hook on each plugin that implements it.

        Raises:
            GateError: A plugin refused the change.
            PluginError: A plugin failed in a hook that may refuse.
        """
        for implementation in self._implementations(hook):
            owner = implementation.plugin_name
            given = {name: arguments[name] for name in implementation.argnames}
            try:
                self._in_time(lambda call=implementation.function, given=given: call(**given))  # type: ignore[misc]
            except GateError:
                raise
            except Exception as error:
                self._report(owner, f"{hook}: {type(error).__name__}: {error}")
                if hook in _GATES:
                    raise PluginError(
                        f"plugin {owner!r} failed in {hook}, so nothing was changed: {type(error).__name__}: {error}",
                        hint="mend the plugin, or leave plugins out: FRIDAY_STORE_PLUGINS=none",
                    ) from error

    def commands(self, group: object) -> None:
        """Let plugins add commands to the command line."""
        for owner, _ in self._answers("register_commands", group=group):
            _LOGGER.debug("plugin %s added its commands", owner)

    def attempt(self, serializer: Serializer, question: Callable[[], _T]) -> _T | None:
        """Return the answer to a question that a format's plugin may fail at; then None, and it is reported."""
        owner = self._owners.get(serializer.name, BUILT_IN)
        return question() if owner == BUILT_IN else self._ask(owner, question)

    def _implementations(self, hook: str) -> list[Any]:
        self._load()
        assert self._manager is not None
        return list(getattr(self._manager.hook, hook).get_hookimpls())

    def _answers(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Ask each plugin alone, and leave out those that fail."""
        answers = []
        for implementation in self._implementations(hook):
            owner = implementation.plugin_name
            given = {name: arguments[name] for name in implementation.argnames}
            answer = self._ask(owner, lambda call=implementation.function, given=given: call(**given))  # type: ignore[misc]
            if answer is not None:
                answers.append((owner, answer))
        return answers

    def _ask(self, owner: str, question: Callable[[], _T]) -> _T | None:
        try:
            return self._in_time(question)
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
            self._report(owner, f"{type(error).__name__}: {error}")
            return None

    def _in_time(self, question: Callable[[], _T]) -> _T:
        """Return the answer, or raise what was raised, or :class:`PluginError` at the deadline."""
        answer: list[_T] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                answer.append(question())
            except BaseException as error:  # noqa: BLE001 - carried over to the asking thread
                failure.append(error)

        thread = threading.Thread(target=run, name="friday-plugin", daemon=True)
        thread.start()
        thread.join(self._deadline)
        if thread.is_alive():
            raise PluginError(f"no answer within {self._deadline:g} s")
        if failure:
            if isinstance(failure[0], Exception):
                raise failure[0]
            raise PluginError(f"{type(failure[0]).__name__}: {failure[0]}") from failure[0]
        return answer[0]

    def _load(self) -> None:
        with self._lock:
            if self._manager is not None:
                return
            self._manager = pluggy.PluginManager(GROUP)
            self._manager.add_hookspecs(hookspecs)
            for name, plugin in self._extra.items():
                self._reports[name] = PluginReport(name, "", "")
                self._register(name, plugin)
            if self._only is None or self._only:
                self._load_installed()
            for owner, answer in self._answers("register_serializers"):
                self._add_serializers(owner, answer)

    def _load_installed(self) -> None:
        """Import the plugins that are wanted, by their metadata; one that was named and is not there is reported."""
        for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
            if self._only is not None and entry.name not in self._only:
                continue
            package = entry.dist.name if entry.dist else ""
            if entry.name in self._reports:
                self._report(entry.name, f"two plugins are called {entry.name!r}; the one of {package} is left out")
                continue
            self._reports[entry.name] = PluginReport(entry.name, package, entry.dist.version if entry.dist else "")
            plugin = self._ask(entry.name, entry.load)
            if plugin is not None:
                self._register(entry.name, plugin)
        for name in self._only or ():
            if name not in self._reports:
                self._report(name, "is asked for by name, and not installed")

    def _register(self, name: str, plugin: object) -> None:
        assert self._manager is not None
        try:
            self._manager.register(plugin, name=name)
        except (ValueError, pluggy.PluginValidationError) as error:
            self._report(name, str(error))
            return
        for caller in self._manager.get_hookcallers(plugin) or ():
            if caller.has_spec():
                self._reports[name].hooks.append(caller.name)
            else:
                self._report(name, f"implements {caller.name!r}, which is no hook of friday-store")

    def _add_serializers(self, owner: str, answer: Any) -> None:
        for serializer in self._listed(owner, answer):
            if not self._fits(owner, serializer, Serializer):
                self._report(owner, f"register_serializers returned {type(serializer).__qualname__}, not a Serializer")
            elif serializer.name in self._serializers:
                self._report(
                    owner, f"format {serializer.name!r} is already provided by {self._owners[serializer.name]!r}"
                )
            else:
                self._serializers[serializer.name] = serializer
                self._owners[serializer.name] = owner

    def _add_named(self, found: dict[str, Any], owner: str, answer: Any, protocol: type) -> None:
        kind = protocol.__name__
        for one in self._listed(owner, answer):
            if not self._fits(owner, one, protocol):
                self._report(owner, f"register_{kind.lower()}s returned {type(one).__qualname__}, not a {kind}")
            elif one.name in found:
                self._report(owner, f"{kind.lower()} {one.name!r} is already there")
            else:
                found[one.name] = one

    def _fits(self, owner: str, found: Any, protocol: type) -> bool:
        """Whether ``found`` is an instance (a class has the same attributes) with a name; asking runs its code."""
        return bool(
            self._ask(
                owner,
                lambda: not isinstance(found, type) and isinstance(found, protocol) and isinstance(found.name, str),  # type: ignore[attr-defined]
            )
        )

    def _listed(self, owner: str, answer: Any) -> Sequence[Any]:
        if isinstance(answer, Iterable) and not isinstance(answer, str | bytes):
            return self._ask(owner, lambda: list(answer)) or []
        self._report(owner, f"returned {type(answer).__qualname__} where a list was expected")
        return []

    def _report(self, name: str, problem: str) -> None:
        report = self._reports.setdefault(name, PluginReport(name, "", ""))
        if problem not in report.errors:
            report.errors.append(problem)
            _LOGGER.warning("plugin %s: %s", name, problem)
