"""Recording: new versions, and what is said about them later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from friday_store import codec, signing
from friday_store.errors import ConflictError, InvalidValueError, ModelNotFoundError
from friday_store.manifest import Manifest, Note
from friday_store.refs import Ref
from friday_store.registry import drafting
from friday_store.registry.attachments import Attachable
from friday_store.registry.drafting import ModelStatus, Options, Request
from friday_store.registry.reading import Reading
from friday_store.registry.records import Record, records
from friday_store.repository import Transaction
from friday_store.trust.provenance import APPROVAL, approval, approval_body

_TRIES: Final = 5
STEPS: Final = "pipeline_steps"
FACTS: Final = ("hyperparameters", "training_data", "feature_importance", STEPS, "dependencies", "evaluation")


class Recording(Reading):
    """What adds objects to a registry."""

    def register_model(
        self,
        model: Any,
        model_name: str,
        model_version: str | None = None,
        *,
        version: str | None = None,
        model_type: str | None = None,
        description: str = "",
        tags: Iterable[str] | None = (),
        aliases: Iterable[str] | None = (),
        metrics: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        training_data: Mapping[str, Any] | None = None,
        feature_importance: Mapping[str, Any] | None = None,
        pipeline_steps: Iterable[Any] | None = None,
        dependencies: Mapping[str, Any] | None = None,
        evaluation: Mapping[str, Any] | None = None,
        parents: Iterable[str] | None = None,
        bump: Literal["major", "minor", "patch", "auto"] = "patch",
        serializer: str | None = None,
        exist_ok: bool = False,
        input_example: Any = None,
        attachments: Mapping[str, Attachable] | None = None,
    ) -> str:
        """Store a model as a new version and return its id (64 hex characters).

        Parameters of the estimator, names and number of its features, versions of the libraries it is made of,
        Python and platform are recorded without being asked for.

        Args:
            model: Any object that a format accepts; a :class:`~pathlib.Path` is stored as that file, and a
                :class:`~friday_store.serializer.Serialized` as the model that another process made of it.
            model_name: The model's name.
            model_version: A semantic version. None: the next one, decided when the transaction commits, so that
                writers at the same time get versions of their own.
            version: The same as ``model_version``.
            model_type: None: the class's name.
            description: In your own words.
            tags: Names for finding it; many versions can have one.
            aliases: Names that move to this version, such as ``production``.
            metrics: Numbers by name; NaN and infinity are kept.
            metadata: Anything plain: numbers, text, lists, dicts, dates, paths, enums, small arrays.
            hyperparameters: Added to what the estimator says of itself.
            training_data: What it was trained on.
            feature_importance: Numbers by feature.
            pipeline_steps: None: those of a scikit-learn pipeline.
            dependencies: Added to the libraries in use.
            evaluation: How it was evaluated.
            parents: Revisions that it came from. None: the version of this name that was registered last.
            bump: Which part of the highest version moves when none is given; ``auto`` decides by what changed since
                that version, see :mod:`friday_store.registry.bumping`.
            serializer: The format's name; None lets the model decide.
            exist_ok: Return the existing version's id whatever its content is.
            input_example: A frame or 2-D array, of which only names, dtypes and width are recorded.
            attachments: Files that belong to it, such as reports and samples: a Path, or bytes, by name.

        Raises:
            InvalidNameError: A name, version, tag or alias cannot be.
            InvalidValueError: A value cannot be stored; the message names the key.
            VersionExistsError: The version exists with other content. The same content again returns its id.
            SerializationError: The model cannot be written; the message names the attribute.
            StorageError: The store cannot be written.
        """
        if version is not None and model_version is not None:
            raise InvalidValueError("version and model_version are two names for one thing; give one", path="version")
        options = Options(
            model_type, description, tags, aliases, metrics, metadata, hyperparameters, training_data,
            feature_importance, pipeline_steps, dependencies, evaluation, parents, bump, serializer, exist_ok,
            input_example, model_version or version, attachments,
        )  # fmt: skip
        return self._register([(model, model_name, options)], f"register {model_name}")[0]

    def register_model_from_file(
        self,
        path: str | Path,
        model_name: str,
        *,
        format: str = "file",  # noqa: A002 - the recorded word
        **options: Any,
    ) -> str:
        """Store a model's native file, without loading it, and return the version's id.

        Args:
            path: The file.
            model_name: The model's name.
            format: The format that the file is in; ``file`` takes any file as it is.
            options: As for :meth:`register_model`, but ``serializer``; ``model_type`` is the format unless given.

        Raises:
            FridayStoreError: As :meth:`register_model`; :class:`SerializationError` for a file of another format.
        """
        given = {"model_type": format, **options, "model": Path(path), "model_name": model_name, "serializer": format}
        return self._register([_arguments(given)], f"register {model_name}")[0]

    def register_models(self, models: Iterable[Mapping[str, Any]]) -> list[str]:
        """Store many versions as one transaction and one pack, and return their ids in order.

        Args:
            models: The arguments of :meth:`register_model`, one mapping each; read one at a time, so a generator
                need not hold more than one model in memory.

        Raises:
            FridayStoreError: As :meth:`register_model`; then none of them is registered.
        """
        return self._register((_arguments(item) for item in models), "register models")

    def _register(self, models: Iterable[tuple[Any, str, Options]], message: str) -> list[str]:
        """Register models; again from the beginning where what they share with others was collected meanwhile."""
        tries = _TRIES if isinstance(models, list) and self._open is None else 1
        for left in reversed(range(tries)):
            try:
                return self._registered(models, message)
            except ConflictError as error:
                if not (error.again and left):
                    raise
        raise AssertionError("the last try returns or raises")

    def _registered(self, models: Iterable[tuple[Any, str, Options]], message: str) -> list[str]:
        running = self._open[0] if self._open else self.repository.transaction(message)
        try:
            requests = [drafting.draft(running, self.repository, *item) for item in models]
        except BaseException:
            if self._open is None:
                running.discard()
            raise
        return self._do(
            lambda transaction: [self._assigned(transaction, request) for request in requests],
            message,
            running,
        )

    def _assigned(self, transaction: Transaction, request: Request) -> str:
        """Give a request its version; what comes from elsewhere is not this user's, so it is not signed."""
        own = not transaction.origin
        model_id = drafting.assign(transaction, self.repository, request, self.identity.signed if own else _unsigned)
        if own and transaction.fresh(bytes.fromhex(model_id)) is not None:
            self.provenances.made_here(model_id, self.identity.key().public)
        return model_id

    def update_model_metadata(
        self, revision: str, changes: Mapping[str, Any], description: str | None = None
    ) -> Record:
        """Merge changes into a version's metadata, deeply, and return its record; None removes a key.

        What was there before stays in the history.
        """
        body = {"changes": {"metadata": codec.normalise_map(changes, "changes")}, "description": description}
        return self._note(revision, "metadata", body, "metadata of")

    def record_facts(self, revision: str, section: str, value: Any) -> Record:
        """Say more in one section of a version's record than was known when it was registered; return the record.

        Args:
            revision: The version.
            section: One of the sections that :meth:`register_model` takes, but ``metadata`` and ``metrics``.
            value: A mapping, merged in deeply, in which None removes a key; for ``pipeline_steps`` a list, which
                takes the place of the one before. What was there stays in the history.

        Raises:
            InvalidValueError: There is no such section, or a value cannot be stored.
        """
        if section not in FACTS:
            raise InvalidValueError(f"section: {section!r} is none of {', '.join(FACTS)}", path="section")
        plain = codec.normalise(value, section) if section == STEPS else codec.normalise_map(value, section)
        if section == STEPS and not isinstance(plain, list):
            raise InvalidValueError(f"{section}: expected a list", path=section)
        return self._note(revision, "metadata", {"changes": {section: plain}, "description": None}, f"{section} of")

    def set_model_status(self, revision: str, status: str | ModelStatus, reason: str = "") -> Record:
        """Set a version's status and return its record; who, when and why are kept.

        Raises:
            InvalidValueError: It is neither a :class:`ModelStatus` nor a word of the repository's configuration.
        """
        known = [*ModelStatus, *self.config.statuses]
        if str(status) not in known:
            raise InvalidValueError(f"{str(status)!r} is no status; there are: {', '.join(known)}", path="status")
        return self._note(revision, "status", {"status": str(status), "reason": reason}, f"status {status} for")

    def log_metrics(
        self, revision: str, metrics: Mapping[str, Any], *, step: int | None = None, time: dt.datetime | None = None
    ) -> Record:
        """Add observations of metrics to a version and return its record.

        Args:
            revision: The version.
            metrics: Numbers by name.
            step: Which step of a run they belong to.
            time: When they were observed; None: now.
        """
        observed = drafting.metrics(metrics)
        if not observed:
            raise InvalidValueError("metrics: there is nothing to log", path="metrics")
        body: dict[str, Any] = {"metrics": observed, "step": step}
        if time is not None:
            body["time"] = round(time.timestamp() * 1_000_000)
        return self._note(revision, "metrics", body, "metrics of")

    def approve(self, revision: str, comment: str = "") -> Record:
        """Vouch for a version with this user's key, as a note that others get too; return its record.

        It then loads for everybody who trusts the key, and counts where a policy asks for several.

        Args:
            revision: The version.
            comment: Why; anybody can read it.
        """
        row, manifest = self.repository.verified(self._row(revision, None))
        payload = approval(bytes.fromhex(row.model_id), manifest, comment, self.repository.log.now())
        body = approval_body(payload, self.identity.key().sign(signing.APPROVAL, payload))
        return self._note(row.model_id, APPROVAL, body, "approval of")

    def _note(self, revision: str, kind: str, body: Mapping[str, Any], what: str) -> Record:
        row = self._row(revision, None)
        about = bytes.fromhex(row.model_id)

        def plan(transaction: Transaction) -> None:
            current = self.repository.version(row.model_name, row.model_version)
            if current is None or current.model_id != row.model_id:
                raise ModelNotFoundError(f"{row.model_name}:{row.model_version} was deleted meanwhile")
            time = max(self.repository.log.now(), current.updated_at + 1)
            note = transaction.put_note(Note(about, kind, body, self.repository.settings.actor, time))
            transaction.move(Ref("notes", row.model_name, row.model_version, note.hex()), None, note)

        self._do(plan, f"{what} {row.model_name}:{row.model_version}")
        return records(self.repository.index, [self._row(row.model_id, None)])[0]


def _unsigned(manifest: Manifest) -> tuple[Manifest, bytes]:
    return manifest, manifest.to_bytes()


def _arguments(item: Mapping[str, Any]) -> tuple[Any, str, Options]:
    given = dict(item)
    try:
        model, name = given.pop("model"), given.pop("model_name")
        if "model_version" in given:
            given["version"] = given.pop("model_version")
        return model, name, Options(**given)
    except (KeyError, TypeError) as error:
        raise InvalidValueError(
            f"register_models: {error}; the keys are the arguments of register_model", path="models"
        ) from error
