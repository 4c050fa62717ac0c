"""Two formats for PyTorch: ``torch``, tensors in plain containers, and ``torch-module``, whole modules.

``torch``, format 1. Safety: data. State dictionaries, checkpoints, and whatever else is made of tensors, numbers, text,
None, lists, tuples and dictionaries.

``tree``
    UTF-8 JSON ``{"tree": …, "tensors": [{"name", "dtype", "shape"}, …]}``. In the tree, plain values stand for
    themselves and everything else is an object with one key: ``{"tensor": N}``, ``{"list": [..]}``,
    ``{"tuple": [..]}``, ``{"dict": [[key, value], ..]}``, ``{"ordered": [[key, value], ..]}``, and ``{"float": "nan"}``
    for what JSON lacks.
``tensor/N``
    The elements of the N-th tensor in row-major order, little-endian. It loads as a view. One tensor that stands in two
    places is stored once and comes back as one.

``torch-module``, format 1. Safety: code. Any object that ``torch.save`` takes; the parts are members of its archive:

``data.pkl``
    The pickle of ``torch.save``, protocol 2, in which each storage is a persistent id
    ``("storage", type, key, location, elements)``.
``data/KEY``
    The bytes of that storage. It loads as a view.

The native file of both is what ``torch.save`` writes (the zip archive of PyTorch since 1.6). For ``torch`` it is read
with ``weights_only=True`` and for ``torch-module`` taken apart without unpickling anything.
"""

from __future__ import annotations

from friday_store import hookimpl
from friday_store.hookspecs import Serializer
from friday_store_torch.modules import TorchModule
from friday_store_torch.state import Torch

__all__ = ["Torch", "TorchModule", "register_serializers"]


@hookimpl
def register_serializers() -> list[Serializer]:
    """Add both formats."""
    return [Torch(), TorchModule()]
