"""What everything that market models predict promises, as tests."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from friday_store import default_plugins
from friday_store.hookspecs import Target, hookimpl
from friday_store.market.features import prepare_ohlcv, write_processed
from friday_store.market.targets import check_reach, find_target, labels
from friday_store.market.trainer import MarketDataModelTrainer
from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

_ROWS: Final = 400
_CUTS: Final = (1, 7, 60, 200, 390)


class TargetTests:
    """Subclass it and set ``target``.

    Attributes:
        target: The target under test.
        horizons: Horizons that it is asked for, in bars.
    """

    target: Target
    horizons: tuple[int, ...] = (1, 3, 10)

    def bars(self, seed: int = 0) -> pd.DataFrame:
        """Return raw bars of a random walk; override it for a target that needs other columns, different by seed."""
        draw = np.random.default_rng(seed)
        close = 50 * np.exp(np.cumsum(draw.normal(0, 0.02, _ROWS)))
        high, low = close * (1 + draw.uniform(0, 0.02, _ROWS)), close * (1 - draw.uniform(0, 0.02, _ROWS))
        index = pd.date_range("2021-01-01", periods=_ROWS, name="date")
        volume = draw.integers(1, 100, _ROWS).astype("float64")
        return pd.DataFrame({"open": close, "high": high, "low": low, "close": close, "volume": volume}, index=index)

    @pytest.fixture(autouse=True)
    def own_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep trust and caches of the tests apart from those of whoever runs them."""
        monkeypatch.setenv("FRIDAY_STORE_HOME", str(tmp_path / "home"))

    @pytest.fixture
    def plugins(self) -> Plugins:
        """Return the built-in targets and this one."""
        if self.target.name in {built_in.name for built_in in default_plugins.register_targets()}:
            return Plugins(())
        return Plugins((), extra={"mine": SimpleNamespace(register_targets=hookimpl(lambda: [self.target]))})

    def test_describes_itself(self) -> None:
        """A target has a lower-case name, one of the two tasks, and a naive forecast in words; a price is a number."""
        assert isinstance(self.target, Target)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", self.target.name)
        assert self.target.task in ("regression", "classification")
        assert self.target.baseline.strip()
        assert isinstance(self.target.of_price, bool)
        assert not (self.target.of_price and self.target.task == "classification")

    def test_is_found_by_its_name(self, plugins: Plugins) -> None:
        """The target is the one that its name leads to."""
        assert type(self.target) is type(find_target(self.target.name, plugins))

    def test_labels_every_bar_or_says_that_it_cannot(self) -> None:
        """Labels are on the bars' index, and finite where they are; nothing is labelled whose future is not known."""
        for horizon in self.horizons:
            found = labels(self.bars(), self.target, horizon)
            assert len(found), f"no bar has a label at horizon {horizon}"
            assert np.isfinite(found.to_numpy(dtype="float64")).all()
            if self.target.of_price:
                assert (found > 0).all()
            else:
                assert len(np.unique(found)) > 1, f"all labels at horizon {horizon} are equal"

    def test_reaches_no_further_than_it_says(self) -> None:
        """Bars that come more than ``reach(horizon)`` after a bar change nothing in its label: else training leaks."""
        for horizon in self.horizons:
            reach, bars = check_reach(self.target, horizon), self.bars()
            before = self.target.labels(bars, horizon)
            for cut in _CUTS:
                other = pd.concat([bars.iloc[:cut], self.bars(seed=1).iloc[cut:] * 1.7])
                after = self.target.labels(other, horizon)
                safe = max(cut - reach, 0)
                np.testing.assert_allclose(before.iloc[:safe], after.iloc[:safe], rtol=1e-9)

    def test_takes_bars_without_a_price(self) -> None:
        """Where a close is missing the rest is labelled, and labels stay finite."""
        bars = self.bars()
        bars.loc[bars.index[[0, 50, 51, 399]], "close"] = np.nan
        for horizon in self.horizons:
            found = labels(bars, self.target, horizon)
            assert len(found)
            assert np.isfinite(found.to_numpy(dtype="float64")).all()

    def test_leaves_the_bars_alone(self) -> None:
        """Labelling changes nothing in what it is given, and gives the same again."""
        bars = self.bars()
        one, other = self.target.labels(bars, 1), self.target.labels(bars, 1)
        pd.testing.assert_series_equal(one, other, check_exact=True)
        pd.testing.assert_frame_equal(self.bars(), bars, check_exact=True)

    def test_its_naive_forecast_knows_no_later_label(self) -> None:
        """For a regression it is made of labels that were known at the row, and is there for some row."""
        if self.target.task == "classification":
            return
        for horizon in self.horizons:
            reach, found = check_reach(self.target, horizon), labels(self.bars(), self.target, horizon)
            y, close = found.to_numpy(), self.bars()["close"].loc[found.index].to_numpy()
            given = close if self.target.of_price else None
            forecast = np.asarray(self.target.naive(y, horizon, given))
            assert y.shape == forecast.shape
            assert np.isfinite(forecast).any()
            for row in _CUTS:
                changed = y.copy()
                changed[max(row - reach + 1, 0) :] += 1.0
                again = np.asarray(self.target.naive(changed, horizon, given))
                np.testing.assert_allclose(forecast[: row + 1], again[: row + 1], rtol=1e-9)

    def test_travels_to_a_worker(self) -> None:
        """In another process, where joblib sends it, it labels as it does here."""
        (there,) = Parallel(n_jobs=2)([delayed(self.target.labels)(self.bars(), 1)])
        pd.testing.assert_series_equal(self.target.labels(self.bars(), 1), there)

    def test_a_model_of_it_is_trained_and_predicts(self, plugins: Plugins, tmp_path: Path) -> None:
        """The target's name is enough to train, register and ask for a forecast, in the units of the label."""
        write_processed(prepare_ohlcv(self.bars()), tmp_path / "data", "X", "1d")
        with ModelRegistry(tmp_path / "registry", plugins=plugins) as registry:
            trainer = MarketDataModelTrainer(tmp_path / "data", registry=registry)
            asked: dict[str, Any] = {"forecast_horizons": self.horizons[0], "model_types": "linear"}
            (row,) = trainer.train_models_for_symbol("X", target_types=self.target.name, **asked)
            assert (row.status, row.reason) == ("trained", "")
            assert {"skill"} <= set(row.metrics)
            found = trainer.predict("X", "1d", self.target.name, self.horizons[0])
            assert np.isfinite(found.frame["prediction"].to_numpy()).all()
