"""Tensors in the safetensors format: a head of JSON, then bytes. Any tool reads it, and it can hold no code.

Written and read here without its package, so that equal tensors give equal bytes, and weights can be shared wherever
this project runs. The format: eight bytes with the head's length (little-endian), the head, which names each tensor's
type, shape and place and has texts under ``__metadata__``, and the tensors' bytes one after the other.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainers.errors import CheckpointError

METADATA = "__metadata__"
LENGTH = struct.Struct("<Q")
ALIGNMENT = 8
"""Bytes; tensors begin at a multiple of them, so that they can be mapped into memory."""
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Tensors of any shapes, by name, and texts beside them, as a file's content; equal for equal ones."""
    head: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))}
    parts, end = [], 0
    widest_first = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # which keeps all aligned
    for name in widest_first:
        tensor = tensors[name].detach().cpu().contiguous()
        part = tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        head[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + len(part)]}
        end += len(part)
        parts.append(part)
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join([LENGTH.pack(len(text)), text, *parts])


def from_bytes(content: bytes, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What :func:`to_bytes`, or another writer of the format, has written: tensors by name, and the texts.

    Raises:
        CheckpointError: naming `what`, where the bytes are no such file.
    """
    try:
        (length,) = LENGTH.unpack_from(content)
        start = LENGTH.size + length
        if start > len(content):
            raise ValueError("it is cut short")
        head = json.loads(content[LENGTH.size : start])
        metadata = {str(name): str(text) for name, text in dict(head.pop(METADATA, {})).items()}
        return {name: _tensor(entry, memoryview(content)[start:]) for name, entry in head.items()}, metadata
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        raise CheckpointError(f"{what} cannot be read as a safetensors file: {error}") from error


def _tensor(entry: dict[str, Any], data: memoryview) -> Tensor:
    dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if not all(isinstance(number, int) and number >= 0 for number in (*shape, begin, end)):
        raise ValueError("it has a place that is no number")
    if end > len(data) or end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("it is cut short, or a tensor has other bytes than its shape needs")
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data[begin:end]), dtype=dtype).reshape(shape)
