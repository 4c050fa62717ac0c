"""Errors in the words of the command line: options where the library's message names an argument of Python's."""

from __future__ import annotations

import re
from typing import Final

from friday_store.errors import FridayStoreError

_OPTIONS: Final = {
    "metrics": "--metric", "hyperparameters": "--param", "metadata": "--meta", "tags": "--tag", "aliases": "--alias",
    "parents": "--parent", "attachments": "--attach", "description": "--message", "tune": "--tune",
    "walk_forward": "--walk-forward", "time_budget": "--budget", "test_size": "--test-size", "n_jobs": "--jobs",
    "random_state": "--seed", "grace": "--grace", "keep_last": "--keep-last", "keep_tags": "--keep-tag",
    "keep_best": "--keep-best", "sample": "--sample", "to": "--to",
}  # fmt: skip
"""Arguments of the library's, and the options that they are here."""
_HINTS: Final = {
    "higher_is_better": "friday-store prune ... --higher, where more of it is better, or --lower",
    "keep_last": "say what stays: --keep-last N, --keep-best METRIC:K or --keep-tag TAG; friday-store rm removes all",
    "sample": "give rows with the features that both models take: --sample FILE.csv",
    "directory": "friday-store train --data DIR",
    "use_model_registry": "friday-store init",
}
"""What to do about an argument, where the library's own hint is in Python."""
_KEY: Final = re.compile(r"^(\w+)\[(['\"])(.*?)\2\]((?:\[.*?\])*)(?=:)", re.DOTALL)
_HEAD: Final = re.compile(r"^(\w+)(?=[:.])")


def said(error: FridayStoreError) -> tuple[str, str | None]:
    """Return an error's message and hint as they are told on the command line."""
    message = _KEY.sub(lambda found: f"{_OPTIONS.get(found[1], found[1])} {found[3]}{found[4]}", error.message)
    message = _HEAD.sub(lambda found: _OPTIONS.get(found[1], found[1]), message)
    path = str(getattr(error, "path", ""))
    return message, _HINTS.get(path, error.hint)
