"""What is done with the market models of a registry: decide between them, forecast, rank, prune, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from friday_store.errors import InvalidValueError
from friday_store.loader import ModelLoader
from friday_store.market.data import discover, load
from friday_store.market.leaderboard import leaderboard
from friday_store.market.prediction import forecast_of
from friday_store.market.promotion import SAME, USUAL, promote_if_better

if TYPE_CHECKING:
    import pandas as pd

    from friday_store.loader.checks import Policy
    from friday_store.market.prediction import Forecast
    from friday_store.market.promotion import Promotion
    from friday_store.market.targets import ModelType, PredictionTarget
    from friday_store.registry.retention import Fate

    Files = dict[str, dict[str, list[Path]]]


class MarketModels:
    """The market models of a registry, and the directory of the data that they were trained on.

    Args:
        registry: A :class:`~friday_store.registry.ModelRegistry`; None where there is none, which every method but
            :meth:`discover_processed_data` refuses.
        processed_data_dir: Where the processed files are, at any depth.
    """

    def __init__(self, registry: Any, processed_data_dir: Path | str = "data/processed") -> None:
        self.processed_data_dir = Path(processed_data_dir).absolute()
        self._registry = registry

    @property
    def registry(self) -> Any:
        """The registry; None when there is none."""
        return self._registry

    def discover_processed_data(self) -> Files:
        """Return the files there are, as ``{symbol: {timeframe: [paths]}}``; see :func:`.data.discover`."""
        return discover(self.processed_data_dir)

    def promote_if_better(
        self, model_name: str, metric: str | None = None, on: str | Path | pd.DataFrame = SAME, **options: Any
    ) -> Promotion:
        """Move ``production`` to the newest version of a model if it beats the one there and the naive forecast.

        Args:
            model_name: The model's name.
            metric: By what; None is balanced accuracy for a direction, else the RMSE.
            on: ``"same hold-out"``, the rows that neither has seen of the data that the version was trained on, found
                again in the trainer's directory; or processed data, as a frame or a file.
            **options: ``candidate``, ``alias`` and ``min_rows``, as :func:`.promotion.promote_if_better`.

        Raises:
            FridayStoreError: As there.
        """
        return promote_if_better(
            self._opened(), model_name, metric, on=on, directory=self.processed_data_dir, **options
        )

    def predict(
        self,
        symbol: str,
        timeframe: str,
        target_type: PredictionTarget | str,
        forecast_horizon: int,
        data: pd.DataFrame | Path | str | None = None,
        *,
        model_type: ModelType | str | None = None,
        policy: Policy = "warn",
        expired: Policy = "error",
    ) -> Forecast:
        """Return what the model for a question says of data as they are now; see :mod:`.prediction`.

        Args:
            symbol: Such as ``AAPL``.
            timeframe: Such as ``1d``.
            target_type: What to predict.
            forecast_horizon: How many bars ahead.
            data: Raw bars or processed data; None takes the symbol's files in the directory of processed data.
            model_type: A family; None takes the best, those in production first.
            policy: What to do when libraries here are not those that the model was made with.
            expired: What to do with a version whose ``expires_after`` is over.

        Raises:
            ModelNotFoundError: No registered version answers the question.
            FridayStoreError: As :func:`.prediction.predict`.
        """
        loader = ModelLoader(self._opened(), cache_size=0)
        model = loader.load_model_for_prediction(
            symbol, timeframe, target_type, forecast_horizon, model_type, policy=policy, expired=expired
        )
        if data is None:
            data = load(self.discover_processed_data().get(symbol, {}).get(timeframe, []))
        return forecast_of(model, loader.registry.record_of(model), data, loader)

    def leaderboard(self, **question: Any) -> pd.DataFrame:
        """Return the registered models ranked at each question; see :func:`.leaderboard.leaderboard`."""
        return leaderboard(self._opened(), **question)

    def prune(self, keep_last: int, keep_best: int = 1, *, dry_run: bool = False, **question: Any) -> list[Fate]:
        """Delete old versions of market models, in one transaction, and return what became of each version and why.

        Of each model the newest stay, the best by the task's usual metric on their own hold-outs, and whatever an
        alias names. ``registry.restore_model`` brings back what went, until garbage is collected.

        Args:
            keep_last: How many of the newest versions of each model stay.
            keep_best: How many of the best.
            dry_run: Change nothing.
            **question: Only models that answer it, as for :meth:`leaderboard`.

        Raises:
            InvalidValueError: A number is negative, or both are 0.
        """
        registry, board = self._opened(), self.leaderboard(**question)
        fates: list[Fate] = []
        with registry.transaction("prune market models"):
            for name, task in zip(board["model_name"], board["task"], strict=True):
                best = [(USUAL[task], keep_best)] if keep_best else []
                fates += registry.prune(name, keep_last=keep_last, keep_best=best, dry_run=dry_run)
        return fates

    def write_report(self, path: Path | str, **options: Any) -> Path:
        """Write one HTML file with the leaderboard and plots; see :func:`.report.write_report`.

        Raises:
            PluginError: matplotlib is not installed.
        """
        from friday_store.market.report import write_report

        return write_report(self._opened(), path, self.processed_data_dir, **options)

    def _opened(self) -> Any:
        """Return the registry.

        Raises:
            InvalidValueError: The trainer has none.
        """
        if self.registry is None:
            raise InvalidValueError("this trainer has no registry", hint="use_model_registry=True")
        return self.registry
