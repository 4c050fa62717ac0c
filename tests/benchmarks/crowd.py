"""The facts of very many versions, the same for every side that answers questions about them.

Nothing here imports friday_store or a peer.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_MODEL: Final = 200
FRAMES: Final = ("1m", "5m", "1h", "4h", "1d")
SYMBOLS: Final = tuple(f"S{number:03d}" for number in range(100))


class Member(NamedTuple):
    """One version: of which model, the how manyth of it, and what is recorded with it."""

    number: int
    name: str
    place: int
    type: str
    tags: list[str]
    metrics: dict[str, float]
    parameters: dict[str, Any]
    region: str


def members(count: int) -> Iterator[Member]:
    """Iterate over so many versions, two hundred of each model, the models in turn."""
    source = random.Random(8)
    models = max(1, count // PER_MODEL)
    for number in range(count):
        model, place = number % models, number // models
        symbol, frame = SYMBOLS[model % len(SYMBOLS)], FRAMES[model // len(SYMBOLS) % len(FRAMES)]
        metrics = {"rmse": source.random(), "r2": source.uniform(-1, 1), "mae": source.random()}
        parameters = {"alpha": source.choice([0.1, 1.0, 10.0]), "max_depth": source.randrange(20)}
        yield Member(
            number,
            f"{symbol}_{frame}_close_{model}",
            place,
            ("Ridge", "RandomForestRegressor")[number % 2],
            [symbol, frame, "close", *(["reviewed"] if number % 7 == 0 else [])],
            metrics,
            parameters,
            source.choice(["eu", "us", "asia"]),
        )
