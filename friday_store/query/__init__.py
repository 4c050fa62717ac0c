r"""The query language: which versions, in what order, a page at a time.

::

    metrics.rmse < 0.5 and tag = 'AAPL' and created > '2026-01-01'
    status in ('staging', 'production') or alias = 'champion'
    params.alpha between 0.1 and 1 and not name like 'test\_%'
    metadata.run."learning rate" is not null and pipeline_steps[0].name = 'scaler'
    descends from 'aapl_1d:1.0.0' and version >= '2.0.0'

**Fields**: ``name version type status author description serializer id artifact origin`` (text), ``size`` (bytes),
``created`` and ``updated`` (ISO 8601, UTC unless it says otherwise), ``tag alias parent`` (many), ``metrics.NAME`` (as
observed last), ``params.NAME``, and any path into ``metadata training_data feature_importance pipeline_steps
dependencies environment evaluation input_schema``. The names in a record (``model_name``, ``created_at``, ``tags``,
``hyperparameters`` and so on) mean the same. The grammar stands in :mod:`friday_store.query.parser`.

**Meaning**: a condition is true or false. A comparison with what is not there is false, and so is one of text with a
number; ``not``, ``!=`` and ``not in`` are the exact opposites, so they also hold where nothing is there, as in pandas.
Of tags, aliases and parents one must meet it, so ``tag != 'x'`` asks for no such tag. Text compares by its bytes, and a
text with a zero byte only with ``=``; versions compare by semver precedence; ``like`` tells capitals from small
letters, and ``\`` makes ``%`` and ``_`` plain. A metric that is not a number is null; another fact that is NaN is there
and meets no comparison.

It is four steps, a module each: :func:`parse` makes a tree of the text, :mod:`~friday_store.query.conditions` SQL of
the tree, :mod:`~friday_store.query.order` keys of the order, and :func:`search` asks the index.
"""

from __future__ import annotations

from friday_store.query.order import Order, ordered
from friday_store.query.parser import parse
from friday_store.query.search import Found, search
from friday_store.query.tree import And, Compare, Descends, Field, Not, Or, Tree

__all__ = ["And", "Compare", "Descends", "Field", "Found", "Not", "Or", "Order", "Tree", "ordered", "parse", "search"]
