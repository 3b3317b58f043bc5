"""Reading the numbers in this folder, which the authors' code computed (see README.md here)."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent


def index(name: str) -> Any:
    """The content of ``<name>.json``."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def arrays(name: str) -> dict[str, Tensor]:
    """All arrays of ``<name>.npz``."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def images(seed: int, *shape: int) -> Tensor:
    """The images that a network golden was computed on."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape)).float()


def fill(module: nn.Module, prefix: str = "") -> None:
    """Give every tensor of `module` the values that its key (after `prefix`) has in the goldens."""
    filled = {key: _value(prefix + key, tensor) for key, tensor in module.state_dict().items()}
    module.load_state_dict(filled)


def _value(key: str, like: Tensor) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros_like(like)
    drawn = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(tuple(like.shape))
    if key.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(drawn)
    elif like.ndim >= 2:
        drawn = drawn / math.sqrt(math.prod(like.shape[1:]))
    elif key.endswith("weight"):
        drawn = 1 + 0.1 * drawn
    else:  # a bias, or a running mean
        drawn = 0.1 * drawn
    return torch.from_numpy(np.asarray(drawn)).float()
