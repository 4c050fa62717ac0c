"""What is said when something goes wrong: in the words of the command line, and with a way on."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from friday_store import ModelRegistry
from friday_store.plugins import Plugins
from friday_store.trust import Identity

from .conftest import Run

WRONG = [
    ["prune", "aapl_1d", "--keep-best", "depth:1", "-n"],
    ["prune", "aapl_1d", "-n"],
    ["prune", "aapl_1d", "--keep-best", "auc", "-n"],
    ["register", "model.pkl", "-n", "m", "--metric", "auc=high"],
    ["register", "model.pkl", "-n", "m", "--metric", "auc=[1]"],
    ["register", "model.pkl", "-n", "m", "--tag", ""],
    ["register", "model.pkl", "-n", "a b"],
    ["register", "model.pkl", "-n", "m", "--as", "one"],
    ["register", "model.pkl", "-n", "m", "--format", "nothing"],
    ["register", "model.pkl", "-n", "m", "--parent", "nothing"],
    ["register", "modle.pkl", "-n", "m"],
    ["register", "model.pkl"],
    ["metrics", "aapl_1d", "--log", "auc=high"],
    ["best", "aapl_1d", "--metric", "depth"],
    ["best", "aapl_1d"],
    ["status", "aapl_1d", "unheard"],
    ["gc", "--grace", "soon"],
    ["search", "accuracy > 0.9"],
    ["search", "metrics.auc >"],
    ["query", "DELETE FROM models"],
    ["ls", "--sort", "nothing"],
    ["ls", "-n", "x"],
    ["lss"],
    ["ls", "--fields", "nothing"],
    ["show", "aapl_1d@prodution"],
    ["show", "deadbeefdead"],
    ["alias", "aapl_1d:1.0.0", "champion"],
    ["diff", "aapl_1d", "--load", "--sample", "rules.json"],
    ["convert", "aapl_1d", "--to", "pickle5"],
    ["train", "--data", "nowhere"],
    ["predict", "aapl_1d", "rules.json"],
    ["remote", "add", "x"],
    ["remote", "set", "origin", "color"],
    ["push", "nowhere"],
    ["restore", "nothing"],
    ["restore", "no*"],
    ["trust", "add", "nothing"],
    ["identity", "import", "rules.json"],
    ["completion", "tcsh"],
    ["demo", "shared"],
    ["init", "ftp://somewhere/else"],
    ["export", "aapl_1d"],
    ["import", "nowhere.friday"],
]
PYTHON = re.compile(
    r"\w+=(?:True|False|None)\b|\w\['|\bregistry\.\w|\w\(\w*=|\bself\b|\bNone\b|\bkeep_last\b|_is_better"
)


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_errors_speak_the_command_line(arguments: list[str], work: Path, run: Run) -> None:
    """No error or hint shows Python; each is a line that begins in lower case, and stdout stays empty."""
    result = run(*arguments)
    assert 0 != result.exit_code
    assert "" == result.stdout
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert not re.match("error: [A-Z][a-z]", lines[0])
    assert len(lines) <= 4
    for line in lines:
        assert not PYTHON.search(line), line


def test_options_stand_for_arguments(work: Path, run: Run) -> None:
    """A metric that is no number is told by its option, an unknown direction by the options that say it."""
    assert "error: --metric auc: a metric is a number" in run(*WRONG[3]).stderr
    with ModelRegistry(plugins=Plugins(())) as registry:
        registry.log_metrics("aapl_1d", {"oddity": 1.0})
    said = run("prune", "aapl_1d", "--keep-best", "oddity:1", "-n").stderr
    assert "--higher" in said
    assert "--lower" in said
    assert "--keep-last N" in run("prune", "aapl_1d", "-n").stderr


def test_the_nearest_name_is_offered(work: Path, run: Run) -> None:
    """A mistyped alias is met with the alias, not with versions; an id with what it is; a field with its full name."""
    said = run("show", "aapl_1d@prodution").stderr
    assert "has no alias or tag 'prodution'; did you mean 'production'?" in said
    assert 0 == run(*_hint(said)).exit_code
    assert "no alias or tag 'zzz'; it has 1d, AAPL, production" in run("show", "aapl_1d@zzz").stderr
    assert "there is no version or model 'deadbeefdead'" in run("show", "deadbeefdead").stderr
    assert "a metric is metrics.accuracy" in run("search", "accuracy > 0.9").stderr
    assert 0 == run(*_hint(run("register", "modle.pkl", "-n", "m").stderr)).exit_code


def test_an_alias_after_its_version_is_turned_round(work: Path, run: Run) -> None:
    """Who writes alias as tag and status are written gets the line that works."""
    refused = run("alias", "aapl_1d:1.0.0", "champion")
    assert 2 == refused.exit_code
    assert ["alias", "aapl_1d@champion", "aapl_1d:1.0.0"] == _hint(refused.stderr)
    assert 0 == run(*_hint(refused.stderr)).exit_code
    assert 3 == run("alias", "nothing", "champion").exit_code


def test_one_s_own_registry_is_named(work: Path, run: Run, home: Path) -> None:
    """Outside every .friday a command says that it uses this user's own registry, once, and only where there is one."""
    own = home / "registry"
    missing = run("-C", "/", "ls")
    assert (8, f"error: there is no registry here or above, and none of your own at {own}") == (
        missing.exit_code,
        missing.stderr.splitlines()[0],
    )
    assert 0 == run("-C", "/", "register", work / "model.pkl", "-n", "m").exit_code
    assert [f"note: there is no .friday here or above; this is your own registry, {own}"] == (
        run("-C", "/", "ls").stderr.splitlines()
    )
    assert "" == run("ls").stderr == run("-C", "/", "-R", own, "ls").stderr


def test_trust_says_what_a_policy_still_asks(work: Path, run: Run) -> None:
    """Trusting by itself lifts no policy: trust says so, and both it and the refusal name the command that does."""
    with ModelRegistry(work / "theirs", plugins=Plugins(()), identity=Identity(None)) as theirs:
        theirs.register_model({"theirs": 1}, "theirs")
    assert 0 == run("remote", "add", "them", work / "theirs").exit_code
    assert 0 == run("pull", "them").exit_code
    assert 0 == run("trust", "require", "them", "--keys", "2").exit_code
    for words in (["theirs"], ["them"], ["--signer", "theirs"]):
        added = run("trust", "add", *words)
        assert 0 == added.exit_code, added.stderr
        assert "friday-store trust require" in added.stderr
        assert "lifts" in added.stderr
    shown = run("trust", "show", "theirs").stdout.rstrip("\n").split("\t")
    assert "false" in shown
    refused = run("load", "theirs")
    assert 6 == refused.exit_code
    lifting = re.search(r"\(friday-store (trust require \S+ --keys 0) lifts it\)", refused.stderr)
    assert lifting
    assert 0 == run(*lifting[1].split()).exit_code
    assert 0 == run("load", "theirs").exit_code
    assert "true" in run("trust", "show", "theirs").stdout.rstrip("\n").split("\t")


def test_an_approval_that_is_not_enough_is_not_advised(work: Path, run: Run) -> None:
    """The hint under a policy is approve only where one more signature of one's own would do."""
    assert 0 == run("register", "model.pkl", "-n", "mine").exit_code
    assert 0 == run("trust", "require", "anywhere", "--keys", "3").exit_code
    assert ["trust", "show"] == _hint(run("load", "mine").stderr)[:2]


def test_restore_rehearses_and_takes_globs(work: Path, run: Run) -> None:
    """Restore lists what was removed, says with -n exactly what it would bring back, and takes a glob."""
    assert [["gone", "1.0.0"]] == [line.split("\t")[:2] for line in run("restore").stdout.splitlines()]
    for name in ("m_1", "m_2"):
        for _ in range(2):
            assert 0 == run("register", "model.pkl", "-n", name, "--meta", f"of={name}").exit_code
    assert 0 == run("rm", "--yes", "m_1").exit_code
    assert 0 == run("rm", "--yes", "m_2:1.0.0").exit_code
    before = run("log", "--all", "--json").stdout
    planned = json.loads(run("restore", "m_*", "-n", "--json").stdout)
    assert before == run("log", "--all", "--json").stdout
    done = json.loads(run("restore", "m_*", "--json").stdout)
    assert [("m_1", "1.0.0"), ("m_1", "1.0.1"), ("m_2", "1.0.0")] == sorted(
        (each["model_name"], each["model_version"]) for each in done
    )
    assert [each["model_id"] for each in planned] == [each["model_id"] for each in done]
    assert "would restore gone:1.0.0" in run("restore", "-n", "gone", "--format", "human").stdout
    assert 3 == run("restore", "m_*").exit_code


def test_a_model_goes_to_stdout(work: Path, run: Run) -> None:
    """``get REV -`` writes the very bytes that were registered, and ``register -`` takes them back."""
    assert 0 == run("register", "rules.json", "-n", "rules").exit_code
    got = run("get", "rules", "-")
    assert (work / "rules.json").read_bytes() == got.stdout_bytes
    assert not (work / "-").exists()
    assert b"# The second try\n" == run("get", "aapl_1d", "--attachment", "card.md", "-").stdout_bytes
    assert 2 == run("get", "rules", "-", "--json").exit_code


def test_training_without_data_is_an_error(market: Path, run: Run) -> None:
    """A missing folder, an empty one, an unknown symbol or timeframe end with 3; one of several symbols with 12."""
    assert "there is no folder 'nope'" in run("train", "--data", "nope").stderr
    (market / "bare").mkdir()
    asked = ("--target", "return", "--horizon", "1", "--model", "ridge")
    for arguments in (["--data", "nope"], ["--data", "bare"], ["--symbol", "ACMF"], ["--timeframe", "1h"]):
        result = run("train", *arguments, *asked)
        assert (3, "") == (result.exit_code, result.stdout)
    assert "did you mean 'ACME'?" in run("train", "--symbol", "ACMF").stderr
    some = run("train", "--symbol", "ACME", "--symbol", "ZZZZ", *asked)
    assert 12 == some.exit_code
    assert "there is no file of ZZZZ" in some.stderr
    assert 0 == run("-R", "made", "train", "--symbol", "ACME", *asked).exit_code


def test_the_demo_stops_at_a_key_that_others_can_read(run: Run, home: Path, tmp_path: Path) -> None:
    """Nothing is trained that could not be signed: the demo says first how to mend it."""
    assert 0 == run("identity").exit_code
    (home / "identity.json").chmod(0o644)
    result = run("demo", tmp_path / "demo", "--fast")
    assert (2, "") == (result.exit_code, result.stdout)
    assert "chmod 600" in result.stderr


def test_the_log_of_transactions_fits_a_line(work: Path, run: Run) -> None:
    """What an entry moved is told by names, three of them, and not by digests."""
    assert 0 == run("pull", "origin").exit_code
    for line in run("log", "--all").stdout.splitlines():
        assert len(line) < 250
    assert any("aapl_1d@production" in line for line in run("log", "--all").stdout.splitlines())
    assert all(len(line) < 160 for line in run("log", "--all", "--oneline", "--format", "human").stdout.splitlines())


def test_tsv_with_titles(work: Path, run: Run) -> None:
    """--header puts the titles above the columns, for people who read a pipe."""
    assert "NAME\tVERSION\tID" in run("ls", "--versions", "--header").stdout.splitlines()[0]
    assert run("ls", "--versions", "--header").stdout.splitlines()[1:] == run("ls", "--versions").stdout.splitlines()
    assert "[" == run("ls", "--versions", "--header", "--json").stdout[0]


def test_a_diff_without_rows_says_so(work: Path, run: Run) -> None:
    """``diff --load`` says that no predictions were compared where there is nothing to predict."""
    assert 0 == run("trust", "add", "aapl_1d:1.0.0").exit_code
    assert "no predictions were compared" in run("diff", "aapl_1d", "--load").stderr
    assert "" == run("diff", "aapl_1d").stderr


def _hint(stderr: str) -> list[str]:
    [hint] = [line for line in stderr.splitlines() if line.startswith("hint: friday-store ")]
    return shlex.split(hint.removeprefix("hint: friday-store "))
