"""From the arguments of a registration to a checked request, and from that to a version under the compare-and-swap."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from friday_store import codec, environment, refs, serializer
from friday_store.digest import from_hex, is_prefix
from friday_store.errors import InvalidValueError, VersionExistsError
from friday_store.hookspecs import Describing, Draft, Serializer
from friday_store.manifest import Artifact, Manifest
from friday_store.plugins import Plugins
from friday_store.refs import Ref
from friday_store.registry import attachments, bumping
from friday_store.registry.attachments import Attachable
from friday_store.repository import Repository, Transaction
from friday_store.serializer import Serialized

_OWN: Final = ("dependencies", "environment", "contents")
_SECTIONS: Final = (
    "metadata", "hyperparameters", "training_data", "feature_importance", "dependencies", "evaluation",
)  # fmt: skip


class ModelStatus(enum.StrEnum):
    """What a version is for; a repository's configuration can add words."""

    ACTIVE = "active"
    DEVELOPMENT = "development"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


@dataclass(frozen=True)
class Request:
    """A registration whose arguments have been checked and whose model is stored, but that has no version yet."""

    name: str
    version: str | None
    bump: str
    exist_ok: bool
    type: str
    description: str
    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    parents: tuple[bytes, ...] | None
    facts: dict[str, Any]
    artifact: tuple[bytes, Artifact]
    time: int
    author: str


@dataclass(frozen=True)
class Options:
    """The keyword arguments of ``register_model``; see there."""

    model_type: str | None = None
    description: str = ""
    tags: Iterable[str] | None = ()
    aliases: Iterable[str] | None = ()
    metrics: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    hyperparameters: Mapping[str, Any] | None = None
    training_data: Mapping[str, Any] | None = None
    feature_importance: Mapping[str, Any] | None = None
    pipeline_steps: Iterable[Any] | None = None
    dependencies: Mapping[str, Any] | None = None
    evaluation: Mapping[str, Any] | None = None
    parents: Iterable[str] | None = None
    bump: str = "patch"
    serializer: str | None = None
    exist_ok: bool = False
    input_example: Any = None
    version: str | None = field(default=None)
    attachments: Mapping[str, Attachable] | None = None


def draft(transaction: Transaction, repository: Repository, model: Any, name: str, options: Options) -> Request:
    """Check everything about a registration, then store the model's parts.

    Raises:
        InvalidNameError: A name, version, tag or alias cannot be.
        InvalidValueError: A value cannot be stored; the message names the key.
        SerializationError: The model cannot be written.
        GateError: A plugin refused it.
    """
    refs.check_name(name, "model name")
    if options.version is not None:
        refs.check_version(options.version)
    if options.bump != bumping.AUTO:
        refs.bumped("1.0.0", options.bump)
    tags = _names(options.tags, "tag", "tags")
    aliases = _names(options.aliases, "alias", "aliases")
    if not isinstance(options.description, str):
        raise InvalidValueError("description: must be text", path="description")
    attached = attachments.checked(options.attachments)
    plugins = repository.plugins
    form = serializer.chosen(plugins, model, options.serializer)
    facts = _facts(model, form, options)
    facts, options = _old_dialect(facts, options)
    parents = None if options.parents is None else tuple(_parent(repository, parent) for parent in options.parents)
    if plugins.listens("before_register"):
        shown = Draft(name, options.version, None if isinstance(model, Serialized) else model, facts)
        plugins.notify("before_register", draft=shown)
        facts = {section: codec.normalise(value, section) for section, value in shown.facts.items()}
    dumped = serializer.dump(plugins, model, form.name)
    artifact = transaction.put_model(form.name, form.format, dumped.parts)
    facts["contents"] = _contents(plugins, dumped)
    facts["attachments"] = attachments.put(transaction, plugins, attached)
    return Request(
        name=name,
        version=options.version,
        bump=options.bump,
        exist_ok=options.exist_ok,
        type=options.model_type or (model.type if isinstance(model, Serialized) else type(model).__name__),
        description=options.description,
        tags=tags,
        aliases=aliases,
        parents=parents,
        facts={section: value for section, value in facts.items() if value},
        artifact=artifact,
        time=repository.log.now(),
        author=repository.settings.actor,
    )


def assign(
    transaction: Transaction,
    repository: Repository,
    request: Request,
    sign: Callable[[Manifest], tuple[Manifest, bytes]],
) -> str:
    """Give a request its version in the newest state, have it signed, and return the version's id.

    Raises:
        VersionExistsError: The version exists with other content.
    """
    highest, newest = transaction.scratch.get(request.name) or _newest(repository, request.name)
    version = request.version or refs.bumped(highest, _part(transaction, repository, request, highest))
    ref = Ref("versions", request.name, version)
    existing = transaction.planned(ref)
    manifest = _manifest(request, version, newest)
    if existing is not None:
        _require_same(repository, transaction, existing, manifest, request)
        _point(transaction, request, existing)
        return existing.hex()
    digest = transaction.put_manifest(*sign(manifest))
    transaction.move(ref, None, digest)
    for tag in request.tags:
        transaction.move(Ref("tags", request.name, tag, version), None, digest)
    _point(transaction, request, digest)
    parsed = refs.check_version(version)
    if highest is None or refs.precedence(parsed) > refs.precedence(refs.check_version(highest)):
        highest = version
    transaction.scratch[request.name] = (highest, digest)
    return digest.hex()


def _part(transaction: Transaction, repository: Repository, request: Request, highest: str | None) -> str:
    """Return which part of the highest version moves."""
    if request.bump != bumping.AUTO:
        return request.bump
    before = None if highest is None else transaction.planned(Ref("versions", request.name, highest))
    if before is None:
        return "patch"
    old = transaction.fresh(before) or repository.index.manifest(before)
    facts: dict[str, Any] = {"pipeline_steps": [], "input_schema": {}, "hyperparameters": {}}
    return bumping.suggested(
        {**facts, **old.facts, "model_type": old.type}, {**facts, **request.facts, "model_type": request.type}
    )


def _point(transaction: Transaction, request: Request, digest: bytes) -> None:
    """Point the aliases that were asked for at the version."""
    for alias in request.aliases:
        at = Ref("aliases", request.name, alias)
        transaction.move(at, transaction.planned(at), digest)


def _newest(repository: Repository, name: str) -> tuple[str | None, bytes | None]:
    """Return the highest version of a model and the id of the one registered last."""
    sql = "SELECT model_version FROM model_metadata WHERE model_name = ? ORDER BY precedence DESC, id DESC LIMIT 1"
    highest = repository.index.rows(sql, (name,))
    if not highest:
        return None, None
    sql = "SELECT model_id FROM model_metadata WHERE model_name = ? ORDER BY id DESC LIMIT 1"
    return str(highest[0][0]), bytes.fromhex(str(repository.index.rows(sql, (name,))[0][0]))


def _manifest(request: Request, version: str, newest: bytes | None) -> Manifest:
    parents = request.parents if request.parents is not None else (newest,) if newest else ()
    digest, artifact = request.artifact
    return Manifest(
        name=request.name,
        version=version,
        artifact=digest,
        serializer=artifact.serializer,
        size=artifact.size,
        parents=parents,
        time=request.time,
        author=request.author,
        description=request.description,
        type=request.type,
        tags=request.tags,
        facts=request.facts,
    )


def _require_same(
    repository: Repository, transaction: Transaction, existing: bytes, new: Manifest, request: Request
) -> None:
    """Refuse a version that exists, unless it has the same content or that does not matter."""
    old = transaction.fresh(existing) or repository.index.manifest(existing)
    if request.exist_ok or _content(old) == _content(new):
        return
    what = "other bytes" if old.artifact != new.artifact else "other metadata"
    raise VersionExistsError(
        f"{new.name} {new.version} exists with {what}, and versions never change",
        hint="leave the version out and the next one is taken, or name a new one",
    )


def _content(manifest: Manifest) -> tuple[Any, ...]:
    facts = {section: value for section, value in manifest.facts.items() if section not in _OWN}
    return manifest.artifact, manifest.description, manifest.type, sorted(manifest.tags), codec.encode(facts)


def _contents(plugins: Plugins, dumped: serializer.Dumped) -> dict[str, Any]:
    """Return what the format says of the parts, if it gave them all at once; one that fails to is reported."""
    form, listed = dumped.serializer, dumped.listed
    if listed is None or not isinstance(form, Describing):
        return {}
    parts = {part.name: part.view() for part in listed}
    return plugins.attempt(form, lambda: serializer.contents(form, form.format, parts)) or {}


def _facts(model: Any, form: Serializer, options: Options) -> dict[str, Any]:
    facts: dict[str, Any] = {"metrics": metrics(options.metrics)}
    for section in _SECTIONS:
        facts[section] = codec.normalise_map(getattr(options, section), section)
    said = model.facts if isinstance(model, Serialized) else environment.said(model)
    steps = said["pipeline_steps"] if options.pipeline_steps is None else list(options.pipeline_steps)
    facts["pipeline_steps"] = codec.normalise(steps, "pipeline_steps")
    facts["hyperparameters"] = {**said["hyperparameters"], **facts["hyperparameters"]}
    used = {} if isinstance(model, Path) else serializer.requirements(form)  # who made a file is not known
    facts["dependencies"] = {**said["dependencies"], **used, **facts["dependencies"]}
    facts["environment"] = said["environment"]
    facts["input_schema"] = {**said["input_schema"], **environment.input_schema(None, options.input_example)}
    return {section: codec.normalise(value, section) for section, value in facts.items()}


def _old_dialect(facts: dict[str, Any], options: Options) -> tuple[dict[str, Any], Options]:
    """Understand ``metadata={"metrics": {..}, "model_type": ..}``, the seed's older way to say the same."""
    metadata = facts["metadata"]
    if isinstance(metadata.get("metrics"), dict) and not facts["metrics"]:
        facts["metrics"] = metrics(metadata.pop("metrics"), "metadata.metrics")
    if isinstance(metadata.get("model_type"), str) and options.model_type is None:
        from dataclasses import replace

        options = replace(options, model_type=metadata.pop("model_type"))
    return facts, options


def metrics(given: Mapping[str, Any] | None, path: str = "metrics") -> dict[str, float]:
    """Return metrics as floats by name.

    Raises:
        InvalidValueError: One is not a number.
    """
    found: dict[str, float] = {}
    for name, value in codec.normalise_map(given, path).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidValueError(f"{path}[{name!r}]: a metric is a number, not {value!r}", path=f"{path}[{name!r}]")
        found[name] = float(value)
    return found


def _names(given: Iterable[str] | None, what: str, section: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise InvalidValueError(f"{section}: expected a list, got the text {given!r}", path=section)
    return tuple(dict.fromkeys(refs.check_name(_text(name), what) for name in given or ()))


def _text(name: Any) -> Any:
    return str(name.value) if isinstance(name, enum.Enum) else name


def _parent(repository: Repository, parent: str) -> bytes:
    if is_prefix(parent) and len(parent) == 64:
        return from_hex(parent)
    return bytes.fromhex(repository.resolve(parent).model_id)
