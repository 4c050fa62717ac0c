"""Loading models by what they are for, with a cache by digest.

The cache is keyed by the version's id, so an alias that moved is seen at once. What it keeps is bounded in number;
callers get copies of their own unless they ask for the shared object.
"""

from __future__ import annotations

import copy as copying
import functools
import threading
from collections import OrderedDict
from typing import Any, Final

from friday_store.errors import InvalidValueError, ModelNotFoundError
from friday_store.registry import ModelRegistry
from friday_store.registry.records import Record

_RETIRED: Final = ("deprecated", "archived")
_BEST: Final = {"classification": (("balanced_accuracy", True), ("accuracy", True)), "regression": (("rmse", False),)}


class ModelLoader:
    """Load models from a registry, each digest once.

    Args:
        registry: Where from; None: the default registry.
        cache_size: How many models to keep.
    """

    def __init__(self, registry: ModelRegistry | None = None, *, cache_size: int = 32) -> None:
        if cache_size < 0:
            raise InvalidValueError("cache_size: a whole number from 0", path="cache_size")
        self.registry = registry if registry is not None else ModelRegistry()
        self._size = cache_size
        self._held: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def load_model(self, revision: str, version: str | None = None, *, copy: bool = True) -> Any:
        """Return the model of a revision.

        Args:
            revision: The revision, or a model's name.
            version: The version, when a name was given.
            copy: Whether the model is to be the caller's own; the shared one must not be changed.

        Raises:
            FridayStoreError: As :meth:`ModelRegistry.load_model`.
        """
        record = self.registry.get_model_metadata(revision, version)
        key = str(record["model_id"])
        with self._lock:
            model = self._held.get(key)
            if model is not None:
                self._held.move_to_end(key)
        if model is None:
            model = self.registry.load_model(key)
            with self._lock:
                self._held[key] = model
                while len(self._held) > self._size:
                    self._held.popitem(last=False)
        chosen = copying.deepcopy(model) if copy and self._size else model
        self.registry.remember(chosen, key)
        return chosen

    def load_model_for_prediction(
        self,
        symbol: str,
        timeframe: str,
        target_type: Any,
        forecast_horizon: int,
        model_type: Any = None,
    ) -> Any:
        """Return the model for one question about a market, matched on recorded fields.

        Of each model that fits, the version behind ``production`` is asked for, else the highest. Of several, those
        behind ``production`` come first, and of these the best by the task's metric on its test rows: balanced
        accuracy for a direction, else the smallest RMSE. ``registry.record_of(model)`` says which it is.

        Args:
            symbol: Such as ``AAPL``.
            timeframe: Such as ``1d``.
            target_type: Such as ``next_close``, in any case.
            forecast_horizon: Bars ahead.
            model_type: A family, in any case; None takes the best.

        Raises:
            ModelNotFoundError: No registered version fits; the message says what there is.
        """
        target = str(target_type).lower()
        wanted: dict[str, Any] = {
            "symbol": symbol,
            "timeframe": timeframe,
            "target_type": target,
            "forecast_horizon": int(forecast_horizon),
        }
        if model_type is not None:
            wanted["model_type"] = str(model_type).lower()
        tags = [symbol, timeframe, target, f"horizon_{forecast_horizon}"]
        fitting = [record for record in self.registry.list_models(tags=tags) if _fits(record, wanted)]
        if not fitting:
            raise self._nothing(wanted)
        return self.load_model(_best(fitting)["model_id"])

    def _nothing(self, wanted: dict[str, Any]) -> ModelNotFoundError:
        words = ", ".join(f"{key}={value}" for key, value in wanted.items())
        there = {
            f"{market['symbol']} {market['timeframe']} {market['target_type']} {market['forecast_horizon']}"
            for record in self.registry.list_models()
            if isinstance(market := record["metadata"].get("market"), dict) and len(market) >= 4
        }
        known = f"; there are: {', '.join(sorted(there)[:8])}" if there else "; no model of market data is registered"
        return ModelNotFoundError(f"no registered model fits {words}{known}", hint="friday-store ls")


def _fits(record: Record, wanted: dict[str, Any]) -> bool:
    market = record["metadata"].get("market")
    return (
        isinstance(market, dict)
        and record["status"] not in _RETIRED
        and all(market.get(key) == value for key, value in wanted.items())
    )


def _best(fitting: list[Record]) -> Record:
    """Return the record to load; ``fitting`` is ordered by name, then highest version first."""
    chosen: dict[str, Record] = {}
    for record in fitting:
        if record["model_name"] not in chosen or "production" in record["aliases"]:
            chosen[record["model_name"]] = record
    in_production = [record for record in chosen.values() if "production" in record["aliases"]]
    return min(in_production or chosen.values(), key=_rank)


def _rank(record: Record) -> tuple[float, str]:
    """Smaller is better; what has no metric comes last."""
    task = "classification" if record["metadata"]["market"]["target_type"] == "price_direction" else "regression"
    for name, higher in _BEST[task]:
        value = record["metrics"].get(name)
        if value is not None and value == value:  # noqa: PLR0124 - NaN is not equal to itself
            return (-value if higher else value), record["model_name"]
    return float("inf"), record["model_name"]


@functools.cache
def _default_loader(url: str) -> ModelLoader:
    return ModelLoader(ModelRegistry(url))


def default_loader() -> ModelLoader:
    """Return the loader of the default registry, shared by the functions of this module."""
    from friday_store.registry.location import default_url

    return _default_loader(default_url())


def load_model(revision: str, version: str | None = None) -> Any:
    """Return a model from the default registry; see :meth:`ModelLoader.load_model`."""
    return default_loader().load_model(revision, version)


def load_model_for_prediction(
    symbol: str, timeframe: str, target_type: Any, forecast_horizon: int, model_type: Any = None
) -> Any:
    """Return a model from the default registry; see :meth:`ModelLoader.load_model_for_prediction`."""
    return default_loader().load_model_for_prediction(symbol, timeframe, target_type, forecast_horizon, model_type)
