"""Which of the registered models answers a question about a market; decided by recorded fields, never by names."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from friday_store.errors import ModelNotFoundError
from friday_store.registry import ModelRegistry
from friday_store.registry.records import Record

_RETIRED: Final = ("deprecated", "archived")
_BEST: Final = {"classification": (("balanced_accuracy", True), ("accuracy", True)), "regression": (("rmse", False),)}


class Question(NamedTuple):
    """What is to be predicted, and by which family if that matters."""

    symbol: str
    timeframe: str
    target_type: str
    forecast_horizon: int
    model_type: str | None

    @property
    def fields(self) -> dict[str, Any]:
        """The recorded fields that a version must have."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def chosen(registry: ModelRegistry, question: Question) -> Record:
    """Return the record of the version that answers a question best.

    Raises:
        ModelNotFoundError: No registered version fits; the message says what there is.
    """
    tags = [question.symbol, question.timeframe, question.target_type, f"horizon_{question.forecast_horizon}"]
    fitting = [record for record in registry.list_models(tags=tags) if _fits(record, question.fields)]
    if not fitting:
        raise _nothing(registry, question.fields)
    return _best(fitting)


def _nothing(registry: ModelRegistry, wanted: dict[str, Any]) -> ModelNotFoundError:
    words = ", ".join(f"{key}={value}" for key, value in wanted.items())
    there = {
        f"{market['symbol']} {market['timeframe']} {market['target_type']} {market['forecast_horizon']}"
        for record in registry.list_models()
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
