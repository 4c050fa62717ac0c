"""What MLflow's clients are promised of a registry of ours: their own interface, and clear errors for the rest."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.abstract_store import AbstractStore
from sklearn.linear_model import Ridge

from friday_store import ModelRegistry
from friday_store.trust import ANYWHERE, Identity, Policy
from friday_store_mlflow import import_mlflow
from friday_store_mlflow.store import FridayStore

if TYPE_CHECKING:
    from tests.conftest import Theirs

FEATURES = np.arange(20.0).reshape(10, 2)


def fitted(alpha: float) -> Any:
    """Return a small model."""
    return Ridge(alpha=alpha).fit(FEATURES, FEATURES.sum(axis=1))


@pytest.fixture
def ours(registry: ModelRegistry) -> ModelRegistry:
    """Return a registry with two models, as friday-store's own users fill it."""
    registry.register_model(fitted(1.0), "aapl", tags=["linear"], metrics={"rmse": 0.5}, description="first")
    registry.register_model(fitted(0.5), "aapl", metrics={"rmse": 0.4}, aliases=["prod"])
    registry.register_model(fitted(0.1), "msft", "2.1.0", metrics={"rmse": 0.3})
    registry.register_model(fitted(0.1), "msft", "3.0.0-rc.1")
    return registry


def uri_of(registry: ModelRegistry) -> str:
    """Return how MLflow names a registry."""
    return "friday://" + registry.url.removeprefix("file://")


@pytest.fixture
def client(ours: ModelRegistry, tmp_path: Path) -> MlflowClient:
    """Return MLflow's client for it, made its default registry too."""
    mlflow.set_registry_uri(uri_of(ours))
    mlflow.set_tracking_uri((tmp_path / "tracking").as_uri())
    return MlflowClient(registry_uri=uri_of(ours))


def test_every_method_of_the_interface_is_there() -> None:
    """No abstract method of MLflow's store is left as it is: each answers, or says that there is no such thing."""
    left = [
        name
        for name, method in vars(AbstractStore).items()
        if getattr(method, "__isabstractmethod__", False) and getattr(FridayStore, name) is method
    ]
    assert [] == left
    silent = [
        name
        for name, method in inspect.getmembers(AbstractStore, inspect.isfunction)
        if "NotImplementedError" in inspect.getsource(method) and getattr(FridayStore, name) is method
    ]
    assert [] == silent


def test_signatures_take_what_mlflow_gives() -> None:
    """Every overridden method takes the arguments of MLflow's, by the same names and in the same order."""
    for name, method in vars(AbstractStore).items():
        own = vars(FridayStore).get(name)
        if inspect.isfunction(method) and own is not None and not name.startswith("__"):
            given = list(inspect.signature(own).parameters)
            assert given in (list(inspect.signature(method).parameters), ["self", "_", "__"]), name


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.rename_registered_model("aapl", new_name="goog"),
        lambda store: store.create_webhook("hook", "https://example.org", []),
        lambda store: store.list_webhooks(),
        lambda store: store.test_webhook("1"),
        lambda store: store.create_registered_model("goog", deployment_job_id="job"),
        lambda store: store.create_prompt("greeting"),
    ],
)
def test_what_has_no_counterpart_says_so(ours: ModelRegistry, call: Any) -> None:
    """What friday-store does not have raises MLflow's own error, with the code for that and what there is instead."""
    with pytest.raises(MlflowException, match="friday-store has no") as caught:
        call(FridayStore(uri_of(ours)))
    assert "NOT_IMPLEMENTED" == caught.value.error_code


def test_both_entry_points_load_without_a_warning(ours: ModelRegistry) -> None:
    """In a fresh process where a UserWarning is an error, both of MLflow's registries know the scheme."""
    program = f"""
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories
client = MlflowClient(registry_uri={uri_of(ours)!r}, tracking_uri="file:///tmp/none")
print(client.get_model_version_by_alias("aapl", "prod").version, "friday" in get_registered_artifact_repositories())
"""
    command = [sys.executable, "-W", "error::UserWarning", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "10000000001 True\n") == (result.returncode, result.stdout), result.stderr


def test_versions_are_shown(client: MlflowClient, ours: ModelRegistry) -> None:
    """A version has its number, description, tags, aliases, metrics, parameters, author and times."""
    first, second = sorted(client.search_model_versions("name = 'aapl'"), key=lambda each: int(each.version))
    assert ["10000000000", "10000000001"] == [first.version, second.version]
    assert ("first", {"linear": ""}, []) == (first.description, first.tags, first.aliases)
    assert ["prod"] == second.aliases
    assert {"rmse": 0.4} == {each.key: each.value for each in second.metrics or ()}
    assert "0.5" == {each.key: each.value for each in second.params or ()}["alpha"]
    assert ("tester@here", "None", "READY") == (second.user_id, second.current_stage, second.status)
    created = ours.get_model_metadata("aapl:1.0.1")["created_at"].timestamp()
    assert abs(second.creation_timestamp - created * 1000) < 1


def test_versions_are_found_by_alias_stage_and_latest(client: MlflowClient, ours: ModelRegistry) -> None:
    """By alias, by stage, and as the latest; the alias follows when friday-store moves it."""
    assert "10000000001" == client.get_model_version_by_alias("aapl", "prod").version
    ours.set_alias("aapl:1.0.0", "prod")
    assert "10000000000" == client.get_model_version_by_alias("aapl", "prod").version
    assert "10000000001" == client.get_model_version_by_alias("aapl", "latest").version
    ours.set_model_status("aapl:1.0.0", "production")
    with pytest.warns(FutureWarning, match="stages"):
        found = client.get_latest_versions("aapl")
    assert {"None": "10000000001", "Production": "10000000000"} == {each.current_stage: each.version for each in found}
    with pytest.warns(FutureWarning, match="stages"):
        assert ["10000000000"] == [each.version for each in client.get_latest_versions("aapl", ["production"])]


def test_searches_speak_mlflow_s_language(client: MlflowClient) -> None:
    """Filters, orders and pages are MLflow's; a pre-release has no number and is not shown."""
    assert ["aapl", "msft"] == [each.name for each in client.search_registered_models()]
    assert ["aapl"] == [each.name for each in client.search_registered_models("name LIKE 'a%'")]
    names = [each.name for each in client.search_registered_models(order_by=["name DESC"])]
    assert ["msft", "aapl"] == names
    found = client.search_model_versions("tags.linear = ''")
    assert ["10000000000"] == [each.version for each in found]
    assert ["20000100000"] == [each.version for each in client.search_model_versions("name = 'msft'")]
    page = client.search_model_versions(max_results=2, order_by=["name ASC", "version_number ASC"])
    rest = client.search_model_versions(
        max_results=2, order_by=["name ASC", "version_number ASC"], page_token=page.token
    )
    assert ["10000000000", "10000000001", "20000100000"] == [each.version for each in [*page, *rest]]
    assert not rest.token
    with pytest.raises(MlflowException, match="max_results"):
        client.search_model_versions(max_results=0)


def test_a_model_lists_its_aliases_and_newest_versions(client: MlflowClient) -> None:
    """A registered model knows its aliases by number, and its newest version in each stage."""
    model = client.get_registered_model("aapl")
    assert {"prod": "10000000001"} == model.aliases
    assert ["10000000001"] == [each.version for each in model.latest_versions]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda client: client.get_registered_model("goog"), "RESOURCE_DOES_NOT_EXIST"),
        (lambda client: client.get_model_version("aapl", "1"), "RESOURCE_DOES_NOT_EXIST"),
        (lambda client: client.get_model_version("aapl", "one"), "INVALID_PARAMETER_VALUE"),
        (lambda client: client.get_model_version_by_alias("aapl", "none"), "INVALID_PARAMETER_VALUE"),
        (lambda client: client.set_registered_model_alias("aapl", "a:b", "10000000000"), "INVALID_PARAMETER_VALUE"),
        (lambda client: client.create_registered_model("aapl"), "RESOURCE_ALREADY_EXISTS"),
        (lambda client: client.create_registered_model("a b"), "INVALID_PARAMETER_VALUE"),
        (lambda client: client.delete_model_version("aapl", "7"), "RESOURCE_DOES_NOT_EXIST"),
        (lambda client: client.create_model_version("goog", "file:///nowhere"), "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_errors_have_mlflow_s_codes(client: MlflowClient, call: Any, code: str) -> None:
    """What is not there, is there already or cannot be raises MLflow's own error with its own code."""
    with pytest.raises(MlflowException) as caught:
        call(client)
    assert code == caught.value.error_code


def test_an_alias_of_a_pre_release_says_why(client: MlflowClient, ours: ModelRegistry) -> None:
    """An alias that points at a version without a number is an error that names the version."""
    ours.set_alias("msft:3.0.0-rc.1", "next")
    with pytest.raises(MlflowException, match=r"3\.0\.0-rc\.1"):
        client.get_model_version_by_alias("msft", "next")


def test_names_are_written_through(client: MlflowClient, ours: ModelRegistry) -> None:
    """Aliases, tags, descriptions and stages that MLflow's client sets are those of friday-store."""
    client.set_registered_model_alias("aapl", "next", "10000000000")
    client.set_model_version_tag("aapl", "10000000000", "approved", "yes")
    client.set_model_version_tag("aapl", "10000000000", "why", "two words")
    client.update_model_version("aapl", "10000000000", "in other words")
    with pytest.warns(FutureWarning, match="stages"):
        client.transition_model_version_stage("aapl", "10000000000", "Production")
    record = ours.get_model_metadata("aapl@next")
    assert ("1.0.0", "in other words", "production") == tuple(
        record[key] for key in ("model_version", "description", "status")
    )
    assert ["approved=yes", "linear"] == record["tags"]
    assert {"linear": "", "approved": "yes", "why": "two words"} == client.get_model_version("aapl", "10000000000").tags
    for key in ("approved", "linear", "why", "never"):
        client.delete_model_version_tag("aapl", "10000000000", key)
    assert {} == client.get_model_version("aapl", "10000000000").tags
    assert [] == ours.get_model_metadata("aapl:1.0.0")["tags"]
    client.delete_registered_model_alias("aapl", "next")
    client.delete_registered_model_alias("aapl", "never")
    assert [] == ours.get_model_metadata("aapl:1.0.0")["aliases"]


def test_a_stage_can_archive_the_others(client: MlflowClient, ours: ModelRegistry) -> None:
    """Moving to Production with ``archive_existing_versions`` archives what was there, in one transaction."""
    ours.set_model_status("aapl:1.0.0", "production")
    before = ours.repository.log.last()
    with pytest.warns(FutureWarning, match="stages"):
        client.transition_model_version_stage("aapl", "10000000001", "Production", archive_existing_versions=True)
    assert ["production", "archived"] == [each["status"] for each in ours.get_model_versions("aapl")]
    assert before + 1 == ours.repository.log.last()


def test_facts_of_a_model_as_a_whole(client: MlflowClient, ours: ModelRegistry) -> None:
    """Description and tags of a registered model are kept, also when a newer version knows nothing of them."""
    client.update_registered_model("aapl", "Apple, daily")
    client.set_registered_model_tag("aapl", "team", "equities")
    client.set_registered_model_tag("aapl", "desk", "1")
    client.delete_registered_model_tag("aapl", "desk")
    ours.register_model(fitted(0.2), "aapl")
    model = client.get_registered_model("aapl")
    assert ("Apple, daily", {"team": "equities"}) == (model.description, model.tags)


def test_deleting_forgets_and_can_be_undone(client: MlflowClient, ours: ModelRegistry) -> None:
    """What MLflow's client deletes is gone for it, and comes back with ``restore``."""
    client.delete_model_version("aapl", "10000000001")
    assert ["10000000000"] == [each.version for each in client.search_model_versions("name = 'aapl'")]
    client.delete_registered_model("msft")
    assert ["aapl"] == [each.name for each in client.search_registered_models()]
    ours.restore_model("aapl")
    assert "10000000001" == client.get_model_version_by_alias("aapl", "prod").version


def test_models_are_downloaded_and_loaded(client: MlflowClient, ours: ModelRegistry, tmp_path: Path) -> None:
    """``models:/NAME@ALIAS`` downloads a folder that MLflow loads, by pyfunc and as the scikit-learn model it is."""
    expected = ours.load_model("aapl@prod").predict(FEATURES).tolist()
    folder = mlflow.artifacts.download_artifacts("models:/aapl@prod", dst_path=str(tmp_path / "got"))
    assert {"MLmodel", "model.pkl", "requirements.txt"} <= {path.name for path in Path(folder).iterdir()}
    assert expected == mlflow.pyfunc.load_model("models:/aapl@prod").predict(FEATURES).tolist()
    assert expected == mlflow.sklearn.load_model("models:/aapl/10000000001").predict(FEATURES).tolist()
    assert 0.5 == mlflow.sklearn.load_model("models:/aapl/latest").alpha


def test_one_file_can_be_downloaded(client: MlflowClient, tmp_path: Path) -> None:
    """A file of a version comes alone; one that is not there is an error."""
    (tmp_path / "one").mkdir()
    got = mlflow.artifacts.download_artifacts("models:/aapl@prod/MLmodel", dst_path=str(tmp_path / "one"))
    assert ["MLmodel"] == [path.name for path in (tmp_path / "one").iterdir()]
    assert "friday_store_mlflow.flavor" in Path(got).read_text()
    with pytest.raises(MlflowException, match="no file"):
        mlflow.artifacts.download_artifacts("models:/aapl@prod/none", dst_path=str(tmp_path / "one"))


def test_a_model_without_predict_says_so(client: MlflowClient, ours: ModelRegistry) -> None:
    """What MLflow could not predict with is an error that says how to get it."""
    ours.register_model({"threshold": 0.7}, "rules")
    with pytest.raises(MlflowException, match="no predict method"):
        mlflow.pyfunc.load_model("models:/rules/latest")


def test_imported_models_keep_their_numbers_and_files(small: Theirs, registry: ModelRegistry, tmp_path: Path) -> None:
    """What was imported is served with MLflow's numbers, tags, run and folder, once it is trusted."""
    small.log("aapl", 1.0, rmse=0.5)
    version = small.log("aapl", 0.5)
    small.client.set_model_version_tag("aapl", 2, "note", "two words")
    small.client.set_registered_model_alias("aapl", "prod", 2)
    original = Path(mlflow.artifacts.download_artifacts("models:/aapl/2", dst_path=str(tmp_path / "original")))
    report = import_mlflow(small.uri, registry)
    mlflow.set_registry_uri(uri_of(registry))
    client = MlflowClient(registry_uri=uri_of(registry))
    got = client.get_model_version_by_alias("aapl", "prod")
    assert ("2", version.run_id, {"note": "two words"}) == (got.version, got.run_id, got.tags)
    assert version.creation_timestamp == got.creation_timestamp
    (tmp_path / "copy").mkdir()
    with pytest.raises(MlflowException, match="trust add") as caught:
        mlflow.artifacts.download_artifacts("models:/aapl@prod", dst_path=str(tmp_path / "copy"))
    assert ("PERMISSION_DENIED", []) == (caught.value.error_code, list((tmp_path / "copy").iterdir()))
    registry.trust.add("repositories", report.origin)
    copy = Path(mlflow.artifacts.download_artifacts("models:/aapl@prod", dst_path=str(tmp_path / "copy")))
    for path in original.rglob("*"):
        if path.is_file() and path.name != "registered_model_meta":
            assert path.read_bytes() == (copy / path.relative_to(original)).read_bytes()


def test_mlflow_s_own_way_of_registering_works(client: MlflowClient, ours: ModelRegistry, tmp_path: Path) -> None:
    """``log_model(registered_model_name=…)`` makes the model with number 1, then 2; they load here and there."""
    for alpha in (1.0, 0.5):
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                fitted(alpha),
                name="model",
                serialization_format="pickle",
                registered_model_name="goog",
                pip_requirements=["scikit-learn"],
            )
    assert ["0.0.2", "0.0.1"] == [each["model_version"] for each in ours.get_model_versions("goog")]
    second = client.get_model_version("goog", "2")
    assert second.run_id
    assert 0.5 == mlflow.sklearn.load_model("models:/goog/2").alpha
    expected = fitted(0.5).predict(FEATURES).tolist()
    assert expected == ours.load_model("goog").predict(FEATURES).tolist()


def test_a_model_is_there_from_its_first_version_on(client: MlflowClient, ours: ModelRegistry) -> None:
    """A model that was announced can be described and seen, and brings that to its first version."""
    client.create_registered_model("goog", tags={"team": "equities"}, description="Alphabet")
    client.set_registered_model_tag("goog", "desk", "1")
    assert ["aapl", "goog", "msft"] == [each.name for each in client.search_registered_models()]
    assert "goog" not in ours.model_names()
    client.create_model_version("goog", client.get_model_version_download_uri("aapl", "10000000000"))
    model = client.get_registered_model("goog")
    assert ("Alphabet", {"team": "equities", "desk": "1"}) == (model.description, model.tags)
    client.create_registered_model("amzn")
    client.delete_registered_model("amzn")
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model("amzn")


def test_a_copy_is_the_same_bytes(client: MlflowClient, ours: ModelRegistry) -> None:
    """``copy_model_version`` stores no byte of the model again, keeps its format, and names its parent."""
    copied = client.copy_model_version("models:/aapl@prod", "aapl-prod")
    assert "1" == copied.version
    source, copy = ours.get_model_metadata("aapl@prod"), ours.get_model_metadata("aapl-prod")
    assert (source["artifact"], source["serializer"]) == (copy["artifact"], copy["serializer"])
    assert [source["id"]] == copy["parents"]
    assert 0.5 == ours.load_model("aapl-prod").alpha


def test_a_stranger_s_version_leaves_only_once_it_may_load(
    client: MlflowClient, ours: ModelRegistry, tmp_path: Path
) -> None:
    """What a stranger signed is neither downloaded nor copied until that key is trusted; a policy asks for more."""
    with ModelRegistry(tmp_path / "theirs", identity=Identity(None)) as theirs:
        theirs.register_model(fitted(2.0), "goog", "0.0.1")
    ours.pull(str(tmp_path / "theirs"))
    calls: list[Callable[[], object]] = [
        lambda: mlflow.sklearn.load_model("models:/goog/1"),
        lambda: client.copy_model_version("models:/goog/1", "goog-prod"),
    ]

    def refused(said: str) -> None:
        for call in calls:
            with pytest.raises(MlflowException, match=said):
                call()

    refused("trust add")
    [public] = ours.provenance("goog").author()
    ours.trust.add_key(public, "theirs")
    ours.trust.set_policy(ANYWHERE, Policy(2))
    refused("1 of the 2 trusted keys")
    ours.trust.set_policy(ANYWHERE, None)
    assert 2.0 == mlflow.sklearn.load_model("models:/goog/1").alpha
    assert "1" == client.copy_model_version("models:/goog/1", "goog-prod").version


def test_files_do_not_change(client: MlflowClient) -> None:
    """A version's files cannot be added to or deleted through MLflow."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(client.get_model_version_download_uri("aapl", "10000000000"))
    calls: list[Callable[[], object]] = [
        lambda: repository.log_artifact("x"),
        lambda: repository.log_artifacts("x"),
        repository.delete_artifacts,
    ]
    for call in calls:
        with pytest.raises(MlflowException, match="never change"):
            call()


@pytest.mark.parametrize("uri", ["friday:///", "friday://host/x", "friday:relative", "friday://"])
def test_uris_that_name_nothing_are_refused(uri: str) -> None:
    """A URI that names no folder is refused with an example of one that does."""
    with pytest.raises(MlflowException, match="friday:///ABSOLUTE/PATH"):
        FridayStore(uri)


def test_a_folder_with_a_blank_in_its_name(tmp_path: Path) -> None:
    """A registry in a folder whose name needs quoting is served, files and all."""
    with ModelRegistry(tmp_path / "my models") as registry:
        registry.register_model(fitted(1.0), "aapl", aliases=["prod"])
    mlflow.set_registry_uri((tmp_path / "my models").as_uri().replace("file:", "friday:"))
    assert 1.0 == mlflow.sklearn.load_model("models:/aapl@prod").alpha


def test_threads_share_a_store(client: MlflowClient, ours: ModelRegistry) -> None:
    """Clients in several threads write and read at once; every version gets a number of its own."""
    source = client.get_model_version_download_uri("aapl", "10000000000")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(3):
                made = client.create_model_version("aapl", source)
                assert made.version == client.get_model_version("aapl", made.version).version
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures
    assert 14 == len(client.search_model_versions("name = 'aapl'"))
