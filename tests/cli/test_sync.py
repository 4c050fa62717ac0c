"""Push, pull, fetch, clone, mirror and status: what they say, what they ask, and how they end."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry
from friday_store.cli import progress
from friday_store.cli.progress import Watch
from friday_store.cli.session import Session
from friday_store.sync import Progress

from .conftest import ENTRY, Run, Spawn

AT_ONCE = "from friday_store.cli import main, progress; progress.DELAY = 0.0; main()"
INTERRUPTED = """
import os, signal
from friday_store.cli import main, progress

show = progress.Watch.__call__

def interrupted(watch, how_far):
    show(watch, how_far)
    os.kill(os.getpid(), signal.SIGINT)

progress.DELAY = 0.0
progress.Watch.__call__ = interrupted
main()
"""


def _json(run: Run, *arguments: object) -> Any:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def _hinted(run: Run, stderr: str) -> Any:
    """Run the command of a hint, and return what came of it."""
    [hint] = [line for line in stderr.splitlines() if line.startswith("hint: friday-store ")]
    return run(*shlex.split(hint.removeprefix("hint: friday-store ")))


@pytest.fixture
def apart(work: Path, run: Run) -> Path:
    """The prepared folder after a push, with an alias that was then moved here and in ``shared/team``."""
    assert run("push").exit_code == 0
    with ModelRegistry("shared/team") as team:
        team.set_alias("aapl_1d:1.0.0", "production")
    with ModelRegistry() as registry:
        registry.register_model({"weights": [9.0]}, "aapl_1d", "2.0.0", aliases=["production"])
    return work


def _production(place: str) -> str:
    with ModelRegistry(place) as registry:
        return str(registry.get_model_metadata("aapl_1d@production")["model_version"])


@pytest.mark.parametrize("command", ["push", "pull", "fetch"])
def test_a_dry_run_says_what_the_run_then_says(command: str, work: Path, run: Run) -> None:
    """Objects, bytes and refs of the rehearsal are those of the real run, and the rehearsal changes nothing."""
    rehearsed = [_json(run, command, "-n") for _ in range(2)]
    done = _json(run, command)
    assert [{**done, "dry_run": True}] * 2 == rehearsed
    assert done["objects"] > 0
    assert done["size_bytes"] > 0


def test_all_is_every_model(work: Path, run: Run) -> None:
    """--all sends what no pattern sends, and goes with no pattern."""
    assert _json(run, "push", "-n") == _json(run, "push", "-n", "--all")
    assert run("push", "--all", "origin", "weights*").exit_code == 2


def test_the_summary_counts(work: Path, run: Run) -> None:
    """People read objects, bytes, what was there and how many refs; then that nothing is left to do."""
    shown = run("push", "--format", "human").stdout.splitlines()
    assert shown[-1].endswith(f") sent; {len(shown) - 1} refs")
    assert run("pull").exit_code == 0
    assert "up to date\n" == run("push", "--format", "human").stdout
    with ModelRegistry() as registry:
        registry.register_model({"weights": [1.5, 2.5]}, "aapl_1d", "3.0.0")
    again = run("push", "--format", "human").stdout.splitlines()
    assert again[0].startswith(" * versions/aapl_1d/3.0.0  new ")
    assert again[1].startswith("1 object (")
    assert ") sent, " in again[1]
    assert " were there; 1 ref" in again[1]


def test_the_summary_of_a_move(apart: Path, run: Run) -> None:
    """Where no object was copied people read only that refs moved; a note's digest is cut as all digests are."""
    assert run("pull").exit_code == 12
    moved = run("pull", "--theirs", "*", "-n", "--format", "human").stdout.splitlines()
    assert "1 ref would be moved" == moved[-1]
    assert "1 ref moved" == run("pull", "--theirs", "*", "--format", "human").stdout.splitlines()[-1]
    assert run("status", "aapl_1d", "staging").exit_code == 0
    [note] = [line for line in run("push", "--format", "human").stdout.splitlines() if " notes/" in line]
    assert re.fullmatch(r" \* notes/aapl_1d/2\.0\.0/([0-9a-f]{12})  new \1", note)


def test_porcelain(apart: Path, run: Run) -> None:
    """Each ref is flag, from:to and summary between tabs; ``Done`` ends a push that left nothing alone, only."""
    rejected = run("push", "--porcelain")
    assert rejected.exit_code == 12
    rows = [line.split("\t") for line in rejected.stdout.splitlines()]
    assert {len(row) for row in rows} == {3}
    assert ["!", "aliases/aapl_1d/production:aliases/aapl_1d/production", "it moved on both sides"] in rows
    assert [row[0] for row in rows] == ["*", "!"]
    kept = run("push", "--porcelain", "-n", "--theirs", "*").stdout.splitlines()
    assert ["=\taliases/aapl_1d/production:aliases/aapl_1d/production\tleft as it is", "Done"] == kept
    [forced, done] = run("push", "--porcelain", "--force").stdout.splitlines()
    assert ("+\taliases/aapl_1d/production:", "Done") == (forced[:29], done)
    run("alias", "-d", "aapl_1d@production")
    assert run("push", "--porcelain").stdout.startswith("-\t:aliases/aapl_1d/production\tremoved ")
    assert run("push", "--porcelain").stdout == "Done\n"


@pytest.mark.parametrize(
    ("command", "option", "here", "there"),
    [
        (["push"], ["--ours", "aapl_1d@production"], "2.0.0", "2.0.0"),
        (["push"], ["--theirs", "aapl_1d@*"], "2.0.0", "1.0.0"),
        (["push"], ["--force"], "2.0.0", "2.0.0"),
        (["pull"], ["--ours", "*@production"], "2.0.0", "1.0.0"),
        (["pull"], ["--theirs", "aapl_1d@production"], "1.0.0", "1.0.0"),
        (["pull"], ["--force"], "1.0.0", "1.0.0"),
    ],
    ids=str,
)
def test_conflicts_are_settled_as_asked(
    *, command: list[str], option: list[str], here: str, there: str, apart: Path, run: Run
) -> None:
    """An alias that both sides moved stays where it is on both until it is said which side holds."""
    refused = run(*command)
    assert refused.exit_code in (4, 12)
    assert ("2.0.0", "1.0.0") == (_production(".friday"), _production("shared/team"))
    assert run(*command, "origin", *option).exit_code == 0
    assert (here, there) == (_production(".friday"), _production("shared/team"))


@pytest.mark.parametrize("command", ["push", "pull"])
def test_the_hint_about_a_conflict_runs(command: str, apart: Path, run: Run) -> None:
    """A rejected alias is named, and the command in the hint leaves no conflict."""
    refused = run(command, "origin", "aapl*")
    assert "aliases/aapl_1d/production: it moved on both sides" in refused.stderr
    assert f"hint: friday-store {command} origin 'aapl*' --theirs aapl_1d@production" in refused.stderr
    assert _hinted(run, refused.stderr).exit_code == 0
    assert "1.0.0" == _production("shared/team")


def test_the_hint_about_other_content_runs(work: Path, run: Run) -> None:
    """A version that exists there with other content is shown by the command in the hint."""
    with ModelRegistry("shared/team") as team:
        team.register_model({"other": 1}, "aapl_1d", "1.0.0")
    refused = run("push")
    assert refused.exit_code == 12
    shown = _hinted(run, refused.stderr)
    assert shown.exit_code == 0
    assert "versions/aapl_1d/1.0.0\t" in shown.stdout


def test_a_lease_holds_only_while_nobody_moved_it(apart: Path, run: Run) -> None:
    """--force-with-lease refuses an alias that moved there unseen; after the fetch in the hint it forces it."""
    refused = run("push", "--force-with-lease")
    assert refused.exit_code == 12
    assert "no longer where it was when you last looked" in refused.stderr
    assert "1.0.0" == _production("shared/team")
    assert _hinted(run, refused.stderr).exit_code == 0
    assert run("push", "--force-with-lease").exit_code == 0
    assert "2.0.0" == _production("shared/team")


def test_prune_asks(work: Path, run: Run) -> None:
    """Where nobody can be asked --prune deletes nothing without --yes, and the hint is the command that does."""
    assert run("push").exit_code == 0
    assert run("push", "--prune").exit_code == 0
    assert run("rm", "--yes", "weights_only").exit_code == 0
    refused = run("push", "--prune")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "versions/weights_only/0.1.0" in refused.stderr
    assert "weights_only" in run("ls", "-q", "-R", "shared/team").stdout
    assert [{"-"}] == [{move["flag"] for move in _json(run, "push", "--prune", "-n")["refs"]}]
    assert _hinted(run, refused.stderr).exit_code == 0
    assert "weights_only" not in run("ls", "-q", "-R", "shared/team").stdout


def test_a_pull_prunes_what_is_gone_there(work: Path, run: Run) -> None:
    """``pull --prune --yes`` removes what was removed there, and restore brings it back."""
    assert [0, 0] == [run(each).exit_code for each in ("push", "pull")]
    assert run("rm", "--yes", "weights_only", "-R", "shared/team").exit_code == 0
    assert {"refs": []}.items() <= _json(run, "pull", "-n").items()
    refused = run("pull", "--prune")
    assert (2, "") == (refused.exit_code, refused.stdout)
    assert _hinted(run, refused.stderr).exit_code == 0
    assert run("show", "weights_only").exit_code == 3
    assert run("restore", "weights_only").exit_code == 0
    assert run("show", "weights_only").exit_code == 0


def _answered(answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line whose stdin is a terminal on which somebody types."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run([*ENTRY, *arguments], stdin=theirs, capture_output=True, text=True, check=False, timeout=60)
    os.close(ours)
    os.close(theirs)
    return done


def test_mirror_asks(work: Path, run: Run) -> None:
    """On a terminal mirror shows what it would delete and asks; no leaves it there, yes makes both the same."""
    refused = _answered("n", "mirror", "origin")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "origin: - versions/team_model/1.0.0" in refused.stderr
    assert "Delete or move back 2 refs?" in refused.stderr
    assert "team_model" in run("ls", "-q", "-R", "shared/team").stdout
    assert _answered("y", "mirror", "origin").returncode == 0
    assert run("ls", "-q", "-R", "shared/team").stdout == run("ls", "-q").stdout


def test_mirror_tries_every_remote(work: Path, run: Run) -> None:
    """A remote that fails does not stop the next; the code is 12, and what was done is told."""
    assert run("remote", "add", "--no-probe", "broken", "model.pkl/below").exit_code == 0
    result = run("mirror", "--yes", "--json", "broken", "origin", "./backup")
    assert result.exit_code == 12
    assert ["origin", "./backup"] == [each["remote"] for each in json.loads(result.stdout)]
    assert "error: 1 of 3 remotes failed: broken: " in result.stderr
    assert run("ls", "-q", "-R", "shared/team").stdout == run("ls", "-q").stdout
    assert run("ls", "-q", "-R", "./backup").stdout == run("ls", "-q").stdout
    assert [[]] == [each["refs"] for each in _json(run, "mirror", "origin")]


def test_mirror_rehearses(work: Path, run: Run) -> None:
    """``mirror -n`` says what mirror then does, and asks nothing."""
    rehearsed = _json(run, "mirror", "-n", "origin")
    assert [{**each, "dry_run": True} for each in _json(run, "mirror", "--yes", "origin")] == rehearsed


def test_fetch_moves_nothing(work: Path, run: Run) -> None:
    """After a fetch the objects are here and no name is; the pull that follows copies nothing."""
    before = run("ls").stdout
    fetched = _json(run, "fetch")
    assert (fetched["refs"], fetched["behind"]) == ([], 2)
    assert fetched["objects"] > 0
    assert before == run("ls").stdout
    pulled = _json(run, "pull")
    assert (pulled["objects"], len(pulled["refs"])) == (0, 2)


@pytest.mark.parametrize(
    "command",
    [
        ["show", "origin/team_model"],
        ["show", "origin/team_model@shared"],
        ["get", "origin/team_model:1.0.0", "team.pkl"],
        ["load", "origin/team_model@latest"],
        ["trust", "add", "origin/team_model"],
        ["log", "origin/aapl_1d@production"],
    ],
    ids=" ".join,
)
def test_what_was_fetched_has_a_name(command: list[str], work: Path, run: Run) -> None:
    """After a fetch REMOTE/ before a revision names what the remote has, though no name was moved here."""
    assert [0, 0] == [run(*each).exit_code for each in (["push"], ["fetch"])]
    assert run("show", "team_model").exit_code == 3
    result = run(*command)
    assert result.exit_code == 0, result.stderr


def test_a_clone_of_some_models(work: Path, run: Run) -> None:
    """--only chooses models; with --metadata-only their bytes come when they are loaded."""
    assert run("push").exit_code == 0
    cloned = _json(run, "clone", "shared/team", "some", "--only", "weights*", "--only", "team*")
    assert (2, 2) == (cloned["models"], cloned["versions"])
    _json(run, "clone", "shared/team", "light", "--metadata-only")
    assert _json(run, "-C", "light", "remote", "show", "origin")["partial"] is True
    assert run("-C", "light", "get", "weights_only", "w.npz").exit_code == 0
    with np.load("light/w.npz") as found:
        assert list(range(6)) == next(iter(found.values())).tolist()
    assert run("-C", "light", "fsck").exit_code == 0


def test_a_pull_without_data_can_be_loaded(work: Path, run: Run) -> None:
    """``pull --metadata-only`` remembers where the bytes are; from a place without a name it is refused."""
    assert run("push").exit_code == 0
    assert run("-R", "other", "init").exit_code == 0
    assert run("-R", "other", "pull", "--metadata-only", "shared/team").exit_code == 2
    assert run("-R", "other", "remote", "add", "origin", work / "shared" / "team").exit_code == 0
    assert run("-R", "other", "pull", "--metadata-only").exit_code == 0
    assert run("-R", "other", "fsck").exit_code == 0
    assert run("-R", "other", "get", "weights_only", "w.npz").exit_code == 0


def test_status_counts(apart: Path, run: Run) -> None:
    """--fetch asks the remote what is behind and what is a conflict; people get a line a remote and one a ref."""
    with ModelRegistry("shared/team") as team:
        team.add_tag("weights_only", "late")
    [asked] = _json(run, "status", "--fetch")
    assert (1, 3, 1) == tuple(asked[state] for state in ("ahead", "behind", "conflict"))
    [conflict] = [each for each in asked["refs"] if each["state"] == "conflict"]
    assert "aliases/aapl_1d/production" == conflict["ref"]
    human = run("status", "--fetch", "--format", "human").stdout.splitlines()
    assert "origin: ahead 1, behind 3, conflict 1" == human[0]
    assert " ! aliases/aapl_1d/production  it moved on both sides" in human
    [some] = _json(run, "status", "origin", "weights*", "--fetch")
    assert (0, 1, 0) == tuple(some[state] for state in ("ahead", "behind", "conflict"))
    assert {"ahead", "behind", "conflict"} == {
        line.split("\t")[1] for line in run("status", "--fetch").stdout.splitlines()
    }


def test_status_asks_nobody(work: Path, run: Run) -> None:
    """Without --fetch a remote that is gone does not matter; one that was never reached is said to be so."""
    assert "origin: not looked at yet (friday-store fetch origin)\n" == run("status", "--format", "human").stdout
    for command in ("push", "pull"):
        assert run(command).exit_code == 0
    (work / "shared").rename(work / "away")
    assert "origin: in step\n" == run("status", "--format", "human").stdout
    assert run("tag", "aapl_1d", "new").exit_code == 0
    [found] = _json(run, "status")
    assert ("origin", 1, 0, 0) == tuple(found[key] for key in ("remote", "ahead", "behind", "conflict"))
    assert run("status", "--fetch").exit_code != 0


def test_status_tells_of_every_remote(work: Path, run: Run) -> None:
    """A remote that cannot be reached does not hide the others; the code is 12."""
    assert run("remote", "add", "--no-probe", "broken", "model.pkl/below").exit_code == 0
    result = run("status", "--fetch", "--json")
    assert (12, ["origin"]) == (result.exit_code, [each["remote"] for each in json.loads(result.stdout)])
    assert "1 of 2 remotes failed: broken: " in result.stderr


def test_status_without_remotes(run: Run) -> None:
    """Where there is no remote status writes nothing and says how to add one."""
    assert run("init").exit_code == 0
    result = run("status")
    assert (0, "") == (result.exit_code, result.stdout)
    assert "hint: friday-store remote add origin URL" in result.stderr


def test_options_for_this_time(work: Path, run: Run) -> None:
    """-o reaches the remote's store, before the command and after it, and a clone keeps it."""
    assert run("push", "memory://elsewhere", "-n").exit_code == 0
    result = run("push", "memory://elsewhere", "-n", "-o", "token=env:FRIDAY_NOT_SET")
    assert (2, "") == (result.exit_code, result.stdout)
    assert "FRIDAY_NOT_SET" in result.stderr
    assert run("push", "-o", "nonsense").exit_code == 2
    for folder, before, after in (("one", _OPTION, []), ("two", [], _OPTION)):
        assert run(*before, "clone", "shared/team", folder, *after).exit_code == 0
        assert "auto_mkdir" in _json(run, "-C", folder, "remote", "show", "origin")["options"]


_OPTION = ["-o", "auto_mkdir=true"]


def test_a_pattern_without_a_model_is_said(work: Path, run: Run) -> None:
    """A plain name that no model has is a warning, for a slip would look as if all were there."""
    result = run("push", "origin", "appl_1d")
    assert "warning: there is no model 'appl_1d' here\n" == result.stderr


def _step(done: int) -> Progress:
    return Progress(done, 10, done * 100, 1000, 5)


def _watched(clock: Callable[[], float], steps: int, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the lines of a copy of some steps, each of which takes a tick of the clock."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with Watch(Session(), "json", "push", clock=clock) as watch:
        for done in range(1, steps + 1):
            watch(_step(done))
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_nothing_is_shown_in_the_first_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that is over within a second says nothing; a longer one says how far it is, and how far it came."""
    assert [] == _watched(iter([0.0, 0.2, 0.4, 0.9]).__next__, 3, monkeypatch)
    lines = _watched(iter([0.0, 0.9, 1.0, 1.0, 1.1, 1.2, 1.3]).__next__, 4, monkeypatch)
    assert [2, 4] == [line["done"] for line in lines]
    assert lines[0] == {
        "type": "progress", "command": "push", "done": 2, "objects": 10, "sent_bytes": 200, "size_bytes": 1000,
        "present": 5, "seconds": 1.0,
    }  # fmt: skip


class _Slow(io.StringIO):
    """A stream to which a text goes letter by letter, and other threads have their turn between two."""

    def write(self, text: str) -> int:
        super().write(text[:0])  # refuses bytes
        for letter in text:
            super().write(letter)
            time.sleep(0)
        return len(text)


def test_progress_may_come_from_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines from several threads at once stay whole."""
    stderr = _Slow()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setitem(progress._PACE, "json", 0.0)

    def copy(watch: Watch) -> None:
        for done in range(20):
            watch(_step(done))

    with Watch(Session(), "json", "push", delay=0.0) as watch:
        threads = [threading.Thread(target=copy, args=(watch,)) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    lines = [json.loads(line) for line in stderr.getvalue().splitlines()]
    assert 80 == len(lines)
    assert {"progress"} == {line["type"] for line in lines}


def test_progress_goes_to_stderr(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --progress json stdout is the report alone; where there is no terminal nothing is shown by itself."""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    result = run("push", "--json", "--progress", "json")
    done = json.loads(result.stdout)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert (done["objects"], done["size_bytes"]) == (lines[-1]["done"], lines[-1]["sent_bytes"])
    assert "" == run("clone", "shared/team").stderr
    assert "" == run("clone", "shared/team", "other", "--progress", "none").stderr


def _on_terminal(*arguments: str, script: str = AT_ONCE) -> tuple[int, str, str]:
    """Run a command line whose stderr is a terminal; return its code, its stdout and what the terminal got."""
    ours, theirs = pty.openpty()
    settings = {**os.environ, "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env=settings, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        assert process.stdout is not None
        shown = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:
                break
            if not block:
                break
            shown += block
        said = process.stdout.read()
        code = process.wait(timeout=60)
    os.close(ours)
    return code, said, shown.decode()


def test_a_terminal_gets_a_bar(work: Path) -> None:
    """On a terminal a bar shows objects and bytes, and is gone at the end with the cursor where it was."""
    code, said, shown = _on_terminal("push", "--json")
    assert 0 == code
    count = json.loads(said)["objects"]
    assert f"{count} of {count} new" in shown
    assert shown.rindex("\x1b[?25l") < shown.rindex("\x1b[?25h")
    assert "\x1b[2K" in shown[shown.rindex("new") :]
    assert b"" == subprocess.run([*ENTRY, "push", "./b", "--progress", "bar"], capture_output=True, check=True).stderr
    assert "new" not in _on_terminal("clone", "shared/team", "--progress", "none")[2]


def test_an_interrupted_push_ends_cleanly(work: Path) -> None:
    """Ctrl-C during a push ends with code 130, without a traceback, with the bar gone, and moves nothing."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, said, shown = _on_terminal("push", script=INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (130, "") == (code, said)
    assert "Traceback" not in shown
    assert shown.rindex("\x1b[?25l") < shown.rindex("\x1b[?25h")
    with ModelRegistry("shared/team") as team:
        assert ["team_model"] == team.model_names()


def test_rich_is_imported_for_a_bar_alone(work: Path) -> None:
    """A push without a bar does not pay for rich."""
    script = (
        "import sys\nfrom friday_store.cli import cli\n"
        "assert cli.run(sys.argv[1:]) == 0\nassert 'rich' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, "push", "--progress", "json"], check=False, timeout=60)
    assert 0 == done.returncode


def test_completion_knows_remotes(work: Path, spawn: Spawn) -> None:
    """The shell is offered the remotes, then the models."""

    def offered(words: str) -> str:
        count = str(len(words.split()) - 1)
        return spawn(_FRIDAY_STORE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count).stdout

    assert offered("friday-store push or") == "plain,origin\n"
    assert offered("friday-store push origin aap") == "plain,aapl_1d\n"
    assert offered("friday-store status or") == "plain,origin\n"
