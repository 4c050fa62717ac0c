"""How often a store is asked: what is known is not asked again, and no question grows with what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from friday_store import ModelRegistry
from friday_store.plugins import Plugins
from tests.faults import stored
from tests.faults.stored import Everybody
from tests.servers.fixtures import Proxied
from tests.servers.proxy import Request


def content(number: int, size: int = 2000) -> np.ndarray[Any, Any]:
    """Return a model that does not shrink."""
    return np.random.default_rng(number).random(size)


class Asked:
    """The requests that a block made."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __len__(self) -> int:
        return len(self.requests)

    def __repr__(self) -> str:
        return "\n".join(
            f"{r.method} {r.path.rpartition('/store')[2]}?{r.query} {r.headers.get('range')} {r.status}"
            for r in self.requests
        )

    def of(self, method: str, part: str) -> list[Request]:
        """Return those of a method whose path holds a text."""
        return [request for request in self.requests if request.method == method and part in request.path]

    @property
    def chunks(self) -> int:
        """The bytes that were sent of packs."""
        return sum(request.sent for request in self.of("GET", "/packs/"))


@contextmanager
def counted(far: Proxied) -> Iterator[Asked]:
    """Count the requests of a block."""
    far.proxy.forget()
    asked = Asked()
    yield asked
    asked.requests = list(far.proxy.requests)


def here(root: Path, far: Proxied, name: str = "origin") -> ModelRegistry:
    """Return a registry with a remote of this name."""
    registry = stored.opened(root)
    registry.add_remote(name, far.url, far.options, where="local", probe=False)
    return registry


def registered(registry: ModelRegistry, count: int, name: str = "m") -> None:
    """Register versions in one transaction."""
    start = len(registry.get_model_versions(name)) if name in registry.model_names() else 0
    with registry.transaction():
        for number in range(start, start + count):
            registry.register_model([name, number], name, f"1.0.{number}", serializer="json")


def at(far: Proxied, url: str) -> ModelRegistry:
    """Return a registry used straight where it is."""
    return ModelRegistry(url, plugins=Plugins(()), storage_options=dict(far.options), trust=Everybody())


def test_what_is_up_to_date_is_told_by_two_requests(s3_proxied: Proxied, tmp_path: Path) -> None:
    """An up-to-date push, pull, fetch and dry run compare the newest entry and look for the next, and no more."""
    mine = here(tmp_path / "mine", s3_proxied)
    registered(mine, 20)
    mine.push()
    mine.pull()
    verbs: list[Callable[[], object]] = [mine.push, mine.pull, mine.fetch, lambda: mine.push(dry_run=True)]
    for verb in verbs:
        for _ in range(2):
            with counted(s3_proxied) as asked:
                verb()
            assert len(asked) <= 2, asked
    with stored.opened(tmp_path / "mine") as again, counted(s3_proxied) as asked:
        again.push()
    assert len(asked) <= 2, asked
    with counted(s3_proxied) as asked:
        assert [] == mine.status("origin")
    assert 0 == len(asked)


def one_more(mine: ModelRegistry, far: Proxied) -> Asked:
    """Push one new version, twice to warm up and once counted."""
    for _ in range(3):
        registered(mine, 1)
        with counted(far) as asked:
            mine.push()
    return asked


@pytest.mark.parametrize(("versions", "entries"), [(2000, 20), pytest.param(20_000, 400, marks=pytest.mark.slow)])
def test_one_new_version_costs_the_same_beside_many(
    s3_proxied: Proxied, tmp_path: Path, versions: int, entries: int
) -> None:
    """One version goes to a remote of thousands, in many entries and packs, in as many requests as to an empty one."""
    mine = here(tmp_path / "mine", s3_proxied)
    registered(mine, 1)
    mine.push()
    small = one_more(mine, s3_proxied)
    direct = here(tmp_path / "big", s3_proxied.direct, "direct")  # type: ignore[arg-type]
    for number in range(entries):
        registered(direct, versions // entries, f"m{number}")
        direct.push("direct", [f"m{number}"])
    mine.pull()
    large = one_more(mine, s3_proxied)
    assert len(large) <= 6, large
    assert len(large) <= len(small), f"{large}\nbeside\n{small}"
    assert 2 == len(large.of("PUT", "")), large
    assert large.of("PUT", "/packs/")[0].received < 10_000
    with counted(s3_proxied) as asked:
        mine.pull()
        mine.push()
    assert len(asked) <= 4, asked


def test_a_first_push_of_many_small_versions(s3_proxied: Proxied, tmp_path: Path) -> None:
    """Two thousand versions go as one pack and one entry; the requests are those that make a registry."""
    mine = here(tmp_path / "mine", s3_proxied)
    registered(mine, 2000)
    with counted(s3_proxied) as asked:
        report = mine.push()
    assert 2000 == len(report.moved)
    assert 1 == len(asked.of("PUT", "/packs/")), asked
    assert len(asked) <= 32, asked
    with counted(s3_proxied) as asked:
        laptop = ModelRegistry.clone(
            s3_proxied.url, tmp_path / "laptop", plugins=Plugins(()), remote_options=s3_proxied.options
        )
    assert len(asked) <= 24, asked
    assert 2000 == len(laptop.get_model_versions("m"))
    assert [] == laptop.fsck(quick=True)


def test_a_clone_of_metadata_fetches_what_is_loaded_and_no_more(s3_proxied: Proxied, tmp_path: Path) -> None:
    """A metadata-only clone brings no model's bytes; loading one brings its own, once, and keeps them."""
    mine = stored.opened(tmp_path / "mine")
    for number in range(6):
        mine.register_model(content(number, 50_000), "m", metrics={"number": number})
    mine.push(s3_proxied.url, remote_options=s3_proxied.direct.options)
    with counted(s3_proxied) as asked:
        laptop = ModelRegistry.clone(
            s3_proxied.url,
            tmp_path / "laptop",
            metadata_only=True,
            plugins=Plugins(()),
            remote_options=s3_proxied.options,
        )
    assert asked.chunks < 200_000, "more than the ends of packs was fetched"
    assert {float(number) for number in range(6)} == {
        record["metrics"]["number"] for record in laptop.get_model_versions("m")
    }
    assert [] == laptop.fsck()
    with counted(s3_proxied) as asked:
        np.testing.assert_array_equal(content(3, 50_000), laptop.load_model("m:1.0.3"))
    assert 400_000 <= asked.chunks < 500_000, asked
    assert len(asked.of("GET", "/packs/")) <= 2, asked  # the array, and what all models share at the pack's start
    with counted(s3_proxied) as asked:
        np.testing.assert_array_equal(content(3, 50_000), laptop.load_model("m:1.0.3"))
        with stored.opened(tmp_path / "laptop" / ".friday") as again:
            np.testing.assert_array_equal(content(3, 50_000), again.load_model("m:1.0.3"))
    assert 0 == len(asked), asked
    with counted(s3_proxied) as asked:
        laptop.fetch()
    assert 5 * 400_000 <= asked.chunks < 5 * 500_000
    with counted(s3_proxied) as asked:
        for number in range(6):
            np.testing.assert_array_equal(content(number, 50_000), laptop.load_model(f"m:1.0.{number}"))
    assert 0 == len(asked), asked


def test_what_is_used_in_place_is_loaded_once(s3_proxied: Proxied, tmp_path: Path) -> None:
    """A registry that is used in S3 fetches a model once for this user, whatever process loads it."""
    writer = at(s3_proxied.direct, s3_proxied.url)  # type: ignore[arg-type]
    writer.register_model(content(1, 50_000), "m", aliases=["production"])
    for first in (True, False):
        registry = at(s3_proxied, s3_proxied.url)
        for again in (not first, True):
            with counted(s3_proxied) as asked:
                np.testing.assert_array_equal(content(1, 50_000), registry.load_model("m@production"))
            assert (not again) == (asked.chunks >= 400_000), asked
            if again:
                assert [] == asked.of("GET", "/packs/"), asked
        with counted(s3_proxied) as asked:
            registry.load_model("m@production")
        assert len(asked) == len(asked.of("GET", "/log/")) <= 3, asked
        registry.close()


def test_a_move_elsewhere_is_seen_at_once(s3_proxied: Proxied, tmp_path: Path) -> None:
    """An alias that another machine has moved is followed by the next load, in a registry that is used in place."""
    machines = [at(s3_proxied, s3_proxied.url) for _ in range(2)]
    for number in range(3):
        machines[0].register_model(content(number), "m")
    for number in (0, 2, 1, 0):
        machines[number % 2].set_alias(f"m:1.0.{number}", "production")
        np.testing.assert_array_equal(content(number), machines[1 - number % 2].load_model("m@production"))


def test_a_status_asks_only_when_told_to(s3_proxied: Proxied, tmp_path: Path) -> None:
    """What was last seen answers for nothing; a refreshed status looks at the log and at what is new."""
    mine = here(tmp_path / "mine", s3_proxied)
    registered(mine, 3)
    mine.push()
    other = stored.opened(tmp_path / "other")
    registered(other, 2, "n")
    other.push(s3_proxied.url, remote_options=s3_proxied.direct.options)
    with counted(s3_proxied) as asked:
        assert [] == mine.status()
    assert 0 == len(asked)
    with counted(s3_proxied) as asked:
        found = mine.status(refresh=True)
    assert {("versions/n/1.0.0", "behind"), ("versions/n/1.0.1", "behind")} == {(row.ref, row.state) for row in found}
    assert len(asked) <= 5, asked
