"""What a registered model says of data as they are today: the features it was trained on, checked, and as of when.

Raw bars become features by the code that made those of the training data; data that hold the features already are
taken as they are. A row is forecast from what was known at its time, ``horizon`` bars ahead of it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from friday_store.errors import InvalidValueError, PluginError
from friday_store.loader import ModelLoader
from friday_store.market.data import load, tidy
from friday_store.market.features import PRICE_COLUMNS, prepare_ohlcv
from friday_store.market.files import write_whole
from friday_store.market.holdout import features_of, forecast, market_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from friday_store.loader.checks import Policy
    from friday_store.registry import ModelRegistry

_ABOUT: Final = ("symbol", "timeframe", "target_type", "forecast_horizon")


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a model says of some bars.

    Attributes:
        frame: One row for each bar, on its time: ``prediction``, in the units of the target; for a direction its
            class, 0 or 1, and ``probability`` of a rise; ``in_training``, whether the model was trained on that bar,
            so that its prediction says nothing about how good the model is.
        as_of: The time of the newest bar that is forecast: nothing later was used.
        record: The record of the model.
        left_out: How many bars have no forecast, for want of a feature; the first of raw bars are among them.
    """

    frame: pd.DataFrame
    as_of: pd.Timestamp
    record: Mapping[str, Any]
    left_out: int

    @property
    def latest(self) -> dict[str, Any]:
        """The forecast from the newest bar, with what it is a forecast of and who made it, as plain values."""
        row = {str(name): column.iloc[-1].item() for name, column in self.frame.items()}
        return {"as_of": self.as_of.isoformat(), **row, **self._about()}

    def to_frame(self) -> pd.DataFrame:
        """Return every row with what it is a forecast of and who made it, as it is written to files."""
        return self.frame.assign(**self._about(), as_of=self.as_of)

    def write(self, path: Path | str) -> Path:
        """Write every row as CSV or Parquet, by the file's suffix, whole or not at all, and return the path.

        Raises:
            InvalidValueError: The suffix is neither ``.csv`` nor ``.parquet``.
            PluginError: No library here writes Parquet.
            StorageError: The file cannot be written.
        """
        path, written = Path(path), io.BytesIO()
        if path.suffix.lower() == ".csv":
            self.to_frame().to_csv(written, lineterminator="\n")
        elif path.suffix.lower() == ".parquet":
            try:
                self.to_frame().to_parquet(written)
            except ImportError as error:
                hint = "pip install 'friday-store[parquet]'"
                raise PluginError(f"{path}: no library here writes Parquet", hint=hint) from error
        else:
            raise InvalidValueError(f"{path}: forecasts are written as .csv or .parquet", path="path")
        write_whole(path, written.getvalue())
        return path

    def _about(self) -> dict[str, Any]:
        market, names = market_of(self.record), ("model_name", "model_version", "model_id")
        return {**{name: market[name] for name in _ABOUT}, **{name: self.record[name] for name in names}}


def predict(
    registry: ModelRegistry,
    revision: str,
    data: pd.DataFrame | Path | str,
    *,
    policy: Policy = "warn",
    expired: Policy = "error",
) -> Forecast:
    """Return what one version says of the data.

    Args:
        registry: Where it is.
        revision: The version.
        data: Raw bars (open, high, low, close, volume) or processed data, as a frame or a file; see
            :func:`.data.tidy`.
        policy: What to do when libraries here are not those that the model was made with.
        expired: What to do with a version whose ``expires_after`` is over.

    Raises:
        InvalidValueError: The version is no model of market data, or the data cannot be used.
        InputMismatchError: The data lack a feature.
        UntrustedArtifactError: The version came from elsewhere and could run code.
        FridayStoreError: As :meth:`friday_store.loader.ModelLoader.check`.
    """
    record = registry.get_model_metadata(revision)
    market_of(record)
    loader = ModelLoader(registry, cache_size=0)
    loader.check(record["model_id"], policy=policy, expired=expired)
    model = loader.load_model(record["model_id"])
    return forecast_of(model, record, data, loader)


def forecast_of(
    model: Any, record: Mapping[str, Any], data: pd.DataFrame | Path | str, loader: ModelLoader
) -> Forecast:
    """Return what a loaded model says of the data; see :func:`predict`."""
    market = market_of(record)
    bars = tidy(data) if isinstance(data, pd.DataFrame) else load(Path(data))
    wanted = features_of(record)
    features = _features(bars, wanted)
    loader.check_input(record["model_id"], features)
    whole = features.astype("float64").dropna()
    if not len(whole):
        raise InvalidValueError(f"none of the {len(bars)} bars has every feature; the model takes {', '.join(wanted)}")
    direction = market["task"] == "classification"
    said = forecast(model, whole, direction=direction)
    frame = pd.DataFrame({"prediction": (said > 0.5).astype("int64") if direction else said}, index=whole.index)
    if direction:
        frame["probability"] = said
    frame["in_training"] = _in_training(whole.index, record)
    return Forecast(frame, pd.Timestamp(whole.index[-1]), record, len(bars) - len(whole))


def _features(bars: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    """Return the wanted columns, as many as there are; of raw bars they are made first."""
    if not set(wanted) <= set(bars.columns) and set(PRICE_COLUMNS) <= set(bars.columns):
        made = prepare_ohlcv(bars)
        bars = made.join(bars[[name for name in bars.columns if name not in made.columns]])
    return bars[[name for name in wanted if name in bars.columns]]


def _in_training(index: pd.Index[Any], record: Mapping[str, Any]) -> pd.Series[bool]:
    split = record["training_data"]["split"]
    first, last = (pd.Timestamp(split[f"train_{end}"]) for end in ("first", "last"))
    times = pd.DatetimeIndex(index)
    if (times.tz is None) != (first.tzinfo is None):
        raise InvalidValueError("of the data and those of the training, one have a time zone and the others none")
    return pd.Series((times >= first) & (times <= last), index=index)
