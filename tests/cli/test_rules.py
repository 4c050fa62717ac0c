"""The rules of the whole command tree: codes, rehearsals, completion in four shells, no network, a true reference."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from friday_store import ModelRegistry
from friday_store.cli import reference, topics
from friday_store.plugins import Plugins
from friday_store.trust import Identity

from .conftest import ENTRY, Run, Spawn
from .test_help import COMMANDS, EXAMPLES

ROOT = Path(__file__).parent.parent.parent
_GATE = """
from friday_store import GateError, hookimpl

@hookimpl
def before_ref_update(update):
    raise GateError("not today", plugin="guest")
"""


def _damage(work: Path) -> None:
    pack = max((work / ".friday" / "packs").rglob("*.pack"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 4] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)


def _stranger(work: Path, run: Run) -> None:
    with ModelRegistry(work / "theirs", plugins=Plugins(()), identity=Identity(None)) as theirs:
        theirs.register_model({"theirs": 1}, "theirs")
    assert 0 == run("remote", "add", "them", work / "theirs").exit_code
    assert 0 == run("pull", "them").exit_code


def _apart(work: Path, run: Run) -> None:
    assert 0 == run("push").exit_code
    with ModelRegistry(work / "shared" / "team", plugins=Plugins(())) as team:
        team.register_model({"other": 1}, "aapl_1d", "2.0.0")
    assert 0 == run("register", "model.pkl", "-n", "aapl_1d", "--as", "2.0.0").exit_code
    assert 0 == run("register", "model.pkl", "-n", "another").exit_code


CODES: dict[int, tuple[list[str], Callable[[Path, Run], Any] | None]] = {
    0: (["ls"], None),
    1: (["diff", "aapl_1d", "--exit-code"], None),
    2: (["ls", "--nonsense"], None),
    3: (["show", "nothing"], None),
    4: (["register", "model.pkl", "-n", "aapl_1d", "--as", "1.0.0"], None),
    5: (["fsck"], lambda work, _: _damage(work)),
    6: (["load", "theirs"], _stranger),
    7: (["get", "aapl_1d", "nowhere/model.pkl"], None),
    8: (["-C", "/", "ls"], None),
    10: (["register", "model.pkl", "-n", "m", "--format", "nonsense"], None),
    12: (["push"], _apart),
}
_ELSEWHERE = {11: "a gate", 130: "a signal", 141: "a reader that went away"}


def test_every_code_is_provoked_somewhere() -> None:
    """``help exit-codes`` lists these codes and no other."""
    assert set(topics.EXIT_CODES) == {*CODES, *_ELSEWHERE}


@pytest.mark.parametrize("code", CODES)
def test_each_code(code: int, work: Path, run: Run) -> None:
    """Each code is what the help says, and a failure leaves stdout empty unless the code is about what is written."""
    arguments, before = CODES[code]
    if before is not None:
        before(work, run)
    result = run(*arguments)
    assert code == result.exit_code, result.stderr
    if code not in (0, 1, 5, 12):
        assert "" == result.stdout


def test_a_gate_ends_with_11(work: Path, plugin: Callable[[str], None], spawn: Spawn) -> None:
    """What a plugin refuses ends with 11."""
    plugin(_GATE)
    assert 11 == spawn("tag", "aapl_1d:1.0.0", "new").returncode


def test_a_signal_ends_with_130(work: Path) -> None:
    """Ctrl-C ends a command with 130 and without a traceback."""
    reading = subprocess.Popen(
        [*ENTRY, "register", "-", "-n", "m"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert reading.stdin is not None
    reading.stdin.write("begun")
    reading.stdin.flush()
    try:
        reading.wait(4)
    except subprocess.TimeoutExpired:
        reading.send_signal(signal.SIGINT)
    _, said = reading.communicate(timeout=60)
    assert (130, False) == (reading.returncode, "Traceback" in said)


def test_a_reader_that_goes_away_ends_with_141(work: Path) -> None:
    """``| head`` gives 141, and nothing is said."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*ENTRY, "log", "--all"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (141, b"") == (done.returncode, done.stderr)


def _same(records: Any, *fields: str) -> Any:
    """Return what of a record must be alike in the rehearsal and the run."""
    found = records if isinstance(records, list) else [records]
    return [{field: each[field] for field in fields} for each in found]


SYNC = ("direction", "refs", "objects", "size_bytes", "present")
REHEARSED: dict[str, tuple[list[str], tuple[str, ...], list[list[str]]]] = {
    "rm": (["rm", "--force", "--yes", "aapl_1d"], ("model_id", "model_version"), []),
    "restore": (["restore", "gone"], ("model_id", "model_version"), []),
    "rollback": (["rollback", "aapl_1d"], ("model_id",), []),
    "push": (["push"], SYNC, []),
    "pull": (["pull"], SYNC, []),
    "fetch": (["fetch"], SYNC, []),
    "mirror": (["mirror", "origin", "--yes"], SYNC, []),
    "import": (["import", "team.friday"], ("refs", "objects", "size_bytes", "present"), []),
    "prune": (["prune", "aapl_1d", "--keep-best", "loss:1", "--yes"], ("model_id", "size_bytes", "kept"), []),
    "gc": (
        ["gc", "--grace", "0", "--yes"],
        ("grace", "objects", "objects_dropped", "packs_removed", "bytes_removed", "files_deleted", "bytes_freed"),
        [["rm", "--yes", "weights_only"]],
    ),
}


def test_every_rehearsal_is_tested() -> None:
    """There is no command with --dry-run that the next test leaves out."""
    rehearsing = {name for name, command in COMMANDS.items() if any(p.name == "dry_run" for p in command.params)}
    assert rehearsing == set(REHEARSED)


@pytest.mark.parametrize("name", REHEARSED)
def test_a_rehearsal_says_what_the_run_does(name: str, work: Path, run: Run) -> None:
    """``-n`` changes nothing, and reports exactly what the run then reports."""
    arguments, fields, before = REHEARSED[name]
    for line in before:
        assert 0 == run(*line).exit_code
    entries = run("log", "--all", "--json").stdout
    there = run("-R", "shared/team", "log", "--all", "--json").stdout
    planned = run(*arguments, "-n", "--json")
    assert 0 == planned.exit_code, planned.stderr
    assert (entries, there) == (
        run("log", "--all", "--json").stdout,
        run("-R", "shared/team", "log", "--all", "--json").stdout,
    )
    done = run(*arguments, "--json")
    assert 0 == done.exit_code, done.stderr
    assert _same(json.loads(planned.stdout), *fields) == _same(json.loads(done.stdout), *fields)


_OFFLINE = """
import contextlib, io, os, shlex, shutil, sys
TRIED = []
WATCHED = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname",
           "socket.gethostbyaddr", "urllib.Request")
def watch(event, arguments):
    if event in WATCHED:
        TRIED.append((event, str(arguments)[:200]))
        raise OSError("there is no network here")
sys.addaudithook(watch)
from friday_store.cli import cli
for number, line in enumerate(sys.stdin.read().splitlines()):
    os.chdir(shutil.copytree(sys.argv[1], f"{sys.argv[2]}/{number}"))
    command, _, source = line.partition(" < ")
    sys.stdin = open(source) if source else io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.run(shlex.split(command))
    print(code, line, *TRIED, sep="\\t")
    TRIED.clear()
"""


def test_nothing_asks_the_network(market: Path, tmp_path: Path) -> None:
    """Every example of every help runs with the network taken away, and none of them ever tries it: no telemetry."""
    examples = [str(each.values[0]) for each in EXAMPLES]
    lines = [line for line in examples if not line.startswith("demo") and "://" not in line]  # what no URL asks for
    lines += ["--version", "--help", "doctor --json", "plugins", "help environment", "completion zsh"]
    done = subprocess.run(
        [sys.executable, "-c", _OFFLINE, market, tmp_path / "each"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == len(told), done.stderr
    assert [] == [each[1:3] for each in told if len(each) > 2]
    failed = [each[:2] for each in told if each[0] != "0"]
    assert len(failed) < 10, failed  # some need a home of their own, such as identity import


def _completed(spawn: Spawn, shell: str, words: str) -> list[str]:
    """Return what is offered for the last word, as the shell's own script asks."""
    *before, last = words.split(" ")
    asked = {"COMP_WORDS": words, "COMP_CWORD": last if shell == "fish" else str(len(before))}
    done = spawn(_FRIDAY_STORE_COMPLETE=f"{shell}_complete", **asked)
    assert (0, "") == (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    if shell == "bash":
        return [line.partition(",")[2] for line in lines if line]
    if shell == "zsh":
        return [line.replace("\\:", ":") for line in lines[1::3]]
    if shell == "fish":
        return [line.partition(",")[2].partition("\t")[0] for line in lines if line.startswith("plain")] or lines[1::3]
    return lines[1::3]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_offers_names(shell: str, work: Path, spawn: Spawn) -> None:
    """Four shells are offered the models at hand, and after a model its versions."""
    assert ["aapl_1d"] == _completed(spawn, shell, "friday-store show aa")
    assert ["aapl_1d:1.0.0", "aapl_1d:1.1.0"] == _completed(spawn, shell, "friday-store show aapl_1d:")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("show aapl_1d@", ["aapl_1d@1d", "aapl_1d@AAPL", "aapl_1d@production"]),
        ("alias aapl_1d@", ["aapl_1d@production"]),
        ("tag aapl_1d:1.0.0 ", ["1d", "AAPL"]),
        ("tag aapl_1d:1.0.0 A", ["AAPL"]),
        ("rollback aapl_1d@p", ["aapl_1d@production"]),
        ("restore g", ["gone"]),
        ("restore gone:", ["gone:1.0.0"]),
        ("status aapl_1d:1.0.0 sta", ["staging"]),
        ("metrics aapl_1d l", ["loss"]),
        ("best aapl_1d --metric a", ["auc"]),
        ("blame aapl_1d de", ["depth"]),
        ("get aapl_1d --attachment c", ["card.md"]),
        ("push o", ["origin"]),
        ("fsck --repair-from o", ["origin"]),
        ("remote show o", ["origin"]),
        ("remote s", ["set", "show"]),
        ("register model.pkl -n aa", ["aapl_1d"]),
        ("register model.pkl --format nu", ["numpy"]),
        ("help exit", ["exit-codes"]),
        ("help resto", ["restore"]),
        ("trust show aa", ["aapl_1d"]),
        ("-R shared/team show te", ["team_model"]),
        ("-C shared/team ls n", []),
        ("show nothing-", []),
    ],
)
def test_completion_knows_what_is_meant(words: str, offered: list[str], work: Path, spawn: Spawn) -> None:
    """A word is completed by what it stands for: alias, tag, version, status, metric, format, remote or topic."""
    assert offered == _completed(spawn, "bash", f"friday-store {words}")


def test_bash_keeps_a_revision_one_word(work: Path, tmp_path: Path) -> None:
    """The script works in a real bash, which else cuts words at colons."""
    program = tmp_path / "bin" / "friday-store"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ENTRY)} "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(friday-store completion bash)"
        case $COMP_WORDBREAKS in *[:@]*) echo broken;; esac
        COMP_WORDS=(friday-store show aapl_1d:1.1) COMP_CWORD=2
        _friday_store_completion friday-store
        echo "${COMPREPLY[@]}"
    """
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert ("aapl_1d:1.1.0\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("topic", topics.TOPICS)
def test_every_topic_is_named_where_it_is_looked_for(topic: str, run: Run) -> None:
    """``help -h`` names each topic, and each says more than a line."""
    assert topic in run("help", "-h").stdout
    shown = run("help", topic).stdout
    assert len(shown.splitlines()) > 3


def test_the_readme_s_reference_is_what_the_commands_say() -> None:
    """The README's reference is generated; ``friday-store help reference`` writes it anew."""
    readme = (ROOT / "README.md").read_text()
    begin, end = "<!-- reference -->\n", "\n<!-- end of the reference -->"
    assert reference.markdown() == readme[readme.index(begin) + len(begin) : readme.index(end)]


def test_the_reference_names_every_command() -> None:
    """No command, exit code or variable is left out."""
    shown = reference.markdown()
    for name in COMMANDS:
        assert f"| `{name}" in shown
    for name in (*map(str, topics.EXIT_CODES), *topics.ENVIRONMENT):
        assert f"| `{name}` |" in shown


def test_shared_options_are_told_once(run: Run) -> None:
    """Every shared option stands in the root's help, so that a command's own help need not repeat it."""
    shown = run("--help").stdout
    for param in click.Context(COMMANDS["ls"]).command.params:
        if isinstance(param, click.Option) and param.hidden:
            assert any(flag in shown for flag in param.opts), param.opts
