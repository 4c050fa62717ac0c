"""``export`` and ``import``: models out of a registry and into another, end to end."""

from __future__ import annotations

import json
import pickle
import shlex
from pathlib import Path
from typing import Any

import fsspec
import pytest

from friday_store import ModelRegistry
from friday_store.cli import progress

from .conftest import Run


def _json(run: Run, *arguments: object) -> Any:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def _hint(stderr: str) -> list[str]:
    [hint] = [line for line in stderr.splitlines() if line.startswith("hint: friday-store ")]
    return shlex.split(hint.removeprefix("hint: friday-store "))


def _versions(run: Run, *where: object) -> set[str]:
    return set(run(*where, "ls", "--versions", "-q").stdout.split())


@pytest.fixture
def other(work: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty registry of another user's, next to a bundle of all that is in the prepared one; the test runs in it."""
    assert run("export", "--all", "-o", tmp_path / "all.friday").exit_code == 0
    folder = tmp_path / "other"
    folder.mkdir()
    monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "stranger"))
    monkeypatch.chdir(folder)
    assert run("init").exit_code == 0
    return folder


def test_all_of_it(work: Path, other: Path, run: Run) -> None:
    """What --all writes and import brings is every version with its labels; a second import changes nothing."""
    brought = _json(run, "import", "../all.friday")
    assert _versions(run, "-R", work) == _versions(run)
    assert run("tag", "-R", work).stdout == run("tag").stdout
    assert run("alias", "-R", work).stdout == run("alias").stdout
    assert brought["objects"] > 0
    log = run("log", "--all").stdout
    assert {"refs": [], "objects": 0}.items() <= _json(run, "import", "../all.friday").items()
    assert log == run("log", "--all").stdout


def test_what_export_says(work: Path, run: Run) -> None:
    """The JSON has path, objects, bytes and refs, and they are those of the file."""
    said = _json(run, "export", "aapl_1d@production", "weights_only", "-o", "some.friday")
    assert ("some.friday", "bundle", []) == (said["path"], said["format"], said["gone"])
    assert (work / "some.friday").stat().st_size == said["size_bytes"]
    assert (2, 2) == (said["models"], said["versions"])
    names = {each["ref"] for each in said["refs"]}
    assert {"versions/aapl_1d/1.1.0", "aliases/aapl_1d/production", "tags/aapl_1d/1d/1.1.0"} <= names
    assert "versions/aapl_1d/1.0.0" not in names
    rehearsed = _json(run, "import", "-n", "some.friday", "-R", work / "nothing")
    assert (said["objects"], len(said["refs"])) == (rehearsed["objects"], len(rehearsed["refs"]))
    human = run("export", "aapl_1d", "-o", "one.friday", "--format", "human").stdout
    assert human.startswith("wrote one.friday (")
    assert "): 1 version of 1 model, " in human


def test_a_glob_is_every_version(work: Path, run: Run) -> None:
    """A glob chooses models with all their versions; what matches nothing is a warning, nothing at all an error."""
    said = _json(run, "export", "aapl_*", "-o", "aapl.friday")
    assert (1, 2) == (said["models"], said["versions"])
    result = run("export", "aapl_*", "zz*", "-o", "more.friday")
    assert (0, "warning: no model matches 'zz*'\n") == (result.exit_code, result.stderr)
    result = run("export", "zz*", "-o", "none.friday")
    assert (3, "") == (result.exit_code, result.stdout)
    assert not (work / "none.friday").exists()


def test_since_an_earlier_export(work: Path, other: Path, run: Run) -> None:
    """With --since FILE only what that file lacks is written, and both together are the whole."""
    assert run("-R", work, "register", work / "model.pkl", "-n", "late").exit_code == 0
    assert run("-R", work, "rm", "--yes", "weights_only").exit_code == 0
    said = _json(run, "-R", work, "export", "--all", "--since", "../all.friday", "-o", "new.friday")
    assert ["versions/late/1.0.0"] == [each["ref"] for each in said["refs"]]
    assert ["versions/weights_only/0.1.0"] == [each["ref"] for each in said["gone"]]
    assert run("import", "../all.friday").exit_code == 0
    assert run("import", "new.friday").exit_code == 0
    refused = run("import", "new.friday", "--prune")
    assert (2, "") == (refused.exit_code, refused.stdout)
    assert run(*_hint(refused.stderr)).exit_code == 0
    assert _versions(run, "-R", work) == _versions(run)
    again = run("-R", work, "export", "--all", "--since", "2999-01-01", "-o", "never.friday")
    assert (2, False) == (again.exit_code, Path("never.friday").exists())


def test_nothing_is_overwritten(work: Path, run: Run) -> None:
    """A file or full folder in the way is left alone with code 4, and the hint writes to a free name."""
    before = (work / "model.pkl").read_bytes()
    refused = run("export", "--all", "-o", "model.pkl")
    assert (4, "") == (refused.exit_code, refused.stdout)
    assert before == (work / "model.pkl").read_bytes()
    assert ["export", "--all", "-o", "model-2.pkl"] == _hint(refused.stderr)
    assert run(*_hint(refused.stderr)).exit_code == 0
    refused = run("export", "aapl_1d", "--to", "shared")
    assert 4 == refused.exit_code
    assert run(*_hint(refused.stderr)).exit_code == 0
    assert (work / "shared-2" / "metadata.json").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["aapl_1d"],
        ["--all"],
        ["-o", "f"],
        ["--all", "aapl_1d", "-o", "f"],
        ["--all", "-o", "f", "--to", "d"],
        ["aapl_1d", "weights*", "-o", "f"],
        ["aapl_1d", "--since", "2026-01-01", "-o", "f"],
        ["--all", "--since", "2026-01-01", "--to", "d"],
        ["--all", "-o", "s3://bucket/f"],
    ],
    ids=" ".join,
)
def test_what_export_must_be_told(arguments: list[str], work: Path, run: Run) -> None:
    """Which models and where to must be said once each; otherwise nothing is written and the code is 2."""
    before = sorted(work.rglob("*"))
    result = run("export", *arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    assert before == sorted(work.rglob("*"))


def test_since_what(work: Path, run: Run) -> None:
    """--since takes a time or a file that is there."""
    result = run("export", "--all", "--since", "yesterday", "-o", "f")
    assert (3, "") == (result.exit_code, result.stdout)
    assert "neither a time such as 2026-05-01 nor a file" in result.stderr


def test_native_files(work: Path, other: Path, run: Run) -> None:
    """--to writes the file that other programs read; a folder of one or of many models comes back as it was."""
    said = _json(run, "-R", work, "export", "aapl_1d:1.0.0", "--to", "one")
    assert ("files", 1, 1) == (said["format"], said["models"], said["versions"])
    assert {"weights": [1.0, 2.0]} == pickle.loads(Path("one/aapl_1d-1.0.0.pkl").read_bytes())
    assert "aapl_1d" == json.loads(Path("one/metadata.json").read_text())["model_name"]
    brought = _json(run, "import", "one")
    assert [said["refs"][0]["digest"]] == [each["new"] for each in brought["refs"] if "versions/" in each["ref"]]
    assert brought["objects"] > 0
    assert 3 == _json(run, "-R", work, "export", "--all", "--to", "many")["versions"]
    assert run("import", "many").exit_code == 0
    assert _versions(run, "-R", work) == _versions(run)
    assert [] == _json(run, "import", "many")["refs"]
    assert run("import", "one", "--force").exit_code == 2


def test_one_of_many_folders_fails(work: Path, other: Path, run: Run) -> None:
    """Where one of several folders is no model, those before it have come in, and code 12 names it."""
    assert run("-R", work, "export", "--all", "--to", "many").exit_code == 0
    Path("many/weights_only-0.1.0/metadata.json").write_text("{}")
    failed = run("import", "many")
    assert (12, "") == (failed.exit_code, failed.stdout)
    assert "2 of 3 models came in, then many/weights_only-0.1.0 failed: " in failed.stderr
    assert 2 == len(_versions(run))
    assert 8 == run("import", "many/weights_only-0.1.0").exit_code


def test_an_import_rehearses(other: Path, run: Run) -> None:
    """``import -n`` says what import then does, changes nothing, and makes no registry."""
    rehearsed = _json(run, "import", "-n", "../all.friday")
    assert set() == _versions(run)
    assert {**_json(run, "import", "../all.friday"), "dry_run": True} == rehearsed
    assert run("-R", "nowhere", "import", "-n", "../all.friday").exit_code == 0
    assert not Path("nowhere").exists()
    made = run("-R", "nowhere", "import", "../all.friday")
    assert made.stderr.startswith("note: this made a new registry at ")
    assert _versions(run) == _versions(run, "-R", "nowhere")


def test_an_import_asks_for_trust(other: Path, run: Run) -> None:
    """What could run code is told with the command that trusts it; what cannot is not."""
    brought = run("import", "../all.friday")
    assert 0 == brought.exit_code
    assert run("load", "weights_only").exit_code == 0
    assert run("load", "aapl_1d").exit_code == 6
    assert run(*_hint(brought.stderr)).exit_code == 0
    assert [0, 0] == [run("load", each).exit_code for each in ("aapl_1d", "aapl_1d:1.0.0")]
    assert run("-R", "safe", "import", "../all.friday", "-n").stderr == ""
    assert run("export", "weights_only", "-o", "weights.friday").exit_code == 0
    assert "hint: " not in run("-R", "safe", "import", "weights.friday").stderr


def test_an_exported_folder_asks_for_trust(work: Path, other: Path, run: Run) -> None:
    """A folder's model that could run code is trusted by itself."""
    assert run("-R", work, "export", "aapl_1d", "--to", "one").exit_code == 0
    brought = run("import", "one")
    assert ["trust", "add", "aapl_1d:1.1.0"] == _hint(brought.stderr)
    assert run("load", "aapl_1d").exit_code == 6
    assert run(*_hint(brought.stderr)).exit_code == 0
    assert run("load", "aapl_1d").exit_code == 0


def test_conflicts_of_an_import(other: Path, run: Run) -> None:
    """An alias that is elsewhere here is left alone with code 12 or 4, and the hint settles it."""
    assert run("import", "../all.friday").exit_code == 0
    assert run("alias", "aapl_1d@production", "aapl_1d:1.0.0").exit_code == 0
    assert run("register", "../work/model.pkl", "-n", "aapl_1d", "--alias", "production").exit_code == 0
    refused = run("import", "../all.friday", "--porcelain")
    assert 4 == refused.exit_code
    assert "!\taliases/aapl_1d/production:aliases/aapl_1d/production\tit moved on both sides\n" == refused.stdout
    kept = run("import", "../all.friday", "--porcelain", "--ours", "*@production")
    assert (0, "Done") == (kept.exit_code, kept.stdout.splitlines()[-1])
    assert "1.1.1" == _json(run, "alias", "aapl_1d@production")["model_version"]
    assert run(*_hint(refused.stderr)).exit_code == 0
    assert "1.1.0" == _json(run, "alias", "aapl_1d@production")["model_version"]


def test_other_content_stays_as_it_is(work: Path, other: Path, run: Run) -> None:
    """A version that exists here with other content is left alone, and the hint shows the one that is here."""
    assert run("register", work / "model.pkl", "-n", "aapl_1d", "--as", "1.0.0").exit_code == 0
    before = _json(run, "show", "aapl_1d:1.0.0")["model_id"]
    refused = run("import", "../all.friday")
    assert 12 == refused.exit_code
    shown = [line for line in refused.stderr.splitlines() if "friday-store show aapl_1d:1.0.0" in line]
    assert ["hint: friday-store show aapl_1d:1.0.0"] == shown
    assert before == _json(run, "show", "aapl_1d:1.0.0")["model_id"]


@pytest.mark.parametrize(
    ("source", "code", "hint"),
    [
        ("nothing.friday", 3, None),
        ("model.pkl", 8, ["register", "model.pkl", "-n", "model"]),
        ("shared", 8, None),
        ("shared/team", 8, ["pull", "shared/team"]),
        (".", 8, ["pull", "."]),
    ],
    ids=str,
)
def test_what_cannot_be_imported(*, source: str, code: int, hint: list[str] | None, work: Path, run: Run) -> None:
    """What export did not write is refused, and a model's file or a registry with the command that takes it."""
    assert run("export", "aapl_1d", "--to", "handover").exit_code == 0
    result = run("import", source, "--json")
    assert (code, "") == (result.exit_code, result.stdout)
    assert 1 == result.stderr.count("error: ")
    assert "note: " not in result.stderr
    assert hint is None or hint == _hint(result.stderr)


def test_a_damaged_file(other: Path, run: Run) -> None:
    """One flipped bit anywhere ends the import with code 5 and brings nothing."""
    whole = Path("../all.friday").read_bytes()
    for place in (100, len(whole) // 2, len(whole) - 40):
        bad = bytearray(whole)
        bad[place] ^= 1
        Path("bad.friday").write_bytes(bad)
        assert 5 == run("import", "bad.friday").exit_code
        assert set() == _versions(run)


def test_from_a_url(other: Path, run: Run) -> None:
    """A file is imported from where it lies, and its URL's secrets are in no output."""
    place = "memory://key:hunter2@exports/all.friday"
    with fsspec.open(place, "wb") as stream:
        stream.write(Path("../all.friday").read_bytes())
    brought = run("import", place)
    assert 0 == brought.exit_code, brought.stderr
    assert 3 == len(_versions(run))
    missing = run("import", "memory://key:hunter2@exports/none.friday")
    assert (7, "") == (missing.exit_code, missing.stdout)
    assert "hunter2" not in brought.output + missing.output


def test_progress_of_an_export(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """--progress json says on stderr how far it is; the last line has every object."""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    result = run("export", "--all", "-o", "all.friday", "--json", "--progress", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert "export" == lines[-1]["command"]
    assert json.loads(result.stdout)["objects"] == lines[-1]["done"] == lines[-1]["objects"]


def test_a_registry_without_files(run: Run) -> None:
    """A bundle of an empty registry is refused: there is nothing in it."""
    assert run("init").exit_code == 0
    assert 3 == run("export", "--all", "-o", "f").exit_code
    with ModelRegistry() as registry:
        assert [] == registry.model_names()
    assert not Path("f").exists()
