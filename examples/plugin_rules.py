"""A complete plugin in under 40 lines: rules as text, a format of class data. Entry point: rules = "plugin_rules"."""

import sys
from collections.abc import Mapping
from typing import Any

from friday_store import ModelRegistry, Part, SerializationError, Serializer, hookimpl
from friday_store.hookspecs import Safety
from friday_store.plugins import Plugins


class Rules(list[str]):
    """A model: what a bar of prices must pass."""


class RulesFormat:
    """One part: a rule on each line."""

    name, format, deterministic, suffix = "rules", 1, True, ".rules"
    safety: Safety = "data"

    def accepts(self, model: object) -> bool:
        return type(model) is Rules

    def dump(self, model: Any) -> list[Part]:
        if not self.accepts(model):
            raise SerializationError(f"the format 'rules' stores Rules, not {type(model).__qualname__}")
        return [Part("rules", "\n".join(["#rules", *model]).encode())]

    def load(self, parts: Mapping[str, memoryview], format: int) -> Any:  # noqa: A002 - the recorded word
        if format > 1:
            raise SerializationError("these rules were written by a newer release")
        return Rules(bytes(parts["rules"]).decode().split("\n")[1:])

    def check(self, parts: Mapping[str, memoryview]) -> None:
        if set(parts) != {"rules"} or bytes(parts["rules"][:6]) != b"#rules":
            raise SerializationError("these parts are not rules")

    def to_file(self, parts: Mapping[str, memoryview]) -> list[memoryview]:
        return [parts["rules"]]

    def from_file(self, data: memoryview) -> list[Part]:
        return [Part("rules", data)]


@hookimpl
def register_serializers() -> list[Serializer]:
    """Return the format."""
    return [RulesFormat()]


if __name__ == "__main__":  # an installed plugin is found by its entry point
    with ModelRegistry("memory://rules", plugins=Plugins((), extra={"rules": sys.modules[__name__]})) as registry:
        registry.register_model(Rules(["close > open", "volume > 1e6"]), "entry")
        print(registry.get_model_metadata("entry")["serializer"], registry.load_model("entry"))
