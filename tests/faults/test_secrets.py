"""S14: six secrets, each given in its own way, are found in nothing that is said, logged, kept, shown or pickled."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from friday_store import FridayStoreError, ModelRegistry
from friday_store.cli import cli, failure
from friday_store.cli.session import Session
from friday_store.registry import location

_ENTRY = [sys.executable, "-c", "from friday_store.cli import main; main()"]
_WHERE = ("urlpass", "awskey", "awssecret", "token", "variable", "indirect", "localfile", "signed")


def _canary(where: str) -> str:
    return f"CANARYof{where}0123456789"


@dataclass
class Story:
    """A repository with a remote for every way to give a secret, and all that was said on the way.

    Attributes:
        work: Where it lies.
        endpoint: Where nobody answers.
        said: Everything that went to stdout and stderr.
    """

    work: Path
    endpoint: str
    said: list[str] = field(default_factory=list)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command line here, which must end with the exit code; return what it wrote to stdout."""
        result = CliRunner().invoke(cli, ["-C", str(self.work), *arguments])
        self.said.append(result.output)
        assert code == result.exit_code, result.output
        return result.stdout

    @property
    def quick(self) -> list[str]:
        """Options with which an endpoint that does not answer is given up soon."""
        said = [f"endpoint_url={self.endpoint}", "attempts=1", "deadline=5", "attempt_timeout=2"]
        return [word for each in said for word in ("-o", each)]


@pytest.fixture
def story(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """Make the repository, with versions that were registered while the secrets were in the environment."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("FRIDAY_STORE_REMOTE_VARIABLE_SECRET", _canary("variable"))
    monkeypatch.setenv("FRIDAY_STORE_REMOTE_VARIABLE_KEY", "someone")
    monkeypatch.setenv("LAB_SECRET", _canary("indirect"))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        story = Story(work, f"http://127.0.0.1:{held.getsockname()[1]}")
        _tell(story)
        yield story


def _tell(story: Story) -> None:
    quick, place = story.quick, story.endpoint.removeprefix("http://")
    (story.work / "model.json").write_text('{"weights": [1, 2]}')
    story.run("init")
    story.run("register", "model.json", "-n", "m", "-t", "first")
    urlpass = f"s3://someone:{_canary('urlpass')}@bucket/models"
    keys = ["-o", f"key={_canary('awskey')}", "-o", f"secret={_canary('awssecret')}"]
    signed = f"http://{place}/models?X-Amz-Signature={_canary('signed')}"
    story.run("remote", "add", "urlpass", urlpass, code=2)
    story.run("remote", "add", "keys", "s3://bucket/models", *quick, *keys, code=2)
    story.run("remote", "add", "--global", "signed", signed, code=2)
    story.run("remote", "add", "--local", "urlpass", urlpass, *quick)
    story.run("remote", "add", "--local", "keys", "s3://bucket/models", *quick, *keys)
    story.run("remote", "add", "--local", "signed", signed)
    story.run("remote", "add", "token", "gs://bucket/models", *quick, "--no-probe")
    story.run("remote", "set", "token", f"token.refresh_token={_canary('token')}", code=2)
    story.run("remote", "set", "--local", "token", f"token.refresh_token={_canary('token')}")
    story.run("remote", "set", "--local", "token", "token.type=authorized_user")
    story.run("remote", "add", "variable", "s3://bucket/models", *quick)
    story.run("remote", "add", "indirect", "s3://bucket/models", *quick, "-o", "secret=env:LAB_SECRET")
    story.run("remote", "add", "localfile", "s3://bucket/models", *quick, "--no-probe")
    story.run("remote", "set", "--local", "localfile", "key=me", f"secret={_canary('localfile')}")


REMOTES = ("urlpass", "keys", "signed", "token", "variable", "indirect", "localfile")


def _hits(text: str | bytes) -> set[str]:
    """Return the secrets that stand in a text, as they are or as HTTP's basic authentication would send them."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    basic = base64.b64encode(f"someone:{_canary('urlpass')}".encode())
    found = {where for where in _WHERE if _canary(where).encode() in data}
    return found | ({"urlpass in base64"} if basic in data else set())


def _told(error: BaseException) -> str:
    """Return all that an error says of itself and of what led to it."""
    lines = [*traceback.format_exception(error), str(error), repr(error), repr(error.args), str(vars(error))]
    return "\n".join(lines)


def _everywhere(story: Story) -> list[str]:
    """Return every secret that the remotes hold when they are resolved, as one checks that a net has no hole."""
    remotes = location.remotes(story.work / ".friday")
    return [f"{remote.url} {dict(remote.options)}" for remote in map(remotes.resolve, REMOTES)]


def test_the_secrets_are_in_use(story: Story) -> None:
    """The check can fail: each secret reaches the place where a store is opened, and those given to us are kept."""
    assert set(_WHERE) == _hits("".join(_everywhere(story))) - {"urlpass in base64"}
    kept = (story.work / ".friday" / "config.local.toml").read_bytes()
    assert set(_WHERE) - {"variable", "indirect"} == _hits(kept)


@pytest.mark.parametrize("loud", [[], ["--debug", "-vv"]], ids=["quiet", "loud"])
def test_nothing_that_is_said_holds_a_secret(
    story: Story, loud: list[str], caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    """Listing, showing, failing to push, pull and clone, doctor, help about errors: no output has a secret."""
    caplog.set_level(logging.DEBUG, "friday_store")
    for kind in ("human", "tsv", "json", "jsonl", "ids"):
        story.run(*loud, "remote", "ls", "--format", kind)
        for name in REMOTES:
            story.run(*loud, "remote", "show", name, "--format", kind)
    for name in REMOTES:
        story.run(*loud, "push", name, code=7)
        story.run(*loud, "pull", name, code=7)
    checks = json.loads(story.run(*loud, "doctor", "--json", code=1))
    assert {f"remote {name}" for name in REMOTES} <= {each["check"].removesuffix(" read") for each in checks}
    for shown in (["log", "--all"], ["show", "m", "--env"], ["fsck"], ["ls", "--versions"]):
        story.run(*loud, *shown, "--json")
    story.run(*loud, "remote", "rm", "urlpass")
    assert set() == _hits("\n".join(story.said))
    assert set() == _hits(caplog.text)


@pytest.mark.parametrize("loud", [[], ["--debug", "-vv"]], ids=["quiet", "loud"])
def test_secrets_on_the_command_line_are_not_repeated(story: Story, loud: list[str]) -> None:
    """A URL or option typed for one command is in no message, hint or traceback of it."""
    place = story.endpoint.removeprefix("http://")
    url, secret = f"s3://someone:{_canary('urlpass')}@bucket/models", ["-o", f"secret={_canary('awssecret')}"]
    signed = f"http://{place}/models?X-Amz-Signature={_canary('signed')}&x=1"
    unreachable = (
        ["-R", url, *story.quick, "ls"],
        ["-R", "s3://bucket/models", *story.quick, "-o", "key=me", *secret, "ls"],
        ["-R", "s3://bucket/models", *story.quick, f"-ototoken={_canary('token')}", "ls"],
        ["-R", signed, "ls"],
        ["init", url, *story.quick],
        ["push", url, *story.quick],
        ["push", signed],
        ["pull", "s3://bucket/models", *story.quick, *secret],
        ["clone", url, "copy", *story.quick],
        ["clone", signed, "copy"],
    )
    for arguments in unreachable:
        story.run(*loud, *arguments, code=7)
    refused = (
        ["push", f"s3://someone:{_canary('urlpass')}/slash@bucket/models", *story.quick],
        ["remote", "set", "variable", f"secret={_canary('awssecret')}"],
        ["remote", "set", "variable", f"url={url}"],
        ["remote", "add", "keys", signed],
    )
    for arguments in refused:
        story.run(*loud, *arguments, code=2)
    assert set() == _hits("\n".join(story.said))


def test_the_hint_after_a_bug_repeats_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """What to run again after an unexpected error is the command line with dots in the place of secrets."""
    url = f"s3://someone:{_canary('urlpass')}@bucket/models"
    secrets = ["-o", f"secret={_canary('awssecret')}", f"-otoken.x={_canary('token')}"]
    session = Session(["-R", url, *secrets, "-o", "region=eu", "ls"])
    session.debug = True
    assert 1 == failure.told(session, RuntimeError(f"cannot open {url}"))
    said = capsys.readouterr().err
    assert "friday-store --debug -R s3://bucket/models -o secret=... -otoken.x=... -o region=eu ls" in said
    assert set() == _hits(said)


def test_a_process_of_its_own_says_no_secret(story: Story) -> None:
    """Also what other libraries write to stderr at exit, and all their logs, has no secret."""
    for arguments in (["push", "urlpass"], ["pull", "signed"], ["pull", "token"], ["remote", "show", "variable"]):
        done = subprocess.run(
            [*_ENTRY, "--debug", "-vv", *arguments], cwd=story.work, capture_output=True, timeout=120, check=False
        )
        assert (0 if arguments[0] == "remote" else 7, set()) == (done.returncode, _hits(done.stdout + done.stderr))


def test_no_file_holds_a_secret_but_the_local_one(story: Story, home: Path) -> None:
    """Index, packs, log, what is remembered of remotes, configuration, caches: only config.local.toml has them."""
    for name in REMOTES:
        story.run("push", name, code=7)
        story.run("pull", name, code=7)
    story.run("register", "model.json", "-n", "m2", "-m", "after all that")
    files = [path for top in (story.work, home) for path in top.rglob("*") if path.is_file()]
    assert {"config.toml", "index.db"} <= {path.name for path in files}
    assert {"config.local.toml"} == {path.name for path in files if _hits(path.read_bytes())}
    with ModelRegistry(story.work / ".friday") as registry:
        known = [registry.get_model_metadata(each["model_id"]) for each in registry.list_models()]
    assert 2 == len(known)
    assert set() == _hits(json.dumps(known, default=str))


def test_what_succeeds_leaves_no_secret_behind(story: Story, home: Path) -> None:
    """After pushes, pulls and a clone that worked, neither side has the credentials with which they worked."""
    url = f"memory://someone:{_canary('urlpass')}@reached{id(story)}/models"
    story.run("remote", "add", "--local", "reached", url, "-o", f"token={_canary('token')}")
    for arguments in (
        ["push", "reached"],
        ["pull", "reached"],
        ["push", "reached", "--json"],
        ["remote", "show", "reached"],
    ):
        story.run("--debug", "-vv", *arguments)
    story.run("clone", url, str(story.work / "copy"))
    files = [path for top in (story.work, home) for path in top.rglob("*") if path.is_file()]
    assert 2 <= len({path.parent for path in files if path.name == "index.db"})
    assert [] == [path for path in files if path.name != "config.local.toml" and _hits(path.read_bytes())]
    there = location.remotes(story.work / ".friday").resolve("reached").storage()
    names = [entry.name for entry in there.list("") if not entry.folder]
    assert "friday-store.json" in names
    assert set() == _hits(b"".join(there.read(name) or b"" for name in [*names, "log/0000000000/001"]))
    assert set() == _hits("\n".join(story.said))


def test_nothing_in_python_shows_a_secret(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    """Errors with all that led to them, representations and logs have none; what holds some is not pickled."""
    caplog.set_level(logging.DEBUG, "friday_store")
    remotes = location.remotes(story.work / ".friday")
    shown = [repr(remotes.listing())]
    with ModelRegistry(story.work / ".friday") as registry:
        for name in REMOTES:
            remote = remotes.resolve(name)
            shown += [repr(remote), str(remote), f"{remote!r}", repr(registry.remote(name)), remote.place]
            for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError) as refused:
                    attempt(remote)
                shown.append(_told(refused.value))
            with pytest.raises(FridayStoreError) as failed:
                registry.push(name)
            shown += [_told(failed.value), repr(pickle.dumps(failed.value))]
        shown.append(repr(registry))
    assert set() == _hits("\n".join(shown))
    assert set() == _hits(caplog.text)


def test_storage_options_are_not_shown(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    """A token given to a registry at a URL is in no error, representation or log of it."""
    caplog.set_level(logging.DEBUG, "friday_store")
    options: dict[str, Any] = {"endpoint_url": story.endpoint, "attempts": 1, "deadline": 5, "attempt_timeout": 2}
    options |= {"key": _canary("awskey"), "secret": _canary("awssecret"), "token": _canary("token")}
    with pytest.raises(FridayStoreError) as failed:
        ModelRegistry(f"s3://someone:{_canary('urlpass')}@bucket/models", storage_options=options)
    shown = [_told(failed.value), repr(pickle.dumps(failed.value))]
    with ModelRegistry("memory://secrets/models", storage_options={"token": _canary("token")}) as registry:
        shown += [repr(registry), registry.url, repr(registry.place), repr(registry.repository.storage)]
        with pytest.raises(TypeError) as refused:
            pickle.dumps(registry.place)
        shown.append(_told(refused.value))
    assert set() == _hits("\n".join(shown))
    assert set() == _hits(caplog.text)
