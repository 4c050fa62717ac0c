"""The query language against plain Python over records: the same versions, in the same order, page by page."""

from __future__ import annotations

import datetime as dt
import math
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import semver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from friday_store.plugins import Plugins
from friday_store.registry import ModelRegistry

ODD = [
    "a.b",
    'q"uote',
    "it's",
    "[0]",
    "$",
    "$0",
    "100%",
    "under_score",
    "back\\slash",
    "🙂",
    "",
    "new\nline",
    "nul\x00",
]
WORDS = ["eu", "us", "EU", "a%b", "a_b", "a*b", "x", "", *ODD]
NUMBERS = [0, 1, -1, 0.5, 1e9, 2**62, 3.0, -0.25]
METRICS = ["rmse", "r2", "a.b", 'q"uote', "nul\x00", "[0]"]
TAGS = ["AAPL", "aapl", "1d", "a%b", "a_b", "re+viewed"]
Record = dict[str, Any]


class Store:
    """A registry and the records of all that is in it."""

    def __init__(self, registry: ModelRegistry) -> None:
        self.registry = registry
        self.records = build(registry)

    def __repr__(self) -> str:
        return "the store"


def build(registry: ModelRegistry) -> list[Record]:
    """Register versions of every kind, and return their records in the order of registration."""
    source = random.Random(5)
    for number in range(48):
        facts = {
            source.choice([*ODD[:-1], "region", "run"]): source.choice(
                [*WORDS, *NUMBERS, True, False, None, math.inf, ["eu", 1], {"deep": source.choice([*WORDS, *NUMBERS])}]
            )
            for _ in range(source.randrange(5))
        }
        registry.register_model(
            {"n": number},
            f"m{number % 5}",
            source.choice([f"2.0.0-rc.{number}", f"{number % 3}.{source.randrange(12)}.{number}"]),
            tags=source.sample(TAGS, source.randrange(4)),
            metrics={name: source.choice([*NUMBERS, math.nan]) for name in source.sample(METRICS, source.randrange(4))},
            metadata=facts,
            hyperparameters={"alpha": source.choice([0.1, 1, 10, "auto", None])} if number % 3 else {},
            description=source.choice(["", "first words", "Ωmega", "a%b"]),
            model_type=source.choice(["Ridge", "ridge", ""]),
            parents=[] if number % 4 == 0 else None,
        )
    records = sorted(registry.list_models(), key=lambda record: record["created_at"])
    for place, record in enumerate(records):
        if place % 7 == 0:
            registry.set_model_status(record["id"], source.choice(["production", "archived"]))
        if place % 9 == 0:
            registry.set_alias(record["id"], source.choice(["champion", "a%b"]))
        if place % 5 == 0:
            registry.log_metrics(record["id"], {"rmse": source.choice(NUMBERS)}, step=1)
    return sorted(registry.list_models(), key=lambda record: record["created_at"])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, index_url: str | None) -> Iterator[Store]:
    """Return a registry and its records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRIDAY_STORE_HOME", str(tmp_path_factory.mktemp("home")))
        with ModelRegistry(
            tmp_path_factory.mktemp("q") / "r", plugins=Plugins(()), actor="ann", index=index_url
        ) as registry:
            yield Store(registry)
            assert registry.repository.index.place.startswith("SQLite" if index_url is None else "PostgreSQL")


MISSING = object()


class Asked:
    """A condition as text, and what it means."""

    def __init__(self, text: str, holds: Callable[[Record], bool]) -> None:
        self.text = text
        self.holds = holds

    def __repr__(self) -> str:
        return self.text


def quoted(value: Any) -> str:
    """Return a value as the language writes it."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def key(name: str) -> str:
    """Return a key as the language writes it."""
    return name if re.fullmatch(r"[^\W\d]\w*", name) else '"' + name.replace('"', '""') + '"'


def at(record: Record, *path: str | int) -> Any:
    """Return what stands at a path, or :data:`MISSING`."""
    found: Any = record
    for step in path:
        if not isinstance(found, dict if isinstance(step, str) else list):
            return MISSING
        try:
            found = found[step]  # type: ignore[index]
        except (KeyError, IndexError):
            return MISSING
    return found


PIECES = {
    "like": [
        ("%", ".*"),
        ("_", "."),
        (r"\%", "%"),
        (r"\_", "_"),
        (r"\\", r"\\"),
        *zip("ab0eu[*", "ab0eu[*", strict=True),
    ],
    "glob": [("*", ".*"), ("?", "."), *zip("ab0eu%_", "ab0eu%_", strict=True)],
}


def compares(operator: str, found: Any, value: Any) -> bool:
    """Whether one value that is there compares so."""
    if isinstance(found, bool) or isinstance(value, bool):
        return operator == "=" and found is value
    if isinstance(found, str) is not isinstance(value, str) or not isinstance(found, str | int | float):
        return False
    if isinstance(found, str) and "\0" in found and operator != "=":
        return False  # a fact with a zero byte only equals
    one, other = (found.encode(), value.encode()) if isinstance(found, str) else (found, value)
    means = {"=": one == other, "<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}
    return bool(means[operator])


@st.composite
def comparisons(draw: st.DrawFn) -> Asked:
    """Return one comparison."""
    field, values, get = draw(st.sampled_from(FIELDS))
    is_text = all(isinstance(value, str) for value in values)
    mixed = not is_text and any(isinstance(value, str) for value in values)
    operator = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in", "between", "null", "like", "glob"]))

    def some(record: Record, test: Callable[[Any], bool]) -> bool:
        return any(test(found) for found in get(record))

    if operator == "null":
        turned = draw(st.booleans())
        return Asked(f"{field} is {'not ' * turned}null", lambda record: turned == bool(get(record)))
    if operator in ("like", "glob") and not (is_text or mixed):
        operator = "="
    if operator in ("like", "glob"):
        pieces = draw(st.lists(st.sampled_from(PIECES[operator]), max_size=4))
        pattern = "".join(piece for piece, _ in pieces)
        means = re.compile(
            "".join(re.escape(re_) if len(re_) == 1 and re_ != "." else re_ for _, re_ in pieces), re.DOTALL
        )
        turned = draw(st.booleans())
        return Asked(
            f"{field} {'not ' * turned}{operator} {quoted(pattern)}",
            lambda record: (
                turned
                != some(
                    record, lambda found: isinstance(found, str) and "\0" not in found and bool(means.fullmatch(found))
                )
            ),
        )
    plain = [value for value in values if not isinstance(value, bool)] or values
    if operator == "in":
        chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
        turned = draw(st.booleans())
        return Asked(
            f"{field} {'not ' * turned}in ({', '.join(map(quoted, chosen))})",
            lambda record: turned != some(record, lambda found: any(compares("=", found, v) for v in chosen)),
        )
    if operator == "between":
        low, high = draw(st.sampled_from(plain)), draw(st.sampled_from(plain))
        if isinstance(low, str) is not isinstance(high, str) or "\0" in f"{low}{high}":
            high = low = plain[0]
        return Asked(
            f"{field} between {quoted(low)} and {quoted(high)}",
            lambda record: some(record, lambda found: compares(">=", found, low) and compares("<=", found, high)),
        )
    value = draw(st.sampled_from(values if operator in ("=", "!=") else plain))
    if isinstance(value, bool) and operator not in ("=", "!="):
        operator = "="
    turned, positive = operator == "!=", "=" if operator == "!=" else operator
    return Asked(
        f"{field} {operator} {quoted(value)}",
        lambda record: turned != some(record, lambda found: compares(positive, found, value)),
    )


def one(value: Any) -> list[Any]:
    """Return what a field with one value has: nothing where it is missing, null or not a number."""
    return [] if value is MISSING or value is None or (isinstance(value, float) and math.isnan(value)) else [value]


def fact(*path: str | int) -> Callable[[Record], list[Any]]:
    """Return what stands at a path of the facts; what is no number, text or truth value compares with nothing."""
    return lambda record: one(at(record, *path))


NO_NUL = [word for word in WORDS if "\0" not in word]
FIELDS: list[tuple[str, list[Any], Callable[[Record], list[Any]]]] = [
    ("name", ["m1", "m2", "x"], lambda r: [r["model_name"]]),
    ("status", ["active", "production", "archived"], lambda r: [r["status"]]),
    ("type", ["Ridge", "ridge", ""], lambda r: [r["model_type"]]),
    ("description", ["", "first words", "Ωmega", "a%b"], lambda r: [r["description"]]),
    ("author", ["ann", "bob"], lambda r: [r["author"]]),
    ("tag", TAGS, lambda r: r["tags"]),
    ("tags", TAGS, lambda r: r["tags"]),
    ("alias", ["champion", "a%b", "x"], lambda r: r["aliases"]),
    *((f"metrics.{key(name)}", NUMBERS, lambda r, name=name: one(r["metrics"].get(name))) for name in METRICS),
    ("metrics.a.b", NUMBERS, lambda r: one(r["metrics"].get("a.b"))),
    ("params.alpha", [0.1, 1, 10, "auto"], fact("hyperparameters", "alpha")),
    *((f"metadata.{key(name)}", [*NO_NUL, *NUMBERS, True, False], fact("metadata", name))
      for name in [*ODD[:-1], "region", "run"]),
    ("metadata.run.deep", [*NO_NUL, *NUMBERS], fact("metadata", "run", "deep")),
    ("metadata.region[0]", [*NO_NUL, *NUMBERS], fact("metadata", "region", 0)),
    ("size_bytes", [0, 1, 20, 21.5, 1000], lambda r: [r["size_bytes"]]),
]  # fmt: skip


def both(a: Asked, b: Asked) -> Asked:
    """Return the two joined by and."""
    return Asked(f"({a.text} AND {b.text})", lambda record: a.holds(record) and b.holds(record))


def either(a: Asked, b: Asked) -> Asked:
    """Return the two joined by or."""
    return Asked(f"({a.text} or {b.text})", lambda record: a.holds(record) or b.holds(record))


def opposite(a: Asked) -> Asked:
    """Return the opposite."""
    return Asked(f"not ({a.text})", lambda record: not a.holds(record))


TREES = st.recursive(
    comparisons(),
    lambda inner: st.builds(both, inner, inner) | st.builds(either, inner, inner) | st.builds(opposite, inner),
    max_leaves=5,
)
ORDERS: dict[str, Callable[[Record], Any]] = {
    "name": lambda r: r["model_name"].encode(),
    "status": lambda r: r["status"].encode(),
    "size": lambda r: r["size_bytes"],
    "created": lambda r: r["created_at"],
    "updated_at": lambda r: r["updated_at"],
    "version": lambda r: semver.Version.parse(r["model_version"]),
    "metrics.rmse": lambda r: (one(r["metrics"].get("rmse")) or [None])[0],
    'metrics."a.b"': lambda r: (one(r["metrics"].get("a.b")) or [None])[0],
    "params.alpha": lambda r: r["hyperparameters"].get("alpha"),
}


def sorted_by(records: list[Record], keys: list[tuple[str, bool]]) -> list[Record]:
    """Return records as the order says: numbers, then texts, then what has neither; of equals the last first."""
    found = records[::-1]
    for name, down in reversed(keys):
        value = ORDERS[name]
        texts = [record for record in found if isinstance(value(record), str)]
        rest = [record for record in found if value(record) is None]
        numbers = [record for record in found if record not in texts and record not in rest]
        found = [*sorted(numbers, key=value, reverse=down), *sorted(texts, key=value, reverse=down), *rest]
    return found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=TREES,
    keys=st.lists(st.tuples(st.sampled_from(sorted(ORDERS)), st.booleans()), min_size=1, max_size=3),
    size=st.integers(1, 60),
)
def test_it_means_what_python_means(store: Store, asked: Asked, keys: list[tuple[str, bool]], size: int) -> None:
    """Any condition, in any order, in pages of any size, finds what a loop over the records would."""
    registry, records = store.registry, store.records
    expected = [record["id"] for record in sorted_by([r for r in records if asked.holds(r)], keys)]
    order = ", ".join(f"{'-' * down}{name}" for name, down in keys)
    found: list[str] = []
    after = None
    while True:
        page = registry.search(asked.text, order_by=order, limit=size, after=after)
        found += [record["id"] for record in page]
        assert len(page) == size or page.after is None
        if page.after is None:
            break
        after = page.after
    assert expected == found
    assert expected == [record["id"] for record in registry.search(asked.text, order_by=order)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=TREES)
def test_a_condition_and_its_opposite(store: Store, asked: Asked) -> None:
    """Every version meets a condition or its opposite, and none both."""
    registry, records = store.registry, store.records
    for_it = {record["id"] for record in registry.list_models(where=asked.text)}
    against = {record["id"] for record in registry.list_models(where=f"not ({asked.text})")}
    assert not for_it & against
    assert for_it | against == {record["id"] for record in records}
    assert sum(one["versions"] for one in registry.list_summaries(where=asked.text)) == len(for_it)


def test_times_and_versions(store: Store) -> None:
    """Times compare as moments and versions by precedence, also between bounds."""
    registry, records = store.registry, store.records
    middle = records[len(records) // 2]["created_at"]
    texts = [middle.isoformat(), middle.astimezone(dt.timezone(dt.timedelta(hours=5))).isoformat()]
    for text in texts:
        found = registry.search(f"created >= '{text}'")
        assert {r["id"] for r in records if r["created_at"] >= middle} == {r["id"] for r in found}
    low, high = semver.Version.parse("1.2.0"), semver.Version.parse("2.0.0")
    expected = {r["id"] for r in records if low <= semver.Version.parse(r["model_version"]) <= high}
    assert expected
    assert expected == {r["id"] for r in registry.search("version between '1.2.0' and '2.0.0'")}
    [exact] = registry.search(f"version = '{records[0]['model_version']}' and name = '{records[0]['model_name']}'")
    assert records[0]["id"] == exact["id"]


def test_descent(store: Store) -> None:
    """What descends from a version is what reaches it by parents; the version itself does not."""
    registry, records = store.registry, store.records
    parents = {record["id"]: record["parents"] for record in records}

    def comes_from(one: str, other: str) -> bool:
        return any(parent == other or comes_from(parent, other) for parent in parents.get(one, ()))

    for record in records[::5]:
        name = f"{record['model_name']}:{record['model_version']}"
        expected = {each for each in parents if comes_from(each, record["id"])}
        assert expected == {r["id"] for r in registry.search(f"descends from '{name}'")}
        assert set(parents) - expected == {r["id"] for r in registry.search(f"not descends from '{name}'")}
        children = {each for each, above in parents.items() if record["id"] in above}
        assert children == {r["id"] for r in registry.search(f"parent = '{record['id']}'")}
