"""``keras``: models of Keras 3, compiled or not, on any back end. Safety: code.

Parts, of format 1:

``config``
    The model's configuration as Keras serializes it, ``config.json`` of its own files, as compact UTF-8 JSON. What it
    says of objects that are shared is numbered in the order in which they are met, where Keras writes addresses.
``weights``
    UTF-8 JSON ``{"keras": version, "weights": [{"path", "dtype", "shape"}, …]}``, sorted by path. Paths are those of
    the datasets in ``model.weights.h5`` of Keras's files, such as ``layers/dense/vars/0`` or ``optimizer/vars/3``.
``weight/PATH``
    The elements of that weight in row-major order, little-endian. In the name, whatever is not a letter, a digit or one
    of ``_-~/`` is percent-encoded.

The native file is the ``.keras`` archive of Keras 3: ``metadata.json``, ``config.json`` and ``model.weights.h5``. It
is made and taken apart without loading the model: members must be stored as they are, and the HDF5 file may have
datasets in one piece, uncompressed, and no links to elsewhere, which is what Keras writes.
"""

from __future__ import annotations

from friday_store import hookimpl
from friday_store.hookspecs import Serializer
from friday_store_keras.models import Keras

__all__ = ["Keras", "register_serializers"]


@hookimpl
def register_serializers() -> list[Serializer]:
    """Add the format."""
    return [Keras()]
