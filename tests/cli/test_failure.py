"""Exit codes, and what stderr says: two lines, the second a command that runs."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from friday_store import ModelRegistry

from .conftest import ENTRY, Run, Spawn

FAILING = [
    (["nonsense"], 2),
    (["ls", "--nonsense"], 2),
    (["ls", "-n", "many"], 2),
    (["-C", "nowhere", "ls"], 2),
    (["ls", "--sort", "nonsense"], 2),
    (["ls", "--versions", "--sort", "nonsense"], 2),
    (["register", "model.pkl"], 2),
    (["register", "model.pkl", "-n", "bad name"], 2),
    (["register", "model.pkl", "-n", "m", "--as", "1"], 2),
    (["register", "model.pkl", "-n", "m", "--metric", "auc"], 2),
    (["register", "model.pkl", "-n", "m", "--metric", "auc=high"], 2),
    (["register", "model.pkl", "-n", "m", "--format", "json"], 2),
    (["status", "aapl_1d", "nonsense"], 2),
    (["alias", "other@production", "aapl_1d"], 2),
    (["show", "not a revision"], 2),
    (["rm", "aapl_1d:1.0.0"], 2),
    (["push", "--all", "origin", "aapl_1d"], 2),
    (["push", "--force", "--force-with-lease"], 2),
    (["push", "--theirs", "production"], 2),
    (["pull", "--progress", "loud"], 2),
    (["mirror"], 2),
    (["mirror", "origin"], 2),
    (["tag", "-d", "aapl_1d"], 2),
    (["completion", "tcsh"], 2),
    (["show", "nothing"], 3),
    (["show", "aapl_1d:9.0.0"], 3),
    (["ls", "nothing"], 3),
    (["log", "nothing"], 3),
    (["get", "nothing"], 3),
    (["load", "nothing"], 3),
    (["rm", "--yes", "nothing"], 3),
    (["restore", "nothing"], 3),
    (["tag", "nothing", "t"], 3),
    (["tag", "-d", "aapl_1d", "nothing"], 3),
    (["alias", "nothing"], 3),
    (["alias", "-d", "aapl_1d@nothing"], 3),
    (["register", "nothing.pkl", "-n", "m"], 3),
    (["push", "nothing"], 3),
    (["pull", "nothing"], 3),
    (["fetch", "nothing"], 3),
    (["mirror", "nothing"], 3),
    (["status", "nothing"], 3),
    (["status", "origin"], 3),
    (["remote", "show", "nothing"], 3),
    (["remote", "rm", "nothing"], 3),
    (["trust", "add", "nothing"], 3),
    (["trust", "rm", "aapl_1d:1.0.0"], 3),
    (["register", "model.pkl", "-n", "aapl_1d", "--as", "1.0.0"], 4),
    (["rm", "--yes", "aapl_1d:1.1.0"], 4),
    (["rm", "-n", "aapl_1d:1.1.0"], 4),
    (["get", "aapl_1d", "model.pkl"], 4),
    (["get", "aapl_1d", "nowhere/model.pkl"], 7),
    (["push", "./model.pkl/below"], 7),
    (["pull", "./nowhere"], 8),
    (["clone", "./nowhere", "copy"], 8),
    (["register", "model.pkl", "-n", "m", "--format", "nonsense"], 10),
]


@pytest.mark.parametrize(("arguments", "code"), FAILING, ids=str)
def test_exit_codes(arguments: list[str], code: int, work: Path, run: Run) -> None:
    """A failure writes nothing to stdout, ``error:`` and perhaps ``hint:`` to stderr, and has its own code.

    A condition or an order that cannot be understood stands below the error, indented, with a mark at the mistake.
    """
    result = run("--json", *arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    lines = result.stderr.splitlines()
    if lines[-1].strip(" ^") == "":
        lines = lines[:-2]
    assert lines[0].startswith("error: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    assert not lines[0].startswith(('error: "', "error: '\"", "error: ''"))


READING = [
    ["ls"],
    ["show", "m"],
    ["log"],
    ["log", "--all"],
    ["get", "m"],
    ["load", "m"],
    ["tag"],
    ["alias"],
    ["status", "m"],
    ["export", "m", "-o", "f"],
    ["rm", "m"],
    ["restore", "m"],
    ["push"],
    ["pull"],
    ["fetch"],
    ["mirror", "r"],
    ["status"],
    ["remote"],
    ["remote", "add", "a", "b"],
    ["fsck"],
    ["trust", "add", "m"],
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_no_registry(arguments: list[str], run: Run) -> None:
    """Where there is no registry every command that needs one says how to make it, with code 8."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (8, "")
    assert result.stderr.splitlines()[1] == "hint: friday-store init"


def test_the_hint_about_a_place_names_it(run: Run) -> None:
    """With --registry the hint makes a registry at that place, and then the command works."""
    result = run("--registry", "models", "ls")
    hint = result.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert run(*shlex.split(hint)).exit_code == 0
    assert run("ls", "--registry", "models").exit_code == 0


def test_something_else_is_no_registry(run: Run) -> None:
    """A folder with other things in it is refused with code 8 and left as it is."""
    Path("thesis.txt").write_text("mine")
    assert run("init", ".").exit_code == 8
    assert run("--registry", ".", "ls").exit_code == 8
    assert [path.name for path in Path().iterdir()] == ["thesis.txt"]


def test_a_newer_format(work: Path, run: Run) -> None:
    """A repository of a newer format is refused with code 8."""
    path = work / ".friday" / "friday-store.json"
    made = json.loads(path.read_text())
    path.chmod(0o600)
    path.write_text(json.dumps({**made, "format": 2}, sort_keys=True) + "\n")
    assert run("ls").exit_code == 8


def test_an_unexpected_error(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is one line and a hint with code 1; --debug and FRIDAY_STORE_DEBUG show where it was."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr(ModelRegistry, "list_summaries", broken)
    result = run("ls", "-n", "3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ("error: unexpected ZeroDivisionError: by nothing\nhint: friday-store --debug ls -n 3\n")
    assert "Traceback" in run("ls", "--debug").stderr
    monkeypatch.setenv("FRIDAY_STORE_DEBUG", "1")
    assert "Traceback" in run("ls").stderr


def test_an_interrupt(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with code 130 and says nothing."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelRegistry, "list_summaries", interrupted)
    result = run("ls")
    assert (result.exit_code, result.output) == (130, "")


def test_a_signal(work: Path, plugin: Callable[[str], None]) -> None:
    """SIGINT ends a running process with code 130 and no traceback."""
    plugin(
        "import time\nimport click\nfrom friday_store import hookimpl\n\n"
        "@hookimpl\ndef register_commands(group):\n    @group.command()\n    def wait():\n"
        "        click.echo('ready')\n        time.sleep(60)\n"
    )
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background shell has it ignored, for children too
    with subprocess.Popen([*ENTRY, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")


def test_a_reader_that_went_away(work: Path) -> None:
    """Writing to a closed pipe ends with code 141 and says nothing."""
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([*ENTRY, "log", "--all", "--json"], stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


def test_damage(work: Path, run: Run) -> None:
    """Damaged bytes end fsck and load with code 5 and doctor with code 1; fsck's JSON lists them."""
    with ModelRegistry() as registry:
        artifact = registry.get_model_metadata("weights_only")["artifact"]
        parts = registry.repository.artifact(bytes.fromhex(artifact)).parts
        place = registry.repository.objects.find(next(iter(parts[-1])))
        assert place is not None
        name, frame = place[0].name, place[0].frame(place[1])
    [pack] = (work / ".friday" / "packs").rglob(f"{name}.pack")
    data = bytearray(pack.read_bytes())
    data[frame.offset] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    result = run("fsck", "--json")
    assert result.exit_code == 5
    assert {each["severity"] for each in json.loads(result.stdout)["problems"]} == {"error"}
    assert run("load", "weights_only").exit_code == 5
    assert run("get", "weights_only", "out.npz").exit_code == 5
    assert not (work / "out.npz").exists()
    pack.unlink()
    assert run("doctor").exit_code == 1


def test_trust(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What came from elsewhere is refused with code 6, and the hint is the command that makes it load."""
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "stranger"))
    assert run("clone", ".", tmp_path / "copy").exit_code == 0
    monkeypatch.chdir(tmp_path / "copy")
    assert run("load", "weights_only").exit_code == 0
    result = run("load", "aapl_1d")
    assert (result.exit_code, result.stdout) == (6, "")
    hint = result.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert run(*shlex.split(hint)).exit_code == 0
    assert run("load", "aapl_1d").exit_code == 0
    assert run("load", "aapl_1d:1.0.0").exit_code == 6
    assert run("get", "aapl_1d:1.0.0").exit_code == 0


def test_trust_of_a_repository(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trusting a repository by its id loads all that came from it, until it is no longer trusted."""
    identity = json.loads((work / ".friday" / "friday-store.json").read_text())["id"]
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "stranger"))
    run("clone", ".", tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert run("trust", "add", identity).exit_code == 0
    assert run("load", "aapl_1d").exit_code == 0
    assert run("trust", "rm", identity).exit_code == 0
    assert run("load", "aapl_1d").exit_code == 6


def test_a_gate(work: Path, plugin: Callable[[str], None], spawn: Spawn) -> None:
    """A plugin that refuses a change ends it with code 11; without plugins it goes through."""
    plugin(
        "from friday_store import GateError, hookimpl\n\n"
        "@hookimpl\ndef before_ref_update(update):\n    raise GateError('not on a Friday', plugin='guest')\n"
    )
    result = spawn("register", "model.pkl", "-n", "m")
    assert (result.returncode, result.stdout, result.stderr) == (11, "", "error: not on a Friday\n")
    assert spawn("register", "model.pkl", "-n", "m", "--no-plugins").returncode == 0


def test_a_broken_plugin(work: Path, plugin: Callable[[str], None], spawn: Spawn) -> None:
    """A plugin that cannot be imported stops nothing; ``plugins`` and ``doctor`` say what is wrong with it."""
    plugin("raise RuntimeError('broken\\x1b[31m here')\n")
    assert spawn("--help").returncode == 0
    assert spawn("ls").returncode == 0
    result = spawn("plugins", "--json")
    assert result.returncode == 0
    [guest] = [each for each in json.loads(result.stdout) if each["name"] == "guest"]
    assert guest["errors"] == ["RuntimeError: broken\x1b[31m here"]
    assert result.stderr == "warning: plugin guest: RuntimeError: broken\\x1b[31m here\n"
    assert spawn("doctor").returncode == 1
    assert spawn("doctor", "--no-plugins").returncode == 0


def test_commands_of_plugins(work: Path, plugin: Callable[[str], None], spawn: Spawn) -> None:
    """A plugin adds a command, and cannot take the name of a built-in one."""
    plugin(
        "import click\nfrom friday_store import hookimpl\n\n"
        "@hookimpl\ndef register_commands(group):\n"
        "    @group.command()\n    @click.pass_obj\n    def hello(session):\n        click.echo('hello')\n"
        "    @group.command()\n    def ls():\n        click.echo('mine')\n"
    )
    assert spawn("hello").stdout == "hello\n"
    assert "mine" not in spawn("ls").stdout


def test_partial_success(work: Path, run: Run) -> None:
    """A push that moves some refs and leaves others alone says which, with code 12; only others: code 4."""
    with ModelRegistry("shared/team") as team:
        team.register_model({"other": "content"}, "aapl_1d", "1.0.0")
    result = run("push", "--porcelain")
    assert result.exit_code == 12
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert ["!", "versions/aapl_1d/1.0.0:versions/aapl_1d/1.0.0"] in [row[:2] for row in rows]
    assert ["*", "versions/aapl_1d/1.1.0:versions/aapl_1d/1.1.0"] in [row[:2] for row in rows]
    assert "left alone" in result.stderr
    again = run("push", "--json")
    assert again.exit_code == 4
    assert {each["flag"] for each in json.loads(again.stdout)["refs"]} == {"!"}


def test_nobody_to_ask(work: Path, run: Run) -> None:
    """Where nobody can be asked rm wants --yes, and the hint is that command."""
    result = run("rm", "weights_only")
    assert result.exit_code == 2
    hint = result.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert run(*shlex.split(hint)).exit_code == 0
    assert run("show", "weights_only").exit_code == 3


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_rm_asks(answer: str, code: int, work: Path, run: Run) -> None:
    """On a terminal rm asks on stderr; with no for an answer nothing is removed and the code is 1."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run([*ENTRY, "rm", "weights_only"], stdin=theirs, capture_output=True, text=True, check=False)
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, bool(done.stdout)) == (code, code == 0)
    assert done.stderr.startswith("Remove 1 version of weights_only?")
    assert run("show", "weights_only").exit_code == (3 if answer == "y" else 0)


def test_a_failed_command_changes_nothing(work: Path, run: Run) -> None:
    """After all these failures the log has no new entry."""
    before = run("log", "--all").stdout
    for arguments, _ in FAILING:
        run(*arguments)
    assert run("log", "--all").stdout == before


def test_a_copy_of_the_folder_is_the_same_registry(work: Path, run: Run, tmp_path: Path) -> None:
    """A registry that was copied elsewhere shows the same there."""
    shutil.copytree(work / ".friday", tmp_path / "elsewhere")
    assert run("--registry", tmp_path / "elsewhere", "ls").stdout == run("ls").stdout
