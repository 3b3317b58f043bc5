"""How the names of weight files end."""

from __future__ import annotations

WEIGHTS = (
    *(".pth", ".pt", ".th", ".ckpt", ".bin", ".safetensors", ".tar"),  # .pth.tar is the examples' of torch
    *(".pyth", ".chkpt", ".checkpoint"),
)
"""In lower case; which case a name has does not matter."""


def named_as_weights(name: str) -> bool:
    """Whether a file's name, or a path, ends as those of weight files do."""
    return name.lower().endswith(WEIGHTS)
