"""The kit for authors of plugins and stores: subclass, set one or two fixtures, and get the whole suite.

::

    from friday_store.testing import SerializerTests

    class TestMine(SerializerTests):
        serializer = Mine()
        frameworks = ("torch",)  # what only writing and loading a model may import

        @pytest.fixture
        def model(self):
            return ...

        def predict(self, model):
            return ...

        def changed(self, model):  # optional: the same model with a part of it trained on
            return ...

``StorageTests`` is for stores; ``TrainerTests``, ``TargetTests`` and ``TunerTests`` are for what plugins add to the
market trainer, and take one attribute each. It needs pytest and Hypothesis, which the extra ``test`` brings; nothing in
friday-store imports it. For readable failures put ``pytest.register_assert_rewrite("friday_store.testing")`` at the top
of ``conftest.py``.
"""

from __future__ import annotations

from friday_store.testing.faults import Fault, FaultyStorage
from friday_store.testing.serializers import SerializerTests, parts_of
from friday_store.testing.storages import StorageTests
from friday_store.testing.strategies import arrays_by_name, metadata, metrics, model_names, plain_values, versions
from friday_store.testing.targets import TargetTests
from friday_store.testing.trainers import TrainerTests
from friday_store.testing.tuners import TunerTests

__all__ = [
    "Fault",
    "FaultyStorage",
    "SerializerTests",
    "StorageTests",
    "TargetTests",
    "TrainerTests",
    "TunerTests",
    "arrays_by_name",
    "metadata",
    "metrics",
    "model_names",
    "parts_of",
    "plain_values",
    "versions",
]
