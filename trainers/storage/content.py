"""Content hashes: the same content has the same name, on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

KEY_LENGTH = 16
"""Hexadecimal digits of a key: 64 bits, enough for a billion trials without a collision in practice."""


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and no white space, so that equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(content: Any) -> str:
    """Key of a JSON-like value: the first digits of the SHA-256 of its canonical text."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:KEY_LENGTH]


def tensors_key(tensors: Mapping[str, Tensor]) -> str:
    """Key of named tensors of any shapes and devices: names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.flatten().numpy().data)  # its bytes, not a copy: a data set may be large
    return digest.hexdigest()[:KEY_LENGTH]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
