"""``remote``, ``init`` and ``doctor`` about places: what is kept, shown, asked and refused, end to end."""

from __future__ import annotations

import json
import shlex
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from friday_store import ModelRegistry
from friday_store.cli import probing
from friday_store.plugins import Plugins
from friday_store.storage.memory import MemoryStorage
from friday_store.storage.probe import Probe
from tests.servers.fixtures import Served

from .conftest import Run, Spawn

CANARY = "hunter2-canary"


def _json(run: Run, *arguments: object) -> Any:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def nobody() -> Iterator[list[str]]:
    """Return the options of an S3 endpoint at which nobody answers, whose port is held until the test ends."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        said = [f"endpoint_url={url}", "attempts=1", "deadline=5", "key=env:LAB_KEY", "secret=env:LAB_SECRET"]
        yield [word for each in said for word in ("-o", each)]


@pytest.fixture
def careless(gcs_unconditional: Served) -> list[str]:
    """Return the URL and options of a store that ignores the condition: every writer wins, as with some servers."""
    said = [f"{name}={value}" for name, value in gcs_unconditional.options.items()]
    return [gcs_unconditional.url, *(word for each in said for word in ("-o", each))]


def test_add_show_and_remove(work: Path, run: Run) -> None:
    """A remote is added with options, listed, shown with the origin of each, and removed."""
    added = _json(
        run, "remote", "add", "--no-probe", "bucket", "s3://models/team", "-o", "client_kwargs.region_name=eu",
        "-o", "use_ssl=false",
    )  # fmt: skip
    assert {"name": "bucket", "url": "s3://models/team", "probe": None} == added
    assert {
        "name": "bucket",
        "url": "s3://models/team",
        "partial": False,
        "single_writer": False,
        "options": {"client_kwargs.region_name": "eu", "use_ssl": False},
        "origins": {"url": "repository", "client_kwargs.region_name": "repository", "use_ssl": "repository"},
        "probe": {},
    } == _json(run, "remote", "show", "bucket")
    assert ["bucket", "origin"] == [each["name"] for each in _json(run, "remote")]
    _json(run, "-o", "anon=true", "remote", "add", "--no-probe", "early", "s3://models")
    assert {"anon": True} == _json(run, "remote", "show", "early")["options"]
    _json(run, "remote", "rm", "early")
    _json(run, "remote", "rm", "bucket")
    assert ["origin"] == [each["name"] for each in _json(run, "remote", "ls")]


def test_the_place_is_asked(work: Path, run: Run) -> None:
    """``remote add`` says in a line what the place can do, keeps it, and leaves nothing there."""
    shown = run("--format", "human", "remote", "add", "mem", "memory://cli-asked/models")
    assert ["mem is memory://cli-asked/models"] == shown.stdout.splitlines()[:1]
    assert "a file can be created once, and once only" in shown.stdout.splitlines()[1]
    assert "" == shown.stderr
    kept = _json(run, "remote", "show", "mem")["probe"]
    assert (True, True) == (kept["exclusive"], kept["writable"])
    assert [] == MemoryStorage("memory://cli-asked/models", {}).list("")
    _json(run, "remote", "set", "mem", "url=memory://cli-asked/other")
    assert {} == _json(run, "remote", "show", "mem")["probe"]


def test_a_place_that_does_not_answer_is_added(
    work: Path, spawn: Spawn, run: Run, nobody: list[str]
) -> None:  # fmt: skip
    """Nobody there, or no such variable, is a warning: the remote is added, unprobed."""
    done = spawn("remote", "add", "lab", "s3://lab", *nobody, "--json", LAB_KEY=CANARY, LAB_SECRET=CANARY)
    assert 0 == done.returncode, done.stderr
    assert done.stderr.startswith("warning: lab is added but was not reached: ")
    assert CANARY not in done.stdout + done.stderr
    unset = run("remote", "add", "lab2", "s3://lab", *nobody)
    assert 0 == unset.exit_code
    assert "LAB_KEY, which is not set" in unset.stderr
    assert [{}, {}] == [_json(run, "remote", "show", name)["probe"] for name in ("lab", "lab2")]


def test_secrets_go_to_the_local_file(work: Path, run: Run) -> None:
    """Without --local a secret is refused; the hint is the command with it, which then works."""
    line = ["remote", "add", "--no-probe", "lab", "s3://lab", "-o", "region=eu", "-o", f"secret={CANARY}"]
    refused = run(*line)
    assert (2, "") == (refused.exit_code, refused.stdout)
    assert CANARY not in refused.output
    hint = shlex.split(refused.stderr.splitlines()[1].removeprefix("hint: friday-store "))
    assert ["remote", "add", "--local", "lab", "s3://lab", "-o", "region=eu", "-o", "secret=..."] == hint
    assert 0 == run(*[f"secret={CANARY}" if word == "secret=..." else word for word in hint], "--no-probe").exit_code
    local = work / ".friday" / "config.local.toml"
    assert CANARY in local.read_text()
    assert 0o600 == stat.S_IMODE(local.stat().st_mode)
    shown = _json(run, "remote", "show", "lab")
    assert ("***", "local") == (shown["options"]["secret"], shown["origins"]["secret"])
    assert CANARY not in run("remote", "show", "lab", "--format", "human").output


def test_set_puts_and_takes_away(work: Path, run: Run) -> None:
    """KEY=VALUE sets, KEY= takes away what holds, and what lay below it shows again."""
    _json(run, "remote", "set", "origin", "a.b=1", "single_writer=true")
    _json(run, "remote", "set", "--local", "origin", "a.b=2", "token=x=y=")
    shown = _json(run, "remote", "show", "origin")
    assert {"a.b": 2, "token": "***"} == shown["options"]
    assert {"url": "repository", "a.b": "local", "token": "local"} == shown["origins"]
    assert shown["single_writer"]
    shown = _json(run, "remote", "set", "origin", "a.b=", "token=", "single_writer=")
    assert ({"a.b": 1}, False) == (shown["options"], shown["single_writer"])
    assert "repository" == shown["origins"]["a.b"]
    assert 3 == run("remote", "set", "origin", "token=").exit_code
    assert 2 == run("remote", "set", "origin", "nonsense").exit_code
    assert 2 == run("remote", "set", "origin").exit_code
    assert 3 == run("remote", "set", "nothing", "a=1").exit_code


def test_the_users_own_remotes(work: Path, home: Path, run: Run) -> None:
    """--global works without a repository, and every repository of the user has it."""
    assert 0 == run("-C", "/", "remote", "add", "--global", "--no-probe", "mine", "s3://mine").exit_code
    assert "s3://mine" in (home / "config.toml").read_text()
    assert not (home / "registry").exists()
    assert ["mine", "origin"] == [each["name"] for each in _json(run, "remote")]
    refused = run("remote", "rm", "mine")
    assert 2 == refused.exit_code
    hint = refused.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert 0 == run(*shlex.split(hint)).exit_code
    assert ["origin"] == [each["name"] for each in _json(run, "remote")]


def test_a_careless_store_is_refused(work: Path, run: Run, careless: list[str]) -> None:
    """Where two writers win ``init`` refuses with code 7 and names the way out, which works."""
    refused = run("init", *careless)
    assert (7, "") == (refused.exit_code, refused.stdout)
    assert "two writers" in refused.stderr
    hint = refused.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert 8 == run("ls", "-R", *careless).exit_code
    assert 0 == run(*shlex.split(hint)).exit_code
    assert 0 == run("ls", "-R", *careless).exit_code


@pytest.mark.parametrize("vouched", [["-o", "single_writer=true"], ["--no-probe"]], ids=" ".join)
def test_a_careless_store_is_taken_when_told(work: Path, run: Run, careless: list[str], vouched: list[str]) -> None:
    """As an option ``single_writer`` does what --single-writer does, and who asks for no probe gets none."""
    assert _json(run, "init", *careless, *vouched)["created"]


def test_pushing_to_a_careless_store(work: Path, run: Run, careless: list[str]) -> None:
    """``remote add`` warns; a push is refused with code 7 and writes nothing, until the user vouches as hinted."""
    added = run("remote", "add", "bad", *careless)
    assert 0 == added.exit_code
    assert "two writers" in added.stderr
    assert not _json(run, "remote", "show", "bad")["probe"]["exclusive"]
    refused = run("push", "bad")
    assert (7, "") == (refused.exit_code, refused.stdout)
    assert 8 == run("ls", "-R", *careless).exit_code
    hint = refused.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert ["remote", "set", "bad", "single_writer=true"] == shlex.split(hint)
    assert 0 == run(*shlex.split(hint)).exit_code
    assert 0 == run("push", "bad").exit_code


def test_pushing_to_a_store_that_was_not_probed(work: Path, run: Run, careless: list[str], gcs: Served) -> None:
    """The first push to a place that nobody asked asks it, keeps the answer, and refuses a careless one."""
    _json(run, "remote", "add", "--no-probe", "bad", *careless)
    assert 7 == run("push", "bad").exit_code
    assert not _json(run, "remote", "show", "bad")["probe"]["exclusive"]
    options = [word for name, value in gcs.options.items() for word in ("-o", f"{name}={value}")]
    _json(run, "remote", "add", "--no-probe", "good", gcs.url, *options)
    assert 0 == run("push", "good").exit_code
    assert _json(run, "remote", "show", "good")["probe"]["exclusive"]


def test_doctor_asks_every_remote(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each remote has rows of its own; one that cannot be opened fails the whole, and nothing is kept or left."""
    _json(run, "remote", "add", "--no-probe", "mem", "memory://cli-doctor/models")
    _json(run, "remote", "add", "later", "../later")
    before = (work / ".friday" / "config.toml").read_text()
    checks = {each["check"]: each["state"] for each in _json(run, "doctor")}
    assert {"ok"} == {checks[f"remote {name}{what}"] for name in ("mem", "origin") for what in _ROWS}
    assert "note" == checks["remote later"]
    assert not (work / "later").exists()
    assert before == (work / ".friday" / "config.toml").read_text()
    assert [] == [path for path in work.rglob("*") if path.name.startswith((".probe", ".tmp"))]
    monkeypatch.setenv("FRIDAY_STORE_REMOTE_MEM_KEY", "env:NO_SUCH")
    failed = run("doctor", "--json")
    assert 1 == failed.exit_code
    [row] = [each for each in json.loads(failed.stdout) if each["check"].startswith("remote mem")]
    assert ("fail", True) == (row["state"], "NO_SUCH" in row["detail"])


_ROWS = ("", " read", " write", " exclusive")


def test_doctor_looks_at_the_local_file(work: Path, run: Run) -> None:
    """A file with secrets that others can read is a warning with the command that closes it."""
    _json(run, "remote", "set", "--local", "origin", f"secret={CANARY}")

    def row() -> Any:
        return next(each for each in _json(run, "doctor") if each["check"] == "config.local.toml")

    assert ("ok", "mode 0600") == (row()["state"], row()["detail"])
    (work / ".friday" / "config.local.toml").chmod(0o640)
    assert "warning" == row()["state"]
    assert row()["detail"].endswith(f"chmod 600 {work}/.friday/config.local.toml")


def test_doctor_about_a_careless_store(work: Path, run: Run, careless: list[str]) -> None:
    """A remote that lets two writers win is a warning, and a note once the user vouches."""
    _json(run, "remote", "add", "--no-probe", "bad", *careless)

    def state() -> str:
        return next(str(each["state"]) for each in _json(run, "doctor") if each["check"] == "remote bad exclusive")

    assert "warning" == state()
    _json(run, "remote", "set", "bad", "single_writer=true")
    assert "note" == state()


def test_a_registry_at_a_url_takes_options(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """-o before or after the command and FRIDAY_STORE_REMOTE_REGISTRY_* reach the store; -o is the stronger."""
    assert 0 == run("init", "memory://cli-options/models").exit_code
    assert 0 == run("-R", "memory://cli-options/models", "-o", "single_writer=true", "ls").exit_code
    assert 0 == run("ls", "-R", "memory://cli-options/models", "-o", "single_writer=true").exit_code
    assert 2 == run("ls", "-R", "memory://cli-options/models", "-o", "single_writer=maybe").exit_code
    monkeypatch.setenv("FRIDAY_STORE_REMOTE_REGISTRY_SINGLE_WRITER", "maybe")
    assert 2 == run("ls", "-R", "memory://cli-options/models").exit_code
    assert 0 == run("ls").exit_code


@pytest.mark.parametrize(
    ("clock", "state", "said"),
    [
        (0.4, "ok", "agrees"),
        (-1.4, "ok", "1.4 s behind"),
        (-5.0, "ok", "5.0 s behind"),
        (5.1, "warning", "5.1 s ahead"),
        (-90, "warning", "90.0 s"),
    ],
)
def test_clocks_that_differ(clock: float, state: str, said: str) -> None:
    """More than five seconds between the store's clock and this one is a warning."""
    found = Probe(readable=True, writable=True, exclusive=True, clock=clock, reason="")
    rows = {check: (found_state, detail) for check, found_state, detail in probing.checks(found, single_writer=False)}
    assert state == rows["clock"][0]
    assert said in rows["clock"][1]


def test_what_cannot_be_read_or_written() -> None:
    """A place that cannot be read fails with the reason and nothing else; one that can only be read is a note."""
    found = Probe(readable=False, writable=False, exclusive=None, clock=None, reason="no route")
    assert [("read", "fail", "no route")] == list(probing.checks(found, single_writer=False))
    rows = list(probing.checks(replace(found, readable=True, reason="denied"), single_writer=False))
    assert [("read", "ok"), ("write", "note")] == [row[:2] for row in rows]
    unsure = replace(found, readable=True, writable=True, reason="it was cut off")
    assert ("exclusive", "warning", "it was cut off") == list(probing.checks(unsure, single_writer=False))[-1]


def test_doctor_lists_unfinished_uploads(work: Path, run: Run, s3: Served) -> None:
    """An upload that was begun and left is named with its time; where all are finished that is said."""

    def uploads() -> dict[str, str]:
        return next(each for each in _json(run, "doctor") if each["check"] == "remote bucket uploads")

    with ModelRegistry(work / ".friday", plugins=Plugins(())) as registry:
        registry.add_remote("bucket", s3.url, s3.options, where="local")
        registry.push("bucket")
        assert ("ok", "none is unfinished") == (uploads()["state"], uploads()["detail"])
        storage: Any = s3.open()
        storage.ask("begin", "packs/left", lambda: storage._persist("create_multipart_upload", Key="store/packs/left"))
        assert ["packs/left"] == [each.name for each in registry.unfinished_uploads("bucket") or []]
    assert "note" == uploads()["state"]
    assert "1 unfinished" in uploads()["detail"]
    assert "packs/left" in uploads()["detail"]
    with ModelRegistry(work / ".friday", plugins=Plugins(())) as registry:
        assert registry.unfinished_uploads() is None


def test_fsck_that_cannot_look_is_no_damage(work: Path, run: Run) -> None:
    """Code 7 is for a store that could not be read; 5 is for damage alone, and 0 for none."""
    _json(run, "remote", "add", "--no-probe", "nowhere", "http://127.0.0.1:9/models")
    assert 7 == run("fsck", "--remote", "nowhere").exit_code
    assert 0 == run("fsck").exit_code
    entry = work / ".friday/log/0000000000/002"
    entry.chmod(0o600)
    entry.write_bytes(entry.read_bytes()[:-1])
    assert 5 == run("fsck").exit_code
