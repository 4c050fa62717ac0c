"""The models that are measured, the same bytes for every side.

Every side runs in a process of its own, some in an environment of their own, so a model is either made again from
its seed or, where that takes long, trained once and read back from a cache folder with joblib. Nothing here imports
friday_store or a peer.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ARRAYS: Final = 100
_FEATURES: Final = 30


@dataclass(frozen=True)
class Setting:
    """Where one side works and how much it does; travels to its process as JSON.

    Attributes:
        scratch: An empty folder of this side and workload, on the disk that is measured.
        cache: Where models that take long to train are kept between runs.
        quick: A tenth of the work and less: shows that everything runs, proves nothing.
        handle: What a process loads that was started to load one model.
        endpoint: The S3 server, for workloads that have one.
    """

    scratch: str
    cache: str
    quick: bool = False
    handle: str = ""
    endpoint: str = ""

    def to_json(self) -> str:
        """Return what :meth:`from_json` reads back as an equal setting."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setting:
        """Return the setting that :meth:`to_json` wrote."""
        return cls(**json.loads(text))

    def folder(self, *names: str) -> Path:
        """Return a folder below ``scratch``, made if need be."""
        path = Path(self.scratch, *names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def calls(self) -> int:
        """How many small models one round registers, one by one."""
        return 5 if self.quick else 20

    @property
    def bulk(self) -> int:
        """How many small models go into one transaction."""
        return 1_000 if self.quick else 10_000

    @property
    def loop(self) -> int:
        """How many versions of one name are registered in a loop."""
        return 20 if self.quick else 200

    @property
    def crowd(self) -> int:
        """How many versions the registry has that is asked."""
        return 5_000 if self.quick else 100_000

    @property
    def versions(self) -> int:
        """How many versions the grown registry has."""
        return 500 if self.quick else 10_000

    @property
    def rows(self) -> int:
        """Rows of each of the hundred arrays; 2,621 make 1,023.8 MiB, and no array a whole number of MiB."""
        return 131 if self.quick else 2_621

    @property
    def trees(self) -> int:
        """Trees of the forest; the second version has a twentieth more."""
        return 20 if self.quick else 200


class Layers(RegressorMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """An estimator that is nothing but float32 arrays, as a network's weights are.

    Args:
        count: How many arrays.
        rows: Rows of each; every row has 1,024 columns.
        seed: Decides all values.
    """

    def __init__(self, count: int = _ARRAYS, rows: int = 1, seed: int = 0) -> None:
        self.count = count
        self.rows = rows
        self.seed = seed

    def fit(self, features: Any = None, target: Any = None) -> Layers:
        """Fill ``coefs_`` with normally distributed values; the arguments are not looked at."""
        self.coefs_ = [_array(self.rows, (self.seed, place)) for place in range(self.count)]
        return self

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the product with the first column of the first array."""
        column: NDArray[np.float32] = self.coefs_[0][: features.shape[1], 0]
        return features @ column

    def tuned(self, share: float = 0.05) -> Layers:
        """Return another estimator in which this share of the arrays, evenly spread, has other values."""
        other = Layers(self.count, self.rows, self.seed)
        step = round(1 / share)
        other.coefs_ = [
            _array(self.rows, (self.seed + 1, place)) if place % step == 0 else array
            for place, array in enumerate(self.coefs_)
        ]
        return other


def _array(rows: int, seed: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, 1_024), dtype=np.float32)


def small_models(count: int, seed: int) -> Iterator[Pipeline]:
    """Yield pipelines of a scaler and a ridge regression, no two alike.

    One is fitted; the others are copies with other coefficients, so that making ten thousand takes less than a
    second and none shares its bytes with another.
    """
    random = np.random.default_rng(seed)
    features = random.standard_normal((200, 10))
    fitted = Pipeline([("scaler", StandardScaler()), ("ridge", Ridge())]).fit(features, features[:, 0])
    template = pickle.dumps(fitted)
    for _ in range(count):
        model = pickle.loads(template)
        model.named_steps["ridge"].coef_ = random.standard_normal(10)
        yield model


def big_model(setting: Setting) -> Layers:
    """Return the estimator of a hundred arrays, 1 GiB in all."""
    return Layers(rows=setting.rows).fit()


def forests(setting: Setting) -> tuple[RandomForestRegressor, RandomForestRegressor]:
    """Return a random forest and the same forest after a warm start with a twentieth more trees.

    Fully grown on 20,000 rows of 30 features: 200 trees make about 360 MB. They are cached as pickles, since joblib
    leaves whatever was in memory in the gaps of a tree's records, and trees that were equal would not be.
    """
    first, second = forest_files(setting)
    return pickle.loads(first.read_bytes()), pickle.loads(second.read_bytes())


def forest_files(setting: Setting) -> tuple[Path, Path]:
    """Return the files of the cache that hold the two forests, training them on first use."""
    made = f"forest-{setting.trees}-{version('scikit-learn')}-{version('numpy')}"
    first, second = (Path(setting.cache, f"{made}-{which}.pkl") for which in ("first", "more"))
    if not second.exists():
        _train(setting.trees, first, second)
    return first, second


def _train(trees: int, first: Path, second: Path) -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((20_000, _FEATURES), dtype=np.float32)
    target = features[:, 0] + np.sin(3 * features[:, 1]) + random.standard_normal(len(features))
    forest = RandomForestRegressor(n_estimators=trees, random_state=0, n_jobs=-1, warm_start=True)
    for path in (first, second):
        forest.set_params(n_jobs=-1).fit(features, target)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        forest.set_params(n_jobs=1)  # one thread adds up predictions in one order
        unfinished.write_bytes(pickle.dumps(forest, protocol=5))
        unfinished.replace(path)
        forest.set_params(n_estimators=trees + trees // 20)


def forest_rows() -> NDArray[np.float32]:
    """Return a few rows a forest can predict."""
    return np.random.default_rng(1).standard_normal((5, _FEATURES), dtype=np.float32)


def same(expected: Any, actual: Any) -> None:
    """Raise ``AssertionError`` unless two models hold the same values; a fast wrong answer is no answer."""
    if isinstance(expected, Layers):
        for ours, theirs in zip(expected.coefs_, actual.coefs_, strict=True):
            np.testing.assert_array_equal(ours[::64], theirs[::64])
    elif isinstance(expected, Pipeline):
        np.testing.assert_array_equal(expected.named_steps["ridge"].coef_, actual.named_steps["ridge"].coef_)
    else:
        np.testing.assert_array_equal(expected.predict(forest_rows()), actual.predict(forest_rows()))
