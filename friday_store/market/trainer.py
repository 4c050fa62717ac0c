"""The market trainer: many models from files of market data, each evaluated and registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from friday_store.default_plugins.estimators import builtin_trainers
from friday_store.errors import InvalidValueError
from friday_store.market.configuration import registered
from friday_store.market.data import check_timeframe, load
from friday_store.market.fitting import Options, fit
from friday_store.market.ledger import Ledger
from friday_store.market.models import MarketModels
from friday_store.market.records import model_file, register, write_evaluations, write_models
from friday_store.market.results import Job, ResultRow, Results
from friday_store.market.runs import NoSource, Outcome, Source
from friday_store.market.samples import Samples
from friday_store.market.schedule import Schedule
from friday_store.market.splitting import WalkForwardSplit
from friday_store.market.targets import BUILT_IN, ModelType, PredictionTarget, check_horizon, find_target, target_name
from friday_store.market.tuning import BUILT_IN_WORDS, TRIALS, find_tuner
from friday_store.plugins import Plugins
from friday_store.serializer import serialized

if TYPE_CHECKING:
    import pandas as pd

    from friday_store.hookspecs import Target, Trainer
    from friday_store.market.evaluation import Evaluation
    from friday_store.market.models import Files

Progress = Callable[[ResultRow], None]

DEFAULT_TARGETS = (PredictionTarget.NEXT_CLOSE, PredictionTarget.PRICE_DIRECTION)
DEFAULT_HORIZONS = (1, 5, 10)
DEFAULT_MODEL_TYPES = (ModelType.RANDOM_FOREST, ModelType.GRADIENT_BOOSTING)


class MarketDataModelTrainer(MarketModels):
    """Train, evaluate and register models for the symbols of a directory of processed market data, and use them.

    Relative paths are resolved when the trainer is made, so that a later change of directory changes nothing.

    Args:
        processed_data_dir: Where the files are, at any depth; :mod:`friday_store.market.data` has their names.
        models_dir: The registry's place when ``registry`` is not given; without a registry, a folder that gets one
            pickle for each model.
        evaluation_dir: A folder that gets one JSON file for each trained model; none by default.
        test_size: Share of the rows, the newest, to test on.
        random_state: Seed of every estimator.
        use_model_registry: Whether to register what was trained. Without it and without ``models_dir`` models are
            only evaluated.
        registry: A :class:`~friday_store.registry.ModelRegistry`; its plugins add families of estimators and
            targets.
        n_jobs: Fits at a time, as :class:`joblib.Parallel` takes it; None is one, or what
            :func:`joblib.parallel_config` says.
        min_rows: Fewest usable rows to train on; with fewer a job is skipped.
        walk_forward: Folds, or how many, of a walk-forward evaluation of each model besides the hold-out; none by
            default.
        trials: How many candidates a random search or a plugin's tuner tries.
        plugins: Where families and targets come from instead: an object with ``trainer(name)``,
            ``targets()`` and ``tuners()``.
        progress: Called with each row when its fit is finished; the symbol's models are registered after its last.

    Raises:
        InvalidValueError: ``test_size`` is not between 0 and 1, or a number below 1.
    """

    def __init__(  # noqa: PLR0917 - the seed's signature
        self,
        processed_data_dir: Path | str = "data/processed",
        models_dir: Path | str | None = None,
        evaluation_dir: Path | str | None = None,
        test_size: float = 0.2,
        random_state: int = 42,
        use_model_registry: bool = True,  # noqa: FBT001, FBT002 - the seed's signature
        registry: Any = None,
        n_jobs: int | None = None,
        *,
        min_rows: int = 200,
        walk_forward: WalkForwardSplit | int | None = None,
        trials: int = TRIALS,
        plugins: Any = None,
        progress: Progress | None = None,
    ) -> None:
        if not 0 < test_size < 1:
            raise InvalidValueError(f"test_size must be above 0 and below 1, not {test_size!r}")
        if trials < 1:
            raise InvalidValueError(f"trials: at least 1, not {trials!r}", path="trials")
        super().__init__(registry, processed_data_dir)
        remote = models_dir is None or "://" in str(models_dir)
        self.models_dir = models_dir if models_dir is None or remote else Path(models_dir).absolute()
        self.evaluation_dir = None if evaluation_dir is None else Path(evaluation_dir).absolute()
        self.test_size = test_size
        self.random_state = random_state
        self.use_model_registry = use_model_registry
        self.n_jobs = n_jobs
        self.min_rows = min_rows
        self.walk_forward = WalkForwardSplit(walk_forward) if isinstance(walk_forward, int) else walk_forward
        self.trials = trials
        self.progress = progress
        self._plugins = plugins

    @property
    def registry(self) -> Any:
        """The registry that models go to, opened when first needed; None when they go to none."""
        if self._registry is None and self.use_model_registry:
            from friday_store.registry import ModelRegistry

            self._registry = ModelRegistry(self.models_dir)
        return self._registry if self.use_model_registry else None

    def load_processed_data(self, path: Path | str | Sequence[Path | str]) -> pd.DataFrame:
        """Read one file, or several that continue each other; relative to the data's directory.

        Raises:
            InvalidValueError: The file cannot be used; the message names it and says why.
            StorageError: The file is missing or not readable.
        """
        paths = [path] if isinstance(path, Path | str) else path
        return load([self.processed_data_dir / one for one in paths])

    def prepare_features_and_target(
        self, data: pd.DataFrame, target: PredictionTarget | str, horizon: int = 1
    ) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the feature rows and their labels; ``y.attrs`` says target and horizon.

        Where labels are prices the first column of the features is ``close``, which the model needs to predict one.

        Raises:
            InvalidValueError: As :meth:`.samples.Samples.of_data`.
        """
        samples = Samples.of_data(data, self._target(target), horizon)
        return samples.features, samples.labels

    def prepare_panel(
        self, data: Mapping[str, pd.DataFrame], target: PredictionTarget | str, horizon: int = 1
    ) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the feature rows and labels of several symbols, on an index of date and symbol, for one model.

        :meth:`train_model` takes them like those of one symbol: it tests on the newest dates, of all symbols, and
        purges each symbol by its own calendar.

        Args:
            data: For each symbol what :meth:`prepare_features_and_target` takes.
            target: See there.
            horizon: See there; in bars of each symbol.

        Raises:
            InvalidValueError: As :meth:`.samples.Samples.of_panel`.
        """
        samples = Samples.of_panel(data, self._target(target), horizon)
        return samples.features, samples.labels

    def train_model(
        self,
        X: Any,  # noqa: N803 - scikit-learn's name
        y: Any,
        model_type: ModelType | str,
        tune_hyperparams: bool | str = False,  # noqa: FBT001, FBT002 - the seed's signature
        *,
        target: PredictionTarget | str | None = None,
        horizon: int | None = None,
    ) -> tuple[Any, Evaluation]:
        """Train one model on the older rows of ``X`` and score it on the newer ones; see :func:`.fitting.fit`.

        Args:
            X: Feature rows, oldest first; of a panel on an index of time and symbol.
            y: Their labels. Those of :meth:`prepare_features_and_target` and :meth:`prepare_panel` say what they are.
            model_type: The family; a direction gets its classifier.
            tune_hyperparams: How to search the family's space; see :meth:`train_models_for_all_symbols`.
            target: What ``y`` is, where it does not say.
            horizon: How many rows ahead it looks, where it does not say.

        Raises:
            InvalidValueError: The arguments do not fit together, or no model can be trained on them.
        """
        samples = Samples.of_arrays(X, y, target, horizon, find=self._target)
        family = self._family(model_type)
        return fit(samples, family, self._options(tune_hyperparams))

    def save_model(
        self,
        estimator: Any,
        evaluation: Evaluation,
        *,
        symbol: str,
        timeframe: str,
        model_type: ModelType | str,
        training_data: Mapping[str, Any] | None = None,
    ) -> str:
        """Register one trained model, or write its file, and return its id or the file's path.

        Args:
            estimator: From :meth:`train_model`.
            evaluation: From the same call; says target and horizon.
            symbol: What it was trained on.
            timeframe: The same.
            model_type: Its family.
            training_data: More facts for the record, such as :class:`.data.DataFacts` has.

        Raises:
            InvalidValueError: The trainer has neither a registry nor a folder for models, or a name is unknown.
        """
        (found,) = self.save_models(
            [
                {
                    "estimator": estimator, "evaluation": evaluation, "symbol": symbol, "timeframe": timeframe,
                    "model_type": model_type, "training_data": training_data,
                }
            ]
        )  # fmt: skip
        return found

    def save_models(self, models: Iterable[Mapping[str, Any]]) -> list[str]:
        """Register trained models, such as those of several panels, in one transaction, and return their ids or paths.

        Args:
            models: For each the arguments of :meth:`save_model`, by name.

        Raises:
            InvalidValueError: As :meth:`save_model`; then none is registered.
        """
        outcomes = [self._outcome(**each) for each in models]
        if self.registry is None and self.models_dir is None:
            raise InvalidValueError("there is nowhere to save a model", hint="give the trainer models_dir or registry")
        kept = self._keep(outcomes) if outcomes else []
        folder = self.models_dir or ""
        return [row.model_id or str(model_file(each.job, folder)) for each, row in zip(outcomes, kept, strict=True)]

    def _outcome(
        self,
        *,
        estimator: Any,
        evaluation: Evaluation,
        symbol: str,
        timeframe: str,
        model_type: ModelType | str,
        training_data: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Return a model that was trained by hand as what a job would have given."""
        target, kind = target_name(self._target(evaluation.target)), self._family(model_type).name.lower()
        job = Job(symbol, check_timeframe(timeframe), target, evaluation.horizon, kind)
        names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
        known = {"features": names} if names else {}
        facts = {"split": dict(evaluation.split), "seed": evaluation.seed, **known, **(training_data or {})}
        row = ResultRow.of(job, "trained", metrics=evaluation.metrics)
        return Outcome(job, row, serialized(Plugins(()), estimator), evaluation, facts)

    def train_models_for_symbol(  # noqa: PLR0917 - the seed's signature
        self,
        symbol: str,
        timeframes: Iterable[str] | str | None = None,
        target_types: Iterable[PredictionTarget | str] | PredictionTarget | str | None = None,
        forecast_horizons: Iterable[int] | int | None = None,
        model_types: Iterable[ModelType | str] | ModelType | str | None = None,
        tune_hyperparams: bool | str = False,  # noqa: FBT001, FBT002 - the seed's signature
        **options: Any,
    ) -> Results:
        """Train, evaluate and register every combination for one symbol, in one transaction.

        Args:
            symbol: As in the files' names.
            timeframes: As :meth:`train_models_for_all_symbols`, like the others.
            target_types: See there.
            forecast_horizons: See there.
            model_types: See there.
            tune_hyperparams: See there.
            **options: ``resume``, ``time_budget`` and ``progress``; see there.
        """
        return self.train_models_for_all_symbols(
            [symbol], timeframes, target_types, forecast_horizons, model_types, tune_hyperparams, **options
        )

    def train_models_for_all_symbols(  # noqa: PLR0917 - the seed's signature
        self,
        symbols: Iterable[str] | str | None = None,
        timeframes: Iterable[str] | str | None = None,
        target_types: Iterable[PredictionTarget | str] | PredictionTarget | str | None = None,
        forecast_horizons: Iterable[int] | int | None = None,
        model_types: Iterable[ModelType | str] | ModelType | str | None = None,
        tune_hyperparams: bool | str = False,  # noqa: FBT001, FBT002 - the seed's signature
        *,
        resume: bool = True,
        time_budget: float | None = None,
        progress: Progress | None = None,
    ) -> Results:
        """Train, evaluate and register every combination for many symbols, each symbol in one transaction.

        All jobs go to one pool, whatever symbol they are of, by joblib: ``n_jobs`` processes here, or a cluster under
        ``joblib.parallel_config(backend="dask")`` or ``("ray")``. Workers return serialized models; this process
        alone writes to the registry, when the last job of a symbol is done. When the run is broken off (Ctrl-C, or
        ``progress`` raises), every model whose row was given to ``progress`` is registered before this raises.

        Args:
            symbols: As in the files' names; by default every one that has a file.
            timeframes: By default all that have a file.
            target_types: By default next_close and price_direction.
            forecast_horizons: In bars; by default 1, 5 and 10.
            model_types: By default random_forest and gradient_boosting.
            tune_hyperparams: How to search each family's space: False or ``none``, True or ``grid``, ``random``,
                ``halving``, or the name of a plugin's tuner; see :mod:`.tuning`.
            resume: Whether a model that is registered already, made with the same configuration from the same data,
                is skipped; see :mod:`.configuration`.
            time_budget: Seconds after which no job is begun: workers finish what they have, and up to twice as many
                jobs as there are workers that were handed out before.
            progress: In place of the trainer's own.

        Returns:
            One row for each combination, in the order of asking, whatever became of it: ``trained``; ``skipped`` when
            it is registered already, the time was up, there is no file, too few rows or one class only, or the family
            cannot do the task; ``failed`` when the file is unusable, the fit raised, its worker died or the
            registration was refused.

        Raises:
            InvalidValueError: A timeframe, target or horizon that does not exist; before anything is done.
            PluginError: The same of a family.
        """
        if time_budget is not None and not time_budget > 0:
            raise InvalidValueError(f"time_budget: seconds above 0, not {time_budget!r}", path="time_budget")
        files = self.discover_processed_data()
        chosen = [check_timeframe(name) for name in _listed(timeframes)]
        targets = {target.name: target for target in map(self._target, _listed(target_types, DEFAULT_TARGETS))}
        horizons = [check_horizon(value) for value in _listed(forecast_horizons, DEFAULT_HORIZONS)]
        families = {
            family.name.lower(): family for family in map(self._family, _listed(model_types, DEFAULT_MODEL_TYPES))
        }
        jobs = [
            Job(symbol, name, target_name(target), horizon, kind)
            for symbol in _listed(symbols, files)
            for name in (chosen if timeframes is not None else list(files.get(symbol, {})) or [""])
            for target in targets.values()
            for horizon in horizons
            for kind in families
        ]
        schedule = Schedule(
            jobs,
            lambda job: self._source(job, files),
            targets,
            families,
            self._options(tune_hyperparams),
            registry=self.registry if resume else None,  # one that cannot be opened is better known before the work
            budget=time_budget,
        )
        return self._train(schedule, progress or self.progress)

    train_all_models = train_models_for_all_symbols

    def _train(self, schedule: Schedule, progress: Progress | None) -> Results:
        """Run a schedule and keep what it gives."""
        ledger, _ = Ledger(schedule.jobs, self._keep), self.registry
        try:
            for outcome in schedule.outcomes(self.n_jobs):
                ledger.add(outcome)
                if progress is not None:
                    progress(outcome.row)
        except BaseException:
            ledger.save(known=self._is_registered)
            raise
        return ledger.results()

    def _is_registered(self, outcome: Outcome) -> bool:
        """Whether a trained model is in the registry already."""
        data = outcome.training_data.get("digest", "")
        made_with = outcome.configuration
        return bool(made_with and self.registry and registered(self.registry, outcome.job, data, made_with))

    def _known_plugins(self, *, needed: bool = False) -> Any:
        """Return the plugins, or None; the registry's are asked for only when they are there already, or needed."""
        if self._plugins is not None:
            return self._plugins
        registry = self.registry if needed else self._registry
        return getattr(registry, "plugins", None)

    def _family(self, model_type: ModelType | str) -> Trainer:
        """Return the family of that name: the plugins' when there are plugins, else a built-in one."""
        name = str(model_type).strip().upper()
        plugins = self._known_plugins(needed=name not in ModelType.__members__)
        if plugins is not None:
            family: Trainer = plugins.trainer(name)
            return family
        return next(family for family in builtin_trainers() if family.name == ModelType(model_type).name)

    def _options(self, tune: bool | str) -> Options:  # noqa: FBT001 - the seed's signature
        """Return how models are trained; a tuner is found by its name as a target is."""
        known = isinstance(tune, bool) or tune.strip().lower() in BUILT_IN_WORDS
        tuner = find_tuner(tune, None if known else self._known_plugins(needed=True))
        return Options(self.test_size, self.random_state, self.min_rows, tuner, self.trials, self.walk_forward)

    def _target(self, target: PredictionTarget | str | Target) -> Target:
        """Return the target of that name: a built-in one, else one of the plugins."""
        name = str(target).strip().lower()
        return find_target(target, None if name in BUILT_IN else self._known_plugins(needed=True))

    def _source(self, job: Job, files: Files) -> Source | NoSource:
        paths = files.get(job.symbol, {}).get(job.timeframe)
        if paths:
            return Source.read(paths, self.processed_data_dir)
        there = ", ".join(files.get(job.symbol, files)) or "nothing"
        pattern = f"{job.symbol}_{job.timeframe or '<timeframe>'}_*"
        return NoSource("skipped", f"no file {pattern} in {self.processed_data_dir}; there is {there}")

    def _keep(self, trained: Sequence[Outcome]) -> list[ResultRow]:
        if self.evaluation_dir is not None:
            write_evaluations(trained, self.evaluation_dir)
        if self.use_model_registry:
            return register(trained, self.registry)
        if self.models_dir is not None:
            return write_models(trained, self.models_dir)
        return [outcome.row for outcome in trained]


def _listed(values: Any, default: Iterable[Any] = ()) -> list[Any]:
    """Return one value or many as a list without repetitions; the default for None."""
    if values is None:
        return list(default)
    return list(dict.fromkeys([values] if isinstance(values, str | int) else values))
