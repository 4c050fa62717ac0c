"""From tensors to buffers and back, without a copy where there need be none."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from friday_store import SerializationError

REQUIRES: Final = ("torch>=2.10",)

_SIZES: Final = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "uint16": 2, "int16": 2, "float16": 2,
    "bfloat16": 2, "uint32": 4, "int32": 4, "float32": 4, "uint64": 8, "int64": 8, "float64": 8, "complex64": 8,
    "complex128": 16,
}  # fmt: skip


class Head(NamedTuple):
    """What is recorded of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * _SIZES[self.dtype]

    @classmethod
    def of_record(cls, record: Any) -> Head:
        """Return what a record says.

        Raises:
            ValueError: It does not describe a tensor.
        """
        dtype, shape = record["dtype"], record["shape"]
        sound = isinstance(shape, list) and all(type(size) is int and 0 <= size < 1 << 48 for size in shape)
        if dtype not in _SIZES or not sound:
            raise ValueError("a tensor is described by a known dtype and a shape")
        return cls(dtype, tuple(shape))


def is_tensor(value: object) -> bool:
    """Whether it is a plain tensor, found out without importing PyTorch."""
    kind = type(value)
    return kind.__module__ == "torch" and kind.__name__ == "Tensor"


def flat(tensor: Any, where: str) -> tuple[Head, memoryview]:
    """Return a tensor's description and its elements in row-major order, as a view where it lies so on the CPU.

    Raises:
        SerializationError: It is sparse, quantized or of a kind that has no elements in memory.
    """
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or dtype not in _SIZES:
        raise SerializationError(f"{where} is a {tensor.layout} tensor of {tensor.dtype} on {tensor.device}")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return Head(dtype, tuple(tensor.shape)), memoryview(plain.view(torch.uint8).numpy())


def made(head: Head, data: memoryview) -> Any:
    """Return the tensor of verified bytes, as a view of them if they are writable."""
    import torch

    return raw(data).view(getattr(torch, head.dtype)).reshape(head.shape)


def raw(data: memoryview) -> Any:
    """Return bytes as a tensor of uint8: a view, or a copy if they must not be written."""
    import torch

    if not len(data):
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(data) if data.readonly else data, dtype=torch.uint8)
