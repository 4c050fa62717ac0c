"""A page of records: what a search found, and where the next page begins."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, overload

from friday_store.errors import PluginError
from friday_store.registry.records import Record, columns, frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Page(Sequence[Record]):
    """Records in order.

    Attributes:
        records: They.
        after: What ``search(after=…)`` takes for the page that follows; None if this is the last.
    """

    records: tuple[Record, ...]
    after: str | None = None

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, place: int | slice) -> Record | tuple[Record, ...]:
        return self.records[place]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame, one row each, with a column for each metric; typed also when empty."""
        return frame(self.records)

    def to_csv(self, target: str | Path | IO[str]) -> None:
        """Write the same columns as CSV in UTF-8, with a header, ISO times, and commas between tags and aliases."""
        if isinstance(target, str | Path):
            with Path(target).open("w", encoding="utf-8", newline="") as file:
                self.to_csv(file)
            return
        names, rows = columns(self.records)
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(value) for value in row] for row in rows)

    def to_parquet(self, path: str | Path) -> None:
        """Write the same columns as Parquet.

        Raises:
            PluginError: pyarrow is not installed.
        """
        if importlib.util.find_spec("pyarrow") is None:
            raise PluginError("Parquet needs pyarrow", hint="pip install 'friday-store[parquet]'")
        self.to_frame().to_parquet(path, index=False)


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ",".join(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
