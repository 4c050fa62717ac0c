"""What plugins can do to the core: nothing but what their hooks are for."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from friday_store.default_plugins.pickle5 import Pickle5
from friday_store.default_plugins.targets import builtin_targets
from friday_store.errors import GateError, PluginError
from friday_store.hookspecs import Part, hookimpl
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from friday_store.hookspecs import Committed, Draft, RefUpdate


class Text(Pickle5):
    """A format for text."""

    name = "text"
    safety = "data"

    def accepts(self, model: object) -> bool:
        """Whether it is text."""
        return isinstance(model, str)

    def dump(self, model: Any) -> list[Part]:
        """Return one part."""
        return [Part("text", model.encode())]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        """Return the text."""
        return bytes(parts["text"]).decode()

    def check(self, parts: Mapping[str, memoryview]) -> None:
        """Take anything."""


def plugin(**hooks: Any) -> SimpleNamespace:
    """Return a plugin with these hooks."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def broken() -> NoReturn:
    """Fail as a stranger's code might."""
    raise ZeroDivisionError("mine")


def errors_of(plugins: Plugins) -> dict[str, list[str]]:
    """Return what went wrong, by plugin."""
    return {report.name: report.errors for report in plugins.reports}


class Nameless(Text):
    """A format that fails when it is asked for its name."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """Fail."""
        return broken()


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Return an event that nobody sets before the test is over."""
    event = threading.Event()
    yield event
    event.set()


def installed(folder: Path, package: str, entry: str, source: str) -> Path:
    """Install a distribution with one entry point by hand, and return where."""
    module = package.replace("-", "_")
    (folder / package).mkdir(parents=True)
    (folder / package / f"{module}.py").write_text(source)
    info = folder / package / f"{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[friday_store]\n{entry} = {module}\n")
    return folder / package


def test_a_plugin_adds_a_format() -> None:
    """A format of a plugin is found by its name, and comes before the built-in ones."""
    plugins = Plugins((), extra={"mine": plugin(register_serializers=lambda: [Text()])})
    assert isinstance(plugins.serializer("text"), Text)
    assert isinstance(plugins.serializer_for("x"), Text)
    assert plugins.serializer_for(1).name == "pickle5"
    assert plugins.serializers()[0][1] == "mine"
    assert plugins.reports[0].hooks == ["register_serializers"]
    assert errors_of(plugins) == {"mine": []}


def test_an_unknown_format_names_the_package() -> None:
    """A format that nobody reads is an error with the command that would help, never a guess."""
    with pytest.raises(PluginError, match="'onnx'") as caught:
        Plugins(()).serializer("onnx")
    assert caught.value.hint == "pip install friday-store-onnx"


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        ({"register_serializers": broken}, "ZeroDivisionError: mine"),
        ({"register_serializers": lambda: None}, None),
        ({"register_serializers": lambda: 5}, "returned int"),
        ({"register_serializers": lambda: "text"}, "returned str"),
        ({"register_serializers": lambda: [object(), None, Text]}, "not a Serializer"),
        ({"register_serializers": lambda: [Text]}, "not a Serializer"),
        ({"register_serializers": lambda: [Nameless()]}, "ZeroDivisionError: mine"),
        ({"register_serializers": lambda: (broken() for _ in range(1))}, "ZeroDivisionError"),
        ({"register_serialisers": lambda: [Text()]}, "no hook of friday-store"),
        ({"register_trainers": lambda: [object()]}, "not a Trainer"),
        ({"register_trainers": broken}, "ZeroDivisionError: mine"),
        ({"register_targets": lambda: [object()]}, "not a Target"),
        ({"register_tuners": lambda: [object()]}, "not a Tuner"),
        ({"register_targets": builtin_targets}, "target 'next_close' is already there"),
        ({"register_serializers": lambda extra: []}, "extra"),
        ({"register_serializers": lambda: sys.exit(3)}, "SystemExit"),
    ],
)
def test_a_bad_plugin_is_reported_and_left_out(hooks: dict[str, Any], said: str | None) -> None:
    """One that raises, returns junk, misspells a hook or its arguments is named; everything else works."""
    good = plugin(register_serializers=lambda: [Text()])
    plugins = Plugins((), extra={"bad": plugin(**hooks), "good": good})
    assert plugins.serializer("text").name == "text"
    assert plugins.serializer_for({}).name == "pickle5"
    assert isinstance(plugins.trainers(), dict)
    assert list(plugins.tuners()) == ["grid", "random", "halving"]
    assert list(plugins.targets()) == ["next_close", "price_direction", "return", "volatility"]
    found = errors_of(plugins)
    assert found["good"] == []
    assert said is None or any(said in error for error in found["bad"])


@pytest.mark.parametrize("hook", ["register_serializers", "register_trainers"])
def test_a_plugin_that_hangs_is_given_up(hook: str, stuck: threading.Event) -> None:
    """One that does not answer is left out at the deadline, and named."""
    plugins = Plugins((), extra={"slow": plugin(**{hook: lambda: [stuck.wait()]})}, deadline=0.2)
    start = time.monotonic()
    assert plugins.serializer_for({}).name == "pickle5"
    plugins.trainers()
    assert time.monotonic() - start < 3
    assert errors_of(plugins)["slow"] == ["PluginError: no answer within 0.2 s"]


def test_a_format_whose_accepts_fails_is_passed_over(stuck: threading.Event) -> None:
    """A format that raises, hangs or answers junk when asked about a model is not chosen."""

    class Raises(Text):
        name = "raises"

        def accepts(self, model: object) -> bool:
            return broken()

    class Hangs(Text):
        name = "hangs"

        def accepts(self, model: object) -> bool:
            return stuck.wait()

    class Junk(Text):
        name = "junk"

        def accepts(self, model: object) -> bool:
            return "yes"  # type: ignore[return-value]

    hook = plugin(register_serializers=lambda: [Raises(), Hangs(), Junk()])
    plugins = Plugins((), extra={"bad": hook}, deadline=0.2)
    assert plugins.serializer_for("x").name == "pickle5"
    assert len(errors_of(plugins)["bad"]) == 2


def test_a_built_in_format_cannot_be_replaced() -> None:
    """Who offers ``pickle5`` is told that it is taken, by whom, and the built-in one stays."""

    class Shadow(Text):
        name = "pickle5"

    plugins = Plugins((), extra={"shadow": plugin(register_serializers=lambda: [Shadow()])})
    assert type(plugins.serializer("pickle5")) is Pickle5
    assert plugins.serializer_for("x").name == "pickle5"
    assert type(plugins.serializer_for("x")) is Pickle5
    (error,) = errors_of(plugins)["shadow"]
    assert "'pickle5'" in error
    assert "'friday-store'" in error


def test_two_plugins_with_one_format() -> None:
    """The second to offer a name is left out, and the error names both."""
    first, second = (plugin(register_serializers=lambda: [Text()]) for _ in range(2))
    plugins = Plugins((), extra={"first": first, "second": second})
    problems = errors_of(plugins)
    loser = "second" if problems["second"] else "first"
    winner = "first" if loser == "second" else "second"
    assert repr(winner) in problems[loser][0]
    assert problems[winner] == []


def test_two_distributions_with_one_plugin_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two installed plugins of one name one is loaded, and the report names the package of the other."""
    source = "from friday_store import hookimpl\n\n@hookimpl\ndef register_trainers():\n    return []\n"
    for package in ("first-dist", "second-dist"):
        monkeypatch.syspath_prepend(installed(tmp_path, package, "twin", source))
    (report,) = Plugins(["twin"]).reports
    assert report.package in ("first-dist", "second-dist")
    (error,) = report.errors
    assert "'twin'" in error
    assert ({"first-dist", "second-dist"} - {report.package}).pop() in error


def test_an_installed_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed plugin is found by its metadata and imported only when it is needed."""
    source = "from friday_store import hookimpl\n\n@hookimpl\ndef register_trainers():\n    return []\n"
    monkeypatch.syspath_prepend(installed(tmp_path, "lazy-dist", "lazy", source))
    plugins = Plugins(["lazy"])
    assert plugins.serializer("pickle5").name == "pickle5"
    assert "lazy_dist" not in sys.modules
    (report,) = plugins.reports
    assert (report.name, report.package, report.version) == ("lazy", "lazy-dist", "1.2")
    assert report.hooks == ["register_trainers"]
    assert sys.modules.pop("lazy_dist")


@pytest.mark.parametrize(
    "source",
    ["import no_such_module_at_all", "1/0", "raise SystemExit(3)", "def broken(:", "import os; x = os.nothing"],
)
def test_a_plugin_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """A plugin that fails to import is named with the reason."""
    monkeypatch.syspath_prepend(installed(tmp_path, "bad-dist", "bad", source))
    plugins = Plugins(["bad"])
    assert plugins.serializer_for(1).name == "pickle5"
    assert len(errors_of(plugins)["bad"]) == 1
    assert plugins.reports[0].package == "bad-dist"


def test_plugins_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list loads none, and a list those it names; a name that is not installed is reported."""
    monkeypatch.syspath_prepend(installed(tmp_path, "bad-dist", "bad", "1/0"))
    assert Plugins(()).reports == []
    assert errors_of(Plugins(["another"])) == {"another": ["is asked for by name, and not installed"]}


def test_an_import_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin whose import does not end is given up at the deadline, and named."""
    monkeypatch.syspath_prepend(installed(tmp_path, "slow-dist", "slow", "import time\ntime.sleep(20)"))
    plugins = Plugins(["slow"], deadline=0.2)
    assert plugins.serializer_for(1).name == "pickle5"
    assert errors_of(plugins)["slow"] == ["PluginError: no answer within 0.2 s"]


def test_hook_before_register() -> None:
    """A plugin sees a version before it is written, and can add facts."""

    def before_register(draft: Draft) -> None:
        draft.facts["metadata"]["seen"] = f"{draft.name} {draft.version} {draft.model}"

    with ModelRegistry("memory://hook_before_register", plugins=with_hook(before_register)) as registry:
        model_id = registry.register_model([1], "m", "1.0.0", metadata={"own": 1})
        assert registry.get_model_metadata(model_id)["metadata"] == {"own": 1, "seen": "m 1.0.0 [1]"}


def with_hook(function: Any) -> Plugins:
    """Return plugins with one hook."""
    return Plugins((), extra={"policy": plugin(**{function.__name__: function})}, deadline=0.5)


@pytest.mark.parametrize("hook", ["before_register", "before_ref_update"])
@pytest.mark.parametrize("failure", ["refuses", "raises", "hangs", "exits"])
def test_a_gate_that_refuses_or_breaks_stays_shut(
    tmp_path: Path, hook: str, failure: str, stuck: threading.Event
) -> None:
    """A policy gate that says no, raises, hangs or exits refuses the change, and nothing of it is there after."""
    refuse = {"now": False}

    def gate(thing: object) -> None:
        if refuse["now"] and failure == "refuses":
            raise GateError("not on a Friday", plugin="policy")
        if refuse["now"]:
            actions: dict[str, Callable[[], object]] = {"raises": broken, "hangs": stuck.wait, "exits": sys.exit}
            actions[failure]()

    def before_register(draft: Draft) -> None:
        gate(draft)

    def before_ref_update(update: RefUpdate) -> None:
        gate(update)

    hooks = {"before_register": before_register, "before_ref_update": before_ref_update}
    with ModelRegistry(tmp_path / "r", plugins=with_hook(hooks[hook])) as registry:
        registry.register_model([1], "m", "1.0.0")
        refuse["now"] = True
        expected = GateError if failure == "refuses" else PluginError
        with pytest.raises(expected, match="Friday" if failure == "refuses" else "'policy'"):
            registry.register_model([2], "m", "2.0.0")
        refuse["now"] = False
        assert [record["version"] for record in registry.list_models()] == ["1.0.0"]
        registry.register_model([2], "m", "2.0.0")


def test_hook_before_ref_update(tmp_path: Path) -> None:
    """A gate sees every ref that is about to move, with both ends."""
    seen: list[RefUpdate] = []

    def before_ref_update(update: RefUpdate) -> None:
        seen.append(update)

    with ModelRegistry(tmp_path / "r", plugins=with_hook(before_ref_update)) as registry:
        model_id = registry.register_model([1], "m", tags=["t"])
        assert [(update.ref, update.old, update.new) for update in seen] == [
            ("versions/m/1.0.0", None, model_id),
            ("tags/m/t/1.0.0", None, model_id),
        ]


def test_a_gate_can_look_at_the_version(tmp_path: Path) -> None:
    """A gate reads what is known of a version, wherever it comes from: made in this transaction, before, or pulled."""
    seen: list[tuple[str, object]] = []

    def before_ref_update(update: RefUpdate) -> None:
        known = update.look()
        seen.append((update.ref, known and (known["model_id"], known["metrics"], known["author"])))

    with ModelRegistry(tmp_path / "r", plugins=with_hook(before_ref_update), actor="ann") as registry:
        model_id = registry.register_model([1], "m", metrics={"r2": 0.5})
        registry.log_metrics("m", {"r2": 0.25})
        registry.promote("m")
        registry.delete_alias("m", "production")
        assert [None, None] == [known for _, known in (seen[1], seen[3])]
        assert ("versions/m/1.0.0", (model_id, {"r2": 0.5}, "ann")) == seen[0]
        assert ("aliases/m/production", (model_id, {"r2": 0.25}, "ann")) == seen[2]
        registry.promote("m")
        registry.push(str(tmp_path / "shared"))
    seen.clear()
    with ModelRegistry(tmp_path / "other", plugins=with_hook(before_ref_update)) as other:
        other.pull(str(tmp_path / "shared"))
        found = dict(seen)
        assert (model_id, {"r2": 0.5}, "ann") == found["aliases/m/production"]


def test_hook_after_commit(tmp_path: Path) -> None:
    """A plugin learns of what is done, and its failure is its own."""
    seen: list[Committed] = []

    def after_commit(entry: Committed) -> None:
        seen.append(entry)
        broken()

    plugins = with_hook(after_commit)
    with ModelRegistry(tmp_path / "r", plugins=plugins, actor="ann") as registry:
        registry.register_model([1], "m")
        registry.add_tag("m", "t")
    assert [(entry.actor, len(entry.refs)) for entry in seen] == [("ann", 1), ("ann", 1)]
    assert seen[1].refs[0].ref == "tags/m/t/1.0.0"
    assert errors_of(plugins)["policy"] == ["after_commit: ZeroDivisionError: mine"]


def test_hook_register_commands() -> None:
    """A plugin is given the group to add its commands to, and one that fails takes nobody along."""
    given: list[object] = []

    def register_commands(group: object) -> None:
        given.append(group)

    bad = plugin(register_commands=lambda group: broken())
    plugins = Plugins((), extra={"bad": bad, "good": plugin(register_commands=register_commands)})
    plugins.commands("the group")
    assert given == ["the group"]
    assert errors_of(plugins) == {"bad": ["ZeroDivisionError: mine"], "good": []}


def test_hook_register_serializers_and_trainers() -> None:
    """A family of estimators is found by its name, and an unknown one names those there are."""

    class Family:
        name = "OWN"
        tasks = ("regression",)

        def estimator(self, task: str, *, seed: int, params: Mapping[str, Any]) -> Any:
            return None

        def search_space(self, task: str) -> Mapping[str, Any]:
            return {}

    plugins = Plugins((), extra={"mine": plugin(register_trainers=lambda: [Family()])})
    assert plugins.trainer("OWN").name == "OWN"
    with pytest.raises(PluginError, match="OWN"):
        plugins.trainer("NONE")


def test_hook_register_targets() -> None:
    """What can be predicted is found by its name, and an unknown one names those there are."""
    target = replace(builtin_targets()[2], name="overnight")  # type: ignore[type-var]
    plugins = Plugins((), extra={"mine": plugin(register_targets=lambda: [target])})
    assert plugins.target("overnight") is target
    with pytest.raises(PluginError, match="overnight"):
        plugins.target("none")


def test_hook_register_tuners() -> None:
    """A way to search for parameters is found by its name, and an unknown one names those there are."""

    class Luck:
        name = "luck"

        def search(self, search: Any) -> list[Any]:
            return []

    plugins = Plugins((), extra={"mine": plugin(register_tuners=lambda: [Luck()])})
    assert plugins.tuner("luck").name == "luck"
    with pytest.raises(PluginError, match="grid, halving, luck, random"):
        plugins.tuner("none")


def test_hook_after_sync() -> None:
    """The hook for the end of a push or pull reaches who listens."""
    given: list[object] = []

    def after_sync(report: object) -> None:
        given.append(report)

    plugins = with_hook(after_sync)
    assert plugins.listens("after_sync")
    assert not plugins.listens("after_commit")
    plugins.notify("after_sync", report="a report")
    assert given == ["a report"]
