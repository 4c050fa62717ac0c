"""What the shell is offered for a word: names of the registry at hand, without a word said.

Each function takes click's context, the parameter and what was typed, and returns what begins so; an empty list when
anything is wrong, since a shell has no place for an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from friday_store.cli.session import Session

if TYPE_CHECKING:
    from friday_store.registry import ModelRegistry

Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def _offering(names: Callable[[ModelRegistry, click.Context, str], Iterable[str]]) -> Completion:
    """Turn a function that knows names into one that a shell can ask."""

    @wraps(names)
    def offered(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
        from friday_store.errors import FridayStoreError

        try:
            found = set(names(ctx.ensure_object(Session).registry(), ctx, incomplete))
        except (FridayStoreError, OSError):
            return []
        return sorted(name for name in found if name.startswith(incomplete))

    return offered


@_offering
def model_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the models."""
    return registry.model_names()


@_offering
def revisions(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the models; after a model's name and a colon its versions, after an @ its aliases and tags."""
    for mark in ":@":
        name, found, _ = typed.rpartition(mark)
        if found and registry.model_names(name):
            records = registry.get_model_versions(name)
            if mark == ":":
                return [f"{name}:{record['model_version']}" for record in records]
            labels = {label for record in records for label in (*record["aliases"], *record["tags"])}
            return [f"{name}@{label}" for label in labels]
    return registry.model_names()


@_offering
def alias_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the models; after a model's name and an @ its aliases."""
    name, mark, _ = typed.rpartition("@")
    if not mark or not registry.model_names(name):
        return registry.model_names()
    return [f"{name}@{alias}" for record in registry.get_model_versions(name) for alias in record["aliases"]]


@_offering
def deleted_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the models of which something was removed; after a colon the versions that were."""
    from friday_store.registry import history

    name, mark, _ = typed.partition(":")
    if mark:
        return [f"{name}:{version}" for version in history.deleted(registry.repository, name)]
    return history.deleted_names(registry.repository)


@_offering
def metric_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the metrics of the model on the command line."""
    return {name for record in _records(registry, ctx) for name in record["metrics"]}


@_offering
def parameter_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the parameters of the model on the command line."""
    return {name for record in _records(registry, ctx) for name in record["hyperparameters"]}


@_offering
def tag_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return all tags."""
    return {str(tag) for (tag,) in registry.repository.index.rows("SELECT DISTINCT tag FROM model_tags")}


@_offering
def attachment_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the files that are attached to the version on the command line."""
    return registry.attachments(_subject(ctx))


@_offering
def status_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the words for a version's status."""
    from friday_store.registry.drafting import ModelStatus

    return [*(str(status) for status in ModelStatus), *registry.config.statuses]


@_offering
def remote_names(registry: ModelRegistry, ctx: click.Context, typed: str) -> Iterable[str]:  # noqa: ARG001
    """Return the remotes."""
    return registry.remotes()


def format_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """Return the formats of models; those of plugins are there when their plugin is."""
    plugins = ctx.ensure_object(Session).found_plugins()
    return sorted(form.name for form, _ in plugins.serializers() if form.name.startswith(incomplete))


def topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's
    """Return what ``help`` explains: topics and commands."""
    from friday_store.cli.topics import TOPICS

    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    return sorted(name for name in (*TOPICS, *root.command.list_commands(root)) if name.startswith(incomplete))


def _subject(ctx: click.Context) -> str:
    """Return the model or version on the command line; an option without its value hides where it belongs."""
    given = [ctx.params.get(name) for name in ("name", "revision", "revisions", "glob")]
    words: list[Any] = [word[0] if isinstance(word, tuple) and word else word for word in given]
    return next((str(word) for word in (*words, *ctx.args) if word), "")


def _records(registry: ModelRegistry, ctx: click.Context) -> list[dict[str, Any]]:
    text = _subject(ctx)
    return registry.get_model_versions(text) if registry.model_names(text) else [registry.get_model_metadata(text)]
