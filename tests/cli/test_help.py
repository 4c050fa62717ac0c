"""Help: short, grouped, true, and without importing what a command needs."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import friday_store
from friday_store import errors
from friday_store.cli import FOLDED, TABLE, cli, topics
from friday_store.cli.command import Command

from .conftest import Run, Spawn

HEAVY = (
    "msgpack", "pluggy", "sqlalchemy", "fsspec", "pandas", "sklearn", "numpy", "rich", "joblib", "blake3", "zstandard",
    "semver", "platformdirs", "tomlkit", "scipy",
)  # fmt: skip


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", command.commands[below]) for below in command.commands)


COMMANDS = dict(_commands())
EXAMPLES = [
    pytest.param(example, marks=[pytest.mark.slow] if name == "demo" else [], id=example)
    for name, command in COMMANDS.items()
    if isinstance(command, Command)
    for example in command.examples
]


def test_root_help_is_short_and_grouped(run: Run) -> None:
    """The root's help has at most 45 lines, and every command stands in one of five sections."""
    shown = run("--help").stdout
    assert len(shown.splitlines()) <= 45
    assert [line[:-1] for line in shown.splitlines() if re.fullmatch(r"[A-Z]\w+:", line)] == list(TABLE)
    rows = dict(re.findall(r"^  (\w[\w, -]*?)\s{2,}(.+)$", shown, re.MULTILINE))
    for section in TABLE.values():
        for name, (_, line) in section.items():
            [(names, told)] = [(names, told) for names, told in rows.items() if name in names.split(", ")]
            assert line.lower()[:-1] in told.lower()
            assert 1 == len(names.split(", ")) or set(names.split(", ")) in [{*pair} for pair in FOLDED.items()]
    assert run().stdout == shown == run("help").stdout == run("-h").stdout


def test_the_table_says_what_the_commands_say() -> None:
    """The one line in the root's help is the first of the command's own."""
    for section in TABLE.values():
        for name, (_, line) in section.items():
            assert (COMMANDS[name].help or "").splitlines()[0] == line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_examples(name: str, run: Run) -> None:
    """A command's help has a usage line, one line that sums it up, and at least two examples."""
    shown = run(*name.split(), "--help").stdout
    assert shown.startswith(f"Usage: friday-store {name}")
    assert len(re.findall(rf"^  \$ friday-store {name}\b", shown, re.MULTILINE)) >= 2
    assert re.search(r"^  [A-Z].*\.$", shown, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(example: str, work: Path, run: Run, request: pytest.FixtureRequest) -> None:
    """What the help shows works as it stands."""
    if example.startswith(("train", "predict", "data")):
        request.getfixturevalue("market")
    command, _, stdin = example.partition(" < ")
    result = run(*shlex.split(command), **({"input": Path(stdin).read_text()} if stdin else {}))
    assert result.exit_code == 0, result.stderr


def test_version(run: Run) -> None:
    """--version names the program and its version."""
    assert run("--version").stdout == f"friday-store {friday_store.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--version"], HEAVY),
        (["--help"], HEAVY),
        (["ls", "--help"], HEAVY),
        (["help", "exit-codes"], HEAVY),
        (["completion", "bash"], HEAVY),
        (["completion", "powershell"], HEAVY),
        (["ls"], ("sqlalchemy", "pandas", "numpy", "sklearn", "fsspec", "rich", "joblib")),
        (["show", "aapl_1d"], ("sqlalchemy", "pandas", "numpy", "sklearn", "fsspec", "rich", "joblib")),
        (["history", "aapl_1d"], ("sqlalchemy", "pandas", "numpy", "sklearn", "fsspec", "rich", "joblib")),
        (["metrics", "aapl_1d"], ("sqlalchemy", "pandas", "numpy", "sklearn", "fsspec", "rich", "joblib")),
        (["compare", "aapl_1d"], ("sqlalchemy", "pandas", "numpy", "sklearn", "fsspec", "rich", "joblib")),
        (["diff", "aapl_1d"], ("sqlalchemy", "pandas", "sklearn", "fsspec", "rich", "joblib")),
        (["lineage", "aapl_1d"], ("sqlalchemy", "pandas", "numpy", "sklearn", "fsspec", "rich", "joblib")),
        (["log", "--all"], ("sqlalchemy", "pandas", "numpy", "sklearn", "fsspec", "rich", "joblib")),
    ],
    ids=str,
)
def test_lazy_imports(arguments: list[str], heavy: tuple[str, ...], work: Path) -> None:
    """Help, version and completion import click alone; looking imports no data library and no SQLAlchemy."""
    script = (
        "import sys\nfrom friday_store.cli import cli\n"
        "code = cli.run(sys.argv[1:])\nassert code == 0, code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert "click" in loaded
    assert loaded.isdisjoint(heavy)


@pytest.mark.parametrize("arguments", [["ls"], ["show", "aapl_1d"]], ids=str)
def test_looking_imports_nothing_that_collects_or_trains(arguments: list[str], work: Path) -> None:
    """Who looks does not wait for the import of what erases, restores, probes, trains or tunes."""
    script = (
        "import sys\nfrom friday_store.cli import cli\n"
        "code = cli.run(sys.argv[1:])\nassert code == 0, code\n"
        "print(sorted(name for name in sys.modules if name.startswith('friday_store.')), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert "friday_store.registry.keeping" in loaded
    unneeded = {
        "maintenance.gc", "maintenance.marking", "maintenance.past", "maintenance.revival", "registry.retention",
        "storage.probe", "default_plugins.estimators", "default_plugins.targets", "default_plugins.tuners",
    }  # fmt: skip
    assert set() == loaded & {f"friday_store.{name}" for name in unneeded}


def test_a_command_that_is_near_is_named(run: Run) -> None:
    """A mistyped command, option, model, topic or remote gets a suggestion."""
    assert "; did you mean 'push'?" in run("psh").stderr
    assert "'--versions'" in run("ls", "--version").stderr
    assert "did you mean 'exit-codes'?" in run("help", "exit-code").stderr


def test_a_name_that_is_near_is_named(work: Path, run: Run) -> None:
    """A mistyped model or remote gets a suggestion, and the hint is a command that runs."""
    result = run("show", "aapl_1h")
    assert "did you mean 'aapl_1d'?" in result.stderr
    hint = result.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert run(*shlex.split(hint)).exit_code == 0
    assert "did you mean 'origin'?" in run("remote", "show", "orign").stderr


def test_exit_codes_are_documented(run: Run) -> None:
    """Every error's exit code stands in ``help exit-codes``."""
    shown = run("help", "exit-codes").stdout
    kinds: list[type[errors.FridayStoreError]] = [errors.FridayStoreError, *errors.FridayStoreError.__subclasses__()]
    for code in {kind.exit_code for kind in kinds} | {0, 2, 12, 130, 141}:
        assert re.search(rf"^  {code}\s", shown, re.MULTILINE)


def test_the_environment_is_documented(run: Run) -> None:
    """Every variable of ours that the package reads stands in ``help environment``, and no other."""
    package = Path(friday_store.__file__).parent
    pattern = re.compile(r"\bFRIDAY_STORE_(?:[A-Z]+\b|REMOTE_<NAME>_<OPTION>)")
    named = {name for file in package.rglob("*.py") for name in pattern.findall(file.read_text())}
    assert named - {"FRIDAY_STORE_COMPLETE"} == {name for name in topics.ENVIRONMENT if name.startswith("FRIDAY")}
    assert "FRIDAY_STORE_URL" in run("help", "environment").stdout


def test_help_on_revisions_and_commands(run: Run) -> None:
    """``help`` explains revisions, shows a command's help, and refuses what it does not know."""
    assert "NAME@production" in run("help", "revisions").stdout
    assert "  origin/" in run("help", "revisions").stdout
    assert "--theirs GLOB" in run("help", "sync").stdout
    assert run("help", "register").stdout.startswith("Usage: friday-store register")
    assert (run("help", "nonsense").exit_code, run("help", "nonsense").stdout) == (2, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts(shell: str, run: Run) -> None:
    """There is a completion script for four shells."""
    result = run("completion", shell)
    assert result.exit_code == 0, result.stderr
    assert "_FRIDAY_STORE_COMPLETE" in result.stdout


def test_completion_knows_models_and_commands(work: Path, spawn: Spawn) -> None:
    """The shell is offered the commands, and the models of the registry at hand."""

    def offered(words: str) -> str:
        count = str(len(words.split()) - 1)
        return spawn(_FRIDAY_STORE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count).stdout

    assert offered("friday-store show aa") == "plain,aapl_1d\n"
    assert offered("friday-store rest") == "plain,restore\n"
    assert offered("friday-store best aapl_1d --metric a") == "plain,auc\n"
    assert offered("friday-store metrics aapl_1d l") == "plain,loss\n"


def test_completion_is_silent_without_a_registry(run: Run, spawn: Spawn) -> None:
    """Where there is no registry nothing is offered and nothing is said."""
    done = spawn(_FRIDAY_STORE_COMPLETE="bash_complete", COMP_WORDS="friday-store show a", COMP_CWORD="2")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    assert json.loads(run("plugins", "--json").stdout) is not None
