"""Trust on the command line: nothing to do for one's own models, one command for anybody else's."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from friday_store import ModelRegistry, signing
from friday_store.plugins import Plugins
from friday_store.trust import Identity

from .conftest import Run


def hinted(stderr: str) -> list[str]:
    """Return the words of the command that a hint names."""
    [line] = [line for line in stderr.splitlines() if line.startswith("hint: friday-store ")]
    return shlex.split(line.removeprefix("hint: friday-store "))


@pytest.fixture
def stranger(work: Path) -> Identity:
    """Whose model is in the team's registry, as ``theirs``, and pulled from there."""
    made = Identity(None, "sam@elsewhere")
    with ModelRegistry(work / "shared" / "team", plugins=Plugins(()), identity=made, actor="sam@elsewhere") as team:
        team.register_model({"a": {1, 2}}, "theirs")
    return made


def test_the_happy_path_has_no_prompt_and_no_flag(work: Path, run: Run) -> None:
    """S5: what was registered here loads here, with nothing said about trust."""
    assert run("register", "model.pkl", "-n", "mine", "--format", "pickle5").exit_code == 0
    loaded = run("load", "mine")
    assert (loaded.exit_code, loaded.stderr) == (0, "")


def test_a_stranger_s_model_is_one_command_away(work: Path, run: Run, stranger: Identity) -> None:
    """S5: it is refused with its name, who signed it, and the command that accepts it; that is run, and it loads."""
    assert run("pull", "origin").exit_code == 0
    refused = run("load", "theirs")
    assert (refused.exit_code, refused.stdout) == (6, "")
    shown = signing.fingerprint(stranger.key().public)
    for said in ("theirs:1.0.0", f"signed with {shown}, a key that you do not know", "sam@elsewhere"):
        assert said in refused.stderr
    assert run(*hinted(refused.stderr)).exit_code == 0
    assert run("load", "theirs").exit_code == 0
    assert run("trust", "rm", "theirs").exit_code == 0
    assert run("load", "theirs").exit_code == 6


def test_keys(work: Path, run: Run, stranger: Identity) -> None:
    """A key is trusted by the version it signed or by its line, named, listed, revoked and forgotten."""
    run("pull", "origin")
    line, shown = signing.written(stranger.key().public, "sam"), signing.fingerprint(stranger.key().public)
    assert f"key {shown} (sam) is trusted\n" == run("trust", "add", *line.split(), "--format", "human").stdout
    assert run("load", "theirs").exit_code == 0
    assert run("trust", "rm", "sam").exit_code == 0
    assert run("load", "theirs").exit_code == 6
    assert run("trust", "add", "--signer", "theirs", "--name", "Sam", "--until", "2099-01-01").exit_code == 0
    [key] = [each for each in json.loads(run("trust", "ls", "--json").stdout) if each["kind"] == "key"]
    assert (shown, "Sam", "trusted until 2099-01-01") == (key["value"], key["name"], key["state"])
    assert f"signed with {shown} (Sam, trusted)" in run("trust", "show", "theirs", "--format", "human").stdout
    assert run("trust", "revoke", shown).exit_code == 0
    assert "(Sam, revoked)" in run("load", "theirs").stderr
    again = run("trust", "add", "--signer", "theirs")
    assert (again.exit_code, "was revoked" in again.stderr) == (2, True)
    assert run("trust", "add", "ssh-ed25519", "AAAA").exit_code == 2
    assert run("trust", "add", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA").exit_code == 2
    assert run("trust", "revoke", "nobody").exit_code == 3


def test_trusting_a_remote(work: Path, run: Run, stranger: Identity) -> None:
    """A remote's name stands for the id of its repository."""
    run("pull", "origin")
    told = run("trust", "add", "origin", "--json")
    with ModelRegistry(work / "shared" / "team") as team:
        assert team.repository.id == json.loads(told.stdout)["value"]
    assert run("load", "theirs").exit_code == 0
    assert run("trust", "rm", "origin").exit_code == 0
    assert run("load", "theirs").exit_code == 6


def test_a_policy(work: Path, run: Run, stranger: Identity) -> None:
    """Nothing of a remote loads without the signatures that its policy asks for; an approval of one's own is one."""
    run("pull", "origin")
    assert run("trust", "require", "origin", "--keys", "2").exit_code == 0
    assert run("trust", "add", "--signer", "theirs").exit_code == 0
    refused = run("load", "theirs")
    assert (refused.exit_code, "1 of the 2 trusted keys" in refused.stderr) == (6, True)
    assert run(*hinted(refused.stderr)).exit_code == 0
    assert run("load", "theirs").exit_code == 0
    assert [] != json.loads(run("trust", "show", "theirs", "--json").stdout)["approvers"]
    assert run("trust", "require", "nowhere").exit_code == 3
    assert run("trust", "require", "origin", "--keys", "0").exit_code == 0


def test_who_is_to_approve_can_look_first(work: Path, run: Run) -> None:
    """Under a policy ``get`` still writes what is attached, and ``--help`` says what a policy does not cover."""
    report = work / "report.html"
    report.write_text("sound")
    assert run("register", str(report), "-n", "mine", "--attach", str(report)).exit_code == 0
    assert run("trust", "require", "anywhere", "--keys", "2").exit_code == 0
    assert run("load", "mine").exit_code == 6
    assert run("get", "mine", "--attachment", "report.html", str(work / "got.html")).exit_code == 0
    assert "sound" == (work / "got.html").read_text()
    assert "by bundle" in run("trust", "require", "--help").stdout


def test_the_identity(work: Path, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that ``identity`` shows is what another machine needs; the key itself can be taken along too."""
    run("register", "model.pkl", "-n", "mine", "--format", "pickle5")
    shown = json.loads(run("identity", "--json").stdout)
    assert shown == json.loads(run("trust", "show", "--json").stdout)
    human = run("identity", "--format", "human").stdout
    assert human.splitlines()[-1] == f"  friday-store trust add {shown['public']}"
    assert run("identity", "export", "taken.json").exit_code == 0
    assert run("identity", "export", "taken.json").exit_code == 4
    assert 0o600 == (work / "taken.json").stat().st_mode & 0o777
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(home.parent / "second"))
    assert run("load", "mine").exit_code == 6
    command = shlex.split(human.splitlines()[-1].strip().removeprefix("friday-store "))
    assert run(*command).exit_code == 0
    assert run("load", "mine").exit_code == 0
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(home.parent / "third"))
    assert run("identity", "import", "taken.json").exit_code == 0
    assert run("load", "mine").exit_code == 0
    other = run("identity", "import", "my-key.json")
    assert (other.exit_code, "an identity here already" in other.stderr) == (4, True)
    assert run("identity", "import", "my-key.json", "--replace").exit_code == 0
    assert run("load", "mine").exit_code == 0


def test_show_says_who_signed(work: Path, run: Run) -> None:
    """``show`` says whose signature a version bears, and doctor names one's own key."""
    run("register", "model.pkl", "-n", "mine", "--format", "pickle5")
    assert "(your own key)" in json.loads(run("show", "mine", "--json").stdout)["signature"]
    checks = {each["check"]: each for each in json.loads(run("doctor", "--json").stdout)}
    assert checks["identity"]["detail"].startswith("SHA256:")
