"""The format ``skops`` keeps what every format promises, gives one model one digest, and makes listed types only."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from friday_store import ModelRegistry, SerializationError, UntrustedArtifactError
from friday_store.plugins import Plugins
from friday_store.testing import SerializerTests
from friday_store.trust import TrustStore
from friday_store_skops import TYPES, Skops

RANDOM = np.random.default_rng(19)
X = RANDOM.random((80, 4))
Y = (X[:, 0] > 0.5).astype(int)

MODELS: dict[str, Any] = {
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": lambda: RandomForestClassifier(n_estimators=5, random_state=1),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=5, random_state=1),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=5),
    "neighbours": KNeighborsRegressor,
    "columns": lambda: make_pipeline(ColumnTransformer([("s", StandardScaler(), [0, 1])]), Ridge()),
}


@pytest.fixture(params=MODELS)
def fitted(request: pytest.FixtureRequest) -> Any:
    """A fitted model of each kind."""
    return MODELS[request.param]().fit(X, Y)


class TestSkops(SerializerTests):
    """A pipeline."""

    serializer = Skops()
    chosen = False  # only when asked for

    @pytest.fixture
    def model(self) -> Any:
        """With a forest at its end."""
        return make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5, random_state=1)).fit(X, Y)

    def predict(self, model: Any) -> Any:
        """Predictions and parameters."""
        return repr(model), model.predict_proba(X)

    def changed(self, model: Any) -> Any:
        """Another scale in front of the same forest."""
        model[0].mean_ += 1
        return model

    def unwritable(self) -> Any:
        """An estimator that skops knows it cannot write."""
        return Birch()


def parts_of(model: Any) -> dict[str, bytes]:
    """Return a model's parts."""
    return {part.name: bytes(part.view()) for part in Skops().dump(model)}


def test_one_model_one_digest(fitted: Any) -> None:
    """A model has the same parts when it is dumped again, after a load, and when its file is registered."""
    first = parts_of(fitted)
    assert first == parts_of(fitted)
    file = memoryview(skops.io.dumps(fitted))
    assert first == {part.name: bytes(part.view()) for part in Skops().from_file(file)}
    again = Skops().load({name: memoryview(data) for name, data in first.items()}, 1)
    if not isinstance(fitted, KNeighborsRegressor):  # whose rows and tree are one array before, and two after a load
        assert first == parts_of(again)
    np.testing.assert_array_equal(fitted.predict(X), again.predict(X))  # a tree of neighbours counts what it is asked


_DUMP = """
import hashlib
from friday_store_skops import Skops
model = {"words": {"the", "a", "of", "to", "in"}}
print(hashlib.sha256(b"".join(bytes(part.view()) for part in Skops().dump(model))).hexdigest())
"""


def test_one_digest_in_every_process() -> None:
    """Another process, in which sets have another order, writes the same bytes."""
    found = {
        subprocess.run(
            [sys.executable, "-c", _DUMP], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_skops_reads_our_file(fitted: Any) -> None:
    """What ``get`` writes is a file of skops."""
    views = {name: memoryview(data) for name, data in parts_of(fitted).items()}
    found = skops.io.loads(b"".join(Skops().to_file(views)), trusted=list(TYPES))
    np.testing.assert_array_equal(fitted.predict(X), found.predict(X))


def strange(values: Any) -> Any:
    """Be of no list."""
    return values


def test_types_of_a_strangers_model(tmp_path: Path) -> None:
    """A stranger's model of listed types loads; one with others is refused and they are named, until they are too."""
    listed, other = make_pipeline(StandardScaler(), Ridge()).fit(X, Y), FunctionTransformer(strange).fit(X)
    theirs = ModelRegistry(tmp_path / "theirs", plugins=Plugins(["skops"]), trust=TrustStore(None))
    for name, model in (("listed", listed), ("other", other)):
        theirs.register_model(model, name, serializer="skops")
    trust = TrustStore(None)
    ours = ModelRegistry.clone(tmp_path / "theirs", tmp_path / "ours", plugins=Plugins(["skops"]), trust=trust)
    np.testing.assert_array_equal(listed.predict(X), ours.load_model("listed").predict(X))
    with pytest.raises(UntrustedArtifactError, match=r"strange"):
        ours.load_model("other")
    trust.add("types", f"{strange.__module__}.strange")
    assert isinstance(ours.load_model("other"), FunctionTransformer)


@pytest.mark.parametrize("name", TYPES)
def test_every_listed_type_is_there(name: str) -> None:
    """Each name on the list is a class or a function of the installed libraries."""
    module, _, attribute = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))


def archive(members: dict[str, bytes]) -> memoryview:
    """Return a packed archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return target.getbuffer()


def test_a_file_that_grows() -> None:
    """A file of which a hundredth of its size is stored is not unpacked."""
    with pytest.raises(SerializationError, match="would become"):
        Skops().from_file(archive({"schema.json": bytes(50_000_000)}))


@pytest.mark.parametrize("name", ["../1.npy", "/1.npy", "1.npy/x", "x.npy", "1.NPY", "1"])
def test_member_names(name: str) -> None:
    """A member that is not called as skops calls them is refused, whatever its schema says."""
    schema = (
        b'{"__class__":"ndarray","__module__":"numpy","__loader__":"NdArrayNode","type":"numpy","_skops_version":"0",'
        b'"protocol":2,"__id__":1,"file":"%s"}' % name.encode()
    )
    with pytest.raises(SerializationError):
        Skops().from_file(archive({"schema.json": schema, name: b"\x93NUMPY"}))
