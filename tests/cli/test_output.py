"""What the command line writes to stdout, in every format."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from friday_store import ModelRegistry
from friday_store.cli import text

from .conftest import ENTRY, Run, Spawn

READING = [
    ["ls"],
    ["ls", "aapl_1d"],
    ["ls", "--versions"],
    ["show", "aapl_1d"],
    ["show", "aapl_1d", "--files", "--env"],
    ["log"],
    ["log", "aapl_1d", "--oneline"],
    ["log", "--all"],
    ["tag"],
    ["tag", "aapl_1d"],
    ["alias"],
    ["alias", "aapl_1d"],
    ["alias", "aapl_1d@production"],
    ["status", "aapl_1d"],
    ["history", "aapl_1d"],
    ["history", "aapl_1d", "--plot"],
    ["history", "aapl_1d", "--status"],
    ["history", "aapl_1d@production"],
    ["metrics", "aapl_1d"],
    ["metrics", "aapl_1d", "--plot"],
    ["best", "aapl_1d", "--metric", "auc"],
    ["compare", "aapl_1d"],
    ["diff", "aapl_1d"],
    ["lineage", "aapl_1d"],
    ["lineage", "aapl_1d", "--common", "aapl_1d:1.0.0"],
    ["blame", "aapl_1d"],
    ["rollback", "aapl_1d", "-n"],
    ["info", "aapl_1d"],
    ["info", "model.pkl"],
    ["load", "weights_only"],
    ["push", "-n"],
    ["pull", "-n"],
    ["fetch", "-n"],
    ["status"],
    ["status", "--fetch"],
    ["mirror", "origin", "-n"],
    ["import", "team.friday", "-n"],
    ["remote"],
    ["remote", "ls"],
    ["remote", "show", "origin"],
    ["fsck"],
    ["fsck", "--quick"],
    ["doctor"],
    ["plugins"],
    ["trust"],
    ["trust", "ls"],
]


def _names(arguments: list[str]) -> str:
    return " ".join(arguments)


@pytest.mark.parametrize("arguments", READING, ids=_names)
def test_json_parses(arguments: list[str], work: Path, run: Run) -> None:
    """Every reading command writes one JSON value to stdout, strict enough for any reader."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    json.loads(result.stdout, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert run("--json", *arguments).exit_code == 0


@pytest.mark.parametrize("arguments", READING, ids=_names)
def test_json_lines_are_json_values(arguments: list[str], work: Path, run: Run) -> None:
    """Every line of jsonl is an object by itself."""
    result = run(*arguments, "--format", "jsonl")
    assert result.exit_code == 0, result.stderr
    assert all(isinstance(json.loads(line), dict) for line in result.stdout.splitlines())


@pytest.mark.parametrize("arguments", READING, ids=_names)
@pytest.mark.parametrize("kind", ["human", "tsv", "ids"])
def test_every_format_works(arguments: list[str], kind: str, work: Path, run: Run) -> None:
    """No reading command fails in any format, and none writes an escape where there is no terminal."""
    result = run(*arguments, "--format", kind)
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["ls"], ["model_name", "model_version", "versions", "aliases", "tags", "updated_at", "model_id"]),
        (["ls", "--versions"], ["model_id", "model_name", "model_version", "metrics", "tags", "created_at", "parents"]),
        (["log", "--all"], ["seq", "time", "actor", "message", "refs"]),
        (["tag"], ["tag", "model_name", "model_version", "model_id"]),
        (["alias"], ["alias", "model_name", "model_version", "model_id"]),
        (["remote"], ["name", "url"]),
        (["history", "aapl_1d"], ["model_version", "previous", "since_previous", "metric_changes"]),
        (["history", "aapl_1d@production"], ["since", "until", "model_version", "actor", "message", "seq"]),
        (["metrics", "aapl_1d"], ["model_version", "metric", "time", "step", "value"]),
        (["blame", "aapl_1d"], ["parameter", "value", "model_version", "previous", "author", "time"]),
        (["doctor"], ["check", "state", "detail"]),
        (["trust"], ["kind", "value"]),
    ],
    ids=str,
)
def test_fields_of_lists(arguments: list[str], fields: list[str], work: Path, run: Run) -> None:
    """Lists are JSON arrays of objects that have at least these fields."""
    found = json.loads(run(*arguments, "--json").stdout)
    assert found
    assert all(set(fields) <= set(record) for record in found)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["show", "aapl_1d"], ["model_id", "model_name", "metrics", "trusted", "environment", "dependencies"]),
        (["status", "aapl_1d"], ["model_id", "status", "history"]),
        (["compare", "aapl_1d"], ["versions", "rows", "features_added", "time_between"]),
        (["diff", "aapl_1d"], ["before", "after", "record", "model"]),
        (["lineage", "aapl_1d"], ["root", "direction", "nodes", "edges"]),
        (["info", "aapl_1d"], ["format", "safety", "compatible", "problems", "model_hash", "parts"]),
        (["best", "aapl_1d", "--metric", "auc"], ["model_id", "metrics"]),
        (["load", "aapl_1d"], ["type", "seconds", "size_bytes"]),
        (["get", "aapl_1d"], ["path", "size_bytes", "model_id"]),
        (["push"], ["remote", "direction", "dry_run", "refs", "objects", "size_bytes", "present"]),
        (["register", "model.pkl", "-n", "new"], ["model_id", "model_version", "artifact"]),
    ],
    ids=str,
)
def test_fields_of_single_things(arguments: list[str], fields: list[str], work: Path, run: Run) -> None:
    """A command about one thing writes a JSON object with at least these fields."""
    assert set(fields) <= set(json.loads(run("--json", *arguments).stdout))


def test_what_json_cannot_hold_is_text(work: Path, run: Run) -> None:
    """A metric that is not a number comes out as the text NaN."""
    assert json.loads(run("show", "aapl_1d:1.0.0", "--json").stdout)["metrics"] == {"auc": 0.55, "loss": "NaN"}


def test_tsv_when_piped(work: Path, run: Run) -> None:
    """Where stdout is no terminal a list is TSV without a header: whole digests, ISO times, bytes."""
    rows = [line.split("\t") for line in run("ls", "--versions").stdout.splitlines()]
    assert [row[:2] for row in rows] == [["aapl_1d", "1.1.0"], ["aapl_1d", "1.0.0"], ["weights_only", "0.1.0"]]
    assert {len(row) for row in rows} == {8}
    assert len(rows[0][2]) == 64
    assert rows[0][6].isdigit()
    assert rows[0][7].endswith("Z")


def test_a_terminal_gets_a_table(work: Path) -> None:
    """On a terminal a list is a table with a header, in colour, and no wider than the terminal."""
    shown = _on_terminal("ls")
    assert "\x1b[1m" in shown
    assert "NAME" in shown
    assert "production=1.1.0" in shown
    assert "\x1b" not in _on_terminal("ls", NO_COLOR="1")
    assert "\x1b" not in _on_terminal("ls", TERM="dumb")
    assert "\x1b[1m" in _on_terminal("ls", "--color", "always", NO_COLOR="1")


def _on_terminal(*arguments: str, **environment: str) -> str:
    """Return what a command line writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    settings = {**os.environ, "COLUMNS": "80", **environment}
    with subprocess.Popen([*ENTRY, *arguments], env=settings, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:
                break
            if not block:
                break
            shown += block
        assert process.wait() == 0
    os.close(ours)
    return shown.decode()


def test_a_table_is_cut_to_the_terminal(work: Path, run: Run) -> None:
    """A table is no wider than the terminal, with an ellipsis where it is cut and the option that shows all."""
    run("tag", "aapl_1d", "a-tag-that-is-rather-long-for-a-narrow-terminal-and-so-is-cut")
    shown = _on_terminal("ls", NO_COLOR="1").replace("\r", "").splitlines()
    assert max(len(line) for line in shown) <= 80
    assert "…" in shown[1]
    assert "hint: friday-store --no-truncate ls" == shown[-1]
    whole = _on_terminal("--no-truncate", "ls", NO_COLOR="1")
    assert "…" not in whole
    assert "hint" not in whole
    assert "terminal-and-so-is-cut" in whole
    assert "terminal-and-so-is-cut" in run("ls", "--format", "human").stdout
    assert "hint" not in _on_terminal("ls", NO_COLOR="1", COLUMNS="200")


def test_long_output_goes_to_the_pager(work: Path, run: Run) -> None:
    """What is longer than the terminal goes to FRIDAY_STORE_PAGER, else PAGER, with LESS=FRX unless it is set."""
    shows = "sh -c 'sed s/^/$LESS:/ > paged'"
    assert "" == _on_terminal("log", LINES="3", FRIDAY_STORE_PAGER=shows, PAGER="false")
    paged = (work / "paged").read_text()
    assert {"FRX"} == {line.partition(":")[0] for line in paged.splitlines()}
    assert "aapl_1d:1.0.0" in paged
    for command in (["ls", "--versions"], ["show", "aapl_1d"], ["diff", "aapl_1d"], ["history", "aapl_1d"]):
        assert "" == _on_terminal(*command, LINES="3", COLUMNS="200", PAGER=shows, LESS="R")
        assert (work / "paged").read_text().startswith("R:")


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["log", "--no-pager"], {}),
        (["log"], {"LINES": "300"}),
        (["log"], {"FRIDAY_STORE_PAGER": ""}),
        (["log"], {"FRIDAY_STORE_PAGER": "cat"}),
        (["log"], {"TERM": "dumb"}),
        (["tag"], {}),
    ],
    ids=str,
)
def test_what_stays_on_the_terminal(arguments: list[str], environment: dict[str, str], work: Path) -> None:
    """Short output, other commands, --no-pager, and a pager that is none go to the terminal itself."""
    settings = {"LINES": "3", "FRIDAY_STORE_PAGER": "sh -c 'cat > paged'", **environment}
    assert "aapl_1d" in _on_terminal(*arguments, **settings)
    assert not (work / "paged").exists()


def test_nothing_is_paged_into_a_pipe(work: Path, spawn: Spawn) -> None:
    """Where stdout is no terminal there is no pager."""
    assert "aapl_1d" in spawn("log", LINES="3", FRIDAY_STORE_PAGER="false").stdout


@pytest.mark.parametrize("pager", ["no-such-pager-anywhere", "'unbalanced"])
def test_a_pager_that_does_not_start(pager: str, work: Path) -> None:
    """The output comes without it, after a warning that names it."""
    shown = _on_terminal("log", LINES="3", FRIDAY_STORE_PAGER=pager)
    assert "does not start" in shown
    assert "aapl_1d:1.0.0" in shown


def test_a_pager_that_is_left_early(work: Path) -> None:
    """Leaving the pager before the end is no failure."""
    with ModelRegistry() as registry:
        registry.register_models(
            {"model": {"a": n}, "model_name": "many", "description": "x" * 500} for n in range(400)
        )
    assert "" == _on_terminal("log", LINES="3", FRIDAY_STORE_PAGER="true")


@pytest.mark.parametrize(
    ("environment", "option", "coloured"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"CLICOLOR_FORCE": "1"}, [], True),
        ({"FORCE_COLOR": "0"}, [], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, [], True),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
    ],
    ids=str,
)
def test_colour(
    *,
    environment: dict[str, str],
    option: list[str],
    coloured: bool,
    work: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--color beats NO_COLOR beats FORCE_COLOR beats what the stream is, on stdout and on stderr."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b" in run(*option, "ls", "--format", "human").stdout) is coloured
    assert ("\x1b" in run(*option, "show", "nothing").stderr) is coloured
    assert "\x1b" not in run(*option, "ls").stdout


def test_chosen_fields(work: Path, run: Run) -> None:
    """--fields picks fields, also below a dot, in JSON, TSV and tables."""
    asked = ["ls", "--versions", "--fields", "model_version,metrics.auc"]
    assert run(*asked).stdout == "1.1.0\t0.61\n1.0.0\t0.55\n0.1.0\t\n"
    assert json.loads(run(*asked, "--json").stdout)[0] == {"model_version": "1.1.0", "metrics.auc": 0.61}
    assert run(*asked, "--format", "human").stdout.split()[:2] == ["VERSION", "METRICS.AUC"]


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["show", "aapl_1d"], ["log", "--all"], ["doctor"], ["diff", "aapl_1d"], ["lineage", "aapl_1d"]],
    ids=_names,
)
def test_unknown_fields_are_listed(arguments: list[str], work: Path, run: Run) -> None:
    """A field that does not exist is a usage error that lists those that do."""
    result = run(*arguments, "--json", "--fields", "nonsense")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there are: " in result.stderr


def test_ids(work: Path, run: Run) -> None:
    """-q writes what the next command takes: names of models, ids of versions."""
    assert run("ls", "-q").stdout == "aapl_1d\nweights_only\n"
    assert run("alias", "-q").stdout == "aapl_1d@production\n"
    ids = run("ls", "aapl_1d", "-q").stdout.split()
    assert [len(each) for each in ids] == [64, 64]
    assert run("show", ids[1], "--fields", "model_version").stdout == "model_version\t1.0.0\n"


def test_one_format_at_a_time(work: Path, run: Run) -> None:
    """Two formats are a usage error, wherever they stand."""
    assert run("--json", "ls", "-q").exit_code == 2
    assert run("--format", "json", "ls", "--json").exit_code == 0


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb",
    "a\nb",
    "a\tb",
    "a\x00b",
    "a\x08b",
    "a\x7fb",
    "a\x85b",
    "a\u202eb",
    "a\u202db",
    "a\u2066b",
    "a\u2069b",
    "a\u200eb",
    "a\u200bb",
    "a\ufeffb",
    "a\u2028b",
    "a\u2029b",
    "a\U000e0041b",
]


OTHERS = (["diff", "m"], ["compare", "m"], ["diff", "m", "-u"], ["blame", "m"], ["history", "m"], ["metrics", "m"])


def test_control_characters_are_spelled_out(run: Run) -> None:
    """No escape, bidi or other control character that is stored reaches a terminal or a table, in any format."""
    assert run("init").exit_code == 0
    with ModelRegistry(".friday") as registry:
        for hostile in HOSTILE:
            said = {hostile: hostile}
            registry.register_model(
                {hostile: [hostile]},
                "m",
                description=hostile,
                metadata=said,
                hyperparameters=said,
                metrics={hostile: 1.0},
            )
    forbidden = {char for hostile in HOSTILE for char in hostile if not char.isprintable()} - {"\n", "\t"}
    fields = ["--fields", "description,metadata"]
    for arguments in (
        ["log"],
        ["log", "--oneline"],
        ["ls", "m", *fields],
        ["show", "m", *fields],
        ["show", "m:1.0.0"],
        *OTHERS,
    ):
        for kind in ("human", "tsv", "json", "jsonl"):
            shown = run(*arguments, "--format", kind).stdout
            assert shown
            assert forbidden.isdisjoint(shown)
    assert len(run("ls", "m", *fields).stdout.splitlines()) == len(HOSTILE)


def test_errors_are_cleaned_too(work: Path, run: Run) -> None:
    """What the user typed comes back without its control characters, on one line."""
    result = run("show", "no\x1b[31m\u202e\r\nmodel")
    assert len(result.stderr.splitlines()) <= 2
    assert not {"\x1b", "\u202e", "\r"} & set(result.stderr)


def test_secrets_in_urls_are_not_shown(work: Path, run: Run) -> None:
    """A URL's user, password and query appear in no output."""
    place = "memory://key:hunter2@bucket/models?token=hunter2"
    for arguments in (["--registry", place, "ls"], ["push", place, "-n"], ["pull", place], ["clone", place, "copy"]):
        assert "hunter2" not in run(*arguments).output
    assert run("remote", "add", "secret", place).exit_code == 2
    assert text.masked(f"at {place}: no") == "at memory://bucket/models no"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"), (5 << 40, "5.0 TiB")],
)
def test_sizes(value: int, shown: str) -> None:
    """Sizes are in binary units."""
    assert text.size(value) == shown


def test_warnings_are_lines(work: Path, spawn: Spawn) -> None:
    """A Python warning is one line that begins with its kind, without a source line."""
    (work / ".friday").chmod(0o777)
    result = spawn("ls")
    assert result.returncode == 0
    assert result.stderr.splitlines() == [f"warning: {work}/.friday can be written by every user of this machine"]


def test_human_sentences(work: Path, run: Run) -> None:
    """Commands that change something say in one sentence what they did."""

    def said(*arguments: Any) -> str:
        result = run("--format", "human", *arguments)
        assert result.exit_code == 0, result.stderr
        return str(result.stdout)

    assert said("register", "model.pkl", "-n", "new").startswith("registered new:1.0.0 (")
    assert said("tag", "aapl_1d", "reviewed").startswith("tagged aapl_1d:1.1.0 (")
    assert said("alias", "aapl_1d@champion", "aapl_1d:1.0.0").startswith("aapl_1d@champion is now aapl_1d:1.0.0 (")
    assert said("status", "aapl_1d", "staging", "-m", "ok").splitlines()[0] == "aapl_1d:1.1.0 is staging"
    assert said("rm", "--yes", "weights_only").startswith("removed weights_only:0.1.0 (")
    assert said("restore", "weights_only").startswith("restored weights_only:0.1.0 (")
    assert said("get", "aapl_1d").startswith("wrote aapl_1d-1.1.0.pkl (")
    assert said("load", "aapl_1d").startswith("aapl_1d:1.1.0 is a builtins.dict: ")
    assert said("remote", "add", "b", "../b") == "b is ../b\n"
