"""What each command does, end to end."""

from __future__ import annotations

import json
import pickle
import shlex
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry

from .conftest import Run


def _json(run: Run, *arguments: object) -> Any:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_init_here_and_there(run: Run) -> None:
    """``init`` makes .friday here or the named place itself a registry, and leaves one that is there as it is."""
    first = _json(run, "init")
    assert first["created"]
    assert Path(".friday/friday-store.json").is_file()
    again = _json(run, "init")
    assert (again["id"], again["created"]) == (first["id"], False)
    _json(run, "init", "shared/models")
    assert Path("shared/models/friday-store.json").is_file()


def test_the_registry_is_found_up_the_tree(work: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a folder with .friday, with -C, --registry or FRIDAY_STORE_URL, the same registry is meant."""
    expected = run("ls").stdout
    (work / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(work / "deep" / "er")
    assert run("ls").stdout == expected
    monkeypatch.chdir("/")
    assert run("ls").exit_code == 8
    assert run("-C", work, "ls").stdout == expected
    assert run("ls", "-C", work).stdout == expected
    assert run("ls", "--registry", work).stdout == expected
    monkeypatch.setenv("FRIDAY_STORE_URL", str(work / ".friday"))
    assert run("ls").stdout == expected
    assert Path.cwd() == Path("/")


def test_register_records_all_that_is_said(work: Path, run: Run) -> None:
    """``register`` stores the file and every fact that the options name."""
    made = _json(
        run, "register", "model.pkl", "-n", "m", "--as", "2.0.0", "--metric", "auc=0.5", "--metric", "loss=NaN",
        "--param", "depth=6", "--param", "kind=forest", "--meta", 'split={"test": 0.2}', "-t", "a", "-t", "b",
        "--alias", "best", "-m", "it works", "--parent", "aapl_1d",
    )  # fmt: skip
    assert (made["model_name"], made["model_version"], made["serializer"]) == ("m", "2.0.0", "pickle5")
    assert made["metrics"] == {"auc": 0.5, "loss": "NaN"}
    assert made["hyperparameters"] == {"depth": 6, "kind": "forest"}
    assert made["metadata"] == {"split": {"test": 0.2}}
    assert (made["tags"], made["aliases"], made["description"]) == (["a", "b"], ["best"], "it works")
    assert made["parents"] == [_json(run, "show", "aapl_1d")["model_id"]]


def test_register_takes_the_next_version(work: Path, run: Run) -> None:
    """Without --as the next version is taken, and --bump says which."""
    versions = [_json(run, "register", "model.pkl", "-n", "aapl_1d", *bump)["model_version"] for bump in _BUMPS]
    assert versions == ["1.1.1", "1.2.0", "2.0.0"]


_BUMPS: list[list[str]] = [[], ["--bump", "minor"], ["--bump", "major"]]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.pkl", pickle.dumps([1]), "pickle5"),
        ("a.PICKLE", pickle.dumps([1]), "pickle5"),
        ("a.joblib", pickle.dumps([1]), "joblib"),
        ("a.json", b'{"a": 1}', "json"),
        ("a.onnx", b"\x08\x07", "file"),
        ("a", b"", "file"),
        ("text.pkl", b"I am text", "file"),
        ("packed.joblib", b"\x78\x9c\x00", "file"),
    ],
)
def test_formats_are_detected(name: str, data: bytes, kind: str, work: Path, run: Run) -> None:
    """A file's bytes tell its format; what they do not tell is an opaque file."""
    (work / name).write_bytes(data)
    assert _json(run, "register", name, "-n", "m")["serializer"] == kind


def test_registering_never_loads(work: Path, run: Run) -> None:
    """A pickle that would run code when loaded is stored and written back, and does nothing."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (work / "sprung",))

    data = pickle.dumps(Trap(), protocol=2)
    (work / "trap.pkl").write_bytes(data)
    assert run("register", "trap.pkl", "-n", "trap").exit_code == 0
    assert run("get", "trap", "back.pkl").exit_code == 0
    assert (work / "back.pkl").read_bytes() == data
    assert not (work / "sprung").exists()


@pytest.mark.parametrize("name", ["model.onnx", "model.pkl", "weights.npz"])
def test_get_gives_back_what_was_registered(name: str, work: Path, run: Run) -> None:
    """A file goes in and comes out: an opaque one byte for byte, a model as one that loads the same."""
    assert run("register", name, "-n", "m").exit_code == 0
    assert run("get", "m", "back").exit_code == 0
    if name.endswith(".onnx"):
        assert (work / name).read_bytes() == (work / "back").read_bytes()
    elif name.endswith(".pkl"):
        assert pickle.loads((work / name).read_bytes()) == pickle.loads((work / "back").read_bytes())
    else:
        with np.load(work / "back") as found:
            assert found["w"].tolist() == list(range(12))


def test_get_does_not_overwrite(work: Path, run: Run) -> None:
    """``get`` leaves a file that is there alone unless forced, takes a folder, and leaves nothing half written."""
    before = (work / "model.pkl").read_bytes()
    assert run("get", "aapl_1d", "model.pkl").exit_code == 4
    assert (work / "model.pkl").read_bytes() == before
    assert run("get", "aapl_1d", "model.pkl", "--force").exit_code == 0
    assert pickle.loads((work / "model.pkl").read_bytes()) == {"weights": [1.5, 2.5]}
    (work / "out").mkdir()
    assert _json(run, "get", "aapl_1d:1.0.0", "out")["path"] == "out/aapl_1d-1.0.0.pkl"
    assert not list(work.rglob(".tmp-*"))


def test_ls(work: Path, run: Run) -> None:
    """``ls`` lists models by glob, tag and order; a plain name lists the versions."""
    assert [(m["model_name"], m["model_version"], m["versions"]) for m in _json(run, "ls")] == [
        ("aapl_1d", "1.1.0", 2),
        ("weights_only", "0.1.0", 1),
    ]
    assert [m["model_name"] for m in _json(run, "ls", "--sort", "-model_name")] == ["weights_only", "aapl_1d"]
    assert [m["model_name"] for m in _json(run, "ls", "--sort", "-versions", "-n", "1")] == ["aapl_1d"]
    assert [m["model_name"] for m in _json(run, "ls", "w*")] == ["weights_only"]
    assert _json(run, "ls", "nothing*") == []
    assert [v["model_version"] for v in _json(run, "ls", "aapl_1d")] == ["1.1.0", "1.0.0"]
    assert [v["model_version"] for v in _json(run, "ls", "aapl_1d", "-t", "1d")] == ["1.1.0"]
    by_metric = _json(run, "ls", "--versions", "--sort", "-metrics.auc", "-n", "2")
    assert [v["metrics"]["auc"] for v in by_metric] == [0.61, 0.55]
    by_version = _json(run, "ls", "aapl_1d", "--sort", "model_version")
    assert [v["model_version"] for v in by_version] == ["1.0.0", "1.1.0"]


def test_the_highest_version_is_no_pre_release(work: Path, run: Run) -> None:
    """``ls`` names the version that the bare name means, and 10 is above 9."""
    for version in ("9.0.0", "10.0.0", "11.0.0-rc.1"):
        assert run("register", "model.pkl", "-n", "m", "--as", version).exit_code == 0
    assert _json(run, "ls", "m*")[0]["model_version"] == _json(run, "show", "m")["model_version"] == "10.0.0"


def test_ls_of_nothing(run: Run) -> None:
    """People are told how to begin where there is no model yet; programs get an empty list and no word."""
    assert run("init").exit_code == 0
    shown = run("ls", "--format", "human")
    assert ("", True) == (shown.stdout, "hint: friday-store register " in shown.stderr)
    listed = run("ls", "--json")
    assert ("[]\n", "") == (listed.stdout, listed.stderr)


def test_log(work: Path, run: Run) -> None:
    """``log`` shows versions newest first, the ancestors of a revision, and the repository's transactions."""
    assert [v["model_version"] for v in _json(run, "log", "aapl_1d")] == ["1.1.0", "1.0.0"]
    assert [v["model_version"] for v in _json(run, "log", "aapl_1d:1.0.0")] == ["1.0.0"]
    assert [v["model_version"] for v in _json(run, "log", "aapl_1d@production")] == ["1.1.0", "1.0.0"]
    assert len(_json(run, "log", "-n", "1")) == 1
    entries = _json(run, "log", "--all")
    assert entries[-1]["message"] == "init"
    assert [entry["seq"] for entry in entries] == list(range(len(entries), 0, -1))
    assert {entry["actor"] for entry in entries[:-1]} == {"ann@lab"}
    assert len(_json(run, "log", "--all", "aapl_1d")) == 2
    oneline = run("log", "aapl_1d", "--oneline", "--format", "human").stdout.splitlines()
    assert len(oneline) == 2
    assert oneline[0].endswith("aapl_1d:1.1.0 (@production, tag: 1d, tag: AAPL)")


def test_tags(work: Path, run: Run) -> None:
    """``tag`` lists, adds and removes."""
    assert {(t["tag"], t["model_version"]) for t in _json(run, "tag")} == {
        ("AAPL", "1.1.0"),
        ("1d", "1.1.0"),
        ("AAPL", "1.0.0"),
    }
    assert _json(run, "tag", "aapl_1d:1.0.0", "new")["tags"] == ["AAPL", "new"]
    assert _json(run, "tag", "-d", "aapl_1d:1.0.0", "new")["tags"] == ["AAPL"]


def test_aliases(work: Path, run: Run) -> None:
    """``alias`` lists, sets, moves and removes."""
    assert [a["revision"] for a in _json(run, "alias")] == ["aapl_1d@production"]
    _json(run, "alias", "aapl_1d@production", "aapl_1d:1.0.0")
    assert _json(run, "alias", "aapl_1d@production")["model_version"] == "1.0.0"
    assert _json(run, "show", "aapl_1d@production")["model_version"] == "1.0.0"
    _json(run, "alias", "-d", "aapl_1d@production")
    assert _json(run, "alias", "aapl_1d") == []


def test_aliases_of_names_that_hold_an_at(work: Path, run: Run) -> None:
    """A model's name may hold an @ itself."""
    run("register", "model.pkl", "-n", "me@home")
    _json(run, "alias", "me@home@best", "me@home")
    assert _json(run, "alias", "me@home@best")["alias"] == "best"
    _json(run, "alias", "-d", "me@home@best")
    assert _json(run, "alias", "me@home") == []


def test_status(work: Path, run: Run) -> None:
    """``status`` shows and sets, and keeps who and why."""
    assert _json(run, "status", "aapl_1d")["status"] == "active"
    _json(run, "status", "aapl_1d", "staging", "-m", "passed")
    found = _json(run, "status", "aapl_1d")
    assert (found["status"], found["history"][0]["reason"]) == ("staging", "passed")


def test_status_of_a_name_that_two_things_have(work: Path, run: Run) -> None:
    """A name that a remote and a model have is refused with both ways to say it, and each of them works."""
    assert run("register", "model.pkl", "-n", "origin").exit_code == 0
    refused = run("status", "origin")
    assert (3, "") == (refused.exit_code, refused.stdout)
    assert "--remote means the one, --version the other" in refused.stderr
    assert "active" == _json(run, "status", "--version", "origin")["status"]
    assert "testing" == _json(run, "status", "--version", "origin", "testing")["status"]
    assert run("fetch").exit_code == 0
    assert ["origin"] == [each["remote"] for each in _json(run, "status", "origin", "--remote")]
    assert "testing" == _json(run, "status", "origin:1.0.0")["status"]


def test_status_takes_the_first_word_for_what_it_is(work: Path, run: Run) -> None:
    """A URL or folder is a remote, anything else a revision; a name that is near a remote's says so."""
    for place in ("./shared/team", "shared/team", str(work / "shared" / "team")):
        assert [place] == [each["remote"] for each in _json(run, "status", place, "--fetch")]
    near = run("status", "orign")
    assert (3, "hint: friday-store status origin") == (near.exit_code, near.stderr.splitlines()[1])
    near = run("status", "aapl_1e")
    assert (3, "hint: friday-store ls aapl_1d") == (near.exit_code, near.stderr.splitlines()[1])
    digest = _json(run, "show", "aapl_1d:1.0.0")["model_id"]
    assert "1.0.0" == _json(run, "status", digest)["model_version"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["aapl_1d", "--fetch"],
        ["aapl_1d", "staging", "archived"],
        ["aapl_1d", "--reason", "none"],
        ["origin", "--reason", "none"],
        ["--reason", "none"],
    ],
    ids=" ".join,
)
def test_what_status_cannot_be_asked(arguments: list[str], work: Path, run: Run) -> None:
    """Options of the one meaning do not go with the other; nothing is set."""
    result = run("status", *arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    assert [] == _json(run, "status", "aapl_1d")["history"]


def test_register_takes_stdin(work: Path, run: Run) -> None:
    """``register -`` stores what comes in, as --format says or as the first bytes do, and leaves no file."""
    with (work / "weights.npz").open("rb") as stream:
        assert run("register", "-", "-n", "w", "--format", "numpy", input=stream).exit_code == 0
    assert run("get", "w", "back.npz").exit_code == 0
    with np.load("back.npz") as found:
        assert list(range(12)) == found["w"].tolist()
    data = bytes(range(256)) * 20_000
    opaque = run("register", "-", "-n", "opaque", input=data)
    assert (0, True) == (opaque.exit_code, opaque.stderr.startswith("note: what came in is stored as an opaque file"))
    assert run("get", "opaque", "back").exit_code == 0
    assert data == (work / "back").read_bytes()
    np.save("one.npy", np.arange(3.0))
    assert (
        "numpy"
        == json.loads(run("register", "-", "-n", "n", "--json", input=Path("one.npy").read_bytes()).stdout)[
            "serializer"
        ]
    )


def test_stdin_leaves_nothing(work: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came in is kept in a private folder for as long as it is stored, also when that fails."""
    monkeypatch.setattr(tempfile, "tempdir", str(work / "empty"))
    (work / "empty").mkdir()
    assert run("register", "-", "-n", "m", input=b"1").exit_code == 0
    assert run("register", "-", "-n", "bad name", input=b"1").exit_code == 2
    assert [] == list((work / "empty").iterdir())


def test_rm_and_restore(work: Path, run: Run) -> None:
    """``rm -n`` says what rm removes, rm removes it, restore brings it back with its tags."""
    would = _json(run, "rm", "-n", "aapl_1d:1.0.0")
    assert _json(run, "show", "aapl_1d:1.0.0")
    removed = _json(run, "rm", "--yes", "aapl_1d:1.0.0")
    assert [v["model_id"] for v in would] == [v["model_id"] for v in removed]
    assert run("show", "aapl_1d:1.0.0").exit_code == 3
    assert [v["tags"] for v in _json(run, "restore", "aapl_1d:1.0.0")] == [["AAPL"]]
    assert len(_json(run, "rm", "--yes", "--force", "aapl_1d")) == 2
    assert [m["model_name"] for m in _json(run, "ls")] == ["weights_only"]


def test_show(work: Path, run: Run) -> None:
    """``show`` tells files, parents and libraries to people, and whether it may be loaded."""
    shown = run("show", "aapl_1d", "--files", "--env", "--format", "human").stdout
    for expected in ("aapl_1d:1.1.0", "production", "auc", "depth", "aapl_1d:1.0.0", "python", "pickle", "trusted"):
        assert expected in shown
    [part] = _json(run, "show", "aapl_1d", "--files")["files"]
    assert (part["name"], part["chunks"]) == ("pickle", 1)


def test_push_pull_and_clone(work: Path, run: Run) -> None:
    """``push -n`` says what push sends; the clone of the target has it all; pull fetches what came meanwhile."""
    rehearsed, pushed = _json(run, "push", "-n"), _json(run, "push")
    assert rehearsed == {**pushed, "dry_run": True}
    assert {move["flag"] for move in pushed["refs"]} == {"*"}
    assert pushed["objects"] > 0
    assert _json(run, "push")["refs"] == []
    cloned = _json(run, "clone", "shared/team", "copy")
    assert (cloned["models"], cloned["versions"]) == (3, 4)
    assert [r["name"] for r in _json(run, "remote", "-C", "copy")] == ["origin"]
    pulled = _json(run, "pull")
    assert [move["ref"].split("/")[1] for move in pulled["refs"]] == ["team_model"] * 2
    assert len(_json(run, "ls")) == 3


def test_push_takes_patterns(work: Path, run: Run) -> None:
    """A pattern chooses models."""
    pushed = _json(run, "push", "origin", "weights*")
    assert {move["ref"].split("/")[1] for move in pushed["refs"]} == {"weights_only"}


def test_push_of_tags(work: Path, run: Run) -> None:
    """--tags sends besides the labels of versions of other models that the remote has already, and no version."""
    assert run("push").exit_code == 0
    _json(run, "tag", "weights_only", "late")
    assert run("register", "model.pkl", "-n", "weights_only", "-t", "new").exit_code == 0
    assert [] == _json(run, "push", "origin", "aapl*")["refs"]
    rehearsed = _json(run, "push", "-n", "origin", "aapl*", "--tags")
    pushed = _json(run, "push", "origin", "aapl*", "--tags")
    assert {**pushed, "dry_run": True} == rehearsed
    assert ["tags/weights_only/late/0.1.0"] == [move["ref"] for move in pushed["refs"]]


def test_push_moves_aliases_with_a_flag(work: Path, run: Run) -> None:
    """An alias that moved on is a blank, one that is forced a plus, and one that moved on both sides is rejected."""
    assert run("push").exit_code == 0
    _json(run, "alias", "aapl_1d@production", "aapl_1d:1.0.0")
    [moved] = _json(run, "push")["refs"]
    assert (moved["flag"], moved["ref"]) == (" ", "aliases/aapl_1d/production")
    with ModelRegistry("shared/team") as team:
        team.set_alias("aapl_1d:1.1.0", "production")
    run("register", "model.pkl", "-n", "aapl_1d", "--alias", "production")
    result = run("push", "--json")
    assert result.exit_code == 12
    assert result.stderr.splitlines()[1] == "hint: friday-store push origin --theirs aapl_1d@production"
    [forced] = _json(run, "push", "--force")["refs"]
    assert forced["flag"] == "+"


def test_clone_names_the_folder(work: Path, run: Run) -> None:
    """Without DIR the clone is called as the registry is, and never lands on it."""
    (work / "below").mkdir()
    assert _json(run, "clone", "-C", "below", "../shared/team")["path"] == "team"
    assert (work / "below" / "team" / ".friday" / "friday-store.json").is_file()
    assert run("clone", "-C", "shared", "team").exit_code == 2


def test_fsck_and_doctor(work: Path, run: Run) -> None:
    """A sound registry has no problem, and no check of doctor fails."""
    assert {"problems": [], "repaired": [], "left": []} == _json(run, "fsck")
    checks = {each["check"]: each["state"] for each in _json(run, "doctor")}
    assert set(checks.values()) == {"ok"}
    assert {"friday-store", "python", "registry", "index", "write", "trust"} <= set(checks)
    assert not list(work.rglob(".tmp-*"))


def test_doctor_without_a_registry(run: Run) -> None:
    """``doctor`` works where there is no registry, and makes none."""
    checks = {each["check"]: each["state"] for each in _json(run, "doctor")}
    assert checks["registry"] == "note"
    assert list(Path().iterdir()) == []


def test_register_makes_a_registry(work: Path, run: Run, home: Path) -> None:
    """Where there is none register makes this user's own, and says so on stderr."""
    run("rm", "--yes", "weights_only")
    result = run("-C", "/", "register", work / "model.pkl", "-n", "m", "--json")
    assert result.exit_code == 0
    assert result.stderr == f"note: this makes a new registry at {home}/registry\n"
    assert (home / "registry" / "friday-store.json").is_file()


def test_attachments(work: Path, run: Run) -> None:
    """Files are attached by their own names or others, shown with their sizes, and written out again."""
    done = run("register", "model.pkl", "-n", "m", "--attach", "rules.json", "--attach", "cards/one.json=rules.json")
    assert done.exit_code == 0, done.stderr
    shown = run("show", "m").stdout
    assert "cards/one.json" in shown
    assert {"rules.json": 11, "cards/one.json": 11} == json.loads(run("show", "m", "--json").stdout)["attachments"][
        "files"
    ]
    assert run("get", "m", "--attachment", "cards/one.json").exit_code == 0
    assert '{"rsi": 14}' == Path("one.json").read_text()
    refused = run("get", "m", "--attachment", "cards/one.json")
    assert refused.exit_code == 4
    again = refused.stderr.splitlines()[1].removeprefix("hint: friday-store ")
    assert run(*shlex.split(again)).exit_code == 0


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (("--attach", "none.txt"), 2), (("--attach", "rules.json", "--attach", "rules.json"), 2),
        (("--attach", "../up=rules.json"), 2),
    ],
)  # fmt: skip
def test_what_cannot_be_attached(work: Path, run: Run, given: tuple[str, ...], code: int) -> None:
    """A file that is not there, two of one name and a name that could escape are refused, and nothing is registered."""
    assert code == run("register", "model.pkl", "-n", "m", *given).exit_code
    assert run("show", "m").exit_code == 3
    assert run("get", "aapl_1d", "--attachment", "none").exit_code == 3
