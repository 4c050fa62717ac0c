"""What an import promises: all that maps comes, as it is, once, and nothing runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from friday_store import ModelRegistry, UntrustedArtifactError
from friday_store.errors import InvalidNameError, VersionExistsError
from friday_store_mlflow import import_mlflow

if TYPE_CHECKING:
    from tests.conftest import Theirs


def log_number(registry: ModelRegistry) -> int:
    """Return the number of the newest log entry."""
    return registry.repository.log.last()


def filled(theirs: Theirs) -> Theirs:
    """Give a registry two models, four versions, a copy, tags, aliases, descriptions and stages."""
    theirs.log("aapl", 1.0, rmse=0.5, r2=0.1)
    theirs.log("aapl", 0.5, rmse=0.4)
    theirs.log("msft", 0.1)
    client = theirs.client
    client.copy_model_version("models:/aapl/2", "production-aapl")
    client.set_registered_model_alias("aapl", "prod", 1)
    client.set_registered_model_alias("aapl", "next", 2)
    client.set_model_version_tag("aapl", 1, "approved", "yes")
    client.set_model_version_tag("aapl", 1, "note", "two words: a 'quote'")
    client.set_model_version_tag("aapl", 1, "bare", "")
    client.update_model_version("aapl", 2, "the second")
    client.update_registered_model("aapl", "Apple, daily")
    client.set_registered_model_tag("aapl", "team", "equities")
    return theirs


def test_everything_that_maps_comes(theirs: Theirs, registry: ModelRegistry) -> None:
    """Versions, files, tags, aliases, metrics, parameters, lineage and descriptions are here as they are there."""
    filled(theirs)
    report = import_mlflow(theirs.uri, registry)
    assert [4, 0, 0, 0] == [report.count(what) for what in ("new", "changed", "present", "failed")]
    assert report.whole
    assert ["aapl", "msft", "production-aapl"] == registry.model_names()
    first, second = (registry.get_model_metadata(f"aapl:0.0.{number}") for number in (1, 2))
    assert {"rmse": 0.5, "r2": 0.1} == first["metrics"]
    assert "1.0" == first["hyperparameters"]["alpha"]
    assert {"scikit-learn": "1.8.0", "numpy": "2.0.0"}.items() <= first["dependencies"].items()
    assert ["approved=yes", "bare"] == first["tags"]
    assert {"approved": "yes", "note": "two words: a 'quote'", "bare": ""} == first["metadata"]["mlflow_tags"]
    assert (["prod"], ["next"]) == (first["aliases"], second["aliases"])
    assert ("sklearn", "mlflow") == (first["model_type"], first["serializer"])
    assert "the second" == second["description"]
    assert [first["id"]] == second["parents"]
    assert [second["id"]] == registry.get_model_metadata("production-aapl")["parents"]
    assert {"description": "Apple, daily", "tags": {"team": "equities"}} == second["metadata"]["mlflow_model"]
    said = first["metadata"]["mlflow"]
    assert (1, "model.pkl") == (said["version"], said["flavors"]["sklearn"]["pickled_model"])
    assert "tensor" == said["signature"]["inputs"][0]["type"]
    assert "FINISHED" == said["run"]["status"]
    contents = registry.describe("aapl:0.0.1")
    assert (5, ["python_function", "sklearn"]) == (contents["files"], contents["flavors"])
    assert first["environment"]["python"]


def test_files_are_stored_as_they_are(theirs: Theirs, registry: ModelRegistry) -> None:
    """Every file of a version's folder is here, byte for byte, and no other."""
    theirs.log("aapl", 1.0)
    import_mlflow(theirs.uri, registry)
    folder = Path(theirs.client.get_model_version_download_uri("aapl", "1").removeprefix("file://"))
    expected = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    row = registry.resolve("aapl")
    parts = registry.repository.parts(registry.repository.artifact(registry.repository.manifest(row).artifact))
    actual = {name.removeprefix("files/"): bytes(data) for name, data in parts.items() if name != "index"}
    assert "MLmodel" in expected
    assert expected == actual


def test_a_second_import_changes_nothing(theirs: Theirs, registry: ModelRegistry) -> None:
    """Importing again writes no entry of the log, and says that everything is present."""
    filled(theirs)
    import_mlflow(theirs.uri, registry)
    before = log_number(registry)
    report = import_mlflow(theirs.uri, registry)
    assert (before, 4) == (log_number(registry), report.count("present"))
    assert report.whole


def test_a_dry_run_says_exactly_what_a_run_does(theirs: Theirs, registry: ModelRegistry) -> None:
    """The rows of a dry run are those of the run after it; the dry one makes nothing, not even a registry."""
    filled(theirs)
    expected = import_mlflow(theirs.uri, registry, dry_run=True)
    assert not registry.repository.born
    actual = import_mlflow(theirs.uri, registry)
    assert expected == actual
    stored = sum(record["size_bytes"] for record in registry.list_models())
    index = sum(len(registry.repository.parts(artifact)["index"]) for artifact in artifacts(registry))
    assert stored - index == sum(row.size_bytes for row in actual.rows)
    theirs.client.set_registered_model_alias("aapl", "prod", 2)
    assert import_mlflow(theirs.uri, registry, dry_run=True) == import_mlflow(theirs.uri, registry)


def artifacts(registry: ModelRegistry) -> list[Any]:
    """Return the artifacts of all versions."""
    rows = [registry.resolve(record["id"]) for record in registry.list_models()]
    return [registry.repository.artifact(registry.repository.manifest(row).artifact) for row in rows]


def test_what_changes_there_follows(theirs: Theirs, registry: ModelRegistry) -> None:
    """New versions, moved and removed aliases, changed tags and descriptions come with the next import."""
    filled(theirs)
    import_mlflow(theirs.uri, registry)
    client = theirs.client
    theirs.log("aapl", 0.2)
    client.set_registered_model_alias("aapl", "prod", 3)
    client.delete_registered_model_alias("aapl", "next")
    client.set_model_version_tag("aapl", 1, "approved", "no")
    client.delete_model_version_tag("aapl", 1, "bare")
    client.update_model_version("aapl", 1, "the first")
    client.update_registered_model("msft", "Microsoft")
    report = import_mlflow(theirs.uri, registry)
    assert [1, 3, 1] == [report.count(what) for what in ("new", "changed", "present")]
    first = registry.get_model_metadata("aapl:0.0.1")
    assert ("the first", ["approved=no"], []) == (first["description"], first["tags"], first["aliases"])
    assert {"approved": "no", "note": "two words: a 'quote'"} == first["metadata"]["mlflow_tags"]
    assert [] == registry.get_model_metadata("aapl:0.0.2")["aliases"]
    assert "0.0.3" == registry.get_model_metadata("aapl@prod")["model_version"]
    assert "Microsoft" == registry.get_model_metadata("msft")["metadata"]["mlflow_model"]["description"]
    before = log_number(registry)
    import_mlflow(theirs.uri, registry)
    assert before == log_number(registry)


def test_what_changed_only_here_stays(small: Theirs, registry: ModelRegistry) -> None:
    """An alias that was moved here and not there stays, and so do a description and tags."""
    filled(small)
    import_mlflow(small.uri, registry)
    registry.set_alias("aapl:0.0.2", "prod")
    registry.delete_alias("aapl", "next")
    registry.update_model_metadata("aapl:0.0.1", {"mine": 1}, "in my words")
    registry.add_tag("aapl:0.0.1", "mine")
    before = log_number(registry)
    report = import_mlflow(small.uri, registry)
    assert report.whole
    assert before == log_number(registry)


def test_an_alias_that_both_moved_stays_and_is_reported(small: Theirs, registry: ModelRegistry) -> None:
    """It stays where it is here and is reported by every import, until ``force`` sends it where MLflow has it."""
    small.log("aapl", 1.0)
    small.log("aapl", 0.5)
    small.log("aapl", 0.2)
    small.client.set_registered_model_alias("aapl", "prod", 1)
    import_mlflow(small.uri, registry)
    registry.set_alias("aapl:0.0.2", "prod")
    small.client.set_registered_model_alias("aapl", "prod", 3)
    for _ in range(2):
        report = import_mlflow(small.uri, registry)
        assert (("prod",), False) == (report.rows[-1].kept, report.whole)
        assert "0.0.2" == registry.get_model_metadata("aapl@prod")["model_version"]
    assert import_mlflow(small.uri, registry, force=True).whole
    assert "0.0.3" == registry.get_model_metadata("aapl@prod")["model_version"]


def test_stages_become_statuses(theirs: Theirs, registry: ModelRegistry) -> None:
    """Staging, Production and Archived are the statuses of the same names, and follow when they change."""
    theirs.log("aapl", 1.0)
    theirs.log("aapl", 0.5)
    with pytest.warns(FutureWarning, match="stage"):
        theirs.client.transition_model_version_stage("aapl", 1, "Production")
    import_mlflow(theirs.uri, registry)
    assert ["active", "production"] == [each["status"] for each in registry.get_model_versions("aapl")]
    with pytest.warns(FutureWarning, match="stage"):
        theirs.client.transition_model_version_stage("aapl", 1, "Archived")
    import_mlflow(theirs.uri, registry)
    before = log_number(registry)
    assert "archived" == registry.get_model_metadata("aapl:0.0.1")["status"]
    import_mlflow(theirs.uri, registry)
    assert before == log_number(registry)


def test_nothing_is_loaded_and_nothing_loads_untrusted(small: Theirs, registry: ModelRegistry, tmp_path: Path) -> None:
    """A model whose pickle would leave a file behind is imported without it, and refused until it is trusted."""
    version = small.log("aapl", 1.0)
    marker = tmp_path / "code-ran"
    folder = Path(small.client.get_model_version_download_uri("aapl", str(version.version)).removeprefix("file://"))
    evil = b"cos\nmkdir\n(V" + str(marker).encode() + b"\ntR0"
    (folder / "model.pkl").write_bytes(evil + (folder / "model.pkl").read_bytes())
    report = import_mlflow(small.uri, registry)
    with pytest.raises(UntrustedArtifactError) as caught:
        registry.load_model("aapl")
    assert (report.origin, False) == (caught.value.origin, marker.exists())
    registry.trust.add("repositories", report.origin)
    registry.load_model("aapl")
    assert marker.exists()


def test_a_trusted_model_predicts_as_it_did(small: Theirs, registry: ModelRegistry) -> None:
    """What was imported and is trusted loads as MLflow's own model, with the same predictions."""
    import mlflow.pyfunc
    import numpy as np

    small.log("aapl", 1.0)
    report = import_mlflow(small.uri, registry)
    registry.trust.add("repositories", report.origin)
    features = np.arange(6.0).reshape(3, 2)
    expected = mlflow.pyfunc.load_model("models:/aapl/1").predict(features)
    assert expected.tolist() == registry.load_model("aapl").predict(features).tolist()


def test_what_fails_is_reported_and_the_rest_comes(small: Theirs, registry: ModelRegistry) -> None:
    """A version whose files are gone is a row with the reason; a later import brings it once they are back."""
    for alpha in (1.0, 0.5, 0.2):
        small.log("aapl", alpha)
    folder = Path(small.client.get_model_version_download_uri("aapl", "2").removeprefix("file://"))
    folder.rename(folder.with_name("away"))
    assert import_mlflow(small.uri, registry, dry_run=True) == (report := import_mlflow(small.uri, registry))
    assert ["new", "failed", "new"] == [row.outcome for row in report.rows]
    assert "there is no folder" in report.rows[1].reason
    assert ["0.0.3", "0.0.1"] == [each["model_version"] for each in registry.get_model_versions("aapl")]
    folder.with_name("away").rename(folder)
    assert ["present", "new", "present"] == [row.outcome for row in import_mlflow(small.uri, registry).rows]


def test_a_link_is_not_followed(small: Theirs, registry: ModelRegistry) -> None:
    """A link in a model's folder could name any file of this machine, so such a version is refused."""
    small.log("aapl", 1.0)
    folder = Path(small.client.get_model_version_download_uri("aapl", "1").removeprefix("file://"))
    (folder / "notes.txt").symlink_to("/etc/passwd")
    [row] = import_mlflow(small.uri, registry).rows
    assert ("failed", True) == (row.outcome, "is a link" in row.reason)


def test_names_that_cannot_be_are_refused_at_once(small: Theirs, registry: ModelRegistry) -> None:
    """A name with a space is refused before anything is written, and comes under the name that is given for it."""
    small.log("my model", 1.0)
    small.log("aapl", 1.0)
    with pytest.raises(InvalidNameError, match="my model"):
        import_mlflow(small.uri, registry)
    assert not registry.repository.born
    with pytest.raises(InvalidNameError, match="cannot both be"):
        import_mlflow(small.uri, registry, names={"my model": "aapl"})
    import_mlflow(small.uri, registry, names={"my model": "my-model"})
    assert ["aapl", "my-model"] == registry.model_names()
    assert "my model" == registry.get_model_metadata("my-model")["metadata"]["mlflow"]["name"]


def test_versions_from_elsewhere_are_refused_at_once(small: Theirs, registry: ModelRegistry) -> None:
    """A version that is here already and did not come from there is named, and nothing is written."""
    small.log("aapl", 1.0)
    registry.register_model({"a": 1}, "aapl", "0.0.1")
    before = log_number(registry)
    with pytest.raises(VersionExistsError, match=r"aapl:0\.0\.1"):
        import_mlflow(small.uri, registry)
    assert before == log_number(registry)


def test_patterns_choose_models(small: Theirs, registry: ModelRegistry) -> None:
    """Only models that match a glob come."""
    filled(small)
    import_mlflow(small.uri, registry, ["*aapl", "goog"])
    assert ["aapl", "production-aapl"] == registry.model_names()


def test_an_interrupted_import_goes_on(small: Theirs, registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was finished before the interruption stays and is not fetched again; the end is the same."""
    from friday_store_mlflow import migration

    monkeypatch.setattr(migration, "_PAGE", 1)
    for alpha in (1.0, 0.5, 0.2):
        small.log("aapl", alpha)

    def interrupt(row: migration.Row) -> None:
        if row.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_mlflow(small.uri, registry, told=interrupt)
    assert 2 == len(registry.get_model_versions("aapl"))
    report = import_mlflow(small.uri, registry)
    assert ["present", "present", "new"] == [row.outcome for row in report.rows]
    ids = [each["id"] for each in registry.get_model_versions("aapl")]
    assert [[ids[1]], [ids[2]], []] == [each["parents"] for each in registry.get_model_versions("aapl")]
